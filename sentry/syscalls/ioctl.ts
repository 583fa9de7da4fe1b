/**
 * ioctl(2): the few requests every file understands are served here, the rest by the file.
 */
import { EBADF, EFAULT, EOPNOTSUPP } from '#sentry/abi/errno.ts';
import { FICLONE, FICLONERANGE, FIGETBSZ, FIOASYNC, FIOCLEX, FIONBIO, FIONCLEX, FIONREAD, FIOQSIZE } from '#sentry/abi/fcntl.ts';
import { O_NONBLOCK } from '#sentry/abi/fs.ts';
import { emptyAttributes } from '#sentry/abi/stat.ts';
import type { FileDescription } from '../vfs/file-description.ts';
import { makeOwner } from '../kernel/file-owner.ts';
import type { Task } from '../kernel/task.ts';
import { openFile } from './file-args.ts';
import { family, fd, hex32, hex64, partial, syscall } from './row.ts';

const attributes = emptyAttributes();

function ioctl(task: Task, fd: number, request: number, argument: number): number {
  const file = openFile(task, fd);
  if (file === undefined) return -EBADF;
  switch (request) {
    case FIOCLEX:
      task.files.setCloexec(fd, true);
      return 0;
    case FIONCLEX:
      task.files.setCloexec(fd, false);
      return 0;
    case FIONBIO:
      return setByWord(task, argument, (on) => {
        file.flags = on ? file.flags | O_NONBLOCK : file.flags & ~O_NONBLOCK;
      });
    case FIOASYNC:
      return setByWord(task, argument, (on) => makeOwner(file).setAsync(file, fd, on));
    case FIGETBSZ:
      if (!isFile(file)) break;
      return file.getattr(attributes) || task.memory.storeU32(argument, attributes.blksize);
    case FIOQSIZE:
      if (!isFile(file)) break;
      return file.getattr(attributes) || task.memory.storeU64(argument, attributes.size);
    case FIONREAD:
      if (!file.inode.isRegular) break;
      return file.getattr(attributes) || task.memory.storeU32(argument, (attributes.size - file.position) | 0);
    case FICLONE:
    case FICLONERANGE:
      if (isFile(file)) return -EOPNOTSUPP;
      break;
    default:
  }
  return file.ioctl(request, argument, task);
}

function isFile(file: FileDescription): boolean {
  return file.inode.isRegular || file.inode.isDirectory;
}

function setByWord(task: Task, address: number, apply: (on: boolean) => void): number {
  const word = task.memory.loadU32(address);
  // A word of all ones loads as 0xffffffff; only -1 means a fault.
  if (word < 0) return -EFAULT;
  apply(word !== 0);
  return 0;
}

export const ioctlRows = family(
  syscall({
    name: 'ioctl',
    nr: { x64: 16, arm64: 29 },
    args: { fd, request: hex32, arg: hex64 },
    support: partial('what terminals, pipes, sockets and plain files answer; no device drivers'),
    run: ioctl,
  }),
);
