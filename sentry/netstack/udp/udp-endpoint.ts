/**
 * A UDP endpoint: the protocol's half of a SOCK_DGRAM socket (udp(7)).
 *
 *     endpoint.bind(local); endpoint.send(io, to, null, 0); endpoint.receive(io, into, 0); endpoint.close();
 *
 * A send copies the guest's bytes once, into a packet; on loopback the receiver reads that very packet. Sending never waits: what a full
 * receiver or link cannot take is lost, as UDP may.
 */
import {
  EADDRINUSE,
  EAFNOSUPPORT,
  EDESTADDRREQ,
  EFAULT,
  EINVAL,
  EMSGSIZE,
  ENETUNREACH,
  ENOBUFS,
  ENOTCONN,
  EPIPE,
} from '#sentry/abi/errno.ts';
import { MSG_MORE } from '#sentry/abi/socket.ts';
import type { Io } from '../../mm/io.ts';
import { checkBindAddress, checkSource, prepareHeader, routeSend, setAny } from '../endpoint/addressing.ts';
import { DatagramEndpoint } from '../endpoint/datagram-endpoint.ts';
import type { EndpointContext } from '../endpoint/datagram-endpoint.ts';
import type { SendAncillary } from '../endpoint/options.ts';
import { IpHeader } from '../ip/header.ts';
import { Path } from '../ip/path.ts';
import { Payload } from '../packet.ts';
import type { Packet } from '../packet.ts';
import { SocketAddress } from '../socket-address.ts';
import { UDP_HEADER_LENGTH } from '../wire/udp.ts';
import type { Udp } from './udp.ts';

/** Bytes of data in one datagram: what the length fields of IPv4 and of UDP leave. */
const DATA_MAX_IPV4 = 65_507;
const DATA_MAX_IPV6 = 65_527;
/** Datagrams one send may be cut to (UDP_MAX_SEGMENTS). */
const SEGMENTS_MAX = 128;

// Scratch of one send at a time.
const header = new IpHeader();
const freePath = new Path();
const range = new Payload();

export class UdpEndpoint extends DatagramEndpoint {
  private readonly udp: Udp;
  /** To the connected peer. */
  private readonly path = new Path();
  /** The address was given to `bind`, and stays when a connection ends. */
  private isAddressBound = false;
  private isPortBound = false;
  /** Data of a datagram that is not complete (UDP_CORK, MSG_MORE), and where it goes. */
  private corked: Packet | null = null;
  private readonly corkedTo = new SocketAddress();

  constructor(context: EndpointContext, udp: Udp, version: 4 | 6) {
    super(context, version);
    this.udp = udp;
  }

  protected override get transportHeaderLength(): number {
    return UDP_HEADER_LENGTH;
  }

  /** 0, -EINVAL (bound already), -EADDRNOTAVAIL, -EADDRINUSE, -EAFNOSUPPORT. Port 0: a free one. */
  bind(wanted: SocketAddress): number {
    if (this.local.port !== 0) return -EINVAL;
    const { address } = wanted;
    if (this.version === 4 ? !address.isIpv4 : this.options.isV6Only && address.isIpv4) return this.version === 4 ? -EAFNOSUPPORT : -EINVAL;
    const checked = checkBindAddress(this.context.interfaces, this.options, wanted);
    if (checked < 0) return checked;
    this.local.address.copy(address);
    this.local.scope = wanted.scope;
    const port = this.udp.ports.bind(this, wanted.port);
    if (port < 0) {
      setAny(this.local.address, this.version);
      this.local.scope = 0;
      return -EADDRINUSE;
    }
    this.isAddressBound = !address.isUnspecified;
    this.isPortBound = wanted.port !== 0;
    return 0;
  }

  private bindSomewhere(): number {
    if (this.local.port !== 0) return 0;
    const port = this.udp.ports.bind(this, 0);
    return port < 0 ? -EADDRINUSE : 0;
  }

