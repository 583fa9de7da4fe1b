/**
 * Taking what a guest writes: bytes are copied once, from the guest into packets, and stay there until the peer has acknowledged them (on
 * loopback: has read them). Small writes continue the last packet; a segment is filled up to what the layer below takes at once.
 *
 * Linux: tcp_sendmsg_locked. RFC 9293 section 3.10.2.
 */
import { EAGAIN, ENOBUFS, EPIPE } from '#sentry/abi/errno.ts';
import { MSG_MORE, MSG_OOB } from '#sentry/abi/socket.ts';
import type { Io } from '../../mm/io.ts';
import type { Packet } from '../packet.ts';
import type { ControlBlock } from './control-block.ts';
import { FIN, PSH } from './header.ts';
import { SEGMENT_OVERHEAD } from './limits.ts';
import { PUSH_CORKED, PUSH_NORMAL, sendQueued } from './output.ts';
import type { Segment } from './segment.ts';
import { after } from './sequence.ts';
import { isIn, MAY_SEND, OPENING, SHUT_SEND } from './states.ts';

/**
 * Takes as much of `io` as fits and sends what may go. `flags`: MSG_OOB, MSG_MORE.
 * Octets taken, or -EAGAIN (connecting, or the buffer is full), -EPIPE, -EFAULT, -ENOBUFS (no packets left), or the pending error.
 */
export function write(connection: ControlBlock, io: Io, flags: number): number {
  const error = refuses(connection);
  if (error !== 0) return error;
  let total = 0;
  let stopped = 0;
  while (io.remaining > 0 && stopped === 0) {
    const taken = isFull(connection) ? -EAGAIN : takeSome(connection, io);
    if (taken < 0) stopped = taken;
    else total += taken;
  }
  if (stopped === -EAGAIN) connection.wantsRoom = true;
  if (total === 0) return stopped;
  finishWrite(connection, flags, stopped !== 0);
  return total;
}

function refuses(connection: ControlBlock): number {
  if (connection.error !== 0) {
    const { error } = connection;
    connection.error = 0;
    return -error;
  }
  if ((connection.shut & SHUT_SEND) !== 0) return -EPIPE;
  if (isIn(connection.state, OPENING)) {
    connection.wantsRoom = true;
    return -EAGAIN;
  }
  return isIn(connection.state, MAY_SEND) ? 0 : -EPIPE;
}

/** No room for more: SO_SNDBUF, or TCP_NOTSENT_LOWAT. */
function isFull(connection: ControlBlock): boolean {
  const { options } = connection;
  if (connection.sendCharge >= options.sendBuffer) return true;
  return options.notSentLowWater > 0 && ((connection.writeEnd - connection.sendNext) | 0) >= options.notSentLowWater;
}

/** Marks the end of the write, and sends. */
function finishWrite(connection: ControlBlock, flags: number, isPart: boolean): void {
  const { tail } = connection.sendQueue;
  if ((flags & MSG_OOB) !== 0 && !isPart) {
    connection.urgentEnd = connection.writeEnd;
    connection.sendsUrgent = true;
  }
  const isMore = (flags & MSG_MORE) !== 0 && !isPart;
  const isHalfWindow = after(connection.writeEnd, (connection.pushedSeq + (connection.maxWindow >> 1)) | 0);
  if (tail !== null && (!isMore || isHalfWindow)) {
    tail.flags |= PSH;
    connection.pushedSeq = connection.writeEnd;
  }
  sendQueued(connection, isMore ? PUSH_CORKED : PUSH_NORMAL);
}

/** Copies up to one segment's worth. Octets, or -errno. */
function takeSome(connection: ControlBlock, io: Io): number {
  const { tail } = connection.sendQueue;
  const { sendGoal } = connection;
  const packet = tail === null || tail.offset + tail.length !== endOf(tail) ? null : tail.packet;
  const goal = Math.min(io.remaining, sendGoal);
  if (tail !== null && packet !== null && connection.unsent !== null && tail.length < sendGoal && (tail.flags & FIN) === 0) {
    const room = Math.min(sendGoal - tail.length, packet.tailroom, io.remaining);
    if (room > 0) return extend(connection, tail, packet, io, room);
  }
  if (packet !== null && packet.tailroom >= goal) return append(connection, packet, io, goal);
  const { packets } = connection.context;
  const isFirst = connection.sendQueue.head === null;
  const fresh = isFirst ? packets.takeFirst(goal) : packets.take(goal);
  // Linux: waits for memory. Who has data under way hears of its acknowledgement.
  if (fresh === null) return isFirst ? -ENOBUFS : -EAGAIN;
  const taken = append(connection, fresh, io, Math.min(goal, fresh.tailroom));
  fresh.release();
  return taken;
}

function endOf(segment: Segment): number {
  return segment.packet === null ? -1 : segment.packet.end;
}

/** More for the last segment, which has not been sent. */
function extend(connection: ControlBlock, tail: Segment, packet: Packet, io: Io, bytes: number): number {
  const taken = io.take(packet.memory, packet.end, bytes);
  if (taken <= 0) return taken;
  packet.end += taken;
  tail.length += taken;
  tail.charge += taken;
  connection.sendCharge += taken;
  connection.writeEnd = (connection.writeEnd + taken) | 0;
  return taken;
}

/** A new segment at the end of `packet`. */
function append(connection: ControlBlock, packet: Packet, io: Io, bytes: number): number {
  const offset = packet.end;
  const taken = io.take(packet.memory, offset, bytes);
  if (taken <= 0) return taken;
  packet.end += taken;
  const segment = connection.context.segments.take(packet, offset, taken, connection.writeEnd);
  segment.charge = taken + SEGMENT_OVERHEAD;
  connection.sendCharge += segment.charge;
  connection.sendQueue.append(segment);
  if (connection.unsent === null) connection.unsent = segment;
  connection.writeEnd = (connection.writeEnd + taken) | 0;
  return taken;
}
