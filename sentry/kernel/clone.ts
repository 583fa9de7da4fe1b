/**
 * clone(2), clone3(2), fork(2), vfork(2): new tasks. What the flags do not share is copied.
 *
 * A process with its own memory is a fork of the guest's host process; a thread, or a process that shares memory (vfork), is another host
 * thread in the same one. Either way the new host thread starts with the parent's registers.
 */
import { EAGAIN, EINVAL, ENOMEM, EPERM } from '#sentry/abi/errno.ts';
import * as c from '#sentry/abi/clone.ts';
import { RLIMIT_NPROC } from '#sentry/abi/resource.ts';
import { Reg, setReg } from '#sentry/abi/x64/registers.ts';
import { CAP_SYS_ADMIN, CAP_SYS_RESOURCE, capable } from '../vfs/credentials.ts';
import { TASKS_MAX } from '../limits.ts';
import { finishVfork, CHILD_CHANGED } from './exit.ts';
import { shareUndo } from './ipc/undo-list.ts';
import { openPidFd } from './pidfd.ts';
import { inheritScheduling } from './scheduling.ts';
import { inheritFilter } from './seccomp/install.ts';
import { GroupSignals } from './signals/group-signals.ts';
import { armCpuLimit } from './timers/process-timers.ts';
import { Task } from './task.ts';
import { ThreadGroup } from './thread-group.ts';
import { BLOCKED } from './wait.ts';

export interface CloneRequest {
  /** CLONE_*, without the signal byte; may exceed 32 bits. */
  readonly flags: number;
  readonly exitSignal: number;
  /** New stack pointer, or 0 to keep the parent's. */
  readonly stackPointer: number;
  readonly parentTidAddress: number;
  readonly childTidAddress: number;
  readonly tls: number;
  readonly pidfdAddress: number;
}

const NAMESPACES = c.CLONE_NEWNS | c.CLONE_NEWCGROUP | c.CLONE_NEWIPC | c.CLONE_NEWUSER | c.CLONE_NEWPID | c.CLONE_NEWNET;

/** Makes the task and starts it. Returns its tid, -errno, or BLOCKED for CLONE_VFORK. */
export function clone(parent: Task, request: CloneRequest): number {
  const resumed = resumeVfork(parent);
  if (resumed !== null) return resumed;
  const refusal = checkFlags(parent, request);
  if (refusal < 0) return refusal;
  if ((request.flags & c.CLONE_VM) === 0 && !parent.mm.mayFork) return -ENOMEM;
  if ((request.flags & c.CLONE_FILES) === 0 && !parent.files.mayFork) return -ENOMEM;
  const reserved = reservePidFd(parent, request);
  if (reserved < 0) return reserved;
  const { kernel, pids } = parent;
  const tid = pids.allocate();
  if (tid < 0) return -EAGAIN;
  const sharesMemory = (request.flags & c.CLONE_VM) !== 0;
  const thread = sharesMemory ? parent.thread.spawn() : parent.thread.fork();
  if (typeof thread === 'number') {
    pids.release(tid);
    return -EAGAIN;
  }
  const mm = sharesMemory ? parent.mm.acquire() : parent.mm.fork(thread.space);
  const child = makeTask(parent, tid, request, { thread, mm });
  setChildRegisters(child, request);
  publishTid(parent, child, request);
  kernel.start(child);
  if ((request.flags & c.CLONE_VFORK) === 0) return tid;
  const wait = new VforkWait(child);
  child.vforkParent = parent;
  parent.wait.state = wait;
  return wait.poll(parent);
}

/** Goes on with a call that made its child already, whatever its arguments in memory say by now. Null when this is a new call. */
export function resumeVfork(parent: Task): number | null {
  return parent.wait.state instanceof VforkWait ? parent.wait.state.poll(parent) : null;
}

/** The parent of vfork: its call goes on when the child has exec'd or ended. */
class VforkWait {
  private readonly child: Task;
  private readonly tid: number;

  constructor(child: Task) {
    this.child = child;
    this.tid = child.tid;
  }

  poll(parent: Task): number {
    if (this.child.vforkParent !== parent) return this.tid;
    parent.wait.uninterruptible = true;
    parent.wait.onInterrupt = () => {
      finishVfork(this.child);
      return this.tid;
    };
    parent.wait.add(parent.vforkDone, CHILD_CHANGED);
    return BLOCKED;
  }
}

function checkFlags(parent: Task, { flags, exitSignal }: CloneRequest): number {
  if ((flags & c.CLONE_THREAD) !== 0 && (flags & c.CLONE_SIGHAND) === 0) return -EINVAL;
  if ((flags & c.CLONE_SIGHAND) !== 0 && (flags & c.CLONE_VM) === 0) return -EINVAL;
  if (clearsHandlers(flags) && (flags & c.CLONE_SIGHAND) !== 0) return -EINVAL;
  if ((flags & c.CLONE_NEWNS) !== 0 && (flags & c.CLONE_FS) !== 0) return -EINVAL;
  if ((flags & c.CLONE_THREAD) !== 0 && (flags & (c.CLONE_NEWUSER | c.CLONE_NEWPID)) !== 0) return -EINVAL;
  if (exitSignal > 64) return -EINVAL;
  if ((flags & NAMESPACES) !== 0) return capable(parent.credentials, CAP_SYS_ADMIN) ? -EINVAL : -EPERM;
  if ((flags & c.CLONE_NEWUTS) !== 0 && !capable(parent.credentials, CAP_SYS_ADMIN)) return -EPERM;
  if ((flags & c.CLONE_PARENT) !== 0 && parent.group === parent.pids.init) return -EINVAL;
  return checkProcessLimit(parent);
}

