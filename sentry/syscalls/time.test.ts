/** Sleeping and timers on a clock the test moves. */
import { expect, test } from 'vitest';
import { EINVAL, EOPNOTSUPP, EPERM } from '#sentry/abi/errno.ts';
import * as s from '#sentry/abi/signal.ts';
import * as t from '#sentry/abi/time.ts';
import type { Task } from '#sentry/kernel/task.ts';
import { DATA, KernelWorld } from '../../test/unit/kernel-world.ts';

const SET = 8;

function blockAll(world: KernelWorld, task: Task): void {
  world.poke(task, DATA, [0xffff_ffff, 0xffff_ffff]);
  world.call(task, 'rt_sigprocmask', s.SIG_SETMASK, DATA, 0, SET);
}

/** Takes a pending signal: [signo, overrun], or null. */
function take(world: KernelWorld, task: Task): [number, number] | null {
  world.poke(task, DATA, [0xffff_ffff, 0xffff_ffff]);
  world.poke(task, DATA + 32, [0, 0, 0, 0]);
  const signo = world.call(task, 'rt_sigtimedwait', DATA, DATA + 64, DATA + 32, SET) as number;
  return signo < 0 ? null : [signo, world.peek(task, DATA + 64 + 20, 4).getInt32(0, true)];
}

test('clocks', () => {
  const world = new KernelWorld();
  const task = world.process();
  expect(world.call(task, 'clock_gettime', t.CLOCK_MONOTONIC, DATA)).toBe(0);
  expect(world.peek(task, DATA, 16).getUint32(0, true)).toBe(1000);
  expect(world.call(task, 'clock_gettime', t.CLOCK_REALTIME, DATA)).toBe(0);
  expect(world.call(task, 'clock_gettime', 99, DATA)).toBe(-EINVAL);
  expect(world.call(task, 'clock_getres', t.CLOCK_MONOTONIC, 0)).toBe(0);
  world.poke(task, DATA, [1, 0, 0, 0]);
  expect(world.call(task, 'clock_settime', t.CLOCK_REALTIME, DATA)).toBe(-EPERM);
});

test('nanosleep and clock_nanosleep', () => {
  const world = new KernelWorld();
  const task = world.process();
  world.poke(task, DATA, [0, 0, 500, 0]);
  expect(world.call(task, 'nanosleep', DATA, 0)).toBe('blocked');
  world.advance(500);
  expect(world.outcome(task)).toBe(0);
  world.poke(task, DATA, [0, 0, 1_000_000_000, 0]);
  expect(world.call(task, 'nanosleep', DATA, 0)).toBe(-EINVAL);
  world.poke(task, DATA, [1001, 0, 0, 0]);
  expect(world.call(task, 'clock_nanosleep', t.CLOCK_MONOTONIC, t.TIMER_ABSTIME, DATA, 0)).toBe('blocked');
  world.advance(1e9);
  expect(world.outcome(task)).toBe(0);
  expect(world.call(task, 'clock_nanosleep', t.CLOCK_MONOTONIC_RAW, 0, DATA, 0)).toBe(-EOPNOTSUPP);
});

test('setitimer repeats when its signal was taken, and alarm replaces it', () => {
  const world = new KernelWorld();
  const task = world.process();
  blockAll(world, task);
  world.poke(task, DATA, [0, 0, 1000, 0, 0, 0, 1000, 0]);
  expect(world.call(task, 'setitimer', t.ITIMER_REAL, DATA, 0)).toBe(0);
  world.advance(1e6);
  expect(take(world, task)).toEqual([s.SIGALRM, 0]);
  expect(take(world, task)).toBeNull();
  world.advance(1e6);
  expect(take(world, task)).toEqual([s.SIGALRM, 0]);
  expect(world.call(task, 'alarm', 10)).toBe(1);
  expect(world.call(task, 'alarm', 0)).toBe(10);
  world.advance(20e9);
  expect(take(world, task)).toBeNull();
});

test('POSIX timers: value, overrun, deletion drops the signal', () => {
  const world = new KernelWorld();
  const task = world.process();
  blockAll(world, task);
  world.poke(task, DATA, [77, 0, s.SIGUSR1, s.SIGEV_SIGNAL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  expect(world.call(task, 'timer_create', t.CLOCK_MONOTONIC, DATA, DATA + 128)).toBe(0);
  const id = world.peek(task, DATA + 128, 4).getInt32(0, true);
  world.poke(task, DATA, [0, 0, 100, 0, 0, 0, 100, 0]);
  expect(world.call(task, 'timer_settime', id, 0, DATA, 0)).toBe(0);
  world.advance(1050);
  expect(take(world, task)).toEqual([s.SIGUSR1, 9]);
  expect(world.peek(task, DATA + 64 + 24, 4).getInt32(0, true)).toBe(77);
  expect(world.call(task, 'timer_getoverrun', id)).toBe(9);
  world.advance(100);
  expect(world.call(task, 'timer_delete', id)).toBe(0);
  expect(take(world, task)).toBeNull();
  expect(world.call(task, 'timer_gettime', id, DATA)).toBe(-EINVAL);
});

test('a timer whose signal is ignored costs no endless loop', () => {
  const world = new KernelWorld();
  const task = world.process();
  world.poke(task, DATA, [0, 0, s.SIGURG, s.SIGEV_SIGNAL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  world.call(task, 'timer_create', t.CLOCK_MONOTONIC, DATA, DATA + 128);
  world.poke(task, DATA, [0, 0, 1, 0, 0, 0, 1, 0]);
  expect(world.call(task, 'timer_settime', 0, 0, DATA, 0)).toBe(0);
  world.advance(10e6);
  expect(world.kernel.timers.nextDeadline).toBeGreaterThan(world.host.nowNs);
});
