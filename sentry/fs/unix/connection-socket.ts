/**
 * Sockets with connections, SOCK_STREAM and SOCK_SEQPACKET: listening, connecting, accepting, and how the two ends take leave. How data
 * travels is left to the two derived classes.
 *
 *     closed ── listen ──► listening        closed ── connect, socketpair ──► established
 *
 * connect(2) makes the other end at once and puts it into the listener's queue; both ends may exchange data before accept(2).
 */
import { EAGAIN, ECONNREFUSED, ECONNRESET, EINVAL, EISCONN } from '#sentry/abi/errno.ts';
import { O_NONBLOCK, POLLHUP, POLLWRBAND, READABLE, WRITABLE } from '#sentry/abi/fs.ts';
import { SHUT_RD, SHUT_WR } from '#sentry/abi/socket.ts';
import type { SocketCaller } from '../socket/socket.ts';
import { ALL_EVENTS, identityOf, NO_RECEIVE, NO_SEND, SHUT_BOTH, UnixSocket } from './unix-socket.ts';

type State = 'closed' | 'listening' | 'established';

export abstract class ConnectionSocket extends UnixSocket {
  protected state: State = 'closed';
  /** Ends of connections not accepted yet. */
  private readonly pending: ConnectionSocket[] = [];
  private backlog = 0;

  /** A socket of the same kind for the listening side of a connection. */
  protected abstract sibling(caller: SocketCaller): ConnectionSocket;

  override get isListening(): boolean {
    return this.state === 'listening';
  }

  override listen(backlog: number, caller: SocketCaller): number {
    if (!this.isBound || this.state === 'established') return -EINVAL;
    // A negative backlog is as good as the largest.
    const limit = Math.min(backlog >>> 0, this.domainState.settings.backlogMax);
    if (limit > this.backlog) this.room.notify(WRITABLE);
    this.backlog = limit;
    this.state = 'listening';
    this.peerIdentity = identityOf(caller);
    return 0;
  }

  override connect(address: string, caller: SocketCaller): number {
    if (this.options.passCredentials && !this.isBound) this.domainState.names.autobind(this);
    const found = this.domainState.names.find(address, this.type, caller);
    if (typeof found === 'number') return found;
    const listener = found as ConnectionSocket;
    if (listener.state !== 'listening' || (listener.shut & NO_RECEIVE) !== 0) return -ECONNREFUSED;
    if (listener.pending.length > listener.backlog) {
      this.waitQueue = listener.room;
      return -EAGAIN;
    }
    if (this.state !== 'closed') return this.state === 'established' ? -EISCONN : -EINVAL;
    const end = listener.sibling(caller);
    end.borrowName(listener);
    end.peerIdentity = identityOf(caller);
    this.peerIdentity = listener.peerIdentity;
    this.join(end);
    listener.pending.push(end);
    listener.queue.notify(READABLE);
    return 0;
  }

  /** Connects two fresh sockets. */
  join(other: ConnectionSocket): void {
    this.peer = other;
    other.peer = this;
    this.state = other.state = 'established';
    this.queue.notify(WRITABLE | POLLWRBAND);
  }

  override accept(flags: number): ConnectionSocket | number {
    if (this.state !== 'listening') return -EINVAL;
    const end = this.pending.shift();
    if (end === undefined) {
      this.waitQueue = this.queue;
      return (this.shut & NO_RECEIVE) !== 0 ? -EINVAL : -EAGAIN;
    }
    end.flags = (end.flags & ~O_NONBLOCK) | (flags & O_NONBLOCK);
    this.room.notify(WRITABLE);
    return end;
  }

  override shutdown(how: number): number {
    const result = super.shutdown(how);
    if (result < 0 || this.peer === null) return result;
    // What we no longer send the peer no longer receives, and the other way round.
    if (how !== SHUT_RD) this.peer.shut |= NO_RECEIVE;
    if (how !== SHUT_WR) this.peer.shut |= NO_SEND;
    this.peer.queue.notify(ALL_EVENTS);
    this.room.notify(WRITABLE);
    return 0;
  }

  override poll(): number {
    let events = this.commonEvents();
    if (this.pending.length > 0) events |= READABLE;
    if (this.state === 'closed') events |= POLLHUP;
    if (this.state !== 'listening' && this.mayWrite) events |= WRITABLE | POLLWRBAND;
    return events;
  }

  override embryos(): readonly ConnectionSocket[] {
    return this.pending;
  }

  protected override destroy(): void {
    const { peer } = this;
    if (peer !== null && !peer.closed) {
      peer.shut = SHUT_BOTH;
      if (this.received.head !== null) peer.error = ECONNRESET;
      peer.queue.notify(ALL_EVENTS);
    }
    super.destroy();
    for (const end of this.pending) end.refuse();
    this.pending.length = 0;
  }

  /** The listener goes before accepting us. */
  private refuse(): void {
    if (this.peer !== null) this.peer.error = ECONNRESET;
    this.release();
  }
}
