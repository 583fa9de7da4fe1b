/**
 * epoll(7): creating, controlling and waiting. The work is in fs/epoll.
 */
import { EBADF, EFAULT, EINTR, EINVAL, EPERM } from '#sentry/abi/errno.ts';
import {
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  EPOLL_EVENTS_MAX,
  EPOLLET,
  EPOLLEXCLUSIVE,
  EPOLLWAKEUP,
  EpollEvent,
} from '#sentry/abi/epoll.ts';
import { POLLERR, POLLHUP, POLLIN, POLLOUT, READABLE } from '#sentry/abi/fs.ts';
import { Epoll } from '../fs/epoll/epoll.ts';
import type { Task } from '../kernel/task.ts';
import { fileForIo, installFile, openFile, waitForFile } from './file-args.ts';
import { family, fd, flags, full, i32, input, many, oneOf, out, size, syscall } from './row.ts';
import { endTemporaryMask, readTimespec, useTemporaryMask } from './timeout.ts';

const NS_PER_MS = 1_000_000;
/** What one call hands out at most, whatever maxevents says: what fits into the staging memory. */
const EVENTS_PER_CALL = 80_000;
const EXCLUSIVE_ALLOWED = POLLIN | POLLOUT | POLLERR | POLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;
const OPERATIONS = { EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD };

function create(task: Task, cloexec: boolean): number {
  return installFile(task, new Epoll(task.kernel.anonymous), cloexec);
}

function control(task: Task, epfd: number, operation: number, fd: number, address: number): number {
  const { memory, scratch } = task;
  if (operation !== EPOLL_CTL_DEL && memory.copyIn(address, scratch, 0, EpollEvent.size) < 0) return -EFAULT;
  const epoll = openFile(task, epfd);
  const file = openFile(task, fd);
  if (epoll === undefined || file === undefined) return -EBADF;
  if (!file.pollable) return -EPERM;
  if (epoll === file || !(epoll instanceof Epoll)) return -EINVAL;
  task.kernel.anonymous.poller = task;
  if (operation === EPOLL_CTL_DEL) return epoll.delete(fd, file);
  const events = scratch.view.getUint32(EpollEvent.offsets.events, true);
  const low = scratch.view.getUint32(EpollEvent.offsets.data, true);
  const high = scratch.view.getUint32(EpollEvent.offsets.data + 4, true);
  const exclusive = (events & EPOLLEXCLUSIVE) !== 0;
  switch (operation) {
    case EPOLL_CTL_ADD:
      if (exclusive && (file instanceof Epoll || (events & ~EXCLUSIVE_ALLOWED) !== 0)) return -EINVAL;
      return epoll.add(fd, file, events, low, high);
    case EPOLL_CTL_MOD:
      return exclusive ? -EINVAL : epoll.modify(fd, file, events, low, high);
    default:
      return -EINVAL;
  }
}

/** One run of a wait whose timeout is set: a count, or BLOCKED. */
function collect(task: Task, epfd: number, address: number, maximum: number): number {
  const { wait, memory, scratch } = task;
  if (maximum <= 0 || maximum > EPOLL_EVENTS_MAX) return -EINVAL;
  const epoll = fileForIo(task, epfd);
  if (epoll === undefined) return -EBADF;
  if (!(epoll instanceof Epoll)) return -EINVAL;
  task.kernel.anonymous.poller = task;
  const count = epoll.collect(scratch.view, 0, Math.min(maximum, EVENTS_PER_CALL));
  if (count > 0) {
    const stored = Math.floor(memory.copyOutPartial(address, scratch, 0, count * EpollEvent.size) / EpollEvent.size);
    if (stored < count) epoll.putBack(stored);
    return stored > 0 ? stored : -EFAULT;
  }
  if (!wait.mayWait) return 0;
  wait.interrupted = -EINTR;
  return waitForFile(task, epoll, READABLE);
}

function wait(task: Task, epfd: number, address: number, maximum: number, timeoutMs: number): number {
  if (task.wait.first) task.wait.timeoutNs = timeoutMs < 0 ? Infinity : timeoutMs * NS_PER_MS;
  return collect(task, epfd, address, maximum);
}

function finish(task: Task, result: number): number {
  return result >= -4095 ? endTemporaryMask(task, result) : result;
}

function pwait(task: Task, epfd: number, address: number, maximum: number, timeoutMs: number, mask: number, maskSize: number): number {
  if (task.wait.first) {
    const masked = useTemporaryMask(task, mask, maskSize);
    if (masked < 0) return masked;
  }
  return finish(task, wait(task, epfd, address, maximum, timeoutMs));
}

function pwait2(task: Task, epfd: number, address: number, maximum: number, timeout: number, mask: number, maskSize: number): number {
  if (task.wait.first) {
    const ns = readTimespec(task, timeout);
    if (ns < 0) return ns;
    const masked = useTemporaryMask(task, mask, maskSize);
    if (masked < 0) return masked;
    task.wait.timeoutNs = ns;
  }
  return finish(task, collect(task, epfd, address, maximum));
}

const events = many(out(EpollEvent.size, 'epoll_events'), 'maxevents', EpollEvent.size);

export const epollRows = family(
  syscall({
    name: 'epoll_create',
    nr: { x64: 213 },
    args: { size: i32 },
    support: full,
    run: (task, size) => (size <= 0 ? -EINVAL : create(task, false)),
  }),
  syscall({
    name: 'epoll_create1',
    nr: { x64: 291, arm64: 20 },
    args: { flags: flags({ EPOLL_CLOEXEC }) },
    support: full,
    run: (task, flags) => ((flags & ~EPOLL_CLOEXEC) !== 0 ? -EINVAL : create(task, (flags & EPOLL_CLOEXEC) !== 0)),
  }),
  syscall({
    name: 'epoll_ctl',
    nr: { x64: 233, arm64: 21 },
    args: { epfd: fd, op: oneOf(OPERATIONS), fd, event: input(EpollEvent.size, 'epoll_event') },
    support: full,
    run: control,
  }),
  syscall({
    name: 'epoll_wait',
    nr: { x64: 232 },
    args: { epfd: fd, events, maxevents: i32, timeout: i32 },
    support: full,
    run: wait,
  }),
  syscall({
    name: 'epoll_pwait',
    nr: { x64: 281, arm64: 22 },
    args: { epfd: fd, events, maxevents: i32, timeout: i32, sigmask: input(8, 'sigset'), sigsetsize: size },
    support: full,
    run: pwait,
  }),
  syscall({
    name: 'epoll_pwait2',
    nr: { x64: 441, arm64: 441 },
    args: { epfd: fd, events, maxevents: i32, timeout: input(16, 'timespec'), sigmask: input(8, 'sigset'), sigsetsize: size },
    support: full,
    run: pwait2,
  }),
);
