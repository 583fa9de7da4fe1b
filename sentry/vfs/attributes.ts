/**
 * System calls on the attributes of a file: stat, chmod, chown, utimensat, access, truncate, fallocate, statfs. A `Target` is a resolved path or
 * an open file, so fchmod(2) and chmod(2) are the same function here.
 *
 * Who may change what, and which mode bits a change takes away, is inode(7) and Linux setattr_prepare, chown_common, vfs_utimes.
 */
import { EACCES, EBADF, EFBIG, EINVAL, EISDIR, ENODEV, EOPNOTSUPP, EPERM, EROFS, ETXTBSY } from '#sentry/abi/errno.ts';
import { IN_ATTRIB, IN_MODIFY } from '#sentry/abi/event-files.ts';
import { MS_NOEXEC, S_IFDIR, S_IFMT, S_IFREG, S_ISGID, W_OK, X_OK } from '#sentry/abi/fs.ts';
import { CAP_CHOWN, CAP_FSETID, inGroup, NO_CAPABILITIES } from './credentials.ts';
import type { Credentials } from './credentials.ts';
import type { FileDescription } from './file-description.ts';
import type { AttributeChange, Caller, FileSystemStatistics, Inode, Stat } from './inode.ts';
import type { Path, Target } from './mount.ts';
import { capableOn, ownerOrCapable, permission, writable } from './permission.ts';
import { modeAfterChown, modeAfterWrite, truncateInode } from './truncate.ts';
import { happenedIf } from './watchers.ts';
import { firstWalk } from './walk.ts';
import type { VfsCaller } from './walk.ts';

/** Largest file size and offset: what the sentry computes with exactly (Linux has 2^63-1; ext4 with 4 KiB blocks 16 TiB). */
export const FILE_SIZE_MAX = 2 ** 53 - 4096;

/** Attributes of what `path` leads to. Allocates nothing when the dentries are cached. */
export function stat(caller: VfsCaller, start: Path | null, path: string, walkFlags: number, into: Stat): number {
  return firstWalk.begin(caller, start, walkFlags).toAttributes(path, into);
}

export function chmod(caller: Caller, target: Target, mode: number): number {
  const readOnly = writable(target.mount);
  if (readOnly < 0) return readOnly;
  const inode = target.dentry.inode!;
  // Linux: permissions of links are fixed (since 6.6 for every file system).
  if (inode.isSymlink) return -EOPNOTSUPP;
  const { credentials } = caller;
  if (!ownerOrCapable(credentials, inode)) return -EPERM;
  let newMode = mode & 0o7777;
  if (!inGroup(credentials, inode.gid) && !capableOn(credentials, inode, CAP_FSETID)) newMode &= ~S_ISGID;
  return happenedIf(target.dentry, IN_ATTRIB, inode.setattr({ mode: newMode }, caller));
}

/** -1 leaves an id as it is. */
export function chown(caller: Caller, target: Target, uid: number, gid: number): number {
  const readOnly = writable(target.mount);
  if (readOnly < 0) return readOnly;
  const inode = target.dentry.inode!;
  const { credentials } = caller;
  if (uid !== -1 && !mayChangeUid(credentials, inode, uid)) return -EPERM;
  if (gid !== -1 && !mayChangeGid(credentials, inode, gid)) return -EPERM;
  const change: AttributeChange = {};
  if (uid !== -1) change.uid = uid;
  if (gid !== -1) change.gid = gid;
  const mode = modeAfterChown(credentials, inode);
  if (mode !== inode.mode) change.mode = mode;
  return happenedIf(target.dentry, IN_ATTRIB, inode.setattr(change, caller));
}

function mayChangeUid(credentials: Credentials, inode: Inode, uid: number): boolean {
  return (credentials.fsuid === inode.uid && uid === inode.uid) || capableOn(credentials, inode, CAP_CHOWN);
}

function mayChangeGid(credentials: Credentials, inode: Inode, gid: number): boolean {
  if (credentials.fsuid === inode.uid && (gid === inode.gid || inGroup(credentials, gid))) return true;
  return capableOn(credentials, inode, CAP_CHOWN);
}

/** What utimensat(2) is to do with one of the two times. */
export type TimeChange = 'now' | 'omit' | { readonly sec: number; readonly nsec: number };

export function utimens(caller: VfsCaller, target: Target, atime: TimeChange, mtime: TimeChange): number {
  if (atime === 'omit' && mtime === 'omit') return 0;
  const readOnly = writable(target.mount);
  if (readOnly < 0) return readOnly;
  const inode = target.dentry.inode!;
  const { credentials } = caller;
  if (!ownerOrCapable(credentials, inode)) {
    // Whoever may write the file may also touch it.
    if (atime !== 'now' || mtime !== 'now') return -EPERM;
    const error = permission(credentials, inode, W_OK);
    if (error < 0) return error;
  }
  const now = { sec: 0, nsec: 0 };
  caller.fs.namespace.vfs.clock.realtime(now);
  const change: AttributeChange = {};
  if (atime !== 'omit') {
    const time = atime === 'now' ? now : atime;
    change.atimeSec = time.sec;
    change.atimeNsec = time.nsec;
  }
  if (mtime !== 'omit') {
    const time = mtime === 'now' ? now : mtime;
    change.mtimeSec = time.sec;
    change.mtimeNsec = time.nsec;
  }
  return happenedIf(target.dentry, IN_ATTRIB, inode.setattr(change, caller));
}

