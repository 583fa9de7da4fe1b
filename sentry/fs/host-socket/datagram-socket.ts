/**
 * UDP of the host. A connected socket sends by itself; a datagram to an address goes through the network helper, for the sentry's own descriptor cannot
 * name one. Datagrams are received here, with the addresses they came from.
 */
import { EAGAIN, EFAULT, EMSGSIZE, EOPNOTSUPP } from '#sentry/abi/errno.ts';
import { O_NONBLOCK, POLLRDHUP } from '#sentry/abi/fs.ts';
import { IPPROTO_UDP } from '#sentry/abi/inet.ts';
import { MSG_DONTWAIT, MSG_OOB, MSG_PEEK, MSG_TRUNC, SOCK_DGRAM } from '#sentry/abi/socket.ts';
import * as messages from '#gofer/protocol/host-socket-messages.ts';
import type { DatagramFacts } from '#platform/contract/host.ts';
import type { Io } from '../../mm/io.ts';
import type { Caller } from '../../vfs/inode.ts';
import type { Incoming, Outgoing } from '../socket/transfer.ts';
import { FLAGS_OF_HELPER, HostSocket } from './host-socket.ts';
import type { HostSocketDomain, HostSocketEnds } from './host-socket.ts';

const facts: DatagramFacts = { address: '', flags: 0 };

export class HostDatagramSocket extends HostSocket {
  constructor(shared: HostSocketDomain, ends: HostSocketEnds, domain: number, flags: number, caller: Caller) {
    super(shared, ends, domain, SOCK_DGRAM, IPPROTO_UDP, flags, caller);
  }

  override get keepsBoundaries(): boolean {
    return true;
  }

  override send(io: Io, outgoing: Outgoing, flags: number): number {
    if ((flags & MSG_OOB) !== 0) return -EOPNOTSUPP;
    const length = io.remaining;
    if (length > messages.DATA_MAX) return -EMSGSIZE;
    const { address } = outgoing;
    if (address !== '' || (flags & FLAGS_OF_HELPER) !== 0) return this.sendByHelper(io, length, address, flags);
    const { host, staging } = this.shared;
    const taken = length === 0 ? 0 : io.take(staging, 0, length);
    if (taken < length) return -EFAULT;
    const sent = host.send(this.fd, staging, 0, length);
    if (sent < 0) this.refused(io, length);
    return sent;
  }

  override receive(io: Io, into: Incoming, flags: number): number {
    if ((flags & MSG_OOB) !== 0) return -EOPNOTSUPP;
    const { host, staging } = this.shared;
    const room = Math.min(io.remaining, staging.bytes.length);
    const got = host.receiveFrom!(this.fd, staging, 0, room, flags & (MSG_PEEK | MSG_TRUNC), facts);
    if (got < 0) return got === -EAGAIN && this.isShut(flags) ? 0 : got;
    const stored = Math.min(got, room);
    if (stored > 0 && io.put(staging, 0, stored) < stored) return -EFAULT;
    if (into.wantsAddress) into.address = facts.address;
    into.flags |= facts.flags & MSG_TRUNC;
    return got;
  }

  /** Linux: the end that shutdown(2) makes is seen by those only who would wait, which the host's descriptor never does. */
  private isShut(flags: number): boolean {
    if ((this.flags & O_NONBLOCK) !== 0 || (flags & MSG_DONTWAIT) !== 0) return false;
    return (this.shared.host.poll(this.fd, POLLRDHUP) & POLLRDHUP) !== 0;
  }
}
