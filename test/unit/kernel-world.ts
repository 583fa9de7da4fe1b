/**
 * A kernel on the fake platform for unit tests of system calls: tasks that are played by the test, without a file system.
 *
 *     const world = new KernelWorld();
 *     const task = world.process();                              // pid 1, 2, …
 *     world.call(task, 'kill', task.tid, SIGUSR1);               // a result, or 'blocked'
 *     world.step();                                              // timers and whatever became runnable
 */
import { FakeHost } from '#platform/fake/fake-host.ts';
import { FakePlatform } from '#platform/fake/fake-platform.ts';
import type { FakeThread } from '#platform/fake/fake-platform.ts';
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '#sentry/abi/mman.ts';
import { Reg, USER_CS, USER_SS, setReg } from '#sentry/abi/x64/registers.ts';
import type { Container } from '#sentry/kernel/container.ts';
import { register } from '#sentry/kernel/clone.ts';
import { FdTable } from '#sentry/kernel/fd-table.ts';
import { createSession } from '#sentry/kernel/job-control.ts';
import { Kernel } from '#sentry/kernel/kernel.ts';
import { ResourceLimits } from '#sentry/kernel/resource-limits.ts';
import { GroupSignals } from '#sentry/kernel/signals/group-signals.ts';
import { SignalHandlers } from '#sentry/kernel/signals/signal-handlers.ts';
import { Task } from '#sentry/kernel/task.ts';
import type { TaskInit } from '#sentry/kernel/task.ts';
import { ThreadGroup } from '#sentry/kernel/thread-group.ts';
import { AddressSpace } from '#sentry/mm/address-space.ts';
import { SyscallTable } from '#sentry/syscalls/dispatch.ts';
import { ALL_ROWS } from '#sentry/syscalls/table.ts';
import { ALL_CAPABILITIES, initialCredentials } from '#sentry/vfs/credentials.ts';
import type { FsContext } from '#sentry/vfs/fs-context.ts';

/** Memory every process of this world has: readable and writable. */
export const DATA = 0x10_0000;
export const DATA_SIZE = 0x10_0000;
/** Where the stack pointer starts. */
export const STACK = DATA + DATA_SIZE - 0x1000;
/** Where guest code seems to be. */
export const CODE = 0x40_0000;

const table = new SyscallTable(ALL_ROWS, 'x64');
const numbers = new Map(ALL_ROWS.filter((row) => row.nr.x64 !== undefined).map((row) => [row.name, row.nr.x64!]));

export class KernelWorld {
  readonly host = new FakeHost();
  readonly platform = new FakePlatform(this.host);
  readonly kernel: Kernel;
  readonly container: Container;

  constructor() {
    this.kernel = new Kernel({
      host: this.host,
      platform: this.platform,
      dispatch: (task) => table.dispatch(task),
      hardwareCapabilities: [0, 0],
      minimumSignalStack: 2048,
      memoryLimit: Infinity,
      machine: {} as Kernel['options']['machine'],
      onHostSignal: () => {},
    });
    this.container = this.kernel.addContainer('test', { hostname: 'host' });
  }

  /** A process of its own, running; a child of `parent`. */
  process(parent: Task | null = null, uid = 0, container = this.container): Task {
    const { kernel } = this;
    const thread = this.platform.createSpace();
    const pid = container.pids.allocate();
    const group = new ThreadGroup(pid, {
      container,
      parent: parent?.group ?? null,
      processGroup: parent?.group.processGroup ?? createSession(container.pids, pid),
      handlers: new SignalHandlers(),
      signals: new GroupSignals(),
      limits: ResourceLimits.initial(),
    });
    const mm = new AddressSpace(thread.space, this.platform.limits, kernel.cell, container.memoryBudget);
    thread.mmap(DATA, DATA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const task = this.makeTask(thread, pid, group, mm, uid);
    register(task, group);
    if (parent === null) {
      container.init ??= group;
      container.pids.init ??= group;
    }
    kernel.start(task);
    return task;
  }

  /** Another thread of `task`'s process. */
  thread(task: Task): Task {
    const host = (task.thread as FakeThread).spawn();
    const thread = this.makeTask(host, task.pids.allocate(), task.group, task.mm.acquire(), task.credentials.uid);
    register(thread, null);
    this.kernel.start(thread);
    return thread;
  }

  private makeTask(thread: FakeThread, tid: number, group: ThreadGroup, mm: AddressSpace, uid: number): Task {
    const fs = { acquire: () => fs, release: () => {}, fork: () => fs } as unknown as FsContext;
    const init: TaskInit = {
      thread,
      group,
      mm,
      fs,
      credentials: initialCredentials(uid, uid, [], ALL_CAPABILITIES),
      name: 'test',
      files: new FdTable(),
      uts: group.container.uts,
    };
    const task = new Task(this.kernel, tid, init);
    const regs = thread.registers();
    setReg(regs, Reg.rip, CODE);
    setReg(regs, Reg.rsp, STACK);
    setReg(regs, Reg.cs, USER_CS);
    setReg(regs, Reg.ss, USER_SS);
    return task;
  }

  /** Makes a system call from guest code: its result once the thread runs again, 'blocked', 'stopped' or 'exited'. */
  call(task: Task, name: string, ...args: readonly number[]): number | 'blocked' | 'stopped' | 'exited' {
    const thread = task.thread as FakeThread;
    thread.syscall(numbers.get(name)!, ...args);
    this.step();
    return this.outcome(task);
  }

  outcome(task: Task): number | 'blocked' | 'stopped' | 'exited' {
    if (task.hasExited) return 'exited';
    if (task.state === 'T') return 'stopped';
    const thread = task.thread as FakeThread;
    return thread.running ? thread.result() : 'blocked';
  }

  /** Serves everything that is pending now, without waiting for a deadline. */
  step(): void {
    const { kernel, platform } = this;
    const stops = kernel as unknown as { serveRunnable(): void; serveStop(thread: FakeThread): void };
    for (let rounds = 0; rounds < 100; rounds++) {
      stops.serveRunnable();
      kernel.timers.expire(this.host.nowNs);
      if (platform.pendingStops === 0 && kernel.timers.nextDeadline > this.host.nowNs) break;
      if (platform.pendingStops > 0) stops.serveStop(platform.wait()!);
    }
    stops.serveRunnable();
  }

  /** Moves the clock and serves what comes due. */
  advance(ns: number): void {
    this.host.nowNs += ns;
    this.step();
  }

  /** Guest memory of `task` as a view of a copy. */
  peek(task: Task, address: number, length: number): DataView {
    const memory = this.host.allocate(length);
    if (task.memory.copyIn(address, memory, 0, length) < 0) throw new Error(`no memory at ${address.toString(16)}`);
    return memory.view;
  }

  poke(task: Task, address: number, words: readonly number[]): void {
    words.forEach((word, i) => {
      if (task.memory.storeU32(address + 4 * i, word >>> 0) < 0) throw new Error(`no memory at ${address.toString(16)}`);
    });
  }
}