  /** Sets the peer, or dissolves the connection for null. 0, -EACCES, -EADDRINUSE, -EAFNOSUPPORT, or what routing says. */
  connect(to: SocketAddress | null): number {
    if (to === null) return this.disconnect();
    if (this.version === 4 ? !to.address.isIpv4 : this.options.isV6Only && to.address.isIpv4)
      return this.version === 4 ? -EAFNOSUPPORT : -ENETUNREACH;
    if (!this.isAddressBound) setAny(this.local.address, this.version);
    const routed = routeSend(this.context.output, this.path, this.options, this.local, to, null);
    if (routed < 0) return routed;
    this.local.address.copy(this.path.source);
    this.path.isSourceGiven = true;
    const bound = this.bindSomewhere();
    if (bound < 0) return bound;
    this.remote.copy(to);
    this.remote.address.copy(this.path.destination);
    this.isConnected = true;
    return 0;
  }

  /** Linux: an address or port that bind did not give is forgotten. */
  private disconnect(): number {
    this.isConnected = false;
    setAny(this.remote.address, this.version);
    this.remote.port = 0;
    this.remote.scope = 0;
    if (!this.isAddressBound) setAny(this.local.address, this.version);
    if (this.isPortBound) return 0;
    this.udp.ports.unbind(this);
    this.local.port = 0;
    return 0;
  }

  /**
   * Sends all of `io` as one datagram, to `to` or the peer. `flags`: MSG_MORE. Bytes sent, or -EDESTADDRREQ, -EMSGSIZE, -EPIPE, -EFAULT,
   * -ENOBUFS, -EINVAL, -EACCES, a pending error, or what routing says.
   */
  send(io: Io, to: SocketAddress | null, ancillary: SendAncillary | null, flags: number): number {
    if (this.isWriteShut) return -EPIPE;
    const length = io.remaining;
    if (length > 65_535) return -EMSGSIZE;
    if (this.corked !== null) return this.appendCorked(io, flags, ancillary);
    const target = to ?? (this.isConnected ? this.remote : null);
    if (target === null) return -EDESTADDRREQ;
    const checked = this.checkSend(target, ancillary);
    if (checked < 0) return checked;
    if (this.error !== 0) return -this.takeError();
    const path = to === null && ancillary === null ? this.path : this.route(target, ancillary);
    if (path === null) return this.routeError;
    if (this.options.isCorked || (flags & MSG_MORE) !== 0) return this.cork(io, target);
    const result = this.sendNow(io, path, target, ancillary);
    if (result === -EMSGSIZE) this.queueTooBig(target, path.mtu);
    return result;
  }

  private checkSend(target: SocketAddress, ancillary: SendAncillary | null): number {
    if (target.port === 0) return -EINVAL;
    const isIpv4 = target.address.isIpv4;
    if (this.version === 4 && !isIpv4) return -EAFNOSUPPORT;
    if (this.version === 6 && isIpv4 && this.options.isV6Only) return -ENETUNREACH;
    const source = checkSource(this.context.interfaces, this.options, ancillary);
    return source < 0 ? source : this.bindSomewhere();
  }

  private routeError = 0;

  /** The way to somebody who is not the peer; null: `routeError` says why there is none. */
  private route(target: SocketAddress, ancillary: SendAncillary | null): Path | null {
    this.routeError = routeSend(this.context.output, freePath, this.options, this.local, target, ancillary);
    return this.routeError < 0 ? null : freePath;
  }

  private sendNow(io: Io, path: Path, target: SocketAddress, ancillary: SendAncillary | null): number {
    const length = io.remaining;
    if (length > this.dataMax(path)) return -EMSGSIZE;
    const packet = this.context.state.pool.takeDatagram(length);
    if (packet === null) return -ENOBUFS;
    const taken = length === 0 ? 0 : io.take(packet.memory, packet.end, length);
    packet.end += Math.max(taken, 0);
    const result = taken < length ? -EFAULT : this.sendData(packet, path, target, ancillary);
    packet.release();
    return result;
  }

  private dataMax(path: Path): number {
    return path.destination.isIpv4 ? DATA_MAX_IPV4 : DATA_MAX_IPV6;
  }

  /** Everything in `packet`, as one datagram or cut to segments. */
  private sendData(packet: Packet, path: Path, target: SocketAddress, ancillary: SendAncillary | null): number {
    const { output } = this.context;
    const length = packet.length;
    prepareHeader(header, this.udp.protocol, path, this.options, ancillary);
    const segment = ancillary !== null && ancillary.segmentSize >= 0 ? ancillary.segmentSize : this.options.segmentSize;
    const size = segment > 0 && segment < length ? segment : length;
    if (size > 0 && length > size * SEGMENTS_MAX) return -EINVAL;
    const counters = this.udp.counters(header.version);
    let sent = 0;
    do {
      const part = range.set(packet, packet.start + sent, Math.min(size, length - sent));
      // The output may have put a header in front of the only part.
      const result = output.sendUdp(path, header, this.local.port, target.port, part);
      if (result < 0) {
        if (result === -ENOBUFS) counters.SndbufErrors++;
        // Linux: a full queue is no error unless errors are asked for.
        if (result !== -ENOBUFS || this.options.isErrorQueued) return result;
      } else counters.OutDatagrams++;
      sent += part.length;
    } while (sent < length);
    return length;
  }

