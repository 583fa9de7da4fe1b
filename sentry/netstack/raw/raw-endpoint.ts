/**
 * A raw IP endpoint (raw(7), RFC 3542): sends packets of its protocol, with an IP header of ours or (IPv4, IP_HDRINCL) its own, and receives
 * every packet of its protocol; of IPv4 with the header in front.
 *
 * Linux: the header shown is the one that came. Here it is made anew from what IP keeps of it, so options are not seen.
 */
import { EAFNOSUPPORT, EDESTADDRREQ, EINVAL, EMSGSIZE, ENOBUFS, ENOTCONN } from '#sentry/abi/errno.ts';
import { EPIPE } from '#sentry/abi/errno.ts';
import type { Io } from '../../mm/io.ts';
import { addBytes, finishSum, pseudoHeaderSum } from '../checksum.ts';
import { checkBindAddress, checkSource, prepareHeader, routeSend, setAny } from '../endpoint/addressing.ts';
import type { Datagram } from '../endpoint/datagram.ts';
import { DatagramEndpoint } from '../endpoint/datagram-endpoint.ts';
import { takeWhole } from '../endpoint/whole-packet.ts';
import type { EndpointContext } from '../endpoint/datagram-endpoint.ts';
import type { SendAncillary } from '../endpoint/options.ts';
import type { Arrival, ErrorReport } from '../ip/arrival.ts';
import { IpHeader, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_RAW } from '../ip/header.ts';
import { Path } from '../ip/path.ts';
import type { Packet } from '../packet.ts';
import type { SocketAddress } from '../socket-address.ts';
import { fixIpv4Checksum, IPV4_HEADER_LENGTH, writeIpv4 } from '../wire/ipv4.ts';
import type { Raw } from './raw.ts';

const header = new IpHeader();
const path = new Path();

export class RawEndpoint extends DatagramEndpoint {
  readonly protocol: number;
  /** IP_HDRINCL. */
  isHeaderIncluded: boolean;
  /** ICMP_FILTER: bit n set, type n is not delivered. */
  icmpFilter = 0;
  /** ICMPV6_FILTER: the same for 256 types. */
  readonly icmpv6Filter = new Int32Array(8);
  /** IPV6_CHECKSUM: where in the data the checksum is, -1 for none. */
  checksumOffset: number;
  private readonly raw: Raw;

  constructor(context: EndpointContext, raw: Raw, version: 4 | 6, protocol: number) {
    super(context, version);
    this.raw = raw;
    this.protocol = protocol;
    this.isHeaderIncluded = protocol === IPPROTO_RAW;
    this.checksumOffset = version === 6 && protocol === IPPROTO_ICMPV6 ? 2 : -1;
    // As getsockname shows it.
    this.local.port = protocol;
  }

  protected override get transportHeaderLength(): number {
    return 0;
  }

  /** 0, -EADDRNOTAVAIL, -EAFNOSUPPORT, -EINVAL. */
  bind(wanted: SocketAddress): number {
    if (wanted.address.isIpv4 !== (this.version === 4)) return -EAFNOSUPPORT;
    const checked = checkBindAddress(this.context.interfaces, this.options, wanted);
    if (checked < 0) return checked;
    this.local.address.copy(wanted.address);
    this.local.scope = wanted.scope;
    return 0;
  }

  /** Sets the peer, null: none. */
  connect(to: SocketAddress | null): number {
    if (to === null) {
      this.isConnected = false;
      setAny(this.remote.address, this.version);
      setAny(this.local.address, this.version);
      return 0;
    }
    if (to.address.isIpv4 !== (this.version === 4)) return -EAFNOSUPPORT;
    const routed = routeSend(this.context.output, path, this.options, this.local, to, null);
    if (routed < 0) return routed;
    this.local.address.copy(path.source);
    this.remote.copy(to);
    this.isConnected = true;
    return 0;
  }

  /** Sends all of `io` as one packet. Bytes sent or -errno, as `UdpEndpoint.send`. */
  send(io: Io, to: SocketAddress | null, ancillary: SendAncillary | null): number {
    if (this.isWriteShut) return -EPIPE;
    const length = io.remaining;
    if (length > 65_535) return -EMSGSIZE;
    const target = to ?? (this.isConnected ? this.remote : null);
    if (target === null) return -EDESTADDRREQ;
    if (target.address.isIpv4 !== (this.version === 4)) return -EAFNOSUPPORT;
    const checked = checkSource(this.context.interfaces, this.options, ancillary);
    if (checked < 0) return checked;
    if (this.error !== 0) return -this.takeError();
    const routed = routeSend(this.context.output, path, this.options, this.local, target, ancillary);
    if (routed < 0) return routed;
    const packet = takeWhole(this.context.state.pool, io);
    if (typeof packet === 'number') return packet;
    prepareHeader(header, this.protocol, path, this.options, ancillary);
    const result = this.version === 4 && this.isHeaderIncluded ? this.sendWhole(packet) : this.sendPayload(packet);
    return result < 0 ? result : length;
  }

