/** Containers on the fake platform: namespaces beside each other, processes from outside, the end of an init, limits and accounts. */
import { describe, expect, test } from 'vitest';
import { CLONE_SIGHAND, CLONE_THREAD, CLONE_VM } from '#sentry/abi/clone.ts';
import { EAGAIN, ECHILD, ESRCH } from '#sentry/abi/errno.ts';
import { MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '#sentry/abi/mman.ts';
import { AF_UNIX, SO_PEERCRED, SOCK_STREAM, SOL_SOCKET } from '#sentry/abi/socket.ts';
import * as s from '#sentry/abi/signal.ts';
import type { FsContext } from '#sentry/vfs/fs-context.ts';
import { ALL_CAPABILITIES, initialCredentials } from '#sentry/vfs/credentials.ts';
import { DATA, KernelWorld } from '../../test/unit/kernel-world.ts';
import { createProcess } from './boot.ts';
import type { ProcessOptions } from './boot.ts';
import { killContainer } from './container-signals.ts';
import type { Container } from './container.ts';
import type { Task } from './task.ts';

const place = { mount: { acquire() {}, release() {} }, dentry: { acquire() {}, release() {} } } as unknown as FsContext['root'];

/** A process started from outside, running. */
function start(world: KernelWorld, container: Container, options: Partial<ProcessOptions> = {}): Task {
  const task = createProcess(world.kernel, container, {
    credentials: initialCredentials(0, 0, [], ALL_CAPABILITIES),
    namespace: {} as ProcessOptions['namespace'],
    root: place,
    umask: 0o022,
    ...options,
  });
  if (typeof task === 'number') throw new Error(`no process: ${task}`);
  world.kernel.start(task);
  return task;
}

function fork(world: KernelWorld, parent: Task): Task {
  const tid = world.call(parent, 'fork');
  return parent.pids.tasks.get(Number(tid))!;
}

describe('numbers', () => {
  test('mean different processes in different containers', () => {
    const world = new KernelWorld();
    const one = start(world, world.container);
    const other = start(world, world.kernel.addContainer('other', { hostname: 'other' }));
    expect([one.tid, other.tid]).toEqual([1, 1]);
    const child = fork(world, one);
    expect(child.tid).toBe(2);
    expect(world.call(other, 'kill', 2, s.SIGKILL)).toBe(-ESRCH);
    expect(world.call(one, 'kill', 2, s.SIGKILL)).toBe(0);
    expect(world.outcome(child)).toBe('exited');
    expect(world.call(other, 'setpgid', 2, 0)).toBe(-ESRCH);
    expect(world.call(other, 'getpgid', 1)).toBe(1);
  });

  test('on a socket are shown to their own container only', () => {
    const world = new KernelWorld();
    const one = start(world, world.container);
    const other = start(world, world.kernel.addContainer('other', { hostname: 'other' }));
    const second = start(world, other.container);
    const memory = [PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0];
    for (const task of [one, other, second]) {
      expect(world.call(task, 'mmap', DATA, 4096, ...memory)).toBe(DATA);
      world.poke(task, DATA, [AF_UNIX, 0x6161, 8]); // an abstract name
    }
    const listener = Number(world.call(other, 'socket', AF_UNIX, SOCK_STREAM, 0));
    expect(world.call(other, 'bind', listener, DATA, 8)).toBe(0);
    expect(world.call(other, 'listen', listener, 8)).toBe(0);
    const peerOf = (task: Task): number => {
      const fd = Number(world.call(task, 'socket', AF_UNIX, SOCK_STREAM, 0));
      expect(world.call(task, 'connect', fd, DATA, 8)).toBe(0);
      const end = Number(world.call(other, 'accept', listener, 0, 0));
      expect(world.call(other, 'getsockopt', end, SOL_SOCKET, SO_PEERCRED, DATA + 16, DATA + 8)).toBe(0);
      return world.peek(other, DATA + 16, 4).getInt32(0, true);
    };
    expect(peerOf(one)).toBe(0);
    expect(peerOf(second)).toBe(second.tid);
  });

  test('kill(-1) and process groups stay within the container', () => {
    const world = new KernelWorld();
    const one = start(world, world.container);
    const other = start(world, world.kernel.addContainer('other', { hostname: 'other' }));
    const child = fork(world, other);
    const bystander = fork(world, one);
    expect(world.call(child, 'kill', -1, s.SIGKILL)).toBe(-ESRCH);
    expect(world.call(other, 'kill', -1, s.SIGKILL)).toBe(0);
    expect(world.outcome(child)).toBe('exited');
    expect(world.outcome(bystander)).not.toBe('exited');
  });
});

describe('a process from outside', () => {
  test('has no parent and a session of its own, and is gone when it ends', () => {
    const world = new KernelWorld();
    const init = start(world, world.container);
    const ends: number[] = [];
    const task = start(world, world.container, { outside: { exited: (status) => ends.push(status) } });
    expect(task.tid).toBe(2);
    expect(world.call(task, 'getppid')).toBe(0);
    expect(world.call(task, 'getsid', 0)).toBe(2);
    const orphan = fork(world, task);
    world.call(task, 'exit_group', 7);
    expect(ends).toEqual([7 << 8]);
    expect(world.container.pids.groups.has(2)).toBe(false);
    expect(world.call(orphan, 'getppid')).toBe(1);
    expect(world.container.exitStatus).toBe(null);
    expect(world.call(init, 'wait4', 2, 0, 0, 0)).toBe(-ECHILD);
  });

  test('is refused by a container that has ended', () => {
    const world = new KernelWorld();
    const { container } = world;
    world.call(start(world, container), 'exit_group', 0);
    expect(() => start(world, container)).toThrow(`${-ESRCH}`);
  });
});

describe('the end of init', () => {
  test('is the end of everything else, told once', () => {
    const world = new KernelWorld();
    const container = world.kernel.addContainer('pod', { hostname: 'pod' });
    const bystander = start(world, world.container);
    const events: string[] = [];
    container.onEnd = (status) => events.push(`end ${status}, ${container.taskCount} left`);
    const init = start(world, container);
    start(world, container, { outside: { exited: (status) => events.push(`exited ${status}`) } });
    const child = fork(world, init);
    const grandchild = fork(world, child);
    const zombie = fork(world, grandchild);
    world.call(zombie, 'exit_group', 0);
    world.call(init, 'exit_group', 3);
    expect(events).toEqual([`exited ${s.SIGKILL}`, `end ${3 << 8}, 0 left`]);
    for (const task of [child, grandchild]) expect(task.hasExited).toBe(true);
    expect(container.exitStatus).toBe(3 << 8);
    expect(container.pids.tasks.size + container.pids.groups.size + container.pids.sessions.size).toBe(0);
    expect(world.kernel.containers.has('pod')).toBe(false);
    expect(world.kernel.exitStatus).toBe(null);
    expect(bystander.hasExited).toBe(false);
    expect(world.kernel.taskCount).toBe(1);
  });

  test('of a PID namespace that others share is their end, but not the other way round', () => {
    const world = new KernelWorld();
    const owner = world.kernel.addContainer('owner', { hostname: 'pod' });
    const pause = start(world, owner);
    const member = (id: string): Task => start(world, world.kernel.addContainer(id, { hostname: id, pids: owner.pids }));
    const one = member('one');
    const two = member('two');
    const child = fork(world, one);
    expect([pause.tid, one.tid, two.tid, child.tid]).toEqual([1, 2, 3, 4]);
    expect(world.call(two, 'kill', one.tid, s.SIGTERM)).toBe(0);
    expect([one.container.exitStatus, child.hasExited, two.hasExited, pause.hasExited]).toEqual([s.SIGTERM, true, false, false]);
    killContainer(owner, s.SIGKILL, 'init');
    expect([owner.exitStatus, two.container.exitStatus]).toEqual([s.SIGKILL, s.SIGKILL]);
    expect(owner.pids.tasks.size + world.kernel.taskCount).toBe(0);
  });

  test('of the first container ends the kernel', () => {
    const world = new KernelWorld();
    const init = start(world, world.container);
    const other = start(world, world.kernel.addContainer('other', { hostname: 'other' }));
    world.call(init, 'exit_group', 0);
    expect(world.kernel.run()).toBe(0);
    expect(other.hasExited).toBe(true);
  });
});

describe('signals', () => {
  test('from inside do not reach an init without a handler', () => {
    const world = new KernelWorld();
    const init = start(world, world.container);
    const child = fork(world, init);
    for (const signo of [s.SIGTERM, s.SIGKILL, s.SIGSTOP]) {
      expect(world.call(child, 'kill', 1, signo)).toBe(0);
      expect(world.outcome(init)).not.toBe('exited');
      expect(world.outcome(init)).not.toBe('stopped');
    }
    const second = start(world, world.container);
    world.call(child, 'kill', second.tid, s.SIGTERM);
    expect(second.hasExited).toBe(true);
  });

  test('from outside: SIGKILL and SIGSTOP always, others with a handler only', () => {
    const world = new KernelWorld();
    const init = start(world, world.container);
    expect(killContainer(world.container, s.SIGTERM, 'init')).toBe(0);
    world.step();
    expect(init.hasExited).toBe(false);
    killContainer(world.container, s.SIGSTOP, 'init');
    world.step();
    expect(world.outcome(init)).toBe('stopped');
    killContainer(world.container, s.SIGKILL, 'init');
    expect(world.container.exitStatus).toBe(s.SIGKILL);
    expect(killContainer(world.container, s.SIGKILL, 'init')).toBe(-ESRCH);
  });

  test('to all reach processes from outside, too', () => {
    const world = new KernelWorld();
    const init = start(world, world.container);
    const second = start(world, world.container);
    const child = fork(world, init);
    killContainer(world.container, s.SIGTERM, 'all');
    world.step();
    expect([init.hasExited, second.hasExited, child.hasExited]).toEqual([false, true, true]);
  });

  test('kill a container that was never started', () => {
    const world = new KernelWorld();
    createProcess(world.kernel, world.container, {
      credentials: initialCredentials(0, 0, [], ALL_CAPABILITIES),
      namespace: {} as ProcessOptions['namespace'],
      root: place,
      umask: 0,
    });
    killContainer(world.container, s.SIGKILL, 'init');
    expect(world.kernel.run()).toBe(s.SIGKILL);
  });
});

describe('limits and accounts', () => {
  test('count threads, and the limit is EAGAIN', () => {
    const world = new KernelWorld();
    const { container } = world;
    container.pidsMax = 3;
    const init = start(world, container);
    const child = fork(world, init);
    expect(world.call(init, 'clone', CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, DATA + 0x1000, 0, 0, 0)).toBe(3);
    expect(container.usage().tasks).toBe(3);
    expect(world.call(init, 'fork')).toBe(-EAGAIN);
    expect(() => start(world, container)).toThrow(`${-EAGAIN}`);
    world.call(child, 'exit_group', 0);
    expect(world.call(init, 'fork')).toBe(-EAGAIN); // the zombie counts
    world.call(init, 'wait4', 2, 0, 0, 0);
    expect(world.call(init, 'fork')).toBeGreaterThan(0);
  });

  test('of memory are those of the container and of the whole', () => {
    const world = new KernelWorld();
    const container = world.kernel.addContainer('small', { hostname: 'small', memoryLimit: 1 << 20 });
    const { memoryBudget } = container;
    expect(memoryBudget.fits(1 << 20)).toBe(true);
    expect(memoryBudget.fits((1 << 20) + 1)).toBe(false);
    memoryBudget.charge(4096);
    expect(container.usage().memoryBytes).toBe(4096);
    expect(world.kernel.memoryUsed).toBe(4096);
  });
});
