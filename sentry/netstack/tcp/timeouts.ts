/**
 * What happens when a connection's timer fires (RFC 6298 section 5, RFC 8985 section 7.3, RFC 9293 sections 3.8.3, 3.8.4 and 3.8.6.1):
 *
 *     delayed acknowledgement → send it                  retransmission → everything out is lost, begin anew with one segment
 *     loss probe, reordering → loss recovery             persist → window probe          keepalive → probe, or give up
 *
 * Linux: net/ipv4/tcp_timer.c.
 */
import { ETIMEDOUT } from '#sentry/abi/errno.ts';
import { ackTimerFired } from './ack-policy.ts';
import { resetConnection } from './closing.ts';
import { TIMER_LOSS_PROBE, TIMER_NONE, TIMER_PERSIST, TIMER_REORDER, TIMER_RETRANSMIT } from './control-block.ts';
import type { ControlBlock } from './control-block.ts';
import { sendFirst } from './handshake.ts';
import { ACK, SYN } from './header.ts';
import { MS, ORPHAN_RETRIES, RETRIES2, RTO_MAX_US, SYNACK_RETRIES } from './limits.ts';
import { detectLosses } from './loss/rack.ts';
import { enterRecovery, retransmitLost } from './loss/recovery.ts';
import { enterLoss } from './loss/timeout.ts';
import { armRetransmit, persistInterval, retransmitSegment, sendUnsent } from './output.ts';
import { CA_RECOVERY, CLOSED, ESTABLISHED, isIn, OPENING, SYN_SENT, SYNCHRONIZED } from './states.ts';
import { armTimer, clearRetransmitTimer, setKeepAliveTimer, setRetransmitTimer } from './timers.ts';
import { sendAbort, sendProbe } from './transmit.ts';

/** Keepalive looks again after this long when there was something else to wait for. */
const KEEPALIVE_LATER_MS = 500;

/** The heap's timer has fired: does what is due, and sets it for the rest. */
export function onTimer(connection: ControlBlock, nowNs: number): void {
  if (connection.state === CLOSED) return;
  if (connection.delayedAckAtNs <= nowNs) ackTimerFired(connection);
  if (connection.retransmitAtNs <= nowNs) retransmitTimer(connection);
  if (connection.keepAliveAtNs <= nowNs) keepAliveTimer(connection);
  // `finish` has cancelled the timer if any of them ended the connection.
  if (connection.state !== CLOSED) armTimer(connection);
}

function retransmitTimer(connection: ControlBlock): void {
  const { timerKind } = connection;
  clearRetransmitTimer(connection);
  switch (timerKind) {
    case TIMER_RETRANSMIT:
      if (isIn(connection.state, OPENING)) repeatSyn(connection);
      else timedOut(connection);
      return;
    case TIMER_LOSS_PROBE:
      sendLossProbe(connection);
      return;
    case TIMER_REORDER:
      reorderTimer(connection);
      return;
    case TIMER_PERSIST:
      probeWindow(connection);
      return;
    case TIMER_NONE:
    default:
      return;
  }
}

/** The peer does not answer: ends the connection. */
function giveUp(connection: ControlBlock): void {
  connection.context.counters.TCPAbortOnTimeout++;
  resetConnection(connection, connection.softError !== 0 ? connection.softError : ETIMEDOUT);
}

function isUserTimeoutOver(connection: ControlBlock): boolean {
  const { userTimeoutMs } = connection.options;
  return userTimeoutMs > 0 && connection.context.nowNs - connection.stalledSinceNs >= userTimeoutMs * MS;
}

/** The timer must not run longer than TCP_USER_TIMEOUT leaves. */
function boundByUserTimeout(connection: ControlBlock): void {
  const { userTimeoutMs } = connection.options;
  if (userTimeoutMs > 0) connection.retransmitAtNs = Math.min(connection.retransmitAtNs, connection.stalledSinceNs + userTimeoutMs * MS);
}

function repeatSyn(connection: ControlBlock): void {
  const most = connection.state === SYN_SENT ? connection.options.synRetries : SYNACK_RETRIES;
  if (connection.retransmits >= most || isUserTimeoutOver(connection)) {
    giveUp(connection);
    return;
  }
  const { counters } = connection.context;
  connection.retransmits++;
  connection.totalRetransmits++;
  connection.backoff++;
  counters.TCPTimeouts++;
  counters.TCPSynRetrans++;
  counters.RetransSegs++;
  sendFirst(connection, connection.state === SYN_SENT ? SYN : SYN | ACK);
  armRetransmit(connection);
  boundByUserTimeout(connection);
}

/** The retransmission timeout (RFC 6298 section 5.4 to 5.7). */
function timedOut(connection: ControlBlock): void {
  if (connection.sendNext === connection.sendUnacked) return;
  const most = connection.isOrphan ? ORPHAN_RETRIES : RETRIES2;
  const isOver = connection.options.userTimeoutMs > 0 ? isUserTimeoutOver(connection) : connection.retransmits >= most;
  if (isOver) {
    giveUp(connection);
    return;
  }
  connection.context.counters.TCPTimeouts++;
  enterLoss(connection);
  if (!isHoldingOut(connection)) connection.retransmits++;
  const { head } = connection.sendQueue;
  if (head !== null && head !== connection.unsent) retransmitSegment(connection, head, connection.mss);
  connection.retransmitHint = connection.sendQueue.head;
  if (connection.rtoUs * 2 ** connection.backoff < RTO_MAX_US) connection.backoff++;
  armRetransmit(connection);
  boundByUserTimeout(connection);
}

