/**
 * Control messages of datagrams: how one packet is to leave (sendmsg), and what is known of one that came (recvmsg). ip(7), ipv6(7), udp(7),
 * RFC 3542; Linux ip_cmsg_send, ip6_datagram_send_ctl, ip_cmsg_recv, ip6_datagram_recv_ctl, whose order is kept.
 */
import { EINVAL } from '#sentry/abi/errno.ts';
import * as inet from '#sentry/abi/inet.ts';
import { putI64 } from '#sentry/abi/layout.ts';
import {
  AF_INET,
  AF_INET6,
  SCM_TIMESTAMP,
  SCM_TIMESTAMPNS,
  SO_RXQ_OVFL,
  SO_TIMESTAMP,
  SO_TIMESTAMPNS,
  SOL_SOCKET,
} from '#sentry/abi/socket.ts';
import type { ReceivedDatagram } from '../../netstack/endpoint/datagram.ts';
import type { ControlBuffer } from '../socket/control-buffer.ts';
import type { Outgoing } from '../socket/transfer.ts';
import {
  TELL_HOP_LIMIT,
  TELL_ORIGINAL_DESTINATION,
  TELL_ORIGINAL_DESTINATION6,
  TELL_PKTINFO,
  TELL_PKTINFO6,
  TELL_TOS,
  TELL_TRAFFIC_CLASS,
  TELL_TTL,
} from './internet-options.ts';
import type { Network } from './network.ts';
import type { Socket } from '../socket/socket.ts';
import type { InternetSocket } from './internet-socket.ts';
import { putSockaddr } from './sockaddr.ts';

const NS = 1e9;

/** A message of level IPPROTO_IP for `into.packet`: 0 or -EINVAL. */
export function takeIpControl(type: number, view: DataView, at: number, length: number, into: Outgoing): number {
  const { packet } = into;
  into.hasPacket = true;
  switch (type) {
    case inet.IP_PKTINFO:
      if (length !== inet.IN_PKTINFO_SIZE) return -EINVAL;
      packet.interfaceIndex = view.getInt32(at, true);
      // The middle field says where from; the last one is for receiving only.
      if (view.getInt32(at + 4) !== 0) packet.source.setIpv4(view.getInt32(at + 4));
      return 0;
    case inet.IP_TTL: {
      const ttl = length === 4 ? view.getInt32(at, true) : -1;
      if (ttl < 1 || ttl > 255) return -EINVAL;
      packet.hopLimit = ttl;
      return 0;
    }
    case inet.IP_TOS: {
      const tos = length === 4 ? view.getInt32(at, true) : length === 1 ? view.getUint8(at) : -1;
      if (tos < 0 || tos > 255) return -EINVAL;
      packet.trafficClass = tos;
      return 0;
    }
    default:
      return -EINVAL;
  }
}

/** The same of level IPPROTO_IPV6. */
export function takeIpv6Control(type: number, view: DataView, at: number, length: number, into: Outgoing): number {
  const { packet } = into;
  into.hasPacket = true;
  switch (type) {
    case inet.IPV6_2292PKTINFO:
    case inet.IPV6_PKTINFO:
      if (length !== inet.IN6_PKTINFO_SIZE) return -EINVAL;
      packet.source.read(view, at);
      packet.interfaceIndex = view.getInt32(at + 16, true);
      return 0;
    case inet.IPV6_2292HOPLIMIT:
    case inet.IPV6_HOPLIMIT:
      return takeRanged(view, at, length, (value) => {
        packet.hopLimit = value;
      });
    case inet.IPV6_TCLASS:
      return takeRanged(view, at, length, (value) => {
        packet.trafficClass = value;
      });
    case inet.IPV6_DONTFRAG:
      if (length !== 4) return -EINVAL;
      packet.isNeverFragmented = view.getInt32(at, true) !== 0;
      return 0;
    default:
      return -EINVAL;
  }
}

/** -1 to 255. */
function takeRanged(view: DataView, at: number, length: number, keep: (value: number) => void): number {
  const value = length === 4 ? view.getInt32(at, true) : -2;
  if (value < -1 || value > 255) return -EINVAL;
  keep(value);
  return 0;
}

