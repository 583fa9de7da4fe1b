/**
 * What semaphores, their adjustments at exit, and waiting messages take of the sentry's own memory. It is charged to the memory budget of the
 * sandbox and has a bound of its own, for sandboxes without a budget (Linux charges the memory cgroup).
 */
import { IPC_MEMORY_MAX } from '../../limits.ts';
import type { MemoryBudget } from '../../mm/memory-budget.ts';

export class IpcMemory {
  private readonly budget: MemoryBudget;
  private used = 0;

  constructor(budget: MemoryBudget) {
    this.budget = budget;
  }

  /** Takes `bytes`; false, and nothing is taken, when there are not so many. */
  take(bytes: number): boolean {
    if (this.used + bytes > IPC_MEMORY_MAX || !this.budget.fits(bytes)) return false;
    this.used += bytes;
    this.budget.charge(bytes);
    return true;
  }

  give(bytes: number): void {
    this.used -= bytes;
    this.budget.charge(-bytes);
  }
}
