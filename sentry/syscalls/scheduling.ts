/**
 * Scheduling: sched(7), sched_setscheduler(2), sched_setaffinity(2), setpriority(2), ioprio_set(2). The host schedules guest threads; but for affinity, what
 * is asked for here is checked, kept and reported as Linux does, and has no effect on the host.
 */
import { E2BIG, EACCES, EFAULT, EINVAL, EPERM, ESRCH } from '#sentry/abi/errno.ts';
import { PRIO_PGRP, PRIO_PROCESS, PRIO_USER, RLIMIT_NICE, RLIMIT_RTPRIO } from '#sentry/abi/resource.ts';
import * as s from '#sentry/abi/sched.ts';
import type { Scheduling } from '../kernel/scheduling.ts';
import type { Task } from '../kernel/task.ts';
import { storeDuration } from '../kernel/timers/clock.ts';
import { CAP_SYS_NICE, capable } from '../vfs/credentials.ts';
import { addr, family, full, i32, input, oneOf, out, partial, pid, size, syscall, u32 } from './row.ts';

const RR_INTERVAL_NS = 100_000_000;
const OTHER_INTERVAL_NS = 4_000_000;

function targetOf(task: Task, which: number): Task | number {
  if (which < 0) return -EINVAL;
  return which === 0 ? task : (task.pids.tasks.get(which) ?? -ESRCH);
}

function sameUser(task: Task, target: Task): boolean {
  const { euid } = task.credentials;
  return euid === target.credentials.euid || euid === target.credentials.uid;
}

function mayChange(task: Task, target: Task): boolean {
  return sameUser(task, target) || capable(task.credentials, CAP_SYS_NICE);
}

// Policy and priority

function isRealTime(policy: number): boolean {
  return policy === s.SCHED_FIFO || policy === s.SCHED_RR;
}

/** Puts a policy in force. `change` holds what differs from now. */
function changePolicy(task: Task, which: number, change: Partial<Scheduling>, niceness: number | null): number {
  const target = targetOf(task, which);
  if (typeof target === 'number') return target;
  const old = target.scheduling;
  const wanted = { ...old, ...change };
  const known =
    isRealTime(wanted.policy) || wanted.policy === s.SCHED_OTHER || wanted.policy === s.SCHED_BATCH || wanted.policy === s.SCHED_IDLE;
  if (!known) return -EINVAL;
  if (isRealTime(wanted.policy) ? wanted.priority < 1 || wanted.priority > s.SCHED_PRIORITY_MAX : wanted.priority !== 0) return -EINVAL;
  if (!mayChange(task, target)) return -EPERM;
  if (!capable(task.credentials, CAP_SYS_NICE)) {
    const limit = target.group.limits.soft(RLIMIT_RTPRIO);
    if (isRealTime(wanted.policy) && (wanted.policy !== old.policy || wanted.priority > old.priority) && wanted.priority > limit)
      return -EPERM;
    if (old.resetOnFork && !wanted.resetOnFork) return -EPERM;
    if (niceness !== null && !mayNice(target, niceness)) return -EPERM;
  }
  target.scheduling = wanted;
  if (niceness !== null) target.niceness = niceness;
  return 0;
}

function schedSetscheduler(task: Task, which: number, policy: number, parameter: number): number {
  if (parameter === 0 || which < 0 || policy < 0) return -EINVAL;
  const priority = task.memory.loadU32(parameter);
  if (priority < 0) return -EFAULT;
  const resetOnFork = (policy & s.SCHED_RESET_ON_FORK) !== 0;
  return changePolicy(task, which, { policy: policy & ~s.SCHED_RESET_ON_FORK, priority: priority | 0, resetOnFork }, null);
}

function schedSetparam(task: Task, which: number, parameter: number): number {
  if (parameter === 0 || which < 0) return -EINVAL;
  const priority = task.memory.loadU32(parameter);
  return priority < 0 ? -EFAULT : changePolicy(task, which, { priority: priority | 0 }, null);
}

function schedGetscheduler(task: Task, which: number): number {
  const target = targetOf(task, which);
  if (typeof target === 'number') return target;
  return target.scheduling.policy | (target.scheduling.resetOnFork ? s.SCHED_RESET_ON_FORK : 0);
}

