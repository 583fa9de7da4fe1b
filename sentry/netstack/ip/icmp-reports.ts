/**
 * ICMP errors that arrive: the quoted packet tells which of our sockets they concern, the type which errno it gets. Also what we find out
 * ourselves, that a neighbour does not answer, goes this way.
 *
 * A quotation is as hostile as everything else: it must be of a packet from one of our addresses, and transport protocols check that they
 * sent such a packet before they believe it (RFC 5927).
 *
 * Errnos are those of Linux (icmp_err_convert, icmpv6_err_convert).
 */
import {
  EACCES,
  ECONNREFUSED,
  EHOSTDOWN,
  EHOSTUNREACH,
  EMSGSIZE,
  ENETUNREACH,
  ENONET,
  ENOPROTOOPT,
  EOPNOTSUPP,
  EPROTO,
} from '#sentry/abi/errno.ts';
import type { InterfaceTable } from '../link/interface-table.ts';
import type { NetworkInterface } from '../link/interface.ts';
import type { Packet } from '../packet.ts';
import type { PathMtus } from '../route/path-mtus.ts';
import type { StackState } from '../stack-state.ts';
import { TcpHeader } from '../tcp/header.ts';
import {
  ICMP_HEADER_LENGTH,
  ICMP_PARAMETER_PROBLEM,
  ICMP_TIME_EXCEEDED,
  ICMP_UNREACHABLE,
  ICMPV6_PACKET_TOO_BIG,
  ICMPV6_PARAMETER_PROBLEM,
  ICMPV6_TIME_EXCEEDED,
  ICMPV6_UNREACHABLE,
  UNREACHABLE6_ADDRESS,
  UNREACHABLE_FRAGMENTATION_NEEDED,
  UNREACHABLE_HOST,
} from '../wire/icmp.ts';
import { IPV4_HEADER_LENGTH } from '../wire/ipv4.ts';
import {
  FRAGMENT_HEADER_LENGTH,
  IPV6_HEADER_LENGTH,
  IPV6_MTU_MIN,
  NEXT_DESTINATION,
  NEXT_FRAGMENT,
  NEXT_HOP_BY_HOP,
  NEXT_ROUTING,
} from '../wire/ipv6.ts';
import { ErrorReport, SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6 } from './arrival.ts';
import type { Arrival } from './arrival.ts';
import { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE } from './header.ts';
import type { Protocols } from './protocols.ts';

/** [errno, hard] by code of IPv4's destination unreachable. */
const UNREACHABLE_ERRORS: readonly (readonly [number, boolean])[] = [
  [ENETUNREACH, false],
  [EHOSTUNREACH, false],
  [ENOPROTOOPT, true],
  [ECONNREFUSED, true],
  [EMSGSIZE, false],
  [EOPNOTSUPP, false],
  [ENETUNREACH, true],
  [EHOSTDOWN, true],
  [ENONET, true],
  [ENETUNREACH, true],
  [EHOSTUNREACH, true],
  [ENETUNREACH, false],
  [EHOSTUNREACH, false],
  [EHOSTUNREACH, true],
  [EHOSTUNREACH, true],
  [EHOSTUNREACH, true],
];
/** The same of IPv6. */
const UNREACHABLE6_ERRORS: readonly (readonly [number, boolean])[] = [
  [ENETUNREACH, false],
  [EACCES, true],
  [EHOSTUNREACH, false],
  [EHOSTUNREACH, false],
  [ECONNREFUSED, true],
  [EACCES, true],
  [EACCES, true],
];
/** MTUs that links have, for routers that do not tell theirs (RFC 1191, section 7.1). */
const PLATEAUS = [32_000, 17_914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68];
/** Bytes of a transport header that every quotation has. */
const QUOTED_MIN = 8;

export class IcmpReports {
  private readonly state: StackState;
  private readonly interfaces: InterfaceTable;
  private readonly pathMtus: PathMtus;
  private readonly protocols: Protocols;
  private readonly report = new ErrorReport();
  private readonly tcpHeader = new TcpHeader();

