/**
 * IP input of both versions: a packet from a link is checked, found to be ours, put together if it came in fragments, and handed to the
 * layer above (Linux: ip_rcv, ip_local_deliver, ipv6_rcv). What the backlog carries comes in here too, past most of the checks.
 *
 * Everything that arrives is hostile: no length is used before it is checked, and what is refused changes a counter only. This host does not
 * forward.
 */
import { parseTcpHeader, TCP_HEADER_MIN } from '../tcp/codec.ts';
import { TcpHeader } from '../tcp/header.ts';
import { addBytes, finishSum, pseudoHeaderSum } from '../checksum.ts';
import type { UdpCounters } from '../counters.ts';
import { NO_OFFLOAD } from '../link/device.ts';
import type { Offload } from '../link/device.ts';
import type { InterfaceTable } from '../link/interface-table.ts';
import type { NetworkInterface } from '../link/interface.ts';
import { Payload } from '../packet.ts';
import type { Packet } from '../packet.ts';
import type { StackState } from '../stack-state.ts';
import { UNREACHABLE_PROTOCOL } from '../wire/icmp.ts';
import { DatagramParts, parseIpv4 } from '../wire/ipv4.ts';
import { DROPPED, parseIpv6, UNKNOWN_HEADER, walkExtensions, NEXT_NONE } from '../wire/ipv6.ts';
import { isUdpChecksumRight, isUdpLiteRight, UDP_HEADER_LENGTH } from '../wire/udp.ts';
import { Arrival } from './arrival.ts';
import { IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_IGMP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE } from './header.ts';
import type { IpHeader } from './header.ts';
import type { Icmp } from './icmp.ts';
import type { Groups } from './groups.ts';
import type { Protocols, UdpUpper } from './protocols.ts';
import { ReassemblyTable } from './reassembly.ts';

export class IpInput {
  readonly reassembly: ReassemblyTable;
  private readonly state: StackState;
  private readonly interfaces: InterfaceTable;
  private readonly icmp: Icmp;
  private readonly groups: Groups;
  private readonly protocols: Protocols;
  // Scratch, for one packet at a time.
  private readonly arrival = new Arrival();
  private readonly parts = new DatagramParts();
  private readonly tcpHeader = new TcpHeader();
  private readonly data = new Payload();
  /** The packet in hand is one of ours, come back by the backlog. */
  private isOwnCopy = false;

  constructor(state: StackState, interfaces: InterfaceTable, icmp: Icmp, groups: Groups, protocols: Protocols) {
    this.state = state;
    this.interfaces = interfaces;
    this.icmp = icmp;
    this.groups = groups;
    this.protocols = protocols;
    this.reassembly = new ReassemblyTable(state, (datagram) => {
      icmp.reassemblyTimedOut(datagram);
    });
  }

  /** The IPv4 packet [start, end) from a link. The caller keeps his reference. `isLinkGroup`: the frame was for all or a group. */
  ipv4(owner: NetworkInterface, packet: Packet, isLinkGroup: boolean, offload: Offload): void {
    const { arrival, parts } = this;
    const counters = this.state.counters.ipv4;
    counters.InReceives++;
    const { ip } = arrival;
    if (parseIpv4(ip, parts, packet.memory.view, packet.start, packet.length) < 0) {
      counters.InHdrErrors++;
      return;
    }
    this.begin(owner, packet, isLinkGroup, offload);
    if (!this.isSourceRight(owner, ip) || !this.isForUs(owner, ip)) {
      counters.InAddrErrors++;
      return;
    }
    arrival.payload.set(packet, packet.start + parts.headerLength, parts.payloadLength);
    this.wholeOrFragment();
  }

