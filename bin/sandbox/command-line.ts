/** The arguments of a guest process as they are in its memory now, NUL between them: setproctitle(3) writes there. */
import type { Task } from '#sentry/kernel/task.ts';

const SHOWN_MAX = 4096;

/** A byte string; empty for a process that has ended. */
export function commandLine({ hasExited, mm, scratch }: Task): string {
  if (hasExited) return '';
  const wanted = Math.min(mm.argEnd - mm.argStart, SHOWN_MAX);
  return scratch.latin1(0, Math.max(mm.memory.copyInPartial(mm.argStart, scratch, 0, wanted), 0));
}