  constructor(state: StackState, interfaces: InterfaceTable, pathMtus: PathMtus, protocols: Protocols) {
    this.state = state;
    this.interfaces = interfaces;
    this.pathMtus = pathMtus;
    this.protocols = protocols;
  }

  /** An error with a good checksum. */
  input(arrival: Arrival): void {
    const { ip, payload } = arrival;
    const { report } = this;
    const { view } = payload.packet!.memory;
    const at = payload.offset;
    report.type = view.getUint8(at);
    report.code = view.getUint8(at + 1);
    report.origin = ip.version === 4 ? SO_EE_ORIGIN_ICMP : SO_EE_ORIGIN_ICMP6;
    report.offender.copy(ip.source);
    report.quoted.packet = payload.packet;
    const quote = at + ICMP_HEADER_LENGTH;
    const isQuoted = readQuotation(report, ip.version, view, quote, payload.offset + payload.length - quote);
    const rest = view.getUint32(at + 4);
    if (!isQuoted || !(ip.version === 4 ? this.classify4(rest, view, quote) : this.classify6(rest))) {
      this.state.counters.icmp(ip.version).InErrors++;
      return;
    }
    report.ip.interfaceIndex = ip.interfaceIndex;
    this.tell();
  }

  /** False: an error that nobody acts on (source quench, redirect, unknown types). */
  private classify4(rest: number, view: DataView, quote: number): boolean {
    const { report } = this;
    const { type, code } = report;
    report.info = 0;
    report.isHard = false;
    if (type === ICMP_UNREACHABLE && code < UNREACHABLE_ERRORS.length) {
      [report.errno, report.isHard] = UNREACHABLE_ERRORS[code]!;
      if (code === UNREACHABLE_FRAGMENTATION_NEEDED) report.info = rest & 0xffff || nextPlateau(view.getUint16(quote + 2));
      return true;
    }
    if (type === ICMP_TIME_EXCEEDED) report.errno = EHOSTUNREACH;
    else if (type === ICMP_PARAMETER_PROBLEM) {
      report.errno = EPROTO;
      report.isHard = true;
      report.info = rest >>> 24;
    } else return false;
    return true;
  }

  private classify6(rest: number): boolean {
    const { report } = this;
    const { type, code } = report;
    report.info = 0;
    report.isHard = false;
    if (type === ICMPV6_UNREACHABLE) {
      report.errno = EPROTO;
      if (code < UNREACHABLE6_ERRORS.length) [report.errno, report.isHard] = UNREACHABLE6_ERRORS[code]!;
    } else if (type === ICMPV6_PACKET_TOO_BIG) {
      report.errno = EMSGSIZE;
      report.info = Math.max(rest, IPV6_MTU_MIN);
    } else if (type === ICMPV6_TIME_EXCEEDED) report.errno = EHOSTUNREACH;
    else if (type === ICMPV6_PARAMETER_PROBLEM) {
      report.errno = EPROTO;
      report.isHard = true;
      report.info = rest;
    } else return false;
    return true;
  }

  /** The neighbour of the IP packet [start, end), which is ours, did not answer: as if ICMP host unreachable had come from ourselves. */
  unresolved(owner: NetworkInterface, packet: Packet): void {
    const { report } = this;
    const { view } = packet.memory;
    const version = view.getUint8(packet.start) >>> 4 === 4 ? 4 : 6;
    report.quoted.packet = packet;
    if (!readQuotation(report, version, view, packet.start, packet.length)) return;
    report.type = version === 4 ? ICMP_UNREACHABLE : ICMPV6_UNREACHABLE;
    report.code = version === 4 ? UNREACHABLE_HOST : UNREACHABLE6_ADDRESS;
    report.origin = version === 4 ? SO_EE_ORIGIN_ICMP : SO_EE_ORIGIN_ICMP6;
    report.errno = EHOSTUNREACH;
    report.isHard = false;
    report.info = 0;
    report.offender.copy(report.ip.source);
    report.ip.interfaceIndex = owner.index;
    this.tell();
  }

