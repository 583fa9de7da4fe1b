/**
 * RTM_GETROUTE for one destination: which way a packet would take (`ip route get`). Programs want every attribute that Linux sends, some of them only
 * so that what they look for is not the last one.
 *
 * rtnetlink(7); Linux net/ipv4/route.c rt_fill_info, net/ipv6/route.c rt6_fill_node.
 */
import { EINVAL } from '#sentry/abi/errno.ts';
import * as abi from '#sentry/abi/netlink.ts';
import { IpAddress } from '../../netstack/address.ts';
import { Path } from '../../netstack/ip/path.ts';
import type { Network } from '../inet/network.ts';
import type { SocketCaller } from '../socket/socket.ts';
import type { NetlinkRequest } from './message-reader.ts';
import type { MessageWriter } from './message-writer.ts';
import type { Reply } from './protocol.ts';
import { writeHead } from './routes.ts';

const SIZE = abi.RTMSG_SIZE;
const HOST_BITS = 128;
const UNIVERSE = 0;
const PREFERENCE_MEDIUM = 0;

const UNSPECIFIED = new IpAddress();

export function lookUpRoute({ stack }: Network, request: NetlinkRequest, reply: Reply, caller: SocketCaller): number {
  if (!request.has(SIZE)) return -EINVAL;
  const destination = request.address(SIZE, abi.RTA_DST);
  if (destination === null) return -EINVAL;
  const path = new Path();
  path.destination.copy(destination);
  path.boundInterface = request.number(SIZE, abi.RTA_OIF) ?? 0;
  const routed = stack.output.route(path);
  if (routed < 0) return routed;
  if (destination.isIpv4) writeIpv4(reply, path, destination, caller.credentials.uid);
  else writeIpv6(reply, path, destination, stack.routes.lookup(destination, path.interface)?.metric ?? 0);
  return 0;
}

function typeOf(path: Path, destination: IpAddress): number {
  if (destination.isMulticast) return abi.RTN_MULTICAST;
  if (path.isToMany) return abi.RTN_BROADCAST;
  return path.isLoopback ? abi.RTN_LOCAL : abi.RTN_UNICAST;
}

/** Whom packets reach, by kind of route. */
const REACHED: Readonly<Record<number, number>> = {
  [abi.RTN_LOCAL]: abi.RTCF_LOCAL,
  [abi.RTN_BROADCAST]: abi.RTCF_LOCAL | abi.RTCF_BROADCAST,
  [abi.RTN_MULTICAST]: abi.RTCF_LOCAL | abi.RTCF_MULTICAST,
};

function writeIpv4(reply: Reply, path: Path, destination: IpAddress, uid: number): void {
  const type = typeOf(path, destination);
  const flags = abi.RTM_F_CLONED | (REACHED[type] ?? 0);
  const head = { isIpv4: true, prefixBits: HOST_BITS, sourceBits: 0, table: abi.RT_TABLE_MAIN, protocol: 0, scope: UNIVERSE, type, flags };
  const writer = writeHead(reply, head);
  writer.attributeAddress(abi.RTA_DST, destination);
  writer.attributeU32(abi.RTA_OIF, path.interfaceIndex);
  writer.attributeAddress(abi.RTA_PREFSRC, path.source);
  if (isRouted(path, destination)) writer.attributeAddress(abi.RTA_GATEWAY, path.nextHop);
  writer.attributeU32(abi.RTA_UID, uid);
  writeCacheInfo(writer);
  writer.end();
}

function writeIpv6(reply: Reply, path: Path, destination: IpAddress, metric: number): void {
  const type = typeOf(path, destination);
  const table = type === abi.RTN_LOCAL ? abi.RT_TABLE_LOCAL : abi.RT_TABLE_MAIN;
  const head = {
    isIpv4: false,
    prefixBits: HOST_BITS,
    sourceBits: HOST_BITS,
    table,
    protocol: abi.RTPROT_KERNEL,
    scope: UNIVERSE,
    type,
    flags: 0,
  };
  const writer = writeHead(reply, head);
  writer.attributeAddress(abi.RTA_DST, destination);
  writer.attributeAddress(abi.RTA_SRC, UNSPECIFIED);
  writer.attributeAddress(abi.RTA_PREFSRC, path.source);
  writer.attributeU32(abi.RTA_PRIORITY, type === abi.RTN_LOCAL ? 0 : metric);
  if (isRouted(path, destination)) writer.attributeAddress(abi.RTA_GATEWAY, path.nextHop);
  writer.attributeU32(abi.RTA_OIF, path.interfaceIndex);
  writeCacheInfo(writer);
  writer.attributeU8(abi.RTA_PREF, PREFERENCE_MEDIUM);
  writer.end();
}

function isRouted(path: Path, destination: IpAddress): boolean {
  return !path.isLoopback && !path.isToMany && !path.nextHop.equals(destination);
}

/** One user, and nothing else to tell: there is no cache of routes. */
function writeCacheInfo(writer: MessageWriter): void {
  const at = writer.beginAttribute(abi.RTA_CACHEINFO);
  writer.u32(1);
  for (let i = 1; i < abi.RTA_CACHEINFO_WORDS; i++) writer.u32(0);
  writer.endAttribute(at);
}
