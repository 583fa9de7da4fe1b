/**
 * Processes that are made from nothing, where every other one is cloned: a container's init, and those started in it from outside later.
 *
 *     const task = createProcess(kernel, container, options);      // then its descriptors, directory, terminal
 *     execve(task, { file, path, args, environment });             // fails: discardProcess(task)
 *     kernel.start(task);
 *
 * The first one is the container's init: number 1 of its PID namespace, whose end is the container's. A later one is what `runc exec` makes:
 * in the container, but without a parent in it (getppid(2) is 0), leader of a session of its own. Nobody waits for it: when it ends it is gone
 * at once, and `outside.exited` is told how.
 */
import { EAGAIN, ESRCH } from '#sentry/abi/errno.ts';
import { RLIMIT_NOFILE } from '#sentry/abi/resource.ts';
import { SIGKILL } from '#sentry/abi/signal.ts';
import { AddressSpace } from '../mm/address-space.ts';
import { TASKS_MAX } from '../limits.ts';
import type { Credentials } from '../vfs/credentials.ts';
import { FsContext } from '../vfs/fs-context.ts';
import type { MountNamespace } from '../vfs/mount-namespace.ts';
import type { Path } from '../vfs/mount.ts';
import { register } from './clone.ts';
import type { Container } from './container.ts';
import { exitGroup } from './exit.ts';
import { FdTable } from './fd-table.ts';
import { createSession } from './job-control.ts';
import type { Kernel } from './kernel.ts';
import { ResourceLimits } from './resource-limits.ts';
import { GroupSignals } from './signals/group-signals.ts';
import { SignalHandlers } from './signals/signal-handlers.ts';
import { Task } from './task.ts';
import { ThreadGroup } from './thread-group.ts';
import type { OutsideParent } from './thread-group.ts';

export interface ProcessOptions {
  /** Ids, capabilities and no_new_privs as they are before execve(2), which changes them as it always does. */
  readonly credentials: Credentials;
  readonly namespace: MountNamespace;
  readonly root: Path;
  /** `root` when left out. */
  readonly cwd?: Path;
  readonly umask: number;
  /** Resource limits that differ from what init has by default: RLIMIT_*, soft, hard (bytes, counts, seconds or Infinity). */
  readonly limits?: readonly (readonly [resource: number, soft: number, hard: number])[];
  /** /proc/PID/oom_score_adj, -1000 to 1000. */
  readonly oomScoreAdj?: number;
  /** personality(2). */
  readonly personality?: number;
  /** Whether an init is deaf to signals that it has no handler for, as pid_namespaces(7) has it; true when left out. Others never are. */
  readonly unkillable?: boolean;
  /** Who is told of its end and its stops. */
  readonly outside?: OutsideParent;
}

/**
 * Makes a process with an empty program, which has not run. The caller installs descriptors, sets the working directory and the controlling
 * terminal, calls `execve`, then `kernel.start`.
 *
 * Returns -EAGAIN when the host, the sandbox or `pidsMax` of the container gives no more process, -ESRCH when the container has ended.
 */
export function createProcess(kernel: Kernel, container: Container, options: ProcessOptions): Task | number {
  const { pids } = container;
  if (container.init?.exiting === true || pids.init?.exiting === true) return -ESRCH;
  if (kernel.taskCount >= TASKS_MAX || container.taskCount >= container.pidsMax) return -EAGAIN;
  const thread = kernel.platform.createSpace();
  if (typeof thread === 'number') return thread;
  const pid = pids.allocate();
  if (pid < 0) {
    thread.space.kill();
    return -EAGAIN;
  }
  const isInit = container.init === null;
  const group = makeGroup(container, pid, options);
  group.signals.unkillable = isInit && pids.init === null && options.unkillable !== false;
  const task = new Task(kernel, pid, {
    thread,
    credentials: options.credentials,
    name: 'init',
    group,
    mm: new AddressSpace(thread.space, kernel.platform.limits, kernel.cell, container.memoryBudget),
    files: new FdTable(group.limits.soft(RLIMIT_NOFILE)),
    fs: new FsContext(options.namespace, options.root, options.cwd ?? options.root, options.umask),
    uts: container.uts,
  });
  task.personality = options.personality ?? 0;
  task.mm.areas.owner = pids.global(pid);
  register(task, group);
  if (isInit) container.init = group;
  pids.init ??= group;
  return task;
}

/** Gives up a process that never ran (its program could not be loaded). For an init this is the end of the container. */
export function discardProcess(task: Task): void {
  exitGroup(task.group, SIGKILL);
}

function makeGroup(container: Container, pid: number, options: ProcessOptions): ThreadGroup {
  const limits = ResourceLimits.initial();
  for (const [resource, soft, hard] of options.limits ?? []) limits.set(resource, soft, hard);
  const group = new ThreadGroup(pid, {
    container,
    parent: null,
    outside: options.outside ?? null,
    processGroup: createSession(container.pids, pid),
    handlers: new SignalHandlers(),
    signals: new GroupSignals(),
    limits,
  });
  group.oomScoreAdj = options.oomScoreAdj ?? 0;
  return group;
}
