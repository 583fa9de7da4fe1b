/**
 * Files that stand for events: eventfd(2), timerfd_create(2), signalfd(2).
 */
import { EBADF, EFAULT, EINVAL, EPERM } from '#sentry/abi/errno.ts';
import {
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  EFD_SEMAPHORE,
  SFD_CLOEXEC,
  SFD_NONBLOCK,
  TFD_CLOEXEC,
  TFD_NONBLOCK,
  TFD_TIMER_ABSTIME,
  TFD_TIMER_CANCEL_ON_SET,
} from '#sentry/abi/event-files.ts';
import { getI64, putI64 } from '#sentry/abi/layout.ts';
import { EventFile } from '../fs/eventfd/event-file.ts';
import { SignalFile } from '../fs/signalfd/signal-file.ts';
import { TimerFile } from '../fs/timerfd/timer-file.ts';
import type { TimerSetting } from '../fs/timerfd/timer-file.ts';
import { CAP_WAKE_ALARM, capable } from '../vfs/credentials.ts';
import type { Task } from '../kernel/task.ts';
import { installFile, openFile } from './file-args.ts';
import { family, fd, flags, full, i32, input, oneOf, out, partial, size, syscall, u32 } from './row.ts';

// ---- eventfd

const EVENT_FLAGS = { EFD_SEMAPHORE, EFD_CLOEXEC, EFD_NONBLOCK };

function eventfd(task: Task, initial: number, flags: number): number {
  if ((flags & ~(EFD_SEMAPHORE | EFD_CLOEXEC | EFD_NONBLOCK)) !== 0) return -EINVAL;
  const file = new EventFile(task.kernel.anonymous, initial, flags & (EFD_SEMAPHORE | EFD_NONBLOCK));
  return installFile(task, file, (flags & EFD_CLOEXEC) !== 0);
}

// ---- timerfd

const CLOCKS = {
  CLOCK_REALTIME: 0,
  CLOCK_MONOTONIC: 1,
  CLOCK_BOOTTIME: 7,
  CLOCK_REALTIME_ALARM: 8,
  CLOCK_BOOTTIME_ALARM: 9,
} as const;
const SPEC_SIZE = 32;
const NS = 1_000_000_000;

function timerfdCreate(task: Task, clock: number, flags: number): number {
  if ((flags & ~(TFD_CLOEXEC | TFD_NONBLOCK)) !== 0) return -EINVAL;
  if (!(Object.values(CLOCKS) as number[]).includes(clock)) return -EINVAL;
  if (clock >= CLOCKS.CLOCK_REALTIME_ALARM && !capable(task.credentials, CAP_WAKE_ALARM)) return -EPERM;
  return installFile(task, new TimerFile(task.kernel.anonymous, clock, flags & TFD_NONBLOCK), (flags & TFD_CLOEXEC) !== 0);
}

const setting: TimerSetting = { valueNs: 0, intervalNs: 0 };

function timerfdSettime(task: Task, fd: number, flags: number, address: number, old: number): number {
  const { view } = task.scratch;
  if (task.memory.copyIn(address, task.scratch, 0, SPEC_SIZE) < 0) return -EFAULT;
  const intervalSec = getI64(view, 0);
  const intervalNsec = getI64(view, 8);
  const sec = getI64(view, 16);
  const nsec = getI64(view, 24);
  if ((flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) !== 0 || !valid(intervalSec, intervalNsec) || !valid(sec, nsec))
    return -EINVAL;
  const file = openFile(task, fd);
  if (file === undefined) return -EBADF;
  if (!(file instanceof TimerFile)) return -EINVAL;
  file.setting(setting);
  file.set(sec, nsec, intervalSec * NS + intervalNsec, flags);
  return old === 0 ? 0 : storeSetting(task, old);
}

function valid(sec: number, nsec: number): boolean {
  return sec >= 0 && nsec >= 0 && nsec < NS;
}

