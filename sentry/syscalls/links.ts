/**
 * Names of files: link(2), unlink(2), rename(2), symlink(2), readlink(2), mknod(2). What these do to the tree is in vfs/operations.ts.
 */
import { EFAULT, EINVAL, EPERM } from '#sentry/abi/errno.ts';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_REMOVEDIR,
  AT_SYMLINK_FOLLOW,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  RENAME_WHITEOUT,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
} from '#sentry/abi/fs.ts';
import { link, mknod, readlink, symlink, unlink } from '../vfs/operations.ts';
import { rename } from '../vfs/rename.ts';
import { WALK_EMPTY, WALK_FOLLOW } from '../vfs/walk.ts';
import type { Task } from '../kernel/task.ts';
import { removeDirectory } from './directories.ts';
import { emptyFlag, pathArg, startOf } from './path-args.ts';
import { buffer, dirfd, family, flags, full, hex32, i32, mode, path, syscall } from './row.ts';

const RENAME_FLAGS = { RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT };

function unlinkAt(task: Task, dirfd: number, address: number, flags: number): number {
  if ((flags & ~AT_REMOVEDIR) !== 0) return -EINVAL;
  if ((flags & AT_REMOVEDIR) !== 0) return removeDirectory(task, dirfd, address);
  const path = pathArg(task, address);
  if (typeof path === 'number') return path;
  const start = startOf(task, dirfd, path);
  return typeof start === 'number' ? start : unlink(task, start, path);
}

function linkAt(task: Task, oldDirfd: number, oldAddress: number, newDirfd: number, newAddress: number, flags: number): number {
  if ((flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL;
  const oldPath = pathArg(task, oldAddress);
  if (typeof oldPath === 'number') return oldPath;
  const newPath = pathArg(task, newAddress);
  if (typeof newPath === 'number') return newPath;
  const oldStart = startOf(task, oldDirfd, oldPath);
  if (typeof oldStart === 'number') return oldStart;
  const newStart = startOf(task, newDirfd, newPath);
  if (typeof newStart === 'number') return newStart;
  const walkFlags = ((flags & AT_SYMLINK_FOLLOW) !== 0 ? WALK_FOLLOW : 0) | emptyFlag(flags);
  return link(task, oldStart, oldPath, newStart, newPath, walkFlags);
}

function renameAt(task: Task, oldDirfd: number, oldAddress: number, newDirfd: number, newAddress: number, flags: number): number {
  if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)) !== 0) return -EINVAL;
  if ((flags & RENAME_EXCHANGE) !== 0 && (flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)) !== 0) return -EINVAL;
  const oldPath = pathArg(task, oldAddress);
  if (typeof oldPath === 'number') return oldPath;
  const newPath = pathArg(task, newAddress);
  if (typeof newPath === 'number') return newPath;
  const oldStart = startOf(task, oldDirfd, oldPath);
  if (typeof oldStart === 'number') return oldStart;
  const newStart = startOf(task, newDirfd, newPath);
  if (typeof newStart === 'number') return newStart;
  return rename(task, oldStart, oldPath, newStart, newPath, flags);
}

function symlinkAt(task: Task, targetAddress: number, dirfd: number, address: number): number {
  const target = pathArg(task, targetAddress);
  if (typeof target === 'number') return target;
  const path = pathArg(task, address);
  if (typeof path === 'number') return path;
  const start = startOf(task, dirfd, path);
  return typeof start === 'number' ? start : symlink(task, target, start, path);
}

function readlinkAt(task: Task, dirfd: number, address: number, into: number, room: number): number {
  if (room <= 0) return -EINVAL;
  const path = pathArg(task, address);
  if (typeof path === 'number') return path;
  const start = startOf(task, dirfd, path);
  if (typeof start === 'number') return start;
  const target = readlink(task, start, path, path === '' ? WALK_EMPTY : 0);
  if (typeof target === 'number') return target;
  const text = target.length > room ? target.slice(0, room) : target;
  return task.memory.writeBytes(into, text) < 0 ? -EFAULT : text.length;
}

