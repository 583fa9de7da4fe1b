/**
 * The Internet checksum (RFC 1071): the one's complement of the one's complement sum of 16-bit words.
 *
 *     let sum = pseudoHeaderSum(ip, IPPROTO_UDP, length);
 *     sum = addBytes(sum, view, offset, length);
 *     view.setUint16(field, finishSum(sum));
 *
 * A partial sum is an int32 ≥ 0 that `finishSum` folds to 16 bits; over right data with the checksum in place it finishes as 0.
 */
import type { IpHeader } from './ip/header.ts';

/** Words added before the sum is folded: 2 × 65,535 each stays below 2^31 with what was there before. */
const FOLD_BYTES = 16_384;

/** Adds `length` bytes at `offset` to a partial sum. An odd last byte counts as the high half of a word, so only the last piece may be odd. */
export function addBytes(sum: number, view: DataView, offset: number, length: number): number {
  let total = sum;
  let at = offset;
  let left = length;
  while (left > FOLD_BYTES) {
    total = fold(addWords(total, view, at, at + FOLD_BYTES));
    at += FOLD_BYTES;
    left -= FOLD_BYTES;
  }
  const words = left & ~3;
  total = fold(addWords(total, view, at, at + words));
  at += words;
  if ((left & 2) !== 0) {
    total += view.getUint16(at);
    at += 2;
  }
  if ((left & 1) !== 0) total += view.getUint8(at) << 8;
  return fold(total);
}

function addWords(sum: number, view: DataView, from: number, to: number): number {
  let total = sum;
  for (let at = from; at < to; at += 4) {
    const word = view.getInt32(at);
    total += (word >>> 16) + (word & 0xffff);
  }
  return total;
}

/** Two halves of the sum as one: at most 17 bits. */
function fold(sum: number): number {
  return (sum & 0xffff) + (sum >>> 16);
}

export function finishSum(sum: number): number {
  return ~fold(fold(sum)) & 0xffff;
}

/** The partial sum of the pseudo header of `ip` (RFC 9293 section 3.1, RFC 8200 section 8.1) with `length` bytes of `protocol`. */
export function pseudoHeaderSum(ip: IpHeader, protocol: number, length: number): number {
  const { source, destination } = ip;
  let sum = protocol + (length >>> 16) + (length & 0xffff) + halves(source.w3) + halves(destination.w3);
  if (ip.version === 4) return sum;
  sum += halves(source.w0) + halves(source.w1) + halves(source.w2);
  return sum + halves(destination.w0) + halves(destination.w1) + halves(destination.w2);
}

function halves(word: number): number {
  return (word >>> 16) + (word & 0xffff);
}
