/**
 * Clocks, sleeping and timers: time(7), clock_gettime(2), nanosleep(2), setitimer(2), timer_create(2). The work is in kernel/timers.
 *
 * Programs read clocks through the host's vDSO and do not come here; what comes are the exceptions (CPU clocks, static programs).
 */
import { EFAULT, EINVAL, EOPNOTSUPP, EPERM, ERESTART_RESTARTBLOCK, ERESTARTNOHAND } from '#sentry/abi/errno.ts';
import { getI64 } from '#sentry/abi/layout.ts';
import {
  isValidSignal,
  SIGALRM,
  SIGEV_NONE,
  SIGEV_SIGNAL,
  SIGEV_THREAD,
  SIGEV_THREAD_ID,
  SIGEVENT_SIZE,
  SigeventLayout,
} from '#sentry/abi/signal.ts';
import * as t from '#sentry/abi/time.ts';
import { groupSystemTimeNs, groupUserTimeNs, nsToTicks } from '../kernel/cpu-time.ts';
import type { Task } from '../kernel/task.ts';
import {
  cpuClockNs,
  deadlineOf,
  isSystemClock,
  isValidTime,
  isWallClock,
  readDuration,
  storeClock,
  storeDuration,
  toNs,
} from '../kernel/timers/clock.ts';
import type { IntervalTimer } from '../kernel/timers/interval-timer.ts';
import { timersOf } from '../kernel/timers/process-timers.ts';
import type { PosixTimer, PosixTimerRequest } from '../kernel/timers/process-timers.ts';
import { BLOCKED } from '../kernel/wait.ts';
import { CAP_WAKE_ALARM, capable } from '../vfs/credentials.ts';
import { addr, family, flags, full, i32, input, oneOf, out, partial, refused, syscall, u32 } from './row.ts';

const NS = t.NS_PER_SECOND;

// Clocks

function clockGettime(task: Task, clock: number, address: number): number {
  return storeClock(task, clock, address);
}

function clockGetres(task: Task, clock: number, address: number): number {
  if (!isSystemClock(clock) && cpuClockNs(task, clock) < 0) return -EINVAL;
  if (address === 0) return 0;
  const coarse = clock === t.CLOCK_REALTIME_COARSE || clock === t.CLOCK_MONOTONIC_COARSE;
  // Linux: a tick of a 250 Hz kernel.
  return storeDuration(task, address, coarse ? 4_000_000 : 1);
}

function clockSettime(task: Task, clock: number, address: number): number {
  if (clock !== t.CLOCK_REALTIME) return -EINVAL;
  const value = readDuration(task, address);
  return value < 0 ? value : -EPERM;
}

function gettimeofday(task: Task, time: number, zone: number): number {
  const { scratch, memory } = task;
  if (time !== 0) {
    task.kernel.host.realtime(wall);
    t.Timeval.encode(scratch.view, 0, { sec: wall.sec, usec: Math.floor(wall.nsec / t.NS_PER_MICROSECOND) });
    if (memory.copyOut(time, scratch, 0, t.Timeval.size) < 0) return -EFAULT;
  }
  // The kernel's own time zone: UTC, no daylight saving.
  return zone === 0 ? 0 : memory.storeU64(zone, 0);
}
const wall = { sec: 0, nsec: 0 };

function time(task: Task, address: number): number {
  task.kernel.host.realtime(wall);
  if (address !== 0 && task.memory.storeU64(address, wall.sec) < 0) return -EFAULT;
  return wall.sec;
}

function times(task: Task, address: number): number {
  const { group, scratch } = task;
  const ticks = nsToTicks(task.kernel.host.monotonicNs());
  if (address === 0) return ticks;
  t.Tms.encode(scratch.view, 0, {
    utime: nsToTicks(groupUserTimeNs(group)),
    stime: nsToTicks(groupSystemTimeNs(group)),
    cutime: nsToTicks(group.childrenUserTimeNs),
    cstime: nsToTicks(group.childrenSystemTimeNs),
  });
  return task.memory.copyOut(address, scratch, 0, t.Tms.size) < 0 ? -EFAULT : ticks;
}

