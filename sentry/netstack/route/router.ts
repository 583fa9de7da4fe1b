/**
 * Answers the question of a `Path`: from which address, by which interface, to which neighbour, in packets of which size (Linux:
 * ip_route_output_key, ip6_route_output).
 *
 * In this order: our own addresses (which never leave the stack), groups and broadcasts, then the routing table.
 */
import { EACCES, EADDRNOTAVAIL, EHOSTUNREACH, EINVAL, ENETUNREACH, ENODEV } from '#sentry/abi/errno.ts';
import { IpAddress } from '../address.ts';
import type { Path } from '../ip/path.ts';
import type { InterfaceTable } from '../link/interface-table.ts';
import { PACKET_DATA_MAX } from '../packet.ts';
import type { NetworkInterface } from '../link/interface.ts';
import type { StackState } from '../stack-state.ts';
import type { PathMtus } from './path-mtus.ts';
import { RTN_BLACKHOLE, RTN_PROHIBIT, RTN_UNREACHABLE } from './routing-table.ts';
import type { Route, RoutingTable } from './routing-table.ts';
import { selectSource } from './source-selection.ts';

/** On loopback a whole packet of the pool goes at once, with its headers, as if cut and put together again by an offload. */
const LOOPBACK_SEND_MAX = PACKET_DATA_MAX + 128;
const LOOPBACK_IPV4 = new IpAddress().setIpv4(0x7f000001);
const LOOPBACK_IPV6 = new IpAddress().set(0, 0, 0, 1);
const ANY_IPV4 = new IpAddress().setIpv4(0);

export class Router {
  private readonly state: StackState;
  private readonly interfaces: InterfaceTable;
  private readonly table: RoutingTable;
  private readonly pathMtus: PathMtus;

  constructor(state: StackState, interfaces: InterfaceTable, table: RoutingTable, pathMtus: PathMtus) {
    this.state = state;
    this.interfaces = interfaces;
    this.table = table;
    this.pathMtus = pathMtus;
  }

  /**
   * Fills `path` in. Given: destination, boundInterface, and the source if isSourceGiven.
   * 0, -ENETUNREACH, -EHOSTUNREACH, -EACCES, -EINVAL (a blackhole), -ENODEV, -EADDRNOTAVAIL.
   */
  route(path: Path): number {
    path.generation = this.state.generation;
    path.isToMany = false;
    path.isLoopback = false;
    const { destination } = path;
    let bound: NetworkInterface | null = null;
    if (path.boundInterface !== 0) {
      bound = this.interfaces.byIndex(path.boundInterface);
      if (bound === null || !bound.isUp) return -ENODEV;
    }
    if (destination.isUnspecified) this.toOurselves(path);
    const local = this.interfaces.findLocal(destination);
    if (local !== null && (bound === null || bound === local.interface || bound.isLoopback)) return this.local(path, local.interface);
    if (destination.isMulticast || destination.isLimitedBroadcast) return this.toMany(path, bound);
    if (destination.isLinkLocal && !destination.isIpv4 && bound === null && !path.isSourceGiven) return -EINVAL;
    const route = this.table.lookup(destination, bound ?? this.linkOf(path));
    if (route !== null) return this.follow(path, route);
    return bound === null || bound.isLoopback || !destination.isIpv4 ? -ENETUNREACH : this.onLink(path, bound);
  }

  /** Linux: whoever insists on an interface finds every IPv4 destination on its link, whatever the routes say (DHCP clients do). */
  private onLink(path: Path, out: NetworkInterface): number {
    this.leave(path, out, path.destination);
    if (path.isSourceGiven) return 0;
    path.source.copy(selectSource(this.interfaces, out, path.destination, path.nextHop) ?? ANY_IPV4);
    return 0;
  }

  /** Linux: 0.0.0.0 and :: as a destination mean this host. */
  private toOurselves(path: Path): void {
    if (path.isSourceGiven && !path.source.isUnspecified) path.destination.copy(path.source);
    else path.destination.copy(path.destination.isIpv4 ? LOOPBACK_IPV4 : LOOPBACK_IPV6);
  }

