/** Links: RTM_GETLINK, RTM_NEWLINK, RTM_SETLINK (rtnetlink(7), struct ifinfomsg). */
import { EINVAL, ENODEV, EOPNOTSUPP } from '#sentry/abi/errno.ts';
import * as abi from '#sentry/abi/netlink.ts';
import { AF_UNSPEC } from '#sentry/abi/socket.ts';
import { IFF_UP } from '../../netstack/link/interface.ts';
import type { NetworkInterface } from '../../netstack/link/interface.ts';
import type { Network } from '../inet/network.ts';
import type { NetlinkRequest } from './message-reader.ts';
import type { MessageWriter } from './message-writer.ts';
import type { DumpItem, Reply } from './protocol.ts';

const SIZE = abi.IFINFOMSG_SIZE;
const INDEX = 4;
const FLAGS = 8;
const CHANGE = 12;
/** IF_OPER_*: what a loopback's state is, a device's that is up, and that is down. */
const OPERATING_UNKNOWN = 0;
const OPERATING_DOWN = 2;
const OPERATING_UP = 6;
/** Figures of struct rtnl_link_stats64 beyond those counted here. */
const STATISTICS = 25;

export function dumpLinks({ stack }: Network): DumpItem[] {
  return stack.interfaces.list.map((owner) => (reply) => {
    writeLink(reply, abi.RTM_NEWLINK, owner);
  });
}

/** The interface that a request names by index or by name. */
function named({ stack }: Network, request: NetlinkRequest): NetworkInterface | number {
  const index = request.u32(INDEX);
  const name = request.text(SIZE, abi.IFLA_IFNAME);
  if (index === 0 && name === null) return -EINVAL;
  return (index === 0 ? stack.interfaces.byName(name!) : stack.interfaces.byIndex(index)) ?? -ENODEV;
}

export function showLink(network: Network, request: NetlinkRequest, reply: Reply): number {
  if (!request.has(SIZE)) return -EINVAL;
  const owner = named(network, request);
  if (typeof owner === 'number') return owner;
  writeLink(reply, abi.RTM_NEWLINK, owner);
  return 0;
}

/** Up, down, MTU, name, queue length. Links cannot be made here. */
export function changeLink(network: Network, request: NetlinkRequest): number {
  if (!request.has(SIZE)) return -EINVAL;
  const owner = named(network, request);
  if (typeof owner === 'number') return owner === -ENODEV && (request.flags & abi.NLM_F_CREATE) !== 0 ? -EOPNOTSUPP : owner;
  const { interfaces } = network.stack;
  const mtu = request.number(SIZE, abi.IFLA_MTU);
  const name = request.text(SIZE, abi.IFLA_IFNAME);
  const queue = request.number(SIZE, abi.IFLA_TXQLEN);
  let result = mtu === null ? 0 : interfaces.setMtu(owner, mtu);
  if (result === 0 && name !== null && name !== owner.name) result = interfaces.rename(owner, name);
  if (result < 0) return result;
  if (queue !== null) owner.txQueueLength = queue;
  const flags = request.u32(FLAGS);
  const changes = request.u32(CHANGE);
  if ((changes & IFF_UP) !== 0 || (changes === 0 && flags !== 0)) {
    if ((flags & IFF_UP) !== 0) interfaces.setUp(owner);
    else interfaces.setDown(owner);
  }
  return 0;
}

export function writeLink(reply: Reply, type: number, owner: NetworkInterface): void {
  const writer = reply.begin(type);
  writer.u8(AF_UNSPEC);
  writer.u8(0);
  writer.u16(owner.hardwareType);
  writer.u32(owner.index);
  writer.u32(owner.flags);
  writer.u32(0);
  writer.text(abi.IFLA_IFNAME, owner.name);
  writer.attributeU32(abi.IFLA_TXQLEN, owner.txQueueLength);
  writer.attributeU8(abi.IFLA_OPERSTATE, owner.isLoopback ? OPERATING_UNKNOWN : owner.isUp ? OPERATING_UP : OPERATING_DOWN);
  writer.attributeU8(abi.IFLA_LINKMODE, 0);
  writer.attributeU32(abi.IFLA_MTU, owner.mtu);
  writer.attributeU32(abi.IFLA_GROUP, 0);
  writer.attributeU32(abi.IFLA_PROMISCUITY, owner.promiscuousUsers);
  writer.attributeU32(abi.IFLA_NUM_TX_QUEUES, 1);
  writer.attributeU32(abi.IFLA_NUM_RX_QUEUES, 1);
  writer.attributeU8(abi.IFLA_CARRIER, 1);
  writer.text(abi.IFLA_QDISC, 'noqueue');
  if (owner.isLoopback || owner.isEthernet) {
    writeHardware(writer, abi.IFLA_ADDRESS, owner.hardware.high, owner.hardware.low);
    writeHardware(writer, abi.IFLA_BROADCAST, owner.isEthernet ? 0xffff : 0, owner.isEthernet ? -1 : 0);
  }
  writeStatistics(writer, owner);
  writer.end();
}

export function writeHardware(writer: MessageWriter, type: number, high: number, low: number): void {
  const at = writer.beginAttribute(type);
  writer.big16(high);
  writer.big32(low);
  writer.endAttribute(at);
}

function writeStatistics(writer: MessageWriter, { counters: c }: NetworkInterface): void {
  const at = writer.beginAttribute(abi.IFLA_STATS64);
  const known = [c.rxPackets, c.txPackets, c.rxBytes, c.txBytes, c.rxErrors, c.txErrors, c.rxDropped, c.txDropped, c.multicast];
  for (let i = 0; i < STATISTICS; i++) writer.u64(known[i] ?? 0);
  writer.endAttribute(at);
}
