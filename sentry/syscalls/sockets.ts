/**
 * The rows of the socket calls. Handlers are in socket-connections.ts, socket-messages.ts and socket-options.ts; what a call means is up to the
 * socket's family.
 */
import {
  FAMILY_NAMES,
  MMSGHDR_SIZE,
  MSG_NAMES,
  MsgHdr,
  SHUT_RD,
  SHUT_RDWR,
  SHUT_WR,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
} from '#sentry/abi/socket.ts';
import type { Socket } from '../fs/socket/socket.ts';
import type { Task } from '../kernel/task.ts';
import { buffer, family, fd, flags, full, hex32, i32, inout, input, many, oneOf, out, partial, size, syscall, u32 } from './row.ts';
import { socketFor } from './socket-calls.ts';
import { accept, bind, connect, nameOf, socket, socketpair } from './socket-connections.ts';
import { onMessage, receiveOne, recvfrom, recvmmsg, sendmmsg, sendOne, sendto } from './socket-messages.ts';
import { getOption, setOption } from './socket-options.ts';

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
const NO_ZEROCOPY = partial('MSG_ZEROCOPY has no effect: SO_ZEROCOPY is refused; MSG_FASTOPEN answers EOPNOTSUPP');

export const socketRows = family(
  syscall({
    name: 'socket',
    nr: { x64: 41, arm64: 198 },
    args: { domain, type, protocol: i32 },
    support: partial('AF_UNIX, AF_INET, AF_INET6, AF_NETLINK (NETLINK_ROUTE, NETLINK_SOCK_DIAG), AF_PACKET'),
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
    run: (task, fd, address, length) => nameOf(task, fd, 'own', address, length),
  }),
  syscall({
    name: 'getpeername',
    nr: { x64: 52, arm64: 205 },
    args: { fd, addr: addressOut, addrlen: length },
    support: full,
    run: (task, fd, address, length) => nameOf(task, fd, 'peer', address, length),
  }),
  syscall({
    name: 'sendto',
    nr: { x64: 44, arm64: 206 },
    args: { fd, buf: buffer('in', 'len'), len: size, flags: messageFlags, addr: address, addrlen: i32 },
    support: NO_ZEROCOPY,
    run: sendto,
  }),
  syscall({
    name: 'recvfrom',
    nr: { x64: 45, arm64: 207 },
    args: { fd, buf: buffer('out', 'len'), len: size, flags: messageFlags, addr: addressOut, addrlen: length },
    support: NO_ZEROCOPY,
    run: recvfrom,
  }),
  syscall({
    name: 'sendmsg',
    nr: { x64: 46, arm64: 211 },
    args: { fd, msg: message, flags: messageFlags },
    support: NO_ZEROCOPY,
    run: (task, fd, address, flags) => onMessage(task, fd, sendOne, address, flags),
  }),
  syscall({
    name: 'recvmsg',
    nr: { x64: 47, arm64: 212 },
    args: { fd, msg: message, flags: messageFlags },
    support: NO_ZEROCOPY,
    run: (task, fd, address, flags) => onMessage(task, fd, receiveOne, address, flags),
  }),
  syscall({
    name: 'sendmmsg',
    nr: { x64: 307, arm64: 269 },
    args: { fd, msgvec: messages, vlen: u32, flags: messageFlags },
    support: NO_ZEROCOPY,
    run: sendmmsg,
  }),
  syscall({
    name: 'recvmmsg',
    nr: { x64: 299, arm64: 243 },
    args: { fd, msgvec: messages, vlen: u32, flags: messageFlags, timeout: inout(16, 'timespec') },
    support: NO_ZEROCOPY,
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
    support: partial('the options of the tables; SO_ATTACH_BPF, SO_ZEROCOPY and SO_TIMESTAMPING answer ENOPROTOOPT'),
    run: (task, fd, level, option, address, length) =>
      onSocket(task, fd, (socket) => setOption(task, socket, level, option, address, length)),
  }),
  syscall({
    name: 'getsockopt',
    nr: { x64: 55, arm64: 209 },
    args: { fd, level: i32, optname: i32, optval: out(4), optlen: length },
    support: partial('the options of the tables'),
    run: (task, fd, level, option, address, length) =>
      onSocket(task, fd, (socket) => getOption(task, socket, level, option, address, length)),
  }),
);
