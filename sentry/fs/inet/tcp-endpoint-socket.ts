/**
 * What a stream socket knows of its endpoint, whichever it has at present: a connection or a listener. Its options (tcp(7) and those of SOL_SOCKET
 * that TCP acts on), its figures, its news. What the calls make of it is in tcp-socket.ts.
 */
import { EINVAL } from '#sentry/abi/errno.ts';
import { POLLERR, POLLHUP, POLLPRI, POLLRDHUP, POLLWRBAND, READABLE, WRITABLE } from '#sentry/abi/fs.ts';
import { IPPROTO_TCP, SIOCATMARK, SIOCOUTQNSD, SOL_TCP } from '#sentry/abi/inet.ts';
import {
  AF_INET,
  FIONREAD,
  SIOCOUTQ,
  SO_ATTACH_FILTER,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_OOBINLINE,
  SO_RCVBUF,
  SO_RCVLOWAT,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_SNDBUF,
  SOCK_STREAM,
  SHUT_WR,
} from '#sentry/abi/socket.ts';
import type { TcpConnection } from '../../netstack/tcp/connection.ts';
import type { TcpListener } from '../../netstack/tcp/listener.ts';
import { CLOSED, FIN_UNDER_WAY, isIn, LISTEN, MAY_SEND, OPENING } from '../../netstack/tcp/states.ts';
import type { Caller } from '../../vfs/inode.ts';
import { guestOf } from '../anonymous/guest-caller.ts';
import type { OptionValue } from '../socket/option-table.ts';
import type { SocketCaller } from '../socket/socket.ts';
import { InternetSocket } from './internet-socket.ts';
import type { InternetDomain } from './internet-socket.ts';
import { TCP_LEVEL } from './tcp-level.ts';

export const ALL_EVENTS = READABLE | WRITABLE | POLLWRBAND | POLLHUP | POLLRDHUP | POLLERR;

export abstract class TcpEndpointSocket extends InternetSocket {
  connection: TcpConnection;
  listener: TcpListener | null = null;
  /** TCP_INQ. */
  tellsUnread = 0;

  constructor(shared: InternetDomain, domain: number, flags: number, caller: Caller, connection: TcpConnection) {
    super(shared, domain, SOCK_STREAM, IPPROTO_TCP, flags, caller);
    this.connection = connection;
    connection.observer = this;
    connection.uid = caller.credentials.fsuid;
    if (domain === AF_INET && connection.state === CLOSED) connection.local.setIpv4(0);
    this.refreshOptions();
  }

  /** The protocol says "anything" (-1) where it does not know what has changed; urgent data it always names. */
  override onChange(events: number): void {
    super.onChange(events < 0 ? ALL_EVENTS : events & (ALL_EVENTS | POLLPRI));
  }

  override get keepsBoundaries(): boolean {
    return false;
  }

  override get isListening(): boolean {
    return this.listener !== null;
  }

  override get isPortBound(): boolean {
    return this.listener !== null || this.connection.localPort !== 0;
  }

  /** As TCP_INFO and /proc/net/tcp number it. */
  get state(): number {
    return this.listener === null ? this.connection.state : LISTEN;
  }

  override takeError(): number {
    if (this.listener !== null) return 0;
    return this.connection.takeError();
  }

  // Options.
  get tcpOptions(): TcpConnection['options'] {
    return (this.listener ?? this.connection).options;
  }

  override ipChanged(): void {
    const { ip, isIpv6, tcpOptions } = this;
    const ttl = isIpv6 && ip.hopLimit6 >= 0 ? ip.hopLimit6 : ip.timeToLive;
    tcpOptions.hopLimit = ttl < 0 ? 64 : ttl;
    tcpOptions.trafficClass = isIpv6 && ip.trafficClass6 > 0 ? ip.trafficClass6 : ip.typeOfService;
    this.connection.v6Only = ip.v6Only;
  }

