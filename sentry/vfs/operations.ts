/**
 * System calls on names in the tree: mkdir, mknod, symlink, link, unlink, rmdir, readlink (rename is in rename.ts). Each walks to the parent
 * directory, checks what Linux checks in Linux's order, lets the inode do it, and keeps the dentries right.
 *
 * The rest of the VFS interface for system calls:
 *
 *   walk.ts        VfsCaller, WALK_* flags, resolve(caller, start | null, path, walkFlags): Path | number
 *   open.ts        open(caller, start | null, path, flags, mode, resolveFlags), openPath(caller, at, flags): FileDescription | number
 *                  After open: `file.openWait()` is null, or the queue to wait on before the descriptor is installed (FIFO without a partner).
 *   rename.ts      rename(caller, fromStart, fromPath, toStart, toPath, flags)
 *   attributes.ts  stat, chmod, chown, utimens, access, truncate, ftruncate, fallocate, statfs. A `Target` is a Path or an open file
 *   xattr.ts       getxattr, setxattr, listxattr, removexattr on a Target
 *   path-name.ts   pathName(at, root), getcwd(fs)
 *   mount-namespace.ts  mount, bind, move, unmount, remount, pivotRoot, list
 *   special-files.ts    openers of devices, FIFOs and sockets
 *
 * Model: Linux fs/namei.c filename_create, do_unlinkat, do_rmdir, do_linkat.
 */
import { EBUSY, EEXIST, EINVAL, EISDIR, ENAMETOOLONG, ENOENT, ENOTDIR, ENOTEMPTY, EPERM, EXDEV } from '#sentry/abi/errno.ts';
import { PATH_MAX, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFMT, S_IFREG, S_IFSOCK, S_ISVTX, W_OK, X_OK } from '#sentry/abi/fs.ts';
import { capable, CAP_MKNOD } from './credentials.ts';
import type { Dentry } from './dentry.ts';
import type { Inode } from './inode.ts';
import type { Path } from './mount.ts';
import { instantiate } from './open.ts';
import { checkSticky, groupOfNew, mayLink, modeOfNew, permission, writable } from './permission.ts';
import { firstWalk, LastType, secondWalk } from './walk.ts';
import type { VfsCaller, Walk } from './walk.ts';
import { linked, removed } from './watchers.ts';

/** Walks to where a new name is to be and checks that it may be made there: 0 or -errno. `kind`: only directories may be given with a trailing slash. */
function prepareNew(caller: VfsCaller, walk: Walk, path: string, kind: 'directory' | 'other'): number {
  const error = walk.toParent(path);
  if (error < 0) return error;
  if (walk.lastType !== LastType.Name) return -EEXIST;
  const child = walk.child(walk.last);
  if (typeof child === 'number') return child;
  if (child.inode !== null) return -EEXIST;
  if (walk.trailing && kind === 'other') return -ENOENT;
  return writable(walk.mount);
}

/** Whether the caller may add a name to `directory`. */
function mayCreate(caller: VfsCaller, directory: Dentry): number {
  return directory.unlinked ? -ENOENT : permission(caller.credentials, directory.inode!, W_OK | X_OK);
}

function finishNew(caller: VfsCaller, walk: Walk, made: Inode | number): number {
  if (typeof made === 'number') return made;
  instantiate(caller, walk.dentry, walk.last, made);
  return 0;
}

export function mkdir(caller: VfsCaller, start: Path | null, path: string, mode: number): number {
  const walk = firstWalk.begin(caller, start, 0);
  const error = prepareNew(caller, walk, path, 'directory') || mayCreate(caller, walk.dentry);
  if (error < 0) return error;
  const { credentials, fs } = caller;
  const directory = walk.dentry.inode!;
  const newMode = modeOfNew(credentials, directory, S_IFDIR | (mode & (0o777 | S_ISVTX) & ~fs.umask));
  return finishNew(caller, walk, directory.mkdir(walk.last, newMode, credentials.fsuid, groupOfNew(credentials, directory)));
}

export function mknod(caller: VfsCaller, start: Path | null, path: string, mode: number, rdev: number): number {
  const type = (mode & S_IFMT) === 0 ? S_IFREG : mode & S_IFMT;
  if (type === S_IFDIR) return -EPERM;
  if (type !== S_IFREG && type !== S_IFIFO && type !== S_IFSOCK && type !== S_IFCHR && type !== S_IFBLK) return -EINVAL;
  const walk = firstWalk.begin(caller, start, 0);
  const error = prepareNew(caller, walk, path, 'other') || mayCreate(caller, walk.dentry);
  if (error < 0) return error;
  const { credentials, fs } = caller;
  const isDevice = type === S_IFCHR || type === S_IFBLK;
  const isWhiteout = type === S_IFCHR && rdev === 0;
  if (isDevice && !isWhiteout && !capable(credentials, CAP_MKNOD)) return -EPERM;
  const directory = walk.dentry.inode!;
  const newMode = modeOfNew(credentials, directory, type | (mode & 0o7777 & ~fs.umask));
  const gid = groupOfNew(credentials, directory);
  const made =
    type === S_IFREG
      ? directory.create(walk.last, newMode, credentials.fsuid, gid)
      : directory.mknod(walk.last, newMode, isDevice ? rdev : 0, credentials.fsuid, gid);
  return finishNew(caller, walk, made);
}

