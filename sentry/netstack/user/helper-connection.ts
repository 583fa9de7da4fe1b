/**
 * The sentry's end of the socket to the network helper (gofer/protocol/network-messages.ts): several questions at a time, answers in any order.
 *
 *     const connection = new HelperConnection({ host, socket, watch…, onLost });
 *     connection.awaitHello();  connection.start(arrivals);
 *
 * The helper is trusted as the gofer is: what does not decode means that it is not the helper we know, and ends the sandbox, as does its end.
 */
import { EMFILE } from '#sentry/abi/errno.ts';
import { Reader, Writer } from '#gofer/protocol/codec.ts';
import type { ValueOf } from '#gofer/protocol/codec.ts';
import { isFramed, messageTag, messageType, replyErrno, writeHeader } from '#gofer/protocol/header.ts';
import { MESSAGE_MAX } from '#gofer/protocol/limits.ts';
import { HEADER_SIZE, REPLY, REPLY_HEADER_SIZE } from '#gofer/protocol/messages.ts';
import type { Message } from '#gofer/protocol/messages.ts';
import * as messages from '#gofer/protocol/network-messages.ts';
import type { Host, HostFd, HostMemory } from '#platform/contract/host.ts';
import { IpAddress } from '../address.ts';
import { QUESTIONS_QUEUED_MAX } from './limits.ts';
import type { Asker } from './asker.ts';
import type { Arrivals, FlowOpened, Outside } from './outside.ts';

export interface HelperSetup {
  readonly host: Pick<Host, 'allocate' | 'send' | 'receive' | 'receivedDescriptors' | 'close'>;
  readonly socket: HostFd;
  /** The kernel's. */
  readonly watch: (fd: HostFd, events: number, callback: (events: number) => void) => number;
  readonly unwatch: (fd: HostFd) => void;
  /** Ends the sandbox. */
  readonly onLost: (reason: string) => void;
}

/** A question that waits for its answer: `settle` is called once, with the reader at the body if errno is 0. */
type Settle = (errno: number, reader: Reader, fd: number) => void;

const EPOLLIN = 1;
const REPLY_AT = 65_536;
const HELLO_TIMEOUT_MS = 30_000;
/** Messages taken before the guests get their turn. */
const BATCH = 32;
const EAGAIN = 11;

export class HelperConnection implements Outside {
  private readonly setup: HelperSetup;
  private readonly memory: HostMemory;
  private readonly reader = new Reader();
  private readonly writer = new Writer();
  private readonly descriptors = new Int32Array(8);
  private readonly waiting = new Map<number, Settle>();
  /** Questions that wait until the helper has answered others. */
  private readonly queue: (() => boolean)[] = [];
  private readonly from = new IpAddress();
  private arrivals: Arrivals | null = null;
  private tag = 0;

  constructor(setup: HelperSetup) {
    this.setup = setup;
    this.memory = setup.host.allocate(2 * 65_536);
  }

  /** Waits for the helper to be ready. What it says of itself, or null: it did not start. */
  awaitHello(): ValueOf<typeof messages.NetworkHello.reply> | null {
    const length = this.receive(HELLO_TIMEOUT_MS);
    if (length <= 0 || messageType(this.memory, REPLY_AT) !== (messages.NetworkHello.type | REPLY)) return null;
    const hello = messages.NetworkHello.reply.read(this.reader);
    return this.reader.complete && hello.version === messages.NETWORK_PROTOCOL_VERSION ? hello : null;
  }

  /** From here on answers come. */
  start(arrivals: Arrivals): void {
    this.arrivals = arrivals;
    this.watch(this.setup.socket, EPOLLIN, () => this.readable());
  }

  openFlow(protocol: number, address: IpAddress, port: number, asker: Asker, opened: FlowOpened): boolean {
    const request = { protocol, address: words(address), port, asker };
    return this.ask(messages.OpenFlow, request, (errno, reader, fd) => {
      if (errno !== 0) opened(-errno, false);
      else {
        const isByName = messages.OpenFlow.reply.read(reader).isByName === 1;
        // The descriptor is missing when the process may have no more of them.
        opened(fd < 0 ? -EMFILE : fd, isByName);
      }
    });
  }

