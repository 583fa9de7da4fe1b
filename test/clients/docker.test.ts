/** A Docker engine with tsvisor as its runtime. The name of each test is what a user would type, after `docker`. */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { compileGuest } from '../harness/guests.ts';
import { runNative } from '../harness/run.ts';
import { Docker } from './harness/docker.ts';

let missing = Docker.missing();
let engine: Docker;

beforeAll(async () => {
  if (missing !== '') return;
  const opened = await Docker.open();
  if (typeof opened === 'string') missing = opened;
  else engine = opened;
});
afterAll(() => engine?.close());
beforeEach((context) => {
  if (missing !== '') context.skip(missing);
});

const run = (...args: string[]) => engine.docker(['run', '--rm', '--network', 'none', ...args]);

/** Runs `work` beside a container of that name, which is removed afterwards. */
async function beside(name: string, args: readonly string[], work: () => Promise<void>): Promise<void> {
  await engine.ok(['run', '--detach', '--name', name, ...args]);
  try {
    await work();
  } finally {
    await engine.docker(['rm', '--force', name]);
  }
}

describe('docker run', () => {
  test('run --rm busybox echo hello', async () => {
    expect(await run('busybox', 'echo', 'hello')).toMatchObject({ status: 0, stdout: 'hello\n', stderr: '' });
  });

  test('run --rm busybox sh -c "echo out; echo err >&2; exit 3"', async () => {
    const outcome = await run('busybox', 'sh', '-c', 'echo out; echo err >&2; exit 3');
    expect(outcome).toMatchObject({ status: 3, stdout: 'out\n', stderr: 'err\n' });
  });

  test('run --rm busybox nosuchprogram: 127 and why', async () => {
    const outcome = await run('busybox', 'nosuchprogram');
    expect(outcome.status).toBe(127);
    expect(outcome.stderr).toContain('exec: "nosuchprogram": executable file not found in $PATH');
  });

  test('run --rm busybox /etc/passwd: 126 and why', async () => {
    const outcome = await run('busybox', '/etc/passwd');
    expect(outcome.status).toBe(126);
    expect(outcome.stderr).toContain('permission denied');
  });

  test('echo data | docker run --rm -i busybox cat', async () => {
    const outcome = await engine.docker(['run', '--rm', '-i', '--network', 'none', 'busybox', 'cat'], { stdin: 'data\n' });
    expect(outcome).toMatchObject({ status: 0, stdout: 'data\n' });
  });

  test('run --rm -it busybox sh: the terminal has a size, which follows', async () => {
    // The client tells of the first size when the program runs already, and of two sizes in any order; the signal it passes on besides.
    const until = (size: string) => `until stty size 2>&1 | grep -q "^${size}"; do sleep 0.05; done`;
    const shell = `${until('24 80')}; trap "echo told" WINCH; echo ready; ${until('50 132')}; stty size; exit 5`;
    const steps = ['expect:ready', 'size:50x132', 'expect:told', 'expect:50 132'];
    const command = engine.command(['run', '--rm', '-it', '--network', 'none', 'busybox', 'sh', '-c', shell]);
    const outcome = await runNative([compileGuest('programs/terminal.c'), ...steps, '--', ...command], {
      env: engine.env,
      timeoutMs: 60_000,
    });
    expect(outcome.status, outcome.stdout).toBe(5);
  });

  test('run --rm busybox head -c 5000000 /dev/zero: to the last byte', async () => {
    expect((await run('busybox', 'head', '-c', '5000000', '/dev/zero')).bytes.length).toBe(5_000_000);
  });

  test('run --rm --read-only --tmpfs /scratch --user 1000:1001 --cap-drop ALL --hostname box busybox …', async () => {
    const line = 'id -u; id -g; hostname; grep CapEff /proc/self/status; touch /x; touch /scratch/y; ls /scratch';
    const options = ['--read-only', '--tmpfs', '/scratch', '--user', '1000:1001', '--cap-drop', 'ALL', '--hostname', 'box'];
    const outcome = await run(...options, 'busybox', 'sh', '-c', line);
    expect(outcome.stdout).toBe('1000\n1001\nbox\nCapEff:\t0000000000000000\ny\n');
    expect(outcome.stderr).toContain('Read-only file system');
  });

  test('run --rm --memory 64m --pids-limit 20 busybox …', async () => {
    const outcome = await run(
      '--memory',
      '64m',
      '--pids-limit',
      '20',
      'busybox',
      'sh',
      '-c',
      'cd /sys/fs/cgroup; cat memory.max pids.max 2>/dev/null || cat memory/memory.limit_in_bytes pids/pids.max',
    );
    expect(outcome.stdout).toBe('67108864\n20\n');
  });

  test('run --rm --volume DIRECTORY:/data busybox …', async () => {
    const volume = join(engine.directory, 'volume');
    mkdirSync(volume);
    writeFileSync(join(volume, 'in'), 'of the host\n');
    const outcome = await run('--volume', `${volume}:/data`, 'busybox', 'sh', '-c', 'cat /data/in; echo of the guest > /data/out');
    expect(outcome).toMatchObject({ status: 0, stdout: 'of the host\n' });
    expect(readFileSync(join(volume, 'out'), 'utf8')).toBe('of the guest\n');
  });

  test('volume create kept; run twice with --volume kept:/data', async () => {
    await engine.ok(['volume', 'create', 'kept']);
    await run('--volume', 'kept:/data', 'busybox', 'sh', '-c', 'echo first > /data/f');
    expect((await run('--volume', 'kept:/data', 'busybox', 'cat', '/data/f')).stdout).toBe('first\n');
    await engine.ok(['volume', 'rm', 'kept']);
  });

  test('run --rm --init busybox ps', async () => {
    expect((await run('--init', 'busybox', 'ps')).stdout).toMatch(/ 1 root +\/sbin\/docker-init -- ps\n/);
  });
});

