/**
 * Packet endpoints: frames as they cross an interface, and frames of the guest's own making (packet(7)). Kind `raw` shows and takes the link
 * header, `cooked` leaves it to us.
 */
import { EAGAIN, EFAULT, EINVAL, EMSGSIZE, ENETDOWN, ENOBUFS, ENXIO } from '#sentry/abi/errno.ts';
import { POLLERR, READABLE, WRITABLE } from '#sentry/abi/fs.ts';
import { MSG_PEEK, MSG_TRUNC } from '#sentry/abi/socket.ts';
import type { PacketFilter } from '../../bpf/packet-filter.ts';
import type { Io } from '../../mm/io.ts';
import type { FilterView } from '../endpoint/filter-view.ts';
import type { EndpointObserver } from '../endpoint/observer.ts';
import { takeWhole } from '../endpoint/whole-packet.ts';
import { PACKET_ENDPOINTS_MAX, PACKET_OVERHEAD } from '../limits.ts';
import { NO_OFFLOAD } from '../link/device.ts';
import type { InterfaceTable, InterfaceListener } from '../link/interface-table.ts';
import type { NetworkInterface } from '../link/interface.ts';
import type { LinkOutput } from '../link/link-output.ts';
import { PACKET_OUTGOING } from '../link/tap.ts';
import type { PacketTap } from '../link/tap.ts';
import { copyBytes } from '../packet.ts';
import type { Packet } from '../packet.ts';
import type { StackState } from '../stack-state.ts';
import { ETHERNET_HEADER_LENGTH, HardwareAddress, writeEthernet } from '../wire/ethernet.ts';
import { LinkAddress } from './link-address.ts';
import { RingFrame } from './receive-ring.ts';
import type { ReceiveRing } from './receive-ring.ts';

export const ETH_P_ALL = 0x0003;
const BUFFER_DEFAULT = 212_992;
const HARDWARE_ADDRESS_LENGTH = 6;

class Frame {
  readonly packet: Packet;
  readonly from = new LinkAddress();
  readonly timeNs: number;
  /** Bytes before the filter cut it, and of the link header in front. */
  wholeLength = 0;
  linkLength = 0;
  next: Frame | null = null;

  constructor(packet: Packet, timeNs: number) {
    this.packet = packet;
    this.timeNs = timeNs;
  }
}

/** What `receive` tells of a frame. */
export class ReceivedFrame {
  readonly from = new LinkAddress();
  timeNs = 0;
  length = 0;
  isTruncated = false;
  /** Bytes before the filter cut it, and of the link header in front. */
  wholeLength = 0;
  linkLength = 0;
}

const ringFrame = new RingFrame();
const sender = new LinkAddress();

export class PacketEndpoint implements PacketTap {
  observer: EndpointObserver | null = null;
  receiveBuffer = BUFFER_DEFAULT;
  /** PACKET_STATISTICS, since it was asked last. */
  seen = 0;
  drops = 0;
  /** Ethertype in host order, 0: nothing. */
  protocol: number;
  /** 0: every interface. */
  interfaceIndex = 0;
  /** Cooked endpoints see and send frames without the link header. */
  readonly isCooked: boolean;
  /** PACKET_IGNORE_OUTGOING. */
  ignoresOutgoing = false;
  /** SO_ATTACH_FILTER. */
  filter: PacketFilter | null = null;
  /** PACKET_RX_RING. */
  private ring: ReceiveRing | null = null;
  /** CLOCK_REALTIME when CLOCK_MONOTONIC was `ns`; for rings, and set with one. */
  realtimeAt: (ns: number) => number = (ns) => ns;
  private readonly layer: PacketLayer;
  private error = 0;
  private head: Frame | null = null;
  private tail: Frame | null = null;
  private received = 0;
  private promiscuous: NetworkInterface[] = [];

  constructor(layer: PacketLayer, kind: 'raw' | 'cooked', protocol: number) {
    this.layer = layer;
    this.isCooked = kind === 'cooked';
    this.protocol = protocol;
  }

  get events(): number {
    const isReadable = this.head !== null || (this.ring !== null && this.ring.hasUnread);
    return WRITABLE | (isReadable ? READABLE : 0) | (this.error === 0 ? 0 : POLLERR);
  }

  get nextLength(): number {
    return this.head === null ? 0 : this.head.packet.length;
  }

  takeError(): number {
    const { error } = this;
    this.error = 0;
    return error;
  }

