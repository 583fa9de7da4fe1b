/**
 * read, write and their relatives: read(2), pread(2), readv(2), preadv2(2), lseek(2). The work is in file-io.ts.
 *
 * Checks come in Linux's order (fs/read_write.c): a negative position, the descriptor, seekability, the buffer's range, then limits. A
 * count beyond MAX_RW_COUNT is cut, not refused.
 */
import { EBADF, EFAULT, EINVAL, EISDIR, EOPNOTSUPP, ESPIPE } from '#sentry/abi/errno.ts';
import { MAX_RW_COUNT, RWF_APPEND, RWF_DSYNC, RWF_HIPRI, RWF_NOWAIT, RWF_SYNC } from '#sentry/abi/fcntl.ts';
import { SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET } from '#sentry/abi/fs.ts';
import { getU64 } from '#sentry/abi/layout.ts';
import { IOV_MAX } from '../mm/io.ts';
import type { FileDescription } from '../vfs/file-description.ts';
import type { Task } from '../kernel/task.ts';
import { fileForIo, openFile } from './file-args.ts';
import { readFile, USE_POSITION, writeAllowance, writeFile } from './file-io.ts';
import { buffer, family, fd, flags, full, i64, input, many, oneOf, partial, size, syscall } from './row.ts';

/** Addresses and sums beyond this are negative as signed words: no memory. */
const SIGN_BIT = 2 ** 63;
export const IOVEC_SIZE = 16;
const RWF_KNOWN = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND;
const RWF_NAMES = { RWF_HIPRI, RWF_DSYNC, RWF_SYNC, RWF_NOWAIT, RWF_APPEND };
const WHENCE = { SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE };

function readBuffer(task: Task, file: FileDescription, address: number, count: number, position: number): number {
  if (!file.readable) return -EBADF;
  if (address + count > SIGN_BIT) return -EFAULT;
  return readFile(task, file, task.io.single(task.memory, address, Math.min(count, MAX_RW_COUNT)), position, 0);
}

function writeBuffer(task: Task, file: FileDescription, address: number, count: number, position: number): number {
  if (!file.writable) return -EBADF;
  if (address + count > SIGN_BIT) return -EFAULT;
  const allowed = writeAllowance(task, file, position, Math.min(count, MAX_RW_COUNT));
  if (allowed < 0) return allowed;
  return writeFile(task, file, task.io.single(task.memory, address, allowed), position, 0);
}

/** Makes `task.io` the buffers of an iovec, at most `allowed` bytes of them. Returns their total length or -errno. */
export function importVector(task: Task, vector: number, count: number, allowed: number): number {
  if (count > IOV_MAX) return -EINVAL;
  if (count > 0 && task.memory.copyIn(vector, task.scratch, 0, count * IOVEC_SIZE) < 0) return -EFAULT;
  return importCopiedVector(task, 0, count, allowed);
}

/** The same of an iovec that is in the scratch memory already. */
export function importCopiedVector(task: Task, at: number, count: number, allowed: number): number {
  const { scratch, io } = task;
  io.begin(task.memory);
  let total = 0;
  for (let i = 0; i < count; i++) {
    const address = getU64(scratch.view, at + i * IOVEC_SIZE);
    const length = getU64(scratch.view, at + i * IOVEC_SIZE + 8);
    if (length >= SIGN_BIT) return -EINVAL;
    if (address + length > SIGN_BIT) return -EFAULT;
    const taken = Math.min(length, allowed - total);
    io.segment(address, taken);
    total += taken;
  }
  return total;
}

function readVector(task: Task, file: FileDescription, vector: number, count: number, position: number, flags: number): number {
  if (!file.readable) return -EBADF;
  const total = importVector(task, vector, count, MAX_RW_COUNT);
  if (total <= 0) return total;
  return readFile(task, file, task.io, position, flags);
}

function writeVector(task: Task, file: FileDescription, vector: number, count: number, position: number, flags: number): number {
  if (!file.writable) return -EBADF;
  const allowed = writeAllowance(task, file, position, MAX_RW_COUNT);
  if (allowed < 0) return allowed;
  const total = importVector(task, vector, count, allowed);
  if (total <= 0) return total;
  return writeFile(task, file, task.io, position, flags);
}

/** The file of a call that names a position: it must have one. */
function positioned(task: Task, fd: number, position: number): FileDescription | number {
  if (position < 0) return -EINVAL;
  const file = fileForIo(task, fd);
  if (file === undefined || (!file.readable && !file.writable)) return -EBADF;
  if (file.seekable) return file;
  return file.inode.isDirectory ? -EISDIR : -ESPIPE;
}

function checkRwFlags(flags: number): number {
  return (flags & ~RWF_KNOWN) !== 0 ? -EOPNOTSUPP : 0;
}

const data = { in: buffer('in', 'count'), out: buffer('out', 'count') };
const vectorIn = many(input(IOVEC_SIZE, 'iovec_in'), 'iovcnt', IOVEC_SIZE);
const vectorOut = many(input(IOVEC_SIZE, 'iovec_out'), 'iovcnt', IOVEC_SIZE);

