/**
 * AF_INET and AF_INET6 where guests' sockets are the host's (`--net=host`): TCP and UDP. Raw and ping sockets, and packet sockets, are refused as an ordinary
 * user is refused them (Linux net/ipv4/af_inet.c, inet_create; icmp(7) with its group range empty; packet(7)): whatever capabilities a guest has are
 * none outside.
 */
import { EACCES, EINVAL, EOPNOTSUPP, EPERM, EPROTONOSUPPORT, ESOCKTNOSUPPORT } from '#sentry/abi/errno.ts';
import { IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_IP, IPPROTO_MAX, IPPROTO_TCP, IPPROTO_UDP } from '#sentry/abi/inet.ts';
import { AF_INET, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM } from '#sentry/abi/socket.ts';
import * as messages from '#gofer/protocol/host-socket-messages.ts';
import type { Socket, SocketCaller, SocketFamily } from '../socket/socket.ts';
import { HostDatagramSocket } from './datagram-socket.ts';
import type { HostSocketDomain } from './host-socket.ts';
import { HostStreamSocket } from './stream-socket.ts';

export class HostInternetFamily implements SocketFamily {
  private readonly shared: HostSocketDomain;
  private readonly domain: number;

  /** `domain`: AF_INET or AF_INET6. */
  constructor(shared: HostSocketDomain, domain: number) {
    this.shared = shared;
    this.domain = domain;
  }

  create(type: number, protocol: number, flags: number, caller: SocketCaller): Socket | number {
    if (protocol < 0 || protocol >= IPPROTO_MAX) return -EINVAL;
    if (type === SOCK_RAW) return -EPERM;
    if (type !== SOCK_STREAM && type !== SOCK_DGRAM) return -ESOCKTNOSUPPORT;
    const ping = this.domain === AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6;
    if (type === SOCK_DGRAM && protocol === ping) return -EACCES;
    const own = type === SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
    if (protocol !== IPPROTO_IP && protocol !== own) return -EPROTONOSUPPORT;
    return this.open(type, flags, caller);
  }

  private open(type: number, flags: number, caller: SocketCaller): Socket | number {
    const { helper } = this.shared;
    const result = helper.ask(messages.SOCKET, 0, this.domain, type, '');
    if (result < 0) return result;
    const fd = helper.takeDescriptor();
    if (fd < 0) return fd;
    const ends = { fd, handle: helper.value };
    if (type === SOCK_STREAM) return new HostStreamSocket(this.shared, ends, this.domain, flags, caller);
    return new HostDatagramSocket(this.shared, ends, this.domain, flags, caller);
  }

  createPair(type: number, protocol: number, flags: number, caller: SocketCaller): number {
    const socket = this.create(type, protocol, flags, caller);
    if (typeof socket === 'number') return socket;
    socket.release();
    return -EOPNOTSUPP;
  }
}

/** A family that nobody may have. */
export const refusedFamily: SocketFamily = { create: () => -EPERM, createPair: () => -EPERM };
