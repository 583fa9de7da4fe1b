/**
 * SOCK_STREAM of AF_INET and AF_INET6: tcp(7). The protocol is the stack's (`TcpConnection`, `TcpListener`); here are the calls' own rules: in
 * which state of the socket which call is right, and what it answers (Linux net/ipv4/af_inet.c).
 *
 *     unconnected ─ connect ─► connecting ─► connected          unconnected ─ listen ─► listening
 *
 * A connection that failed or was dissolved is replaced by a fresh one; port and options that the guest gave stay.
 */
import {
  EACCES,
  EADDRINUSE,
  EAFNOSUPPORT,
  EAGAIN,
  EALREADY,
  ECONNABORTED,
  ECONNRESET,
  EINPROGRESS,
  EINVAL,
  EISCONN,
  ENOTCONN,
  EOPNOTSUPP,
} from '#sentry/abi/errno.ts';
import { O_NONBLOCK, POLLERR, POLLHUP, POLLPRI, POLLRDHUP, POLLWRBAND, READABLE, WRITABLE } from '#sentry/abi/fs.ts';
import { IPPROTO_TCP, SIOCATMARK, SIOCOUTQNSD, SOL_TCP, TCP_INQ } from '#sentry/abi/inet.ts';
import {
  AF_INET,
  AF_UNSPEC,
  FIONREAD,
  MSG_FASTOPEN,
  SHUT_WR,
  SIOCOUTQ,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_OOBINLINE,
  SO_RCVBUF,
  SO_RCVLOWAT,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_SNDBUF,
  SOCK_STREAM,
  SOL_SOCKET,
  SOMAXCONN,
} from '#sentry/abi/socket.ts';
import { checkBindAddress } from '../../netstack/endpoint/addressing.ts';
import { EndpointOptions } from '../../netstack/endpoint/options.ts';
import { SocketAddress } from '../../netstack/socket-address.ts';
import type { TcpConnection } from '../../netstack/tcp/connection.ts';
import type { TcpListener } from '../../netstack/tcp/listener.ts';
import { CLOSED, isIn, LISTEN, OPENING } from '../../netstack/tcp/states.ts';
import type { Io } from '../../mm/io.ts';
import type { Caller } from '../../vfs/inode.ts';
import { guestOf } from '../anonymous/guest-caller.ts';
import type { OptionValue } from '../socket/option-table.ts';
import type { SocketCaller } from '../socket/socket.ts';
import type { Incoming, Outgoing } from '../socket/transfer.ts';
import { given, InternetSocket } from './internet-socket.ts';
import type { InternetDomain } from './internet-socket.ts';
import { mayBindPort } from './ports.ts';
import { familyOf, readSockaddr, writeSockaddr } from './sockaddr.ts';
import { TCP_LEVEL } from './tcp-level.ts';

const ALL_EVENTS = READABLE | WRITABLE | POLLWRBAND | POLLHUP | POLLRDHUP | POLLERR;
const UNCONNECTED = 0;
const CONNECTING = 1;
const CONNECTED = 2;

// One of each serves all calls.
const name = new SocketAddress();
const bindOptions = new EndpointOptions();

export class TcpSocket extends InternetSocket {
  connection: TcpConnection;
  listener: TcpListener | null = null;
  private progress = UNCONNECTED;
  /** What bind(2) gave: the port stays when a connection ends. */
  private boundPort = 0;
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

  // Names.
  override bind(address: string, caller: SocketCaller): number {
    const read = this.readBindAddress(address);
    if (read < 0) return read;
    if (this.isPortBound) return -EINVAL;
    this.network.enter();
    bindOptions.boundInterface = this.options.boundInterface;
    bindOptions.isFreeBind = (this.ip.freeBind | this.ip.transparent) !== 0;
    if (given.address.isIpv4 && this.isIpv6 && this.ip.v6Only !== 0) return -EINVAL;
    const checked = checkBindAddress(this.network.stack.interfaces, bindOptions, given);
    if (checked < 0) return checked;
    if (!mayBindPort(given.port, caller)) return -EACCES;
    const { connection } = this;
    connection.scope = given.scope;
    const bound = connection.bind(given.address, given.port);
    if (bound === 0) this.boundPort = connection.localPort;
    return bound;
  }

