/**
 * The neighbour cache of one interface, for ARP and NDP alike: which hardware address belongs to an IP address of the link, and what waits
 * to be told. States and times are those of RFC 4861 section 7.3, numbered as Linux shows them (NUD_*, rtnetlink(7)).
 *
 *     INCOMPLETE ──answer──▶ REACHABLE ──30 s──▶ STALE ──use──▶ DELAY ──5 s──▶ PROBE ──answer──▶ REACHABLE
 *         └───3 questions unanswered──▶ FAILED ◀──────────────────────────────────┘
 *
 * Nothing is asked for entries that nobody uses. The cache and the packets that wait are bounded: what is old goes.
 */
import { ENOBUFS } from '#sentry/abi/errno.ts';
import { IpAddress } from '../address.ts';
import { AddressMap } from '../address-map.ts';
import { NEIGHBOUR_QUEUE_MAX, NEIGHBOUR_QUEUES_ALL_MAX, NEIGHBOURS_MAX } from '../limits.ts';
import type { Packet } from '../packet.ts';
import { SECOND } from '../stack-state.ts';
import type { StackState } from '../stack-state.ts';
import { Timer } from '../../lib/timer-queue.ts';
import { HardwareAddress } from '../wire/ethernet.ts';
import { Offload } from './device.ts';
import { IFF_NOARP } from './interface.ts';
import type { NetworkInterface } from './interface.ts';

export const NUD_INCOMPLETE = 0x01;
export const NUD_REACHABLE = 0x02;
export const NUD_STALE = 0x04;
export const NUD_DELAY = 0x08;
export const NUD_PROBE = 0x10;
export const NUD_FAILED = 0x20;
export const NUD_NOARP = 0x40;
export const NUD_PERMANENT = 0x80;
const NUD_FIXED = NUD_PERMANENT | NUD_NOARP;
/** The hardware address is known. */
const NUD_VALID = NUD_FIXED | NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE;

const DELAY_NS = 5 * SECOND;
const PROBES_MAX = 3;
/** Entries looked at when one has to go. */
const EVICTION_SAMPLE = 8;

/** A packet that waits, with what it leaves to the device. */
class WaitingPacket {
  packet: Packet;
  readonly offload = new Offload();
  next: WaitingPacket | null = null;

  constructor(packet: Packet, offload: Offload) {
    this.packet = packet;
    this.offload.copy(offload);
  }
}

export class Neighbour {
  readonly address = new IpAddress();
  readonly hardware = new HardwareAddress();
  state = NUD_INCOMPLETE;
  isRouter = false;
  /** Index in the cache's list. */
  place = 0;
  probes = 0;
  confirmedNs = 0;
  usedNs = 0;
  updatedNs = 0;
  readonly timer: Timer;
  /** Packets that wait, oldest first. */
  head: WaitingPacket | null = null;
  tail: WaitingPacket | null = null;
  waiting = 0;

  constructor(address: IpAddress, cache: NeighbourCache) {
    this.address.copy(address);
    this.timer = new Timer(() => {
      cache.expired(this);
    });
  }
}

/** What the cache needs of ARP, NDP and IP. */
export interface NeighbourProtocol {
  /** Asks who has `neighbour.address`; its known hardware address is asked directly when `isUnicast`. */
  solicit(owner: NetworkInterface, neighbour: Neighbour, isUnicast: boolean): void;
  /** The IP packet [start, end) did not leave because its neighbour does not answer. */
  unresolved(owner: NetworkInterface, packet: Packet): void;
  /** Puts the link header in front of the IP packet and gives it to the device, which gets one reference. */
  transmit(owner: NetworkInterface, packet: Packet, to: HardwareAddress, offload: Offload): number;
}

export class NeighbourCache {
  readonly interface: NetworkInterface;
  private readonly state: StackState;
  private readonly protocol: NeighbourProtocol;
  private readonly entries = new AddressMap<Neighbour>();
  /** The same, without order, to choose from. */
  private readonly all: Neighbour[] = [];
  /** Packets that wait, for all neighbours together. */
  private waiting = 0;
  /** Permanent entries: at most half of the table, so that there is always one that can go. */
  private fixed = 0;

  constructor(owner: NetworkInterface, state: StackState, protocol: NeighbourProtocol) {
    this.interface = owner;
    this.state = state;
    this.protocol = protocol;
  }