/** A peer that took its window back but still answers is no dead one (Linux: tcp_retransmit_timer with a window of zero). */
function isHoldingOut(connection: ControlBlock): boolean {
  const silentMs = (connection.context.nowMs - connection.lastAckReceivedMs) | 0;
  return connection.sendWindow === 0 && !connection.isOrphan && silentMs < (2 * RTO_MAX_US) / 1000;
}

/** RFC 8985 section 7.3: new data if there is any, else the last segment again. */
function sendLossProbe(connection: ControlBlock): void {
  if (connection.probePending) {
    armRetransmit(connection);
    return;
  }
  const { sendNext } = connection;
  const sent = sendUnsent(connection);
  if (!sent && !repeatLast(connection)) {
    armRetransmit(connection);
    return;
  }
  connection.probePending = true;
  connection.probeRetransmitted = !sent;
  connection.probeEnd = sent ? connection.sendNext : sendNext;
  connection.context.counters.TCPLossProbes++;
  armRetransmit(connection);
}

/** Sends the last segment in the network again; a long one's last MSS would do, but splitting buys nothing here. */
function repeatLast(connection: ControlBlock): boolean {
  const { unsent, sendQueue } = connection;
  const last = unsent === null ? sendQueue.tail : unsent.previous;
  if (last === null || connection.sendNext === connection.sendUnacked) return false;
  return retransmitSegment(connection, last, last.length) >= 0;
}

/** What might only have been reordered has had its time (RFC 8985 section 6.3). */
function reorderTimer(connection: ControlBlock): void {
  const lostBefore = connection.lostBytes;
  detectLosses(connection);
  if (connection.lostBytes > lostBefore) {
    if (connection.caState < CA_RECOVERY) {
      enterRecovery(connection);
      connection.cwnd = Math.max(connection.cwnd, connection.mss);
    }
    retransmitLost(connection);
  }
  if (connection.timerKind === TIMER_NONE && connection.sendNext !== connection.sendUnacked) armRetransmit(connection);
}

/** RFC 9293 section 3.8.6.1: asks for a window, or sends what fits into the little there is. */
function probeWindow(connection: ControlBlock): void {
  const { context } = connection;
  if (connection.unsent === null || connection.sendNext !== connection.sendUnacked) {
    connection.probesOut = 0;
    if (connection.sendNext !== connection.sendUnacked) armRetransmit(connection);
    return;
  }
  const isAlive = persistInterval(connection) < RTO_MAX_US;
  const most = connection.isOrphan ? ORPHAN_RETRIES : RETRIES2;
  const isHopeless = connection.isOrphan && !isAlive && connection.backoff >= most;
  if (isHopeless || connection.probesOut >= most || isUserTimeoutOver(connection)) {
    giveUp(connection);
    return;
  }
  context.counters.TCPWinProbe++;
  if (!sendUnsent(connection)) {
    sendProbe(connection);
    connection.probesOut++;
    if (connection.backoff < RETRIES2) connection.backoff++;
    setRetransmitTimer(connection, TIMER_PERSIST, persistInterval(connection));
    boundByUserTimeout(connection);
  }
}

/** RFC 9293 section 3.8.4: an idle connection is probed, and given up when nobody answers. */
function keepAliveTimer(connection: ControlBlock): void {
  connection.keepAliveAtNs = Infinity;
  const { options, context } = connection;
  if (options.keepAlive === 0 || !isIn(connection.state, SYNCHRONIZED)) return;
  // Data that is out, or waits for a window, has timers of its own.
  if (connection.sendNext !== connection.sendUnacked || connection.unsent !== null) {
    setKeepAliveTimer(connection, options.keepIdleMs);
    return;
  }
  const idleMs = idleTime(connection);
  if (idleMs < options.keepIdleMs) {
    setKeepAliveTimer(connection, Math.max(options.keepIdleMs - idleMs, 1));
    return;
  }
  const isOver =
    options.userTimeoutMs > 0 ? idleMs >= options.userTimeoutMs && connection.probesOut > 0 : connection.probesOut >= options.keepCount;
  if (isOver) {
    sendAbort(connection);
    giveUp(connection);
    return;
  }
  context.counters.TCPKeepAlive++;
  sendProbe(connection);
  connection.probesOut++;
  setKeepAliveTimer(connection, Math.max(options.keepIntervalMs, KEEPALIVE_LATER_MS));
}

/** Milliseconds since the peer was last heard of. */
function idleTime(connection: ControlBlock): number {
  const { nowMs } = connection.context;
  return Math.min((nowMs - connection.lastAckReceivedMs) | 0, (nowMs - connection.lastDataReceivedMs) | 0);
}

/** SO_KEEPALIVE or its times were changed. */
export function restartKeepAlive(connection: ControlBlock): void {
  connection.keepAliveAtNs = Infinity;
  if (connection.options.keepAlive === 0 || !isIn(connection.state, SYNCHRONIZED)) return;
  const left = connection.options.keepIdleMs - (connection.state === ESTABLISHED ? idleTime(connection) : 0);
  setKeepAliveTimer(connection, Math.max(left, 1));
}
