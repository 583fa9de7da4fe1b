/**
 * Answering what does not fit a connection (RFC 5961): a challenge ACK, whose answer shows whether the peer meant it, at most so many a second; and
 * acknowledgements for segments out of window, which two confused sides could otherwise exchange for ever.
 */
import type { ControlBlock } from './control-block.ts';
import { INVALID_RATE_LIMIT_US } from './limits.ts';
import { sendAck } from './transmit.ts';

/** Whether an answer to an invalid segment may be sent now (Linux: tcp_oow_rate_limited). */
export function admitsInvalid(connection: ControlBlock): boolean {
  const { nowUs } = connection.context;
  const elapsed = (nowUs - connection.lastInvalidUs) | 0;
  if (connection.hasInvalid && elapsed >= 0 && elapsed < INVALID_RATE_LIMIT_US) return false;
  connection.hasInvalid = true;
  connection.lastInvalidUs = nowUs;
  return true;
}

export function challenge(connection: ControlBlock): void {
  const { context } = connection;
  if (!admitsInvalid(connection) || !context.challengeLimit.admits(context.nowNs)) return;
  context.counters.TCPChallengeACK++;
  sendAck(connection);
}
