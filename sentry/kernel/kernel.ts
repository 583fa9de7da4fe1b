/**
 * The kernel: what all tasks share, and the loop that everything happens in. The process table is that of each container (container.ts).
 *
 * One JavaScript thread runs this loop for the life of the sandbox. `run` waits for a guest thread to stop, serves it to completion, lets
 * it go on, and repeats; what became runnable in between (a reader whose pipe filled, an expired timer) is served first. Nothing here
 * awaits, and no handler is ever interrupted by another.
 *
 *     serve → dispatch(task) → a value: stored, signals delivered, thread resumed
 *                            → BLOCKED: the task sits in wait queues until `makeRunnable`, then the same handler runs again
 *
 * The system call table lies above this layer and is given as `SyscallDispatch`.
 */
import type { SignalInfo } from '#sentry/abi/siginfo.ts';
import { ERESTARTSYS } from '#sentry/abi/errno.ts';
import { StopKind } from '#platform/contract/platform.ts';
import type { GuestThread, Platform } from '#platform/contract/platform.ts';
import { FIRST_USER_TOKEN } from '#platform/contract/host.ts';
import type { Host, HostFd, HostMemory } from '#platform/contract/host.ts';
import { TimerQueue } from '../lib/timer-queue.ts';
import { MemoryBudget } from '../mm/memory-budget.ts';
import { CELL_SIZE } from '../mm/user-memory.ts';
import { AnonymousFiles } from '../fs/anonymous/anonymous-files.ts';
import { SocketFamilies } from '../fs/socket/socket.ts';
import { UnixFamily } from '../fs/unix/unix-family.ts';
import { interfaceIoctl } from '../fs/inet/interface-ioctl.ts';
import { InternetFamily } from '../fs/inet/inet-family.ts';
import { Network } from '../fs/inet/network.ts';
import { NetlinkFamily } from '../fs/netlink/netlink-family.ts';
import { PacketFamily } from '../fs/packet/packet-family.ts';
import { AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX } from '#sentry/abi/socket.ts';
import type { MachineView } from '../fs/proc/process-view.ts';
import type { HostEvents } from '../fs/host-file/host-events.ts';
import { KnownBinaries } from './exec/binary.ts';
import { Container } from './container.ts';
import type { ContainerOptions } from './container.ts';
import { deliverSignals, holdResult, needsDelivery } from './signals/deliver.ts';
import { IpcNamespace } from './ipc/ipc-namespace.ts';
import { forceFault } from './signals/fault.ts';
import { killEverything, taskVanished } from './exit.ts';
import type { Task } from './task.ts';
import { TaskState } from './task.ts';
import { BLOCKED, REGISTERS_SET } from './wait.ts';

/** Serves the call a task is stopped at: a result, BLOCKED or REGISTERS_SET. */
export type SyscallDispatch = (task: Task) => number;

export interface KernelOptions {
  readonly host: Host;
  readonly platform: Platform;
  readonly dispatch: SyscallDispatch;
  /** AT_HWCAP, AT_HWCAP2, AT_MINSIGSTKSZ of the host, for the auxiliary vector of guests. */
  readonly hardwareCapabilities: readonly [number, number];
  readonly minimumSignalStack: number;
  /** Bytes guests may use together; Infinity for no limit. */
  readonly memoryLimit: number;
  /** What guests may know of the machine. */
  readonly machine: MachineView;
  /** Called for each signal the host sent to the sandbox as a whole. */
  readonly onHostSignal: (kernel: Kernel, signo: number) => void;
  /** Told of each signal a task takes, with the result of the call it ends, if it was in one (--strace). */
  readonly onSignal?: (task: Task, info: SignalInfo, result: number | null) => void;
}

/** Staging memory shared by all handlers: large enough for one read or write step. */
export const SCRATCH_SIZE = 1 << 20;

/** Tasks served in a row before guests and the host are looked at. */
const RUNNABLE_BATCH = 256;
/** A deadline that has passed already. */
const AT_ONCE = 1;
/** Results above this one are nothing but results: no restart of the call, not BLOCKED, not REGISTERS_SET. */
const SPECIAL_RESULTS = -ERESTARTSYS;

interface WatchedFd {
  readonly token: number;
  readonly callback: (events: number) => void;
}

export class Kernel implements HostEvents {
  readonly host: Host;
  readonly platform: Platform;
  readonly options: KernelOptions;
  private readonly dispatch: SyscallDispatch;
  readonly timers = new TimerQueue();
  /** Pipes, sockets, epoll and the like: what they share. */
  readonly anonymous: AnonymousFiles;
  readonly sockets = new SocketFamilies();
  readonly network: Network;
  readonly scratch: HostMemory;
  /** The cell of every `UserMemory`: used within one copy only. */
  readonly cell: HostMemory;

