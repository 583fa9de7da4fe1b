/**
 * ICMP and ICMPv6 of a host: answers echo requests, takes error reports to whom they concern, hands the rest to neighbour discovery, groups
 * and raw sockets (RFC 1122 section 3.2.2, RFC 4443).
 */
import { IpAddress } from '../address.ts';
import type { InterfaceTable } from '../link/interface-table.ts';
import { copyBytes } from '../packet.ts';
import type { Packet } from '../packet.ts';
import type { StackState } from '../stack-state.ts';
import {
  fixIcmpChecksum,
  ICMP_ECHO,
  ICMP_ECHO_REPLY,
  ICMP_HEADER_LENGTH,
  ICMP_TIMESTAMP,
  ICMP_TIMESTAMP_REPLY,
  ICMPV6_ECHO,
  ICMPV6_ECHO_REPLY,
  ICMPV6_MLD2_REPORT,
  ICMPV6_MLD_DONE,
  ICMPV6_MLD_QUERY,
  ICMPV6_MLD_REPORT,
  ICMPV6_REDIRECT,
  ICMPV6_ROUTER_SOLICITATION,
  icmpProtocol,
  isIcmpChecksumRight,
  isIcmpError,
} from '../wire/icmp.ts';
import type { Arrival } from './arrival.ts';
import type { Groups } from './groups.ts';
import { IpHeader } from './header.ts';
import type { IcmpErrors, RefusalReason } from './icmp-errors.ts';
import type { IcmpReports } from './icmp-reports.ts';
import type { NeighbourDiscovery } from './neighbour-discovery.ts';
import type { IpOutput } from './output.ts';
import { Path } from './path.ts';
import type { Protocols } from './protocols.ts';
import type { Reassembly } from './reassembly.ts';

/** Bytes of a timestamp message. */
const TIMESTAMP_LENGTH = 20;

/** Gets echo requests to addresses that are not ours, on a transparent interface. It answers, if at all, by a raw endpoint of its own. */
export interface EchoInterceptor {
  echo(arrival: Arrival): void;
}

export class Icmp {
  echoInterceptor: EchoInterceptor | null = null;
  /** net.ipv4.icmp_echo_ignore_all and its IPv6 fellow. */
  ignoresEcho = false;
  private readonly state: StackState;
  private readonly interfaces: InterfaceTable;
  private readonly output: IpOutput;
  private readonly errors: IcmpErrors;
  private readonly reports: IcmpReports;
  private readonly discovery: NeighbourDiscovery;
  private readonly groups: Groups;
  private readonly protocols: Protocols;
  private readonly path = new Path();
  private readonly header = new IpHeader();
  private readonly from = new IpAddress();

  constructor(
    state: StackState,
    interfaces: InterfaceTable,
    output: IpOutput,
    errors: IcmpErrors,
    reports: IcmpReports,
    discovery: NeighbourDiscovery,
    groups: Groups,
    protocols: Protocols,
  ) {
    this.state = state;
    this.interfaces = interfaces;
    this.output = output;
    this.errors = errors;
    this.reports = reports;
    this.discovery = discovery;
    this.groups = groups;
    this.protocols = protocols;
  }

  /** A message for us. Raw sockets have seen it already. */
  input(arrival: Arrival): void {
    const { ip, payload } = arrival;
    const counters = this.state.counters.icmp(ip.version);
    const { view } = payload.packet!.memory;
    counters.InMsgs++;
    if (payload.length < ICMP_HEADER_LENGTH) {
      counters.InErrors++;
      return;
    }
    if (!arrival.isVerified && !isIcmpChecksumRight(ip, view, payload.offset, payload.length)) {
      counters.InErrors++;
      counters.InCsumErrors++;
      return;
    }
    const type = view.getUint8(payload.offset);
    counters.inTypes[type]! += 1;
    if (isIcmpError(ip.version, type) && !(ip.version === 6 && type === ICMPV6_REDIRECT)) this.reports.input(arrival);
    else if (ip.version === 4) this.informational4(arrival, type);
    else this.informational6(arrival, type);
  }

  private informational4(arrival: Arrival, type: number): void {
    // RFC 1122, section 3.2.2.6, lets us ignore requests to groups, and Linux does by default (icmp_echo_ignore_broadcasts).
    if (type === ICMP_ECHO && this.isForeign(arrival)) this.echoInterceptor?.echo(arrival);
    else if (type === ICMP_ECHO && !this.ignoresEcho && !arrival.ip.isToMany) this.reply(arrival, ICMP_ECHO_REPLY);
    else if (type === ICMP_TIMESTAMP && arrival.payload.length >= TIMESTAMP_LENGTH && !arrival.ip.isToMany)
      this.reply(arrival, ICMP_TIMESTAMP_REPLY);
    else if (type === ICMP_ECHO_REPLY) this.protocols.raw.echoReply(arrival);
  }

