/**
 * Addresses that a sandbox with a network does not reach unless a rule names them: what the host keeps for itself, and what a cloud tells
 * only to the machine. `*` and wide prefixes do not count as naming them, and a name that resolves to one of them opens nothing.
 *
 * RFC 6890 (special-purpose addresses), RFC 3927 (link-local); the metadata services are those their providers document.
 */
import { IPV4_PREFIX_BITS, parseAddress } from '#sentry/netstack/address.ts';
import type { IpAddress } from '#sentry/netstack/address.ts';

export interface Prefix {
  readonly address: IpAddress;
  /** Of 128; an IPv4 prefix has 96 more than one writes. */
  readonly bits: number;
}

export interface SpecialPrefix extends Prefix {
  readonly what: string;
}

function special(text: string, bits: number, what: string): SpecialPrefix {
  const address = parseAddress(text)!;
  return { address, bits: address.isIpv4 ? bits + IPV4_PREFIX_BITS : bits, what };
}

export const SPECIAL_PREFIXES: readonly SpecialPrefix[] = [
  special('127.0.0.0', 8, 'loopback of the host'),
  special('::1', 128, 'loopback of the host'),
  special('169.254.0.0', 16, 'link-local, where clouds keep their metadata services'),
  special('fe80::', 10, 'link-local'),
  special('fd00:ec2::', 32, 'metadata service of a cloud'),
  special('100.100.100.200', 32, 'metadata service of a cloud'),
  special('168.63.129.16', 32, 'metadata service of a cloud'),
  // Connecting to the unspecified address reaches the host's own loopback (ip(7)).
  special('0.0.0.0', 8, 'this host'),
  special('::', 128, 'this host'),
  special('224.0.0.0', 4, 'multicast'),
  special('ff00::', 8, 'multicast'),
  special('240.0.0.0', 4, 'reserved, and broadcast'),
];

/**
 * Besides those, the host's own addresses, of which `texts` are some: what listens there on all addresses counts on the network around it, not on guests.
 */
export function withOwnAddresses(texts: readonly string[]): SpecialPrefix[] {
  const own = texts.map((text) => parseAddress(text)).filter((address) => address !== null);
  return [...SPECIAL_PREFIXES, ...own.map((address) => ({ address, bits: 128, what: 'address of the host itself' }))];
}
