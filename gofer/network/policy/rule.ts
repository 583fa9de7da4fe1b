/**
 * One rule of `--net-allow` or `--net-deny`: TARGET[:PORT[-PORT]][/tcp|/udp], where TARGET is
 *
 *     example.com        that name                        10.0.0.0/8, 192.0.2.7      addresses
 *     *.example.com      every name below, at any depth   [2001:db8::/32], ::1       (brackets where a port follows)
 *     *                  every name and address but special ones (special-addresses.ts)
 *
 * Names are compared as DNS compares them: ASCII letters without case, a dot at the end ignored. Names in other scripts are taken in
 * their ASCII form (IDNA).
 */
import { domainToASCII } from 'node:url';
import { IPPROTO_TCP, IPPROTO_UDP } from '#sentry/netstack/ip/header.ts';
import { IPV4_PREFIX_BITS, parseAddress } from '#sentry/netstack/address.ts';
import type { IpAddress } from '#sentry/netstack/address.ts';
import type { Prefix } from './special-addresses.ts';

export interface Rule {
  /** As it was written. */
  readonly text: string;
  /** A name in lower case, or `.example.com` for everything below; null: the rule is not about names alone. */
  readonly name: string | null;
  readonly prefix: Prefix | null;
  readonly firstPort: number;
  readonly lastPort: number;
  /** IPPROTO_TCP, IPPROTO_UDP, or 0 for everything. */
  readonly protocol: number;
}

export const PORT_MAX = 65_535;
const NAME_MAX = 253;
const PROTOCOLS: Readonly<Record<string, number>> = { tcp: IPPROTO_TCP, udp: IPPROTO_UDP };

/** The rule in `text`, or a sentence that says what is wrong with it. */
export function parseRule(text: string): Rule | string {
  const slash = /\/(tcp|udp)$/i.exec(text);
  const rest = slash === null ? text : text.slice(0, slash.index);
  const protocol = slash === null ? 0 : PROTOCOLS[slash[1]!.toLowerCase()]!;
  const { target, ports } = splitPorts(rest);
  const range = ports === null ? ([0, PORT_MAX] as const) : parsePorts(ports);
  if (range === null) return `"${ports}" is no port and no range of ports such as 8000-8080.`;
  const [firstPort, lastPort] = range;
  const common = { text, firstPort, lastPort, protocol };
  if (target === '*') return { ...common, name: null, prefix: null };
  const prefix = parsePrefix(target);
  if (prefix !== null) return { ...common, name: null, prefix };
  const name = parsePattern(target);
  if (name === null) return `"${target}" is no domain name, no address and no prefix such as 10.0.0.0/8.`;
  return { ...common, name, prefix: null };
}

function splitPorts(text: string): { target: string; ports: string | null } {
  const bracketed = /^\[([^\]]*)\](\/\d+)?(?::(.*))?$/.exec(text);
  if (bracketed !== null) return { target: bracketed[1]! + (bracketed[2] ?? ''), ports: bracketed[3] ?? null };
  const colon = text.indexOf(':');
  // Two colons: an IPv6 address without a port.
  if (colon < 0 || colon !== text.lastIndexOf(':')) return { target: text, ports: null };
  return { target: text.slice(0, colon), ports: text.slice(colon + 1) };
}

function parsePorts(text: string): readonly [number, number] | null {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (match === null) return null;
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  return first >= 1 && first <= last && last <= PORT_MAX ? [first, last] : null;
}

/** An address, or a prefix whose further bits may be anything: they are not looked at. */
export function parsePrefix(text: string): Prefix | null {
  const match = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text);
  const address = match === null ? null : parseAddress(match[1]!);
  if (match === null || address === null) return null;
  const offset = match[1]!.includes(':') ? 0 : IPV4_PREFIX_BITS;
  const bits = match[2] === undefined ? 128 : Number(match[2]) + offset;
  return bits <= 128 ? { address, bits } : null;
}

function parsePattern(text: string): string | null {
  const isWildcard = text.startsWith('*.');
  const name = normalName(isWildcard ? text.slice(2) : text);
  // A last label of digits is a mistyped address, as in 10.0.0.
  if (name === null || /(^|\.)\d+$/.test(name)) return null;
  return isWildcard ? `.${name}` : name;
}

/** A host name as rules are compared with it: lower case, without a dot at its end. null: it is none. */
export function normalName(text: string): string | null {
  const ascii = /^[\x21-\x7e]*$/.test(text) ? text.toLowerCase() : domainToASCII(text);
  const name = ascii.endsWith('.') ? ascii.slice(0, -1) : ascii;
  if (name.length === 0 || name.length > NAME_MAX) return null;
  return name.split('.').every((label) => /^[a-z0-9_-]{1,63}$/.test(label)) ? name : null;
}

/** Whether a rule about names means the normal name `name`. */
export function matchesName(rule: Rule, name: string): boolean {
  if (rule.name === null) return false;
  return rule.name.startsWith('.') ? name.length > rule.name.length && name.endsWith(rule.name) : name === rule.name;
}

/** Whether the rule's ports and protocol are those of a flow. */
export function coversPort(rule: Rule, protocol: number, port: number): boolean {
  return (rule.protocol === 0 || rule.protocol === protocol) && port >= rule.firstPort && port <= rule.lastPort;
}

/** `*`. */
export function isEverything(rule: Rule): boolean {
  return rule.name === null && rule.prefix === null;
}

/** Whether a rule about addresses means `address`. */
export function matchesAddress(rule: Rule, address: IpAddress): boolean {
  return rule.prefix !== null && address.isIn(rule.prefix.address, rule.prefix.bits);
}