/** adjtimex(2), clock_adjtime(2): reading only; `modes` asks for a change. */
function adjtimex(task: Task, clock: number, address: number): number {
  if (clock !== t.CLOCK_REALTIME) return isSystemClock(clock) ? -EOPNOTSUPP : -EINVAL;
  const { scratch, memory } = task;
  if (memory.copyIn(address, scratch, 0, t.TIMEX_SIZE) < 0) return -EFAULT;
  if (scratch.view.getUint32(0, true) !== 0) return -EPERM;
  scratch.bytes.fill(0, 0, t.TIMEX_SIZE);
  const { view } = scratch;
  view.setInt32(TIMEX_STATUS, STA_UNSYNC, true);
  view.setUint32(TIMEX_TICK, 10_000, true);
  task.kernel.host.realtime(wall);
  t.Timeval.encode(view, TIMEX_TIME, { sec: wall.sec, usec: Math.floor(wall.nsec / t.NS_PER_MICROSECOND) });
  return memory.copyOut(address, scratch, 0, t.TIMEX_SIZE) < 0 ? -EFAULT : TIME_ERROR;
}
const TIMEX_STATUS = 40;
const TIMEX_TIME = 72;
const TIMEX_TICK = 88;
const STA_UNSYNC = 0x40;
/** The clock is not synchronised, as far as the guest may know. */
const TIME_ERROR = 5;

// Sleeping

function nanosleep(task: Task, request: number, remain: number): number {
  if (!task.wait.first) return task.wait.timedOut ? 0 : BLOCKED;
  const duration = readDuration(task, request);
  if (duration < 0) return duration;
  return sleepUntil(task, task.kernel.host.monotonicNs() + duration, remain);
}

/** Relative sleep; goes on through restart_syscall until the same deadline. */
function sleepUntil(task: Task, deadlineNs: number, remain: number): number {
  const { wait, kernel } = task;
  if (!wait.first) return wait.timedOut ? 0 : BLOCKED;
  if (deadlineNs <= kernel.host.monotonicNs()) return 0;
  wait.deadlineNs = deadlineNs;
  wait.onInterrupt = () => {
    const left = deadlineNs - kernel.host.monotonicNs();
    if (left <= 0) return 0;
    if (remain !== 0 && storeDuration(task, remain, Math.min(left, t.SECONDS_MAX * NS)) < 0) return -EFAULT;
    task.restartCall = (again) => sleepUntil(again, deadlineNs, remain);
    return -ERESTART_RESTARTBLOCK;
  };
  return BLOCKED;
}

function clockNanosleep(task: Task, clock: number, sleepFlags: number, request: number, remain: number): number {
  if (!task.wait.first) return task.wait.timedOut ? 0 : BLOCKED;
  if (clock === t.CLOCK_THREAD_CPUTIME_ID) return -EOPNOTSUPP;
  if (!isSystemClock(clock)) return cpuClockNs(task, clock) < 0 ? -EINVAL : -EOPNOTSUPP;
  if (clock === t.CLOCK_MONOTONIC_RAW || clock === t.CLOCK_REALTIME_COARSE || clock === t.CLOCK_MONOTONIC_COARSE) return -EOPNOTSUPP;
  const duration = readDuration(task, request);
  if (duration < 0) return duration;
  if (!mayUseClock(task, clock)) return -EPERM;
  const { host } = task.kernel;
  if ((sleepFlags & t.TIMER_ABSTIME) === 0) return sleepUntil(task, host.monotonicNs() + duration, remain);
  const deadline = deadlineOf(task.kernel, clock, getI64(task.scratch.view, 0), getI64(task.scratch.view, 8));
  if (deadline <= host.monotonicNs()) return 0;
  task.wait.deadlineNs = deadline;
  // The same call again sleeps until the same moment.
  task.wait.interrupted = -ERESTARTNOHAND;
  return BLOCKED;
}

// Interval timers

