/**
 * The scoreboard (RFC 6675 section 3): which octets of the send queue are out, selectively acknowledged, lost, sent again. Every change of a mark
 * goes through here, so that the sums always agree with the marks:
 *
 *     in flight = sent and not acknowledged - SACKED - LOST + RETRANSMITTED
 *
 * A segment is never SACKED and LOST at once. The list by time of transmission holds what is out and neither SACKED nor (LOST and not sent
 * again): what RACK may still find missing.
 */
import type { ControlBlock } from '../control-block.ts';
import { EVER_RETRANSMITTED, LOST, RETRANSMITTED, SACKED } from '../segment.ts';
import type { Segment } from '../segment.ts';
import { before } from '../sequence.ts';

/** Octets that are believed to be in the network. */
export function inFlight(connection: ControlBlock): number {
  const out = (connection.sendNext - connection.sendUnacked) | 0;
  return out - connection.sackedBytes - connection.lostBytes + connection.retransmittedBytes;
}

/** Appends to the list by time; a segment sent again moves to its end. */
export function noteSent(connection: ControlBlock, segment: Segment): void {
  connection.sendOrder = (connection.sendOrder + 1) | 0;
  segment.order = connection.sendOrder;
  segment.sentUs = connection.context.nowUs;
  appendTimed(connection, segment);
}

function appendTimed(connection: ControlBlock, segment: Segment): void {
  if (segment.isTimed) unlinkTimed(connection, segment);
  segment.isTimed = true;
  segment.earlier = connection.newestSent;
  segment.later = null;
  if (connection.newestSent === null) connection.oldestSent = segment;
  else connection.newestSent.later = segment;
  connection.newestSent = segment;
}

export function unlinkTimed(connection: ControlBlock, segment: Segment): void {
  if (!segment.isTimed) return;
  segment.isTimed = false;
  if (segment.earlier === null) connection.oldestSent = segment.later;
  else segment.earlier.later = segment.later;
  if (segment.later === null) connection.newestSent = segment.earlier;
  else segment.later.earlier = segment.earlier;
  segment.earlier = null;
  segment.later = null;
}

export function markSacked(connection: ControlBlock, segment: Segment): void {
  const { span } = segment;
  forgetLoss(connection, segment, span);
  segment.marks |= SACKED;
  connection.sackedBytes += span;
  unlinkTimed(connection, segment);
}

/** Marks a segment lost, also one whose retransmission was lost. Nothing for segments that are SACKED or already wait to be sent again. */
export function markLost(connection: ControlBlock, segment: Segment): boolean {
  const { marks } = segment;
  if ((marks & SACKED) !== 0 || (marks & (LOST | RETRANSMITTED)) === LOST) return false;
  if ((marks & RETRANSMITTED) !== 0) {
    connection.retransmittedBytes -= segment.span;
    if ((marks & LOST) !== 0) connection.context.counters.TCPLostRetransmit++;
  }
  if ((marks & LOST) === 0) connection.lostBytes += segment.span;
  segment.marks = (marks | LOST) & ~RETRANSMITTED;
  unlinkTimed(connection, segment);
  const hint = connection.retransmitHint;
  if (hint === null || before(segment.seq, hint.seq)) connection.retransmitHint = segment;
  return true;
}

export function markRetransmitted(connection: ControlBlock, segment: Segment): void {
  if ((segment.marks & RETRANSMITTED) === 0) connection.retransmittedBytes += segment.span;
  segment.marks |= RETRANSMITTED | EVER_RETRANSMITTED;
}

/** LOST and RETRANSMITTED no longer count for `octets` of the segment. */
function forgetLoss(connection: ControlBlock, segment: Segment, octets: number): void {
  if ((segment.marks & LOST) !== 0) connection.lostBytes -= octets;
  if ((segment.marks & RETRANSMITTED) !== 0) connection.retransmittedBytes -= octets;
  if (octets === segment.span) segment.marks &= ~(LOST | RETRANSMITTED);
}

/** The first `octets` of the segment were acknowledged cumulatively: they leave all sums. */
export function forgetAcked(connection: ControlBlock, segment: Segment, octets: number): void {
  if ((segment.marks & SACKED) !== 0) connection.sackedBytes -= octets;
  forgetLoss(connection, segment, octets);
}

/** Undoing: nothing is lost any more. */
export function clearLost(connection: ControlBlock): void {
  for (let segment = connection.sendQueue.head; segment !== null && segment !== connection.unsent; segment = segment.next) {
    if ((segment.marks & LOST) === 0) continue;
    segment.marks &= ~LOST;
    connection.lostBytes -= segment.span;
    if (!segment.isTimed) insertByOrder(connection, segment);
  }
  connection.retransmitHint = null;
}

/** Back to its place in the list by time. */
function insertByOrder(connection: ControlBlock, segment: Segment): void {
  let place = connection.newestSent;
  while (place !== null && ((place.order - segment.order) | 0) > 0) place = place.earlier;
  if (place !== null) {
    insertTimed(connection, segment, place);
    return;
  }
  const { oldestSent } = connection;
  segment.isTimed = true;
  segment.earlier = null;
  segment.later = oldestSent;
  if (oldestSent === null) connection.newestSent = segment;
  else oldestSent.earlier = segment;
  connection.oldestSent = segment;
}

/** Splits a segment of the send queue behind `bytes` of its payload (0 < bytes < length); marks and times hold for both parts. */
export function splitSegment(connection: ControlBlock, segment: Segment, bytes: number): Segment {
  const { context } = connection;
  const rest = context.segments.take(segment.packet, segment.offset + bytes, segment.length - bytes, (segment.seq + bytes) | 0);
  rest.flags = segment.flags;
  rest.marks = segment.marks;
  rest.sentUs = segment.sentUs;
  rest.order = segment.order;
  rest.transmissions = segment.transmissions;
  rest.charge = Math.max(0, segment.charge - bytes);
  segment.charge -= rest.charge;
  segment.length = bytes;
  segment.flags = 0;
  connection.sendQueue.insertAfter(rest, segment);
  if (segment.isTimed) insertTimed(connection, rest, segment);
  return rest;
}

function insertTimed(connection: ControlBlock, segment: Segment, place: Segment): void {
  segment.isTimed = true;
  segment.earlier = place;
  segment.later = place.later;
  if (place.later === null) connection.newestSent = segment;
  else place.later.earlier = segment;
  place.later = segment;
}
