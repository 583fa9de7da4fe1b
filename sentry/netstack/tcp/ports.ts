/**
 * Who uses which local port: bind(2)'s rules (SO_REUSEADDR, SO_REUSEPORT, addresses that overlap, IPv6 sockets that also take IPv4) and the
 * choice of ephemeral ports (RFC 6056).
 *
 *     const error = ports.bind(use, port);         // explicit; 0: any free one
 *     ports.share(child, listener);                // a connection lives on its listener's port
 *     ports.release(use);
 *
 * Everything that holds a port is a `PortUse` in its port's list: sockets, connections of a listener, TIME_WAIT entries. A port that connect(2)
 * chose serves many destinations; uniqueness of four-tuples is the connection table's business. Linux: inet_csk_bind_conflict.
 */
import { EADDRINUSE, EADDRNOTAVAIL } from '#sentry/abi/errno.ts';
import { IpAddress } from '../address.ts';
import { NetworkSettings } from '../settings.ts';

/** How a port came to be used. */
export const UNBOUND = 0;
export const BOUND = 1;
/** Chosen by connect(2): others may choose it too. */
export const CHOSEN = 2;

export class PortUse {
  readonly local = new IpAddress();
  localPort = 0;
  /** Interface the socket is bound to, 0: any. */
  boundInterface = 0;
  reuseAddress = 0;
  reusePort = 0;
  /** An IPv6 socket that does not take IPv4 connections. */
  v6Only = 0;
  /** Effective user: SO_REUSEPORT holds among sockets of one. */
  uid = 0;
  isListening = 0;
  isTimeWait = 0;
  /** UNBOUND, BOUND, CHOSEN. */
  portKind = UNBOUND;
  nextUse: PortUse | null = null;
  previousUse: PortUse | null = null;
}

class PortBucket {
  first: PortUse | null = null;
  /** Members whose port was not chosen by connect. */
  bound = 0;
}

/** Whether a socket bound to `use.local` takes packets for IPv4 addresses. */
function takesIpv4(use: PortUse): boolean {
  return use.local.isIpv4 || (use.v6Only === 0 && use.local.isUnspecified);
}

function overlaps(a: PortUse, b: PortUse): boolean {
  if (a.boundInterface !== 0 && b.boundInterface !== 0 && a.boundInterface !== b.boundInterface) return false;
  if (!a.local.isUnspecified && !b.local.isUnspecified) return a.local.equals(b.local);
  return (takesIpv4(a) && takesIpv4(b)) || (!a.local.isIpv4 && !b.local.isIpv4);
}

function mayShare(a: PortUse, b: PortUse): boolean {
  if (a.reuseAddress !== 0 && b.reuseAddress !== 0 && b.isListening === 0) return true;
  return a.reusePort !== 0 && b.reusePort !== 0 && (b.isTimeWait !== 0 || a.uid === b.uid);
}

export class PortTable {
  private readonly buckets = new Map<number, PortBucket>();
  private readonly random: () => number;
  private readonly settings: NetworkSettings;

  constructor(random: () => number, settings = new NetworkSettings()) {
    this.random = random;
    this.settings = settings;
  }

  /**
   * Gives `use`, whose `local` and flags are set, the port; 0: any that is free.
   * 0, or -EADDRINUSE.
   */
  bind(use: PortUse, port: number): number {
    if (port === 0) return this.bindAny(use);
    if (this.conflicts(use, port)) return -EADDRINUSE;
    this.attach(use, port, BOUND);
    return 0;
  }

  /** Whether `use` may not have the port: asked again by listen(2), because two may bind what only one may listen on. */
  conflicts(use: PortUse, port: number): boolean {
    let other = this.buckets.get(port)?.first ?? null;
    for (; other !== null; other = other.nextUse) {
      if (other !== use && overlaps(use, other) && !mayShare(use, other)) return true;
    }
    return false;
  }

  /** A port nobody else uses at all, from a random place on, so that SO_REUSEADDR does not make two sockets share it. Linux prefers odd ones; connect takes even ones. */
  private bindAny(use: PortUse): number {
    const { localPortFirst, localPortLast } = this.settings;
    const count = localPortLast - localPortFirst + 1;
    const start = (this.random() >>> 0) % count;
    for (let i = 0; i < count; i++) {
      const port = localPortFirst + ((start + i) % count);
      if (this.buckets.has(port)) continue;
      this.attach(use, port, BOUND);
      return 0;
    }
    return -EADDRINUSE;
  }

  /**
   * Gives `use` a port for a connection: one from `offset` (RFC 6056 section 3.3.3) on that no socket is bound to and that `isFree` says has no
   * connection of the same four-tuple. 0, or -EADDRNOTAVAIL.
   */
  choose(use: PortUse, offset: number, isFree: (port: number) => boolean): number {
    const { localPortFirst, localPortLast } = this.settings;
    const count = localPortLast - localPortFirst + 1;
    for (let i = 0; i < count; i++) {
      const port = localPortFirst + ((offset + i) % count);
      const bucket = this.buckets.get(port);
      if (bucket !== undefined && (bucket.bound > 0 || !isFree(port))) continue;
      this.attach(use, port, CHOSEN);
      return 0;
    }
    return -EADDRNOTAVAIL;
  }

  /** `use` joins `other` on its port: a child of a listener, a TIME_WAIT entry in place of its connection. */
  share(use: PortUse, other: PortUse): void {
    use.localPort = other.localPort;
    // A gateway's connection is on a port of somebody else.
    if (other.portKind !== UNBOUND) this.attach(use, other.localPort, other.portKind);
  }

  release(use: PortUse): void {
    if (use.portKind === UNBOUND) return;
    const bucket = this.buckets.get(use.localPort)!;
    if (use.portKind === BOUND) bucket.bound--;
    if (use.previousUse === null) bucket.first = use.nextUse;
    else use.previousUse.nextUse = use.nextUse;
    if (use.nextUse !== null) use.nextUse.previousUse = use.previousUse;
    use.nextUse = null;
    use.previousUse = null;
    use.portKind = UNBOUND;
    if (bucket.first === null) this.buckets.delete(use.localPort);
  }

  private attach(use: PortUse, port: number, kind: number): void {
    let bucket = this.buckets.get(port);
    if (bucket === undefined) {
      bucket = new PortBucket();
      this.buckets.set(port, bucket);
    }
    use.localPort = port;
    use.portKind = kind;
    if (kind === BOUND) bucket.bound++;
    use.previousUse = null;
    use.nextUse = bucket.first;
    if (bucket.first !== null) bucket.first.previousUse = use;
    bucket.first = use;
  }
}