  resolve(transport: 'udp' | 'tcp', question: string, asker: Asker, answered: (answer: string | null) => void): boolean {
    if (question.length > messages.DNS_QUESTION_MAX) return false;
    const request = { isStream: transport === 'tcp' ? 1 : 0, question, asker };
    return this.ask(messages.Resolve, request, (errno, reader) =>
      answered(errno === 0 ? messages.Resolve.reply.read(reader).answer : null),
    );
  }

  claim(address: IpAddress, port: number, name: string, asker: Asker, judged: (isAllowed: boolean) => void): boolean {
    const request = { address: words(address), port, name: name.slice(0, messages.CLAIM_MAX), asker };
    return this.ask(messages.Claim, request, (errno) => judged(errno === 0));
  }

  watch(fd: HostFd, events: number, callback: (events: number) => void): number {
    return this.setup.watch(fd, events, callback);
  }

  unwatch(fd: HostFd): void {
    this.setup.unwatch(fd);
  }

  private ask<Q>(message: Message<Q, unknown>, request: Q, settle: Settle): boolean {
    if (this.waiting.size < messages.REQUESTS_MAX) return this.post(message, request, settle);
    if (this.queue.length >= QUESTIONS_QUEUED_MAX) return false;
    this.queue.push(() => this.post(message, request, settle));
    return true;
  }

  private post<Q>(message: Message<Q, unknown>, request: Q, settle: Settle): boolean {
    do this.tag = (this.tag + 1) & 0xffff;
    while (this.tag === 0 || this.waiting.has(this.tag));
    const { memory, writer } = this;
    writer.begin(memory, HEADER_SIZE, MESSAGE_MAX);
    message.request.write(writer, request);
    writeHeader(memory, 0, writer.at, message.type, this.tag);
    if (this.setup.host.send(this.setup.socket, memory, 0, writer.at) !== writer.at) {
      this.setup.onLost('it cannot be reached');
      return false;
    }
    this.waiting.set(this.tag, settle);
    return true;
  }

  private readable(): void {
    for (let i = 0; i < BATCH; i++) {
      const length = this.receive(0);
      if (length === -EAGAIN) return;
      if (length <= 0) {
        this.setup.onLost(length === 0 ? 'it ended' : `errno ${-length}`);
        return;
      }
      this.dispatch();
    }
  }

  /** One message to the reader: its length, 0: the helper is gone, -EAGAIN: none yet. */
  private receive(timeoutMs: number): number {
    const { host, socket } = this.setup;
    const length = host.receive(socket, this.memory, REPLY_AT, MESSAGE_MAX, this.descriptors, timeoutMs);
    if (length <= 0) return length;
    if (length < REPLY_HEADER_SIZE || !isFramed(this.memory, REPLY_AT, length)) return 0;
    this.reader.begin(this.memory, REPLY_AT + REPLY_HEADER_SIZE, length - REPLY_HEADER_SIZE);
    return length;
  }

  private dispatch(): void {
    const { memory, reader } = this;
    const fd = this.setup.host.receivedDescriptors > 0 ? this.descriptors[0]! : -1;
    const type = messageType(memory, REPLY_AT);
    if (type === (messages.Arrival.type | REPLY)) this.arrived(fd);
    else {
      const tag = messageTag(memory, REPLY_AT);
      const settle = this.waiting.get(tag);
      this.waiting.delete(tag);
      if (settle === undefined) reader.fail();
      else settle(replyErrno(memory, REPLY_AT), reader, fd);
    }
    if (reader.malformed) this.setup.onLost('it does not speak our language');
    while (this.queue.length > 0 && this.waiting.size < messages.REQUESTS_MAX) this.queue.shift()!();
  }

  private arrived(fd: number): void {
    const { published, address, port, datagram } = messages.Arrival.reply.read(this.reader);
    if (!this.reader.complete) return;
    this.from.set(address.w0, address.w1, address.w2, address.w3);
    this.arrivals!.arrived(published, this.from, port, datagram, fd);
  }
}

function words({ w0, w1, w2, w3 }: IpAddress): { w0: number; w1: number; w2: number; w3: number } {
  return { w0: w0 >>> 0, w1: w1 >>> 0, w2: w2 >>> 0, w3: w3 >>> 0 };
}
