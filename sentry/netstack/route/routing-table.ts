/**
 * The routing table: which interface and which router lead to a destination (rtnetlink(7), ip-route(8)). The longest prefix wins, then the
 * lowest metric, then the oldest.
 *
 * What Linux keeps in its table `local` (our own addresses, broadcast addresses) follows from the interfaces' addresses and is not here. Routes
 * to the prefixes of interfaces come and go with the addresses (`Kernel` protocol), those of router advertisements with their lifetimes.
 */
import { EEXIST, EINVAL, ENOBUFS, ESRCH } from '#sentry/abi/errno.ts';
import { IpAddress, IPV4_PREFIX_BITS } from '../address.ts';
import type { InterfaceListener } from '../link/interface-table.ts';
import { networkOf } from '../link/interface-table.ts';
import { IFA_F_NOPREFIXROUTE, RT_SCOPE_HOST, RT_SCOPE_LINK, RT_SCOPE_UNIVERSE } from '../link/interface.ts';
import type { InterfaceAddress, NetworkInterface } from '../link/interface.ts';
import { ROUTES_MAX } from '../limits.ts';
import type { StackState } from '../stack-state.ts';

/** Kinds of routes (RTN_*). */
export const RTN_UNICAST = 1;
export const RTN_BLACKHOLE = 6;
export const RTN_UNREACHABLE = 7;
export const RTN_PROHIBIT = 8;
/** Who made a route (RTPROT_*). */
export const RTPROT_KERNEL = 2;
export const RTPROT_BOOT = 3;
export const RTPROT_RA = 9;
/** Priority of IPv6 routes that give none (IP6_RT_PRIO_USER), of the kernel's prefixes (IP6_RT_PRIO_ADDRCONF). */
export const IPV6_METRIC_DEFAULT = 1024;
export const IPV6_METRIC_KERNEL = 256;

export class Route {
  readonly destination = new IpAddress();
  /** Of 128. */
  prefixBits = 0;
  kind = RTN_UNICAST;
  /** The router; without one (`hasGateway` false) the destination is a neighbour. */
  readonly gateway = new IpAddress();
  hasGateway = false;
  /** null for kinds that lead nowhere. */
  interface: NetworkInterface | null = null;
  /** Preferred source address, when `hasSource`. */
  readonly source = new IpAddress();
  hasSource = false;
  metric = 0;
  /** 0: the interface's. */
  mtu = 0;
  protocol = RTPROT_BOOT;
  scope = RT_SCOPE_UNIVERSE;
  /** The gateway is a neighbour whatever the addresses say (RTNH_F_ONLINK). */
  isOnLink = false;
  expiresNs = Infinity;

  get isIpv4(): boolean {
    return this.destination.isIpv4 && this.prefixBits >= IPV4_PREFIX_BITS;
  }

  /** The same place in the table: one replaces the other. */
  isLike(other: Route): boolean {
    return this.prefixBits === other.prefixBits && this.metric === other.metric && this.destination.equals(other.destination);
  }

  isSame(other: Route): boolean {
    return (
      this.isLike(other) &&
      this.interface === other.interface &&
      this.kind === other.kind &&
      this.hasGateway === other.hasGateway &&
      (!this.hasGateway || this.gateway.equals(other.gateway))
    );
  }
}

export interface RouteListener {
  routeAdded(route: Route): void;
  routeRemoved(route: Route): void;
}

export class RoutingTable implements InterfaceListener {
  /** Longest prefix first, then lowest metric, then in order of making. */
  readonly routes: Route[] = [];
  private readonly state: StackState;
  private readonly listeners: RouteListener[] = [];

  constructor(state: StackState) {
    this.state = state;
  }

  listen(listener: RouteListener): void {
    this.listeners.push(listener);
  }

