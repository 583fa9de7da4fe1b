/**
 * setsockopt(2) and getsockopt(2) at level SOL_SOCKET: socket(7).
 */
import { EFAULT, EINVAL, ENODATA, ENOPROTOOPT, EPERM, EDOM } from '#sentry/abi/errno.ts';
import { getI64, putI64 } from '#sentry/abi/layout.ts';
import {
  SO_ACCEPTCONN,
  SO_BROADCAST,
  SO_DEBUG,
  SO_DOMAIN,
  SO_DONTROUTE,
  SO_ERROR,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_NO_CHECK,
  SO_OOBINLINE,
  SO_PASSCRED,
  SO_PEERCRED,
  SO_PEERGROUPS,
  SO_PRIORITY,
  SO_PROTOCOL,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_RCVLOWAT,
  SO_RCVTIMEO,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SO_SNDLOWAT,
  SO_SNDTIMEO,
  SO_TIMESTAMP,
  SO_TYPE,
  SOL_SOCKET,
  Ucred,
  UCRED_SIZE,
} from '#sentry/abi/socket.ts';
import { SOCKET_BUFFER_MAX, SOCKET_BUFFER_MIN } from '../fs/anonymous/limits.ts';
import type { Socket } from '../fs/socket/socket.ts';
import { capable, CAP_NET_ADMIN } from '../vfs/credentials.ts';
import type { Task } from '../kernel/task.ts';

const NS = 1_000_000_000;
/** Accepted and remembered; nothing in a Unix socket depends on them. */
const SWITCHES: readonly number[] = [
  SO_DEBUG,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_DONTROUTE,
  SO_BROADCAST,
  SO_KEEPALIVE,
  SO_OOBINLINE,
  SO_NO_CHECK,
  SO_TIMESTAMP,
];
const READ_ONLY: readonly number[] = [SO_TYPE, SO_ERROR, SO_PROTOCOL, SO_DOMAIN, SO_ACCEPTCONN, SO_SNDLOWAT];

export function setOption(task: Task, socket: Socket, level: number, name: number, address: number, length: number): number {
  if (length < 0) return -EINVAL;
  if (length < 4) return -EINVAL;
  if (task.memory.copyIn(address, task.scratch, 0, Math.min(length, 16)) < 0) return -EFAULT;
  const value = task.scratch.view.getInt32(0, true);
  return level === SOL_SOCKET ? setSocketOption(task, socket, name, value, length) : socket.setOption(level, name, value);
}

function setSocketOption(task: Task, socket: Socket, name: number, value: number, length: number): number {
  const { options } = socket;
  if (SWITCHES.includes(name)) {
    options.switches.set(name, value === 0 ? 0 : 1);
    return 0;
  }
  if (READ_ONLY.includes(name)) return -ENOPROTOOPT;
  switch (name) {
    case SO_SNDBUF:
      options.sendBuffer = bufferSize(Math.min(value >>> 0, SOCKET_BUFFER_MAX));
      return 0;
    case SO_RCVBUF:
      options.receiveBuffer = bufferSize(Math.min(value >>> 0, SOCKET_BUFFER_MAX));
      return 0;
    case SO_SNDBUFFORCE:
    case SO_RCVBUFFORCE: {
      if (!capable(task.credentials, CAP_NET_ADMIN)) return -EPERM;
      const size = bufferSize(Math.min(Math.max(value, 0), 16 * SOCKET_BUFFER_MAX));
      if (name === SO_SNDBUFFORCE) options.sendBuffer = size;
      else options.receiveBuffer = size;
      return 0;
    }
    case SO_PASSCRED:
      options.passCredentials = value !== 0;
      return 0;
    case SO_RCVLOWAT:
      options.receiveLowWater = value <= 0 ? 1 : value;
      return 0;
    case SO_PRIORITY:
      options.priority = value;
      return 0;
    case SO_LINGER:
      if (length < 8) return -EINVAL;
      options.lingerOn = value === 0 ? 0 : 1;
      options.lingerSeconds = task.scratch.view.getInt32(4, true);
      return 0;
    case SO_RCVTIMEO:
    case SO_SNDTIMEO:
      return setTimeout(task, socket, name, length);
    default:
      return -ENOPROTOOPT;
  }
}

