/**
 * AF_UNIX byte streams. Bytes queue in messages because credentials and files travel with them; small writes join the last message while
 * nothing tells them apart.
 */
import { EAGAIN, EFAULT, EINVAL, EISCONN, ENOTCONN, EOPNOTSUPP, EPIPE, ETOOMANYREFS } from '#sentry/abi/errno.ts';
import { READABLE } from '#sentry/abi/fs.ts';
import { MSG_OOB, SOCK_STREAM } from '#sentry/abi/socket.ts';
import type { Io } from '../../mm/io.ts';
import type { Caller } from '../../vfs/inode.ts';
import type { Message } from '../socket/message.ts';
import type { SocketCaller } from '../socket/socket.ts';
import type { Incoming, Outgoing } from '../socket/transfer.ts';
import { ConnectionSocket } from './connection-socket.ts';
import { isPeek, MESSAGE_OVERHEAD, stamp } from './datagrams.ts';
import { NO_RECEIVE, NO_SEND } from './unix-socket.ts';
import type { UnixDomain, UnixSocket } from './unix-socket.ts';

/** Bytes of one message at most: what Linux puts into one sk_buff. */
const MESSAGE_MAX = 36_544;

export class StreamSocket extends ConnectionSocket {
  constructor(domain: UnixDomain, flags: number, caller: Caller) {
    super(domain, SOCK_STREAM, flags, caller);
  }

  protected override sibling(caller: SocketCaller): StreamSocket {
    return new StreamSocket(this.domainState, 0, caller);
  }

  override get keepsBoundaries(): boolean {
    return false;
  }

  override send(io: Io, outgoing: Outgoing, flags: number): number {
    if ((flags & MSG_OOB) !== 0) return -EOPNOTSUPP;
    if (outgoing.address !== '') return this.state === 'established' ? -EISCONN : -EOPNOTSUPP;
    const { peer } = this;
    if (peer === null) return -ENOTCONN;
    if ((this.shut & NO_SEND) !== 0) return -EPIPE;
    if (io.remaining > 0 && (peer.closed || (peer.shut & NO_RECEIVE) !== 0)) return -EPIPE;
    if (outgoing.rights !== null && !this.domainState.inFlight.admits(outgoing.rights.length)) return -ETOOMANYREFS;
    let total = 0;
    while (io.remaining > 0) {
      const n = this.extendLast(peer, io, outgoing) || this.sendPiece(peer, io, outgoing);
      if (n < 0) return total > 0 ? total : n;
      total += n;
    }
    return total;
  }

  override receive(io: Io, into: Incoming, flags: number): number {
    if ((flags & MSG_OOB) !== 0 || this.state !== 'established') return -EINVAL;
    if (io.remaining === 0) return 0;
    let message = this.received.head;
    if (message === null) return this.nothing();
    const peek = isPeek(flags);
    let total = 0;
    while (message !== null && io.remaining > 0) {
      if (total === 0) this.describe(message, into);
      else if (this.options.passCredentials && !sameSender(message, into)) break;
      const want = Math.min(message.length, io.remaining);
      const got = message.copy(io, want, 0);
      if (got < 0) return total > 0 ? total : -EFAULT;
      total += got;
      this.takeRights(message, into, peek ? 'peek' : 'take');
      const next: Message | null = message.next;
      if (!peek) this.consume(message, got);
      if (into.rights !== null || got < want) break;
      message = next;
    }
    return total;
  }

  private nothing(): number {
    if (this.error !== 0) return -this.takeError();
    if ((this.shut & NO_RECEIVE) !== 0) return 0;
    this.waitQueue = this.queue;
    return -EAGAIN;
  }

  private consume(message: Message, bytes: number): void {
    this.receivedBytes -= bytes;
    message.drop(bytes);
    if (message.length === 0) this.finishFirst();
  }

  /** Puts a small write behind the last message if that is ours and carries nothing else: bytes taken, 0 when it cannot, -errno. */
  private extendLast(peer: UnixSocket, io: Io, outgoing: Outgoing): number {
    const last = peer.received.tail;
    if (last === null || last.owner !== this || last.rights !== null || outgoing.rights !== null) return 0;
    if (last.slack < io.remaining || !sameSender(last, outgoing) || last.address !== this.ownName) return 0;
    const n = last.fill(io, io.remaining);
    if (n < 0) return n;
    last.charge += n;
    this.charged += n;
    peer.receivedBytes += n;
    peer.queue.notify(READABLE);
    return n;
  }

  private sendPiece(peer: UnixSocket, io: Io, outgoing: Outgoing): number {
    const { sendBuffer } = this.options;
    if (this.charged >= sendBuffer) {
      this.waitQueue = this.queue;
      return -EAGAIN;
    }
    const { messages } = this.domainState;
    const message = messages.take();
    const n = message.fill(io, Math.min(io.remaining, MESSAGE_MAX, (sendBuffer >> 1) - 64));
    if (n < 0) {
      messages.free(message);
      return n;
    }
    stamp(message, this, outgoing);
    message.charge = n + MESSAGE_OVERHEAD;
    this.charged += message.charge;
    peer.deliver(message);
    return n;
  }
}

function sameSender(a: { pid: number; uid: number; gid: number }, b: { pid: number; uid: number; gid: number }): boolean {
  return a.pid === b.pid && a.uid === b.uid && a.gid === b.gid;
}
