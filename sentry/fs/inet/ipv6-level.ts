/**
 * The options of level IPPROTO_IPV6: ipv6(7), RFC 3493, RFC 3542. Linux net/ipv6/ipv6_sockglue.c.
 */
import { EADDRNOTAVAIL, EINVAL, ENODEV, ENOPROTOOPT, ENOTCONN, EPERM } from '#sentry/abi/errno.ts';
import * as inet from '#sentry/abi/inet.ts';
import { AF_INET6, SOCK_RAW, SOCK_STREAM } from '#sentry/abi/socket.ts';
import { IpAddress } from '../../netstack/address.ts';
import { capable, CAP_NET_ADMIN, CAP_NET_RAW } from '../../vfs/credentials.ts';
import { intRow, OptionTable } from '../socket/option-table.ts';
import type { OptionRow } from '../socket/option-table.ts';
import type { SocketCaller } from '../socket/socket.ts';
import {
  TELL_FRAGMENT_SIZE6,
  TELL_HOP_LIMIT,
  TELL_ORIGINAL_DESTINATION6,
  TELL_PATH_MTU,
  TELL_PKTINFO6,
  TELL_TRAFFIC_CLASS,
} from './internet-options.ts';
import type { InternetOptions } from './internet-options.ts';
import type { InternetSocket } from './internet-socket.ts';
import { groupRequest } from './ip-level.ts';

type Row = OptionRow<InternetSocket>;
type NumberField = { [K in keyof InternetOptions]: InternetOptions[K] extends number ? K : never }[keyof InternetOptions];

const HOP_LIMIT_DEFAULT = 64;

function flag(field: NumberField, refusal: (socket: InternetSocket, caller: SocketCaller) => number = () => 0): Row {
  return intRow(
    (socket) => socket.ip[field],
    (socket, value, caller) => {
      const refused = refusal(socket, caller);
      if (refused < 0) return refused;
      socket.ip[field] = value === 0 ? 0 : 1;
      socket.ipChanged();
      return 0;
    },
  );
}

function tell(bit: number): Row {
  return intRow(
    (socket) => ((socket.ip.tells & bit) === 0 ? 0 : 1),
    (socket, value) => {
      if (value === 0) socket.ip.tells &= ~bit;
      else socket.ip.tells |= bit;
      return 0;
    },
  );
}

/** A number from `least` to `most`; -1 is the default, shown as `fallback`. */
function ranged(field: NumberField, least: number, most: number, fallback: number): Row {
  return intRow(
    (socket) => (socket.ip[field] < 0 ? fallback : socket.ip[field]),
    (socket, value) => {
      if (value < least || value > most) return -EINVAL;
      socket.ip[field] = value;
      socket.ipChanged();
      return 0;
    },
  );
}

/** Datagrams only; Linux says that a stream does not have the option. */
function notStream(row: Row): Row {
  return { ...row, set: (socket, value, caller) => (socket.type === SOCK_STREAM ? -ENOPROTOOPT : row.set!(socket, value, caller)) };
}

function needsAdmin(_socket: InternetSocket, { credentials }: SocketCaller): number {
  return capable(credentials, CAP_NET_RAW) || capable(credentials, CAP_NET_ADMIN) ? 0 : -EPERM;
}

const group = new IpAddress();

function membership(how: 'join' | 'leave'): Row {
  return {
    set: (socket, value) => {
      if (value.length < inet.IPV6_MREQ_SIZE) return -EINVAL;
      if (socket.type === SOCK_STREAM) return -EINVAL;
      group.read(value.view, 0);
      const index = value.view.getInt32(16, true);
      return how === 'join' ? socket.join(group, index) : socket.leave(group, index);
    },
  };
}

function interfaceRow(field: 'multicastInterface6' | 'unicastInterface6', missing: number): Row {
  return intRow(
    (socket) => socket.ip[field],
    (socket, value) => {
      const index = field === 'unicastInterface6' ? swap(value) : value;
      if (index < 0 || (index !== 0 && socket.network.stack.interfaces.byIndex(index) === null)) return missing;
      socket.ip[field] = index;
      socket.ipChanged();
      return 0;
    },
  );
}

/** IPV6_UNICAST_IF has its index in network order. */
function swap(value: number): number {
  return ((value & 255) << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24);
}

const pathMtu: Row = {
  get: (socket, value) => {
    const mtu = socket.pathMtu;
    return mtu === 0 ? -ENOTCONN : value.putInt(mtu);
  },
};

/** Bound sockets are what they are. */
function v6OnlyRefusal(socket: InternetSocket): number {
  return socket.isPortBound ? -EINVAL : 0;
}

function onlyRaw(socket: InternetSocket): number {
  return socket.type === SOCK_RAW ? 0 : -ENOPROTOOPT;
}

export const IPV6_LEVEL = new OptionTable<InternetSocket>(0, {
  [inet.IPV6_V6ONLY]: flag('v6Only', v6OnlyRefusal),
  [inet.IPV6_UNICAST_HOPS]: ranged('hopLimit6', -1, 255, HOP_LIMIT_DEFAULT),
  [inet.IPV6_MULTICAST_HOPS]: notStream(ranged('multicastHops6', -1, 255, 1)),
  [inet.IPV6_MULTICAST_LOOP]: ranged('multicastLoop6', 0, 1, 1),
  [inet.IPV6_MULTICAST_IF]: notStream(interfaceRow('multicastInterface6', -ENODEV)),
  [inet.IPV6_MULTICAST_ALL]: flag('multicastAll6'),
  [inet.IPV6_JOIN_GROUP]: membership('join'),
  [inet.IPV6_LEAVE_GROUP]: membership('leave'),
  [inet.MCAST_JOIN_GROUP]: groupRequest('join', AF_INET6),
  [inet.MCAST_LEAVE_GROUP]: groupRequest('leave', AF_INET6),
  [inet.IPV6_MTU_DISCOVER]: ranged('mtuDiscover6', inet.IP_PMTUDISC_DONT, inet.IP_PMTUDISC_OMIT, 0),
  [inet.IPV6_MTU]: pathMtu,
  [inet.IPV6_RECVERR]: flag('queuesErrors6'),
  [inet.IPV6_RECVPKTINFO]: tell(TELL_PKTINFO6),
  [inet.IPV6_RECVHOPLIMIT]: tell(TELL_HOP_LIMIT),
  [inet.IPV6_RECVTCLASS]: tell(TELL_TRAFFIC_CLASS),
  [inet.IPV6_RECVPATHMTU]: tell(TELL_PATH_MTU),
  [inet.IPV6_RECVORIGDSTADDR]: tell(TELL_ORIGINAL_DESTINATION6),
  [inet.IPV6_RECVFRAGSIZE]: tell(TELL_FRAGMENT_SIZE6),
  [inet.IPV6_TCLASS]: ranged('trafficClass6', -1, 255, 0),
  [inet.IPV6_DONTFRAG]: flag('dontFragment6'),
  [inet.IPV6_AUTOFLOWLABEL]: flag('autoFlowLabel'),
  [inet.IPV6_UNICAST_IF]: interfaceRow('unicastInterface6', -EADDRNOTAVAIL),
  [inet.IPV6_MINHOPCOUNT]: ranged('minHops6', 0, 255, 0),
  [inet.IPV6_FREEBIND]: flag('freeBind'),
  [inet.IPV6_TRANSPARENT]: flag('transparent', needsAdmin),
  [inet.IPV6_HDRINCL]: flag('headerIncluded', onlyRaw),
});
