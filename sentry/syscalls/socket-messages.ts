/**
 * Data over sockets: send(2), recv(2), sendmsg(2), recvmsg(2), sendmmsg(2), recvmmsg(2).
 */
import { EFAULT, EINVAL, EMSGSIZE } from '#sentry/abi/errno.ts';
import { MAX_RW_COUNT } from '#sentry/abi/fcntl.ts';
import { getU64, putI64 } from '#sentry/abi/layout.ts';
import { PAGE_SIZE } from '#sentry/abi/mman.ts';
import { MMSGHDR_LENGTH, MMSGHDR_SIZE, MSG_CMSG_CLOEXEC, MSG_DONTWAIT, MSG_WAITFORONE, MsgHdr, SOCKADDR_MAX } from '#sentry/abi/socket.ts';
import { releaseRights } from '../fs/socket/socket.ts';
import type { Socket } from '../fs/socket/socket.ts';
import { IOV_MAX } from '../mm/io.ts';
import { SCRATCH_SIZE } from '../kernel/kernel.ts';
import { BLOCKED } from '../kernel/wait.ts';
import type { Task } from '../kernel/task.ts';
import { importCopiedVector, importVector, IOVEC_SIZE } from './read-write.ts';
import {
  incoming,
  keep,
  outgoing,
  preparePlain,
  readAddress,
  receiveMessage,
  sendMessage,
  socketFor,
  storeAddress,
} from './socket-calls.ts';
import { readControl, storeControl } from './socket-control.ts';
import { readTimespec } from './timeout.ts';

/** sendmmsg and recvmmsg take no more at once. */
const MESSAGES_MAX = 1024;

export function sendto(task: Task, fd: number, address: number, length: number, flags: number, to: number, toLength: number): number {
  const socket = socketFor(task, fd);
  if (typeof socket === 'number') return socket;
  const name = to === 0 ? '' : readAddress(task, to, toLength);
  if (typeof name === 'number') return name;
  preparePlain(task);
  outgoing.address = name;
  task.io.single(task.memory, address, Math.min(length, MAX_RW_COUNT));
  return sendMessage(task, socket, flags);
}

export function recvfrom(
  task: Task,
  fd: number,
  address: number,
  length: number,
  flags: number,
  from: number,
  lengthAddress: number,
): number {
  const socket = socketFor(task, fd);
  if (typeof socket === 'number') return socket;
  task.io.single(task.memory, address, Math.min(length, MAX_RW_COUNT));
  incoming.wantsAddress = from !== 0;
  incoming.wantsControl = false;
  const n = receiveMessage(task, socket, flags);
  if (n < 0) return n;
  releaseRights(incoming.rights);
  incoming.rights = null;
  if (from === 0) return n;
  const stored = storeAddress(task, incoming.address, from, lengthAddress);
  return stored < 0 ? stored : n;
}

/** The struct msghdr of the current call, and how much around it was copied along: guest addresses [from, end), in scratch memory at NEARBY. */
const header = { name: 0, nameLength: 0, iov: 0, iovCount: 0, control: 0, controlLength: 0, from: 0, end: 0 };

/** The iovec usually lies beside the header on the guest's stack, and a copy costs by the call: one fetches both. */
const NEARBY_BEFORE = 128;
const NEARBY_BYTES = 512;
const NEARBY = SCRATCH_SIZE - NEARBY_BYTES;

function readHeader(task: Task, address: number): number {
  const { view } = task.scratch;
  const { offsets } = MsgHdr;
  // Not before its page, which is the only one known to be there.
  const before = Math.min(NEARBY_BEFORE, address % PAGE_SIZE);
  const copied = task.memory.copyInPartial(address - before, task.scratch, NEARBY, NEARBY_BYTES);
  if (copied < before + MsgHdr.size) return -EFAULT;
  const at = NEARBY + before;
  header.from = address - before;
  header.end = header.from + copied;
  header.name = getU64(view, at + offsets.name);
  header.nameLength = header.name === 0 ? 0 : view.getInt32(at + offsets.nameLength, true);
  header.iov = getU64(view, at + offsets.iov);
  header.iovCount = getU64(view, at + offsets.iovCount);
  header.control = getU64(view, at + offsets.control);
  header.controlLength = getU64(view, at + offsets.controlLength);
  if (header.nameLength < 0) return -EINVAL;
  header.nameLength = Math.min(header.nameLength, SOCKADDR_MAX);
  return header.iovCount > IOV_MAX ? -EMSGSIZE : 0;
}

/** Makes `task.io` the buffers of the message: their total length or -errno. */
function importBuffers(task: Task): number {
  const { iov, iovCount, from, end } = header;
  if (iov < from || iov + iovCount * IOVEC_SIZE > end) return importVector(task, iov, iovCount, MAX_RW_COUNT);
  return importCopiedVector(task, NEARBY + (iov - from), iovCount, MAX_RW_COUNT);
}

