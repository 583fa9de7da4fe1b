/**
 * How IPv6 addresses come about by themselves (RFC 4862): a link-local address when an interface goes up, global ones from the prefixes that
 * routers advertise, and duplicate address detection for each before it is used. Default routes follow advertisements too.
 *
 *     up ─▶ link-local, tentative ─▶ probe, 1 s without an answer ─▶ usable ─▶ router solicitations ─▶ advertisement ─▶ prefix addresses
 *
 * What routers may make us hold is bounded; a hostile one can only configure the link it is on.
 */
import { IpAddress } from '../address.ts';
import { Timer } from '../../lib/timer-queue.ts';
import { ADVERTISED_ROUTES_MAX, AUTOCONFIGURED_ADDRESSES_MAX } from '../limits.ts';
import type { InterfaceListener, InterfaceTable } from '../link/interface-table.ts';
import { networkOf } from '../link/interface-table.ts';
import {
  IFA_F_DADFAILED,
  IFA_F_DEPRECATED,
  IFA_F_MANAGETEMPADDR,
  IFA_F_NODAD,
  IFA_F_NOPREFIXROUTE,
  IFA_F_PERMANENT,
  IFA_F_TENTATIVE,
} from '../link/interface.ts';
import type { InterfaceAddress, NetworkInterface } from '../link/interface.ts';
import { IPV6_METRIC_DEFAULT, IPV6_METRIC_KERNEL, Route, RTPROT_KERNEL, RTPROT_RA } from '../route/routing-table.ts';
import type { RoutingTable } from '../route/routing-table.ts';
import { SECOND } from '../stack-state.ts';
import type { StackState } from '../stack-state.ts';
import { ICMPV6_ROUTER_SOLICITATION } from '../wire/icmp.ts';
import { IPV6_MTU_MIN } from '../wire/ipv6.ts';
import { NDP_HOP_LIMIT, NDP_LINK_OPTION_LENGTH, NDP_ROUTER_SOLICITATION_LENGTH, OPTION_SOURCE_LINK, writeLinkOption } from '../wire/ndp.ts';
import type { NdpOptions, PrefixInformation } from '../wire/ndp.ts';
import type { ControlOutput } from './control-output.ts';
import type { Groups } from './groups.ts';
import { ALL_NODES, ALL_ROUTERS, ANY_IPV6, solicitedNode } from './neighbour-discovery.ts';
import type { DiscoveryListener, NeighbourDiscovery } from './neighbour-discovery.ts';

/** MAX_RTR_SOLICITATIONS and the pause between them (RFC 4861, section 10). */
const ROUTER_SOLICITATIONS = 3;
const ROUTER_SOLICITATION_NS = 4 * SECOND;
/** A prefix cannot be made to expire sooner than this by a single advertisement (RFC 4862, section 5.5.3). */
const TWO_HOURS_NS = 7200 * SECOND;
const PREFIX_BITS = 64;

/** What is going on for one interface. */
class LinkConfiguration {
  solicitationsLeft = 0;
  readonly timer: Timer;

  constructor(solicit: () => void) {
    this.timer = new Timer(solicit);
  }
}

export class AddressConfiguration implements InterfaceListener, DiscoveryListener {
  private readonly state: StackState;
  private readonly interfaces: InterfaceTable;
  private readonly routes: RoutingTable;
  private readonly discovery: NeighbourDiscovery;
  private readonly groups: Groups;
  private readonly control: ControlOutput;
  private readonly links = new Map<NetworkInterface, LinkConfiguration>();
  private readonly group = new IpAddress();
  /** When routes of advertisements end. */
  private readonly routeTimer: Timer;

  constructor(
    state: StackState,
    interfaces: InterfaceTable,
    routes: RoutingTable,
    discovery: NeighbourDiscovery,
    groups: Groups,
    control: ControlOutput,
  ) {
    this.state = state;
    this.interfaces = interfaces;
    this.routes = routes;
    this.discovery = discovery;
    this.groups = groups;
    this.control = control;
    this.routeTimer = new Timer(() => {
      this.expireRoutes();
    });
  }

  interfaceChanged(owner: NetworkInterface, wasUp: boolean): void {
    if (!owner.isEthernet || owner.ipv6.isDisabled) return;
    if (owner.isUp && !wasUp) this.start(owner);
    if (!owner.isUp && wasUp) this.stop(owner);
  }

  interfaceRemoved(owner: NetworkInterface): void {
    this.stop(owner);
    this.links.delete(owner);
  }

  private start(owner: NetworkInterface): void {
    this.groups.join(owner, ALL_NODES);
    this.interfaces.addAddress(owner, interfaceIdentifier(owner, new IpAddress().set(0xfe800000, 0, 0, 0)), PREFIX_BITS);
    let link = this.links.get(owner);
    if (link === undefined) {
      link = new LinkConfiguration(() => {
        this.solicitRouters(owner);
      });
      this.links.set(owner, link);
    }
    link.solicitationsLeft = ROUTER_SOLICITATIONS;
    for (const address of owner.addresses.slice()) this.activate(address);
  }

