/**
 * The socket calls: socket(2), socketpair(2), bind(2), listen(2), accept(2), connect(2), send(2), recv(2), sendmmsg(2), recvmmsg(2),
 * shutdown(2), getsockname(2), getsockopt(2). What a call means is up to the socket's family.
 */
import { EAFNOSUPPORT, EAGAIN, EFAULT, EINVAL, EMSGSIZE } from '#sentry/abi/errno.ts';
import { MAX_RW_COUNT } from '#sentry/abi/fcntl.ts';
import { getU64, putI64 } from '#sentry/abi/layout.ts';
import { PAGE_SIZE } from '#sentry/abi/mman.ts';
import {
  AF_MAX,
  FAMILY_NAMES,
  MMSGHDR_LENGTH,
  MMSGHDR_SIZE,
  MSG_CMSG_CLOEXEC,
  MSG_DONTWAIT,
  MSG_ERRQUEUE,
  MSG_NAMES,
  MSG_WAITFORONE,
  MsgHdr,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_TYPE_MASK,
  SOCKADDR_MAX,
} from '#sentry/abi/socket.ts';
import { releaseRights } from '../fs/socket/socket.ts';
import type { Socket } from '../fs/socket/socket.ts';
import { IOV_MAX } from '../mm/io.ts';
import { SCRATCH_SIZE } from '../kernel/kernel.ts';
import { BLOCKED } from '../kernel/wait.ts';
import type { Task } from '../kernel/task.ts';
import { installFile, READ_EVENTS, WRITE_EVENTS } from './file-args.ts';
import { installPair } from './pipe.ts';
import { importCopiedVector, importVector, IOVEC_SIZE } from './read-write.ts';
import { buffer, family, fd, flags, full, hex32, i32, inout, input, many, oneOf, out, partial, size, syscall, u32 } from './row.ts';
import {
  incoming,
  isBlocking,
  keep,
  outgoing,
  preparePlain,
  readAddress,
  receiveMessage,
  sendMessage,
  socketFor,
  storeAddress,
  waitForSocket,
} from './socket-calls.ts';
import { readControl, storeControl } from './socket-control.ts';
import { getOption, setOption } from './socket-options.ts';
import { readTimespec } from './timeout.ts';

/** Largest type number plus one (SOCK_MAX). */
const TYPE_MAX = 11;
/** sendmmsg and recvmmsg take no more at once. */
const MESSAGES_MAX = 1024;

// ---- making sockets

function splitType(type: number): number {
  const extra = type & ~SOCK_TYPE_MASK;
  if ((extra & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) !== 0) return -EINVAL;
  return type & SOCK_TYPE_MASK;
}

function socket(task: Task, domain: number, type: number, protocol: number): number {
  const kind = splitType(type);
  if (kind < 0) return kind;
  if (domain < 0 || domain >= AF_MAX) return -EAFNOSUPPORT;
  if (kind >= TYPE_MAX) return -EINVAL;
  const found = task.kernel.sockets.get(domain);
  if (typeof found === 'number') return found;
  const made = found.create(kind, protocol, type & SOCK_NONBLOCK, task);
  return typeof made === 'number' ? made : installFile(task, made, (type & SOCK_CLOEXEC) !== 0);
}

function socketpair(task: Task, domain: number, type: number, protocol: number, address: number): number {
  const kind = splitType(type);
  if (kind < 0) return kind;
  if (domain < 0 || domain >= AF_MAX) return -EAFNOSUPPORT;
  const found = task.kernel.sockets.get(domain);
  if (typeof found === 'number') return found;
  const pair = found.createPair(kind, protocol, type & SOCK_NONBLOCK, task);
  if (typeof pair === 'number') return pair;
  return installPair(task, pair[0], pair[1], (type & SOCK_CLOEXEC) !== 0, address);
}

// ---- names and connections

function bind(task: Task, fd: number, address: number, length: number): number {
  const socket = socketFor(task, fd);
  if (typeof socket === 'number') return socket;
  const name = readAddress(task, address, length);
  if (typeof name === 'number') return name;
  return name.length < 2 ? -EINVAL : socket.bind(name, task);
}

function connect(task: Task, fd: number, address: number, length: number): number {
  const socket = socketFor(task, fd);
  if (typeof socket === 'number') return socket;
  const name = readAddress(task, address, length);
  if (typeof name === 'number') return name;
  if (name.length < 2) return -EINVAL;
  const result = socket.connect(name, task);
  if (result !== -EAGAIN || !isBlocking(socket, 0)) return result;
  return waitForSocket(task, socket, WRITE_EVENTS, socket.options.sendTimeoutNs);
}

