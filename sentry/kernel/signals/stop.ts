/**
 * Job control's group stop: a stop signal's default action stops every thread of the process at its next way back to guest code. SIGCONT
 * is in send.ts, because it acts when it is sent.
 *
 * Linux: do_signal_stop, exit_signals in kernel/signal.c.
 */
import { CLD_STOPPED } from '#sentry/abi/signal.ts';
import type { Task } from '../task.ts';
import type { ThreadGroup } from '../thread-group.ts';
import { notifyParentOfStop, retargetBlocked, STOPPED, wakeTask } from './send.ts';

/** `task` takes stop signal `signo`: all threads are asked to stop, `task` included. */
export function beginGroupStop(task: Task, signo: number): void {
  const { group } = task;
  if (group.signals.stopSignal === 0) {
    group.signals.stopSignal = signo;
    group.signals.isStopped = false;
  }
  for (const member of group.tasks) {
    if (member.hasExited || member.state === STOPPED) continue;
    member.signals.stopPending = true;
    member.signals.needsAttention = true;
    if (member !== task) wakeTask(member);
  }
}

/** `task` is about to return to guest code while a stop is on. It stays stopped until SIGCONT or SIGKILL. */
export function enterStop(task: Task): void {
  task.signals.stopPending = false;
  task.state = STOPPED;
  task.signals.isStopped = true;
  completeStop(task.group);
}

/** A thread ends: it may have been the last that had not stopped, or the one meant to take a signal sent to the process. */
export function leaveSignals(task: Task): void {
  const { blocked, pending } = task.signals;
  pending.clear();
  task.signals.hasEnded = true;
  retargetBlocked(task, ~blocked.low, ~blocked.high);
  if (!task.group.exiting) completeStop(task.group);
}

/** Tells the parent once all living threads have stopped. */
function completeStop(group: ThreadGroup): void {
  const { signals } = group;
  if (signals.stopSignal === 0 || signals.isStopped) return;
  let stopped = 0;
  for (const task of group.tasks) {
    if (task.hasExited) continue;
    if (task.state !== STOPPED) return;
    stopped++;
  }
  if (stopped === 0) return;
  signals.isStopped = true;
  notifyParentOfStop(group, CLD_STOPPED, signals.stopSignal);
}
