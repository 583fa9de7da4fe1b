/**
 * Paths and directory descriptors of the *at calls (openat(2), "Rationale for openat and other directory file descriptor APIs").
 *
 *     const path = pathArg(task, address);                 if (typeof path === 'number') return path;
 *     const start = startOf(task, dirfd, path);            if (typeof start === 'number') return start;
 *
 * `start` is null for AT_FDCWD and for absolute paths, whose dirfd Linux does not look at.
 */
import { EBADF, ENOENT } from '#sentry/abi/errno.ts';
import { AT_EMPTY_PATH, AT_FDCWD } from '#sentry/abi/fs.ts';
import { ANONYMOUS_MOUNT } from '../vfs/anonymous-mount.ts';
import type { FileDescription } from '../vfs/file-description.ts';
import type { Path } from '../vfs/mount.ts';
import { resolve, WALK_EMPTY } from '../vfs/walk.ts';
import type { Task } from '../kernel/task.ts';

const SLASH = 47;

/** The path at a guest address, or -EFAULT, -ENAMETOOLONG. */
export function pathArg(task: Task, address: number): string | number {
  return task.memory.readString(address);
}

/** Where a relative path starts. */
export function startOf(task: Task, dirfd: number, path: string): Path | null | number {
  if (dirfd === AT_FDCWD || path.charCodeAt(0) === SLASH) return null;
  const file = task.files.get(dirfd);
  return file === undefined ? -EBADF : placeOf(file);
}

/** The place of an open file in the tree; files without one lie on the anonymous mount. */
export function placeOf(file: FileDescription): Path {
  const { mount } = file;
  return mount === null ? { mount: ANONYMOUS_MOUNT, dentry: file.dentry } : (file as FileDescription & Path);
}

/** Reads the path at `address` and resolves it from `dirfd`. `walkFlags` are WALK_*. */
export function resolveAt(task: Task, dirfd: number, address: number, walkFlags: number): Path | number {
  const path = pathArg(task, address);
  if (typeof path === 'number') return path;
  if (path.length === 0 && (walkFlags & WALK_EMPTY) === 0) return -ENOENT;
  const start = startOf(task, dirfd, path);
  if (typeof start === 'number') return start;
  return resolve(task, start, path, walkFlags);
}

/** AT_EMPTY_PATH as a walk flag. */
export function emptyFlag(atFlags: number): number {
  return (atFlags & AT_EMPTY_PATH) !== 0 ? WALK_EMPTY : 0;
}
