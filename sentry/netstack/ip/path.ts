/**
 * A path: the answer of the routing table for one pair of addresses, kept by a connection or endpoint so that packets need no lookup.
 *
 * IP fills it (`route`) and follows it as long as its generation is the current one: every change of addresses, routes or path MTUs starts
 * a new generation, and the next packet asks again.
 */
import { IpAddress } from '../address.ts';
import type { NetworkInterface } from '../link/interface.ts';

export class Path {
  /** The address we send from, chosen if none was given. */
  readonly source = new IpAddress();
  readonly destination = new IpAddress();
  /** The neighbour that gets the packets: the destination itself or a router. */
  readonly nextHop = new IpAddress();
  /** Bytes of the largest IP packet that gets through: the path MTU. */
  mtu = 0;
  /** Bytes of the largest IP packet that may be handed over at once: more than `mtu` where the device segments TCP itself. */
  sendMax = 0;
  interfaceIndex = 0;
  interface: NetworkInterface | null = null;
  /** The packets come back to this stack: nothing is serialised. */
  isLoopback = false;
  /** The destination is a broadcast address of the interface, or multicast. */
  isToMany = false;
  /** Of the stack's state when this was filled. */
  generation = -1;
  /** Interface the owner is bound to (SO_BINDTODEVICE, scope of a link-local address), 0 for none. */
  boundInterface = 0;
  /** The owner gave the source address: it stays when the route changes. */
  isSourceGiven = false;
}