function accept(task: Task, fd: number, address: number, lengthAddress: number, flags: number): number {
  if ((flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) !== 0) return -EINVAL;
  const socket = socketFor(task, fd);
  if (typeof socket === 'number') return socket;
  const accepted = socket.accept(flags & SOCK_NONBLOCK, task);
  if (accepted === -EAGAIN && isBlocking(socket, 0)) return waitForSocket(task, socket, READ_EVENTS, socket.options.receiveTimeoutNs);
  if (typeof accepted === 'number') return accepted;
  if (address !== 0) {
    const peer = accepted.peerAddress();
    const stored = storeAddress(task, typeof peer === 'number' ? '' : peer, address, lengthAddress);
    if (stored < 0) {
      accepted.release();
      return stored;
    }
  }
  return installFile(task, accepted, (flags & SOCK_CLOEXEC) !== 0);
}

function name(task: Task, fd: number, whose: 'own' | 'peer', address: number, lengthAddress: number): number {
  const socket = socketFor(task, fd);
  if (typeof socket === 'number') return socket;
  const value = whose === 'own' ? socket.localAddress() : socket.peerAddress();
  return typeof value === 'number' ? value : storeAddress(task, value, address, lengthAddress);
}

// ---- plain data

function sendto(task: Task, fd: number, address: number, length: number, flags: number, to: number, toLength: number): number {
  const socket = socketFor(task, fd);
  if (typeof socket === 'number') return socket;
  const name = to === 0 ? '' : readAddress(task, to, toLength);
  if (typeof name === 'number') return name;
  preparePlain(task);
  outgoing.address = name;
  task.io.single(task.memory, address, Math.min(length, MAX_RW_COUNT));
  return sendMessage(task, socket, flags);
}

function recvfrom(task: Task, fd: number, address: number, length: number, flags: number, from: number, lengthAddress: number): number {
  const socket = socketFor(task, fd);
  if (typeof socket === 'number') return socket;
  if ((flags & MSG_ERRQUEUE) !== 0) return -EAGAIN;
  task.io.single(task.memory, address, Math.min(length, MAX_RW_COUNT));
  const n = receiveMessage(task, socket, flags);
  if (n < 0) return n;
  releaseRights(incoming.rights);
  incoming.rights = null;
  if (from === 0) return n;
  const stored = storeAddress(task, incoming.address, from, lengthAddress);
  return stored < 0 ? stored : n;
}

// ---- messages

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

