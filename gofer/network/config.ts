/**
 * What the network helper is told when it is started, as JSON in its first message. The text of rules was checked when the command line was read.
 */
import type { IpAddress } from '#sentry/netstack/address.ts';
import { parseAddress } from '#sentry/netstack/address.ts';
import { IPPROTO_TCP, IPPROTO_UDP } from '#sentry/netstack/ip/header.ts';
import { PUBLISHED_MAX, RULES_MAX } from './limits.ts';
import { parseRule } from './policy/rule.ts';
import type { Rule } from './policy/rule.ts';

/** A port of the host that leads to one inside. */
export interface PublishedPort {
  /** Address of the host to listen on, as text. */
  readonly address: string;
  readonly port: number;
  readonly guestPort: number;
  /** IPPROTO_TCP or IPPROTO_UDP. */
  readonly protocol: number;
}

export interface NetworkConfig {
  /** Whether it opens flows by rules (server.ts), or keeps the guests' sockets (host-server.ts), for which there are no rules. */
  readonly serves: 'flows' | 'sockets';
  /** Rules as they were written. */
  readonly allow: readonly string[];
  readonly deny: readonly string[];
  readonly published: readonly PublishedPort[];
  /** Whether a descriptor for the denial report comes along. */
  readonly hasReport: boolean;
}

export interface ParsedConfig {
  readonly serves: 'flows' | 'sockets';
  readonly hasReport: boolean;
  readonly allow: readonly Rule[];
  readonly deny: readonly Rule[];
  readonly published: readonly (PublishedPort & { readonly listenAt: IpAddress })[];
}

/** The configuration in `text`, or a sentence that says what is wrong with it. */
export function parseNetworkConfig(text: string): ParsedConfig | string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return 'the network configuration is not JSON';
  }
  if (typeof value !== 'object' || value === null) return 'the network configuration is not an object';
  const { serves, allow, deny, published, hasReport } = value as Record<string, unknown>;
  if (serves !== 'flows' && serves !== 'sockets') return 'the network configuration does not say what to serve';
  if (!Array.isArray(allow) || !Array.isArray(deny) || !Array.isArray(published)) return 'the network configuration lacks a list';
  if (Math.max(allow.length, deny.length) > RULES_MAX || published.length > PUBLISHED_MAX) return 'the network configuration is too long';
  const rules = [...allow, ...deny].map((rule) => (typeof rule === 'string' ? parseRule(rule) : 'a rule is not text'));
  const wrong = rules.find((rule) => typeof rule === 'string');
  if (wrong !== undefined) return wrong;
  const ports = published.map(parsePublished);
  if (ports.includes(null)) return 'a published port of the network configuration is not { address, port, guestPort, protocol }';
  const parsed = rules as Rule[];
  return {
    serves,
    allow: parsed.slice(0, allow.length),
    deny: parsed.slice(allow.length),
    published: ports.filter((port) => port !== null),
    hasReport: hasReport === true,
  };
}

function parsePublished(value: unknown): (PublishedPort & { listenAt: IpAddress }) | null {
  if (typeof value !== 'object' || value === null) return null;
  const { address, port, guestPort, protocol } = value as Record<string, unknown>;
  const listenAt = typeof address === 'string' ? parseAddress(address) : null;
  if (listenAt === null || !isPort(port) || !isPort(guestPort) || (protocol !== IPPROTO_TCP && protocol !== IPPROTO_UDP)) return null;
  return { address: address as string, port, guestPort, protocol, listenAt };
}

function isPort(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 65_535;
}
