/**
 * Options of the command line about the network, and what they amount to. Wrong usage ends with one sentence that names the option.
 */
import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import type { PublishedPort } from '#gofer/network/config.ts';
import { PUBLISHED_MAX, RULES_MAX } from '#gofer/network/limits.ts';
import { parseRule } from '#gofer/network/policy/rule.ts';
import { parseAddress } from '#sentry/netstack/address.ts';
import { IPPROTO_TCP, IPPROTO_UDP } from '#sentry/netstack/ip/header.ts';
import { UserError } from '../errors.ts';
import type { NetworkSpec } from '../sandbox/spec.ts';

export interface NetworkOptions {
  net: string;
  publish: PublishedPort[];
  netAllow: string[];
  netDeny: string[];
  report?: string;
  pcap?: string;
}

export function addNetworkOptions(command: Command): Command {
  return command
    .option(
      '--net <mode>',
      'none; user (as the caller, by rules); sandbox[:device] (takes over an interface); host (sockets of the host)',
      parseMode,
      'none',
    )
    .option('--publish <[hostip:]port:port[/udp]>', 'lead a port of the host to one inside (repeatable, --net=user)', parsePublish, [])
    .option(
      '--net-allow <rule>',
      'let only this through: name, *.name, address or prefix, with :port (repeatable, --net=user)',
      collectRule,
      [],
    )
    .option('--net-deny <rule>', 'let everything through but this (repeatable, --net=user)', collectRule, [])
    .option('--report <file>', 'append a line of JSON for everything that was refused (--net=user)')
    .option('--pcap <file>', 'record what crosses the link');
}

function parseMode(value: string): string {
  if (/^(none|user|host|sandbox(:[^/\s]{1,15})?)$/.test(value)) return value;
  throw new InvalidArgumentError('it must be none, user, host, sandbox or sandbox:DEVICE.');
}

function collectRule(value: string, previous: string[]): string[] {
  const rule = parseRule(value);
  if (typeof rule === 'string') throw new InvalidArgumentError(rule);
  if (previous.length >= RULES_MAX) throw new InvalidArgumentError(`there can be no more than ${RULES_MAX}.`);
  return [...previous, value];
}

/** Without an address only the host itself can reach it: publishing to everybody has to be said (0.0.0.0, [::]). */
function parsePublish(value: string, previous: PublishedPort[]): PublishedPort[] {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]:|([0-9.]+):)?(\d{1,5}):(\d{1,5})(?:\/(tcp|udp))?$/.exec(value);
  const address = match?.[1] ?? match?.[2] ?? '127.0.0.1';
  const [port, guestPort] = [Number(match?.[3]), Number(match?.[4])];
  if (match === null || parseAddress(address) === null || !isPort(port) || !isPort(guestPort)) {
    throw new InvalidArgumentError('it must have the form [HOSTIP:]PORT:PORT[/udp], such as 8080:80.');
  }
  if (previous.length >= PUBLISHED_MAX) throw new InvalidArgumentError(`there can be no more than ${PUBLISHED_MAX}.`);
  return [...previous, { address, port, guestPort, protocol: match[5] === 'udp' ? IPPROTO_UDP : IPPROTO_TCP }];
}

function isPort(port: number): boolean {
  return port >= 1 && port <= 65_535;
}

export function networkSpec({ net, publish, netAllow, netDeny, report, pcap }: NetworkOptions): NetworkSpec {
  if (net === 'user') return { mode: 'user', allow: netAllow, deny: netDeny, published: publish, report: report ?? null };
  const misplaced = [
    ...(publish.length > 0 ? ['--publish'] : []),
    ...(netAllow.length > 0 ? ['--net-allow'] : []),
    ...(netDeny.length > 0 ? ['--net-deny'] : []),
    ...(report === undefined ? [] : ['--report']),
  ];
  if (misplaced.length > 0) throw new UserError(`${misplaced[0]!} works with --net=user only.`);
  if ((net === 'none' || net === 'host') && pcap !== undefined)
    throw new UserError('--pcap needs a link: choose --net=user or --net=sandbox.');
  if (net === 'none' || net === 'host') return { mode: net };
  const colon = net.indexOf(':');
  return { mode: 'sandbox', device: colon < 0 ? null : net.slice(colon + 1) };
}
