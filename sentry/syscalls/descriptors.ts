/**
 * Calls on descriptors alone: close(2), close_range(2), dup(2).
 */
import { EBADF, EINVAL } from '#sentry/abi/errno.ts';
import { CLOSE_RANGE_CLOEXEC, CLOSE_RANGE_UNSHARE } from '#sentry/abi/fcntl.ts';
import { O_CLOEXEC } from '#sentry/abi/fs.ts';
import { RLIMIT_NOFILE } from '#sentry/abi/resource.ts';
import { unshareFiles } from '../kernel/fd-table.ts';
import type { Task } from '../kernel/task.ts';
import type { FileDescription } from '../vfs/file-description.ts';
import { family, fd, flags, full, i32, syscall, u32 } from './row.ts';

function dupTo(task: Task, oldFd: number, newFd: number, cloexec: boolean): number {
  const file = task.files.get(oldFd);
  if (newFd < 0 || newFd >= task.group.limits.soft(RLIMIT_NOFILE) || file === undefined) return -EBADF;
  const result = task.files.replace(newFd, file.acquire(), cloexec);
  if (result < 0) file.release();
  return result;
}

/** Any news of a file. */
const ANYTHING = -1;

/** Linux: replacing a descriptor (dup2) and close_range linger, too. */
function close(task: Task, fd: number): number {
  const { wait } = task;
  if (!wait.first) return linger(task, wait.state as FileDescription);
  const file = task.files.get(fd);
  if (file === undefined || file.lingerNs === 0 || file.referenceCount > 1) return task.files.close(fd);
  wait.timeoutNs = file.lingerNs;
  wait.interrupted = 0; // the descriptor is gone, and the rest goes on by itself
  wait.state = file.acquire();
  wait.hold(file);
  task.files.close(fd);
  return linger(task, file);
}

function linger({ wait }: Task, file: FileDescription): number {
  return file.lingers() && wait.mayWait ? wait.on(file.queue, ANYTHING) : 0;
}

function closeRange(task: Task, first: number, last: number, flags: number): number {
  if ((flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) !== 0 || first > last) return -EINVAL;
  if ((flags & CLOSE_RANGE_UNSHARE) !== 0) unshareFiles(task);
  if ((flags & CLOSE_RANGE_CLOEXEC) !== 0) task.files.setCloexecRange(first, last);
  else task.files.closeRange(first, last);
  return 0;
}

export const descriptorRows = family(
  syscall({ name: 'close', nr: { x64: 3, arm64: 57 }, args: { fd }, support: full, run: close }),
  syscall({
    name: 'close_range',
    nr: { x64: 436, arm64: 436 },
    args: { first: u32, last: u32, flags: flags({ CLOSE_RANGE_UNSHARE, CLOSE_RANGE_CLOEXEC }) },
    support: full,
    run: closeRange,
  }),
  syscall({
    name: 'dup',
    nr: { x64: 32, arm64: 23 },
    args: { oldfd: fd },
    support: full,
    run: (task, oldFd) => {
      const file = task.files.get(oldFd);
      if (file === undefined) return -EBADF;
      const fd = task.files.install(file, false);
      if (fd >= 0) file.acquire();
      return fd;
    },
  }),
  syscall({
    name: 'dup2',
    nr: { x64: 33 },
    args: { oldfd: fd, newfd: i32 },
    support: full,
    run: (task, oldFd, newFd) => {
      if (oldFd === newFd) return task.files.get(oldFd) === undefined ? -EBADF : newFd;
      return dupTo(task, oldFd, newFd, false);
    },
  }),
  syscall({
    name: 'dup3',
    nr: { x64: 292, arm64: 24 },
    args: { oldfd: fd, newfd: i32, flags: flags({ O_CLOEXEC }) },
    support: full,
    run: (task, oldFd, newFd, flags) => {
      if ((flags & ~O_CLOEXEC) !== 0 || oldFd === newFd) return -EINVAL;
      return dupTo(task, oldFd, newFd, flags !== 0);
    },
  }),
);
