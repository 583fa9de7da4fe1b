/**
 * The ioctls about interfaces that any internet or packet socket answers: netdevice(7). Linux net/ipv4/devinet.c (addresses, IPv4 only) and
 * net/core/dev_ioctl.c.
 */
import { EADDRNOTAVAIL, EFAULT, EINVAL, ENODEV, ENOTTY, EOPNOTSUPP, EPERM } from '#sentry/abi/errno.ts';
import * as inet from '#sentry/abi/inet.ts';
import { AF_INET } from '#sentry/abi/socket.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import { IpAddress } from '../../netstack/address.ts';
import { IFF_LOWER_UP, IFF_PROMISC, IFF_UP } from '../../netstack/link/interface.ts';
import type { InterfaceAddress, NetworkInterface } from '../../netstack/link/interface.ts';
import { SocketAddress } from '../../netstack/socket-address.ts';
import { capable, CAP_NET_ADMIN } from '../../vfs/credentials.ts';
import type { Caller } from '../../vfs/inode.ts';
import { guestOf } from '../anonymous/guest-caller.ts';
import type { Network } from './network.ts';
import { putSockaddr } from './sockaddr.ts';

const { IFNAMSIZ, IFREQ_SIZE } = inet;
/** Flags have 16 bits in struct ifreq. */
const SHORT_FLAGS = 0xffff;
const IPV4_BITS = 96;
/** Flags that an ioctl can change. */
const IFF_ALLMULTI = 0x200;
const SETTABLE = IFF_UP | IFF_PROMISC | IFF_ALLMULTI;

/** struct ifreq at the start of the scratch memory. */
interface Request {
  readonly network: Network;
  readonly owner: NetworkInterface;
  /** The address that the name, which may be an alias (eth0:1), stands for: the first IPv4 one; null without. */
  readonly address: InterfaceAddress | null;
  readonly memory: HostMemory;
}

type Answer = (request: Request) => number;

const name = new SocketAddress();
const scratch = new IpAddress();

function putAddress(memory: HostMemory, word: number): number {
  name.address.setIpv4(word);
  name.port = 0;
  putSockaddr(memory.view, IFNAMSIZ, name, AF_INET);
  return 0;
}

function netmask({ prefixBits }: InterfaceAddress): number {
  const bits = prefixBits - IPV4_BITS;
  return bits <= 0 ? 0 : -1 << (32 - bits);
}

function putInt(value: number): (request: Request) => number {
  return ({ memory }) => {
    memory.view.setInt32(IFNAMSIZ, value, true);
    return 0;
  };
}

/** Questions about an IPv4 address. */
function ofAddress(answer: (address: InterfaceAddress) => number): Answer {
  return ({ address, memory }) => (address === null ? -EADDRNOTAVAIL : putAddress(memory, answer(address)));
}

const QUESTIONS: Readonly<Record<number, Answer>> = {
  [inet.SIOCGIFADDR]: ofAddress(({ address }) => address.w3),
  [inet.SIOCGIFDSTADDR]: ofAddress(({ peer }) => peer.w3),
  [inet.SIOCGIFBRDADDR]: ofAddress(({ broadcast, hasBroadcast }) => (hasBroadcast ? broadcast : 0)),
  [inet.SIOCGIFNETMASK]: ofAddress(netmask),
  [inet.SIOCGIFFLAGS]: ({ owner, memory }) => {
    memory.view.setInt16(IFNAMSIZ, owner.flags & SHORT_FLAGS & ~IFF_LOWER_UP, true);
    return 0;
  },
  [inet.SIOCGIFMETRIC]: putInt(0),
  [inet.SIOCGIFMTU]: (request) => putInt(request.owner.mtu)(request),
  [inet.SIOCGIFINDEX]: (request) => putInt(request.owner.index)(request),
  [inet.SIOCGIFTXQLEN]: (request) => putInt(request.owner.txQueueLength)(request),
  [inet.SIOCGIFHWADDR]: ({ owner, memory }) => {
    memory.bytes.fill(0, IFNAMSIZ, IFREQ_SIZE);
    memory.view.setUint16(IFNAMSIZ, owner.hardwareType, true);
    if (owner.isEthernet) owner.hardware.write(memory.view, IFNAMSIZ + 2);
    return 0;
  },
  [inet.SIOCGIFMAP]: ({ memory }) => {
    memory.bytes.fill(0, IFNAMSIZ, IFREQ_SIZE);
    return 0;
  },
};

const CHANGES: Readonly<Record<number, Answer>> = {
  [inet.SIOCSIFFLAGS]: ({ network, owner, memory }) => {
    const flags = memory.view.getUint16(IFNAMSIZ, true) & SETTABLE;
    if ((flags & IFF_UP) !== 0) network.stack.interfaces.setUp(owner);
    else network.stack.interfaces.setDown(owner);
    return 0;
  },
  [inet.SIOCSIFMTU]: ({ network, owner, memory }) => network.stack.interfaces.setMtu(owner, memory.view.getInt32(IFNAMSIZ, true)),
  [inet.SIOCSIFTXQLEN]: ({ owner, memory }) => {
    const length = memory.view.getInt32(IFNAMSIZ, true);
    if (length < 0) return -EINVAL;
    owner.txQueueLength = length;
    return 0;
  },
  [inet.SIOCSIFADDR]: setAddress,
  [inet.SIOCSIFNETMASK]: setNetmask,
};

