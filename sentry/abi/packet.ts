/**
 * Packet sockets: packet(7), linux/if_packet.h.
 */
import { array, i32, struct, u16, u32, u8 } from './layout.ts';

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

// Rings: frames in memory that the guest maps.
export const PACKET_RX_RING = 5;
export const PACKET_HDRLEN = 11;
export const PACKET_RESERVE = 12;
export const TPACKET_V1 = 0;
export const TPACKET_V2 = 1;
export const TPACKET_ALIGNMENT = 16;
/** struct tpacket_req: block size, blocks, frame size, frames. */
export const TPACKET_REQ_SIZE = 16;
/** Whose a frame is, and what the kernel says of it. */
export const TP_STATUS_KERNEL = 0;
export const TP_STATUS_USER = 1;
export const TP_STATUS_LOSING = 4;

/** struct tpacket_hdr (V1), whose status is a long. */
export const TpacketHdr = struct('tpacket_hdr', {
  status: u32,
  statusHigh: u32,
  length: u32,
  captured: u32,
  link: u16,
  network: u16,
  seconds: u32,
  micros: u32,
});

/** struct tpacket2_hdr. */
export const Tpacket2Hdr = struct('tpacket2_hdr', {
  status: u32,
  length: u32,
  captured: u32,
  link: u16,
  network: u16,
  seconds: u32,
  nanos: u32,
  vlanTag: u16,
  vlanProtocol: u16,
  padding: u32,
});

/** struct tpacket_auxdata. */
export const TpacketAuxdata = struct('tpacket_auxdata', {
  status: u32,
  length: u32,
  captured: u32,
  link: u16,
  network: u16,
  vlanTag: u16,
  vlanProtocol: u16,
});
