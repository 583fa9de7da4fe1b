/**
 * A thread group: a process (Linux signal_struct plus the family links of its leader). Lives from clone until its parent has waited.
 *
 * Data only: clone.ts makes groups, exit.ts ends them, reap.ts reports what became of them, signals/ stops and continues them.
 */
import type { ControlGroup } from '../fs/cgroup/control-group.ts';
import { WaitQueue } from '../lib/wait-queue.ts';
import type { Container } from './container.ts';
import { CpuAccount } from './cpu-time.ts';
import type { ProcessGroup } from './process-group.ts';
import type { ResourceLimits } from './resource-limits.ts';
import type { SignalHandlers } from './signals/signal-handlers.ts';
import type { GroupSignals } from './signals/group-signals.ts';
import type { Task } from './task.ts';

/** `pendingStopReport` of a process that was continued, and its status as wait4(2) reports it. */
export const CONTINUED = 0xffff;

export class ThreadGroup {
  /** Process id: the leader's tid. */
  readonly pid: number;
  readonly container: Container;
  leader: Task;
  /** Living tasks, and the leader's zombie until it is reaped. */
  readonly tasks = new Set<Task>();
  /** null for a process that was started from outside, init among them. */
  parent: ThreadGroup | null;
  /** Who stands in a parent's place for such a one. */
  readonly outside: OutsideParent | null;
  readonly children = new Set<ThreadGroup>();
  processGroup: ProcessGroup;
  /** Shared by clone(CLONE_SIGHAND). */
  handlers: SignalHandlers;
  readonly signals: GroupSignals;
  limits: ResourceLimits;

  /** exit_group or a fatal signal is ending every thread. */
  exiting = false;
  /** Wait status as wait4(2) reports it; valid once `isZombie`. */
  exitStatus = 0;
  isZombie = false;
  /** Its parent has ended and init took it over: init does not control its jobs. */
  adoptedByInit = false;
  /** PR_SET_CHILD_SUBREAPER. */
  isSubreaper = false;
  /** /proc/PID/oom_score_adj. */
  oomScoreAdj = 0;
  /** The group guests put it into (sentry/fs/cgroup); null: its container's own. */
  controlGroup: ControlGroup | null = null;
  /** Has called execve since fork (setpgid by the parent fails with EACCES then). */
  hasExeced = false;
  /** Notified when a child changes state (exit, stop, continue). Mask 1. */
  readonly childEvents = new WaitQueue();
  /** Notified when this process has ended: pidfds. */
  readonly ended = new WaitQueue();
  /** A change not yet reported to wait4: the signal that stopped it (WUNTRACED), CONTINUED (WCONTINUED), or 0 for none. */
  pendingStopReport = 0;

  // Accounting, in nanoseconds; see cpu-time.ts.
  readonly cpu = new CpuAccount();
  systemTimeNs = 0;
  childrenUserTimeNs = 0;
  childrenSystemTimeNs = 0;

  /** CPU time of all its threads. */
  get userTimeNs(): number {
    return this.cpu.usedNs;
  }

  constructor(pid: number, init: ThreadGroupInit) {
    this.pid = pid;
    this.leader = undefined as unknown as Task; // set by the kernel right after the leader is made
    this.container = init.container;
    this.parent = init.parent;
    this.outside = init.outside ?? null;
    this.processGroup = init.processGroup;
    this.handlers = init.handlers;
    this.signals = init.signals;
    this.limits = init.limits;
  }
}

/** Where a process that was started from outside has its parent: whoever runs the sandbox is told what wait4(2) would tell. */
export interface OutsideParent {
  /** It has ended and is gone; `waitStatus` as of wait4(2). */
  exited?(waitStatus: number): void;
  /** It was stopped by a signal. Missing where nobody would continue it: job control's signals do not stop it then (POSIX, orphaned groups). */
  stopped?(): void;
}

export interface ThreadGroupInit {
  readonly container: Container;
  readonly parent: ThreadGroup | null;
  readonly outside?: OutsideParent | null;
  readonly processGroup: ProcessGroup;
  readonly handlers: SignalHandlers;
  readonly signals: GroupSignals;
  readonly limits: ResourceLimits;
}