  private readBindAddress(address: string): number {
    const read = this.readOwn(address);
    if (read !== -EAFNOSUPPORT || this.isIpv6 || familyOf(address) !== AF_UNSPEC) return read;
    readSockaddr(String.fromCharCode(AF_INET, 0) + address.slice(2), AF_INET, given);
    return given.address.isUnspecified ? 0 : -EAFNOSUPPORT;
  }

  override localAddress(): string {
    const { local, localPort } = this.listener ?? this.connection;
    return writeSockaddr(name.set(local, localPort, this.connection.scope), this.domain);
  }

  override peerAddress(): string | number {
    const { connection } = this;
    const isThere = this.listener === null && !isIn(connection.state, 1 << CLOSED) && !this.isOpening;
    return isThere ? writeSockaddr(name.set(connection.remote, connection.remotePort, connection.scope), this.domain) : -ENOTCONN;
  }

  private get isOpening(): boolean {
    return this.progress === CONNECTING && isIn(this.connection.state, OPENING);
  }

  // Connections.
  override listen(backlog: number): number {
    // A negative backlog is as good as the largest.
    const limit = Math.min(backlog >>> 0, SOMAXCONN);
    if (this.listener !== null) {
      this.listener.setBacklog(limit);
      return 0;
    }
    if (this.progress !== UNCONNECTED || this.connection.state !== CLOSED) return -EINVAL;
    this.network.enter();
    this.prepareConnection();
    const listener = this.connection.listen(limit);
    if (typeof listener === 'number') return listener;
    this.listener = listener;
    listener.observer = this;
    return 0;
  }

  override accept(flags: number, caller: SocketCaller): TcpSocket | number {
    const { listener } = this;
    if (listener === null) return -EINVAL;
    const connection = listener.accept() as TcpConnection | null;
    if (connection === null) {
      this.waitQueue = this.queue;
      return -EAGAIN;
    }
    this.network.enter();
    const child = new TcpSocket(this.shared, this.domain, flags & O_NONBLOCK, caller, connection);
    child.inherit(this);
    return child;
  }

  /** An accepted connection has its listener's options. */
  private inherit(from: TcpSocket): void {
    this.options.inherit(from.options);
    Object.assign(this.ip, from.ip);
    this.progress = CONNECTED;
    this.ipChanged();
  }

  /** Linux __inet_stream_connect. */
  override connect(address: string): number {
    if (this.listener !== null) return familyOf(address) === AF_UNSPEC ? this.stopListening() : -EISCONN;
    this.network.enter();
    if (familyOf(address) === AF_UNSPEC) {
      this.disconnect();
      return 0;
    }
    if (this.progress === CONNECTED) return -EISCONN;
    if (this.progress === CONNECTING) return this.outcome(-EALREADY);
    const read = this.readPeer(address);
    if (read < 0) return read;
    if (this.connection.state !== CLOSED) return -EISCONN;
    this.prepareConnection();
    const begun = this.connection.connect(given);
    if (begun !== -EINPROGRESS) {
      if (!this.isIpv6 && this.boundPort === 0) this.connection.local.setIpv4(0);
      return begun;
    }
    this.progress = CONNECTING;
    // Both ends may be here: then the handshake is over as soon as the stack has worked. Who does not wait is told of it later, as on Linux.
    if ((this.flags & O_NONBLOCK) === 0) this.network.run();
    return this.outcome(-EINPROGRESS);
  }

  private readPeer(address: string): number {
    const read = this.readOwn(address);
    if (read < 0) return read;
    if (this.ip.v6Only !== 0 && given.address.isIpv4) return -EAFNOSUPPORT;
    return 0;
  }

