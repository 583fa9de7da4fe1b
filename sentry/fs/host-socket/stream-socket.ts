/**
 * TCP of the host. Bytes go through staging memory between the host's descriptor and the guest: what the host does not take is given back to the guest, what
 * the guest does not take (a bad pointer) stays here and is read next.
 */
import { EAGAIN, EOPNOTSUPP } from '#sentry/abi/errno.ts';
import { O_NONBLOCK, POLLERR, POLLHUP, POLLIN, POLLOUT, READABLE } from '#sentry/abi/fs.ts';
import { IPPROTO_TCP } from '#sentry/abi/inet.ts';
import { MSG_FASTOPEN, MSG_OOB, MSG_PEEK, MSG_TRUNC, SOCK_STREAM } from '#sentry/abi/socket.ts';
import * as messages from '#gofer/protocol/host-socket-messages.ts';
import type { DatagramFacts } from '#platform/contract/host.ts';
import type { Io } from '../../mm/io.ts';
import type { Caller } from '../../vfs/inode.ts';
import type { SocketCaller } from '../socket/socket.ts';
import type { Incoming, Outgoing } from '../socket/transfer.ts';
import { FLAGS_OF_HELPER, HostSocket } from './host-socket.ts';
import type { HostSocketDomain, HostSocketEnds } from './host-socket.ts';

const NOTHING = new Uint8Array(0);
const facts: DatagramFacts = { address: '', flags: 0 };

export class HostStreamSocket extends HostSocket {
  /** Bytes read from the host that the guest's buffer turned out not to take; at most one staging memory. */
  private leftOver: Uint8Array = NOTHING;
  /** The last write did not fit: the next one looks first, before it copies what may not go. */
  private wasFull = false;
  /** Whom accept(2) reports, until it has. */
  private acceptedFrom: string | null = null;

  constructor(shared: HostSocketDomain, ends: HostSocketEnds, domain: number, flags: number, caller: Caller) {
    super(shared, ends, domain, SOCK_STREAM, IPPROTO_TCP, flags, caller);
  }

  override get keepsBoundaries(): boolean {
    return false;
  }

  override listen(backlog: number): number {
    return this.change(messages.LISTEN, backlog, '');
  }

  override accept(flags: number, caller: SocketCaller): HostStreamSocket | number {
    const { helper, host } = this.shared;
    // Nobody there yet: no need to ask. What is not listening is told so by the helper's call.
    const events = host.poll(this.fd, POLLIN);
    const isQuiet = events === 0;
    const result = isQuiet ? -EAGAIN : helper.ask(messages.ACCEPT, this.handle, 0, 0, '');
    if (result < 0) return result;
    const fd = helper.takeDescriptor();
    if (fd < 0) return fd;
    const from = helper.bytes;
    const child = new HostStreamSocket(this.shared, { fd, handle: helper.value }, this.domain, flags & O_NONBLOCK, caller);
    child.options.inherit(this.options);
    child.acceptedFrom = from;
    return child;
  }

  override peerAddress(): string | number {
    const { acceptedFrom } = this;
    this.acceptedFrom = null;
    return acceptedFrom ?? super.peerAddress();
  }

  override send(io: Io, outgoing: Outgoing, flags: number): number {
    if ((flags & MSG_FASTOPEN) !== 0) return -EOPNOTSUPP;
    void outgoing.address; // Linux: a connection knows where its bytes go
    if (this.wasFull && this.isFull()) return -EAGAIN;
    if ((flags & FLAGS_OF_HELPER) !== 0) return this.sendByHelper(io, Math.min(io.remaining, messages.DATA_MAX), '', flags);
    const { host, staging } = this.shared;
    const wanted = Math.min(io.remaining, staging.bytes.length);
    const taken = wanted === 0 ? 0 : io.take(staging, 0, wanted);
    if (taken < 0) return taken;
    const sent = host.send(this.fd, staging, 0, taken);
    if (sent < taken) this.refused(io, taken - Math.max(sent, 0));
    return sent;
  }

  protected override refused(io: Io, bytes: number): void {
    this.wasFull = true;
    super.refused(io, bytes);
  }

  private isFull(): boolean {
    this.wasFull = (this.shared.host.poll(this.fd, POLLOUT) & (POLLOUT | POLLERR | POLLHUP)) === 0;
    return this.wasFull;
  }

  override receive(io: Io, _into: Incoming, flags: number): number {
    if (this.leftOver.length > 0 && (flags & MSG_OOB) === 0) return this.receiveLeftOver(io, flags);
    const { host, staging } = this.shared;
    const wanted = Math.min(io.remaining, staging.bytes.length);
    const passed = flags & (MSG_PEEK | MSG_TRUNC | MSG_OOB);
    const got = passed === 0 ? host.read(this.fd, staging, 0, wanted) : host.receiveFrom!(this.fd, staging, 0, wanted, passed, facts);
    if (got <= 0) return got;
    // tcp(7): with MSG_TRUNC bytes are thrown away.
    if ((flags & MSG_TRUNC) !== 0) {
      io.skip(got);
      return got;
    }
    const moved = io.put(staging, 0, got);
    if (moved < got && passed === 0) this.leftOver = staging.bytes.slice(Math.max(moved, 0), got);
    return moved;
  }

  private receiveLeftOver(io: Io, flags: number): number {
    const { staging } = this.shared;
    const n = Math.min(this.leftOver.length, io.remaining);
    staging.bytes.set(this.leftOver.subarray(0, n));
    if (n === 0) return 0;
    if ((flags & MSG_TRUNC) !== 0) io.skip(n);
    const moved = (flags & MSG_TRUNC) !== 0 ? n : io.put(staging, 0, n);
    if ((flags & MSG_PEEK) === 0 && moved > 0) this.leftOver = this.leftOver.subarray(moved);
    return moved;
  }

  override poll(): number {
    return this.leftOver.length > 0 ? super.poll() | READABLE : super.poll();
  }

  protected override get unreadHere(): number {
    return this.leftOver.length;
  }
}
