/**
 * A container: processes that came from one init, or were started beside it from outside, with their PID namespace, host name, limits and
 * accounts. A sandbox has one or, as a pod, several; the network and System V IPC belong to the sandbox.
 *
 *     const container = kernel.addContainer('c1', { hostname: 'c1' });
 *     const init = createProcess(kernel, container, …);        // boot.ts: pid 1; install descriptors, execve
 *     kernel.start(init);
 *     const shell = createProcess(kernel, container, …);       // from outside: no parent, and `onExit` is told how it ended
 *
 * When init ends, everything else in the container is killed; when all of it is gone, `onEnd` is called, once.
 *
 * Spec: pid_namespaces(7); the OCI runtime specification's "Lifecycle"; Linux kernel/pid_namespace.c (zap_pid_ns_processes).
 */
import type { IdRange } from '#sentry/abi/id-range.ts';
import { MemoryBudget } from '../mm/memory-budget.ts';
import type { Kernel } from './kernel.ts';
import { Freezer } from './pause.ts';
import { PidNamespace } from './pid-namespace.ts';
import type { Task } from './task.ts';
import type { ThreadGroup } from './thread-group.ts';
import { UtsNamespace } from './uts-namespace.ts';

export interface ContainerOptions {
  /** sethostname(2) of its first processes; a byte string. */
  readonly hostname: string;
  /** setdomainname(2); '(none)' as Linux starts with when left out. */
  readonly domainname?: string;
  /** Threads at once; no limit of its own when left out. */
  readonly pidsMax?: number;
  /** Bytes its processes may commit together; no limit of its own when left out. */
  readonly memoryLimit?: number;
  /** The PID namespace of another container, to be shared (a pod with shareProcessNamespace); a new one when left out. */
  readonly pids?: PidNamespace;
  /** Its user namespace, as /proc/PID/uid_map and gid_map tell; everybody's numbers are the host's when left out. */
  readonly userMap?: readonly IdRange[];
  readonly groupMap?: readonly IdRange[];
}

const ALL_IDS: readonly IdRange[] = [{ containerID: 0, hostID: 0, size: 0xffff_ffff }];

/** What a container has used and uses. */
export interface ContainerUsage {
  /** CPU time of all its processes, those that ended included, in nanoseconds. */
  readonly cpuNs: number;
  /** Memory committed by its processes (memory-budget.ts), in bytes. */
  readonly memoryBytes: number;
  /** Threads, zombies included. */
  readonly tasks: number;
}

export class Container {
  // Fixed.
  readonly id: string;
  readonly kernel: Kernel;
  readonly pids: PidNamespace;
  readonly uts: UtsNamespace;
  readonly memoryBudget: MemoryBudget;
  readonly userMap: readonly IdRange[];
  readonly groupMap: readonly IdRange[];

  /** Threads at once: clone(2) fails with EAGAIN beyond. */
  pidsMax: number;
  /** The first process, once there is one. */
  init: ThreadGroup | null = null;
  /** Wait status of init once it has ended. */
  exitStatus: number | null = null;
  /** Called once: init has ended (with this wait status) and every other process is gone. */
  onEnd: ((waitStatus: number) => void) | null = null;

  /** No thread goes on in guest code: pause.ts. */
  paused = false;
  readonly freezer = new Freezer();
  /** Processes that have not ended. */
  readonly living = new Set<ThreadGroup>();
  /** Threads, zombies included. */
  taskCount = 0;
  /** The most there have been at once, and clones refused because of `pidsMax`. */
  taskPeak = 0;
  taskRefusals = 0;
  /** CPU time of processes that have ended. */
  private endedCpuNs = 0;

  constructor(kernel: Kernel, id: string, options: ContainerOptions) {
    this.kernel = kernel;
    this.id = id;
    this.pids = options.pids ?? new PidNamespace();
    this.uts = new UtsNamespace(options.hostname, options.domainname ?? '(none)');
    this.userMap = options.userMap ?? ALL_IDS;
    this.groupMap = options.groupMap ?? ALL_IDS;
    this.pidsMax = options.pidsMax ?? Infinity;
    this.memoryBudget = new MemoryBudget(options.memoryLimit ?? Infinity, kernel.memoryBudget);
  }

  /** A task is born. */
  enter(task: Task): void {
    this.pids.tasks.set(task.tid, task);
    if (this.paused) task.signals.isFrozen = true;
    this.taskCount++;
    if (this.taskCount > this.taskPeak) this.taskPeak = this.taskCount;
    this.kernel.taskCount++;
  }

  /** A task is gone for good, and so is its number unless something else bears it. */
  leave(task: Task): void {
    this.pids.tasks.delete(task.tid);
    this.pids.freeId(task.tid);
    this.taskCount--;
    this.kernel.taskCount--;
  }

  /** A process is born. */
  enterGroup(group: ThreadGroup): void {
    this.pids.groups.set(group.pid, group);
    this.living.add(group);
  }

  /** A process has ended; its zombie stays. */
  endGroup(group: ThreadGroup): void {
    this.living.delete(group);
    this.endedCpuNs += group.userTimeNs;
  }

  usage(): ContainerUsage {
    let cpuNs = this.endedCpuNs;
    for (const group of this.living) cpuNs += group.userTimeNs;
    return { cpuNs, memoryBytes: this.memoryBudget.used, tasks: this.taskCount };
  }
}
