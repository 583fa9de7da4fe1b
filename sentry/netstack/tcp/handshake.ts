/**
 * Opening a connection ourselves (RFC 9293 section 3.10.1 and 3.10.7.3), and both sides at once (section 3.5, figure 7):
 *
 *     CLOSED ─connect→ SYN_SENT ─SYN|ACK→ ESTABLISHED
 *                      SYN_SENT ─SYN→ SYN_RECEIVED ─ACK→ ESTABLISHED
 *
 * A connection that a listener accepts begins in SYN_RECEIVED too (passive-open.ts), and goes on here.
 */
import { ECONNREFUSED } from '#sentry/abi/errno.ts';
import { WRITABLE } from '#sentry/abi/fs.ts';
import type { IpHeader } from '../ip/header.ts';
import type { Arrival } from './arrival.ts';
import { closeSending, resetConnection, setState } from './closing.ts';
import { TIMER_RETRANSMIT } from './control-block.ts';
import type { ControlBlock } from './control-block.ts';
import { ACK, RST, SYN } from './header.ts';
import type { TcpHeader } from './header.ts';
import { RTO_INITIAL_US } from './limits.ts';
import { isValid, processSegment } from './input.ts';
import { mssOfPath } from './mss.ts';
import { begin, firstWindow, scaleToOffer, takeOffer } from './negotiate.ts';
import { PUSH_NORMAL, sendQueued } from './output.ts';
import { notify } from './readiness.ts';
import { noteMinRtt, sampleRtt } from './rtt.ts';
import { after } from './sequence.ts';
import { ESTABLISHED, SHUT_SEND, SYN_RECEIVED, SYN_SENT } from './states.ts';
import { clearRetransmitTimer, setRetransmitTimer } from './timers.ts';
import { sendAck, sendReset, sendSyn } from './transmit.ts';

/** Sends the first SYN. Four-tuple, path and `initialSend` are set, and the table holds the connection. */
export function open(connection: ControlBlock): void {
  const { context } = connection;
  connection.announcedMss = mssOfPath(connection.path, connection.remote.isIpv4, connection.options.maxSegment);
  connection.receiveScale = scaleToOffer();
  connection.receiveWindow = firstWindow(connection.options, connection.announcedMss);
  connection.sendUnacked = connection.initialSend;
  connection.sendNext = (connection.initialSend + 1) | 0;
  connection.writeEnd = connection.sendNext;
  connection.timestampOffset = context.secrets.timestampOffset(connection.local, connection.remote);
  connection.stalledSinceNs = context.nowNs;
  connection.retransmits = 0;
  connection.backoff = 0;
  connection.rtoUs = RTO_INITIAL_US;
  setState(connection, SYN_SENT);
  context.counters.ActiveOpens++;
  sendFirst(connection, SYN);
  setRetransmitTimer(connection, TIMER_RETRANSMIT, connection.rtoUs);
}

/** (Re)sends our SYN. Its window is what was decided at first: nothing has been received that could change it. */
export function sendFirst(connection: ControlBlock, flags: number): void {
  connection.lastSentUs = connection.context.nowUs;
  sendSyn(connection, flags);
}

/** RFC 9293 section 3.10.7.3. */
export function synSentInput(connection: ControlBlock, ip: IpHeader, header: TcpHeader, arrival: Arrival): void {
  const { flags } = arrival;
  const hasAck = (flags & ACK) !== 0;
  connection.segmentsIn++;
  if (
    hasAck &&
    (!after(header.ack, connection.initialSend) || after(header.ack, connection.sendNext) || isForeignEcho(connection, header))
  ) {
    sendReset(connection.context, ip, header, arrival.length);
    return;
  }
  if ((flags & RST) !== 0) {
    if (hasAck) resetConnection(connection, ECONNREFUSED);
    return;
  }
  if ((flags & SYN) === 0) return;
  takeOffer(connection, header);
  connection.initialReceive = header.seq;
  connection.receiveNext = (header.seq + 1) | 0;
  connection.copiedSeq = connection.receiveNext;
  connection.acknowledged = connection.receiveNext;
  connection.windowUpdateSeq = header.seq;
  connection.sendWindow = header.window;
  connection.maxWindow = header.window;
  if (hasAck) accepted(connection, header);
  else crossed(connection);
}

/** An echo that we cannot have sent: an old duplicate. */
function isForeignEcho(connection: ControlBlock, header: TcpHeader): boolean {
  if (header.timestamps === 0 || header.tsEcho === 0) return false;
  const age = (connection.context.nowMs + connection.timestampOffset - header.tsEcho) | 0;
  if (age >= 0 && age < 300_000) return false;
  connection.context.counters.PAWSActive++;
  return true;
}

function accepted(connection: ControlBlock, header: TcpHeader): void {
  connection.sendUnacked = header.ack;
  measureSyn(connection);
  established(connection);
  if (connection.unsent !== null) sendQueued(connection, PUSH_NORMAL);
  if (connection.sendNext === connection.sendUnacked) sendAck(connection);
}

/** A SYN without acknowledgement: both sides open at once. */
function crossed(connection: ControlBlock): void {
  setState(connection, SYN_RECEIVED);
  connection.retransmits = 0;
  sendFirst(connection, SYN | ACK);
}

/** A segment in SYN_RECEIVED: it must acknowledge our SYN. */
export function synReceivedInput(connection: ControlBlock, ip: IpHeader, header: TcpHeader, arrival: Arrival): void {
  connection.segmentsIn++;
  if (!isValid(connection, header, arrival)) return;
  if ((arrival.flags & ACK) === 0) return;
  if (!after(header.ack, connection.sendUnacked) || after(header.ack, connection.sendNext)) {
    sendReset(connection.context, ip, header, arrival.length);
    return;
  }
  if ((arrival.flags & SYN) !== 0) {
    arrival.flags &= ~SYN;
    arrival.seq = (arrival.seq + 1) | 0;
  }
  connection.sendUnacked = (connection.initialSend + 1) | 0;
  connection.sendWindow = header.window << connection.sendScale;
  connection.maxWindow = Math.max(connection.sendWindow, connection.maxWindow);
  connection.windowUpdateSeq = arrival.seq;
  measureSyn(connection);
  established(connection);
  processSegment(connection, header, arrival);
}

/** The round trip of the handshake, unless the SYN was repeated. */
function measureSyn(connection: ControlBlock): void {
  if (connection.retransmits > 0) return;
  const rttUs = (connection.context.nowUs - connection.lastSentUs) | 0;
  noteMinRtt(connection, rttUs);
  sampleRtt(connection, rttUs);
}

/** Linux: tcp_init_transfer. A guest that has closed meanwhile sends FIN now. */
function established(connection: ControlBlock): void {
  clearRetransmitTimer(connection);
  connection.retransmits = 0;
  connection.backoff = 0;
  setState(connection, ESTABLISHED);
  begin(connection);
  notify(connection, WRITABLE);
  if ((connection.shut & SHUT_SEND) !== 0) closeSending(connection);
}