function sendOne(task: Task, socket: Socket, address: number, flags: number): number {
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

function receiveOne(task: Task, socket: Socket, address: number, flags: number): number {
  const read = readHeader(task, address);
  if (read < 0) return read;
  const { name, nameLength, control, controlLength } = header;
  const vector = importBuffers(task);
  if (vector < 0) return vector;
  const n = (flags & MSG_ERRQUEUE) !== 0 ? -EAGAIN : receiveMessage(task, socket, flags);
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

function sendmmsg(task: Task, fd: number, vector: number, count: number, flags: number): number {
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

function recvmmsg(task: Task, fd: number, vector: number, count: number, flags: number, timeout: number): number {
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
function onMessage(
  task: Task,
  fd: number,
  run: (task: Task, socket: Socket, address: number, flags: number) => number,
  address: number,
  flags: number,
): number {
  const socket = socketFor(task, fd);
  return typeof socket === 'number' ? socket : run(task, socket, address, flags);
}

function onSocket(task: Task, fd: number, run: (socket: Socket) => number): number {
  const socket = socketFor(task, fd);
  return typeof socket === 'number' ? socket : run(socket);
}

const domain = oneOf(FAMILY_NAMES);
const type = hex32;
const messageFlags = flags(MSG_NAMES);
const message = inout(MsgHdr.size, 'msghdr');
const messages = many(inout(MMSGHDR_SIZE, 'mmsghdr'), 'vlen', MMSGHDR_SIZE);
const address = many(input(2, 'sockaddr'), 'addrlen', 1);
const addressOut = out(2, 'sockaddr');
const length = inout(4, 'int');
const UNIX_ONLY = partial('AF_UNIX only; MSG_OOB answers EOPNOTSUPP');

export const socketRows = family(
  syscall({
    name: 'socket',
    nr: { x64: 41, arm64: 198 },
    args: { domain, type, protocol: i32 },
    support: partial('AF_UNIX only'),
    run: socket,
  }),
  syscall({
    name: 'socketpair',
    nr: { x64: 53, arm64: 199 },
    args: { domain, type, protocol: i32, fds: out(8, 'fd_pair') },
    support: full,
    run: socketpair,
  }),
  syscall({ name: 'bind', nr: { x64: 49, arm64: 200 }, args: { fd, addr: address, addrlen: i32 }, support: full, run: bind }),
  syscall({
    name: 'listen',
    nr: { x64: 50, arm64: 201 },
    args: { fd, backlog: i32 },
    support: full,
    run: (task, fd, backlog) => onSocket(task, fd, (socket) => socket.listen(backlog, task)),
  }),
  syscall({
    name: 'accept',
    nr: { x64: 43, arm64: 202 },
    args: { fd, addr: addressOut, addrlen: length },
    support: full,
    run: (task, fd, address, length) => accept(task, fd, address, length, 0),
  }),
  syscall({
    name: 'accept4',
    nr: { x64: 288, arm64: 242 },
    args: { fd, addr: addressOut, addrlen: length, flags: flags({ SOCK_CLOEXEC, SOCK_NONBLOCK }) },
    support: full,
    run: accept,
  }),
  syscall({ name: 'connect', nr: { x64: 42, arm64: 203 }, args: { fd, addr: address, addrlen: i32 }, support: full, run: connect }),
  syscall({
    name: 'getsockname',
    nr: { x64: 51, arm64: 204 },
    args: { fd, addr: addressOut, addrlen: length },
    support: full,
    run: (task, fd, address, length) => name(task, fd, 'own', address, length),
  }),
  syscall({
    name: 'getpeername',
    nr: { x64: 52, arm64: 205 },
    args: { fd, addr: addressOut, addrlen: length },
    support: full,
    run: (task, fd, address, length) => name(task, fd, 'peer', address, length),
  }),
  syscall({
    name: 'sendto',
    nr: { x64: 44, arm64: 206 },
    args: { fd, buf: buffer('in', 'len'), len: size, flags: messageFlags, addr: address, addrlen: i32 },
    support: UNIX_ONLY,
    run: sendto,
  }),
  syscall({
    name: 'recvfrom',
    nr: { x64: 45, arm64: 207 },
    args: { fd, buf: buffer('out', 'len'), len: size, flags: messageFlags, addr: addressOut, addrlen: length },
    support: UNIX_ONLY,
    run: recvfrom,
  }),
  syscall({
    name: 'sendmsg',
    nr: { x64: 46, arm64: 211 },
    args: { fd, msg: message, flags: messageFlags },
    support: UNIX_ONLY,
    run: (task, fd, address, flags) => onMessage(task, fd, sendOne, address, flags),
  }),
  syscall({
    name: 'recvmsg',
    nr: { x64: 47, arm64: 212 },
    args: { fd, msg: message, flags: messageFlags },
    support: UNIX_ONLY,
    run: (task, fd, address, flags) => onMessage(task, fd, receiveOne, address, flags),
  }),
  syscall({
    name: 'sendmmsg',
    nr: { x64: 307, arm64: 269 },
    args: { fd, msgvec: messages, vlen: u32, flags: messageFlags },
    support: UNIX_ONLY,
    run: sendmmsg,
  }),
  syscall({
    name: 'recvmmsg',
    nr: { x64: 299, arm64: 243 },
    args: { fd, msgvec: messages, vlen: u32, flags: messageFlags, timeout: inout(16, 'timespec') },
    support: UNIX_ONLY,
    run: recvmmsg,
  }),
  syscall({
    name: 'shutdown',
    nr: { x64: 48, arm64: 210 },
    args: { fd, how: oneOf({ SHUT_RD, SHUT_WR, SHUT_RDWR }) },
    support: full,
    run: (task, fd, how) => onSocket(task, fd, (socket) => socket.shutdown(how)),
  }),
  syscall({
    name: 'setsockopt',
    nr: { x64: 54, arm64: 208 },
    args: { fd, level: i32, optname: i32, optval: many(input(4), 'optlen', 1), optlen: i32 },
    support: partial('SOL_SOCKET only; SO_PEEK_OFF, SO_ATTACH_FILTER and SO_TIMESTAMP have no effect'),
    run: (task, fd, level, option, address, length) =>
      onSocket(task, fd, (socket) => setOption(task, socket, level, option, address, length)),
  }),
  syscall({
    name: 'getsockopt',
    nr: { x64: 55, arm64: 209 },
    args: { fd, level: i32, optname: i32, optval: out(4), optlen: length },
    support: partial('SOL_SOCKET only'),
    run: (task, fd, level, option, address, length) =>
      onSocket(task, fd, (socket) => getOption(task, socket, level, option, address, length)),
  }),
);
