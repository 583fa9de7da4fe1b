/**
 * Putting fragments together (RFC 791 section 3.2, RFC 8200 section 4.5). Fragments that overlap make the whole datagram go (RFC 5722, and
 * Linux for IPv4 too); exact repetitions are ignored. Bounded by bytes, by datagrams and by fragments of each; the oldest datagram goes.
 *
 *     const whole = reassembly.add(ip, parts, payload)      // null: not complete yet, or refused
 *
 * The result is a packet with one reference, of everything behind IP's headers.
 */
import type { IpAddress } from '../address.ts';
import { Timer } from '../../lib/timer-queue.ts';
import { FRAGMENT_BYTES_MAX, FRAGMENTS_PER_DATAGRAM_MAX, REASSEMBLIES_MAX } from '../limits.ts';
import { copyBytes } from '../packet.ts';
import type { Packet, Payload } from '../packet.ts';
import { SECOND } from '../stack-state.ts';
import type { StackState } from '../stack-state.ts';
import type { DatagramParts } from '../wire/ipv4.ts';
import { IpHeader } from './header.ts';

/** net.ipv4.ipfrag_time; RFC 8200 says 60 s for IPv6. */
const IPV4_TIMEOUT_NS = 30 * SECOND;
const IPV6_TIMEOUT_NS = 60 * SECOND;
const DATAGRAM_MAX = 65_535;
const HASH_BITS = 8;
const ECN_MASK = 3;
const ECN_CE = 3;

interface Piece {
  readonly packet: Packet;
  readonly offset: number;
  readonly from: number;
  readonly end: number;
}

/** A datagram that is not complete. */
export class Reassembly {
  /** Of the first fragment once that has come. */
  readonly ip = new IpHeader();
  readonly identification: number;
  readonly interfaceIndex: number;
  /** In order, without overlaps. */
  readonly pieces: Piece[] = [];
  /** Bytes of the datagram, -1 until its last fragment has come. */
  total = -1;
  received = 0;
  held = 0;
  hasCongestion = false;
  readonly timer: Timer;
  /** Neighbours in the order of arrival, and the next one with the same hash. */
  older: Reassembly | null = null;
  newer: Reassembly | null = null;
  nextAlike: Reassembly | null = null;

  constructor(ip: IpHeader, identification: number, expire: (which: Reassembly) => void) {
    this.ip.copy(ip);
    this.identification = identification;
    this.interfaceIndex = ip.interfaceIndex;
    this.timer = new Timer(() => {
      expire(this);
    });
  }

  isFor(ip: IpHeader, identification: number): boolean {
    const { ip: own } = this;
    if (this.identification !== identification || own.version !== ip.version) return false;
    // RFC 8200: the protocol of IPv6 fragments tells nothing. A link-local address belongs to its link.
    if (ip.version === 4 && own.protocol !== ip.protocol) return false;
    return isSamePair(own, ip) && this.interfaceIndex === ip.interfaceIndex;
  }

  get hasFirst(): boolean {
    return this.pieces.length > 0 && this.pieces[0]!.from === 0;
  }
}

function isSamePair(a: IpHeader, b: IpHeader): boolean {
  return equal(a.source, b.source) && equal(a.destination, b.destination);
}

function equal(a: IpAddress, b: IpAddress): boolean {
  return a.equals(b);
}

/** Index into the heads of the table's chains. */
function hashOf({ source, destination }: IpHeader, identification: number): number {
  const mixed = Math.imul(identification ^ source.w3 ^ Math.imul(source.w1 ^ destination.w3, 0x85eb_ca6b), 0x9e37_79b1);
  return mixed >>> (32 - HASH_BITS);
}

/** Hears of datagrams that never became complete, for ICMP time exceeded. */
export type ReassemblyTimeout = (which: Reassembly) => void;

export class ReassemblyTable {
  bytes = 0;
  private readonly state: StackState;
  private readonly timedOut: ReassemblyTimeout;
  private datagrams = 0;
  private oldest: Reassembly | null = null;
  private newest: Reassembly | null = null;
  private readonly heads = Array.from<Reassembly | null>({ length: 1 << HASH_BITS }).fill(null);

  constructor(state: StackState, timedOut: ReassemblyTimeout) {
    this.state = state;
    this.timedOut = timedOut;
  }

  get count(): number {
    return this.datagrams;
  }

  /** Incomplete datagrams of one version and the bytes held for them, for /proc/net/sockstat. */
  usage(version: 4 | 6): { count: number; bytes: number } {
    let [count, bytes] = [0, 0];
    for (let datagram = this.oldest; datagram !== null; datagram = datagram.newer) {
      if (datagram.ip.version !== version) continue;
      count++;
      bytes += datagram.held;
    }
    return { count, bytes };
  }

