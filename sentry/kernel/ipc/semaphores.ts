/**
 * The semaphore sets of an IPC namespace: making, finding, counting and removing them. semaphore-set.ts is one set, the calls are in
 * syscalls/sem.ts.
 *
 * Spec: semget(2), semctl(2); Linux ipc/sem.c.
 */
import { EIDRM, EINVAL, ENOMEM, ENOSPC } from '#sentry/abi/errno.ts';
import type { Task } from '../task.ts';
import type { IpcClock } from './ipc-clock.ts';
import type { IpcLimits } from './ipc-limits.ts';
import type { IpcMemory } from './ipc-memory.ts';
import { IpcTable } from './ipc-table.ts';
import { SemaphoreSet } from './semaphore-set.ts';
import { adjustmentBytes } from './undo-list.ts';

/** Bytes for each semaphore, and for the rest of a set. */
const SEMAPHORE_SIZE = 6;
const OVERHEAD = 500;

export class Semaphores {
  readonly table = new IpcTable<SemaphoreSet>();
  /** Semaphores of all sets. */
  total = 0;
  private readonly limits: IpcLimits;
  private readonly clock: IpcClock;
  private readonly memory: IpcMemory;

  constructor(limits: IpcLimits, clock: IpcClock, memory: IpcMemory) {
    this.limits = limits;
    this.clock = clock;
    this.memory = memory;
  }

  /** semget(2): an id or -errno. */
  get(task: Task, key: number, count: number, flags: number): number {
    if (count < 0 || count > this.limits.semmsl) return -EINVAL;
    const refusal = (existing: SemaphoreSet): number => (count > existing.count ? -EINVAL : 0);
    return this.table.get(key, flags, task.credentials, refusal, () => this.make(task, key, count, flags));
  }

  private make(task: Task, key: number, count: number, flags: number): number {
    if (count === 0) return -EINVAL;
    if (this.total + count > this.limits.semmns) return -ENOSPC;
    if (!this.table.hasRoom(this.limits.semmni)) return -ENOSPC;
    if (!this.memory.take(OVERHEAD + SEMAPHORE_SIZE * count)) return -ENOMEM;
    const set = new SemaphoreSet(key, flags, count, task.credentials);
    set.changeTime = this.clock.now;
    this.total += count;
    return this.table.add(set, this.limits.semmni);
  }

  /** IPC_RMID: everybody who waits for it hears EIDRM. */
  remove(set: SemaphoreSet): void {
    for (const adjustments of set.adjustments) {
      adjustments.forget();
      this.freeAdjustments(set);
    }
    set.adjustments.clear();
    set.dismiss(-EIDRM);
    this.table.remove(set);
    this.total -= set.count;
    this.memory.give(OVERHEAD + SEMAPHORE_SIZE * set.count);
  }

  /** Memory for the adjustments of one more process. */
  takeAdjustments(set: SemaphoreSet): boolean {
    return this.memory.take(adjustmentBytes(set));
  }

  freeAdjustments(set: SemaphoreSet): void {
    this.memory.give(adjustmentBytes(set));
  }

  /** An operation was carried out on the spot, and perhaps changed values. */
  operated(set: SemaphoreSet, altered: boolean): void {
    const { now } = this.clock;
    set.operationTime = now;
    if (altered) set.update(now);
  }

  /** Values were changed by other means. */
  changed(set: SemaphoreSet): void {
    set.update(this.clock.now);
  }

  touch(set: SemaphoreSet): void {
    set.changeTime = this.clock.now;
  }
}
