/**
 * open(2), openat2(2): from a path to an open file description.
 *
 * `open` walks to the parent, looks the last component up, creates it with O_CREAT, follows it if it is a link, and hands the place to
 * `openPath`, which checks type and permissions and lets the inode (or, for special files, whoever registered) make the description.
 * The order of errors is that of Linux fs/namei.c: build_open_flags, open_last_lookups, do_open, may_open.
 */
import { EACCES, EEXIST, EINVAL, EISDIR, ELOOP, ENOENT, ENOTDIR, EPERM, EROFS, ETXTBSY } from '#sentry/abi/errno.ts';
import {
  MS_NODEV,
  MS_NOEXEC,
  O_ACCMODE,
  O_APPEND,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOATIME,
  O_NOCTTY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_TMPFILE,
  O_TRUNC,
  R_OK,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  W_OK,
  X_OK,
} from '#sentry/abi/fs.ts';
import { IN_CREATE, IN_MODIFY, IN_OPEN } from '#sentry/abi/event-files.ts';
import { Dentry } from './dentry.ts';
import type { FileDescription } from './file-description.ts';
import type { Inode } from './inode.ts';
import type { Path } from './mount.ts';
import { PathFile } from './path-file.ts';
import { groupOfNew, modeOfNew, ownerOrCapable, permission, writable } from './permission.ts';
import { truncateInode } from './truncate.ts';
import { firstWalk, LastType, WALK_DIRECTORY, WALK_FOLLOW, WALK_RESOLVE_SHIFT } from './walk.ts';
import type { VfsCaller, Walk } from './walk.ts';
import { happened, happenedIf, happenedIn } from './watchers.ts';

/** O_TMPFILE without the O_DIRECTORY in it. */
const TMPFILE_BIT = O_TMPFILE & ~O_DIRECTORY;
/** What O_PATH leaves of the other flags. */
const PATH_FLAGS = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
/** Flags that act during the open only and are not part of the description's status. */
const TRANSIENT = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC;
/** Linux's marker for opening in order to execute: no read permission needed, execute permission is. Not visible to guests. */
export const OPEN_EXEC = 0x20;

/** Opens `path`. `mode` is for a file to be created, before the umask; `resolveFlags` are openat2's RESOLVE_*. */
export function open(
  caller: VfsCaller,
  start: Path | null,
  path: string,
  flags: number,
  mode: number,
  resolveFlags: number,
): FileDescription | number {
  if ((flags & O_PATH) !== 0) return openByWalk(caller, start, path, flags & PATH_FLAGS, resolveFlags);
  if ((flags & TMPFILE_BIT) !== 0) return openTemporary(caller, start, path, flags, mode, resolveFlags);
  if ((flags & O_CREAT) === 0) return openByWalk(caller, start, path, flags, resolveFlags);
  if ((flags & O_DIRECTORY) !== 0) return -EINVAL;
  return openOrCreate(caller, start, path, flags, mode, resolveFlags);
}

function openByWalk(caller: VfsCaller, start: Path | null, path: string, flags: number, resolveFlags: number): FileDescription | number {
  let walkFlags = resolveFlags << WALK_RESOLVE_SHIFT;
  if ((flags & O_NOFOLLOW) === 0) walkFlags |= WALK_FOLLOW;
  if ((flags & O_DIRECTORY) !== 0) walkFlags |= WALK_DIRECTORY;
  const walk = firstWalk.begin(caller, start, walkFlags);
  const error = walk.toEnd(path);
  return error < 0 ? error : openPath(caller, walk, flags);
}

function openOrCreate(
  caller: VfsCaller,
  start: Path | null,
  path: string,
  flags: number,
  mode: number,
  resolveFlags: number,
): FileDescription | number {
  const walk = firstWalk.begin(caller, start, resolveFlags << WALK_RESOLVE_SHIFT);
  let rest = path;
  for (;;) {
    const error = walk.toParent(rest);
    if (error < 0) return error;
    if (walk.trailing || walk.lastType !== LastType.Name) return refuseToCreate(walk, flags);
    const child = walk.child(walk.last);
    if (typeof child === 'number') return child;
    if (child.inode === null) return createAndOpen(caller, walk, flags, mode);
    if ((flags & O_EXCL) !== 0) return -EEXIST;
    walk.linkDirectory = walk.dentry;
    walk.dentry = child;
    const crossed = walk.descendMounts();
    if (crossed < 0) return crossed;
    const inode = walk.dentry.inode!;
    if (inode.isSymlink) {
      if ((flags & O_NOFOLLOW) !== 0) return -ELOOP;
      const text = walk.followLast();
      if (typeof text === 'string') {
        rest = text;
        continue;
      }
      if (text < 0) return text;
    }
    return openExisting(caller, walk, flags);
  }
}

