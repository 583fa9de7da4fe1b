/**
 * The UDP header (RFC 768, RFC 8200 section 8.1): source port, destination port, length, checksum. UDP-Lite's is the same but for the length.
 */
import { addBytes, finishSum, pseudoHeaderSum } from '../checksum.ts';
import type { IpHeader } from '../ip/header.ts';
import { IPPROTO_UDP, IPPROTO_UDPLITE } from '../ip/header.ts';

export const UDP_HEADER_LENGTH = 8;
export const UDP_CHECKSUM_OFFSET = 6;

/** Writes the header in front of `payloadLength` bytes with its checksum field zero. */
export function writeUdp(view: DataView, offset: number, sourcePort: number, destinationPort: number, payloadLength: number): void {
  view.setUint16(offset, sourcePort);
  view.setUint16(offset + 2, destinationPort);
  view.setUint16(offset + 4, UDP_HEADER_LENGTH + payloadLength);
  view.setUint16(offset + UDP_CHECKSUM_OFFSET, 0);
}

/** Sets the checksum of the datagram of `length` bytes, header included; 0 is sent as 65,535. */
export function fillUdpChecksum(ip: IpHeader, view: DataView, offset: number, length: number): void {
  const sum = finishSum(addBytes(pseudoHeaderSum(ip, IPPROTO_UDP, length), view, offset, length));
  view.setUint16(offset + UDP_CHECKSUM_OFFSET, sum === 0 ? 0xffff : sum);
}

/**
 * UDP-Lite (RFC 3828): the length field tells how many bytes the checksum covers, 0 for all; what is behind them may be damaged. Writes field and
 * checksum of the datagram of `length` bytes.
 */
export function fillUdpLite(ip: IpHeader, view: DataView, offset: number, length: number): void {
  const covered = ip.checksumCoverage === 0 || ip.checksumCoverage > length ? length : Math.max(ip.checksumCoverage, UDP_HEADER_LENGTH);
  view.setUint16(offset + 4, covered === length ? 0 : covered);
  view.setUint16(offset + UDP_CHECKSUM_OFFSET, 0);
  const sum = finishSum(addBytes(pseudoHeaderSum(ip, IPPROTO_UDPLITE, length), view, offset, covered));
  view.setUint16(offset + UDP_CHECKSUM_OFFSET, sum === 0 ? 0xffff : sum);
}

/** Whether coverage and checksum are right; a datagram always has one. Leaves the coverage in `ip`. */
export function isUdpLiteRight(ip: IpHeader, view: DataView, offset: number, length: number): boolean {
  const coverage = view.getUint16(offset + 4);
  if (coverage > length || (coverage > 0 && coverage < UDP_HEADER_LENGTH) || view.getUint16(offset + UDP_CHECKSUM_OFFSET) === 0)
    return false;
  ip.checksumCoverage = coverage;
  const covered = coverage === 0 ? length : coverage;
  return finishSum(addBytes(pseudoHeaderSum(ip, IPPROTO_UDPLITE, length), view, offset, covered)) === 0;
}

/** Whether the checksum is right. None (0) is; who gets an IPv6 datagram without one may refuse it: `ip.skipsChecksum` tells. */
export function isUdpChecksumRight(ip: IpHeader, view: DataView, offset: number, length: number): boolean {
  ip.skipsChecksum = view.getUint16(offset + UDP_CHECKSUM_OFFSET) === 0;
  if (ip.skipsChecksum) return true;
  return finishSum(addBytes(pseudoHeaderSum(ip, IPPROTO_UDP, length), view, offset, length)) === 0;
}
