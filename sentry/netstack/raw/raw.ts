/**
 * Raw IP sockets and ping sockets (raw(7), icmp(7)): every packet of a protocol goes to all raw endpoints that match, besides to the
 * protocol itself; echo replies go to the ping endpoint with their identifier.
 */
import { EINVAL, ENOBUFS, EPROTONOSUPPORT } from '#sentry/abi/errno.ts';
import type { EndpointContext } from '../endpoint/datagram-endpoint.ts';
import { PortTable } from '../endpoint/port-table.ts';
import type { Arrival, ErrorReport } from '../ip/arrival.ts';
import { IpHeader, IPPROTO_ICMP, IPPROTO_ICMPV6 } from '../ip/header.ts';
import type { RawUpper } from '../ip/protocols.ts';
import { RAW_ENDPOINTS_MAX } from '../limits.ts';
import { ICMP_HEADER_LENGTH } from '../wire/icmp.ts';
import { PingEndpoint } from './ping-endpoint.ts';
import { RawEndpoint } from './raw-endpoint.ts';

export class Raw implements RawUpper {
  readonly endpoints: RawEndpoint[] = [];
  readonly pings: PortTable<PingEndpoint>;
  private readonly context: EndpointContext;
  /** Raw endpoints by protocol. */
  private readonly listeners = new Uint16Array(256);
  private readonly reversed = new IpHeader();
  private pingCount = 0;

  constructor(context: EndpointContext) {
    this.context = context;
    this.pings = new PortTable(context.state);
  }

  /** A raw endpoint for `protocol` (IPPROTO_RAW: sends only); -EINVAL, -ENOBUFS. The caller has CAP_NET_RAW. */
  endpoint(version: 4 | 6, protocol: number): RawEndpoint | number {
    if (protocol < 0 || protocol > 255) return -EINVAL;
    if (protocol === 0) return -EPROTONOSUPPORT;
    if (this.endpoints.length >= RAW_ENDPOINTS_MAX) return -ENOBUFS;
    const endpoint = new RawEndpoint(this.context, this, version, protocol);
    this.endpoints.push(endpoint);
    this.listeners[protocol]!++;
    return endpoint;
  }

  /** A ping endpoint (SOCK_DGRAM with IPPROTO_ICMP or IPPROTO_ICMPV6); -ENOBUFS. */
  pingEndpoint(version: 4 | 6): PingEndpoint | number {
    if (this.pingCount >= RAW_ENDPOINTS_MAX) return -ENOBUFS;
    this.pingCount++;
    return new PingEndpoint(this.context, this, version);
  }

  forget(endpoint: RawEndpoint): void {
    const place = this.endpoints.indexOf(endpoint);
    if (place < 0) return;
    this.endpoints.splice(place, 1);
    this.listeners[endpoint.protocol]!--;
  }

  forgetPing(endpoint: PingEndpoint): void {
    this.pingCount--;
    this.pings.unbind(endpoint);
  }

  wants(protocol: number): boolean {
    return this.listeners[protocol] !== 0;
  }

  input(arrival: Arrival): boolean {
    let isTaken = false;
    for (const endpoint of this.endpoints) {
      if (!endpoint.matches(arrival)) continue;
      endpoint.deliver(arrival);
      isTaken = true;
    }
    return isTaken;
  }

  echoReply(arrival: Arrival): boolean {
    const { ip, payload } = arrival;
    const identifier = payload.packet!.memory.view.getUint16(payload.offset + 4);
    const endpoint = this.pings.find(ip, 0, identifier);
    if (endpoint === null) return false;
    endpoint.deliver(arrival);
    return true;
  }

  unreachable(report: ErrorReport): void {
    for (const endpoint of this.endpoints) if (endpoint.sent(report)) endpoint.reportError(report, 0);
    const { ip, quoted } = report;
    if (ip.protocol !== IPPROTO_ICMP && ip.protocol !== IPPROTO_ICMPV6) return;
    if (quoted.length < ICMP_HEADER_LENGTH) return;
    const { reversed } = this;
    reversed.version = ip.version;
    reversed.source.copy(ip.destination);
    reversed.destination.copy(ip.source);
    reversed.interfaceIndex = ip.interfaceIndex;
    this.pings.find(reversed, 0, quoted.packet!.memory.view.getUint16(quoted.offset + 4))?.reportError(report, 0);
  }
}