/** A last component that names no file which could be created. */
function refuseToCreate(walk: Walk, flags: number): number {
  // '.', '..' and '/' do exist.
  if (walk.lastType !== LastType.Name) return (flags & O_EXCL) !== 0 ? -EEXIST : -EISDIR;
  const child = walk.child(walk.last);
  return typeof child === 'number' ? child : -EISDIR;
}

/** O_CREAT met a file. */
function openExisting(caller: VfsCaller, walk: Walk, flags: number): FileDescription | number {
  const inode = walk.dentry.inode!;
  if (inode.isDirectory) return -EISDIR;
  return openPath(caller, walk, flags);
}

function createAndOpen(caller: VfsCaller, walk: Walk, flags: number, mode: number): FileDescription | number {
  const directory = walk.dentry;
  if (directory.unlinked) return -ENOENT;
  if (writable(walk.mount) < 0) return -EROFS;
  const { credentials, fs } = caller;
  const error = permission(credentials, directory.inode!, W_OK | X_OK);
  if (error < 0) return error;
  const newMode = modeOfNew(credentials, directory.inode!, S_IFREG | (mode & 0o7777 & ~fs.umask));
  const inode = directory.inode!.create(walk.last, newMode, credentials.fsuid, groupOfNew(credentials, directory.inode!));
  if (typeof inode === 'number') return inode;
  walk.dentry = instantiate(caller, directory, walk.last, inode);
  // A new file is opened whatever its own permissions say, and there is nothing to truncate.
  const file = makeDescription(caller, walk, flags & ~O_TRUNC);
  if (typeof file !== 'number') file.created = true;
  return file;
}

/** The dentry for a name that has just come into being. */
export function instantiate(caller: VfsCaller, directory: Dentry, name: string, inode: Inode): Dentry {
  const { cache } = caller.fs.namespace.vfs;
  const negative = directory.children?.get(name);
  if (negative !== undefined) cache.drop(negative);
  happenedIn(directory, IN_CREATE, name, inode.isDirectory);
  return cache.add(directory, name, inode);
}

function openTemporary(
  caller: VfsCaller,
  start: Path | null,
  path: string,
  flags: number,
  mode: number,
  resolveFlags: number,
): FileDescription | number {
  if ((flags & O_TMPFILE) !== O_TMPFILE || (flags & O_CREAT) !== 0) return -EINVAL;
  if ((flags & O_ACCMODE) === O_RDONLY) return -EINVAL;
  const walk = firstWalk.begin(caller, start, (resolveFlags << WALK_RESOLVE_SHIFT) | WALK_FOLLOW | WALK_DIRECTORY);
  const error = walk.toEnd(path);
  if (error < 0) return error;
  if (writable(walk.mount) < 0) return -EROFS;
  const { credentials, fs } = caller;
  const directory = walk.dentry.inode!;
  const denied = permission(credentials, directory, W_OK | X_OK);
  if (denied < 0) return denied;
  const newMode = modeOfNew(credentials, directory, S_IFREG | (mode & 0o7777 & ~fs.umask));
  const inode = directory.tmpfile(newMode, credentials.fsuid, groupOfNew(credentials, directory), flags & O_EXCL);
  if (typeof inode === 'number') return inode;
  const dentry = new Dentry(`#${inode.ino}`, walk.dentry, inode);
  dentry.acquire();
  dentry.orphan();
  walk.dentry = dentry;
  const file = makeDescription(caller, walk, flags & ~(TMPFILE_BIT | O_DIRECTORY));
  if (typeof file !== 'number') file.created = true;
  dentry.release();
  return file;
}