  private sendPayload(packet: Packet): number {
    const { checksumOffset } = this;
    if (this.version === 6 && checksumOffset >= 0) {
      if (checksumOffset + 2 > packet.length) {
        packet.release();
        return -EINVAL;
      }
      const { view } = packet.memory;
      view.setUint16(packet.start + checksumOffset, 0);
      const sum = addBytes(pseudoHeaderSum(header, this.protocol, packet.length), view, packet.start, packet.length);
      view.setUint16(packet.start + checksumOffset, finishSum(sum) || 0xffff);
    }
    return this.context.output.sendPacket(path, header, packet);
  }

  /** The guest's own header: length and checksum are always filled in, source and identification when they are zero (raw(7)). */
  private sendWhole(packet: Packet): number {
    const { view } = packet.memory;
    const at = packet.start;
    const headerLength = packet.length < IPV4_HEADER_LENGTH ? 0 : (view.getUint8(at) & 15) * 4;
    if (headerLength < IPV4_HEADER_LENGTH || headerLength > packet.length) {
      packet.release();
      return -EINVAL;
    }
    view.setUint16(at + 2, packet.length);
    if (view.getInt32(at + 12) === 0) view.setInt32(at + 12, path.source.w3);
    if (view.getUint16(at + 4) === 0) view.setUint16(at + 4, this.context.state.random() & 0xffff);
    fixIpv4Checksum(view, at, headerLength);
    header.destination.setIpv4(view.getInt32(at + 16));
    return this.context.output.sendWhole(path, header, packet);
  }

  matches(arrival: Arrival): boolean {
    const { ip } = arrival;
    const { local, remote, options } = this;
    if (this.protocol !== ip.protocol || this.version !== ip.version) return false;
    if (!local.address.isUnspecified && !local.address.equals(ip.destination)) return false;
    if (this.isConnected && !remote.address.equals(ip.source)) return false;
    if (options.boundInterface !== 0 && options.boundInterface !== ip.interfaceIndex) return false;
    if (ip.destination.isMulticast && !this.isInGroup(ip.destination, ip.interfaceIndex)) return false;
    return !this.isFiltered(arrival);
  }

  private isFiltered(arrival: Arrival): boolean {
    const { payload } = arrival;
    if (payload.length === 0) return false;
    const type = payload.packet!.memory.view.getUint8(payload.offset);
    if (this.protocol === IPPROTO_ICMP && this.version === 4) return type < 32 && ((this.icmpFilter >>> type) & 1) !== 0;
    if (this.protocol !== IPPROTO_ICMPV6 || this.version !== 6) return false;
    return ((this.icmpv6Filter[type >>> 5]! >>> (type & 31)) & 1) !== 0;
  }

  deliver(arrival: Arrival): void {
    const { ip, payload } = arrival;
    const { filter } = this.options;
    const shown = filter === null ? payload : this.trimmed(payload, this.context.filterView.raw(filter, ip, payload));
    if (shown !== null) this.enqueue(ip, 0, 0, shown);
  }

  /** Whether the lost packet may have been ours. */
  sent(report: ErrorReport): boolean {
    const { ip } = report;
    if (this.protocol !== ip.protocol || this.version !== ip.version) return false;
    if (!this.local.address.isUnspecified && !this.local.address.equals(ip.source)) return false;
    return !this.isConnected || this.remote.address.equals(ip.destination);
  }

  protected override lengthOf(datagram: Datagram): number {
    return datagram.payload.length + (this.version === 4 ? IPV4_HEADER_LENGTH : 0);
  }

  /** The header is written into the room in front of a copy: the packet itself may have other readers. */
  protected override copyOut(datagram: Datagram, io: Io, length: number): number {
    if (this.version === 6) return super.copyOut(datagram, io, length);
    const shown = this.context.state.pool.takeUrgent(IPV4_HEADER_LENGTH);
    if (shown === null) return -ENOBUFS;
    header.prepare(datagram.from.address, datagram.destination.address, datagram.protocol);
    header.hopLimit = datagram.hopLimit;
    header.trafficClass = datagram.trafficClass;
    header.dontFragment = datagram.dontFragment;
    const { payload } = datagram;
    writeIpv4(header, shown.memory.view, shown.start, Math.min(payload.length, 65_515), datagram.identification);
    const first = Math.min(length, IPV4_HEADER_LENGTH);
    const moved = io.put(shown.memory, shown.start, first);
    shown.release();
    if (moved < first || length === first) return moved;
    const rest = io.put(payload.packet!.memory, payload.offset, length - first);
    return rest < 0 ? moved : moved + rest;
  }

  override shutdown(how: number): number {
    const result = super.shutdown(how);
    return result === 0 && !this.isConnected ? -ENOTCONN : result;
  }

  override close(): void {
    if (this.isClosed) return;
    super.close();
    this.raw.forget(this);
  }
}
