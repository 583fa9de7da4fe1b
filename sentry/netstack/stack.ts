/**
 * A network stack: everything of one network namespace, tied together.
 *
 *     const stack = new Stack({ allocate, random });
 *     stack.addDevice('eth0', device);
 *     stack.setTime(now);                    // on entering, before endpoints are used
 *     …
 *     if (stack.needsPoll) stack.poll(now);  // packets to ourselves, devices, timers
 *     sleep until stack.nextDeadline
 *
 * Endpoints queue what they send; nothing arrives anywhere before `poll`.
 */
import { DatagramStore } from './endpoint/datagram.ts';
import type { EndpointContext } from './endpoint/datagram-endpoint.ts';
import { FilterView } from './endpoint/filter-view.ts';
import { AddressConfiguration } from './ip/address-configuration.ts';
import { Backlog, KIND_WHOLE } from './ip/backlog.ts';
import { BacklogInput } from './ip/backlog-input.ts';
import { ControlOutput } from './ip/control-output.ts';
import { Groups } from './ip/groups.ts';
import { IPPROTO_UDP, IPPROTO_UDPLITE } from './ip/header.ts';
import { Icmp } from './ip/icmp.ts';
import { IcmpErrors } from './ip/icmp-errors.ts';
import { IcmpReports } from './ip/icmp-reports.ts';
import { IpInput } from './ip/input.ts';
import { NeighbourDiscovery } from './ip/neighbour-discovery.ts';
import { IpOutput } from './ip/output.ts';
import type { Protocols } from './ip/protocols.ts';
import type { ReassemblyTable } from './ip/reassembly.ts';
import { PACKET_BYTES_MAX, POLL_BUDGET } from './limits.ts';
import { Arp } from './link/arp.ts';
import type { LinkDevice, Offload } from './link/device.ts';
import { InterfaceTable } from './link/interface-table.ts';
import type { InterfaceAddress, NetworkInterface } from './link/interface.ts';
import { LinkInput } from './link/link-input.ts';
import { LinkOutput } from './link/link-output.ts';
import { showOnLoopback } from './link/loopback-taps.ts';
import { NeighbourCache } from './link/neighbour-cache.ts';
import type { Neighbour, NeighbourProtocol } from './link/neighbour-cache.ts';
import { PacketPool } from './packet.ts';
import type { Allocate, Packet } from './packet.ts';
import { PacketLayer } from './packet-socket/packet-endpoint.ts';
import { Raw } from './raw/raw.ts';
import { PathMtus } from './route/path-mtus.ts';
import { Router } from './route/router.ts';
import { RoutingTable } from './route/routing-table.ts';
import type { NetworkSettings } from './settings.ts';
import { StackState } from './stack-state.ts';
import type { Random } from './stack-state.ts';
import { Tcp } from './tcp/tcp.ts';
import { Udp } from './udp/udp.ts';
import type { HardwareAddress } from './wire/ethernet.ts';

export interface StackOptions {
  /** Memory that lives as long as the process (Host.allocate). */
  readonly allocate: Allocate;
  readonly random: Random;
  readonly packetBytesMax?: number;
  /** Those Linux starts with when left out. */
  readonly settings?: NetworkSettings;
}

/** A link and where its frames go. */
interface Port {
  readonly owner: NetworkInterface;
  readonly device: LinkDevice;
  readonly input: LinkInput;
}

export class Stack implements NeighbourProtocol {
  readonly state: StackState;
  readonly interfaces: InterfaceTable;
  readonly routes: RoutingTable;
  readonly pathMtus: PathMtus;
  readonly output: IpOutput;
  readonly groups: Groups;
  readonly udp: Udp;
  readonly udpLite: Udp;
  readonly raw: Raw;
  readonly packets: PacketLayer;
  readonly tcp: Tcp;
  readonly icmp: Icmp;
  readonly configuration: AddressConfiguration;
  private readonly backlog = new Backlog();
  private readonly links: LinkOutput;
  private readonly arp: Arp;
  private readonly discovery: NeighbourDiscovery;
  private readonly reports: IcmpReports;
  private readonly input: IpInput;
  private readonly ownInput: BacklogInput;
  private readonly ports: Port[] = [];

