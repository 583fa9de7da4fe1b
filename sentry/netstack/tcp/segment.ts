/**
 * A piece of the byte stream: a range of a held packet with its sequence number. Send queues, receive queues and what arrived out of
 * order consist of these; on loopback both sides have segments over the same packet.
 *
 * A segment of a send queue is at most what the lower layer takes at once, which may be many times the MSS; it is split when only a part may go
 * (congestion window, receive window) or was acknowledged selectively. Besides the queue in order of sequence it is in a list by time of the
 * last transmission (`earlier`, `later`), which RACK walks (RFC 8985 section 6.2).
 *
 * Objects are pooled. Linux: struct sk_buff and tcp_skb_cb.
 */
import type { Packet } from '../packet.ts';
import { FIN } from './header.ts';

/** `marks`: what the scoreboard says (RFC 6675). */
export const SACKED = 1;
export const LOST = 2;
/** Retransmitted since it was last marked lost. */
export const RETRANSMITTED = 4;
/** Retransmitted at any time: its acknowledgement tells nothing about the round trip (Karn). */
export const EVER_RETRANSMITTED = 8;

export class Segment {
  packet: Packet | null = null;
  /** Where the bytes are in the packet's memory. */
  offset = 0;
  length = 0;
  seq = 0;
  /** FIN, PSH. */
  flags = 0;
  marks = 0;
  /** The connection's microsecond clock when it was last sent. */
  sentUs = 0;
  /** Of that transmission among all of the connection: several are sent within one microsecond. */
  order = 0;
  transmissions = 0;
  /** What it counts against its buffer. */
  charge = 0;
  next: Segment | null = null;
  previous: Segment | null = null;
  // By time of transmission.
  later: Segment | null = null;
  earlier: Segment | null = null;
  isTimed = false;

  /** Octets of sequence space: the bytes, and one for FIN. */
  get span(): number {
    return this.length + (this.flags & FIN);
  }

  get endSeq(): number {
    return (this.seq + this.length + (this.flags & FIN)) | 0;
  }
}

/** Segments for use again. How many are in use is bounded by the buffers they are charged to. */
export class SegmentPool {
  private free: Segment | null = null;
  inUse = 0;

  /** A segment over `length` bytes at `offset` of `packet`, which it holds. */
  take(packet: Packet | null, offset: number, length: number, seq: number): Segment {
    let segment = this.free;
    if (segment === null) segment = new Segment();
    else this.free = segment.next;
    this.inUse++;
    segment.next = null;
    if (packet !== null) packet.hold();
    segment.packet = packet;
    segment.offset = offset;
    segment.length = length;
    segment.seq = seq;
    segment.flags = 0;
    segment.marks = 0;
    segment.sentUs = 0;
    segment.order = 0;
    segment.transmissions = 0;
    segment.charge = 0;
    return segment;
  }

  /** Gives back a segment that is in no list, and its packet. */
  put(segment: Segment): void {
    if (segment.packet !== null) {
      segment.packet.release();
      segment.packet = null;
    }
    this.inUse--;
    segment.previous = null;
    segment.next = this.free;
    this.free = segment;
  }
}

/** A doubly linked list of segments in order of sequence. */
export class SegmentList {
  head: Segment | null = null;
  tail: Segment | null = null;
  count = 0;

  append(segment: Segment): void {
    segment.next = null;
    segment.previous = this.tail;
    if (this.tail === null) this.head = segment;
    else this.tail.next = segment;
    this.tail = segment;
    this.count++;
  }

  insertAfter(segment: Segment, place: Segment): void {
    const { next } = place;
    segment.previous = place;
    segment.next = next;
    place.next = segment;
    if (next === null) this.tail = segment;
    else next.previous = segment;
    this.count++;
  }

  remove(segment: Segment): void {
    if (segment.previous === null) this.head = segment.next;
    else segment.previous.next = segment.next;
    if (segment.next === null) this.tail = segment.previous;
    else segment.next.previous = segment.previous;
    segment.next = null;
    segment.previous = null;
    this.count--;
  }

  /** Appends all of `other`, which is empty afterwards. */
  take(other: SegmentList): void {
    if (other.head === null) return;
    other.head.previous = this.tail;
    if (this.tail === null) this.head = other.head;
    else this.tail.next = other.head;
    this.tail = other.tail;
    this.count += other.count;
    other.head = null;
    other.tail = null;
    other.count = 0;
  }

  /** Frees all. */
  clear(pool: SegmentPool): void {
    let segment = this.head;
    while (segment !== null) {
      const { next } = segment;
      pool.put(segment);
      segment = next;
    }
    this.head = null;
    this.tail = null;
    this.count = 0;
  }
}
