/**
 * Giving a guest what has arrived: bytes go from the packets they came in to the guest, in order, and the window opens again. Reading stops at the urgent mark
 * (tcp(7)); the octet itself is skipped unless it is inline.
 *
 * Linux: tcp_recvmsg_locked, tcp_recv_urg. RFC 9293 section 3.10.3.
 */
import { EAGAIN, EINVAL, ENOBUFS, ENOTCONN } from '#sentry/abi/errno.ts';
import { MSG_OOB, MSG_PEEK, MSG_TRUNC } from '#sentry/abi/socket.ts';
import type { Io } from '../../mm/io.ts';
import { acknowledgeRead } from './ack-policy.ts';
import type { TcpContext } from './context.ts';
import type { ControlBlock } from './control-block.ts';
import type { Segment } from './segment.ts';
import { after } from './sequence.ts';
import { CLOSED, SHUT_RECEIVE } from './states.ts';
import { URGENT_AWAITED, URGENT_HERE, URGENT_NONE, URGENT_READ } from './urgent-states.ts';
import { tuneReceiveBuffer } from './window.ts';

/**
 * Reads up to `io.remaining` octets. `flags`: MSG_PEEK, MSG_TRUNC (throw away instead of copying), MSG_OOB.
 * Octets, 0 at the end of the stream, or -EAGAIN, -ENOTCONN, -EFAULT, -EINVAL (MSG_OOB without such an octet), or the pending error.
 */
export function read(connection: ControlBlock, io: Io, flags: number): number {
  if ((flags & MSG_OOB) !== 0) return readUrgent(connection, io, flags);
  if (connection.receivedBytes === 0) return nothing(connection);
  const total = (flags & MSG_PEEK) !== 0 ? peek(connection, io) : take(connection, io, flags);
  // A lone urgent octet that reading skips is nothing to read.
  return total === 0 && io.remaining > 0 ? nothing(connection) : total;
}

function nothing(connection: ControlBlock): number {
  if (connection.finReceived) return 0;
  const { error } = connection;
  if (error !== 0) {
    connection.error = 0;
    return -error;
  }
  if ((connection.shut & SHUT_RECEIVE) !== 0 && (connection.wasConnected || connection.state !== CLOSED)) return 0;
  return connection.state === CLOSED ? -ENOTCONN : -EAGAIN;
}

function take(connection: ControlBlock, io: Io, flags: number): number {
  let total = 0;
  let head = connection.receiveQueue.head;
  while (head !== null && io.remaining > 0) {
    if (total > 0 && isAtMark(connection, connection.copiedSeq)) break;
    const skipped = skipUrgent(connection, head);
    const want = Math.min(head.length, io.remaining, untilMark(connection, connection.copiedSeq));
    const moved = want === 0 ? 0 : move(io, head, head.offset, want, flags);
    if (moved < 0) {
      if (total === 0) total = moved;
      break;
    }
    consume(connection, head, moved);
    total += moved;
    if (head.length === 0) dropHead(connection, head);
    else if (moved < want || (want === 0 && skipped === 0)) break;
    head = connection.receiveQueue.head;
  }
  if (connection.urgentState !== URGENT_NONE && after(connection.copiedSeq, connection.urgentSeq)) connection.urgentState = URGENT_NONE;
  if (total > 0) {
    tuneReceiveBuffer(connection);
    acknowledgeRead(connection, total);
  }
  return total;
}

function peek(connection: ControlBlock, io: Io): number {
  let total = 0;
  let seq = connection.copiedSeq;
  for (let segment = connection.receiveQueue.head; segment !== null && io.remaining > 0; segment = segment.next) {
    let { offset, length } = segment;
    while (length > 0 && io.remaining > 0) {
      if (isAtMark(connection, seq)) {
        if (total > 0) return total;
        if (connection.options.oobInline === 0) {
          seq = (seq + 1) | 0;
          offset++;
          length--;
          continue;
        }
      }
      const want = Math.min(length, io.remaining, untilMark(connection, seq));
      const moved = io.put(segment.packet!.memory, offset, want);
      if (moved < 0) return total > 0 ? total : moved;
      total += moved;
      if (moved < want) return total;
      seq = (seq + moved) | 0;
      offset += moved;
      length -= moved;
    }
  }
  return total;
}

