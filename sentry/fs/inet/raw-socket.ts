/**
 * Raw sockets, raw(7): packets of one IP protocol, for who has CAP_NET_RAW. Ping sockets, icmp(7): echo requests for everybody in
 * net.ipv4.ping_group_range.
 */
import { EINVAL, ENOPROTOOPT } from '#sentry/abi/errno.ts';
import {
  ICMP_FILTER,
  ICMPV6_FILTER,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_RAW,
  IPV6_CHECKSUM,
  SOL_ICMPV6,
  SOL_IPV6,
  SOL_RAW,
} from '#sentry/abi/inet.ts';
import { AF_INET, SOCK_DGRAM, SOCK_RAW } from '#sentry/abi/socket.ts';
import type { PingEndpoint } from '../../netstack/raw/ping-endpoint.ts';
import type { RawEndpoint } from '../../netstack/raw/raw-endpoint.ts';
import type { Caller } from '../../vfs/inode.ts';
import type { OptionValue } from '../socket/option-table.ts';
import type { SocketCaller } from '../socket/socket.ts';
import { DatagramSocket } from './datagram-socket.ts';
import type { InternetDomain } from './internet-socket.ts';

const ICMPV6_FILTER_SIZE = 32;

export class RawSocket extends DatagramSocket<RawEndpoint> {
  constructor(shared: InternetDomain, endpoint: RawEndpoint, domain: number, flags: number, caller: Caller) {
    super(shared, endpoint, domain, SOCK_RAW, endpoint.protocol, flags, caller);
    if (endpoint.protocol === IPPROTO_RAW) this.ip.headerIncluded = 1;
  }

  override ipChanged(): void {
    super.ipChanged();
    this.endpoint.isHeaderIncluded = this.ip.headerIncluded !== 0;
  }

  override setOption(level: number, name: number, value: OptionValue, caller: SocketCaller): number {
    if (name === IPV6_CHECKSUM && (level === SOL_IPV6 || level === SOL_RAW) && this.isIpv6) return this.setChecksumOffset(value);
    return super.setOption(level, name, value, caller);
  }

  override getOption(level: number, name: number, value: OptionValue, caller: SocketCaller): number {
    if (name === IPV6_CHECKSUM && (level === SOL_IPV6 || level === SOL_RAW) && this.isIpv6)
      return value.putSigned(this.endpoint.checksumOffset);
    return super.getOption(level, name, value, caller);
  }

  /** RFC 3542: odd offsets make no sense, and ICMPv6 has its own. */
  private setChecksumOffset(value: OptionValue): number {
    const offset = value.int;
    if (value.length < 4 || (offset > 0 && (offset & 1) !== 0)) return -EINVAL;
    if (this.protocol === IPPROTO_ICMPV6) return offset === 2 ? 0 : -EINVAL;
    this.endpoint.checksumOffset = offset < 0 ? -1 : offset;
    return 0;
  }

  protected override setProtocolOption(level: number, name: number, value: OptionValue): number {
    if (level === SOL_RAW && name === ICMP_FILTER && this.domain === AF_INET && this.protocol === IPPROTO_ICMP) {
      this.endpoint.icmpFilter = value.int;
      return 0;
    }
    if (level !== SOL_ICMPV6 || name !== ICMPV6_FILTER || !this.isIpv6 || this.protocol !== IPPROTO_ICMPV6) return -ENOPROTOOPT;
    for (let i = 0; i < ICMPV6_FILTER_SIZE / 4 && 4 * i + 4 <= value.length; i++)
      this.endpoint.icmpv6Filter[i] = value.view.getInt32(4 * i, true);
    return 0;
  }

  protected override getProtocolOption(level: number, name: number, value: OptionValue): number {
    if (level === SOL_RAW && name === ICMP_FILTER && this.domain === AF_INET && this.protocol === IPPROTO_ICMP)
      return value.putSigned(this.endpoint.icmpFilter);
    if (level !== SOL_ICMPV6 || name !== ICMPV6_FILTER || !this.isIpv6) return -ENOPROTOOPT;
    this.endpoint.icmpv6Filter.forEach((word, i) => {
      value.view.setInt32(4 * i, word, true);
    });
    return ICMPV6_FILTER_SIZE;
  }
}

export class PingSocket extends DatagramSocket<PingEndpoint> {
  constructor(shared: InternetDomain, endpoint: PingEndpoint, domain: number, flags: number, caller: Caller) {
    super(shared, endpoint, domain, SOCK_DGRAM, domain === AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6, flags, caller);
  }
}
