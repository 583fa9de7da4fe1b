/**
 * AF_NETLINK as a socket family: which protocols there are.
 */
import { EOPNOTSUPP, EPROTONOSUPPORT, ESOCKTNOSUPPORT } from '#sentry/abi/errno.ts';
import { NETLINK_ROUTE, NETLINK_SOCK_DIAG } from '#sentry/abi/netlink.ts';
import { SOCK_DGRAM, SOCK_RAW } from '#sentry/abi/socket.ts';
import type { InternetDomain } from '../inet/internet-socket.ts';
import type { SocketCaller, SocketFamily } from '../socket/socket.ts';
import { NETLINK_REQUEST_MAX } from './limits.ts';
import { NetlinkSocket } from './netlink-socket.ts';
import type { NetlinkDomain } from './netlink-socket.ts';
import type { NetlinkProtocol } from './protocol.ts';
import { Notifications } from './notifications.ts';
import { RouteProtocol } from './route-protocol.ts';
import { DiagProtocol } from './diag-protocol.ts';

export class NetlinkFamily implements SocketFamily {
  private readonly internet: InternetDomain;
  private shared: NetlinkDomain | null = null;
  private readonly news: Notifications;
  private readonly protocols: ReadonlyMap<number, NetlinkProtocol>;

  constructor(internet: InternetDomain) {
    this.internet = internet;
    this.news = new Notifications(internet.network);
    this.protocols = new Map<number, NetlinkProtocol>([
      [NETLINK_ROUTE, new RouteProtocol(internet.network)],
      [NETLINK_SOCK_DIAG, new DiagProtocol(internet.network, internet.files)],
    ]);
  }

  create(type: number, protocol: number, flags: number, caller: SocketCaller): NetlinkSocket | number {
    if (type !== SOCK_RAW && type !== SOCK_DGRAM) return -ESOCKTNOSUPPORT;
    const service = this.protocols.get(protocol);
    if (service === undefined) return -EPROTONOSUPPORT;
    this.shared ??= {
      ...this.internet,
      news: this.news,
      ports: new Map(),
      staging: this.internet.files.host.allocate(NETLINK_REQUEST_MAX),
    };
    return new NetlinkSocket(this.shared, service, type, protocol, flags, caller);
  }

  createPair(): number {
    return -EOPNOTSUPP;
  }
}
