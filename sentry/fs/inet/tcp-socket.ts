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
import { O_NONBLOCK, POLLERR, POLLHUP, WRITABLE } from '#sentry/abi/fs.ts';
import { SOL_TCP, TCP_INQ } from '#sentry/abi/inet.ts';
import { AF_UNSPEC, MSG_FASTOPEN, SHUT_WR, SOL_SOCKET } from '#sentry/abi/socket.ts';
import { checkBindAddress } from '../../netstack/endpoint/addressing.ts';
import { EndpointOptions } from '../../netstack/endpoint/options.ts';
import { SocketAddress } from '../../netstack/socket-address.ts';
import type { TcpConnection } from '../../netstack/tcp/connection.ts';
import { CLOSED, isIn, OPENING } from '../../netstack/tcp/states.ts';
import type { Io } from '../../mm/io.ts';
import type { SocketCaller } from '../socket/socket.ts';
import type { Incoming, Outgoing } from '../socket/transfer.ts';
import { given, InternetSocket } from './internet-socket.ts';
import { mayBindPort } from './ports.ts';
import { familyOf, writeSockaddr } from './sockaddr.ts';
import { ALL_EVENTS, TcpEndpointSocket } from './tcp-endpoint-socket.ts';

const UNCONNECTED = 0;
const CONNECTING = 1;
const CONNECTED = 2;

// One of each serves all calls.
const name = new SocketAddress();
const bindOptions = new EndpointOptions();

export class TcpSocket extends TcpEndpointSocket {
  private progress = UNCONNECTED;
  /** What bind(2) gave: the port stays when a connection ends. */
  private boundPort = 0;

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
    if (!mayBindPort(this.network.settings, given.port, caller)) return -EACCES;
    const { connection } = this;
    connection.scope = given.scope;
    const bound = connection.bind(given.address, given.port);
    if (bound === 0) this.boundPort = connection.localPort;
    return bound;
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
    const limit = Math.min(backlog >>> 0, this.network.settings.backlogMax);
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
    const { filter } = this.connection.options;
    if (filter !== null) this.setFilter(filter);
    Object.assign(this.ip, from.ip);
    this.progress = CONNECTED;
    this.ipChanged();
  }

  /** Linux __inet_stream_connect. */
  override connect(address: string, caller: SocketCaller): number {
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
    this.connection.owner = caller;
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

  protected override destroy(): void {
    super.destroy();
    this.network.enter();
    this.listener?.close();
    this.connection.observer = null;
    this.connection.close();
  }
}
