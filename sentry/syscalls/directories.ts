/**
 * Directories: getdents64(2), mkdir(2), rmdir(2), chdir(2), getcwd(2), chroot(2).
 */
import { EBADF, EFAULT, EINVAL, ENAMETOOLONG, ENOENT, ENOTDIR, EPERM, ERANGE } from '#sentry/abi/errno.ts';
import { AT_FDCWD, PATH_MAX } from '#sentry/abi/fs.ts';
import { putI64 } from '#sentry/abi/layout.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import { maySearch } from '../vfs/attributes.ts';
import { CAP_SYS_CHROOT, capable } from '../vfs/credentials.ts';
import { mkdir, rmdir } from '../vfs/operations.ts';
import { getcwd } from '../vfs/path-name.ts';
import { WALK_DIRECTORY, WALK_FOLLOW } from '../vfs/walk.ts';
import { IN_ACCESS } from '#sentry/abi/event-files.ts';
import { happenedIf } from '../vfs/watchers.ts';
import { COPY_OFFSET } from '../mm/user-memory.ts';
import type { Task } from '../kernel/task.ts';
import { openFile } from './file-args.ts';
import { pathArg, placeOf, resolveAt, startOf } from './path-args.ts';
import { dirfd, family, fd, full, many, mode, out, path, size, syscall, u32 } from './row.ts';
import { stagingOf } from './staging.ts';

/** How entries lie in the guest's buffer: struct linux_dirent64, or the old struct linux_dirent with the type in its last byte. */
type DirentFormat = 'dirent64' | 'dirent';

/** Collects entries in staging memory, from COPY_OFFSET to `used`. One object serves all calls. */
class DirentWriter {
  used = COPY_OFFSET;
  private memory!: HostMemory;
  private room = 0;
  private format: DirentFormat = 'dirent64';

  begin(memory: HostMemory, room: number, format: DirentFormat): void {
    this.memory = memory;
    this.room = COPY_OFFSET + room;
    this.format = format;
    this.used = COPY_OFFSET;
    this.full = false;
  }

  /** An entry was turned away for lack of room. */
  full = false;

  readonly add = (name: string, ino: number, type: number, nextOffset: number): boolean => {
    const { view, bytes } = this.memory;
    const nameAt = this.format === 'dirent64' ? 19 : 18;
    // The name's terminator, and for the old format the type behind it; records are multiples of 8 bytes.
    const length = (nameAt + name.length + (this.format === 'dirent64' ? 1 : 2) + 7) & ~7;
    const at = this.used;
    if (at + length > this.room) {
      this.full = true;
      return false;
    }
    putI64(view, at, ino);
    putI64(view, at + 8, nextOffset);
    view.setUint16(at + 16, length, true);
    // Loops: names are short, and each call into the runtime costs more than a whole name.
    const nameEnd = at + nameAt + name.length;
    for (let from = 0, to = at + nameAt; to < nameEnd; from++, to++) bytes[to] = name.charCodeAt(from);
    for (let to = nameEnd; to < at + length; to++) bytes[to] = 0;
    bytes[this.format === 'dirent64' ? at + 18 : at + length - 1] = type;
    this.used = at + length;
    return true;
  };
}

const writer = new DirentWriter();

function getdents(task: Task, fd: number, address: number, count: number, format: DirentFormat): number {
  const file = openFile(task, fd);
  if (file === undefined || !file.readable) return -EBADF;
  if (!file.inode.isDirectory) return -ENOTDIR;
  if (file.dentry.unlinked) return -ENOENT;
  const staging = stagingOf(task.kernel);
  writer.begin(staging, Math.min(count, staging.bytes.length - COPY_OFFSET), format);
  const before = file.position;
  const result = happenedIf(file.dentry, IN_ACCESS, file.readdir(writer.add, task));
  const used = writer.used - COPY_OFFSET;
  // Not even one entry fitted: EINVAL; nothing was there: the end.
  if (used === 0) return result < 0 ? result : writer.full ? -EINVAL : 0;
  if (task.memory.copyOut(address, staging, COPY_OFFSET, used) === 0) return used;
  file.position = before;
  return -EFAULT;
}

