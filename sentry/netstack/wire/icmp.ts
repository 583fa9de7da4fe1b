/**
 * ICMP (RFC 792, RFC 1122, RFC 1191) and ICMPv6 (RFC 4443): a type, a code, a checksum, four bytes whose meaning depends on the type, and a
 * body. Errors carry the beginning of the packet they are about as their body.
 *
 *      0     1     2         4      8
 *      type  code  checksum  rest   body
 */
import { addBytes, finishSum, pseudoHeaderSum } from '../checksum.ts';
import type { IpHeader } from '../ip/header.ts';
import { IPPROTO_ICMP, IPPROTO_ICMPV6 } from '../ip/header.ts';

export const ICMP_HEADER_LENGTH = 8;

export const ICMP_ECHO_REPLY = 0;
export const ICMP_UNREACHABLE = 3;
export const ICMP_SOURCE_QUENCH = 4;
export const ICMP_REDIRECT = 5;
export const ICMP_ECHO = 8;
export const ICMP_TIME_EXCEEDED = 11;
export const ICMP_PARAMETER_PROBLEM = 12;
export const ICMP_TIMESTAMP = 13;
export const ICMP_TIMESTAMP_REPLY = 14;

export const UNREACHABLE_HOST = 1;
export const UNREACHABLE_PROTOCOL = 2;
export const UNREACHABLE_PORT = 3;
export const UNREACHABLE_FRAGMENTATION_NEEDED = 4;
export const TIME_EXCEEDED_REASSEMBLY = 1;

export const ICMPV6_UNREACHABLE = 1;
export const ICMPV6_PACKET_TOO_BIG = 2;
export const ICMPV6_TIME_EXCEEDED = 3;
export const ICMPV6_PARAMETER_PROBLEM = 4;
export const ICMPV6_ECHO = 128;
export const ICMPV6_ECHO_REPLY = 129;
export const ICMPV6_MLD_QUERY = 130;
export const ICMPV6_MLD_REPORT = 131;
export const ICMPV6_MLD_DONE = 132;
export const ICMPV6_ROUTER_SOLICITATION = 133;
export const ICMPV6_ROUTER_ADVERTISEMENT = 134;
export const ICMPV6_NEIGHBOUR_SOLICITATION = 135;
export const ICMPV6_NEIGHBOUR_ADVERTISEMENT = 136;
export const ICMPV6_REDIRECT = 137;
export const ICMPV6_MLD2_REPORT = 143;
export const UNREACHABLE6_ADDRESS = 3;
export const UNREACHABLE6_PORT = 4;

/** Errors have types below this one in ICMPv6. */
const ICMPV6_INFORMATIONAL = 128;

export function icmpProtocol(version: 4 | 6): number {
  return version === 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
}

/** Whether the checksum over `length` bytes at `offset` is right. */
export function isIcmpChecksumRight(ip: IpHeader, view: DataView, offset: number, length: number): boolean {
  return finishSum(addBytes(startSum(ip, length), view, offset, length)) === 0;
}

/** Writes type, code, the checksum and `rest` (int32) in front of a body that is in place; `length` counts from `offset`. */
export function writeIcmp(ip: IpHeader, view: DataView, offset: number, length: number, type: number, code: number, rest: number): void {
  view.setUint16(offset, (type << 8) | code);
  view.setInt32(offset + 4, rest);
  fixIcmpChecksum(ip, view, offset, length);
}

export function fixIcmpChecksum(ip: IpHeader, view: DataView, offset: number, length: number): void {
  view.setUint16(offset + 2, 0);
  view.setUint16(offset + 2, finishSum(addBytes(startSum(ip, length), view, offset, length)));
}

/** ICMPv6 covers the pseudo header, ICMP does not. */
function startSum(ip: IpHeader, length: number): number {
  return ip.version === 4 ? 0 : pseudoHeaderSum(ip, IPPROTO_ICMPV6, length);
}

/** Whether a message of this type is an error, which is never answered by another (RFC 1122 section 3.2.2, RFC 4443 section 2.4). */
export function isIcmpError(version: 4 | 6, type: number): boolean {
  if (version === 6) return type < ICMPV6_INFORMATIONAL || type === ICMPV6_REDIRECT;
  return (
    type === ICMP_UNREACHABLE ||
    (type >= ICMP_SOURCE_QUENCH && type <= ICMP_REDIRECT) ||
    type === ICMP_TIME_EXCEEDED ||
    type === ICMP_PARAMETER_PROBLEM
  );
}
