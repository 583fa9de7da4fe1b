/**
 * IP addresses of both versions as four 32-bit words in network order; an IPv4 address a.b.c.d is ::ffff:a.b.c.d (RFC 4291, section 2.5.5.2).
 *
 * Words are int32 (`| 0`): V8 keeps those as small integers, an unsigned word above 2^31 would be an object of the heap. Addresses are
 * mutable and embedded in what has them (headers, endpoints, routes): whoever keeps one copies it into his own.
 *
 * Classification follows RFC 4291, RFC 1122 section 3.2.1.3 and RFC 6890.
 */
const MAPPED = 0xffff;

export class IpAddress {
  w0 = 0;
  w1 = 0;
  w2 = 0;
  w3 = 0;

  set(w0: number, w1: number, w2: number, w3: number): this {
    this.w0 = w0 | 0;
    this.w1 = w1 | 0;
    this.w2 = w2 | 0;
    this.w3 = w3 | 0;
    return this;
  }

  setIpv4(word: number): this {
    this.w0 = 0;
    this.w1 = 0;
    this.w2 = MAPPED;
    this.w3 = word | 0;
    return this;
  }

  /** `::`. */
  clear(): this {
    return this.set(0, 0, 0, 0);
  }

  copy(other: IpAddress): this {
    this.w0 = other.w0;
    this.w1 = other.w1;
    this.w2 = other.w2;
    this.w3 = other.w3;
    return this;
  }

  equals(other: IpAddress): boolean {
    return this.w3 === other.w3 && this.w2 === other.w2 && this.w1 === other.w1 && this.w0 === other.w0;
  }

  /** Sixteen bytes of a header or sockaddr. */
  read(view: DataView, offset: number): this {
    this.w0 = view.getInt32(offset);
    this.w1 = view.getInt32(offset + 4);
    this.w2 = view.getInt32(offset + 8);
    this.w3 = view.getInt32(offset + 12);
    return this;
  }

  write(view: DataView, offset: number): void {
    view.setInt32(offset, this.w0);
    view.setInt32(offset + 4, this.w1);
    view.setInt32(offset + 8, this.w2);
    view.setInt32(offset + 12, this.w3);
  }

  get isIpv4(): boolean {
    return this.w2 === MAPPED && (this.w0 | this.w1) === 0;
  }

  /** 4 or 6. */
  get version(): 4 | 6 {
    return this.isIpv4 ? 4 : 6;
  }

  /** `::` or 0.0.0.0. */
  get isUnspecified(): boolean {
    return this.w3 === 0 && (this.w0 | this.w1) === 0 && (this.w2 === 0 || this.w2 === MAPPED);
  }

  /** 127.0.0.0/8 or ::1. */
  get isLoopback(): boolean {
    if ((this.w0 | this.w1) !== 0) return false;
    return this.w2 === MAPPED ? this.w3 >>> 24 === 127 : this.w2 === 0 && this.w3 === 1;
  }

  /** 224.0.0.0/4 or ff00::/8. */
  get isMulticast(): boolean {
    return this.isIpv4 ? this.w3 >>> 28 === 14 : this.w0 >>> 24 === 0xff;
  }

  /** 255.255.255.255: the broadcast address of whatever link it leaves by. */
  get isLimitedBroadcast(): boolean {
    return this.w3 === -1 && this.isIpv4;
  }

  /** 169.254.0.0/16 or fe80::/10. */
  get isLinkLocal(): boolean {
    return this.isIpv4 ? this.w3 >>> 16 === 0xa9fe : this.w0 >>> 22 === 0x3fa;
  }

  /** May stand as the address of one host: neither unspecified, nor multicast, nor the limited broadcast. */
  get isUnicast(): boolean {
    return !this.isUnspecified && !this.isMulticast && !this.isLimitedBroadcast;
  }

  /** The scope of a multicast address or group (RFC 4291 section 2.7; 2 is the link), 14 for all others that are global. */
  get scope(): number {
    if (this.isMulticast) return this.isIpv4 ? (this.w3 >>> 8 === 0xe00000 ? SCOPE_LINK : SCOPE_GLOBAL) : (this.w0 >>> 16) & 15;
    if (this.isLoopback || this.isLinkLocal) return SCOPE_LINK;
    return !this.isIpv4 && this.w0 >>> 22 === 0x3fb ? SCOPE_SITE : SCOPE_GLOBAL;
  }

  /** A hash of all bits. */
  get hash(): number {
    let h = Math.imul(this.w0 ^ Math.imul(this.w1, 0x9e3779b1), 0x85ebca6b) ^ this.w2;
    h = Math.imul(h ^ this.w3 ^ (h >>> 15), 0xc2b2ae35);
    return h ^ (h >>> 16);
  }

