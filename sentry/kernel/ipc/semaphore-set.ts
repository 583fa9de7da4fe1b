/**
 * A set of System V semaphores (Linux sem_array): values, who waits, and who has adjustments pending for its exit.
 *
 * Operations are all or nothing: `perform` either makes every change of a call or none. A call that has to wait leaves a `SemaphoreWait` here,
 * and whoever changes the set then carries it out in its place (`update`), in order of arrival, so that nobody overtakes. Those that wait for
 * zero come before those that change something.
 *
 * Spec: semop(2); Linux ipc/sem.c (perform_atomic_semop, update_queue, do_smart_update).
 */
import { EAGAIN, ERANGE } from '#sentry/abi/errno.ts';
import { IPC_NOWAIT, SEM_UNDO, SEMVMX } from '#sentry/abi/ipc.ts';
import { WaitQueue } from '../../lib/wait-queue.ts';
import type { Credentials } from '../../vfs/credentials.ts';
import { IpcObject } from './ipc-object.ts';

/** `perform`: an operation has to wait. */
export const MUST_WAIT = 1;
/** `SemaphoreWait.status` until it was carried out or refused: no result of a call. */
export const WAITING = 1;
/** The only event on the queue of a `SemaphoreWait`. */
export const SEMAPHORE_DONE = 1;

/** The operations of one call: the first `count` of each array. */
export interface Operations {
  readonly count: number;
  /** Which semaphore; below the count of the set. */
  readonly nums: Uint16Array;
  readonly ops: Int16Array;
  /** IPC_NOWAIT, SEM_UNDO. */
  readonly flags: Int16Array;
  /** One of them changes a value. */
  readonly alters: boolean;
}

/** What a process that ends adds to the values of a set. */
export interface Adjustments {
  readonly values: Int16Array;
  /** The set is gone. */
  forget(): void;
}

/** A call that waits. */
export class SemaphoreWait {
  readonly set: SemaphoreSet;
  readonly operations: Operations;
  readonly adjustments: Adjustments | null;
  /** Of the process that made the call. */
  readonly pid: number;
  /** WAITING, or the result of the call. */
  status: number = WAITING;
  /** Index of the operation that could not be done when it was tried last. */
  blocking: number;
  readonly queue = new WaitQueue();

  constructor(set: SemaphoreSet, operations: Operations, adjustments: Adjustments | null, pid: number) {
    this.set = set;
    this.operations = operations;
    this.adjustments = adjustments;
    this.pid = pid;
    this.blocking = set.blocking;
  }

  finish(status: number): void {
    this.status = status;
    this.queue.notify(SEMAPHORE_DONE);
  }
}

export class SemaphoreSet extends IpcObject {
  readonly values: Uint16Array;
  /** Process that changed a semaphore last: numbers of `PidNamespace.global`. */
  readonly pids: Int32Array;
  /** Last successful semop: seconds since 1970. */
  operationTime = 0;
  /** Index of the operation that `perform` could not do. */
  blocking = 0;
  /** By everybody who has any. */
  readonly adjustments = new Set<Adjustments>();
  // In order of arrival: those that only wait for zero, and those that change something.
  private readonly readers = new Set<SemaphoreWait>();
  private readonly writers = new Set<SemaphoreWait>();
  /** Writers with more than one operation. */
  private complexWriters = 0;

  constructor(key: number, flags: number, count: number, credentials: Credentials) {
    super(key, flags, credentials);
    this.values = new Uint16Array(count);
    this.pids = new Int32Array(count);
  }

  get count(): number {
    return this.values.length;
  }