  ipv6(owner: NetworkInterface, packet: Packet, isLinkGroup: boolean, offload: Offload): void {
    const { arrival, parts } = this;
    const counters = this.state.counters.ipv6;
    counters.InReceives++;
    const { ip } = arrival;
    if (owner.ipv6.isDisabled || parseIpv6(ip, parts, packet.memory.view, packet.start, packet.length) < 0) {
      counters.InHdrErrors++;
      return;
    }
    this.begin(owner, packet, isLinkGroup, offload);
    if (!this.isSourceRight(owner, ip) || !this.isForUs(owner, ip)) {
      counters.InAddrErrors++;
      return;
    }
    const walked = walkExtensions(ip, parts, packet.memory.view, packet.start);
    arrival.payload.set(packet, packet.start + parts.headerLength, parts.payloadLength);
    if (walked < 0) {
      counters.InHdrErrors++;
      if (walked < DROPPED) this.icmp.refuseHeader(arrival, parts.pointer, walked);
      return;
    }
    this.wholeOrFragment();
  }

  private begin(owner: NetworkInterface, packet: Packet, isLinkGroup: boolean, offload: Offload): void {
    const { arrival } = this;
    arrival.interface = owner;
    arrival.ipStart = packet.start;
    arrival.isVerified = offload.isVerified || offload.checksumStart >= 0;
    arrival.ip.interfaceIndex = owner.index;
    arrival.ip.isToMany = isLinkGroup;
  }

  /** No host has such an address, or it would be ours: RFC 1122 section 3.2.1.3, RFC 4291 section 2.7. */
  private isSourceRight(owner: NetworkInterface, ip: IpHeader): boolean {
    const { source } = ip;
    if (source.isMulticast || source.isLimitedBroadcast) return false;
    if (owner.isLoopback) return true;
    if (source.isLoopback || ip.destination.isLoopback) return false;
    // A group's copy of what we sent ourselves comes by the backlog with the interface it left by.
    return this.isOwnCopy || this.interfaces.findLocal(source) === null;
  }

  private isForUs(owner: NetworkInterface, ip: IpHeader): boolean {
    const { destination } = ip;
    if (destination.isMulticast) {
      this.state.counters.ip(ip.version).InMcastPkts++;
      ip.isToMany = true;
      return this.groups.isMember(owner, destination);
    }
    if (owner.isTransparent || this.interfaces.findLocal(destination) !== null) return true;
    if (ip.version === 4 && (destination.isLimitedBroadcast || owner.isBroadcast(destination.w3))) {
      this.state.counters.ipv4.InBcastPkts++;
      ip.isToMany = true;
      return true;
    }
    return false;
  }

  private wholeOrFragment(): void {
    const { arrival, parts } = this;
    if (!parts.isFragment) {
      this.deliver(arrival);
      return;
    }
    // RFC 6946: an IPv6 fragment that is the whole is a packet.
    if (arrival.ip.version === 6 && parts.fragmentOffset === 0 && !parts.moreFragments) {
      if (this.walkOn(arrival)) this.deliver(arrival);
      return;
    }
    const whole = this.reassembly.add(arrival.ip, parts, arrival.payload);
    if (whole === null) return;
    arrival.payload.set(whole, whole.start, whole.length);
    arrival.ipStart = -1;
    arrival.isVerified = false;
    if (this.walkOn(arrival)) this.deliver(arrival);
    whole.release();
  }

  /** Extension headers behind the fragment header. False: refused. */
  private walkOn(arrival: Arrival): boolean {
    if (arrival.ip.version === 4) return true;
    const { parts } = this;
    const { payload } = arrival;
    const start = payload.offset;
    // Counted from where the fragment header ended, so no hop-by-hop header can follow.
    parts.headerLength = 0;
    parts.payloadLength = payload.length;
    parts.isFragment = false;
    const walked = walkExtensions(arrival.ip, parts, payload.packet!.memory.view, start);
    if (walked < 0 || parts.isFragment) {
      this.state.counters.ipv6.InHdrErrors++;
      return false;
    }
    payload.offset = start + parts.headerLength;
    payload.length = parts.payloadLength;
    return true;
  }

