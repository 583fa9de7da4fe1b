/**
 * All interfaces of a stack, and which addresses are ours. Index 1 is `lo` with 127.0.0.1/8 and ::1/128, as on Linux.
 *
 *     const eth0 = interfaces.add('eth0', device);
 *     interfaces.setUp(eth0, true);
 *     interfaces.addAddress(eth0, address, 96 + 24, options)    // 0 or -errno
 *
 * Changes start a new generation of paths and are told to the listeners: autoconfiguration, routes of prefixes, and whoever reports them to
 * guests (netlink).
 */
import { EADDRNOTAVAIL, EEXIST, EINVAL, ENOBUFS, ENODEV } from '#sentry/abi/errno.ts';
import { IPV4_PREFIX_BITS, IpAddress, maskAddress } from '../address.ts';
import { AddressMap } from '../address-map.ts';
import { ADDRESSES_PER_INTERFACE_MAX, INTERFACES_MAX } from '../limits.ts';
import type { StackState } from '../stack-state.ts';
import type { LinkDevice } from './device.ts';
import {
  IFA_F_DADFAILED,
  IFA_F_SECONDARY,
  IFA_F_TENTATIVE,
  IFF_LOWER_UP,
  IFF_RUNNING,
  IFF_UP,
  InterfaceAddress,
  NetworkInterface,
  RT_SCOPE_HOST,
  RT_SCOPE_LINK,
  RT_SCOPE_UNIVERSE,
} from './interface.ts';

/** Hears of changes. Methods are called after the fact, except `addressRemoved`, whose address is gone already. */
export interface InterfaceListener {
  interfaceAdded?(owner: NetworkInterface): void;
  interfaceRemoved?(owner: NetworkInterface): void;
  /** It went up or down, or its name, MTU or flags changed. */
  interfaceChanged?(owner: NetworkInterface, wasUp: boolean): void;
  addressAdded?(address: InterfaceAddress): void;
  addressRemoved?(address: InterfaceAddress): void;
  /** Its flags changed: no longer tentative, deprecated. */
  addressChanged?(address: InterfaceAddress): void;
}

/** What `addAddress` may be told beyond address and prefix. */
export interface AddressOptions {
  readonly flags?: number;
  /** IPv4 directed broadcast address; without it that of the prefix, none if the prefix has no room for one. */
  readonly broadcast?: number;
  readonly peer?: IpAddress;
  readonly label?: string;
  readonly scope?: number;
  readonly preferredUntilNs?: number;
  readonly validUntilNs?: number;
}

export class InterfaceTable {
  readonly list: NetworkInterface[] = [];
  readonly loopback: NetworkInterface;
  private readonly state: StackState;
  private readonly listeners: InterfaceListener[] = [];
  /** Addresses of interfaces that are up. The same address on two interfaces is found once. */
  private readonly locals = new AddressMap<InterfaceAddress>();
  private nextIndex = 1;

  constructor(state: StackState) {
    this.state = state;
    this.loopback = this.create('lo', null, this.nextIndex);
    this.setUp(this.loopback);
    this.addAddress(this.loopback, new IpAddress().setIpv4(0x7f000001), IPV4_PREFIX_BITS + 8, { scope: RT_SCOPE_HOST });
    this.addAddress(this.loopback, new IpAddress().set(0, 0, 0, 1), 128, { scope: RT_SCOPE_HOST });
  }

  listen(listener: InterfaceListener): void {
    this.listeners.push(listener);
  }

  /** A new interface, down; -EEXIST, -EINVAL (the name), -ENOBUFS. `index`: one that is not used yet; without it the next. */
  add(name: string, device: LinkDevice, index: number = this.nextIndex): NetworkInterface | number {
    if (this.list.length >= INTERFACES_MAX) return -ENOBUFS;
    if (!isNameValid(name)) return -EINVAL;
    if (this.byName(name) !== null || this.byIndex(index) !== null) return -EEXIST;
    return this.create(name, device, index);
  }

  private create(name: string, device: LinkDevice | null, index: number): NetworkInterface {
    const created = new NetworkInterface(index, name, device);
    this.nextIndex = Math.max(this.nextIndex, index + 1);
    this.list.push(created);
    for (const listener of this.listeners) listener.interfaceAdded?.(created);
    return created;
  }

  remove(owner: NetworkInterface): number {
    const place = this.list.indexOf(owner);
    if (place < 0 || owner.isLoopback) return -ENODEV;
    this.setDown(owner);
    for (const address of owner.addresses.slice()) this.removeAddress(owner, address.address);
    this.list.splice(place, 1);
    this.state.generation++;
    for (const listener of this.listeners) listener.interfaceRemoved?.(owner);
    return 0;
  }

  byIndex(index: number): NetworkInterface | null {
    for (const candidate of this.list) if (candidate.index === index) return candidate;
    return null;
  }

  byName(name: string): NetworkInterface | null {
    for (const candidate of this.list) if (candidate.name === name) return candidate;
    return null;
  }

  setUp(owner: NetworkInterface): void {
    if (owner.isUp) return;
    owner.flags |= IFF_UP | IFF_RUNNING | IFF_LOWER_UP;
    this.refreshLocals();
    this.changed(owner, false);
  }

  /** Linux: IPv6 addresses are lost with it, IPv4 ones stay. */
  setDown(owner: NetworkInterface): void {
    if (!owner.isUp) return;
    owner.flags &= ~(IFF_UP | IFF_RUNNING | IFF_LOWER_UP);
    for (const address of owner.addresses.slice()) if (!address.address.isIpv4) this.removeAddress(owner, address.address);
    owner.neighbours?.clear();
    this.refreshLocals();
    this.changed(owner, true);
  }

