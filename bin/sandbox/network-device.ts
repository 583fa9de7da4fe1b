/**
 * `--net=sandbox` and containers with a network namespace: the sandbox's stack takes over interfaces of the namespace that this thread is in (one that a
 * container manager or `ip netns` prepared), by a packet socket (packet(7)) each, with virtio-net headers, so that large segments cross at once.
 *
 *     const taken = takeNetwork(null);            // in the namespace, with CAP_NET_RAW and CAP_NET_ADMIN there
 *     connectTaken(kernel, taken);                // any time later, also in a confined sentry
 *
 * Addresses, routes and fixed neighbours become those of our interface; the host's stack is silenced on it (silence.ts). With `--net=host` interfaces are
 * only shown (`readInterfaces`, `showInterface`).
 */
import { existsSync, readlinkSync } from 'node:fs';
import { AF_PACKET, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_RAW } from '#sentry/abi/socket.ts';
import { errnoName } from '#sentry/abi/errno.ts';
import { IPV4_PREFIX_BITS, parseAddress } from '#sentry/netstack/address.ts';
import type { IpAddress } from '#sentry/netstack/address.ts';
import { HostLink } from '#sentry/netstack/link/host-link.ts';
import { ShownDevice } from '#sentry/netstack/link/shown-device.ts';
import {
  IFA_F_DADFAILED,
  IFA_F_NODAD,
  IFA_F_NOPREFIXROUTE,
  IFA_F_PERMANENT,
  IFF_LOOPBACK,
  IFF_NOARP,
  IFF_UP,
} from '#sentry/netstack/link/interface.ts';
import type { NetworkInterface } from '#sentry/netstack/link/interface.ts';
import { Route } from '#sentry/netstack/route/routing-table.ts';
import { HardwareAddress } from '#sentry/netstack/wire/ethernet.ts';
import type { Kernel } from '#sentry/kernel/kernel.ts';
import type { HostFd } from '#platform/contract/host.ts';
import { setsockopt } from '#platform/host/files.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import * as sockets from '#platform/host/sockets.ts';
import { UserError } from '../errors.ts';
import { hostInterface, hostLinks } from './host-interfaces.ts';
import type { HostAddressFacts, HostInterfaceFacts, HostLinkFacts, HostRouteFacts } from './host-interfaces.ts';
import { Rtnetlink } from './rtnetlink.ts';
import { connectResolver, openNamespaceResolver } from './namespace-resolver.ts';
import { silence } from './silence.ts';
import type { StillHears } from './silence.ts';

/** An interface taken over. Facts are plain data: another process can be told in JSON, with the descriptor beside it. */
export interface TakenInterface {
  readonly facts: HostInterfaceFacts;
  readonly fd: HostFd;
}

const ARPHRD_ETHER = 1;
const ETH_P_ALL = 3;
const SOL_PACKET = 263;
const PACKET_VNET_HDR = 15;
const PACKET_IGNORE_OUTGOING = 23;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
/** What the host keeps for us while guests are served: at the default a peer's burst of 64 KiB segments loses some of them. */
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;
const EPOLLIN = 1;
/** Of struct virtio_net_hdr, which packet sockets have. */
const VNET_HEADER = 10;

/** What a sandbox has of a network namespace. */
export interface TakenNetwork {
  readonly interfaces: readonly TakenInterface[];
  /** A socket to the name server there (namespace-resolver.ts), -1 for none. */
  readonly resolver: HostFd;
}

export const NO_NETWORK: TakenNetwork = { interfaces: [], resolver: -1 };

/** Takes over interface `name`, which has to be there, or every Ethernet interface that is up. */
export function takeNetwork(name: string | null): TakenNetwork {
  const resolver = openNamespaceResolver();
  const stillHears = resolver < 0 ? 'nothing' : 'answers to a resolver';
  const routing = new Rtnetlink();
  try {
    return { interfaces: chooseLinks(hostLinks(routing), name).map((link) => take(routing, link, stillHears)), resolver };
  } finally {
    routing.close();
  }
}

function chooseLinks(links: readonly HostLinkFacts[], name: string | null): HostLinkFacts[] {
  const usable = links.filter((link) => (link.flags & IFF_UP) !== 0 && (link.flags & IFF_LOOPBACK) === 0 && link.type === ARPHRD_ETHER);
  if (name === null) return usable;
  const chosen = usable.filter((link) => link.name === name);
  if (chosen.length === 0) throw new UserError(`there is no Ethernet interface ${name} that is up in this network namespace.`);
  return chosen;
}

/** The socket first: from silencing to that frames would be lost. */
function take(routing: Rtnetlink, link: HostLinkFacts, stillHears: StillHears): TakenInterface {
  const facts = hostInterface(routing, link);
  const fd = openPacketSocket(link);
  silence(routing, facts, stillHears);
  return { facts, fd };
}

/** Whether this thread is in the network namespace of the host, or of the container all this runs in: they would lose their connection. */
export function isInHostNamespace(): boolean {
  return isInitial() || isOfInit();
}

/** Settings of the machine's whole network are shown only in the first namespace (net/core/sysctl_net_core.c). */
function isInitial(): boolean {
  return existsSync('/proc/sys/net/core/netdev_max_backlog');
}

/** Whether process 1 lives in it, as far as we may know. */
function isOfInit(): boolean {
  try {
    return readlinkSync('/proc/1/ns/net') === readlinkSync('/proc/thread-self/ns/net');
  } catch {
    return false;
  }
}

