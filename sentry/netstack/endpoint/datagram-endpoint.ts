/**
 * What endpoints with message boundaries share: the receive queue with its account, pending errors and the error queue, events, and the
 * groups that were joined. UDP, raw and ping endpoints derive from it.
 *
 * Nothing here blocks: `receive` answers -EAGAIN, and the observer hears when something changes.
 */
import { EADDRINUSE, EADDRNOTAVAIL, EAGAIN, EFAULT, EINVAL, EMSGSIZE, ENOBUFS, ENODEV } from '#sentry/abi/errno.ts';
import { POLLERR, POLLHUP, POLLRDHUP, READABLE, WRITABLE } from '#sentry/abi/fs.ts';
import { MSG_PEEK, MSG_TRUNC, SHUT_RD, SHUT_RDWR, SHUT_WR } from '#sentry/abi/socket.ts';
import type { IpAddress } from '../address.ts';
import { IpAddress as Address } from '../address.ts';
import type { Io } from '../../mm/io.ts';
import { SO_EE_ORIGIN_LOCAL } from '../ip/arrival.ts';
import type { ErrorReport } from '../ip/arrival.ts';
import type { Groups } from '../ip/groups.ts';
import type { IpHeader } from '../ip/header.ts';
import type { IpOutput } from '../ip/output.ts';
import { ERROR_QUEUE_MAX, MEMBERSHIPS_PER_SOCKET_MAX, PACKET_OVERHEAD } from '../limits.ts';
import type { InterfaceTable } from '../link/interface-table.ts';
import type { NetworkInterface } from '../link/interface.ts';
import { copyBytes, Payload } from '../packet.ts';
import type { Packet } from '../packet.ts';
import { SocketAddress } from '../socket-address.ts';
import type { StackState } from '../stack-state.ts';
import { ReceivedError } from './datagram.ts';
import type { Datagram, DatagramStore, ReceivedDatagram } from './datagram.ts';
import type { FilterView } from './filter-view.ts';
import type { EndpointObserver } from './observer.ts';
import { EndpointOptions } from './options.ts';
import type { EndpointOwner } from './owner.ts';

/** What endpoints need of their stack. */
export interface EndpointContext {
  readonly state: StackState;
  readonly output: IpOutput;
  readonly interfaces: InterfaceTable;
  readonly groups: Groups;
  readonly datagrams: DatagramStore;
  readonly filterView: FilterView;
}

interface Membership {
  readonly group: Address;
  readonly interface: NetworkInterface;
}

interface QueuedError {
  readonly error: ReceivedError;
  readonly packet: Packet | null;
}

// Others may be given the whole payload.
const shortened = new Payload();

export abstract class DatagramEndpoint {
  readonly version: 4 | 6;
  readonly options = new EndpointOptions();
  /** What getsockname and getpeername tell. `local.port` 0: not bound. */
  readonly local = new SocketAddress();
  readonly remote = new SocketAddress();
  isConnected = false;
  isClosed = false;
  observer: EndpointObserver | null = null;
  /** Who connected it or sent by it last. */
  owner: EndpointOwner | null = null;
  /** Datagrams that did not fit (SO_RXQ_OVFL, /proc/net/udp). */
  drops = 0;
  protected readonly context: EndpointContext;
  /** Pending error, positive. */
  protected error = 0;
  protected isReadShut = false;
  protected isWriteShut = false;
  private head: Datagram | null = null;
  private tail: Datagram | null = null;
  /** Bytes charged to the receive buffer. */
  received = 0;
  private readonly errors: QueuedError[] = [];
  private readonly memberships: Membership[] = [];

  constructor(context: EndpointContext, version: 4 | 6) {
    this.context = context;
    this.version = version;
    if (version === 4) {
      this.local.address.setIpv4(0);
      this.remote.address.setIpv4(0);
    }
  }

  /** POLL* bits that are true now. */
  get events(): number {
    let events = WRITABLE;
    if (this.head !== null || this.isReadShut) events |= READABLE;
    if (this.isReadShut) events |= POLLRDHUP;
    if (this.isReadShut && this.isWriteShut) events |= POLLHUP;
    if (this.error !== 0 || this.errors.length > 0) events |= POLLERR;
    return events;
  }

  /** Bytes of the first datagram (FIONREAD). */
  get nextLength(): number {
    return this.head === null ? 0 : this.head.payload.length;
  }

  /** SO_ERROR: the pending error, forgotten by asking. Positive. */
  takeError(): number {
    const { error } = this;
    this.error = 0;
    return error;
  }