  private informational6(arrival: Arrival, type: number): void {
    if (type === ICMPV6_ECHO && this.isForeign(arrival)) this.echoInterceptor?.echo(arrival);
    else if (type === ICMPV6_ECHO && !this.ignoresEcho) this.reply(arrival, ICMPV6_ECHO_REPLY);
    else if (type === ICMPV6_ECHO_REPLY) this.protocols.raw.echoReply(arrival);
    else if (type >= ICMPV6_ROUTER_SOLICITATION && type <= ICMPV6_REDIRECT) this.discovery.input(arrival, type);
    else if (type >= ICMPV6_MLD_QUERY && type <= ICMPV6_MLD_DONE) this.groups.mldInput(arrival, type);
    else if (type === ICMPV6_MLD2_REPORT || type === ICMPV6_MLD_REPORT) return;
  }

  private isForeign(arrival: Arrival): boolean {
    const { ip } = arrival;
    return arrival.interface!.isTransparent && !ip.isToMany && this.interfaces.findLocal(ip.destination) === null;
  }

  /** The message back to its sender as one of `type`. */
  private reply(arrival: Arrival, type: number): void {
    const { ip, payload } = arrival;
    const packet = this.state.pool.takeUrgent(payload.length);
    if (packet === null || !this.routeBack(arrival)) {
      packet?.release();
      return;
    }
    copyBytes(payload.packet!.memory, payload.offset, packet.memory, packet.start, payload.length);
    packet.end += payload.length;
    packet.memory.view.setUint16(packet.start, type << 8);
    if (type === ICMP_TIMESTAMP_REPLY && ip.version === 4) this.stamp(packet);
    const { header } = this;
    header.trafficClass = ip.trafficClass;
    fixIcmpChecksum(header, packet.memory.view, packet.start, packet.length);
    this.count(ip.version, type);
    this.output.sendPacket(this.path, header, packet);
  }

  private count(version: 4 | 6, type: number): void {
    const counters = this.state.counters.icmp(version);
    counters.OutMsgs++;
    counters.outTypes[type]! += 1;
  }

  /** Milliseconds since midnight UT are not ours to know: the time since we started, marked as no standard value (RFC 792). */
  private stamp(packet: Packet): void {
    const time = ((this.state.nowNs / 1e6) % 0x80000000) | 0x80000000;
    packet.memory.view.setInt32(packet.start + 12, time);
    packet.memory.view.setInt32(packet.start + 16, time);
  }

  /** Path and header to the sender of `arrival`, from the address it wrote to if that is ours alone. */
  private routeBack(arrival: Arrival): boolean {
    const { ip } = arrival;
    const { path, header } = this;
    if (!ip.source.isUnicast) return false;
    path.destination.copy(ip.source);
    path.isSourceGiven = !ip.isToMany && this.interfaces.findLocal(ip.destination) !== null;
    if (path.isSourceGiven) path.source.copy(ip.destination);
    path.boundInterface = ip.source.isLinkLocal && ip.version === 6 ? arrival.interface!.index : 0;
    if (this.output.route(path) < 0) return false;
    this.from.copy(path.source);
    header.prepare(this.from, ip.source, icmpProtocol(ip.version));
    return true;
  }

  /** Protocol unreachable, and others of IPv4 by code. */
  unreachable(arrival: Arrival, code: number): void {
    this.errors.unreachable(arrival, code);
  }

  portUnreachable(arrival: Arrival): void {
    this.errors.portUnreachable(arrival);
  }

  /** A gateway does not carry the flow of a packet on: see `IcmpErrors.refuseFlow`. */
  refuseFlow(ip: IpHeader, sourcePort: number, destinationPort: number, detail: number, why: RefusalReason): void {
    const from = this.interfaces.byIndex(ip.interfaceIndex);
    if (from !== null) this.errors.refuseFlow(ip, from, sourcePort, destinationPort, detail, why);
  }

  refuseHeader(arrival: Arrival, pointer: number, why: number): void {
    this.errors.refuseHeader(arrival, pointer, why);
  }

  reassemblyTimedOut(datagram: Reassembly): void {
    this.errors.reassemblyTimedOut(datagram);
  }
}
