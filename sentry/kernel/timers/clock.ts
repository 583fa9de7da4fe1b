/**
 * Reading clocks and turning what guests say about time into deadlines on CLOCK_MONOTONIC, which all of the kernel's timers use.
 *
 * Nanoseconds are doubles: exact up to 104 days, then rounded to some nanoseconds, never more. CLOCK_REALTIME in nanoseconds would lose
 * 256 ns, so wall-clock times stay seconds and nanoseconds until a difference is taken.
 *
 * Linux: TIMER_ABSTIME timers on CLOCK_REALTIME follow changes of the wall clock; here the deadline is fixed when the timer is set.
 */
import { EFAULT, EINVAL } from '#sentry/abi/errno.ts';
import * as t from '#sentry/abi/time.ts';
import { getI64 } from '#sentry/abi/layout.ts';
import type { Timestamp } from '#platform/contract/host.ts';
import { groupCpuTimeNs, taskCpuTimeNs } from '../cpu-time.ts';
import type { Kernel } from '../kernel.ts';
import type { Task } from '../task.ts';

const wallClock: Timestamp = { sec: 0, nsec: 0 };

/** Clocks that have a rate or an origin of their own, which only the host knows. */
const HOST_CLOCKS: Readonly<Record<number, number>> = {
  [t.CLOCK_MONOTONIC_RAW]: t.CLOCK_MONOTONIC_RAW,
  [t.CLOCK_REALTIME_COARSE]: t.CLOCK_REALTIME_COARSE,
  [t.CLOCK_MONOTONIC_COARSE]: t.CLOCK_MONOTONIC_COARSE,
  [t.CLOCK_BOOTTIME]: t.CLOCK_BOOTTIME,
  [t.CLOCK_BOOTTIME_ALARM]: t.CLOCK_BOOTTIME,
  [t.CLOCK_TAI]: t.CLOCK_TAI,
};

/** A `timespec` as nanoseconds: -EFAULT, -EINVAL, or ≥ 0. */
export function readDuration(task: Task, address: number): number {
  const { scratch } = task;
  return task.memory.copyIn(address, scratch, 0, t.Timespec.size) < 0 ? -EFAULT : durationIn(scratch.view);
}

/** The same of a `timespec` that has been copied to the beginning of `view`. */
export function durationIn(view: DataView): number {
  const sec = getI64(view, 0);
  const nsec = getI64(view, 8);
  if (!isValidTime(sec, nsec)) return -EINVAL;
  return toNs(sec, nsec);
}

/** A `timespec` naming a point on `clock`, as a deadline on CLOCK_MONOTONIC: -EFAULT, -EINVAL, or ≥ 0 (0: already past). */
export function readDeadline(task: Task, address: number, clock: number): number {
  const { scratch } = task;
  return task.memory.copyIn(address, scratch, 0, t.Timespec.size) < 0 ? -EFAULT : deadlineIn(task.kernel, scratch.view, clock);
}

/** The same of a `timespec` that has been copied to the beginning of `view`. */
export function deadlineIn(kernel: Kernel, view: DataView, clock: number): number {
  const sec = getI64(view, 0);
  const nsec = getI64(view, 8);
  if (!isValidTime(sec, nsec)) return -EINVAL;
  return deadlineOf(kernel, clock, sec, nsec);
}

export function isValidTime(sec: number, nsec: number): boolean {
  return sec >= 0 && nsec >= 0 && nsec < t.NS_PER_SECOND;
}

/** Nanoseconds of a valid time; Infinity when beyond what Linux distinguishes. */
export function toNs(sec: number, nsec: number): number {
  return sec >= t.SECONDS_MAX ? Infinity : sec * t.NS_PER_SECOND + nsec;
}

