/**
 * Results that stay the same for a thread until something rare happens: who it is, who its parent is. A platform that is told of one may give it
 * the next time by itself; the kernel makes it forget when credentials change (`Task.credentials`) or a parent dies (`reparentChildren`).
 */
import type { Task } from '../kernel/task.ts';

/** `result`, which is that of the call being served and of all like it to come. */
export function kept(task: Task, result: number): number {
  task.thread.keepAnswer?.(result);
  return result;
}
