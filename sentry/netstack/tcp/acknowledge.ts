/**
 * What an acknowledgement does (RFC 9293 section 3.10.7.4, "fifth"; RFC 5681; RFC 5961 section 5): the peer's window is noted, acknowledged
 * segments leave the send queue, the round trip is measured, losses are looked for, the congestion window moves, and timers follow.
 *
 *     if (acknowledge(connection, header, arrival) < 0) drop the segment
 *
 * Linux: tcp_ack.
 */
import type { AckResult } from './ack-result.ts';
import type { Arrival } from './arrival.ts';
import { challenge } from './challenge.ts';
import type { ControlBlock } from './control-block.ts';
import { TIMER_LOSS_PROBE, TIMER_PERSIST, TIMER_REORDER } from './control-block.ts';
import { FIN, SYN } from './header.ts';
import type { TcpHeader } from './header.ts';
import { judgeLossProbe, scheduleLossProbe } from './loss/loss-probe.ts';
import { adaptReorderWindow, noteReordering, rackDelivered } from './loss/rack.ts';
import { adjustWindow, recover, retransmitLost } from './loss/recovery.ts';
import { processSack } from './loss/sack.ts';
import { forgetAcked, unlinkTimed } from './loss/scoreboard.ts';
import { currentMss } from './mss.ts';
import { armRetransmit, persistInterval } from './output.ts';
import { noteMinRtt, sampleRtt, setTimeoutFromRtt } from './rtt.ts';
import { EVER_RETRANSMITTED, SACKED } from './segment.ts';
import type { Segment } from './segment.ts';
import { after, before } from './sequence.ts';
import { CA_OPEN } from './states.ts';
import { clearRetransmitTimer, setRetransmitTimer } from './timers.ts';

/** 0: taken, also when it was an old one; -1: it acknowledges what was never sent, or long ago: the segment is not to be believed. */
export function acknowledge(connection: ControlBlock, header: TcpHeader, arrival: Arrival): number {
  const { ack } = header;
  const result = connection.context.ack;
  result.clear();
  result.hasData = arrival.length > 0 || (arrival.flags & (SYN | FIN)) !== 0;
  if (before(ack, connection.sendUnacked)) return oldAck(connection, header, result);
  if (after(ack, connection.sendNext)) {
    challenge(connection);
    return -1;
  }
  const wasEmpty = connection.sendNext === connection.sendUnacked;
  connection.softError = 0;
  connection.probesOut = 0;
  connection.lastAckReceivedMs = connection.context.nowMs;
  updateWindow(connection, header, arrival, result);
  if (wasEmpty) {
    connection.sendUnacked = ack;
    probeAnswered(connection);
    if (header.sackCount > 0) processSack(connection, header, result);
    return 0;
  }
  takeAcked(connection, ack, result);
  if (header.sackCount > 0 && connection.usesSack) processSack(connection, header, result);
  measure(connection, header, result);
  if (result.dsack) adaptReorderWindow(connection);
  judge(connection, header, result);
  return 0;
}

/** Repeats something old: only its SACK blocks may be news. */
function oldAck(connection: ControlBlock, header: TcpHeader, result: AckResult): number {
  if (((connection.sendUnacked - header.ack) | 0) > connection.maxWindow) {
    challenge(connection);
    return -1;
  }
  if (header.sackCount > 0 && connection.usesSack && connection.sendNext !== connection.sendUnacked) {
    processSack(connection, header, result);
    recover(connection, result, false, 0);
    adjustWindow(connection, result);
    retransmitLost(connection);
  }
  return 0;
}

/** RFC 9293 section 3.10.7.4: the window counts if the segment is not older than the one that set it. */
function updateWindow(connection: ControlBlock, header: TcpHeader, arrival: Arrival, result: AckResult): void {
  const window = (arrival.flags & SYN) !== 0 ? header.window : header.window << connection.sendScale;
  const isNewer = after(header.ack, connection.sendUnacked) || after(arrival.seq, connection.windowUpdateSeq);
  if (!isNewer && !(arrival.seq === connection.windowUpdateSeq && (window > connection.sendWindow || window === 0))) return;
  connection.windowUpdateSeq = arrival.seq;
  if (window === connection.sendWindow) return;
  result.windowUpdated = true;
  connection.sendWindow = window;
  if (window <= connection.maxWindow) return;
  connection.maxWindow = window;
  currentMss(connection);
}

/** Nothing was out: the acknowledgement answers a window or keepalive probe. Linux: tcp_ack_probe. */
function probeAnswered(connection: ControlBlock): void {
  const { unsent } = connection;
  if (unsent === null) return;
  const edge = (connection.sendUnacked + connection.sendWindow) | 0;
  if (!after(unsent.endSeq, edge)) {
    connection.backoff = 0;
    if (connection.timerKind === TIMER_PERSIST) clearRetransmitTimer(connection);
  } else setRetransmitTimer(connection, TIMER_PERSIST, persistInterval(connection));
}

