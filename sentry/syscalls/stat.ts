/**
 * stat(2), statx(2) and access(2).
 *
 * fstat and newfstatat with an empty path go straight to the open file; all of them fill one attributes object that lives for ever.
 */
import { EBADF, EINVAL } from '#sentry/abi/errno.ts';
import {
  AT_EACCESS,
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_NO_AUTOMOUNT,
  AT_STATX_SYNC_TYPE,
  AT_SYMLINK_NOFOLLOW,
  F_OK,
  R_OK,
  W_OK,
  X_OK,
} from '#sentry/abi/fs.ts';
import {
  emptyAttributes,
  Stat,
  Statx,
  STATX_ATTR_MOUNT_ROOT,
  STATX_BASIC_STATS,
  STATX_MNT_ID,
  STATX_RESERVED,
  writeStat,
  writeStatx,
} from '#sentry/abi/stat.ts';
import { access, realCredentials, stat } from '../vfs/attributes.ts';
import { firstWalk, resolve, WALK_EMPTY, WALK_FOLLOW } from '../vfs/walk.ts';
import type { Task } from '../kernel/task.ts';
import { emptyFlag, pathArg, startOf } from './path-args.ts';
import { dirfd, family, fd, flags, full, hex32, out, partial, path, syscall } from './row.ts';

const attributes = emptyAttributes();
const AT_FLAGS = { AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, AT_NO_AUTOMOUNT };
const ACCESS_MODES = { F_OK, R_OK, W_OK, X_OK };
/** AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC: one of them, not both. */
const STATX_FLAGS = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE;

function store(task: Task, address: number): number {
  const { scratch } = task;
  writeStat(scratch.view, 0, attributes);
  return task.memory.copyOut(address, scratch, 0, Stat.size);
}

function statPath(task: Task, dirfd: number, address: number, into: number, walkFlags: number): number {
  const path = pathArg(task, address);
  if (typeof path === 'number') return path;
  if (path === '' && (walkFlags & WALK_EMPTY) !== 0 && dirfd !== AT_FDCWD) return fstat(task, dirfd, into);
  const start = startOf(task, dirfd, path);
  if (typeof start === 'number') return start;
  return stat(task, start, path, walkFlags, attributes) || store(task, into);
}

function fstat(task: Task, fd: number, into: number): number {
  const file = task.files.get(fd);
  if (file === undefined) return -EBADF;
  return file.getattr(attributes) || store(task, into);
}

function newfstatat(task: Task, dirfd: number, address: number, into: number, flags: number): number {
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT)) !== 0) return -EINVAL;
  // Linux 6.11: no path at all means an empty one.
  if (address === 0 && (flags & AT_EMPTY_PATH) !== 0 && dirfd >= 0) return fstat(task, dirfd, into);
  return statPath(task, dirfd, address, into, followUnless(flags) | emptyFlag(flags));
}

function followUnless(flags: number): number {
  return (flags & AT_SYMLINK_NOFOLLOW) !== 0 ? 0 : WALK_FOLLOW;
}

function statx(task: Task, dirfd: number, address: number, flags: number, mask: number, into: number): number {
  if ((mask & STATX_RESERVED) !== 0) return -EINVAL;
  if ((flags & ~STATX_FLAGS) !== 0 || (flags & AT_STATX_SYNC_TYPE) === AT_STATX_SYNC_TYPE) return -EINVAL;
  const path = address === 0 && (flags & AT_EMPTY_PATH) !== 0 ? '' : pathArg(task, address);
  if (typeof path === 'number') return path;
  const start = startOf(task, dirfd, path);
  if (typeof start === 'number') return start;
  const walk = firstWalk.begin(task, start, followUnless(flags) | emptyFlag(flags));
  // Without a path: of the open file, which may know better than its inode.
  const file = path === '' ? task.files.get(dirfd) : undefined;
  const error = file === undefined ? walk.toAttributes(path, attributes) : walk.toEnd(path) || file.getattr(attributes);
  if (error < 0) return error;
  const { mount } = walk;
  const isRoot = (file === undefined ? walk.arrived : walk.dentry) === mount.root && mount.mountpoint !== null;
  const wantsMount = (mask & STATX_MNT_ID) !== 0;
  const told = STATX_BASIC_STATS | (wantsMount ? STATX_MNT_ID : 0);
  writeStatx(task.scratch.view, 0, attributes, told, wantsMount ? mount.id : 0, isRoot ? STATX_ATTR_MOUNT_ROOT : 0);
  return task.memory.copyOut(into, task.scratch, 0, Statx.size);
}

