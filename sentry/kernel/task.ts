/**
 * A task: one guest thread as the kernel sees it (Linux task_struct). What threads of a process share hangs on `group`; what clone(2) can
 * share piecemeal (`files`, `fs`, `mm`, `signalHandlers`) are objects with reference counts.
 */
import type { GuestThread } from '#platform/contract/platform.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import { SIGCHLD } from '#sentry/abi/signal.ts';
import type { Credentials } from '../vfs/credentials.ts';
import type { FsContext } from '../vfs/fs-context.ts';
import type { Caller } from '../vfs/inode.ts';
import type { AddressSpace } from '../mm/address-space.ts';
import type { UserMemory } from '../mm/user-memory.ts';
import { UserIo } from '../mm/io.ts';
import { WaitQueue } from '../lib/wait-queue.ts';
import type { Container } from './container.ts';
import type { FdTable } from './fd-table.ts';
import type { ShmSegment } from './ipc/shm-segment.ts';
import type { UndoList } from './ipc/undo-list.ts';
import type { Kernel } from './kernel.ts';
import type { PidNamespace } from './pid-namespace.ts';
import type { ThreadGroup } from './thread-group.ts';
import type { UtsNamespace } from './uts-namespace.ts';
import { DEFAULT_SCHEDULING } from './scheduling.ts';
import type { Scheduling } from './scheduling.ts';
import type { SeccompFilter } from './seccomp/filter.ts';
import { TaskSignals } from './signals/task-signals.ts';
import { CallWait } from './wait.ts';

/** What a task is doing, as /proc/PID/stat shows it. */
export const TaskState = {
  /** Runs guest code, or is about to. */
  Running: 'R',
  /** Waits in a system call. */
  Sleeping: 'S',
  /** Waits and only SIGKILL can end it. */
  DiskSleep: 'D',
  /** Stopped by a job-control signal. */
  Stopped: 'T',
  /** Exited, not yet waited for. */
  Zombie: 'Z',
  Dead: 'X',
} as const;
export type TaskState = (typeof TaskState)[keyof typeof TaskState];

export class Task implements Caller {
  // Immutable.
  readonly kernel: Kernel;
  /** Changes only when a thread other than the leader calls execve and takes the leader's place. */
  tid: number;
  readonly startTimeNs: number;

  // Owned by the task.
  /** The host thread that runs it; replaced by execve. Not to be used once the task has exited. */
  thread: GuestThread;
  state: TaskState = TaskState.Running;
  private currentCredentials: Credentials;
  private currentSeccomp: SeccompFilter | null = null;
  /** comm: at most 15 bytes. */
  name: string;
  readonly signals: TaskSignals;
  readonly wait: CallWait;
  /** For system calls that move user buffers; one at a time. */
  readonly io = new UserIo();
  /** In the kernel's run queue already. */
  runnable = false;
  /** Who comes after it there. */
  nextRunnable: Task | null = null;
  /** Its host thread is running guest code now. */
  inGuest = false;
  /** set_tid_address / CLONE_CHILD_CLEARTID: 0 or a guest address. */
  clearChildTid = 0;
  /** set_robust_list: 0 or the guest address of the list head. */
  robustList = 0;
  parentDeathSignal = 0;
  /** The thread that made this process, or inherited it: its end triggers `parentDeathSignal`. */
  parentTask: Task | null = null;
  /** Signal the parent gets when this task's group ends (clone's exit signal). */
  exitSignal = SIGCHLD;
  /** The call to go on with through restart_syscall: nanosleep and kin store it when interrupted. */
  restartCall: ((task: Task) => number) | null = null;
  /** Woken when a vfork child execs or exits. */
  readonly vforkDone = new WaitQueue();
  /** The vfork parent that waits for us, or null. */
  vforkParent: Task | null = null;
  niceness = 0;
  /** personality(2). */
  personality = 0;
  /** Policy, affinity and the like. */
  scheduling: Scheduling = DEFAULT_SCHEDULING;
  /** CPU time spent before the last stop, filled from host accounting where known. */
  userTimeNs = 0;
  minorFaults = 0;
  /** What it takes back of its semaphore operations at its end; shared by clone(CLONE_SYSVSEM). */
  semaphoreUndo: UndoList | null = null;
  /** Shared memory segments it made, while they are there. */
  segments: Set<ShmSegment> | null = null;

  // Shared with other tasks.
  group: ThreadGroup;
  mm: AddressSpace;
  files: FdTable;
  fs: FsContext;
  uts: UtsNamespace;

  constructor(kernel: Kernel, tid: number, init: TaskInit) {
    this.kernel = kernel;
    this.tid = tid;
    this.startTimeNs = kernel.host.monotonicNs();
    this.thread = init.thread;
    this.currentCredentials = init.credentials;
    this.name = init.name;
    this.group = init.group;
    this.mm = init.mm;
    this.files = init.files;
    this.fs = init.fs;
    this.uts = init.uts;
    this.signals = new TaskSignals(this);
    this.wait = new CallWait(kernel.host, kernel.timers, () => kernel.makeRunnable(this));
    init.thread.owner = this;
  }

  get credentials(): Credentials {
    return this.currentCredentials;
  }

  set credentials(credentials: Credentials) {
    this.currentCredentials = credentials;
    this.thread.forgetAnswers?.();
  }

  /** What says which calls it may make; null: all. Set by kernel/seccomp/install.ts, which counts the users of filters. */
  get seccomp(): SeccompFilter | null {
    return this.currentSeccomp;
  }

  set seccomp(filter: SeccompFilter | null) {
    this.currentSeccomp = filter;
    this.thread.forgetAnswers?.();
  }

  /** The caller's own view for /proc/self and the like: see `Caller.task`. */
  get task(): this {
    return this;
  }

  /** Guest memory of this task. */
  get memory(): UserMemory {
    return this.mm.memory;
  }

  /** Shared staging memory for small structs and for file data; valid until the handler returns. */
  get scratch(): HostMemory {
    return this.kernel.scratch;
  }

  get container(): Container {
    return this.group.container;
  }

  /** Whose numbers this task goes by. */
  get pids(): PidNamespace {
    return this.group.container.pids;
  }

  get isLeader(): boolean {
    return this.group.leader === this;
  }

  get hasExited(): boolean {
    return this.state === TaskState.Zombie || this.state === TaskState.Dead;
  }
}

export interface TaskInit {
  readonly thread: GuestThread;
  readonly credentials: Credentials;
  readonly name: string;
  readonly group: ThreadGroup;
  readonly mm: AddressSpace;
  readonly files: FdTable;
  readonly fs: FsContext;
  readonly uts: UtsNamespace;
}
