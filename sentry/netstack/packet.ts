/**
 * Packets: reference-counted pieces of memory outside the V8 heap, from a bounded pool with three sizes.
 *
 * A packet is a slot of a slab with room in front for headers that lower layers add, as Linux's linear sk_buff has:
 *
 *     base ──headroom── start ──data── end ──tailroom── limit          (offsets in `memory`)
 *
 *     const packet = pool.take(1400);            // null: the bound is reached
 *     io.take(packet.memory, packet.end, n); packet.end += n;
 *     const at = packet.prepend(8);              // room for a header
 *     …
 *     packet.release();                          // taken with one reference; the last one gives it back
 *
 * Who keeps a packet beyond the call it was given in holds it. Packet objects belong to their slots and are used again, so neither taking
 * nor releasing allocates once the pool has grown; slabs are never given back to the host.
 *
 * Memory layout: data begins 256 bytes behind a page or in its middle, away from where guests' buffers begin (sentry/mm/user-memory.ts
 * tells why copies between the same places of a page are slow).
 */
import type { HostMemory } from '#platform/contract/host.ts';
import { PACKET_BYTES_MAX, PACKET_DATA_SHARE, PACKET_FIRST_SHARE } from './limits.ts';

/** Room in front of a new packet's data: link, vnet, IP with extension headers, and TCP with options. */
export const PACKET_HEADROOM = 256;
/** Data bytes that fit in the largest packet, and a few headers more. */
export const PACKET_DATA_MAX = 65_536;

const STRIDES = [2048, 16_384 + 2048, PACKET_DATA_MAX + 4096] as const;
const SLAB_BYTES = [256 * 1024, 18_432 * 56, 69_632 * 15] as const;
/** Most data bytes a packet of each size takes. */
const SMALL_MAX = STRIDES[0] - PACKET_HEADROOM;
const MEDIUM_MAX = STRIDES[1] - PACKET_HEADROOM;
const LARGE_MAX = STRIDES[2] - PACKET_HEADROOM;

export class Packet {
  // Fixed.
  readonly memory: HostMemory;
  /** The slot: [base, limit) of `memory`. */
  readonly base: number;
  readonly limit: number;
  private readonly pool: PacketPool;
  readonly sizeClass: number;
  // The owner's.
  /** The data: [start, end). */
  start = 0;
  end = 0;
  /** References to it. */
  users = 0;
  /** Link of the one list this packet is in by itself: free lists, queues of those who alone hold it. */
  next: Packet | null = null;

  constructor(pool: PacketPool, memory: HostMemory, base: number, limit: number, sizeClass: number) {
    this.pool = pool;
    this.memory = memory;
    this.base = base;
    this.limit = limit;
    this.sizeClass = sizeClass;
  }

  get length(): number {
    return this.end - this.start;
  }

  /** Bytes that can be appended. */
  get tailroom(): number {
    return this.limit - this.end;
  }

  get headroom(): number {
    return this.start - this.base;
  }

  /** Bytes of the pool this packet takes. */
  get footprint(): number {
    return this.limit - this.base;
  }

  hold(): this {
    this.users++;
    return this;
  }

  release(): void {
    const left = --this.users;
    if (left > 0) return;
    if (left < 0) throw new Error('a packet was released more often than it was held');
    this.pool.put(this);
  }

  /** Makes room for `bytes` in front of the data; returns where they begin. The headroom must suffice. */
  prepend(bytes: number): number {
    const at = this.start - bytes;
    if (at < this.base) throw new Error('no headroom left in a packet');
    this.start = at;
    return at;
  }
}

/** A range of a packet: `length` bytes at `offset` of its memory. Scratch: who keeps it copies the numbers and holds the packet. */
export class Payload {
  packet: Packet | null = null;
  offset = 0;
  length = 0;

  set(packet: Packet, offset: number, length: number): this {
    this.packet = packet;
    this.offset = offset;
    this.length = length;
    return this;
  }
}

/** What the pool needs of the host. */
export type Allocate = (bytes: number) => HostMemory;