function mknodAt(task: Task, dirfd: number, address: number, mode: number, device: number): number {
  const type = mode & S_IFMT;
  if (type === S_IFDIR) return -EPERM;
  if (type !== 0 && type !== S_IFREG && type !== S_IFCHR && type !== S_IFBLK && type !== S_IFIFO && type !== S_IFSOCK) return -EINVAL;
  const path = pathArg(task, address);
  if (typeof path === 'number') return path;
  const start = startOf(task, dirfd, path);
  if (typeof start === 'number') return start;
  return mknod(task, start, path, type === 0 ? mode | S_IFREG : mode, type === S_IFCHR || type === S_IFBLK ? device : 0);
}

export const linkRows = family(
  syscall({
    name: 'unlink',
    nr: { x64: 87 },
    args: { pathname: path },
    support: full,
    run: (task, path) => unlinkAt(task, AT_FDCWD, path, 0),
  }),
  syscall({
    name: 'unlinkat',
    nr: { x64: 263, arm64: 35 },
    args: { dirfd, pathname: path, flags: flags({ AT_REMOVEDIR }) },
    support: full,
    run: unlinkAt,
  }),
  syscall({
    name: 'link',
    nr: { x64: 86 },
    args: { oldpath: path, newpath: path },
    support: full,
    run: (task, oldPath, newPath) => linkAt(task, AT_FDCWD, oldPath, AT_FDCWD, newPath, 0),
  }),
  syscall({
    name: 'linkat',
    nr: { x64: 265, arm64: 37 },
    args: { olddirfd: dirfd, oldpath: path, newdirfd: dirfd, newpath: path, flags: flags({ AT_SYMLINK_FOLLOW, AT_EMPTY_PATH }) },
    support: full,
    run: linkAt,
  }),
  syscall({
    name: 'rename',
    nr: { x64: 82 },
    args: { oldpath: path, newpath: path },
    support: full,
    run: (task, oldPath, newPath) => renameAt(task, AT_FDCWD, oldPath, AT_FDCWD, newPath, 0),
  }),
  syscall({
    name: 'renameat',
    nr: { x64: 264, arm64: 38 },
    args: { olddirfd: dirfd, oldpath: path, newdirfd: dirfd, newpath: path },
    support: full,
    run: (task, oldDirfd, oldPath, newDirfd, newPath) => renameAt(task, oldDirfd, oldPath, newDirfd, newPath, 0),
  }),
  syscall({
    name: 'renameat2',
    nr: { x64: 316, arm64: 276 },
    args: { olddirfd: dirfd, oldpath: path, newdirfd: dirfd, newpath: path, flags: flags(RENAME_FLAGS) },
    support: full,
    run: renameAt,
  }),
  syscall({
    name: 'symlink',
    nr: { x64: 88 },
    args: { target: path, linkpath: path },
    support: full,
    run: (task, target, path) => symlinkAt(task, target, AT_FDCWD, path),
  }),
  syscall({
    name: 'symlinkat',
    nr: { x64: 266, arm64: 36 },
    args: { target: path, newdirfd: dirfd, linkpath: path },
    support: full,
    run: symlinkAt,
  }),
  syscall({
    name: 'readlink',
    nr: { x64: 89 },
    args: { pathname: path, buf: buffer('out', 'bufsiz'), bufsiz: i32 },
    support: full,
    run: (task, path, into, room) => readlinkAt(task, AT_FDCWD, path, into, room),
  }),
  syscall({
    name: 'readlinkat',
    nr: { x64: 267, arm64: 78 },
    args: { dirfd, pathname: path, buf: buffer('out', 'bufsiz'), bufsiz: i32 },
    support: full,
    run: readlinkAt,
  }),
  syscall({
    name: 'mknod',
    nr: { x64: 133 },
    args: { pathname: path, mode, dev: hex32 },
    support: full,
    run: (task, path, mode, device) => mknodAt(task, AT_FDCWD, path, mode, device),
  }),
  syscall({ name: 'mknodat', nr: { x64: 259, arm64: 33 }, args: { dirfd, pathname: path, mode, dev: hex32 }, support: full, run: mknodAt }),
);
