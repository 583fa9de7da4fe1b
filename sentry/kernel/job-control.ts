/**
 * Moving processes between process groups and sessions: setpgid(2), setsid(2), and the POSIX rule on orphaned groups.
 *
 * A process group lives as long as it has members, zombies included, and a session as long as it has groups; both keep their number from
 * being given to a new process. Linux: kernel/sys.c, kernel/exit.c (kill_orphaned_pgrp).
 */
import { EACCES, EINVAL, EPERM, ESRCH } from '#sentry/abi/errno.ts';
import { SIGCONT, SIGHUP } from '#sentry/abi/signal.ts';
import type { PidNamespace } from './pid-namespace.ts';
import { ProcessGroup, Session } from './process-group.ts';
import { kernelInfo } from './signals/info.ts';
import { sendToProcessGroup } from './signals/send.ts';
import { TaskState } from './task.ts';
import type { ThreadGroup } from './thread-group.ts';

/** A new session with a new process group, both numbered `pid`. */
export function createSession(pids: PidNamespace, pid: number): ProcessGroup {
  const session = new Session(pid);
  pids.sessions.set(pid, session);
  return createProcessGroup(pids, pid, session);
}

function createProcessGroup(pids: PidNamespace, pgid: number, session: Session): ProcessGroup {
  const group = new ProcessGroup(pgid, session);
  pids.processGroups.set(pgid, group);
  return group;
}

/** Puts `group` into `target`, leaving its old process group. */
export function joinProcessGroup(group: ThreadGroup, target: ProcessGroup): void {
  if (group.processGroup === target && target.members.has(group)) return;
  forget(group.container.pids, group.processGroup, group);
  group.processGroup = target;
  target.members.add(group);
}

/** The process is gone for good. */
export function leaveProcessGroup(group: ThreadGroup): void {
  forget(group.container.pids, group.processGroup, group);
}

function forget(pids: PidNamespace, old: ProcessGroup, group: ThreadGroup): void {
  old.members.delete(group);
  if (old.members.size > 0) return;
  old.session.groups.delete(old);
  pids.processGroups.delete(old.pgid);
  if (old.session.terminal?.foreground === old) old.session.terminal.foreground = null;
  if (old.session.lastForeground === old) old.session.lastForeground = null;
  pids.freeId(old.pgid);
  if (old.session.groups.size > 0) return;
  pids.sessions.delete(old.session.sid);
  pids.freeId(old.session.sid);
}

/** setpgid(2). `caller` acts on `target`, itself or a child. */
export function setProcessGroup(caller: ThreadGroup, target: ThreadGroup, pgid: number): number {
  const { pids } = caller.container;
  const wanted = pgid === 0 ? target.pid : pgid;
  if (wanted < 0) return -EINVAL;
  if (target !== caller) {
    if (target.parent !== caller) return -ESRCH;
    if (target.processGroup.session !== caller.processGroup.session) return -EPERM;
    if (target.hasExeced) return -EACCES;
  }
  if (target.processGroup.session.sid === target.pid) return -EPERM;
  if (wanted === target.processGroup.pgid) return 0;
  let group = pids.processGroups.get(wanted);
  if (group === undefined) {
    if (wanted !== target.pid) return -EPERM;
    group = createProcessGroup(pids, wanted, target.processGroup.session);
  } else if (group.session !== caller.processGroup.session) {
    return -EPERM;
  }
  joinProcessGroup(target, group);
  return 0;
}

/** setsid(2): the new session id, or -EPERM for a process group leader. */
export function startSession(group: ThreadGroup): number {
  const { pids } = group.container;
  if (pids.processGroups.has(group.pid)) return -EPERM;
  joinProcessGroup(group, createSession(pids, group.pid));
  return group.pid;
}

/**
 * When a process's end leaves a group with stopped members orphaned, they get SIGHUP and SIGCONT (POSIX _exit). It can do so for its own
 * group, if its parent was the link to the rest of the session, and for those of its `children`, whose link it was. A group that was
 * orphaned before is left alone (Linux kill_orphaned_pgrp).
 */
export function notifyOrphanedGroups(exited: ThreadGroup, children: readonly ThreadGroup[]): void {
  if (exited.parent !== null && linked(exited, exited.parent)) hangUpIfOrphaned(exited.processGroup, exited);
  for (const child of children) if (linked(child, exited)) hangUpIfOrphaned(child.processGroup, exited);
}

/** Whether `parent` ties `child`'s process group to its session from outside. */
function linked(child: ThreadGroup, parent: ThreadGroup): boolean {
  return parent.processGroup !== child.processGroup && parent.processGroup.session === child.processGroup.session;
}

function hangUpIfOrphaned(group: ProcessGroup, exited: ThreadGroup): void {
  if (!group.isOrphaned) return;
  const stopped = [...group.members].some((member) => member !== exited && member.leader.state === TaskState.Stopped);
  if (!stopped) return;
  sendToProcessGroup(group, kernelInfo(SIGHUP));
  sendToProcessGroup(group, kernelInfo(SIGCONT));
}
