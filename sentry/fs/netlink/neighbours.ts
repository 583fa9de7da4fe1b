/** Neighbours: RTM_GETNEIGH (rtnetlink(7), struct ndmsg). */
import { EOPNOTSUPP } from '#sentry/abi/errno.ts';
import * as abi from '#sentry/abi/netlink.ts';
import { AF_INET, AF_INET6, AF_UNSPEC } from '#sentry/abi/socket.ts';
import type { NetworkInterface } from '../../netstack/link/interface.ts';
import type { Neighbour } from '../../netstack/link/neighbour-cache.ts';
import type { Network } from '../inet/network.ts';
import { writeHardware } from './links.ts';
import type { NetlinkRequest } from './message-reader.ts';
import type { DumpItem, Reply } from './protocol.ts';

const CENTISECOND = 1e7;

export function dumpNeighbours({ stack }: Network, request: NetlinkRequest): DumpItem[] {
  const family = request.u8(0);
  const items: DumpItem[] = [];
  for (const owner of stack.interfaces.list)
    for (const neighbour of owner.neighbours?.list() ?? [])
      if (family === AF_UNSPEC || family === (neighbour.address.isIpv4 ? AF_INET : AF_INET6))
        items.push((reply) => {
          writeNeighbour(reply, owner, neighbour, stack.state.nowNs);
        });
  return items;
}

function writeNeighbour(reply: Reply, owner: NetworkInterface, neighbour: Neighbour, nowNs: number): void {
  const writer = reply.begin(abi.RTM_NEWNEIGH);
  writer.u8(neighbour.address.isIpv4 ? AF_INET : AF_INET6);
  writer.u8(0);
  writer.u16(0);
  writer.u32(owner.index);
  writer.u16(neighbour.state);
  writer.u8(neighbour.isRouter ? abi.NTF_ROUTER : 0);
  writer.u8(abi.RTN_UNICAST);
  writer.attributeAddress(abi.NDA_DST, neighbour.address);
  const { high, low } = neighbour.hardware;
  if (high !== 0 || low !== 0) writeHardware(writer, abi.NDA_LLADDR, high, low);
  writer.attributeU32(abi.NDA_PROBES, neighbour.probes);
  const at = writer.beginAttribute(abi.NDA_CACHEINFO);
  for (const thenNs of [neighbour.confirmedNs, neighbour.usedNs, neighbour.updatedNs])
    writer.u32(Math.max(0, Math.floor((nowNs - thenNs) / CENTISECOND)));
  writer.u32(0);
  writer.endAttribute(at);
  writer.end();
}

/** The cache keeps itself: entries cannot be given to it. */
export function addNeighbour(): number {
  return -EOPNOTSUPP;
}

export function removeNeighbour(): number {
  return -EOPNOTSUPP;
}
