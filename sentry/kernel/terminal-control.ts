/**
 * Job control of one terminal: whose controlling terminal it is, which process group is in the foreground, and what the background may
 * not do. Serves every kind of terminal, the host's passed through and those of devpts.
 *
 *     const control = new TerminalControl(device, hangup);
 *     control.attach(task.group);                  // init's terminal; TIOCSCTTY does the same for a guest
 *
 * Spec: ioctl_tty(2), POSIX chapter 11, Linux drivers/tty/tty_jobctrl.c.
 */
import { EFAULT, EINVAL, EIO, ENOTTY, EPERM, ERESTARTSYS, ESRCH } from '#sentry/abi/errno.ts';
import { SIG_IGN, SIGCONT, SIGHUP, SIGTTIN, SIGTTOU } from '#sentry/abi/signal.ts';
import { TIOCGPGRP, TIOCGSID, TIOCNOTTY, TIOCSCTTY, TIOCSPGRP } from '#sentry/abi/termios.ts';
import { SignalInfo } from '#sentry/abi/siginfo.ts';
import type { TerminalJobs } from '../fs/host-file/host-terminal.ts';
import { CAP_SYS_ADMIN, capable } from '../vfs/credentials.ts';
import type { Caller } from '../vfs/inode.ts';
import type { ControllingTerminal, ProcessGroup, Session } from './process-group.ts';
import { sendToProcessGroup } from './signals/send.ts';
import type { Task } from './task.ts';
import type { ThreadGroup } from './thread-group.ts';

export class TerminalControl implements ControllingTerminal, TerminalJobs {
  readonly device: number;
  foreground: ProcessGroup | null = null;
  session: Session | null = null;
  private readonly onHangup: () => void;

  constructor(device: number, onHangup: () => void = () => {}) {
    this.device = device;
    this.onHangup = onHangup;
  }

  hangup(): void {
    this.onHangup();
  }

  /** Becomes the controlling terminal of `group`'s session, with `group` in the foreground. */
  attach(group: ThreadGroup): void {
    const { session } = group.processGroup;
    this.session = session;
    this.foreground = group.processGroup;
    session.terminal = this;
  }

  /** A signal the terminal makes out of a key or a new window size, for whoever is in the foreground. */
  signalForeground(signo: number): void {
    if (this.foreground !== null) sendToProcessGroup(this.foreground, SignalInfo.kernel(signo));
  }

  ioctl(request: number, argument: number, caller: Caller): number | null {
    const task = caller.task as Task;
    switch (request) {
      case TIOCSCTTY:
        return this.acquireFor(task, argument);
      case TIOCNOTTY:
        return this.giveUp(task);
      case TIOCGPGRP:
        if (!this.controls(task)) return -ENOTTY;
        return task.memory.storeU32(argument, this.foreground?.pgid ?? 0);
      case TIOCSPGRP:
        return this.setForeground(task, argument);
      case TIOCGSID:
        if (!this.controls(task)) return -ENOTTY;
        return task.memory.storeU32(argument, this.session!.sid);
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
    return this.controls(task) && this.foreground !== null && this.foreground !== task.group.processGroup;
  }

  /** Whether this is the caller's controlling terminal. */
  private controls(task: Task): boolean {
    return this.session !== null && task.group.processGroup.session === this.session;
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
    if (isLeader && this.session === session) return 0;
    if (!isLeader || session.terminal !== null) return -EPERM;
    if (this.session !== null) {
      if (steal !== 1 || !capable(task.credentials, CAP_SYS_ADMIN)) return -EPERM;
      this.session.terminal = null;
    }
    this.attach(group);
    return 0;
  }

  /** TIOCNOTTY: from the session's leader it means for all. */
  private giveUp(task: Task): number {
    if (!this.controls(task)) return -ENOTTY;
    const session = this.session!;
    if (session.sid !== task.group.pid) return 0; // Linux: the one process only; here a terminal belongs to the whole session
    const { foreground } = this;
    session.terminal = null;
    this.session = null;
    this.foreground = null;
    if (foreground !== null) {
      sendToProcessGroup(foreground, SignalInfo.kernel(SIGHUP));
      sendToProcessGroup(foreground, SignalInfo.kernel(SIGCONT));
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
    const target = task.kernel.processGroups.get(pgid);
    if (target === undefined) return -ESRCH;
    if (target.session !== this.session) return -EPERM;
    this.foreground = target;
    return 0;
  }
}