  find(address: IpAddress): Neighbour | null {
    return this.entries.get(address);
  }

  list(): Neighbour[] {
    return this.all.slice();
  }

  /** Sends the IP packet [start, end) to `nextHop`, now or when its hardware address is known. Takes over the caller's reference. */
  send(nextHop: IpAddress, packet: Packet, offload: Offload): number {
    const { interface: owner } = this;
    // A link without ARP has one other end (Linux: arp_constructor).
    if ((owner.flags & IFF_NOARP) !== 0) return this.protocol.transmit(owner, packet, owner.hardware, offload);
    const neighbour = this.entries.get(nextHop) ?? this.create(nextHop);
    neighbour.usedNs = this.state.nowNs;
    if (neighbour.state === NUD_REACHABLE && this.state.nowNs - neighbour.confirmedNs > this.interface.ipv6.reachableNs)
      this.enter(neighbour, NUD_STALE);
    if (neighbour.state === NUD_STALE) {
      this.enter(neighbour, NUD_DELAY);
      this.state.timers.set(neighbour.timer, this.state.nowNs + DELAY_NS);
    }
    if ((neighbour.state & NUD_VALID) !== 0) return this.protocol.transmit(this.interface, packet, neighbour.hardware, offload);
    this.enqueue(neighbour, packet, offload);
    if (!neighbour.timer.isSet) this.ask(neighbour);
    return 0;
  }

  /**
   * A neighbour told its address: an ARP packet, or a neighbour advertisement (RFC 4861, section 7.2.5). `isSolicited`: it answered us.
   * `mayOverride`: a different address replaces the known one.
   */
  told(neighbour: Neighbour, hardware: HardwareAddress, isSolicited: boolean, mayOverride: boolean): void {
    if ((neighbour.state & NUD_FIXED) !== 0) return;
    const isKnown = (neighbour.state & NUD_VALID) !== 0;
    const isNew = !isKnown || !neighbour.hardware.equals(hardware);
    if (isKnown && isNew && !mayOverride) {
      if (neighbour.state === NUD_REACHABLE) this.enter(neighbour, NUD_STALE);
      return;
    }
    neighbour.hardware.copy(hardware);
    if (isSolicited) {
      neighbour.confirmedNs = this.state.nowNs;
      this.enter(neighbour, NUD_REACHABLE);
    } else if (isNew) this.enter(neighbour, NUD_STALE);
    this.flush(neighbour);
  }

  /** Someone unknown so far spoke to us: remembered, not yet confirmed. */
  learn(address: IpAddress, hardware: HardwareAddress): Neighbour {
    const neighbour = this.entries.get(address) ?? this.create(address);
    this.told(neighbour, hardware, false, true);
    return neighbour;
  }

  /** An upper layer saw progress: what we send arrives (RFC 4861, section 7.3.1). */
  confirm(address: IpAddress): void {
    const neighbour = this.entries.get(address);
    if (neighbour === null || (neighbour.state & (NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_REACHABLE)) === 0) return;
    neighbour.confirmedNs = this.state.nowNs;
    this.enter(neighbour, NUD_REACHABLE);
  }

  /** As by hand (`ip neigh add`): stays as it is. 0, or -ENOBUFS when the table is full of such entries. */
  setPermanent(address: IpAddress, hardware: HardwareAddress): number {
    if (this.fixed >= NEIGHBOURS_MAX / 2) return -ENOBUFS;
    const neighbour = this.entries.get(address) ?? this.create(address);
    if ((neighbour.state & NUD_FIXED) === 0) this.fixed++;
    neighbour.hardware.copy(hardware);
    this.enter(neighbour, NUD_PERMANENT);
    this.flush(neighbour);
    return 0;
  }

  remove(address: IpAddress): boolean {
    const neighbour = this.entries.get(address);
    if (neighbour === null) return false;
    if ((neighbour.state & NUD_FIXED) !== 0) this.fixed--;
    this.drop(neighbour, 'silently');
    this.entries.delete(address);
    const last = this.all.pop()!;
    if (last !== neighbour) {
      this.all[neighbour.place] = last;
      last.place = neighbour.place;
    }
    return true;
  }

