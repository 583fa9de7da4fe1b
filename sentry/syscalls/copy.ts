/**
 * sendfile(2), copy_file_range(2), splice(2), tee(2), vmsplice(2). The moving itself is in transfer.ts.
 *
 * Offsets given by address are read first and stored when the call ends or goes to sleep, so that a call which goes on after a wait, or is
 * cut short by a signal, starts from memory again.
 */
import { EAGAIN, EBADF, EFAULT, EINVAL, EISDIR, EPIPE, ESPIPE } from '#sentry/abi/errno.ts';
import { MAX_RW_COUNT, SPLICE_F_GIFT, SPLICE_F_MORE, SPLICE_F_MOVE, SPLICE_F_NONBLOCK } from '#sentry/abi/fcntl.ts';
import { getI64 } from '#sentry/abi/layout.ts';
import { SIGPIPE } from '#sentry/abi/signal.ts';
import { emptyAttributes } from '#sentry/abi/stat.ts';
import { PipeFile } from '../fs/pipe/pipe-file.ts';
import type { FileDescription } from '../vfs/file-description.ts';
import type { Task } from '../kernel/task.ts';
import { isNonblocking, openFile, READ_EVENTS, WRITE_EVENTS } from './file-args.ts';
import { raise, USE_POSITION, writeAllowance } from './file-io.ts';
import { importVector } from './read-write.ts';
import { family, fd, flags, full, inout, input, many, partial, size, syscall, u32 } from './row.ts';
import { Transfer } from './transfer.ts';

const SPLICE_FLAGS = { SPLICE_F_MOVE, SPLICE_F_NONBLOCK, SPLICE_F_MORE, SPLICE_F_GIFT };
const SPLICE_ALL = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT;

/**
 * Most that one call moves between regular files. Both interfaces may move less than asked, and while one guest's data is moved all others
 * wait.
 */
const COPY_MAX = 16 << 20;

const attributes = emptyAttributes();

/** The offset at `address`; the file's own position when there is none. -errno. */
function offsetArg(task: Task, address: number, file: FileDescription): number {
  if (address === 0) return file.position;
  if (task.memory.copyIn(address, task.scratch, 0, 8) < 0) return -EFAULT;
  const offset = getI64(task.scratch.view, 0);
  return offset < 0 ? -EINVAL : offset;
}

/** Stores how far the transfer came in one of its files. */
function storeOffset(task: Task, address: number, file: FileDescription, offset: number): number {
  if (!file.seekable) return 0;
  if (address !== 0) return task.memory.storeU64(address, offset);
  file.position = offset;
  return 0;
}

function sendfile(task: Task, outFd: number, inFd: number, offsetAddress: number, count: number): number {
  const source = openFile(task, inFd);
  const target = openFile(task, outFd);
  if (source === undefined || !source.readable) return -EBADF;
  if (offsetAddress !== 0 && !source.seekable) return -ESPIPE;
  const from = offsetArg(task, offsetAddress, source);
  if (from < 0) return from;
  if (target === undefined || !target.writable) return -EBADF;
  if (!source.seekable || source.inode.isDirectory || target.appends) return -EINVAL;
  const { wait } = task;
  const length = writeAllowance(task, target, USE_POSITION, Math.min(count, COPY_MAX) - wait.progress);
  if (length < 0) return length;
  const transfer = new Transfer(task, source, from, target, target.position);
  wait.progress += transfer.run(length);
  if (target.seekable) target.position = transfer.to;
  const stored = storeOffset(task, offsetAddress, source, transfer.from);
  if (stored < 0) return stored;
  if (transfer.ended === -EAGAIN && transfer.targetFull && !isNonblocking(target)) return wait.on(target.queue, WRITE_EVENTS);
  return wait.progress > 0 ? wait.progress : transfer.ended;
}

function copyFileRange(
  task: Task,
  inFd: number,
  inAddress: number,
  outFd: number,
  outAddress: number,
  length: number,
  flags: number,
): number {
  const source = openFile(task, inFd);
  const target = openFile(task, outFd);
  if (source === undefined || target === undefined) return -EBADF;
  const from = offsetArg(task, inAddress, source);
  if (from < 0) return from;
  const to = offsetArg(task, outAddress, target);
  if (to < 0) return to;
  if (flags !== 0) return -EINVAL;
  if (source.inode.isDirectory || target.inode.isDirectory) return -EISDIR;
  if (!source.inode.isRegular || !target.inode.isRegular) return -EINVAL;
  if (!source.readable || !target.writable || target.appends) return -EBADF;
  const count = Math.min(length, COPY_MAX);
  if (source.inode === target.inode && overlaps(source, from, to, count)) return -EINVAL;
  const allowed = writeAllowance(task, target, to, count);
  if (allowed < 0) return allowed;
  const transfer = new Transfer(task, source, from, target, to);
  const moved = transfer.run(allowed);
  if (moved === 0) return transfer.ended;
  return storeOffset(task, inAddress, source, transfer.from) || storeOffset(task, outAddress, target, transfer.to) || moved;
}

/** What lies behind the end of the file is not copied and overlaps nothing. */
function overlaps(file: FileDescription, from: number, to: number, length: number): boolean {
  if (file.getattr(attributes) < 0) return true;
  const count = Math.max(0, Math.min(length, attributes.size - from));
  return from < to + count && to < from + count;
}

