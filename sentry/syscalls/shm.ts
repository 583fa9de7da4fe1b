/**
 * System V shared memory: shmget(2), shmat(2), shmdt(2), shmctl(2). The segments are in kernel/ipc.
 */
import { EACCES, EFAULT, EINVAL, ENOMEM, EPERM } from '#sentry/abi/errno.ts';
import * as ipc from '#sentry/abi/ipc.ts';
import { RLIMIT_MEMLOCK } from '#sentry/abi/resource.ts';
import { CAP_IPC_LOCK, capable } from '../vfs/credentials.ts';
import { attach, detach } from '../kernel/ipc/attach.ts';
import { limitWords } from '../kernel/ipc/ipc-limits.ts';
import type { ShmSegment } from '../kernel/ipc/shm-segment.ts';
import type { Task } from '../kernel/task.ts';
import { memoryLimits } from './memory.ts';
import { addr, family, flags, full, hex32, i32, oneOf, partial, size, syscall } from './row.ts';

const { ShmidDs, ShmInfo, ShmInfoLimits } = ipc;
const COMMANDS = {
  IPC_RMID: ipc.IPC_RMID,
  IPC_SET: ipc.IPC_SET,
  IPC_STAT: ipc.IPC_STAT,
  IPC_INFO: ipc.IPC_INFO,
  SHM_LOCK: ipc.SHM_LOCK,
  SHM_UNLOCK: ipc.SHM_UNLOCK,
  SHM_STAT: ipc.SHM_STAT,
  SHM_INFO: ipc.SHM_INFO,
  SHM_STAT_ANY: ipc.SHM_STAT_ANY,
} as const;
const AT_FLAGS = { SHM_RDONLY: ipc.SHM_RDONLY, SHM_RND: ipc.SHM_RND, SHM_REMAP: ipc.SHM_REMAP, SHM_EXEC: ipc.SHM_EXEC };
const PAGE_SIZE = 4096;

function shmctl(task: Task, id: number, command: number, address: number): number {
  if (command < 0 || id < 0) return -EINVAL;
  switch (command) {
    case ipc.IPC_INFO:
      return storeLimits(task, address);
    case ipc.SHM_INFO:
      return storeUse(task, address);
    case ipc.IPC_STAT:
    case ipc.SHM_STAT:
    case ipc.SHM_STAT_ANY:
      return status(task, id, command, address);
    case ipc.IPC_SET:
      return change(task, id, address);
    case ipc.IPC_RMID:
      return remove(task, id);
    case ipc.SHM_LOCK:
    case ipc.SHM_UNLOCK:
      return lock(task, id, command);
    default:
      return -EINVAL;
  }
}

function storeLimits(task: Task, address: number): number {
  const { limits, shm } = task.kernel.ipc;
  const { view } = task.scratch;
  const { offsets } = ShmInfoLimits;
  const none = { unused1: 0, unused2: 0, unused3: 0, unused4: 0 };
  ShmInfoLimits.encode(view, 0, { shmmax: 0, shmmin: 1, shmmni: limits.shmmni, shmseg: limits.shmmni, shmall: 0, ...none });
  for (const [offset, value] of [
    [offsets.shmmax, limits.shmmax],
    [offsets.shmall, limits.shmall],
  ] as const) {
    const [low, high] = limitWords(value);
    view.setUint32(offset, low, true);
    view.setUint32(offset + 4, high, true);
  }
  return task.memory.copyOut(address, task.scratch, 0, ShmInfoLimits.size) || shm.table.highestIndex;
}

function storeUse(task: Task, address: number): number {
  const { shm } = task.kernel.ipc;
  let resident = 0;
  for (const { file } of shm.table.all()) resident += (file.blocks * 512) / PAGE_SIZE;
  const use = { usedIds: shm.table.inUse, total: shm.totalPages, resident, swapped: 0, swapAttempts: 0, swapSuccesses: 0 };
  ShmInfo.encode(task.scratch.view, 0, use);
  return task.memory.copyOut(address, task.scratch, 0, ShmInfo.size) || shm.table.highestIndex;
}

