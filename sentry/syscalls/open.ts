/**
 * open(2), openat(2), openat2(2), creat(2). Path walk and permissions are in vfs/open.ts; here are the arguments, the descriptor, and the
 * wait for the other end of a FIFO (fifo(7)).
 */
import { E2BIG, EAGAIN, EFAULT, EINVAL, ENOENT } from '#sentry/abi/errno.ts';
import {
  OpenHow,
  RESOLVE_BENEATH,
  RESOLVE_CACHED,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
} from '#sentry/abi/fcntl.ts';
import {
  AT_FDCWD,
  O_ACCMODE,
  O_APPEND,
  O_ASYNC,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECT,
  O_DIRECTORY,
  O_DSYNC,
  O_EXCL,
  O_LARGEFILE,
  O_NOATIME,
  O_NOCTTY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  O_SYNC,
  O_TMPFILE,
  O_TRUNC,
  O_WRONLY,
  READABLE,
  WRITABLE,
} from '#sentry/abi/fs.ts';
import type { FileDescription } from '../vfs/file-description.ts';
import { open } from '../vfs/open.ts';
import type { Task } from '../kernel/task.ts';
import { installFile } from './file-args.ts';
import { pathArg, startOf } from './path-args.ts';
import { dirfd, family, flags, full, input, many, mode, partial, path, size, syscall } from './row.ts';

export const OPEN_FLAGS = {
  O_RDONLY,
  O_WRONLY,
  O_RDWR,
  O_CREAT,
  O_EXCL,
  O_NOCTTY,
  O_TRUNC,
  O_APPEND,
  O_NONBLOCK,
  O_SYNC,
  O_DSYNC,
  O_ASYNC,
  O_DIRECT,
  O_LARGEFILE,
  O_TMPFILE,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NOATIME,
  O_CLOEXEC,
  O_PATH,
};

/** Every flag open(2) knows; it ignores others, openat2(2) refuses them. */
const KNOWN_FLAGS =
  O_ACCMODE |
  O_CREAT |
  O_EXCL |
  O_NOCTTY |
  O_TRUNC |
  O_APPEND |
  O_NONBLOCK |
  O_SYNC |
  O_DSYNC |
  O_ASYNC |
  O_DIRECT |
  O_LARGEFILE |
  O_DIRECTORY |
  O_NOFOLLOW |
  O_NOATIME |
  O_CLOEXEC |
  O_PATH |
  O_TMPFILE;
const KNOWN_RESOLVE = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH | RESOLVE_IN_ROOT | RESOLVE_CACHED;
const PATH_ONLY = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_LARGEFILE;
const TMPFILE_BIT = O_TMPFILE & ~O_DIRECTORY;
const OPEN_HOW_MAX = 4096;

function openAt(task: Task, dirfd: number, address: number, flags: number, mode: number, resolve: number): number {
  if (!task.wait.first) return resumeOpen(task);
  const path = pathArg(task, address);
  if (typeof path === 'number') return path;
  if (path.length === 0) return -ENOENT;
  const descriptor = task.files.nextFree;
  if (descriptor < 0) return descriptor;
  const start = startOf(task, dirfd, path);
  if (typeof start === 'number') return start;
  const status = (flags & O_PATH) === 0 ? (flags & KNOWN_FLAGS) | O_LARGEFILE : flags & KNOWN_FLAGS;
  const file = open(task, start, path, status, mode, resolve);
  return typeof file === 'number' ? file : completeOpen(task, file, (flags & O_CLOEXEC) !== 0);
}

/** An open that waits, with what is needed to finish it: the arguments in guest memory may have changed by then. */
interface PendingOpen {
  readonly file: FileDescription;
  readonly cloexec: boolean;
}

function resumeOpen(task: Task): number {
  const { file, cloexec } = task.wait.state as PendingOpen;
  return completeOpen(task, file, cloexec);
}

/** Hands out the descriptor, or waits until the FIFO has a partner. */
function completeOpen(task: Task, file: FileDescription, cloexec: boolean): number {
  const { wait } = task;
  const queue = file.openWait();
  if (queue === null) {
    wait.onFinish = null;
    return installFile(task, file, cloexec);
  }
  if (wait.first) {
    wait.state = { file, cloexec } satisfies PendingOpen;
    wait.onFinish = () => file.release();
  }
  return wait.on(queue, READABLE | WRITABLE);
}

function openat2(task: Task, dirfd: number, address: number, how: number, size: number): number {
  if (!task.wait.first) return resumeOpen(task);
  if (size < OpenHow.size) return -EINVAL;
  if (size > OPEN_HOW_MAX) return -E2BIG;
  const { scratch } = task;
  if (task.memory.copyIn(how, scratch, 0, size) < 0) return -EFAULT;
  for (let i = OpenHow.size; i < size; i++) if (scratch.bytes[i] !== 0) return -E2BIG;
  const { flags, mode, resolve } = OpenHow.decode(scratch.view, 0);
  if (flags >= 2 ** 32 || (flags & ~KNOWN_FLAGS) !== 0 || resolve > KNOWN_RESOLVE || (resolve & ~KNOWN_RESOLVE) !== 0) return -EINVAL;
  if ((resolve & RESOLVE_BENEATH) !== 0 && (resolve & RESOLVE_IN_ROOT) !== 0) return -EINVAL;
  const creates = (flags & O_CREAT) !== 0 || (flags & TMPFILE_BIT) !== 0;
  if (creates ? mode > 0o7777 : mode !== 0) return -EINVAL;
  if ((flags & O_PATH) !== 0 && (flags & ~PATH_ONLY) !== 0) return -EINVAL;
  if ((resolve & RESOLVE_CACHED) !== 0) return -EAGAIN;
  return openAt(task, dirfd, address, flags, mode, resolve);
}

export const openRows = family(
  syscall({
    name: 'open',
    nr: { x64: 2 },
    args: { pathname: path, flags: flags(OPEN_FLAGS), mode },
    support: partial('O_DIRECT has no effect'),
    run: (task, path, flags, mode) => openAt(task, AT_FDCWD, path, flags, mode, 0),
  }),
  syscall({
    name: 'openat',
    nr: { x64: 257, arm64: 56 },
    args: { dirfd, pathname: path, flags: flags(OPEN_FLAGS), mode },
    support: partial('O_DIRECT has no effect'),
    run: (task, dirfd, path, flags, mode) => openAt(task, dirfd, path, flags, mode, 0),
  }),
  syscall({
    name: 'openat2',
    nr: { x64: 437, arm64: 437 },
    args: { dirfd, pathname: path, how: many(input(OpenHow.size, 'open_how'), 'size', 1), size },
    support: partial('RESOLVE_CACHED always answers EAGAIN; O_DIRECT has no effect'),
    run: openat2,
  }),
  syscall({
    name: 'creat',
    nr: { x64: 85 },
    args: { pathname: path, mode },
    support: full,
    run: (task, path, mode) => openAt(task, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode, 0),
  }),
);
