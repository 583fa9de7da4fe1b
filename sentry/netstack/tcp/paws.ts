/**
 * Timestamps (RFC 7323): which one to return, and protection against wrapped sequence numbers: a segment whose timestamp is older than the last
 * one taken is an old duplicate.
 */
import type { Arrival } from './arrival.ts';
import type { ControlBlock } from './control-block.ts';
import { ACK, RST } from './header.ts';
import type { TcpHeader } from './header.ts';
import { PAWS_IDLE_MS } from './limits.ts';
import { after } from './sequence.ts';
import { measureReceiveRtt } from './window.ts';

/** What a peer's clock may go back between its processors (Linux TCP_PAWS_WINDOW). */
const PAWS_WINDOW_MS = 1;
/** Reordered acknowledgements may lie about one timeout apart. */
const REORDERED_MS = 1;

/** Section 5.2 R1: whether the segment is to be dropped. */
export function isOldTimestamp(connection: ControlBlock, header: TcpHeader, arrival: Arrival): boolean {
  if (!connection.usesTimestamps || header.timestamps === 0 || !connection.hasRecentTimestamp) return false;
  const older = (connection.recentTimestamp - header.tsValue) | 0;
  if (older <= PAWS_WINDOW_MS) return false;
  // Section 5.5: after 24 days a timestamp says nothing any more.
  const age = (connection.context.nowMs - connection.recentStampMs) | 0;
  if (age > PAWS_IDLE_MS || age < 0) return false;
  return !isReorderedAck(connection, header, arrival, older);
}

/** A pure acknowledgement that was overtaken harms nobody (Linux: tcp_disordered_ack). */
function isReorderedAck(connection: ControlBlock, header: TcpHeader, arrival: Arrival, olderMs: number): boolean {
  return (
    (header.flags & (ACK | RST)) === ACK &&
    arrival.length === 0 &&
    arrival.seq === connection.receiveNext &&
    header.ack === connection.sendUnacked &&
    olderMs <= Math.max(REORDERED_MS, Math.floor(connection.rtoUs / 1000))
  );
}

/** Section 4.3: the echo is that of the segment which the next acknowledgement answers. */
export function takeTimestamp(connection: ControlBlock, header: TcpHeader, arrival: Arrival): void {
  if (!connection.usesTimestamps || header.timestamps === 0 || after(arrival.seq, connection.acknowledged)) return;
  if (connection.hasRecentTimestamp && ((header.tsValue - connection.recentTimestamp) | 0) < 0) return;
  const { context } = connection;
  connection.recentTimestamp = header.tsValue;
  connection.recentStampMs = context.nowMs;
  connection.hasRecentTimestamp = true;
  if (arrival.length < connection.receiveMss || header.tsEcho === 0) return;
  const elapsedMs = (context.nowMs + connection.timestampOffset - header.tsEcho) | 0;
  if (elapsedMs >= 0 && elapsedMs < 100_000) measureReceiveRtt(connection, Math.max(elapsedMs, 1) * 1000);
}
