/**
 * Turns what the loopback carries as objects into bytes, for those who want to see bytes: packet sockets and captures on `lo`, raw sockets,
 * and quotations in ICMP errors.
 */
import { addBytes, finishSum, pseudoHeaderSum } from '../checksum.ts';
import { copyBytes, Payload } from '../packet.ts';
import type { Packet, PacketPool } from '../packet.ts';
import { TCP_CHECKSUM_OFFSET, tcpHeaderLength, writeTcpHeader } from '../tcp/codec.ts';
import { FIN, PSH, TcpHeader } from '../tcp/header.ts';
import { IPV4_HEADER_LENGTH, writeIpv4 } from '../wire/ipv4.ts';
import { IPV6_HEADER_LENGTH, writeIpv6 } from '../wire/ipv6.ts';
import { fillUdpChecksum, fillUdpLite, UDP_HEADER_LENGTH, writeUdp } from '../wire/udp.ts';
import { KIND_TCP, KIND_UDP, KIND_WHOLE } from './backlog.ts';
import type { BacklogEntry } from './backlog.ts';
import type { IpHeader } from './header.ts';
import { IPPROTO_TCP, IPPROTO_UDP } from './header.ts';

/** Bytes of the IP header we write. */
export function ipHeaderLength(version: 4 | 6): number {
  return version === 4 ? IPV4_HEADER_LENGTH : IPV6_HEADER_LENGTH;
}

/** Puts an IP header in front of the data of `packet`. */
export function prependIp(ip: IpHeader, packet: Packet, identification: number): void {
  const { length } = packet;
  const at = packet.prepend(ipHeaderLength(ip.version));
  if (ip.version === 4) writeIpv4(ip, packet.memory.view, at, length, identification);
  else writeIpv6(ip, packet.memory.view, at, length, ip.protocol);
}

/** A packet with a copy of `payload` behind room for `headerLength` bytes at its start; null: no memory. */
export function copyBehind(pool: PacketPool, headerLength: number, payload: Payload | null): Packet | null {
  const length = payload === null ? 0 : payload.length;
  const packet = pool.takeUrgent(headerLength + length);
  if (packet === null) return null;
  packet.end += headerLength + length;
  if (length > 0) copyBytes(payload!.packet!.memory, payload!.offset, packet.memory, packet.start + headerLength, length);
  return packet;
}

/** The segment behind its IP header, the checksum zero; null: no memory. */
export function serialiseTcp(pool: PacketPool, tcp: TcpHeader, payload: Payload | null): Packet | null {
  const packet = copyBehind(pool, tcpHeaderLength(tcp), payload);
  if (packet !== null) writeTcpHeader(tcp, packet.memory.bytes, packet.start);
  return packet;
}

export function fillTcpChecksum(ip: IpHeader, packet: Packet): void {
  const { view } = packet.memory;
  const sum = addBytes(pseudoHeaderSum(ip, IPPROTO_TCP, packet.length), view, packet.start, packet.length);
  view.setUint16(packet.start + TCP_CHECKSUM_OFFSET, finishSum(sum));
}

/** The upper layer's packet of an entry, checksum complete, in a packet of its own; null: no memory, or too long for one IP packet. */
export function serialiseUpper(pool: PacketPool, entry: BacklogEntry): Packet | null {
  const { ip, payload } = entry;
  const body = payload.packet === null ? null : payload;
  if (entry.kind === KIND_TCP) {
    const packet = serialiseTcp(pool, entry.tcp, body);
    if (packet !== null) fillTcpChecksum(ip, packet);
    return packet;
  }
  if (entry.kind !== KIND_UDP) return copyBehind(pool, 0, body);
  const packet = copyBehind(pool, UDP_HEADER_LENGTH, body);
  if (packet === null) return null;
  writeUdp(packet.memory.view, packet.start, entry.sourcePort, entry.destinationPort, payload.length);
  if (ip.protocol === IPPROTO_UDP) fillUdpChecksum(ip, packet.memory.view, packet.start, packet.length);
  else fillUdpLite(ip, packet.memory.view, packet.start, packet.length);
  return packet;
}

/** How many IP packets an entry makes: more than one for a TCP segment too long for a single one. */
export function pieceCount(entry: BacklogEntry): number {
  return entry.kind === KIND_TCP ? Math.max(1, Math.ceil(entry.payload.length / pieceLength(entry))) : 1;
}

function pieceLength(entry: BacklogEntry): number {
  const most = 65_535 - ipHeaderLength(entry.ip.version) - tcpHeaderLength(entry.tcp);
  return entry.tcp.segmentSize > 0 ? Math.min(entry.tcp.segmentSize, most) : most;
}

const piecePayload = new Payload();
const pieceHeader = new TcpHeader();

/** The IP packet number `piece` of an entry, complete; null: no memory. */
export function serialisePiece(pool: PacketPool, entry: BacklogEntry, piece: number): Packet | null {
  const packet = pieceCount(entry) === 1 ? serialiseUpper(pool, entry) : tcpPiece(pool, entry, piece);
  if (packet !== null && entry.kind !== KIND_WHOLE) prependIp(entry.ip, packet, 0);
  return packet;
}

function tcpPiece(pool: PacketPool, entry: BacklogEntry, piece: number): Packet | null {
  const { payload } = entry;
  const size = pieceLength(entry);
  const from = piece * size;
  const length = Math.min(size, payload.length - from);
  pieceHeader.copy(entry.tcp);
  pieceHeader.seq = (entry.tcp.seq + from) | 0;
  if (from + length < payload.length) pieceHeader.flags &= ~(FIN | PSH);
  const packet = serialiseTcp(pool, pieceHeader, piecePayload.set(payload.packet!, payload.offset + from, length));
  if (packet !== null) fillTcpChecksum(entry.ip, packet);
  return packet;
}