/**
 * A socket file for bind(2): like mknod, but hands the new place out so that the socket can attach itself to the inode.
 * -EEXIST becomes EADDRINUSE in the caller.
 */
export function mknodSocket(caller: VfsCaller, path: string, mode: number): Path | number {
  const error = mknod(caller, null, path, S_IFSOCK | (mode & 0o7777), 0);
  if (error < 0) return error;
  return { mount: firstWalk.mount, dentry: firstWalk.dentry.children!.get(firstWalk.last)! };
}

export function symlink(caller: VfsCaller, target: string, start: Path | null, path: string): number {
  if (target === '') return -ENOENT;
  if (target.length >= PATH_MAX) return -ENAMETOOLONG;
  const walk = firstWalk.begin(caller, start, 0);
  const error = prepareNew(caller, walk, path, 'other') || mayCreate(caller, walk.dentry);
  if (error < 0) return error;
  const { credentials } = caller;
  const directory = walk.dentry.inode!;
  return finishNew(caller, walk, directory.symlink(walk.last, target, credentials.fsuid, groupOfNew(credentials, directory)));
}

/** `walkFlags` are for the existing name: WALK_FOLLOW (AT_SYMLINK_FOLLOW), WALK_EMPTY (AT_EMPTY_PATH). */
export function link(
  caller: VfsCaller,
  fromStart: Path | null,
  fromPath: string,
  toStart: Path | null,
  toPath: string,
  walkFlags: number,
): number {
  const from = secondWalk.begin(caller, fromStart, walkFlags);
  let error = from.toEnd(fromPath);
  if (error < 0) return error;
  const walk = firstWalk.begin(caller, toStart, 0);
  error = prepareNew(caller, walk, toPath, 'other');
  if (error < 0) return error;
  if (from.mount !== walk.mount) return -EXDEV;
  const inode = from.dentry.inode!;
  if (!mayLink(caller.credentials, inode)) return -EPERM;
  error = mayCreate(caller, walk.dentry);
  if (error < 0) return error;
  const directory = walk.dentry.inode!;
  if (inode.fileSystem !== directory.fileSystem) return -EXDEV;
  if (inode.isDirectory) return -EPERM;
  error = directory.link(walk.last, inode);
  if (error < 0) return error;
  linked(inode);
  return finishNew(caller, walk, inode);
}

/** Whether `victim` may be taken out of `directory` (Linux may_delete): 0 or -errno. */
export function mayDelete(caller: VfsCaller, directory: Dentry, victim: Dentry, kind: 'directory' | 'other'): number {
  const inode = victim.inode!;
  const { credentials } = caller;
  const error = permission(credentials, directory.inode!, W_OK | X_OK) || checkSticky(credentials, directory.inode!, inode);
  if (error < 0) return error;
  if (kind === 'directory') {
    if (!inode.isDirectory) return -ENOTDIR;
  } else if (inode.isDirectory) {
    return -EISDIR;
  }
  return directory.unlinked ? -ENOENT : 0;
}

export function unlink(caller: VfsCaller, start: Path | null, path: string): number {
  const walk = firstWalk.begin(caller, start, 0);
  const error = walk.toParent(path);
  if (error < 0) return error;
  if (walk.lastType !== LastType.Name) return -EISDIR;
  const readOnly = writable(walk.mount);
  if (readOnly < 0) return readOnly;
  const victim = walk.child(walk.last);
  if (typeof victim === 'number') return victim;
  if (victim.inode === null) return -ENOENT;
  if (walk.trailing) return victim.inode.isDirectory ? -EISDIR : -ENOTDIR;
  return removeName(caller, walk.dentry, victim, 'other');
}

export function rmdir(caller: VfsCaller, start: Path | null, path: string): number {
  const walk = firstWalk.begin(caller, start, 0);
  const error = walk.toParent(path);
  if (error < 0) return error;
  if (walk.lastType === LastType.DotDot) return -ENOTEMPTY;
  if (walk.lastType === LastType.Dot) return -EINVAL;
  if (walk.lastType === LastType.Root) return -EBUSY;
  const readOnly = writable(walk.mount);
  if (readOnly < 0) return readOnly;
  const victim = walk.child(walk.last);
  if (typeof victim === 'number') return victim;
  if (victim.inode === null) return -ENOENT;
  return removeName(caller, walk.dentry, victim, 'directory');
}

function removeName(caller: VfsCaller, directory: Dentry, victim: Dentry, kind: 'directory' | 'other'): number {
  const error = mayDelete(caller, directory, victim, kind);
  if (error < 0) return error;
  if (victim.mountCount > 0) return -EBUSY;
  const parent = directory.inode!;
  const inode = victim.inode!;
  const result = kind === 'directory' ? parent.rmdir(victim.name, inode) : parent.unlink(victim.name, inode);
  if (result < 0) return result;
  removed(directory, victim.name, inode);
  caller.fs.namespace.vfs.cache.dropAndRemember(victim);
  return 0;
}

/** The text of the link `path`; with an empty path, of the link `start` itself (opened with O_PATH | O_NOFOLLOW). */
export function readlink(caller: VfsCaller, start: Path | null, path: string, walkFlags: number): string | number {
  const walk = firstWalk.begin(caller, start, walkFlags);
  const error = walk.toEnd(path);
  if (error < 0) return error;
  const inode = walk.dentry.inode!;
  if (inode.isSymlink) return inode.readlink(caller);
  return path === '' ? -ENOENT : -EINVAL;
}
