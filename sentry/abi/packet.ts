/**
 * Packet sockets: packet(7), linux/if_packet.h.
 */
import { array, i32, struct, u16, u8 } from './layout.ts';

/** struct sockaddr_ll. `protocol` is in network order. */
export const SockaddrLl = struct('sockaddr_ll', {
  family: u16,
  protocol: u16,
  interface: i32,
  hardwareType: u16,
  kind: u8,
  length: u8,
  address: array(u8, 8),
});

export const PACKET_ADD_MEMBERSHIP = 1;
export const PACKET_DROP_MEMBERSHIP = 2;
export const PACKET_STATISTICS = 6;
export const PACKET_AUXDATA = 8;
export const PACKET_ORIGDEV = 9;
export const PACKET_VERSION = 10;
export const PACKET_IGNORE_OUTGOING = 23;
export const PACKET_MR_PROMISC = 1;
export const PACKET_MREQ_SIZE = 16;