/** Classful networks, as the ioctl has had them since before prefixes. */
function classBits(word: number): number {
  const first = word >>> 24;
  if (first < 128) return 8;
  return first < 192 ? 16 : 24;
}

function setAddress({ network, owner, address, memory }: Request): number {
  if (memory.view.getUint16(IFNAMSIZ, true) !== AF_INET) return -EINVAL;
  const word = memory.view.getInt32(IFNAMSIZ + 4);
  const { interfaces } = network.stack;
  if (address !== null) interfaces.removeAddress(owner, address.address);
  return word === 0 ? 0 : interfaces.addAddress(owner, new IpAddress().setIpv4(word), IPV4_BITS + classBits(word));
}

function setNetmask({ network, owner, address, memory }: Request): number {
  if (address === null) return -EADDRNOTAVAIL;
  const mask = memory.view.getInt32(IFNAMSIZ + 4);
  const bits = Math.clz32(~mask);
  if (bits < 32 && mask << bits !== 0) return -EINVAL;
  const { interfaces } = network.stack;
  scratch.copy(address.address);
  interfaces.removeAddress(owner, scratch);
  return interfaces.addAddress(owner, scratch, IPV4_BITS + bits);
}

/** Serves `request`, whose argument is the address of a struct ifreq or ifconf: 0 or -errno, -ENOTTY for requests that are none of these. */
export function interfaceIoctl(network: Network, request: number, argument: number, caller: Caller): number {
  if (request === inet.SIOCGIFCONF) return listAddresses(network, argument, caller);
  const answer = QUESTIONS[request] ?? CHANGES[request];
  const isName = request === inet.SIOCGIFNAME;
  if (answer === undefined && !isName) return request === inet.SIOCETHTOOL ? -EOPNOTSUPP : -ENOTTY;
  const { memory, scratch: staging } = guestOf(caller);
  if (memory.copyIn(argument, staging, 0, IFREQ_SIZE) < 0) return -EFAULT;
  const result = isName ? nameOf(network, staging) : answerFor(network, request, answer!, staging, caller);
  if (result < 0 || CHANGES[request] !== undefined) return result;
  return memory.copyOut(argument, staging, 0, IFREQ_SIZE) < 0 ? -EFAULT : 0;
}

function answerFor(network: Network, request: number, answer: Answer, memory: HostMemory, caller: Caller): number {
  if (CHANGES[request] !== undefined && (network.isOfHost || !capable(caller.credentials, CAP_NET_ADMIN))) return -EPERM;
  const text = memory.latin1(0, IFNAMSIZ);
  const end = text.indexOf('\0');
  const full = end < 0 ? text.slice(0, IFNAMSIZ - 1) : text.slice(0, end);
  const owner = network.stack.interfaces.byName(full.split(':')[0]!);
  if (owner === null) return -ENODEV;
  network.enter();
  const address = owner.addresses.find((one) => one.address.isIpv4 && (one.label === full || full === owner.name)) ?? null;
  return answer({ network, owner, address, memory });
}

function nameOf(network: Network, memory: HostMemory): number {
  const owner = network.stack.interfaces.byIndex(memory.view.getInt32(IFNAMSIZ, true));
  if (owner === null) return -ENODEV;
  memory.bytes.fill(0, 0, IFNAMSIZ);
  memory.writeLatin1(owner.name, 0);
  return 0;
}

const CONF_SIZE = 16;

/** SIOCGIFCONF: struct ifconf {len, buffer} and an ifreq for each IPv4 address; without a buffer, the room they need. */
function listAddresses(network: Network, argument: number, caller: Caller): number {
  const { memory, scratch: staging } = guestOf(caller);
  if (memory.copyIn(argument, staging, 0, CONF_SIZE) < 0) return -EFAULT;
  const room = staging.view.getInt32(0, true);
  const buffer = memory.loadU64(argument + 8);
  const found = network.stack.interfaces.list.flatMap((owner) => owner.addresses.filter(({ address }) => address.isIpv4));
  if (buffer < 0) return -EFAULT;
  if (buffer === 0) return memory.storeU32(argument, found.length * IFREQ_SIZE);
  const count = Math.min(found.length, Math.floor(Math.max(room, 0) / IFREQ_SIZE));
  for (let i = 0; i < count; i++) {
    const { label, address } = found[i]!;
    staging.bytes.fill(0, 0, IFREQ_SIZE);
    staging.writeLatin1(label, 0);
    putAddress(staging, address.w3);
    if (memory.copyOut(buffer + i * IFREQ_SIZE, staging, 0, IFREQ_SIZE) < 0) return -EFAULT;
  }
  return memory.storeU32(argument, count * IFREQ_SIZE);
}
