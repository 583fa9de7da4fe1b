/**
 * Routes: RTM_GETROUTE, RTM_NEWROUTE, RTM_DELROUTE (rtnetlink(7), struct rtmsg). The table `main` is the stack's routing table; `local` follows
 * from the addresses and cannot be changed.
 */
import { EINVAL, ENETUNREACH, ENODEV, EOPNOTSUPP, ESRCH } from '#sentry/abi/errno.ts';
import * as abi from '#sentry/abi/netlink.ts';
import { AF_INET, AF_INET6, AF_UNSPEC } from '#sentry/abi/socket.ts';
import { IpAddress, maskAddress } from '../../netstack/address.ts';
import { RT_SCOPE_HOST, RT_SCOPE_LINK } from '../../netstack/link/interface.ts';
import type { InterfaceAddress } from '../../netstack/link/interface.ts';
import { Route, RTN_UNICAST } from '../../netstack/route/routing-table.ts';
import type { Network } from '../inet/network.ts';
import type { NetlinkRequest } from './message-reader.ts';
import type { MessageWriter } from './message-writer.ts';
import type { DumpItem, Reply } from './protocol.ts';

const SIZE = abi.RTMSG_SIZE;
const PREFIX = 1;
const TABLE = 4;
const PROTOCOL = 5;
const SCOPE = 6;
const TYPE = 7;
const IPV4_BITS = 96;
const UNIVERSE = 0;
const IPV6_METRIC = 1024;

function tableOf(request: NetlinkRequest): number {
  return request.number(SIZE, abi.RTA_TABLE) ?? request.u8(TABLE);
}

export function dumpRoutes({ stack }: Network, request: NetlinkRequest): DumpItem[] {
  const family = request.u8(0);
  const table = request.has(SIZE) ? tableOf(request) : 0;
  const isWanted = (isIpv4: boolean): boolean => family === AF_UNSPEC || family === (isIpv4 ? AF_INET : AF_INET6);
  const main = table === 0 || table === abi.RT_TABLE_MAIN ? stack.routes.routes : [];
  const items: DumpItem[] = main
    .filter((route) => isWanted(route.isIpv4))
    .map((route) => (reply: Reply) => {
      writeRoute(reply, abi.RTM_NEWROUTE, route);
    });
  if (table !== 0 && table !== abi.RT_TABLE_LOCAL) return items;
  for (const owner of stack.interfaces.list)
    for (const one of owner.addresses) if (owner.isUp && isWanted(one.address.isIpv4)) items.push(...localRoutes(one));
  return items;
}

export interface Head {
  readonly isIpv4: boolean;
  readonly prefixBits: number;
  /** 0 but for routes that were looked up. */
  readonly sourceBits?: number;
  readonly table: number;
  readonly protocol: number;
  readonly scope: number;
  readonly type: number;
  readonly flags: number;
}

export function writeHead(reply: Reply, head: Head, message = abi.RTM_NEWROUTE): MessageWriter {
  const writer = reply.begin(message);
  writer.u8(head.isIpv4 ? AF_INET : AF_INET6);
  writer.u8(head.isIpv4 ? head.prefixBits - IPV4_BITS : head.prefixBits);
  writer.u8(head.sourceBits ?? 0);
  writer.u8(0);
  writer.u8(head.table);
  writer.u8(head.protocol);
  writer.u8(head.scope);
  writer.u8(head.type);
  writer.u32(head.flags);
  writer.attributeU32(abi.RTA_TABLE, head.table);
  return writer;
}

export function writeRoute(reply: Reply, message: number, route: Route): void {
  const { isIpv4, prefixBits, protocol, kind } = route;
  const flags = route.isOnLink ? abi.RTNH_F_ONLINK : 0;
  const scope = isIpv4 ? route.scope : UNIVERSE;
  const writer = writeHead(reply, { isIpv4, prefixBits, table: abi.RT_TABLE_MAIN, protocol, scope, type: kind, flags }, message);
  if (prefixBits > (isIpv4 ? IPV4_BITS : 0)) writer.attributeAddress(abi.RTA_DST, route.destination);
  if (route.metric !== 0) writer.attributeU32(abi.RTA_PRIORITY, route.metric);
  if (route.hasSource) writer.attributeAddress(abi.RTA_PREFSRC, route.source);
  if (route.hasGateway) writer.attributeAddress(abi.RTA_GATEWAY, route.gateway);
  if (route.interface !== null) writer.attributeU32(abi.RTA_OIF, route.interface.index);
  if (route.mtu !== 0) {
    const at = writer.beginAttribute(abi.RTA_METRICS);
    writer.attributeU32(abi.RTAX_MTU, route.mtu);
    writer.endAttribute(at);
  }
  writer.end();
}

