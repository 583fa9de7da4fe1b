/**
 * IP output of both versions: from a path, a header and the upper layer's bytes to frames on a link, or to the backlog when the path leads
 * back to us (Linux: ip_queue_xmit, ip_push_pending_frames, ip6_xmit).
 *
 *     output.route(path)                              // once
 *     output.send(path, ip, tcp, payload)             // TCP; headers are written here
 *     output.sendUdp(path, ip, from, to, payload)     // UDP
 *     output.sendPacket(path, ip, packet)             // anything else: [start, end) is what follows the IP header; the packet is taken over
 *
 * Every call answers 0 or -errno: -EMSGSIZE, -ENOBUFS, -ENETDOWN, or what routing says.
 */
import { EMSGSIZE, ENETDOWN, ENOBUFS } from '#sentry/abi/errno.ts';
import type { IpAddress } from '../address.ts';
import { pseudoHeaderSum } from '../checksum.ts';
import { Offload } from '../link/device.ts';
import type { NetworkInterface } from '../link/interface.ts';
import type { LinkOutput } from '../link/link-output.ts';
import { PACKET_HEADROOM } from '../packet.ts';
import type { Packet, Payload } from '../packet.ts';
import type { Router } from '../route/router.ts';
import type { StackState } from '../stack-state.ts';
import { TCP_CHECKSUM_OFFSET, tcpHeaderLength } from '../tcp/codec.ts';
import type { TcpHeader } from '../tcp/header.ts';
import type { TcpLower } from '../tcp/lower.ts';
import { fillUdpChecksum, fillUdpLite, UDP_CHECKSUM_OFFSET, UDP_HEADER_LENGTH, writeUdp } from '../wire/udp.ts';
import { KIND_PAYLOAD, KIND_TCP, KIND_UDP, KIND_WHOLE } from './backlog.ts';
import type { Backlog, BacklogEntry } from './backlog.ts';
import { sendFragments } from './fragmentation.ts';
import type { IpHeader } from './header.ts';
import { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE } from './header.ts';
import type { Path } from './path.ts';
import { copyBehind, fillTcpChecksum, ipHeaderLength, prependIp, serialiseTcp } from './serialise.ts';

export class IpOutput implements TcpLower {
  private readonly state: StackState;
  private readonly router: Router;
  private readonly backlog: Backlog;
  private readonly links: LinkOutput;
  private readonly offload = new Offload();
  private identification: number;

  constructor(state: StackState, router: Router, backlog: Backlog, links: LinkOutput) {
    this.state = state;
    this.router = router;
    this.backlog = backlog;
    this.links = links;
    this.identification = state.random() & 0xffff;
  }

  route(path: Path): number {
    return this.router.route(path);
  }

  /** Where packets to a group leave if nobody says; null: no way. */
  groupInterface(group: IpAddress): NetworkInterface | null {
    return this.router.interfaceOfGroup(group);
  }

  /** The path as it is now: asks again if anything changed since it was filled in. */
  refresh(path: Path): number {
    return path.generation === this.state.generation ? 0 : this.router.route(path);
  }

  send(path: Path, ip: IpHeader, tcp: TcpHeader, payload: Payload | null): number {
    const routed = this.refresh(path);
    if (routed < 0) return this.noRoute(ip, routed);
    if (path.isLoopback) {
      const entry = this.enqueue(KIND_TCP, path, ip, payload);
      if (entry === null) return -ENOBUFS;
      entry.tcp.copy(tcp);
      return 0;
    }
    const packet = serialiseTcp(this.state.pool, tcp, payload);
    if (packet === null) return this.noMemory(ip);
    const { offload } = this;
    const { canChecksum } = path.interface!.device!;
    this.prepareOffload(ip, packet, IPPROTO_TCP, TCP_CHECKSUM_OFFSET, canChecksum);
    if (!canChecksum) fillTcpChecksum(ip, packet);
    else if (tcp.segmentSize > 0 && payload !== null && payload.length > tcp.segmentSize) {
      offload.segmentSize = tcp.segmentSize;
      offload.headerLength = ipHeaderLength(ip.version) + tcpHeaderLength(tcp);
    }
    return this.emit(path, ip, packet, offload);
  }