function storeSetting(task: Task, address: number): number {
  const { view } = task.scratch;
  putI64(view, 0, Math.floor(setting.intervalNs / NS));
  putI64(view, 8, Math.floor(setting.intervalNs % NS));
  putI64(view, 16, Math.floor(setting.valueNs / NS));
  putI64(view, 24, Math.floor(setting.valueNs % NS));
  return task.memory.copyOut(address, task.scratch, 0, SPEC_SIZE);
}

function timerfdGettime(task: Task, fd: number, address: number): number {
  const file = openFile(task, fd);
  if (file === undefined) return -EBADF;
  if (!(file instanceof TimerFile)) return -EINVAL;
  file.setting(setting);
  return storeSetting(task, address);
}

// ---- signalfd

const SIGSET_SIZE = 8;

function signalfd(task: Task, fd: number, address: number, size: number, flags: number): number {
  if (size !== SIGSET_SIZE) return -EINVAL;
  if (task.memory.copyIn(address, task.scratch, 0, SIGSET_SIZE) < 0) return -EFAULT;
  if ((flags & ~(SFD_CLOEXEC | SFD_NONBLOCK)) !== 0) return -EINVAL;
  const low = task.scratch.view.getUint32(0, true);
  const high = task.scratch.view.getUint32(4, true);
  if (fd === -1) {
    return installFile(task, new SignalFile(task.kernel.anonymous, task, low, high, flags & SFD_NONBLOCK), (flags & SFD_CLOEXEC) !== 0);
  }
  const file = openFile(task, fd);
  if (file === undefined) return -EBADF;
  if (!(file instanceof SignalFile)) return -EINVAL;
  file.setMask(low, high);
  return fd;
}

const TIMER_FLAGS = { TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET };
const set = input(SIGSET_SIZE, 'sigset');

export const eventFdRows = family(
  syscall({
    name: 'eventfd',
    nr: { x64: 284 },
    args: { initval: u32 },
    support: full,
    run: (task, initial) => eventfd(task, initial, 0),
  }),
  syscall({
    name: 'eventfd2',
    nr: { x64: 290, arm64: 19 },
    args: { initval: u32, flags: flags(EVENT_FLAGS) },
    support: full,
    run: eventfd,
  }),
  syscall({
    name: 'timerfd_create',
    nr: { x64: 283, arm64: 85 },
    args: { clockid: oneOf(CLOCKS), flags: flags({ TFD_CLOEXEC, TFD_NONBLOCK }) },
    support: partial('absolute times on CLOCK_BOOTTIME are taken as CLOCK_MONOTONIC; the alarm clocks do not wake a sleeping machine'),
    run: timerfdCreate,
  }),
  syscall({
    name: 'timerfd_settime',
    nr: { x64: 286, arm64: 86 },
    args: { fd, flags: flags(TIMER_FLAGS), new: input(SPEC_SIZE, 'itimerspec'), old: out(SPEC_SIZE, 'itimerspec') },
    support: partial('TFD_TIMER_CANCEL_ON_SET never cancels: nothing in the sandbox can set the clock'),
    run: timerfdSettime,
  }),
  syscall({
    name: 'timerfd_gettime',
    nr: { x64: 287, arm64: 87 },
    args: { fd, value: out(SPEC_SIZE, 'itimerspec') },
    support: full,
    run: timerfdGettime,
  }),
  syscall({
    name: 'signalfd',
    nr: { x64: 282 },
    args: { fd: i32, mask: set, sizemask: size },
    support: full,
    run: (task, fd, address, size) => signalfd(task, fd, address, size, 0),
  }),
  syscall({
    name: 'signalfd4',
    nr: { x64: 289, arm64: 74 },
    args: { fd: i32, mask: set, sizemask: size, flags: flags({ SFD_CLOEXEC, SFD_NONBLOCK }) },
    support: full,
    run: signalfd,
  }),
);