export const readWriteRows = family(
  syscall({
    name: 'read',
    nr: { x64: 0, arm64: 63 },
    args: { fd, buf: data.out, count: size },
    support: full,
    run: (task, fd, address, count) => {
      const file = fileForIo(task, fd);
      return file === undefined ? -EBADF : readBuffer(task, file, address, count, USE_POSITION);
    },
  }),
  syscall({
    name: 'write',
    nr: { x64: 1, arm64: 64 },
    args: { fd, buf: data.in, count: size },
    support: full,
    run: (task, fd, address, count) => {
      const file = fileForIo(task, fd);
      return file === undefined ? -EBADF : writeBuffer(task, file, address, count, USE_POSITION);
    },
  }),
  syscall({
    name: 'pread64',
    nr: { x64: 17, arm64: 67 },
    args: { fd, buf: data.out, count: size, offset: i64 },
    support: full,
    run: (task, fd, address, count, offset) => {
      const file = positioned(task, fd, offset);
      return typeof file === 'number' ? file : readBuffer(task, file, address, count, offset);
    },
  }),
  syscall({
    name: 'pwrite64',
    nr: { x64: 18, arm64: 68 },
    args: { fd, buf: data.in, count: size, offset: i64 },
    support: full,
    run: (task, fd, address, count, offset) => {
      const file = positioned(task, fd, offset);
      return typeof file === 'number' ? file : writeBuffer(task, file, address, count, offset);
    },
  }),
  syscall({
    name: 'readv',
    nr: { x64: 19, arm64: 65 },
    args: { fd, iov: vectorOut, iovcnt: size },
    support: full,
    run: (task, fd, vector, count) => {
      const file = fileForIo(task, fd);
      return file === undefined ? -EBADF : readVector(task, file, vector, count, USE_POSITION, 0);
    },
  }),
  syscall({
    name: 'writev',
    nr: { x64: 20, arm64: 66 },
    args: { fd, iov: vectorIn, iovcnt: size },
    support: full,
    run: (task, fd, vector, count) => {
      const file = fileForIo(task, fd);
      return file === undefined ? -EBADF : writeVector(task, file, vector, count, USE_POSITION, 0);
    },
  }),
  syscall({
    name: 'preadv',
    nr: { x64: 295, arm64: 69 },
    args: { fd, iov: vectorOut, iovcnt: size, offset: i64 },
    support: full,
    run: (task, fd, vector, count, offset) => {
      const file = positioned(task, fd, offset);
      return typeof file === 'number' ? file : readVector(task, file, vector, count, offset, 0);
    },
  }),
  syscall({
    name: 'pwritev',
    nr: { x64: 296, arm64: 70 },
    args: { fd, iov: vectorIn, iovcnt: size, offset: i64 },
    support: full,
    run: (task, fd, vector, count, offset) => {
      const file = positioned(task, fd, offset);
      return typeof file === 'number' ? file : writeVector(task, file, vector, count, offset, 0);
    },
  }),
  syscall({
    name: 'preadv2',
    nr: { x64: 327, arm64: 286 },
    args: { fd, iov: vectorOut, iovcnt: size, offset: i64, offsetHigh: i64, flags: flags(RWF_NAMES) },
    support: partial('RWF_HIPRI has no effect; RWF_NOWAIT only keeps streams from waiting'),
    run: (task, fd, vector, count, offset, _high, flags) => {
      const file = offset === -1 ? (fileForIo(task, fd) ?? -EBADF) : positioned(task, fd, offset);
      if (typeof file === 'number') return file;
      return checkRwFlags(flags) || readVector(task, file, vector, count, offset, flags);
    },
  }),
  syscall({
    name: 'pwritev2',
    nr: { x64: 328, arm64: 287 },
    args: { fd, iov: vectorIn, iovcnt: size, offset: i64, offsetHigh: i64, flags: flags(RWF_NAMES) },
    support: partial('RWF_HIPRI has no effect; RWF_NOWAIT only keeps streams from waiting'),
    run: (task, fd, vector, count, offset, _high, flags) => {
      const file = offset === -1 ? (fileForIo(task, fd) ?? -EBADF) : positioned(task, fd, offset);
      if (typeof file === 'number') return file;
      return checkRwFlags(flags) || writeVector(task, file, vector, count, offset, flags);
    },
  }),
  syscall({
    name: 'lseek',
    nr: { x64: 8, arm64: 62 },
    args: { fd, offset: i64, whence: oneOf(WHENCE) },
    support: full,
    run: (task, fd, offset, whence) => {
      const file = openFile(task, fd);
      if (file === undefined) return -EBADF;
      if (whence < SEEK_SET || whence > SEEK_HOLE) return -EINVAL;
      const position = file.seek(offset, whence);
      if (position >= 0) file.position = position;
      return position;
    },
  }),
);