  private stop(owner: NetworkInterface): void {
    const link = this.links.get(owner);
    if (link !== undefined) this.state.timers.cancel(link.timer);
    this.groups.leave(owner, ALL_NODES);
  }

  addressAdded(added: InterfaceAddress): void {
    if (added.interface.isUp) this.activate(added);
  }

  /** Every IPv6 address of a link is tentative, once the link is up, until nobody claims it. */
  private activate(address: InterfaceAddress): void {
    const { interface: owner } = address;
    if (address.address.isIpv4 || !owner.isEthernet || address.isGroupJoined) return;
    address.isGroupJoined = this.groups.join(owner, solicitedNode(address.address, this.group)) === 0;
    address.timer = new Timer(() => {
      this.addressTimer(address);
    });
    if ((address.flags & IFA_F_NODAD) !== 0 || owner.ipv6.dadTransmits === 0) {
      this.schedule(address);
      return;
    }
    address.probesLeft = owner.ipv6.dadTransmits;
    this.interfaces.setAddressFlags(address, address.flags | IFA_F_TENTATIVE);
    this.addressTimer(address);
  }

  addressRemoved(removed: InterfaceAddress): void {
    if (removed.isGroupJoined) this.groups.leave(removed.interface, solicitedNode(removed.address, this.group));
    removed.isGroupJoined = false;
  }

  /** The next probe, the end of detection, or the end of a lifetime. */
  private addressTimer(address: InterfaceAddress): void {
    const { interface: owner } = address;
    if ((address.flags & IFA_F_TENTATIVE) === 0) {
      this.age(address);
      return;
    }
    if (address.probesLeft > 0) {
      address.probesLeft--;
      this.discovery.probe(owner, address.address);
      this.state.timers.set(address.timer!, this.state.nowNs + owner.ipv6.retransmitNs);
      return;
    }
    this.interfaces.setAddressFlags(address, address.flags & ~IFA_F_TENTATIVE);
    this.schedule(address);
    if (address.address.isLinkLocal && this.links.has(owner)) this.solicitRouters(owner);
  }

  duplicated(owner: NetworkInterface, address: IpAddress): void {
    const own = owner.findAddress(address);
    if (own === null || (own.flags & IFA_F_TENTATIVE) === 0) return;
    this.state.timers.cancel(own.timer!);
    this.interfaces.setAddressFlags(own, (own.flags & ~IFA_F_TENTATIVE) | IFA_F_DADFAILED);
  }

  private solicitRouters(owner: NetworkInterface): void {
    const link = this.links.get(owner)!;
    if (link.solicitationsLeft === 0 || !owner.ipv6.acceptsAdvertisements) return;
    link.solicitationsLeft--;
    const source = owner.linkLocal;
    const packet = this.control.make(owner, NDP_ROUTER_SOLICITATION_LENGTH + (source === null ? 0 : NDP_LINK_OPTION_LENGTH));
    if (packet === null) return;
    if (source !== null)
      writeLinkOption(packet.memory.view, packet.start + NDP_ROUTER_SOLICITATION_LENGTH, OPTION_SOURCE_LINK, owner.hardware);
    this.control.icmpv6(owner, packet, source ?? ANY_IPV6, ALL_ROUTERS, NDP_HOP_LIMIT, ICMPV6_ROUTER_SOLICITATION, 0, null);
    this.state.timers.set(link.timer, this.state.nowNs + ROUTER_SOLICITATION_NS);
  }

  advertised(owner: NetworkInterface, router: IpAddress, view: DataView, offset: number, options: NdpOptions): void {
    const link = this.links.get(owner);
    if (link === undefined) return;
    const lifetimeNs = view.getUint16(offset + 6) * SECOND;
    if (lifetimeNs > 0) {
      link.solicitationsLeft = 0;
      this.state.timers.cancel(link.timer);
    }
    const hopLimit = view.getUint8(offset + 4);
    if (hopLimit > 0) owner.ipv6.hopLimit = hopLimit;
    if (options.mtu >= IPV6_MTU_MIN && options.mtu <= owner.device!.mtu && options.mtu !== owner.mtu)
      this.interfaces.setMtu(owner, options.mtu);
    this.setRoute(owner, ANY_IPV6, 0, router, lifetimeNs);
    for (let i = 0; i < options.prefixCount; i++) this.prefix(owner, options.prefixes[i]!);
  }