  /** Those that have not ended, by id. */
  readonly containers = new Map<string, Container>();
  /** The first container: its end is the sandbox's. */
  first: Container | null = null;
  /** Wait status of the first container's init once that container has ended. */
  exitStatus: number | null = null;
  /** Threads of all containers, zombies included. */
  taskCount = 0;
  readonly bootTimeNs: number;
  readonly memoryBudget: MemoryBudget;
  readonly knownBinaries = new KnownBinaries();
  readonly ipc: IpcNamespace;
  /** Names in /proc/filesystems. */
  readonly fileSystemTypes: readonly string[] = [
    'proc',
    'sysfs',
    'tmpfs',
    'devtmpfs',
    'devpts',
    'mqueue',
    'overlay',
    'pipefs',
    'sockfs',
    'anon_inodefs',
  ];

  // The run queue, linked through `Task.nextRunnable`.
  private firstRunnable: Task | null = null;
  private lastRunnable: Task | null = null;
  /** What the host's alarm was last set to. */
  private alarmNs = NaN;
  private readonly watched = new Map<HostFd, WatchedFd>();
  private readonly callbacks = new Map<number, (events: number) => void>();
  private nextToken = FIRST_USER_TOKEN;
  private readonly events = new Int32Array(128);

  constructor(options: KernelOptions) {
    this.options = options;
    this.dispatch = options.dispatch;
    this.host = options.host;
    this.platform = options.platform;
    this.scratch = options.host.allocate(SCRATCH_SIZE);
    this.cell = options.host.allocate(CELL_SIZE);
    this.memoryBudget = new MemoryBudget(options.memoryLimit);
    this.ipc = new IpcNamespace(options.host, this.memoryBudget);
    this.anonymous = new AnonymousFiles(options.host, this.timers, this.memoryBudget);
    this.network = new Network(options.host, this.timers);
    this.sockets.register(AF_UNIX, new UnixFamily(this.anonymous, this.network.settings));
    this.anonymous.interfaceIoctl = (request, argument, caller) => interfaceIoctl(this.network, request, argument, caller);
    const internet = { files: this.anonymous, network: this.network };
    this.sockets.register(AF_NETLINK, new NetlinkFamily(internet));
    this.sockets.register(AF_PACKET, new PacketFamily(internet));
    for (const domain of [AF_INET, AF_INET6]) this.sockets.register(domain, new InternetFamily(internet, domain));
    this.bootTimeNs = options.host.monotonicNs();
  }

  get machine(): MachineView {
    return this.options.machine;
  }

  /** Bytes of memory guests use, for /proc/meminfo. */
  get memoryUsed(): number {
    return this.memoryBudget.used;
  }

  /**
   * A new container, without a process yet. The first one is the sandbox's own. Later ones come and go while the kernel runs.
   * Spec: pid_namespaces(7) and uts_namespaces(7), of which it gets one each.
   */
  addContainer(id: string, options: ContainerOptions): Container {
    if (this.containers.has(id)) throw new Error(`there is a container ${id} already`);
    const container = new Container(this, id, options);
    this.containers.set(id, container);
    this.first ??= container;
    return container;
  }

  /** `container` is given up before it had a process. */
  removeContainer(container: Container): void {
    this.containers.delete(container.id);
  }

  /** All of `container` is gone; its init ended with `waitStatus`. */
  containerEnded(container: Container, waitStatus: number): void {
    this.containers.delete(container.id);
    if (container === this.first) this.exitStatus = waitStatus;
    container.onEnd?.(waitStatus);
  }

  /** Runs until the first container has ended; returns its init's wait status. */
  run(): number {
    const { platform, timers, network } = this;
    while (this.exitStatus === null) {
      // What the last call sent arrives now, and may make others runnable.
      if (network.isDue) network.run();
      if (this.firstRunnable !== null) {
        this.serveRunnable();
        if (this.exitStatus !== null) break;
      }
      const alarmNs = this.firstRunnable === null && !network.isDue ? timers.nextDeadline : AT_ONCE;
      if (alarmNs !== this.alarmNs) this.setAlarm(alarmNs);
      const stopped = platform.wait();
      if (stopped === null) this.serveHost();
      else this.serveStop(stopped);
    }
    killEverything(this);
    return this.exitStatus;
  }

  private setAlarm(deadlineNs: number): void {
    this.alarmNs = deadlineNs;
    this.host.setAlarm(deadlineNs);
  }

  /** Has the kernel look at `task` again: its blocked call is retried, or it goes back to guest code. */
  makeRunnable(task: Task): void {
    if (task.runnable || task.hasExited) return;
    task.runnable = true;
    if (this.lastRunnable === null) this.firstRunnable = task;
    else this.lastRunnable.nextRunnable = task;
    this.lastRunnable = task;
  }

  /** Lets a new task run guest code, unless signals, a pause or its end say otherwise. */
  start(task: Task): void {
    if (!task.hasExited) this.returnToGuest(task, null);
  }

  // HostEvents
  watch(fd: HostFd, events: number, callback: (events: number) => void): number {
    this.unwatch(fd);
    const token = this.nextToken++;
    const result = this.host.watch(fd, events, token);
    if (result < 0) return result;
    this.watched.set(fd, { token, callback });
    this.callbacks.set(token, callback);
    return 0;
  }