  /** 0: all done. MUST_WAIT: none done, `blocking` tells why. -EAGAIN: it would have to wait and says IPC_NOWAIT. -ERANGE. */
  perform(operations: Operations, adjustments: Adjustments | null, pid: number): number {
    const { values, pids } = this;
    const { count, nums, ops, flags } = operations;
    for (let i = 0; i < count; i++) {
      const num = nums[i]!;
      const op = ops[i]!;
      const value = values[num]! + op;
      if ((op === 0 && value !== 0) || value < 0) {
        this.blocking = i;
        this.undo(operations, adjustments, i);
        return (flags[i]! & IPC_NOWAIT) !== 0 ? -EAGAIN : MUST_WAIT;
      }
      if (value > SEMVMX || !adjust(adjustments, flags[i]!, num, op)) {
        this.undo(operations, adjustments, i);
        return -ERANGE;
      }
      values[num] = value;
    }
    for (let i = 0; i < count; i++) pids[nums[i]!] = pid;
    return 0;
  }

  /** Takes back the first `done` operations. */
  private undo({ nums, ops, flags }: Operations, adjustments: Adjustments | null, done: number): void {
    for (let i = done - 1; i >= 0; i--) {
      const num = nums[i]!;
      this.values[num] = this.values[num]! - ops[i]!;
      if (adjustments !== null && (flags[i]! & SEM_UNDO) !== 0) adjustments.values[num] = adjustments.values[num]! + ops[i]!;
    }
  }

  add(wait: SemaphoreWait): void {
    if (!wait.operations.alters) {
      this.readers.add(wait);
      return;
    }
    this.writers.add(wait);
    if (wait.operations.count > 1) this.complexWriters++;
  }

  /** No longer waits; does nothing when it does not. */
  remove(wait: SemaphoreWait): void {
    if (!this.readers.delete(wait) && this.writers.delete(wait) && wait.operations.count > 1) this.complexWriters--;
  }

  /** Values have changed: carries out what has become possible. `now`: seconds since 1970. */
  update(now: number): void {
    let done = this.serveReaders();
    for (let again = true; again; ) {
      again = false;
      for (const wait of this.writers) {
        const result = this.tryAgain(wait);
        if (result === MUST_WAIT) continue;
        if (result < 0) continue;
        done = true;
        this.serveReaders();
        // A single operation that waited has lowered a value: of nobody who was tried before it can that be the wish.
        if (this.complexWriters === 0 && wait.operations.count === 1) continue;
        again = true;
        break;
      }
    }
    if (done) this.operationTime = now;
  }

  private serveReaders(): boolean {
    let done = false;
    for (const wait of this.readers) if (this.tryAgain(wait) === 0) done = true;
    return done;
  }

  /** Tries a waiting call once more; with a result it no longer waits. */
  private tryAgain(wait: SemaphoreWait): number {
    const result = this.perform(wait.operations, wait.adjustments, wait.pid);
    if (result === MUST_WAIT) {
      wait.blocking = this.blocking;
      return result;
    }
    this.remove(wait);
    wait.finish(result);
    return result;
  }

  /** GETNCNT and GETZCNT: how many calls wait for semaphore `num`, to rise or to become zero. */
  waiting(num: number, wish: 'rise' | 'zero'): number {
    let count = 0;
    for (const waits of [this.readers, this.writers]) {
      for (const { operations, blocking } of waits) {
        if (operations.nums[blocking] === num && (operations.ops[blocking] === 0) === (wish === 'zero')) count++;
      }
    }
    return count;
  }

  /** Values were set: what processes would have added at their end counts no more. */
  forgetAdjustments(num: number): void {
    for (const { values } of this.adjustments) values[num] = 0;
  }

  /** Ends everybody's wait (IPC_RMID). */
  dismiss(status: number): void {
    for (const waits of [this.readers, this.writers]) {
      for (const wait of waits) wait.finish(status);
      waits.clear();
    }
  }
}

/** Notes the opposite of `op` for the end of the process, if that was asked for. False: out of range. */
function adjust(adjustments: Adjustments | null, flags: number, num: number, op: number): boolean {
  if (adjustments === null || (flags & SEM_UNDO) === 0) return true;
  const value = adjustments.values[num]! - op;
  if (value < -SEMVMX - 1 || value > SEMVMX) return false;
  adjustments.values[num] = value;
  return true;
}
