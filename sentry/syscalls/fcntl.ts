/**
 * fcntl(2), command by command. Record locks are in locks.ts, pipe sizes in the pipe, seals with the file that carries them.
 */
import { EBADF, EFAULT, EINVAL, EPERM, ESRCH } from '#sentry/abi/errno.ts';
import {
  F_ADD_SEALS,
  F_CREATED_QUERY,
  F_DUPFD,
  F_DUPFD_CLOEXEC,
  F_DUPFD_QUERY,
  F_GETFD,
  F_GETFL,
  F_GETLEASE,
  F_GETLK,
  F_GETOWN,
  F_GETOWN_EX,
  F_GETPIPE_SZ,
  F_GETSIG,
  F_GET_RW_HINT,
  F_GET_SEALS,
  F_OFD_GETLK,
  F_OFD_SETLK,
  F_OFD_SETLKW,
  F_OWNER_PGRP,
  F_OWNER_PID,
  F_OWNER_TID,
  F_SEAL_ALL,
  F_SETFD,
  F_SETFL,
  F_SETLK,
  F_SETLKW,
  F_SETOWN,
  F_SETOWN_EX,
  F_SETPIPE_SZ,
  F_SETSIG,
  F_UNLCK,
  FCNTL_COMMANDS,
  FD_CLOEXEC,
  OwnerEx,
} from '#sentry/abi/fcntl.ts';
import { O_APPEND, O_ASYNC, O_DIRECT, O_NOATIME, O_NONBLOCK, O_PATH } from '#sentry/abi/fs.ts';
import { RLIMIT_NOFILE } from '#sentry/abi/resource.ts';
import { SIGNAL_MAX } from '#sentry/abi/signal.ts';
import { CAP_SYS_RESOURCE, capable } from '../vfs/credentials.ts';
import type { FileDescription } from '../vfs/file-description.ts';
import { ownerOrCapable } from '../vfs/permission.ts';
import { PipeFile } from '../fs/pipe/pipe-file.ts';
import { isOwnerType, makeOwner, ownerOf } from '../kernel/file-owner.ts';
import type { Task } from '../kernel/task.ts';
import { fileForIo } from './file-args.ts';
import { recordLock } from './locks.ts';
import { Decode, family, fd, oneOf, partial, syscall } from './row.ts';

/** What F_SETFL may change; everything else in its argument is ignored. */
const SETTABLE = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME | O_ASYNC;

function fcntl(task: Task, fd: number, command: number, argument: number): number {
  const file = fileForIo(task, fd);
  if (file === undefined) return -EBADF;
  const word = argument | 0;
  switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
      return duplicate(task, file, word, command === F_DUPFD_CLOEXEC);
    case F_GETFD:
      return task.files.isCloexec(fd) ? FD_CLOEXEC : 0;
    case F_SETFD:
      task.files.setCloexec(fd, (word & FD_CLOEXEC) !== 0);
      return 0;
    case F_GETFL:
      return file.flags;
    case F_DUPFD_QUERY:
      return task.files.get(word) === file ? 1 : 0;
    case F_CREATED_QUERY:
      return file.created ? 1 : 0;
    default:
      if ((file.flags & O_PATH) !== 0) return -EBADF;
      return onContents(task, fd, file, command, argument, word);
  }
}

