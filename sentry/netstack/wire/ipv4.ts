/**
 * The IPv4 header (RFC 791).
 *
 *      0    1    2      4   6            8    9         10        12      16           20
 *      4|ihl tos  length id  flags|offset ttl  protocol  checksum  source  destination  options
 *
 * `parseIpv4` fills an `IpHeader` with what upper layers need and a `DatagramParts` with what only IP does.
 */
import { addBytes, finishSum } from '../checksum.ts';
import type { IpHeader } from '../ip/header.ts';

export const IPV4_HEADER_LENGTH = 20;
const DONT_FRAGMENT = 0x4000;
const MORE_FRAGMENTS = 0x2000;
const OFFSET_MASK = 0x1fff;
const OPTION_END = 0;
const OPTION_NOP = 1;
const OPTION_LSRR = 131;
const OPTION_SSRR = 137;

/** What IP knows of a datagram beyond its `IpHeader`: lengths and its place among fragments. Scratch. */
export class DatagramParts {
  /** Bytes of all headers up to the payload, IPv6 extension headers included. */
  headerLength = 0;
  /** Bytes behind the headers. */
  payloadLength = 0;
  isFragment = false;
  /** Payload bytes before this fragment's. */
  fragmentOffset = 0;
  moreFragments = false;
  /** Int32. */
  identification = 0;
  /** IPv6: bytes of the headers before the fragment header. */
  unfragmentableLength = 0;
  /** IPv6: where, relative to the packet, the byte lies that names the header an error is about. */
  pointer = 0;
}

export const MALFORMED = -1;
export const BAD_CHECKSUM = -2;
/** It carries a source route, which hosts refuse (RFC 6274). */
export const SOURCE_ROUTED = -3;

/** 0, or why the packet of `length` bytes at `offset` is refused. Bytes beyond its own length are padding. */
export function parseIpv4(ip: IpHeader, parts: DatagramParts, view: DataView, offset: number, length: number): number {
  if (length < IPV4_HEADER_LENGTH) return MALFORMED;
  const first = view.getUint8(offset);
  const headerLength = (first & 15) * 4;
  const total = view.getUint16(offset + 2);
  if (first >>> 4 !== 4 || headerLength < IPV4_HEADER_LENGTH || total < headerLength || total > length) return MALFORMED;
  if (finishSum(addBytes(0, view, offset, headerLength)) !== 0) return BAD_CHECKSUM;
  const fragment = view.getUint16(offset + 6);
  ip.version = 4;
  ip.trafficClass = view.getUint8(offset + 1);
  ip.flowLabel = 0;
  ip.dontFragment = (fragment & DONT_FRAGMENT) !== 0;
  ip.hopLimit = view.getUint8(offset + 8);
  ip.protocol = view.getUint8(offset + 9);
  ip.source.setIpv4(view.getInt32(offset + 12));
  ip.destination.setIpv4(view.getInt32(offset + 16));
  parts.headerLength = headerLength;
  parts.payloadLength = total - headerLength;
  parts.moreFragments = (fragment & MORE_FRAGMENTS) !== 0;
  parts.fragmentOffset = (fragment & OFFSET_MASK) * 8;
  parts.isFragment = parts.moreFragments || parts.fragmentOffset > 0;
  parts.identification = view.getUint16(offset + 4);
  ip.identification = parts.identification;
  return headerLength === IPV4_HEADER_LENGTH ? 0 : checkOptions(view, offset + IPV4_HEADER_LENGTH, offset + headerLength);
}

function checkOptions(view: DataView, from: number, end: number): number {
  let at = from;
  while (at < end) {
    const kind = view.getUint8(at);
    if (kind === OPTION_END) return 0;
    if (kind === OPTION_NOP) {
      at++;
      continue;
    }
    if (at + 2 > end) return MALFORMED;
    const size = view.getUint8(at + 1);
    if (size < 2 || at + size > end) return MALFORMED;
    if (kind === OPTION_LSRR || kind === OPTION_SSRR) return SOURCE_ROUTED;
    at += size;
  }
  return 0;
}

/** Writes a header without options in front of `payloadLength` bytes, with its checksum. */
export function writeIpv4(ip: IpHeader, view: DataView, offset: number, payloadLength: number, identification: number): void {
  view.setUint16(offset, 0x4500 | ip.trafficClass);
  view.setUint16(offset + 2, IPV4_HEADER_LENGTH + payloadLength);
  view.setUint16(offset + 4, identification);
  view.setUint16(offset + 6, ip.dontFragment ? DONT_FRAGMENT : 0);
  view.setUint16(offset + 8, (ip.hopLimit << 8) | ip.protocol);
  view.setUint16(offset + 10, 0);
  view.setInt32(offset + 12, ip.source.w3);
  view.setInt32(offset + 16, ip.destination.w3);
  fixIpv4Checksum(view, offset, IPV4_HEADER_LENGTH);
}

/** Sets the checksum of the header at `offset` anew. */
export function fixIpv4Checksum(view: DataView, offset: number, headerLength: number): void {
  view.setUint16(offset + 10, 0);
  view.setUint16(offset + 10, finishSum(addBytes(0, view, offset, headerLength)));
}

/** Makes the header at `offset` that of a fragment with `payloadLength` bytes from `fragmentOffset` (a multiple of 8) of its datagram on. */
export function setIpv4Fragment(
  view: DataView,
  offset: number,
  headerLength: number,
  payloadLength: number,
  fragmentOffset: number,
  moreFragments: boolean,
): void {
  view.setUint16(offset + 2, headerLength + payloadLength);
  view.setUint16(offset + 6, (fragmentOffset >>> 3) | (moreFragments ? MORE_FRAGMENTS : 0));
  fixIpv4Checksum(view, offset, headerLength);
}