  /** A datagram of `payload`, of UDP or UDP-Lite as `ip.protocol` says; the caller keeps his reference. */
  sendUdp(path: Path, ip: IpHeader, sourcePort: number, destinationPort: number, payload: Payload): number {
    const routed = this.refresh(path);
    if (routed < 0) return this.noRoute(ip, routed);
    if (path.isLoopback && !path.isToMany) {
      const entry = this.enqueue(KIND_UDP, path, ip, payload);
      if (entry === null) return -ENOBUFS;
      entry.sourcePort = sourcePort;
      entry.destinationPort = destinationPort;
      return 0;
    }
    const packet = this.behindUdpHeader(payload);
    if (packet === null) return this.noMemory(ip);
    writeUdp(packet.memory.view, packet.start, sourcePort, destinationPort, payload.length);
    if (ip.protocol === IPPROTO_UDPLITE) {
      fillUdpLite(ip, packet.memory.view, packet.start, packet.length);
      return this.emit(path, ip, packet, this.offload.clear());
    }
    const fits = packet.length + ipHeaderLength(ip.version) <= path.mtu;
    const left = fits && !path.isToMany && !ip.skipsChecksum && path.interface!.device !== null && path.interface!.device.canChecksum;
    this.prepareOffload(ip, packet, IPPROTO_UDP, UDP_CHECKSUM_OFFSET, left);
    if (!left && !ip.skipsChecksum) fillUdpChecksum(ip, packet.memory.view, packet.start, packet.length);
    return this.emit(path, ip, packet, this.offload);
  }

  /** The payload's own packet with room for the header, if nobody else has it and it fills it; else a copy. One reference either way. */
  private behindUdpHeader(payload: Payload): Packet | null {
    const packet = payload.packet!;
    const isWhole = payload.offset === packet.start && payload.length === packet.length;
    if (packet.users > 1 || !isWhole || packet.headroom < PACKET_HEADROOM) return copyBehind(this.state.pool, UDP_HEADER_LENGTH, payload);
    packet.prepend(UDP_HEADER_LENGTH);
    return packet.hold();
  }

  sendPacket(path: Path, ip: IpHeader, packet: Packet): number {
    const routed = this.refresh(path);
    if (routed < 0) {
      packet.release();
      return this.noRoute(ip, routed);
    }
    return this.emit(path, ip, packet, this.offload.clear());
  }

  /** A packet that brings its own IP header (IP_HDRINCL), which `ip` describes. Taken over. */
  sendWhole(path: Path, ip: IpHeader, packet: Packet): number {
    const routed = this.refresh(path);
    if (routed < 0) {
      packet.release();
      return this.noRoute(ip, routed);
    }
    if (packet.length > path.mtu) {
      packet.release();
      return -EMSGSIZE;
    }
    this.state.counters.ip(ip.version).OutRequests++;
    return this.transmit(path, ip, packet, this.offload.clear());
  }

  private noRoute(ip: IpHeader, error: number): number {
    this.state.counters.ip(ip.version).OutNoRoutes++;
    return error;
  }

  private noMemory(ip: IpHeader): number {
    this.state.counters.ip(ip.version).OutDiscards++;
    this.state.counters.noMemory++;
    return -ENOBUFS;
  }

  private enqueue(kind: number, path: Path, ip: IpHeader, payload: Payload | null): BacklogEntry | null {
    this.state.counters.ip(ip.version).OutRequests++;
    const entry = this.backlog.append(kind, this.links.loopback);
    if (entry === null) {
      this.state.counters.backlogDropped++;
      return null;
    }
    entry.ip.copy(ip);
    entry.ip.isToMany = false;
    entry.ip.interfaceIndex = path.interfaceIndex;
    if (payload === null) {
      entry.payload.packet = null;
      entry.payload.length = 0;
    } else entry.payload.set(payload.packet!.hold(), payload.offset, payload.length);
    return entry;
  }