  setMtu(owner: NetworkInterface, mtu: number): number {
    const most = owner.device === null ? 65_536 : owner.device.mtu;
    if (mtu < 68 || mtu > most) return -EINVAL;
    owner.mtu = mtu;
    this.changed(owner, owner.isUp);
    return 0;
  }

  rename(owner: NetworkInterface, name: string): number {
    if (!isNameValid(name)) return -EINVAL;
    if (this.byName(name) !== null) return -EEXIST;
    owner.name = name;
    this.changed(owner, owner.isUp);
    return 0;
  }

  private changed(owner: NetworkInterface, wasUp: boolean): void {
    this.state.generation++;
    for (const listener of this.listeners) listener.interfaceChanged?.(owner, wasUp);
  }

  /** `prefixBits` of 128. 0, -EINVAL (no address of a host), -EEXIST, -ENOBUFS. */
  addAddress(owner: NetworkInterface, address: IpAddress, prefixBits: number, options: AddressOptions = {}): number {
    if (!address.isUnicast || prefixBits > 128 || prefixBits < (address.isIpv4 ? IPV4_PREFIX_BITS : 0)) return -EINVAL;
    if (!address.isIpv4 && owner.ipv6.isDisabled) return -EADDRNOTAVAIL;
    if (owner.findAddress(address) !== null) return -EEXIST;
    if (owner.addresses.length >= ADDRESSES_PER_INTERFACE_MAX) return -ENOBUFS;
    const added = this.describe(owner, address, prefixBits, options);
    owner.addresses.push(added);
    this.refreshLocals();
    this.state.generation++;
    for (const listener of this.listeners) listener.addressAdded?.(added);
    return 0;
  }

  private describe(owner: NetworkInterface, address: IpAddress, prefixBits: number, options: AddressOptions): InterfaceAddress {
    const added = new InterfaceAddress(owner);
    added.address.copy(address);
    added.peer.copy(options.peer ?? address);
    added.prefixBits = prefixBits;
    added.label = options.label ?? owner.name;
    added.scope = options.scope ?? (address.isLoopback ? RT_SCOPE_HOST : address.isLinkLocal ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE);
    if (options.flags !== undefined) added.flags = options.flags;
    if (address.isIpv4) {
      if (this.hasSamePrefix(owner, address, prefixBits)) added.flags |= IFA_F_SECONDARY;
      added.hasBroadcast = options.broadcast !== undefined || (prefixBits < 127 && !owner.isLoopback);
      added.broadcast = options.broadcast ?? address.w3 | (prefixBits >= 128 ? 0 : -1 >>> (prefixBits - IPV4_PREFIX_BITS));
    }
    added.preferredUntilNs = options.preferredUntilNs ?? Infinity;
    added.validUntilNs = options.validUntilNs ?? Infinity;
    added.createdNs = this.state.nowNs;
    added.updatedNs = this.state.nowNs;
    return added;
  }

  private hasSamePrefix(owner: NetworkInterface, address: IpAddress, prefixBits: number): boolean {
    for (const other of owner.addresses)
      if (other.address.isIpv4 && other.prefixBits === prefixBits && other.address.isIn(address, prefixBits)) return true;
    return false;
  }

  /** 0 or -EADDRNOTAVAIL. */
  removeAddress(owner: NetworkInterface, address: IpAddress): number {
    const removed = owner.findAddress(address);
    if (removed === null) return -EADDRNOTAVAIL;
    owner.addresses.splice(owner.addresses.indexOf(removed), 1);
    if (removed.timer !== null) this.state.timers.cancel(removed.timer);
    this.refreshLocals();
    this.state.generation++;
    for (const listener of this.listeners) listener.addressRemoved?.(removed);
    return 0;
  }

  setAddressFlags(address: InterfaceAddress, flags: number): void {
    if (address.flags === flags) return;
    address.flags = flags;
    this.refreshLocals();
    this.state.generation++;
    for (const listener of this.listeners) listener.addressChanged?.(address);
  }

  /** The interface address that `address` is, null when it is not ours. All of 127.0.0.0/8 is. */
  findLocal(address: IpAddress): InterfaceAddress | null {
    const found = this.locals.get(address);
    if (found !== null) return found;
    return address.isIpv4 && address.w3 >>> 24 === 127 ? this.locals.get(LOOPBACK) : null;
  }

  /** An address a socket may be bound to: ours, and neither tentative nor a duplicate. */
  isBindable(address: IpAddress): boolean {
    const found = this.findLocal(address);
    return found !== null && found.isUsable;
  }

  private refreshLocals(): void {
    this.locals.clear();
    for (const owner of this.list) if (owner.isUp) this.addLocals(owner);
  }

  /** Tentative addresses receive nothing but what duplicate address detection looks for. */
  private addLocals(owner: NetworkInterface): void {
    for (const address of owner.addresses)
      if ((address.flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) === 0 && this.locals.get(address.address) === null)
        this.locals.set(address.address, address);
  }
}

const LOOPBACK = new IpAddress().setIpv4(0x7f000001);

/** dev_valid_name: 1 to 15 bytes without slash, colon and space, neither `.` nor `..`. */
function isNameValid(name: string): boolean {
  return name.length > 0 && name.length < 16 && name !== '.' && name !== '..' && !/[/:\s]/.test(name);
}

/** The network a prefix names: the address without its host bits, in a new object. */
export function networkOf(address: IpAddress, prefixBits: number): IpAddress {
  const network = new IpAddress().copy(address);
  maskAddress(network, prefixBits);
  return network;
}
