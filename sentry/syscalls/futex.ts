/**
 * futex(2), robust lists, futex_waitv(2). The work is in kernel/futex.
 */
import { EAGAIN, EFAULT, EINVAL, ENOSYS, EPERM, ERESTARTSYS, ESRCH, ETIMEDOUT } from '#sentry/abi/errno.ts';
import * as f from '#sentry/abi/futex.ts';
import { getU64 } from '#sentry/abi/layout.ts';
import { CLOCK_MONOTONIC, CLOCK_REALTIME, Timespec } from '#sentry/abi/time.ts';
import { futexRequeue, futexTable, futexWait, futexWakeBitset, futexWakeOp, WORD_UNREAD } from '../kernel/futex/futex.ts';
import { futexLockPi, futexUnlockPi } from '../kernel/futex/pi.ts';
import { resolveKey } from '../kernel/futex/table.ts';
import type { FutexWaiter } from '../kernel/futex/table.ts';
import type { Task } from '../kernel/task.ts';
import { deadlineIn, durationIn, readDeadline, readDuration } from '../kernel/timers/clock.ts';
import { BLOCKED } from '../kernel/wait.ts';
import { CAP_SYS_PTRACE, capable } from '../vfs/credentials.ts';
import { addr, family, full, i32, input, live, many, oneOf, out, partial, pid, size, syscall, u32 } from './row.ts';

/** A negative int in a 64-bit register. As a double it has lost its low bits, but not that it is negative. */
const NEGATIVE_COUNT = 2 ** 64 - 2 ** 31;

/** futex(2). `timeout` doubles as the second count of the requeue operations. */
function futex(task: Task, address: number, operation: number, value: number, timeout: number, address2: number, value3: number): number {
  const command = operation & f.FUTEX_CMD_MASK;
  const isPrivate = (operation & f.FUTEX_PRIVATE_FLAG) !== 0;
  const clock = (operation & f.FUTEX_CLOCK_REALTIME) !== 0 ? CLOCK_REALTIME : CLOCK_MONOTONIC;
  if (clock === CLOCK_REALTIME && !takesClock(command)) return -ENOSYS;
  const count = value | 0;
  // The second count is the low word of the pointer argument.
  const count2 = timeout >= NEGATIVE_COUNT ? -1 : (timeout % 0x1_0000_0000) | 0;
  switch (command) {
    case f.FUTEX_WAIT:
      return wait(task, address, value, f.FUTEX_BITSET_MATCH_ANY, isPrivate, timeout, -1);
    case f.FUTEX_WAIT_BITSET:
      return wait(task, address, value, value3, isPrivate, timeout, clock);
    case f.FUTEX_WAKE:
      return futexWakeBitset(task, address, count, f.FUTEX_BITSET_MATCH_ANY, isPrivate);
    case f.FUTEX_WAKE_BITSET:
      return futexWakeBitset(task, address, count, value3, isPrivate);
    case f.FUTEX_REQUEUE:
      return futexRequeue(task, address, address2, count, count2, -1, isPrivate);
    case f.FUTEX_CMP_REQUEUE:
      return futexRequeue(task, address, address2, count, count2, value3, isPrivate);
    case f.FUTEX_WAKE_OP:
      return futexWakeOp(task, address, address2, count, count2, value3, isPrivate);
    case f.FUTEX_LOCK_PI:
      return lockPi(task, address, isPrivate, timeout, CLOCK_REALTIME);
    case f.FUTEX_LOCK_PI2:
      return lockPi(task, address, isPrivate, timeout, clock);
    case f.FUTEX_TRYLOCK_PI:
      return futexLockPi(task, address, isPrivate, Infinity, 'try');
    case f.FUTEX_UNLOCK_PI:
      return futexUnlockPi(task, address, isPrivate);
    default:
      return -ENOSYS;
  }
}

function takesClock(command: number): boolean {
  return command === f.FUTEX_WAIT_BITSET || command === f.FUTEX_WAIT_REQUEUE_PI || command === f.FUTEX_LOCK_PI2;
}

/** `clock` names that of an absolute timeout; -1: the timeout is relative. */
function wait(task: Task, address: number, expected: number, bitset: number, isPrivate: boolean, timeout: number, clock: number): number {
  if (timeout === 0 || !task.wait.first) return futexWait(task, address, expected, bitset, isPrivate, Infinity, WORD_UNREAD);
  const word = readTimeAndWord(task, timeout, address);
  const { view } = task.scratch;
  let time: number;
  if (word === WORD_UNREAD) time = clock < 0 ? readDuration(task, timeout) : readDeadline(task, timeout, clock);
  else time = clock < 0 ? durationIn(view) : deadlineIn(task.kernel, view, clock);
  if (time < 0) return time;
  const deadline = clock < 0 ? task.kernel.host.monotonicNs() + time : time;
  return futexWait(task, address, expected, bitset, isPrivate, deadline, word);
}

/** Where `readTimeAndWord` reads; both at once, because a copy costs by the call. */
const timeAndWord = { addresses: new Float64Array(2), lengths: Float64Array.of(Timespec.size, 4), current: 0, done: 0 };

/** The timespec to the scratch memory and the futex word as the result. WORD_UNREAD: neither, they have to be read one by one. */
function readTimeAndWord(task: Task, time: number, address: number): number {
  const { scratch } = task;
  timeAndWord.addresses[0] = time;
  timeAndWord.addresses[1] = address;
  const bytes = Timespec.size + 4;
  if (address % 4 !== 0 || task.memory.copyInPieces(timeAndWord, scratch, 0, bytes) !== bytes) return WORD_UNREAD;
  return scratch.view.getUint32(Timespec.size, true);
}

