/**
 * Scheduling: sched(7), sched_setscheduler(2), sched_setattr(2), ioprio_set(2), membarrier(2). Linux uapi/linux/sched.h.
 */
import { i32, struct, u32, u64 } from './layout.ts';

export const SCHED_OTHER = 0;
export const SCHED_FIFO = 1;
export const SCHED_RR = 2;
export const SCHED_BATCH = 3;
export const SCHED_IDLE = 5;
export const SCHED_DEADLINE = 6;
export const SCHED_RESET_ON_FORK = 0x4000_0000;
export const SCHED_POLICIES: Readonly<Record<string, number>> = {
  SCHED_OTHER,
  SCHED_FIFO,
  SCHED_RR,
  SCHED_BATCH,
  SCHED_IDLE,
  SCHED_DEADLINE,
};

export const SCHED_FLAG_RESET_ON_FORK = 1;
export const SCHED_PRIORITY_MAX = 99;
export const NICE_MIN = -20;
export const NICE_MAX = 19;

/** `struct sched_attr`, version 0. */
export const SchedAttr = struct('sched_attr', {
  size: u32,
  policy: u32,
  flags: u64,
  nice: i32,
  priority: u32,
  runtime: u64,
  deadline: u64,
  period: u64,
});
export const SCHED_ATTR_SIZE_VER0 = 48;

export const IOPRIO_WHO_PROCESS = 1;
export const IOPRIO_WHO_PGRP = 2;
export const IOPRIO_WHO_USER = 3;
export const IOPRIO_CLASS_SHIFT = 13;
export const IOPRIO_CLASS_NONE = 0;
export const IOPRIO_CLASS_RT = 1;
export const IOPRIO_CLASS_BE = 2;
export const IOPRIO_CLASS_IDLE = 3;
export const IOPRIO_LEVELS = 8;

export const MEMBARRIER_CMD_QUERY = 0;
