/**
 * wait4(2) and waitid(2): which children changed state, and reporting each change once (kernel/exit.c, do_wait).
 *
 * A change is kept in the child itself: it is a zombie, or its `pendingStopReport` says that it stopped or went on. `takeChildReport` finds
 * the first that matches and consumes it; whoever has to wait does so on `childEvents` of his own process.
 */
import { ECHILD } from '#sentry/abi/errno.ts';
import { WALL, WCLONE, WCONTINUED, WEXITED, WNOWAIT, WSTOPPED } from '#sentry/abi/clone.ts';
import { SIGCHLD } from '#sentry/abi/signal.ts';
import { reap } from './exit.ts';
import type { Task } from './task.ts';
import { CONTINUED } from './thread-group.ts';
import type { ThreadGroup } from './thread-group.ts';

/** Which children a call waits for. */
export interface ChildFilter {
  /** A process id, or 0 for any. */
  readonly pid: number;
  /** A process group id, or 0 for any. */
  readonly pgid: number;
  /** WEXITED, WSTOPPED, WCONTINUED, WNOWAIT, WALL, WCLONE. */
  readonly options: number;
}

/** A change of a child, as both calls report it. */
export interface ChildReport {
  readonly child: ThreadGroup;
  readonly pid: number;
  readonly uid: number;
  /** As in wait4(2)'s status. */
  readonly status: number;
}

/** A change to report, null when there is none yet, or -ECHILD. Unless WNOWAIT, a reported change is consumed. */
export function takeChildReport(task: Task, filter: ChildFilter): ChildReport | null | number {
  let found = false;
  for (const child of task.group.children) {
    if (!matches(child, filter)) continue;
    found = true;
    const report = reportOf(child, filter.options);
    if (report !== null) return report;
  }
  return found ? null : -ECHILD;
}

function matches(child: ThreadGroup, { pid, pgid, options }: ChildFilter): boolean {
  if (pid !== 0 && child.pid !== pid) return false;
  if (pgid !== 0 && child.processGroup.pgid !== pgid) return false;
  if ((options & WALL) !== 0) return true;
  const isClone = child.leader.exitSignal !== SIGCHLD;
  return isClone === ((options & WCLONE) !== 0);
}

function reportOf(child: ThreadGroup, options: number): ChildReport | null {
  const { uid } = child.leader.credentials;
  const keep = (options & WNOWAIT) !== 0;
  if (child.isZombie) {
    if ((options & WEXITED) === 0) return null;
    const report = { child, pid: child.pid, uid, status: child.exitStatus };
    if (!keep) reap(child);
    return report;
  }
  const pending = child.pendingStopReport;
  if (pending === 0) return null;
  const wanted = pending === CONTINUED ? WCONTINUED : WSTOPPED;
  if ((options & wanted) === 0) return null;
  if (!keep) child.pendingStopReport = 0;
  const status = pending === CONTINUED ? CONTINUED : (pending << 8) | 0x7f;
  return { child, pid: child.pid, uid, status };
}