function lockPi(task: Task, address: number, isPrivate: boolean, timeout: number, clock: number): number {
  let deadline = Infinity;
  if (timeout !== 0 && task.wait.first) {
    deadline = readDeadline(task, timeout, clock);
    if (deadline < 0) return deadline;
  }
  return futexLockPi(task, address, isPrivate, deadline, 'wait');
}

/** futex_waitv(2): the index of the futex that was woken. */
function futexWaitv(task: Task, array: number, count: number, flags: number, timeout: number, clock: number): number {
  const call = task.wait;
  if (!call.first) {
    const woken = (call.state as FutexWaiter[]).findIndex((waiter) => waiter.woken);
    if (woken >= 0) return woken;
    return call.timedOut ? -ETIMEDOUT : BLOCKED;
  }
  if (flags !== 0 || count === 0 || count > f.FUTEX_WAITV_MAX || array === 0) return -EINVAL;
  if (timeout !== 0) {
    if (clock !== CLOCK_MONOTONIC && clock !== CLOCK_REALTIME) return -EINVAL;
    const deadline = readDeadline(task, timeout, clock);
    if (deadline < 0) return deadline;
    call.deadlineNs = deadline;
  }
  const waiters: FutexWaiter[] = [];
  const result = linkAll(task, array, count, waiters);
  if (result < 0) {
    for (const waiter of waiters) futexTable.give(waiter);
    return result;
  }
  call.state = waiters;
  call.interrupted = -ERESTARTSYS;
  call.onFinish = () => {
    for (const waiter of waiters) futexTable.give(waiter);
  };
  return BLOCKED;
}

/** Checks every word and queues a waiter on it. Values that changed are -EAGAIN. */
function linkAll(task: Task, array: number, count: number, waiters: FutexWaiter[]): number {
  const { scratch, memory } = task;
  if (memory.copyIn(array, scratch, 0, count * f.FUTEX_WAITV_SIZE) < 0) return -EFAULT;
  for (let i = 0; i < count; i++) {
    const at = i * f.FUTEX_WAITV_SIZE;
    const expected = scratch.view.getUint32(at, true);
    const address = getU64(scratch.view, at + 8);
    const flags = scratch.view.getUint32(at + 16, true);
    if (scratch.view.getUint32(at + 20, true) !== 0 || scratch.view.getUint32(at + 4, true) !== 0) return -EINVAL;
    if ((flags & ~(f.FUTEX2_SIZE_MASK | f.FUTEX2_PRIVATE)) !== 0 || (flags & f.FUTEX2_SIZE_MASK) !== f.FUTEX2_SIZE_U32) return -EINVAL;
    if (address % 4 !== 0) return -EINVAL;
    const value = memory.loadU32(address);
    if (value < 0) return -EFAULT;
    if (value !== expected) return -EAGAIN;
    const waiter = futexTable.take();
    waiter.task = task;
    waiter.bitset = f.FUTEX_BITSET_MATCH_ANY;
    resolveKey(task.mm, address, (flags & f.FUTEX2_PRIVATE) !== 0, waiter);
    futexTable.link(waiter);
    waiters.push(waiter);
  }
  return 0;
}

function getRobustList(task: Task, which: number, headAddress: number, lengthAddress: number): number {
  const target = which === 0 ? task : task.pids.tasks.get(which);
  if (target === undefined) return -ESRCH;
  const own = task.credentials;
  const other = target.credentials;
  const sameUser = own.fsuid === other.euid && own.fsuid === other.suid && own.fsuid === other.uid;
  if (target.group !== task.group && !sameUser && !capable(own, CAP_SYS_PTRACE)) return -EPERM;
  if (task.memory.storeU64(lengthAddress, f.ROBUST_LIST_HEAD_SIZE) < 0) return -EFAULT;
  return task.memory.storeU64(headAddress, target.robustList);
}

export const futexRows = family(
  syscall({
    name: 'futex',
    nr: { x64: 202, arm64: 98 },
    args: { uaddr: live(input(4)), op: oneOf(f.FUTEX_OPERATIONS), val: u32, timeout: addr, uaddr2: addr, val3: u32 },
    support: partial('FUTEX_WAIT_REQUEUE_PI and FUTEX_CMP_REQUEUE_PI are missing; PI locks do not boost priorities'),
    run: futex,
  }),
  syscall({
    name: 'futex_waitv',
    nr: { x64: 449, arm64: 449 },
    args: { waiters: many(input(f.FUTEX_WAITV_SIZE), 'count', f.FUTEX_WAITV_SIZE), count: u32, flags: u32, timeout: addr, clock: i32 },
    support: full,
    run: futexWaitv,
  }),
  syscall({
    name: 'set_robust_list',
    nr: { x64: 273, arm64: 99 },
    args: { head: addr, length: size },
    support: full,
    run: (task, head, length) => {
      if (length !== f.ROBUST_LIST_HEAD_SIZE) return -EINVAL;
      task.robustList = head;
      return 0;
    },
  }),
  syscall({
    name: 'get_robust_list',
    nr: { x64: 274, arm64: 100 },
    args: { pid, head: out(8), length: out(8) },
    support: full,
    run: getRobustList,
  }),
);
