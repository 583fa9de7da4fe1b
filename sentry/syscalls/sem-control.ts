/**
 * semctl(2): values, states, limits and the end of a semaphore set.
 */
import { EACCES, EFAULT, EINVAL, EPERM, ERANGE } from '#sentry/abi/errno.ts';
import * as ipc from '#sentry/abi/ipc.ts';
import type { SemaphoreSet } from '../kernel/ipc/semaphore-set.ts';
import type { Task } from '../kernel/task.ts';
import { Decode, addr, family, full, i32, oneOf, syscall } from './row.ts';

const { SemidDs, SemInfo, SEMVMX } = ipc;
const COMMANDS = {
  IPC_RMID: ipc.IPC_RMID,
  IPC_SET: ipc.IPC_SET,
  IPC_STAT: ipc.IPC_STAT,
  IPC_INFO: ipc.IPC_INFO,
  GETPID: ipc.GETPID,
  GETVAL: ipc.GETVAL,
  GETALL: ipc.GETALL,
  GETNCNT: ipc.GETNCNT,
  GETZCNT: ipc.GETZCNT,
  SETVAL: ipc.SETVAL,
  SETALL: ipc.SETALL,
  SEM_STAT: ipc.SEM_STAT,
  SEM_INFO: ipc.SEM_INFO,
  SEM_STAT_ANY: ipc.SEM_STAT_ANY,
} as const;
/** Figures that IPC_INFO has always shown and nothing goes by. */
const SEMUSZ = 20;

function semctl(task: Task, id: number, num: number, command: number, argument: number): number {
  if (id < 0) return -EINVAL;
  switch (command) {
    case ipc.IPC_INFO:
    case ipc.SEM_INFO:
      return info(task, command, argument);
    case ipc.IPC_STAT:
    case ipc.SEM_STAT:
    case ipc.SEM_STAT_ANY:
      return status(task, id, command, argument);
    case ipc.GETALL:
    case ipc.GETVAL:
    case ipc.GETPID:
    case ipc.GETNCNT:
    case ipc.GETZCNT:
      return read(task, id, num, command, argument);
    case ipc.SETALL:
      return setAll(task, id, argument);
    case ipc.SETVAL:
      return setValue(task, id, num, argument | 0);
    case ipc.IPC_SET:
      return change(task, id, argument);
    case ipc.IPC_RMID:
      return remove(task, id);
    default:
      return -EINVAL;
  }
}

function info(task: Task, command: number, address: number): number {
  const { limits, sem } = task.kernel.ipc;
  const { semmni, semmns, semmsl, semopm } = limits;
  const isUse = command === ipc.SEM_INFO;
  SemInfo.encode(task.scratch.view, 0, {
    semmap: 1_024_000_000,
    semmni,
    semmns,
    semmnu: 1_024_000_000,
    semmsl,
    semopm,
    semume: 500,
    semusz: isUse ? sem.table.inUse : SEMUSZ,
    semvmx: SEMVMX,
    semaem: isUse ? sem.total : SEMVMX,
  });
  return task.memory.copyOut(address, task.scratch, 0, SemInfo.size) || sem.table.highestIndex;
}

/** IPC_STAT by id; SEM_STAT and SEM_STAT_ANY by index, with the id as the result. */
function status(task: Task, id: number, command: number, address: number): number {
  const { table } = task.kernel.ipc.sem;
  const set = command === ipc.IPC_STAT ? table.find(id) : table.at(id);
  if (set === undefined) return -EINVAL;
  if (command !== ipc.SEM_STAT_ANY && !set.permits(task.credentials, ipc.IPC_READ)) return -EACCES;
  SemidDs.encode(task.scratch.view, 0, {
    perm: set.permissions,
    otime: set.operationTime,
    unused1: 0,
    ctime: set.changeTime,
    unused2: 0,
    nsems: set.count,
    unused3: 0,
    unused4: 0,
  });
  return task.memory.copyOut(address, task.scratch, 0, SemidDs.size) || (command === ipc.IPC_STAT ? 0 : set.id);
}