function move(io: Io, segment: Segment, offset: number, length: number, flags: number): number {
  if ((flags & MSG_TRUNC) === 0) return io.put(segment.packet!.memory, offset, length);
  io.skip(length);
  return length;
}

function consume(connection: ControlBlock, segment: Segment, bytes: number): void {
  segment.offset += bytes;
  segment.length -= bytes;
  segment.seq = (segment.seq + bytes) | 0;
  connection.receivedBytes -= bytes;
  connection.copiedSeq = (connection.copiedSeq + bytes) | 0;
}

function dropHead(connection: ControlBlock, head: Segment): void {
  connection.receiveQueue.remove(head);
  connection.receiveCharge -= head.charge;
  connection.context.segments.put(head);
}

/** Whether reading stands at the urgent octet. */
function isAtMark(connection: ControlBlock, seq: number): boolean {
  return connection.urgentState !== URGENT_NONE && connection.urgentSeq === seq;
}

/** Octets that may be read from `seq` on before the mark is met; any number when there is none ahead. */
function untilMark(connection: ControlBlock, seq: number): number {
  if (connection.urgentState === URGENT_NONE) return Infinity;
  const ahead = (connection.urgentSeq - seq) | 0;
  return ahead > 0 ? ahead : Infinity;
}

/** The urgent octet is no part of the stream, unless inline. Octets skipped, 0 or 1. */
function skipUrgent(connection: ControlBlock, head: Segment): number {
  if (connection.options.oobInline !== 0 || head.length === 0 || !isAtMark(connection, connection.copiedSeq)) return 0;
  consume(connection, head, 1);
  return 1;
}

/** MSG_OOB. -EINVAL: there is none, or it is inline, or it has been read; -EAGAIN: it was announced but is not here yet. */
function readUrgent(connection: ControlBlock, io: Io, flags: number): number {
  const { urgentState, context } = connection;
  if (connection.options.oobInline !== 0 || urgentState === URGENT_NONE || urgentState === URGENT_READ) return -EINVAL;
  if (connection.state === CLOSED && !connection.finReceived && !connection.wasConnected) return -ENOTCONN;
  if (urgentState === URGENT_HERE) {
    if ((flags & MSG_PEEK) === 0) connection.urgentState = URGENT_READ;
    if (io.remaining === 0) return 0;
    return putByte(io, context, connection.urgentByte);
  }
  if (connection.state === CLOSED || (connection.shut & SHUT_RECEIVE) !== 0) return 0;
  return urgentState === URGENT_AWAITED ? -EAGAIN : -EINVAL;
}

/** By way of a packet, since an `Io` takes bytes from memory only. */
function putByte(io: Io, context: TcpContext, byte: number): number {
  const packet = context.packets.takeUrgent(1);
  if (packet === null) return -ENOBUFS;
  packet.memory.bytes[packet.start] = byte;
  const moved = io.put(packet.memory, packet.start, 1);
  packet.release();
  return moved;
}

/** SIOCATMARK. */
export function isAtUrgentMark(connection: ControlBlock): boolean {
  return isAtMark(connection, connection.copiedSeq);
}

/** FIONREAD: octets until the urgent mark or the end. */
export function readableBytes(connection: ControlBlock): number {
  const { receivedBytes, urgentState } = connection;
  if (urgentState === URGENT_NONE || connection.options.oobInline !== 0) return receivedBytes;
  const ahead = (connection.urgentSeq - connection.copiedSeq) | 0;
  return ahead < 0 || ahead > receivedBytes ? receivedBytes : ahead;
}
