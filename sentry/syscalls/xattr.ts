/**
 * Extended attributes (xattr(7)): the twelve calls are four operations, each on a path, on a link itself, and on an open file.
 */
import { E2BIG, EBADF, EFAULT, ENAMETOOLONG, ERANGE } from '#sentry/abi/errno.ts';
import { AT_FDCWD, XATTR_CREATE, XATTR_REPLACE } from '#sentry/abi/fs.ts';
import type { Target } from '../vfs/mount.ts';
import { WALK_FOLLOW } from '../vfs/walk.ts';
import { getxattr, listxattr, removexattr, setxattr, XATTR_LIST_MAX, XATTR_NAME_MAX, XATTR_SIZE_MAX } from '../vfs/xattr.ts';
import type { Task } from '../kernel/task.ts';
import { openFile } from './file-args.ts';
import { resolveAt } from './path-args.ts';
import { buffer, family, fd, flags, full, many, out, path, size, syscall } from './row.ts';

/** Which of the three forms: how the first argument names the file. */
type Subject = 'path' | 'link' | 'fd';

function subject(task: Task, kind: Subject, argument: number): Target | number {
  if (kind === 'fd') return openFile(task, argument) ?? -EBADF;
  return resolveAt(task, AT_FDCWD, argument, kind === 'path' ? WALK_FOLLOW : 0);
}

function nameArg(task: Task, address: number): string | number {
  const name = task.memory.readString(address, XATTR_NAME_MAX + 1);
  return name === -ENAMETOOLONG || name === '' ? -ERANGE : name;
}

function set(task: Task, kind: Subject, file: number, nameAddress: number, value: number, length: number, flags: number): number {
  const name = nameArg(task, nameAddress);
  if (typeof name === 'number') return name;
  if (length > XATTR_SIZE_MAX) return -E2BIG;
  const { scratch } = task;
  if (length > 0 && task.memory.copyIn(value, scratch, 0, length) < 0) return -EFAULT;
  const bytes = scratch.latin1(0, length);
  const target = subject(task, kind, file);
  return typeof target === 'number' ? target : setxattr(task, target, name, bytes, flags);
}

function get(task: Task, kind: Subject, file: number, nameAddress: number, into: number, room: number): number {
  const name = nameArg(task, nameAddress);
  if (typeof name === 'number') return name;
  const target = subject(task, kind, file);
  if (typeof target === 'number') return target;
  const value = getxattr(task, target, name);
  return typeof value === 'number' ? value : give(task, value, into, room);
}

function list(task: Task, kind: Subject, file: number, into: number, room: number): number {
  const target = subject(task, kind, file);
  if (typeof target === 'number') return target;
  const names = listxattr(task, target);
  if (typeof names === 'number') return names;
  const text = names.map((name) => `${name}\0`).join('');
  return text.length > XATTR_LIST_MAX ? -E2BIG : give(task, text, into, room);
}

function remove(task: Task, kind: Subject, file: number, nameAddress: number): number {
  const name = nameArg(task, nameAddress);
  if (typeof name === 'number') return name;
  const target = subject(task, kind, file);
  return typeof target === 'number' ? target : removexattr(task, target, name);
}

/** A size of 0 asks how much room is needed. */
function give(task: Task, bytes: string, into: number, room: number): number {
  if (room === 0) return bytes.length;
  if (bytes.length > room) return -ERANGE;
  return task.memory.writeBytes(into, bytes) < 0 ? -EFAULT : bytes.length;
}

const value = buffer('in', 'size');
const result = buffer('out', 'size');
const list64 = many(out(1), 'size', 1);
const how = flags({ XATTR_CREATE, XATTR_REPLACE });

export const xattrRows = family(
  syscall({
    name: 'setxattr',
    nr: { x64: 188, arm64: 5 },
    args: { path, name: path, value, size, flags: how },
    support: full,
    run: (task, file, name, value, size, flags) => set(task, 'path', file, name, value, size, flags),
  }),
  syscall({
    name: 'lsetxattr',
    nr: { x64: 189, arm64: 6 },
    args: { path, name: path, value, size, flags: how },
    support: full,
    run: (task, file, name, value, size, flags) => set(task, 'link', file, name, value, size, flags),
  }),
  syscall({
    name: 'fsetxattr',
    nr: { x64: 190, arm64: 7 },
    args: { fd, name: path, value, size, flags: how },
    support: full,
    run: (task, file, name, value, size, flags) => set(task, 'fd', file, name, value, size, flags),
  }),
  syscall({
    name: 'getxattr',
    nr: { x64: 191, arm64: 8 },
    args: { path, name: path, value: result, size },
    support: full,
    run: (task, file, name, into, room) => get(task, 'path', file, name, into, room),
  }),
  syscall({
    name: 'lgetxattr',
    nr: { x64: 192, arm64: 9 },
    args: { path, name: path, value: result, size },
    support: full,
    run: (task, file, name, into, room) => get(task, 'link', file, name, into, room),
  }),
  syscall({
    name: 'fgetxattr',
    nr: { x64: 193, arm64: 10 },
    args: { fd, name: path, value: result, size },
    support: full,
    run: (task, file, name, into, room) => get(task, 'fd', file, name, into, room),
  }),
  syscall({
    name: 'listxattr',
    nr: { x64: 194, arm64: 11 },
    args: { path, list: list64, size },
    support: full,
    run: (task, file, into, room) => list(task, 'path', file, into, room),
  }),
  syscall({
    name: 'llistxattr',
    nr: { x64: 195, arm64: 12 },
    args: { path, list: list64, size },
    support: full,
    run: (task, file, into, room) => list(task, 'link', file, into, room),
  }),
  syscall({
    name: 'flistxattr',
    nr: { x64: 196, arm64: 13 },
    args: { fd, list: list64, size },
    support: full,
    run: (task, file, into, room) => list(task, 'fd', file, into, room),
  }),
  syscall({
    name: 'removexattr',
    nr: { x64: 197, arm64: 14 },
    args: { path, name: path },
    support: full,
    run: (task, file, name) => remove(task, 'path', file, name),
  }),
  syscall({
    name: 'lremovexattr',
    nr: { x64: 198, arm64: 15 },
    args: { path, name: path },
    support: full,
    run: (task, file, name) => remove(task, 'link', file, name),
  }),
  syscall({
    name: 'fremovexattr',
    nr: { x64: 199, arm64: 16 },
    args: { fd, name: path },
    support: full,
    run: (task, file, name) => remove(task, 'fd', file, name),
  }),
);
