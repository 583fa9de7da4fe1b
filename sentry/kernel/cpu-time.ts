/**
 * CPU time as times(2), getrusage(2), SIGCHLD and CPU clocks report it.
 *
 * The host counts it for each guest process: its own instructions and what the host spends on stopping it. All of that is user time; the
 * sentry serves calls of every process in one thread and charges nobody. A process that shares another's memory (vfork) is charged from
 * the moment it came, and so is the other one.
 */
import type { GuestSpace } from '#platform/contract/platform.ts';
import type { Task } from './task.ts';
import type { ThreadGroup } from './thread-group.ts';

/** USER_HZ. */
export const TICKS_PER_SECOND = 100;
const NS_PER_TICK = 1e9 / TICKS_PER_SECOND;

/** CPU time of one process, over the host processes that ran it (execve changes them). */
export class CpuAccount {
  /** Of host processes it has left. */
  private pastNs = 0;
  /** The host process it runs in now, and what that had used before. */
  private space: GuestSpace | null = null;
  private baseNs = 0;
  /** The most `usedNs` has said. */
  private seenNs = 0;

  start(space: GuestSpace): void {
    this.space = space;
    this.baseNs = space.cpuTimeNs?.() ?? 0;
  }

  /** Before the host process goes. */
  stop(): void {
    this.pastNs = this.usedNs;
    this.space = null;
  }

  /** Never goes back, also when the host process was ended by somebody else. */
  get usedNs(): number {
    if (this.space === null) return this.pastNs;
    this.seenNs = Math.max(this.seenNs, this.pastNs + (this.space.cpuTimeNs?.() ?? 0) - this.baseNs);
    return this.seenNs;
  }
}

export function groupUserTimeNs(group: ThreadGroup): number {
  return group.userTimeNs;
}

export function groupSystemTimeNs(group: ThreadGroup): number {
  return group.systemTimeNs;
}

export function groupCpuTimeNs(group: ThreadGroup): number {
  return groupUserTimeNs(group) + groupSystemTimeNs(group);
}

/** Of one thread: an equal share of its process's, since the host tells no more. Never goes back. */
export function taskCpuTimeNs(task: Task): number {
  let living = 0;
  for (const member of task.group.tasks) if (!member.hasExited) living++;
  task.userTimeNs = Math.max(task.userTimeNs, Math.floor(groupUserTimeNs(task.group) / Math.max(1, living)));
  return task.userTimeNs;
}

export function nsToTicks(ns: number): number {
  return Math.floor(ns / NS_PER_TICK);
}