/** Whose ids access(2) looks at: the real ones, or with AT_EACCESS the effective ones. */
export type AccessIds = 'real' | 'effective';

/** `mask`: R_OK | W_OK | X_OK, or F_OK. */
export function access(caller: VfsCaller, target: Target, mask: number, ids: AccessIds): number {
  const inode = target.dentry.inode!;
  const type = inode.mode & S_IFMT;
  if ((mask & X_OK) !== 0 && type === S_IFREG && ((target.mount?.flags ?? 0) & MS_NOEXEC) !== 0) return -EACCES;
  const credentials = ids === 'effective' ? caller.credentials : realCredentials(caller.credentials);
  const error = permission(credentials, inode, mask);
  if (error < 0 || (mask & W_OK) === 0) return error;
  // Linux: special files on a read-only mount may be written to.
  return (type === S_IFREG || type === S_IFDIR) && writable(target.mount) < 0 ? -EROFS : 0;
}

/** Credentials with which access(2) looks at paths: the real ids, and the capabilities a program with them would have. */
export function realCredentials(credentials: Credentials): Credentials {
  const { uid, gid, fsuid, fsgid, permitted, effective } = credentials;
  const held = uid === 0 ? permitted : NO_CAPABILITIES;
  if (uid === fsuid && gid === fsgid && held.low === effective.low && held.high === effective.high) return credentials;
  return { ...credentials, fsuid: uid, fsgid: gid, effective: held };
}

/** truncate(2) on a path. */
export function truncate(caller: Caller, target: Target, length: number): number {
  const inode = target.dentry.inode!;
  if (length < 0) return -EINVAL;
  if (inode.isDirectory) return -EISDIR;
  if (!inode.isRegular) return -EINVAL;
  const error = permission(caller.credentials, inode, W_OK) || writable(target.mount);
  if (error < 0) return error;
  if (inode.writers < 0) return -ETXTBSY;
  return length > FILE_SIZE_MAX ? -EFBIG : happenedIf(target.dentry, IN_MODIFY, truncateInode(caller, inode, length));
}

export function ftruncate(caller: Caller, file: FileDescription, length: number): number {
  if (length < 0) return -EINVAL;
  if (!file.writable || !file.inode.isRegular) return file.readable || file.writable ? -EINVAL : -EBADF;
  if (length > FILE_SIZE_MAX) return -EFBIG;
  const error = happenedIf(file.dentry, IN_MODIFY, file.truncate(length));
  return error < 0 ? error : clearPrivileges(caller, file.inode);
}

/** Takes set-user-ID and set-group-ID away after a write by somebody who may not keep them. File implementations call it after writing. */
export function clearPrivileges(caller: Caller, inode: Inode): number {
  const mode = modeAfterWrite(caller.credentials, inode.mode);
  return mode === inode.mode ? 0 : inode.setattr({ mode }, caller);
}

const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
const FALLOC_FL_COLLAPSE_RANGE = 8;
const FALLOC_FL_ZERO_RANGE = 16;
const FALLOC_FL_INSERT_RANGE = 32;
const FALLOC_FL_UNSHARE_RANGE = 64;
const FALLOC_ALL = 127 & ~4;

export function fallocate(caller: Caller, file: FileDescription, mode: number, offset: number, length: number): number {
  if (offset < 0 || length <= 0) return -EINVAL;
  const error = checkFallocateMode(mode);
  if (error < 0) return error;
  if (!file.writable) return -EBADF;
  const { inode } = file;
  if (inode.isDirectory) return -EISDIR;
  if (!inode.isRegular) return -ENODEV;
  if (offset + length > FILE_SIZE_MAX) return -EFBIG;
  const done = happenedIf(file.dentry, IN_MODIFY, file.allocate(mode, offset, length));
  return done < 0 ? done : clearPrivileges(caller, inode);
}

function checkFallocateMode(mode: number): number {
  if ((mode & ~FALLOC_ALL) !== 0) return -EOPNOTSUPP;
  if ((mode & FALLOC_FL_PUNCH_HOLE) !== 0 && (mode & FALLOC_FL_ZERO_RANGE) !== 0) return -EOPNOTSUPP;
  if ((mode & FALLOC_FL_PUNCH_HOLE) !== 0 && (mode & FALLOC_FL_KEEP_SIZE) === 0) return -EOPNOTSUPP;
  if ((mode & FALLOC_FL_COLLAPSE_RANGE) !== 0 && mode !== FALLOC_FL_COLLAPSE_RANGE) return -EINVAL;
  if ((mode & FALLOC_FL_INSERT_RANGE) !== 0 && mode !== FALLOC_FL_INSERT_RANGE) return -EINVAL;
  return (mode & FALLOC_FL_UNSHARE_RANGE) !== 0 && (mode & ~(FALLOC_FL_UNSHARE_RANGE | FALLOC_FL_KEEP_SIZE)) !== 0 ? -EINVAL : 0;
}

export function statfs(target: Target, into: FileSystemStatistics): number {
  return target.dentry.inode!.fileSystem.statistics(into);
}

/** chdir(2), chroot(2): the target must be a directory that the caller may search. */
export function maySearch(caller: Caller, target: Target): number {
  return permission(caller.credentials, target.dentry.inode!, X_OK);
}