  constructor(options: StackOptions) {
    const state = new StackState(
      new PacketPool(options.allocate, options.packetBytesMax ?? PACKET_BYTES_MAX),
      options.random,
      options.settings,
    );
    this.state = state;
    this.interfaces = new InterfaceTable(state);
    this.routes = new RoutingTable(state);
    this.pathMtus = new PathMtus(state);
    this.links = new LinkOutput(state, this.interfaces.loopback);
    const router = new Router(state, this.interfaces, this.routes, this.pathMtus);
    this.output = new IpOutput(state, router, this.backlog, this.links);
    const control = new ControlOutput(state, this.links);
    this.groups = new Groups(state, this.interfaces, control);
    this.arp = new Arp(state, this.interfaces, this.links);
    this.discovery = new NeighbourDiscovery(state, this.interfaces, control);
    const filterView = new FilterView(state, this.interfaces);
    const context: EndpointContext = {
      state,
      output: this.output,
      interfaces: this.interfaces,
      filterView,
      groups: this.groups,
      datagrams: new DatagramStore(),
    };
    this.udp = new Udp(context, IPPROTO_UDP);
    this.udpLite = new Udp(context, IPPROTO_UDPLITE);
    this.raw = new Raw(context);
    this.tcp = new Tcp({ lower: this.output, packets: state.pool, random: options.random, settings: state.settings, filterView });
    const protocols: Protocols = { tcp: this.tcp, udp: this.udp, udpLite: this.udpLite, raw: this.raw };
    const errors = new IcmpErrors(state, this.interfaces, this.output);
    this.reports = new IcmpReports(state, this.interfaces, this.pathMtus, protocols);
    this.icmp = new Icmp(state, this.interfaces, this.output, errors, this.reports, this.discovery, this.groups, protocols);
    this.input = new IpInput(state, this.interfaces, this.icmp, this.groups, protocols);
    this.ownInput = new BacklogInput(state, this.input, this.icmp, protocols);
    this.packets = new PacketLayer(state, this.interfaces, this.links, filterView, (owner, packet) => this.receiveWhole(owner, packet));
    this.configuration = new AddressConfiguration(state, this.interfaces, this.routes, this.discovery, this.groups, control);
    this.discovery.listen(this.configuration);
    this.interfaces.listen(this.routes);
    this.interfaces.listen(this.groups);
    this.interfaces.listen(this.configuration);
    this.interfaces.listen(this.packets);
    this.interfaces.listen({
      addressAdded: (address: InterfaceAddress) => {
        this.announce(address);
      },
      interfaceChanged: (owner: NetworkInterface, wasUp: boolean) => {
        if (!wasUp) for (const address of owner.addresses) this.announce(address);
      },
    });
  }

  /** Neighbours that knew another hardware address for one of ours hear of it. */
  private announce(address: InterfaceAddress): void {
    const { interface: owner } = address;
    if (owner.isUp && owner.isEthernet && address.address.isIpv4) this.arp.announce(address);
  }

  /** CLOCK_MONOTONIC of what follows. */
  setTime(nowNs: number): void {
    this.state.nowNs = nowNs;
    this.tcp.setTime(nowNs);
  }

  /** A new interface over `device`, down; -EEXIST, -EINVAL, -ENOBUFS. `index`: see `InterfaceTable.add`. */
  addDevice(name: string, device: LinkDevice, index?: number): NetworkInterface | number {
    const owner = this.interfaces.add(name, device, index);
    if (typeof owner === 'number') return owner;
    if (device.kind === 'ethernet') owner.neighbours = new NeighbourCache(owner, this.state, this);
    this.ports.push({ owner, device, input: new LinkInput(this.state, owner, this.arp, this.input) });
    return owner;
  }

  /** 0 or -ENODEV. */
  removeDevice(owner: NetworkInterface): number {
    const removed = this.interfaces.remove(owner);
    if (removed < 0) return removed;
    const place = this.ports.findIndex((port) => port.owner === owner);
    if (place >= 0) this.ports.splice(place, 1);
    return 0;
  }

  /** Fragments that wait for others. */
  get reassembly(): ReassemblyTable {
    return this.input.reassembly;
  }

  /** Whether packets wait for `poll`. Devices on host descriptors are polled when the host reports them. */
  get needsPoll(): boolean {
    return this.backlog.length > 0;
  }

  /** CLOCK_MONOTONIC at which `poll` has to be called at the latest. */
  get nextDeadline(): number {
    let next = Math.min(this.state.timers.nextDeadline, this.tcp.nextDeadline);
    if (this.backlog.length > 0) next = this.state.nowNs;
    for (const { device } of this.ports) next = Math.min(next, device.nextDeadline);
    return next;
  }

  /** Timers that are due, frames that arrived, packets to ourselves, until nothing is left or a bound is reached. True: there is more. */
  poll(nowNs: number): boolean {
    const { state } = this;
    state.nowNs = nowNs;
    if (state.timers.nextDeadline <= nowNs) state.timers.expire(nowNs);
    if (this.tcp.nextDeadline <= nowNs) this.tcp.expire(nowNs);
    let isMore = this.drain(POLL_BUDGET);
    for (const { device, input } of this.ports) if (device.poll(input, POLL_BUDGET, nowNs) >= POLL_BUDGET) isMore = true;
    return this.drain(POLL_BUDGET) || isMore;
  }

  /** Delivers what we sent ourselves. True: the budget did not suffice. */
  private drain(budget: number): boolean {
    const { backlog, ownInput } = this;
    for (let left = budget; left > 0; left--) {
      const entry = backlog.shift();
      if (entry === null) return false;
      const owner = entry.interface;
      if (owner.isLoopback && owner.taps.length > 0) showOnLoopback(this.state, owner, entry);
      ownInput.deliver(entry);
      backlog.recycle(entry);
    }
    return backlog.length > 0;
  }

  /** A packet that a packet socket put on `lo`. Taken over. */
  private receiveWhole(owner: NetworkInterface, packet: Packet): number {
    const entry = this.backlog.append(KIND_WHOLE, owner);
    if (entry === null) packet.release();
    else entry.payload.set(packet, packet.start, packet.length);
    return 0;
  }

  solicit(owner: NetworkInterface, neighbour: Neighbour, isUnicast: boolean): void {
    if (neighbour.address.isIpv4) this.arp.solicit(owner, neighbour, isUnicast);
    else this.discovery.solicit(owner, neighbour, isUnicast);
  }

  unresolved(owner: NetworkInterface, packet: Packet): void {
    this.reports.unresolved(owner, packet);
  }

  transmit(owner: NetworkInterface, packet: Packet, to: HardwareAddress, offload: Offload): number {
    return this.links.unicast(owner, packet, to, offload);
  }
}
