/**
 * Reading and writing an open file on behalf of a task: waiting, position, chunks, limits and signals, in one place for read(2), pread(2),
 * readv(2), preadv2(2) and their writing kin.
 *
 *     const io = task.io.single(task.memory, address, count);
 *     return readFile(task, file, io, USE_POSITION, 0);
 *
 * Files move bytes and say -EAGAIN; whether that means waiting is decided here.
 */
import { EAGAIN, EBADF, EFBIG, EINVAL, EISDIR, EPIPE } from '#sentry/abi/errno.ts';
import { RWF_APPEND, RWF_DSYNC, RWF_NOWAIT, RWF_SYNC } from '#sentry/abi/fcntl.ts';
import { O_APPEND, O_DSYNC } from '#sentry/abi/fs.ts';
import { RLIMIT_FSIZE } from '#sentry/abi/resource.ts';
import { SI_USER, SIGPIPE, SIGXFSZ } from '#sentry/abi/signal.ts';
import { SignalInfo } from '#sentry/abi/siginfo.ts';
import { IN_ACCESS, IN_MODIFY } from '#sentry/abi/event-files.ts';
import { emptyAttributes } from '#sentry/abi/stat.ts';
import type { Io } from '../mm/io.ts';
import type { FileDescription } from '../vfs/file-description.ts';
import { happened } from '../vfs/watchers.ts';
import type { Task } from '../kernel/task.ts';
import { sendToTask } from '../kernel/signals/send.ts';
import { isNonblocking, READ_EVENTS, waitForFile, WRITE_EVENTS } from './file-args.ts';

/** As `position`: the file's own, which the call advances. */
export const USE_POSITION = -1;

/** A regular file that filled this much may have more: files move data in pieces no larger than the sentry's staging memory. */
const PIECE = 1 << 16;

const attributes = emptyAttributes();

/** Reads into `io` at `position`; `flags` are RWF_*. */
export function readFile(task: Task, file: FileDescription, io: Io, position: number, flags: number): number {
  const n = readFrom(task, file, io, position, flags);
  if (n > 0) happened(file.dentry, IN_ACCESS);
  return n;
}

function readFrom(task: Task, file: FileDescription, io: Io, position: number, flags: number): number {
  if (!file.readable) return -EBADF;
  if (!file.seekable) return readStream(task, file, io, flags);
  let at = position === USE_POSITION ? file.position : position;
  let total = 0;
  for (;;) {
    const n = file.read(io, at, task);
    if (n < 0) {
      if (total > 0) break;
      return cannotRead(task, file, n, flags);
    }
    total += n;
    at += n;
    if (n < PIECE || io.remaining === 0) break;
  }
  if (position === USE_POSITION) file.position = at;
  return total;
}

function readStream(task: Task, file: FileDescription, io: Io, flags: number): number {
  const n = file.read(io, -1, task);
  return n < 0 ? cannotRead(task, file, n, flags) : n;
}

/** A read that moved nothing: waits, or fails. */
function cannotRead(task: Task, file: FileDescription, error: number, flags: number): number {
  if (error === -EAGAIN && !isNonblocking(file) && (flags & RWF_NOWAIT) === 0) return waitForFile(task, file, READ_EVENTS);
  return error === -EINVAL && file.inode.isDirectory ? -EISDIR : error;
}

/** Writes from `io`, of which the bytes moved before a wait are skipped. */
export function writeFile(task: Task, file: FileDescription, io: Io, position: number, flags: number): number {
  const n = writeTo(task, file, io, position, flags);
  if (n > 0) happened(file.dentry, IN_MODIFY);
  return n;
}

function writeTo(task: Task, file: FileDescription, io: Io, position: number, flags: number): number {
  if (!file.writable) return -EBADF;
  if (!file.seekable) return writeStream(task, file, io, flags);
  const appends = file.appends || (flags & RWF_APPEND) !== 0;
  const forced = appends && !file.appends;
  if (forced) file.flags |= O_APPEND; // for the length of this call: nobody else runs meanwhile
  let at = position === USE_POSITION ? file.position : position;
  let total = 0;
  let result = 0;
  while (total === 0 || io.remaining > 0) {
    result = file.write(io, at, task);
    if (result <= 0) break;
    total += result;
    at = appends ? file.endOfWrite : at + result;
  }
  if (forced) file.flags &= ~O_APPEND;
  if (total === 0) {
    return result === -EAGAIN && !isNonblocking(file) ? waitForFile(task, file, WRITE_EVENTS) : result;
  }
  if (position === USE_POSITION) file.position = at;
  if ((file.flags & O_DSYNC) === 0 && (flags & (RWF_DSYNC | RWF_SYNC)) === 0) return total;
  const synced = file.sync(true);
  return synced < 0 && synced !== -EINVAL ? synced : total; // EINVAL: nothing to bring to a disk
}

function writeStream(task: Task, file: FileDescription, io: Io, flags: number): number {
  const { wait } = task;
  let total = wait.progress;
  if (total > 0) io.skip(total);
  for (;;) {
    const n = file.write(io, -1, task);
    if (n > 0) {
      total += n;
      if (io.remaining === 0 || !file.writesWhole) return total;
      continue;
    }
    if (n === -EAGAIN && !isNonblocking(file) && (flags & RWF_NOWAIT) === 0) {
      wait.progress = total;
      const waiting = waitForFile(task, file, WRITE_EVENTS);
      return waiting === -EAGAIN && total > 0 ? total : waiting;
    }
    if (n === -EPIPE && file.signalsBrokenPipe) raise(task, SIGPIPE);
    return total > 0 ? total : n;
  }
}

/**
 * How many of `count` bytes RLIMIT_FSIZE lets a write at `position` put into a regular file; -EFBIG, with SIGXFSZ sent, when none.
 */
export function writeAllowance(task: Task, file: FileDescription, position: number, count: number): number {
  const limit = task.group.limits.soft(RLIMIT_FSIZE);
  if (limit === Infinity || !file.seekable || !file.inode.isRegular || count === 0) return count;
  let at = position === USE_POSITION ? file.position : position;
  if (file.appends && file.getattr(attributes) === 0) at = attributes.size;
  if (at < limit) return Math.min(count, limit - at);
  raise(task, SIGXFSZ);
  return -EFBIG;
}

/** The same for a new length (truncate, fallocate): 0 or -EFBIG. */
export function checkFileSize(task: Task, length: number): number {
  if (length <= task.group.limits.soft(RLIMIT_FSIZE)) return 0;
  raise(task, SIGXFSZ);
  return -EFBIG;
}

/** A signal from the thread to itself, as Linux's send_sig leaves it: as if by kill(2). */
export function raise(task: Task, signo: number): void {
  sendToTask(task, SignalInfo.user(signo, SI_USER, task.group.pid, task.credentials.uid));
}
