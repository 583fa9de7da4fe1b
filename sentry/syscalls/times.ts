/**
 * File times: utimensat(2), utime(2), utimes(2), futimesat(2). All come down to two changes, each a time, "now" or "leave it".
 */
import { EBADF, EFAULT, EINVAL } from '#sentry/abi/errno.ts';
import { UTIME_NOW, UTIME_OMIT } from '#sentry/abi/fcntl.ts';
import { AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW } from '#sentry/abi/fs.ts';
import { getI64 } from '#sentry/abi/layout.ts';
import { utimens } from '../vfs/attributes.ts';
import type { TimeChange } from '../vfs/attributes.ts';
import { WALK_FOLLOW } from '../vfs/walk.ts';
import type { Task } from '../kernel/task.ts';
import { openFile } from './file-args.ts';
import { emptyFlag, resolveAt } from './path-args.ts';
import { dirfd, family, flags, full, input, path, syscall } from './row.ts';

const BILLION = 1_000_000_000;
const MILLION = 1_000_000;

/** The two times of the current call. */
interface Times {
  readonly atime: TimeChange;
  readonly mtime: TimeChange;
}
const NOW: Times = { atime: 'now', mtime: 'now' };

function apply(task: Task, dirfd: number, address: number, times: Times, flags: number): number {
  if (times.atime === 'omit' && times.mtime === 'omit') return 0;
  if (address === 0 && dirfd !== AT_FDCWD) {
    // No path at all: the descriptor itself (futimens).
    if ((flags & ~AT_EMPTY_PATH) !== 0) return -EINVAL;
    const file = openFile(task, dirfd);
    return file === undefined ? -EBADF : utimens(task, file, times.atime, times.mtime);
  }
  const follow = (flags & AT_SYMLINK_NOFOLLOW) !== 0 ? 0 : WALK_FOLLOW;
  const at = resolveAt(task, dirfd, address, follow | emptyFlag(flags));
  return typeof at === 'number' ? at : utimens(task, at, times.atime, times.mtime);
}

/** struct timespec[2] of utimensat. */
function timespecs(task: Task, address: number): Times | number {
  if (address === 0) return NOW;
  if (task.memory.copyIn(address, task.scratch, 0, 32) < 0) return -EFAULT;
  const atime = timespec(task, 0);
  const mtime = timespec(task, 16);
  return atime === null || mtime === null ? -EINVAL : { atime, mtime };
}

function timespec(task: Task, at: number): TimeChange | null {
  const nsec = getI64(task.scratch.view, at + 8);
  if (nsec === UTIME_NOW) return 'now';
  if (nsec === UTIME_OMIT) return 'omit';
  if (nsec < 0 || nsec >= BILLION) return null;
  return { sec: getI64(task.scratch.view, at), nsec };
}

/** struct timeval[2] of utimes and futimesat. */
function timevals(task: Task, address: number): Times | number {
  if (address === 0) return NOW;
  const { view } = task.scratch;
  if (task.memory.copyIn(address, task.scratch, 0, 32) < 0) return -EFAULT;
  const atime = { sec: getI64(view, 0), nsec: getI64(view, 8) * 1000 };
  const mtime = { sec: getI64(view, 16), nsec: getI64(view, 24) * 1000 };
  for (const { nsec } of [atime, mtime]) if (nsec < 0 || nsec >= MILLION * 1000) return -EINVAL;
  return { atime, mtime };
}

/** struct utimbuf of utime: whole seconds. */
function utimbuf(task: Task, address: number): Times | number {
  if (address === 0) return NOW;
  const { view } = task.scratch;
  if (task.memory.copyIn(address, task.scratch, 0, 16) < 0) return -EFAULT;
  return { atime: { sec: getI64(view, 0), nsec: 0 }, mtime: { sec: getI64(view, 8), nsec: 0 } };
}

export const timeRows = family(
  syscall({
    name: 'utimensat',
    nr: { x64: 280, arm64: 88 },
    args: { dirfd, pathname: path, times: input(32, 'timespec2'), flags: flags({ AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH }) },
    support: full,
    run: (task, dirfd, path, address, flags) => {
      if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL;
      const times = timespecs(task, address);
      return typeof times === 'number' ? times : apply(task, dirfd, path, times, flags);
    },
  }),
  syscall({
    name: 'utime',
    nr: { x64: 132 },
    args: { pathname: path, times: input(16) },
    support: full,
    run: (task, path, address) => {
      const times = utimbuf(task, address);
      return typeof times === 'number' ? times : apply(task, AT_FDCWD, path, times, 0);
    },
  }),
  syscall({
    name: 'utimes',
    nr: { x64: 235 },
    args: { pathname: path, times: input(32, 'timeval2') },
    support: full,
    run: (task, path, address) => {
      const times = timevals(task, address);
      return typeof times === 'number' ? times : apply(task, AT_FDCWD, path, times, 0);
    },
  }),
  syscall({
    name: 'futimesat',
    nr: { x64: 261 },
    args: { dirfd, pathname: path, times: input(32, 'timeval2') },
    support: full,
    run: (task, dirfd, path, address) => {
      const times = timevals(task, address);
      return typeof times === 'number' ? times : apply(task, dirfd, path, times, 0);
    },
  }),
);