/** What Linux puts into the table `local` for an address: itself, the loopback's whole network, and the broadcast addresses. */
function localRoutes(one: InterfaceAddress): DumpItem[] {
  const { address, prefixBits, interface: owner } = one;
  const item =
    (destination: IpAddress, bits: number, type: number, scope: number): DumpItem =>
    (reply) => {
      const isIpv4 = destination.isIpv4;
      const head = { isIpv4, prefixBits: bits, table: abi.RT_TABLE_LOCAL, protocol: abi.RTPROT_KERNEL, scope, type, flags: 0 };
      const writer = writeHead(reply, head);
      writer.attributeAddress(abi.RTA_DST, destination);
      if (isIpv4) writer.attributeAddress(abi.RTA_PREFSRC, address);
      else writer.attributeU32(abi.RTA_PRIORITY, 0);
      writer.attributeU32(abi.RTA_OIF, owner.index);
      writer.end();
    };
  const items: DumpItem[] = [];
  if (!address.isIpv4) return [item(address, 128, abi.RTN_LOCAL, UNIVERSE)];
  const network = new IpAddress().copy(address);
  maskAddress(network, prefixBits);
  if (owner.isLoopback && prefixBits < 128) items.push(item(network, prefixBits, abi.RTN_LOCAL, RT_SCOPE_HOST));
  items.push(item(address, 128, abi.RTN_LOCAL, RT_SCOPE_HOST));
  const last = one.hasBroadcast
    ? one.broadcast
    : address.w3 | (prefixBits <= IPV4_BITS ? -1 : prefixBits >= 128 ? 0 : -1 >>> (prefixBits - IPV4_BITS));
  if (prefixBits < 127) items.push(item(new IpAddress().setIpv4(last), 128, abi.RTN_BROADCAST, RT_SCOPE_LINK));
  return items;
}

/** The route a request describes, or -errno. */
function described({ stack }: Network, request: NetlinkRequest): Route | number {
  if (!request.has(SIZE)) return -EINVAL;
  const isIpv4 = request.u8(0) === AF_INET;
  if (!isIpv4 && request.u8(0) !== AF_INET6) return -EOPNOTSUPP;
  const route = new Route();
  const destination = request.address(SIZE, abi.RTA_DST);
  if (destination !== null) route.destination.copy(destination);
  else if (isIpv4) route.destination.setIpv4(0);
  if (route.destination.isIpv4 !== isIpv4) return -EINVAL;
  route.prefixBits = request.u8(PREFIX) + (isIpv4 ? IPV4_BITS : 0);
  route.kind = request.u8(TYPE) === 0 ? RTN_UNICAST : request.u8(TYPE);
  route.protocol = request.u8(PROTOCOL);
  route.scope = request.u8(SCOPE);
  route.metric = request.number(SIZE, abi.RTA_PRIORITY) ?? (isIpv4 ? 0 : IPV6_METRIC);
  const gateway = request.address(SIZE, abi.RTA_GATEWAY);
  if (gateway !== null) {
    route.gateway.copy(gateway);
    route.hasGateway = true;
  }
  const source = request.address(SIZE, abi.RTA_PREFSRC);
  if (source !== null) {
    route.source.copy(source);
    route.hasSource = true;
  }
  route.isOnLink = (request.u32(8) & abi.RTNH_F_ONLINK) !== 0;
  const index = request.number(SIZE, abi.RTA_OIF);
  route.interface = index === null ? reachedBy(stack, route) : stack.interfaces.byIndex(index);
  return index !== null && route.interface === null ? -ENODEV : route;
}

/** The interface on which a gateway is a neighbour. */
function reachedBy(stack: Network['stack'], route: Route): Route['interface'] {
  return route.hasGateway ? (stack.routes.lookup(route.gateway, null)?.interface ?? null) : null;
}

export function addRoute(network: Network, request: NetlinkRequest): number {
  if (request.has(SIZE) && tableOf(request) !== abi.RT_TABLE_MAIN) return -EOPNOTSUPP;
  const route = described(network, request);
  if (typeof route === 'number') return route;
  if (route.kind === RTN_UNICAST && route.interface === null) return route.hasGateway ? -ENETUNREACH : -ENODEV;
  const { routes } = network.stack;
  if ((request.flags & abi.NLM_F_REPLACE) !== 0) {
    const old = routes.routes.find((other) => route.isLike(other));
    if (old !== undefined) routes.remove(old);
  }
  return routes.add(route);
}

export function removeRoute(network: Network, request: NetlinkRequest): number {
  const wanted = described(network, request);
  if (typeof wanted === 'number') return wanted;
  const { routes } = network.stack;
  const hasMetric = request.number(SIZE, abi.RTA_PRIORITY) !== null;
  const found = routes.routes.find(
    (route) =>
      route.prefixBits === wanted.prefixBits &&
      route.destination.equals(wanted.destination) &&
      (!hasMetric || route.metric === wanted.metric) &&
      (!wanted.hasGateway || (route.hasGateway && route.gateway.equals(wanted.gateway))) &&
      (wanted.interface === null || route.interface === wanted.interface),
  );
  return found === undefined ? -ESRCH : routes.remove(found);
}
