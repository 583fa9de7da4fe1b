/**
 * The end of a connection (RFC 9293 section 3.6 and 3.10.4): FIN in both directions, half-close, both at once, resets, and what becomes of a
 * connection that its socket has left.
 *
 *     ESTABLISHED ─close→ FIN_WAIT1 ─ack→ FIN_WAIT2 ─FIN→ TIME_WAIT          (FIN_WAIT1 ─FIN→ CLOSING ─ack→ TIME_WAIT)
 *     ESTABLISHED ─FIN→ CLOSE_WAIT ─close→ LAST_ACK ─ack→ CLOSED
 *
 * Unread data at close is answered with a reset (RFC 1122 section 4.2.2.13). FIN_WAIT2 without a socket, and TIME_WAIT, are kept as remnants
 * (time-wait.ts). Linux: tcp_close, tcp_shutdown, tcp_fin, tcp_done.
 */
import { ECONNRESET } from '#sentry/abi/errno.ts';
import { POLLHUP, POLLRDHUP, READABLE } from '#sentry/abi/fs.ts';
import type { Arrival } from './arrival.ts';
import { ACK_NOW, ACK_SCHEDULED } from './control-block.ts';
import type { ControlBlock } from './control-block.ts';
import { FIN } from './header.ts';
import { MS, ORPHANS_MAX, TIME_WAIT_NS } from './limits.ts';
import { PUSH_ALL, sendQueued } from './output.ts';
import { CHOSEN } from './ports.ts';
import { notify } from './readiness.ts';
import { after } from './sequence.ts';
import {
  CLOSE_WAIT,
  CLOSED,
  CLOSING,
  ESTABLISHED,
  FIN_WAIT1,
  FIN_WAIT2,
  isIn,
  LAST_ACK,
  SHUT_BOTH,
  SHUT_RECEIVE,
  SHUT_SEND,
  SYN_RECEIVED,
  SYN_SENT,
  SYNCHRONIZED,
  TIME_WAIT,
} from './states.ts';
import { clearTimers } from './timers.ts';
import { leaveRemnant } from './time-wait.ts';
import { sendAbort, sendAck } from './transmit.ts';

const COUNTED = (1 << ESTABLISHED) | (1 << CLOSE_WAIT);

/** Every change of state, so that CurrEstab is right. */
export function setState(connection: ControlBlock, state: number): void {
  const { counters } = connection.context;
  if (isIn(state, COUNTED) && !isIn(connection.state, COUNTED)) counters.CurrEstab++;
  else if (!isIn(state, COUNTED) && isIn(connection.state, COUNTED)) counters.CurrEstab--;
  connection.state = state;
}

/** The peer's FIN has its turn. */
export function finArrived(connection: ControlBlock): void {
  connection.shut |= SHUT_RECEIVE;
  connection.finReceived = true;
  connection.ackPending |= ACK_SCHEDULED | ACK_NOW;
  switch (connection.state) {
    case SYN_RECEIVED:
    case ESTABLISHED:
      setState(connection, CLOSE_WAIT);
      break;
    case FIN_WAIT1:
      sendAck(connection);
      setState(connection, CLOSING);
      break;
    case FIN_WAIT2:
      sendAck(connection);
      enterTimeWait(connection);
      break;
    default:
      return;
  }
  notify(connection, connection.shut === SHUT_BOTH ? READABLE | POLLRDHUP | POLLHUP : READABLE | POLLRDHUP);
}

/** In a closing state something was acknowledged: our FIN may have been. False: the connection is gone, or the segment done with. */
export function afterAcknowledged(connection: ControlBlock, arrival: Arrival): boolean {
  const isFinAcked = connection.finQueued && connection.sendUnacked === connection.writeEnd;
  if (!isFinAcked) return connection.state !== CLOSED;
  switch (connection.state) {
    case FIN_WAIT1:
      return enterFinWait2(connection, arrival);
    case CLOSING:
      enterTimeWait(connection);
      notify(connection, -1);
      return false;
    case LAST_ACK:
      finish(connection);
      return false;
    default:
      return connection.state !== CLOSED;
  }
}

function enterFinWait2(connection: ControlBlock, arrival: Arrival): boolean {
  setState(connection, FIN_WAIT2);
  connection.shut |= SHUT_SEND;
  if (!connection.isOrphan) {
    notify(connection, -1);
    return true;
  }
  if (arrival.length > 0 && after((arrival.seq + arrival.length) | 0, connection.receiveNext)) return !abortOnData(connection);
  if ((arrival.flags & FIN) !== 0) return true;
  waitForFin(connection);
  return false;
}

/** An orphan in FIN_WAIT2 waits for the peer's FIN, but not for ever (tcp_fin_timeout, TCP_LINGER2). */
function waitForFin(connection: ControlBlock): void {
  const { finTimeoutMs } = connection.options;
  if (finTimeoutMs < 0) {
    connection.context.counters.TCPAbortOnLinger++;
    sendAbort(connection);
    finish(connection);
    return;
  }
  leaveRemnant(connection, FIN_WAIT2, finTimeoutMs * MS);
  finish(connection);
}