/** Removes what is acknowledged from the queue. */
function takeAcked(connection: ControlBlock, ack: number, result: AckResult): void {
  const { context, sendQueue } = connection;
  result.advanced = after(ack, connection.sendUnacked);
  result.acked = (ack - connection.sendUnacked) | 0;
  for (let segment = sendQueue.head; segment !== null && segment !== connection.unsent; segment = sendQueue.head) {
    const octets = (ack - segment.seq) | 0;
    if (octets <= 0) break;
    if (octets < segment.span) {
      trimAcked(connection, segment, octets, result);
      break;
    }
    noteDelivered(connection, segment, result);
    forgetAcked(connection, segment, segment.span);
    unlinkTimed(connection, segment);
    if (connection.retransmitHint === segment) connection.retransmitHint = segment.next;
    if (connection.sackHint === segment) connection.sackHint = null;
    sendQueue.remove(segment);
    connection.sendCharge -= segment.charge;
    context.segments.put(segment);
  }
  connection.sendUnacked = ack;
  connection.bytesAcked += result.acked;
  connection.delivered += result.delivered;
  if (connection.sendsUrgent && !before(ack, connection.urgentEnd)) connection.sendsUrgent = false;
}

function trimAcked(connection: ControlBlock, segment: Segment, octets: number, result: AckResult): void {
  if ((segment.marks & SACKED) === 0) result.delivered += octets;
  if ((segment.marks & EVER_RETRANSMITTED) !== 0) result.retransmittedAcked = true;
  else result.originalAcked = true;
  forgetAcked(connection, segment, octets);
  segment.seq = (segment.seq + octets) | 0;
  segment.offset += octets;
  segment.length -= octets;
}

function noteDelivered(connection: ControlBlock, segment: Segment, result: AckResult): void {
  const { marks } = segment;
  const wasRetransmitted = (marks & EVER_RETRANSMITTED) !== 0;
  if (wasRetransmitted) result.retransmittedAcked = true;
  else if ((marks & SACKED) === 0) {
    const { nowUs } = connection.context;
    if (result.rttUs < 0) result.rttUs = (nowUs - segment.sentUs) | 0;
    if (connection.sackedBytes > 0 && connection.usesSack && before(segment.seq, connection.highestSacked)) noteReordering(connection);
    if (!after(segment.endSeq, connection.highSeq)) result.originalAcked = true;
  }
  if ((marks & SACKED) !== 0) return;
  result.delivered += segment.span;
  rackDelivered(connection, segment);
}

/** Takes the round trip from a segment sent once (Karn), from a selectively acknowledged one, or from the timestamp. */
function measure(connection: ControlBlock, header: TcpHeader, result: AckResult): void {
  let rttUs = result.retransmittedAcked ? -1 : result.rttUs;
  if (rttUs < 0) rttUs = result.sackRttUs;
  if (rttUs < 0 && result.advanced && connection.usesTimestamps && header.timestamps !== 0 && header.tsEcho !== 0) {
    const { context } = connection;
    const elapsedMs = (context.nowMs + connection.timestampOffset - header.tsEcho) | 0;
    if (elapsedMs >= 0 && elapsedMs < 200_000) rttUs = Math.max(elapsedMs, 1) * 1000;
  } else if (rttUs >= 0) noteMinRtt(connection, rttUs);
  if (rttUs >= 0) sampleRtt(connection, rttUs);
}

/** Losses, window, timers. */
function judge(connection: ControlBlock, header: TcpHeader, result: AckResult): void {
  judgeLossProbe(connection, header.ack, result);
  if (result.advanced) {
    connection.retransmits = 0;
    connection.backoff = 0;
    connection.stalledSinceNs = connection.context.nowNs;
    if (connection.srttUs > 0) setTimeoutFromRtt(connection);
  }
  rearm(connection, result);
  const isDuplicate = !result.advanced && !result.hasData && !result.windowUpdated && (!connection.usesSack || !result.newlySacked);
  if (isDuplicate || result.newlySacked || result.dsack || connection.caState !== CA_OPEN) {
    recover(connection, result, isDuplicate, header.timestamps !== 0 ? header.tsEcho : 0);
  }
  adjustWindow(connection, result);
  if (connection.retransmitHint !== null) retransmitLost(connection);
}

/** Whatever was acknowledged restarts the retransmission timer (RFC 6298 section 5.3), or stops it when nothing is out. */
function rearm(connection: ControlBlock, result: AckResult): void {
  if (connection.sendNext === connection.sendUnacked) {
    clearRetransmitTimer(connection);
    connection.backoff = 0;
    return;
  }
  const { timerKind } = connection;
  if (!result.advanced && !result.newlySacked && timerKind !== TIMER_REORDER && timerKind !== TIMER_LOSS_PROBE) return;
  if (result.advanced || result.newlySacked) {
    if (!scheduleLossProbe(connection)) armRetransmit(connection);
  }
}
