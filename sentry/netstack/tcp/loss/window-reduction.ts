/**
 * How the congestion window comes down after a loss, and back up when that was a mistake: proportional rate reduction (RFC 6937) spreads the
 * reduction over a round trip, in proportion to what the peer still receives. Also the window of a connection that was idle (RFC 5681
 * section 4.1).
 */
import type { AckResult } from '../ack-result.ts';
import type { ControlBlock } from '../control-block.ts';
import { INFINITE_SSTHRESH, INITIAL_WINDOW_SEGMENTS } from '../limits.ts';
import { CA_CWR } from '../states.ts';
import { clearLost, inFlight } from './scoreboard.ts';

/** Octets of the initial window (RFC 6928), in segments as large as they can become once the peer has opened its window. */
export function initialWindow(connection: ControlBlock): number {
  return INITIAL_WINDOW_SEGMENTS * Math.max(connection.mss, Math.min(connection.peerMss, connection.announcedMss));
}

export function beginReduction(connection: ControlBlock): void {
  connection.highSeq = connection.sendNext;
  connection.probePending = false;
  connection.prrActive = true;
  connection.prrDelivered = 0;
  connection.prrOut = 0;
  connection.priorCwnd = connection.cwnd;
  connection.priorSsthresh = connection.ssthresh;
  connection.ssthresh = connection.congestion.reduce(connection);
}

/** Reduces without recovery: a loss probe repaired a loss, or a local queue was full. */
export function enterCwr(connection: ControlBlock): void {
  connection.mayUndo = false;
  if (connection.caState >= CA_CWR) return;
  beginReduction(connection);
  connection.caState = CA_CWR;
}

/** One acknowledgement's part of the reduction (RFC 6937 section 3). */
export function reduceWindow(connection: ControlBlock, result: AckResult): void {
  const { delivered } = result;
  if (delivered <= 0 || connection.priorCwnd === 0) return;
  const { ssthresh, mss } = connection;
  const pipe = inFlight(connection);
  const below = ssthresh - pipe;
  connection.prrDelivered += delivered;
  let more: number;
  if (below < 0) more = Math.ceil((ssthresh * connection.prrDelivered) / connection.priorCwnd) - connection.prrOut;
  else {
    more = Math.max(connection.prrDelivered - connection.prrOut, delivered);
    if (result.advanced && !result.newlyLost) more += mss;
    more = Math.min(below, more);
  }
  // The first retransmission always goes.
  more = Math.max(more, connection.prrOut > 0 ? 0 : mss);
  connection.cwnd = Math.max(pipe + more, mss);
}

export function endReduction(connection: ControlBlock): void {
  if (!connection.prrActive) return;
  connection.prrActive = false;
  if (connection.ssthresh < INFINITE_SSTHRESH) connection.cwnd = Math.max(connection.ssthresh, connection.mss);
}

/** Takes the last reduction back. `forgiven`: what was marked lost was not. */
export function undoReduction(connection: ControlBlock, forgiven: boolean): void {
  if (forgiven) clearLost(connection);
  connection.cwnd = Math.max(connection.cwnd, connection.priorCwnd);
  connection.ssthresh = Math.max(connection.ssthresh, connection.priorSsthresh);
  connection.congestion.undone(connection);
  connection.prrActive = false;
  connection.mayUndo = false;
}

/** Before sending after a pause of more than a timeout: the window is halved for each, down to the initial one. */
export function restartAfterIdle(connection: ControlBlock): void {
  if (connection.sendNext !== connection.sendUnacked) return;
  let idle = (connection.context.nowUs - connection.lastSentUs) | 0;
  if (idle <= connection.rtoUs) return;
  const least = Math.min(initialWindow(connection), connection.cwnd);
  connection.ssthresh = Math.max(connection.ssthresh, connection.cwnd - (connection.cwnd >> 2));
  while (idle > connection.rtoUs && connection.cwnd > least) {
    connection.cwnd >>= 1;
    idle -= connection.rtoUs;
  }
  connection.cwnd = Math.max(connection.cwnd, least);
  connection.congestion.restarted(connection);
}
