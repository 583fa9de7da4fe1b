/**
 * Neighbour discovery of a host (RFC 4861): solicitations and advertisements of neighbours. Messages of routers, and addresses that turn out
 * to be taken, go to `AddressConfiguration`.
 *
 * Every message must have come over one link only (hop limit 255) and have code 0 and well-formed options; otherwise it is not looked at.
 */
import { IpAddress } from '../address.ts';
import type { InterfaceTable } from '../link/interface-table.ts';
import type { NetworkInterface } from '../link/interface.ts';
import type { Neighbour } from '../link/neighbour-cache.ts';
import type { StackState } from '../stack-state.ts';
import { HardwareAddress } from '../wire/ethernet.ts';
import {
  ICMPV6_NEIGHBOUR_ADVERTISEMENT,
  ICMPV6_NEIGHBOUR_SOLICITATION,
  ICMPV6_REDIRECT,
  ICMPV6_ROUTER_ADVERTISEMENT,
} from '../wire/icmp.ts';
import {
  ADVERTISEMENT_OVERRIDE,
  ADVERTISEMENT_ROUTER,
  ADVERTISEMENT_SOLICITED,
  NDP_HOP_LIMIT,
  NDP_LINK_OPTION_LENGTH,
  NDP_REDIRECT_LENGTH,
  NDP_ROUTER_ADVERTISEMENT_LENGTH,
  NDP_SOLICITATION_LENGTH,
  NDP_TARGET_OFFSET,
  NdpOptions,
  OPTION_SOURCE_LINK,
  OPTION_TARGET_LINK,
  writeLinkOption,
} from '../wire/ndp.ts';
import type { Arrival } from './arrival.ts';
import type { ControlOutput } from './control-output.ts';

/** What neighbour discovery leaves to autoconfiguration. */
export interface DiscoveryListener {
  /** A router advertisement from `router`; `offset` is where its ICMPv6 header lies in `view`. */
  advertised(owner: NetworkInterface, router: IpAddress, view: DataView, offset: number, options: NdpOptions): void;
  /** Somebody else uses or is about to use `address`, which is tentative here. */
  duplicated(owner: NetworkInterface, address: IpAddress): void;
}

export const ALL_NODES = new IpAddress().set(0xff020000, 0, 0, 1);
export const ALL_ROUTERS = new IpAddress().set(0xff020000, 0, 0, 2);
export const ANY_IPV6 = new IpAddress();

/** The group that solicitations for `address` are sent to (RFC 4291, section 2.7.1). */
export function solicitedNode(address: IpAddress, into: IpAddress): IpAddress {
  return into.set(0xff020000, 0, 1, 0xff000000 | (address.w3 & 0xffffff));
}

export class NeighbourDiscovery {
  private readonly state: StackState;
  private readonly interfaces: InterfaceTable;
  private readonly control: ControlOutput;
  private readonly options = new NdpOptions();
  private readonly target = new IpAddress();
  private readonly group = new IpAddress();
  private readonly hardware = new HardwareAddress();
  private listener: DiscoveryListener | null = null;

  constructor(state: StackState, interfaces: InterfaceTable, control: ControlOutput) {
    this.state = state;
    this.interfaces = interfaces;
    this.control = control;
  }

  listen(listener: DiscoveryListener): void {
    this.listener = listener;
  }

  /** Who has `neighbour.address`? */
  solicit(out: NetworkInterface, neighbour: Neighbour, isUnicast: boolean): void {
    const source = out.linkLocal ?? this.anySource(out);
    if (source === null) return;
    this.sendSolicitation(out, source, neighbour.address, isUnicast ? neighbour.hardware : null);
  }

  private anySource(out: NetworkInterface): IpAddress | null {
    for (const { address, isUsable } of out.addresses) if (!address.isIpv4 && isUsable) return address;
    return null;
  }

  /** Asks whether somebody has `address` already (RFC 4862, section 5.4.2). */
  probe(out: NetworkInterface, address: IpAddress): void {
    this.sendSolicitation(out, ANY_IPV6, address, null);
  }

  private sendSolicitation(out: NetworkInterface, source: IpAddress, target: IpAddress, to: HardwareAddress | null): void {
    const isProbe = source.isUnspecified;
    const packet = this.control.make(out, NDP_SOLICITATION_LENGTH + (isProbe ? 0 : NDP_LINK_OPTION_LENGTH));
    if (packet === null) return;
    const { view } = packet.memory;
    target.write(view, packet.start + NDP_TARGET_OFFSET);
    if (!isProbe) writeLinkOption(view, packet.start + NDP_SOLICITATION_LENGTH, OPTION_SOURCE_LINK, out.hardware);
    const destination = to === null ? solicitedNode(target, this.group) : target;
    this.control.icmpv6(out, packet, source, destination, NDP_HOP_LIMIT, ICMPV6_NEIGHBOUR_SOLICITATION, 0, to);
  }