export class PacketPool {
  /** Bytes of packets in use. */
  inUse = 0;
  readonly bytesMax: number;
  private readonly dataMax: number;
  private readonly firstMax: number;
  private readonly allocate: Allocate;
  private readonly free: (Packet | null)[] = [null, null, null];

  /** At most `bytesMax` bytes of packets are in use at a time. */
  constructor(allocate: Allocate, bytesMax: number = PACKET_BYTES_MAX) {
    this.allocate = allocate;
    this.bytesMax = bytesMax;
    this.dataMax = bytesMax * PACKET_DATA_SHARE;
    this.firstMax = bytesMax * PACKET_FIRST_SHARE;
  }

  /** Queues have taken their share: what somebody only keeps for later, and nobody else holds, is dropped. */
  get isScarce(): boolean {
    return this.inUse >= this.dataMax;
  }

  /** Not even those may keep more who have nothing yet. */
  get isExhausted(): boolean {
    return this.inUse >= this.firstMax;
  }

  /** A packet with room for `bytes` (≤ PACKET_DATA_MAX) of data and one reference, for data that a socket queues; null when the data's share is used up. */
  take(bytes: number): Packet | null {
    return this.isScarce ? null : this.takeUrgent(bytes);
  }

  /**
   * The same for who has nothing under way that he could wait for: when the data's share is used up a packet of the smallest size, with less room than asked for;
   * null when too many came so.
   */
  takeFirst(bytes: number): Packet | null {
    if (!this.isScarce) return this.takeUrgent(bytes);
    return this.isExhausted ? null : this.takeUrgent(Math.min(bytes, SMALL_MAX));
  }

  /** The same for a datagram, which does not stay long. */
  takeDatagram(bytes: number): Packet | null {
    return this.isExhausted ? null : this.takeUrgent(bytes);
  }

  /** The same for what the stack itself makes and receives: null only when there is nothing left at all. */
  takeUrgent(bytes: number): Packet | null {
    const sizeClass = bytes <= SMALL_MAX ? 0 : bytes <= MEDIUM_MAX ? 1 : 2;
    const footprint = STRIDES[sizeClass];
    if (this.inUse + footprint > this.bytesMax || bytes > LARGE_MAX) return null;
    let packet = this.free[sizeClass]!;
    if (packet === null) packet = this.grow(sizeClass);
    this.free[sizeClass] = packet.next;
    packet.next = null;
    packet.users = 1;
    packet.start = packet.base + PACKET_HEADROOM;
    packet.end = packet.start;
    this.inUse += footprint;
    return packet;
  }

  /** Takes back a packet without references: `Packet.release` calls this. */
  put(packet: Packet): void {
    this.inUse -= packet.limit - packet.base;
    packet.next = this.free[packet.sizeClass]!;
    this.free[packet.sizeClass] = packet;
  }

  private grow(sizeClass: number): Packet {
    const stride = STRIDES[sizeClass]!;
    const memory = this.allocate(SLAB_BYTES[sizeClass]!);
    let first: Packet | null = null;
    for (let limit = SLAB_BYTES[sizeClass]!; limit >= stride; limit -= stride) {
      const packet = new Packet(this, memory, limit - stride, limit, sizeClass);
      packet.next = first;
      first = packet;
    }
    return first!;
  }
}

/** Below this a loop is faster than a call with a view made for it. */
const SHORT_COPY = 48;

/** Copies `length` bytes between memories, or within one. */
export function copyBytes(from: HostMemory, fromOffset: number, to: HostMemory, toOffset: number, length: number): void {
  const target = to.bytes;
  if (length <= SHORT_COPY && from !== to) {
    const source = from.bytes;
    for (let i = 0; i < length; i++) target[toOffset + i] = source[fromOffset + i]!;
  } else if (from === to) target.copyWithin(toOffset, fromOffset, fromOffset + length);
  else target.set(from.bytes.subarray(fromOffset, fromOffset + length), toOffset);
}
