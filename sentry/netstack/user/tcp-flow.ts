/**
 * One TCP flow: a connection of the gateway's stack on the guest's side, a socket of the host on the other, and bytes that go through.
 *
 *     asking       the helper decides and connects                     guest: its SYN is held
 *     connecting   the host's socket is on its way                     guest: its SYN is held
 *     checking     the first bytes are looked at for a name (claim.ts) guest: connected, its bytes wait
 *     open         both ways move; each ends by itself (half-close), and an error of one side resets the other
 *
 * A flow to a published port begins with the host's socket and connects to the guest: `open` from the start.
 * Back-pressure: what one side does not take stays with the other, whose window closes. The host's socket is watched edge-triggered, so
 * `canRead` and `canWrite` remember what it said.
 */
import { EACCES, EAGAIN, ECONNREFUSED, EHOSTUNREACH, EINPROGRESS, ENETUNREACH, ENOBUFS } from '#sentry/abi/errno.ts';
import { MSG_PEEK, SHUT_WR } from '#sentry/abi/socket.ts';
import type { HostFd } from '#platform/contract/host.ts';
import { Timer } from '../../lib/timer-queue.ts';
import { KernelIo } from '../../mm/io.ts';
import type { IpAddress } from '../address.ts';
import { IPPROTO_TCP } from '../ip/header.ts';
import { SocketAddress } from '../socket-address.ts';
import type { TcpConnection } from '../tcp/connection.ts';
import type { HeldSyn } from '../tcp/intercept.ts';
import type { Asker } from './asker.ts';
import { ClaimWatch } from './claim.ts';
import { CLAIM_BROKEN, CLAIM_MORE } from './claim-finding.ts';
import { Flow } from './flow-context.ts';
import type { FlowContext } from './flow-context.ts';
import { CLAIM_BYTES_MAX, FLOW_BUDGET } from './limits.ts';
import { refuseUnreachable } from './unreachable.ts';

const EPOLLIN = 1;
const EPOLLOUT = 4;
const EPOLLERR = 8;
const EPOLLHUP = 16;
const EPOLLRDHUP = 0x2000;
const EPOLLET = 0x8000_0000;
const EDGES = (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET) >>> 0;
/** How long a flow waits when there is no memory for packets. */
const NO_MEMORY_NS = 10e6;

type Stage = 'asking' | 'connecting' | 'checking' | 'open' | 'closed';

export class TcpFlow extends Flow {
  private readonly context: FlowContext;
  /** Where it leads: addresses of the host's world. */
  private readonly target = new SocketAddress();
  private stage: Stage = 'asking';
  private syn: HeldSyn | null = null;
  private asker: Asker | null = null;
  private connection: TcpConnection | null = null;
  private fd: HostFd = -1;
  /** What is looked at before it may pass; null: the flow may carry anything. */
  private claims: ClaimWatch | null = null;
  private canRead = false;
  private canWrite = false;
  /** The host's end has come to its socket: it is told once, so it has to be read whatever else comes first. */
  private isEndNear = false;
  /** The guest has sent all; the host has. */
  private isOutEnded = false;
  private isInEnded = false;
  /** Names of the first bytes that are being judged. */
  private claimsLeft = 0;
  private timer: Timer | null = null;

  constructor(context: FlowContext) {
    super();
    this.context = context;
    context.tcpFlows++;
  }

  /** For a SYN of the guest's. `address`: where its destination lies in the host's world. */
  open(syn: HeldSyn, address: IpAddress, port: number): void {
    this.syn = syn;
    this.target.set(address, port);
    syn.onGone = () => this.close();
    this.asker = this.context.askerOf(IPPROTO_TCP, syn.remote, syn.remotePort, syn.local, syn.localPort);
    const isAsked = this.context.outside.openFlow(IPPROTO_TCP, address, port, this.asker, (fd, isByName) => this.opened(fd, isByName));
    if (!isAsked) this.close();
  }

  /** For a connection that came to a published port. `from`, `to`: addresses on the guest's link. */
  accept(fd: HostFd, from: IpAddress, to: SocketAddress): void {
    const { context } = this;
    this.stage = 'open';
    this.fd = fd;
    const connection = context.stack.tcp.connection();
    this.connection = connection;
    connection.observer = this;
    const bound = connection.bind(from, 0);
    if (bound < 0 || connection.connect(to) !== -EINPROGRESS) {
      this.reset();
      return;
    }
    this.watch();
  }

  private opened(fd: number, isByName: boolean): void {
    if (this.stage === 'closed') {
      if (fd >= 0) this.context.host.close(fd);
      return;
    }
    if (fd < 0) {
      this.refuse(-fd);
      return;
    }
    this.stage = 'connecting';
    this.fd = fd;
    if (isByName) this.claims = new ClaimWatch();
    this.watch();
  }

  private watch(): void {
    if (this.context.outside.watch(this.fd, EDGES, (events) => this.hostReady(events)) < 0) this.reset();
  }