/** The commands that a descriptor opened with O_PATH refuses. */
function onContents(task: Task, fd: number, file: FileDescription, command: number, argument: number, word: number): number {
  switch (command) {
    case F_SETFL:
      return setFlags(task, fd, file, word);
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
      return recordLock(task, fd, file, command, argument);
    case F_SETOWN:
      return setOwner(task, file, word < 0 ? F_OWNER_PGRP : F_OWNER_PID, Math.abs(word));
    case F_GETOWN:
      return getOwner(task, file);
    case F_SETOWN_EX:
      return setOwnerEx(task, file, argument);
    case F_GETOWN_EX:
      return getOwnerEx(task, file, argument);
    case F_SETSIG:
      if (word < 0 || word > SIGNAL_MAX) return -EINVAL;
      makeOwner(file).signal = word;
      return 0;
    case F_GETSIG:
      return ownerOf(file)?.signal ?? 0;
    case F_GETPIPE_SZ:
      return file instanceof PipeFile ? file.pipe.capacity : -EBADF;
    case F_SETPIPE_SZ:
      return file instanceof PipeFile ? file.pipe.resize(word, capable(task.credentials, CAP_SYS_RESOURCE)) : -EBADF;
    case F_GET_SEALS:
      return file.seals();
    case F_ADD_SEALS:
      if ((word & ~F_SEAL_ALL) !== 0) return -EINVAL;
      return file.writable ? file.addSeals(word) : -EPERM;
    case F_GETLEASE:
      return F_UNLCK;
    case F_GET_RW_HINT:
      return file.inode.isRegular ? task.memory.storeU64(argument, 0) : -EINVAL;
    default:
      return -EINVAL; // leases, F_NOTIFY and hints as on a kernel or file system without them
  }
}

function duplicate(task: Task, file: FileDescription, from: number, cloexec: boolean): number {
  if (from < 0 || from >= task.group.limits.soft(RLIMIT_NOFILE)) return -EINVAL;
  const fd = task.files.install(file, cloexec, from);
  if (fd >= 0) file.acquire();
  return fd;
}

function setFlags(task: Task, fd: number, file: FileDescription, wanted: number): number {
  const changed = (file.flags ^ wanted) & SETTABLE;
  if ((changed & wanted & O_NOATIME) !== 0 && !ownerOrCapable(task.credentials, file.inode)) return -EPERM;
  if ((changed & O_ASYNC) !== 0) makeOwner(file).setAsync(file, fd, (wanted & O_ASYNC) !== 0);
  file.flags = (file.flags & ~SETTABLE) | (wanted & SETTABLE);
  return 0;
}

function setOwner(task: Task, file: FileDescription, type: number, id: number): number {
  const { pids } = task;
  if (id !== 0) {
    const known = type === F_OWNER_PGRP ? pids.processGroups.has(id) : type === F_OWNER_PID ? pids.groups.has(id) : pids.tasks.has(id);
    if (!known) return -ESRCH;
  }
  makeOwner(file).set(type, id, task);
  return 0;
}

/** A process group comes back negative, as the interface has it; F_GETOWN_EX is the way without that ambiguity. */
function getOwner(task: Task, file: FileDescription): number {
  const owner = ownerOf(file);
  if (owner === null) return 0;
  const id = owner.numberIn(task.pids);
  return owner.type === F_OWNER_PGRP ? -id : id;
}

function setOwnerEx(task: Task, file: FileDescription, address: number): number {
  const { scratch } = task;
  if (task.memory.copyIn(address, scratch, 0, OwnerEx.size) < 0) return -EFAULT;
  const type = scratch.view.getInt32(0, true);
  const id = scratch.view.getInt32(4, true);
  return isOwnerType(type) ? setOwner(task, file, type, id) : -EINVAL;
}

function getOwnerEx(task: Task, file: FileDescription, address: number): number {
  const owner = ownerOf(file);
  task.scratch.view.setInt32(0, owner?.type ?? F_OWNER_TID, true);
  task.scratch.view.setInt32(4, owner?.numberIn(task.pids) ?? 0, true);
  return task.memory.copyOut(address, task.scratch, 0, OwnerEx.size);
}

export const fcntlRows = family(
  syscall({
    name: 'fcntl',
    nr: { x64: 72, arm64: 25 },
    args: { fd, cmd: oneOf(FCNTL_COMMANDS), arg: { decode: Decode.I64, display: { kind: 'hex' } } },
    support: partial('leases and dnotify are refused with EINVAL, as on file systems without them'),
    run: fcntl,
  }),
);
