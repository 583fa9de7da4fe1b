/**
 * CUBIC (RFC 9438): after a loss the window returns along a cubic curve to where the loss happened, stays near it, and then probes beyond;
 * never slower than Reno would (the "Reno-friendly region").
 *
 * The curve is computed in segments and seconds as the RFC writes it; the connection's window is in octets. Time comes from the connection's
 * microsecond clock, which wraps after 71 minutes: an epoch longer than half of that begins anew.
 * Not done: HyStart++ (RFC 9406); slow start ends by loss.
 */
import type { ControlBlock } from '../control-block.ts';
import { slowStart } from './congestion-control.ts';
import type { CongestionControl } from './congestion-control.ts';

/** Section 4.1 and 5.1: aggressiveness, and what remains of the window after a loss. */
const C = 0.4;
const BETA = 0.7;
/** Section 4.3: growth of the Reno estimate that gives the same average window. */
const ALPHA = (3 * (1 - BETA)) / (1 + BETA);
const EPOCH_MAX_US = 2 ** 30;

export class Cubic implements CongestionControl {
  readonly name = 'cubic';
  /** All windows in segments. Window at the last loss; where this epoch's curve aims; when it gets there, in seconds. */
  private windowMax = 0;
  private origin = 0;
  private k = 0;
  private renoWindow = 0;
  private epochUs = 0;
  private hasEpoch = false;
  private windowBefore = 0;
  private windowMaxBefore = 0;
  /** Octets the window should have grown beyond the whole ones. */
  private fraction = 0;

  increase(connection: ControlBlock, ackedBytes: number): void {
    let bytes = ackedBytes;
    if (connection.cwnd < connection.ssthresh) bytes = slowStart(connection, bytes);
    if (bytes === 0) return;
    const { mss } = connection;
    const window = connection.cwnd / mss;
    const nowUs = connection.context.nowUs;
    if (!this.hasEpoch || ((nowUs - this.epochUs) | 0) > EPOCH_MAX_US) this.beginEpoch(window, nowUs);
    const growth = this.growth(connection, window, bytes / mss, nowUs) * mss + this.fraction;
    if (growth <= 0) return;
    const whole = Math.floor(growth);
    this.fraction = growth - whole;
    connection.cwnd = Math.min(connection.cwnd + whole, connection.cwndClamp);
  }

  reduce(connection: ControlBlock): number {
    const { mss } = connection;
    const window = connection.cwnd / mss;
    this.windowMaxBefore = this.windowMax;
    this.windowBefore = window;
    // Section 4.7, fast convergence: a flow that lost before it came back to where it was makes room for others.
    this.windowMax = window < this.windowMax ? (window * (1 + BETA)) / 2 : window;
    this.hasEpoch = false;
    return Math.max(Math.floor(connection.cwnd * BETA), 2 * mss);
  }

  timedOut(): void {
    this.hasEpoch = false;
  }

  undone(): void {
    this.windowMax = Math.max(this.windowMaxBefore, this.windowBefore);
    this.hasEpoch = false;
  }

  restarted(): void {
    this.hasEpoch = false;
  }

  private beginEpoch(window: number, nowUs: number): void {
    this.hasEpoch = true;
    this.epochUs = nowUs;
    this.fraction = 0;
    this.renoWindow = window;
    this.origin = Math.max(this.windowMax, window);
    this.k = Math.cbrt((this.origin - window) / C);
  }

  /**
   * Section 4.2 to 4.5: by how many segments the window grows for `acked` ones. The curve aims at where the window should be one round trip from
   * now, at most 1.5 times what it is.
   */
  private growth(connection: ControlBlock, window: number, acked: number, nowUs: number): number {
    const elapsed = ((nowUs - this.epochUs) | 0) / 1e6;
    const alpha = this.renoWindow >= this.windowBefore ? 1 : ALPHA;
    this.renoWindow += (alpha * acked) / window;
    if (this.curve(elapsed) < this.renoWindow) return Math.max(0, this.renoWindow - window);
    const target = this.curve(elapsed + (connection.srttUs >> 3) / 1e6);
    return ((Math.min(Math.max(target, window), 1.5 * window) - window) / window) * acked;
  }

  private curve(seconds: number): number {
    const t = seconds - this.k;
    return this.origin + C * t * t * t;
  }
}
