/**
 * poll(2), ppoll(2), select(2), pselect(2).
 *
 * A run asks every file for its readiness; when none is ready the call waits on all their queues and the next run asks again. Descriptor
 * sets are read anew on each run, so nothing but the deadline is kept between runs.
 */
import { EBADF, EFAULT, EINVAL, ERESTARTNOHAND, ERESTART_RESTARTBLOCK } from '#sentry/abi/errno.ts';
import { POLLERR, POLLHUP, POLLNVAL } from '#sentry/abi/fs.ts';
import { PollFd, SELECT_EXCEPTION, SELECT_IN, SELECT_OUT } from '#sentry/abi/poll.ts';
import { RLIMIT_NOFILE } from '#sentry/abi/resource.ts';
import type { FileDescription } from '../vfs/file-description.ts';
import { BLOCKED } from '../kernel/wait.ts';
import type { Task } from '../kernel/task.ts';
import { openFile } from './file-args.ts';
import { family, full, i32, inout, input, many, size, syscall } from './row.ts';
import { endTemporaryMask, readTimespec, readTimeval, storeRemaining, useMaskArgument, useTemporaryMask } from './timeout.ts';

const ENTRY = PollFd.size;
const EVENTS = PollFd.offsets.events;
const REVENTS = PollFd.offsets.revents;
/** Entries looked at in one piece. */
const PIECE = 8192;
const ALWAYS = POLLERR | POLLHUP;
const NS_PER_MS = 1_000_000;

// ---- poll

/** Number of entries with events, all `revents` stored; 0 and nothing stored when the call is to wait; -errno. */
function scan(task: Task, address: number, count: number, mayWait: boolean): number {
  const { memory, scratch, kernel } = task;
  kernel.anonymous.poller = task;
  let ready = 0;
  for (let done = 0; done < count; done += PIECE) {
    const n = Math.min(PIECE, count - done);
    const at = address + done * ENTRY;
    if (memory.copyIn(at, scratch, 0, n * ENTRY) < 0) return -EFAULT;
    ready += scanPiece(task, n);
    if (ready === 0 && mayWait && count <= PIECE) break;
    if (memory.copyOut(at, scratch, 0, n * ENTRY) < 0) return -EFAULT;
  }
  return ready;
}

function scanPiece(task: Task, count: number): number {
  const { view } = task.scratch;
  let ready = 0;
  for (let i = 0, at = 0; i < count; i++, at += ENTRY) {
    const fd = view.getInt32(at, true);
    let revents = 0;
    if (fd >= 0) {
      const file = openFile(task, fd);
      revents = file === undefined ? POLLNVAL : file.poll() & (view.getUint16(at + EVENTS, true) | ALWAYS);
      if (revents !== 0) ready++;
    }
    view.setUint16(at + REVENTS, revents, true);
  }
  return ready;
}

/** Enters the queues of all files; the sets were found readable a moment ago. */
function waitOnAll(task: Task, address: number, count: number): number {
  const { memory, scratch } = task;
  for (let done = 0; done < count; done += PIECE) {
    const n = Math.min(PIECE, count - done);
    if (count > PIECE && memory.copyIn(address + done * ENTRY, scratch, 0, n * ENTRY) < 0) return -EFAULT;
    for (let i = 0, at = 0; i < n; i++, at += ENTRY) {
      const fd = scratch.view.getInt32(at, true);
      const file = fd < 0 ? undefined : openFile(task, fd);
      if (file !== undefined) task.wait.add(file.queue, scratch.view.getUint16(at + EVENTS, true) | ALWAYS);
    }
  }
  return BLOCKED;
}

function pollOnce(task: Task, address: number, count: number): number {
  const { mayWait } = task.wait;
  const ready = scan(task, address, count, mayWait);
  return ready !== 0 || !mayWait ? ready : waitOnAll(task, address, count);
}

/** poll(2), its time set; goes on until the same time after a signal that ran no handler. */
function poll(task: Task, address: number, count: number): number {
  const { wait } = task;
  const result = pollOnce(task, address, count);
  if (result === BLOCKED && wait.onInterrupt === null) {
    wait.onInterrupt = () => {
      const { deadlineNs } = wait;
      task.restartCall = (again) => {
        if (again.wait.first) again.wait.deadlineNs = deadlineNs;
        return poll(again, address, count);
      };
      return -ERESTART_RESTARTBLOCK;
    };
  }
  return result;
}

function tooMany(task: Task, count: number): boolean {
  return count > task.group.limits.soft(RLIMIT_NOFILE);
}

function ppoll(task: Task, address: number, count: number, timeout: number, mask: number, maskSize: number): number {
  const { wait } = task;
  if (wait.first) {
    const ns = readTimespec(task, timeout);
    if (ns < 0) return ns;
    const masked = useTemporaryMask(task, mask, maskSize);
    if (masked < 0) return masked;
    wait.timeoutNs = ns;
  }
  const result = tooMany(task, count) ? -EINVAL : pollOnce(task, address, count);
  return finishTimed(task, result, timeout, 'timespec');
}

/** Stores the time left when the call ends, and when a signal ends it. */
function finishTimed(task: Task, result: number, timeout: number, unit: 'timespec' | 'timeval'): number {
  const { wait } = task;
  if (result !== BLOCKED) {
    storeRemaining(task, timeout, unit);
    return endTemporaryMask(task, result);
  }
  wait.onInterrupt ??= () => {
    storeRemaining(task, timeout, unit);
    return -ERESTARTNOHAND;
  };
  return BLOCKED;
}

// ---- select

