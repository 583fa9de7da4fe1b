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