function splice(task: Task, inFd: number, inAddress: number, outFd: number, outAddress: number, length: number, flags: number): number {
  if (length === 0) return 0;
  if ((flags & ~SPLICE_ALL) !== 0) return -EINVAL;
  const source = openFile(task, inFd);
  const target = openFile(task, outFd);
  if (source === undefined || target === undefined || !source.readable || !target.writable) return -EBADF;
  const fromPipe = source instanceof PipeFile;
  const toPipe = target instanceof PipeFile;
  if ((fromPipe && inAddress !== 0) || (toPipe && outAddress !== 0)) return -ESPIPE;
  if (fromPipe && toPipe) return betweenPipes(task, source, target, length, flags, 'move');
  if (!fromPipe && !toPipe) return -EINVAL;
  if ((inAddress !== 0 && !source.seekable) || (outAddress !== 0 && !target.seekable)) return -EINVAL;
  if (target.appends || source.inode.isDirectory) return -EINVAL;
  const from = offsetArg(task, inAddress, source);
  if (from < 0) return from;
  const to = offsetArg(task, outAddress, target);
  if (to < 0) return to;
  const allowed = writeAllowance(task, target, to, Math.min(length, COPY_MAX));
  if (allowed < 0) return allowed;
  const transfer = new Transfer(task, source, from, target, to);
  const moved = transfer.run(allowed);
  if (moved > 0) return storeOffset(task, inAddress, source, transfer.from) || storeOffset(task, outAddress, target, transfer.to) || moved;
  if (transfer.ended !== -EAGAIN) return transfer.ended;
  const blocker = transfer.targetFull ? target : source;
  return waitToSplice(task, blocker, flags, transfer.targetFull ? WRITE_EVENTS : READ_EVENTS);
}

function betweenPipes(task: Task, source: PipeFile, target: PipeFile, length: number, flags: number, how: 'copy' | 'move'): number {
  if (source.pipe === target.pipe) return -EINVAL;
  const moved = source.pipe.transfer(target.pipe, Math.min(length, MAX_RW_COUNT), how);
  if (moved === -EPIPE) raise(task, SIGPIPE);
  if (moved !== -EAGAIN) return moved;
  return source.pipe.isEmpty ? waitToSplice(task, source, flags, READ_EVENTS) : waitToSplice(task, target, flags, WRITE_EVENTS);
}

function waitToSplice(task: Task, blocker: FileDescription, flags: number, events: number): number {
  if ((flags & SPLICE_F_NONBLOCK) !== 0 || isNonblocking(blocker)) return -EAGAIN;
  return task.wait.on(blocker.queue, events);
}

function tee(task: Task, inFd: number, outFd: number, length: number, flags: number): number {
  if ((flags & ~SPLICE_ALL) !== 0) return -EINVAL;
  if (length === 0) return 0;
  const source = openFile(task, inFd);
  const target = openFile(task, outFd);
  if (source === undefined || target === undefined || !source.readable || !target.writable) return -EBADF;
  if (!(source instanceof PipeFile) || !(target instanceof PipeFile)) return -EINVAL;
  return betweenPipes(task, source, target, length, flags, 'copy');
}

/** Copies instead of lending pages, which nobody can tell who does not write to them afterwards. */
function vmsplice(task: Task, fd: number, vector: number, count: number, flags: number): number {
  if ((flags & ~SPLICE_ALL) !== 0) return -EINVAL;
  const file = openFile(task, fd);
  if (file === undefined || !(file instanceof PipeFile)) return -EBADF;
  const total = importVector(task, vector, count, MAX_RW_COUNT);
  if (total <= 0) return total;
  const moved = file.writable ? file.write(task.io) : file.read(task.io);
  if (moved === -EPIPE) raise(task, SIGPIPE);
  return moved === -EAGAIN ? waitToSplice(task, file, flags, file.writable ? WRITE_EVENTS : READ_EVENTS) : moved;
}

export const copyRows = family(
  syscall({
    name: 'sendfile',
    nr: { x64: 40, arm64: 71 },
    args: { out_fd: fd, in_fd: fd, offset: inout(8, 'offset'), count: size },
    support: full,
    run: sendfile,
  }),
  syscall({
    name: 'copy_file_range',
    nr: { x64: 326, arm64: 285 },
    args: { fd_in: fd, off_in: inout(8, 'offset'), fd_out: fd, off_out: inout(8, 'offset'), len: size, flags: u32 },
    support: full,
    run: copyFileRange,
  }),
  syscall({
    name: 'splice',
    nr: { x64: 275, arm64: 76 },
    args: { fd_in: fd, off_in: inout(8, 'offset'), fd_out: fd, off_out: inout(8, 'offset'), len: size, flags: flags(SPLICE_FLAGS) },
    support: partial('data is copied, not moved by reference'),
    run: splice,
  }),
  syscall({
    name: 'tee',
    nr: { x64: 276, arm64: 77 },
    args: { fd_in: fd, fd_out: fd, len: size, flags: flags(SPLICE_FLAGS) },
    support: full,
    run: tee,
  }),
  syscall({
    name: 'vmsplice',
    nr: { x64: 278, arm64: 75 },
    args: { fd, iov: many(input(16, 'iovec_in'), 'nr_segs', 16), nr_segs: size, flags: flags(SPLICE_FLAGS) },
    support: partial('data is copied, not lent'),
    run: vmsplice,
  }),
);
