/**
 * Round trips and the retransmission timeout (RFC 6298), with Linux's refinements: the variation may fall only once in a round trip, its
 * floor is the least timeout, and the least round trip of the last minutes is kept for RACK.
 *
 * `srttUs` is scaled by 8, `mdevUs` and `rttVarUs` by 4.
 */
import type { ControlBlock } from './control-block.ts';
import { RTO_MAX_US, RTO_MIN_US } from './limits.ts';

/** How long a least round trip is believed (net.ipv4.tcp_min_rtt_wlen). */
const MIN_RTT_WINDOW_US = 300_000_000;

/** Takes a measurement; of one that a peer has made up by an old timestamp no more than the longest timeout counts. */
export function sampleRtt(connection: ControlBlock, rttUs: number): void {
  const sample = Math.min(Math.max(rttUs, 1), RTO_MAX_US);
  if (connection.srttUs === 0) {
    connection.srttUs = sample << 3;
    connection.mdevUs = sample << 1;
    connection.rttVarUs = Math.max(connection.mdevUs, RTO_MIN_US);
    connection.mdevMaxUs = connection.rttVarUs;
    connection.rttSeq = connection.sendNext;
  } else smooth(connection, sample);
  connection.backoff = 0;
  setTimeoutFromRtt(connection);
}

function smooth(connection: ControlBlock, sample: number): void {
  let error = sample - (connection.srttUs >> 3);
  connection.srttUs += error;
  if (error < 0) {
    error = -error - (connection.mdevUs >> 2);
    // A round trip that becomes shorter is no reason for a longer timeout.
    if (error > 0) error >>= 3;
  } else error -= connection.mdevUs >> 2;
  connection.mdevUs += error;
  if (connection.mdevUs > connection.mdevMaxUs) {
    connection.mdevMaxUs = connection.mdevUs;
    if (connection.mdevMaxUs > connection.rttVarUs) connection.rttVarUs = connection.mdevMaxUs;
  }
  if (((connection.sendUnacked - connection.rttSeq) | 0) > 0) {
    if (connection.mdevMaxUs < connection.rttVarUs) connection.rttVarUs -= (connection.rttVarUs - connection.mdevMaxUs) >> 2;
    connection.rttSeq = connection.sendNext;
    connection.mdevMaxUs = RTO_MIN_US;
  }
}

/** RTO = smoothed round trip + variation, without backoff. */
export function setTimeoutFromRtt(connection: ControlBlock): void {
  if (connection.srttUs === 0) return;
  connection.rtoUs = Math.min((connection.srttUs >> 3) + connection.rttVarUs, RTO_MAX_US);
}

/** Keeps the least round trip of the last five minutes. */
export function noteMinRtt(connection: ControlBlock, rttUs: number): void {
  const { nowUs } = connection.context;
  const age = (nowUs - connection.minRttStampUs) | 0;
  if (connection.minRttUs < 0 || rttUs <= connection.minRttUs || age > MIN_RTT_WINDOW_US || age < 0) {
    connection.minRttUs = Math.max(rttUs, 1);
    connection.minRttStampUs = nowUs;
  }
}
