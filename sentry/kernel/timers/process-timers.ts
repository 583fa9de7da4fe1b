/**
 * Timers of a process: the three interval timers of setitimer(2) (alarm(2) is the real one) and the POSIX timers of timer_create(2).
 *
 * Signals: the interval timers send SIGALRM, SIGVTALRM and SIGPROF to the process. A POSIX timer has at most one signal queued; its overrun
 * count is filled in when that is taken. fork gives the child none; execve keeps the interval timers and deletes the others.
 *
 * RLIMIT_CPU is a timer too: SIGXCPU at the soft limit and every second after it, SIGKILL at the hard one.
 */
import { EAGAIN } from '#sentry/abi/errno.ts';
import { RLIMIT_CPU, RLIMIT_SIGPENDING } from '#sentry/abi/resource.ts';
import { SignalInfo } from '#sentry/abi/siginfo.ts';
import type { SignalSource } from '#sentry/abi/siginfo.ts';
import { SIGALRM, SIGEV_NONE, SIGEV_THREAD_ID, SIGKILL, SIGPROF, SIGVTALRM, SIGXCPU } from '#sentry/abi/signal.ts';
import { ITIMER_PROF, ITIMER_REAL, ITIMER_VIRTUAL, NS_PER_SECOND } from '#sentry/abi/time.ts';
import { groupCpuTimeNs, groupUserTimeNs } from '../cpu-time.ts';
import { QueueCounter } from '../signals/pending-queue.ts';
import { sendToGroup, sendToTask } from '../signals/send.ts';
import type { Task } from '../task.ts';
import type { ThreadGroup } from '../thread-group.ts';
import { IntervalTimer } from './interval-timer.ts';
import type { CpuClock } from './interval-timer.ts';

/** POSIX timers of one process, whatever its RLIMIT_SIGPENDING. */
const POSIX_TIMERS_MAX = 4096;

/** What timer_create asked for. */
export interface PosixTimerRequest {
  readonly clock: number;
  /** SIGEV_*. */
  readonly notify: number;
  readonly signo: number;
  /** The sigval; for a timer without a sigevent its id, known once it exists. */
  valueLow: number;
  readonly valueHigh: number;
  /** For SIGEV_THREAD_ID. */
  readonly target: Task | null;
  /** null for clocks of the system. */
  readonly cpu: CpuClock | null;
}

export class PosixTimer implements SignalSource {
  readonly id: number;
  readonly request: PosixTimerRequest;
  readonly timer: IntervalTimer;
  private readonly group: ThreadGroup;
  /** The signal that is queued, or null. */
  private queued: SignalInfo | null = null;
  /** What timer_getoverrun(2) tells: of the last signal taken. */
  lastOverrun = 0;

  constructor(group: ThreadGroup, id: number, request: PosixTimerRequest) {
    this.group = group;
    this.id = id;
    this.request = request;
    this.timer = new IntervalTimer(group.leader.kernel, request.cpu, () => this.expired());
  }

  /** A change of the setting makes the queued signal stale. */
  forget(): void {
    this.queued = null;
    this.lastOverrun = 0;
  }

  taken(info: SignalInfo): boolean {
    if (this.queued !== info) return false;
    this.queued = null;
    this.timer.taken();
    this.lastOverrun = this.timer.overrun;
    info.overrun = this.lastOverrun;
    return true;
  }

  private expired(): void {
    const { notify, signo, valueLow, valueHigh, target } = this.request;
    if (notify === SIGEV_NONE) {
      this.timer.taken();
      return;
    }
    // Nobody is left to signal: the timer rests until it is set again.
    if (target?.hasExited === true) return;
    const info = SignalInfo.timer(signo, this.id, valueLow, valueHigh);
    info.source = this;
    this.queued = info;
    if (notify === SIGEV_THREAD_ID) sendToTask(target!, info);
    else sendToGroup(this.group, info);
    // Dropped, since ignored or another of its kind is pending: nobody will take it, so the next period starts by itself.
    if (!isQueued(this.group, target, info)) {
      this.queued = null;
      this.timer.restLater();
    }
  }
}

