/**
 * The first process: init of the sandbox, made from nothing where every later one is cloned.
 *
 *     const init = createInit(kernel, options);      // then its descriptors and directory
 *     execve(init, { file, path, args, environment });
 *     kernel.start(init);
 *     kernel.run();
 */
import { AddressSpace } from '../mm/address-space.ts';
import type { Credentials } from '../vfs/credentials.ts';
import { FsContext } from '../vfs/fs-context.ts';
import type { MountNamespace } from '../vfs/mount-namespace.ts';
import type { Path } from '../vfs/mount.ts';
import { register } from './clone.ts';
import { FdTable } from './fd-table.ts';
import { createSession } from './job-control.ts';
import type { Kernel } from './kernel.ts';
import { ResourceLimits } from './resource-limits.ts';
import { GroupSignals } from './signals/group-signals.ts';
import { SignalHandlers } from './signals/signal-handlers.ts';
import { Task } from './task.ts';
import { ThreadGroup } from './thread-group.ts';
import { UtsNamespace } from './uts-namespace.ts';

export interface InitOptions {
  readonly credentials: Credentials;
  readonly namespace: MountNamespace;
  readonly root: Path;
  readonly hostname: string;
  readonly umask: number;
  /** As pid 1 of a container: signals that it does not handle have no effect on it (pid_namespaces(7)). */
  readonly unkillable: boolean;
}

/**
 * Makes pid 1 with an empty program. The caller installs descriptors, sets the working directory and calls `execve`, then `kernel.start`.
 * Returns -errno when the platform gives no process.
 */
export function createInit(kernel: Kernel, options: InitOptions): Task | number {
  const thread = kernel.platform.createSpace();
  if (typeof thread === 'number') return thread;
  const pid = kernel.pids.allocate();
  const limits = ResourceLimits.initial();
  const signals = new GroupSignals();
  signals.unkillable = options.unkillable;
  const processGroup = createSession(kernel, pid);
  const group = new ThreadGroup(pid, { parent: null, processGroup, handlers: new SignalHandlers(), signals, limits });
  const task = new Task(kernel, pid, {
    thread,
    credentials: options.credentials,
    name: 'init',
    group,
    mm: new AddressSpace(thread.space, kernel.platform.limits, kernel.cell, kernel.memoryBudget),
    files: new FdTable(),
    fs: new FsContext(options.namespace, options.root, options.root, options.umask),
    uts: new UtsNamespace(options.hostname, '(none)'),
  });
  register(kernel, task, group);
  kernel.init = group;
  return task;
}
