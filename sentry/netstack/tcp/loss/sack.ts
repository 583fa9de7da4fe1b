/**
 * What the SACK blocks of an acknowledgement say (RFC 2018, RFC 2883, RFC 6675 section 4): segments of the send queue are marked SACKED. Blocks
 * that lie outside of what was sent are ignored; so are parts of segments where splitting would go on without end.
 */
import type { AckResult } from '../ack-result.ts';
import type { ControlBlock } from '../control-block.ts';
import type { TcpHeader } from '../header.ts';
import { SEND_SEGMENTS_MAX } from '../limits.ts';
import { EVER_RETRANSMITTED, SACKED } from '../segment.ts';
import type { Segment } from '../segment.ts';
import { after, before } from '../sequence.ts';
import { noteReordering, rackDelivered } from './rack.ts';
import { markSacked, splitSegment } from './scoreboard.ts';

/** Looks at all blocks of `header`, whose acknowledgement number has been taken care of. */
export function processSack(connection: ControlBlock, header: TcpHeader, result: AckResult): void {
  const first = noteDsack(connection, header, result) ? 1 : 0;
  for (let i = first; i < header.sackCount; i++) {
    const start = header.sack[2 * i]!;
    const end = header.sack[2 * i + 1]!;
    if (!after(end, start) || after(end, connection.sendNext) || before(start, connection.sendUnacked)) continue;
    markRange(connection, start, end, result);
  }
}

/** Whether the first block reports a duplicate: it lies below the acknowledgement, or within the second block (RFC 2883 section 4). */
function noteDsack(connection: ControlBlock, header: TcpHeader, result: AckResult): boolean {
  const { sack } = header;
  const start = sack[0]!;
  const end = sack[1]!;
  const isOld = before(start, header.ack);
  const isWithin = header.sackCount > 1 && !after(end, sack[3]!) && !before(start, sack[2]!);
  if (!isOld && !isWithin) return false;
  const span = (end - start) | 0;
  // Of what we never sent, or so long ago that the window has passed, nothing is believed.
  if (span <= 0 || after(end, connection.sendNext) || span > connection.maxWindow) return true;
  const { counters } = connection.context;
  if (isOld) counters.TCPDSACKRecv++;
  else counters.TCPDSACKOfoRecv++;
  result.dsack = true;
  connection.dsacksReceived++;
  connection.rackDsackSeen = true;
  if (connection.mayUndo && connection.undoRetransmits > 0 && !before(start, connection.undoMarker))
    connection.undoRetransmits = Math.max(0, connection.undoRetransmits - span);
  return true;
}

function markRange(connection: ControlBlock, start: number, end: number, result: AckResult): void {
  const hint = connection.sackHint;
  let segment = hint !== null && !before(start, hint.seq) ? hint : connection.sendQueue.head;
  while (segment !== null && segment !== connection.unsent && before(segment.seq, end)) {
    connection.sackHint = segment;
    if (after(segment.endSeq, start) && (segment.marks & SACKED) === 0) {
      const covered = coveredPart(connection, segment, start, end);
      if (covered !== null) {
        noteSacked(connection, covered, result);
        segment = covered;
      }
    }
    segment = segment.next;
  }
}

/** The segment, split so that it lies within the range; null when no whole part of it does. Splits fall where segments of one MSS began. */
function coveredPart(connection: ControlBlock, whole: Segment, start: number, end: number): Segment | null {
  let segment = whole;
  const { mss } = connection;
  const ahead = (start - segment.seq) | 0;
  if (ahead > 0) {
    const keep = Math.ceil(ahead / mss) * mss;
    if (keep >= segment.length || connection.sendQueue.count >= SEND_SEGMENTS_MAX) return null;
    segment = splitSegment(connection, segment, keep);
  }
  if (!after(segment.endSeq, end)) return segment;
  const inside = Math.min((end - segment.seq) | 0, segment.length);
  const keep = inside - (inside % mss);
  // A segment that is shorter than it was sent (the path narrowed) ends where it ends.
  if (keep <= 0 || keep >= segment.length || connection.sendQueue.count >= SEND_SEGMENTS_MAX) return null;
  splitSegment(connection, segment, keep);
  return segment;
}

function noteSacked(connection: ControlBlock, segment: Segment, result: AckResult): void {
  const wasRetransmitted = (segment.marks & EVER_RETRANSMITTED) !== 0;
  const { endSeq } = segment;
  if (!wasRetransmitted) {
    if (connection.sackedBytes > 0 && before(endSeq, connection.highestSacked)) noteReordering(connection);
    if (result.sackRttUs < 0) result.sackRttUs = (connection.context.nowUs - segment.sentUs) | 0;
    if (!after(endSeq, connection.highSeq)) result.originalAcked = true;
  }
  if (connection.sackedBytes === 0 || after(endSeq, connection.highestSacked)) connection.highestSacked = endSeq;
  result.newlySacked = true;
  result.delivered += segment.span;
  rackDelivered(connection, segment);
  markSacked(connection, segment);
}
