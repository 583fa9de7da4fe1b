/**
 * AF_NETLINK sockets, netlink(7): requests to the kernel as datagrams, answers in a queue. A request is served when it is sent. A dump is made
 * piece by piece as the reader takes it, so that it needs no room.
 */
import {
  EADDRINUSE,
  EAGAIN,
  EBUSY,
  ECONNREFUSED,
  EFAULT,
  EINVAL,
  EMSGSIZE,
  ENOBUFS,
  ENOPROTOOPT,
  EOPNOTSUPP,
  EPERM,
} from '#sentry/abi/errno.ts';
import { POLLERR, READABLE, WRITABLE } from '#sentry/abi/fs.ts';
import { SOL_NETLINK } from '#sentry/abi/inet.ts';
import * as abi from '#sentry/abi/netlink.ts';
import { AF_NETLINK, MSG_OOB, MSG_PEEK, MSG_TRUNC } from '#sentry/abi/socket.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import type { Io } from '../../mm/io.ts';
import { capable, CAP_NET_ADMIN } from '../../vfs/credentials.ts';
import type { Caller } from '../../vfs/inode.ts';
import type { InternetDomain } from '../inet/internet-socket.ts';
import type { OptionValue } from '../socket/option-table.ts';
import { Socket } from '../socket/socket.ts';
import type { SocketCaller } from '../socket/socket.ts';
import { filterBytes } from '../socket/message-filter.ts';
import type { Incoming, Outgoing } from '../socket/transfer.ts';
import { NETLINK_CHUNK, NETLINK_REQUEST_MAX } from './limits.ts';
import { NetlinkRequest } from './message-reader.ts';
import { MessageWriter } from './message-writer.ts';
import type { Notifications, Subscriber } from './notifications.ts';
import { NETLINK_LEVEL } from './netlink-level.ts';
import { littleWord, nameText } from './netlink-name.ts';
import { Reply } from './protocol.ts';
import type { DumpItem, NetlinkProtocol } from './protocol.ts';

/** What the netlink sockets of a sandbox share. */
export interface NetlinkDomain extends InternetDomain {
  /** By protocol and port. */
  readonly ports: Map<string, NetlinkSocket>;
  /** Requests and answers pass through it. */
  readonly staging: HostMemory;
  readonly news: Notifications;
}

const NLM_F_CAPPED = 0x100;
const SEND_BUFFER_RESERVE = 32;

const writer = new MessageWriter();

interface Dump {
  readonly items: readonly DumpItem[];
  readonly reply: Reply;
  next: number;
}

interface Received {
  readonly bytes: Uint8Array;
  /** Groups it was sent to, 0: an answer. */
  readonly groups: number;
}

export class NetlinkSocket extends Socket implements Subscriber {
  private readonly shared: NetlinkDomain;
  private readonly service: NetlinkProtocol;
  /** 0: not bound. */
  private port = 0;
  groups = 0;
  private peer = 0;
  private readonly received: Received[] = [];
  private receivedBytes = 0;
  private dump: Dump | null = null;
  private hasOverflowed = false;
  /** NETLINK_* options, by number. */
  readonly flagsOn = new Map<number, number>();

  constructor(shared: NetlinkDomain, service: NetlinkProtocol, type: number, protocol: number, flags: number, caller: Caller) {
    super(shared.files, AF_NETLINK, type, protocol, flags, caller);
    this.shared = shared;
    this.service = service;
  }

  override get keepsBoundaries(): boolean {
    return true;
  }

  // Names.
  override bind(address: string, caller: SocketCaller): number {
    if (address.length < abi.SOCKADDR_NL_SIZE || address.charCodeAt(0) !== AF_NETLINK) return -EINVAL;
    const port = littleWord(address, 4);
    if (this.port !== 0 && port !== this.port) return -EINVAL;
    const bound = this.port !== 0 ? 0 : port === 0 ? this.autobind(caller) : this.claim(port);
    if (bound === 0) this.setGroups(littleWord(address, 8));
    return bound;
  }

  private claim(port: number): number {
    const key = `${this.protocol}:${port}`;
    if (this.shared.ports.has(key)) return -EADDRINUSE;
    this.shared.ports.set(key, this);
    this.port = port;
    return 0;
  }