function storeItimer(task: Task, address: number, remainingNs: number, intervalNs: number): number {
  // Rounded up, as a timer that runs never shows zero.
  const remaining = splitUsec(Math.ceil(remainingNs / 1000));
  const interval = splitUsec(Math.floor(intervalNs / 1000));
  t.Itimerval.encode(task.scratch.view, 0, {
    intervalSec: interval.sec,
    intervalUsec: interval.usec,
    valueSec: remaining.sec,
    valueUsec: remaining.usec,
  });
  return task.memory.copyOut(address, task.scratch, 0, t.Itimerval.size);
}

function splitUsec(usec: number): { sec: number; usec: number } {
  const sec = Math.floor(usec / 1e6);
  return { sec, usec: usec - sec * 1e6 };
}

function getitimer(task: Task, which: number, address: number): number {
  if (which < t.ITIMER_REAL || which > t.ITIMER_PROF) return -EINVAL;
  const timer = task.group.signals.timers?.interval(which);
  return storeItimer(task, address, timer?.remainingNs ?? 0, timer?.intervalNs ?? 0);
}

function setitimer(task: Task, which: number, newValue: number, oldValue: number): number {
  const { view } = task.scratch;
  let interval = 0;
  let value = 0;
  if (newValue !== 0) {
    if (task.memory.copyIn(newValue, task.scratch, 0, t.Itimerval.size) < 0) return -EFAULT;
    const time = t.Itimerval.decode(view, 0);
    if (!isValidUsec(time.intervalSec, time.intervalUsec) || !isValidUsec(time.valueSec, time.valueUsec)) return -EINVAL;
    interval = toNs(time.intervalSec, time.intervalUsec * 1000);
    value = toNs(time.valueSec, time.valueUsec * 1000);
  }
  if (which < t.ITIMER_REAL || which > t.ITIMER_PROF) return -EINVAL;
  const timer = timersOf(task).interval(which);
  const remaining = timer.remainingNs;
  const oldInterval = timer.intervalNs;
  timer.setRelative(value, interval);
  return oldValue === 0 ? 0 : storeItimer(task, oldValue, remaining, oldInterval);
}

function isValidUsec(sec: number, usec: number): boolean {
  return sec >= 0 && usec >= 0 && usec < 1e6;
}

function alarm(task: Task, seconds: number): number {
  const timer = timersOf(task).interval(t.ITIMER_REAL);
  const remaining = timer.remainingNs;
  timer.setRelative(seconds * NS, 0);
  // Rounded to the nearest second, but never to none.
  return remaining === 0 ? 0 : Math.max(1, Math.round(remaining / NS));
}

// POSIX timers

/** The machine never sleeps, so waking it is all the same; but Linux asks for the right to. */
function mayUseClock(task: Task, clock: number): boolean {
  const wakes = clock === t.CLOCK_REALTIME_ALARM || clock === t.CLOCK_BOOTTIME_ALARM;
  return !wakes || capable(task.credentials, CAP_WAKE_ALARM);
}

function timerCreate(task: Task, clock: number, event: number, idAddress: number): number {
  if (!isSystemClock(clock) && cpuClockNs(task, clock) < 0) return -EINVAL;
  if (clock === t.CLOCK_MONOTONIC_RAW || clock === t.CLOCK_REALTIME_COARSE || clock === t.CLOCK_MONOTONIC_COARSE) return -EOPNOTSUPP;
  if (!mayUseClock(task, clock)) return -EPERM;
  const cpu = isSystemClock(clock) ? null : { nowNs: () => Math.max(0, cpuClockNs(task, clock)) };
  const request: PosixTimerRequest | number =
    event === 0
      ? { clock, notify: SIGEV_SIGNAL, signo: SIGALRM, valueLow: 0, valueHigh: 0, target: null, cpu }
      : readSigevent(task, event, clock, cpu);
  if (typeof request === 'number') return request;
  const timers = timersOf(task);
  const timer = timers.create(request);
  if (typeof timer === 'number') return timer;
  // Without an event, the timer's id is the value.
  if (event === 0) request.valueLow = timer.id;
  if (task.memory.storeU32(idAddress, timer.id) < 0) {
    timers.delete(timer);
    return -EFAULT;
  }
  return 0;
}

