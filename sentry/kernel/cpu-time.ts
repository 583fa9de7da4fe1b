/**
 * CPU time as times(2), getrusage(2) and SIGCHLD report it. Time in guest code is user time; the sentry serves calls of all processes in
 * one thread and accounts none of it to them, so system time is what ended threads brought (zero unless the platform tells).
 */
import type { ThreadGroup } from './thread-group.ts';

/** USER_HZ. */
export const TICKS_PER_SECOND = 100;
const NS_PER_TICK = 1e9 / TICKS_PER_SECOND;

export function groupUserTimeNs(group: ThreadGroup): number {
  let total = group.userTimeNs;
  for (const task of group.tasks) total += task.userTimeNs;
  return total;
}

export function groupSystemTimeNs(group: ThreadGroup): number {
  return group.systemTimeNs;
}

export function groupCpuTimeNs(group: ThreadGroup): number {
  return groupUserTimeNs(group) + groupSystemTimeNs(group);
}

export function nsToTicks(ns: number): number {
  return Math.floor(ns / NS_PER_TICK);
}