  private tell(): void {
    const { report } = this;
    const { ip, quoted } = report;
    if (this.interfaces.findLocal(ip.source) === null || quoted.length < QUOTED_MIN) return;
    const { view } = quoted.packet!.memory;
    const isTooBig = report.errno === EMSGSIZE && report.info > 0;
    if (isTooBig) this.pathMtus.lower(ip.destination, report.info);
    if (ip.protocol === IPPROTO_TCP) {
      const { tcpHeader } = this;
      tcpHeader.clear();
      tcpHeader.sourcePort = view.getUint16(quoted.offset);
      tcpHeader.destinationPort = view.getUint16(quoted.offset + 2);
      tcpHeader.seq = view.getInt32(quoted.offset + 4);
      const { tcp } = this.protocols;
      if (isTooBig) tcp.packetTooBig(ip, tcpHeader, report.info, this.state.nowNs);
      else tcp.unreachable(ip, tcpHeader, report.errno, report.isHard ? 1 : 0, this.state.nowNs);
    } else if (ip.protocol === IPPROTO_UDP)
      this.protocols.udp.unreachable(report, view.getUint16(quoted.offset), view.getUint16(quoted.offset + 2));
    else if (ip.protocol === IPPROTO_UDPLITE)
      this.protocols.udpLite.unreachable(report, view.getUint16(quoted.offset), view.getUint16(quoted.offset + 2));
    else this.protocols.raw.unreachable(report);
  }
}

function nextPlateau(length: number): number {
  for (const mtu of PLATEAUS) if (mtu < length) return mtu;
  return PLATEAUS[PLATEAUS.length - 1]!;
}

/** Reads the IP header of a quoted packet of which `length` bytes are there: whether it has one, and is its datagram's first piece. */
function readQuotation(report: ErrorReport, version: 4 | 6, view: DataView, offset: number, length: number): boolean {
  return version === 4 ? readQuotation4(report, view, offset, length) : readQuotation6(report, view, offset, length);
}

function readQuotation4(report: ErrorReport, view: DataView, offset: number, length: number): boolean {
  if (length < IPV4_HEADER_LENGTH || view.getUint8(offset) >>> 4 !== 4) return false;
  const headerLength = (view.getUint8(offset) & 15) * 4;
  if (headerLength < IPV4_HEADER_LENGTH || headerLength > length || (view.getUint16(offset + 6) & 0x1fff) !== 0) return false;
  const { ip } = report;
  ip.version = 4;
  ip.protocol = view.getUint8(offset + 9);
  ip.hopLimit = view.getUint8(offset + 8);
  ip.source.setIpv4(view.getInt32(offset + 12));
  ip.destination.setIpv4(view.getInt32(offset + 16));
  report.quoted.offset = offset + headerLength;
  report.quoted.length = length - headerLength;
  return true;
}

function readQuotation6(report: ErrorReport, view: DataView, offset: number, length: number): boolean {
  if (length < IPV6_HEADER_LENGTH || view.getUint8(offset) >>> 4 !== 6) return false;
  const { ip, quoted } = report;
  ip.version = 6;
  ip.protocol = view.getUint8(offset + 6);
  ip.hopLimit = view.getUint8(offset + 7);
  ip.source.read(view, offset + 8);
  ip.destination.read(view, offset + 24);
  quoted.offset = offset + IPV6_HEADER_LENGTH;
  quoted.length = length - IPV6_HEADER_LENGTH;
  // Our own packets have one such header at most, and raw sockets may add others.
  for (let i = 0; i < 4; i++) {
    const { protocol } = ip;
    const isFragment = protocol === NEXT_FRAGMENT;
    if (!isFragment && protocol !== NEXT_HOP_BY_HOP && protocol !== NEXT_DESTINATION && protocol !== NEXT_ROUTING) break;
    if (quoted.length < FRAGMENT_HEADER_LENGTH) return false;
    if (isFragment && (view.getUint16(quoted.offset + 2) & 0xfff8) !== 0) return false;
    const size = isFragment ? FRAGMENT_HEADER_LENGTH : (view.getUint8(quoted.offset + 1) + 1) * 8;
    if (size > quoted.length) return false;
    ip.protocol = view.getUint8(quoted.offset);
    quoted.offset += size;
    quoted.length -= size;
  }
  return true;
}
