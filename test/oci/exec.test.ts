/** Further processes in a running container: options, --process, detached with a pid file, terminals, many at once, exit statuses. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { newContainer, type Setup, type TestContainer } from './harness/container.ts';
import { isAlive } from './harness/processes.ts';
import { ours, startVerb } from './harness/runtime.ts';

async function running(setup: Setup = {}): Promise<TestContainer> {
  const box = await newContainer(setup);
  await box.createAndStart();
  return box;
}

describe('exec', () => {
  test('runs beside the first process: same files, hostname and processes', async () => {
    await using box = await running({ shell: 'echo $$ > /dev/shm/first; sleep 300' });
    await expect.poll(async () => (await box.exec(['cat', '/dev/shm/first'])).stdout).toBe('1\n');
    expect((await box.exec(['sh', '-c', 'hostname; echo made > /dev/shm/second; ps -o args'])).stdout).toContain('sleep 300');
    expect((await box.exec(['cat', '/dev/shm/second'])).stdout).toBe('made\n');
  });

  test.for([0, 1, 42, 255])('exit status %i', async (status) => {
    await using box = await running();
    expect(await box.exec(['sh', '-c', `exit ${status}`])).toMatchObject({ status });
  });

  test('128+n for a signal', async () => {
    await using box = await running();
    expect(await box.exec(['sh', '-c', 'kill -TERM $$; sleep 5'])).toMatchObject({ status: 143 });
  });

  test('input, output and errors', async () => {
    await using box = await running();
    const outcome = await box.exec(['sh', '-c', 'cat; echo err >&2'], [], { stdin: 'typed\n' });
    expect(outcome).toMatchObject({ stdout: 'typed\n', stderr: 'err\n', status: 0 });
  });

  test('10 MB of output', async () => {
    await using box = await running();
    expect((await box.exec(['head', '-c', '10000000', '/dev/zero'])).bytes.length).toBe(10_000_000);
  });

  test('the environment, user and limits of the first process, without what belongs to it', async () => {
    await using box = await running({
      edit(spec) {
        spec.process.env = ['PATH=/bin', 'FROM=config'];
        spec.process.user = { uid: 1000, gid: 1001, additionalGids: [7] };
        spec.process.cwd = '/tmp';
        spec.process.rlimits = [{ type: 'RLIMIT_NOFILE', soft: 77, hard: 77 }];
      },
    });
    const outcome = await box.exec(['sh', '-c', 'echo $FROM; id -u; id -g; id -G; pwd; ulimit -n; grep NoNewPrivs /proc/self/status']);
    expect(outcome.stdout).toBe('config\n1000\n1001\n1001 7\n/tmp\n77\nNoNewPrivs:\t1\n');
  });

  test('--env, --cwd, --user, --additional-gids, --cap, --no-new-privs', async () => {
    await using box = await running({ edit: (spec) => (spec.process.noNewPrivileges = false) });
    const args = ['--env', 'A=1', '--env', 'B=2', '--cwd', '/etc', '--user', '1000:1001', '-g', '5', '-g', '6'];
    const outcome = await box.exec(['sh', '-c', 'echo $A$B; pwd; id -u; id -g; id -G'], args);
    expect(outcome.stdout).toBe('12\n/etc\n1000\n1001\n1001 5 6\n');
    const capabilities = await box.exec(['grep', 'CapBnd', '/proc/self/status'], ['--cap', 'CAP_NET_ADMIN']);
    // CAP_NET_ADMIN is bit 12; those of the container are there as well.
    expect(BigInt(`0x${capabilities.stdout.split(/\s+/)[1]}`) & (1n << 12n)).toBe(1n << 12n);
    expect((await box.exec(['grep', 'NoNewPrivs', '/proc/self/status'], ['--no-new-privs'])).stdout).toBe('NoNewPrivs:\t1\n');
  });

  test('--process FILE', async () => {
    await using box = await running();
    const file = join(box.bundle, 'process.json');
    const process = {
      args: ['sh', '-c', 'echo $A; pwd; id -u; umask'],
      env: ['PATH=/bin', 'A=file'],
      cwd: '/etc',
      user: { uid: 5, gid: 6, umask: 0o077 },
      capabilities: {},
    };
    writeFileSync(file, JSON.stringify(process));
    // runc 1.1 forgets the umask here.
    expect((await box.exec([], ['--process', file])).stdout).toBe(`file\n/etc\n5\n${ours ? '0077' : '0022'}\n`);
  });

  test('--detach --pid-file: a process of the host that lives exactly as long', async () => {
    await using box = await running();
    const pidFile = join(box.bundle, 'pid');
    const started = startVerb([
      'exec',
      '--detach',
      '--pid-file',
      pidFile,
      box.id,
      'sh',
      '-c',
      'trap "exit 0" USR1; while :; do sleep 0.05; done',
    ]);
    expect(await started.exited, started.stderr).toBe(0);
    const pid = Number(readFileSync(pidFile, 'utf8'));
    expect(pid).toBeGreaterThan(1);
    expect(isAlive(pid)).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 200));
    process.kill(pid, 'SIGUSR1');
    await expect.poll(() => isAlive(pid), { timeout: 5000 }).toBe(false);
    expect(await box.state()).toMatchObject({ status: 'running' });
  });

  test('the container takes its exec’d processes with it', async () => {
    await using box = await running();
    const started = startVerb(['exec', box.id, 'sleep', '300']);
    await expect.poll(async () => (await box.exec(['ps', '-o', 'args'])).stdout).toMatch(/sleep 300[^]*sleep 300/);
    await box.kill('KILL');
    await box.until('stopped');
    expect(await started.exited).toBe(137);
  });

  test('an orphan of an exec’d process stays, as a child of pid 1', async () => {
    await using box = await running();
    await box.exec(['sh', '-c', 'setsid sleep 77 >/dev/null 2>&1 & exit 0']);
    expect((await box.exec(['sh', '-c', 'cat /proc/$(pidof sleep | cut -d" " -f1)/status | grep PPid'])).stdout).toBe('PPid:\t1\n');
  });

  test('before start: in a created container', async () => {
    await using box = await newContainer();
    await box.create();
    expect(await box.exec(['echo', 'early'])).toMatchObject({ status: 0, stdout: 'early\n' });
  });

  test('100 at once', { timeout: 120_000 }, async () => {
    await using box = await running();
    const started = Array.from({ length: 100 }, (_, n) =>
      box.exec(['sh', '-c', `cat; exit ${n}`], [], { stdin: `in ${n}`, timeoutMs: 100_000 }),
    );
    const outcomes = await Promise.all(started);
    expect(outcomes.map(({ status }) => status)).toEqual(outcomes.map((_, n) => n));
    expect(outcomes.map(({ stdout }) => stdout)).toEqual(outcomes.map((_, n) => `in ${n}`));
  });

  test.for([
    ['nosuchprogram', 'executable file not found in $PATH'],
    ['/bin/nosuch', 'no such file or directory'],
    ['/etc/passwd', 'permission denied'],
  ] as const)('%s cannot be executed: 255 and one sentence', async ([program, said]) => {
    await using box = await running();
    const outcome = await box.exec([program]);
    expect(outcome.status).toBe(255);
    expect(outcome.stderr).toContain(said);
    expect(await box.state()).toMatchObject({ status: 'running' });
  });

  test('options of the command are its own', async () => {
    await using box = await running();
    expect((await box.exec(['echo', '-n', '--tty', '-d'])).stdout).toBe('--tty -d');
  });

  test('in a paused container with --ignore-paused: it runs once that is resumed', async () => {
    await using box = await running();
    await box.verb('pause');
    const started = startVerb(['exec', '--ignore-paused', box.id, 'echo', 'later']);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(started.stdout).toBe('');
    await box.verb('resume');
    expect(await started.exited, started.stderr).toBe(0);
    await started.closed;
    expect(started.stdout).toBe('later\n');
  });
});
