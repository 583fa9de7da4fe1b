/**
 * RACK (RFC 8985 section 6): a segment is lost when one sent later was delivered and enough time for reordering has passed since. Losses are
 * found by time, not by counting duplicates, so also retransmissions that were lost and the end of a burst are found.
 *
 * `detectLosses` walks the list of segments by time of transmission from the oldest; it ends at the first that was sent after the newest delivered
 * one, so its cost is that of the segments it decides on.
 */
import type { ControlBlock } from '../control-block.ts';
import { EVER_RETRANSMITTED } from '../segment.ts';
import type { Segment } from '../segment.ts';
import { after } from '../sequence.ts';
import { CA_RECOVERY } from '../states.ts';
import { markLost } from './scoreboard.ts';

/** RFC 6675: so many segments beyond a gap make it a loss at once, while no reordering was seen. */
const DUPLICATE_THRESHOLD = 3;
const STEPS_MAX = 255;
const PERSIST_ROUNDS = 16;

/** By order of transmission; parts of a split segment went together, and the later part counts as later. */
function sentAfter(order: number, endSeq: number, thanOrder: number, thanEndSeq: number): boolean {
  const later = (order - thanOrder) | 0;
  return later > 0 || (later === 0 && after(endSeq, thanEndSeq));
}

/** A segment was delivered. */
export function rackDelivered(connection: ControlBlock, segment: Segment): void {
  const { sentUs, order, endSeq } = segment;
  const rttUs = (connection.context.nowUs - sentUs) | 0;
  // Section 6.2 step 2: too quick to be the retransmission's doing.
  if ((segment.marks & EVER_RETRANSMITTED) !== 0 && rttUs < connection.minRttUs) return;
  connection.rackRttUs = rttUs;
  if (connection.rackValid && !sentAfter(order, endSeq, connection.rackOrder, connection.rackEndSeq)) return;
  connection.rackValid = true;
  connection.rackOrder = order;
  connection.rackEndSeq = endSeq;
}

/** Section 6.2 step 3: an original was delivered behind something sent later. */
export function noteReordering(connection: ControlBlock): void {
  connection.isReorderSeen = true;
  connection.context.counters.TCPSACKReorder++;
}

/** Section 6.2 step 4: how long to wait for what may only be reordered, in microseconds. */
function reorderWindow(connection: ControlBlock): number {
  if (!connection.isReorderSeen) {
    if (connection.caState >= CA_RECOVERY) return 0;
    if (connection.sackedBytes >= DUPLICATE_THRESHOLD * connection.mss) return 0;
  }
  return Math.min((Math.max(connection.minRttUs, 0) >> 2) * connection.rackSteps, connection.srttUs >> 3);
}

/** The window adapts to duplicates that the peer reported (D-SACK): each round trip with one widens it, 16 recoveries without narrow it again. */
export function adaptReorderWindow(connection: ControlBlock): void {
  if (after(connection.rackRoundEnd, connection.sendUnacked)) {
    connection.rackDsackSeen = false;
    return;
  }
  if (connection.rackDsackSeen) {
    connection.rackSteps = Math.min(connection.rackSteps + 1, STEPS_MAX);
    connection.rackDsackSeen = false;
    connection.rackRoundEnd = connection.sendNext;
    connection.rackPersist = PERSIST_ROUNDS;
  } else if (connection.rackPersist === 0) connection.rackSteps = 1;
}

/** Section 6.2 step 5. Marks what is lost; returns microseconds until more may be, 0: nothing is in doubt. */
export function detectLosses(connection: ControlBlock): number {
  if (!connection.rackValid) return 0;
  const { nowUs } = connection.context;
  const patience = connection.rackRttUs + reorderWindow(connection);
  let wait = 0;
  let segment = connection.oldestSent;
  while (segment !== null) {
    if (!sentAfter(connection.rackOrder, connection.rackEndSeq, segment.order, segment.endSeq)) break;
    const { later } = segment;
    const remaining = (segment.sentUs + patience - nowUs) | 0;
    if (remaining <= 0) markLost(connection, segment);
    else if (remaining > wait) wait = remaining;
    segment = later;
  }
  return wait;
}
