/**
 * Changing a file's size, for truncate(2), ftruncate(2) and O_TRUNC, and what any change of contents does to set-user-ID bits.
 * Linux: do_truncate, dentry_needs_remove_privs.
 */
import { S_IFDIR, S_IFMT, S_IFREG, S_ISGID, S_ISUID } from '#sentry/abi/fs.ts';
import { capable, CAP_FSETID, inGroup } from './credentials.ts';
import type { Credentials } from './credentials.ts';
import { capableOn } from './permission.ts';
import type { AttributeChange, Caller, Inode } from './inode.ts';

/** `mode` after the file was written or truncated by somebody without CAP_FSETID; the same when nothing has to go. */
export function modeAfterWrite(credentials: Credentials, mode: number): number {
  if ((mode & (S_ISUID | S_ISGID)) === 0 || (mode & S_IFMT) !== S_IFREG) return mode;
  if (capable(credentials, CAP_FSETID)) return mode;
  // Without group execution S_ISGID used to mean mandatory locking: it stays.
  const killed = (mode & 0o010) !== 0 ? S_ISUID | S_ISGID : S_ISUID;
  return mode & ~killed;
}

/** `inode`'s mode after a change of owner, which nobody is exempt from. */
export function modeAfterChown(credentials: Credentials, inode: Inode): number {
  const { mode } = inode;
  if ((mode & S_IFMT) === S_IFDIR) return mode;
  let killed = S_ISUID;
  if ((mode & 0o010) !== 0 || (!inGroup(credentials, inode.gid) && !capableOn(credentials, inode, CAP_FSETID))) killed |= S_ISGID;
  return mode & ~killed;
}

/** Sets the size; the caller checked access. */
export function truncateInode(caller: Caller, inode: Inode, length: number): number {
  const change: AttributeChange = { size: length };
  const mode = modeAfterWrite(caller.credentials, inode.mode);
  if (mode !== inode.mode) change.mode = mode;
  inode.contentsVersion++;
  return inode.setattr(change, caller);
}
