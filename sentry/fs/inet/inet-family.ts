/**
 * AF_INET and AF_INET6 as socket families: which types and protocols there are, and who may have them (Linux net/ipv4/af_inet.c, inet_create).
 */
import { EACCES, EINVAL, EOPNOTSUPP, EPERM, EPROTONOSUPPORT, ESOCKTNOSUPPORT } from '#sentry/abi/errno.ts';
import { IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_IP, IPPROTO_MAX, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE } from '#sentry/abi/inet.ts';
import { AF_INET, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM } from '#sentry/abi/socket.ts';
import { capable, CAP_NET_RAW } from '../../vfs/credentials.ts';
import type { Socket, SocketCaller, SocketFamily } from '../socket/socket.ts';
import type { InternetDomain } from './internet-socket.ts';
import { mayPing } from './ports.ts';
import { PingSocket, RawSocket } from './raw-socket.ts';
import { TcpSocket } from './tcp-socket.ts';
import { UdpSocket } from './udp-socket.ts';

export class InternetFamily implements SocketFamily {
  private readonly shared: InternetDomain;
  private readonly domain: number;

  /** `domain`: AF_INET or AF_INET6. */
  constructor(shared: InternetDomain, domain: number) {
    this.shared = shared;
    this.domain = domain;
  }

  private get version(): 4 | 6 {
    return this.domain === AF_INET ? 4 : 6;
  }

  create(type: number, protocol: number, flags: number, caller: SocketCaller): Socket | number {
    if (protocol < 0 || protocol >= IPPROTO_MAX) return -EINVAL;
    switch (type) {
      case SOCK_STREAM:
        if (protocol !== IPPROTO_IP && protocol !== IPPROTO_TCP) return -EPROTONOSUPPORT;
        return this.createStream(flags, caller);
      case SOCK_DGRAM:
        return this.createDatagram(protocol, flags, caller);
      case SOCK_RAW:
        return this.createRaw(protocol, flags, caller);
      default:
        return -ESOCKTNOSUPPORT;
    }
  }

  private createStream(flags: number, caller: SocketCaller): Socket {
    const { network } = this.shared;
    const connection = network.tcp.connection();
    network.settings.applyTo(connection.options);
    return new TcpSocket(this.shared, this.domain, flags, caller, connection);
  }

  private createDatagram(protocol: number, flags: number, caller: SocketCaller): Socket | number {
    const { stack, settings } = this.shared.network;
    if (protocol === (this.version === 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6)) {
      if (!mayPing(settings, caller)) return -EACCES;
      const endpoint = stack.raw.pingEndpoint(this.version);
      return typeof endpoint === 'number' ? endpoint : new PingSocket(this.shared, endpoint, this.domain, flags, caller);
    }
    const isLite = protocol === IPPROTO_UDPLITE;
    if (protocol !== IPPROTO_IP && protocol !== IPPROTO_UDP && !isLite) return -EPROTONOSUPPORT;
    const endpoint = (isLite ? stack.udpLite : stack.udp).endpoint(this.version);
    if (typeof endpoint === 'number') return endpoint;
    return new UdpSocket(this.shared, endpoint, this.domain, isLite ? IPPROTO_UDPLITE : IPPROTO_UDP, flags, caller);
  }

  private createRaw(protocol: number, flags: number, caller: SocketCaller): Socket | number {
    // Linux: the wildcard entry matches, and only then says that it needs a number.
    if (!capable(caller.credentials, CAP_NET_RAW)) return -EPERM;
    const endpoint = this.shared.network.stack.raw.endpoint(this.version, protocol);
    return typeof endpoint === 'number' ? endpoint : new RawSocket(this.shared, endpoint, this.domain, flags, caller);
  }

  createPair(type: number, protocol: number, flags: number, caller: SocketCaller): number {
    const socket = this.create(type, protocol, flags, caller);
    if (typeof socket === 'number') return socket;
    socket.release();
    return -EOPNOTSUPP;
  }
}
