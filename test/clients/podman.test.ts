/**
 * podman with tsvisor as its runtime. The name of each test is what a user would type, after `podman --runtime …/bin/tsvisor`; the image `busybox` is
 * made here with `podman import`.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { compileGuest } from '../harness/guests.ts';
import { type Outcome, runNative } from '../harness/run.ts';
import { Podman } from './harness/podman.ts';

const missing = Podman.missing();
let pod: Podman;

beforeAll(async () => {
  if (missing === '') pod = await Podman.open();
});
afterAll(() => pod?.close());
beforeEach((context) => {
  if (missing !== '') context.skip(missing);
});

/** Plays `steps` (test/programs/terminal.c) at a terminal on which podman runs. */
function atTerminal(steps: readonly string[], args: readonly string[]): Promise<Outcome> {
  return runNative([compileGuest('programs/terminal.c'), ...steps, '--', ...pod.command(args)], { env: pod.env, timeoutMs: 60_000 });
}

/** Runs `work` beside a container of that name, which is removed afterwards. */
async function beside(name: string, args: readonly string[], work: () => Promise<void>): Promise<void> {
  await pod.ok(['run', '--detach', '--name', name, '--network', 'none', ...args]);
  try {
    await work();
  } finally {
    await pod.podman(['rm', '--force', '--time', '0', name]);
  }
}

const run = (...args: string[]) => pod.podman(['run', '--rm', '--network', 'none', ...args]);

