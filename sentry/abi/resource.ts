/**
 * Resource limits and usage: getrlimit(2), prlimit(2), getrusage(2), getpriority(2). Linux asm-generic/resource.h.
 */
import { array, i64, struct } from './layout.ts';

export const RLIMIT_CPU = 0;
export const RLIMIT_FSIZE = 1;
export const RLIMIT_DATA = 2;
export const RLIMIT_STACK = 3;
export const RLIMIT_CORE = 4;
export const RLIMIT_RSS = 5;
export const RLIMIT_NPROC = 6;
export const RLIMIT_NOFILE = 7;
export const RLIMIT_MEMLOCK = 8;
export const RLIMIT_AS = 9;
export const RLIMIT_LOCKS = 10;
export const RLIMIT_SIGPENDING = 11;
export const RLIMIT_MSGQUEUE = 12;
export const RLIMIT_NICE = 13;
export const RLIMIT_RTPRIO = 14;
export const RLIMIT_RTTIME = 15;
export const RLIM_NLIMITS = 16;
/** ~0 in guest memory. */
export const RLIM_INFINITY = Infinity;

/** Names as /proc/PID/limits and strace print them. */
export const RLIMIT_NAMES: Readonly<Record<string, number>> = {
  RLIMIT_CPU,
  RLIMIT_FSIZE,
  RLIMIT_DATA,
  RLIMIT_STACK,
  RLIMIT_CORE,
  RLIMIT_RSS,
  RLIMIT_NPROC,
  RLIMIT_NOFILE,
  RLIMIT_MEMLOCK,
  RLIMIT_AS,
  RLIMIT_LOCKS,
  RLIMIT_SIGPENDING,
  RLIMIT_MSGQUEUE,
  RLIMIT_NICE,
  RLIMIT_RTPRIO,
  RLIMIT_RTTIME,
};

export const RUSAGE_SELF = 0;
export const RUSAGE_CHILDREN = -1;
export const RUSAGE_THREAD = 1;

export const PRIO_PROCESS = 0;
export const PRIO_PGRP = 1;
export const PRIO_USER = 2;

/** `struct rlimit64`: soft, hard, both 64 bits. */
export const RLIMIT_SIZE = 16;

export const Rusage = struct('rusage', {
  utimeSec: i64,
  utimeUsec: i64,
  stimeSec: i64,
  stimeUsec: i64,
  maxrss: i64,
  ixrss: i64,
  idrss: i64,
  isrss: i64,
  minflt: i64,
  majflt: i64,
  nswap: i64,
  inblock: i64,
  oublock: i64,
  msgsnd: i64,
  msgrcv: i64,
  nsignals: i64,
  nvcsw: i64,
  nivcsw: i64,
});

/** `struct sysinfo`. */
export const SYSINFO_SIZE = 112;
export const SysinfoLayout = struct('sysinfo', {
  uptime: i64,
  loads: array(i64, 3),
  totalram: i64,
  freeram: i64,
  sharedram: i64,
  bufferram: i64,
  totalswap: i64,
  freeswap: i64,
  /** `procs` in the low 16 bits. */
  procs: i64,
  totalhigh: i64,
  freehigh: i64,
  /** `mem_unit` in the low 32 bits. */
  memUnit: i64,
});
