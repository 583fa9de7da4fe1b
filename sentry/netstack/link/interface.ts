/**
 * A network interface: a link device as the stack knows it, with its name, flags, addresses and multicast groups (netdevice(7),
 * rtnetlink(7)). What routes and neighbours do with it is elsewhere; `InterfaceTable` changes it and tells the rest of the stack.
 */
import { ARPHRD_ETHER, ARPHRD_LOOPBACK, ARPHRD_NONE } from '#sentry/abi/inet.ts';
import { IpAddress } from '../address.ts';
import type { Timer } from '../../lib/timer-queue.ts';
import { HardwareAddress } from '../wire/ethernet.ts';
import type { LinkDevice } from './device.ts';
import type { NeighbourCache } from './neighbour-cache.ts';
import type { PacketTap } from './tap.ts';

export const IFF_UP = 0x1;
export const IFF_BROADCAST = 0x2;
export const IFF_LOOPBACK = 0x8;
export const IFF_POINTOPOINT = 0x10;
export const IFF_RUNNING = 0x40;
export const IFF_NOARP = 0x80;
export const IFF_PROMISC = 0x100;
export const IFF_MULTICAST = 0x1000;
export const IFF_LOWER_UP = 0x10000;

/** Flags of an address (IFA_F_*, rtnetlink(7)). */
export const IFA_F_SECONDARY = 0x01;
export const IFA_F_NODAD = 0x02;
export const IFA_F_DADFAILED = 0x08;
export const IFA_F_DEPRECATED = 0x20;
export const IFA_F_TENTATIVE = 0x40;
export const IFA_F_PERMANENT = 0x80;
export const IFA_F_MANAGETEMPADDR = 0x100;
export const IFA_F_NOPREFIXROUTE = 0x200;

/** Scopes of addresses and routes (RT_SCOPE_*). */
export const RT_SCOPE_UNIVERSE = 0;
export const RT_SCOPE_LINK = 253;
export const RT_SCOPE_HOST = 254;

/** IP bytes of one packet on the loopback interface, as on Linux. */
export const LOOPBACK_MTU = 65_536;

export class InterfaceAddress {
  readonly interface: NetworkInterface;
  readonly address = new IpAddress();
  /** The other end of a point-to-point link; the address itself otherwise. */
  readonly peer = new IpAddress();
  /** Of 128: an IPv4 /24 is 120. */
  prefixBits = 128;
  /** IPv4: the directed broadcast address, int32, when `hasBroadcast`. */
  broadcast = 0;
  hasBroadcast = false;
  /** IFA_F_*. */
  flags = IFA_F_PERMANENT;
  scope = RT_SCOPE_UNIVERSE;
  label = '';
  preferredUntilNs = Infinity;
  validUntilNs = Infinity;
  createdNs = 0;
  updatedNs = 0;
  /** Duplicate address detection, or the lifetime. */
  timer: Timer | null = null;
  /** Solicitations still to be sent by duplicate address detection. */
  probesLeft = 0;
  /** IPv6: the group of its solicitations is joined. */
  isGroupJoined = false;

  constructor(owner: NetworkInterface) {
    this.interface = owner;
  }

  /** May be used as a source and answers: neither tentative nor a duplicate. */
  get isUsable(): boolean {
    return (this.flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) === 0;
  }
}

/** A multicast group that sockets of an interface have joined. */
export class GroupMembership {
  readonly group = new IpAddress();
  readonly interface: NetworkInterface;
  /** Joins without a leave. */
  users = 1;
  /** Sends a report, set by a query or the join. */
  timer: Timer | null = null;
  /** Unsolicited reports still to be sent. */
  reportsLeft = 0;

  constructor(owner: NetworkInterface, group: IpAddress) {
    this.interface = owner;
    this.group.copy(group);
  }
}

export class InterfaceCounters {
  rxPackets = 0;
  rxBytes = 0;
  rxErrors = 0;
  rxDropped = 0;
  multicast = 0;
  txPackets = 0;
  txBytes = 0;
  txErrors = 0;
  txDropped = 0;
}

/** Settings of net.ipv6.conf and what routers told. */
export class Ipv6Settings {
  isDisabled = false;
  acceptsAdvertisements = true;
  isAutonomous = true;
  /** Solicitations of duplicate address detection (dad_transmits). */
  dadTransmits = 1;
  hopLimit = 64;
  reachableNs = 30e9;
  retransmitNs = 1e9;
}

export class NetworkInterface {
  // Fixed.
  readonly index: number;
  /** null: the loopback interface. */
  readonly device: LinkDevice | null;
  readonly hardware = new HardwareAddress();
  readonly counters = new InterfaceCounters();
  readonly ipv6 = new Ipv6Settings();
  // Changed by the interface table.
  name: string;
  flags = 0;
  mtu: number;
  txQueueLength = 1000;
  readonly addresses: InterfaceAddress[] = [];
  readonly groups: GroupMembership[] = [];
  /** Packet sockets and captures. */
  readonly taps: PacketTap[] = [];
  /** null where nobody has a hardware address. */
  neighbours: NeighbourCache | null = null;
  /** Sockets that asked for every frame (PACKET_MR_PROMISC). */
  promiscuousUsers = 0;
  /** Packets to any address are taken as ours: for a gateway that carries flows on elsewhere. */
  isTransparent = false;

  constructor(index: number, name: string, device: LinkDevice | null) {
    this.index = index;
    this.name = name;
    this.device = device;
    this.mtu = device === null ? LOOPBACK_MTU : device.mtu;
    if (device === null) this.flags = IFF_LOOPBACK;
    else if (device.kind === 'ethernet') this.flags = IFF_BROADCAST | IFF_MULTICAST;
    else this.flags = IFF_POINTOPOINT | IFF_NOARP | IFF_MULTICAST;
    if (device !== null) this.hardware.fromBytes(device.hardwareAddress);
  }

  get isUp(): boolean {
    return (this.flags & IFF_UP) !== 0;
  }

  get isLoopback(): boolean {
    return this.device === null;
  }

  get isEthernet(): boolean {
    return this.device !== null && this.device.kind === 'ethernet';
  }

  /** ARPHRD_*. */
  get hardwareType(): number {
    if (this.isLoopback) return ARPHRD_LOOPBACK;
    return this.isEthernet ? ARPHRD_ETHER : ARPHRD_NONE;
  }

  findAddress(address: IpAddress): InterfaceAddress | null {
    for (const candidate of this.addresses) if (candidate.address.equals(address)) return candidate;
    return null;
  }

  findGroup(group: IpAddress): GroupMembership | null {
    for (const membership of this.groups) if (membership.group.equals(group)) return membership;
    return null;
  }

  /** Whether `word` is a directed broadcast address of this link, or the address of the network itself (RFC 1122, section 3.3.6). */
  isBroadcast(word: number): boolean {
    for (const address of this.addresses) if (address.hasBroadcast && (address.broadcast === word || isNetwork(address, word))) return true;
    return false;
  }

  /** The first usable link-local IPv6 address, null without one. */
  get linkLocal(): IpAddress | null {
    for (const { address, isUsable } of this.addresses) if (!address.isIpv4 && address.isLinkLocal && isUsable) return address;
    return null;
  }
}

function isNetwork(address: InterfaceAddress, word: number): boolean {
  const bits = address.prefixBits - 96;
  return bits > 0 && bits < 31 && word === (address.address.w3 & (-1 << (32 - bits)));
}