  /** Whether the first `bits` (of 128) are those of `prefix`. */
  isIn(prefix: IpAddress, bits: number): boolean {
    return commonPrefixIs(this.w0, prefix.w0, bits) && this.rest(prefix, bits);
  }

  private rest(prefix: IpAddress, bits: number): boolean {
    return (
      commonPrefixIs(this.w1, prefix.w1, bits - 32) &&
      commonPrefixIs(this.w2, prefix.w2, bits - 64) &&
      commonPrefixIs(this.w3, prefix.w3, bits - 96)
    );
  }

  toString(): string {
    return formatAddress(this);
  }
}

/** Scopes as RFC 4291 numbers them, and RFC 6724 compares them. */
export const SCOPE_LINK = 2;
export const SCOPE_SITE = 5;
export const SCOPE_GLOBAL = 14;

/** Prefix bits of an IPv4 network in the 128-bit form. */
export const IPV4_PREFIX_BITS = 96;

/** Whether the first `bits` (≤ 0: none, ≥ 32: all) of two words agree. */
function commonPrefixIs(a: number, b: number, bits: number): boolean {
  if (bits <= 0) return true;
  return bits >= 32 ? a === b : (a ^ b) >>> (32 - bits) === 0;
}

/** How many leading bits of two addresses agree, 0 to 128. */
export function commonPrefixLength(a: IpAddress, b: IpAddress): number {
  if (a.w0 !== b.w0) return Math.clz32(a.w0 ^ b.w0);
  if (a.w1 !== b.w1) return 32 + Math.clz32(a.w1 ^ b.w1);
  if (a.w2 !== b.w2) return 64 + Math.clz32(a.w2 ^ b.w2);
  return 96 + Math.clz32(a.w3 ^ b.w3);
}

/** Clears all but the first `bits` (0 to 128). */
export function maskAddress(address: IpAddress, bits: number): void {
  address.w0 &= wordMask(bits);
  address.w1 &= wordMask(bits - 32);
  address.w2 &= wordMask(bits - 64);
  address.w3 &= wordMask(bits - 96);
}

function wordMask(bits: number): number {
  if (bits <= 0) return 0;
  return bits >= 32 ? -1 : ~(-1 >>> bits);
}

/** As RFC 5952 writes it; IPv4 addresses dotted. */
export function formatAddress(address: IpAddress): string {
  if (address.isIpv4) return formatIpv4(address.w3);
  const groups: number[] = [];
  for (const word of [address.w0, address.w1, address.w2, address.w3]) groups.push(word >>> 16, word & 0xffff);
  const [zeros, count] = longestZeros(groups);
  const hex = (list: number[]): string => list.map((group) => group.toString(16)).join(':');
  if (count < 2) return hex(groups);
  return `${hex(groups.slice(0, zeros))}::${hex(groups.slice(zeros + count))}`;
}

function formatIpv4(word: number): string {
  return `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`;
}

/** Where the longest run of zero groups begins, and its length. */
function longestZeros(groups: readonly number[]): readonly [number, number] {
  let best = 0;
  let bestCount = 0;
  for (let i = 0, run = 0; i < groups.length; i++) {
    run = groups[i] === 0 ? run + 1 : 0;
    if (run > bestCount) {
      bestCount = run;
      best = i - run + 1;
    }
  }
  return [best, bestCount];
}

/** Reads dotted IPv4 or RFC 4291 text into a new address; null when it is neither. For configuration and tests. */
export function parseAddress(text: string): IpAddress | null {
  if (!text.includes(':')) {
    const word = parseIpv4(text);
    return word === null ? null : new IpAddress().setIpv4(word);
  }
  const halves = text.split('::');
  if (halves.length > 2) return null;
  const head = parseGroups(halves[0]!);
  const tail = halves.length === 2 ? parseGroups(halves[1]!) : [];
  if (head === null || tail === null) return null;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null;
  const groups = [...head, ...Array.from({ length: missing }, () => 0), ...tail];
  const word = (i: number): number => (groups[i]! << 16) | groups[i + 1]!;
  return new IpAddress().set(word(0), word(2), word(4), word(6));
}

function parseIpv4(text: string): number | null {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return null;
  let word = 0;
  for (const part of match.slice(1)) {
    if (Number(part) > 255) return null;
    word = (word << 8) | Number(part);
  }
  return word;
}

function parseGroups(text: string): number[] | null {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [i, part] of parts.entries()) {
    const dotted = i === parts.length - 1 && part.includes('.') ? parseIpv4(part) : null;
    if (dotted !== null) groups.push(dotted >>> 16, dotted & 0xffff);
    else if (/^[0-9a-f]{1,4}$/i.test(part)) groups.push(Number.parseInt(part, 16));
    else return null;
  }
  return groups;
}