function schedGetparam(task: Task, which: number, parameter: number): number {
  const target = parameter === 0 ? -EINVAL : targetOf(task, which);
  return typeof target === 'number' ? target : task.memory.storeU32(parameter, target.scheduling.priority);
}

function schedSetattr(task: Task, which: number, address: number, flags: number): number {
  if (address === 0 || which < 0 || flags !== 0) return -EINVAL;
  const { scratch, memory } = task;
  const given = memory.loadU32(address);
  if (given < 0) return -EFAULT;
  const bytes = given === 0 ? s.SCHED_ATTR_SIZE_VER0 : given;
  if (bytes < s.SCHED_ATTR_SIZE_VER0 || bytes > 4096) return memory.storeU32(address, s.SCHED_ATTR_SIZE_VER0) < 0 ? -EFAULT : -E2BIG;
  if (memory.copyIn(address, scratch, 0, bytes) < 0) return -EFAULT;
  if (scratch.bytes.subarray(s.SCHED_ATTR_SIZE_VER0, bytes).some((byte) => byte !== 0)) return -E2BIG;
  const attr = s.SchedAttr.decode(scratch.view, 0);
  if ((attr.flags & ~s.SCHED_FLAG_RESET_ON_FORK) !== 0 || attr.policy > s.SCHED_DEADLINE) return -EINVAL;
  const resetOnFork = (attr.flags & s.SCHED_FLAG_RESET_ON_FORK) !== 0;
  const niceness = isRealTime(attr.policy) ? null : clampNice(attr.nice);
  return changePolicy(task, which, { policy: attr.policy, priority: attr.priority, resetOnFork }, niceness);
}

function schedGetattr(task: Task, which: number, address: number, bytes: number, flags: number): number {
  if (address === 0 || bytes < s.SCHED_ATTR_SIZE_VER0 || bytes > 4096 || flags !== 0) return -EINVAL;
  const target = targetOf(task, which);
  if (typeof target === 'number') return target;
  const { policy, priority, resetOnFork } = target.scheduling;
  s.SchedAttr.encode(task.scratch.view, 0, {
    size: s.SCHED_ATTR_SIZE_VER0,
    policy,
    flags: resetOnFork ? s.SCHED_FLAG_RESET_ON_FORK : 0,
    nice: isRealTime(policy) ? 0 : target.niceness,
    priority,
    runtime: 0,
    deadline: 0,
    period: 0,
  });
  return task.memory.copyOut(address, task.scratch, 0, s.SCHED_ATTR_SIZE_VER0);
}

function priorityBound(policy: number, realTime: number): number {
  if (isRealTime(policy)) return realTime;
  const known = policy === s.SCHED_OTHER || policy === s.SCHED_BATCH || policy === s.SCHED_IDLE || policy === s.SCHED_DEADLINE;
  return known ? 0 : -EINVAL;
}

function schedRrGetInterval(task: Task, which: number, address: number): number {
  const target = targetOf(task, which);
  if (typeof target === 'number') return target;
  const { policy } = target.scheduling;
  return storeDuration(task, address, policy === s.SCHED_RR ? RR_INTERVAL_NS : policy === s.SCHED_FIFO ? 0 : OTHER_INTERVAL_NS);
}

// Affinity

function maskBytes(task: Task): number {
  return Math.ceil(task.kernel.host.cpuCount / 64) * 8;
}

function schedGetaffinity(task: Task, which: number, length: number, address: number): number {
  const bytes = maskBytes(task);
  if (length * 8 < task.kernel.host.cpuCount || length % 8 !== 0) return -EINVAL;
  const target = targetOf(task, which);
  if (typeof target === 'number') return target;
  const { scratch } = task;
  scratch.bytes.fill(0, 0, bytes);
  const { affinity } = target.scheduling;
  for (let cpu = 0; cpu < task.kernel.host.cpuCount; cpu++) {
    const allowed = affinity === null || (affinity[cpu >> 5]! & (1 << (cpu & 31))) !== 0;
    if (allowed) scratch.bytes[cpu >> 3] = scratch.bytes[cpu >> 3]! | (1 << (cpu & 7));
  }
  const copied = Math.min(length, bytes);
  return task.memory.copyOut(address, scratch, 0, copied) < 0 ? -EFAULT : copied;
}

