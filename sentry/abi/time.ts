/**
 * Clocks, timers and the structs that carry time: time(7), clock_gettime(2), timer_create(2), getitimer(2). Linux uapi/linux/time.h.
 */
import { i64, struct } from './layout.ts';
import type { ValueOf } from './layout.ts';

export const CLOCK_REALTIME = 0;
export const CLOCK_MONOTONIC = 1;
export const CLOCK_PROCESS_CPUTIME_ID = 2;
export const CLOCK_THREAD_CPUTIME_ID = 3;
export const CLOCK_MONOTONIC_RAW = 4;
export const CLOCK_REALTIME_COARSE = 5;
export const CLOCK_MONOTONIC_COARSE = 6;
export const CLOCK_BOOTTIME = 7;
export const CLOCK_REALTIME_ALARM = 8;
export const CLOCK_BOOTTIME_ALARM = 9;
export const CLOCK_TAI = 11;
export const CLOCK_NAMES: Readonly<Record<string, number>> = {
  CLOCK_REALTIME,
  CLOCK_MONOTONIC,
  CLOCK_PROCESS_CPUTIME_ID,
  CLOCK_THREAD_CPUTIME_ID,
  CLOCK_MONOTONIC_RAW,
  CLOCK_REALTIME_COARSE,
  CLOCK_MONOTONIC_COARSE,
  CLOCK_BOOTTIME,
  CLOCK_REALTIME_ALARM,
  CLOCK_BOOTTIME_ALARM,
  CLOCK_TAI,
};

export const TIMER_ABSTIME = 1;
export const ITIMER_REAL = 0;
export const ITIMER_VIRTUAL = 1;
export const ITIMER_PROF = 2;
export const DELAYTIMER_MAX = 0x7fff_ffff;

export const NS_PER_SECOND = 1_000_000_000;
export const NS_PER_MICROSECOND = 1000;
/** Seconds above this make a time infinite, as Linux does with KTIME_SEC_MAX; keeps sums of nanoseconds meaningful in doubles. */
export const SECONDS_MAX = 9_223_372_036;

export const Timespec = struct('timespec', { sec: i64, nsec: i64 });
export type Timespec = ValueOf<typeof Timespec>;
export const Timeval = struct('timeval', { sec: i64, usec: i64 });
/** `struct itimerspec`: interval, then value. */
export const Itimerspec = struct('itimerspec', { intervalSec: i64, intervalNsec: i64, valueSec: i64, valueNsec: i64 });
export const Itimerval = struct('itimerval', { intervalSec: i64, intervalUsec: i64, valueSec: i64, valueUsec: i64 });
export const Tms = struct('tms', { utime: i64, stime: i64, cutime: i64, cstime: i64 });
/** Bytes of `struct timex`. */
export const TIMEX_SIZE = 208;
