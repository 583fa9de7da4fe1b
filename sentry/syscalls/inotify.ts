/**
 * inotify(7): inotify_init(2), inotify_add_watch(2), inotify_rm_watch(2).
 */
import { EBADF, EINVAL } from '#sentry/abi/errno.ts';
import {
  IN_ALL_EVENTS,
  IN_CLOEXEC,
  IN_DONT_FOLLOW,
  IN_EXCL_UNLINK,
  IN_MASK_ADD,
  IN_MASK_CREATE,
  IN_NONBLOCK,
  IN_ONESHOT,
  IN_ONLYDIR,
} from '#sentry/abi/event-files.ts';
import { R_OK } from '#sentry/abi/fs.ts';
import { InotifyFile } from '../fs/inotify/inotify-file.ts';
import { permission } from '../vfs/permission.ts';
import { resolve, WALK_DIRECTORY, WALK_FOLLOW } from '../vfs/walk.ts';
import type { Task } from '../kernel/task.ts';
import { installFile, openFile } from './file-args.ts';
import { family, fd, flags, full, i32, partial, path, syscall } from './row.ts';

const MASK_KNOWN = IN_ALL_EVENTS | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_MASK_ADD | IN_MASK_CREATE | IN_ONESHOT;

function init(task: Task, flags: number): number {
  if ((flags & ~(IN_CLOEXEC | IN_NONBLOCK)) !== 0) return -EINVAL;
  return installFile(task, new InotifyFile(task.kernel.anonymous, flags & IN_NONBLOCK), (flags & IN_CLOEXEC) !== 0);
}

function addWatch(task: Task, fd: number, address: number, mask: number): number {
  if ((mask & MASK_KNOWN) === 0) return -EINVAL;
  const file = openFile(task, fd);
  if (file === undefined) return -EBADF;
  if ((mask & IN_MASK_ADD) !== 0 && (mask & IN_MASK_CREATE) !== 0) return -EINVAL;
  if (!(file instanceof InotifyFile)) return -EINVAL;
  const name = task.memory.readString(address);
  if (typeof name === 'number') return name;
  const walkFlags = ((mask & IN_DONT_FOLLOW) !== 0 ? 0 : WALK_FOLLOW) | ((mask & IN_ONLYDIR) !== 0 ? WALK_DIRECTORY : 0);
  const place = resolve(task, null, name, walkFlags);
  if (typeof place === 'number') return place;
  const denied = permission(task.credentials, place.dentry.inode!, R_OK);
  return denied < 0 ? denied : file.watch(place.dentry, mask);
}

function removeWatch(task: Task, fd: number, wd: number): number {
  const file = openFile(task, fd);
  if (file === undefined) return -EBADF;
  return file instanceof InotifyFile ? file.unwatch(wd) : -EINVAL;
}

const NOTE = 'events of the host behind a shared mount are not seen; no IN_UNMOUNT';

export const inotifyRows = family(
  syscall({ name: 'inotify_init', nr: { x64: 253 }, args: {}, support: full, run: (task) => init(task, 0) }),
  syscall({
    name: 'inotify_init1',
    nr: { x64: 294, arm64: 26 },
    args: { flags: flags({ IN_CLOEXEC, IN_NONBLOCK }) },
    support: full,
    run: init,
  }),
  syscall({
    name: 'inotify_add_watch',
    nr: { x64: 254, arm64: 27 },
    args: { fd, pathname: path, mask: flags({ IN_ONLYDIR, IN_DONT_FOLLOW, IN_EXCL_UNLINK, IN_MASK_CREATE, IN_MASK_ADD, IN_ONESHOT }) },
    support: partial(NOTE),
    run: addWatch,
  }),
  syscall({ name: 'inotify_rm_watch', nr: { x64: 255, arm64: 28 }, args: { fd, wd: i32 }, support: full, run: removeWatch }),
);
