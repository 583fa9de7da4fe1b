/**
 * The operations of futex(2) but those with priority inheritance (pi.ts): wait, wake, requeue, wake-op.
 *
 *     wait   the word is compared and the waiter queued in one go: no other guest call can come between, and a waker changes the word
 *            before it calls us. Then BLOCKED; the handler runs again when woken, at the deadline, or for a signal.
 *     wake   takes waiters out of the table and makes their tasks runnable.
 *
 * Specification: futex(2), Linux kernel/futex/.
 */
import { EAGAIN, EFAULT, EINVAL, ENOSYS, ETIMEDOUT } from '#sentry/abi/errno.ts';
import * as f from '#sentry/abi/futex.ts';
import type { Task } from '../task.ts';
import { BLOCKED } from '../wait.ts';
import { FutexTable, resolveKey } from './table.ts';
import type { FutexKey, FutexWaiter } from './table.ts';

/** Attempts of an atomic change while other guest threads change the word; Linux loops for ever. */
const EXCHANGE_ATTEMPTS = 10_000;

export const futexTable = new FutexTable((_task, { address, expected, bitset, isPrivate, deadlineNs }) => {
  return (task) => futexWait(task, address, expected, bitset, isPrivate, deadlineNs, WORD_UNREAD);
});

// Filled by `resolveKey`, read before the handler ends.
const keyOne: FutexKey = { space: null, id: 0 };
const keyTwo: FutexKey = { space: null, id: 0 };

/** As the word of `futexWait`: it has not been read yet. */
export const WORD_UNREAD = -2;

/**
 * FUTEX_WAIT and FUTEX_WAIT_BITSET; `deadlineNs` on CLOCK_MONOTONIC, Infinity for none. `word`: the futex word, if the handler has read it: while
 * it serves this very call, not before.
 */
export function futexWait(
  task: Task,
  address: number,
  expected: number,
  bitset: number,
  isPrivate: boolean,
  deadlineNs: number,
  word: number,
): number {
  const { wait } = task;
  if (!wait.first) {
    const waiter = wait.state as FutexWaiter;
    if (waiter.woken) return 0;
    return wait.timedOut ? -ETIMEDOUT : BLOCKED;
  }
  if (bitset === 0 || address % 4 !== 0) return -EINVAL;
  const value = word === WORD_UNREAD ? task.memory.loadU32(address) : word;
  if (value < 0) return -EFAULT;
  if (value !== expected) return -EAGAIN;
  const waiter = futexTable.take();
  waiter.task = task;
  waiter.bitset = bitset;
  resolveKey(task.mm, address, isPrivate, waiter);
  futexTable.link(waiter);
  wait.state = waiter;
  wait.onFinish = waiter.finish;
  if (deadlineNs !== Infinity) {
    waiter.address = address;
    waiter.expected = expected;
    waiter.isPrivate = isPrivate;
    waiter.deadlineNs = deadlineNs;
    wait.deadlineNs = deadlineNs;
    wait.onInterrupt = waiter.interrupt;
  }
  return BLOCKED;
}

/** FUTEX_WAKE and FUTEX_WAKE_BITSET. */
export function futexWakeBitset(task: Task, address: number, count: number, bitset: number, isPrivate: boolean): number {
  if (bitset === 0 || address % 4 !== 0) return -EINVAL;
  if (!isReachable(task, address, isPrivate)) return -EFAULT;
  resolveKey(task.mm, address, isPrivate, keyOne);
  // Linux wakes one for a count of 0 or less.
  return futexTable.wake(keyOne, Math.max(count, 1), bitset);
}

/** FUTEX_REQUEUE, and FUTEX_CMP_REQUEUE when `expected` is given (-1: not). Returns the number woken plus the number moved. */
export function futexRequeue(
  task: Task,
  from: number,
  to: number,
  wake: number,
  move: number,
  expected: number,
  isPrivate: boolean,
): number {
  if (wake < 0 || move < 0 || from % 4 !== 0 || to % 4 !== 0) return -EINVAL;
  if (!isReachable(task, from, isPrivate) || !isReachable(task, to, isPrivate)) return -EFAULT;
  if (expected >= 0) {
    const value = task.memory.loadU32(from);
    if (value < 0) return -EFAULT;
    if (value !== expected) return -EAGAIN;
  }
  resolveKey(task.mm, from, isPrivate, keyOne);
  resolveKey(task.mm, to, isPrivate, keyTwo);
  const woken = futexTable.wake(keyOne, wake, f.FUTEX_BITSET_MATCH_ANY);
  if (keyOne.id === keyTwo.id && keyOne.space === keyTwo.space) return woken + countWaiting(keyOne, move);
  return woken + futexTable.requeue(keyOne, keyTwo, move);
}

