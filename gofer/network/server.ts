/**
 * The network helper: makes every socket of a sandbox with `--net=user`, after asking the policy, and gives it away.
 *
 *     const server = new NetworkServer({ loop, socket, policy, … });
 *     server.sayHello(report);  while (server.isOpen) loop.step();
 *
 * The sentry is not trusted: it can do nothing with a socket but send to and receive from the peer it was connected to here (its filter leaves it no connect
 * and no destination address), so what the policy refuses cannot be reached, whatever becomes of the sentry. A datagram on the control
 * socket that is not framed as a message ends the helper; one that does not decode gets an error.
 */
import { EACCES, EINTR, EINVAL, EMFILE, ENOSYS, EPROTO, ETOOMANYREFS } from '#sentry/abi/errno.ts';
import { IpAddress } from '#sentry/netstack/address.ts';
import { IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP } from '#sentry/netstack/ip/header.ts';
import { Reader, Writer } from '#gofer/protocol/codec.ts';
import type { ValueOf } from '#gofer/protocol/codec.ts';
import { isFramed, messageTag, messageType, writeReplyHeader } from '#gofer/protocol/header.ts';
import { MESSAGE_MAX, REPORT_LINE_MAX, REPORT_LINES_MAX } from '#gofer/protocol/limits.ts';
import { HEADER_SIZE, REPLY, REPLY_HEADER_SIZE } from '#gofer/protocol/messages.ts';
import type { Message } from '#gofer/protocol/messages.ts';
import * as messages from '#gofer/protocol/network-messages.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import { close, receive } from '#platform/host/files.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import { sendMessage } from '#platform/host/messages.ts';
import type { Resolver } from './dns/resolver.ts';
import type { EventLoop } from './event-loop.ts';
import { openConnected } from './host-socket.ts';
import type { NameBindings } from './policy/bindings.ts';
import type { Policy } from './policy/policy.ts';
import { normalName } from './policy/rule.ts';
import { protocolWord } from './report.ts';
import type { DenialReport } from './report.ts';

export interface NetworkSetup {
  readonly loop: EventLoop;
  /** To the sentry. */
  readonly socket: number;
  readonly policy: Policy;
  readonly bindings: NameBindings;
  readonly resolver: Resolver;
  readonly report: DenialReport;
}

const EPOLLIN = 1;
const REPLY_AT = 65_536;
const PROTOCOLS = new Set([IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMPV6]);

export class NetworkServer {
  isOpen = true;
  private readonly setup: NetworkSetup;
  private readonly memory: HostMemory = allocateMemory(2 * 65_536);
  private readonly reader = new Reader();
  private readonly writer = new Writer();
  private readonly address = new IpAddress();

  constructor(setup: NetworkSetup) {
    this.setup = setup;
    setup.loop.watch(setup.socket, EPOLLIN, () => this.serveOne());
  }

  /** `report`: how it is confined. */
  sayHello(report: readonly string[], problem = ''): void {
    const lines = report.slice(0, REPORT_LINES_MAX).map((line) => line.slice(0, REPORT_LINE_MAX));
    this.reply(messages.NetworkHello, 0, { version: messages.NETWORK_PROTOCOL_VERSION, problem, report: lines });
  }

  /** One request. */
  private serveOne(): void {
    const { memory } = this;
    const received = receive(this.setup.socket, memory.address, MESSAGE_MAX + 1);
    if (received > MESSAGE_MAX || received <= 0 || !isFramed(memory, 0, received)) {
      this.isOpen = false;
      return;
    }
    const type = messageType(memory, 0);
    const tag = messageTag(memory, 0);
    this.reader.begin(memory, HEADER_SIZE, received - HEADER_SIZE);
    if (type === messages.OpenFlow.type) this.openFlow(tag);
    else if (type === messages.Resolve.type) this.resolve(tag);
    else if (type === messages.Claim.type) this.claim(tag);
    else this.refuse(type, tag, ENOSYS);
  }

