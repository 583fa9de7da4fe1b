/**
 * Congestion control as an exchangeable part (TCP_CONGESTION, RFC 5681): how far the window grows when data is acknowledged, and what remains
 * of it after a loss. When segments are lost, and how the window comes down to `ssthresh` meanwhile, is loss recovery's business (loss/).
 *
 * Windows are octets. An object belongs to one connection and may keep state.
 */
import type { ControlBlock } from '../control-block.ts';

export interface CongestionControl {
  readonly name: string;
  /** `ackedBytes` were acknowledged while the window was in full use: may raise `connection.cwnd`. */
  increase(connection: ControlBlock, ackedBytes: number): void;
  /** Slow start threshold after a loss, in octets; called once for each reduction. */
  reduce(connection: ControlBlock): number;
  /** A timeout: what was learnt of the path is void. */
  timedOut(connection: ControlBlock): void;
  /** The last reduction was a mistake. */
  undone(connection: ControlBlock): void;
  /** The connection sends again after it was idle. */
  restarted(connection: ControlBlock): void;
}

/** Slow start (RFC 5681 section 3.1 with the appropriate byte counting of RFC 3465): returns the octets left for congestion avoidance. */
export function slowStart(connection: ControlBlock, ackedBytes: number): number {
  const cwnd = Math.min(connection.cwnd + ackedBytes, Math.max(connection.ssthresh, connection.cwnd));
  const used = cwnd - connection.cwnd;
  connection.cwnd = Math.min(cwnd, connection.cwndClamp);
  return ackedBytes - used;
}
