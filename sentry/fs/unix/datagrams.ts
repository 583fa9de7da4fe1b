/**
 * Sending and receiving whole messages, for SOCK_DGRAM and SOCK_SEQPACKET.
 */
import { EAGAIN, EFAULT, EMSGSIZE } from '#sentry/abi/errno.ts';
import { MSG_PEEK, MSG_TRUNC } from '#sentry/abi/socket.ts';
import type { Io } from '../../mm/io.ts';
import { DATAGRAM_QUEUE_MAX } from '../anonymous/limits.ts';
import type { Message } from '../socket/message.ts';
import { filterBytes } from '../socket/message-filter.ts';
import type { Incoming, Outgoing } from '../socket/transfer.ts';
import { NO_RECEIVE } from './unix-socket.ts';
import type { UnixSocket } from './unix-socket.ts';

/** What a message costs its sender beyond its bytes, about Linux's sk_buff. */
export const MESSAGE_OVERHEAD = 768;
const HEADROOM = 32;

/** Senders that are not the receiver's own peer may not queue more than this. */
export function isQueueFull(to: UnixSocket): boolean {
  return to.received.count > DATAGRAM_QUEUE_MAX;
}

/** 0 when `from` may send `length` bytes now; -EAGAIN with `from.waitQueue` set; -EMSGSIZE. */
export function checkRoom(from: UnixSocket, to: UnixSocket, length: number): number {
  if (length > from.options.sendBuffer - HEADROOM) return -EMSGSIZE;
  if (from.charged >= from.options.sendBuffer) {
    from.waitQueue = from.queue;
    return -EAGAIN;
  }
  if (to !== from && to.peer !== from && isQueueFull(to)) {
    from.waitQueue = to.room;
    return -EAGAIN;
  }
  return 0;
}

/** Takes all of `io` as one message to `to`. */
export function sendWhole(from: UnixSocket, to: UnixSocket, io: Io, outgoing: Outgoing): number {
  const { messages } = from.domainState;
  const length = io.remaining;
  const message = messages.take();
  const filled = message.fill(io, length);
  if (filled < 0) {
    messages.free(message);
    return filled;
  }
  // Linux: the sender does not hear what the receiver's filter drops.
  if (!passesFilter(to, message)) {
    messages.free(message);
    return length;
  }
  stamp(message, from, outgoing);
  message.charge = length + MESSAGE_OVERHEAD;
  from.charged += message.charge;
  to.deliver(message);
  return length;
}

/** Whether the receiver's filter leaves anything of a message, which is cut to that. */
function passesFilter(to: UnixSocket, message: Message): boolean {
  const { filter } = to.options;
  if (filter === null) return true;
  const kept = filterBytes(filter, message.toBytes());
  if (kept >= 0) message.trim(kept);
  return kept >= 0;
}

/** Marks who sends and hands the files over. */
export function stamp(message: Message, from: UnixSocket, outgoing: Outgoing): void {
  message.owner = from;
  message.address = from.ownName;
  message.pid = outgoing.pid;
  message.uid = outgoing.uid;
  message.gid = outgoing.gid;
  message.rights = outgoing.rights;
  outgoing.rights = null;
}

/** Receives the first message; what does not fit in `io` is lost, as MSG_TRUNC in `into.flags` tells. With MSG_PEEK it stays. */
export function receiveWhole(socket: UnixSocket, io: Io, into: Incoming, flags: number): number {
  const message = socket.received.head;
  if (message === null) {
    if (socket.error !== 0) return -socket.takeError();
    socket.waitQueue = socket.queue;
    return (socket.shut & NO_RECEIVE) !== 0 ? 0 : -EAGAIN;
  }
  if (message.length > io.remaining) into.flags |= MSG_TRUNC;
  const peek = isPeek(flags);
  const result = copyFirst(message, io, flags);
  if (result >= 0) {
    socket.describe(message, into);
    socket.takeRights(message, into, peek ? 'peek' : 'take');
  }
  if (!peek) socket.finishFirst();
  return result;
}

/** Copies the first message out: its length as recv(2) reports it. */
function copyFirst(message: Message, io: Io, flags: number): number {
  const n = Math.min(message.length, io.remaining);
  if (n > 0 && message.copy(io, n, 0) < n) return -EFAULT;
  return (flags & MSG_TRUNC) !== 0 ? message.length : n;
}

export function isPeek(flags: number): boolean {
  return (flags & MSG_PEEK) !== 0;
}