  private hostReady(events: number): void {
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) !== 0) this.canRead = true;
    if ((events & (EPOLLRDHUP | EPOLLHUP)) !== 0) this.isEndNear = true;
    if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) !== 0) this.canWrite = true;
    this.context.wake(this);
  }

  /** Of the connection to the guest. */
  onChange(): void {
    this.context.wake(this);
  }

  override run(): void {
    // The guest reset it, or is gone.
    if (this.connection !== null && this.connection.error !== 0) this.reset();
    if (this.stage === 'connecting') this.finishConnecting();
    if (this.stage === 'checking') this.check();
    if (this.stage === 'open') this.moveOut();
    if (this.stage === 'open' || this.stage === 'checking') this.moveIn();
    if (this.isOutEnded && this.isInEnded) this.close();
  }

  private finishConnecting(): void {
    if (!this.canWrite) return;
    const error = this.context.host.socketError(this.fd);
    if (error !== 0) {
      this.refuse(Math.abs(error));
      return;
    }
    const connection = this.syn!.accept() as TcpConnection | null;
    this.syn = null;
    if (connection === null) {
      this.close();
      return;
    }
    this.connection = connection;
    connection.observer = this;
    this.stage = this.claims === null ? 'open' : 'checking';
  }

  /** Tells the guest why it cannot be, as far as TCP and ICMP can. */
  private refuse(errno: number): void {
    const { syn, context } = this;
    this.syn = null;
    if (syn !== null) {
      syn.onGone = null;
      context.touch();
      if (errno === EACCES || errno === ECONNREFUSED) syn.refuse();
      else if (errno === EHOSTUNREACH || errno === ENETUNREACH) {
        refuseUnreachable(context.stack, syn, errno);
        syn.drop();
      } else syn.drop(); // its SYN will come again, until it gives up: ETIMEDOUT
    }
    this.close();
  }

  /** Guest to host. */
  private moveOut(): void {
    if (this.isOutEnded || !this.canWrite) return;
    const { io, host } = this.context;
    const { claims } = this;
    const most = claims === null ? FLOW_BUDGET : Math.min(claims.allowance, FLOW_BUDGET);
    const moved = this.connection!.receive(io.begin(this.fd, most), 0);
    if (claims !== null && moved > 0) this.passed(claims, moved);
    if (io.error !== 0) this.reset();
    else if (io.isBlocked) this.canWrite = false;
    else if (moved === 0) {
      this.isOutEnded = true;
      host.shutdown(this.fd, SHUT_WR);
    } else if (moved > 0) this.context.wake(this);
    else if (moved !== -EAGAIN) this.reset();
  }

  private passed(claims: ClaimWatch, bytes: number): void {
    claims.allowance -= bytes;
    if (claims.allowance === 0) this.stage = 'checking';
  }

  /** Host to guest. */
  private moveIn(): void {
    if (this.isInEnded || !this.canRead) return;
    const { io } = this.context;
    const moved = this.connection!.send(io.begin(this.fd, FLOW_BUDGET), 0);
    if (io.error !== 0) this.reset();
    else if (io.isEnded) {
      this.isInEnded = true;
      this.connection!.shutdown(SHUT_WR);
    } else if (io.isBlocked && !this.isEndNear) this.canRead = false;
    else if (io.isBlocked) this.context.wake(this);
    else if (moved > 0) this.context.wake(this);
    else if (moved === -ENOBUFS) this.waitForMemory();
    else if (moved !== 0 && moved !== -EAGAIN) this.reset();
  }

  private waitForMemory(): void {
    const { context } = this;
    this.timer ??= new Timer(() => context.wake(this));
    const { timers, nowNs } = context.stack.state;
    timers.set(this.timer, nowNs + NO_MEMORY_NS);
  }

  /** What the guest sent, which stays where it is until it may go. */
  private check(): void {
    if (this.claimsLeft > 0) return;
    const { memory } = this.context;
    const peeked = this.connection!.receive(new KernelIo(memory, 0, CLAIM_BYTES_MAX), MSG_PEEK);
    if (peeked === -EAGAIN) return;
    if (peeked < 0) {
      this.reset();
      return;
    }
    const names: string[] = [];
    const finding = this.claims!.look(memory.bytes, peeked, names);
    const isAll = peeked === 0 || peeked >= CLAIM_BYTES_MAX || this.connection!.finReceived;
    if (finding === CLAIM_MORE && !isAll) return;
    if (finding === CLAIM_BROKEN || (finding === CLAIM_MORE && peeked > 0)) this.reset();
    else {
      // The end of the stream claims nothing.
      if (peeked === 0) this.claims!.allowance = Infinity;
      this.judge(names);
    }
  }

  private judge(names: readonly string[]): void {
    this.claimsLeft = names.length;
    if (names.length === 0) this.stage = 'open';
    const { address, port } = this.target;
    for (const name of names) {
      const isAsked = this.context.outside.claim(address, port, name, this.asker!, (isAllowed) => this.judged(isAllowed));
      if (!isAsked) this.reset();
    }
  }

  private judged(isAllowed: boolean): void {
    if (this.stage !== 'checking') return;
    this.context.wake(this);
    if (!isAllowed) this.reset();
    else if (--this.claimsLeft === 0) this.stage = 'open';
  }

  /** An error of one side is one of the other. */
  private reset(): void {
    this.context.touch();
    this.connection?.abort();
    if (this.fd >= 0) this.context.host.resetOnClose(this.fd);
    this.close();
  }

  /** Lets go of both sides; what they have been given still arrives. */
  private close(): void {
    if (this.stage === 'closed') return;
    const { context, connection, fd } = this;
    this.stage = 'closed';
    if (this.timer !== null) context.stack.state.timers.cancel(this.timer);
    context.tcpFlows--;
    if (this.syn !== null) {
      this.syn.onGone = null;
      this.syn.drop();
    }
    if (connection !== null) {
      connection.observer = null;
      connection.close();
    }
    if (fd < 0) return;
    context.outside.unwatch(fd);
    context.host.close(fd);
  }
}