function openPacketSocket(link: HostLinkFacts): HostFd {
  // Without a protocol it hears nothing before it is bound to the one interface.
  const fd = sockets.socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    throw new UserError(`a packet socket cannot be opened (${errnoName(-fd)}); --net=sandbox needs CAP_NET_RAW, --net=user needs nothing.`);
  const memory = allocateMemory(64);
  memory.view.setInt32(0, 1, true);
  for (const option of [PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING]) {
    const result = setsockopt(fd, SOL_PACKET, option, memory.address, 4);
    if (result < 0) throw new UserError(`packet sockets of this host lack an option that is needed (${errnoName(-result)}).`);
  }
  memory.view.setInt32(0, RECEIVE_BUFFER_BYTES, true);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, memory.address, 4); // needs CAP_NET_ADMIN; without it the default has to do
  // struct sockaddr_ll.
  memory.bytes.fill(0, 0, 20);
  memory.view.setUint16(0, AF_PACKET, true);
  memory.view.setUint16(2, ETH_P_ALL);
  memory.view.setInt32(4, link.index, true);
  const bound = sockets.bind(fd, memory.address, 20);
  if (bound < 0) throw new UserError(`the interface ${link.name} cannot be taken over (${errnoName(-bound)}).`);
  return fd;
}

/** Gives the sandbox all of it. Returns the interfaces. */
export function connectTaken(kernel: Kernel, { interfaces, resolver }: TakenNetwork): NetworkInterface[] {
  if (resolver >= 0) connectResolver(kernel, resolver);
  return interfaces.map((taken) => connectInterface(kernel, taken));
}

/** Gives the sandbox the interface, under its name. */
function connectInterface(kernel: Kernel, { fd, facts }: TakenInterface): NetworkInterface {
  const { host, network } = kernel;
  const { stack } = network;
  const { name, mtu, hardwareAddress } = facts.link;
  network.enter();
  const device = new HostLink(host, fd, stack.state.pool, {
    kind: 'ethernet',
    mtu,
    hardwareAddress,
    vnetHeaderLength: VNET_HEADER,
    cutsSegments: true,
  });
  const owner = stack.addDevice(name, device);
  if (typeof owner === 'number') throw new UserError(`the interface ${name} cannot be made inside (${errnoName(-owner)}).`);
  configure(kernel, owner, facts);
  kernel.watch(fd, EPOLLIN, () => network.enter());
  return owner;
}

function configure(kernel: Kernel, owner: NetworkInterface, facts: HostInterfaceFacts): void {
  const { stack } = kernel.network;
  owner.ipv6.dadTransmits = 0; // the namespace has seen to it
  owner.flags |= facts.link.flags & IFF_NOARP; // ipvlan
  stack.interfaces.setUp(owner);
  for (const address of facts.addresses) addAddress(kernel, owner, address);
  for (const route of facts.routes) stack.routes.add(routeOver(owner, route));
  for (const neighbour of facts.neighbours) {
    owner.neighbours?.setPermanent(known(neighbour.address), hardwareOf(neighbour.hardwareAddress));
  }
}

/** What there is in this thread's namespace besides loopback, and up. */
export function readInterfaces(): HostInterfaceFacts[] {
  const routing = new Rtnetlink();
  try {
    const links = hostLinks(routing).filter(({ flags }) => (flags & IFF_UP) !== 0 && (flags & IFF_LOOPBACK) === 0);
    return links.map((link) => hostInterface(routing, link));
  } finally {
    routing.close();
  }
}

/** Lets guests see an interface that carries nothing of theirs, with the index it has outside: programs give it to the host in addresses (sin6_scope_id). */
export function showInterface(kernel: Kernel, facts: HostInterfaceFacts): void {
  const { network } = kernel;
  const { name, mtu, hardwareAddress, type, index } = facts.link;
  const isEthernet = type === ARPHRD_ETHER;
  network.enter();
  const device = new ShownDevice(isEthernet ? 'ethernet' : 'ip', mtu, isEthernet ? hardwareAddress : '');
  const owner = network.stack.addDevice(name, device, index);
  // More than a stack may have, or a name that it does not take: the host has it all the same, it is only not seen.
  if (typeof owner === 'number') return kernel.host.log(`network: the interface ${name} is not shown (${errnoName(-owner)})`);
  owner.ipv6.acceptsAdvertisements = false;
  configure(kernel, owner, facts);
}

function addAddress(kernel: Kernel, owner: NetworkInterface, { address, peer, prefixLength, scope, flags }: HostAddressFacts): void {
  if ((flags & IFA_F_DADFAILED) !== 0) return;
  const own = known(address);
  kernel.network.stack.interfaces.addAddress(owner, own, prefixLength + (own.isIpv4 ? IPV4_PREFIX_BITS : 0), {
    peer: known(peer),
    scope,
    flags: IFA_F_PERMANENT | (own.isIpv4 ? 0 : IFA_F_NODAD) | (flags & IFA_F_NOPREFIXROUTE),
  });
}

/** One that the stack has made of an address already is refused as a second one like it, which is right. */
function routeOver(owner: NetworkInterface, facts: HostRouteFacts): Route {
  const route = new Route();
  route.destination.copy(known(facts.destination));
  route.prefixBits = facts.prefixBits;
  route.interface = owner;
  route.metric = facts.metric;
  route.scope = facts.scope;
  route.isOnLink = facts.isOnLink;
  if (facts.gateway !== null) {
    route.gateway.copy(known(facts.gateway));
    route.hasGateway = true;
  }
  if (facts.source !== null) {
    route.source.copy(known(facts.source));
    route.hasSource = true;
  }
  return route;
}

function hardwareOf(bytes: string): HardwareAddress {
  const buffer = Buffer.from(bytes, 'latin1');
  return new HardwareAddress().set(buffer.readUInt16BE(0), buffer.readInt32BE(2));
}

/** Of an address that the host named. */
function known(text: string): IpAddress {
  const address = parseAddress(text);
  if (address === null) throw new Error(`${text} is no address`);
  return address;
}
