/**
 * rename(2) and renameat2(2): the rules that hold on every file system. The inode moves the name and checks that a directory to be replaced is
 * empty; the dentries follow here.
 *
 * Model: Linux fs/namei.c do_renameat2, vfs_rename.
 */
import { EBUSY, EEXIST, EINVAL, EISDIR, ENOENT, ENOTDIR, ENOTEMPTY, EPERM, EXDEV } from '#sentry/abi/errno.ts';
import { RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT, W_OK, X_OK } from '#sentry/abi/fs.ts';
import { capable, CAP_MKNOD } from './credentials.ts';
import type { Dentry } from './dentry.ts';
import type { Path } from './mount.ts';
import { mayDelete } from './operations.ts';
import { permission, writable } from './permission.ts';
import { firstWalk, LastType, secondWalk } from './walk.ts';
import type { VfsCaller, Walk } from './walk.ts';
import { renamed } from './watchers.ts';

export function rename(
  caller: VfsCaller,
  fromStart: Path | null,
  fromPath: string,
  toStart: Path | null,
  toPath: string,
  flags: number,
): number {
  const invalid = checkFlags(caller, flags);
  if (invalid < 0) return invalid;
  const from = firstWalk.begin(caller, fromStart, 0);
  let error = from.toParent(fromPath);
  if (error < 0) return error;
  const to = secondWalk.begin(caller, toStart, 0);
  error = to.toParent(toPath) || checkParents(from, to, flags);
  if (error < 0) return error;
  const source = from.child(from.last);
  if (typeof source === 'number') return source;
  if (source.inode === null) return -ENOENT;
  const target = to.child(to.last);
  if (typeof target === 'number') return target;
  error = checkPair(from, source, to, target, flags);
  if (error < 0) return error;
  if (source.inode === target.inode) return 0;
  error = mayRename(caller, from.dentry, source, to.dentry, target, flags);
  return error < 0 ? error : perform(caller, source, to.dentry, to.last, target, flags);
}

function checkFlags(caller: VfsCaller, flags: number): number {
  if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)) !== 0) return -EINVAL;
  if ((flags & RENAME_EXCHANGE) !== 0 && (flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)) !== 0) return -EINVAL;
  return (flags & RENAME_WHITEOUT) !== 0 && !capable(caller.credentials, CAP_MKNOD) ? -EPERM : 0;
}

function checkParents(from: Walk, to: Walk, flags: number): number {
  if (from.mount !== to.mount) return -EXDEV;
  if (from.lastType !== LastType.Name) return -EBUSY;
  if (to.lastType !== LastType.Name) return (flags & RENAME_NOREPLACE) !== 0 ? -EEXIST : -EBUSY;
  return writable(from.mount);
}

/** Existence, trailing slashes, and that no directory ends up below itself. */
function checkPair(from: Walk, source: Dentry, to: Walk, target: Dentry, flags: number): number {
  const exchange = (flags & RENAME_EXCHANGE) !== 0;
  if ((flags & RENAME_NOREPLACE) !== 0 && target.inode !== null) return -EEXIST;
  if (exchange) {
    if (target.inode === null) return -ENOENT;
    if (!target.inode.isDirectory && to.trailing) return -ENOTDIR;
  }
  if (!source.inode!.isDirectory) {
    if (from.trailing) return -ENOTDIR;
    if (!exchange && to.trailing) return -ENOTDIR;
  }
  if (isBelow(to.dentry, source)) return -EINVAL;
  if (target.inode !== null && isBelow(from.dentry, target)) return exchange ? -EINVAL : -ENOTEMPTY;
  return 0;
}

/** Whether `dentry` is `ancestor` or lies below it. */
function isBelow(dentry: Dentry, ancestor: Dentry): boolean {
  for (let at: Dentry | null = dentry; at !== null; at = at.parent) if (at === ancestor) return true;
  return false;
}

function mayRename(caller: VfsCaller, fromDirectory: Dentry, source: Dentry, toDirectory: Dentry, target: Dentry, flags: number): number {
  const isDirectory = source.inode!.isDirectory;
  const exchange = (flags & RENAME_EXCHANGE) !== 0;
  let error = mayDelete(caller, fromDirectory, source, isDirectory ? 'directory' : 'other');
  if (error < 0) return error;
  const { credentials } = caller;
  if (target.inode === null) {
    error = toDirectory.unlinked ? -ENOENT : permission(credentials, toDirectory.inode!, W_OK | X_OK);
  } else {
    const kindOfTarget = exchange ? target.inode.isDirectory : isDirectory;
    error = mayDelete(caller, toDirectory, target, kindOfTarget ? 'directory' : 'other');
  }
  if (error < 0) return error;
  if (fromDirectory !== toDirectory) {
    // The '..' of a directory that moves is rewritten: that is a change of the directory itself.
    if (isDirectory) error = permission(credentials, source.inode!, W_OK);
    if (error === 0 && exchange && target.inode!.isDirectory) error = permission(credentials, target.inode!, W_OK);
    if (error < 0) return error;
  }
  return source.mountCount > 0 || target.mountCount > 0 ? -EBUSY : 0;
}

function perform(caller: VfsCaller, source: Dentry, toDirectory: Dentry, toName: string, target: Dentry, flags: number): number {
  const fromDirectory = source.parent!;
  const fromInode = fromDirectory.inode!;
  const toInode = toDirectory.inode!;
  if (fromInode.fileSystem !== toInode.fileSystem) return -EXDEV;
  if (target.inode !== null && (flags & RENAME_EXCHANGE) === 0 && target.inode.isDirectory !== source.inode!.isDirectory) {
    return target.inode.isDirectory ? -EISDIR : -ENOTDIR;
  }
  const { cache } = caller.fs.namespace.vfs;
  const fromName = source.name;
  const error = fromInode.rename(fromName, toInode, toName, flags);
  if (error < 0) return error;
  if ((flags & RENAME_EXCHANGE) !== 0) {
    cache.exchange(source, target);
    return 0;
  }
  renamed(fromDirectory, fromName, toDirectory, toName, source.inode!, target.inode);
  cache.move(source, toDirectory, toName);
  if ((flags & RENAME_WHITEOUT) !== 0) {
    // The name left behind is a device now; let the next walk find it.
    const left = fromDirectory.children?.get(fromName);
    if (left !== undefined) cache.drop(left);
  }
  return 0;
}