function isQueued(group: ThreadGroup, target: Task | null, info: SignalInfo): boolean {
  const queue = target === null ? group.signals.pending : target.signals.pending;
  return queue.holds(info);
}

export class ProcessTimers {
  readonly posix = new Map<number, PosixTimer>();
  private readonly group: ThreadGroup;
  private readonly intervals: readonly IntervalTimer[];
  private readonly cpuLimit: IntervalTimer;
  private nextId = 0;

  constructor(group: ThreadGroup) {
    this.group = group;
    const { kernel } = group.leader;
    const send = (signo: number) => () => void sendToGroup(group, SignalInfo.kernel(signo));
    this.intervals = [
      new IntervalTimer(kernel, null, send(SIGALRM)),
      new IntervalTimer(kernel, { nowNs: () => groupUserTimeNs(group) }, send(SIGVTALRM)),
      new IntervalTimer(kernel, { nowNs: () => groupCpuTimeNs(group) }, send(SIGPROF)),
    ];
    this.cpuLimit = new IntervalTimer(kernel, { nowNs: () => groupCpuTimeNs(group) }, () => this.cpuLimitReached());
  }

  /** Of ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF. */
  interval(which: number): IntervalTimer {
    return this.intervals[which]!;
  }

  /** A signal sent to the process leaves its queue. */
  signalTaken(info: SignalInfo): void {
    if (info.signo === SIGALRM) this.interval(ITIMER_REAL).taken();
    else if (info.signo === SIGVTALRM) this.interval(ITIMER_VIRTUAL).taken();
    else if (info.signo === SIGPROF) this.interval(ITIMER_PROF).taken();
  }

  /** Looks at RLIMIT_CPU when the process has used as much as its soft limit. */
  armCpuLimit(): void {
    this.cpuLimit.set(this.group.limits.soft(RLIMIT_CPU) * NS_PER_SECOND, 0);
  }

  private cpuLimitReached(): void {
    const used = groupCpuTimeNs(this.group);
    const hard = this.group.limits.hard(RLIMIT_CPU) * NS_PER_SECOND;
    sendToGroup(this.group, SignalInfo.kernel(used >= hard ? SIGKILL : SIGXCPU));
    this.cpuLimit.set(Math.min(hard, used + NS_PER_SECOND), 0);
  }

  create(request: PosixTimerRequest): PosixTimer | number {
    // Linux: each timer owns an entry of the signal queue from the start.
    const { queued } = this.group.signals;
    const isFull = QueueCounter.isFull || queued.count >= this.group.limits.soft(RLIMIT_SIGPENDING);
    if (this.posix.size >= POSIX_TIMERS_MAX || isFull) return -EAGAIN;
    queued.add(1);
    while (this.posix.has(this.nextId)) this.nextId = (this.nextId + 1) % 0x7fff_ffff;
    const timer = new PosixTimer(this.group, this.nextId, request);
    this.posix.set(this.nextId++, timer);
    return timer;
  }

  delete(timer: PosixTimer): void {
    timer.timer.disarm();
    timer.forget();
    if (this.posix.delete(timer.id)) this.group.signals.queued.add(-1);
  }

  /** execve. */
  deletePosixTimers(): void {
    for (const timer of this.posix.values()) this.delete(timer);
  }

  /** The process has ended. */
  discard(): void {
    this.deletePosixTimers();
    for (const timer of this.intervals) timer.disarm();
    this.cpuLimit.disarm();
  }
}

/** Of the process of `task`, made on first use. */
export function timersOf(task: Task): ProcessTimers {
  return timersOfGroup(task.group);
}

function timersOfGroup(group: ThreadGroup): ProcessTimers {
  group.signals.timers ??= new ProcessTimers(group);
  return group.signals.timers;
}

/** RLIMIT_CPU was set or inherited. */
export function armCpuLimit(group: ThreadGroup): void {
  if (group.limits.soft(RLIMIT_CPU) !== Infinity || group.signals.timers !== null) timersOfGroup(group).armCpuLimit();
}
