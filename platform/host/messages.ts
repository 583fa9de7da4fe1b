/**
 * Messages with descriptors over Unix sockets: sendmsg and recvmsg with SCM_RIGHTS.
 *
 * The message header, its one iovec and the control buffer lie in a permanent page and are rewritten for each call.
 * Specification: unix(7), cmsg(3).
 */
import type { DatagramFacts, HostFd, HostMemory } from '../contract/host.ts';
import * as libc from './libc.ts';
import { allocateMemory } from './memory.ts';

/** Most descriptors in one message, in either direction. */
export const MAX_DESCRIPTORS = 32;

const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
const POLLIN = 1;
const EAGAIN = 11;
const EINTR = 4;
const EINVAL = 22;

const HEADER = 0;
const IOVEC = 64;
const CONTROL = 128;
const CONTROL_HEADER = 16;
const CONTROL_SPACE = CONTROL_HEADER + MAX_DESCRIPTORS * 4;
const POLLFD = 512;
const NAME = 640;
const NAME_SIZE = 128;

const page = allocateMemory(4096);
const view = page.view;

function setWord(offset: number, value: number): void {
  view.setUint32(offset, value >>> 0, true);
  view.setUint32(offset + 4, Math.floor(value / 0x1_0000_0000), true);
}

function prepare(memory: HostMemory, offset: number, length: number, controlLength: number): void {
  setWord(IOVEC, memory.address + offset);
  setWord(IOVEC + 8, length);
  setWord(HEADER, 0); // msg_name
  setWord(HEADER + 8, 0);
  setWord(HEADER + 16, page.address + IOVEC);
  setWord(HEADER + 24, 1);
  setWord(HEADER + 32, controlLength === 0 ? 0 : page.address + CONTROL);
  setWord(HEADER + 40, controlLength);
  setWord(HEADER + 48, 0); // msg_flags
}

export function sendMessage(fd: HostFd, memory: HostMemory, offset: number, length: number, descriptors: readonly HostFd[]): number {
  if (offset < 0 || length < 0 || offset + length > memory.bytes.length || descriptors.length > MAX_DESCRIPTORS) return -EINVAL;
  const payload = descriptors.length * 4;
  if (payload > 0) {
    setWord(CONTROL, CONTROL_HEADER + payload);
    view.setInt32(CONTROL + 8, SOL_SOCKET, true);
    view.setInt32(CONTROL + 12, SCM_RIGHTS, true);
    for (let i = 0; i < descriptors.length; i += 1) view.setInt32(CONTROL + CONTROL_HEADER + i * 4, descriptors[i]!, true);
  }
  // The space of a control message is rounded up to eight bytes.
  prepare(memory, offset, length, payload === 0 ? 0 : CONTROL_HEADER + Math.ceil(payload / 8) * 8);
  // SAFETY: header, iovec and control data are in our page; the iovec's range was checked above.
  return libc.checked(libc.sendmsg(fd, page.address + HEADER, MSG_NOSIGNAL));
}

const AF_UNIX = 1;
const SOCK_SEQPACKET_CLOEXEC = 0x80005;
const PAIR = 576;

/** Two connected message sockets (SOCK_SEQPACKET), close-on-exec. Or -errno. */
export function socketPair(): readonly [HostFd, HostFd] | number {
  // SAFETY: the two numbers go to our page.
  const result = libc.checked(libc.socketpair(AF_UNIX, SOCK_SEQPACKET_CLOEXEC, 0, page.address + PAIR));
  return result < 0 ? result : [view.getInt32(PAIR, true), view.getInt32(PAIR + 4, true)];
}

/** Waits until `fd` is readable. 0, or -EAGAIN after `timeoutMs`. */
function awaitReadable(fd: HostFd, timeoutMs: number): number {
  for (;;) {
    view.setInt32(POLLFD, fd, true);
    view.setInt32(POLLFD + 4, POLLIN, true);
    // SAFETY: one pollfd in our page.
    const ready = libc.checked(libc.poll(page.address + POLLFD, 1, timeoutMs));
    if (ready === -EINTR) continue;
    return ready === 0 ? -EAGAIN : Math.min(ready, 0);
  }
}

export interface Received {
  /** Bytes, 0 at end of file, or -errno. */
  length: number;
  descriptors: number;
}

/** The last `receiveMessage`. One object: the path to the gofer is hot. */
export const received: Received = { length: 0, descriptors: 0 };

export function receiveMessage(
  fd: HostFd,
  memory: HostMemory,
  offset: number,
  length: number,
  descriptors: Int32Array | null,
  timeoutMs: number,
): Received {
  received.descriptors = 0;
  received.length = -EINVAL;
  if (offset < 0 || length < 0 || offset + length > memory.bytes.length) return received;
  received.length = awaitReadable(fd, timeoutMs);
  if (received.length < 0) return received;
  // Without a control buffer the host drops descriptors that come along; with one it drops those that do not fit.
  prepare(memory, offset, length, descriptors === null ? 0 : CONTROL_SPACE);
  // SAFETY: header, iovec and control buffer are in our page; the iovec's range was checked above.
  received.length = libc.checked(libc.recvmsg(fd, page.address + HEADER, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
  if (received.length >= 0 && descriptors !== null) received.descriptors = takeDescriptors(descriptors);
  return received;
}

/**
 * recvmsg(2) of a socket that does not block: at most `length` bytes. `flags`: MSG_PEEK, MSG_TRUNC, MSG_OOB. Who sent them and MSG_TRUNC go to `into`.
 * Returns bytes, 0 also at the end of a stream, or -errno.
 */
export function receiveFrom(fd: HostFd, memory: HostMemory, offset: number, length: number, flags: number, into: DatagramFacts): number {
  if (offset < 0 || length < 0 || offset + length > memory.bytes.length) return -EINVAL;
  prepare(memory, offset, length, 0);
  setWord(HEADER, page.address + NAME);
  view.setUint32(HEADER + 8, NAME_SIZE, true);
  // SAFETY: header, iovec and name are in our page; the iovec's range was checked above. Without a control buffer no descriptor can come along.
  const result = libc.checked(libc.recvmsg(fd, page.address + HEADER, flags | MSG_DONTWAIT));
  if (result < 0) return result;
  into.address = page.latin1(NAME, NAME + Math.min(view.getUint32(HEADER + 8, true), NAME_SIZE));
  into.flags = view.getUint32(HEADER + 48, true);
  return result;
}

function takeDescriptors(into: Int32Array): number {
  if (view.getUint32(HEADER + 40, true) < CONTROL_HEADER) return 0;
  if (view.getInt32(CONTROL + 8, true) !== SOL_SOCKET || view.getInt32(CONTROL + 12, true) !== SCM_RIGHTS) return 0;
  const count = (view.getUint32(CONTROL, true) - CONTROL_HEADER) >> 2;
  for (let i = 0; i < count; i += 1) {
    const fd = view.getInt32(CONTROL + CONTROL_HEADER + i * 4, true);
    // SAFETY: closing a descriptor that was received a moment ago and that nobody else knows.
    if (i < into.length) into[i] = fd;
    else libc.close(fd);
  }
  return Math.min(count, into.length);
}