  private prefix(owner: NetworkInterface, information: PrefixInformation): void {
    const { prefix, bits } = information;
    if (prefix.isLinkLocal || prefix.isMulticast || bits > 128) return;
    const network = networkOf(prefix, bits);
    const validNs = information.validSeconds * SECOND;
    if (information.isOnLink) this.setRoute(owner, network, bits, null, validNs);
    if (!information.isAutonomous || bits !== PREFIX_BITS || !owner.ipv6.isAutonomous) return;
    if (information.preferredSeconds > information.validSeconds) return;
    this.setAddress(owner, interfaceIdentifier(owner, network), validNs, information.preferredSeconds * SECOND);
  }

  private setAddress(owner: NetworkInterface, address: IpAddress, validNs: number, preferredNs: number): void {
    const { nowNs } = this.state;
    const own = owner.findAddress(address);
    if (own === null) {
      const flags = IFA_F_MANAGETEMPADDR | IFA_F_NOPREFIXROUTE;
      const count = owner.addresses.filter((other) => (other.flags & IFA_F_MANAGETEMPADDR) !== 0).length;
      if (validNs === 0 || count >= AUTOCONFIGURED_ADDRESSES_MAX) return;
      const options = { flags, validUntilNs: nowNs + validNs, preferredUntilNs: nowNs + preferredNs };
      this.interfaces.addAddress(owner, address, PREFIX_BITS, options);
      return;
    }
    if ((own.flags & IFA_F_PERMANENT) !== 0) return;
    const leftNs = own.validUntilNs - nowNs;
    if (validNs > TWO_HOURS_NS || validNs > leftNs) own.validUntilNs = nowNs + validNs;
    else if (leftNs > TWO_HOURS_NS) own.validUntilNs = nowNs + TWO_HOURS_NS;
    own.preferredUntilNs = nowNs + preferredNs;
    own.updatedNs = nowNs;
    if ((own.flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) === 0) this.age(own);
  }

  /** Deprecates or removes an address whose time has come, and waits for what comes next. */
  private age(address: InterfaceAddress): void {
    const { nowNs } = this.state;
    if (address.validUntilNs <= nowNs) {
      this.interfaces.removeAddress(address.interface, address.address);
      return;
    }
    const isDeprecated = address.preferredUntilNs <= nowNs;
    this.interfaces.setAddressFlags(address, isDeprecated ? address.flags | IFA_F_DEPRECATED : address.flags & ~IFA_F_DEPRECATED);
    this.schedule(address);
  }

  private schedule(address: InterfaceAddress): void {
    const isDeprecated = address.preferredUntilNs <= this.state.nowNs;
    this.state.timers.set(address.timer!, isDeprecated ? address.validUntilNs : Math.min(address.preferredUntilNs, address.validUntilNs));
  }

  /** Makes, renews or (with no lifetime) removes a route that an advertisement told of. */
  private setRoute(owner: NetworkInterface, network: IpAddress, bits: number, router: IpAddress | null, lifetimeNs: number): void {
    const wanted = new Route();
    wanted.destination.copy(network);
    wanted.prefixBits = bits;
    wanted.interface = owner;
    wanted.hasGateway = router !== null;
    if (router !== null) wanted.gateway.copy(router);
    wanted.metric = router === null ? IPV6_METRIC_KERNEL : IPV6_METRIC_DEFAULT;
    wanted.protocol = router === null ? RTPROT_KERNEL : RTPROT_RA;
    wanted.expiresNs = this.state.nowNs + lifetimeNs;
    const known = this.routes.routes.find((route) => route.isSame(wanted));
    if (known !== undefined && known.expiresNs === Infinity) return;
    if (lifetimeNs === 0) {
      if (known !== undefined) this.routes.remove(known);
      return;
    }
    if (known !== undefined) known.expiresNs = wanted.expiresNs;
    else if (this.advertisedRoutes < ADVERTISED_ROUTES_MAX) this.routes.add(wanted);
    this.expireRoutes();
  }

  private get advertisedRoutes(): number {
    return this.routes.routes.filter((route) => route.expiresNs !== Infinity || route.protocol === RTPROT_RA).length;
  }

  private expireRoutes(): void {
    let next = Infinity;
    for (const route of this.routes.routes.slice()) {
      if (route.expiresNs <= this.state.nowNs) this.routes.remove(route);
      else next = Math.min(next, route.expiresNs);
    }
    this.state.timers.set(this.routeTimer, next);
  }
}

/** Sets the last 64 bits to those made of the hardware address (RFC 4291, appendix A; Linux: addr_gen_mode 0). */
function interfaceIdentifier(owner: NetworkInterface, prefix: IpAddress): IpAddress {
  const { high, low } = owner.hardware;
  return prefix.set(prefix.w0, prefix.w1, ((high ^ 0x0200) << 16) | ((low >>> 16) & 0xff00) | 0xff, 0xfe000000 | (low & 0xffffff));
}
