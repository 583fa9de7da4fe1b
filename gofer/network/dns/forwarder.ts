/**
 * Asking the host's resolvers: each question goes to one after the other by UDP, again by TCP where the answer says that it is truncated,
 * and all of them once more (resolv.conf(5)).
 *
 *     forwarder.ask(bytes, query, (answer, message) => …)        // null: nobody answered; called once, later or at once
 *
 * Each question has a socket of its own, connected to the resolver, so its port is the host's choice and nobody else's datagrams come in;
 * together with a random id that is what RFC 5452 asks for. What does not answer the question asked is ignored.
 */
import { EAGAIN } from '#sentry/abi/errno.ts';
import { Timer } from '#sentry/lib/timer-queue.ts';
import type { IpAddress } from '#sentry/netstack/address.ts';
import { IPPROTO_TCP, IPPROTO_UDP } from '#sentry/netstack/ip/header.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import { close, read } from '#platform/host/files.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import { send } from '#platform/host/sockets.ts';
import type { EventLoop } from '../event-loop.ts';
import { openConnected } from '../host-socket.ts';
import { QUESTIONS_MAX, RESOLVER_ROUNDS, RESOLVER_TIMEOUT_NS } from '../limits.ts';
import { composeQuestion } from './compose.ts';
import { readMessage } from './message.ts';
import type { DnsMessage } from './message.ts';
import { FLAG_RESPONSE, FLAG_TRUNCATED, RCODE_MASK, RCODE_REFUSED, RCODE_SERVFAIL } from './records.ts';

export type Answered = (bytes: Uint8Array | null, message: DnsMessage | null) => void;

const EPOLLIN = 1;
const EPOLLOUT = 4;
const MSG_NOSIGNAL = 0x4000;
const PORT = 53;
const MESSAGE_MAX = 65_535;

export interface ForwarderSetup {
  readonly loop: EventLoop;
  readonly resolvers: readonly IpAddress[];
  /** A new message id: 16 random bits. */
  readonly randomId: () => number;
  /** Where the resolvers listen; 53 but in tests. */
  readonly port?: number;
}

export class Forwarder {
  readonly setup: ForwarderSetup;
  readonly port: number;
  /** One message, by UDP or what has come of it by TCP behind two bytes of length. */
  readonly memory: HostMemory = allocateMemory(MESSAGE_MAX + 2);
  private pending = 0;

  constructor(setup: ForwarderSetup) {
    this.setup = setup;
    this.port = setup.port ?? PORT;
  }

  ask(bytes: Uint8Array, query: DnsMessage, answered: Answered): void {
    if (this.pending >= QUESTIONS_MAX) {
      answered(null, null);
      return;
    }
    this.pending++;
    new Exchange(this, bytes, query, (answer, message) => {
      this.pending--;
      answered(answer, message);
    }).start();
  }
}

/** One question until its end. */
class Exchange {
  private readonly forwarder: Forwarder;
  private readonly query: DnsMessage;
  private readonly bytes: Uint8Array;
  private readonly answered: Answered;
  private readonly timer = new Timer(() => this.next());
  private id = 0;
  private question: Uint8Array = new Uint8Array(0);
  /** Questions asked so far, over all resolvers and rounds. */
  private attempts = 0;
  private fd = -1;
  private protocol = IPPROTO_UDP;
  /** TCP: what has come so far. */
  private stream: Uint8Array = new Uint8Array(0);

  constructor(forwarder: Forwarder, bytes: Uint8Array, query: DnsMessage, answered: Answered) {
    this.forwarder = forwarder;
    this.bytes = bytes;
    this.query = query;
    this.answered = answered;
  }

  start(): void {
    this.tryResolver();
  }

  private get resolver(): IpAddress {
    const { resolvers } = this.forwarder.setup;
    return resolvers[this.attempts % resolvers.length]!;
  }

  private tryResolver(): void {
    this.begin(IPPROTO_UDP);
  }

  /** The next resolver, or the end. */
  private next(): void {
    this.end();
    this.attempts++;
    if (this.attempts < this.forwarder.setup.resolvers.length * RESOLVER_ROUNDS) this.tryResolver();
    else this.answered(null, null);
  }

  private begin(protocol: number): void {
    const { setup, port } = this.forwarder;
    this.end();
    this.protocol = protocol;
    this.stream = new Uint8Array(0);
    this.id = setup.randomId();
    this.question = composeQuestion(this.id, this.bytes, this.query);
    this.fd = openConnected(protocol, this.resolver, port);
    // Also where it could not even be opened: `next` must not recurse through all resolvers.
    setup.loop.timers.set(this.timer, setup.loop.now + (this.fd < 0 ? 0 : RESOLVER_TIMEOUT_NS));
    if (this.fd >= 0) setup.loop.watch(this.fd, EPOLLOUT, () => this.writable());
  }

  private end(): void {
    const { loop } = this.forwarder.setup;
    loop.timers.cancel(this.timer);
    if (this.fd < 0) return;
    loop.unwatch(this.fd);
    close(this.fd);
    this.fd = -1;
  }

  /** Once: a question is far smaller than the room of a new socket. */
  private writable(): void {
    const { memory, setup } = this.forwarder;
    const prefix = this.protocol === IPPROTO_TCP ? 2 : 0;
    const { length } = this.question;
    memory.view.setUint16(0, length);
    memory.bytes.set(this.question, prefix);
    if (send(this.fd, memory.address, length + prefix, MSG_NOSIGNAL) !== length + prefix) this.next();
    else setup.loop.watch(this.fd, EPOLLIN, () => this.readable());
  }

  private readable(): void {
    const { memory } = this.forwarder;
    const received = read(this.fd, memory.address, MESSAGE_MAX + 2);
    if (received === -EAGAIN) return;
    if (received < 0 || (received === 0 && this.protocol === IPPROTO_TCP)) {
      this.next();
      return;
    }
    const bytes = memory.bytes.slice(0, received);
    if (this.protocol === IPPROTO_UDP) this.judge(bytes);
    else this.gather(bytes);
  }

  private gather(bytes: Uint8Array): void {
    const stream = new Uint8Array(this.stream.length + bytes.length);
    stream.set(this.stream);
    stream.set(bytes, this.stream.length);
    this.stream = stream;
    if (stream.length < 2) return;
    const length = stream[0]! * 256 + stream[1]!;
    if (stream.length >= length + 2) this.judge(stream.slice(2, length + 2));
  }

  private judge(bytes: Uint8Array): void {
    const message = readMessage(bytes);
    const asked = this.query.question;
    if (message === null || message.id !== this.id || (message.flags & FLAG_RESPONSE) === 0) return this.ignore();
    const { name, type, class: cls } = message.question;
    if (name !== asked.name || type !== asked.type || cls !== asked.class) return this.ignore();
    const rcode = message.flags & RCODE_MASK;
    if (rcode === RCODE_SERVFAIL || rcode === RCODE_REFUSED) return this.next();
    if ((message.flags & FLAG_TRUNCATED) !== 0 && this.protocol === IPPROTO_UDP) return this.begin(IPPROTO_TCP);
    this.end();
    this.answered(bytes, message);
  }

  /** By UDP the right answer may still come; a TCP connection that says something else is of no use. */
  private ignore(): void {
    if (this.protocol === IPPROTO_TCP) this.next();
  }
}
