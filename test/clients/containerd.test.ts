/** containerd's shim with tsvisor in runc's place. The name of each test is what a user would type: `ctr run --runc-binary …/bin/tsvisor …`. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { compileGuest } from '../harness/guests.ts';
import { runNative } from '../harness/run.ts';
import { Containerd } from './harness/containerd.ts';

const missing = Containerd.missing();
let daemon: Containerd;
let count = 0;

beforeAll(async () => {
  if (missing === '') daemon = await Containerd.open();
});
afterAll(() => daemon?.close());
beforeEach((context) => {
  if (missing !== '') context.skip(missing);
});

const run = (options: string[], ...command: string[]) => daemon.ctr(daemon.runArgs(['--rm', ...options], `run${count++}`, command));

/** Runs `work` beside a detached container. */
async function beside(command: string[], work: (id: string) => Promise<void>, options: string[] = []): Promise<void> {
  const id = `beside${count++}`;
  await daemon.ok(daemon.runArgs(['--detach', ...options], id, command));
  try {
    await work(id);
  } finally {
    await daemon.ctr(['tasks', 'kill', '--signal', 'KILL', id]);
    await expect.poll(async () => (await daemon.ctr(['tasks', 'ls'])).stdout).not.toMatch(new RegExp(`^${id} .*(RUNNING|PAUSED)`, 'm'));
    await daemon.ctr(['tasks', 'rm', id]);
    await daemon.ctr(['containers', 'rm', id]);
  }
}

describe('ctr run', () => {
  test('run --rm busybox ID echo hello', async () => {
    expect(await run([], 'echo', 'hello')).toMatchObject({ status: 0, stdout: 'hello\n' });
  });

  test('the status of the process', async () => {
    expect(await run([], 'sh', '-c', 'echo err >&2; exit 42')).toMatchObject({ status: 42, stderr: 'err\n' });
  });

  test('2 MB through the fifos, to the last byte', async () => {
    const outcome = await run([], 'sh', '-c', 'head -c 2000000 /dev/zero; echo end');
    expect(outcome.bytes.length).toBe(2_000_004);
  });

  test('run --env A=1 --cwd /etc --cap-drop CAP_CHOWN --read-only --seccomp', async () => {
    const options = ['--env', 'A=1', '--cwd', '/etc', '--cap-drop', 'CAP_CHOWN', '--read-only', '--seccomp'];
    const outcome = await run(options, 'sh', '-c', 'echo $A; pwd; touch /x; grep CapBnd /proc/self/status');
    expect(outcome.stdout).toMatch(/^1\n\/etc\nCapBnd:\t[0-9a-f]{15}[02468ace]\n$/);
    expect(outcome.stderr).toContain('Read-only');
  });

  test('run --mount type=bind,…', async () => {
    const outcome = await run(
      ['--mount', 'type=bind,src=/etc,dst=/mnt,options=rbind:ro'],
      'sh',
      '-c',
      'grep -c ^root: /mnt/passwd; touch /mnt/x',
    );
    expect(outcome.stdout).toBe('1\n');
    expect(outcome.stderr).toContain('Read-only');
  });

  test('run --memory-limit 67108864 …: 137', async () => {
    expect((await run(['--memory-limit', '67108864'], 'tail', '-c', '2000000000', '/dev/zero')).status).toBe(137);
  });

  test('run --rm busybox ID nosuchprogram: why', async () => {
    const outcome = await run([], 'nosuchprogram');
    expect(outcome.status).not.toBe(0);
    expect(outcome.stderr).toContain('exec: "nosuchprogram": executable file not found in $PATH');
  });

  test('run -t: a terminal', async () => {
    const steps = ['expect:#', 'send:stty size; tty; exit 3\\r', 'expect:/dev/pts/0'];
    const command = daemon.command(daemon.runArgs(['--rm', '--tty'], `run${count++}`, ['sh']));
    const outcome = await runNative([compileGuest('programs/terminal.c'), ...steps, '--', ...command], { timeoutMs: 60_000 });
    expect(outcome.stdout).toContain('24 80');
    expect(outcome.status).toBe(3);
  });
});

describe('ctr tasks', () => {
  test('tasks ls; tasks ps', async () => {
    await beside(['sleep', '300'], async (id) => {
      expect((await daemon.ok(['tasks', 'ls'])).split('\n').find((line) => line.startsWith(`${id} `))).toMatch(/ \d+ +RUNNING$/);
      expect(await daemon.ok(['tasks', 'ps', id])).toMatch(/^PID +INFO\n\d+/);
    });
  });

  test('tasks exec --exec-id …: output and status', async () => {
    await beside(['sleep', '300'], async (id) => {
      const outcome = await daemon.ctr(['tasks', 'exec', '--exec-id', 'one', '--cwd', '/etc', id, 'sh', '-c', 'pwd; exit 5']);
      expect(outcome).toMatchObject({ stdout: '/etc\n', status: 5 });
      expect((await daemon.ctr(['tasks', 'exec', '--exec-id', 'two', id, 'cat'], { stdin: 'typed' })).stdout).toBe('typed');
      expect((await daemon.ctr(['tasks', 'exec', '--exec-id', 'three', id, 'nosuchprogram'])).stderr).toContain(
        'executable file not found in $PATH',
      );
    });
  });

  test('tasks exec -t: a terminal', async () => {
    await beside(['sleep', '300'], async (id) => {
      const steps = ['expect:#', 'send:stty size; exit 3\\r'];
      const command = daemon.command(['tasks', 'exec', '--tty', '--exec-id', 'tty', id, 'sh']);
      const outcome = await runNative([compileGuest('programs/terminal.c'), ...steps, '--', ...command], { timeoutMs: 60_000 });
      expect(outcome.stdout).toContain('24 80');
      expect(outcome.status).toBe(3);
    });
  });

  test('tasks kill --signal USR1', async () => {
    const id = `killed${count++}`;
    const running = daemon.ctr(
      daemon.runArgs(['--rm'], id, ['sh', '-c', 'trap "echo usr1; exit 9" USR1; echo ready; while :; do sleep 0.05; done']),
    );
    await expect.poll(async () => (await daemon.ctr(['tasks', 'ls'])).stdout, { timeout: 10_000 }).toContain(`${id} `);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await daemon.ok(['tasks', 'kill', '--signal', 'USR1', id]);
    expect(await running).toMatchObject({ status: 9, stdout: 'ready\nusr1\n' });
  });

  test('tasks pause; tasks resume', async () => {
    await beside(['sleep', '300'], async (id) => {
      await daemon.ok(['tasks', 'pause', id]);
      expect(await daemon.ok(['tasks', 'ls'])).toMatch(new RegExp(`^${id} .*PAUSED`, 'm'));
      await daemon.ok(['tasks', 'resume', id]);
      expect(await daemon.ok(['tasks', 'ls'])).toMatch(new RegExp(`^${id} .*RUNNING`, 'm'));
    });
  });

  test('tasks metrics', async () => {
    await beside(['sleep', '300'], async (id) => {
      const metrics = await daemon.ok(['tasks', 'metrics', '--format', 'table', id]);
      expect(metrics).toMatch(/memory\.usage_in_bytes +[1-9]|memory\.usage +[1-9]/);
      expect(metrics).toMatch(/pids\.current +[1-9]/);
    });
  });

  test('ten at once', async () => {
    const outcomes = await Promise.all(Array.from({ length: 10 }, (_, n) => run([], 'sh', '-c', `echo ${n}; exit ${n}`)));
    expect(outcomes.map(({ status, stdout }) => [status, stdout])).toEqual(outcomes.map((_, n) => [n, `${n}\n`]));
  });
});
