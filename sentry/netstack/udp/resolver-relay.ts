/**
 * The name server that a manager keeps on the loopback interface of a container's network namespace: Docker's, at 127.0.0.11, which knows the other
 * containers of a network by name. The guest's loopback interface is the stack's own, so what guests ask that address is carried there by a
 * socket that was opened in the namespace.
 *
 *     const relay = new ResolverRelay(stack, host, fd);
 *     relay.start();                                 // and `relay.receive()` when `fd` is readable
 *
 * All guests share the socket; identifiers tell their questions apart and are given back with the answers (RFC 1035, section 4.1.1). UDP only: who gets
 * a truncated answer and asks again by TCP finds nobody.
 *
 * The server asks others for what it does not know itself, by the interface that is the guest's now. Their answers are for a socket of the host's
 * stack, which gets them too; ours does not complain of them.
 */
import { ECONNREFUSED } from '#sentry/abi/errno.ts';
import type { Host, HostFd, HostMemory } from '#platform/contract/host.ts';
import type { IpHeader } from '../ip/header.ts';
import { copyBytes } from '../packet.ts';
import type { Payload } from '../packet.ts';
import { SocketAddress } from '../socket-address.ts';
import type { Stack } from '../stack.ts';
import { sendDatagram } from './foreign-datagram.ts';

/** 127.0.0.11. */
export const RESOLVER_ADDRESS = 0x7f00000b;
export const DNS_PORT = 53;
/** Questions that may be open at a time; the oldest makes room. */
const QUESTIONS_MAX = 1024;
const DNS_HEADER_LENGTH = 12;
const DATAGRAM_MAX = 65_507;
/** Answers read before others have their turn. */
const ANSWERS_AT_ONCE = 64;

type RelayHost = Pick<Host, 'allocate' | 'read' | 'write'>;

interface Question {
  readonly asker: SocketAddress;
  /** As the asker knows it. */
  readonly identifier: number;
}

export class ResolverRelay {
  private readonly stack: Stack;
  private readonly host: RelayHost;
  private readonly fd: HostFd;
  private readonly memory: HostMemory;
  private readonly server = new SocketAddress();
  /** By the identifier they have on the way to the server, oldest first. */
  private readonly questions = new Map<number, Question>();

  /** `fd`: a UDP socket connected to the server, which does not block. */
  constructor(stack: Stack, host: RelayHost, fd: HostFd) {
    this.stack = stack;
    this.host = host;
    this.fd = fd;
    this.memory = host.allocate(DATAGRAM_MAX);
    this.server.address.setIpv4(RESOLVER_ADDRESS);
    this.server.port = DNS_PORT;
  }

  start(): void {
    const { udp } = this.stack;
    udp.claim = { input: (ip, sourcePort, destinationPort, payload) => this.ask(ip, sourcePort, destinationPort, payload) };
    udp.interceptor = { input: (_ip, sourcePort) => sourcePort === DNS_PORT };
  }

  /** False: it is not for the server. What is no DNS message, or finds no room, is lost. */
  private ask(ip: IpHeader, sourcePort: number, destinationPort: number, { packet, offset, length }: Payload): boolean {
    if (destinationPort !== DNS_PORT || !ip.destination.isIpv4 || ip.destination.w3 !== RESOLVER_ADDRESS) return false;
    if (length < DNS_HEADER_LENGTH || length > DATAGRAM_MAX) return true;
    const { memory } = this;
    copyBytes(packet!.memory, offset, memory, 0, length);
    memory.view.setUint16(0, this.remember(new SocketAddress().set(ip.source, sourcePort), memory.view.getUint16(0)));
    // An error that an earlier question caused is told with this one, which was not sent because of it.
    if (this.host.write(this.fd, memory, 0, length) === -ECONNREFUSED) this.host.write(this.fd, memory, 0, length);
    return true;
  }

  /** The identifier that a question has from here on. */
  private remember(asker: SocketAddress, identifier: number): number {
    const { questions } = this;
    const [oldest] = questions.keys();
    if (oldest !== undefined && questions.size >= QUESTIONS_MAX) questions.delete(oldest);
    let number = this.stack.state.random() & 0xffff;
    while (questions.has(number)) number = (number + 1) & 0xffff;
    questions.set(number, { asker, identifier });
    return number;
  }

  /** Passes answers on. The stack's time is set. */
  receive(): void {
    for (let i = 0; i < ANSWERS_AT_ONCE; i++) {
      const length = this.host.read(this.fd, this.memory, 0, DATAGRAM_MAX);
      if (length < 0) return;
      this.answered(length);
    }
  }

  private answered(length: number): void {
    const { memory, questions } = this;
    if (length < DNS_HEADER_LENGTH) return;
    const number = memory.view.getUint16(0);
    const question = questions.get(number);
    if (question === undefined) return;
    questions.delete(number);
    memory.view.setUint16(0, question.identifier);
    sendDatagram(this.stack, this.server, question.asker, memory, length);
  }
}
