/**
 * Results that stay the same for a thread until something rare happens: who it is, who its parent is. A platform that is told of one may give it
 * the next time by itself; the kernel makes it forget when credentials or seccomp filters change (`Task`) or a parent dies (`reparentChildren`).
 */
import type { Task } from '../kernel/task.ts';

/** `result`, which is that of the call being served and of all like it to come. */
export function kept(task: Task, result: number): number {
  const { seccomp, thread } = task;
  // A filter with something to say wants to see each call.
  if (seccomp === null || seccomp.allows(thread.call[0]!)) thread.keepAnswer?.(result);
  return result;
}