  /** Begins a datagram that is not complete. */
  private cork(io: Io, target: SocketAddress): number {
    const packet = this.context.state.pool.take(65_535);
    if (packet === null) return -ENOBUFS;
    this.corked = packet;
    this.corkedTo.copy(target);
    return this.fillCorked(io);
  }

  private fillCorked(io: Io): number {
    const packet = this.corked!;
    const length = io.remaining;
    if (packet.length + length > (this.corkedTo.address.isIpv4 ? DATA_MAX_IPV4 : DATA_MAX_IPV6)) return this.dropCorked(-EMSGSIZE);
    const taken = length === 0 ? 0 : io.take(packet.memory, packet.end, length);
    if (taken < length) return this.dropCorked(-EFAULT);
    packet.end += length;
    return length;
  }

  private dropCorked(error: number): number {
    this.corked?.release();
    this.corked = null;
    return error;
  }

  private appendCorked(io: Io, flags: number, ancillary: SendAncillary | null): number {
    const added = this.fillCorked(io);
    if (added < 0 || this.options.isCorked || (flags & MSG_MORE) !== 0) return added;
    const flushed = this.flushCork(ancillary);
    return flushed < 0 ? flushed : added;
  }

  /** Sends what was corked (UDP_CORK turned off): 0 or -errno. */
  flushCork(ancillary: SendAncillary | null = null): number {
    const packet = this.corked;
    if (packet === null) return 0;
    this.corked = null;
    const path = this.route(this.corkedTo, ancillary);
    const result = path === null ? this.routeError : this.sendData(packet, path, this.corkedTo, ancillary);
    packet.release();
    return Math.min(result, 0);
  }

  /** The path MTU to the peer (IP_MTU): bytes of an IP packet; 0 when not connected. */
  get pathMtu(): number {
    return this.isConnected && this.context.output.refresh(this.path) === 0 ? this.path.mtu : 0;
  }

  /** A datagram for this endpoint, its payload's packet held by the caller. */
  deliver(ip: IpHeader, sourcePort: number, destinationPort: number, payload: Payload): void {
    const counters = this.udp.counters(ip.version);
    const isUnchecked = ip.skipsChecksum && ip.version === 6 && !this.options.takesNoChecksum;
    if (isUnchecked || isCoveredLess(ip, payload.length, this.options.receiveCoverage)) {
      counters.InErrors++;
      return;
    }
    const { filter } = this.options;
    const { filterView } = this.context;
    const shown = filter === null ? payload : this.trimmed(payload, filterView.udp(filter, ip, sourcePort, destinationPort, payload));
    if (shown === null) {
      counters.InErrors++;
      return;
    }
    if (this.enqueue(ip, sourcePort, destinationPort, shown)) {
      counters.InDatagrams++;
      return;
    }
    counters.InErrors++;
    counters.RcvbufErrors++;
  }

  /** Whether what came to a group or to all is for us. */
  wantsGroup(ip: IpHeader): boolean {
    return !ip.destination.isMulticast || this.isInGroup(ip.destination, ip.interfaceIndex);
  }

  /** Linux: one without a peer is shut down too, and told that it has none. */
  override shutdown(how: number): number {
    const result = super.shutdown(how);
    return result === 0 && !this.isConnected ? -ENOTCONN : result;
  }

  override close(): void {
    if (this.isClosed) return;
    this.dropCorked(0);
    super.close();
    this.udp.forget(this);
  }
}

/** UDP-Lite: the sender's checksum says less than this receiver asks for. */
function isCoveredLess(ip: IpHeader, length: number, least: number): boolean {
  const { checksumCoverage } = ip;
  return checksumCoverage !== 0 && checksumCoverage < least && checksumCoverage < UDP_HEADER_LENGTH + length;
}