describe('a running container', () => {
  test('exec, logs, pause, unpause, cp, stop, start, kill, rm', async () => {
    const main = 'trap "echo ends; exit 7" TERM; echo begins; while :; do sleep 0.1; done';
    await beside('life', ['--network', 'none', 'busybox', 'sh', '-c', main], async () => {
      expect(
        await engine.ok(['exec', '--user', '1000', '--workdir', '/etc', '--env', 'A=1', 'life', 'sh', '-c', 'id -u; pwd; echo $A']),
      ).toBe('1000\n/etc\n1');
      expect((await engine.docker(['exec', 'life', 'sh', '-c', 'exit 9'])).status).toBe(9);
      await engine.ok(['pause', 'life']);
      expect(await engine.inspect('life', '.State.Status')).toBe('paused');
      await engine.ok(['unpause', 'life']);
      await engine.ok(['exec', 'life', 'sh', '-c', 'echo inside > /root/f']);
      await engine.ok(['cp', 'life:/root/f', join(engine.directory, 'copied')]);
      expect(readFileSync(join(engine.directory, 'copied'), 'utf8')).toBe('inside\n');
      await engine.ok(['stop', 'life']);
      expect(await engine.inspect('life', '.State.ExitCode')).toBe('7');
      expect(await engine.ok(['logs', 'life'])).toBe('begins\nends');
      await engine.ok(['start', 'life']);
      expect(await engine.inspect('life', '.State.Running')).toBe('true');
      await engine.ok(['kill', 'life']);
      expect(await engine.inspect('life', '.State.ExitCode')).toBe('137');
    });
  });

  test('stats --no-stream', async () => {
    await beside('figures', ['--network', 'none', 'busybox', 'sleep', '60'], async () => {
      const [memory, tasks] = (await engine.ok(['stats', '--no-stream', '--format', '{{.MemUsage}}|{{.PIDs}}', 'figures'])).split('|');
      expect(memory).toMatch(/^[\d.]+[KM]iB \//);
      expect(Number(tasks)).toBeGreaterThan(0);
    });
  });

  test('run --health-cmd …', async () => {
    const options = ['--network', 'none', '--health-cmd', 'test -e /tmp/well', '--health-interval', '300ms', '--health-retries', '1'];
    await beside('health', [...options, 'busybox', 'sleep', '60'], async () => {
      await expect.poll(() => engine.inspect('health', '.State.Health.Status'), { timeout: 20_000 }).toBe('unhealthy');
      await engine.ok(['exec', 'health', 'touch', '/tmp/well']);
      await expect.poll(() => engine.inspect('health', '.State.Health.Status'), { timeout: 20_000 }).toBe('healthy');
    });
  });
});

describe('networks', () => {
  const server = ['busybox', 'sh', '-c', 'mkdir /w; echo served > /w/index.html; exec httpd -f -p 80 -h /w'];

  test('run --rm busybox ping GATEWAY', async () => {
    const line = 'route -n | grep ^0.0.0.0 | tr -s " " | cut -d" " -f2 | xargs ping -c 1 -W 5';
    const outcome = await engine.docker(['run', '--rm', 'busybox', 'sh', '-c', line]);
    expect(outcome.stdout).toContain('1 packets received');
  });

  test('run --publish 127.0.0.1:8090:80 busybox httpd', async () => {
    await beside('published', ['--publish', '127.0.0.1:8090:80', ...server], async () => {
      const fetch = () => runNative(engine.besideEngine(['curl', '-s', '-m', '5', 'http://127.0.0.1:8090/']));
      await expect.poll(async () => (await fetch()).stdout, { timeout: 20_000 }).toBe('served\n');
    });
  });

  test('network create; containers find each other by name', async () => {
    await engine.ok(['network', 'create', 'names']);
    try {
      await beside('web', ['--network', 'names', '--network-alias', 'also', ...server], async () => {
        const line = 'for name in web also; do wget -qO- http://$name/; done; nslookup nosuch >/dev/null || echo nobody';
        const outcome = await engine.docker(['run', '--rm', '--network', 'names', 'busybox', 'sh', '-c', line]);
        expect(outcome).toMatchObject({ stdout: 'served\nserved\nnobody\n' });
      });
    } finally {
      await engine.ok(['network', 'rm', 'names']);
    }
  });

  test('network create; other names are asked of the server that --dns says', async () => {
    await engine.ok(['network', 'create', '--subnet', '172.31.9.0/24', 'asked']);
    // Every question has the answer 192.0.2.7.
    const source = `import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("172.31.9.1", 53))
while True:
    q, a = s.recvfrom(512)
    s.sendto(q[:2] + b"\\x81\\x80\\0\\1\\0\\1\\0\\0\\0\\0" + q[12:] + b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4\\xc0\\0\\2\\7", a)`;
    const [command, ...args] = engine.besideEngine(['/usr/bin/python3', '-c', source]);
    const dns = spawn(command!, args, { stdio: 'ignore' });
    try {
      const options = ['--network', 'asked', '--dns', '172.31.9.1'];
      const outcome = await engine.docker(['run', '--rm', ...options, 'busybox', 'nslookup', '-type=a', 'far.example']);
      expect(outcome.stdout).toContain('Address: 192.0.2.7');
    } finally {
      dns.kill('SIGKILL');
      await engine.ok(['network', 'rm', 'asked']);
    }
  });

  test('run --network container:NAME: two containers, one loopback', async () => {
    await beside('shared', ['busybox', 'sh', '-c', 'while :; do echo here | nc -l -p 5555; done'], async () => {
      const line = 'for i in 1 2 3 4 5 6 7 8 9; do nc -w 5 127.0.0.1 5555 </dev/null && break; sleep 0.3; done';
      const outcome = await engine.docker(['run', '--rm', '--network', 'container:shared', 'busybox', 'sh', '-c', line]);
      expect(outcome.stdout).toBe('here\n');
    });
  });
});

test('build', async () => {
  const context = join(engine.directory, 'context');
  mkdirSync(context);
  writeFileSync(join(context, 'Dockerfile'), 'FROM busybox\nRUN echo built > /built && id -u >> /built\nCMD ["cat", "/built"]\n');
  await engine.ok(['build', '--network', 'none', '--tag', 'made', context]);
  expect((await run('made')).stdout).toBe('built\n0\n');
});
