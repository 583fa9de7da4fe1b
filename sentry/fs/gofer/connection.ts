/**
 * The sentry's end of the socket to a gofer: one request, one reply, in the order of the requests.
 *
 *     const body = connection.ask(Walk, { fid, newFid, names });          // null: failed, and connection.errno says how
 *     const donated = connection.takeDescriptor();                        // -1: none came, or no more
 *
 * What is not needed yet can be under way meanwhile, each such request with a slot of its own for the reply (reply-slot.ts).
 *
 * The gofer serves files to a guest, so what it says about them is believed; but a reply that does not decode means that it is not the
 * gofer we know. Then, or when it is silent for too long or gone, `onLost` is called, which ends the sandbox.
 */
import { EIO } from '#sentry/abi/errno.ts';
import { Writer } from '#gofer/protocol/codec.ts';
import type { ValueOf } from '#gofer/protocol/codec.ts';
import { writeHeader } from '#gofer/protocol/header.ts';
import { MESSAGE_MAX, WINDOW_SIZE } from '#gofer/protocol/limits.ts';
import { HEADER_SIZE, Hello, PROTOCOL_VERSION, Release } from '#gofer/protocol/messages.ts';
import type { Message } from '#gofer/protocol/messages.ts';
import type { Host, HostFd, HostMemory } from '#platform/contract/host.ts';
import { GOFER_TIMEOUT_MS } from '../../limits.ts';
import { ReplySlot } from './reply-slot.ts';

/** The part of the host that the gofer client uses. */
export type GoferHost = Pick<
  Host,
  | 'allocate'
  | 'send'
  | 'receive'
  | 'receivedDescriptors'
  | 'close'
  | 'read'
  | 'pread'
  | 'pwrite'
  | 'append'
  | 'ftruncate'
  | 'fallocate'
  | 'lseek'
  | 'fstat'
  | 'fsync'
  | 'mapShared'
>;

/** Ends the sandbox: files cannot be served any more. */
export type GoferLost = (reason: string) => void;

export class GoferConnection {
  readonly host: GoferHost;
  /** errno of the last `ask` that returned null. */
  errno = 0;
  /** What the gofer said of itself. */
  hello: ValueOf<typeof Hello.reply> = { version: 0, fids: 0, mounts: 0, window: 0, watches: 0, report: [] };
  /** Requests sent: what caching saves shows here. */
  requests = 0;
  private readonly socket: HostFd;
  private readonly memory: HostMemory;
  private readonly writer = new Writer();
  /** For replies that are waited for. */
  private readonly slot: ReplySlot;
  /** Slots whose replies have not been received, in the order in which they will come. */
  private readonly underWay: ReplySlot[] = [];
  private readonly onLost: GoferLost;
  /** Memory into which the gofer reads small files (gofer/server/window.ts); null: there is none. */
  window: HostMemory | null = null;
  /** The inotify instance in which the gofer watches; -1: there is none. */
  watches: HostFd = -1;
  private tag = 0;
  private isClosed = false;

  constructor(host: GoferHost, socket: HostFd, onLost: GoferLost) {
    this.host = host;
    this.socket = socket;
    this.onLost = onLost;
    this.memory = host.allocate(65_536);
    this.slot = new ReplySlot(host);
  }

  /** Waits for the gofer to say hello. Whether it did, in our language. */
  awaitHello(): boolean {
    const { slot } = this;
    slot.expect(Hello.type, 0);
    this.underWay.push(slot);
    if (!this.receive(slot)) return false;
    const body = Hello.reply.read(slot.reader);
    if (!slot.reader.complete || body.version !== PROTOCOL_VERSION) return false;
    this.hello = body;
    if (body.window > 0) this.openWindow(body.window);
    if (body.watches > 0) this.watches = this.takeDescriptor();
    return true;
  }

  private openWindow(size: number): void {
    const fd = this.takeDescriptor();
    if (fd < 0) return;
    const memory = size > 0 && size <= WINDOW_SIZE ? this.host.mapShared(fd, 0, size) : -1;
    this.host.close(fd);
    if (typeof memory !== 'number') this.window = memory;
  }

  /** Sends a request and waits for the reply. Returns its body, or null with `errno` set. */
  ask<Q, P>(message: Message<Q, P>, request: Q): P | null {
    return this.begin(this.slot, message, request) ? this.finish(this.slot, message) : null;
  }

  /** A slot for requests that are sent ahead of need. */
  makeSlot(): ReplySlot {
    return new ReplySlot(this.host);
  }

  /** Sends a request whose reply `slot`, which is not busy, will hold. Whether it was sent; if not, `errno` is set. */
  begin<Q, P>(slot: ReplySlot, message: Message<Q, P>, request: Q): boolean {
    this.requests++;
    this.tag = (this.tag + 1) & 0xffff;
    if (!this.post(message, request, this.tag)) return false;
    slot.expect(message.type, this.tag);
    this.underWay.push(slot);
    return true;
  }

  /** The body of the reply to the request that `begin` sent, or null with `errno` set. Waits for it. */
  finish<Q, P>(slot: ReplySlot, message: Message<Q, P>): P | null {
    slot.isBusy = false;
    if (!slot.hasArrived && !this.receive(slot)) return null;
    this.errno = slot.errno;
    if (this.errno !== 0) return null;
    const body = message.reply.read(slot.reader);
    if (slot.reader.complete) return body;
    this.lose(`the gofer's reply to ${message.name} is malformed`);
    return null;
  }

  /** Asks for something whose reply has no body: 0 or -errno. */
  tell<Q>(message: Message<Q, object>, request: Q): number {
    return this.ask(message, request) === null ? -this.errno : 0;
  }

  /** The next descriptor that came with the reply to the last `ask`; the caller owns it. -1: none. */
  takeDescriptor(): HostFd {
    return this.slot.takeDescriptor();
  }

  /** The gofer is not needed any more: whatever is still asked of it fails with EIO, and nobody is told. */
  close(): void {
    this.isClosed = true;
    this.host.close(this.socket);
  }

  /** Lets go of fids. The gofer does not answer. */
  release(fids: readonly number[]): void {
    this.tag = (this.tag + 1) & 0xffff;
    this.post(Release, { fids }, this.tag);
  }

  private post<Q>(message: Message<Q, unknown>, request: Q, tag: number): boolean {
    const { memory, writer } = this;
    this.errno = EIO;
    if (this.isClosed) return false;
    writer.begin(memory, HEADER_SIZE, MESSAGE_MAX);
    message.request.write(writer, request);
    if (writer.overflow) return false;
    writeHeader(memory, 0, writer.at, message.type, tag);
    const sent = this.host.send(this.socket, memory, 0, writer.at);
    if (sent === writer.at) return true;
    this.lose(`the gofer cannot be reached (errno ${-sent})`);
    return false;
  }

  /** Receives replies up to that which belongs to `slot`. */
  private receive(slot: ReplySlot): boolean {
    for (let next = this.underWay.shift(); next !== undefined; next = this.underWay.shift()) {
      const length = next.receive(this.socket, GOFER_TIMEOUT_MS);
      if (length <= 0) {
        this.lose(lossOf(length));
        return false;
      }
      if (next === slot) return true;
    }
    this.errno = EIO;
    return false;
  }

  private lose(reason: string): void {
    this.errno = EIO;
    this.onLost(reason);
  }
}

/** What it means that `ReplySlot.receive` returned this. */
function lossOf(length: number): string {
  if (length === 0) return 'the gofer is gone';
  return length === -Infinity ? 'the gofer answered something else' : `the gofer does not answer (errno ${-length})`;
}