/** Linux keeps twice what is asked for, for its own overhead. */
function bufferSize(asked: number): number {
  return Math.max(2 * asked, 2 * SOCKET_BUFFER_MIN);
}

function setTimeout(task: Task, socket: Socket, name: number, length: number): number {
  if (length < 16) return -EINVAL;
  const seconds = getI64(task.scratch.view, 0);
  const micros = getI64(task.scratch.view, 8);
  if (micros < 0 || micros >= 1e6) return -EDOM;
  let timeout = seconds < 0 ? 0 : seconds * NS + micros * 1000;
  if (seconds === 0 && micros === 0) timeout = Infinity;
  if (name === SO_RCVTIMEO) socket.options.receiveTimeoutNs = timeout;
  else socket.options.sendTimeoutNs = timeout;
  return 0;
}

export function getOption(task: Task, socket: Socket, level: number, name: number, address: number, lengthAddress: number): number {
  const word = task.memory.loadU32(lengthAddress);
  if (word < 0) return -EFAULT;
  const room = word | 0;
  if (room < 0) return -EINVAL;
  const size = level === SOL_SOCKET ? getSocketOption(task, socket, name) : storeInt(task, socket.getOption(level, name));
  if (size < 0) return size;
  const n = Math.min(size, room);
  if (task.memory.copyOut(address, task.scratch, 0, n) < 0) return -EFAULT;
  return task.memory.storeU32(lengthAddress, n);
}

/** The option's value at the start of the scratch memory; returns its size or -errno. */
function getSocketOption(task: Task, socket: Socket, name: number): number {
  const { options } = socket;
  if (SWITCHES.includes(name)) return storeInt(task, options.switches.get(name) ?? 0);
  switch (name) {
    case SO_TYPE:
      return storeInt(task, socket.type);
    case SO_DOMAIN:
      return storeInt(task, socket.domain);
    case SO_PROTOCOL:
      return storeInt(task, socket.protocol);
    case SO_ERROR:
      return storeInt(task, socket.takeError());
    case SO_ACCEPTCONN:
      return storeInt(task, socket.isListening ? 1 : 0);
    case SO_SNDBUF:
      return storeInt(task, options.sendBuffer);
    case SO_RCVBUF:
      return storeInt(task, options.receiveBuffer);
    case SO_PASSCRED:
      return storeInt(task, options.passCredentials ? 1 : 0);
    case SO_RCVLOWAT:
      return storeInt(task, options.receiveLowWater);
    case SO_SNDLOWAT:
      return storeInt(task, 1);
    case SO_PRIORITY:
      return storeInt(task, options.priority);
    case SO_LINGER:
      storeInt(task, options.lingerOn);
      task.scratch.view.setInt32(4, options.lingerSeconds, true);
      return 8;
    case SO_RCVTIMEO:
      return storeTimeout(task, options.receiveTimeoutNs);
    case SO_SNDTIMEO:
      return storeTimeout(task, options.sendTimeoutNs);
    case SO_PEERCRED:
      Ucred.encode(task.scratch.view, 0, socket.peerCredentials ?? { pid: 0, uid: 0xffff_ffff, gid: 0xffff_ffff });
      return UCRED_SIZE;
    case SO_PEERGROUPS:
      return storeGroups(task, socket);
    default:
      return -ENOPROTOOPT;
  }
}

function storeInt(task: Task, value: number): number {
  if (value < 0) return value;
  task.scratch.view.setInt32(0, value, true);
  return 4;
}

function storeTimeout(task: Task, ns: number): number {
  const total = ns === Infinity ? 0 : ns;
  putI64(task.scratch.view, 0, Math.floor(total / NS));
  putI64(task.scratch.view, 8, Math.floor((total % NS) / 1000));
  return 16;
}

function storeGroups(task: Task, socket: Socket): number {
  const { peerCredentials } = socket;
  if (peerCredentials === null) return -ENODATA;
  peerCredentials.groups.forEach((gid, i) => task.scratch.view.setUint32(4 * i, gid, true));
  return 4 * peerCredentials.groups.length;
}