  /** The process's number, or one from far above that nobody has. */
  private autobind(caller: SocketCaller): number {
    if (this.claim(caller.group.pid) === 0) return 0;
    let port = 0xffff_efff;
    while (this.claim(port) < 0) port--;
    return 0;
  }

  override connect(address: string, caller: SocketCaller): number {
    if (address.length < abi.SOCKADDR_NL_SIZE) return -EINVAL;
    this.peer = littleWord(address, 4);
    return this.port === 0 ? this.autobind(caller) : 0;
  }

  override localAddress(): string {
    return nameText(this.port, this.groups);
  }

  override peerAddress(): string {
    return nameText(this.peer, 0);
  }

  // Requests.
  override send(io: Io, outgoing: Outgoing, flags: number, caller: SocketCaller): number {
    if ((flags & MSG_OOB) !== 0) return -EOPNOTSUPP;
    const { address } = outgoing;
    if (address !== '' && (address.length < abi.SOCKADDR_NL_SIZE || address.charCodeAt(0) !== AF_NETLINK)) return -EINVAL;
    const to = address === '' ? this.peer : littleWord(address, 4);
    if (this.port === 0) this.autobind(caller);
    const length = io.remaining;
    if (length > this.options.sendBuffer - SEND_BUFFER_RESERVE || length > NETLINK_REQUEST_MAX) return -EMSGSIZE;
    const { staging, network } = this.shared;
    if (length > 0 && io.take(staging, 0, length) < length) return -EFAULT;
    // Linux: messages between programs are for who may administer; here nobody listens to them.
    if (to !== 0) return capable(caller.credentials, CAP_NET_ADMIN) ? -ECONNREFUSED : -EPERM;
    network.enter();
    this.serveAll(new DataView(staging.bytes.slice(0, length).buffer), length, caller);
    return length;
  }

  private serveAll(view: DataView, length: number, caller: SocketCaller): void {
    for (let at = 0; at + abi.NLMSG_HEADER_SIZE <= length; ) {
      const size = view.getUint32(at, true);
      if (size < abi.NLMSG_HEADER_SIZE || size > length - at) return;
      const request = new NetlinkRequest(view, at, size);
      const isRequest = (request.flags & abi.NLM_F_REQUEST) !== 0 && request.type >= abi.NLMSG_MIN_TYPE;
      const before = this.dump;
      // Linux: a request that does not even name a family is passed over.
      const result = isRequest && request.has(1) ? this.serve(request, caller) : 0;
      // A dump that has begun answers for itself.
      const isDumping = this.dump !== before;
      if (!isDumping && (result < 0 || request.wantsAck)) this.acknowledge(request, result);
      at += (size + 3) & ~3;
    }
  }

  private serve(request: NetlinkRequest, caller: SocketCaller): number {
    if (request.isDump && isQuestion(request.type, this.protocol)) {
      if (this.dump !== null) return -EBUSY;
      const items = this.service.dump(request, caller);
      if (typeof items === 'number') return items;
      this.dump = { items, next: 0, reply: new Reply(writer, request.sequence, this.port, abi.NLM_F_MULTI) };
      this.queue.notify(READABLE);
      return 0;
    }
    const result = this.service.answer(request, new Reply(writer, request.sequence, this.port, 0), caller);
    this.deliver(writer.take());
    return result;
  }

  /** NLMSG_ERROR: the error, 0 for none, and the request or its header. */
  private acknowledge(request: NetlinkRequest, error: number): void {
    const isWhole = error < 0 && (this.flagsOn.get(abi.NETLINK_CAP_ACK) ?? 0) === 0;
    writer.begin(abi.NLMSG_ERROR, isWhole ? 0 : NLM_F_CAPPED, request.sequence, this.port);
    writer.u32(error);
    const length = isWhole ? Math.min(request.end - request.at, NETLINK_CHUNK) : abi.NLMSG_HEADER_SIZE;
    writer.copy(new Uint8Array(request.view.buffer, request.at, length));
    writer.end();
    this.deliver(writer.take());
  }

  /** Subscriber: news of a group. */
  tell(bytes: Uint8Array, groups: number): void {
    this.deliver(bytes, groups);
  }

  private deliver(bytes: Uint8Array, groups = 0): void {
    if (bytes.length === 0) return;
    if (this.receivedBytes + bytes.length > this.options.receiveBuffer) {
      if ((this.flagsOn.get(abi.NETLINK_NO_ENOBUFS) ?? 0) === 0) this.hasOverflowed = true;
      this.queue.notify(READABLE | POLLERR);
      return;
    }
    if (this.append(bytes, groups)) this.queue.notify(READABLE);
  }

