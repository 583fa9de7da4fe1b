/**
 * What arrived before its turn: runs of contiguous octets in order of sequence, with gaps between them. The runs are what SACK blocks report.
 *
 * New data extends a run, joins two, or opens another; octets already there are dropped and reported as a duplicate (D-SACK, RFC 2883). The number
 * of runs is bounded, so that looking for a place stays cheap whatever a peer sends.
 */
import type { Arrival } from './arrival.ts';
import type { TcpContext } from './context.ts';
import { FIN } from './header.ts';
import { OUT_OF_ORDER_RUNS_MAX } from './limits.ts';
import { appendReceived } from './received.ts';
import { SegmentList } from './segment.ts';
import { after, before } from './sequence.ts';

export class Run {
  start = 0;
  end = 0;
  readonly segments = new SegmentList();
  charge = 0;
  /** When it last grew, for the order of SACK blocks. */
  touched = 0;
  next: Run | null = null;
  previous: Run | null = null;
}

/** What `insert` answers. */
export const QUEUED = 0;
export const DUPLICATE = 1;
/** No room for another gap. */
export const REFUSED = 2;

export class OutOfOrderQueue {
  first: Run | null = null;
  last: Run | null = null;
  count = 0;
  charge = 0;
  /** The duplicate part of the last insertion, empty when both are equal. */
  duplicateStart = 0;
  duplicateEnd = 0;
  private clock = 0;

  /** Takes what of the arrival is new. QUEUED, DUPLICATE or REFUSED. */
  insert(context: TcpContext, arrival: Arrival): number {
    this.duplicateStart = 0;
    this.duplicateEnd = 0;
    let run = this.last;
    while (run !== null && before(arrival.seq, run.start)) run = run.previous;
    if (run !== null && !after(arrival.endSeq, run.end)) {
      this.note(arrival.seq, arrival.endSeq);
      this.touch(run);
      return DUPLICATE;
    }
    const joins = run !== null && !after(arrival.seq, run.end);
    if (joins) {
      const known = (run!.end - arrival.seq) | 0;
      if (known > 0) {
        this.note(arrival.seq, run!.end);
        arrival.trimFront(known);
      }
    }
    this.makeWay(context, joins ? run!.next : run === null ? this.first : run.next, arrival);
    if (!joins) {
      if (this.count >= OUT_OF_ORDER_RUNS_MAX) return REFUSED;
      run = this.open(run, arrival.seq);
    }
    this.extend(context, run!, arrival);
    return QUEUED;
  }

  /** The run that begins at or before `seq`, taken out; null when there is still a gap. */
  takeUpTo(seq: number): Run | null {
    const run = this.first;
    if (run === null || after(run.start, seq)) return null;
    this.unlink(run);
    this.charge -= run.charge;
    return run;
  }

  clear(context: TcpContext): void {
    for (let run = this.first; run !== null; run = run.next) run.segments.clear(context.segments);
    this.first = null;
    this.last = null;
    this.count = 0;
    this.charge = 0;
  }

  /** What lies at and behind `next` gives way: the arrival is cut where a run begins, and runs it covers go. */
  private makeWay(context: TcpContext, from: Run | null, arrival: Arrival): void {
    let next = from;
    while (next !== null && after(arrival.endSeq, next.start)) {
      if (!after(arrival.endSeq, next.end)) {
        this.note(next.start, arrival.endSeq);
        arrival.trimTo(Math.min(arrival.length, (next.start - arrival.seq) | 0));
        return;
      }
      const covered: Run = next;
      next = covered.next;
      this.note(covered.start, covered.end);
      this.unlink(covered);
      this.charge -= covered.charge;
      covered.segments.clear(context.segments);
    }
  }

  private extend(context: TcpContext, run: Run, arrival: Arrival): void {
    let charge = 0;
    const { packet, length } = arrival;
    if (packet !== null && length > 0) charge = appendReceived(context, run.segments, packet, arrival.offset, length, arrival.seq);
    if ((arrival.flags & FIN) !== 0) charge += this.appendFin(context, run, arrival);
    run.end = arrival.endSeq;
    run.charge += charge;
    this.charge += charge;
    this.touch(run);
    const { next } = run;
    if (next === null || next.start !== run.end) return;
    run.segments.take(next.segments);
    run.end = next.end;
    run.charge += next.charge;
    this.unlink(next);
  }

  private appendFin(context: TcpContext, run: Run, arrival: Arrival): number {
    const fin = context.segments.take(null, 0, 0, (arrival.endSeq - 1) | 0);
    fin.flags = FIN;
    run.segments.append(fin);
    return 0;
  }

  private open(behind: Run | null, seq: number): Run {
    const run = new Run();
    run.start = seq;
    run.end = seq;
    run.previous = behind;
    run.next = behind === null ? this.first : behind.next;
    if (behind === null) this.first = run;
    else behind.next = run;
    if (run.next === null) this.last = run;
    else run.next.previous = run;
    this.count++;
    return run;
  }

  private unlink(run: Run): void {
    if (run.previous === null) this.first = run.next;
    else run.previous.next = run.next;
    if (run.next === null) this.last = run.previous;
    else run.next.previous = run.previous;
    this.count--;
  }

  private touch(run: Run): void {
    this.clock = (this.clock + 1) | 0;
    run.touched = this.clock;
  }

  /** Reports one duplicate range for each insertion, the first. */
  private note(start: number, end: number): void {
    if (this.duplicateStart !== this.duplicateEnd) return;
    this.duplicateStart = start;
    this.duplicateEnd = end;
  }
}
