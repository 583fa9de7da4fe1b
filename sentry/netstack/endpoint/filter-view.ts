/**
 * What the filter of a socket (SO_ATTACH_FILTER) sees of a packet, and what it leaves of it. Above the link packets are numbers and a payload that
 * others read too, so for a filter one is laid out as it is on Linux at that place:
 *
 *     IP header │ header of the upper layer │ payload            IPv4 and IPv6 raw sockets start at the IP header and at the payload
 *
 *     const kept = view.udp(filter, ip, sourcePort, destinationPort, payload);      // bytes of payload; -1: dropped
 *
 * There is no link header then (SKF_LL_OFF). Headers are kept whole, where Linux lets a filter cut that of a raw socket.
 *
 * Linux: net/core/filter.c sk_filter_trim_cap; udp_queue_rcv_one_skb, tcp_filter, raw_rcv_skb, ping_queue_rcv_skb.
 */
import { FilteredPacket } from '../../bpf/packet-filter.ts';
import type { PacketFilter } from '../../bpf/packet-filter.ts';
import type { IpHeader } from '../ip/header.ts';
import { ipHeaderLength } from '../ip/serialise.ts';
import type { InterfaceTable } from '../link/interface-table.ts';
import type { NetworkInterface } from '../link/interface.ts';
import { PACKET_HOST, PACKET_MULTICAST } from '../link/tap.ts';
import { PACKET_DATA_MAX } from '../packet.ts';
import type { Packet, Payload } from '../packet.ts';
import type { StackState } from '../stack-state.ts';
import { TCP_HEADER_MAX, writeTcpHeader } from '../tcp/codec.ts';
import type { TcpHeader } from '../tcp/header.ts';
import { ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from '../wire/ethernet.ts';
import { IPV4_HEADER_LENGTH, writeIpv4 } from '../wire/ipv4.ts';
import { IPV6_HEADER_LENGTH, writeIpv6 } from '../wire/ipv6.ts';
import { UDP_HEADER_LENGTH, writeUdp } from '../wire/udp.ts';

/** The IP header ends here, and that of the upper layer begins. */
const UPPER = IPV6_HEADER_LENGTH;

/** Of a segment that has been received as well. */
type Bytes = Pick<Payload, 'packet' | 'offset' | 'length'>;

export class FilterView {
  private readonly interfaces: InterfaceTable;
  private readonly packet: FilteredPacket;
  /** Made when the first filter runs. */
  private bytes: Uint8Array | null = null;

  constructor(state: StackState, interfaces: InterfaceTable) {
    this.interfaces = interfaces;
    this.packet = new FilteredPacket(new DataView(new ArrayBuffer(0)));
    this.packet.random = state.random;
  }

  /** @returns bytes of `payload` that the socket gets; -1: none, the datagram is dropped. So do the others. */
  udp(filter: PacketFilter, ip: IpHeader, sourcePort: number, destinationPort: number, payload: Payload): number {
    const { view } = this.begin(ip, UDP_HEADER_LENGTH, payload);
    writeUdp(view, UPPER, sourcePort, destinationPort, payload.length);
    return this.ask(filter, UDP_HEADER_LENGTH, payload.length);
  }

  /** `payload` begins with the header of ICMP. */
  icmp(filter: PacketFilter, ip: IpHeader, payload: Payload): number {
    this.begin(ip, 0, payload);
    return this.ask(filter, 0, payload.length);
  }

  raw(filter: PacketFilter, ip: IpHeader, payload: Payload): number {
    const packet = this.begin(ip, 0, payload);
    if (ip.version === 6) return this.ask(filter, 0, payload.length);
    packet.start = packet.network;
    return this.ask(filter, IPV4_HEADER_LENGTH, payload.length);
  }

  /** `payload` may be without a packet: a segment without data. */
  tcp(filter: PacketFilter, ip: IpHeader, header: TcpHeader, payload: Bytes): number {
    const bytes = this.prepare();
    const length = writeTcpHeader(header, bytes, UPPER);
    this.begin(ip, length, payload);
    return this.ask(filter, length, payload.length);
  }

  /** A frame, of which the first `skipped` bytes are not for the socket: bytes to keep behind those, -1: none. */
  frame(
    filter: PacketFilter,
    from: NetworkInterface,
    frame: Packet,
    linkLength: number,
    skipped: number,
    etherType: number,
    type: number,
  ): number {
    const { packet } = this;
    packet.view = frame.memory.view;
    packet.start = frame.start + skipped;
    packet.end = frame.end;
    packet.link = linkLength === 0 ? -1 : frame.start;
    packet.network = frame.start + linkLength;
    packet.protocol = etherType;
    packet.type = type;
    packet.interfaceIndex = from.index;
    packet.hardwareType = from.hardwareType;
    return this.ask(filter, 0, frame.length - skipped);
  }

  private prepare(): Uint8Array {
    this.bytes ??= new Uint8Array(UPPER + TCP_HEADER_MAX + PACKET_DATA_MAX);
    return this.bytes;
  }

  /** Lays out the IP header, and the payload behind an upper header of `upperLength` bytes, which is the caller's to write. */
  private begin(ip: IpHeader, upperLength: number, payload: Bytes): FilteredPacket {
    const { packet } = this;
    const bytes = this.prepare();
    if (packet.view.buffer !== bytes.buffer) packet.view = new DataView(bytes.buffer);
    const behind = UPPER + upperLength;
    const { packet: source, offset, length } = payload;
    if (source !== null) bytes.set(source.memory.bytes.subarray(offset, offset + length), behind);
    const isIpv4 = ip.version === 4;
    packet.start = UPPER;
    packet.end = behind + length;
    packet.link = -1;
    packet.network = UPPER - ipHeaderLength(ip.version);
    // What loopback carries at once may be longer than the field can say.
    const told = Math.min(upperLength + length, 0xffff - IPV4_HEADER_LENGTH);
    if (isIpv4) writeIpv4(ip, packet.view, packet.network, told, ip.identification);
    else writeIpv6(ip, packet.view, packet.network, told, ip.protocol);
    packet.protocol = isIpv4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6;
    packet.type = ip.isToMany ? PACKET_MULTICAST : PACKET_HOST;
    packet.interfaceIndex = ip.interfaceIndex;
    packet.hardwareType = this.interfaces.byIndex(ip.interfaceIndex)?.hardwareType ?? 0;
    return packet;
  }

  /** Runs the filter: bytes to keep of the `length` behind `headers` bytes that are always kept, or -1. */
  private ask(filter: PacketFilter, headers: number, length: number): number {
    const kept = filter.run(this.packet);
    return kept === 0 ? -1 : Math.min(Math.max(kept - headers, 0), length);
  }
}
