/**
 * NewReno's window (RFC 5681 section 3.1, RFC 6582): one segment more for each window acknowledged, half of it after a loss.
 */
import type { ControlBlock } from '../control-block.ts';
import { slowStart } from './congestion-control.ts';
import type { CongestionControl } from './congestion-control.ts';

export class Reno implements CongestionControl {
  readonly name = 'reno';
  /** Octets acknowledged since the window last grew. */
  private counted = 0;

  increase(connection: ControlBlock, ackedBytes: number): void {
    let bytes = ackedBytes;
    if (connection.cwnd < connection.ssthresh) bytes = slowStart(connection, bytes);
    if (bytes === 0) return;
    this.counted += bytes;
    const { cwnd, mss } = connection;
    if (this.counted < cwnd) return;
    const windows = Math.floor(this.counted / cwnd);
    this.counted -= windows * cwnd;
    connection.cwnd = Math.min(cwnd + windows * mss, connection.cwndClamp);
  }

  reduce(connection: ControlBlock): number {
    return Math.max(connection.cwnd >> 1, 2 * connection.mss);
  }

  timedOut(): void {
    this.counted = 0;
  }

  undone(): void {
    this.counted = 0;
  }

  restarted(): void {
    this.counted = 0;
  }
}
