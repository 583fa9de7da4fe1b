/**
 * The IPv6 header and its extension headers (RFC 8200), with the limits of RFC 8504 on how many are followed.
 *
 *      0                4       6     7          8       24           40
 *      6|class|label    length  next  hop limit  source  destination  extension headers, payload
 *
 * `parseIpv6` reads the fixed header; `walkExtensions` goes from there to the upper layer's or a fragment header.
 */
import { EXTENSION_HEADERS_MAX, EXTENSION_OPTIONS_MAX } from '../limits.ts';
import type { IpHeader } from '../ip/header.ts';
import { MALFORMED } from './ipv4.ts';
import type { DatagramParts } from './ipv4.ts';

export const IPV6_HEADER_LENGTH = 40;
/** Every link carries packets of this size (RFC 8200, section 5). */
export const IPV6_MTU_MIN = 1280;
export const FRAGMENT_HEADER_LENGTH = 8;
export const NEXT_HOP_BY_HOP = 0;
export const NEXT_ROUTING = 43;
export const NEXT_FRAGMENT = 44;
export const NEXT_AUTHENTICATION = 51;
export const NEXT_NONE = 59;
export const NEXT_DESTINATION = 60;
const OPTION_PAD1 = 0;
const OPTION_PADN = 1;
export const OPTION_ROUTER_ALERT = 5;
/** Place of "next header" in the fixed header. */
const NEXT_OFFSET = 6;

/** The packet is dropped without a word; with an ICMP parameter problem of code 0, 1 (unknown header), 2 (unknown option). */
export const DROPPED = -2;
export const BAD_FIELD = -3;
export const UNKNOWN_HEADER = -4;
export const UNKNOWN_OPTION = -5;
/** An unknown option that must be told of unless the packet came to a group. */
export const UNKNOWN_OPTION_UNICAST = -6;

/** 0 or MALFORMED. `ip.protocol` is the first next header afterwards, `parts.payloadLength` counts from the fixed header on. */
export function parseIpv6(ip: IpHeader, parts: DatagramParts, view: DataView, offset: number, length: number): number {
  if (length < IPV6_HEADER_LENGTH) return MALFORMED;
  const first = view.getInt32(offset);
  const payloadLength = view.getUint16(offset + 4);
  if (first >>> 28 !== 6 || IPV6_HEADER_LENGTH + payloadLength > length) return MALFORMED;
  ip.version = 6;
  ip.trafficClass = (first >>> 20) & 255;
  ip.flowLabel = first & 0xfffff;
  ip.dontFragment = true;
  ip.protocol = view.getUint8(offset + NEXT_OFFSET);
  ip.hopLimit = view.getUint8(offset + 7);
  ip.source.read(view, offset + 8);
  ip.destination.read(view, offset + 24);
  parts.headerLength = IPV6_HEADER_LENGTH;
  parts.payloadLength = payloadLength;
  parts.isFragment = false;
  parts.moreFragments = false;
  parts.fragmentOffset = 0;
  parts.identification = 0;
  parts.unfragmentableLength = 0;
  parts.pointer = NEXT_OFFSET;
  return 0;
}

/**
 * Goes over the extension headers from where `parts` stands. 0: `ip.protocol` is the upper layer's, or `parts.isFragment` says that a
 * fragment header was met, behind which nothing was looked at. Otherwise why the packet is refused, and `parts.pointer` what it is about.
 */
export function walkExtensions(ip: IpHeader, parts: DatagramParts, view: DataView, offset: number): number {
  for (let count = 0; count <= EXTENSION_HEADERS_MAX; count++) {
    // Hop-by-hop options come first or not at all.
    if (ip.protocol === NEXT_HOP_BY_HOP && parts.headerLength !== IPV6_HEADER_LENGTH) return UNKNOWN_HEADER;
    switch (ip.protocol) {
      case NEXT_HOP_BY_HOP:
      case NEXT_DESTINATION:
      case NEXT_ROUTING: {
        const result = oneExtension(ip, parts, view, offset);
        if (result < 0) return result;
        break;
      }
      case NEXT_FRAGMENT:
        return fragmentHeader(ip, parts, view, offset);
      case NEXT_AUTHENTICATION:
        return UNKNOWN_HEADER;
      default:
        return 0;
    }
  }
  return DROPPED;
}

