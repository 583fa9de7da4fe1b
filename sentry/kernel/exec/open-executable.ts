/**
 * Opening a file for execution (fs/exec.c do_open_execat): a regular file with execute permission on a mount without noexec. Read
 * permission is not needed: the kernel reads it, not the caller.
 */
import { EACCES, ELOOP } from '#sentry/abi/errno.ts';
import { AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, MS_NOEXEC, O_RDONLY, S_IFLNK, S_IFMT, S_IFREG, X_OK } from '#sentry/abi/fs.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import type { Path } from '../../vfs/mount.ts';
import { OPEN_EXEC, openPath } from '../../vfs/open.ts';
import { permission } from '../../vfs/permission.ts';
import { WALK_EMPTY, WALK_FOLLOW, resolve } from '../../vfs/walk.ts';
import type { Task } from '../task.ts';

/** `flags`: AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW. An open file with one reference, or -errno. */
export function openExecutable(task: Task, start: Path | null, path: string, flags: number): FileDescription | number {
  const follow = (flags & AT_SYMLINK_NOFOLLOW) === 0 ? WALK_FOLLOW : 0;
  const place = resolve(task, start, path, follow | ((flags & AT_EMPTY_PATH) !== 0 ? WALK_EMPTY : 0));
  if (typeof place === 'number') return place;
  const inode = place.dentry.inode!;
  if ((inode.mode & S_IFMT) === S_IFLNK) return -ELOOP;
  if ((inode.mode & S_IFMT) !== S_IFREG || (place.mount.flags & MS_NOEXEC) !== 0) return -EACCES;
  const refusal = permission(task.credentials, inode, X_OK);
  if (refusal < 0) return refusal;
  return openPath(task, place, O_RDONLY | OPEN_EXEC);
}
