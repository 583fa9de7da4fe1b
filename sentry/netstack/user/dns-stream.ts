/**
 * DNS over TCP for the guest (RFC 7766): messages behind two bytes of length, answered one after the other.
 */
import { SHUT_WR } from '#sentry/abi/socket.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import { KernelIo } from '../../mm/io.ts';
import { IPPROTO_TCP } from '../ip/header.ts';
import type { TcpConnection } from '../tcp/connection.ts';
import { Flow } from './flow-context.ts';
import type { FlowContext } from './flow-context.ts';

const PREFIX = 2;
/** A question, which is never longer than this; the answer has room behind it. */
const QUESTION_ROOM = 2_048;
const ANSWER_ROOM = 65_536;
const EAGAIN = 11;

export class DnsStream extends Flow {
  private readonly context: FlowContext;
  private readonly connection: TcpConnection;
  private readonly memory: HostMemory;
  /** Bytes of questions that have come. */
  private length = 0;
  private isAsking = false;
  private isEnded = false;
  private isClosed = false;
  /** What is left of an answer to be sent. */
  private output = '';

  /** `memory`: taken back by `onClosed`. */
  constructor(context: FlowContext, connection: TcpConnection, memory: HostMemory, onClosed: (memory: HostMemory) => void) {
    super();
    this.context = context;
    this.connection = connection;
    this.memory = memory;
    this.onClosed = onClosed;
    context.tcpFlows++;
    connection.observer = this;
  }
  private readonly onClosed: (memory: HostMemory) => void;

  static readonly memoryBytes: number = QUESTION_ROOM + ANSWER_ROOM;

  onChange(): void {
    this.context.wake(this);
  }

  override run(): void {
    if (this.isClosed) return;
    if (this.connection.error !== 0) return this.close();
    this.receive();
    this.ask();
    this.send();
    if (this.isEnded && !this.isAsking && this.output === '') {
      this.connection.shutdown(SHUT_WR);
      this.close();
    }
  }

  private receive(): void {
    if (this.isEnded || this.length === QUESTION_ROOM) return;
    const got = this.connection.receive(new KernelIo(this.memory, this.length, QUESTION_ROOM - this.length), 0);
    if (got > 0) this.length += got;
    else if (got !== -EAGAIN) this.isEnded = true;
  }

  private ask(): void {
    if (this.isAsking || this.output !== '' || this.length < PREFIX) return;
    const size = this.memory.view.getUint16(0);
    if (PREFIX + size > QUESTION_ROOM) return this.close();
    if (this.length < PREFIX + size) return;
    const question = this.memory.latin1(PREFIX, PREFIX + size);
    this.memory.bytes.copyWithin(0, PREFIX + size, this.length);
    this.length -= PREFIX + size;
    const { remote, remotePort, local, localPort } = this.connection;
    const asker = this.context.askerOf(IPPROTO_TCP, remote, remotePort, local, localPort);
    this.isAsking = this.context.outside.resolve('tcp', question, asker, (answer) => this.answered(answer));
    if (!this.isAsking) this.close();
  }

  private answered(answer: string | null): void {
    this.isAsking = false;
    if (answer === null) this.isEnded = true;
    else this.output = String.fromCharCode(answer.length >> 8, answer.length & 255) + answer;
    this.context.wake(this);
  }

  private send(): void {
    if (this.output === '' || this.isClosed) return;
    this.memory.writeLatin1(this.output, QUESTION_ROOM);
    const sent = this.connection.send(new KernelIo(this.memory, QUESTION_ROOM, this.output.length), 0);
    if (sent > 0) this.output = this.output.slice(sent);
    else if (sent !== -EAGAIN) this.close();
    if (this.output === '' && this.length > 0) this.context.wake(this);
  }

  private close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.context.tcpFlows--;
    this.connection.observer = null;
    this.connection.close();
    this.onClosed(this.memory);
  }
}
