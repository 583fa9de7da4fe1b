/**
 * The state machine of loss recovery: Open, Disorder (something arrived out of order), CWR (the window is being reduced), Recovery (fast
 * retransmit, RFC 6675 with RACK's judgement, or NewReno RFC 6582 without SACK), Loss (after a timeout).
 *
 * `recover` runs for each acknowledgement that is news about losses, or comes while the state is not Open. It marks what is lost, changes the
 * state, lets the window follow, and then `retransmitLost` sends again what fits. Linux: tcp_fastretrans_alert.
 */
import type { AckResult } from '../ack-result.ts';
import type { ControlBlock } from '../control-block.ts';
import { LOST, RETRANSMITTED, SACKED } from '../segment.ts';
import { before } from '../sequence.ts';
import { CA_CWR, CA_DISORDER, CA_LOSS, CA_OPEN, CA_RECOVERY } from '../states.ts';
import { retransmitSegment } from '../output.ts';
import { TIMER_REORDER } from '../control-block.ts';
import { setRetransmitTimer } from '../timers.ts';
import { detectLosses } from './rack.ts';
import { inFlight, markLost, splitSegment } from './scoreboard.ts';
import { beginReduction, endReduction, reduceWindow, undoReduction } from './window-reduction.ts';

const DUPLICATE_THRESHOLD = 3;
/** Least time the reordering timer runs. */
const REORDER_WAIT_MIN_US = 1000;

/** `isDuplicate`: an acknowledgement that brought nothing new at all (RFC 5681 section 2). `echo`: its timestamp echo, 0: none. */
export function recover(connection: ControlBlock, result: AckResult, isDuplicate: boolean, echo: number): void {
  const lostBefore = connection.lostBytes;
  if (leaveState(connection, result, echo)) {
    if (connection.caState === CA_OPEN && connection.sackedBytes === 0 && connection.lostBytes === 0 && !isDuplicate) return;
  }
  if (!connection.usesSack) countDuplicates(connection, result, isDuplicate);
  if (connection.caState === CA_LOSS && result.originalAcked && mayUndo(connection, echo)) undoLoss(connection);
  // The last duplicate may be reported only after recovery has ended.
  if (connection.caState <= CA_DISORDER && connection.mayUndo && connection.undoRetransmits === 0) {
    connection.context.counters.TCPDSACKUndo++;
    undoReduction(connection, false);
  }
  identifyLosses(connection, result);
  result.newlyLost = connection.lostBytes > lostBefore;
  if (connection.caState < CA_RECOVERY) {
    if (connection.lostBytes === 0) {
      if (connection.caState !== CA_CWR) connection.caState = connection.sackedBytes > 0 ? CA_DISORDER : CA_OPEN;
    } else enterRecovery(connection);
  } else if (connection.caState === CA_RECOVERY && result.advanced && mayUndo(connection, echo) && connection.undoRetransmits === 0) {
    connection.context.counters.TCPDSACKUndo++;
    undoReduction(connection, true);
    connection.caState = CA_DISORDER;
  }
}

/** Lets the congestion window follow the acknowledgement: reduction, or growth. */
export function adjustWindow(connection: ControlBlock, result: AckResult): void {
  if (connection.prrActive) {
    reduceWindow(connection, result);
    return;
  }
  // On a path that reorders, what arrives behind a gap is progress too (Linux: tcp_may_raise_cwnd).
  if (result.delivered === 0 || (!result.advanced && !connection.isReorderSeen)) return;
  if (!mayGrow(connection)) return;
  connection.congestion.increase(connection, result.delivered);
}

/** The window grows only while it is what limits sending (RFC 7661's concern): in slow start while half of it was used. */
function mayGrow(connection: ControlBlock): boolean {
  if (connection.isCwndLimited) return true;
  return connection.cwnd < connection.ssthresh && connection.cwnd < 2 * connection.maxInFlight;
}

/** Sends again what is marked lost, as far as the window allows. */
export function retransmitLost(connection: ControlBlock): void {
  let segment = connection.retransmitHint;
  while (segment !== null && segment !== connection.unsent) {
    if ((segment.marks & (LOST | RETRANSMITTED | SACKED)) === LOST) {
      const out = inFlight(connection);
      const room = connection.cwnd - out;
      if (room < Math.min(segment.span, connection.mss) && out > 0) break;
      if (retransmitSegment(connection, segment, Math.max(room, connection.mss)) < 0) break;
      const { counters } = connection.context;
      if (connection.caState === CA_LOSS) counters.TCPSlowStartRetrans++;
      else counters.TCPFastRetrans++;
    }
    segment = segment.next;
  }
  connection.retransmitHint = segment === connection.unsent ? null : segment;
}