  /**
   * The first datagram into `io`: bytes moved, with MSG_TRUNC in `flags` the datagram's length. What does not fit is lost, unless MSG_PEEK.
   * -EAGAIN, -EFAULT, or a pending error. 0 after shutdown.
   */
  receive(io: Io, into: ReceivedDatagram, flags: number): number {
    if (this.error !== 0) return -this.takeError();
    const datagram = this.head;
    if (datagram === null) return this.isReadShut ? 0 : -EAGAIN;
    datagram.describe(into);
    const length = this.lengthOf(datagram);
    into.length = length;
    const wanted = Math.min(length, io.remaining);
    into.isTruncated = wanted < length;
    const moved = wanted === 0 ? 0 : this.copyOut(datagram, io, wanted);
    const isFault = moved < wanted;
    if ((flags & MSG_PEEK) === 0) this.context.datagrams.put(this.dequeue()!);
    if (isFault) return -EFAULT;
    return (flags & MSG_TRUNC) !== 0 ? length : moved;
  }

  /** Bytes a reader gets of a datagram; raw sockets see headers too. */
  protected lengthOf(datagram: Datagram): number {
    return datagram.payload.length;
  }

  protected copyOut(datagram: Datagram, io: Io, length: number): number {
    const { payload } = datagram;
    return io.put(payload.packet!.memory, payload.offset, length);
  }

  /** The first error into `io`, which gets what is left of the packet (MSG_ERRQUEUE). Bytes moved, -EAGAIN, -EFAULT. */
  receiveError(io: Io, into: ReceivedError): number {
    const queued = this.errors.shift();
    if (queued === undefined) return -EAGAIN;
    into.copy(queued.error);
    const wanted = Math.min(queued.error.length, io.remaining);
    into.isTruncated = wanted < queued.error.length;
    const { packet } = queued;
    const moved = packet === null || wanted === 0 ? 0 : io.put(packet.memory, packet.start, wanted);
    packet?.release();
    // Linux: what is next in the queue becomes the pending error.
    const next = this.errors[0];
    this.error = next === undefined || next.error.origin === SO_EE_ORIGIN_LOCAL ? 0 : next.error.errno;
    return moved < wanted ? -EFAULT : moved;
  }

  /** SHUT_RD, SHUT_WR or SHUT_RDWR: 0 or -errno. */
  shutdown(how: number): number {
    if (how !== SHUT_RD && how !== SHUT_WR && how !== SHUT_RDWR) return -EINVAL;
    if (how !== SHUT_WR) this.isReadShut = true;
    if (how !== SHUT_RD) this.isWriteShut = true;
    this.notify(READABLE | WRITABLE | POLLHUP | POLLRDHUP);
    return 0;
  }

  /** The end: nothing may be called afterwards. */
  close(): void {
    this.isClosed = true;
    this.observer = null;
    for (let datagram = this.dequeue(); datagram !== null; datagram = this.dequeue()) this.context.datagrams.put(datagram);
    for (const { packet } of this.errors.splice(0)) packet?.release();
    for (const { group, interface: owner } of this.memberships.splice(0)) this.context.groups.leave(owner, group);
  }

  /** The payload without what the socket's filter took off, which left `kept` bytes; null: it left nothing. */
  protected trimmed(payload: Payload, kept: number): Payload | null {
    if (kept === payload.length) return payload;
    if (kept >= 0) return shortened.set(payload.packet!, payload.offset, kept);
    this.drops++;
    return null;
  }

  /** Queues a datagram, unless the buffer is full or memory short. The payload's packet is held. */
  protected enqueue(ip: IpHeader, sourcePort: number, destinationPort: number, payload: Payload): boolean {
    if (this.isReadShut) return false;
    const charge = payload.length + PACKET_OVERHEAD;
    const { pool } = this.context.state;
    const isFull = this.received + charge > this.options.receiveBuffer || pool.isScarce;
    if ((isFull && this.received > 0) || pool.isExhausted) {
      this.drops++;
      return false;
    }
    const datagram = this.context.datagrams.take();
    datagram.payload.set(payload.packet!.hold(), payload.offset, payload.length);
    const scope = ip.source.isLinkLocal && ip.version === 6 ? ip.interfaceIndex : 0;
    datagram.from.set(ip.source, sourcePort, scope);
    datagram.destination.set(ip.destination, destinationPort);
    datagram.interfaceIndex = ip.interfaceIndex;
    datagram.hopLimit = ip.hopLimit;
    datagram.trafficClass = ip.trafficClass;
    datagram.flowLabel = ip.flowLabel;
    datagram.version = ip.version;
    datagram.protocol = ip.protocol;
    datagram.identification = ip.identification;
    datagram.dontFragment = ip.dontFragment;
    datagram.timeNs = this.context.state.nowNs;
    if (this.tail === null) this.head = datagram;
    else this.tail.next = datagram;
    this.tail = datagram;
    this.received += charge;
    this.notify(READABLE);
    return true;
  }