  /** 0, -EEXIST (one like it is there already), -EINVAL, -ENOBUFS. */
  add(route: Route): number {
    if (this.routes.length >= ROUTES_MAX) return -ENOBUFS;
    if (route.kind === RTN_UNICAST && route.interface === null) return -EINVAL;
    if (!networkOf(route.destination, route.prefixBits).equals(route.destination)) return -EINVAL;
    if (this.routes.some((other) => (route.isIpv4 ? route.isLike(other) : route.isSame(other)))) return -EEXIST;
    const place = this.routes.findIndex((other) => comesBefore(route, other));
    this.routes.splice(place < 0 ? this.routes.length : place, 0, route);
    this.state.generation++;
    for (const listener of this.listeners) listener.routeAdded(route);
    return 0;
  }

  remove(route: Route): number {
    const place = this.routes.indexOf(route);
    if (place < 0) return -ESRCH;
    this.routes.splice(place, 1);
    this.state.generation++;
    for (const listener of this.listeners) listener.routeRemoved(route);
    return 0;
  }

  /** The best route to `destination` over `bound` (null: any interface that is up), null without one. */
  lookup(destination: IpAddress, bound: NetworkInterface | null): Route | null {
    for (const route of this.routes) {
      if (!destination.isIn(route.destination, route.prefixBits) || route.expiresNs <= this.state.nowNs) continue;
      if (route.prefixBits < IPV4_PREFIX_BITS && destination.isIpv4) continue;
      const out = route.interface;
      if (out === null) return route;
      if (out.isUp && (bound === null || bound === out)) return route;
    }
    return null;
  }

  addressAdded(address: InterfaceAddress): void {
    this.addPrefix(address);
  }

  /** A route to the prefix of an address, unless it was asked for without one. */
  private addPrefix(address: InterfaceAddress): void {
    if ((address.flags & IFA_F_NOPREFIXROUTE) !== 0 || !address.interface.isUp || address.interface.isLoopback) return;
    if (address.prefixBits === 128 && address.peer.equals(address.address)) return;
    const route = new Route();
    route.destination.copy(networkOf(address.peer, address.prefixBits));
    route.prefixBits = address.prefixBits;
    route.interface = address.interface;
    route.protocol = RTPROT_KERNEL;
    if (address.address.isIpv4) {
      route.scope = address.scope === RT_SCOPE_HOST ? RT_SCOPE_HOST : RT_SCOPE_LINK;
      route.source.copy(address.address);
      route.hasSource = true;
    } else route.metric = IPV6_METRIC_KERNEL;
    this.add(route);
  }

  addressRemoved(address: InterfaceAddress): void {
    for (const route of this.routes.filter((candidate) => this.diesWith(candidate, address))) this.remove(route);
    for (const other of address.interface.addresses) if (!this.hasPrefix(other)) this.addPrefix(other);
  }

  private diesWith(route: Route, address: InterfaceAddress): boolean {
    if (route.hasSource && route.source.equals(address.address)) return true;
    if (route.protocol !== RTPROT_KERNEL || route.interface !== address.interface || route.hasGateway) return false;
    return !address.address.isIpv4 && route.prefixBits === address.prefixBits && address.address.isIn(route.destination, route.prefixBits);
  }

  private hasPrefix(address: InterfaceAddress): boolean {
    return this.routes.some(
      (route) =>
        route.interface === address.interface &&
        route.prefixBits === address.prefixBits &&
        address.peer.isIn(route.destination, route.prefixBits),
    );
  }

  interfaceChanged(owner: NetworkInterface, wasUp: boolean): void {
    if (owner.isUp && !wasUp) for (const address of owner.addresses) this.addPrefix(address);
    if (!owner.isUp && wasUp) this.interfaceRemoved(owner);
  }

  interfaceRemoved(owner: NetworkInterface): void {
    for (const route of this.routes.filter((candidate) => candidate.interface === owner)) this.remove(route);
  }
}

/** Whether `route` stands before `other`. IPv4 routes (96 bits and more) so come before the IPv6 default route. */
function comesBefore(route: Route, other: Route): boolean {
  if (route.prefixBits !== other.prefixBits) return route.prefixBits > other.prefixBits;
  return route.metric < other.metric;
}
