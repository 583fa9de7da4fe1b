/**
 * What the table of connections holds: something with a four-tuple. A whole connection (control-block.ts), a request that waits for the third
 * segment of its handshake (syn-request.ts), a SYN that an interceptor holds (intercept.ts), or what is left of a connection (time-wait.ts): the small ones cost little because many may exist.
 */
import { IpAddress } from '../address.ts';
import type { EndpointOwner } from '../endpoint/owner.ts';
import { PortUse } from './ports.ts';

export const CONNECTION = 0;
export const REQUEST = 1;
export const REMNANT = 2;
export const HELD = 3;

export abstract class TcpEntry extends PortUse {
  /** CONNECTION, REQUEST, REMNANT, HELD. */
  readonly kind: number;
  readonly remote = new IpAddress();
  remotePort = 0;
  /** Interface of a link-local peer, else 0: such addresses are unique on one link only (RFC 4007). */
  scope = 0;
  /** Who opened it, null: not known, or a peer. */
  owner: EndpointOwner | null = null;
  /** Whether the table holds it. */
  isListed = false;

  constructor(kind: number) {
    super();
    this.kind = kind;
  }

  /** Takes over the identity of `other`. */
  identify(other: TcpEntry): void {
    this.local.copy(other.local);
    this.remote.copy(other.remote);
    this.localPort = other.localPort;
    this.remotePort = other.remotePort;
    this.scope = other.scope;
    this.boundInterface = other.boundInterface;
    this.reuseAddress = other.reuseAddress;
    this.reusePort = other.reusePort;
    this.v6Only = other.v6Only;
    this.uid = other.uid;
  }
}
