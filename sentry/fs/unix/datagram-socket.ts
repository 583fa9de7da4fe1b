/**
 * AF_UNIX datagram sockets. Sending is reliable and in order; a receiver whose queue is full makes its senders wait.
 */
import { EAGAIN, ECONNREFUSED, ECONNRESET, ENOTCONN, EOPNOTSUPP, EPERM, EPIPE, ETOOMANYREFS } from '#sentry/abi/errno.ts';
import { POLLERR, POLLWRBAND, READABLE, WRITABLE } from '#sentry/abi/fs.ts';
import { AF_UNSPEC, MSG_OOB, SOCK_DGRAM } from '#sentry/abi/socket.ts';
import type { Io } from '../../mm/io.ts';
import type { Caller } from '../../vfs/inode.ts';
import type { SocketCaller } from '../socket/socket.ts';
import type { Incoming, Outgoing } from '../socket/transfer.ts';
import { checkRoom, isQueueFull, receiveWhole, sendWhole } from './datagrams.ts';
import { NO_RECEIVE, NO_SEND, UnixSocket } from './unix-socket.ts';
import type { UnixDomain } from './unix-socket.ts';

export class DatagramSocket extends UnixSocket {
  /** Connected to us: their POLLOUT depends on our queue. */
  private readonly senders = new Set<DatagramSocket>();

  constructor(domain: UnixDomain, flags: number, caller: Caller) {
    super(domain, SOCK_DGRAM, flags, caller);
  }

  override get keepsBoundaries(): boolean {
    return true;
  }

  override connect(address: string, caller: SocketCaller): number {
    if (address.charCodeAt(0) === AF_UNSPEC && address.charCodeAt(1) === 0) {
      this.setPeer(null);
      return 0;
    }
    if (this.options.passCredentials && !this.isBound) this.domainState.names.autobind(this);
    const other = this.domainState.names.find(address, SOCK_DGRAM, caller);
    if (typeof other === 'number') return other;
    if (!mayBeSentTo(other, this)) return -EPERM;
    this.setPeer(other as DatagramSocket);
    return 0;
  }

  /** Links both ends of a pair. */
  join(other: DatagramSocket): void {
    this.setPeer(other);
    other.setPeer(this);
  }

  override send(io: Io, outgoing: Outgoing, flags: number, caller: SocketCaller): number {
    if ((flags & MSG_OOB) !== 0) return -EOPNOTSUPP;
    if (this.options.passCredentials && !this.isBound) this.domainState.names.autobind(this);
    let to: UnixSocket | null = this.peer;
    if (outgoing.address !== '') {
      const found = this.domainState.names.find(outgoing.address, SOCK_DGRAM, caller);
      if (typeof found === 'number') return found;
      to = found;
    }
    if (to === null) return -ENOTCONN;
    if (this.error !== 0) return -this.takeError();
    if ((this.shut & NO_SEND) !== 0) return -EPIPE;
    if (to.closed) {
      if (to === this.peer) this.setPeer(null);
      return -ECONNREFUSED;
    }
    const room = checkRoom(this, to, io.remaining);
    if (room < 0 && room !== -EAGAIN) return room;
    if (!mayBeSentTo(to, this)) return -EPERM;
    if ((to.shut & NO_RECEIVE) !== 0) return -EPIPE;
    if (room < 0) return room;
    if (outgoing.rights !== null && !this.domainState.inFlight.admits(outgoing.rights.length)) return -ETOOMANYREFS;
    return sendWhole(this, to, io, outgoing);
  }

  override receive(io: Io, into: Incoming, flags: number): number {
    if ((flags & MSG_OOB) !== 0) return -EOPNOTSUPP;
    return receiveWhole(this, io, into, flags);
  }

  override poll(): number {
    let events = this.commonEvents();
    if (!this.mayWrite) return events;
    const { peer } = this;
    const blocked = peer !== null && peer.peer !== this && isQueueFull(peer);
    if (!blocked) events |= WRITABLE | POLLWRBAND;
    return events;
  }

  protected override get waitingBytes(): number {
    return this.received.head?.length ?? 0;
  }

  protected override destroy(): void {
    this.setPeer(null);
    super.destroy();
    for (const sender of this.senders) sender.queue.notify(WRITABLE | POLLWRBAND | POLLERR);
  }

  override finishFirst(): void {
    const wasFull = isQueueFull(this);
    super.finishFirst();
    if (!wasFull || isQueueFull(this)) return;
    for (const sender of this.senders) sender.queue.notify(WRITABLE | POLLWRBAND);
  }

  private setPeer(other: DatagramSocket | null): void {
    const old = this.peer as DatagramSocket | null;
    if (old === other) return;
    if (old !== null) {
      old.senders.delete(this);
      this.disconnected(old);
    }
    this.peer = other;
    if (other === null) return;
    other.senders.add(this);
    this.queue.notify(WRITABLE | POLLWRBAND);
  }

  /** What came from the old peer is lost; if the link was mutual, the peer is told. */
  private disconnected(old: DatagramSocket): void {
    if (this.received.head === null) return;
    this.discardMessages();
    this.room.notify(WRITABLE);
    if (old.closed || old.peer !== this) return;
    old.error = ECONNRESET;
    old.queue.notify(READABLE | POLLERR);
  }
}

/** A connected socket takes messages from its peer only. */
function mayBeSentTo(to: UnixSocket, from: UnixSocket): boolean {
  return to.peer === null || to.peer === from;
}
