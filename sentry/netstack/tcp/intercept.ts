/**
 * Connections to any address: a gateway takes SYNs that are meant for hosts beyond it, holds each until it knows whether the host answers, and
 * then accepts it in that host's name or refuses it.
 *
 *     tcp.interceptor = { interfaceIndex, synArrived(syn) { … } };
 *     syn.accept()   → TcpConnection in SYN_RECEIVED; its observer hears WRITABLE when the guest's acknowledgement has come
 *     syn.refuse()   → reset, as from a host where nobody listens
 *     syn.drop()     → forgotten: repetitions of the SYN are new ones (the caller may have sent an ICMP error)
 *
 * While a SYN is held its repetitions are absorbed. The number held, and for how long, is bounded.
 */
import { Timer } from '../../lib/timer-queue.ts';
import { IPPROTO_TCP } from '../ip/header.ts';
import type { IpHeader } from '../ip/header.ts';
import type { Arrival } from './arrival.ts';
import { setState } from './closing.ts';
import type { TcpContext } from './context.ts';
import { TIMER_RETRANSMIT } from './control-block.ts';
import type { ControlBlock } from './control-block.ts';
import { HELD } from './entry.ts';
import { sendFirst } from './handshake.ts';
import { ACK, FIN, RST, SYN } from './header.ts';
import type { TcpHeader } from './header.ts';
import { HELD_SYNS_MAX, HELD_SYN_NS } from './limits.ts';
import { SYN_RECEIVED } from './states.ts';
import { chooseSequence, locate, readOffer, SynOffer, takeOver } from './syn-offer.ts';
import { setRetransmitTimer } from './timers.ts';

export interface SynInterceptor {
  /** SYNs that arrive on this interface are its business. */
  readonly interfaceIndex: number;
  /** A new one; the caller answers later, or at once. */
  synArrived(syn: HeldSyn): void;
}

export class HeldSyn extends SynOffer {
  /** Answered, expired, or given up by who sent it: nothing can be done with it any more. */
  isGone = false;
  /** Told when it expires or its sender gives up. */
  onGone: (() => void) | null = null;
  private readonly context: TcpContext;
  private readonly timer: Timer;

  constructor(context: TcpContext) {
    super(HELD);
    this.context = context;
    this.timer = new Timer(() => this.expire());
  }

  /** Keeps it in the table. */
  hold(): void {
    const { context } = this;
    context.table.add(this);
    context.heldSyns++;
    context.timers.set(this.timer, context.nowNs + HELD_SYN_NS);
  }

  /** Answers SYN|ACK. The connection has no port of ours; it is the caller's to close. Null when the SYN is gone. */
  accept(): ControlBlock | null {
    if (this.isGone) return null;
    this.drop();
    const { context } = this;
    const connection = context.create(context);
    chooseSequence(context, this);
    takeOver(connection, this);
    context.table.add(connection);
    context.counters.PassiveOpens++;
    setState(connection, SYN_RECEIVED);
    sendFirst(connection, SYN | ACK);
    setRetransmitTimer(connection, TIMER_RETRANSMIT, connection.rtoUs);
    return connection;
  }

  /** Answers with a reset. */
  refuse(): void {
    if (this.isGone) return;
    this.drop();
    const { context } = this;
    const { header, ip } = context;
    header.clear();
    header.sourcePort = this.localPort;
    header.destinationPort = this.remotePort;
    header.seq = 0;
    header.ack = (this.initialReceive + 1) | 0;
    header.flags = RST | ACK;
    header.window = 0;
    ip.prepare(this.local, this.remote, IPPROTO_TCP);
    ip.dontFragment = true;
    context.counters.OutSegs++;
    context.counters.OutRsts++;
    context.lower.send(this.path, ip, header, null);
  }

  /** Forgets it without an answer. */
  drop(): void {
    if (this.isGone) return;
    this.isGone = true;
    const { context } = this;
    context.timers.cancel(this.timer);
    context.table.remove(this);
    context.heldSyns--;
  }

  private expire(): void {
    this.drop();
    this.onGone?.();
  }

  /** A segment for it: its sender repeats itself, or gives up. */
  input(arrival: Arrival): void {
    if ((arrival.flags & RST) === 0 || arrival.seq !== ((this.initialReceive + 1) | 0)) return;
    this.drop();
    this.onGone?.();
  }
}

/** Takes a segment that belongs to nothing. False: it is not for the interceptor. */
export function intercept(context: TcpContext, interceptor: SynInterceptor, ip: IpHeader, header: TcpHeader): boolean {
  if (ip.interfaceIndex !== interceptor.interfaceIndex) return false;
  if ((header.flags & (SYN | ACK | RST | FIN)) !== SYN || ip.isToMany) return false;
  // Beyond the bound it is not answered: its sender will try again.
  if (context.heldSyns >= HELD_SYNS_MAX || context.table.isFull) return true;
  const syn = new HeldSyn(context);
  if (!locate(context, syn, ip, header, 0)) return true;
  readOffer(context, syn, header, context.defaults);
  syn.hold();
  interceptor.synArrived(syn);
  return true;
}
