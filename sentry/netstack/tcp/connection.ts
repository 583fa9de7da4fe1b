/**
 * A TCP socket's endpoint, as the socket layer sees it: plain calls that never wait and return numbers or -errno.
 *
 *     const connection = tcp.connection();  connection.observer = socket;
 *     connection.bind(address, port);       connection.connect(to);            // -EINPROGRESS; then events
 *     connection.send(io, flags);           connection.receive(io, flags);     // -EAGAIN: wait for observer.onChange
 *     connection.shutdown(how);             connection.close();
 *
 * After connect, send, receive, shutdown and close the caller lets the stack work (`Stack.poll`): what they caused waits in its backlog. The
 * caller has set the time (`tcp.setTime`) before. Options live in `options`; those whose change has an effect at once have a method here.
 */
import { EADDRINUSE, EINVAL, ENOENT, ENOTCONN } from '#sentry/abi/errno.ts';
import { SHUT_RD, SHUT_RDWR, SHUT_WR } from '#sentry/abi/socket.ts';
import type { Io } from '../../mm/io.ts';
import type { IpAddress } from '../address.ts';
import type { SocketAddress } from '../socket-address.ts';
import { acknowledgeReceived } from './ack-policy.ts';
import { abort, closeSending, finish, orphan } from './closing.ts';
import { createCongestionControl } from './congestion/registry.ts';
import { bind, connect } from './connect.ts';
import { ControlBlock } from './control-block.ts';
import type { TcpContext } from './context.ts';
import { tcpInfo } from './info.ts';
import type { TcpInfo } from './info.ts';
import { RECEIVE_BUFFER_MIN, SEND_BUFFER_MIN } from './limits.ts';
import { TcpListener } from './listener.ts';
import { PUSH_ALL, sendQueued } from './output.ts';
import { UNBOUND } from './ports.ts';
import { isAtUrgentMark, read, readableBytes } from './read.ts';
import { eventsOf, notify } from './readiness.ts';
import { CLOSED, SHUT_RECEIVE, SHUT_SEND, SYN_SENT } from './states.ts';
import { onTimer, restartKeepAlive } from './timeouts.ts';
import { write } from './write.ts';

export class TcpConnection extends ControlBlock {
  constructor(context: TcpContext) {
    super(context, createCongestionControl('cubic')!, onTimer);
  }

  /** POLL* bits that hold now. */
  get events(): number {
    return eventsOf(this);
  }

  /** Takes a local address, which is one of ours or unspecified, and port (0: any). 0, or -EADDRINUSE, -EADDRNOTAVAIL; -EINVAL: bound already. */
  bind(address: IpAddress, port: number): number {
    return this.portKind === UNBOUND ? bind(this, address, port) : -EINVAL;
  }

  /** Begins to connect. -EINPROGRESS, -EALREADY, -EISCONN, or why it cannot be. */
  connect(to: SocketAddress): number {
    return connect(this, to);
  }

  /**
   * Turns the socket into a listening one, which takes over port and options; this object is done with. `backlog` as listen(2) has it.
   * The listener, or -EADDRINUSE, -EINVAL (connected).
   */
  listen(backlog: number): TcpListener | number {
    const { context } = this;
    if (this.state !== CLOSED) return -EINVAL;
    if (this.portKind === UNBOUND) {
      const error = context.ports.bind(this, 0);
      if (error < 0) return error;
    }
    if (context.ports.conflicts(this, this.localPort)) return -EADDRINUSE;
    const listener = new TcpListener(context, this.options);
    listener.takeOver(this);
    listener.setBacklog(backlog);
    context.ports.share(listener, this);
    context.ports.release(this);
    const error = context.listeners.add(listener);
    if (error < 0) listener.close();
    return error < 0 ? error : listener;
  }

  /** Sends as much of `io` as fits. See write.ts. */
  send(io: Io, flags: number): number {
    return write(this, io, flags);
  }

  /** Receives. See read.ts. */
  receive(io: Io, flags: number): number {
    return read(this, io, flags);
  }

  /** SHUT_RD, SHUT_WR or SHUT_RDWR. 0, -ENOTCONN or -EINVAL. */
  shutdown(how: number): number {
    if (how !== SHUT_RD && how !== SHUT_WR && how !== SHUT_RDWR) return -EINVAL;
    if (this.state === CLOSED) return -ENOTCONN;
    if (this.state === SYN_SENT) {
      // Linux: a connection that is not there yet is given up.
      finish(this);
      return 0;
    }
    if (how !== SHUT_WR) this.shut |= SHUT_RECEIVE;
    if (how !== SHUT_RD) {
      this.shut |= SHUT_SEND;
      closeSending(this);
    }
    notify(this, -1);
    return 0;
  }

  /** The socket is gone. The connection takes its leave by itself. */
  close(): void {
    if (!this.isOrphan) orphan(this);
  }

  /** Ends at once, with a reset (SO_LINGER of 0, connect to AF_UNSPEC). */
  abort(): void {
    if (this.state !== CLOSED) abort(this);
  }

  /** SO_ERROR: the pending error, positive, forgotten by asking. */
  takeError(): number {
    const { error } = this;
    this.error = 0;
    return error;
  }

  /** FIONREAD, SIOCOUTQ (not acknowledged), SIOCOUTQNSD (not sent), SIOCATMARK. */
  get unreadBytes(): number {
    return readableBytes(this);
  }
  get unackedBytes(): number {
    return Math.max(0, ((this.writeEnd - this.sendUnacked) | 0) - (this.finQueued ? 1 : 0));
  }
  get unsentBytes(): number {
    return Math.max(0, (this.writeEnd - this.sendNext) | 0);
  }
  get isAtMark(): boolean {
    return isAtUrgentMark(this);
  }

  get info(): TcpInfo {
    return tcpInfo(this);
  }

  /** TCP_NODELAY, TCP_CORK: what they held back goes. */
  setNoDelay(on: number): void {
    this.options.noDelay = on;
    if (on !== 0) sendQueued(this, PUSH_ALL);
  }
  setCork(on: number): void {
    this.options.cork = on;
    if (on === 0) sendQueued(this, PUSH_ALL);
  }

  /** TCP_QUICKACK: 1 acknowledges what is waiting; 0 puts the connection into ping-pong mode. Not lasting, as in Linux. */
  setQuickAck(on: number): void {
    this.pingPong = on === 0 ? 1 : 0;
    if (on === 0 || this.state === CLOSED) return;
    this.quickAcks = Math.max(this.quickAcks, 1);
    acknowledgeReceived(this);
  }

  /** SO_KEEPALIVE, or one of its times, has changed in `options`. */
  keepAliveChanged(): void {
    restartKeepAlive(this);
  }

  /** SO_SNDBUF, SO_RCVBUF: octets, already doubled. They end automatic growth. */
  setSendBuffer(bytes: number): void {
    this.options.sendBuffer = Math.max(bytes, SEND_BUFFER_MIN);
    this.options.sendBufferLocked = 1;
    notify(this, this.events);
  }
  setReceiveBuffer(bytes: number): void {
    this.options.receiveBuffer = Math.max(bytes, RECEIVE_BUFFER_MIN);
    this.options.receiveBufferLocked = 1;
  }

  /** TCP_CONGESTION. 0, or -ENOENT. */
  setCongestion(name: string): number {
    const congestion = createCongestionControl(name);
    if (congestion === null) return -ENOENT;
    this.congestion = congestion;
    this.options.congestion = name;
    return 0;
  }
}