/** Where the three sets lie in the scratch memory, and their results. A set has at most 2^20 bits. */
const SET_BYTES = 1 << 17;
const RESULTS = 3 * SET_BYTES;
const SETS: readonly number[] = [SELECT_IN, SELECT_OUT, SELECT_EXCEPTION];
/** Descriptors beyond the table are ignored; the table of Linux has at least this many places. */
const LEAST_TABLE = 256;

const addresses = [0, 0, 0];

function selectOnce(task: Task, count: number, reads: number, writes: number, exceptions: number): number {
  const { wait, memory, scratch } = task;
  if (count < 0) return -EINVAL;
  const n = Math.min(count, Math.max(LEAST_TABLE, Math.ceil(task.files.size / LEAST_TABLE) * LEAST_TABLE));
  const bytes = Math.ceil(n / 64) * 8;
  addresses[0] = reads;
  addresses[1] = writes;
  addresses[2] = exceptions;
  for (let set = 0; set < 3; set++) {
    const at = set * SET_BYTES;
    scratch.bytes.fill(0, RESULTS + at, RESULTS + at + bytes);
    if (addresses[set] === 0) scratch.bytes.fill(0, at, at + bytes);
    else if (memory.copyIn(addresses[set]!, scratch, at, bytes) < 0) return -EFAULT;
  }
  task.kernel.anonymous.poller = task;
  const ready = selectScan(task, n, 'ask');
  if (ready < 0) return ready;
  if (ready === 0 && wait.mayWait) {
    selectScan(task, n, 'wait');
    return BLOCKED;
  }
  for (let set = 0; set < 3; set++) {
    if (addresses[set] !== 0 && memory.copyOut(addresses[set]!, scratch, RESULTS + set * SET_BYTES, bytes) < 0) return -EFAULT;
  }
  return ready;
}

/** Goes through the descriptors in any set: asks and sets result bits, or enters their queues. */
function selectScan(task: Task, n: number, what: 'ask' | 'wait'): number {
  const { bytes } = task.scratch;
  let ready = 0;
  for (let byte = 0; byte < n / 8; byte++) {
    const any = bytes[byte]! | bytes[SET_BYTES + byte]! | bytes[2 * SET_BYTES + byte]!;
    if (any === 0) continue;
    for (let bit = 0; bit < 8 && byte * 8 + bit < n; bit++) {
      if ((any & (1 << bit)) === 0) continue;
      const file = openFile(task, byte * 8 + bit);
      if (file === undefined) return -EBADF;
      if (what === 'ask') ready += selectAsk(bytes, file, byte, 1 << bit);
      else task.wait.add(file.queue, selectEvents(bytes, byte, 1 << bit));
    }
  }
  return ready;
}

function selectAsk(bytes: Uint8Array, file: FileDescription, byte: number, bit: number): number {
  const events = file.poll();
  let ready = 0;
  for (let set = 0; set < 3; set++) {
    const at = set * SET_BYTES + byte;
    if ((bytes[at]! & bit) === 0 || (events & SETS[set]!) === 0) continue;
    bytes[RESULTS + at] = bytes[RESULTS + at]! | bit;
    ready++;
  }
  return ready;
}

function selectEvents(bytes: Uint8Array, byte: number, bit: number): number {
  let events = ALWAYS;
  for (let set = 0; set < 3; set++) if ((bytes[set * SET_BYTES + byte]! & bit) !== 0) events |= SETS[set]!;
  return events;
}

function select(task: Task, count: number, reads: number, writes: number, exceptions: number, timeout: number): number {
  const { wait } = task;
  if (wait.first) {
    const ns = readTimeval(task, timeout);
    if (ns < 0) return ns;
    wait.timeoutNs = ns;
  }
  return finishTimed(task, selectOnce(task, count, reads, writes, exceptions), timeout, 'timeval');
}

function pselect(task: Task, count: number, reads: number, writes: number, exceptions: number, timeout: number, mask: number): number {
  const { wait } = task;
  if (wait.first) {
    const ns = readTimespec(task, timeout);
    if (ns < 0) return ns;
    const masked = useMaskArgument(task, mask);
    if (masked < 0) return masked;
    wait.timeoutNs = ns;
  }
  return finishTimed(task, selectOnce(task, count, reads, writes, exceptions), timeout, 'timespec');
}

const entries = many(inout(ENTRY, 'pollfds'), 'nfds', ENTRY);
const set = inout(8, 'fd_set');

export const pollRows = family(
  syscall({
    name: 'poll',
    nr: { x64: 7 },
    args: { fds: entries, nfds: size, timeout: i32 },
    support: full,
    run: (task, address, count, timeout) => {
      if (tooMany(task, count)) return -EINVAL;
      if (task.wait.first) task.wait.timeoutNs = timeout < 0 ? Infinity : timeout * NS_PER_MS;
      return poll(task, address, count);
    },
  }),
  syscall({
    name: 'ppoll',
    nr: { x64: 271, arm64: 73 },
    args: { fds: entries, nfds: size, timeout: inout(16, 'timespec'), sigmask: input(8, 'sigset'), sigsetsize: size },
    support: full,
    run: ppoll,
  }),
  syscall({
    name: 'select',
    nr: { x64: 23 },
    args: { nfds: i32, readfds: set, writefds: set, exceptfds: set, timeout: inout(16, 'timeval') },
    support: full,
    run: select,
  }),
  syscall({
    name: 'pselect6',
    nr: { x64: 270, arm64: 72 },
    args: { nfds: i32, readfds: set, writefds: set, exceptfds: set, timeout: inout(16, 'timespec'), sigmask: input(16) },
    support: full,
    run: pselect,
  }),
);
