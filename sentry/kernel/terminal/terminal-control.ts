/**
 * Job control of one terminal: whose controlling terminal it is, which process group is in the foreground, and what the background may
 * not do. Serves every kind of terminal, the host's passed through and those of devpts.
 *
 *     const control = new TerminalControl(device, open);
 *     control.attach(task.group);                  // init's terminal; TIOCSCTTY and open(2) do the same for a guest
 *
 * Spec: ioctl_tty(2), POSIX chapter 11, Linux drivers/tty/tty_jobctrl.c.
 */
import { EFAULT, EINVAL, EIO, ENOTTY, EPERM, ERESTARTSYS, ESRCH } from '#sentry/abi/errno.ts';
import { SIG_IGN, SIGCONT, SIGHUP, SIGTTIN, SIGTTOU } from '#sentry/abi/signal.ts';
import { TIOCGPGRP, TIOCGSID, TIOCNOTTY, TIOCSCTTY, TIOCSPGRP } from '#sentry/abi/termios.ts';
import { SignalInfo } from '#sentry/abi/siginfo.ts';
import type { OpenTerminal, TerminalEnd, TerminalJobs } from '../../fs/tty/job-control.ts';
import { CAP_SYS_ADMIN, capable } from '../../vfs/credentials.ts';
import type { Caller } from '../../vfs/inode.ts';
import type { ControllingTerminal, ProcessGroup, Session } from '../process-group.ts';
import { sendToGroup, sendToProcessGroup } from '../signals/send.ts';
import type { Task } from '../task.ts';
import type { ThreadGroup } from '../thread-group.ts';

export class TerminalControl implements ControllingTerminal, TerminalJobs {
  readonly device: number;
  /** Opens this terminal again, for /dev/tty. */
  readonly open: OpenTerminal;
  private owner: Session | null = null;
  private group: ProcessGroup | null = null;
  /** Number of the foreground group; it stays when the group's last process has gone, so that others are still in the background. */
  private foregroundId = 0;
  /** Processes that gave it up with TIOCNOTTY while their session kept it. */
  private renounced = new WeakSet<ThreadGroup>();

  constructor(device: number, open: OpenTerminal) {
    this.device = device;
    this.open = open;
  }

  get session(): Session | null {
    return this.owner;
  }
  set session(session: Session | null) {
    this.owner = session;
    this.group = null;
    this.foregroundId = 0;
    this.renounced = new WeakSet();
  }

  get foreground(): ProcessGroup | null {
    return this.group;
  }
  set foreground(group: ProcessGroup | null) {
    this.group = group;
    if (group !== null) this.foregroundId = group.pgid;
  }

  /** Becomes the controlling terminal of `group`'s session, with `group` in the foreground. */
  attach(group: ThreadGroup): void {
    const { session } = group.processGroup;
    this.session = session;
    this.foreground = group.processGroup;
    session.terminal = this;
    session.lastForeground = null;
  }

  opened(caller: Caller): void {
    const { group } = caller.task as Task;
    const { session } = group.processGroup;
    if (session.sid === group.pid && session.terminal === null && this.owner === null) this.attach(group);
  }

  signalForeground(signo: number): void {
    if (this.group !== null) sendToProcessGroup(this.group, SignalInfo.kernel(signo));
  }

  /** Linux: tty_signal_session_leader. The foreground group hears of it when the leader ends. */
  hangup(): void {
    const { owner, group } = this;
    if (owner === null) return;
    this.forget();
    owner.lastForeground = group;
    const leader = leaderOf(owner);
    if (leader === null) return;
    sendToGroup(leader, SignalInfo.kernel(SIGHUP));
    sendToGroup(leader, SignalInfo.kernel(SIGCONT));
  }

  forget(): void {
    if (this.owner !== null) this.owner.terminal = null;
    this.session = null;
  }

