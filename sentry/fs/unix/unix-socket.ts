/**
 * What all AF_UNIX sockets have in common (unix(7)): a name, a peer, a receive queue, and the account of what they have sent and nobody has
 * read yet, which bounds the queues (SO_SNDBUF). Linux: net/unix/af_unix.c.
 */
import { EINVAL, ENOTCONN } from '#sentry/abi/errno.ts';
import { POLLERR, POLLHUP, POLLRDHUP, POLLWRBAND, READABLE, WRITABLE } from '#sentry/abi/fs.ts';
import { AF_UNIX, FIONREAD, SHUT_RD, SHUT_RDWR, SHUT_WR, SIOCOUTQ } from '#sentry/abi/socket.ts';
import { WaitQueue } from '../../lib/wait-queue.ts';
import type { Caller } from '../../vfs/inode.ts';
import type { NetworkSettings } from '../../netstack/settings.ts';
import type { Path } from '../../vfs/mount.ts';
import type { AnonymousFiles } from '../anonymous/anonymous-files.ts';
import { guestOf } from '../anonymous/guest-caller.ts';
import { MessageQueue } from '../socket/message.ts';
import type { Charged, Message, Messages } from '../socket/message.ts';
import { Socket } from '../socket/socket.ts';
import type { PeerCredentials, SocketCaller } from '../socket/socket.ts';
import type { Incoming } from '../socket/transfer.ts';
import type { Carrier, InFlight } from './in-flight.ts';
import { UNNAMED } from './names.ts';
import type { UnixNames } from './names.ts';

/** `shut` bits: which directions are closed. */
export const NO_RECEIVE = 1;
export const NO_SEND = 2;
export const SHUT_BOTH = NO_RECEIVE | NO_SEND;
export const ALL_EVENTS = READABLE | WRITABLE | POLLWRBAND | POLLHUP | POLLRDHUP | POLLERR;

/** What the sockets of a sandbox share. */
export interface UnixDomain {
  readonly files: AnonymousFiles;
  readonly names: UnixNames;
  readonly messages: Messages;
  readonly inFlight: InFlight;
  /** net.core.somaxconn is for these sockets, too. */
  readonly settings: NetworkSettings;
}

export abstract class UnixSocket extends Socket implements Charged, Carrier {
  readonly domainState: UnixDomain;
  readonly received = new MessageQueue();
  /** Bytes in `received`: FIONREAD of streams. */
  receivedBytes = 0;
  /** Charged against SO_SNDBUF. */
  charged = 0;
  peer: UnixSocket | null = null;
  shut = 0;
  closed = false;
  /** Senders and connectors that wait for room in our queue. */
  readonly room = new WaitQueue();
  inFlight = 0;
  peerIdentity: PeerCredentials | null = null;

  private name = '';
  private path: Path | null = null;
  /** The name is another socket's: a connection carries its listener's. */
  private borrowedName = false;

  constructor(domain: UnixDomain, type: number, flags: number, caller: Caller) {
    super(domain.files, AF_UNIX, type, 0, flags, caller);
    this.domainState = domain;
    domain.files.unixSockets.add(this);
  }

  // Names.
  get isBound(): boolean {
    return this.name !== '';
  }

  setName(name: string, path: Path | null): void {
    this.name = name;
    this.path = path;
  }

  borrowName(from: UnixSocket): void {
    this.name = from.name;
    this.borrowedName = true;
  }

  /** '' when unbound, as messages carry it. */
  get ownName(): string {
    return this.name;
  }

  override bind(address: string, caller: SocketCaller): number {
    return this.domainState.names.bind(this, address, caller);
  }

  override localAddress(): string {
    return this.name === '' ? UNNAMED : this.name;
  }

  override peerAddress(): string | number {
    return this.peer === null ? -ENOTCONN : this.peer.localAddress();
  }

  override get peerCredentials(): PeerCredentials | null {
    return this.peerIdentity;
  }

  // Readiness.
  protected get mayWrite(): boolean {
    return this.charged * 4 <= this.options.sendBuffer;
  }

  override get takesWrites(): boolean {
    return this.charged < this.options.sendBuffer || super.takesWrites;
  }

  protected commonEvents(): number {
    let events = 0;
    if (this.error !== 0) events |= POLLERR;
    if (this.shut === SHUT_BOTH) events |= POLLHUP;
    if ((this.shut & NO_RECEIVE) !== 0) events |= POLLRDHUP | READABLE;
    if (this.received.head !== null) events |= READABLE;
    return events;
  }

  override shutdown(how: number): number {
    if (how !== SHUT_RD && how !== SHUT_WR && how !== SHUT_RDWR) return -EINVAL;
    this.shut |= how + 1;
    this.queue.notify(ALL_EVENTS);
    return 0;
  }

  // Messages.
  uncharge(bytes: number): void {
    this.charged -= bytes;
    if (this.mayWrite && !this.queue.isEmpty) this.queue.notify(WRITABLE | POLLWRBAND);
  }

  /** Puts a filled message into our queue. */
  deliver(message: Message): void {
    if (message.rights !== null) this.domainState.inFlight.depart(message.rights);
    this.received.push(message);
    this.receivedBytes += message.length;
    this.queue.notify(READABLE);
  }

  /** Hands the files of a message over, or duplicates of them when it is only looked at. */
  takeRights(message: Message, into: Incoming, how: 'take' | 'peek'): void {
    const { rights } = message;
    if (rights === null) return;
    into.rights = rights;
    if (how === 'peek') {
      into.rights = rights.map((file) => file.acquire());
      return;
    }
    this.domainState.inFlight.arrive(rights);
    message.rights = null;
  }

  describe(message: Message, into: Incoming): void {
    into.address = message.address;
    into.hasCredentials = this.options.passCredentials;
    into.pid = message.pid;
    into.uid = message.uid;
    into.gid = message.gid;
  }

  /** Removes the first message, read completely. */
  finishFirst(): void {
    const message = this.received.shift()!;
    this.receivedBytes -= message.length;
    this.throwAway(message);
    this.room.notify(WRITABLE);
  }

  discardMessages(): void {
    for (let message = this.received.shift(); message !== null; message = this.received.shift()) this.throwAway(message);
    this.receivedBytes = 0;
  }

  private throwAway(message: Message): void {
    const { rights } = message;
    this.domainState.messages.free(message);
    if (rights !== null) this.domainState.inFlight.release(rights);
  }

  embryos(): readonly UnixSocket[] {
    return [];
  }

  override ioctl(request: number, argument: number, caller: Caller): number {
    if (request === FIONREAD) {
      const bytes = this.isListening ? -EINVAL : this.waitingBytes;
      return bytes < 0 ? bytes : guestOf(caller).memory.storeU32(argument, bytes);
    }
    if (request === SIOCOUTQ) return guestOf(caller).memory.storeU32(argument, this.charged);
    return super.ioctl(request, argument, caller);
  }

  protected get waitingBytes(): number {
    return this.receivedBytes;
  }

  protected override destroy(): void {
    super.destroy();
    this.closed = true;
    this.domainState.files.unixSockets.delete(this);
    this.shut = SHUT_BOTH;
    this.discardMessages();
    this.room.notify(WRITABLE);
    if (this.name !== '' && !this.borrowedName) this.domainState.names.unbind(this, this.name, this.path);
  }
}

/** Who the caller is, for SO_PEERCRED of the other side. */
export function identityOf(caller: SocketCaller): PeerCredentials {
  const { euid, egid, groups } = caller.credentials;
  return { pid: caller.pids.global(caller.group.pid), uid: euid, gid: egid, groups };
}
