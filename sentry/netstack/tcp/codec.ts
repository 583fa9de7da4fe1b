/**
 * TCP headers to and from bytes (RFC 9293 section 3.1; options: RFC 9293 3.2, RFC 7323, RFC 2018, RFC 7413). The checksum is left zero by
 * `write` and not looked at by `parse`: it covers the payload and the addresses, which the IP layer has at hand.
 *
 *     const length = parseTcpHeader(header, bytes, offset, available);   // -1: malformed, to be dropped and counted
 *     const length = writeTcpHeader(header, bytes, offset);              // at most TCP_HEADER_MAX octets
 *
 * Options are padded with NOP so that 32-bit values are aligned. Unknown options are skipped; a length that leaves the header ends parsing
 * with what was understood so far, as Linux does: a hostile option changes nothing else.
 */
import { SACK_BLOCKS_MAX, SYN } from './header.ts';
import type { TcpHeader } from './header.ts';

export const TCP_HEADER_MIN = 20;
export const TCP_HEADER_MAX = 60;
/** Where the checksum is, from the beginning of the header. */
export const TCP_CHECKSUM_OFFSET = 16;
/** Octets that timestamps take, padded. */
export const TIMESTAMPS_LENGTH = 12;

const END_OF_OPTIONS = 0;
const NOP = 1;
const MSS = 2;
const WINDOW_SCALE = 3;
const SACK_PERMITTED = 4;
const SACK = 5;
const TIMESTAMPS = 8;
const FAST_OPEN = 34;

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

function i32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value;
}

function put32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 24;
  bytes[at + 1] = value >> 16;
  bytes[at + 2] = value >> 8;
  bytes[at + 3] = value;
}

/** Octets `writeTcpHeader` will write: 20 to 60, a multiple of 4. */
export function tcpHeaderLength(header: TcpHeader): number {
  let length = TCP_HEADER_MIN;
  if (header.mss !== 0) length += 4;
  if (header.windowScale >= 0) length += 4;
  if (header.timestamps !== 0) length += TIMESTAMPS_LENGTH;
  if (header.sackPermitted !== 0) length += 4;
  if (header.sackCount > 0) length += 4 + 8 * header.sackCount;
  return length;
}

/** Writes `header` at `offset`, the checksum zero. Returns its length. The caller made sure that it fits (TCP_HEADER_MAX). */
export function writeTcpHeader(header: TcpHeader, bytes: Uint8Array, offset: number): number {
  put16(bytes, offset, header.sourcePort);
  put16(bytes, offset + 2, header.destinationPort);
  put32(bytes, offset + 4, header.seq);
  put32(bytes, offset + 8, header.ack);
  bytes[offset + 13] = header.flags;
  put16(bytes, offset + 14, header.window);
  put16(bytes, offset + TCP_CHECKSUM_OFFSET, 0);
  put16(bytes, offset + 18, header.urgent);
  const length = writeOptions(header, bytes, offset + TCP_HEADER_MIN) - offset;
  bytes[offset + 12] = (length >> 2) << 4;
  return length;
}

function writeOptions(header: TcpHeader, bytes: Uint8Array, offset: number): number {
  let at = offset;
  if (header.mss !== 0) {
    put16(bytes, at, (MSS << 8) | 4);
    put16(bytes, at + 2, header.mss);
    at += 4;
  }
  if (header.windowScale >= 0) {
    put32(bytes, at, (NOP << 24) | (WINDOW_SCALE << 16) | (3 << 8) | header.windowScale);
    at += 4;
  }
  if (header.sackPermitted !== 0) {
    put32(bytes, at, (NOP << 24) | (NOP << 16) | (SACK_PERMITTED << 8) | 2);
    at += 4;
  }
  if (header.timestamps !== 0) {
    put32(bytes, at, (NOP << 24) | (NOP << 16) | (TIMESTAMPS << 8) | 10);
    put32(bytes, at + 4, header.tsValue);
    put32(bytes, at + 8, header.tsEcho);
    at += TIMESTAMPS_LENGTH;
  }
  const { sackCount } = header;
  if (sackCount > 0) {
    put32(bytes, at, (NOP << 24) | (NOP << 16) | (SACK << 8) | (2 + 8 * sackCount));
    at += 4;
    for (let i = 0; i < 2 * sackCount; i++, at += 4) put32(bytes, at, header.sack[i]!);
  }
  return at;
}

/**
 * Reads the header at `offset` of which `available` octets (header and payload) are there.
 * Returns the header's length, or -1 when it is shorter than 20 octets or than it says.
 */
export function parseTcpHeader(header: TcpHeader, bytes: Uint8Array, offset: number, available: number): number {
  if (available < TCP_HEADER_MIN) return -1;
  const length = (bytes[offset + 12]! >> 4) << 2;
  if (length < TCP_HEADER_MIN || length > available) return -1;
  header.clear();
  header.sourcePort = u16(bytes, offset);
  header.destinationPort = u16(bytes, offset + 2);
  header.seq = i32(bytes, offset + 4);
  header.ack = i32(bytes, offset + 8);
  header.flags = bytes[offset + 13]!;
  header.window = u16(bytes, offset + 14);
  header.urgent = u16(bytes, offset + 18);
  if (length > TCP_HEADER_MIN) parseOptions(header, bytes, offset + TCP_HEADER_MIN, offset + length);
  return length;
}

function parseOptions(header: TcpHeader, bytes: Uint8Array, offset: number, end: number): void {
  let at = offset;
  while (at < end) {
    const kind = bytes[at]!;
    if (kind === END_OF_OPTIONS) return;
    if (kind === NOP) {
      at++;
      continue;
    }
    if (at + 1 >= end) return;
    const length = bytes[at + 1]!;
    if (length < 2 || at + length > end) return;
    parseOption(header, bytes, kind, at, length);
    at += length;
  }
}

function parseOption(header: TcpHeader, bytes: Uint8Array, kind: number, at: number, length: number): void {
  const isSyn = (header.flags & SYN) !== 0;
  switch (kind) {
    case MSS:
      if (length === 4 && isSyn) header.mss = u16(bytes, at + 2);
      return;
    case WINDOW_SCALE:
      // Above 14 is taken as 14 (RFC 7323 section 2.3).
      if (length === 3 && isSyn) header.windowScale = Math.min(bytes[at + 2]!, 14);
      return;
    case SACK_PERMITTED:
      if (length === 2 && isSyn) header.sackPermitted = 1;
      return;
    case TIMESTAMPS:
      if (length !== 10) return;
      header.timestamps = 1;
      header.tsValue = i32(bytes, at + 2);
      header.tsEcho = i32(bytes, at + 6);
      return;
    case SACK:
      if (length >= 10 && (length - 2) % 8 === 0 && !isSyn) parseSack(header, bytes, at + 2, (length - 2) >> 3);
      return;
    case FAST_OPEN:
      if (isSyn) header.fastOpen = 1;
      return;
    default:
      return;
  }
}

function parseSack(header: TcpHeader, bytes: Uint8Array, at: number, blocks: number): void {
  header.sackCount = Math.min(blocks, SACK_BLOCKS_MAX);
  for (let i = 0; i < 2 * header.sackCount; i++) header.sack[i] = i32(bytes, at + 4 * i);
}
