/**
 * The address of an endpoint: what a sockaddr_in or sockaddr_in6 holds, as bind, connect and send give it and getsockname returns it.
 */
import { IpAddress } from './address.ts';

export class SocketAddress {
  readonly address = new IpAddress();
  /** Host order, 0 to 65,535. */
  port = 0;
  /** Interface index of a link-local address (sin6_scope_id), 0 for none. */
  scope = 0;

  set(address: IpAddress, port: number, scope = 0): this {
    this.address.copy(address);
    this.port = port;
    this.scope = scope;
    return this;
  }

  copy(other: SocketAddress): this {
    return this.set(other.address, other.port, other.scope);
  }
}
