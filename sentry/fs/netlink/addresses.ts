/** Addresses of interfaces: RTM_GETADDR, RTM_NEWADDR, RTM_DELADDR (rtnetlink(7), struct ifaddrmsg). */
import { EADDRNOTAVAIL, EEXIST, EINVAL, ENODEV } from '#sentry/abi/errno.ts';
import * as abi from '#sentry/abi/netlink.ts';
import { AF_INET, AF_INET6, AF_UNSPEC } from '#sentry/abi/socket.ts';
import type { InterfaceAddress } from '../../netstack/link/interface.ts';
import type { Network } from '../inet/network.ts';
import type { NetlinkRequest } from './message-reader.ts';
import type { DumpItem, Reply } from './protocol.ts';

const SIZE = abi.IFADDRMSG_SIZE;
const PREFIX = 1;
const FLAGS = 2;
const SCOPE = 3;
const INDEX = 4;
const IPV4_BITS = 96;
const FOREVER = 0xffff_ffff;
const SECOND = 1e9;
const CENTISECOND = 1e7;

function familyOf({ address }: InterfaceAddress): number {
  return address.isIpv4 ? AF_INET : AF_INET6;
}

export function dumpAddresses({ stack }: Network, request: NetlinkRequest): DumpItem[] {
  const family = request.u8(0);
  const index = request.has(SIZE) ? request.u32(INDEX) : 0;
  const all = stack.interfaces.list.filter((owner) => index === 0 || owner.index === index).flatMap((owner) => owner.addresses);
  const ofFamily = (wanted: number): InterfaceAddress[] => all.filter((one) => familyOf(one) === wanted);
  const chosen = family === AF_UNSPEC ? [...ofFamily(AF_INET), ...ofFamily(AF_INET6)] : ofFamily(family);
  return chosen.map((one) => (reply) => {
    writeAddress(reply, abi.RTM_NEWADDR, one, stack.state.nowNs);
  });
}

export function writeAddress(reply: Reply, type: number, one: InterfaceAddress, nowNs: number): void {
  const writer = reply.begin(type);
  const isIpv4 = one.address.isIpv4;
  writer.u8(familyOf(one));
  writer.u8(isIpv4 ? one.prefixBits - IPV4_BITS : one.prefixBits);
  writer.u8(one.flags & 255);
  writer.u8(one.scope);
  writer.u32(one.interface.index);
  writer.attributeAddress(abi.IFA_ADDRESS, one.peer);
  if (isIpv4 || !one.peer.equals(one.address)) writer.attributeAddress(abi.IFA_LOCAL, one.address);
  if (one.hasBroadcast) {
    const at = writer.beginAttribute(abi.IFA_BROADCAST);
    writer.big32(one.broadcast);
    writer.endAttribute(at);
  }
  if (isIpv4) writer.text(abi.IFA_LABEL, one.label);
  writer.attributeU32(abi.IFA_FLAGS, one.flags);
  const at = writer.beginAttribute(abi.IFA_CACHEINFO);
  const left = (untilNs: number): number => (untilNs === Infinity ? FOREVER : Math.max(0, Math.floor((untilNs - nowNs) / SECOND)));
  writer.u32(left(one.preferredUntilNs));
  writer.u32(left(one.validUntilNs));
  writer.u32(Math.floor(one.createdNs / CENTISECOND));
  writer.u32(Math.floor(one.updatedNs / CENTISECOND));
  writer.endAttribute(at);
  writer.end();
}

export function addAddress({ stack }: Network, request: NetlinkRequest): number {
  if (!request.has(SIZE)) return -EINVAL;
  const owner = stack.interfaces.byIndex(request.u32(INDEX));
  if (owner === null) return -ENODEV;
  const peer = request.address(SIZE, abi.IFA_ADDRESS);
  const address = request.address(SIZE, abi.IFA_LOCAL) ?? peer;
  const bits = request.u8(PREFIX);
  if (address === null || (request.u8(0) === AF_INET) !== address.isIpv4 || bits > (address.isIpv4 ? 32 : 128)) return -EINVAL;
  const broadcast = request.address(SIZE, abi.IFA_BROADCAST);
  const label = request.text(SIZE, abi.IFA_LABEL);
  const flags = request.number(SIZE, abi.IFA_FLAGS) ?? request.u8(FLAGS);
  if ((request.flags & abi.NLM_F_REPLACE) !== 0 && owner.findAddress(address) !== null) stack.interfaces.removeAddress(owner, address);
  else if (owner.findAddress(address) !== null) return -EEXIST;
  return stack.interfaces.addAddress(owner, address, bits + (address.isIpv4 ? IPV4_BITS : 0), {
    flags: flags | 0x80,
    ...(peer === null ? {} : { peer }),
    ...(broadcast === null ? {} : { broadcast: broadcast.w3 }),
    ...(label === null ? {} : { label }),
    ...(request.u8(SCOPE) === 0 ? {} : { scope: request.u8(SCOPE) }),
  });
}

export function removeAddress({ stack }: Network, request: NetlinkRequest): number {
  if (!request.has(SIZE)) return -EINVAL;
  const owner = stack.interfaces.byIndex(request.u32(INDEX));
  if (owner === null) return -ENODEV;
  const address = request.address(SIZE, abi.IFA_LOCAL) ?? request.address(SIZE, abi.IFA_ADDRESS);
  return address === null ? -EADDRNOTAVAIL : stack.interfaces.removeAddress(owner, address);
}
