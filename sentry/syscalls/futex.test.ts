/** futex(2) and robust lists. */
import { describe, expect, test } from 'vitest';
import { EAGAIN, EDEADLK, EFAULT, EINVAL, EPERM, ETIMEDOUT } from '#sentry/abi/errno.ts';
import * as f from '#sentry/abi/futex.ts';
import { exitTask } from '#sentry/kernel/exit.ts';
import type { Task } from '#sentry/kernel/task.ts';
import { DATA, KernelWorld } from '../../test/unit/kernel-world.ts';

const WORD = DATA + 0x100;
const OTHER = DATA + 0x200;
const TIME = DATA + 0x300;
const PRIVATE = f.FUTEX_PRIVATE_FLAG;

function threads(world: KernelWorld, count: number): Task[] {
  const first = world.process();
  return [first, ...Array.from({ length: count - 1 }, () => world.thread(first))];
}

describe('wait and wake', () => {
  test('waiters are woken in order, and only as many as asked for', () => {
    const world = new KernelWorld();
    const [waker, a, b, c] = threads(world, 4) as [Task, Task, Task, Task];
    for (const task of [a, b, c]) expect(world.call(task, 'futex', WORD, f.FUTEX_WAIT | PRIVATE, 0, 0)).toBe('blocked');
    expect(world.call(waker, 'futex', WORD, f.FUTEX_WAKE | PRIVATE, 2)).toBe(2);
    expect([a, b, c].map((task) => world.outcome(task))).toEqual([0, 0, 'blocked']);
    expect(world.call(waker, 'futex', WORD, f.FUTEX_WAKE, 9)).toBe(1);
    expect(world.call(waker, 'futex', WORD, f.FUTEX_WAKE, 9)).toBe(0);
  });

  test('errors', () => {
    const world = new KernelWorld();
    const task = world.process();
    expect(world.call(task, 'futex', WORD, f.FUTEX_WAIT, 1, 0)).toBe(-EAGAIN);
    expect(world.call(task, 'futex', WORD + 1, f.FUTEX_WAIT, 0, 0)).toBe(-EINVAL);
    expect(world.call(task, 'futex', 0x10, f.FUTEX_WAIT, 0, 0)).toBe(-EFAULT);
    expect(world.call(task, 'futex', WORD, f.FUTEX_WAIT_BITSET, 0, 0, 0, 0)).toBe(-EINVAL);
  });

  test('relative and absolute timeouts', () => {
    const world = new KernelWorld();
    const task = world.process();
    world.poke(task, TIME, [0, 0, 1000, 0]);
    expect(world.call(task, 'futex', WORD, f.FUTEX_WAIT, 0, TIME)).toBe('blocked');
    world.advance(2000);
    expect(world.outcome(task)).toBe(-ETIMEDOUT);
    const later = world.host.nowNs / 1e9 + 1;
    world.poke(task, TIME, [Math.floor(later), 0, Math.floor((later % 1) * 1e9), 0]);
    expect(world.call(task, 'futex', WORD, f.FUTEX_WAIT_BITSET, 0, TIME, 0, -1)).toBe('blocked');
    world.advance(2e9);
    expect(world.outcome(task)).toBe(-ETIMEDOUT);
    expect(world.call(task, 'futex', WORD, f.FUTEX_WAIT_BITSET, 0, TIME, 0, -1)).toBe(-ETIMEDOUT);
  });

  test('bitsets select', () => {
    const world = new KernelWorld();
    const [waker, a, b] = threads(world, 3) as [Task, Task, Task];
    world.call(a, 'futex', WORD, f.FUTEX_WAIT_BITSET, 0, 0, 0, 1);
    world.call(b, 'futex', WORD, f.FUTEX_WAIT_BITSET, 0, 0, 0, 2);
    expect(world.call(waker, 'futex', WORD, f.FUTEX_WAKE_BITSET, 9, 0, 0, 2)).toBe(1);
    expect([world.outcome(a), world.outcome(b)]).toEqual(['blocked', 0]);
  });

  test('private futexes of two processes at one address are two', () => {
    const world = new KernelWorld();
    const [one, two] = [world.process(), world.process()];
    world.call(one, 'futex', WORD, f.FUTEX_WAIT, 0, 0);
    expect(world.call(two, 'futex', WORD, f.FUTEX_WAKE, 9)).toBe(0);
  });

  test('requeue moves what it does not wake', () => {
    const world = new KernelWorld();
    const [waker, a, b, c] = threads(world, 4) as [Task, Task, Task, Task];
    for (const task of [a, b, c]) world.call(task, 'futex', WORD, f.FUTEX_WAIT, 0, 0);
    expect(world.call(waker, 'futex', WORD, f.FUTEX_CMP_REQUEUE, 1, 1, OTHER, 7)).toBe(-EAGAIN);
    expect(world.call(waker, 'futex', WORD, f.FUTEX_CMP_REQUEUE, 1, 1, OTHER, 0)).toBe(2);
    expect([a, b, c].map((task) => world.outcome(task))).toEqual([0, 'blocked', 'blocked']);
    expect(world.call(waker, 'futex', OTHER, f.FUTEX_WAKE, 9)).toBe(1);
    expect(world.outcome(b)).toBe(0);
  });

  test('wake-op changes the second word and compares its old value', () => {
    const world = new KernelWorld();
    const [waker, a, b] = threads(world, 3) as [Task, Task, Task];
    world.call(a, 'futex', WORD, f.FUTEX_WAIT, 0, 0);
    world.call(b, 'futex', OTHER, f.FUTEX_WAIT, 0, 0);
    const encoded = (f.FUTEX_OP_ADD << 28) | (f.FUTEX_OP_CMP_EQ << 24) | (5 << 12) | 0;
    expect(world.call(waker, 'futex', WORD, f.FUTEX_WAKE_OP, 1, 1, OTHER, encoded)).toBe(2);
    expect(world.peek(waker, OTHER, 4).getUint32(0, true)).toBe(5);
  });

  test('waitv tells which one', () => {
    const world = new KernelWorld();
    const [waker, a] = threads(world, 2) as [Task, Task];
    world.poke(waker, TIME, [
      0,
      0,
      WORD,
      0,
      f.FUTEX2_SIZE_U32 | f.FUTEX2_PRIVATE,
      0,
      0,
      0,
      OTHER,
      0,
      f.FUTEX2_SIZE_U32 | f.FUTEX2_PRIVATE,
      0,
    ]);
    expect(world.call(a, 'futex_waitv', TIME, 2, 0, 0, 1)).toBe('blocked');
    world.call(waker, 'futex', OTHER, f.FUTEX_WAKE | PRIVATE, 1);
    expect(world.outcome(a)).toBe(1);
    expect(world.call(waker, 'futex', WORD, f.FUTEX_WAKE | PRIVATE, 1)).toBe(0);
  });
});

