/**
 * mount(2), umount2(2), pivot_root(2): for CAP_SYS_ADMIN of the sandbox, on the sandbox's own tree. Which file systems can be mounted is
 * registered with the VFS (`Vfs.types`); none of them reaches anything on the host.
 */
import { EAGAIN, EINVAL, ENODEV, EPERM } from '#sentry/abi/errno.ts';
import { AT_FDCWD } from '#sentry/abi/fs.ts';
import {
  MOUNT_NAMES,
  MS_BIND,
  MS_KEPT,
  MS_MGC_MASK,
  MS_MGC_VAL,
  MS_MOVE,
  MS_PRIVATE,
  MS_REC,
  MS_REMOUNT,
  MS_SHARED,
  MS_SLAVE,
  MS_UNBINDABLE,
} from '#sentry/abi/mount.ts';
import { CAP_SYS_ADMIN, capable } from '../vfs/credentials.ts';
import { MNT_DETACH, MNT_EXPIRE, MNT_FORCE, UMOUNT_NOFOLLOW } from '../vfs/mount-namespace.ts';
import type { Path } from '../vfs/mount.ts';
import { resolve, WALK_DIRECTORY, WALK_FOLLOW } from '../vfs/walk.ts';
import type { Task } from '../kernel/task.ts';
import { resolveAt } from './path-args.ts';
import { addr, family, flags, full, partial, path, syscall } from './row.ts';

const PROPAGATION = MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE;
const UMOUNT_NAMES = { MNT_FORCE, MNT_DETACH, MNT_EXPIRE, UMOUNT_NOFOLLOW };
const UMOUNT_ALL = MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW;

function mount(
  task: Task,
  sourceAddress: number,
  targetAddress: number,
  typeAddress: number,
  rawFlags: number,
  dataAddress: number,
): number {
  const flags = (rawFlags & MS_MGC_MASK) >>> 0 === MS_MGC_VAL ? rawFlags & 0xffff : rawFlags;
  const type = optionalString(task, typeAddress);
  if (typeof type === 'number') return type;
  const source = optionalString(task, sourceAddress);
  if (typeof source === 'number') return source;
  const found = resolveAt(task, AT_FDCWD, targetAddress, WALK_FOLLOW);
  if (typeof found === 'number') return found;
  if (!capable(task.credentials, CAP_SYS_ADMIN)) return -EPERM;
  const at = hold(found);
  try {
    return dispatch(task, at, source, type, flags, dataAddress);
  } finally {
    letGo(at);
  }
}

function dispatch(task: Task, at: Path, source: string, type: string, flags: number, dataAddress: number): number {
  const { namespace } = task.fs;
  const kept = flags & MS_KEPT;
  if ((flags & MS_REMOUNT) !== 0) return namespace.remount(at, kept);
  if ((flags & (MS_BIND | MS_MOVE)) !== 0) {
    const from = resolve(task, null, source, WALK_FOLLOW);
    if (typeof from === 'number') return from;
    if ((flags & MS_MOVE) !== 0) return namespace.move(from, at);
    const bound = (flags & MS_REC) !== 0 ? namespace.bindTree(at, from, kept) : namespace.bind(at, from, kept);
    return typeof bound === 'number' ? bound : 0;
  }
  // Every mount is private to its namespace, and what is nobody's peer is nobody's slave. Sharing there is none.
  if ((flags & PROPAGATION) !== 0) return (flags & MS_SHARED) !== 0 ? -EINVAL : 0;
  const make = namespace.vfs.types.get(type);
  if (make === undefined) return -ENODEV;
  const options = optionalString(task, dataAddress);
  if (typeof options === 'number') return options;
  const fileSystem = make(options);
  if (typeof fileSystem === 'number') return fileSystem;
  const mounted = namespace.mount(at, fileSystem, kept, source === '' ? 'none' : source);
  return typeof mounted === 'number' ? mounted : 0;
}

/** A string that may be absent: '' for NULL. */
function optionalString(task: Task, address: number): string | number {
  return address === 0 ? '' : task.memory.readString(address);
}

function hold(at: Path): Path {
  at.mount.acquire();
  at.dentry.acquire();
  return at;
}

function letGo(at: Path): void {
  at.dentry.release();
  at.mount.release();
}

function umount(task: Task, address: number, flags: number): number {
  if ((flags & ~UMOUNT_ALL) !== 0) return -EINVAL;
  if ((flags & MNT_EXPIRE) !== 0 && (flags & (MNT_FORCE | MNT_DETACH)) !== 0) return -EINVAL;
  if (!capable(task.credentials, CAP_SYS_ADMIN)) return -EPERM;
  const at = resolveAt(task, AT_FDCWD, address, (flags & UMOUNT_NOFOLLOW) !== 0 ? 0 : WALK_FOLLOW);
  if (typeof at === 'number') return at;
  if ((flags & MNT_EXPIRE) !== 0) return -EAGAIN; // marked now; nobody keeps the mark until the second call
  return task.fs.namespace.unmount(at, flags);
}

function pivotRoot(task: Task, newAddress: number, oldAddress: number): number {
  if (!capable(task.credentials, CAP_SYS_ADMIN)) return -EPERM;
  const found = resolveAt(task, AT_FDCWD, newAddress, WALK_FOLLOW | WALK_DIRECTORY);
  if (typeof found === 'number') return found;
  const newRoot = hold(found);
  try {
    const putOld = resolveAt(task, AT_FDCWD, oldAddress, WALK_FOLLOW | WALK_DIRECTORY);
    if (typeof putOld === 'number') return putOld;
    const { namespace } = task.fs;
    const oldRoot = namespace.rootPath;
    const result = namespace.pivotRoot(newRoot, putOld);
    if (result === 0) moveRoots(task, oldRoot, newRoot);
    return result;
  } finally {
    letGo(newRoot);
  }
}

/** Whoever had the old root as root or working directory has the new one now (Linux chroot_fs_refs). */
function moveRoots(task: Task, oldRoot: Path, newRoot: Path): void {
  for (const { fs, hasExited } of task.pids.tasks.values()) {
    // A zombie has given up its context.
    if (hasExited || fs.namespace !== task.fs.namespace) continue;
    if (fs.root.mount === oldRoot.mount && fs.root.dentry === oldRoot.dentry) fs.setRoot(newRoot);
    if (fs.cwd.mount === oldRoot.mount && fs.cwd.dentry === oldRoot.dentry) fs.setCwd(newRoot);
  }
}

export const mountRows = family(
  syscall({
    name: 'mount',
    nr: { x64: 165, arm64: 40 },
    args: { source: path, target: path, filesystemtype: path, mountflags: flags(MOUNT_NAMES), data: addr },
    support: partial('the sandbox’s own file systems, bind, move and remount; no shared propagation'),
    run: mount,
  }),
  syscall({
    name: 'umount2',
    nr: { x64: 166, arm64: 39 },
    args: { target: path, flags: flags(UMOUNT_NAMES) },
    support: partial('MNT_EXPIRE always answers EAGAIN'),
    run: umount,
  }),
  syscall({ name: 'pivot_root', nr: { x64: 155, arm64: 41 }, args: { new_root: path, put_old: path }, support: full, run: pivotRoot }),
);
