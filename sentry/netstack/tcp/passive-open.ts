/**
 * Connections that peers open (RFC 9293 section 3.10.7.2 and 3.10.7.4 for SYN_RECEIVED):
 *
 *     SYN → SynRequest, SYN|ACK → ACK → connection in the accept queue → accept(2)
 *
 * A flood of SYNs meets a bounded queue; when that is full, cookies carry on without memory. A full accept queue lets requests wait, and refuses
 * new ones. TCP_DEFER_ACCEPT makes a request wait for data. TCP Fast Open is refused by ignoring its option. Linux: tcp_conn_request,
 * tcp_check_req, tcp_v4_syn_recv_sock.
 */
import type { IpHeader } from '../ip/header.ts';
import type { Arrival } from './arrival.ts';
import { setState } from './closing.ts';
import { createCongestionControl } from './congestion/registry.ts';
import type { TcpContext } from './context.ts';
import { synReceivedInput } from './handshake.ts';
import { ACK, FIN, RST, SYN } from './header.ts';
import type { TcpHeader } from './header.ts';
import { INVALID_RATE_LIMIT_US, RTO_INITIAL_US, SECOND } from './limits.ts';
import type { TcpListener } from './listener.ts';
import { scaleToOffer } from './negotiate.ts';
import { makeCookie, readCookie } from './syn-cookies.ts';
import { answerOffer, chooseSequence, locate, readOffer, takeOver } from './syn-offer.ts';
import { dropRequest, openRequest, sendSynAck, SynRequest } from './syn-request.ts';
import { after, before } from './sequence.ts';
import { SYN_RECEIVED } from './states.ts';
import { sendReset } from './transmit.ts';

/** How long after the SYN queue was full acknowledgements may carry cookies. */
const COOKIES_NS = 128 * SECOND;

/**
 * A segment for a listener, whose four-tuple has no entry of its own.
 */
export function listenerInput(context: TcpContext, listener: TcpListener, ip: IpHeader, header: TcpHeader, arrival: Arrival): void {
  const { flags } = arrival;
  if ((flags & RST) !== 0) return;
  if ((flags & ACK) !== 0) {
    if ((flags & SYN) !== 0 || !acceptCookie(context, listener, ip, header, arrival)) sendReset(context, ip, header, arrival.length);
    return;
  }
  if ((flags & SYN) === 0 || (flags & FIN) !== 0 || ip.isToMany) return;
  synArrived(context, listener, ip, header);
}

function synArrived(context: TcpContext, listener: TcpListener, ip: IpHeader, header: TcpHeader): void {
  const { counters } = context;
  if (listener.isAcceptQueueFull) {
    counters.ListenOverflows++;
    counters.ListenDrops++;
    return;
  }
  const request = prepare(context, listener, ip, header);
  if (request === null) {
    counters.ListenDrops++;
    return;
  }
  readOffer(context, request, header, listener.options);
  if (listener.isRequestQueueFull || context.table.isFull) {
    sendCookie(context, request);
    return;
  }
  chooseSequence(context, request);
  openRequest(context, request);
}

/** A request with four-tuple and path; null when no way leads back. */
function prepare(context: TcpContext, listener: TcpListener, ip: IpHeader, header: TcpHeader): SynRequest | null {
  const request = new SynRequest(context, listener);
  request.uid = listener.uid;
  request.reuseAddress = listener.reuseAddress;
  request.reusePort = listener.reusePort;
  return locate(context, request, ip, header, listener.boundInterface) ? request : null;
}

/** Answers without remembering. */
function sendCookie(context: TcpContext, request: SynRequest): void {
  const { counters } = context;
  const { listener } = request;
  if (context.nowNs >= listener.cookiesUntilNs - COOKIES_NS / 2) {
    listener.cookiesUntilNs = context.nowNs + COOKIES_NS;
    counters.TCPReqQFullDoCookies++;
  }
  request.initialSend = makeCookie(context, request);
  counters.SyncookiesSent++;
  sendSynAck(context, request);
}