  unwatch(fd: HostFd): void {
    const entry = this.watched.get(fd);
    if (entry === undefined) return;
    this.watched.delete(fd);
    this.callbacks.delete(entry.token);
    this.host.unwatch(fd);
  }

  private serveRunnable(): void {
    // Bounded: tasks that keep waking each other must not keep the loop from guests and the host.
    for (let budget = RUNNABLE_BATCH; budget > 0; budget--) {
      const task = this.firstRunnable;
      if (task === null) return;
      this.firstRunnable = task.nextRunnable;
      if (this.firstRunnable === null) this.lastRunnable = null;
      task.nextRunnable = null;
      task.runnable = false;
      if (task.hasExited || (task.signals.work !== 0 && this.isHeld(task))) continue;
      if (task.wait.waiting) this.retry(task);
      else if (!task.inGuest) this.returnToGuest(task, null);
      if (this.exitStatus !== null) return;
      if (this.network.isDue) this.network.run();
    }
  }

  private serveHost(): void {
    const { events, host } = this;
    const count = host.takeEvents(events);
    for (let i = 0; i < count; i++) this.callbacks.get(events[2 * i]!)?.(events[2 * i + 1]!);
    for (let signo = host.takeSignal(); signo !== 0; signo = host.takeSignal()) this.options.onHostSignal(this, signo);
    this.timers.expire(host.monotonicNs());
  }

  private serveStop(thread: GuestThread): void {
    const task = thread.owner as Task | null;
    if (task === null || task.thread !== thread) {
      thread.release(); // its task moved on to another thread, or ended while this one still ran
      return;
    }
    task.inGuest = false;
    if (thread.stop === StopKind.Syscall && task.signals.work === 0) {
      this.finishCall(task, this.dispatch(task));
      return;
    }
    if (task.hasExited) {
      thread.release();
      return;
    }
    if (task.signals.isFrozen && thread.stop !== StopKind.Gone) {
      this.holdStop(task);
      return;
    }
    switch (thread.stop) {
      case StopKind.Syscall:
        this.finishCall(task, this.dispatch(task));
        return;
      case StopKind.Fault:
        forceFault(task, thread.fault);
        this.returnToGuest(task, null);
        return;
      case StopKind.Interrupted:
      case StopKind.Idle:
        this.returnToGuest(task, null);
        return;
      case StopKind.Gone:
        taskVanished(task);
        return;
      default:
        thread.stop satisfies never;
    }
  }

  /** A task of a paused container has stopped: the stop is served when the container is resumed. */
  private holdStop(task: Task): void {
    task.signals.hasHeldStop = true;
    if (task.thread.stop === StopKind.Syscall) task.thread.leaveWaiting?.();
    task.container.freezer.stopped(task);
  }

  /** Whether `task`, which came up in the run queue, has to stay where it is, or has been served the stop that was held. */
  private isHeld(task: Task): boolean {
    const { signals } = task;
    if (signals.isFrozen) {
      signals.hasHeldWake = true;
      return true;
    }
    if (!signals.hasHeldStop) return false;
    signals.hasHeldStop = false;
    this.serveStop(task.thread);
    return true;
  }

  private retry(task: Task): void {
    task.wait.detach();
    task.state = TaskState.Running;
    this.finishCall(task, this.dispatch(task));
  }

  private finishCall(task: Task, result: number): void {
    // Nearly always: a result, and nothing else to do. (A task that has ended has work, too.)
    if (result > SPECIAL_RESULTS && task.signals.work === 0) {
      task.wait.finish();
      task.inGuest = true;
      const { thread } = task;
      thread.setResult(result);
      thread.resume();
      return;
    }
    this.finishUnusual(task, result);
  }

  private finishUnusual(task: Task, result: number): void {
    if (task.hasExited) return;
    if (result === BLOCKED) {
      if (!this.mustStopWaiting(task)) {
        task.wait.settle();
        task.state = task.wait.uninterruptible ? TaskState.DiskSleep : TaskState.Sleeping;
        task.thread.leaveWaiting?.();
        return;
      }
      task.wait.detach();
      result = task.wait.interruptResult();
    }
    task.wait.finish();
    this.returnToGuest(task, result === REGISTERS_SET ? null : result);
  }

  private mustStopWaiting(task: Task): boolean {
    if (task.wait.uninterruptible) return task.signals.isKilled;
    if (!task.signals.needsAttention) return false;
    // Another thread may have taken the signal meanwhile.
    task.signals.recalculate();
    return task.signals.needsAttention;
  }

  /** `result` of the call just served, or null when there is none to store. */
  private returnToGuest(task: Task, result: number | null): void {
    if (needsDelivery(task, result)) {
      if (task.signals.isFrozen) {
        holdResult(task, result);
        task.signals.hasHeldWake = true;
        return;
      }
      deliverSignals(task, result);
      if (task.hasExited || task.state === TaskState.Stopped) return;
    } else if (result !== null) {
      task.thread.setResult(result);
    }
    task.state = TaskState.Running;
    task.inGuest = true;
    task.thread.resume();
  }
}
