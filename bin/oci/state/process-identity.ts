/**
 * Which process a number in state.json means: the pid together with the time it was started, because pids are used again.
 *
 * Specification: proc_pid_stat(5).
 */
import { readFileSync } from 'node:fs';

export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks since the host was started, as text. */
  readonly startTime: string;
}

// Counted from the field behind the name, which may hold spaces.
const STATE = 0;
const START_TIME = 19;

/** null: there is no such process, or it has ended and nobody has waited for it yet. */
export function identify(pid: number): ProcessIdentity | null {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return null;
  }
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields[STATE];
  return state === 'Z' || state === 'X' ? null : { pid, startTime: fields[START_TIME]! };
}

export function isAlive({ pid, startTime }: ProcessIdentity): boolean {
  return identify(pid)?.startTime === startTime;
}
