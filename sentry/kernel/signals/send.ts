/**
 * Sending signals: to a task, a process, a process group; and SIGCONT's side of job control, which acts at the moment of sending.
 *
 *     sendToGroup(group, SignalInfo.user(signo, SI_USER, pid, uid));      // kill(2); the permission was checked
 *     raiseOnTask(task, SIGPIPE);                                         // for the thread that caused it
 *     forceSignal(task, SignalInfo.fault(…));                             // cannot be blocked or ignored
 *
 * A signal that its target ignores is dropped here, unless it is blocked (its disposition may change before it is taken). Otherwise it is
 * queued, files of signalfd are told, and one task that can take it is woken: out of its wait, or out of guest code.
 *
 * Specification: signal(7), kill(2); Linux kernel/signal.c (prepare_signal, complete_signal, retarget_shared_pending).
 */
import { EAGAIN } from '#sentry/abi/errno.ts';
import { READABLE } from '#sentry/abi/fs.ts';
import { RLIMIT_SIGPENDING } from '#sentry/abi/resource.ts';
import { SignalInfo } from '#sentry/abi/siginfo.ts';
import {
  CLD_CONTINUED,
  CLD_STOPPED,
  DefaultAction,
  defaultAction,
  SA_NOCLDSTOP,
  SI_USER,
  SIG_DFL,
  SIG_IGN,
  SIGCHLD,
  SIGCONT,
  SIGKILL,
  SIGRTMIN,
  SIGSTOP,
  STOP_SIGNALS_LOW,
} from '#sentry/abi/signal.ts';
import type { ProcessGroup } from '../process-group.ts';
import type { Task } from '../task.ts';
import { CONTINUED } from '../thread-group.ts';
import type { ThreadGroup } from '../thread-group.ts';
import { childInfo } from './info.ts';
import { QueueCounter } from './pending-queue.ts';
import type { PendingQueue } from './pending-queue.ts';

/** TaskState.Stopped; task.ts imports this folder, not the other way round. */
export const STOPPED = 'T';
const CONT_BIT = 1 << (SIGCONT - 1);

/** Sends to one thread. 0, or -EAGAIN when the queue is full. */
export function sendToTask(task: Task, info: SignalInfo): number {
  const { signo } = info;
  if (task.hasExited || !prepare(task.group, task, info)) return 0;
  const queued = enqueue(task.group, task.signals.pending, info);
  if (queued !== QUEUED) return queued;
  if (accepts(task, signo)) wakeForSignal(task, info);
  return 0;
}

/** Sends to a process: `first` if it can take it, else whichever thread can. */
export function sendToGroup(group: ThreadGroup, info: SignalInfo, first: Task = group.leader): number {
  const { signo } = info;
  if (group.isZombie || !prepare(group, first, info)) return 0;
  const queued = enqueue(group, group.signals.pending, info);
  if (queued !== QUEUED) return queued;
  const task = chooseTask(group, signo, first);
  if (task !== null) wakeForSignal(task, info);
  return 0;
}

/** The kernel raises `signo` for what the thread's own call did: SIGPIPE, SIGXFSZ. */
export function raiseOnTask(task: Task, signo: number): void {
  sendToTask(task, SignalInfo.kernel(signo));
}

/** Sends a copy to every process of the group. */
export function sendToProcessGroup(processGroup: ProcessGroup, info: SignalInfo): void {
  for (const member of processGroup.members) sendToGroup(member, copyOf(info));
}

function copyOf(info: SignalInfo): SignalInfo {
  const copy = new SignalInfo(info.signo, info.code);
  copy.words.set(info.words);
  copy.fromOutside = info.fromOutside;
  return copy;
}

/** Sends a signal that the thread itself caused and cannot go on without: blocked or ignored, it kills. */
export function forceSignal(task: Task, info: SignalInfo): void {
  const { signo } = info;
  const { handlers } = task.group;
  const { signals } = task;
  if (handlers.handler[signo] === SIG_IGN || signals.blocked.has(signo)) {
    handlers.setDefault(signo);
    signals.blocked.remove(signo);
  }
  if (handlers.handler[signo] === SIG_DFL) task.group.signals.unkillable = false;
  if (!signals.pending.has(signo)) signals.pending.add(info);
  signals.needsAttention = true;
}

/** Takes a task out of its wait, or out of guest code. */
export function wakeTask(task: Task): void {
  if (task.wait.waiting) task.kernel.makeRunnable(task);
  else task.thread.interrupt();
}

/** Signals that `task` has just blocked may be pending for the process: others get the chance. */
export function retargetBlocked(task: Task, low: number, high: number): void {
  const { set } = task.group.signals.pending;
  let leftLow = set.low & low;
  let leftHigh = set.high & high;
  if (leftLow === 0 && leftHigh === 0) return;
  for (const other of task.group.tasks) {
    if (other === task || other.hasExited) continue;
    const { blocked } = other.signals;
    if ((leftLow & ~blocked.low) === 0 && (leftHigh & ~blocked.high) === 0) continue;
    leftLow &= blocked.low;
    leftHigh &= blocked.high;
    if (!other.signals.needsAttention) {
      other.signals.needsAttention = true;
      wakeTask(other);
    }
    if (leftLow === 0 && leftHigh === 0) return;
  }
}

