/**
 * System V semaphores: semget(2), semop(2), semtimedop(2). semctl(2) is in sem-control.ts, the sets are in kernel/ipc.
 */
import { E2BIG, EACCES, EAGAIN, EFAULT, EFBIG, EINTR, EINVAL } from '#sentry/abi/errno.ts';
import { IPC_READ, IPC_WRITE, SEM_UNDO, Sembuf } from '#sentry/abi/ipc.ts';
import { SEMAPHORE_OPERATIONS_MAX } from '../limits.ts';
import { MUST_WAIT, SEMAPHORE_DONE, SemaphoreWait, WAITING } from '../kernel/ipc/semaphore-set.ts';
import type { Adjustments, Operations, SemaphoreSet } from '../kernel/ipc/semaphore-set.ts';
import { adjustmentsOf } from '../kernel/ipc/undo-list.ts';
import type { Task } from '../kernel/task.ts';
import { family, full, hex32, i32, input, many, partial, syscall, u32 } from './row.ts';
import { readTimespec } from './timeout.ts';

/** The operations of the call being served; one that waits takes a copy. */
const current = {
  count: 0,
  nums: new Uint16Array(SEMAPHORE_OPERATIONS_MAX),
  ops: new Int16Array(SEMAPHORE_OPERATIONS_MAX),
  flags: new Int16Array(SEMAPHORE_OPERATIONS_MAX),
  alters: false,
  /** One of them has SEM_UNDO. */
  undoes: false,
  highest: 0,
};

function semtimedop(task: Task, id: number, address: number, count: number, timeoutAddress: number): number {
  const { state } = task.wait;
  if (state instanceof SemaphoreWait) return goOn(task, state);
  const timeoutNs = readTimespec(task, timeoutAddress);
  if (timeoutNs === -EFAULT) return -EFAULT;
  if (count > task.kernel.ipc.limits.semopm || count > SEMAPHORE_OPERATIONS_MAX) return -E2BIG;
  if (count < 1) return -EINVAL;
  const error = readOperations(task, address, count);
  if (error < 0) return error;
  if (id < 0 || timeoutNs < 0) return -EINVAL;
  if (timeoutNs !== Infinity) task.wait.timeoutNs = timeoutNs;
  return operate(task, id);
}

function readOperations(task: Task, address: number, count: number): number {
  const { view } = task.scratch;
  if (task.memory.copyIn(address, task.scratch, 0, count * Sembuf.size) < 0) return -EFAULT;
  const { num, op, flg } = Sembuf.offsets;
  current.count = count;
  current.alters = current.undoes = false;
  current.highest = 0;
  for (let i = 0, at = 0; i < count; i++, at += Sembuf.size) {
    current.nums[i] = view.getUint16(at + num, true);
    current.ops[i] = view.getInt16(at + op, true);
    current.flags[i] = view.getInt16(at + flg, true);
    if (current.nums[i]! > current.highest) current.highest = current.nums[i]!;
    if (current.ops[i] !== 0) current.alters = true;
    if ((current.flags[i]! & SEM_UNDO) !== 0) current.undoes = true;
  }
  return 0;
}

function operate(task: Task, id: number): number {
  const { sem } = task.kernel.ipc;
  const adjustments = current.undoes ? adjustmentsOf(task, id) : null;
  if (typeof adjustments === 'number') return adjustments;
  const set = sem.table.find(id);
  if (set === undefined) return -EINVAL;
  if (current.highest >= set.count) return -EFBIG;
  if (!set.permits(task.credentials, current.alters ? IPC_WRITE : IPC_READ)) return -EACCES;
  const pid = task.pids.global(task.group.pid);
  const result = set.perform(current, adjustments, pid);
  if (result === MUST_WAIT) return beginWait(task, set, adjustments, pid);
  if (result === 0) sem.operated(set, current.alters);
  return result;
}

function beginWait(task: Task, set: SemaphoreSet, adjustments: Adjustments | null, pid: number): number {
  const { count, alters } = current;
  const operations: Operations = {
    count,
    nums: current.nums.slice(0, count),
    ops: current.ops.slice(0, count),
    flags: current.flags.slice(0, count),
    alters,
  };
  const waiting = new SemaphoreWait(set, operations, adjustments, pid);
  set.add(waiting);
  task.wait.state = waiting;
  task.wait.interrupted = -EINTR;
  task.wait.onFinish = () => {
    set.remove(waiting);
  };
  return goOn(task, waiting);
}

function goOn({ wait }: Task, waiting: SemaphoreWait): number {
  if (waiting.status !== WAITING) return waiting.status;
  return wait.mayWait ? wait.on(waiting.queue, SEMAPHORE_DONE) : -EAGAIN;
}

const sops = many(input(Sembuf.size), 'nsops', Sembuf.size);

export const semRows = family(
  syscall({
    name: 'semget',
    nr: { x64: 64, arm64: 190 },
    args: { key: hex32, nsems: i32, semflg: hex32 },
    support: full,
    run: (task, key, count, getFlags) => task.kernel.ipc.sem.get(task, key | 0, count, getFlags),
  }),
  syscall({
    name: 'semop',
    nr: { x64: 65, arm64: 193 },
    args: { semid: i32, sops, nsops: u32 },
    support: full,
    run: (task, id, address, count) => semtimedop(task, id, address, count, 0),
  }),
  syscall({
    name: 'semtimedop',
    nr: { x64: 220, arm64: 192 },
    args: { semid: i32, sops, nsops: u32, timeout: input(16, 'timespec') },
    support: partial('at most 1,024 operations in a call, whatever kernel.sem says'),
    run: semtimedop,
  }),
);
