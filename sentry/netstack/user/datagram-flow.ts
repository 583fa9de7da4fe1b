/**
 * A flow of datagrams, UDP or echo requests: a pair of addresses on the guest's side, a connected socket of the host on the other. It begins with a datagram, of
 * the guest or of a peer at a published port, and ends when nothing came for a while.
 *
 * Each pair has a socket of its own, because the sentry can only send where a socket is connected to. A guest that talks to many from one port
 * appears outside as many ports (a symmetric NAT, RFC 4787).
 */
import { ECONNREFUSED, EHOSTUNREACH, ENETUNREACH } from '#sentry/abi/errno.ts';
import type { HostFd, HostMemory } from '#platform/contract/host.ts';
import { Timer } from '../../lib/timer-queue.ts';
import type { IpAddress } from '../address.ts';
import { copyBytes } from '../packet.ts';
import type { Packet, Payload } from '../packet.ts';
import { SocketAddress } from '../socket-address.ts';
import { Flow } from './flow-context.ts';
import type { FlowContext } from './flow-context.ts';
import { DATAGRAM_BUDGET, UDP_IDLE_NS, UDP_UNANSWERED_NS, WAITING_DATAGRAMS_MAX } from './limits.ts';
import type { Unreachable } from './unreachable.ts';

const EPOLLIN = 1;
const EPOLLERR = 8;
const DATAGRAM_MAX = 65_507;

/** A datagram of the guest's that waits for the socket. */
interface Waiting {
  readonly packet: Packet;
  readonly offset: number;
  readonly length: number;
}

export abstract class DatagramFlow extends Flow {
  /** The guest's end, and whom it thinks it talks to. */
  readonly guest = new SocketAddress();
  readonly peer = new SocketAddress();
  /** The next flow with the same hash (datagram-flows.ts). */
  nextInBucket: DatagramFlow | null = null;
  lastUsedNs: number;
  isClosed = false;
  protected readonly context: FlowContext;
  /** IPPROTO_UDP, or that of echo requests. */
  protected abstract readonly protocol: number;
  private readonly scratch: HostMemory;
  private readonly onClosed: (flow: DatagramFlow) => void;
  private readonly timer = new Timer((nowNs) => this.expire(nowNs));
  private fd: HostFd = -1;
  private waiting: Waiting[] = [];
  private isAnswered = false;

  /** `scratch`: room for a datagram, which flows share. */
  constructor(context: FlowContext, scratch: HostMemory, onClosed: (flow: DatagramFlow) => void) {
    super();
    this.context = context;
    this.scratch = scratch;
    this.onClosed = onClosed;
    this.lastUsedNs = context.stack.state.nowNs;
  }

  /** Begun by the guest; `address`: where the peer lies in the host's world. */
  open(address: IpAddress, port: number): void {
    this.prepare();
    const { guest, peer, protocol, context } = this;
    const asker = context.askerOf(protocol, guest.address, guest.port, peer.address, peer.port);
    const isAsked = context.outside.openFlow(protocol, address, port, asker, (fd) => this.opened(fd));
    if (!isAsked) this.close();
  }

  /** Begun from outside. */
  accept(fd: HostFd): void {
    this.prepare();
    this.opened(fd);
  }

  private prepare(): void {
    this.context.stack.state.timers.set(this.timer, this.lastUsedNs + UDP_UNANSWERED_NS);
  }

  private opened(fd: number): void {
    const { context } = this;
    if (this.isClosed) {
      if (fd >= 0) context.host.close(fd);
      return;
    }
    context.touch();
    if (fd < 0) {
      this.refuse(-fd);
      return;
    }
    this.fd = fd;
    if (context.outside.watch(fd, EPOLLIN, (events) => this.hostReady(events)) < 0) this.close();
    for (const { packet, offset, length } of this.waiting) this.write(packet.memory, offset, length);
    this.dropWaiting();
  }

  private hostReady(events: number): void {
    if ((events & (EPOLLIN | EPOLLERR)) !== 0) this.context.wake(this);
  }

  /** A datagram of the guest's. */
  send(datagram: Payload): void {
    this.lastUsedNs = this.context.stack.state.nowNs;
    const { packet, offset, length } = datagram;
    if (this.fd >= 0) this.write(packet!.memory, offset, length);
    else if (this.waiting.length < WAITING_DATAGRAMS_MAX) this.waiting.push({ packet: packet!.hold(), offset, length });
  }

  /** The same, of bytes that lie elsewhere. */
  sendFrom(memory: HostMemory, offset: number, length: number): void {
    this.lastUsedNs = this.context.stack.state.nowNs;
    if (this.fd >= 0) this.write(memory, offset, length);
    else this.wait(memory, offset, length);
  }

  private wait(memory: HostMemory, offset: number, length: number): void {
    const packet = this.waiting.length < WAITING_DATAGRAMS_MAX ? this.context.stack.state.pool.take(length) : null;
    if (packet === null) return;
    copyBytes(memory, offset, packet.memory, packet.start, length);
    this.waiting.push({ packet, offset: packet.start, length });
  }

  private write(memory: HostMemory, offset: number, length: number): void {
    const written = this.context.host.write(this.fd, memory, offset, length);
    if (written >= 0) return;
    // An error that an earlier datagram caused is told with this one, which was not sent because of it. A full buffer drops it, as a link would.
    this.failed(-written);
  }

  private failed(errno: number): void {
    if (errno === ECONNREFUSED) this.tell('port');
    else if (errno === EHOSTUNREACH) this.tell('host');
    else if (errno === ENETUNREACH) this.tell('network');
  }

  private refuse(errno: number): void {
    // Denied: as if nobody had the port, which is what sockets hear of at once (RFC 1122, section 4.1.3.1).
    if (errno === EHOSTUNREACH || errno === ENETUNREACH) this.failed(errno);
    else this.tell('port');
    this.close();
  }

  /** Host to guest. */
  override run(): void {
    const { context, scratch } = this;
    for (let i = 0; i < DATAGRAM_BUDGET; i++) {
      if (this.fd < 0) return;
      const length = context.host.read(this.fd, scratch, 0, DATAGRAM_MAX);
      if (length < 0) {
        this.failed(-length);
        return;
      }
      this.deliver(scratch, length);
    }
    context.wake(this);
  }

  /** A datagram of the peer's: `memory[0, length)`, which may be changed. */
  deliver(memory: HostMemory, length: number): void {
    this.isAnswered = true;
    this.lastUsedNs = this.context.stack.state.nowNs;
    this.pass(memory, length);
  }

  /** Sends it to the guest. */
  protected abstract pass(memory: HostMemory, length: number): void;

  /** Tells the guest that what it sent did not arrive. */
  protected abstract tell(what: Unreachable): void;

  /** The timer is not moved with each datagram. */
  private expire(nowNs: number): void {
    const endNs = this.lastUsedNs + (this.isAnswered ? UDP_IDLE_NS : UDP_UNANSWERED_NS);
    if (endNs <= nowNs) this.close();
    else this.context.stack.state.timers.set(this.timer, endNs);
  }

  private dropWaiting(): void {
    for (const { packet } of this.waiting) packet.release();
    this.waiting = [];
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.dropWaiting();
    this.context.stack.state.timers.cancel(this.timer);
    if (this.fd >= 0) {
      this.context.outside.unwatch(this.fd);
      this.context.host.close(this.fd);
      this.fd = -1;
    }
    this.onClosed(this);
  }
}