  private dequeue(): Datagram | null {
    const datagram = this.head;
    if (datagram === null) return null;
    this.head = datagram.next;
    if (this.head === null) this.tail = null;
    datagram.next = null;
    this.received -= datagram.payload.length + PACKET_OVERHEAD;
    return datagram;
  }

  protected notify(events: number): void {
    this.observer?.onChange(events);
  }

  /** An ICMP error, or one of our own, about a packet this endpoint sent to `port` of the report's destination. */
  reportError(report: ErrorReport, port: number): void {
    const { options } = this;
    if (options.isErrorQueued) this.queueError(report, port);
    else if (!report.isHard || !this.isConnected) return;
    this.error = report.errno;
    this.notify(POLLERR | READABLE | WRITABLE);
  }

  /** We ourselves refuse a packet as too big for the path: told by the queue too, where it was asked for (ip(7), IP_RECVERR). */
  protected queueTooBig(to: SocketAddress, mtu: number): void {
    if (!this.options.isErrorQueued || this.errors.length >= ERROR_QUEUE_MAX) return;
    const error = new ReceivedError();
    error.errno = EMSGSIZE;
    error.origin = SO_EE_ORIGIN_LOCAL;
    error.info = mtu;
    error.destination.copy(to);
    this.errors.push({ error, packet: null });
    this.notify(POLLERR);
  }

  private queueError(report: ErrorReport, port: number): void {
    if (this.errors.length >= ERROR_QUEUE_MAX) return;
    const error = new ReceivedError();
    error.errno = report.errno;
    error.origin = report.origin;
    error.type = report.type;
    error.code = report.code;
    error.info = report.info;
    error.offender.copy(report.offender);
    error.destination.set(report.ip.destination, port);
    error.interfaceIndex = report.ip.interfaceIndex;
    const packet = this.copyQuoted(report.quoted);
    error.length = packet === null ? 0 : packet.length;
    this.errors.push({ error, packet });
  }

  /** What an error's reader gets to see of the packet: the data behind the transport header. */
  protected copyQuoted(quoted: Payload): Packet | null {
    const skipped = this.transportHeaderLength;
    if (quoted.packet === null || quoted.length <= skipped) return null;
    const length = Math.min(quoted.length - skipped, 2048);
    const packet = this.context.state.pool.take(length);
    if (packet === null) return null;
    copyBytes(quoted.packet.memory, quoted.offset + skipped, packet.memory, packet.start, length);
    packet.end += length;
    return packet;
  }

  /** Bytes of the protocol's own header in front of what users send. */
  protected abstract get transportHeaderLength(): number;

  /**
   * Joins a group (IP_ADD_MEMBERSHIP, IPV6_JOIN_GROUP) on an interface, 0: the one that routes lead to.
   * 0, -EINVAL (no group), -ENODEV, -EADDRINUSE (already), -ENOBUFS.
   */
  join(group: IpAddress, interfaceIndex: number): number {
    if (!group.isMulticast) return -EINVAL;
    const owner = this.groupInterface(group, interfaceIndex);
    if (owner === null) return -ENODEV;
    if (this.memberships.some((known) => known.interface === owner && known.group.equals(group))) return -EADDRINUSE;
    if (this.memberships.length >= MEMBERSHIPS_PER_SOCKET_MAX) return -ENOBUFS;
    const joined = this.context.groups.join(owner, group);
    if (joined === 0) this.memberships.push({ group: new Address().copy(group), interface: owner });
    return joined;
  }

  /** 0, -EINVAL, -EADDRNOTAVAIL (was not joined). */
  leave(group: IpAddress, interfaceIndex: number): number {
    if (!group.isMulticast) return -EINVAL;
    const place = this.memberships.findIndex(
      (known) => known.group.equals(group) && (interfaceIndex === 0 || known.interface.index === interfaceIndex),
    );
    if (place < 0) return -EADDRNOTAVAIL;
    const [left] = this.memberships.splice(place, 1);
    return this.context.groups.leave(left!.interface, group);
  }

  private groupInterface(group: IpAddress, index: number): NetworkInterface | null {
    const { interfaces } = this.context;
    if (index !== 0) return interfaces.byIndex(index);
    return this.context.output.groupInterface(group);
  }

  /** Whether a packet to a group of an interface is for this endpoint (IP_MULTICAST_ALL). */
  protected isInGroup(group: IpAddress, interfaceIndex: number): boolean {
    for (const known of this.memberships) if (known.interface.index === interfaceIndex && known.group.equals(group)) return true;
    return this.options.takesAllGroups;
  }
}
