/**
 * Tail loss probes (RFC 8985 section 7): when the end of a burst is lost nothing later arrives that would tell. Two round trips after the last
 * transmission a segment is sent, new or again, whose acknowledgement starts recovery.
 *
 * `probeEnd` is what was sent when the probe went out. Sending it is timeouts.ts's business.
 */
import type { AckResult } from '../ack-result.ts';
import { TIMER_LOSS_PROBE } from '../control-block.ts';
import type { ControlBlock } from '../control-block.ts';
import { ACK_DELAY_MAX_US, RTO_MAX_US } from '../limits.ts';
import { after, before } from '../sequence.ts';
import { CA_OPEN, ESTABLISHED, CLOSE_WAIT } from '../states.ts';
import { setRetransmitTimer } from '../timers.ts';
import { enterCwr } from './window-reduction.ts';

/** Least time until a probe. */
const PROBE_MIN_US = 2000;

/** Section 7.2. Whether the timer was set for a probe rather than a retransmission. */
export function scheduleLossProbe(connection: ControlBlock): boolean {
  const { state } = connection;
  // Nothing is lost on loopback but when a queue is full; what is late there is the reader.
  if (connection.path.isLoopback) return false;
  if (!connection.usesSack || connection.probePending || connection.caState !== CA_OPEN || connection.sackedBytes > 0) return false;
  if ((state !== ESTABLISHED && state !== CLOSE_WAIT) || connection.sendNext === connection.sendUnacked) return false;
  let wait = 1_000_000;
  if (connection.srttUs > 0) {
    wait = (connection.srttUs >> 3) * 2 + PROBE_MIN_US;
    // A single segment may be acknowledged late.
    if (((connection.sendNext - connection.sendUnacked) | 0) <= connection.mss) wait += ACK_DELAY_MAX_US;
  }
  const timeout = Math.min(connection.rtoUs * 2 ** connection.backoff, RTO_MAX_US);
  setRetransmitTimer(connection, TIMER_LOSS_PROBE, Math.min(wait, timeout));
  return true;
}

/** Section 7.4: what an acknowledgement of `ackSeq` tells of the probe. */
export function judgeLossProbe(connection: ControlBlock, ackSeq: number, result: AckResult): void {
  if (!connection.probePending || before(ackSeq, connection.probeEnd)) return;
  if (!connection.probeRetransmitted) connection.probePending = false;
  else if (result.dsack) connection.probePending = false;
  else if (after(ackSeq, connection.probeEnd)) {
    // Something was lost and the probe repaired it: that deserves a smaller window.
    enterCwr(connection);
    connection.caState = CA_OPEN;
    connection.cwnd = Math.min(connection.cwnd, connection.ssthresh);
    connection.prrActive = false;
    connection.probePending = false;
    connection.context.counters.TCPLossProbeRecovery++;
  } else if (!result.advanced && !result.hasData && !result.newlySacked && !result.windowUpdated) connection.probePending = false;
}
