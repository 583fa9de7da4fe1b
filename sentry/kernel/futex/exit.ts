/**
 * What the end of a task means for futexes: the word set_tid_address(2) asked for is cleared and woken by the kernel's exit code, and locks
 * on the robust list are marked as left by a dead owner (Linux exit_robust_list).
 *
 * The list lies in guest memory and is hostile: it may be circular, endless, unaligned or unmapped. The walk is bounded and ends at the
 * first thing that cannot be read.
 */
import {
  FUTEX_BITSET_MATCH_ANY,
  FUTEX_OWNER_DIED,
  FUTEX_TID_MASK,
  FUTEX_WAITERS,
  ROBUST_LIST_HEAD_SIZE,
  ROBUST_LIST_LIMIT,
} from '#sentry/abi/futex.ts';
import { getI64, getU64 } from '#sentry/abi/layout.ts';
import type { AddressSpace } from '../../mm/address-space.ts';
import type { Task } from '../task.ts';
import { exchange, futexTable } from './futex.ts';
import { releaseLocksOf } from './pi.ts';
import { resolveKey } from './table.ts';
import type { FutexKey } from './table.ts';

const key: FutexKey = { space: null, id: 0 };

/** FUTEX_WAKE by the kernel itself. */
export function futexWake(mm: AddressSpace, address: number, count: number): number {
  resolveKey(mm, address, false, key);
  return futexTable.wake(key, count, FUTEX_BITSET_MATCH_ANY);
}

/** Lets go of the locks of a task that ends or execs. */
export function exitRobustList(task: Task): void {
  const head = task.robustList;
  task.robustList = 0;
  if (head !== 0) walk(task, head);
  releaseLocksOf(task);
}

function walk(task: Task, head: number): void {
  const { scratch, memory } = task;
  if (memory.copyIn(head, scratch, 0, ROBUST_LIST_HEAD_SIZE) < 0) return;
  const first = getU64(scratch.view, 0);
  const offset = getI64(scratch.view, 8);
  const pending = getU64(scratch.view, 16);
  let entry = first;
  for (let left = ROBUST_LIST_LIMIT; left > 0 && !isSame(entry, head); left--) {
    // Read before the lock is let go: its memory may be another thread's from then on.
    const next = memory.loadU64(address(entry));
    if (!isSame(entry, pending) && !leaveLock(task, address(entry) + offset, isPi(entry), 'listed')) return;
    if (next < 0) return;
    entry = next;
  }
  if (address(pending) !== 0) leaveLock(task, address(pending) + offset, isPi(pending), 'pending');
}

/** Bit 0 of a list pointer marks a lock with priority inheritance. */
function isPi(pointer: number): boolean {
  return pointer % 2 === 1;
}

function address(pointer: number): number {
  return pointer - (pointer % 2);
}

function isSame(pointer: number, other: number): boolean {
  return address(pointer) === address(other);
}

/** Marks the lock at `lock` if the task owns it, and wakes a waiter. False: the list cannot be trusted any further. */
function leaveLock(task: Task, lock: number, pi: boolean, position: 'listed' | 'pending'): boolean {
  if (lock < 0 || lock % 4 !== 0) return false;
  const value = task.memory.loadU32(lock);
  if (value < 0) return false;
  const owner = value & FUTEX_TID_MASK;
  // The owner died between storing 0 and waking: somebody may still wait.
  if (position === 'pending' && !pi && owner === 0) {
    futexWake(task.mm, lock, 1);
    return true;
  }
  if (owner !== task.tid) return true;
  const old = markDead(task, lock, value);
  if (old < 0) return false;
  if (!pi && (old & FUTEX_WAITERS) !== 0 && (old & FUTEX_TID_MASK) === task.tid) futexWake(task.mm, lock, 1);
  return true;
}

function markDead(task: Task, lock: number, value: number): number {
  // The thread still runs guest code (its process is being killed): it cannot do the atomic change for us, and nobody relies on it.
  if (task.inGuest) return task.memory.storeU32(lock, ((value & FUTEX_WAITERS) | FUTEX_OWNER_DIED) >>> 0) < 0 ? -1 : value;
  return exchange(task, lock, (seen) => ((seen & FUTEX_TID_MASK) === task.tid ? (seen & FUTEX_WAITERS) | FUTEX_OWNER_DIED : seen));
}