describe('locks', () => {
  test('PI: handed from owner to waiter', () => {
    const world = new KernelWorld();
    const [a, b] = threads(world, 2) as [Task, Task];
    expect(world.call(a, 'futex', WORD, f.FUTEX_LOCK_PI, 0, 0)).toBe(0);
    expect(world.call(a, 'futex', WORD, f.FUTEX_LOCK_PI, 0, 0)).toBe(-EDEADLK);
    expect(world.call(b, 'futex', WORD, f.FUTEX_TRYLOCK_PI, 0, 0)).toBe(-EAGAIN);
    expect(world.call(b, 'futex', WORD, f.FUTEX_LOCK_PI, 0, 0)).toBe('blocked');
    expect(world.peek(a, WORD, 4).getUint32(0, true)).toBe((a.tid | f.FUTEX_WAITERS) >>> 0);
    expect(world.call(a, 'futex', WORD, f.FUTEX_UNLOCK_PI, 0, 0)).toBe(0);
    expect([world.outcome(b), world.peek(a, WORD, 4).getUint32(0, true)]).toEqual([0, b.tid]);
    expect(world.call(a, 'futex', WORD, f.FUTEX_UNLOCK_PI, 0, 0)).toBe(-EPERM);
  });

  test('the end of a thread marks its robust locks and wakes a waiter', () => {
    const world = new KernelWorld();
    const [a, b] = threads(world, 2) as [Task, Task];
    const head = DATA + 0x400;
    const entry = DATA + 0x500;
    world.poke(a, head, [entry, 0, 0x20, 0, 0, 0]);
    world.poke(a, entry, [head, 0]);
    world.poke(a, entry + 0x20, [(b.tid | f.FUTEX_WAITERS) >>> 0]);
    expect(world.call(b, 'set_robust_list', head, 24)).toBe(0);
    expect(world.call(a, 'futex', entry + 0x20, f.FUTEX_WAIT, (b.tid | f.FUTEX_WAITERS) >>> 0, 0)).toBe('blocked');
    exitTask(b, 0);
    world.step();
    expect(world.outcome(a)).toBe(0);
    expect(world.peek(a, entry + 0x20, 4).getUint32(0, true)).toBe((f.FUTEX_WAITERS | f.FUTEX_OWNER_DIED) >>> 0);
  });

  test('a circular robust list ends', () => {
    const world = new KernelWorld();
    const [a, b] = threads(world, 2) as [Task, Task];
    const entry = DATA + 0x500;
    world.poke(a, DATA + 0x400, [entry, 0, 0, 0, 0, 0]);
    world.poke(a, entry, [entry, 0]);
    world.call(b, 'set_robust_list', DATA + 0x400, 24);
    exitTask(b, 0);
    expect(b.hasExited).toBe(true);
    expect(a.hasExited).toBe(false);
  });
});
