/** Names of addresses in the reverse tree: d.c.b.a.in-addr.arpa (RFC 1035 section 3.5) and nibbles.ip6.arpa (RFC 3596 section 2.5). */
import { IpAddress, parseAddress } from '#sentry/netstack/address.ts';

/** The address a normal name asks about, or null. */
export function reverseAddress(name: string): IpAddress | null {
  const four = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.in-addr\.arpa$/.exec(name);
  if (four !== null) return parseAddress(`${four[4]}.${four[3]}.${four[2]}.${four[1]}`);
  const six = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name);
  if (six === null) return null;
  const nibbles = six[1]!.split('.').slice(0, 32).reverse().join('');
  const word = (i: number): number => Number.parseInt(nibbles.slice(i * 8, i * 8 + 8), 16);
  return new IpAddress().set(word(0), word(1), word(2), word(3));
}
