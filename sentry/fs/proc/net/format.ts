/** How the tables of /proc/net write addresses: hexadecimal, IPv4 and each word of an IPv6 address in the machine's byte order. */
import type { IpAddress } from '../../../netstack/address.ts';
import { AF_INET } from '#sentry/abi/socket.ts';

export function hex(value: number, digits: number): string {
  return (value >>> 0).toString(16).toUpperCase().padStart(digits, '0');
}

/** A word in network order as a little-endian machine's `%08X` of the memory shows it. */
export function swapped(word: number): string {
  return hex(((word & 255) << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24), 8);
}

export function addressText(address: IpAddress, domain: number): string {
  if (domain === AF_INET) return swapped(address.w3);
  return swapped(address.w0) + swapped(address.w1) + swapped(address.w2) + swapped(address.w3);
}

/** The sixteen bytes in order, as if_inet6 and ipv6_route write them. */
export function plainHex(address: IpAddress): string {
  return [address.w0, address.w1, address.w2, address.w3].map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
}
