/**
 * ICMP errors that we send (RFC 1122 section 3.2.2, RFC 1812 section 4.3.2, RFC 4443 section 2.4): never about errors, groups or senders
 * without an address, quoting as much as the rules allow, and no more often than a token bucket lets through.
 *
 * Linux: the loopback is not limited (icmp_global_allow).
 */
import { ICMP_ERRORS_BURST, ICMP_ERRORS_PER_SECOND } from '../limits.ts';
import { copyBytes } from '../packet.ts';
import type { Packet } from '../packet.ts';
import type { InterfaceTable } from '../link/interface-table.ts';
import type { NetworkInterface } from '../link/interface.ts';
import { SECOND } from '../stack-state.ts';
import type { StackState } from '../stack-state.ts';
import {
  ICMP_HEADER_LENGTH,
  ICMP_PARAMETER_PROBLEM,
  ICMP_TIME_EXCEEDED,
  ICMP_UNREACHABLE,
  icmpProtocol,
  ICMPV6_PARAMETER_PROBLEM,
  ICMPV6_TIME_EXCEEDED,
  ICMPV6_UNREACHABLE,
  isIcmpError,
  TIME_EXCEEDED_REASSEMBLY,
  UNREACHABLE6_PORT,
  UNREACHABLE_PORT,
  writeIcmp,
} from '../wire/icmp.ts';
import { writeIpv4 } from '../wire/ipv4.ts';
import { BAD_FIELD, UNKNOWN_HEADER, UNKNOWN_OPTION, UNKNOWN_OPTION_UNICAST, writeIpv6 } from '../wire/ipv6.ts';
import { Arrival } from './arrival.ts';
import { IpHeader } from './header.ts';
import type { IpOutput } from './output.ts';
import { Path } from './path.ts';
import type { Reassembly } from './reassembly.ts';
import { ipHeaderLength } from './serialise.ts';

/** Bytes of the whole error: 576 (RFC 1812), and the least MTU of IPv6. */
const IPV4_ERROR_MAX = 576;
const IPV6_ERROR_MAX = 1280;

const QUOTED_TRANSPORT = 8;

/** Why a gateway refuses a flow. */
export type RefusalReason = 'network' | 'host' | 'port' | 'prohibited';

/** Codes of destination unreachable, IPv4's and IPv6's. */
const REFUSALS: Readonly<Record<RefusalReason, readonly [number, number]>> = {
  network: [0, 0],
  host: [1, 3],
  port: [UNREACHABLE_PORT, UNREACHABLE6_PORT],
  prohibited: [13, 1],
};

export class IcmpErrors {
  private readonly state: StackState;
  private readonly interfaces: InterfaceTable;
  private readonly output: IpOutput;
  private readonly path = new Path();
  private readonly header = new IpHeader();
  private readonly lost = new Arrival();
  private tokens = ICMP_ERRORS_BURST;
  private filledNs = 0;

  constructor(state: StackState, interfaces: InterfaceTable, output: IpOutput) {
    this.state = state;
    this.interfaces = interfaces;
    this.output = output;
  }

  /** IPv4 destination unreachable. */
  unreachable(arrival: Arrival, code: number): void {
    this.send(arrival, ICMP_UNREACHABLE, code, 0);
  }

  portUnreachable(arrival: Arrival): void {
    if (arrival.ip.version === 4) this.send(arrival, ICMP_UNREACHABLE, UNREACHABLE_PORT, 0);
    else this.send(arrival, ICMPV6_UNREACHABLE, UNREACHABLE6_PORT, 0);
  }

  /** A header of IPv6 that we do not take: `why` as wire/ipv6.ts says, `pointer` the byte it is about. */
  refuseHeader(arrival: Arrival, pointer: number, why: number): void {
    if (arrival.ip.version === 4) {
      this.send(arrival, ICMP_PARAMETER_PROBLEM, 0, pointer << 24);
      return;
    }
    const isOption = why === UNKNOWN_OPTION || why === UNKNOWN_OPTION_UNICAST;
    const code = why === BAD_FIELD ? 0 : why === UNKNOWN_HEADER ? 1 : 2;
    // RFC 4443, section 2.4 (e.3): an unknown option that asks for it is told of even if the packet came to a group.
    const isToMany = arrival.ip.isToMany;
    if (isOption && why === UNKNOWN_OPTION) arrival.ip.isToMany = false;
    this.send(arrival, ICMPV6_PARAMETER_PROBLEM, code, pointer);
    arrival.ip.isToMany = isToMany;
  }

  reassemblyTimedOut(datagram: Reassembly): void {
    const first = datagram.pieces[0]!;
    const { lost } = this;
    lost.interface = this.interfaces.byIndex(datagram.interfaceIndex);
    if (lost.interface === null) return;
    lost.ip.copy(datagram.ip);
    lost.ipStart = -1;
    lost.payload.set(first.packet, first.offset, first.end - first.from);
    const type = datagram.ip.version === 4 ? ICMP_TIME_EXCEEDED : ICMPV6_TIME_EXCEEDED;
    this.send(lost, type, TIME_EXCEEDED_REASSEMBLY, 0);
  }