function readSigevent(task: Task, address: number, clock: number, cpu: PosixTimerRequest['cpu']): PosixTimerRequest | number {
  if (task.memory.copyIn(address, task.scratch, 0, SIGEVENT_SIZE) < 0) return -EFAULT;
  const { value, signo, notify, threadId } = SigeventLayout.decode(task.scratch.view, 0);
  let target: Task | null = null;
  switch (notify) {
    case SIGEV_THREAD_ID: {
      const thread = task.pids.tasks.get(threadId);
      if (thread === undefined || thread.group !== task.group) return -EINVAL;
      target = thread;
      if (!isValidSignal(signo)) return -EINVAL;
      break;
    }
    case SIGEV_SIGNAL:
    case SIGEV_THREAD:
      if (!isValidSignal(signo)) return -EINVAL;
      break;
    case SIGEV_NONE:
      break;
    default:
      return -EINVAL;
  }
  return { clock, notify, signo, valueLow: value[0], valueHigh: value[1], target, cpu };
}

function findTimer(task: Task, id: number): PosixTimer | undefined {
  return task.group.signals.timers?.posix.get(id);
}

function storeTimer(task: Task, address: number, remainingNs: number, intervalNs: number): number {
  const valueSec = Math.floor(remainingNs / NS);
  const intervalSec = Math.floor(intervalNs / NS);
  t.Itimerspec.encode(task.scratch.view, 0, {
    intervalSec,
    intervalNsec: Math.floor(intervalNs - intervalSec * NS),
    valueSec,
    valueNsec: Math.floor(remainingNs - valueSec * NS),
  });
  return task.memory.copyOut(address, task.scratch, 0, t.Itimerspec.size);
}

function timerSettime(task: Task, id: number, setFlags: number, newValue: number, oldValue: number): number {
  if (newValue === 0) return -EINVAL;
  if (task.memory.copyIn(newValue, task.scratch, 0, t.Itimerspec.size) < 0) return -EFAULT;
  const time = t.Itimerspec.decode(task.scratch.view, 0);
  if (!isValidTime(time.valueSec, time.valueNsec) || !isValidTime(time.intervalSec, time.intervalNsec)) return -EINVAL;
  const timer = findTimer(task, id);
  if (timer === undefined) return -EINVAL;
  const remaining = timer.timer.remainingNs;
  const oldInterval = timer.timer.intervalNs;
  timer.forget();
  arm(task, timer.timer, timer.request.clock, setFlags, time);
  return oldValue === 0 ? 0 : storeTimer(task, oldValue, remaining, oldInterval);
}

function arm(task: Task, timer: IntervalTimer, clock: number, setFlags: number, time: ReturnType<typeof t.Itimerspec.decode>): void {
  const { valueSec, valueNsec, intervalSec, intervalNsec } = time;
  const interval = toNs(intervalSec, intervalNsec);
  if (valueSec === 0 && valueNsec === 0) timer.disarm();
  else if ((setFlags & t.TIMER_ABSTIME) === 0) timer.setRelative(toNs(valueSec, valueNsec), interval);
  else timer.set(isWallClock(clock) ? deadlineOf(task.kernel, clock, valueSec, valueNsec) : toNs(valueSec, valueNsec), interval);
}

function timerGettime(task: Task, id: number, address: number): number {
  const timer = findTimer(task, id);
  if (timer === undefined) return -EINVAL;
  return storeTimer(task, address, timer.timer.remainingNs, timer.timer.intervalNs);
}

function timerDelete(task: Task, id: number): number {
  const timer = findTimer(task, id);
  if (timer === undefined) return -EINVAL;
  timersOf(task).delete(timer);
  return 0;
}

const CLOCK = oneOf(t.CLOCK_NAMES);
const ITIMER = oneOf({ ITIMER_REAL: t.ITIMER_REAL, ITIMER_VIRTUAL: t.ITIMER_VIRTUAL, ITIMER_PROF: t.ITIMER_PROF });
const ABSTIME = flags({ TIMER_ABSTIME: t.TIMER_ABSTIME });
const CPU_NOTE = 'CPU time is counted by process: system time counts as user time, threads have equal shares';

