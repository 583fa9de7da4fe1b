/**
 * sync(2), fsync(2), sync_file_range(2). The sentry keeps no dirty data of its own: what was written lies with the host already, and these
 * calls make the host bring one file to its disk.
 */
import { EBADF, EINVAL, ESPIPE } from '#sentry/abi/errno.ts';
import { SYNC_FILE_RANGE_ALL } from '#sentry/abi/fcntl.ts';
import { S_IFBLK, S_IFMT } from '#sentry/abi/fs.ts';
import type { Task } from '../kernel/task.ts';
import { checkOpen, openFile } from './file-args.ts';
import { family, fd, flags, full, i64, partial, syscall } from './row.ts';

function syncFile(task: Task, fd: number, dataOnly: boolean): number {
  const file = openFile(task, fd);
  return file === undefined ? -EBADF : file.sync(dataOnly);
}

function syncRange(task: Task, fd: number, offset: number, length: number, flags: number): number {
  const file = openFile(task, fd);
  if (file === undefined) return -EBADF;
  if ((flags & ~SYNC_FILE_RANGE_ALL) !== 0 || offset < 0 || length < 0) return -EINVAL;
  const { inode } = file;
  if (!inode.isRegular && !inode.isDirectory && !inode.isSymlink && (inode.mode & S_IFMT) !== S_IFBLK) return -ESPIPE;
  return flags === 0 ? 0 : file.sync(true);
}

export const syncRows = family(
  syscall({
    name: 'sync',
    nr: { x64: 162, arm64: 81 },
    args: {},
    support: partial('written data is with the host already, which is not asked to flush its disks'),
    run: () => 0,
  }),
  syscall({
    name: 'syncfs',
    nr: { x64: 306, arm64: 267 },
    args: { fd },
    support: partial('written data is with the host already, which is not asked to flush its disks'),
    run: checkOpen,
  }),
  syscall({ name: 'fsync', nr: { x64: 74, arm64: 82 }, args: { fd }, support: full, run: (task, fd) => syncFile(task, fd, false) }),
  syscall({ name: 'fdatasync', nr: { x64: 75, arm64: 83 }, args: { fd }, support: full, run: (task, fd) => syncFile(task, fd, true) }),
  syscall({
    name: 'sync_file_range',
    nr: { x64: 277, arm64: 84 },
    args: {
      fd,
      offset: i64,
      nbytes: i64,
      flags: flags({ SYNC_FILE_RANGE_WAIT_BEFORE: 1, SYNC_FILE_RANGE_WRITE: 2, SYNC_FILE_RANGE_WAIT_AFTER: 4 }),
    },
    support: partial('syncs the data of the whole file'),
    run: syncRange,
  }),
);