export function sendOne(task: Task, socket: Socket, address: number, flags: number): number {
  const read = readHeader(task, address);
  if (read < 0) return read;
  const name = readAddress(task, header.name, header.nameLength);
  if (typeof name === 'number') return name;
  preparePlain(task);
  outgoing.address = name;
  const control = readControl(task, socket, header.control, header.controlLength);
  if (control < 0) return control;
  const vector = importBuffers(task);
  const result = vector < 0 ? vector : sendMessage(task, socket, flags);
  releaseRights(outgoing.rights); // not taken over: nothing was sent
  outgoing.rights = null;
  return result;
}

export function receiveOne(task: Task, socket: Socket, address: number, flags: number): number {
  const read = readHeader(task, address);
  if (read < 0) return read;
  const { name, nameLength, control, controlLength } = header;
  const vector = importBuffers(task);
  if (vector < 0) return vector;
  incoming.wantsAddress = name !== 0;
  incoming.wantsControl = true;
  const n = receiveMessage(task, socket, flags);
  if (n < 0) return n;
  const used = storeControl(task, control, controlLength, flags);
  releaseRights(incoming.rights); // only those that could not be stored are left
  incoming.rights = null;
  return used < 0 ? used : finishHeader(task, address, name, nameLength, used, flags) || n;
}

function finishHeader(task: Task, address: number, name: number, room: number, controlUsed: number, flags: number): number {
  const { memory, scratch } = task;
  const { offsets } = MsgHdr;
  if (name !== 0) {
    const n = Math.min(room, incoming.address.length);
    scratch.writeLatin1(incoming.address, 0);
    if (n > 0 && memory.copyOut(name, scratch, 0, n) < 0) return -EFAULT;
    if (memory.storeU32(address + offsets.nameLength, incoming.address.length) < 0) return -EFAULT;
  }
  const shown = incoming.flags | (flags & MSG_CMSG_CLOEXEC);
  // Two fields side by side.
  putI64(scratch.view, 0, controlUsed);
  scratch.view.setUint32(offsets.flags - offsets.controlLength, shown, true);
  return memory.copyOut(address + offsets.controlLength, scratch, 0, offsets.flags - offsets.controlLength + 4);
}

export function sendmmsg(task: Task, fd: number, vector: number, count: number, flags: number): number {
  const socket = socketFor(task, fd);
  if (typeof socket === 'number') return socket;
  const state = keep(task, socket);
  const total = Math.min(count, MESSAGES_MAX);
  while (state.messages < total) {
    const at = vector + state.messages * MMSGHDR_SIZE;
    const n = sendOne(task, socket, at, flags);
    if (n === BLOCKED) return waitForMore(task);
    task.wait.progress = 0;
    if (n < 0) return state.messages > 0 ? state.messages : n;
    if (task.memory.storeU32(at + MMSGHDR_LENGTH, n) < 0) return state.messages > 0 ? state.messages : -EFAULT;
    state.messages++;
  }
  return state.messages;
}

export function recvmmsg(task: Task, fd: number, vector: number, count: number, flags: number, timeout: number): number {
  const { wait, kernel } = task;
  const socket = socketFor(task, fd);
  if (typeof socket === 'number') return socket;
  const limit = timeout === 0 ? Infinity : readTimespec(task, timeout);
  if (limit < 0) return limit;
  const started = kernel.host.monotonicNs();
  const state = keep(task, socket);
  const total = Math.min(count, MESSAGES_MAX);
  while (state.messages < total) {
    const at = vector + state.messages * MMSGHDR_SIZE;
    const patience = (flags & MSG_WAITFORONE) !== 0 && state.messages > 0 ? MSG_DONTWAIT : 0;
    const n = receiveOne(task, socket, at, (flags & ~MSG_WAITFORONE) | patience);
    if (n === BLOCKED) return waitForMore(task);
    wait.progress = 0;
    if (n < 0) return state.messages > 0 ? state.messages : n;
    if (task.memory.storeU32(at + MMSGHDR_LENGTH, n) < 0) return state.messages > 0 ? state.messages : -EFAULT;
    state.messages++;
    if (limit !== Infinity && kernel.host.monotonicNs() - started >= limit) break;
  }
  return state.messages;
}

/** A signal ends the wait with the messages done so far. */
function waitForMore(task: Task): typeof BLOCKED {
  const { wait } = task;
  const state = wait.state as { readonly messages: number };
  wait.onInterrupt ??= () => (state.messages > 0 ? state.messages : wait.progress > 0 ? wait.progress : wait.interrupted);
  return BLOCKED;
}

/** A call on one message. */
export function onMessage(
  task: Task,
  fd: number,
  run: (task: Task, socket: Socket, address: number, flags: number) => number,
  address: number,
  flags: number,
): number {
  const socket = socketFor(task, fd);
  return typeof socket === 'number' ? socket : run(task, socket, address, flags);
}
