/**
 * After a retransmission timeout nothing is known of what is out: all of it that was not selectively acknowledged counts as lost, and the window
 * begins with one segment (RFC 5681 section 3.1, RFC 6675 section 5.1). A receiver that took its SACKs back is believed (RFC 2018
 * section 8). Linux: tcp_enter_loss.
 */
import type { ControlBlock } from '../control-block.ts';
import { RETRANSMITTED, SACKED } from '../segment.ts';
import { before } from '../sequence.ts';
import { CA_DISORDER, CA_LOSS } from '../states.ts';
import { inFlight, markLost } from './scoreboard.ts';

export function enterLoss(connection: ControlBlock): void {
  const isNew = connection.caState <= CA_DISORDER || !before(connection.sendUnacked, connection.highSeq);
  if (isNew || (connection.caState === CA_LOSS && connection.retransmits === 0)) {
    connection.priorSsthresh = connection.ssthresh;
    connection.priorCwnd = connection.cwnd;
    connection.ssthresh = connection.congestion.reduce(connection);
    connection.undoMarker = connection.sendUnacked;
    connection.undoRetransmits = connection.retransmittedBytes || -1;
    connection.mayUndo = true;
  }
  connection.congestion.timedOut(connection);
  markAllLost(connection);
  connection.prrActive = false;
  connection.probePending = false;
  connection.cwnd = inFlight(connection) + connection.mss;
  connection.caState = CA_LOSS;
  connection.highSeq = connection.sendNext;
}

function markAllLost(connection: ControlBlock): void {
  const { head } = connection.sendQueue;
  if (head !== null && (head.marks & SACKED) !== 0) {
    connection.context.counters.TCPSACKReneging++;
    for (let segment = connection.sendQueue.head; segment !== null && segment !== connection.unsent; segment = segment.next) {
      if ((segment.marks & SACKED) === 0) continue;
      segment.marks &= ~SACKED;
      connection.sackedBytes -= segment.span;
    }
  }
  if (!connection.usesSack) connection.sackedBytes = 0;
  connection.retransmitHint = null;
  for (let segment = connection.sendQueue.head; segment !== null && segment !== connection.unsent; segment = segment.next) {
    if ((segment.marks & RETRANSMITTED) !== 0 || (segment.marks & SACKED) === 0) markLost(connection, segment);
  }
}
