/**
 * The options of level IPPROTO_IP: ip(7). Linux net/ipv4/ip_sockglue.c, do_ip_setsockopt and do_ip_getsockopt: values may be given as an int or
 * a single byte, and small ones are returned as a byte to who has room for less than an int.
 */
import { EADDRNOTAVAIL, EINVAL, ENODEV, ENOPROTOOPT, ENOTCONN, EPERM, EPROTO } from '#sentry/abi/errno.ts';
import * as inet from '#sentry/abi/inet.ts';
import { SOCK_RAW, SOCK_STREAM } from '#sentry/abi/socket.ts';
import { IpAddress } from '../../netstack/address.ts';
import { capable, CAP_NET_ADMIN, CAP_NET_RAW } from '../../vfs/credentials.ts';
import { OptionTable } from '../socket/option-table.ts';
import type { OptionRow, OptionValue } from '../socket/option-table.ts';
import type { SocketCaller } from '../socket/socket.ts';
import {
  TELL_CHECKSUM,
  TELL_FRAGMENT_SIZE,
  TELL_OPTIONS,
  TELL_ORIGINAL_DESTINATION,
  TELL_PKTINFO,
  TELL_RETURN_OPTIONS,
  TELL_TOS,
  TELL_TTL,
} from './internet-options.ts';
import type { InternetOptions } from './internet-options.ts';
import type { InternetSocket } from './internet-socket.ts';

type Row = OptionRow<InternetSocket>;
type NumberField = { [K in keyof InternetOptions]: InternetOptions[K] extends number ? K : never }[keyof InternetOptions];

/** The two bits of congestion notification in a TOS byte: TCP's own business. */
const ECN_MASK = 3;
const HOP_LIMIT_DEFAULT = 64;

/** do_ip_getsockopt: an int, or a byte for who has no room for one. */
function putIpInt(value: OptionValue, number: number): number {
  value.view.setInt32(0, number, true);
  return value.length > 0 && value.length < 4 && number >= 0 && number <= 255 ? 1 : 4;
}

/** A switch: any value but 0 is on. */
function flag(field: NumberField, refusal: (socket: InternetSocket, caller: SocketCaller) => number = () => 0): Row {
  return {
    get: (socket, value) => putIpInt(value, socket.ip[field]),
    set: (socket, value, caller) => {
      const refused = refusal(socket, caller);
      if (refused < 0) return refused;
      socket.ip[field] = value.intOrByte === 0 ? 0 : 1;
      socket.ipChanged();
      return 0;
    },
  };
}

/** A switch for something that recvmsg tells. */
export function tellRow(bit: number): Row {
  return {
    get: (socket, value) => putIpInt(value, (socket.ip.tells & bit) === 0 ? 0 : 1),
    set: (socket, value) => {
      if (value.intOrByte === 0) socket.ip.tells &= ~bit;
      else socket.ip.tells |= bit;
      return 0;
    },
  };
}

/** A number from `least` to `most`. `leastLength`: 1 where Linux refuses a value without bytes. */
function ranged(field: NumberField, least: number, most: number, leastLength: number): Row {
  return {
    get: (socket, value) => putIpInt(value, socket.ip[field]),
    set: (socket, value) => {
      const number = value.intOrByte;
      if (value.length < leastLength || number < least || number > most) return -EINVAL;
      socket.ip[field] = number;
      socket.ipChanged();
      return 0;
    },
  };
}

function onlyRaw(socket: InternetSocket): number {
  return socket.type === SOCK_RAW ? 0 : -ENOPROTOOPT;
}

function needsAdmin(_socket: InternetSocket, { credentials }: SocketCaller): number {
  return capable(credentials, CAP_NET_RAW) || capable(credentials, CAP_NET_ADMIN) ? 0 : -EPERM;
}

