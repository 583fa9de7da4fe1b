/**
 * How tasks and processes end (kernel/exit.c): exit(2), exit_group(2), fatal signals, a host process that vanished.
 *
 * A task that ends gives up what it shares and, if it is not its group's leader, disappears. When the last task of a group has ended, the
 * group is a zombie until its parent waits for it; its children go to the nearest subreaper or to init. A process without a parent (started
 * from outside) is gone at once. With a container's init everything else in the container ends.
 */
import { exitRobustList, futexWake } from './futex/exit.ts';
import { leaveUndo } from './ipc/undo-list.ts';
import type { Container } from './container.ts';
import type { Kernel } from './kernel.ts';
import { leaveProcessGroup, notifyOrphanedGroups } from './job-control.ts';
import { SIG_IGN, SIGCHLD, SIGKILL } from '#sentry/abi/signal.ts';
import { releaseFilter } from './seccomp/install.ts';
import { childStatusInfo, kernelInfo } from './signals/info.ts';
import { sendToGroup } from './signals/send.ts';
import { leaveSignals } from './signals/stop.ts';
import { notifyPidFds } from './pidfd.ts';
import { endSession } from './terminal/session-end.ts';
import type { Task } from './task.ts';
import { TaskState } from './task.ts';
import type { ThreadGroup } from './thread-group.ts';

/** `childEvents` is notified with this mask. */
export const CHILD_CHANGED = 1;

/** exit(2): ends one thread with `code` (0..255). */
export function exitTask(task: Task, code: number): void {
  const { group } = task;
  if (livingTasks(group) === 1) {
    exitGroup(group, (code & 0xff) << 8);
    return;
  }
  endTasks([task]);
}

/** A seccomp filter ends a thread, or its process, as if by signal `signo`: the last thread is the process. */
export function killTask(task: Task, signo: number, what: 'thread' | 'process'): void {
  if (what === 'process' || livingTasks(task.group) === 1) exitGroup(task.group, signo);
  else endTasks([task]);
}

/** Ends every task of a process; `status` as wait4(2) reports it. */
export function exitGroup(group: ThreadGroup, status: number): void {
  if (group.exiting) return;
  group.exiting = true;
  group.exitStatus = status;
  group.cpu.stop();
  endTasks([...group.tasks].filter((task) => !task.hasExited));
  becomeZombie(group);
}

/** Ends all threads of `task`'s process but itself (execve from a thread). */
export function endSiblings(task: Task): void {
  endTasks([...task.group.tasks].filter((sibling) => sibling !== task && !sibling.hasExited));
}

/** The host process behind a task died under us: the out-of-memory killer, or somebody's kill -9. */
export function taskVanished(task: Task): void {
  task.kernel.host.log(`host thread of task ${task.tid} (${task.name}) is gone`);
  exitGroup(task.group, SIGKILL);
}

/** Ends whatever still lives (the end of the sandbox). */
export function killEverything(kernel: Kernel): void {
  for (const container of kernel.containers.values()) {
    if (container.init !== null) exitGroup(container.init, SIGKILL);
    killOthers(container);
  }
}

function killOthers(container: Container): void {
  for (const group of container.living) exitGroup(group, SIGKILL);
}

function livingTasks(group: ThreadGroup): number {
  let count = 0;
  for (const task of group.tasks) if (!task.hasExited) count++;
  return count;
}

function endTasks(tasks: readonly Task[]): void {
  for (const task of tasks) giveUpShared(task);
  const survivors = tasks.filter((task) => !task.mm.release());
  for (const task of survivors) {
    if (task.mm.isDead) continue;
    // The host process lives on with other threads: only this one ends. A running one is released at its next stop.
    if (task.inGuest) task.thread.interrupt();
    else task.thread.release();
  }
}

function giveUpShared(task: Task): void {
  const { group } = task;
  if (task.wait.waiting) task.wait.detach();
  task.wait.finish();
  exitRobustList(task);
  clearChildTid(task);
  finishVfork(task);
  leaveUndo(task);
  if (task.segments !== null) task.kernel.ipc.shm.leave(task);
  task.state = task.isLeader ? TaskState.Zombie : TaskState.Dead;
  group.container.freezer.stopped(task);
  task.files.release();
  task.fs.release();
  releaseFilter(task);
  leaveSignals(task);
  sendParentDeathSignals(task);
  if (task.isLeader) return;
  group.tasks.delete(task);
  group.container.leave(task);
}

