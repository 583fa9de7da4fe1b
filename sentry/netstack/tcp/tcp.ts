/**
 * TCP of one stack: takes segments and reports from below, finds what they belong to, and makes connections for the layer above.
 *
 *     const tcp = new Tcp({ lower, packets, random });
 *     const connection = tcp.connection();
 *     tcp.input(ip, header, payload, nowNs);       // from the stack's poll
 *     tcp.expire(nowNs);                           // when tcp.nextDeadline is reached
 *
 * Whoever calls a connection's or listener's methods calls `setTime` first; time stands still in between.
 */
import type { IpHeader } from '../ip/header.ts';
import type { Payload } from '../packet.ts';
import type { Arrival } from './arrival.ts';
import { TcpConnection } from './connection.ts';
import { TcpContext } from './context.ts';
import type { TcpParts } from './context.ts';
import type { ControlBlock } from './control-block.ts';
import type { TcpCounters } from './counters.ts';
import { CONNECTION, REQUEST } from './entry.ts';
import type { TcpEntry } from './entry.ts';
import { synReceivedInput, synSentInput } from './handshake.ts';
import type { TcpHeader } from './header.ts';
import { receiveSegment } from './input.ts';
import { HeldSyn, intercept } from './intercept.ts';
import type { SynInterceptor } from './intercept.ts';
import type { TcpListener } from './listener.ts';
import type { TcpUpper } from './lower.ts';
import { listenerInput, requestInput } from './passive-open.ts';
import type { TcpOptions } from './options.ts';
import { packetTooBig, unreachable } from './reports.ts';
import { SYN_RECEIVED, SYN_SENT } from './states.ts';
import type { SynRequest } from './syn-request.ts';
import { remnantInput } from './time-wait.ts';
import type { Remnant } from './time-wait.ts';
import { sendReset } from './transmit.ts';

export class Tcp implements TcpUpper {
  readonly context: TcpContext;
  /** Takes SYNs to any address on one interface, for a gateway. */
  interceptor: SynInterceptor | null = null;

  constructor(parts: TcpParts) {
    this.context = new TcpContext(parts, (context) => new TcpConnection(context));
  }

  /** A new endpoint in state CLOSED. */
  connection(): TcpConnection {
    return new TcpConnection(this.context);
  }

  /** The next connection of a listener, or null. Its `observer` is the caller's to set. */
  accept(listener: TcpListener): TcpConnection | null {
    return listener.accept() as TcpConnection | null;
  }

  /** Answers a held SYN; null when it is gone. The connection is in SYN_RECEIVED. */
  acceptHeld(syn: HeldSyn): TcpConnection | null {
    return syn.accept() as TcpConnection | null;
  }

  get counters(): TcpCounters {
    return this.context.counters;
  }

  setTime(nowNs: number): void {
    this.context.setTime(nowNs);
  }

  get nextDeadline(): number {
    return this.context.timers.nextDeadline;
  }

  expire(nowNs: number): void {
    this.context.setTime(nowNs);
    this.context.timers.expire(nowNs);
  }

  input(ip: IpHeader, header: TcpHeader, payload: Payload | null, nowNs: number): void {
    const { context } = this;
    context.setTime(nowNs);
    context.counters.InSegs++;
    const { source, destination } = ip;
    const arrival = context.arrival.set(header, payload);
    const scope = !source.isIpv4 && source.isLinkLocal ? ip.interfaceIndex : 0;
    const entry = context.table.find(destination, header.destinationPort, source, header.sourcePort, scope);
    if (entry === null) this.toListener(ip, header, arrival);
    else if (entry.kind === CONNECTION) toConnection(entry as ControlBlock, ip, header, arrival);
    else this.toSmallEntry(entry, ip, header, arrival);
  }

  unreachable(ip: IpHeader, header: TcpHeader, errno: number, isHard: number, nowNs: number): void {
    this.context.setTime(nowNs);
    unreachable(this.context, ip, header, errno, isHard);
  }

  packetTooBig(ip: IpHeader, header: TcpHeader, mtu: number, nowNs: number): void {
    this.context.setTime(nowNs);
    packetTooBig(this.context, ip, header, mtu);
  }

  private toSmallEntry(entry: TcpEntry, ip: IpHeader, header: TcpHeader, arrival: Arrival): void {
    const { context } = this;
    if (entry instanceof HeldSyn) entry.input(arrival);
    else if (entry.kind === REQUEST) this.toRequest(entry as SynRequest, ip, header, arrival);
    else if (remnantInput(context, entry as Remnant, ip, header, arrival)) this.toListener(ip, header, arrival);
  }

  private toRequest(request: SynRequest, ip: IpHeader, header: TcpHeader, arrival: Arrival): void {
    const { context } = this;
    if (passes(context, request.listener.options, ip, header, arrival)) requestInput(context, request, ip, header, arrival);
  }

  private toListener(ip: IpHeader, header: TcpHeader, arrival: Arrival): void {
    const { context } = this;
    const { destination, source } = ip;
    if (this.interceptor !== null && intercept(context, this.interceptor, ip, header)) return;
    const listener = context.listeners.find(destination, header.destinationPort, source, header.sourcePort, ip.interfaceIndex);
    if (listener === null) sendReset(context, ip, header, arrival.length);
    else if (passes(context, listener.options, ip, header, arrival)) listenerInput(context, listener, ip, header, arrival);
  }
}

/** Whether the socket's filter, if it has one, leaves anything of the segment, of which `arrival` has the rest then (Linux tcp_filter). */
function passes({ filterView }: TcpContext, { filter }: TcpOptions, ip: IpHeader, header: TcpHeader, arrival: Arrival): boolean {
  if (filter === null || filterView === null) return true;
  const kept = filterView.tcp(filter, ip, header, arrival);
  if (kept >= 0) arrival.length = kept;
  return kept >= 0;
}

function toConnection(connection: ControlBlock, ip: IpHeader, header: TcpHeader, arrival: Arrival): void {
  if (!passes(connection.context, connection.options, ip, header, arrival)) return;
  if (connection.state === SYN_SENT) synSentInput(connection, ip, header, arrival);
  else if (connection.state === SYN_RECEIVED) synReceivedInput(connection, ip, header, arrival);
  else receiveSegment(connection, header, arrival);
}