/** FUTEX_WAKE_OP: changes the word at `two`, wakes waiters at `one`, and at `two` if its old value compares as asked. */
export function futexWakeOp(
  task: Task,
  one: number,
  two: number,
  wakeOne: number,
  wakeTwo: number,
  encoded: number,
  isPrivate: boolean,
): number {
  if (one % 4 !== 0 || two % 4 !== 0) return -EINVAL;
  if (!isReachable(task, one, isPrivate) || !isReachable(task, two, isPrivate)) return -EFAULT;
  const operation = (encoded >>> 28) & 7;
  const comparison = (encoded >>> 24) & 15;
  let operand = (encoded << 8) >> 20;
  const comparand = (encoded << 20) >> 20;
  // Linux: an out-of-range shift counts modulo 32.
  if (((encoded >>> 28) & f.FUTEX_OP_OPARG_SHIFT) !== 0) operand = 1 << (operand & 31);
  if (operation > f.FUTEX_OP_XOR || comparison > f.FUTEX_OP_CMP_GE) return -ENOSYS;
  const old = exchange(task, two, (value) => applyOperation(operation, value, operand));
  if (old < 0) return old;
  resolveKey(task.mm, one, isPrivate, keyOne);
  resolveKey(task.mm, two, isPrivate, keyTwo);
  let woken = futexTable.wake(keyOne, Math.max(wakeOne, 1), f.FUTEX_BITSET_MATCH_ANY);
  if (compare(comparison, old | 0, comparand)) woken += futexTable.wake(keyTwo, Math.max(wakeTwo, 1), f.FUTEX_BITSET_MATCH_ANY);
  return woken;
}

/** Atomically replaces the word at `address` by `change(old)`. Returns the old value (unsigned), -EFAULT or -EAGAIN. */
export function exchange(task: Task, address: number, change: (value: number) => number): number {
  const { space } = task.mm;
  let value = task.memory.loadU32(address);
  for (let attempt = 0; attempt < EXCHANGE_ATTEMPTS; attempt++) {
    if (value < 0) return -EFAULT;
    const seen = space.compareExchange(task.thread, address, value, change(value) >>> 0);
    if (seen === value) return value;
    value = seen;
  }
  return -EAGAIN;
}

function applyOperation(operation: number, value: number, operand: number): number {
  switch (operation) {
    case f.FUTEX_OP_SET:
      return operand;
    case f.FUTEX_OP_ADD:
      return value + operand;
    case f.FUTEX_OP_OR:
      return value | operand;
    case f.FUTEX_OP_ANDN:
      return value & ~operand;
    default:
      return value ^ operand;
  }
}

function compare(comparison: number, value: number, comparand: number): boolean {
  switch (comparison) {
    case f.FUTEX_OP_CMP_EQ:
      return value === comparand;
    case f.FUTEX_OP_CMP_NE:
      return value !== comparand;
    case f.FUTEX_OP_CMP_LT:
      return value < comparand;
    case f.FUTEX_OP_CMP_LE:
      return value <= comparand;
    case f.FUTEX_OP_CMP_GT:
      return value > comparand;
    default:
      return value >= comparand;
  }
}

function countWaiting(key: FutexKey, limit: number): number {
  let count = 0;
  let waiter = futexTable.find(key, null);
  while (waiter !== null && count < limit) {
    count++;
    waiter = waiter.next === null ? null : futexTable.find(key, waiter.next);
  }
  return count;
}

/** Linux looks at the page behind a shared futex to learn what it is; of a private one only the address counts. */
function isReachable(task: Task, address: number, isPrivate: boolean): boolean {
  return address < task.mm.limits.highestAddress && (isPrivate || task.memory.loadU32(address) >= 0);
}
