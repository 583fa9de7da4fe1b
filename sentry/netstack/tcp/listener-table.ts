/**
 * Listening sockets by port, and the choice among several that fit (Linux: compute_score): the exact address goes before the wildcard, bound to the
 * interface before any, IPv4 before IPv6's wildcard. Among equals of an SO_REUSEPORT group the four-tuple decides, so that one
 * connection's segments always find the same.
 */
import { EADDRINUSE } from '#sentry/abi/errno.ts';
import type { IpAddress } from '../address.ts';
import { LISTENERS_PER_PORT_MAX } from './limits.ts';
import type { TcpListener } from './listener.ts';

export class ListenerTable {
  private readonly ports = new Map<number, TcpListener[]>();

  /** 0, or -EADDRINUSE when too many listen on the port. */
  add(listener: TcpListener): number {
    const list = this.ports.get(listener.localPort);
    if (list === undefined) this.ports.set(listener.localPort, [listener]);
    else if (list.length >= LISTENERS_PER_PORT_MAX) return -EADDRINUSE;
    else list.push(listener);
    return 0;
  }

  remove(listener: TcpListener): void {
    const list = this.ports.get(listener.localPort);
    const at = list === undefined ? -1 : list.indexOf(listener);
    if (at < 0) return;
    list!.splice(at, 1);
    if (list!.length === 0) this.ports.delete(listener.localPort);
  }

  /** The listener for a connection to `local`, which arrived on `interfaceIndex`. */
  find(local: IpAddress, localPort: number, remote: IpAddress, remotePort: number, interfaceIndex: number): TcpListener | null {
    const list = this.ports.get(localPort);
    if (list === undefined) return null;
    let best: TcpListener | null = null;
    let bestScore = -1;
    let equals = 0;
    for (const listener of list) {
      const score = scoreOf(listener, local, interfaceIndex);
      if (score < 0 || score < bestScore) continue;
      if (score > bestScore) {
        best = listener;
        bestScore = score;
        equals = 1;
        continue;
      }
      equals++;
    }
    if (equals < 2 || best === null || best.reusePort === 0) return best;
    return memberOf(list, local, interfaceIndex, bestScore, (remote.hash ^ Math.imul(remotePort, 0x9e3779b1)) >>> 0, equals);
  }

  /** Calls `visit` with each, for /proc/net/tcp and ss. */
  forEach(visit: (listener: TcpListener) => void): void {
    for (const list of this.ports.values()) for (const listener of list) visit(listener);
  }
}

function memberOf(
  list: readonly TcpListener[],
  local: IpAddress,
  interfaceIndex: number,
  score: number,
  hash: number,
  count: number,
): TcpListener | null {
  let left = hash % count;
  for (const listener of list) {
    if (scoreOf(listener, local, interfaceIndex) !== score) continue;
    if (left === 0) return listener;
    left--;
  }
  return null;
}

/** -1: does not fit. */
function scoreOf(listener: TcpListener, local: IpAddress, interfaceIndex: number): number {
  let score = 0;
  if (listener.boundInterface !== 0) {
    if (listener.boundInterface !== interfaceIndex) return -1;
    score += 4;
  }
  const bound = listener.local;
  if (!bound.isUnspecified) return bound.equals(local) ? score + 8 : -1;
  if (local.isIpv4) {
    if (bound.isIpv4) return score + 1;
    return listener.v6Only === 0 ? score : -1;
  }
  return bound.isIpv4 ? -1 : score;
}
