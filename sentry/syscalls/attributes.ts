/**
 * Mode, owner and size: chmod(2), chown(2), umask(2), truncate(2), fallocate(2), posix_fadvise(2), readahead(2).
 */
import { EBADF, EINVAL, ESPIPE } from '#sentry/abi/errno.ts';
import {
  FALLOC_FL_COLLAPSE_RANGE,
  FALLOC_FL_INSERT_RANGE,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_UNSHARE_RANGE,
  FALLOC_FL_ZERO_RANGE,
  POSIX_FADV_NOREUSE,
  POSIX_FADV_NORMAL,
} from '#sentry/abi/fcntl.ts';
import { AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, S_IFBLK, S_IFIFO, S_IFMT } from '#sentry/abi/fs.ts';
import { RLIMIT_FSIZE } from '#sentry/abi/resource.ts';
import { emptyAttributes } from '#sentry/abi/stat.ts';
import { chmod, chown, fallocate, ftruncate, truncate } from '../vfs/attributes.ts';
import type { Inode } from '../vfs/inode.ts';
import { WALK_FOLLOW } from '../vfs/walk.ts';
import type { Task } from '../kernel/task.ts';
import { openFile } from './file-args.ts';
import { checkFileSize } from './file-io.ts';
import { emptyFlag, resolveAt } from './path-args.ts';
import { dirfd, family, fd, flags, full, i64, mode, oneOf, partial, path, size, syscall, u32 } from './row.ts';

const AT_FLAGS = { AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH };
const FALLOC_MODES = {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_COLLAPSE_RANGE,
  FALLOC_FL_ZERO_RANGE,
  FALLOC_FL_INSERT_RANGE,
  FALLOC_FL_UNSHARE_RANGE,
};
const ADVICE = {
  POSIX_FADV_NORMAL,
  POSIX_FADV_RANDOM: 1,
  POSIX_FADV_SEQUENTIAL: 2,
  POSIX_FADV_WILLNEED: 3,
  POSIX_FADV_DONTNEED: 4,
  POSIX_FADV_NOREUSE,
};
const attributes = emptyAttributes();

function chmodAt(task: Task, dirfd: number, address: number, mode: number, flags: number): number {
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL;
  const at = resolveAt(task, dirfd, address, walkFlags(flags));
  return typeof at === 'number' ? at : chmod(task, at, mode);
}

function chownAt(task: Task, dirfd: number, address: number, uid: number, gid: number, flags: number): number {
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL;
  const at = resolveAt(task, dirfd, address, walkFlags(flags));
  return typeof at === 'number' ? at : chown(task, at, idOf(uid), idOf(gid));
}

function walkFlags(flags: number): number {
  return ((flags & AT_SYMLINK_NOFOLLOW) !== 0 ? 0 : WALK_FOLLOW) | emptyFlag(flags);
}

/** (uid_t)-1: leave it. */
function idOf(id: number): number {
  return id === 0xffff_ffff ? -1 : id;
}

/** RLIMIT_FSIZE forbids growth only. */
function checkGrowth(task: Task, inode: Inode, length: number): number {
  if (!inode.isRegular || length <= task.group.limits.soft(RLIMIT_FSIZE)) return 0;
  if (inode.getattr(attributes) === 0 && length <= attributes.size) return 0;
  return checkFileSize(task, length);
}

function truncatePath(task: Task, address: number, length: number): number {
  if (length < 0) return -EINVAL;
  const at = resolveAt(task, AT_FDCWD, address, WALK_FOLLOW);
  if (typeof at === 'number') return at;
  return checkGrowth(task, at.dentry.inode!, length) || truncate(task, at, length);
}

function truncateFile(task: Task, fd: number, length: number): number {
  if (length < 0) return -EINVAL;
  const file = openFile(task, fd);
  if (file === undefined) return -EBADF;
  return (file.writable ? checkGrowth(task, file.inode, length) : 0) || ftruncate(task, file, length);
}

function allocateFile(task: Task, fd: number, mode: number, offset: number, length: number): number {
  const file = openFile(task, fd);
  if (file === undefined) return -EBADF;
  if (offset < 0 || length <= 0) return -EINVAL;
  if (file.writable && (file.inode.mode & S_IFMT) === S_IFIFO) return -ESPIPE;
  const grows = (mode & FALLOC_FL_KEEP_SIZE) === 0;
  return (file.writable && grows ? checkGrowth(task, file.inode, offset + length) : 0) || fallocate(task, file, mode, offset, length);
}