function read(task: Task, id: number, num: number, command: number, address: number): number {
  const set = permitted(task, id, ipc.IPC_READ);
  if (typeof set === 'number') return set;
  if (command === ipc.GETALL) return storeAll(task, set, address);
  if (num < 0 || num >= set.count) return -EINVAL;
  switch (command) {
    case ipc.GETVAL:
      return set.values[num]!;
    case ipc.GETPID:
      return task.pids.local(set.pids[num]!);
    default:
      return set.waiting(num, command === ipc.GETZCNT ? 'zero' : 'rise');
  }
}

function permitted(task: Task, id: number, access: number): SemaphoreSet | number {
  const set = task.kernel.ipc.sem.table.find(id);
  if (set === undefined) return -EINVAL;
  return set.permits(task.credentials, access) ? set : -EACCES;
}

function storeAll(task: Task, set: SemaphoreSet, address: number): number {
  const { view } = task.scratch;
  for (let num = 0; num < set.count; num++) view.setUint16(2 * num, set.values[num]!, true);
  return task.memory.copyOut(address, task.scratch, 0, 2 * set.count);
}

function setAll(task: Task, id: number, address: number): number {
  const set = permitted(task, id, ipc.IPC_WRITE);
  if (typeof set === 'number') return set;
  const { view } = task.scratch;
  if (task.memory.copyIn(address, task.scratch, 0, 2 * set.count) < 0) return -EFAULT;
  for (let num = 0; num < set.count; num++) if (view.getUint16(2 * num, true) > SEMVMX) return -ERANGE;
  for (let num = 0; num < set.count; num++) setOne(task, set, num, view.getUint16(2 * num, true));
  valuesWereSet(task, set);
  return 0;
}

function setValue(task: Task, id: number, num: number, value: number): number {
  if (value < 0 || value > SEMVMX) return -ERANGE;
  const set = task.kernel.ipc.sem.table.find(id);
  if (set === undefined || num < 0 || num >= set.count) return -EINVAL;
  if (!set.permits(task.credentials, ipc.IPC_WRITE)) return -EACCES;
  setOne(task, set, num, value);
  valuesWereSet(task, set);
  return 0;
}

function setOne(task: Task, set: SemaphoreSet, num: number, value: number): void {
  set.values[num] = value;
  set.pids[num] = task.pids.global(task.group.pid);
  set.forgetAdjustments(num);
}

function valuesWereSet(task: Task, set: SemaphoreSet): void {
  const { sem } = task.kernel.ipc;
  sem.touch(set);
  sem.changed(set);
}

function change(task: Task, id: number, address: number): number {
  if (task.memory.copyIn(address, task.scratch, 0, SemidDs.size) < 0) return -EFAULT;
  const { perm } = SemidDs.decode(task.scratch.view, 0);
  const set = controlled(task, id);
  if (typeof set === 'number') return set;
  const error = set.updatePermissions(perm);
  if (error < 0) return error;
  task.kernel.ipc.sem.touch(set);
  return 0;
}

function remove(task: Task, id: number): number {
  const set = controlled(task, id);
  if (typeof set === 'number') return set;
  task.kernel.ipc.sem.remove(set);
  return 0;
}

function controlled(task: Task, id: number): SemaphoreSet | number {
  const set = task.kernel.ipc.sem.table.find(id);
  if (set === undefined) return -EINVAL;
  return set.isControlledBy(task.credentials) ? set : -EPERM;
}

/** A pointer, or the value of SETVAL: the register as it is, since a rounded one would lose the low bits. */
const value = { ...addr, decode: Decode.I64 };

export const semControlRows = family(
  syscall({
    name: 'semctl',
    nr: { x64: 66, arm64: 191 },
    args: { semid: i32, semnum: i32, cmd: oneOf(COMMANDS), arg: value },
    support: full,
    run: semctl,
  }),
);