const timeToLive: Row = {
  get: (socket, value) => putIpInt(value, socket.ip.timeToLive < 0 ? HOP_LIMIT_DEFAULT : socket.ip.timeToLive),
  set: (socket, value) => {
    const ttl = value.intOrByte;
    if (value.length < 1 || (ttl !== -1 && (ttl < 1 || ttl > 255))) return -EINVAL;
    socket.ip.timeToLive = ttl;
    socket.ipChanged();
    return 0;
  },
};

const typeOfService: Row = {
  get: (socket, value) => putIpInt(value, socket.ip.typeOfService),
  set: (socket, value) => {
    const { ip, type } = socket;
    const kept = type === SOCK_STREAM ? ip.typeOfService & ECN_MASK : 0;
    const tos = value.intOrByte & 255;
    ip.typeOfService = type === SOCK_STREAM ? (tos & ~ECN_MASK) | kept : tos;
    socket.ipChanged();
    return 0;
  },
};

const multicastTtl: Row = {
  get: (socket, value) => putIpInt(value, socket.ip.multicastTtl),
  set: (socket, value) => {
    const ttl = value.intOrByte;
    if (socket.type === SOCK_STREAM || value.length < 1 || ttl < -1 || ttl > 255) return -EINVAL;
    socket.ip.multicastTtl = ttl === -1 ? 1 : ttl;
    socket.ipChanged();
    return 0;
  },
};

const multicastLoop: Row = {
  get: (socket, value) => putIpInt(value, socket.ip.multicastLoop),
  set: (socket, value) => {
    if (value.length < 1) return -EINVAL;
    socket.ip.multicastLoop = value.intOrByte === 0 ? 0 : 1;
    socket.ipChanged();
    return 0;
  },
};

const address = new IpAddress();

/** The interface a struct ip_mreq or ip_mreqn names: its index, 0 for any, -ENODEV or -EADDRNOTAVAIL. */
function namedInterface(socket: InternetSocket, value: OptionValue): number {
  const { interfaces } = socket.network.stack;
  const index = value.length >= inet.IP_MREQN_SIZE ? value.view.getInt32(8, true) : 0;
  if (index !== 0) return interfaces.byIndex(index) === null ? -ENODEV : index;
  const word = value.view.getInt32(4);
  if (word === 0) return 0;
  const found = interfaces.findLocal(address.setIpv4(word));
  return found === null ? -EADDRNOTAVAIL : found.interface.index;
}

/** IP_ADD_MEMBERSHIP and IP_DROP_MEMBERSHIP. */
function membership(how: 'join' | 'leave'): Row {
  return {
    set: (socket, value) => {
      if (socket.type === SOCK_STREAM) return -EPROTO;
      if (value.length < inet.IP_MREQ_SIZE) return -EINVAL;
      const index = namedInterface(socket, value);
      if (index < 0) return how === 'join' ? -ENODEV : index;
      address.setIpv4(value.view.getInt32(0));
      return how === 'join' ? socket.join(address, index) : socket.leave(address, index);
    },
  };
}

/** MCAST_JOIN_GROUP and MCAST_LEAVE_GROUP: an interface index and a sockaddr_storage. */
export function groupRequest(how: 'join' | 'leave', domain: number): Row {
  return {
    set: (socket, value) => {
      if (socket.type === SOCK_STREAM) return -EPROTO;
      if (value.length < inet.GROUP_REQ_SIZE) return -EINVAL;
      if (value.view.getUint16(8, true) !== domain) return -EADDRNOTAVAIL;
      const index = value.view.getInt32(0, true);
      if (domain === 2) address.setIpv4(value.view.getInt32(12));
      else address.read(value.view, 16);
      return how === 'join' ? socket.join(address, index) : socket.leave(address, index);
    },
  };
}

