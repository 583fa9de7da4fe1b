/**
 * Arithmetic on sequence numbers (RFC 9293 section 3.4): 32 bits that wrap around, kept as signed 32-bit integers because V8 holds those
 * without a box. Two numbers compare by the sign of their difference, so they must lie less than 2^31 apart, which windows guarantee.
 */

/** Whether `a` comes before `b`. */
export function before(a: number, b: number): boolean {
  return ((a - b) | 0) < 0;
}

/** Whether `a` comes after `b`. */
export function after(a: number, b: number): boolean {
  return ((a - b) | 0) > 0;
}

/** Octets from `from` up to `to`; negative when `to` comes first. */
export function distance(from: number, to: number): number {
  return (to - from) | 0;
}

/** The sequence number `octets` behind `seq`; `octets` may be negative. */
export function add(seq: number, octets: number): number {
  return (seq + octets) | 0;
}

/** The later of two. */
export function latest(a: number, b: number): number {
  return ((a - b) | 0) > 0 ? a : b;
}

/** The earlier of two. */
export function earliest(a: number, b: number): number {
  return ((a - b) | 0) < 0 ? a : b;
}