  /**
   * Tells the sender of a flow that a gateway does not carry it on. `ip` is of its packet, `detail` the second word of the transport header
   * (the sequence number of a TCP segment). The quotation is the least that is allowed: the IP header and eight bytes.
   */
  refuseFlow(ip: IpHeader, from: NetworkInterface, sourcePort: number, destinationPort: number, detail: number, why: RefusalReason): void {
    const packet = this.state.pool.takeUrgent(QUOTED_TRANSPORT);
    if (packet === null) return;
    const { view } = packet.memory;
    packet.end += QUOTED_TRANSPORT;
    view.setUint16(packet.start, sourcePort);
    view.setUint16(packet.start + 2, destinationPort);
    view.setInt32(packet.start + 4, detail);
    const { lost } = this;
    lost.interface = from;
    lost.ip.copy(ip);
    lost.ipStart = -1;
    lost.payload.set(packet, packet.start, QUOTED_TRANSPORT);
    const codes = REFUSALS[why];
    if (ip.version === 4) this.send(lost, ICMP_UNREACHABLE, codes[0], 0);
    else this.send(lost, ICMPV6_UNREACHABLE, codes[1], 0);
    packet.release();
  }

  private send(about: Arrival, type: number, code: number, rest: number): void {
    const { ip } = about;
    const counters = this.state.counters.icmp(ip.version);
    if (!this.mayBeAnswered(about) || !this.routeBack(about)) return;
    if (!this.path.isLoopback && !this.takeToken()) {
      counters.OutRateLimitGlobal++;
      return;
    }
    const packet = this.quote(about);
    if (packet === null) return;
    writeIcmp(this.header, packet.memory.view, packet.start, packet.length, type, code, rest);
    counters.OutMsgs++;
    counters.outTypes[type]! += 1;
    this.output.sendPacket(this.path, this.header, packet);
  }

  private mayBeAnswered(about: Arrival): boolean {
    const { ip, payload } = about;
    if (ip.isToMany || !ip.source.isUnicast) return false;
    if (ip.protocol !== icmpProtocol(ip.version)) return true;
    return payload.length > 0 && !isIcmpError(ip.version, payload.packet!.memory.view.getUint8(payload.offset));
  }

  private routeBack(about: Arrival): boolean {
    const { ip } = about;
    const { path, header } = this;
    path.destination.copy(ip.source);
    // A gateway that takes every address speaks for them all.
    path.isSourceGiven = about.interface!.isTransparent || this.interfaces.findLocal(ip.destination) !== null;
    if (path.isSourceGiven) path.source.copy(ip.destination);
    path.boundInterface = ip.source.isLinkLocal && ip.version === 6 ? about.interface!.index : 0;
    if (this.output.route(path) < 0) return false;
    header.prepare(path.source, ip.source, icmpProtocol(ip.version));
    // RFC 1122 section 3.2.2: errors have the precedence of what they are about, and Linux the highest.
    header.trafficClass = ip.version === 4 ? (ip.trafficClass & 0x1e) | 0xc0 : 0;
    return true;
  }

  private takeToken(): boolean {
    const { nowNs } = this.state;
    this.tokens = Math.min(ICMP_ERRORS_BURST, this.tokens + ((nowNs - this.filledNs) / SECOND) * ICMP_ERRORS_PER_SECOND);
    this.filledNs = nowNs;
    if (this.tokens < 1) return false;
    this.tokens--;
    return true;
  }

  /** Room for the ICMP header, then the packet as it came, or with an IP header made anew. */
  private quote(about: Arrival): Packet | null {
    const { ip, payload } = about;
    const headers = ipHeaderLength(ip.version);
    const most = (ip.version === 4 ? IPV4_ERROR_MAX : IPV6_ERROR_MAX) - headers - ICMP_HEADER_LENGTH;
    const end = payload.offset + payload.length;
    const hasHeader = about.ipStart >= 0;
    const length = Math.min(most, hasHeader ? end - about.ipStart : headers + payload.length);
    const packet = this.state.pool.takeUrgent(ICMP_HEADER_LENGTH + length);
    if (packet === null) return null;
    const { view } = packet.memory;
    const at = packet.start + ICMP_HEADER_LENGTH;
    packet.end = at + length;
    const source = payload.packet!.memory;
    if (hasHeader) copyBytes(source, about.ipStart, packet.memory, at, length);
    else {
      if (ip.version === 4) writeIpv4(ip, view, at, payload.length, ip.identification);
      else writeIpv6(ip, view, at, payload.length, ip.protocol);
      copyBytes(source, payload.offset, packet.memory, at + headers, length - headers);
    }
    return packet;
  }
}