  /** How the connection attempt stands: `pending` while it goes on, else 0 or why it failed. */
  private outcome(pending: number): number {
    const { connection } = this;
    if (isIn(connection.state, OPENING)) {
      this.waitQueue = this.queue;
      return pending;
    }
    if (connection.state !== CLOSED) {
      this.progress = CONNECTED;
      return 0;
    }
    const error = connection.takeError();
    this.renew();
    return error === 0 ? -ECONNABORTED : -error;
  }

  private disconnect(): void {
    const wasOpen = this.connection.state !== CLOSED;
    this.connection.abort();
    this.renew();
    if (wasOpen) this.connection.error = ECONNRESET;
  }

  /** A fresh connection in place of one that has ended, with the port and the options that the guest gave. */
  private renew(): void {
    const old = this.connection;
    const fresh = this.network.tcp.connection();
    old.observer = null;
    old.close();
    fresh.options.copy(old.options);
    fresh.uid = old.uid;
    fresh.observer = this;
    if (!this.isIpv6) fresh.local.setIpv4(0);
    this.connection = fresh;
    this.progress = UNCONNECTED;
    this.prepareConnection();
    if (this.boundPort !== 0 && fresh.bind(old.wasAddressChosen ? fresh.local : old.local, this.boundPort) === -EADDRINUSE)
      this.boundPort = 0;
  }

  /** shutdown(2) or connect(2) to AF_UNSPEC on a listening socket. */
  private stopListening(): number {
    const listener = this.listener!;
    this.listener = null;
    this.network.enter();
    const { local } = listener;
    listener.observer = null;
    listener.close();
    this.renew();
    if (this.boundPort !== 0) this.connection.bind(local, this.boundPort);
    this.queue.notify(ALL_EVENTS);
    return 0;
  }

  /** What binding and connecting look at. */
  private prepareConnection(): void {
    const { connection } = this;
    connection.boundInterface = this.options.boundInterface;
    connection.reuseAddress = this.isOn(SO_REUSEADDR) ? 1 : 0;
    connection.reusePort = this.isOn(SO_REUSEPORT) ? 1 : 0;
    connection.v6Only = this.ip.v6Only;
  }

  override shutdown(how: number): number {
    if (how < 0 || how > 2) return -EINVAL;
    if (this.listener !== null) return how === SHUT_WR ? 0 : this.stopListening();
    if (this.progress === UNCONNECTED) return -ENOTCONN;
    this.network.enter();
    const result = this.connection.shutdown(how);
    if (this.isOpening || (this.progress === CONNECTING && this.connection.state === CLOSED)) this.progress = UNCONNECTED;
    return result;
  }

  // Data.
  override send(io: Io, outgoing: Outgoing, flags: number): number {
    if ((flags & MSG_FASTOPEN) !== 0) return -EOPNOTSUPP;
    void outgoing.address; // Linux: a connection knows where its bytes go
    this.network.enter();
    const n = this.connection.send(io, flags);
    if (n === -EAGAIN) this.waitQueue = this.queue;
    return n;
  }

  override receive(io: Io, into: Incoming, flags: number): number {
    if (this.listener !== null) return -ENOTCONN;
    this.network.enter();
    const n = this.connection.receive(io, flags);
    if (n === -EAGAIN) this.waitQueue = this.queue;
    else if (n >= 0 && this.tellsUnread !== 0 && into.wantsControl) into.control.addInt(SOL_TCP, TCP_INQ, this.connection.unreadBytes);
    return n;
  }

  override takeControl(level: number, type: number): number {
    return level === SOL_SOCKET && !InternetSocket.isIgnoredControl(level, type) ? -EINVAL : 0;
  }

  // Readiness.
  override poll(): number {
    if (this.listener !== null) return this.listener.events;
    return this.connection.events;
  }

  override get takesWrites(): boolean {
    return (this.connection.events & (WRITABLE | POLLERR | POLLHUP)) !== 0;
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
    return this.connection.state === CLOSED || this.isOpening ? 0 : this.connection.path.mtu;
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

  protected override destroy(): void {
    this.network.enter();
    this.listener?.close();
    this.connection.observer = null;
    this.connection.close();
  }
}