/** CLONE_CLEAR_SIGHAND lies above the 32 bits of the `&` operator. */
function clearsHandlers(flags: number): boolean {
  return (Math.floor(flags / 0x1_0000_0000) & 1) !== 0;
}

function checkProcessLimit(parent: Task): number {
  const { kernel, container, credentials, group } = parent;
  if (kernel.taskCount >= TASKS_MAX) return -EAGAIN;
  if (container.taskCount >= container.pidsMax) {
    container.taskRefusals++;
    return -EAGAIN;
  }
  if (group.controlGroup !== null && !group.controlGroup.admitsTask()) return -EAGAIN;
  const limit = group.limits.soft(RLIMIT_NPROC);
  // Linux counts a user's processes wherever they are; here, where the containers of a pod do not see each other, in this container.
  const { tasks } = container.pids;
  if (tasks.size < limit || credentials.uid === 0 || capable(credentials, CAP_SYS_RESOURCE)) return 0;
  let count = 0;
  for (const task of tasks.values()) if (task.credentials.uid === credentials.uid) count++;
  return count >= limit ? -EAGAIN : 0;
}

function makeTask(parent: Task, tid: number, { flags, exitSignal, childTidAddress }: CloneRequest, own: Pick<Task, 'thread' | 'mm'>): Task {
  const isThread = (flags & c.CLONE_THREAD) !== 0;
  const group = isThread ? parent.group : makeGroup(parent, tid, flags);
  const child = new Task(parent.kernel, tid, {
    ...own,
    group,
    credentials: parent.credentials,
    name: parent.name,
    files: (flags & c.CLONE_FILES) !== 0 ? parent.files.acquire() : parent.files.fork(),
    fs: (flags & c.CLONE_FS) !== 0 ? parent.fs.acquire() : parent.fs.fork(),
    uts: (flags & c.CLONE_NEWUTS) !== 0 ? parent.uts.fork() : parent.uts,
  });
  child.signals.inherit(parent.signals, (flags & (c.CLONE_VM | c.CLONE_VFORK)) === c.CLONE_VM ? 'drop' : 'keep');
  child.exitSignal = (flags & c.CLONE_PARENT) !== 0 ? parent.group.leader.exitSignal : exitSignal;
  inheritFilter(child, parent);
  child.niceness = parent.niceness;
  child.personality = parent.personality;
  child.scheduling = inheritScheduling(parent.scheduling);
  child.parentTask = (flags & (c.CLONE_PARENT | c.CLONE_THREAD)) === 0 ? parent : parent.parentTask;
  child.clearChildTid = (flags & c.CLONE_CHILD_CLEARTID) !== 0 ? childTidAddress : 0;
  if ((flags & c.CLONE_SYSVSEM) !== 0) shareUndo(parent, child);
  if ((flags & c.CLONE_VM) === 0) child.mm.areas.owner = child.pids.global(group.pid);
  register(child, isThread ? null : group);
  return child;
}

function makeGroup(parent: Task, pid: number, flags: number): ThreadGroup {
  const handlers = (flags & c.CLONE_SIGHAND) !== 0 ? parent.group.handlers.acquire() : parent.group.handlers.fork();
  if (clearsHandlers(flags)) handlers.clear();
  const group = new ThreadGroup(pid, {
    container: parent.container,
    parent: (flags & c.CLONE_PARENT) !== 0 ? parent.group.parent : parent.group,
    processGroup: parent.group.processGroup,
    handlers,
    signals: new GroupSignals(),
    limits: parent.group.limits.fork(),
  });
  group.oomScoreAdj = parent.group.oomScoreAdj;
  group.controlGroup = parent.group.controlGroup;
  return group;
}

/** Enters a task into the process table; `newGroup` is its process when it leads one. */
export function register(task: Task, newGroup: ThreadGroup | null): void {
  task.container.enter(task);
  task.group.tasks.add(task);
  if (newGroup === null) return;
  newGroup.leader = task;
  newGroup.container.enterGroup(newGroup);
  newGroup.parent?.children.add(newGroup);
  newGroup.processGroup.members.add(newGroup);
  newGroup.cpu.start(task.mm.space);
  armCpuLimit(newGroup);
}

function setChildRegisters(child: Task, { flags, stackPointer, tls }: CloneRequest): void {
  const registers = child.thread.registers();
  setReg(registers, Reg.rax, 0);
  if (stackPointer !== 0) setReg(registers, Reg.rsp, stackPointer);
  if ((flags & c.CLONE_SETTLS) !== 0) setReg(registers, Reg.fsBase, tls);
  child.thread.registersChanged();
}

/** Tells the parent the number of the pidfd before there is a child: what can fail must not leave one running. */
function reservePidFd(parent: Task, { flags, pidfdAddress }: CloneRequest): number {
  if ((flags & c.CLONE_PIDFD) === 0) return 0;
  const fd = parent.files.nextFree;
  if (fd < 0) return fd;
  return parent.memory.storeU32(pidfdAddress, fd);
}

function publishTid(parent: Task, child: Task, { flags, parentTidAddress, childTidAddress }: CloneRequest): void {
  if ((flags & c.CLONE_PARENT_SETTID) !== 0) parent.memory.storeU32(parentTidAddress, child.tid);
  if ((flags & c.CLONE_CHILD_SETTID) !== 0) child.memory.storeU32(childTidAddress, child.tid);
  if ((flags & c.CLONE_PIDFD) !== 0) openPidFd(parent, child.group);
}
