/**
 * A segment for a connection in a synchronized state (RFC 9293 section 3.10.7.4), in the order of the RFC:
 *
 *     validate (PAWS, sequence, RST, SYN) → acknowledge → changes of state by the acknowledgement → urgent → data → FIN → send, acknowledge
 *
 * Linux: tcp_rcv_established and tcp_rcv_state_process.
 */
import { ECONNRESET, EPIPE } from '#sentry/abi/errno.ts';
import { acknowledgeReceived, enterQuickAck } from './ack-policy.ts';
import { acknowledge } from './acknowledge.ts';
import type { Arrival } from './arrival.ts';
import { admitsInvalid, challenge } from './challenge.ts';
import { afterAcknowledged, resetConnection } from './closing.ts';
import type { ControlBlock } from './control-block.ts';
import { FIN, RST, SYN, URG } from './header.ts';
import type { TcpHeader } from './header.ts';
import { QUICK_ACKS_MAX } from './limits.ts';
import { PUSH_NORMAL, sendQueued } from './output.ts';
import { isOldTimestamp, takeTimestamp } from './paws.ts';
import { receiveData } from './receive.ts';
import { noteDuplicate } from './sack-blocks.ts';
import { after, before } from './sequence.ts';
import { CLOSE_WAIT, CLOSED, ESTABLISHED, SYN_RECEIVED } from './states.ts';
import { sendAck } from './transmit.ts';
import { noteUrgent, takeUrgent } from './urgent.ts';
import { offeredWindow } from './window.ts';
import { notify, notifyWritable } from './readiness.ts';

/** Works on `arrival`, described by `header`. In SYN_RECEIVED the acknowledgement has been checked already (handshake.ts). */
export function receiveSegment(connection: ControlBlock, header: TcpHeader, arrival: Arrival): void {
  connection.segmentsIn++;
  if (!isValid(connection, header, arrival)) return;
  processSegment(connection, header, arrival);
}

/** The rest, for a segment found valid. */
export function processSegment(connection: ControlBlock, header: TcpHeader, arrival: Arrival): void {
  if (acknowledge(connection, header, arrival) < 0) return;
  takeTimestamp(connection, header, arrival);
  if (connection.state !== ESTABLISHED && connection.state !== CLOSE_WAIT && !afterAcknowledged(connection, arrival)) return;
  if ((arrival.flags & URG) !== 0) noteUrgent(connection, header, arrival);
  if (arrival.length > 0 || (arrival.flags & FIN) !== 0) {
    if (connection.urgentState !== 0) takeUrgent(connection, arrival);
    receiveData(connection, arrival, header.segmentSize);
  }
  if (connection.state === CLOSED) return;
  if (connection.unsent !== null) sendQueued(connection, PUSH_NORMAL);
  acknowledgeReceived(connection);
  notifyWritable(connection);
}

/** RFC 9293 "first" to "fourth", with RFC 7323 (PAWS) and RFC 5961 (challenges). */
export function isValid(connection: ControlBlock, header: TcpHeader, arrival: Arrival): boolean {
  const { context } = connection;
  const isReset = (arrival.flags & RST) !== 0;
  if (isOldTimestamp(connection, header, arrival) && !isReset) {
    context.counters.PAWSEstab++;
    if (admitsInvalid(connection)) answerDuplicate(connection, arrival);
    return false;
  }
  if (!isInWindow(connection, arrival)) {
    if (isReset) return false;
    if ((arrival.flags & SYN) !== 0) return refuseSyn(connection);
    if (admitsInvalid(connection)) answerDuplicate(connection, arrival);
    return false;
  }
  if (isReset) {
    // Only the exact sequence is believed at once (RFC 5961 section 3).
    if (arrival.seq === connection.receiveNext) reset(connection);
    else challenge(connection);
    return false;
  }
  if ((arrival.flags & SYN) !== 0 && connection.state !== SYN_RECEIVED) return refuseSyn(connection);
  return true;
}

function refuseSyn(connection: ControlBlock): boolean {
  connection.context.counters.TCPSYNChallenge++;
  challenge(connection);
  return false;
}

/** RFC 9293 section 3.4: something of the segment lies in what we offered, or it is an old one that may carry an acknowledgement. */
function isInWindow(connection: ControlBlock, arrival: Arrival): boolean {
  const edge = (connection.receiveNext + offeredWindow(connection)) | 0;
  return !before(arrival.endSeq, connection.acknowledged) && !after(arrival.seq, edge);
}

/** What was sent twice is answered with what we have, and that it was (RFC 2883). */
function answerDuplicate(connection: ControlBlock, arrival: Arrival): void {
  if (arrival.endSeq !== arrival.seq && before(arrival.seq, connection.receiveNext)) {
    enterQuickAck(connection, QUICK_ACKS_MAX);
    noteDuplicate(connection, arrival.seq, before(connection.receiveNext, arrival.endSeq) ? connection.receiveNext : arrival.endSeq);
  }
  sendAck(connection);
}

/** The peer reset the connection. */
function reset(connection: ControlBlock): void {
  const { counters } = connection.context;
  if (connection.state === ESTABLISHED || connection.state === CLOSE_WAIT) counters.EstabResets++;
  resetConnection(connection, connection.state === CLOSE_WAIT ? EPIPE : ECONNRESET);
  notify(connection, -1);
}