function makeDirectory(task: Task, dirfd: number, address: number, mode: number): number {
  const path = pathArg(task, address);
  if (typeof path === 'number') return path;
  const start = startOf(task, dirfd, path);
  return typeof start === 'number' ? start : mkdir(task, start, path, mode);
}

/** rmdir(2), unlinkat(2) with AT_REMOVEDIR. */
export function removeDirectory(task: Task, dirfd: number, address: number): number {
  const path = pathArg(task, address);
  if (typeof path === 'number') return path;
  const start = startOf(task, dirfd, path);
  return typeof start === 'number' ? start : rmdir(task, start, path);
}

function chdir(task: Task, address: number): number {
  const at = resolveAt(task, AT_FDCWD, address, WALK_FOLLOW | WALK_DIRECTORY);
  if (typeof at === 'number') return at;
  const error = maySearch(task, at);
  if (error === 0) task.fs.setCwd(at);
  return error;
}

function fchdir(task: Task, fd: number): number {
  const file = task.files.get(fd);
  if (file === undefined) return -EBADF;
  if (!file.inode.isDirectory) return -ENOTDIR;
  const error = maySearch(task, file);
  if (error === 0) task.fs.setCwd(placeOf(file));
  return error;
}

function chroot(task: Task, address: number): number {
  const at = resolveAt(task, AT_FDCWD, address, WALK_FOLLOW | WALK_DIRECTORY);
  if (typeof at === 'number') return at;
  const error = maySearch(task, at);
  if (error < 0) return error;
  if (!capable(task.credentials, CAP_SYS_CHROOT)) return -EPERM;
  task.fs.setRoot(at);
  return 0;
}

/** Unlike the library function, the call returns the length with the terminator. */
function copyCwd(task: Task, address: number, room: number): number {
  const name = getcwd(task.fs);
  if (typeof name === 'number') return name;
  if (name.length + 1 > PATH_MAX) return -ENAMETOOLONG;
  if (name.length + 1 > room) return -ERANGE;
  return task.memory.writeString(address, name) || name.length + 1;
}

export const directoryRows = family(
  syscall({
    name: 'getdents',
    nr: { x64: 78 },
    args: { fd, dirp: many(out(1), 'count', 1), count: u32 },
    support: full,
    run: (task, fd, address, count) => getdents(task, fd, address, count, 'dirent'),
  }),
  syscall({
    name: 'getdents64',
    nr: { x64: 217, arm64: 61 },
    args: { fd, dirp: many(out(1), 'count', 1), count: u32 },
    support: full,
    run: (task, fd, address, count) => getdents(task, fd, address, count, 'dirent64'),
  }),
  syscall({
    name: 'mkdir',
    nr: { x64: 83 },
    args: { pathname: path, mode },
    support: full,
    run: (task, path, mode) => makeDirectory(task, AT_FDCWD, path, mode),
  }),
  syscall({ name: 'mkdirat', nr: { x64: 258, arm64: 34 }, args: { dirfd, pathname: path, mode }, support: full, run: makeDirectory }),
  syscall({
    name: 'rmdir',
    nr: { x64: 84 },
    args: { pathname: path },
    support: full,
    run: (task, path) => removeDirectory(task, AT_FDCWD, path),
  }),
  syscall({ name: 'chdir', nr: { x64: 80, arm64: 49 }, args: { path }, support: full, run: chdir }),
  syscall({ name: 'fchdir', nr: { x64: 81, arm64: 50 }, args: { fd }, support: full, run: fchdir }),
  syscall({ name: 'chroot', nr: { x64: 161, arm64: 51 }, args: { path }, support: full, run: chroot }),
  syscall({ name: 'getcwd', nr: { x64: 79, arm64: 17 }, args: { buf: out(1, 'cwd'), size }, support: full, run: copyCwd }),
);
