/**
 * Sending what is queued: as much as the congestion window, the peer's window and Nagle's algorithm let go (RFC 9293 sections 3.7.4, 3.8.4 and
 * 3.8.6.2.1, RFC 5681 section 3.1).
 *
 *     guest writes → segments behind `unsent` → sendQueued → transmitSegment → layer below
 *
 * A segment may hold many MSS; what exceeds a window is split off. Linux: tcp_write_xmit, tcp_retransmit_skb.
 */
import { EAGAIN, ENOBUFS } from '#sentry/abi/errno.ts';
import { TIMER_NONE, TIMER_PERSIST, TIMER_RETRANSMIT } from './control-block.ts';
import type { ControlBlock } from './control-block.ts';
import { FIN } from './header.ts';
import { MSS_MIN, RTO_MAX_US, RTO_MIN_US } from './limits.ts';
import { scheduleLossProbe } from './loss/loss-probe.ts';
import { inFlight, markRetransmitted, noteSent, splitSegment } from './loss/scoreboard.ts';
import { enterCwr, restartAfterIdle } from './loss/window-reduction.ts';
import { currentMss } from './mss.ts';
import { sackOptionLength } from './sack-blocks.ts';
import type { Segment } from './segment.ts';
import { after, before } from './sequence.ts';
import { CA_OPEN, CA_RECOVERY, CLOSED, SYN_SENT } from './states.ts';
import { setRetransmitTimer } from './timers.ts';
import { transmitSegment } from './transmit.ts';

/** How hard to push: by Nagle's rule and TCP_CORK, everything at once, or as little as MSG_MORE asks. */
export const PUSH_NORMAL = 0;
export const PUSH_ALL = 1;
export const PUSH_CORKED = 2;

/** Sends what may go. `push`: PUSH_*. */
export function sendQueued(connection: ControlBlock, push: number): void {
  if (connection.unsent === null || connection.state === CLOSED || connection.state === SYN_SENT) return;
  if (connection.path.mtu !== connection.knownMtu) currentMss(connection);
  restartAfterIdle(connection);
  let mss = Math.max(connection.mss - sackOptionLength(connection), MSS_MIN);
  let sent = false;
  connection.isCwndLimited = false;
  for (let segment: Segment | null = connection.unsent; segment !== null; segment = connection.unsent) {
    const length = sendable(connection, segment, mss, push);
    if (length < 0) break;
    if (length < segment.length) splitSegment(connection, segment, length);
    if (transmitNew(connection, segment) < 0) {
      // Dropped before it left. A narrower path is no reason to wait.
      if (connection.path.mtu === connection.knownMtu) break;
      mss = Math.max(currentMss(connection) - sackOptionLength(connection), MSS_MIN);
      continue;
    }
    sent = true;
  }
  if (sent) afterSending(connection);
  else if (connection.timerKind === TIMER_NONE && connection.sendNext === connection.sendUnacked && connection.unsent !== null) {
    connection.stalledSinceNs = connection.context.nowNs;
    setRetransmitTimer(connection, TIMER_PERSIST, persistInterval(connection));
  }
}

/** How many bytes of the segment may go now (0 for a mere FIN); -1: none, it has to wait. */
function sendable(connection: ControlBlock, segment: Segment, mss: number, push: number): number {
  const { length } = segment;
  const least = Math.min(segment.span, mss);
  const out = inFlight(connection);
  const quota = connection.cwnd - out;
  if (quota < least && out > 0) {
    connection.isCwndLimited = true;
    return -1;
  }
  const window = (connection.sendUnacked + connection.sendWindow - segment.seq) | 0;
  if (window < least) return -1;
  if (length <= mss) return holdsBack(connection, segment, length, mss, push) ? -1 : length;
  const room = Math.min(connection.sendGoal, Math.max(quota, mss), window);
  if (length > room) return room - (room % mss);
  const partial = length % mss;
  return partial !== 0 && holdsBack(connection, segment, partial, mss, push) ? length - partial : length;
}

/** Nagle's algorithm in Minshall's variant, and TCP_CORK: whether a part of `bytes` that fills no segment waits for more. */
function holdsBack(connection: ControlBlock, segment: Segment, bytes: number, mss: number, push: number): boolean {
  if (push === PUSH_ALL || bytes >= mss || segment.next !== null || (segment.flags & FIN) !== 0 || connection.sendsUrgent) return false;
  const { options } = connection;
  if (options.cork !== 0 || push === PUSH_CORKED) return true;
  if (options.noDelay !== 0 || connection.sendNext === connection.sendUnacked) return false;
  return after(connection.smallEnd, connection.sendUnacked) && !after(connection.smallEnd, connection.sendNext);
}

