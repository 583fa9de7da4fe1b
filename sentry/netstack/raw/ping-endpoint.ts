/**
 * A ping endpoint: a datagram socket for echo requests that needs no privilege (icmp(7), Linux net/ipv4/ping.c). The identifier of the
 * messages is its port; the guest sees ICMP headers, without IP's.
 */
import { EADDRINUSE, EAFNOSUPPORT, EDESTADDRREQ, EINVAL, EMSGSIZE, ENOTCONN, EPIPE } from '#sentry/abi/errno.ts';
import type { Io } from '../../mm/io.ts';
import { checkBindAddress, checkSource, prepareHeader, routeSend, setAny } from '../endpoint/addressing.ts';
import { DatagramEndpoint } from '../endpoint/datagram-endpoint.ts';
import { takeWhole } from '../endpoint/whole-packet.ts';
import type { EndpointContext } from '../endpoint/datagram-endpoint.ts';
import type { SendAncillary } from '../endpoint/options.ts';
import type { Arrival } from '../ip/arrival.ts';
import { IpHeader } from '../ip/header.ts';
import { Path } from '../ip/path.ts';
import type { SocketAddress } from '../socket-address.ts';
import { fixIcmpChecksum, ICMP_ECHO, ICMP_HEADER_LENGTH, icmpProtocol, ICMPV6_ECHO } from '../wire/icmp.ts';
import type { Raw } from './raw.ts';

const header = new IpHeader();
const path = new Path();

export class PingEndpoint extends DatagramEndpoint {
  private readonly raw: Raw;

  constructor(context: EndpointContext, raw: Raw, version: 4 | 6) {
    super(context, version);
    this.raw = raw;
  }

  protected override get transportHeaderLength(): number {
    return ICMP_HEADER_LENGTH;
  }

  /** `port`: the identifier, 0 for a free one. */
  bind(wanted: SocketAddress): number {
    if (this.local.port !== 0) return -EINVAL;
    if (wanted.address.isIpv4 !== (this.version === 4)) return -EAFNOSUPPORT;
    const checked = checkBindAddress(this.context.interfaces, this.options, wanted);
    if (checked < 0) return checked;
    this.local.address.copy(wanted.address);
    this.local.scope = wanted.scope;
    if (this.raw.pings.bind(this, wanted.port) >= 0) return 0;
    setAny(this.local.address, this.version);
    return -EADDRINUSE;
  }

  connect(to: SocketAddress | null): number {
    if (to === null) {
      this.isConnected = false;
      setAny(this.remote.address, this.version);
      return 0;
    }
    if (to.address.isIpv4 !== (this.version === 4)) return -EAFNOSUPPORT;
    const routed = routeSend(this.context.output, path, this.options, this.local, to, null);
    if (routed < 0) return routed;
    if (this.local.port === 0 && this.raw.pings.bind(this, 0) < 0) return -EADDRINUSE;
    this.local.address.copy(path.source);
    this.remote.copy(to);
    // Replies have no port.
    this.remote.port = 0;
    this.isConnected = true;
    return 0;
  }

  /** `io`: an echo request with its ICMP header, whose identifier and checksum are filled in. Bytes sent or -errno. */
  send(io: Io, to: SocketAddress | null, ancillary: SendAncillary | null): number {
    if (this.isWriteShut) return -EPIPE;
    const length = io.remaining;
    if (length > 65_535) return -EMSGSIZE;
    if (length < ICMP_HEADER_LENGTH) return -EINVAL;
    const target = to ?? (this.isConnected ? this.remote : null);
    if (target === null) return -EDESTADDRREQ;
    if (target.address.isIpv4 !== (this.version === 4)) return -EAFNOSUPPORT;
    const checked = checkSource(this.context.interfaces, this.options, ancillary);
    if (checked < 0) return checked;
    if (this.local.port === 0 && this.raw.pings.bind(this, 0) < 0) return -EADDRINUSE;
    if (this.error !== 0) return -this.takeError();
    const routed = routeSend(this.context.output, path, this.options, this.local, target, ancillary);
    if (routed < 0) return routed;
    return this.sendRequest(io, ancillary);
  }

  private sendRequest(io: Io, ancillary: SendAncillary | null): number {
    const { state, output } = this.context;
    const length = io.remaining;
    const packet = takeWhole(state.pool, io);
    if (typeof packet === 'number') return packet;
    const { view } = packet.memory;
    const request = this.version === 4 ? ICMP_ECHO : ICMPV6_ECHO;
    if (view.getUint16(packet.start) !== request << 8) {
      packet.release();
      return -EINVAL;
    }
    prepareHeader(header, icmpProtocol(this.version), path, this.options, ancillary);
    view.setUint16(packet.start + 4, this.local.port);
    fixIcmpChecksum(header, view, packet.start, length);
    const counters = state.counters.icmp(this.version);
    counters.OutMsgs++;
    counters.outTypes[request]! += 1;
    const result = output.sendPacket(path, header, packet);
    return result < 0 ? result : length;
  }

  deliver(arrival: Arrival): void {
    const { ip, payload } = arrival;
    const { filter } = this.options;
    const shown = filter === null ? payload : this.trimmed(payload, this.context.filterView.icmp(filter, ip, payload));
    if (shown !== null) this.enqueue(ip, 0, this.local.port, shown);
  }

  override shutdown(how: number): number {
    const result = super.shutdown(how);
    return result === 0 && !this.isConnected ? -ENOTCONN : result;
  }

  override close(): void {
    if (this.isClosed) return;
    super.close();
    this.raw.forgetPing(this);
  }
}
