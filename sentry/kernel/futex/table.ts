/**
 * Who waits on which futex (futex(2)): waiters in hash buckets, in order of arrival.
 *
 * A futex is identified by address space and address when its memory is private, or by what is mapped when it is shared
 * (`AddressSpace.futexKey`), so that processes that see the same memory at different addresses meet. FUTEX_PRIVATE_FLAG promises the
 * former and saves the look-up.
 *
 * Waiters are pooled and linked in place; waiting and waking allocate nothing. There is one table for the process: private keys hold the
 * address space object itself, so kernels cannot mix.
 *
 * Invariant: a waiter is in exactly one bucket, or in none and `woken` or back in the pool.
 */
import { ERESTART_RESTARTBLOCK } from '#sentry/abi/errno.ts';
import type { AddressSpace } from '../../mm/address-space.ts';
import type { Task } from '../task.ts';

const BUCKETS = 256;
/** Waiters kept for reuse. */
const POOL_MAX = 1024;

/** Identity of a futex: `space` is null for shared memory. */
export interface FutexKey {
  space: AddressSpace | null;
  id: number | string;
}

export class FutexWaiter implements FutexKey {
  task: Task | null = null;
  space: AddressSpace | null = null;
  id: number | string = 0;
  bitset = 0;
  /** Taken out of its bucket by a waker. */
  woken = false;
  bucket = -1;
  next: FutexWaiter | null = null;
  previous: FutexWaiter | null = null;

  // What restart_syscall needs to wait on.
  address = 0;
  expected = 0;
  isPrivate = false;
  deadlineNs = Infinity;
  /** Thread that owns the lock (FUTEX_LOCK_PI), as of `PidNamespace.global`; 0 for a plain waiter. */
  owner = 0;

  /** For `CallWait.onFinish`. */
  readonly finish: () => void;
  /** For `CallWait.onInterrupt` of a wait with a deadline. */
  readonly interrupt: () => number;

  constructor(table: FutexTable, goOn: (task: Task, waiter: FutexWaiter) => (task: Task) => number) {
    this.finish = () => table.give(this);
    this.interrupt = () => {
      const task = this.task!;
      task.restartCall = goOn(task, this);
      return -ERESTART_RESTARTBLOCK;
    };
  }
}

export class FutexTable {
  private readonly heads: (FutexWaiter | null)[] = Array.from({ length: BUCKETS }, () => null);
  private readonly tails: (FutexWaiter | null)[] = Array.from({ length: BUCKETS }, () => null);
  private readonly pool: FutexWaiter[] = [];
  private readonly goOn: (task: Task, waiter: FutexWaiter) => (task: Task) => number;

  /** `goOn` makes the restart of an interrupted wait. */
  constructor(goOn: (task: Task, waiter: FutexWaiter) => (task: Task) => number) {
    this.goOn = goOn;
  }

  take(): FutexWaiter {
    return this.pool.pop() ?? new FutexWaiter(this, this.goOn);
  }

  /** Ends a wait, whatever its outcome. */
  give(waiter: FutexWaiter): void {
    this.unlink(waiter);
    waiter.task = null;
    waiter.space = null;
    waiter.woken = false;
    waiter.owner = 0;
    if (this.pool.length < POOL_MAX) this.pool.push(waiter);
  }

  /** Queues `waiter` on the futex of its key. */
  link(waiter: FutexWaiter): void {
    const bucket = bucketOf(waiter.id);
    waiter.bucket = bucket;
    waiter.next = null;
    const last = this.tails[bucket]!;
    waiter.previous = last;
    if (last === null) this.heads[bucket] = waiter;
    else last.next = waiter;
    this.tails[bucket] = waiter;
  }

  unlink(waiter: FutexWaiter): void {
    const { bucket, next, previous } = waiter;
    if (bucket < 0) return;
    if (previous === null) this.heads[bucket] = next;
    else previous.next = next;
    if (next === null) this.tails[bucket] = previous;
    else next.previous = previous;
    waiter.bucket = -1;
    waiter.next = null;
    waiter.previous = null;
  }

  /** The first waiter of the futex at or behind `from` (null: at the head). */
  find(key: FutexKey, from: FutexWaiter | null): FutexWaiter | null {
    let waiter = from ?? this.heads[bucketOf(key.id)]!;
    while (waiter !== null && (waiter.id !== key.id || waiter.space !== key.space)) waiter = waiter.next!;
    return waiter;
  }

  /** Wakes up to `count` waiters whose bitset meets `bitset`; returns how many. */
  wake(key: FutexKey, count: number, bitset: number): number {
    let woken = 0;
    let waiter = this.find(key, null);
    while (waiter !== null && woken < count) {
      const next = waiter.next;
      if ((waiter.bitset & bitset) !== 0) {
        this.wakeOne(waiter);
        woken++;
      }
      waiter = next === null ? null : this.find(key, next);
    }
    return woken;
  }

  wakeOne(waiter: FutexWaiter): void {
    this.unlink(waiter);
    waiter.woken = true;
    const task = waiter.task!;
    task.kernel.makeRunnable(task);
  }

  /** Moves up to `count` waiters of `from` to `to`; returns how many. */
  requeue(from: FutexKey, to: FutexKey, count: number): number {
    let moved = 0;
    let waiter = this.find(from, null);
    while (waiter !== null && moved < count) {
      const next = waiter.next;
      this.unlink(waiter);
      waiter.space = to.space;
      waiter.id = to.id;
      this.link(waiter);
      moved++;
      // On a futex of the same bucket the moved ones are behind: the count ends the loop only if they are not met again.
      waiter = next === null ? null : this.find(from, next);
    }
    return moved;
  }

  /** Every waiter, for the rare search by owner. */
  *all(): Iterable<FutexWaiter> {
    for (const head of this.heads) {
      for (let waiter = head; waiter !== null; waiter = waiter.next) yield waiter;
    }
  }
}

/** Fills `into` with the identity of the futex at `address` of `mm`. */
export function resolveKey(mm: AddressSpace, address: number, isPrivate: boolean, into: FutexKey): void {
  const shared = isPrivate ? null : mm.futexKey(address);
  into.space = shared === null ? mm : null;
  into.id = shared ?? address;
}

function bucketOf(id: number | string): number {
  if (typeof id === 'number') return ((id >>> 2) ^ (id >>> 10)) & (BUCKETS - 1);
  let hash = 0;
  for (let i = 0; i < id.length; i++) hash = (hash * 31 + id.charCodeAt(i)) | 0;
  return hash & (BUCKETS - 1);
}