  /** A packet for us, whole, to the layers above. */
  deliver(arrival: Arrival): void {
    const { ip } = arrival;
    const { protocol } = ip;
    const counters = this.state.counters.ip(ip.version);
    const { raw } = this.protocols;
    const isRaw = raw.wants(protocol) && raw.input(arrival);
    if (protocol === IPPROTO_TCP) this.tcp(arrival);
    else if (protocol === IPPROTO_UDP) this.udp(arrival);
    else if (protocol === IPPROTO_UDPLITE) this.udpLite(arrival);
    else if (protocol === IPPROTO_ICMP && ip.version === 4) this.icmp.input(arrival);
    else if (protocol === IPPROTO_ICMPV6 && ip.version === 6) this.icmp.input(arrival);
    else if (protocol === IPPROTO_IGMP && ip.version === 4) this.groups.igmpInput(arrival);
    else if (!isRaw && !(ip.version === 6 && protocol === NEXT_NONE)) {
      counters.InUnknownProtos++;
      if (ip.version === 4) this.icmp.unreachable(arrival, UNREACHABLE_PROTOCOL);
      else this.icmp.refuseHeader(arrival, this.parts.pointer, UNKNOWN_HEADER);
      return;
    }
    counters.InDelivers++;
  }

  private tcp(arrival: Arrival): void {
    const { ip, payload } = arrival;
    const { memory } = payload.packet!;
    // TCP has no groups.
    if (ip.isToMany) return;
    const length = parseTcpHeader(this.tcpHeader, memory.bytes, payload.offset, payload.length);
    if (length < TCP_HEADER_MIN) {
      this.state.counters.tcp.InErrs++;
      return;
    }
    if (!arrival.isVerified) {
      const sum = addBytes(pseudoHeaderSum(ip, IPPROTO_TCP, payload.length), memory.view, payload.offset, payload.length);
      if (finishSum(sum) !== 0) {
        this.state.counters.tcp.InErrs++;
        this.state.counters.tcp.InCsumErrors++;
        return;
      }
    }
    const { data } = this;
    data.set(payload.packet!, payload.offset + length, payload.length - length);
    this.protocols.tcp.input(ip, this.tcpHeader, data.length === 0 ? null : data, this.state.nowNs);
  }

  private udp(arrival: Arrival): void {
    const { ip, payload } = arrival;
    const counters = this.state.counters.udp(ip.version);
    const { view } = payload.packet!.memory;
    const { offset } = payload;
    const length = payload.length < UDP_HEADER_LENGTH ? 0 : view.getUint16(offset + 4);
    if (length < UDP_HEADER_LENGTH || length > payload.length) {
      counters.InErrors++;
      return;
    }
    ip.skipsChecksum = false;
    if (!arrival.isVerified && !isUdpChecksumRight(ip, view, offset, length)) {
      counters.InErrors++;
      counters.InCsumErrors++;
      return;
    }
    this.toPort(arrival, this.protocols.udp, counters, length);
  }

  private udpLite(arrival: Arrival): void {
    const { ip, payload } = arrival;
    const counters = this.state.counters.udpLite(ip.version);
    const { length } = payload;
    if (length < UDP_HEADER_LENGTH || !isUdpLiteRight(ip, payload.packet!.memory.view, payload.offset, length)) {
      counters.InErrors++;
      return;
    }
    this.toPort(arrival, this.protocols.udpLite, counters, length);
  }

  /** A good datagram of `length` bytes, header included. */
  private toPort(arrival: Arrival, upper: UdpUpper, counters: UdpCounters, length: number): void {
    const { ip, payload } = arrival;
    const { offset } = payload;
    const { view } = payload.packet!.memory;
    const data = this.data.set(payload.packet!, offset + UDP_HEADER_LENGTH, length - UDP_HEADER_LENGTH);
    if (upper.input(ip, view.getUint16(offset), view.getUint16(offset + 2), data)) return;
    if (ip.isToMany) {
      counters.IgnoredMulti++;
      return;
    }
    counters.NoPorts++;
    this.icmp.portUnreachable(arrival);
  }

  /** A whole packet of ours that came back by the backlog: one of a raw socket's own making, or a group's copy. */
  whole(owner: NetworkInterface, packet: Packet): void {
    this.isOwnCopy = true;
    const version = packet.length > 0 ? packet.memory.view.getUint8(packet.start) >>> 4 : 0;
    if (version === 4) this.ipv4(owner, packet, false, NO_OFFLOAD);
    else if (version === 6) this.ipv6(owner, packet, false, NO_OFFLOAD);
    this.isOwnCopy = false;
  }
}