/** Tells who waits for the thread's end (CLONE_CHILD_CLEARTID), if anybody else sees its memory. */
export function clearChildTid(task: Task): void {
  const address = task.clearChildTid;
  task.clearChildTid = 0;
  if (address === 0 || !task.mm.isShared) return;
  task.memory.storeU32(address, 0);
  futexWake(task.mm, address, 1);
}

/** execve and exit let a vfork parent go on. */
export function finishVfork(task: Task): void {
  const parent = task.vforkParent;
  if (parent === null) return;
  task.vforkParent = null;
  parent.vforkDone.notify(CHILD_CHANGED);
}

/** The children of a thread that ends hear of it if they asked to, and are another thread's from then on. */
function sendParentDeathSignals(task: Task): void {
  const { group } = task;
  if (group.children.size === 0) return;
  const heir = [...group.tasks].find((sibling) => !sibling.hasExited) ?? null;
  for (const child of group.children) {
    for (const member of child.tasks) {
      if (member.parentTask !== task) continue;
      member.parentTask = heir;
      if (member.parentDeathSignal !== 0) sendToGroup(child, kernelInfo(member.parentDeathSignal));
    }
  }
}

function becomeZombie(group: ThreadGroup): void {
  const { container } = group;
  group.isZombie = true;
  container.endGroup(group);
  notifyPidFds(group);
  group.signals.pending.clear();
  group.signals.timers?.discard();
  group.handlers.release();
  endSession(group);
  const children = [...group.children];
  reparentChildren(group);
  notifyOrphanedGroups(group, children);
  if (group === container.init) endContainer(container, group);
  else notifyParent(group);
}

/** Linux zap_pid_ns_processes: init has ended, and the rest goes with it; so do other containers that share its PID namespace. */
function endContainer(container: Container, init: ThreadGroup): void {
  const { pids } = container;
  container.exitStatus = init.exitStatus;
  killOthers(container);
  if (pids.init === init) for (const group of pids.groups.values()) exitGroup(group, SIGKILL);
  removeZombie(init);
  container.kernel.containerEnded(container, init.exitStatus);
}

function reparentChildren(group: ThreadGroup): void {
  const { init } = group.container.pids;
  const reaper = findReaper(group);
  for (const child of group.children) {
    child.parent = reaper;
    child.adoptedByInit = reaper === init;
    reaper?.children.add(child);
    child.leader.exitSignal = SIGCHLD;
    for (const member of child.tasks) if (!member.hasExited) member.thread.forgetAnswers?.();
    if (reaper !== null) for (const member of child.tasks) member.parentTask = reaper.leader;
    if (child.isZombie) notifyParent(child);
  }
  group.children.clear();
}

function findReaper(group: ThreadGroup): ThreadGroup | null {
  for (let parent = group.parent; parent !== null; parent = parent.parent) {
    if (parent.isSubreaper && !parent.exiting) return parent;
  }
  const { init } = group.container.pids;
  return init === group || init?.exiting === true ? null : init;
}

function notifyParent(group: ThreadGroup): void {
  const { parent } = group;
  if (parent === null) {
    removeZombie(group);
    group.outside?.exited?.(group.exitStatus);
    return;
  }
  const signal = group.leader.exitSignal;
  const reapsItself = signal === SIGCHLD && parent.handlers.reapsAutomatically;
  // An ignored SIGCHLD is not even sent: blocked, it would be pending. The thread that made the child is the first to hear of it.
  const silent = signal === 0 || (signal === SIGCHLD && parent.handlers.handler[SIGCHLD] === SIG_IGN);
  if (!silent) sendToGroup(parent, childStatusInfo(signal, group), group.leader.parentTask ?? parent.leader);
  // Linux: a child nobody waits for does not count in its parent's times.
  if (reapsItself) removeZombie(group);
  parent.childEvents.notify(CHILD_CHANGED);
}

/** The parent has waited for `group`: it gets the times of the zombie, which is gone for good. */
export function reap(group: ThreadGroup): void {
  const { parent } = group;
  if (parent !== null) {
    parent.childrenUserTimeNs += group.userTimeNs + group.childrenUserTimeNs;
    parent.childrenSystemTimeNs += group.systemTimeNs + group.childrenSystemTimeNs;
  }
  removeZombie(group);
}

function removeZombie(group: ThreadGroup): void {
  const { leader, parent, container } = group;
  parent?.children.delete(group);
  leader.parentTask = null;
  leader.state = TaskState.Dead;
  leaveProcessGroup(group);
  group.tasks.clear();
  container.pids.groups.delete(group.pid);
  container.leave(leader);
}
