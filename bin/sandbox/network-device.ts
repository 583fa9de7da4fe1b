/**
 * `--net=sandbox`: the sandbox's stack takes over an interface of the network namespace this command was started in (one that a container manager or
 * `ip netns` prepared), by a packet socket (packet(7)) with virtio-net headers, so that large segments cross at once.
 *
 * Addresses and routes go with it, and are taken off the host's side: with both there the host's kernel would answer, too, with resets. That is
 * why a namespace of its own is asked for. Afterwards the namespace has lost them; it is thrown away with the sandbox.
 */
import { existsSync, readlinkSync } from 'node:fs';
import { AF_PACKET, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_RAW } from '#sentry/abi/socket.ts';
import { errnoName } from '#sentry/abi/errno.ts';
import { IPV4_PREFIX_BITS } from '#sentry/netstack/address.ts';
import { HostLink } from '#sentry/netstack/link/host-link.ts';
import { IFA_F_NODAD, IFA_F_PERMANENT, IFF_LOOPBACK, IFF_UP } from '#sentry/netstack/link/interface.ts';
import type { NetworkInterface } from '#sentry/netstack/link/interface.ts';
import { Route } from '#sentry/netstack/route/routing-table.ts';
import type { Kernel } from '#sentry/kernel/kernel.ts';
import type { HostFd } from '#platform/contract/host.ts';
import { setsockopt } from '#platform/host/files.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import * as sockets from '#platform/host/sockets.ts';
import { UserError } from '../errors.ts';
import { Rtnetlink } from './rtnetlink.ts';
import type { HostAddressFacts, HostLinkFacts, HostRouteFacts } from './rtnetlink.ts';

export interface DevicePlan {
  readonly fd: HostFd;
  readonly link: HostLinkFacts;
  readonly addresses: readonly HostAddressFacts[];
  readonly routes: readonly HostRouteFacts[];
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

/** Takes over interface `name`, or the only one there is. */
export function openDevice(name: string | null): DevicePlan {
  refuseHostNamespace();
  const routing = new Rtnetlink();
  const link = chooseLink(routing.links(), name);
  const addresses = routing.addresses(link.index);
  const routes = routing.routes(link.index);
  const fd = openPacketSocket(link);
  for (const address of addresses) {
    const removed = routing.removeAddress(link.index, address);
    if (removed < 0)
      throw new UserError(`the address ${address.address.toString()} cannot be taken off ${link.name} (${errnoName(-removed)}).`);
  }
  routing.close();
  return { fd, link, addresses, routes };
}

/** The namespace of the host, or of the container this runs in, would lose its connection. */
function refuseHostNamespace(): void {
  if (!isInitial() && !isOfInit()) return;
  throw new UserError(
    '--net=sandbox takes an interface away from the namespace it is in: start tsvisor in one of its own (ip netns exec NAME tsvisor …).',
  );
}

/** Settings of the machine's whole network are shown only in the first namespace (net/core/sysctl_net_core.c). */
function isInitial(): boolean {
  return existsSync('/proc/sys/net/core/netdev_max_backlog');
}

/** Whether process 1 lives in it, as far as we may know. */
function isOfInit(): boolean {
  try {
    return readlinkSync('/proc/1/ns/net') === readlinkSync('/proc/self/ns/net');
  } catch {
    return false;
  }
}

function chooseLink(links: readonly HostLinkFacts[], name: string | null): HostLinkFacts {
  const usable = links.filter((link) => (link.flags & IFF_UP) !== 0 && (link.flags & IFF_LOOPBACK) === 0 && link.type === ARPHRD_ETHER);
  const chosen = name === null ? usable : usable.filter((link) => link.name === name);
  if (chosen.length === 1) return chosen[0]!;
  if (name !== null) throw new UserError(`there is no Ethernet interface ${name} that is up in this network namespace.`);
  if (chosen.length === 0) throw new UserError('there is no Ethernet interface that is up in this network namespace.');
  throw new UserError(`there are several interfaces; choose one, as in --net=sandbox:${chosen[0]!.name}.`);
}

function openPacketSocket(link: HostLinkFacts): HostFd {
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

/** Gives the sandbox the interface, under its name. */
export function connectDevice(kernel: Kernel, { fd, link, addresses, routes }: DevicePlan): NetworkInterface {
  const { host, network } = kernel;
  const { stack } = network;
  network.enter();
  const { mtu, hardwareAddress } = link;
  const device = new HostLink(host, fd, stack.state.pool, {
    kind: 'ethernet',
    mtu,
    hardwareAddress,
    vnetHeaderLength: VNET_HEADER,
    cutsSegments: true,
  });
  const owner = stack.addDevice(link.name, device);
  if (typeof owner === 'number') throw new UserError(`the interface ${link.name} cannot be made inside (${errnoName(-owner)}).`);
  owner.ipv6.dadTransmits = 0; // the namespace has seen to it
  stack.interfaces.setUp(owner);
  for (const { address, prefixLength, scope } of addresses) {
    const prefixBits = prefixLength + (address.isIpv4 ? IPV4_PREFIX_BITS : 0);
    stack.interfaces.addAddress(owner, address, prefixBits, { scope, flags: IFA_F_PERMANENT | IFA_F_NODAD });
  }
  for (const route of routes) stack.routes.add(routeOver(owner, route));
  kernel.watch(fd, EPOLLIN, () => network.enter());
  return owner;
}

/** One that the stack has made of an address already is refused as a second one like it, which is right. */
function routeOver(owner: NetworkInterface, { destination, prefixBits, gateway, source, metric }: HostRouteFacts): Route {
  const route = new Route();
  route.destination.copy(destination);
  route.prefixBits = prefixBits;
  route.interface = owner;
  route.metric = metric;
  if (gateway !== null) {
    route.gateway.copy(gateway);
    route.hasGateway = true;
  }
  if (source !== null) {
    route.source.copy(source);
    route.hasSource = true;
  }
  return route;
}