function schedSetaffinity(task: Task, which: number, length: number, address: number): number {
  const { scratch } = task;
  const { cpuCount } = task.kernel.host;
  const bytes = maskBytes(task);
  scratch.bytes.fill(0, 0, bytes);
  if (task.memory.copyIn(address, scratch, 0, Math.min(length, bytes)) < 0) return -EFAULT;
  const target = targetOf(task, which);
  if (typeof target === 'number') return target;
  if (!mayChange(task, target)) return -EPERM;
  const words = Array.from({ length: bytes / 4 }, (_, i) => scratch.view.getUint32(4 * i, true) & cpuWord(cpuCount, i));
  if (words.every((word) => word === 0)) return -EINVAL;
  target.scheduling = { ...target.scheduling, affinity: words };
  target.thread.setAffinity(words);
  return 0;
}

/** Bits of the CPUs there are, of word `index` of a mask. */
function cpuWord(cpuCount: number, index: number): number {
  const count = Math.min(32, Math.max(0, cpuCount - 32 * index));
  return count === 32 ? -1 : (1 << count) - 1;
}

// Nice values

function clampNice(nice: number): number {
  return Math.max(s.NICE_MIN, Math.min(s.NICE_MAX, nice));
}

/** Whether RLIMIT_NICE or no raise at all permits it. */
function mayNice(target: Task, nice: number): boolean {
  return nice >= target.niceness || 20 - nice <= target.group.limits.soft(RLIMIT_NICE);
}

/** The tasks that `which` and `who` name. */
function selectTasks(task: Task, which: number, who: number): Task[] {
  const { tasks } = task.pids;
  switch (which) {
    case PRIO_PROCESS: {
      const target = who === 0 ? task : tasks.get(who);
      return target === undefined ? [] : [target];
    }
    case PRIO_PGRP: {
      const pgid = who === 0 ? task.group.processGroup.pgid : who;
      return [...tasks.values()].filter((target) => target.group.processGroup.pgid === pgid);
    }
    default: {
      const uid = who === 0 ? task.credentials.uid : who >>> 0;
      return [...tasks.values()].filter((target) => target.credentials.uid === uid);
    }
  }
}

function getpriority(task: Task, which: number, who: number): number {
  if (which < PRIO_PROCESS || which > PRIO_USER) return -EINVAL;
  const targets = selectTasks(task, which, who);
  if (targets.length === 0) return -ESRCH;
  // The call's value is 20 - nice, so that no result is negative.
  return Math.max(...targets.map((target) => 20 - target.niceness));
}

function setpriority(task: Task, which: number, who: number, value: number): number {
  if (which < PRIO_PROCESS || which > PRIO_USER) return -EINVAL;
  const nice = clampNice(value);
  const privileged = capable(task.credentials, CAP_SYS_NICE);
  let result = -ESRCH;
  for (const target of selectTasks(task, which, who)) {
    if (!mayChange(task, target)) result = -EPERM;
    else if (!privileged && !mayNice(target, nice)) result = -EACCES;
    else {
      if (result === -ESRCH) result = 0;
      target.niceness = nice;
    }
  }
  return result;
}

// I/O priority

function ioTargets(task: Task, which: number, who: number): Task[] | number {
  if (which < s.IOPRIO_WHO_PROCESS || which > s.IOPRIO_WHO_USER) return -EINVAL;
  const targets = selectTasks(task, which - s.IOPRIO_WHO_PROCESS, who);
  return targets.length === 0 ? -ESRCH : targets;
}

function ioprioGet(task: Task, which: number, who: number): number {
  const targets = ioTargets(task, which, who);
  return typeof targets === 'number' ? targets : targets[0]!.scheduling.ioPriority;
}