  clear(): void {
    for (const neighbour of this.all.splice(0)) this.drop(neighbour, 'silently');
    this.entries.clear();
    this.fixed = 0;
  }

  /** The timer of `neighbour` fired. */
  expired(neighbour: Neighbour): void {
    if (neighbour.state === NUD_DELAY) {
      neighbour.probes = 0;
      this.enter(neighbour, NUD_PROBE);
    }
    if (neighbour.probes < PROBES_MAX) {
      this.ask(neighbour);
      return;
    }
    this.enter(neighbour, NUD_FAILED);
    this.drop(neighbour, 'told');
  }

  private ask(neighbour: Neighbour): void {
    if (neighbour.state === NUD_FAILED) {
      neighbour.probes = 0;
      this.enter(neighbour, NUD_INCOMPLETE);
    }
    neighbour.probes++;
    this.state.timers.set(neighbour.timer, this.state.nowNs + this.interface.ipv6.retransmitNs);
    this.protocol.solicit(this.interface, neighbour, neighbour.state === NUD_PROBE);
  }

  private enter(neighbour: Neighbour, state: number): void {
    neighbour.state = state;
    neighbour.updatedNs = this.state.nowNs;
    if ((state & (NUD_INCOMPLETE | NUD_PROBE | NUD_DELAY)) === 0) this.state.timers.cancel(neighbour.timer);
  }

  private create(address: IpAddress): Neighbour {
    if (this.entries.size >= NEIGHBOURS_MAX) this.evict();
    const neighbour = new Neighbour(address, this);
    neighbour.updatedNs = this.state.nowNs;
    this.entries.set(address, neighbour);
    neighbour.place = this.all.length;
    this.all.push(neighbour);
    return neighbour;
  }

  /**
   * Forgets one that was not used for long: the stalest of a few from a place chosen by chance, as looking at all of them for each frame of a flood would
   * be a flood's success. At most half are permanent, so some that may go are found soon.
   */
  private evict(): void {
    const { all } = this;
    let oldest: Neighbour | null = null;
    let place = (this.state.random() >>> 1) % all.length;
    for (let looked = 0; looked < all.length && (looked < EVICTION_SAMPLE || oldest === null); looked++) {
      const neighbour = all[place]!;
      place = place + 1 === all.length ? 0 : place + 1;
      if ((neighbour.state & NUD_FIXED) === 0 && (oldest === null || neighbour.usedNs < oldest.usedNs)) oldest = neighbour;
    }
    if (oldest !== null) this.remove(oldest.address);
  }

  private enqueue(neighbour: Neighbour, packet: Packet, offload: Offload): void {
    if (this.waiting >= NEIGHBOUR_QUEUES_ALL_MAX && neighbour.head === null) {
      this.interface.counters.txDropped++;
      packet.release();
      return;
    }
    const entry = new WaitingPacket(packet, offload);
    if (neighbour.tail === null) neighbour.head = entry;
    else neighbour.tail.next = entry;
    neighbour.tail = entry;
    this.waiting++;
    if (++neighbour.waiting <= NEIGHBOUR_QUEUE_MAX && this.waiting <= NEIGHBOUR_QUEUES_ALL_MAX) return;
    this.dequeue(neighbour)!.packet.release();
    this.interface.counters.txDropped++;
  }

  private dequeue(neighbour: Neighbour): WaitingPacket | null {
    const entry = neighbour.head;
    if (entry === null) return null;
    neighbour.head = entry.next;
    if (entry.next === null) neighbour.tail = null;
    neighbour.waiting--;
    this.waiting--;
    return entry;
  }

  private flush(neighbour: Neighbour): void {
    for (let entry = this.dequeue(neighbour); entry !== null; entry = this.dequeue(neighbour))
      this.protocol.transmit(this.interface, entry.packet, neighbour.hardware, entry.offload);
  }

  /** Gives up what waits; `told`: the senders hear of it (EHOSTUNREACH). */
  private drop(neighbour: Neighbour, how: 'told' | 'silently'): void {
    this.state.timers.cancel(neighbour.timer);
    for (let entry = this.dequeue(neighbour); entry !== null; entry = this.dequeue(neighbour)) {
      this.interface.counters.txDropped++;
      if (how === 'told') this.protocol.unresolved(this.interface, entry.packet);
      entry.packet.release();
    }
  }
}