  ioctl(request: number, argument: number, caller: Caller, end: TerminalEnd = 'terminal'): number | null {
    const task = caller.task as Task;
    switch (request) {
      case TIOCSCTTY:
        return this.acquireFor(task, argument);
      case TIOCNOTTY:
        return this.giveUp(task);
      case TIOCGPGRP:
        if (end === 'terminal' && !this.controls(task)) return -ENOTTY;
        return task.memory.storeU32(argument, this.foregroundId);
      case TIOCSPGRP:
        return this.setForeground(task, argument);
      case TIOCGSID:
        if ((end === 'terminal' && !this.controls(task)) || this.owner === null) return -ENOTTY;
        return task.memory.storeU32(argument, this.owner.sid);
      default:
        return null;
    }
  }

  mayRead(caller: Caller): number {
    return this.check(caller.task as Task, SIGTTIN);
  }

  mayChange(caller: Caller): number {
    return this.check(caller.task as Task, SIGTTOU);
  }

  isBackground(caller: Caller): boolean {
    const task = caller.task as Task;
    return this.foregroundId !== 0 && this.controls(task) && this.foregroundId !== task.group.processGroup.pgid;
  }

  /** Whether this is the caller's controlling terminal. */
  controls(task: Task): boolean {
    return this.owner !== null && task.group.processGroup.session === this.owner && !this.renounced.has(task.group);
  }

  /** Linux __tty_check_change: the background is stopped by `signo` and its call restarted, unless it cannot be. */
  private check(task: Task, signo: number): number {
    if (!this.isBackground(task)) return 0;
    const ignored = task.signals.blocked.has(signo) || task.group.handlers.handler[signo] === SIG_IGN;
    if (ignored) return signo === SIGTTIN ? -EIO : 0;
    const { processGroup } = task.group;
    if (processGroup.isOrphaned) return -EIO;
    sendToProcessGroup(processGroup, SignalInfo.kernel(signo));
    return -ERESTARTSYS;
  }

  /** TIOCSCTTY. `steal` 1 lets the superuser take it from another session. */
  private acquireFor(task: Task, steal: number): number {
    const { group } = task;
    const { session } = group.processGroup;
    const isLeader = session.sid === group.pid;
    if (isLeader && this.owner === session) return 0;
    if (!isLeader || session.terminal !== null) return -EPERM;
    if (this.owner !== null) {
      if (steal !== 1 || !capable(task.credentials, CAP_SYS_ADMIN)) return -EPERM;
      this.forget();
    }
    this.attach(group);
    return 0;
  }

  /** TIOCNOTTY: from the session's leader it means for all. */
  private giveUp(task: Task): number {
    if (!this.controls(task)) return -ENOTTY;
    if (this.owner!.sid !== task.group.pid) {
      // Linux: children made later have no terminal either; here they have their session's again.
      this.renounced.add(task.group);
      return 0;
    }
    const { group } = this;
    this.forget();
    if (group !== null) {
      sendToProcessGroup(group, SignalInfo.kernel(SIGHUP));
      sendToProcessGroup(group, SignalInfo.kernel(SIGCONT));
    }
    return 0;
  }

  private setForeground(task: Task, address: number): number {
    const blocked = this.mayChange(task);
    if (blocked < 0) return blocked === -EIO ? -ENOTTY : blocked;
    if (!this.controls(task)) return -ENOTTY;
    const word = task.memory.loadU32(address);
    if (word < 0) return -EFAULT;
    const pgid = word | 0;
    if (pgid < 0) return -EINVAL;
    const target = task.pids.processGroups.get(pgid);
    // Linux: a process that leads no group may be named if it is of the session; no group would be in the foreground then.
    if (target === undefined) return task.pids.tasks.has(pgid) ? -EPERM : -ESRCH;
    if (target.session !== this.owner) return -EPERM;
    this.foreground = target;
    return 0;
  }
}

function leaderOf(session: Session): ThreadGroup | null {
  for (const processGroup of session.groups) {
    for (const member of processGroup.members) if (member.pid === session.sid) return member;
  }
  return null;
}