  /** Leaves the checksum to the device, which wants the pseudo header's sum in the field, or says that it is complete. */
  private prepareOffload(ip: IpHeader, packet: Packet, protocol: number, fieldOffset: number, isLeft: boolean): void {
    const offload = this.offload.clear();
    if (!isLeft) return;
    offload.checksumStart = ipHeaderLength(ip.version);
    offload.checksumOffset = fieldOffset;
    let sum = pseudoHeaderSum(ip, protocol, packet.length);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    packet.memory.view.setUint16(packet.start + fieldOffset, sum);
  }

  /** `packet` holds what follows the IP header. Taken over. */
  private emit(path: Path, ip: IpHeader, packet: Packet, offload: Offload): number {
    const counters = this.state.counters.ip(ip.version);
    counters.OutRequests++;
    if (path.isLoopback && !path.isToMany) return this.toOurselves(path, ip, packet);
    const total = packet.length + ipHeaderLength(ip.version);
    if (ip.version === 4 && total > 65_535) return this.tooBig(packet);
    if (offload.segmentSize === 0 && total > (ip.ignoresPathMtu ? path.interface!.mtu : path.mtu)) {
      if (!ip.mayFragment) return this.tooBig(packet);
      return sendFragments(this, this.state, path, ip, packet, this.nextIdentification());
    }
    prependIp(ip, packet, this.nextIdentification());
    return this.transmit(path, ip, packet, offload);
  }

  private tooBig(packet: Packet): number {
    packet.release();
    return -EMSGSIZE;
  }

  /** RFC 6864: unique among packets that may be fragmented; nobody can tell from it how much we send to others. */
  private nextIdentification(): number {
    this.identification = (this.identification + 1 + (this.state.random() & 7)) & 0xffff;
    return this.identification;
  }

  private toOurselves(path: Path, ip: IpHeader, packet: Packet): number {
    const entry = this.backlog.append(KIND_PAYLOAD, this.links.loopback);
    if (entry === null) {
      this.state.counters.backlogDropped++;
      packet.release();
      return -ENOBUFS;
    }
    entry.ip.copy(ip);
    entry.ip.isToMany = false;
    entry.ip.interfaceIndex = path.interfaceIndex;
    entry.payload.set(packet, packet.start, packet.length);
    return 0;
  }

  /** `packet` is a whole IP packet that fits its link. Taken over. */
  transmit(path: Path, ip: IpHeader, packet: Packet, offload: Offload): number {
    const out = path.interface!;
    if (!out.isUp) {
      packet.release();
      return -ENETDOWN;
    }
    if (out.isLoopback) return this.wholeToOurselves(out, packet);
    if (path.isToMany) {
      this.countToMany(ip);
      if (this.isForUsToo(out, ip)) this.copyToOurselves(out, packet);
      if (ip.hopLimit === 0) {
        packet.release();
        return 0;
      }
      return this.links.toMany(out, path.destination, packet, offload);
    }
    if (out.neighbours !== null) return out.neighbours.send(path.nextHop, packet, offload);
    return this.links.bare(out, packet, offload);
  }

  private countToMany(ip: IpHeader): void {
    const counters = this.state.counters.ip(ip.version);
    if (ip.destination.isMulticast) counters.OutMcastPkts++;
    else counters.OutBcastPkts++;
  }

  private isForUsToo(out: NetworkInterface, ip: IpHeader): boolean {
    if (!ip.destination.isMulticast) return true;
    return ip.isLooped && out.findGroup(ip.destination) !== null;
  }

  private copyToOurselves(out: NetworkInterface, packet: Packet): void {
    const copy = this.state.pool.takeUrgent(packet.length);
    if (copy === null) return;
    copy.memory.bytes.set(packet.memory.bytes.subarray(packet.start, packet.end), copy.start);
    copy.end += packet.length;
    this.wholeToOurselves(out, copy);
  }

  private wholeToOurselves(owner: NetworkInterface, packet: Packet): number {
    const entry = this.backlog.append(KIND_WHOLE, owner);
    if (entry === null) {
      this.state.counters.backlogDropped++;
      packet.release();
      return -ENOBUFS;
    }
    entry.payload.set(packet, packet.start, packet.length);
    return 0;
  }
}