function ioprioSet(task: Task, which: number, who: number, value: number): number {
  const level = value & ((1 << s.IOPRIO_CLASS_SHIFT) - 1);
  switch (value >> s.IOPRIO_CLASS_SHIFT) {
    case s.IOPRIO_CLASS_RT:
      if (!capable(task.credentials, CAP_SYS_NICE)) return -EPERM;
      if (level >= s.IOPRIO_LEVELS) return -EINVAL;
      break;
    case s.IOPRIO_CLASS_BE:
      if (level >= s.IOPRIO_LEVELS) return -EINVAL;
      break;
    case s.IOPRIO_CLASS_IDLE:
      break;
    case s.IOPRIO_CLASS_NONE:
      if (level !== 0) return -EINVAL;
      break;
    default:
      return -EINVAL;
  }
  const targets = ioTargets(task, which, who);
  if (typeof targets === 'number') return targets;
  for (const target of targets) {
    if (!mayChange(task, target)) return -EPERM;
    target.scheduling = { ...target.scheduling, ioPriority: value };
  }
  return 0;
}

const POLICY = oneOf(s.SCHED_POLICIES);
const KEPT = partial('kept and reported; the host schedules guest threads its own way');
const PRIO = oneOf({ PRIO_PROCESS, PRIO_PGRP, PRIO_USER });

export const schedulingRows = family(
  syscall({ name: 'sched_yield', nr: { x64: 24, arm64: 124 }, args: {}, support: full, run: () => 0 }),
  syscall({
    name: 'sched_setscheduler',
    nr: { x64: 144, arm64: 119 },
    args: { pid, policy: POLICY, param: input(4) },
    support: KEPT,
    run: schedSetscheduler,
  }),
  syscall({ name: 'sched_getscheduler', nr: { x64: 145, arm64: 120 }, args: { pid }, support: full, run: schedGetscheduler }),
  syscall({ name: 'sched_setparam', nr: { x64: 142, arm64: 118 }, args: { pid, param: input(4) }, support: KEPT, run: schedSetparam }),
  syscall({ name: 'sched_getparam', nr: { x64: 143, arm64: 121 }, args: { pid, param: out(4) }, support: full, run: schedGetparam }),
  syscall({
    name: 'sched_setattr',
    nr: { x64: 314, arm64: 274 },
    args: { pid, attr: input(s.SCHED_ATTR_SIZE_VER0), flags: u32 },
    support: partial('kept and reported only; no SCHED_DEADLINE, no utilisation clamps'),
    run: schedSetattr,
  }),
  syscall({
    name: 'sched_getattr',
    nr: { x64: 315, arm64: 275 },
    args: { pid, attr: out(s.SCHED_ATTR_SIZE_VER0), size: u32, flags: u32 },
    support: full,
    run: schedGetattr,
  }),
  syscall({
    name: 'sched_get_priority_max',
    nr: { x64: 146, arm64: 125 },
    args: { policy: POLICY },
    support: full,
    run: (_task, policy) => priorityBound(policy, s.SCHED_PRIORITY_MAX),
  }),
  syscall({
    name: 'sched_get_priority_min',
    nr: { x64: 147, arm64: 126 },
    args: { policy: POLICY },
    support: full,
    run: (_task, policy) => priorityBound(policy, 1),
  }),
  syscall({
    name: 'sched_rr_get_interval',
    nr: { x64: 148, arm64: 127 },
    args: { pid, interval: out(16, 'timespec') },
    support: full,
    run: schedRrGetInterval,
  }),
  syscall({
    name: 'sched_setaffinity',
    nr: { x64: 203, arm64: 122 },
    args: { pid, length: size, mask: addr },
    support: full,
    run: schedSetaffinity,
  }),
  syscall({
    name: 'sched_getaffinity',
    nr: { x64: 204, arm64: 123 },
    args: { pid, length: u32, mask: addr },
    support: full,
    run: schedGetaffinity,
  }),
  syscall({ name: 'getpriority', nr: { x64: 140, arm64: 141 }, args: { which: PRIO, who: i32 }, support: full, run: getpriority }),
  syscall({
    name: 'setpriority',
    nr: { x64: 141, arm64: 140 },
    args: { which: PRIO, who: i32, prio: i32 },
    support: KEPT,
    run: setpriority,
  }),
  syscall({ name: 'ioprio_get', nr: { x64: 252, arm64: 31 }, args: { which: i32, who: i32 }, support: full, run: ioprioGet }),
  syscall({ name: 'ioprio_set', nr: { x64: 251, arm64: 30 }, args: { which: i32, who: i32, ioprio: i32 }, support: KEPT, run: ioprioSet }),
);