export const timeRows = family(
  syscall({
    name: 'clock_gettime',
    nr: { x64: 228, arm64: 113 },
    args: { clock: CLOCK, time: out(16, 'timespec') },
    support: full,
    run: clockGettime,
  }),
  syscall({
    name: 'clock_getres',
    nr: { x64: 229, arm64: 114 },
    args: { clock: CLOCK, resolution: out(16, 'timespec') },
    support: full,
    run: clockGetres,
  }),
  syscall({
    name: 'clock_settime',
    nr: { x64: 227, arm64: 112 },
    args: { clock: CLOCK, time: input(16, 'timespec') },
    support: refused(EPERM, 'the clock belongs to the host'),
    run: clockSettime,
  }),
  syscall({
    name: 'settimeofday',
    nr: { x64: 164, arm64: 170 },
    args: { time: addr, zone: addr },
    support: refused(EPERM, 'the clock belongs to the host'),
    run: () => -EPERM,
  }),
  syscall({
    name: 'adjtimex',
    nr: { x64: 159, arm64: 171 },
    args: { timex: out(t.TIMEX_SIZE) },
    support: partial('reading only'),
    run: (task, address) => adjtimex(task, t.CLOCK_REALTIME, address),
  }),
  syscall({
    name: 'clock_adjtime',
    nr: { x64: 305, arm64: 266 },
    args: { clock: CLOCK, timex: out(t.TIMEX_SIZE) },
    support: partial('reading only'),
    run: adjtimex,
  }),
  syscall({
    name: 'gettimeofday',
    nr: { x64: 96, arm64: 169 },
    args: { time: out(16, 'timeval'), zone: out(8) },
    support: full,
    run: gettimeofday,
  }),
  syscall({ name: 'time', nr: { x64: 201 }, args: { time: out(8) }, support: full, run: time }),
  syscall({ name: 'times', nr: { x64: 100, arm64: 153 }, args: { buffer: out(t.Tms.size) }, support: partial(CPU_NOTE), run: times }),
  syscall({
    name: 'nanosleep',
    nr: { x64: 35, arm64: 101 },
    args: { request: input(16, 'timespec'), remain: out(16, 'timespec') },
    support: full,
    run: nanosleep,
  }),
  syscall({
    name: 'clock_nanosleep',
    nr: { x64: 230, arm64: 115 },
    args: { clock: CLOCK, flags: ABSTIME, request: input(16, 'timespec'), remain: out(16, 'timespec') },
    support: partial('not on CPU-time clocks'),
    run: clockNanosleep,
  }),
  syscall({
    name: 'getitimer',
    nr: { x64: 36, arm64: 102 },
    args: { which: ITIMER, value: out(32, 'itimerval') },
    support: full,
    run: getitimer,
  }),
  syscall({
    name: 'setitimer',
    nr: { x64: 38, arm64: 103 },
    args: { which: ITIMER, new: input(32, 'itimerval'), old: out(32, 'itimerval') },
    support: partial(CPU_NOTE),
    run: setitimer,
  }),
  syscall({ name: 'alarm', nr: { x64: 37 }, args: { seconds: u32 }, support: full, run: alarm }),
  syscall({
    name: 'timer_create',
    nr: { x64: 222, arm64: 107 },
    args: { clock: CLOCK, event: input(SIGEVENT_SIZE, 'sigevent'), timer: out(4) },
    support: partial(CPU_NOTE),
    run: timerCreate,
  }),
  syscall({
    name: 'timer_settime',
    nr: { x64: 223, arm64: 110 },
    args: { timer: i32, flags: ABSTIME, new: input(32, 'itimerspec'), old: out(32, 'itimerspec') },
    support: full,
    run: timerSettime,
  }),
  syscall({
    name: 'timer_gettime',
    nr: { x64: 224, arm64: 108 },
    args: { timer: i32, value: out(32, 'itimerspec') },
    support: full,
    run: timerGettime,
  }),
  syscall({
    name: 'timer_getoverrun',
    nr: { x64: 225, arm64: 109 },
    args: { timer: i32 },
    support: full,
    run: (task, id) => findTimer(task, id)?.lastOverrun ?? -EINVAL,
  }),
  syscall({ name: 'timer_delete', nr: { x64: 226, arm64: 111 }, args: { timer: i32 }, support: full, run: timerDelete }),
);