  /** Sets protocol and interface (0: all): 0, -ENXIO never existed, -ENETDOWN as pending error if it is down. */
  bind(protocol: number, interfaceIndex: number): number {
    const owner = interfaceIndex === 0 ? null : this.layer.interfaces.byIndex(interfaceIndex);
    if (interfaceIndex !== 0 && owner === null) return -ENXIO;
    this.protocol = protocol;
    this.interfaceIndex = interfaceIndex;
    this.layer.attach(this);
    if (owner !== null && !owner.isUp) this.error = ENETDOWN;
    return 0;
  }

  /** PACKET_MR_PROMISC on an interface: 0 or -ENXIO. */
  join(interfaceIndex: number): number {
    const owner = this.layer.interfaces.byIndex(interfaceIndex);
    if (owner === null) return -ENXIO;
    owner.promiscuousUsers++;
    this.promiscuous.push(owner);
    return 0;
  }

  tap(from: NetworkInterface, packet: Packet, linkLength: number, etherType: number, kind: number): void {
    if (this.protocol !== ETH_P_ALL && (this.protocol !== etherType || kind === PACKET_OUTGOING)) return;
    if (kind === PACKET_OUTGOING && this.ignoresOutgoing) return;
    const skipped = this.isCooked ? linkLength : 0;
    const { filter } = this;
    const length =
      filter === null ? packet.length - skipped : this.layer.filterView.frame(filter, from, packet, linkLength, skipped, etherType, kind);
    if (length < 0) return;
    this.seen++;
    describe(sender, from, packet, linkLength, etherType, kind);
    const isKept = this.ring === null ? this.queue(packet, skipped, length, linkLength) : this.toRing(packet, skipped, length, linkLength);
    if (isKept) this.observer?.onChange(READABLE);
    else this.drops++;
  }

  /** Puts a frame from `sender` in the queue. False: there is no room. */
  private queue(packet: Packet, skipped: number, length: number, linkLength: number): boolean {
    const { pool, nowNs } = this.layer.state;
    const copy = this.received + length + PACKET_OVERHEAD > this.receiveBuffer ? null : pool.take(length);
    if (copy === null) return false;
    copyBytes(packet.memory, packet.start + skipped, copy.memory, copy.start, length);
    copy.end += length;
    const frame = new Frame(copy, nowNs);
    frame.from.copy(sender);
    frame.wholeLength = packet.length - skipped;
    frame.linkLength = linkLength - skipped;
    this.append(frame);
    return true;
  }

  private toRing(packet: Packet, skipped: number, length: number, linkLength: number): boolean {
    ringFrame.packet = packet;
    ringFrame.skipped = skipped;
    ringFrame.length = packet.length - skipped;
    ringFrame.captured = length;
    ringFrame.linkLength = linkLength - skipped;
    ringFrame.isLosing = this.drops > 0;
    ringFrame.timeNs = this.realtimeAt(this.layer.state.nowNs);
    return this.ring!.put(ringFrame, sender);
  }

  /** Frames go to `ring` from now on, or, null, to the queue again. What has come is lost. */
  setRing(ring: ReceiveRing | null): void {
    this.ring = ring;
    while (this.head !== null) this.drop();
  }

  private append(frame: Frame): void {
    if (this.tail === null) this.head = frame;
    else this.tail.next = frame;
    this.tail = frame;
    this.received += frame.packet.length + PACKET_OVERHEAD;
  }

  /** The first frame: bytes moved, with MSG_TRUNC its length; -EAGAIN, -EFAULT, a pending error. */
  receive(io: Io, into: ReceivedFrame, flags: number): number {
    if (this.error !== 0) return -this.takeError();
    const frame = this.head;
    if (frame === null) return -EAGAIN;
    const { packet } = frame;
    into.from.copy(frame.from);
    into.timeNs = frame.timeNs;
    into.length = packet.length;
    into.wholeLength = frame.wholeLength;
    into.linkLength = frame.linkLength;
    const wanted = Math.min(packet.length, io.remaining);
    into.isTruncated = wanted < packet.length;
    const moved = wanted === 0 ? 0 : io.put(packet.memory, packet.start, wanted);
    const { length } = packet;
    if ((flags & MSG_PEEK) === 0) this.drop();
    if (moved < wanted) return -EFAULT;
    return (flags & MSG_TRUNC) !== 0 ? length : moved;
  }

  private drop(): void {
    const frame = this.head!;
    this.head = frame.next;
    if (this.head === null) this.tail = null;
    this.received -= frame.packet.length + PACKET_OVERHEAD;
    frame.packet.release();
  }

