/**
 * At most so many a second: for answers that strangers can provoke (RFC 5961 section 7). A second begins with the first use after the last
 * one ended.
 */
import { SECOND } from './limits.ts';

export class RateLimit {
  private readonly perSecond: number;
  private left = 0;
  private endsNs = -1;

  constructor(perSecond: number) {
    this.perSecond = perSecond;
  }

  /** Whether one more is allowed now; counts it. */
  admits(nowNs: number): boolean {
    if (nowNs >= this.endsNs) {
      this.endsNs = nowNs + SECOND;
      this.left = this.perSecond;
    }
    if (this.left === 0) return false;
    this.left--;
    return true;
  }
}
