/**
 * Keeping what arrived: appends bytes to a list of segments, either by holding the packet they came in, or, when they fill only a small part of
 * it and have to wait behind others, by copying them together. So memory stays proportional to data whatever sizes a peer sends.
 *
 * Linux: tcp_try_coalesce, tcp_collapse.
 */
import { copyBytes } from '../packet.ts';
import type { Packet } from '../packet.ts';
import type { TcpContext } from './context.ts';
import { SEGMENT_OVERHEAD, SPARSE_SHARE } from './limits.ts';
import type { Segment, SegmentList } from './segment.ts';

/**
 * Appends `length` (> 0) bytes at `offset` of `packet`, which continue the list's last segment. Returns what that adds to the charge of the
 * list's owner: the bytes and the objects' own size, or the packet's whole size when most of it lies idle.
 */
export function appendReceived(
  context: TcpContext,
  list: SegmentList,
  packet: Packet,
  offset: number,
  length: number,
  seq: number,
): number {
  const { tail } = list;
  if (tail !== null && tail.packet !== null) {
    if (tail.packet === packet && tail.offset + tail.length === offset) return extend(tail, length);
    if (length * SPARSE_SHARE < packet.footprint) return appendCopy(context, list, tail, packet, offset, length, seq);
  }
  return appendHeld(context, list, packet, offset, length, seq);
}

function extend(tail: Segment, length: number): number {
  tail.length += length;
  tail.charge += length;
  return length;
}

function appendHeld(context: TcpContext, list: SegmentList, packet: Packet, offset: number, length: number, seq: number): number {
  const segment = context.segments.take(packet, offset, length, seq);
  segment.charge = SEGMENT_OVERHEAD + (length * SPARSE_SHARE < packet.footprint ? packet.footprint : length);
  list.append(segment);
  return segment.charge;
}

function appendCopy(
  context: TcpContext,
  list: SegmentList,
  tail: Segment,
  packet: Packet,
  offset: number,
  length: number,
  seq: number,
): number {
  const last = tail.packet!;
  // Only we hold it, so nobody else appends to it.
  if (last.users === 1 && tail.offset + tail.length === last.end && last.tailroom >= length) {
    copyBytes(packet.memory, offset, last.memory, last.end, length);
    last.end += length;
    tail.length += length;
    context.counters.TCPRcvCoalesce++;
    return 0;
  }
  const copy = context.packets.take(length);
  if (copy === null) return appendHeld(context, list, packet, offset, length, seq);
  copyBytes(packet.memory, offset, copy.memory, copy.end, length);
  const segment = context.segments.take(copy, copy.end, length, seq);
  copy.end += length;
  copy.release();
  segment.charge = SEGMENT_OVERHEAD + copy.footprint;
  list.append(segment);
  return segment.charge;
}
