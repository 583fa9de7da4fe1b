/**
 * Signals sent and not yet taken: one queue per task, one per thread group (Linux sigpending). A standard signal is pending at most once;
 * real-time signals queue in order of arrival. The lowest number is taken first.
 *
 * Information about signals is bounded by RLIMIT_SIGPENDING over all queues of a process (`QueueCounter`). Beyond it a standard signal is
 * still noted, only its origin is lost.
 * Linux counts per real user id, not per process.
 */
import { QUEUED_SIGNALS_MAX } from '../../limits.ts';
import { SignalInfo } from '#sentry/abi/siginfo.ts';
import { firstSignal, SI_USER, SIGNAL_MAX, SignalSet, SYNCHRONOUS_LOW } from '#sentry/abi/signal.ts';

/** Number of `SignalInfo` objects held by a process's queues, and by all queues together. */
export class QueueCounter {
  count = 0;
  private static total = 0;

  /** RLIMIT_SIGPENDING bounds one process only: a guest can have thousands, each with a full queue. */
  static get isFull(): boolean {
    return QueueCounter.total >= QUEUED_SIGNALS_MAX;
  }

  add(entries: number): void {
    this.count += entries;
    QueueCounter.total += entries;
  }
}

export class PendingQueue {
  /** Signals that are pending. Changed only by this class. */
  readonly set = new SignalSet();
  private readonly counter: QueueCounter;
  /** First queued information by signal number; missing when the limit was reached. */
  private readonly heads: (SignalInfo | null)[] = [];
  /** The last one where there is a first: a queue may be a hundred thousand entries long. */
  private readonly tails: (SignalInfo | null)[] = [];

  constructor(counter: QueueCounter) {
    this.counter = counter;
  }

  has(signo: number): boolean {
    return this.set.has(signo);
  }

  /** Whether `info` itself is queued. */
  holds(info: SignalInfo): boolean {
    if (!this.set.has(info.signo)) return false;
    let entry: SignalInfo | null = this.heads[info.signo]!;
    while (entry !== null && entry !== info) entry = entry.next;
    return entry !== null;
  }

  /** Appends. */
  add(info: SignalInfo): void {
    const { signo } = info;
    this.allocateSlots();
    this.set.add(signo);
    this.counter.add(1);
    info.next = null;
    const last = this.tails[signo]!;
    if (last === null) this.heads[signo] = info;
    else last.next = info;
    this.tails[signo] = info;
  }

  /** Notes the signal without information. */
  addBare(signo: number): void {
    this.allocateSlots();
    this.set.add(signo);
  }

  /** Takes the oldest entry of `signo`, which must be pending. */
  take(signo: number): SignalInfo {
    const info = this.heads[signo]!;
    if (info === null) {
      this.set.remove(signo);
      return new SignalInfo(signo, SI_USER);
    }
    this.heads[signo] = info.next;
    if (info.next === null) this.tails[signo] = null;
    this.counter.add(-1);
    if (info.next === null) this.set.remove(signo);
    info.next = null;
    return info;
  }

  /** Takes the lowest signal whose bit is not set in `blocked`, those raised by instructions first. */
  takeUnblocked(blocked: SignalSet): SignalInfo | null {
    const low = this.set.low & ~blocked.low;
    const synchronous = low & SYNCHRONOUS_LOW;
    const signo = synchronous !== 0 ? firstSignal(synchronous, 0) : firstSignal(low, this.set.high & ~blocked.high);
    return signo === 0 ? null : this.take(signo);
  }

  /** Drops every entry of the signals in the given words. */
  removeAll(low: number, high: number): void {
    let signo = firstSignal(this.set.low & low, this.set.high & high);
    while (signo !== 0) {
      for (let info: SignalInfo | null = this.heads[signo]!; info !== null; info = info.next) this.counter.add(-1);
      this.heads[signo] = null;
      this.tails[signo] = null;
      this.set.remove(signo);
      signo = firstSignal(this.set.low & low, this.set.high & high);
    }
  }

  clear(): void {
    this.removeAll(0xffff_ffff, 0xffff_ffff);
  }

  private allocateSlots(): void {
    if (this.heads.length !== 0) return;
    for (let signo = 0; signo <= SIGNAL_MAX; signo++) {
      this.heads.push(null);
      this.tails.push(null);
    }
  }
}
