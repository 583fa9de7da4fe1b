/**
 * Who may do what: path_resolution(7) "Permissions", capabilities(7), inode(7) on sticky and set-group-ID directories.
 *
 * Masks are those of access(2): R_OK 4, W_OK 2, X_OK 1, so they line up with the permission bits of a mode.
 * Model: Linux generic_permission, may_delete, inode_owner_or_capable.
 */
import { EACCES, EPERM, EROFS } from '#sentry/abi/errno.ts';
import { MS_RDONLY, R_OK, S_IFDIR, S_IFMT, S_IFREG, S_ISGID, S_ISVTX, W_OK, X_OK } from '#sentry/abi/fs.ts';
import { UNMAPPED_ID } from '#sentry/abi/stat.ts';
import { capable, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID, inGroup } from './credentials.ts';
import type { Credentials } from './credentials.ts';
import type { Inode } from './inode.ts';
import type { Mount } from './mount.ts';

/** Whether `capability` is effective on this file (Linux capable_wrt_inode_uidgid): it does not reach those of strangers. */
export function capableOn(credentials: Credentials, inode: Inode, capability: number): boolean {
  return inode.uid !== UNMAPPED_ID && inode.gid !== UNMAPPED_ID && capable(credentials, capability);
}

/** Whether `credentials` may access `inode` in the ways of `mask`: 0 or -EACCES. */
export function permission(credentials: Credentials, inode: Inode, mask: number): number {
  const result = decide(credentials, inode, mask);
  return result < 0 && inode.recheck() ? decide(credentials, inode, mask) : result;
}

function decide(credentials: Credentials, inode: Inode, mask: number): number {
  const { mode } = inode;
  const granted = credentials.fsuid === inode.uid ? mode >> 6 : inGroup(credentials, inode.gid) ? mode >> 3 : mode;
  if ((mask & ~granted & 7) === 0) return 0;
  return overrides(credentials, inode, mask) ? 0 : -EACCES;
}

function overrides(credentials: Credentials, inode: Inode, mask: number): boolean {
  if (credentials.effective.low === 0) return false;
  const { mode } = inode;
  if ((mode & S_IFMT) === S_IFDIR) {
    if ((mask & W_OK) === 0 && capableOn(credentials, inode, CAP_DAC_READ_SEARCH)) return true;
    return capableOn(credentials, inode, CAP_DAC_OVERRIDE);
  }
  if ((mask & 7) === R_OK && capableOn(credentials, inode, CAP_DAC_READ_SEARCH)) return true;
  // Even the superuser executes only what somebody may execute.
  return ((mask & X_OK) === 0 || (mode & 0o111) !== 0) && capableOn(credentials, inode, CAP_DAC_OVERRIDE);
}

/** -EROFS when the mount (or null: an anonymous file) does not take changes. */
export function writable(mount: Mount | null): number {
  return mount !== null && (mount.flags & MS_RDONLY) !== 0 ? -EROFS : 0;
}

/** Owner of the file, or as good as one. */
export function ownerOrCapable(credentials: Credentials, inode: Inode): boolean {
  return credentials.fsuid === inode.uid || capableOn(credentials, inode, CAP_FOWNER);
}

/** Whether an entry for `victim` may leave `directory` (not counting write permission): 0 or -EPERM in somebody else's sticky directory. */
export function checkSticky(credentials: Credentials, directory: Inode, victim: Inode): number {
  if ((directory.mode & S_ISVTX) === 0) return 0;
  if (credentials.fsuid === victim.uid || credentials.fsuid === directory.uid) return 0;
  return capableOn(credentials, victim, CAP_FOWNER) ? 0 : -EPERM;
}

/** Group of something made in `directory`: the directory's own when that is set-group-ID. */
export function groupOfNew(credentials: Credentials, directory: Inode): number {
  return (directory.mode & S_ISGID) !== 0 ? directory.gid : credentials.fsgid;
}

/** `mode` of something made in `directory`: S_ISGID is inherited by directories and withheld from files of a foreign group. */
export function modeOfNew(credentials: Credentials, directory: Inode, mode: number): number {
  if ((directory.mode & S_ISGID) === 0) return mode;
  if ((mode & S_IFMT) === S_IFDIR) return mode | S_ISGID;
  if ((mode & (S_ISGID | 0o010)) !== (S_ISGID | 0o010)) return mode;
  return inGroup(credentials, directory.gid) || capableOn(credentials, directory, CAP_FSETID) ? mode : mode & ~S_ISGID;
}

/** fs.protected_hardlinks: who may give a file that is not theirs another name. */
export function mayLink(credentials: Credentials, inode: Inode): boolean {
  if (ownerOrCapable(credentials, inode)) return true;
  const { mode } = inode;
  if ((mode & S_IFMT) !== S_IFREG || (mode & 0o4000) !== 0) return false;
  if ((mode & (S_ISGID | 0o010)) === (S_ISGID | 0o010)) return false;
  return permission(credentials, inode, R_OK | W_OK) === 0;
}

/** fs.protected_symlinks: links in a sticky world-writable directory are followed only for their owner, or when the directory's owner made them. */
export function mayFollow(credentials: Credentials, directory: Inode, link: Inode): boolean {
  if (credentials.fsuid === link.uid) return true;
  if ((directory.mode & (S_ISVTX | 0o002)) !== (S_ISVTX | 0o002)) return true;
  return directory.uid === link.uid;
}
