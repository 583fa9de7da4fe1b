/**
 * Locks with priority inheritance: FUTEX_LOCK_PI, FUTEX_LOCK_PI2, FUTEX_TRYLOCK_PI, FUTEX_UNLOCK_PI. The word holds the owner's tid;
 * the kernel hands the lock over from owner to waiter, so a waiter that returns has it.
 *
 * Differences from Linux: no priority is inherited (guest threads are scheduled by the host), and waiters get the lock in order of
 * arrival. FUTEX_WAIT_REQUEUE_PI and FUTEX_CMP_REQUEUE_PI are not served.
 *
 * Specification: futex(2) "Priority-inheritance futexes".
 */
import { EAGAIN, EDEADLK, EFAULT, EINVAL, EPERM, ERESTARTNOINTR, ESRCH, ETIMEDOUT } from '#sentry/abi/errno.ts';
import { FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS } from '#sentry/abi/futex.ts';
import type { Task } from '../task.ts';
import { BLOCKED } from '../wait.ts';
import { exchange, futexTable } from './futex.ts';
import { resolveKey } from './table.ts';
import type { FutexKey, FutexWaiter } from './table.ts';

const key: FutexKey = { space: null, id: 0 };
/** Waiters on PI locks: exit need not search when there is none. */
let waitingCount = 0;

/** Takes the lock at `address`, waiting until `deadlineNs` unless `mode` is 'try'. */
export function futexLockPi(task: Task, address: number, isPrivate: boolean, deadlineNs: number, mode: 'wait' | 'try'): number {
  const { wait } = task;
  if (!wait.first) {
    const waiter = wait.state as FutexWaiter;
    if (waiter.woken) return 0;
    return wait.timedOut ? -ETIMEDOUT : BLOCKED;
  }
  if (address % 4 !== 0) return -EINVAL;
  resolveKey(task.mm, address, isPrivate, key);
  const taken = takeOrMark(task, address, mode);
  if (taken <= 0) return taken;
  if (deadlineNs <= task.kernel.host.monotonicNs()) return -ETIMEDOUT;
  queueWaiter(task, address, taken, deadlineNs);
  return BLOCKED;
}

/** 0: the caller has the lock. A tid: its owner, with FUTEX_WAITERS set. Or -errno. */
function takeOrMark(task: Task, address: number, mode: 'wait' | 'try'): number {
  const waiters = futexTable.find(key, null) === null ? 0 : FUTEX_WAITERS;
  const old = exchange(task, address, (value) => {
    const owner = value & FUTEX_TID_MASK;
    if (owner === 0) return task.tid | waiters | (value & FUTEX_OWNER_DIED);
    return mode === 'try' || owner === task.tid ? value : value | FUTEX_WAITERS;
  });
  if (old < 0) return old;
  const owner = old & FUTEX_TID_MASK;
  if (owner === 0) return 0;
  if (owner === task.tid) return -EDEADLK;
  if (mode === 'try') return -EAGAIN;
  const target = task.pids.tasks.get(owner);
  return target === undefined || target.hasExited ? -ESRCH : owner;
}

function queueWaiter(task: Task, address: number, owner: number, deadlineNs: number): void {
  const { wait } = task;
  const waiter = futexTable.take();
  waiter.task = task;
  waiter.space = key.space;
  waiter.id = key.id;
  // Not met by plain FUTEX_WAKE.
  waiter.bitset = 0;
  waiter.owner = task.pids.global(owner);
  waiter.address = address;
  futexTable.link(waiter);
  waitingCount++;
  wait.state = waiter;
  wait.deadlineNs = deadlineNs;
  wait.interrupted = -ERESTARTNOINTR;
  wait.onFinish = () => {
    waitingCount--;
    waiter.finish();
  };
}

/** FUTEX_UNLOCK_PI. */
export function futexUnlockPi(task: Task, address: number, isPrivate: boolean): number {
  if (address % 4 !== 0) return -EINVAL;
  const value = task.memory.loadU32(address);
  if (value < 0) return -EFAULT;
  if ((value & FUTEX_TID_MASK) !== task.tid) return -EPERM;
  resolveKey(task.mm, address, isPrivate, key);
  return handOver(task, address, 0);
}

/** Gives the lock of `key` to the first waiter, or frees it. `mark` is FUTEX_OWNER_DIED when the owner is gone. */
function handOver(task: Task, address: number, mark: number): number {
  const waiter = firstPi(null);
  if (waiter === null) {
    const result = exchange(task, address, () => mark);
    return result < 0 ? result : 0;
  }
  const more = waiter.next === null ? null : firstPi(waiter.next);
  const { tid, pids } = waiter.task!;
  const result = exchange(task, address, () => tid | mark | (more === null ? 0 : FUTEX_WAITERS));
  if (result < 0) return result;
  futexTable.wakeOne(waiter);
  for (let other = more; other !== null; other = other.next === null ? null : firstPi(other.next)) other.owner = pids.global(tid);
  return 0;
}

function firstPi(from: FutexWaiter | null): FutexWaiter | null {
  let waiter = futexTable.find(key, from);
  while (waiter !== null && waiter.owner === 0) waiter = waiter.next === null ? null : futexTable.find(key, waiter.next);
  return waiter;
}

/** The task ends: locks it holds and others wait for go to the next waiter, marked FUTEX_OWNER_DIED (Linux exit_pi_state_list). */
export function releaseLocksOf(task: Task): void {
  if (waitingCount === 0) return;
  const owner = task.pids.global(task.tid);
  const waiters = [...futexTable.all()].filter((waiter) => waiter.owner === owner);
  for (const waiter of waiters) {
    // Handing a lock over takes its first waiter out of the table and gives the others a new owner.
    if (waiter.owner !== owner || waiter.bucket < 0) continue;
    const heir = waiter.task!;
    key.space = waiter.space;
    key.id = waiter.id;
    const address = waiter.address;
    // Through the waiter's own memory: the dying task's may be gone.
    if (handOver(heir, address, FUTEX_OWNER_DIED) < 0) futexTable.wakeOne(waiter);
  }
}