/** IP_MULTICAST_IF: struct in_addr, ip_mreq or ip_mreqn; read as an address. */
const multicastInterface: Row = {
  get: (socket, value) => {
    value.view.setInt32(0, socket.ip.multicastSource.w3);
    return 4;
  },
  set: (socket, value) => {
    if (socket.type === SOCK_STREAM || value.length < 4) return -EINVAL;
    // A lone address names an interface; the larger structs have it behind the group's.
    if (value.length < inet.IP_MREQ_SIZE) value.view.setInt32(4, value.view.getInt32(0));
    const word = value.view.getInt32(4);
    const index = namedInterface(socket, value);
    if (index < 0) return -EADDRNOTAVAIL;
    socket.ip.multicastInterface = index;
    socket.ip.multicastSource.setIpv4(word);
    socket.ipChanged();
    return 0;
  },
};

const unicastInterface: Row = {
  get: (socket, value) => {
    value.view.setInt32(0, socket.ip.unicastInterface);
    return 4;
  },
  set: (socket, value) => {
    if (value.length !== 4) return -EINVAL;
    const index = value.view.getInt32(0);
    if (index !== 0 && socket.network.stack.interfaces.byIndex(index) === null) return -EADDRNOTAVAIL;
    socket.ip.unicastInterface = index;
    socket.ipChanged();
    return 0;
  },
};

const pathMtu: Row = {
  get: (socket, value) => {
    const mtu = socket.pathMtu;
    return mtu === 0 ? -ENOTCONN : putIpInt(value, mtu);
  },
};

/** No packet is sent with options: there are none to read either. */
const noOptions: Row = { get: () => 0, set: (_socket, value) => (value.length === 0 ? 0 : -EINVAL) };

export const IP_LEVEL = new OptionTable<InternetSocket>(0, {
  [inet.IP_TOS]: typeOfService,
  [inet.IP_TTL]: timeToLive,
  [inet.IP_HDRINCL]: flag('headerIncluded', onlyRaw),
  [inet.IP_OPTIONS]: noOptions,
  [inet.IP_RECVOPTS]: tellRow(TELL_OPTIONS),
  [inet.IP_RETOPTS]: tellRow(TELL_RETURN_OPTIONS),
  [inet.IP_PKTINFO]: tellRow(TELL_PKTINFO),
  [inet.IP_MTU_DISCOVER]: ranged('mtuDiscover', inet.IP_PMTUDISC_DONT, inet.IP_PMTUDISC_OMIT, 0),
  [inet.IP_RECVERR]: flag('queuesErrors'),
  [inet.IP_RECVTTL]: tellRow(TELL_TTL),
  [inet.IP_RECVTOS]: tellRow(TELL_TOS),
  [inet.IP_MTU]: pathMtu,
  [inet.IP_FREEBIND]: flag('freeBind'),
  [inet.IP_TRANSPARENT]: flag('transparent', needsAdmin),
  [inet.IP_RECVORIGDSTADDR]: tellRow(TELL_ORIGINAL_DESTINATION),
  [inet.IP_MINTTL]: ranged('minTtl', 0, 255, 1),
  [inet.IP_CHECKSUM]: tellRow(TELL_CHECKSUM),
  [inet.IP_BIND_ADDRESS_NO_PORT]: flag('bindAddressNoPort'),
  [inet.IP_RECVFRAGSIZE]: tellRow(TELL_FRAGMENT_SIZE),
  [inet.IP_MULTICAST_IF]: multicastInterface,
  [inet.IP_MULTICAST_TTL]: multicastTtl,
  [inet.IP_MULTICAST_LOOP]: multicastLoop,
  [inet.IP_MULTICAST_ALL]: ranged('multicastAll', 0, 1, 1),
  [inet.IP_ADD_MEMBERSHIP]: membership('join'),
  [inet.IP_DROP_MEMBERSHIP]: membership('leave'),
  [inet.MCAST_JOIN_GROUP]: groupRequest('join', 2),
  [inet.MCAST_LEAVE_GROUP]: groupRequest('leave', 2),
  [inet.IP_UNICAST_IF]: unicastInterface,
});
