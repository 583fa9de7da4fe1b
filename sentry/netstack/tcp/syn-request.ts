/**
 * A connection being opened by a peer: what has to be remembered between its SYN and the acknowledgement of our SYN|ACK. Small, since a flood
 * makes many; the SYN|ACK is repeated by a timer of its own. Linux: struct tcp_request_sock.
 */
import { Timer } from '../../lib/timer-queue.ts';
import { IPPROTO_TCP } from '../ip/header.ts';
import type { TcpContext } from './context.ts';
import { REQUEST } from './entry.ts';
import { ACK, SYN } from './header.ts';
import type { TcpHeader } from './header.ts';
import { RTO_INITIAL_US, SYNACK_RETRIES } from './limits.ts';
import type { TcpListener } from './listener.ts';
import { SynOffer } from './syn-offer.ts';

export class SynRequest extends SynOffer {
  readonly listener: TcpListener;
  /** The peer has acknowledged, but there was no room, or no data yet (TCP_DEFER_ACCEPT). */
  isAcknowledged = false;
  nextRequest: SynRequest | null = null;
  previousRequest: SynRequest | null = null;
  readonly timer: Timer;

  constructor(context: TcpContext, listener: TcpListener) {
    super(REQUEST);
    this.listener = listener;
    this.timer = new Timer(() => requestTimer(context, this));
  }
}

/** Lists a request, and sends the first SYN|ACK. The caller has looked at the bounds. */
export function openRequest(context: TcpContext, request: SynRequest): void {
  const { listener } = request;
  request.nextRequest = listener.firstRequest;
  if (listener.firstRequest !== null) listener.firstRequest.previousRequest = request;
  listener.firstRequest = request;
  listener.requests++;
  context.table.add(request);
  sendSynAck(context, request);
  context.timers.set(request.timer, context.nowNs + RTO_INITIAL_US * 1000);
}

export function dropRequest(context: TcpContext, request: SynRequest): void {
  if (!request.isListed) return;
  const { listener } = request;
  context.timers.cancel(request.timer);
  context.table.remove(request);
  if (request.previousRequest === null) listener.firstRequest = request.nextRequest;
  else request.previousRequest.nextRequest = request.nextRequest;
  if (request.nextRequest !== null) request.nextRequest.previousRequest = request.previousRequest;
  listener.requests--;
}

function requestTimer(context: TcpContext, request: SynRequest): void {
  const { options } = request.listener;
  const most = Math.max(SYNACK_RETRIES, options.deferAccept);
  if (request.retransmits >= most) {
    dropRequest(context, request);
    return;
  }
  request.retransmits++;
  // Whoever waits for TCP_DEFER_ACCEPT is asked again only at the end, when a mere acknowledgement will do.
  if (!request.isAcknowledged || request.retransmits >= options.deferAccept) {
    context.counters.RetransSegs++;
    context.counters.TCPSynRetrans++;
    sendSynAck(context, request);
  }
  context.timers.set(request.timer, context.nowNs + Math.min(RTO_INITIAL_US * 2 ** request.retransmits, 120_000_000) * 1000);
}

export function sendSynAck(context: TcpContext, request: SynRequest): void {
  const { header, ip } = context;
  header.clear();
  fillSynAck(context, request, header);
  ip.prepare(request.local, request.remote, IPPROTO_TCP);
  ip.dontFragment = true;
  ip.hopLimit = request.listener.options.hopLimit;
  ip.trafficClass = request.listener.options.trafficClass;
  request.sentUs = context.nowUs;
  context.counters.OutSegs++;
  context.lower.send(request.path, ip, header, null);
}

function fillSynAck(context: TcpContext, request: SynRequest, header: TcpHeader): void {
  header.sourcePort = request.localPort;
  header.destinationPort = request.remotePort;
  header.seq = request.initialSend;
  header.ack = (request.initialReceive + 1) | 0;
  header.flags = SYN | ACK;
  header.window = Math.min(request.receiveWindow, 65_535);
  header.mss = request.announcedMss;
  header.windowScale = request.receiveScale;
  header.sackPermitted = request.usesSack ? 1 : 0;
  if (!request.usesTimestamps) return;
  header.timestamps = 1;
  header.tsValue = (context.nowMs + request.timestampOffset) | 0;
  header.tsEcho = request.recentTimestamp;
}
