/** Resources: limits of memory and processes as clients set and see them, their change by update, figures of events, pause. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { newContainer, type Setup } from './harness/container.ts';
import { ours, startVerb } from './harness/runtime.ts';

const MB = 1 << 20;

/** A cgroup of its own for a container, so that what the host shows of it can be found. */
function inCgroup(path: string, resources: Record<string, unknown>): NonNullable<Setup['edit']> {
  return (spec) => {
    spec.linux.cgroupsPath = path;
    spec.linux.resources = { ...spec.linux.resources, ...resources };
  };
}

let count = 0;
const cgroupPath = () => `/tsvisor-test-${process.pid}-${count++}`;

/** The directory of a cgroup in the hierarchy of a controller; empty where the host does not have it. */
function hostDirectory(controller: string, path: string): string {
  const candidates = [`/sys/fs/cgroup/${controller}${path}`, `/sys/fs/cgroup/unified${path}`, `/sys/fs/cgroup${path}`];
  return candidates.find((directory) => existsSync(directory)) ?? '';
}

describe('memory', () => {
  test('a program that takes more than the limit is killed: 137, and the rest is cleaned up', async () => {
    const path = cgroupPath();
    await using box = await newContainer({
      shell: 'exec tail -c 2000000000 /dev/zero',
      edit: inCgroup(path, { memory: { limit: 64 * MB } }),
    });
    expect(await box.run([], { timeoutMs: 50_000 })).toMatchObject({ status: 137, timedOut: false });
    expect(hostDirectory('memory', path)).toBe('');
  });

  test('only the one that takes too much: its parent sees SIGKILL', async () => {
    await using box = await newContainer({
      shell: 'sh -c "exec tail -c 2000000000 /dev/zero"; echo status $?',
      edit: inCgroup(cgroupPath(), { memory: { limit: 64 * MB } }),
    });
    expect(await box.run([], { timeoutMs: 50_000 })).toMatchObject({ stdout: 'status 137\n' });
  });

  test('what fits is let through', async () => {
    await using box = await newContainer({
      shell: 'head -c 20000000 /dev/zero | tail -c 20000000 | wc -c',
      edit: inCgroup(cgroupPath(), { memory: { limit: 96 * MB } }),
    });
    expect((await box.run()).stdout.trim()).toBe('20000000');
  });

  test('the host accounts for the container in the cgroup that the file names, and it is gone after delete', async (context) => {
    const path = cgroupPath();
    await using box = await newContainer({ edit: inCgroup(path, { memory: { limit: 64 * MB } }) });
    await box.createAndStart();
    const directory = hostDirectory('memory', path);
    if (directory === '' && process.getuid?.() !== 0) context.skip('cgroups need root here');
    const pids = readFileSync(join(directory, 'cgroup.procs'), 'utf8').trim().split('\n').map(Number);
    expect(pids).toContain((await box.state())!.pid);
    await box.delete(['--force']);
    expect(hostDirectory('memory', path)).toBe('');
  });
});