function accessAt(task: Task, dirfd: number, address: number, mode: number, flags: number): number {
  if ((mode & ~(R_OK | W_OK | X_OK)) !== 0) return -EINVAL;
  if ((flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL;
  const path = pathArg(task, address);
  if (typeof path === 'number') return path;
  const start = startOf(task, dirfd, path);
  if (typeof start === 'number') return start;
  const ids = (flags & AT_EACCESS) !== 0 ? 'effective' : 'real';
  // The walk to the file is judged by the same ids as the file.
  const credentials = ids === 'real' ? realCredentials(task.credentials) : task.credentials;
  const caller = credentials === task.credentials ? task : { credentials, fs: task.fs, task };
  const at = resolve(caller, start, path, followUnless(flags) | emptyFlag(flags));
  return typeof at === 'number' ? at : access(task, at, mode, ids);
}

export const statRows = family(
  syscall({
    name: 'stat',
    nr: { x64: 4 },
    args: { pathname: path, statbuf: out(Stat.size, 'stat') },
    support: full,
    run: (task, path, into) => statPath(task, AT_FDCWD, path, into, WALK_FOLLOW),
  }),
  syscall({
    name: 'fstat',
    nr: { x64: 5, arm64: 80 },
    args: { fd, statbuf: out(Stat.size, 'stat') },
    support: full,
    run: fstat,
  }),
  syscall({
    name: 'lstat',
    nr: { x64: 6 },
    args: { pathname: path, statbuf: out(Stat.size, 'stat') },
    support: full,
    run: (task, path, into) => statPath(task, AT_FDCWD, path, into, 0),
  }),
  syscall({
    name: 'newfstatat',
    nr: { x64: 262, arm64: 79 },
    args: { dirfd, pathname: path, statbuf: out(Stat.size, 'stat'), flags: flags(AT_FLAGS) },
    support: full,
    run: newfstatat,
  }),
  syscall({
    name: 'statx',
    nr: { x64: 332, arm64: 291 },
    args: {
      dirfd,
      pathname: path,
      flags: flags({ ...AT_FLAGS, AT_STATX_FORCE_SYNC: 0x2000, AT_STATX_DONT_SYNC: 0x4000 }),
      mask: hex32,
      statxbuf: out(Statx.size, 'statx'),
    },
    support: partial('no birth time, direct I/O alignment or file attributes (stx_mask says so)'),
    run: statx,
  }),
  syscall({
    name: 'access',
    nr: { x64: 21 },
    args: { pathname: path, mode: flags(ACCESS_MODES) },
    support: full,
    run: (task, path, mode) => accessAt(task, AT_FDCWD, path, mode, 0),
  }),
  syscall({
    name: 'faccessat',
    nr: { x64: 269, arm64: 48 },
    args: { dirfd, pathname: path, mode: flags(ACCESS_MODES) },
    support: full,
    run: (task, dirfd, path, mode) => accessAt(task, dirfd, path, mode, 0),
  }),
  syscall({
    name: 'faccessat2',
    nr: { x64: 439, arm64: 439 },
    args: { dirfd, pathname: path, mode: flags(ACCESS_MODES), flags: flags({ AT_EACCESS, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH }) },
    support: full,
    run: accessAt,
  }),
);
