/**
 * What a process takes back of its semaphore operations when it ends: SEM_UNDO (semop(2); Linux sem_undo_list). Threads made with CLONE_SYSVSEM
 * share one list, and it takes effect when the last of them has ended. execve(2) leaves it alone.
 */
import { EINVAL, ENOMEM } from '#sentry/abi/errno.ts';
import { SEMVMX } from '#sentry/abi/ipc.ts';
import type { Task } from '../task.ts';
import type { Adjustments, SemaphoreSet } from './semaphore-set.ts';

/** Bytes for each semaphore of a set, and for the rest. */
const ADJUSTMENT_SIZE = 2;
const OVERHEAD = 200;

export class UndoList {
  private users = 1;
  private readonly sets = new Map<SemaphoreSet, Adjustments>();

  acquire(): this {
    this.users++;
    return this;
  }

  get(set: SemaphoreSet): Adjustments | undefined {
    return this.sets.get(set);
  }

  add(set: SemaphoreSet): Adjustments {
    const adjustments: Adjustments = { values: new Int16Array(set.count), forget: () => this.sets.delete(set) };
    this.sets.set(set, adjustments);
    set.adjustments.add(adjustments);
    return adjustments;
  }

  /** One task less. With the last one every set gets its adjustments, as far as its values' range allows. */
  release(task: Task): void {
    if (--this.users > 0) return;
    const { sem } = task.kernel.ipc;
    const pid = task.pids.global(task.group.pid);
    for (const [set, adjustments] of this.sets) {
      set.adjustments.delete(adjustments);
      sem.freeAdjustments(set);
      for (let num = 0; num < set.count; num++) {
        if (adjustments.values[num] === 0) continue;
        set.values[num] = Math.min(Math.max(set.values[num]! + adjustments.values[num]!, 0), SEMVMX);
        set.pids[num] = pid;
      }
      sem.operated(set, true);
    }
    this.sets.clear();
  }
}

/** Bytes that the adjustments of one process for `set` take. */
export function adjustmentBytes(set: SemaphoreSet): number {
  return OVERHEAD + ADJUSTMENT_SIZE * set.count;
}

/** The adjustments of `task` for the set called `id`, made if there are none yet; or -errno. */
export function adjustmentsOf(task: Task, id: number): Adjustments | number {
  const { sem } = task.kernel.ipc;
  task.semaphoreUndo ??= new UndoList();
  const set = sem.table.find(id);
  if (set === undefined) return -EINVAL;
  const existing = task.semaphoreUndo.get(set);
  if (existing !== undefined) return existing;
  return sem.takeAdjustments(set) ? task.semaphoreUndo.add(set) : -ENOMEM;
}

/** clone(CLONE_SYSVSEM): parent and child have one list from now on. */
export function shareUndo(parent: Task, child: Task): void {
  parent.semaphoreUndo ??= new UndoList();
  child.semaphoreUndo = parent.semaphoreUndo.acquire();
}

/** The task ends. */
export function leaveUndo(task: Task): void {
  const list = task.semaphoreUndo;
  task.semaphoreUndo = null;
  list?.release(task);
}