describe('podman run', () => {
  test('run --rm busybox echo hello', async () => {
    expect(await run('busybox', 'echo', 'hello')).toMatchObject({ status: 0, stdout: 'hello\n', stderr: '' });
  });

  test('echo data | podman run --rm -i busybox cat', async () => {
    const outcome = await pod.podman(['run', '--rm', '--network', 'none', '-i', 'busybox', 'cat'], { stdin: 'data\n' });
    expect(outcome).toMatchObject({ status: 0, stdout: 'data\n' });
  });

  test('run --rm busybox sh -c "echo out; echo err >&2; exit 3"', async () => {
    expect(await run('busybox', 'sh', '-c', 'echo out; echo err >&2; exit 3')).toMatchObject({
      status: 3,
      stdout: 'out\n',
      stderr: 'err\n',
    });
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

  test('run --rm busybox head -c 5000000 /dev/zero: to the last byte', async () => {
    expect((await run('busybox', 'head', '-c', '5000000', '/dev/zero')).bytes.length).toBe(5_000_000);
  });

  test('run --rm --user 1000:1001 --group-add 7 busybox id', async () => {
    const outcome = await run('--user', '1000:1001', '--group-add', '7', 'busybox', 'sh', '-c', 'id -u; id -g; id -G');
    expect(outcome.stdout).toBe('1000\n1001\n1001 7\n');
  });

  test('run --rm --hostname box -e A=1 -w /etc busybox …', async () => {
    const outcome = await run(
      '--hostname',
      'box',
      '-e',
      'A=1',
      '-w',
      '/etc',
      'busybox',
      'sh',
      '-c',
      'hostname; echo $A; pwd; cat /etc/hostname',
    );
    expect(outcome.stdout).toBe('box\n1\n/etc\nbox');
  });

  test('run --rm --read-only --tmpfs /scratch busybox …', async () => {
    const line = 'touch /etc/x; echo y > /scratch/y; cat /scratch/y';
    const outcome = await run('--read-only', '--read-only-tmpfs=false', '--tmpfs', '/scratch:size=1m', 'busybox', 'sh', '-c', line);
    expect(outcome.stdout).toBe('y\n');
    expect(outcome.stderr).toContain('Read-only file system');
  });

  test('run --rm -v DIR:/mnt -v DIR:/ro:ro busybox …', async () => {
    const shared = join(pod.directory, 'shared');
    mkdirSync(shared);
    writeFileSync(join(shared, 'file'), 'of the host\n');
    const outcome = await run(
      '-v',
      `${shared}:/mnt`,
      '-v',
      `${shared}:/ro:ro`,
      'busybox',
      'sh',
      '-c',
      'cat /mnt/file; echo new > /mnt/new; cat /ro/new; touch /ro/x',
    );
    expect(outcome.stdout).toBe('of the host\nnew\n');
    expect(outcome.stderr).toContain('Read-only file system');
    expect(readFileSync(join(shared, 'new'), 'utf8')).toBe('new\n');
  });

  test('run --rm -v volume:/data busybox …, twice', async () => {
    expect((await run('-v', 'kept:/data', 'busybox', 'sh', '-c', 'echo kept > /data/file')).status).toBe(0);
    expect((await run('-v', 'kept:/data', 'busybox', 'cat', '/data/file')).stdout).toBe('kept\n');
  });

  test('run --rm --cap-drop all --cap-add chown busybox …', async () => {
    const outcome = await run('--cap-drop', 'all', '--cap-add', 'chown', 'busybox', 'grep', 'CapEff', '/proc/self/status');
    expect(outcome.stdout).toBe('CapEff:\t0000000000000001\n');
  });

  test('run --rm --ulimit nofile=50:60 busybox sh -c "ulimit -n"', async () => {
    // Where one limit is given, podman fills in the others itself, with more than root may have everywhere.
    expect((await run('--ulimit', 'nofile=50:60', '--ulimit', 'nproc=500:500', 'busybox', 'sh', '-c', 'ulimit -n')).stdout).toBe('50\n');
  });

  test('run --rm --security-opt no-new-privileges busybox …', async () => {
    expect((await run('--security-opt', 'no-new-privileges', 'busybox', 'grep', 'NoNewPrivs', '/proc/self/status')).stdout).toBe(
      'NoNewPrivs:\t1\n',
    );
  });

  test('run --rm --sysctl net.core.somaxconn=300 busybox …', async () => {
    expect((await run('--sysctl', 'net.core.somaxconn=300', 'busybox', 'cat', '/proc/sys/net/core/somaxconn')).stdout).toBe('300\n');
  });

  test('run --rm --memory 64m busybox tail -c 2G /dev/zero: 137', async () => {
    // .State.OOMKilled is not looked at: conmon finds that out by itself, and does not on a host with both versions of cgroups, with runc either.
    expect((await run('--memory', '64m', 'busybox', 'tail', '-c', '2000000000', '/dev/zero')).status).toBe(137);
  });

  test('run --rm --pids-limit 6 busybox …', async () => {
    const outcome = await run('--pids-limit', '6', 'busybox', 'sh', '-c', 'for i in 1 2 3 4 5 6 7 8; do sleep 2 & done; echo over');
    expect(outcome.stderr).toMatch(/can't fork|Resource temporarily unavailable/);
  });
});

describe('podman run -it', () => {
  test('run --rm -it busybox sh: a terminal, its size, Ctrl-C', async () => {
    const steps = [
      'expect:#',
      'send:stty size; tty\\r',
      'expect:/dev/pts/0',
      'send:sleep 60\\r',
      'sleep:300',
      'send:^C',
      'sleep:100',
      'send:exit 5\\r',
    ];
    const outcome = await atTerminal(steps, ['run', '--rm', '--network', 'none', '-it', 'busybox', 'sh']);
    expect(outcome.stdout).toContain('24 80');
    expect(outcome.status).toBe(5);
  });

  test('the size of the window follows', async () => {
    const shell = 'trap "stty size; exit" WINCH; echo ready; while :; do sleep 0.05; done';
    const outcome = await atTerminal(
      ['expect:ready', 'size:50x132', 'expect:50 132'],
      ['run', '--rm', '--network', 'none', '-it', 'busybox', 'sh', '-c', shell],
    );
    expect(outcome.status).toBe(0);
  });

  test('exec -it NAME sh', async () => {
    await beside('tty', ['busybox', 'sleep', '300'], async () => {
      const outcome = await atTerminal(['expect:#', 'send:stty size; exit 4\\r'], ['exec', '-it', 'tty', 'sh']);
      expect(outcome.stdout).toContain('24 80');
      expect(outcome.status).toBe(4);
    });
  });
});

describe('a detached container', () => {
  test('run -d; logs; ps; wait; inspect', async () => {
    await pod.ok(['run', '-d', '--name', 'short', '--network', 'none', 'busybox', 'sh', '-c', 'echo one; echo two >&2; exit 7']);
    expect(await pod.ok(['wait', 'short'])).toBe('7');
    expect(await pod.podman(['logs', 'short'])).toMatchObject({ stdout: 'one\n', stderr: 'two\n' });
    expect(await pod.inspect('short', '.State.Status')).toBe('exited');
    expect(await pod.inspect('short', '.State.ExitCode')).toBe('7');
    await pod.ok(['rm', 'short']);
  });

  test('logs are complete: 20,000 lines', async () => {
    await pod.ok(['run', '-d', '--name', 'lines', '--network', 'none', 'busybox', 'seq', '20000']);
    await pod.ok(['wait', 'lines']);
    const lines = (await pod.ok(['logs', 'lines'])).split('\n');
    expect([lines.length, lines.at(-1)]).toEqual([20_000, '20000']);
    await pod.ok(['rm', 'lines']);
  });

  test('exec NAME …: output, status, -e, -w, -u, -i, -d', async () => {
    await beside('target', ['busybox', 'sleep', '300'], async () => {
      expect(await pod.podman(['exec', 'target', 'sh', '-c', 'echo in; exit 6'])).toMatchObject({ stdout: 'in\n', status: 6 });
      const args = ['exec', '-e', 'A=1', '-w', '/etc', '-u', '1000', 'target', 'sh', '-c', 'echo $A; pwd; id -u'];
      expect(await pod.ok(args)).toBe('1\n/etc\n1000');
      expect(await pod.ok(['exec', '-i', 'target', 'cat'], { stdin: 'typed' })).toBe('typed');
      await pod.ok(['exec', '-d', 'target', 'sh', '-c', 'echo later > /tmp/later']);
      await expect
        .poll(async () => (await pod.podman(['exec', 'target', 'cat', '/tmp/later'])).stdout, { timeout: 10_000 })
        .toBe('later\n');
      expect((await pod.podman(['exec', 'target', 'nosuchprogram'])).status).toBe(127);
      expect((await pod.podman(['exec', 'target', '/etc/passwd'])).status).toBe(126);
    });
  });

  test('stop: SIGTERM is handled', async () => {
    await beside('polite', ['busybox', 'sh', '-c', 'trap "echo bye; exit 0" TERM; while :; do sleep 0.1; done'], async () => {
      await pod.ok(['stop', '--time', '10', 'polite']);
      expect(await pod.inspect('polite', '.State.ExitCode')).toBe('0');
      expect(await pod.ok(['logs', 'polite'])).toBe('bye');
    });
  });

  test('stop --time 1: SIGKILL after that', async () => {
    await beside('deaf', ['busybox', 'sleep', '300'], async () => {
      await pod.ok(['stop', '--time', '1', 'deaf']);
      expect(await pod.inspect('deaf', '.State.ExitCode')).toBe('137');
    });
  });

  test('kill --signal USR1', async () => {
    await beside(
      'listening',
      ['busybox', 'sh', '-c', 'trap "echo usr1; exit 9" USR1; echo ready; while :; do sleep 0.1; done'],
      async () => {
        await expect.poll(() => pod.ok(['logs', 'listening'])).toBe('ready');
        await pod.ok(['kill', '--signal', 'USR1', 'listening']);
        expect(await pod.ok(['wait', 'listening'])).toBe('9');
      },
    );
  });

  test('pause; ps; unpause', async () => {
    await beside('still', ['busybox', 'sh', '-c', 'while :; do echo tick; sleep 0.05; done'], async () => {
      await pod.ok(['pause', 'still']);
      expect(await pod.inspect('still', '.State.Status')).toBe('paused');
      const before = await pod.ok(['logs', 'still']);
      expect(await pod.ok(['logs', 'still'])).toBe(before);
      await pod.ok(['unpause', 'still']);
      expect(await pod.inspect('still', '.State.Status')).toBe('running');
      await expect.poll(async () => (await pod.ok(['logs', 'still'])).length).toBeGreaterThan(before.length);
    });
  });

  test('top, stats, cp', async () => {
    await beside('seen', ['busybox', 'sh', '-c', 'echo made > /made; sleep 300; true'], async () => {
      // podman's own ps reads the processes of the host; the arguments make it run ps inside.
      expect(await pod.ok(['top', 'seen', '-o', 'pid,args'])).toContain('sleep 300');
      expect(await pod.ok(['stats', '--no-stream', '--format', '{{.Name}} {{.PIDs}}', 'seen'])).toMatch(/^seen \d+$/);
      await expect.poll(async () => (await pod.podman(['exec', 'seen', 'cat', '/made'])).stdout).toBe('made\n');
      await pod.ok(['cp', 'seen:/made', join(pod.directory, 'made')]);
      expect(readFileSync(join(pod.directory, 'made'), 'utf8')).toBe('made\n');
      await pod.ok(['cp', join(pod.directory, 'made'), 'seen:/tmp/back']);
      expect(await pod.ok(['exec', 'seen', 'cat', '/tmp/back'])).toBe('made');
    });
  });

  test('restart; rm --force', async () => {
    await beside('again', ['busybox', 'sh', '-c', 'echo start >> /log; sleep 300'], async () => {
      await pod.ok(['restart', '--time', '0', 'again']);
      await expect.poll(() => pod.ok(['exec', 'again', 'cat', '/log'])).toBe('start\nstart');
      await pod.ok(['rm', '--force', '--time', '0', 'again']);
      expect((await pod.podman(['container', 'exists', 'again'])).status).toBe(1);
    });
  });

  test('run --health-cmd …; healthcheck run', async () => {
    const health = ['--health-cmd', 'test -e /healthy', '--health-interval', 'disable', '--health-retries', '1'];
    await beside('checked', [...health, 'busybox', 'sleep', '300'], async () => {
      expect((await pod.podman(['healthcheck', 'run', 'checked'])).status).toBe(1);
      await pod.ok(['exec', 'checked', 'touch', '/healthy']);
      expect((await pod.podman(['healthcheck', 'run', 'checked'])).status).toBe(0);
    });
  });

  test('commit: what the container changed is in the image', async () => {
    await pod.ok(['run', '--name', 'changed', '--network', 'none', 'busybox', 'sh', '-c', 'echo layer > /etc/layer; rm /etc/group']);
    await pod.ok(['commit', 'changed', 'derived']);
    expect((await run('derived', 'sh', '-c', 'cat /etc/layer; ls /etc/group 2>/dev/null || echo 1')).stdout).toBe('layer\n1\n');
    await pod.ok(['rm', 'changed']);
  });

  test('ten at once', async () => {
    const outcomes = await Promise.all(Array.from({ length: 10 }, (_, n) => run('busybox', 'sh', '-c', `echo ${n}; exit ${n}`)));
    expect(outcomes.map(({ status, stdout }) => [status, stdout])).toEqual(outcomes.map((_, n) => [n, `${n}\n`]));
  });
});

describe('networks', () => {
  test('run --rm busybox ip addr: an address of the bridge, its gateway answers', async (context) => {
    const outcome = await pod.podman([
      'run',
      '--rm',
      'busybox',
      'sh',
      '-c',
      'ip -4 -o addr show eth0; ping -c 1 -W 5 $(ip route | sed -n "s/default via \\([^ ]*\\).*/\\1/p")',
    ]);
    if (/netavark|iptables|bridge/.test(outcome.stderr) && outcome.status === 126) context.skip(outcome.stderr);
    expect(outcome.stdout, outcome.stderr).toMatch(/inet 10\./);
    expect(outcome.stdout).toContain('1 packets received');
  });

  test('run -d -p 127.0.0.1:PORT:80 busybox httpd -f; curl', async (context) => {
    const port = '18432';
    const args = [
      'run',
      '-d',
      '--name',
      'web',
      '-p',
      `127.0.0.1:${port}:80`,
      'busybox',
      'sh',
      '-c',
      'mkdir /www; echo served > /www/index.html; exec httpd -f -h /www',
    ];
    const started = await pod.podman(args);
    if (/netavark|iptables/.test(started.stderr)) context.skip(started.stderr);
    try {
      expect(started.status, started.stderr).toBe(0);
      const get = () => runNative(['curl', '-s', '--max-time', '5', `http://127.0.0.1:${port}/`]);
      await expect.poll(async () => (await get()).stdout, { timeout: 10_000 }).toBe('served\n');
    } finally {
      await pod.podman(['rm', '--force', '--time', '0', 'web']);
    }
  });

  test('run --network container:NAME: two containers, one loopback', async () => {
    await beside(
      'first',
      ['busybox', 'sh', '-c', 'mkdir /www; echo over loopback > /www/x; exec httpd -f -p 127.0.0.1:7000 -h /www'],
      async () => {
        const second = ['run', '--rm', '--network', 'container:first', 'busybox', 'wget', '-q', '-O', '-', 'http://127.0.0.1:7000/x'];
        await expect.poll(async () => (await pod.podman(second)).stdout, { timeout: 10_000 }).toBe('over loopback\n');
      },
    );
  });
});