/** Opens a place already resolved; O_CREAT and O_EXCL in `flags` mean nothing any more. */
export function openPath(caller: VfsCaller, at: Path, flags: number): FileDescription | number {
  const inode = at.dentry.inode!;
  const type = inode.mode & S_IFMT;
  if ((flags & O_PATH) !== 0) {
    const file = new PathFile(at.dentry, null, flags & ~TRANSIENT);
    file.setMount(at.mount);
    return file;
  }
  if ((flags & O_DIRECTORY) !== 0 && type !== S_IFDIR) return -ENOTDIR;
  const error = mayOpen(caller, at, type, flags);
  if (error < 0) return error;
  return makeDescription(caller, at, flags);
}

/** Linux may_open: type against intent, then permissions. */
function mayOpen(caller: VfsCaller, at: Path, type: number, flags: number): number {
  const inode = at.dentry.inode!;
  let mask = ACCESS_MASK[flags & O_ACCMODE]!;
  if ((flags & O_TRUNC) !== 0) mask |= W_OK;
  if ((flags & OPEN_EXEC) !== 0) mask = X_OK;
  if (type === S_IFLNK) return -ELOOP;
  if (type === S_IFDIR && (mask & W_OK) !== 0) return -EISDIR;
  if ((flags & OPEN_EXEC) !== 0 && (type !== S_IFREG || (at.mount.flags & MS_NOEXEC) !== 0)) return -EACCES;
  if ((type === S_IFCHR || type === S_IFBLK) && (at.mount.flags & MS_NODEV) !== 0) return -EACCES;
  // Linux: what truncates asks the mount before the file.
  if ((flags & O_TRUNC) !== 0 && type === S_IFREG && writable(at.mount) < 0) return -EROFS;
  const error = permission(caller.credentials, inode, mask);
  if (error < 0) return error;
  if ((flags & O_NOATIME) !== 0 && !ownerOrCapable(caller.credentials, inode)) return -EPERM;
  // A read-only mount still lets device nodes, FIFOs and sockets be written to.
  return type === S_IFREG && (mask & W_OK) !== 0 ? writable(at.mount) : 0;
}

/** Permission bits by access mode; the mode 3 asks for both and grants neither. */
const ACCESS_MASK = [R_OK, W_OK, R_OK | W_OK, R_OK | W_OK];

function makeDescription(caller: VfsCaller, at: Path, flags: number): FileDescription | number {
  const { dentry } = at;
  const inode = dentry.inode!;
  const status = flags & ~TRANSIENT & ~OPEN_EXEC;
  const writeAccess = writeAccessOf(inode, flags);
  if (writeAccess * inode.writers < 0) return -ETXTBSY;
  dentry.acquire();
  const file = openByType(caller, inode, dentry, status | (flags & (O_NOCTTY | O_TRUNC)));
  dentry.release();
  if (typeof file === 'number') return file;
  file.flags = (file.flags & ~TRANSIENT) | (status & O_APPEND);
  file.setMount(at.mount);
  if (writeAccess !== 0) file.countWriter(writeAccess);
  happened(dentry, IN_OPEN);
  if ((flags & O_TRUNC) === 0 || !inode.isRegular) return file;
  const error = happenedIf(dentry, IN_MODIFY, truncateInode(caller, inode, 0));
  if (error === 0) return file;
  file.release();
  return error;
}

/** Writing (1) and executing (-1) a regular file exclude each other. */
function writeAccessOf(inode: Inode, flags: number): -1 | 0 | 1 {
  if (!inode.isRegular) return 0;
  if ((flags & OPEN_EXEC) !== 0) return -1;
  return (flags & O_ACCMODE) === O_RDONLY && (flags & O_TRUNC) === 0 ? 0 : 1;
}

function openByType(caller: VfsCaller, inode: Inode, dentry: Dentry, flags: number): FileDescription | number {
  const { special } = caller.fs.namespace.vfs;
  const type = inode.mode & S_IFMT;
  switch (type) {
    case S_IFIFO:
      return special.openFifo(inode, dentry, flags, caller);
    case S_IFSOCK:
      return special.openSocket(inode, dentry, flags, caller);
    case S_IFCHR:
    case S_IFBLK:
      return special.openDevice(type, inode.rdev, inode, dentry, flags, caller);
    default:
      return inode.open(dentry, flags, caller);
  }
}