/** SIGCHLD for a stop (`CLD_STOPPED`) or continuation, and news for wait4. */
export function notifyParentOfStop(group: ThreadGroup, code: typeof CLD_STOPPED | typeof CLD_CONTINUED, status: number): void {
  group.pendingStopReport = code === CLD_STOPPED ? status : CONTINUED;
  const { parent } = group;
  if (parent === null) {
    if (code === CLD_STOPPED) group.outside?.stopped?.();
    return;
  }
  const { handlers } = parent;
  if (handlers.handler[SIGCHLD] !== SIG_IGN && (handlers.flags[SIGCHLD]! & SA_NOCLDSTOP) === 0) {
    sendToGroup(parent, childInfo(group, code, status));
  }
  parent.childEvents.notify(1);
}

/** Whether the signal, sent to `task` or its process, would have no effect. */
function isIgnored(task: Task, info: SignalInfo): boolean {
  const { signo } = info;
  if (task.signals.blocked.has(signo)) return false;
  const { group } = task;
  const handler = group.handlers.handler[signo]!;
  if (handler === SIG_IGN) return true;
  if (handler !== SIG_DFL) return false;
  if (group.signals.unkillable && !isForced(info)) return true;
  const action = defaultAction(signo);
  // SIGCONT without a handler has done its work in `prepare`.
  return action === DefaultAction.Ignore || action === DefaultAction.Continue;
}

/** What sending does at once, whether or not the signal is taken. False: there is nothing to queue. */
function prepare(group: ThreadGroup, target: Task, info: SignalInfo): boolean {
  if (group.exiting) return false;
  const { signo } = info;
  if (signo === SIGCONT) {
    removeFromAll(group, STOP_SIGNALS_LOW);
    continueGroup(group);
  } else if (defaultAction(signo) === DefaultAction.Stop) removeFromAll(group, CONT_BIT);
  return !isIgnored(target, info);
}

function removeFromAll(group: ThreadGroup, low: number): void {
  group.signals.pending.removeAll(low, 0);
  for (const task of group.tasks) task.signals.pending.removeAll(low, 0);
}

const QUEUED = 1;

/** QUEUED, 0 when the signal was pending already, or -EAGAIN. */
function enqueue(group: ThreadGroup, queue: PendingQueue, info: SignalInfo): number {
  const { signo } = info;
  // A timer keeps its own entry even for a standard signal: its next period starts when that is taken.
  if (signo < SIGRTMIN && info.source === null && queue.has(signo)) return 0;
  const unlimited = info.source !== null || (signo < SIGRTMIN && info.code >= SI_USER);
  if (unlimited || (group.signals.queued.count < group.limits.soft(RLIMIT_SIGPENDING) && !QueueCounter.isFull)) queue.add(info);
  else if (signo >= SIGRTMIN && info.code !== SI_USER) return -EAGAIN;
  else queue.addBare(signo);
  group.handlers.arrivals.notify(READABLE);
  return QUEUED;
}

function chooseTask(group: ThreadGroup, signo: number, first: Task): Task | null {
  if (accepts(first, signo)) return first;
  for (const task of group.tasks) {
    if (accepts(task, signo)) return task;
  }
  return null;
}

function accepts(task: Task, signo: number): boolean {
  const { signals } = task;
  if (task.hasExited) return false;
  if (signo === SIGKILL) return true;
  if (signals.blocked.has(signo) && !signals.awaited.has(signo)) return false;
  if (task.state === STOPPED) return false;
  // A sleeper that was woken already will find this signal too; one in guest code is told again at no cost.
  return !task.wait.waiting || !signals.needsAttention;
}

function wakeForSignal(task: Task, info: SignalInfo): void {
  const { signo } = info;
  if (isFatal(task, info)) doom(task, signo);
  if (!task.signals.blocked.has(signo)) task.signals.needsAttention = true;
  if (signo === SIGKILL && task.state === STOPPED) resume(task);
  else wakeTask(task);
}

/** Whether the signal ends the process of `task` as soon as it is sent. Linux: complete_signal; those that dump core end it when they are taken. */
function isFatal(task: Task, info: SignalInfo): boolean {
  const { signo } = info;
  const { group } = task;
  if (signo === SIGKILL) return true;
  if (group.handlers.handler[signo] !== SIG_DFL || defaultAction(signo) !== DefaultAction.Terminate) return false;
  return !task.signals.blocked.has(signo) && !group.signals.unkillable;
}

/** What even an init obeys without a handler for it: SIGKILL and SIGSTOP from outside its namespace (Linux sig_task_ignored). */
function isForced({ signo, fromOutside }: SignalInfo): boolean {
  return fromOutside && (signo === SIGKILL || signo === SIGSTOP);
}

/** No other thread of the process of `task` goes back to guest code, be it the sender itself. */
function doom(task: Task, signo: number): void {
  const { group } = task;
  group.signals.fatal = signo;
  for (const member of group.tasks) {
    if (member === task || member.hasExited) continue;
    member.signals.needsAttention = true;
    if (member.state === STOPPED) resume(member);
    else wakeTask(member);
  }
}

/** SIGCONT: every thread goes on, and the parent hears of it. */
function continueGroup(group: ThreadGroup): void {
  const { signals } = group;
  for (const task of group.tasks) {
    task.signals.stopPending = false;
    if (task.state === STOPPED) resume(task);
  }
  if (signals.stopSignal === 0) return;
  signals.stopSignal = 0;
  signals.isStopped = false;
  notifyParentOfStop(group, CLD_CONTINUED, SIGCONT);
}

function resume(task: Task): void {
  task.state = 'R';
  task.signals.isStopped = false;
  task.signals.recalculate();
  task.kernel.makeRunnable(task);
}
