/**
 * What the host says about resolving names, read once when the helper starts: resolv.conf(5) and hosts(5).
 */
import { parseAddress } from '#sentry/netstack/address.ts';
import type { IpAddress } from '#sentry/netstack/address.ts';
import { HOSTS_MAX, RESOLVERS_MAX } from '../limits.ts';
import { normalName } from '../policy/rule.ts';

/** Resolvers named by resolv.conf; the host itself where it names none. */
export function parseResolvers(text: string): IpAddress[] {
  const found: IpAddress[] = [];
  for (const line of text.split('\n')) {
    const match = /^nameserver[ \t]+([^ \t#;%]+)/.exec(line);
    const address = match === null ? null : parseAddress(match[1]!);
    if (address !== null && found.length < RESOLVERS_MAX) found.push(address);
  }
  return found.length > 0 ? found : [parseAddress('127.0.0.1')!];
}

/** Addresses by normal name, in the order of the file. */
export function parseHosts(text: string): Map<string, IpAddress[]> {
  const hosts = new Map<string, IpAddress[]>();
  for (const line of text.split('\n')) {
    const [first = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    const address = parseAddress(first);
    if (address === null) continue;
    for (const text of names) {
      const name = normalName(text);
      if (name === null || (hosts.size >= HOSTS_MAX && !hosts.has(name))) continue;
      hosts.set(name, [...(hosts.get(name) ?? []), address]);
    }
  }
  return hosts;
}