/** IPC_STAT by id; SHM_STAT and SHM_STAT_ANY by index, with the id as the result. */
function status(task: Task, id: number, command: number, address: number): number {
  const { table } = task.kernel.ipc.shm;
  const segment = command === ipc.IPC_STAT ? table.find(id) : table.at(id);
  if (segment === undefined) return -EINVAL;
  if (command !== ipc.SHM_STAT_ANY && !segment.permits(task.credentials, ipc.IPC_READ)) return -EACCES;
  ShmidDs.encode(task.scratch.view, 0, {
    perm: segment.permissions,
    segsz: segment.size,
    atime: segment.attachTime,
    dtime: segment.detachTime,
    ctime: segment.changeTime,
    cpid: task.pids.local(segment.creator),
    lpid: task.pids.local(segment.lastPid),
    nattch: segment.attached,
    unused4: 0,
    unused5: 0,
  });
  return task.memory.copyOut(address, task.scratch, 0, ShmidDs.size) || (command === ipc.IPC_STAT ? 0 : segment.id);
}

function change(task: Task, id: number, address: number): number {
  if (task.memory.copyIn(address, task.scratch, 0, ShmidDs.size) < 0) return -EFAULT;
  const { perm } = ShmidDs.decode(task.scratch.view, 0);
  const segment = controlled(task, id);
  if (typeof segment === 'number') return segment;
  const error = segment.updatePermissions(perm);
  if (error < 0) return error;
  task.kernel.ipc.shm.touch(segment);
  return 0;
}

function remove(task: Task, id: number): number {
  const segment = controlled(task, id);
  if (typeof segment === 'number') return segment;
  task.kernel.ipc.shm.remove(segment);
  return 0;
}

function controlled(task: Task, id: number): ShmSegment | number {
  const segment = task.kernel.ipc.shm.table.find(id);
  if (segment === undefined) return -EINVAL;
  return segment.isControlledBy(task.credentials) ? segment : -EPERM;
}

/** Where the bytes are is the host's affair: what can be seen of a lock is the mode, and who may not set it. */
function lock(task: Task, id: number, command: number): number {
  const segment = task.kernel.ipc.shm.table.find(id);
  if (segment === undefined) return -EINVAL;
  if (!capable(task.credentials, CAP_IPC_LOCK)) {
    const { euid } = task.credentials;
    if (euid !== segment.uid && euid !== segment.cuid) return -EPERM;
    const limit = task.group.limits.soft(RLIMIT_MEMLOCK);
    if (command === ipc.SHM_LOCK && limit === 0) return -EPERM;
    if (command === ipc.SHM_LOCK && segment.size > limit) return -ENOMEM;
  }
  if (command === ipc.SHM_LOCK) segment.mode |= ipc.SHM_LOCKED;
  else segment.mode &= ~ipc.SHM_LOCKED;
  return 0;
}

export const shmRows = family(
  syscall({
    name: 'shmget',
    nr: { x64: 29, arm64: 194 },
    args: { key: hex32, size, shmflg: hex32 },
    support: partial('SHM_HUGETLB fails with ENOMEM or EPERM, as where no huge pages are reserved; SHM_NORESERVE is charged all the same'),
    run: (task, key, bytes, getFlags) => task.kernel.ipc.shm.get(task, key | 0, bytes, getFlags),
  }),
  syscall({
    name: 'shmat',
    nr: { x64: 30, arm64: 196 },
    args: { shmid: i32, shmaddr: addr, shmflg: flags(AT_FLAGS) },
    support: full,
    run: (task, id, address, attachFlags) => attach(task, id, address, attachFlags, memoryLimits(task)),
  }),
  syscall({
    name: 'shmctl',
    nr: { x64: 31, arm64: 195 },
    args: { shmid: i32, cmd: oneOf(COMMANDS), buf: addr },
    support: partial('SHM_LOCK: limits and the mode are kept; the host may still page'),
    run: shmctl,
  }),
  syscall({ name: 'shmdt', nr: { x64: 67, arm64: 197 }, args: { shmaddr: addr }, support: full, run: detach }),
);