  /** Sends all of `io` as a frame; `to` null: by the bound interface. Bytes sent or -ENXIO, -ENETDOWN, -EMSGSIZE, -EINVAL, -EFAULT, -ENOBUFS. */
  send(io: Io, to: LinkAddress | null): number {
    const owner = this.layer.interfaces.byIndex(to === null || to.interfaceIndex === 0 ? this.interfaceIndex : to.interfaceIndex);
    if (owner === null) return -ENXIO;
    if (!owner.isUp) return -ENETDOWN;
    const linkLength = owner.isEthernet || owner.isLoopback ? ETHERNET_HEADER_LENGTH : 0;
    const length = io.remaining;
    if (length > owner.mtu + (this.isCooked ? 0 : linkLength)) return -EMSGSIZE;
    if (!this.isCooked && length < linkLength) return -EINVAL;
    const packet = takeWhole(this.layer.state.pool, io);
    if (typeof packet === 'number') return packet;
    if (this.isCooked && linkLength > 0) {
      const at = packet.prepend(linkLength);
      writeEthernet(packet.memory.view, at, to === null ? ZERO : to.hardware, owner.hardware, to === null ? this.protocol : to.protocol);
    }
    const result = owner.isLoopback
      ? this.layer.toLoopback(owner, packet, linkLength)
      : this.layer.links.frame(owner, packet, linkLength, NO_OFFLOAD);
    return result < 0 ? result : length;
  }

  close(): void {
    this.observer = null;
    while (this.head !== null) this.drop();
    for (const owner of this.promiscuous.splice(0)) owner.promiscuousUsers--;
    this.layer.forget(this);
  }
}

const ZERO = new HardwareAddress();

/** Where a frame comes from. */
function describe(address: LinkAddress, from: NetworkInterface, packet: Packet, linkLength: number, etherType: number, kind: number): void {
  address.protocol = etherType;
  address.interfaceIndex = from.index;
  address.hardwareType = from.hardwareType;
  address.kind = kind;
  address.hardwareLength = linkLength >= ETHERNET_HEADER_LENGTH ? HARDWARE_ADDRESS_LENGTH : 0;
  if (address.hardwareLength > 0) address.hardware.read(packet.memory.view, packet.start + HARDWARE_ADDRESS_LENGTH);
  else address.hardware.set(0, 0);
}

/** All packet endpoints of a stack. */
export class PacketLayer implements InterfaceListener {
  readonly state: StackState;
  readonly interfaces: InterfaceTable;
  readonly links: LinkOutput;
  readonly filterView: FilterView;
  readonly endpoints: PacketEndpoint[] = [];
  /** Frames that a guest sends on `lo` come back as packets. */
  private readonly receive: (owner: NetworkInterface, packet: Packet) => number;

  constructor(
    state: StackState,
    interfaces: InterfaceTable,
    links: LinkOutput,
    filterView: FilterView,
    receive: (owner: NetworkInterface, packet: Packet) => number,
  ) {
    this.state = state;
    this.interfaces = interfaces;
    this.links = links;
    this.filterView = filterView;
    this.receive = receive;
  }

  /** `protocol`: an Ethertype, ETH_P_ALL or 0. The caller has CAP_NET_RAW. -ENOBUFS. */
  endpoint(kind: 'raw' | 'cooked', protocol: number): PacketEndpoint | number {
    if (this.endpoints.length >= PACKET_ENDPOINTS_MAX) return -ENOBUFS;
    const endpoint = new PacketEndpoint(this, kind, protocol);
    this.endpoints.push(endpoint);
    this.attach(endpoint);
    return endpoint;
  }

  /** Listens where the endpoint now wants to. */
  attach(endpoint: PacketEndpoint): void {
    this.detach(endpoint);
    if (endpoint.protocol === 0) return;
    for (const owner of this.interfaces.list)
      if (endpoint.interfaceIndex === 0 || endpoint.interfaceIndex === owner.index) owner.taps.push(endpoint);
  }

  private detach(endpoint: PacketEndpoint): void {
    for (const { taps } of this.interfaces.list) {
      const place = taps.indexOf(endpoint);
      if (place >= 0) taps.splice(place, 1);
    }
  }

  forget(endpoint: PacketEndpoint): void {
    this.detach(endpoint);
    this.endpoints.splice(this.endpoints.indexOf(endpoint), 1);
  }

  interfaceAdded(owner: NetworkInterface): void {
    for (const endpoint of this.endpoints) if (endpoint.interfaceIndex === 0 && endpoint.protocol !== 0) owner.taps.push(endpoint);
  }

  /** Takes the packet over. */
  toLoopback(owner: NetworkInterface, packet: Packet, linkLength: number): number {
    packet.start += linkLength;
    return this.receive(owner, packet);
  }
}
