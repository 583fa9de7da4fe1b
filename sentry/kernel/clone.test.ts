/** Processes as guests make and end them: what a failing clone leaves behind, who inherits children, when numbers are given out again. */
import { expect, test } from 'vitest';
import { EFAULT, EMFILE } from '#sentry/abi/errno.ts';
import { CLONE_FILES, CLONE_PIDFD, CLONE_SIGHAND, CLONE_THREAD, CLONE_VFORK, CLONE_VM, CloneArgs } from '#sentry/abi/clone.ts';
import { SA_NOCLDWAIT, SIGCHLD, SIGUSR1 } from '#sentry/abi/signal.ts';
import { DATA, KernelWorld } from '../../test/unit/kernel-world.ts';
import type { Task } from './task.ts';

const THREAD = CLONE_VM | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
const PR_SET_PDEATHSIG = 1;
const WILD = 8;

function child(world: KernelWorld, tid: number | string): Task {
  return world.container.pids.tasks.get(Number(tid))!;
}

test('a clone that cannot tell its pidfd makes no child', () => {
  const world = new KernelWorld();
  const task = world.process();
  expect(world.call(task, 'clone', CLONE_PIDFD | SIGCHLD, 0, WILD, 0, 0)).toBe(-EFAULT);
  task.files.limit = 0;
  expect(world.call(task, 'clone', CLONE_PIDFD | SIGCHLD, 0, DATA, 0, 0)).toBe(-EMFILE);
  expect(world.container.pids.tasks.size).toBe(1);
  expect(task.group.children.size).toBe(0);
  expect(task.files.openCount).toBe(0);
});

test('a pidfd has the number that was stored', () => {
  const world = new KernelWorld();
  const task = world.process();
  expect(world.call(task, 'clone', CLONE_PIDFD | SIGCHLD, 0, DATA, 0, 0)).toBe(2);
  expect(task.files.get(world.peek(task, DATA, 4).getInt32(0, true))).toBeDefined();
  expect(child(world, 2).files.openCount).toBe(0);
});

test('clone3 with CLONE_VFORK returns its child although the arguments changed meanwhile', () => {
  const world = new KernelWorld();
  const task = world.process();
  world.poke(
    task,
    DATA,
    Array.from({ length: CloneArgs.size / 4 }, () => 0),
  );
  world.poke(task, DATA, [CLONE_VM | CLONE_VFORK]);
  expect(world.call(task, 'clone3', DATA, CloneArgs.size)).toBe('blocked');
  world.poke(task, DATA, [0xffff_ffff, 0xffff_ffff]);
  world.call(child(world, 2), 'exit_group', 0);
  expect(world.outcome(task)).toBe(2);
});

test('a signal for the death of the parent comes to threads too, and whoever the parent was stays no longer', () => {
  const world = new KernelWorld();
  const init = world.process();
  const parent = world.process(init);
  const leader = child(world, world.call(parent, 'clone', SIGCHLD, 0, 0, 0, 0));
  const thread = child(world, world.call(leader, 'clone', THREAD, 0, 0, 0, 0));
  expect(thread.parentTask).toBe(parent);
  expect(world.call(thread, 'prctl', PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0)).toBe(0);
  world.call(parent, 'exit_group', 0);
  expect(leader.parentTask ?? init).toBe(init);
  expect(world.outcome(thread)).toBe('exited');
});

test('the number of a process is not given out while its process group lives', () => {
  const world = new KernelWorld();
  const init = world.process();
  const leader = child(world, world.call(init, 'fork'));
  const { pid } = leader.group;
  expect(world.call(leader, 'setsid')).toBe(pid);
  const member = child(world, world.call(leader, 'fork'));
  world.call(leader, 'exit_group', 0);
  expect(world.call(init, 'wait4', pid, 0, 0, 0)).toBe(pid);
  const inUse = (): boolean => (world.container.pids as unknown as { ids: { used: Set<number> } }).ids.used.has(pid);
  expect(inUse()).toBe(true);
  world.call(member, 'exit_group', 0);
  expect(world.call(init, 'wait4', member.tid, 0, 0, 0)).toBe(member.tid);
  expect(inUse()).toBe(false);
});

test('a child that is not waited for leaves its times to nobody', () => {
  const world = new KernelWorld();
  const parent = world.process();
  parent.group.handlers.own().flags[SIGCHLD] = SA_NOCLDWAIT;
  const other = child(world, world.call(parent, 'fork'));
  other.group.systemTimeNs = 5e9;
  world.call(other, 'exit_group', 0);
  expect(parent.group.children.size).toBe(0);
  expect(parent.group.childrenSystemTimeNs).toBe(0);
});