  /** Tells who we are: to one neighbour that asked, or to all. */
  advertise(out: NetworkInterface, target: IpAddress, destination: IpAddress, flags: number, to: HardwareAddress | null): void {
    const packet = this.control.make(out, NDP_SOLICITATION_LENGTH + NDP_LINK_OPTION_LENGTH);
    if (packet === null) return;
    target.write(packet.memory.view, packet.start + NDP_TARGET_OFFSET);
    writeLinkOption(packet.memory.view, packet.start + NDP_SOLICITATION_LENGTH, OPTION_TARGET_LINK, out.hardware);
    this.control.icmpv6(out, packet, target, destination, NDP_HOP_LIMIT, ICMPV6_NEIGHBOUR_ADVERTISEMENT, flags, to);
  }

  /** A message of types 133 to 137 with a good checksum. */
  input(arrival: Arrival, type: number): void {
    const { ip, payload } = arrival;
    const owner = arrival.interface!;
    const { view } = payload.packet!.memory;
    const fixed = fixedLength(type);
    const isValid =
      fixed > 0 && ip.hopLimit === NDP_HOP_LIMIT && payload.length >= fixed && view.getUint8(payload.offset + 1) === 0 && owner.isEthernet;
    if (!isValid || !this.options.parse(view, payload.offset + fixed, payload.offset + payload.length)) {
      this.state.counters.icmpv6.InErrors++;
      return;
    }
    if (type === ICMPV6_ROUTER_ADVERTISEMENT) this.routerAdvertisement(arrival, owner, view);
    else if (type === ICMPV6_NEIGHBOUR_SOLICITATION) this.solicitation(arrival, owner, view);
    else if (type === ICMPV6_NEIGHBOUR_ADVERTISEMENT) this.advertisement(arrival, owner, view);
  }

  private routerAdvertisement(arrival: Arrival, owner: NetworkInterface, view: DataView): void {
    const { source } = arrival.ip;
    if (!source.isLinkLocal || !owner.ipv6.acceptsAdvertisements || this.interfaces.findLocal(source) !== null) return;
    if (this.options.hasSourceLink && isHost(this.options.link)) owner.neighbours!.learn(source, this.options.link).isRouter = true;
    this.listener?.advertised(owner, source, view, arrival.payload.offset, this.options);
  }

  private solicitation(arrival: Arrival, owner: NetworkInterface, view: DataView): void {
    const { source } = arrival.ip;
    const target = this.target.read(view, arrival.payload.offset + NDP_TARGET_OFFSET);
    if (target.isMulticast) return;
    const isProbe = source.isUnspecified;
    if (isProbe && (!arrival.ip.destination.isMulticast || this.options.hasSourceLink)) return;
    const own = owner.findAddress(target);
    if (own === null) return;
    if (!own.isUsable) {
      // Somebody else wants the address that we are about to use.
      if (isProbe) this.listener?.duplicated(owner, target);
      return;
    }
    const { hardware } = this;
    if (isProbe) {
      this.advertise(owner, own.address, ALL_NODES, ADVERTISEMENT_OVERRIDE, null);
      return;
    }
    const hasLink = this.options.hasSourceLink && isHost(this.options.link);
    if (hasLink) owner.neighbours!.learn(source, hardware.copy(this.options.link));
    this.advertise(owner, own.address, source, ADVERTISEMENT_SOLICITED | ADVERTISEMENT_OVERRIDE, hasLink ? hardware : null);
  }

  private advertisement(arrival: Arrival, owner: NetworkInterface, view: DataView): void {
    const { offset } = arrival.payload;
    const target = this.target.read(view, offset + NDP_TARGET_OFFSET);
    const flags = view.getInt32(offset + 4);
    const isSolicited = (flags & ADVERTISEMENT_SOLICITED) !== 0;
    if (target.isMulticast || (isSolicited && arrival.ip.isToMany)) return;
    if (owner.findAddress(target) !== null) {
      this.listener?.duplicated(owner, target);
      return;
    }
    const neighbour = owner.neighbours!.find(target);
    if (neighbour === null) return;
    neighbour.isRouter = (flags & ADVERTISEMENT_ROUTER) !== 0;
    const hardware = this.options.hasTargetLink ? this.options.link : neighbour.hardware;
    if (!isHost(hardware)) return;
    owner.neighbours!.told(neighbour, hardware, isSolicited, (flags & ADVERTISEMENT_OVERRIDE) !== 0);
  }
}

function isHost(hardware: HardwareAddress): boolean {
  return !hardware.isGroup && !hardware.isZero;
}

/** Bytes before the options, 0 for types that a host does not take. */
function fixedLength(type: number): number {
  if (type === ICMPV6_ROUTER_ADVERTISEMENT) return NDP_ROUTER_ADVERTISEMENT_LENGTH;
  if (type === ICMPV6_NEIGHBOUR_SOLICITATION || type === ICMPV6_NEIGHBOUR_ADVERTISEMENT) return NDP_SOLICITATION_LENGTH;
  // Linux: redirects are taken by default; here routes change by hand and by advertisements only.
  return type === ICMPV6_REDIRECT ? NDP_REDIRECT_LENGTH : 0;
}
