/** Pausing a container on the fake platform: what is held, what goes on, what is told when. */
import { expect, test } from 'vitest';
import type { FakeThread } from '#platform/fake/fake-platform.ts';
import { getReg, Reg } from '#sentry/abi/x64/registers.ts';
import * as s from '#sentry/abi/signal.ts';
import { DATA, KernelWorld } from '../../test/unit/kernel-world.ts';
import { killContainer, killFromOutside } from './container-signals.ts';
import { pauseContainer, resumeContainer } from './pause.ts';
import type { Task } from './task.ts';

const SYS_SETPGID = 109;
const SECOND = 1e9;

function isRunning(task: Task): boolean {
  return (task.thread as FakeThread).running;
}

/** Pauses and serves what has stopped; how often it was told. */
function pause(world: KernelWorld, container = world.container): { times: number } {
  const told = { times: 0 };
  pauseContainer(container, () => told.times++);
  world.step();
  return told;
}

test('threads in guest code stop, and are told of when the last one has', () => {
  const world = new KernelWorld();
  const task = world.process();
  const second = world.thread(task);
  const told = { times: 0 };
  pauseContainer(world.container, () => told.times++);
  expect(told.times).toBe(0);
  world.step();
  expect([told.times, isRunning(task), isRunning(second)]).toEqual([1, false, false]);
  resumeContainer(world.container);
  world.step();
  expect([told.times, isRunning(task), isRunning(second)]).toEqual([1, true, true]);
});

test('resumed before they have stopped, they go on', () => {
  const world = new KernelWorld();
  const task = world.process();
  const told = { times: 0 };
  pauseContainer(world.container, () => told.times++);
  resumeContainer(world.container);
  expect(told.times).toBe(1);
  world.step();
  expect(isRunning(task)).toBe(true);
  expect(world.call(task, 'getpid')).toBe(1);
});

test('a call made just before is served afterwards, once', () => {
  const world = new KernelWorld();
  const init = world.process();
  const child = world.process(init);
  (child.thread as FakeThread).syscall(SYS_SETPGID, 0, 0);
  expect(pause(world).times).toBe(1);
  expect(child.group.processGroup.pgid).toBe(init.tid);
  resumeContainer(world.container);
  world.step();
  expect(child.group.processGroup.pgid).toBe(child.tid);
  expect(world.outcome(child)).toBe(0);
});

test('a fault raised just before is taken afterwards', () => {
  const world = new KernelWorld();
  const child = world.process(world.process());
  (child.thread as FakeThread).raiseFault({ signo: s.SIGSEGV, code: 1, address: 8 });
  pause(world);
  expect(child.hasExited).toBe(false);
  resumeContainer(world.container);
  world.step();
  expect(child.group.exitStatus & 0x7f).toBe(s.SIGSEGV);
});

test('a sleep that ends meanwhile is over afterwards', () => {
  const world = new KernelWorld();
  const task = world.process();
  world.poke(task, DATA, [1, 0, 0, 0]);
  expect(world.call(task, 'nanosleep', DATA, 0)).toBe('blocked');
  expect(pause(world).times).toBe(1);
  world.advance(2 * SECOND);
  expect(world.outcome(task)).toBe('blocked');
  resumeContainer(world.container);
  world.step();
  expect(world.outcome(task)).toBe(0);
});

test('a sleep that has not ended goes on', () => {
  const world = new KernelWorld();
  const task = world.process();
  world.poke(task, DATA, [1, 0, 0, 0]);
  world.call(task, 'nanosleep', DATA, 0);
  pause(world);
  resumeContainer(world.container);
  world.step();
  expect(world.outcome(task)).toBe('blocked');
  world.advance(SECOND);
  expect(world.outcome(task)).toBe(0);
});

test('signals queue up', () => {
  const world = new KernelWorld();
  const init = world.process();
  init.group.signals.unkillable = true;
  const child = world.process(init);
  const sleeper = world.process(init);
  expect(world.call(sleeper, 'pause')).toBe('blocked');
  pause(world);
  expect(killContainer(world.container, s.SIGTERM, 'all')).toBe(0);
  world.step();
  expect([init.hasExited, child.hasExited, sleeper.hasExited]).toEqual([false, false, false]);
  resumeContainer(world.container);
  world.step();
  expect([child.hasExited, sleeper.hasExited]).toEqual([true, true]);
});

test('a handler runs afterwards', () => {
  const world = new KernelWorld();
  const task = world.process(world.process());
  world.poke(task, DATA, [0x5000, 0, 0x0400_0000, 0, 0x6000, 0, 0, 0]);
  expect(world.call(task, 'rt_sigaction', s.SIGUSR1, DATA, 0, 8)).toBe(0);
  expect(world.call(task, 'pause')).toBe('blocked');
  pause(world);
  killFromOutside(task.group, s.SIGUSR1);
  world.step();
  expect(world.outcome(task)).toBe('blocked');
  resumeContainer(world.container);
  world.step();
  expect(isRunning(task)).toBe(true);
  expect(getReg(task.thread.registers(), Reg.rip)).toBe(0x5000);
});

test('job control goes on in what is frozen', () => {
  const world = new KernelWorld();
  const child = world.process(world.process());
  killContainer(world.container, s.SIGSTOP, 'all');
  world.step();
  expect(world.outcome(child)).toBe('stopped');
  pause(world);
  killContainer(world.container, s.SIGCONT, 'all');
  world.step();
  expect(isRunning(child)).toBe(false);
  resumeContainer(world.container);
  world.step();
  expect(isRunning(child)).toBe(true);
});

test('a process started meanwhile waits', () => {
  const world = new KernelWorld();
  world.process();
  pause(world);
  const task = world.process();
  world.step();
  expect(isRunning(task)).toBe(false);
  resumeContainer(world.container);
  world.step();
  expect(isRunning(task)).toBe(true);
});

test('SIGKILL needs no help of the threads', () => {
  const world = new KernelWorld();
  world.process();
  const told = { times: 0 };
  pauseContainer(world.container, () => told.times++);
  killContainer(world.container, s.SIGKILL, 'init');
  expect([told.times, world.container.exitStatus]).toEqual([1, s.SIGKILL]);
  expect(world.kernel.run()).toBe(s.SIGKILL);
});

test('other containers go on', () => {
  const world = new KernelWorld();
  const task = world.process();
  const other = world.process(null, 0, world.kernel.addContainer('other', { hostname: 'other' }));
  pause(world);
  expect([isRunning(task), isRunning(other)]).toEqual([false, true]);
  expect(world.call(other, 'getpid')).toBe(1);
});
