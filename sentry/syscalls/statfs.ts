/**
 * statfs(2), fstatfs(2): figures of the file system a file lies in, and how it is mounted.
 */
import { EBADF, ENOSYS } from '#sentry/abi/errno.ts';
import { AT_FDCWD } from '#sentry/abi/fs.ts';
import { ST_RELATIME, ST_VALID, Statfs } from '#sentry/abi/stat.ts';
import { statfs } from '../vfs/attributes.ts';
import type { FileSystemStatistics } from '../vfs/inode.ts';
import type { Target } from '../vfs/mount.ts';
import { WALK_FOLLOW } from '../vfs/walk.ts';
import type { Task } from '../kernel/task.ts';
import { resolveAt } from './path-args.ts';
import { addr, family, fd, full, out, path, refused, syscall, u32 } from './row.ts';

const figures: FileSystemStatistics = {
  type: 0,
  blockSize: 4096,
  blocks: 0,
  blocksFree: 0,
  blocksAvailable: 0,
  files: 0,
  filesFree: 0,
  nameLength: 255,
};

function report(task: Task, target: Target, address: number): number {
  const error = statfs(target, figures);
  if (error < 0) return error;
  const { device } = target.dentry.inode!.fileSystem;
  Statfs.encode(task.scratch.view, 0, {
    type: figures.type,
    bsize: figures.blockSize,
    blocks: figures.blocks,
    bfree: figures.blocksFree,
    bavail: figures.blocksAvailable,
    files: figures.files,
    ffree: figures.filesFree,
    fsid: [device, 0],
    namelen: figures.nameLength,
    frsize: figures.blockSize,
    flags: ST_VALID | ST_RELATIME | (target.mount?.flags ?? 0),
    spare: [0, 0, 0, 0],
  });
  return task.memory.copyOut(address, task.scratch, 0, Statfs.size);
}

export const statfsRows = family(
  syscall({
    name: 'statfs',
    nr: { x64: 137, arm64: 43 },
    args: { path, buf: out(Statfs.size, 'statfs') },
    support: full,
    run: (task, path, into) => {
      const at = resolveAt(task, AT_FDCWD, path, WALK_FOLLOW);
      return typeof at === 'number' ? at : report(task, at, into);
    },
  }),
  syscall({
    name: 'fstatfs',
    nr: { x64: 138, arm64: 44 },
    args: { fd, buf: out(Statfs.size, 'statfs') },
    support: full,
    run: (task, fd, into) => {
      const file = task.files.get(fd);
      return file === undefined ? -EBADF : report(task, file, into);
    },
  }),
  syscall({
    name: 'ustat',
    nr: { x64: 136 },
    args: { dev: u32, ubuf: addr },
    support: refused(ENOSYS, 'obsolete: statfs(2) replaces it'),
    run: () => -ENOSYS,
  }),
);