  /** Queues what the filter leaves of a message; false: nothing. */
  private append(message: Uint8Array, groups: number): boolean {
    const { filter } = this.options;
    const kept = filter === null ? message.length : filterBytes(filter, message);
    if (kept < 0) return false;
    const bytes = kept === message.length ? message : message.subarray(0, kept);
    this.received.push({ bytes, groups });
    this.receivedBytes += bytes.length;
    return true;
  }

  /** The next piece of a dump, with the end behind the last. */
  private continueDump(dump: Dump): void {
    const { items, reply } = dump;
    while (dump.next < items.length && writer.length < NETLINK_CHUNK) items[dump.next++]!(reply);
    if (dump.next === items.length) {
      reply.begin(abi.NLMSG_DONE);
      writer.u32(0);
      writer.end();
      this.dump = null;
    }
    this.append(writer.take(), 0);
  }

  override receive(io: Io, into: Incoming, flags: number): number {
    if ((flags & MSG_OOB) !== 0) return -EOPNOTSUPP;
    if (this.hasOverflowed) {
      this.hasOverflowed = false;
      return -ENOBUFS;
    }
    // A filter may leave nothing of a piece.
    while (this.received.length === 0 && this.dump !== null) this.continueDump(this.dump);
    const first = this.received[0];
    if (first === undefined) {
      this.waitQueue = this.queue;
      return -EAGAIN;
    }
    if (into.wantsAddress) into.address = nameText(0, first.groups);
    into.hasCredentials = this.options.passCredentials;
    into.pid = into.uid = into.gid = 0;
    return this.handOver(first.bytes, io, into, flags);
  }

  private handOver(bytes: Uint8Array, io: Io, into: Incoming, flags: number): number {
    const { staging } = this.shared;
    const wanted = Math.min(bytes.length, io.remaining);
    staging.bytes.set(bytes, 0);
    const moved = wanted === 0 ? 0 : io.put(staging, 0, wanted);
    if ((flags & MSG_PEEK) === 0) {
      this.received.shift();
      this.receivedBytes -= bytes.length;
    }
    if (moved < wanted) return -EFAULT;
    if (wanted < bytes.length) into.flags |= MSG_TRUNC;
    return (flags & MSG_TRUNC) !== 0 ? bytes.length : moved;
  }

  override poll(): number {
    const isReadable = this.received.length > 0 || this.dump !== null;
    return WRITABLE | (isReadable ? READABLE : 0) | (this.hasOverflowed ? POLLERR : 0);
  }

  override get receiveQueued(): number {
    return this.receivedBytes;
  }

  // Options.
  override setOption(level: number, name: number, value: OptionValue, caller: SocketCaller): number {
    return level === SOL_NETLINK ? NETLINK_LEVEL.set(this, name, value, caller) : -ENOPROTOOPT;
  }

  override getOption(level: number, name: number, value: OptionValue, caller: SocketCaller): number {
    return level === SOL_NETLINK ? NETLINK_LEVEL.get(this, name, value, caller) : -ENOPROTOOPT;
  }

  /** A group by its number, 1 to 32: others have no news here. */
  setMembership(group: number, isMember: boolean): number {
    if (group < 1 || group > 1024) return -EINVAL;
    if (group > 32) return 0;
    const bit = 1 << (group - 1);
    this.setGroups(isMember ? this.groups | bit : this.groups & ~bit);
    return 0;
  }

  private setGroups(groups: number): void {
    this.groups = groups >>> 0;
    if (this.protocol !== abi.NETLINK_ROUTE) return;
    if (groups === 0) this.shared.news.leave(this);
    else this.shared.news.join(this);
  }

  protected override destroy(): void {
    super.destroy();
    this.received.length = 0;
    this.dump = null;
    this.shared.news.leave(this);
    if (this.port !== 0) this.shared.ports.delete(`${this.protocol}:${this.port}`);
  }
}

/** Whether a request with NLM_F_DUMP is one: those that change something have other meanings for the same bits. */
function isQuestion(type: number, protocol: number): boolean {
  return protocol !== abi.NETLINK_ROUTE || (type & 3) === 2;
}
