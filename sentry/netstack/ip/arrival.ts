/**
 * A packet on its way up: what IP found out about it, for the layers above. One scratch object for the stack; who keeps the packet holds it
 * and copies what else it needs.
 */
import { IpAddress } from '../address.ts';
import type { NetworkInterface } from '../link/interface.ts';
import { Payload } from '../packet.ts';
import { IpHeader } from './header.ts';

export class Arrival {
  interface: NetworkInterface | null = null;
  readonly ip = new IpHeader();
  /** Behind IP's headers: the header of the upper layer and its data. */
  readonly payload = new Payload();
  /** Where in the packet's memory the IP header lies, -1 when there is none (loopback, reassembled). */
  ipStart = -1;
  /** The checksum of the upper layer needs no look: the packet never left, or the device vouches for it. */
  isVerified = false;
}

/** What an ICMP error said of a packet of ours, or we found out ourselves. Scratch. */
export class ErrorReport {
  /** Positive. */
  errno = 0;
  /** Connected sockets get it without having asked for errors (RFC 1122, section 4.2.3.9). */
  isHard = false;
  /** SO_EE_ORIGIN_*: local 1, ICMP 2, ICMPv6 3. */
  origin = 0;
  type = 0;
  code = 0;
  /** The path MTU for packets too big. */
  info = 0;
  /** Of the packet that was lost: source is ours. */
  readonly ip = new IpHeader();
  /** Who complains. */
  readonly offender = new IpAddress();
  /** What is quoted of the lost packet behind IP's headers. */
  readonly quoted = new Payload();
}

export const SO_EE_ORIGIN_LOCAL = 1;
export const SO_EE_ORIGIN_ICMP = 2;
export const SO_EE_ORIGIN_ICMP6 = 3;