/** Ends a state whose data has all been acknowledged. */
function leaveState(connection: ControlBlock, result: AckResult, echo: number): boolean {
  if (connection.caState === CA_OPEN || connection.caState === CA_DISORDER) {
    connection.retransmitStamp = connection.caState === CA_OPEN && connection.retransmittedBytes === 0 ? 0 : connection.retransmitStamp;
    return true;
  }
  if (before(connection.sendUnacked, connection.highSeq)) return false;
  if (connection.caState === CA_RECOVERY || connection.caState === CA_LOSS) {
    if (mayUndo(connection, echo)) {
      if (connection.caState === CA_LOSS) undoLoss(connection);
      else {
        connection.context.counters.TCPFullUndo++;
        undoReduction(connection, false);
      }
    }
    if (connection.rackPersist > 0) connection.rackPersist--;
  }
  if (!connection.usesSack) connection.sackedBytes = 0;
  endReduction(connection);
  connection.retransmitStamp = 0;
  connection.caState = connection.sackedBytes > 0 ? CA_DISORDER : CA_OPEN;
  return result.advanced;
}

/** Whether the reduction was wrong: every retransmission was reported as a duplicate, or the echo is older than the first one (Eifel, RFC 3522). */
function mayUndo(connection: ControlBlock, echo: number): boolean {
  if (!connection.mayUndo) return false;
  if (connection.undoRetransmits === 0) return true;
  return connection.usesTimestamps && echo !== 0 && connection.retransmitStamp !== 0 && before(echo, connection.retransmitStamp);
}

function undoLoss(connection: ControlBlock): void {
  connection.context.counters.TCPLossUndo++;
  undoReduction(connection, true);
  connection.retransmits = 0;
  connection.backoff = 0;
  connection.caState = connection.usesSack && connection.sackedBytes > 0 ? CA_DISORDER : CA_OPEN;
}

/** Without SACK each duplicate acknowledgement says that one segment has left the network (RFC 6582). */
function countDuplicates(connection: ControlBlock, result: AckResult, isDuplicate: boolean): void {
  if (result.advanced) {
    const beyond = Math.max(0, result.acked - connection.mss);
    connection.sackedBytes = Math.max(0, connection.sackedBytes - beyond);
    result.delivered = Math.max(result.delivered - Math.min(beyond, result.delivered), Math.min(connection.mss, result.delivered));
  }
  if (isDuplicate) {
    connection.sackedBytes += connection.mss;
    result.delivered += connection.mss;
  }
  const out = (connection.sendNext - connection.sendUnacked) | 0;
  const most = Math.max(0, out - Math.max(connection.lostBytes, Math.min(connection.mss, out)));
  if (connection.sackedBytes > most) connection.sackedBytes = most;
}

function identifyLosses(connection: ControlBlock, result: AckResult): void {
  if (connection.usesSack) {
    const wait = detectLosses(connection);
    if (wait > 0) setRetransmitTimer(connection, TIMER_REORDER, Math.max(wait, REORDER_WAIT_MIN_US));
    return;
  }
  const { head } = connection.sendQueue;
  if (head === null || head === connection.unsent) return;
  const enough = connection.caState < CA_RECOVERY && connection.sackedBytes >= DUPLICATE_THRESHOLD * connection.mss;
  if (!enough && !(connection.caState === CA_RECOVERY && result.advanced)) return;
  if (head.length > connection.mss) splitSegment(connection, head, connection.mss);
  markLost(connection, head);
}

export function enterRecovery(connection: ControlBlock): void {
  const { counters } = connection.context;
  if (connection.usesSack) counters.TCPSackRecovery++;
  else counters.TCPRenoRecovery++;
  connection.undoMarker = connection.sendUnacked;
  connection.undoRetransmits = connection.retransmittedBytes || -1;
  connection.mayUndo = true;
  if (!connection.prrActive) beginReduction(connection);
  connection.highSeq = connection.sendNext;
  connection.caState = CA_RECOVERY;
}
