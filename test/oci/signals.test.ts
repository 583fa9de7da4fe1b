/** kill, and signals to the host-visible pid: forwarded to the container's init, numbers and names, --all, what init ignores. */
import { describe, expect, test } from 'vitest';
import { newContainer } from './harness/container.ts';
import { isAlive } from './harness/processes.ts';

/** Says which signals come, and goes on. */
const LISTENER = 'for s in HUP INT USR1 USR2 TERM; do trap "echo $s" $s; done; echo ready; while :; do sleep 0.05; done';

describe('kill', () => {
  test.for([
    ['TERM', 'TERM'],
    ['SIGUSR1', 'USR1'],
    ['12', 'USR2'],
    ['hup', 'HUP'],
  ] as const)('%s', async ([given, seen]) => {
    await using box = await newContainer({ shell: LISTENER });
    await box.createAndStart();
    await expect.poll(() => box.streams.stdout).toBe('ready\n');
    expect(await box.kill(given)).toMatchObject({ status: 0, stdout: '', stderr: '' });
    await expect.poll(() => box.streams.stdout).toBe(`ready\n${seen}\n`);
  });

  test('SIGTERM when no signal is named', async () => {
    await using box = await newContainer({ shell: LISTENER });
    await box.createAndStart();
    await expect.poll(() => box.streams.stdout).toBe('ready\n');
    expect(await box.verb('kill')).toMatchObject({ status: 0 });
    await expect.poll(() => box.streams.stdout).toBe('ready\nTERM\n');
  });

  test('pid 1 does not get a signal that it does not handle, except KILL', async () => {
    await using box = await newContainer();
    await box.createAndStart();
    for (const signal of ['TERM', 'INT', 'USR1']) expect(await box.kill(signal)).toMatchObject({ status: 0 });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await box.state()).toMatchObject({ status: 'running' });
    await box.kill('KILL');
    await box.until('stopped');
  });

  test('a created container ends by KILL', async () => {
    await using box = await newContainer();
    await box.create();
    expect(await box.kill('KILL')).toMatchObject({ status: 0 });
    await box.until('stopped');
  });

  test('--all reaches every process', async () => {
    await using box = await newContainer({ shell: 'sleep 300 & setsid sleep 300 & trap "" TERM; wait; wait; echo both ended' });
    await box.createAndStart();
    await expect.poll(async () => (await box.exec(['ps', '-o', 'args'])).stdout).toMatch(/sleep 300[^]*sleep 300/);
    expect(await box.kill('TERM', ['--all'])).toMatchObject({ status: 0 });
    await expect.poll(() => box.streams.stdout).toContain('both ended');
  });

  test('stop and continue', async () => {
    await using box = await newContainer({ shell: 'sh -c "while :; do echo tick; sleep 0.05; done" & echo $!; wait' });
    await box.createAndStart();
    await expect.poll(() => box.streams.stdout).toContain('tick');
    await box.exec(['sh', '-c', 'kill -STOP $(pidof -s sh)'], []);
    expect(await box.kill('CONT', ['--all'])).toMatchObject({ status: 0 });
    const before = box.streams.stdout.length;
    await expect.poll(() => box.streams.stdout.length).toBeGreaterThan(before);
  });
});

describe('the host-visible pid', () => {
  test('a signal to it is a signal to the process inside', async () => {
    await using box = await newContainer({ shell: LISTENER });
    await box.createAndStart();
    await expect.poll(() => box.streams.stdout).toBe('ready\n');
    const { pid } = (await box.state())!;
    for (const signal of ['SIGUSR1', 'SIGTERM', 'SIGHUP'] as const) {
      process.kill(pid, signal);
      await expect.poll(() => box.streams.stdout).toContain(`${signal.slice(3)}\n`);
    }
    expect(isAlive(pid)).toBe(true);
  });

  test('signals to a foreground run are forwarded, and its status is the container’s', async () => {
    await using box = await newContainer({ shell: 'trap "echo bye; exit 9" TERM; echo ready; while :; do sleep 0.05; done' });
    const run = box.startRun();
    await expect.poll(() => run.stdout).toBe('ready\n');
    run.child.kill('SIGTERM');
    expect(await run.exited).toBe(9);
    await run.closed;
    expect(run.stdout).toBe('ready\nbye\n');
  });

  test('it ends when the container ends, and not before', async () => {
    await using box = await newContainer({ shell: 'sleep 0.5' });
    await box.createAndStart();
    const { pid } = (await box.state())!;
    expect(isAlive(pid)).toBe(true);
    await box.until('stopped');
    expect(isAlive(pid)).toBe(false);
  });

  test('SIGKILL to it ends everything of the container', async () => {
    await using box = await newContainer({ shell: 'sleep 300 & echo ready; sleep 300' });
    await box.createAndStart();
    await expect.poll(() => box.streams.stdout).toBe('ready\n');
    process.kill((await box.state())!.pid, 'SIGKILL');
    await box.until('stopped');
    // Nobody holds the output any more.
    await box.output();
  });
});