/** Advice is taken note of by nobody: the host caches as it sees fit. */
function advise(task: Task, fd: number, _offset: number, length: number, advice: number): number {
  const file = openFile(task, fd);
  if (file === undefined) return -EBADF;
  if ((file.inode.mode & S_IFMT) === S_IFIFO) return -ESPIPE;
  return length < 0 || advice < POSIX_FADV_NORMAL || advice > POSIX_FADV_NOREUSE ? -EINVAL : 0;
}

function readahead(task: Task, fd: number): number {
  const file = openFile(task, fd);
  if (file === undefined || !file.readable) return -EBADF;
  return file.inode.isRegular || (file.inode.mode & S_IFMT) === S_IFBLK ? 0 : -EINVAL;
}

export const attributeRows = family(
  syscall({
    name: 'chmod',
    nr: { x64: 90 },
    args: { pathname: path, mode },
    support: full,
    run: (task, path, mode) => chmodAt(task, AT_FDCWD, path, mode, 0),
  }),
  syscall({
    name: 'fchmod',
    nr: { x64: 91, arm64: 52 },
    args: { fd, mode },
    support: full,
    run: (task, fd, mode) => {
      const file = openFile(task, fd);
      return file === undefined ? -EBADF : chmod(task, file, mode);
    },
  }),
  syscall({
    name: 'fchmodat',
    nr: { x64: 268, arm64: 53 },
    args: { dirfd, pathname: path, mode },
    support: full,
    run: (task, dirfd, path, mode) => chmodAt(task, dirfd, path, mode, 0),
  }),
  syscall({
    name: 'fchmodat2',
    nr: { x64: 452, arm64: 452 },
    args: { dirfd, pathname: path, mode, flags: flags(AT_FLAGS) },
    support: full,
    run: chmodAt,
  }),
  syscall({
    name: 'chown',
    nr: { x64: 92 },
    args: { pathname: path, owner: u32, group: u32 },
    support: full,
    run: (task, path, uid, gid) => chownAt(task, AT_FDCWD, path, uid, gid, 0),
  }),
  syscall({
    name: 'lchown',
    nr: { x64: 94 },
    args: { pathname: path, owner: u32, group: u32 },
    support: full,
    run: (task, path, uid, gid) => chownAt(task, AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW),
  }),
  syscall({
    name: 'fchown',
    nr: { x64: 93, arm64: 55 },
    args: { fd, owner: u32, group: u32 },
    support: full,
    run: (task, fd, uid, gid) => {
      const file = openFile(task, fd);
      return file === undefined ? -EBADF : chown(task, file, idOf(uid), idOf(gid));
    },
  }),
  syscall({
    name: 'fchownat',
    nr: { x64: 260, arm64: 54 },
    args: { dirfd, pathname: path, owner: u32, group: u32, flags: flags(AT_FLAGS) },
    support: full,
    run: chownAt,
  }),
  syscall({
    name: 'umask',
    nr: { x64: 95, arm64: 166 },
    args: { mask: mode },
    support: full,
    run: (task, mask) => {
      const old = task.fs.umask;
      task.fs.umask = mask & 0o777;
      return old;
    },
  }),
  syscall({ name: 'truncate', nr: { x64: 76, arm64: 45 }, args: { path, length: i64 }, support: full, run: truncatePath }),
  syscall({ name: 'ftruncate', nr: { x64: 77, arm64: 46 }, args: { fd, length: i64 }, support: full, run: truncateFile }),
  syscall({
    name: 'fallocate',
    nr: { x64: 285, arm64: 47 },
    args: { fd, mode: flags(FALLOC_MODES), offset: i64, len: i64 },
    support: partial('collapsing and inserting ranges depends on the file system beneath'),
    run: allocateFile,
  }),
  syscall({
    name: 'fadvise64',
    nr: { x64: 221, arm64: 223 },
    args: { fd, offset: i64, len: i64, advice: oneOf(ADVICE) },
    support: partial('advice is checked and has no effect'),
    run: advise,
  }),
  syscall({
    name: 'readahead',
    nr: { x64: 187, arm64: 213 },
    args: { fd, offset: i64, count: size },
    support: partial('checked, without effect'),
    run: readahead,
  }),
);
