/**
 * What TCP asks of the layer below it, which IP implements, and what IP tells TCP.
 *
 * Downward: `route` once for a connection, whose `Path` is kept; `send` for each segment. Both headers given to `send` are scratch that TCP
 * fills again at once: IP copies what it queues, and holds the payload's packet for as long as it needs it. Bytes of a payload never change
 * once sent. IP asks its routing table again when the path's generation is old; after that `path.mtu` may have changed.
 *
 * Upward (`TcpUpper`, implemented by tcp.ts): never from within `send`; segments for ourselves wait in the stack's backlog.
 */
import type { IpHeader } from '../ip/header.ts';
import type { Path } from '../ip/path.ts';
import type { Payload } from '../packet.ts';
import type { TcpHeader } from './header.ts';

export interface TcpLower {
  /**
   * Fills in `path`, of which destination, boundInterface and (if isSourceGiven) source are the question.
   * 0, or -ENETUNREACH, -EHOSTUNREACH, -EADDRNOTAVAIL, -EACCES …
   */
  route(path: Path): number;
  /**
   * Sends one segment along `path`, or several, `tcp.segmentSize` octets each (only where path.sendMax exceeds path.mtu). `payload` null:
   * none. 0, or -errno when it was dropped here (-ENOBUFS: a queue is full; -EMSGSIZE; no route any more): TCP then behaves as if it had been lost.
   */
  send(path: Path, ip: IpHeader, tcp: TcpHeader, payload: Payload | null): number;
}

/** What comes from below. `ip.source` is the peer and `ip.destination` are we, except in the two reports, which quote what we sent. */
export interface TcpUpper {
  /** A segment with a good checksum. Whoever keeps the payload holds its packet. */
  input(ip: IpHeader, tcp: TcpHeader, payload: Payload | null, nowNs: number): void;
  /** ICMP said that what we sent did not arrive. `errno` positive; `isHard` 1: a connection being opened ends of it (RFC 1122 section 4.2.3.9). */
  unreachable(ip: IpHeader, tcp: TcpHeader, errno: number, isHard: number, nowNs: number): void;
  /** What we sent was too big for a link on the way, whose MTU is `mtu` octets. */
  packetTooBig(ip: IpHeader, tcp: TcpHeader, mtu: number, nowNs: number): void;
  /** CLOCK_MONOTONIC at which `expire` has work, Infinity: none. */
  readonly nextDeadline: number;
  expire(nowNs: number): void;
}