describe('processes', () => {
  test('pids.limit: fork fails, the container goes on', async () => {
    await using box = await newContainer({
      shell: 'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 3 & done; echo over',
      edit: inCgroup(cgroupPath(), { pids: { limit: 8 } }),
    });
    const outcome = await box.run();
    expect(outcome.stderr).toMatch(/can't fork|Resource temporarily unavailable/);
  });

  test('as many as the limit allows', async () => {
    await using box = await newContainer({
      shell: 'for i in 1 2 3 4 5 6 7; do sleep 1 & done; wait; echo all',
      edit: inCgroup(cgroupPath(), { pids: { limit: 8 } }),
    });
    expect(await box.run()).toMatchObject({ stdout: 'all\n', status: 0 });
  });
});

describe('update', () => {
  test('--pids-limit', async () => {
    await using box = await newContainer({ edit: inCgroup(cgroupPath(), { pids: { limit: 100 } }) });
    await box.createAndStart();
    expect(await box.verb('update', ['--pids-limit', '4'])).toMatchObject({ status: 0 });
    const outcome = await box.exec(['sh', '-c', 'for i in 1 2 3 4 5 6; do sleep 1 & done; wait']);
    expect(outcome.stderr).toMatch(/can't fork|Resource temporarily unavailable/);
  });

  test('--resources -, and the limits of the host follow', async () => {
    const path = cgroupPath();
    await using box = await newContainer({ edit: inCgroup(path, { memory: { limit: 64 * MB } }) });
    await box.createAndStart();
    const limit = () => {
      const directory = hostDirectory('memory', path);
      const file = ['memory.limit_in_bytes', 'memory.max'].find((name) => existsSync(join(directory, name)));
      return file === undefined ? Number.NaN : Number(readFileSync(join(directory, file), 'utf8'));
    };
    const before = limit();
    const outcome = await box.verb('update', ['--resources', '-'], { stdin: JSON.stringify({ memory: { limit: 128 * MB } }) });
    expect(outcome, outcome.stderr).toMatchObject({ status: 0 });
    // Ours adds what the sandbox itself needs to both.
    expect(limit() - before).toBe(64 * MB);
    expect(before).toBeGreaterThanOrEqual(64 * MB);
  });

  test('a file that is no JSON', async () => {
    await using box = await newContainer();
    await box.createAndStart();
    const outcome = await box.verb('update', ['--resources', '-'], { stdin: '{' });
    expect(outcome.status).toBe(1);
    expect(outcome.stderr).not.toBe('');
  });
});

interface Event {
  type: string;
  id: string;
  data: {
    memory: { usage: { usage: number; limit?: number } };
    pids: { current: number; limit?: number };
    cpu: { usage: { total: number } };
  };
}

describe('events', () => {
  test('--stats: one line of JSON with figures of memory, CPU and processes', async () => {
    await using box = await newContainer({
      shell: 'sleep 300 & sleep 300; true',
      edit: inCgroup(cgroupPath(), { memory: { limit: 64 * MB }, pids: { limit: 50 } }),
    });
    await box.createAndStart();
    await expect.poll(async () => (await box.exec(['ps', '-o', 'args'])).stdout).toMatch(/sleep 300[^]*sleep 300/);
    const outcome = await box.verb('events', ['--stats']);
    const event = JSON.parse(outcome.stdout) as Event;
    expect(event).toMatchObject({ type: 'stats', id: box.id });
    expect(event.data.pids).toMatchObject({ current: 3, limit: 50 });
    expect(event.data.memory.usage.usage).toBeGreaterThan(0);
    expect(event.data.memory.usage.limit).toBe(64 * MB);
    expect(event.data.cpu.usage.total).toBeGreaterThan(0);
  });

  test('CPU time grows with use', async () => {
    await using box = await newContainer({ shell: 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; sleep 300' });
    await box.createAndStart();
    const total = async () => (JSON.parse((await box.verb('events', ['--stats'])).stdout) as Event).data.cpu.usage.total;
    const first = await total();
    await expect.poll(total, { timeout: 5000 }).toBeGreaterThan(first + 50e6);
  });

  test('a line every interval until the container ends', async () => {
    await using box = await newContainer();
    await box.createAndStart();
    const events = startVerb(['events', '--interval', '100ms', box.id]);
    await expect.poll(() => events.stdout.split('\n').length, { timeout: 5000 }).toBeGreaterThan(3);
    await box.kill('KILL');
    const left = Promise.race([events.exited, new Promise((resolve) => setTimeout(resolve, 5000, 'still there'))]);
    // runc 1.1 stays where the host has both versions of cgroups.
    expect(await left).toBe(ours ? 0 : 'still there');
    events.child.kill('SIGKILL');
  });
});

describe('pause and resume', () => {
  test('nothing runs in between', async () => {
    await using box = await newContainer({ shell: 'while :; do echo tick; sleep 0.01; done' });
    await box.createAndStart();
    await expect.poll(() => box.streams.stdout).toContain('tick');
    expect(await box.verb('pause')).toMatchObject({ status: 0 });
    await new Promise((resolve) => setTimeout(resolve, 100));
    const paused = box.streams.stdout.length;
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(box.streams.stdout.length).toBe(paused);
    expect(await box.verb('resume')).toMatchObject({ status: 0 });
    await expect.poll(() => box.streams.stdout.length).toBeGreaterThan(paused);
  });

  test('a busy loop too', async () => {
    await using box = await newContainer({ shell: 'while :; do :; done' });
    await box.createAndStart();
    await box.verb('pause');
    const total = async () => (JSON.parse((await box.verb('events', ['--stats'])).stdout) as Event).data.cpu.usage.total;
    const before = await total();
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect((await total()) - before).toBeLessThan(100e6);
  });

  test('signals wait until it goes on', async () => {
    await using box = await newContainer({ shell: 'trap "echo caught; exit 4" USR1; echo ready; while :; do sleep 0.02; done' });
    await box.createAndStart();
    await expect.poll(() => box.streams.stdout).toBe('ready\n');
    await box.verb('pause');
    await box.kill('USR1');
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(box.streams.stdout).toBe('ready\n');
    await box.verb('resume');
    expect(await box.output()).toBe('ready\ncaught\n');
  });
});