  override optionChanged(option: number): void {
    const { connection, tcpOptions, options } = this;
    this.network.enter();
    switch (option) {
      case SO_KEEPALIVE:
        tcpOptions.keepAlive = this.isOn(option) ? 1 : 0;
        if (this.listener === null) connection.keepAliveChanged();
        return;
      case SO_OOBINLINE:
        tcpOptions.oobInline = this.isOn(option) ? 1 : 0;
        return;
      case SO_RCVLOWAT:
        tcpOptions.receiveLowWater = options.receiveLowWater;
        return;
      case SO_LINGER:
        tcpOptions.lingerSeconds = options.lingerOn === 0 ? -1 : options.lingerSeconds;
        return;
      case SO_SNDBUF:
        if (this.listener === null) connection.setSendBuffer(options.sendBuffer);
        tcpOptions.sendBuffer = options.sendBuffer;
        tcpOptions.sendBufferLocked = 1;
        return;
      case SO_RCVBUF:
        if (this.listener === null) connection.setReceiveBuffer(options.receiveBuffer);
        tcpOptions.receiveBuffer = options.receiveBuffer;
        tcpOptions.receiveBufferLocked = 1;
        return;
      case SO_ATTACH_FILTER:
        tcpOptions.filter = options.filter;
        return;
      default:
        this.prepareConnection();
    }
  }

  /** The buffers grow by themselves. */
  override refreshOptions(): void {
    this.options.sendBuffer = this.tcpOptions.sendBuffer;
    this.options.receiveBuffer = this.tcpOptions.receiveBuffer;
  }

  protected override setProtocolOption(level: number, option: number, value: OptionValue, caller: SocketCaller): number {
    if (level !== SOL_TCP) return super.setProtocolOption(level, option, value, caller);
    this.network.enter();
    return TCP_LEVEL.set(this, option, value, caller);
  }

  protected override getProtocolOption(level: number, option: number, value: OptionValue, caller: SocketCaller): number {
    return level === SOL_TCP ? TCP_LEVEL.get(this, option, value, caller) : super.getProtocolOption(level, option, value, caller);
  }

  override get pathMtu(): number {
    const { state, path } = this.connection;
    return state === CLOSED || isIn(state, OPENING) ? 0 : path.mtu;
  }

  override get receiveQueued(): number {
    return this.listener === null ? this.connection.unreadBytes : this.listener.acceptable;
  }

  override get sendQueued(): number {
    return this.listener === null ? this.connection.unackedBytes : this.listener.backlog;
  }

  override ioctl(request: number, argument: number, caller: Caller): number {
    const { memory } = guestOf(caller);
    const { connection, listener } = this;
    switch (request) {
      case FIONREAD:
        return listener !== null ? -EINVAL : memory.storeU32(argument, connection.unreadBytes);
      case SIOCOUTQ:
        return listener !== null ? -EINVAL : memory.storeU32(argument, connection.unackedBytes);
      case SIOCOUTQNSD:
        return listener !== null ? -EINVAL : memory.storeU32(argument, connection.unsentBytes);
      case SIOCATMARK:
        return memory.storeU32(argument, connection.isAtMark ? 1 : 0);
      default:
        return super.ioctl(request, argument, caller);
    }
  }

  /** Unread data makes close(2) a reset, which waits for nothing (Linux: tcp_close). */
  override get lingerNs(): number {
    const { connection, options } = this;
    if (options.lingerOn === 0 || options.lingerSeconds <= 0 || this.listener !== null || connection.unreadBytes > 0) return 0;
    return isIn(connection.state, MAY_SEND | FIN_UNDER_WAY) ? options.lingerSeconds * 1e9 : 0;
  }

  override lingers(): boolean {
    const { connection } = this;
    this.network.enter();
    if (isIn(connection.state, MAY_SEND)) connection.shutdown(SHUT_WR);
    return isIn(connection.state, FIN_UNDER_WAY);
  }

  /** What binding and connecting look at. */
  protected prepareConnection(): void {
    const { connection } = this;
    connection.boundInterface = this.options.boundInterface;
    connection.reuseAddress = this.isOn(SO_REUSEADDR) ? 1 : 0;
    connection.reusePort = this.isOn(SO_REUSEPORT) ? 1 : 0;
    connection.v6Only = this.ip.v6Only;
  }
}
