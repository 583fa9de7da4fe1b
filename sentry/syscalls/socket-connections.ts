/**
 * Sockets and their connections: socket(2), socketpair(2), bind(2), connect(2), accept(2), getsockname(2), getpeername(2). What a call means is
 * up to the socket's family.
 */
import { EAFNOSUPPORT, EAGAIN, EALREADY, EINPROGRESS, EINVAL } from '#sentry/abi/errno.ts';
import { AF_MAX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_TYPE_MASK } from '#sentry/abi/socket.ts';
import type { Socket } from '../fs/socket/socket.ts';
import { BLOCKED } from '../kernel/wait.ts';
import type { Task } from '../kernel/task.ts';
import { installFile, READ_EVENTS, WRITE_EVENTS } from './file-args.ts';
import { installPair } from './pipe.ts';
import { isBlocking, keep, readAddress, socketFor, storeAddress, waitForSocket } from './socket-calls.ts';

/** Largest type number plus one (SOCK_MAX). */
const TYPE_MAX = 11;

function splitType(type: number): number {
  const extra = type & ~SOCK_TYPE_MASK;
  if ((extra & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) !== 0) return -EINVAL;
  return type & SOCK_TYPE_MASK;
}

export function socket(task: Task, domain: number, type: number, protocol: number): number {
  const kind = splitType(type);
  if (kind < 0) return kind;
  if (domain < 0 || domain >= AF_MAX) return -EAFNOSUPPORT;
  if (kind >= TYPE_MAX) return -EINVAL;
  const found = task.kernel.sockets.get(domain);
  if (typeof found === 'number') return found;
  const made = found.create(kind, protocol, type & SOCK_NONBLOCK, task);
  return typeof made === 'number' ? made : installFile(task, made, (type & SOCK_CLOEXEC) !== 0);
}

export function socketpair(task: Task, domain: number, type: number, protocol: number, address: number): number {
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

export function bind(task: Task, fd: number, address: number, length: number): number {
  const socket = socketFor(task, fd);
  if (typeof socket === 'number') return socket;
  const name = readAddress(task, address, length);
  if (typeof name === 'number') return name;
  return name.length < 2 ? -EINVAL : socket.bind(name, task);
}

export function connect(task: Task, fd: number, address: number, length: number): number {
  const socket = socketFor(task, fd);
  if (typeof socket === 'number') return socket;
  const name = readAddress(task, address, length);
  if (typeof name === 'number') return name;
  if (name.length < 2) return -EINVAL;
  return waitForConnection(task, socket, socket.connect(name, task));
}

/** A connection under way is waited for; asking again then tells how it went. */
function waitForConnection(task: Task, socket: Socket, result: number): number {
  const isUnderWay = result === -EINPROGRESS || result === -EALREADY;
  if ((!isUnderWay && result !== -EAGAIN) || !isBlocking(socket, 0)) return result;
  const state = keep(task, socket);
  if (result === -EINPROGRESS) state.connects = true;
  const waited = waitForSocket(task, socket, WRITE_EVENTS, socket.options.sendTimeoutNs);
  if (waited === BLOCKED || !isUnderWay) return waited;
  return state.connects ? -EINPROGRESS : -EALREADY;
}

export function accept(task: Task, fd: number, address: number, lengthAddress: number, flags: number): number {
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

export function nameOf(task: Task, fd: number, whose: 'own' | 'peer', address: number, lengthAddress: number): number {
  const socket = socketFor(task, fd);
  if (typeof socket === 'number') return socket;
  const value = whose === 'own' ? socket.localAddress() : socket.peerAddress();
  return typeof value === 'number' ? value : storeAddress(task, value, address, lengthAddress);
}