  private openFlow(tag: number): void {
    const { type } = messages.OpenFlow;
    const request = this.read(messages.OpenFlow, tag);
    if (request === null) return;
    const { protocol, port, asker } = request;
    const address = this.take(request.address);
    const isIcmp = protocol === IPPROTO_ICMP || protocol === IPPROTO_ICMPV6;
    if (!PROTOCOLS.has(protocol) || isIcmp !== (port === 0)) return this.refuse(type, tag, EINVAL);
    const names = this.namesOf(address);
    const verdict = this.setup.policy.judgeFlow(protocol, address, port, names);
    if (!verdict.isAllowed) {
      this.setup.report.add({ what: protocolWord(protocol), address, port, names, asker }, verdict);
      return this.refuse(type, tag, EACCES);
    }
    const fd = openConnected(protocol, address, port);
    if (fd < 0) return this.refuse(type, tag, -fd);
    this.reply(messages.OpenFlow, tag, { isByName: verdict.isByName && protocol === IPPROTO_TCP ? 1 : 0 }, fd);
    close(fd);
  }

  private resolve(tag: number): void {
    const request = this.read(messages.Resolve, tag);
    if (request === null) return;
    const { isStream, question, asker } = request;
    const bytes = Uint8Array.from(Buffer.from(question, 'latin1'));
    const transport = isStream === 1 ? 'tcp' : 'udp';
    const isQuestion = this.setup.resolver.resolve(bytes, transport, messages.DNS_ANSWER_MAX, asker, (answer) =>
      this.reply(messages.Resolve, tag, { answer: Buffer.from(answer).toString('latin1') }),
    );
    if (!isQuestion) this.refuse(messages.Resolve.type, tag, EPROTO);
  }

  private claim(tag: number): void {
    const { type } = messages.Claim;
    const request = this.read(messages.Claim, tag);
    if (request === null) return;
    const { port, asker } = request;
    const address = this.take(request.address);
    const name = normalName(request.name);
    const names = this.namesOf(address);
    const verdict =
      name === null
        ? { isAllowed: false, rule: null, reason: 'the name is none', isByName: false }
        : this.setup.policy.judgeClaim(address, port, names, name);
    if (!verdict.isAllowed) this.setup.report.add({ what: 'name', address, port, names, name: request.name, asker }, verdict);
    this.refuse(type, tag, verdict.isAllowed ? 0 : EACCES);
  }

  /** Somebody came to a published port; `fd` (-1: none) is given away. Whether the sentry got it. */
  arrived(arrival: ValueOf<typeof messages.Arrival.reply>, fd: number): boolean {
    const sent = this.reply(messages.Arrival, 0, arrival, fd);
    if (fd >= 0) close(fd);
    return sent;
  }

  private take({ w0, w1, w2, w3 }: { w0: number; w1: number; w2: number; w3: number }): IpAddress {
    return this.address.set(w0, w1, w2, w3);
  }

  private namesOf(address: IpAddress): readonly string[] {
    return this.setup.policy.hasNameRules ? this.setup.bindings.namesOf(address, this.setup.loop.now) : [];
  }

  /** The body of a request; null: it was malformed, which the sentry has been told. */
  private read<Q>(message: Message<Q, unknown>, tag: number): Q | null {
    const request = message.request.read(this.reader);
    if (this.reader.complete) return request;
    this.refuse(message.type, tag, EPROTO);
    return null;
  }

  private refuse(type: number, tag: number, errno: number): void {
    this.send(type, tag, errno, REPLY_HEADER_SIZE, -1);
  }

  private reply<P>(message: Message<unknown, P>, tag: number, body: P, fd = -1): boolean {
    const { writer } = this;
    writer.begin(this.memory, REPLY_AT + REPLY_HEADER_SIZE, REPLY_AT + MESSAGE_MAX);
    message.reply.write(writer, body);
    if (writer.overflow) return this.send(message.type, tag, EPROTO, REPLY_HEADER_SIZE, -1);
    return this.send(message.type, tag, 0, writer.at - REPLY_AT, fd);
  }

  private send(type: number, tag: number, errno: number, length: number, fd: number): boolean {
    writeReplyHeader(this.memory, REPLY_AT, length, type | REPLY, tag, errno);
    for (;;) {
      const sent = sendMessage(this.setup.socket, this.memory, REPLY_AT, length, fd < 0 ? [] : [fd]);
      if (sent === -EINTR) continue;
      // The sentry left too many descriptors lying in the socket (unix(7), ETOOMANYREFS).
      if (sent === -ETOOMANYREFS && fd >= 0) return this.send(type, tag, EMFILE, REPLY_HEADER_SIZE, -1);
      if (sent !== length) this.isOpen = false;
      return sent === length && errno === 0;
    }
  }
}