/** Sends the first unsent segment. -errno: the layer below dropped it, so it stays unsent. */
function transmitNew(connection: ControlBlock, segment: Segment): number {
  const { context } = connection;
  const error = transmitSegment(connection, segment);
  if (error < 0) {
    if (error === -ENOBUFS && connection.sendNext !== connection.sendUnacked) enterCwr(connection);
    return error;
  }
  connection.unsent = segment.next;
  if (connection.sendNext === connection.sendUnacked) connection.stalledSinceNs = context.nowNs;
  segment.transmissions = 1;
  noteSent(connection, segment);
  if (segment.length > 0 && segment.length % connection.mss !== 0) connection.smallEnd = segment.endSeq;
  connection.sendNext = segment.endSeq;
  if (connection.caState >= CA_RECOVERY || connection.prrActive) connection.prrOut += segment.span;
  context.counters.TCPOrigDataSent++;
  return 0;
}

function afterSending(connection: ControlBlock): void {
  const { context } = connection;
  connection.lastSentUs = context.nowUs;
  // Data that goes out soon after data came in: the guest answers, so acknowledgements can ride along.
  if (((context.nowUs - connection.lastReceivedUs) | 0) < connection.ackTimeoutUs && connection.dataSegmentsIn > 0) connection.pingPong = 1;
  const out = inFlight(connection);
  if (!before(connection.sendUnacked, connection.maxInFlightEnd) || out > connection.maxInFlight) {
    connection.maxInFlight = out;
    connection.maxInFlightEnd = connection.sendNext;
  }
  if (connection.caState === CA_OPEN && scheduleLossProbe(connection)) return;
  if (connection.timerKind !== TIMER_RETRANSMIT) armRetransmit(connection);
}

/** (Re)starts the retransmission timer if anything is out. */
export function armRetransmit(connection: ControlBlock): void {
  setRetransmitTimer(connection, TIMER_RETRANSMIT, Math.min(connection.rtoUs * 2 ** connection.backoff, RTO_MAX_US));
}

/** Until the next window probe: backed off like retransmissions. */
export function persistInterval(connection: ControlBlock): number {
  return Math.min(Math.max(connection.rtoUs, RTO_MIN_US) * 2 ** connection.backoff, RTO_MAX_US);
}

/**
 * Sends a segment again, or as much of its front as `room` octets (at least one MSS). 0, -EAGAIN when the peer's window does not
 * reach it, or -errno of the layer below.
 */
export function retransmitSegment(connection: ControlBlock, segment: Segment, room: number): number {
  const { context } = connection;
  const mss = Math.max(connection.mss - sackOptionLength(connection), MSS_MIN);
  const window = (connection.sendUnacked + connection.sendWindow - segment.seq) | 0;
  if (window <= 0 && segment.seq !== connection.sendUnacked) return -EAGAIN;
  let length = Math.min(segment.length, Math.max(connection.sendGoal, mss));
  if (length > room) length = Math.max(room - (room % mss), mss);
  if (length > window && window > 0) length = window;
  else if (window <= 0) length = Math.min(length, mss);
  if (length < segment.length) splitSegment(connection, segment, length);
  segment.transmissions++;
  markRetransmitted(connection, segment);
  noteSent(connection, segment);
  context.counters.RetransSegs++;
  connection.totalRetransmits++;
  connection.bytesRetransmitted += segment.length;
  connection.prrOut += segment.span;
  if (connection.retransmitStamp === 0) connection.retransmitStamp = (context.nowMs + connection.timestampOffset) | 0 || 1;
  connection.undoRetransmits = Math.max(connection.undoRetransmits, 0) + segment.span;
  const error = transmitSegment(connection, segment);
  if (error < 0) context.counters.TCPRetransFail++;
  connection.lastSentUs = context.nowUs;
  return error;
}

/**
 * Sends the first segment not sent yet, or as much of it as the peer's window takes, whatever Nagle and the congestion window say: for probes.
 * False when the window takes nothing.
 */
export function sendUnsent(connection: ControlBlock): boolean {
  const { unsent } = connection;
  if (unsent === null) return false;
  const window = (connection.sendUnacked + connection.sendWindow - unsent.seq) | 0;
  const length = Math.min(unsent.length, connection.mss, window);
  if (length <= 0 && !(unsent.length === 0 && window > 0)) return false;
  if (length < unsent.length) splitSegment(connection, unsent, length);
  if (transmitNew(connection, unsent) < 0) return false;
  connection.lastSentUs = connection.context.nowUs;
  armRetransmit(connection);
  return true;
}