/** Time stamps and drops, which come first (Linux sock_recv_cmsgs). */
export function tellSocketFacts(
  socket: Socket & { readonly network: Network },
  control: ControlBuffer,
  timeNs: number,
  drops: number,
): void {
  const { switches } = socket.options;
  const wantsNs = (switches.get(SO_TIMESTAMPNS) ?? 0) !== 0;
  if (wantsNs || (switches.get(SO_TIMESTAMP) ?? 0) !== 0) {
    const realtime = socket.network.realtimeAt(timeNs);
    const at = control.add(SOL_SOCKET, wantsNs ? SCM_TIMESTAMPNS : SCM_TIMESTAMP, 16);
    if (at >= 0) {
      putI64(control.view, at, Math.floor(realtime / NS));
      putI64(control.view, at + 8, Math.floor((realtime % NS) / (wantsNs ? 1 : 1000)));
    }
  }
  if ((switches.get(SO_RXQ_OVFL) ?? 0) !== 0 && drops > 0) control.addInt(SOL_SOCKET, SO_RXQ_OVFL, drops);
}

/** What the socket asked to know of a datagram. */
export function tellPacketFacts(socket: InternetSocket, control: ControlBuffer, datagram: ReceivedDatagram): void {
  const { tells } = socket.ip;
  if (tells === 0) return;
  if ((tells & TELL_PKTINFO6) !== 0) tellPacketInfo6(control, datagram);
  if (datagram.from.address.isIpv4) tellIpv4(tells, control, datagram);
  else tellIpv6(tells, control, datagram);
}

function tellPacketInfo6(control: ControlBuffer, datagram: ReceivedDatagram): void {
  const at = control.add(inet.SOL_IPV6, inet.IPV6_PKTINFO, inet.IN6_PKTINFO_SIZE);
  if (at < 0) return;
  datagram.destination.address.write(control.view, at);
  control.view.setInt32(at + 16, datagram.interfaceIndex, true);
}

function tellIpv4(tells: number, control: ControlBuffer, datagram: ReceivedDatagram): void {
  if ((tells & TELL_PKTINFO) !== 0) {
    const at = control.add(inet.SOL_IP, inet.IP_PKTINFO, inet.IN_PKTINFO_SIZE);
    if (at >= 0) {
      const { w3 } = datagram.destination.address;
      control.view.setInt32(at, datagram.interfaceIndex, true);
      control.view.setInt32(at + 4, w3);
      control.view.setInt32(at + 8, w3);
    }
  }
  if ((tells & TELL_TTL) !== 0) control.addInt(inet.SOL_IP, inet.IP_TTL, datagram.hopLimit);
  if ((tells & TELL_TOS) !== 0) {
    const at = control.add(inet.SOL_IP, inet.IP_TOS, 1);
    if (at >= 0) control.view.setUint8(at, datagram.trafficClass);
  }
  if ((tells & TELL_ORIGINAL_DESTINATION) !== 0) {
    const at = control.add(inet.SOL_IP, inet.IP_RECVORIGDSTADDR, inet.SOCKADDR_IN_SIZE);
    if (at >= 0) putSockaddr(control.view, at, datagram.destination, AF_INET);
  }
}

function tellIpv6(tells: number, control: ControlBuffer, datagram: ReceivedDatagram): void {
  if ((tells & TELL_HOP_LIMIT) !== 0) control.addInt(inet.SOL_IPV6, inet.IPV6_HOPLIMIT, datagram.hopLimit);
  if ((tells & TELL_TRAFFIC_CLASS) !== 0) control.addInt(inet.SOL_IPV6, inet.IPV6_TCLASS, datagram.trafficClass);
  if ((tells & TELL_ORIGINAL_DESTINATION6) !== 0) {
    const at = control.add(inet.SOL_IPV6, inet.IPV6_RECVORIGDSTADDR, inet.SOCKADDR_IN6_SIZE);
    if (at >= 0) putSockaddr(control.view, at, datagram.destination, AF_INET6);
  }
}
