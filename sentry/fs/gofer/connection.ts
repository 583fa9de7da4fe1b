/**
 * The sentry's end of the socket to a gofer: one request, one reply, nothing in between.
 *
 *     const body = connection.ask(Walk, { fid, newFid, names });          // null: failed, and connection.errno says how
 *     const donated = connection.takeDescriptor();                        // -1: none came, or no more
 *
 * The gofer serves files to a guest, so what it says about them is believed; but a reply that does not decode means that it is not the
 * gofer we know. Then, or when it is silent for too long or gone, `onLost` is called, which ends the sandbox.
 */
import { EIO } from '#sentry/abi/errno.ts';
import { Reader, Writer } from '#gofer/protocol/codec.ts';
import type { ValueOf } from '#gofer/protocol/codec.ts';
import { isReplyTo, replyErrno, writeHeader } from '#gofer/protocol/header.ts';
import { MESSAGE_MAX, WINDOW_SIZE } from '#gofer/protocol/limits.ts';
import { HEADER_SIZE, Hello, PROTOCOL_VERSION, Release, REPLY, REPLY_HEADER_SIZE } from '#gofer/protocol/messages.ts';
import type { Message } from '#gofer/protocol/messages.ts';
import type { Host, HostFd, HostMemory } from '#platform/contract/host.ts';
import { GOFER_TIMEOUT_MS } from '../../limits.ts';

/** The part of the host that the gofer client uses. */
export type GoferHost = Pick<
  Host,
  | 'allocate'
  | 'send'
  | 'receive'
  | 'receivedDescriptors'
  | 'close'
  | 'pread'
  | 'pwrite'
  | 'ftruncate'
  | 'fallocate'
  | 'lseek'
  | 'fstat'
  | 'fsync'
  | 'mapShared'
>;

/** Ends the sandbox: files cannot be served any more. */
export type GoferLost = (reason: string) => void;

const REPLY_AT = 65_536;

export class GoferConnection {
  readonly host: GoferHost;
  /** errno of the last `ask` that returned null. */
  errno = 0;
  /** What the gofer said of itself. */
  hello: ValueOf<typeof Hello.reply> = { version: 0, fids: 0, mounts: 0, window: 0, report: [] };
  /** Requests sent: what caching saves shows here. */
  requests = 0;
  private readonly socket: HostFd;
  private readonly memory: HostMemory;
  private readonly reader = new Reader();
  private readonly writer = new Writer();
  private readonly descriptors = new Int32Array(8);
  private readonly onLost: GoferLost;
  /** Memory into which the gofer reads small files (gofer/server/window.ts); null: there is none. */
  window: HostMemory | null = null;
  /** Descriptors of the last reply that nobody took yet are donated[taken], …, donated[donatedCount - 1], all in `descriptors`. */
  private donatedCount = 0;
  private taken = 0;
  private tag = 0;

  constructor(host: GoferHost, socket: HostFd, onLost: GoferLost) {
    this.host = host;
    this.socket = socket;
    this.onLost = onLost;
    this.memory = host.allocate(2 * 65_536);
  }

  /** Waits for the gofer to say hello. Whether it did, in our language. */
  awaitHello(): boolean {
    if (!this.receive(Hello.type, 0)) return false;
    const body = Hello.reply.read(this.reader);
    if (!this.reader.complete || body.version !== PROTOCOL_VERSION) return false;
    this.hello = body;
    this.openWindow(body.window);
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
    this.requests++;
    this.tag = (this.tag + 1) & 0xffff;
    if (!this.post(message, request, this.tag)) return null;
    if (!this.receive(message.type, this.tag)) return null;
    this.errno = replyErrno(this.memory, REPLY_AT);
    if (this.errno !== 0) return null;
    const body = message.reply.read(this.reader);
    if (this.reader.complete) return body;
    this.lose(`the gofer's reply to ${message.name} is malformed`);
    return null;
  }

  /** Asks for something whose reply has no body: 0 or -errno. */
  tell<Q>(message: Message<Q, object>, request: Q): number {
    return this.ask(message, request) === null ? -this.errno : 0;
  }

  /** The next descriptor that came with the last reply; the caller owns it. -1: none. */
  takeDescriptor(): HostFd {
    return this.taken < this.donatedCount ? this.descriptors[this.taken++]! : -1;
  }

  /** Lets go of fids. The gofer does not answer. */
  release(fids: readonly number[]): void {
    this.tag = (this.tag + 1) & 0xffff;
    this.post(Release, { fids }, this.tag);
  }

  private post<Q>(message: Message<Q, unknown>, request: Q, tag: number): boolean {
    const { memory, writer } = this;
    writer.begin(memory, HEADER_SIZE, MESSAGE_MAX);
    message.request.write(writer, request);
    if (writer.overflow) {
      this.errno = EIO;
      return false;
    }
    writeHeader(memory, 0, writer.at, message.type, tag);
    const sent = this.host.send(this.socket, memory, 0, writer.at);
    if (sent === writer.at) return true;
    this.lose(`the gofer cannot be reached (errno ${-sent})`);
    return false;
  }

  private receive(type: number, tag: number): boolean {
    const { host, memory, descriptors } = this;
    this.dropDescriptors();
    const length = host.receive(this.socket, memory, REPLY_AT, MESSAGE_MAX, descriptors, GOFER_TIMEOUT_MS);
    if (length > 0) this.donatedCount = host.receivedDescriptors;
    if (isReplyTo(memory, REPLY_AT, length, type | REPLY, tag)) {
      this.reader.begin(memory, REPLY_AT + REPLY_HEADER_SIZE, length - REPLY_HEADER_SIZE);
      return true;
    }
    if (length === 0) this.lose('the gofer is gone');
    else this.lose(length < 0 ? `the gofer does not answer (errno ${-length})` : 'the gofer answered something else');
    return false;
  }

  /** Descriptors nobody took, of a reply nobody could use. */
  private dropDescriptors(): void {
    for (let fd = this.takeDescriptor(); fd >= 0; fd = this.takeDescriptor()) this.host.close(fd);
    this.donatedCount = 0;
    this.taken = 0;
  }

  private lose(reason: string): void {
    this.errno = EIO;
    this.onLost(reason);
  }
}
