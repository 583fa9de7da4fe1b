/**
 * flock(2), and the record locks of fcntl(2): POSIX locks owned by the process's descriptor table, OFD locks owned by the open file.
 * What conflicts with what is decided in kernel/locks; here is the waiting, and the struct flock.
 */
import { EAGAIN, EBADF, EFAULT, EINVAL, EOVERFLOW } from '#sentry/abi/errno.ts';
import {
  F_GETLK,
  F_OFD_GETLK,
  F_OFD_SETLK,
  F_OFD_SETLKW,
  F_RDLCK,
  F_SETLKW,
  F_UNLCK,
  F_WRLCK,
  Flock,
  LOCK_EX,
  LOCK_NB,
  LOCK_SH,
  LOCK_UN,
} from '#sentry/abi/fcntl.ts';
import { SEEK_CUR, SEEK_END, SEEK_SET } from '#sentry/abi/fs.ts';
import { emptyAttributes } from '#sentry/abi/stat.ts';
import type { FileDescription } from '../vfs/file-description.ts';
import { existingLocks, isLockType, LOCK_RELEASED, locksOf, startWaiting, stopWaiting } from '../kernel/locks/file-locks.ts';
import type { RecordLock } from '../kernel/locks/file-locks.ts';
import type { Task } from '../kernel/task.ts';
import type { BLOCKED } from '../kernel/wait.ts';
import { openFile } from './file-args.ts';
import { family, fd, flags, full, syscall } from './row.ts';

/** One beyond the largest file offset. */
const OFFSET_END = 2 ** 63;

const attributes = emptyAttributes();

function flock(task: Task, fd: number, operation: number): number {
  const file = heldFile(task) ?? openFile(task, fd);
  const kind = operation & ~LOCK_NB;
  if (kind !== LOCK_SH && kind !== LOCK_EX && kind !== LOCK_UN) return -EINVAL;
  if (file === undefined) return -EBADF;
  if (kind === LOCK_UN) {
    existingLocks(file.inode)?.unlockWhole(file);
    return 0;
  }
  const locks = locksOf(file.inode);
  dropWithFile(file);
  const result = locks.lockWhole(file, kind === LOCK_EX ? 'exclusive' : 'shared');
  if (result !== -EAGAIN || (operation & LOCK_NB) !== 0) return result;
  return waitForLock(task, file, null);
}

/** The lock commands of fcntl. */
export function recordLock(task: Task, fd: number, file: FileDescription, command: number, address: number): number {
  const { scratch } = task;
  if (task.memory.copyIn(address, scratch, 0, Flock.size) < 0) return -EFAULT;
  const request = Flock.decode(scratch.view, 0);
  const ofd = command === F_OFD_GETLK || command === F_OFD_SETLK || command === F_OFD_SETLKW;
  if (ofd && request.pid !== 0) return -EINVAL;
  const lock = toRecord(task, file, request, ofd);
  if (typeof lock === 'number') return lock;
  if (command === F_GETLK || command === F_OFD_GETLK) return reportConflict(task, file, lock, address);
  const held = heldFile(task) ?? file;
  const waits = command === F_SETLKW || command === F_OFD_SETLKW;
  const result = setRecord(task, held, lock, waits);
  // Linux: another thread closed the descriptor meanwhile; the lock must not outlive it.
  if (result === 0 && !ofd && lock.type !== F_UNLCK && task.files.get(fd) !== held) {
    existingLocks(held.inode)?.releaseRecords(task.files);
    return -EBADF;
  }
  return result;
}

function setRecord(task: Task, file: FileDescription, lock: RecordLock, waits: boolean): number {
  if (lock.type === F_RDLCK && !file.readable) return -EBADF;
  if (lock.type === F_WRLCK && !file.writable) return -EBADF;
  if (lock.type === F_UNLCK) return existingLocks(file.inode)?.setRecord(lock) ?? 0;
  const locks = locksOf(file.inode);
  if (lock.owner === file) dropWithFile(file);
  const result = locks.setRecord(lock);
  if (result !== -EAGAIN || !waits) return result;
  const blocker = locks.conflicting(lock)!.owner;
  const posixOwner = lock.owner === file ? null : lock.owner; // Linux: OFD locks take no part in deadlock detection
  if (posixOwner !== null) {
    const deadlock = startWaiting(posixOwner, blocker);
    if (deadlock < 0) return deadlock;
  }
  return waitForLock(task, file, posixOwner);
}

function waitForLock(task: Task, file: FileDescription, waiter: object | null): typeof BLOCKED {
  const { wait } = task;
  if (wait.state === null) {
    wait.state = file.acquire();
    wait.onFinish = () => {
      if (waiter !== null) stopWaiting(waiter);
      file.release();
    };
  }
  return wait.on(locksOf(file.inode).queue, LOCK_RELEASED);
}

/** The file this call already waits on, if it is a retry. */
function heldFile(task: Task): FileDescription | undefined {
  return task.wait.first ? undefined : (task.wait.state as FileDescription);
}

function dropWithFile(file: FileDescription): void {
  file.onLastRelease ??= () => existingLocks(file.inode)?.releaseDescription(file);
}

/** F_GETLK: the first lock in the way, or F_UNLCK in `l_type` alone. */
function reportConflict(task: Task, file: FileDescription, lock: RecordLock, address: number): number {
  if (lock.type === F_UNLCK) return -EINVAL;
  const conflict = existingLocks(file.inode)?.conflicting(lock) ?? null;
  const { scratch } = task;
  if (conflict === null) {
    scratch.view.setInt16(0, F_UNLCK, true);
  } else {
    const { type, start, end } = conflict;
    const pid = conflict.pid < 0 ? conflict.pid : task.pids.local(conflict.pid);
    Flock.encode(scratch.view, 0, { type, whence: SEEK_SET, start, len: end === Infinity ? 0 : end - start + 1, pid });
  }
  return task.memory.copyOut(address, scratch, 0, Flock.size);
}

/** l_whence, l_start and l_len as a range; a negative length reaches backwards. */
function toRecord(task: Task, file: FileDescription, request: Flock, ofd: boolean): RecordLock | number {
  if (!isLockType(request.type)) return -EINVAL;
  let base = 0;
  if (request.whence === SEEK_CUR) base = file.position;
  else if (request.whence === SEEK_END) base = file.getattr(attributes) < 0 ? 0 : attributes.size;
  else if (request.whence !== SEEK_SET) return -EINVAL;
  let start = base + request.start;
  let end = Infinity;
  if (request.len > 0) {
    end = start + request.len - 1;
  } else if (request.len < 0) {
    end = start - 1;
    start += request.len;
  }
  if (start < 0) return -EINVAL;
  if (start >= OFFSET_END || (end !== Infinity && end > OFFSET_END)) return -EOVERFLOW;
  if (end >= 2 ** 53) end = Infinity; // no file reaches there
  return { owner: ofd ? file : task.files, type: request.type, start, end, pid: ofd ? -1 : task.pids.global(task.group.pid) };
}

export const lockRows = family(
  syscall({
    name: 'flock',
    nr: { x64: 73, arm64: 32 },
    args: { fd, operation: flags({ LOCK_SH, LOCK_EX, LOCK_NB, LOCK_UN }) },
    support: full,
    run: flock,
  }),
);