function oneExtension(ip: IpHeader, parts: DatagramParts, view: DataView, offset: number): number {
  if (parts.payloadLength < 8) return MALFORMED;
  const at = offset + parts.headerLength;
  const size = (view.getUint8(at + 1) + 1) * 8;
  if (size > parts.payloadLength) return MALFORMED;
  const result = ip.protocol === NEXT_ROUTING ? routingHeader(parts, view, offset, at) : options(parts, view, offset, at + 2, at + size);
  if (result < 0) return result;
  advance(ip, parts, view.getUint8(at), size);
  return 0;
}

function advance(ip: IpHeader, parts: DatagramParts, next: number, size: number): void {
  ip.protocol = next;
  parts.pointer = parts.headerLength;
  parts.headerLength += size;
  parts.payloadLength -= size;
}

/** One that still has segments to visit is not ours to process: routing headers are refused as RFC 5095 asks for type 0. */
function routingHeader(parts: DatagramParts, view: DataView, offset: number, at: number): number {
  if (view.getUint8(at + 3) === 0) return 0;
  parts.pointer = at + 2 - offset;
  return BAD_FIELD;
}

function options(parts: DatagramParts, view: DataView, offset: number, from: number, end: number): number {
  let at = from;
  let count = 0;
  while (at < end) {
    const kind = view.getUint8(at);
    if (kind === OPTION_PAD1) {
      at++;
      continue;
    }
    if (at + 2 > end || at + 2 + view.getUint8(at + 1) > end) return MALFORMED;
    if (kind !== OPTION_PADN && ++count > EXTENSION_OPTIONS_MAX) return DROPPED;
    if (kind !== OPTION_PADN && kind !== OPTION_ROUTER_ALERT && kind >>> 6 !== 0) {
      parts.pointer = at - offset;
      return kind >>> 6 === 1 ? DROPPED : kind >>> 6 === 2 ? UNKNOWN_OPTION : UNKNOWN_OPTION_UNICAST;
    }
    at += 2 + view.getUint8(at + 1);
  }
  return 0;
}

function fragmentHeader(ip: IpHeader, parts: DatagramParts, view: DataView, offset: number): number {
  if (parts.payloadLength < FRAGMENT_HEADER_LENGTH) return MALFORMED;
  const at = offset + parts.headerLength;
  const place = view.getUint16(at + 2);
  parts.unfragmentableLength = parts.headerLength;
  parts.isFragment = true;
  parts.fragmentOffset = place & 0xfff8;
  parts.moreFragments = (place & 1) !== 0;
  parts.identification = view.getInt32(at + 4);
  advance(ip, parts, view.getUint8(at), FRAGMENT_HEADER_LENGTH);
  return 0;
}

/** Writes the fixed header in front of `payloadLength` bytes (extension headers count as payload), whose first header is `next`. */
export function writeIpv6(ip: IpHeader, view: DataView, offset: number, payloadLength: number, next: number): void {
  view.setInt32(offset, 0x60000000 | (ip.trafficClass << 20) | ip.flowLabel);
  view.setUint16(offset + 4, payloadLength);
  view.setUint16(offset + 6, (next << 8) | ip.hopLimit);
  ip.source.write(view, offset + 8);
  ip.destination.write(view, offset + 24);
}

export function writeFragmentHeader(
  view: DataView,
  offset: number,
  next: number,
  fragmentOffset: number,
  moreFragments: boolean,
  identification: number,
): void {
  view.setUint16(offset, next << 8);
  view.setUint16(offset + 2, fragmentOffset | (moreFragments ? 1 : 0));
  view.setInt32(offset + 4, identification);
}

/** Writes the eight bytes of a hop-by-hop header with a router alert for MLD (RFC 2711), before a header of kind `next`. */
export function writeRouterAlert(view: DataView, offset: number, next: number): void {
  view.setUint16(offset, next << 8);
  view.setInt32(offset + 2, (OPTION_ROUTER_ALERT << 24) | (2 << 16));
  view.setUint16(offset + 6, OPTION_PADN << 8);
}