  private local(path: Path, owner: NetworkInterface): number {
    const { destination } = path;
    if (!path.isSourceGiven) path.source.copy(owner.isLoopback && destination.isIpv4 ? LOOPBACK_IPV4 : destination);
    this.leave(path, this.interfaces.loopback, destination);
    path.isLoopback = true;
    // Linux: IPv6 packets to ourselves arrive on the interface that has the address, IPv4 ones on lo.
    if (!destination.isIpv4) path.interfaceIndex = owner.index;
    return 0;
  }

  /** The interface a link-local source address belongs to: its packets leave there. */
  private linkOf(path: Path): NetworkInterface | null {
    if (!path.isSourceGiven || path.source.isIpv4 || !path.source.isLinkLocal) return null;
    return this.interfaces.findLocal(path.source)?.interface ?? null;
  }

  private toMany(path: Path, bound: NetworkInterface | null): number {
    const out = bound ?? this.groupInterface(path);
    if (out === null) return -ENETUNREACH;
    // Linux has no route to ff00::/8 over lo.
    if (out.isLoopback && !path.destination.isIpv4) return -ENETUNREACH;
    path.isToMany = true;
    if (!path.isSourceGiven) {
      const source = selectSource(this.interfaces, out, path.destination, path.destination);
      // A broadcast may leave an interface that has no address yet (DHCP).
      if (source === null && !path.destination.isIpv4) return -EADDRNOTAVAIL;
      path.source.copy(source ?? ANY_IPV4);
    }
    this.leave(path, out, path.destination);
    return 0;
  }

  private groupInterface(path: Path): NetworkInterface | null {
    if (path.isSourceGiven) {
      const owner = this.interfaces.findLocal(path.source);
      if (owner !== null) return owner.interface;
    }
    return this.interfaceOfGroup(path.destination);
  }

  /** Where packets to a group or the limited broadcast address leave if nobody says. */
  interfaceOfGroup(group: IpAddress): NetworkInterface | null {
    const route = this.table.lookup(group, null);
    if (route !== null) return route.interface;
    // Linux has a route to ff00::/8 on every interface; IPv4 needs one.
    if (!group.isIpv4) for (const candidate of this.interfaces.list) if (candidate.isUp && !candidate.isLoopback) return candidate;
    return null;
  }

  private follow(path: Path, route: Route): number {
    if (route.kind === RTN_BLACKHOLE) return -EINVAL;
    if (route.kind === RTN_UNREACHABLE) return -EHOSTUNREACH;
    if (route.kind === RTN_PROHIBIT) return -EACCES;
    const out = route.interface!;
    const { destination } = path;
    if (destination.isIpv4 && !route.hasGateway && out.isBroadcast(destination.w3)) path.isToMany = true;
    this.leave(path, out, route.hasGateway ? route.gateway : destination);
    if (!path.isSourceGiven) {
      const source = route.hasSource ? route.source : selectSource(this.interfaces, out, destination, path.nextHop);
      if (source === null) return destination.isIpv4 ? -ENETUNREACH : -EADDRNOTAVAIL;
      path.source.copy(source);
    }
    if (route.mtu !== 0) path.mtu = Math.min(path.mtu, route.mtu);
    const mtu = this.pathMtus.limit(destination, path.mtu);
    path.mtu = mtu;
    const { device } = out;
    if (device === null) return 0;
    path.sendMax = device.segmentationMax > mtu ? Math.min(device.segmentationMax, 65_535) : mtu;
    return 0;
  }

  private leave(path: Path, out: NetworkInterface, nextHop: IpAddress): void {
    path.interface = out;
    path.interfaceIndex = out.index;
    path.nextHop.copy(nextHop);
    // No IPv4 header can tell of more than 65,535 bytes.
    path.mtu = path.destination.isIpv4 ? Math.min(out.mtu, 65_535) : out.mtu;
    path.sendMax = out.isLoopback ? LOOPBACK_SEND_MAX : path.mtu;
    path.isLoopback = out.isLoopback;
  }
}
