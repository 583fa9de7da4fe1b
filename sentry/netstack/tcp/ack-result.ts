/** What one acknowledgement told, collected while it is worked on: one reusable object. */
export class AckResult {
  /** Octets that left the queue; of them and of what was newly selected, those delivered for the first time. */
  acked = 0;
  delivered = 0;
  /** Window or SACK blocks brought something new. */
  windowUpdated = false;
  newlySacked = false;
  /** A retransmitted segment was acknowledged; or one never retransmitted was, during recovery. */
  retransmittedAcked = false;
  originalAcked = false;
  dsack = false;
  advanced = false;
  /** More was marked lost. */
  newlyLost = false;
  /** Round trip of the oldest segment acknowledged, of the newest, and of selectively acknowledged ones; microseconds, -1: none. */
  rttUs = -1;
  sackRttUs = -1;
  /** The segment brought data, SYN or FIN, so it is no duplicate acknowledgement. */
  hasData = false;

  clear(): void {
    this.acked = 0;
    this.delivered = 0;
    this.windowUpdated = false;
    this.newlySacked = false;
    this.retransmittedAcked = false;
    this.originalAcked = false;
    this.dsack = false;
    this.advanced = false;
    this.newlyLost = false;
    this.rttUs = -1;
    this.sackRttUs = -1;
    this.hasData = false;
  }
}
