/**
 * What a terminal needs of the process table: whose controlling terminal it is, which process group is in the foreground, and what the
 * background may not do. The kernel implements it (kernel/terminal/terminal-control.ts), once for every kind of terminal: the host's passed
 * through (fs/host-file) and those of devpts.
 *
 *     const error = jobs.mayRead(caller);      // 0: go on
 *     if (error < 0) return error;             // -ERESTARTSYS: SIGTTIN was sent to the caller's group
 */
import type { Dentry } from '../../vfs/dentry.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import type { Caller } from '../../vfs/inode.ts';

export interface TerminalJobs {
  /**
   * TIOCSCTTY, TIOCNOTTY, TIOCGPGRP, TIOCSPGRP, TIOCGSID; null for any other request. The other end of a pseudo-terminal (`master`) may ask
   * about the terminal without being controlled by it.
   */
  ioctl(request: number, argument: number, caller: Caller, end?: TerminalEnd): number | null;
  /** Before a read: SIGTTIN for the background. */
  mayRead(caller: Caller): number;
  /** Before a change of the terminal, or a write while TOSTOP is set: SIGTTOU for the background. */
  mayChange(caller: Caller): number;
  /** Whether `caller` is in the background of its controlling terminal. */
  isBackground(caller: Caller): boolean;
  /** It was opened for reading without O_NOCTTY: a session leader that has no terminal gets it as its own. */
  opened(caller: Caller): void;
  /** A signal the terminal makes out of a key or a new window size, for whoever is in the foreground. */
  signalForeground(signo: number): void;
  /** The line is gone: the session's leader is told, and the session has no terminal any more. */
  hangup(): void;
  /** Nobody has it open any more: no session keeps it. */
  forget(): void;
}

export type TerminalEnd = 'terminal' | 'master';

/** Opens a terminal once more: what /dev/tty does. The new file owns the reference to `dentry`. */
export type OpenTerminal = (dentry: Dentry, flags: number, caller: Caller) => FileDescription | number;

/** Makes job control for a terminal with device number `device`. */
export type MakeJobs = (device: number, open: OpenTerminal) => TerminalJobs;