/** Whether the acknowledgement carries a cookie of ours, and now is (or, without room, will be) a connection. False: to be reset. */
function acceptCookie(context: TcpContext, listener: TcpListener, ip: IpHeader, header: TcpHeader, arrival: Arrival): boolean {
  const { counters } = context;
  if (context.nowNs >= listener.cookiesUntilNs || ip.isToMany) return false;
  const request = prepare(context, listener, ip, header);
  if (request === null) return true;
  request.initialReceive = (header.seq - 1) | 0;
  answerOffer(context, request, listener.options);
  if (!readCookie(context, request, header, scaleToOffer())) {
    counters.SyncookiesFailed++;
    // Linux: resets. With data it may be of a connection whose first segments the flood has drowned: only those confirm a cookie, and they will be repeated.
    return arrival.length > 0;
  }
  counters.SyncookiesRecv++;
  request.retransmits = 1; // nobody remembers how often the SYN|ACK was sent, and when: its round trip is not measured
  if (request.usesTimestamps) request.timestampOffset = (header.tsEcho - context.nowMs) | 0;
  if (listener.isAcceptQueueFull || context.table.isFull) {
    counters.ListenOverflows++;
    return true;
  }
  establish(context, request, ip, header, arrival);
  return true;
}

/** A segment for a request. */
export function requestInput(context: TcpContext, request: SynRequest, ip: IpHeader, header: TcpHeader, arrival: Arrival): void {
  const { flags } = arrival;
  const isOld = request.usesTimestamps && header.timestamps !== 0 && before(header.tsValue, request.recentTimestamp);
  if ((flags & (SYN | ACK | RST)) === SYN && header.seq === request.initialReceive && !isOld) {
    repeatSynAck(context, request);
    return;
  }
  if ((flags & RST) === 0 && (flags & ACK) !== 0 && header.ack !== ((request.initialSend + 1) | 0)) {
    sendReset(context, ip, header, arrival.length);
    return;
  }
  const first = (request.initialReceive + 1) | 0;
  const edge = (first + request.receiveWindow) | 0;
  if (isOld || before(arrival.endSeq, first) || after(arrival.seq, edge)) {
    if ((flags & RST) === 0) repeatSynAck(context, request);
    if (isOld) context.counters.PAWSEstab++;
    return;
  }
  if ((flags & (RST | SYN)) !== 0) {
    context.counters.EmbryonicRsts++;
    context.counters.AttemptFails++;
    if ((flags & RST) === 0) sendReset(context, ip, header, arrival.length);
    dropRequest(context, request);
    return;
  }
  if ((flags & ACK) !== 0) acknowledged(context, request, ip, header, arrival);
}

function repeatSynAck(context: TcpContext, request: SynRequest): void {
  const elapsed = (context.nowUs - request.sentUs) | 0;
  if (elapsed >= 0 && elapsed < INVALID_RATE_LIMIT_US) return;
  context.counters.TCPSynRetrans++;
  context.counters.RetransSegs++;
  sendSynAck(context, request);
  context.timers.set(request.timer, context.nowNs + RTO_INITIAL_US * 2 ** request.retransmits * 1000);
}

/** The handshake is complete, if there is room, and data if the listener waits for that. */
function acknowledged(context: TcpContext, request: SynRequest, ip: IpHeader, header: TcpHeader, arrival: Arrival): void {
  const { listener } = request;
  const { counters } = context;
  const hasData = arrival.length > 0 || (arrival.flags & FIN) !== 0;
  if (request.retransmits < listener.options.deferAccept && !hasData) {
    request.isAcknowledged = true;
    counters.TCPDeferAcceptDrop++;
    return;
  }
  if (listener.isAcceptQueueFull) {
    request.isAcknowledged = true;
    counters.ListenOverflows++;
    counters.ListenDrops++;
    return;
  }
  dropRequest(context, request);
  if (request.usesTimestamps && header.timestamps !== 0) request.recentTimestamp = header.tsValue;
  establish(context, request, ip, header, arrival);
}

/** Makes the connection, which takes the segment as its first, and puts it into the accept queue. */
function establish(context: TcpContext, request: SynRequest, ip: IpHeader, header: TcpHeader, arrival: Arrival): void {
  const { listener } = request;
  const connection = context.create(context);
  connection.listener = listener;
  connection.options.copy(listener.options);
  connection.congestion = createCongestionControl(listener.options.congestion) ?? connection.congestion;
  takeOver(connection, request);
  context.ports.share(connection, listener);
  context.table.add(connection);
  context.counters.PassiveOpens++;
  setState(connection, SYN_RECEIVED);
  listener.push(connection);
  synReceivedInput(connection, ip, header, arrival);
  listener.announce();
}
