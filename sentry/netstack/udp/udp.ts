/**
 * UDP (RFC 768, RFC 1122 section 4.1), and UDP-Lite (RFC 3828), which is another one with ports of its own: takes datagrams from IP to the
 * endpoints they are for, and ICMP errors to those who caused them.
 */
import { ENOBUFS } from '#sentry/abi/errno.ts';
import type { UdpCounters } from '../counters.ts';
import type { EndpointContext } from '../endpoint/datagram-endpoint.ts';
import { PortTable } from '../endpoint/port-table.ts';
import type { ErrorReport } from '../ip/arrival.ts';
import { IpHeader, IPPROTO_UDP } from '../ip/header.ts';
import type { UdpUpper } from '../ip/protocols.ts';
import { UDP_ENDPOINTS_MAX } from '../limits.ts';
import type { Payload } from '../packet.ts';
import { UdpEndpoint } from './udp-endpoint.ts';

/** Gets datagrams that are carried on elsewhere. False: it does not want this one. */
export interface UdpInterceptor {
  input(ip: IpHeader, sourcePort: number, destinationPort: number, payload: Payload): boolean;
}

export class Udp implements UdpUpper {
  readonly ports: PortTable<UdpEndpoint>;
  /** Gets those for which no endpoint exists. */
  interceptor: UdpInterceptor | null = null;
  /** Gets those to single addresses, before any endpoint. */
  claim: UdpInterceptor | null = null;
  private readonly context: EndpointContext;
  private readonly reversed = new IpHeader();
  private count = 0;

  /** IPPROTO_UDP or IPPROTO_UDPLITE. */
  readonly protocol: number;

  constructor(context: EndpointContext, protocol: number) {
    this.context = context;
    this.protocol = protocol;
    this.ports = new PortTable(context.state);
  }

  /** A new endpoint of AF_INET (4) or AF_INET6 (6); -ENOBUFS. */
  endpoint(version: 4 | 6): UdpEndpoint | number {
    if (this.count >= UDP_ENDPOINTS_MAX) return -ENOBUFS;
    this.count++;
    return new UdpEndpoint(this.context, this, version);
  }

  counters(version: 4 | 6): UdpCounters {
    const { counters } = this.context.state;
    return this.protocol === IPPROTO_UDP ? counters.udp(version) : counters.udpLite(version);
  }

  /** An endpoint was closed. */
  forget(endpoint: UdpEndpoint): void {
    this.count--;
    this.ports.unbind(endpoint);
  }

  input(ip: IpHeader, sourcePort: number, destinationPort: number, payload: Payload): boolean {
    if (ip.isToMany) return this.toMany(ip, sourcePort, destinationPort, payload);
    if (this.claim !== null && this.claim.input(ip, sourcePort, destinationPort, payload)) return true;
    const endpoint = this.ports.find(ip, sourcePort, destinationPort);
    if (endpoint === null) return this.interceptor !== null && this.interceptor.input(ip, sourcePort, destinationPort, payload);
    endpoint.deliver(ip, sourcePort, destinationPort, payload);
    return true;
  }

  /** Everybody whom it is for gets one. */
  private toMany(ip: IpHeader, sourcePort: number, destinationPort: number, payload: Payload): boolean {
    let isTaken = false;
    for (const endpoint of this.ports.at(destinationPort)) {
      if (!this.ports.takes(endpoint, ip, sourcePort) || !endpoint.wantsGroup(ip)) continue;
      endpoint.deliver(ip, sourcePort, destinationPort, payload);
      isTaken = true;
    }
    if (isTaken || this.interceptor === null) return isTaken;
    return this.interceptor.input(ip, sourcePort, destinationPort, payload);
  }

  /** `sourcePort` is ours. */
  unreachable(report: ErrorReport, sourcePort: number, destinationPort: number): void {
    const { reversed } = this;
    reversed.version = report.ip.version;
    reversed.source.copy(report.ip.destination);
    reversed.destination.copy(report.ip.source);
    reversed.interfaceIndex = report.ip.interfaceIndex;
    const endpoint = this.findSender(reversed, destinationPort, sourcePort);
    endpoint?.reportError(report, destinationPort);
  }

  /** Who sent from `ownPort` to `otherPort` of the reversed header's source. A bound interface says nothing of where the complaint came in. */
  private findSender(reversed: IpHeader, otherPort: number, ownPort: number): UdpEndpoint | null {
    const found = this.ports.find(reversed, otherPort, ownPort);
    if (found !== null) return found;
    for (const candidate of this.ports.at(ownPort)) {
      const { boundInterface } = candidate.options;
      reversed.interfaceIndex = boundInterface;
      if (boundInterface !== 0 && this.ports.takes(candidate, reversed, otherPort)) return candidate;
    }
    return null;
  }
}