function enterTimeWait(connection: ControlBlock): void {
  leaveRemnant(connection, TIME_WAIT, TIME_WAIT_NS);
  finish(connection);
}

/** Data came that nobody will read: the peer must not believe it was delivered. */
export function abortOnData(connection: ControlBlock): boolean {
  connection.context.counters.TCPAbortOnData++;
  if (!connection.isOrphan) connection.error = ECONNRESET;
  sendAbort(connection);
  finish(connection);
  return true;
}

/** Ends with `error` (positive) for whoever asks next. */
export function resetConnection(connection: ControlBlock, error: number): void {
  if (connection.state === CLOSED) return;
  if (connection.state === SYN_SENT || connection.state === SYN_RECEIVED) connection.context.counters.AttemptFails++;
  connection.error = error;
  finish(connection);
}

/** State CLOSED: nothing is sent or received any more. What was received can still be read. */
export function finish(connection: ControlBlock): void {
  const { context } = connection;
  setState(connection, CLOSED);
  connection.shut = SHUT_BOTH;
  clearTimers(connection);
  purgeSendQueue(connection);
  connection.outOfOrder.clear(context);
  context.table.remove(connection);
  if (connection.portKind === CHOSEN) context.ports.release(connection);
  if (connection.isOrphan) destroy(connection);
  else notify(connection, -1);
}

export function purgeSendQueue(connection: ControlBlock): void {
  for (let segment = connection.sendQueue.head; segment !== null; segment = segment.next) segment.isTimed = false;
  connection.sendQueue.clear(connection.context.segments);
  connection.unsent = null;
  connection.oldestSent = null;
  connection.newestSent = null;
  connection.retransmitHint = null;
  connection.sackHint = null;
  connection.sendCharge = 0;
  connection.sackedBytes = 0;
  connection.lostBytes = 0;
  connection.retransmittedBytes = 0;
}

/** Gives back everything; the object must not be used again. */
function destroy(connection: ControlBlock): void {
  const { context } = connection;
  purgeReceiveQueue(connection);
  context.ports.release(connection);
  if (connection.isOrphan) {
    connection.isOrphan = false;
    context.orphans--;
  }
}

export function purgeReceiveQueue(connection: ControlBlock): void {
  connection.receiveQueue.clear(connection.context.segments);
  connection.receiveCharge = 0;
  connection.receivedBytes = 0;
}

/** Queues FIN behind all that was written, and sends what can go. */
function queueFin(connection: ControlBlock): void {
  if (connection.finQueued) return;
  const { tail } = connection.sendQueue;
  connection.finQueued = true;
  if (tail !== null && connection.unsent !== null) tail.flags |= FIN;
  else {
    const segment = connection.context.segments.take(null, 0, 0, connection.writeEnd);
    segment.flags = FIN;
    connection.sendQueue.append(segment);
    connection.unsent = segment;
  }
  connection.writeEnd = (connection.writeEnd + 1) | 0;
  sendQueued(connection, PUSH_ALL);
}

/** The guest sends no more, as `shut` says already. In SYN_RECEIVED FIN waits until the handshake is done (RFC 9293 section 3.10.4). */
export function closeSending(connection: ControlBlock): void {
  if (connection.state === ESTABLISHED) setState(connection, FIN_WAIT1);
  else if (connection.state === CLOSE_WAIT) setState(connection, LAST_ACK);
  else return;
  queueFin(connection);
}

/** The socket is gone (close(2)): sends FIN, or a reset where data would be lost unseen. */
export function orphan(connection: ControlBlock): void {
  const { context, options } = connection;
  const unread = connection.receivedBytes;
  connection.observer = null;
  connection.shut = SHUT_BOTH;
  connection.isOrphan = true;
  context.orphans++;
  purgeReceiveQueue(connection);
  if (connection.state === CLOSED || connection.state === SYN_SENT) {
    finish(connection);
    return;
  }
  if (unread > 0) context.counters.TCPAbortOnClose++;
  else if (options.lingerSeconds === 0) context.counters.TCPAbortOnData++;
  else if (context.orphans > ORPHANS_MAX) context.counters.TCPAbortOnMemory++;
  else {
    closeSending(connection);
    if (connection.state === FIN_WAIT2) waitForFin(connection);
    return;
  }
  abort(connection);
}

/** Nobody will accept it any more. */
export function orphanUnaccepted(connection: ControlBlock): void {
  connection.isOrphan = true;
  connection.context.orphans++;
  abort(connection);
}

/** Ends the connection at once, with a reset where the peer knows of it. */
export function abort(connection: ControlBlock): void {
  if (isIn(connection.state, SYNCHRONIZED) || connection.state === SYN_RECEIVED) sendAbort(connection);
  finish(connection);
}