/** The moment `sec`, `nsec` of `clock` on CLOCK_MONOTONIC, never negative. */
export function deadlineOf(kernel: Kernel, clock: number, sec: number, nsec: number): number {
  if (sec >= t.SECONDS_MAX) return Infinity;
  const hostClock = HOST_CLOCKS[clock];
  if (hostClock !== undefined && kernel.host.clock !== undefined) kernel.host.clock(hostClock, wallClock);
  else if (isWallClock(clock)) kernel.host.realtime(wallClock);
  else return sec * t.NS_PER_SECOND + nsec;
  const ahead = (sec - wallClock.sec) * t.NS_PER_SECOND + (nsec - wallClock.nsec);
  return Math.max(0, kernel.host.monotonicNs() + ahead);
}

export function isWallClock(clock: number): boolean {
  return clock === t.CLOCK_REALTIME || clock === t.CLOCK_REALTIME_COARSE || clock === t.CLOCK_REALTIME_ALARM || clock === t.CLOCK_TAI;
}

/** Clocks that advance with the host's time, whatever processes do. */
export function isSystemClock(clock: number): boolean {
  return isWallClock(clock) || (clock >= t.CLOCK_MONOTONIC && clock <= t.CLOCK_BOOTTIME_ALARM && !isOwnCpuClock(clock));
}

export function isOwnCpuClock(clock: number): boolean {
  return clock === t.CLOCK_PROCESS_CPUTIME_ID || clock === t.CLOCK_THREAD_CPUTIME_ID;
}

/**
 * CPU time in nanoseconds of the process or thread a negative clock id (clock_getcpuclockid(3)) or a CLOCK_*_CPUTIME_ID names;
 * -EINVAL when there is none the caller may ask for.
 */
export function cpuClockNs(task: Task, clock: number): number {
  if (clock === t.CLOCK_PROCESS_CPUTIME_ID) return groupCpuTimeNs(task.group);
  if (clock === t.CLOCK_THREAD_CPUTIME_ID) return taskCpuTimeNs(task);
  // Linux: pid in the inverted upper bits; bit 2 thread, bits 0-1 kind (3: a device's clock).
  const pid = ~(clock >> 3);
  if ((clock & 3) === 3) return -EINVAL;
  const target = pid === 0 ? task : task.pids.tasks.get(pid);
  if (target === undefined) return -EINVAL;
  if ((clock & 4) !== 0) return target.group === task.group ? taskCpuTimeNs(target) : -EINVAL;
  return pid === 0 || target.isLeader ? groupCpuTimeNs(target.group) : -EINVAL;
}

/** Writes the time of `clock` to guest memory as a timespec. 0 or -errno. */
export function storeClock(task: Task, clock: number, address: number): number {
  const hostClock = HOST_CLOCKS[clock];
  if (hostClock !== undefined && task.kernel.host.clock !== undefined) {
    task.kernel.host.clock(hostClock, wallClock);
    return storeTimespec(task, address, wallClock.sec, wallClock.nsec);
  }
  if (isWallClock(clock)) {
    task.kernel.host.realtime(wallClock);
    // Linux: TAI's offset is 0 until somebody sets it.
    return storeTimespec(task, address, wallClock.sec, wallClock.nsec);
  }
  const ns = isSystemClock(clock) ? task.kernel.host.monotonicNs() : cpuClockNs(task, clock);
  return ns < 0 ? ns : storeDuration(task, address, ns);
}

export function storeDuration(task: Task, address: number, ns: number): number {
  const sec = Math.floor(ns / t.NS_PER_SECOND);
  return storeTimespec(task, address, sec, Math.floor(ns - sec * t.NS_PER_SECOND));
}

function storeTimespec(task: Task, address: number, sec: number, nsec: number): number {
  const { scratch } = task;
  putPair(scratch.view, sec, nsec);
  return task.memory.copyOut(address, scratch, 0, t.Timespec.size);
}

function putPair(view: DataView, sec: number, nsec: number): void {
  view.setUint32(0, sec % 0x1_0000_0000, true);
  view.setUint32(4, Math.floor(sec / 0x1_0000_0000), true);
  view.setUint32(8, nsec, true);
  view.setUint32(12, 0, true);
}
