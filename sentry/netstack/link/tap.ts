/**
 * Who listens to an interface: packet sockets and captures. Frames are shown complete, with the link header, as they arrive and leave.
 */
import type { Packet } from '../packet.ts';
import type { NetworkInterface } from './interface.ts';

/** Kinds of frames (packet(7), sll_pkttype). */
export const PACKET_HOST = 0;
export const PACKET_BROADCAST = 1;
export const PACKET_MULTICAST = 2;
export const PACKET_OTHERHOST = 3;
export const PACKET_OUTGOING = 4;

export interface PacketTap {
  /**
   * A frame: [start, end) of the packet, of which the first `linkLength` bytes are the link header. `etherType` in host order.
   * The tap copies what it keeps. Checksums are complete.
   */
  tap(from: NetworkInterface, packet: Packet, linkLength: number, etherType: number, kind: number): void;
}
