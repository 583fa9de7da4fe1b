/**
 * AF_UNIX sequenced packets: connections whose messages keep their boundaries.
 */
import { ENOTCONN, EOPNOTSUPP, EPIPE, ETOOMANYREFS } from '#sentry/abi/errno.ts';
import { MSG_OOB, SOCK_SEQPACKET } from '#sentry/abi/socket.ts';
import type { Io } from '../../mm/io.ts';
import type { Caller } from '../../vfs/inode.ts';
import type { SocketCaller } from '../socket/socket.ts';
import type { Incoming, Outgoing } from '../socket/transfer.ts';
import { ConnectionSocket } from './connection-socket.ts';
import { checkRoom, receiveWhole, sendWhole } from './datagrams.ts';
import { NO_RECEIVE, NO_SEND } from './unix-socket.ts';
import type { UnixDomain } from './unix-socket.ts';

export class SeqpacketSocket extends ConnectionSocket {
  constructor(domain: UnixDomain, flags: number, caller: Caller) {
    super(domain, SOCK_SEQPACKET, flags, caller);
  }

  protected override sibling(caller: SocketCaller): SeqpacketSocket {
    return new SeqpacketSocket(this.domainState, 0, caller);
  }

  override get keepsBoundaries(): boolean {
    return true;
  }

  override send(io: Io, outgoing: Outgoing, flags: number): number {
    if ((flags & MSG_OOB) !== 0) return -EOPNOTSUPP;
    if (this.error !== 0) return -this.takeError();
    const { peer } = this;
    if (this.state !== 'established' || peer === null) return -ENOTCONN;
    if ((this.shut & NO_SEND) !== 0 || peer.closed || (peer.shut & NO_RECEIVE) !== 0) return -EPIPE;
    const room = checkRoom(this, peer, io.remaining);
    if (room < 0) return room;
    if (outgoing.rights !== null && !this.domainState.inFlight.admits(outgoing.rights.length)) return -ETOOMANYREFS;
    return sendWhole(this, peer, io, outgoing);
  }

  override receive(io: Io, into: Incoming, flags: number): number {
    if ((flags & MSG_OOB) !== 0) return -EOPNOTSUPP;
    if (this.state !== 'established') return -ENOTCONN;
    return receiveWhole(this, io, into, flags);
  }
}
