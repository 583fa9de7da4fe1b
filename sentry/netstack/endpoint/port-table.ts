/**
 * Ports of one datagram protocol: who is bound to which, who gets a datagram, and which ports are free (Linux: net/ipv4/udp.c,
 * udp_lib_get_port and compute_score; RFC 6056 for the choice of ephemeral ports).
 *
 * Ping sockets use it too: their identifiers are ports.
 */
import { EADDRINUSE } from '#sentry/abi/errno.ts';
import type { IpAddress } from '../address.ts';
import type { IpHeader } from '../ip/header.ts';
import type { NetworkSettings } from '../settings.ts';
import type { Random, StackState } from '../stack-state.ts';
import type { DatagramEndpoint } from './datagram-endpoint.ts';

export class PortTable<E extends DatagramEndpoint> {
  readonly endpoints: E[] = [];
  private readonly random: Random;
  private readonly settings: NetworkSettings;
  private readonly ports = new Map<number, E[]>();

  constructor({ random, settings }: Pick<StackState, 'random' | 'settings'>) {
    this.random = random;
    this.settings = settings;
  }

  /** Those bound to a port, in order of binding. */
  at(port: number): readonly E[] {
    return this.ports.get(port) ?? NONE;
  }

  /** Gives `endpoint`, whose address is set, a port: the one asked for, or a free one for 0. The port, or -EADDRINUSE. */
  bind(endpoint: E, wanted: number): number {
    const port = wanted === 0 ? this.choose(endpoint) : wanted;
    if (port < 0 || this.isTaken(endpoint, port)) return -EADDRINUSE;
    endpoint.local.port = port;
    const list = this.ports.get(port);
    if (list === undefined) this.ports.set(port, [endpoint]);
    else list.push(endpoint);
    this.endpoints.push(endpoint);
    return port;
  }

  unbind(endpoint: E): void {
    const list = this.ports.get(endpoint.local.port);
    const place = list === undefined ? -1 : list.indexOf(endpoint);
    if (list === undefined || place < 0) return;
    list.splice(place, 1);
    if (list.length === 0) this.ports.delete(endpoint.local.port);
    this.endpoints.splice(this.endpoints.indexOf(endpoint), 1);
  }

  /** From a random one on, the first that is free; -1 when none is. */
  private choose(endpoint: E): number {
    const { localPortFirst, localPortLast } = this.settings;
    const count = localPortLast - localPortFirst + 1;
    const from = (this.random() >>> 1) % count;
    for (let i = 0; i < count; i++) {
      const port = localPortFirst + ((from + i) % count);
      if (this.at(port).length === 0) return port;
    }
    for (let i = 0; i < count; i++) {
      const port = localPortFirst + ((from + i) % count);
      if (!this.isTaken(endpoint, port)) return port;
    }
    return -1;
  }

  private isTaken(endpoint: E, port: number): boolean {
    for (const other of this.at(port)) if (other !== endpoint && conflicts(endpoint, other)) return true;
    return false;
  }

  /** The endpoint that a datagram to one host is for, null: nobody. */
  find(ip: IpHeader, sourcePort: number, destinationPort: number): E | null {
    const list = this.ports.get(destinationPort);
    if (list === undefined) return null;
    let best: E | null = null;
    let bestScore = -1;
    let equals = 0;
    for (let i = 0; i < list.length; i++) {
      const candidate = list[i]!;
      const score = scoreOf(candidate, ip, sourcePort);
      if (score < 0 || score < bestScore) continue;
      if (score > bestScore) {
        best = candidate;
        bestScore = score;
        equals = 1;
      } else if (candidate.options.reusePort) equals++;
      // Linux: of several that only share their address, the one bound last.
      else best = candidate;
    }
    return equals > 1 && best!.options.reusePort ? this.share(list, ip, sourcePort, bestScore, equals) : best;
  }

  /** SO_REUSEPORT: flows are spread over the group by a hash, so that one flow stays with one socket. */
  private share(list: readonly E[], ip: IpHeader, sourcePort: number, score: number, count: number): E | null {
    let turn = ((ip.source.hash ^ Math.imul(sourcePort + 1, 0x9e3779b1)) >>> 8) % count;
    for (const candidate of list) {
      if (!candidate.options.reusePort || scoreOf(candidate, ip, sourcePort) !== score) continue;
      if (turn-- === 0) return candidate;
    }
    return null;
  }

  /** Whether `endpoint` gets a datagram that came to a group or to all. */
  takes(endpoint: E, ip: IpHeader, sourcePort: number): boolean {
    return scoreOf(endpoint, ip, sourcePort) >= 0;
  }
}

const NONE: readonly never[] = [];

/** Whether two endpoints of one port exclude each other. */
function conflicts(a: DatagramEndpoint, b: DatagramEndpoint): boolean {
  if (a.options.boundInterface !== 0 && b.options.boundInterface !== 0 && a.options.boundInterface !== b.options.boundInterface)
    return false;
  if (a.options.reuseAddress && b.options.reuseAddress) return false;
  if (a.options.reusePort && b.options.reusePort && a.options.uid === b.options.uid) return false;
  return overlaps(a, b);
}

/** Whether some destination address is for both (Linux: inet_rcv_saddr_equal). */
function overlaps(a: DatagramEndpoint, b: DatagramEndpoint): boolean {
  const [addressA, addressB] = [a.local.address, b.local.address];
  if (!addressA.isUnspecified && !addressB.isUnspecified) return addressA.equals(addressB);
  return (accepts(a, 4) && accepts(b, 4)) || (accepts(a, 6) && accepts(b, 6));
}

/** Whether packets of an IP version may be for an endpoint. */
function accepts(endpoint: DatagramEndpoint, version: 4 | 6): boolean {
  const { address } = endpoint.local;
  if (endpoint.version === 4 || isMapped(address)) return version === 4;
  if (!address.isUnspecified) return version === 6;
  return version === 6 || !endpoint.options.isV6Only;
}

function isMapped(address: IpAddress): boolean {
  return address.isIpv4;
}

/** How well an endpoint fits: the more it said the better; -1: not at all. */
function scoreOf(endpoint: DatagramEndpoint, ip: IpHeader, sourcePort: number): number {
  const { local, remote, options } = endpoint;
  if (!accepts(endpoint, ip.version)) return -1;
  let score = endpoint.version === 4 ? 1 : 0;
  if (!local.address.isUnspecified) {
    // A group's datagram is for those bound to the group or to any address, not to one of the host's.
    if (!local.address.equals(ip.destination)) return -1;
    score += 4;
  }
  if (endpoint.isConnected) {
    if (remote.port !== sourcePort || !remote.address.equals(ip.source)) return -1;
    score += 8;
  }
  if (options.boundInterface !== 0) {
    if (options.boundInterface !== ip.interfaceIndex) return -1;
    score += 4;
  }
  return score;
}
