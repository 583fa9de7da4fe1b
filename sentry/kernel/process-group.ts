/**
 * Process groups and sessions: setpgid(2), setsid(2), credentials(7). A session may have a controlling terminal, and the terminal a
 * foreground process group.
 */
import type { ThreadGroup } from './thread-group.ts';

/** What a session needs of its controlling terminal (devpts, the terminal passed through). */
export interface ControllingTerminal {
  readonly device: number;
  foreground: ProcessGroup | null;
  session: Session | null;
  /** The session leader has gone: hang up. */
  hangup(): void;
}

export class Session {
  readonly sid: number;
  terminal: ControllingTerminal | null = null;
  /** Foreground group of a terminal that hung up; it is told when the session's leader ends. */
  lastForeground: ProcessGroup | null = null;
  readonly groups = new Set<ProcessGroup>();

  constructor(sid: number) {
    this.sid = sid;
  }
}

export class ProcessGroup {
  readonly pgid: number;
  readonly session: Session;
  readonly members = new Set<ThreadGroup>();

  constructor(pgid: number, session: Session) {
    this.pgid = pgid;
    this.session = session;
    session.groups.add(this);
  }

  /** POSIX: no member has a parent in another group of the same session. Stops by terminal signals are not delivered to such groups. */
  get isOrphaned(): boolean {
    for (const member of this.members) {
      const { parent, outside, isZombie, adoptedByInit } = member;
      // The parent is whoever started it from outside, if that one looks after stopped children.
      if (parent === null && !isZombie && outside?.stopped !== undefined) return false;
      // Linux leaves out the machine's init; here that is the user's own program, whose real children are its jobs.
      if (!isZombie && !adoptedByInit && parent !== null && parent.processGroup !== this && parent.processGroup.session === this.session)
        return false;
    }
    return true;
  }
}