  /** Takes in one fragment; `payload` is what follows its headers. The datagram when it is complete, and `ip` then describes it. */
  add(ip: IpHeader, parts: DatagramParts, payload: Payload): Packet | null {
    const counters = this.state.counters.ip(ip.version);
    counters.ReasmReqds++;
    const from = parts.fragmentOffset;
    const end = from + payload.length;
    if (payload.length === 0 || (parts.moreFragments && (payload.length & 7) !== 0) || end > DATAGRAM_MAX) {
      counters.ReasmFails++;
      return null;
    }
    const datagram = this.find(ip, parts.identification) ?? this.create(ip, parts.identification);
    if (!this.insert(datagram, ip, payload, from, end, parts.moreFragments)) return null;
    if (datagram.total < 0 || datagram.received < datagram.total) return null;
    return this.finish(datagram, ip);
  }

  private find(ip: IpHeader, identification: number): Reassembly | null {
    let datagram = this.heads[hashOf(ip, identification)] ?? null;
    while (datagram !== null && !datagram.isFor(ip, identification)) datagram = datagram.nextAlike;
    return datagram;
  }

  private create(ip: IpHeader, identification: number): Reassembly {
    if (this.datagrams >= REASSEMBLIES_MAX) this.fail(this.oldest!);
    const datagram = new Reassembly(ip, identification, this.expire);
    const hash = hashOf(ip, identification);
    datagram.nextAlike = this.heads[hash]!;
    this.heads[hash] = datagram;
    datagram.older = this.newest;
    if (this.newest === null) this.oldest = datagram;
    else this.newest.newer = datagram;
    this.newest = datagram;
    this.datagrams++;
    this.state.timers.set(datagram.timer, this.state.nowNs + (ip.version === 4 ? IPV4_TIMEOUT_NS : IPV6_TIMEOUT_NS));
    return datagram;
  }

  /** False when the fragment was refused, or its datagram given up. */
  private insert(datagram: Reassembly, ip: IpHeader, payload: Payload, from: number, end: number, isMore: boolean): boolean {
    const { pieces } = datagram;
    let place = pieces.length;
    while (place > 0 && pieces[place - 1]!.from > from) place--;
    const before = place > 0 ? pieces[place - 1]! : null;
    const after = place < pieces.length ? pieces[place]! : null;
    if (before !== null && before.from === from && before.end === end) return false;
    const overlaps = (before !== null && before.end > from) || (after !== null && after.from < end);
    const isWrongEnd = datagram.total >= 0 && (end > datagram.total || (!isMore && end !== datagram.total));
    const isShort = !isMore && after !== null;
    if (overlaps) this.state.counters.ip(ip.version).ReasmOverlaps++;
    if (overlaps || isWrongEnd || isShort || pieces.length >= FRAGMENTS_PER_DATAGRAM_MAX) {
      this.fail(datagram);
      return false;
    }
    const packet = payload.packet!;
    pieces.splice(place, 0, { packet: packet.hold(), offset: payload.offset, from, end });
    datagram.received += end - from;
    datagram.held += packet.footprint;
    this.bytes += packet.footprint;
    if (!isMore) datagram.total = end;
    if ((ip.trafficClass & ECN_MASK) === ECN_CE) datagram.hasCongestion = true;
    if (from === 0) datagram.ip.copy(ip);
    return this.makeRoom(datagram);
  }

  /** False when `newest` itself had to go. */
  private makeRoom(newest: Reassembly): boolean {
    while (this.bytes > FRAGMENT_BYTES_MAX) {
      const oldest = this.oldest!;
      this.fail(oldest);
      if (oldest === newest) return false;
    }
    return true;
  }

  private finish(datagram: Reassembly, ip: IpHeader): Packet | null {
    const counters = this.state.counters.ip(ip.version);
    const whole = this.state.pool.takeUrgent(datagram.total);
    if (whole === null) {
      this.fail(datagram);
      return null;
    }
    for (const piece of datagram.pieces)
      copyBytes(piece.packet.memory, piece.offset, whole.memory, whole.start + piece.from, piece.end - piece.from);
    whole.end += datagram.total;
    ip.copy(datagram.ip);
    // RFC 3168, section 5.3.
    if (datagram.hasCongestion) ip.trafficClass |= ECN_CE;
    counters.ReasmOKs++;
    this.remove(datagram);
    return whole;
  }

  private fail(datagram: Reassembly): void {
    this.state.counters.ip(datagram.ip.version).ReasmFails++;
    this.remove(datagram);
  }

  private readonly expire = (datagram: Reassembly): void => {
    const counters = this.state.counters.ip(datagram.ip.version);
    counters.ReasmTimeout++;
    if (datagram.hasFirst) this.timedOut(datagram);
    this.fail(datagram);
  };

  private remove(datagram: Reassembly): void {
    this.state.timers.cancel(datagram.timer);
    this.unlink(datagram);
    this.bytes -= datagram.held;
    for (const piece of datagram.pieces) piece.packet.release();
  }

  private unlink(datagram: Reassembly): void {
    const { older, newer } = datagram;
    if (older === null) this.oldest = newer;
    else older.newer = newer;
    if (newer === null) this.newest = older;
    else newer.older = older;
    const hash = hashOf(datagram.ip, datagram.identification);
    let before = this.heads[hash]!;
    if (before === datagram) this.heads[hash] = datagram.nextAlike;
    else {
      while (before.nextAlike !== datagram) before = before.nextAlike!;
      before.nextAlike = datagram.nextAlike;
    }
    this.datagrams--;
  }
}
