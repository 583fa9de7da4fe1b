/**
 * One timer that raises a signal again and again: what setitimer(2) and timer_create(2) have in common.
 *
 * It fires once and rests until its signal has been taken (`taken`), then counts the periods that passed meanwhile and is set again. So a
 * period of a nanosecond costs no more than the guest's own handler does. Two clocks: real time, and CPU time of a process or thread, which
 * is polled: CPU time cannot run faster than real time on every CPU at once.
 */
import { DELAYTIMER_MAX } from '#sentry/abi/time.ts';
import { Timer } from '../../lib/timer-queue.ts';
import type { Kernel } from '../kernel.ts';

/** CPU-time timers are looked at no more often than this. */
const POLL_NS = 1_000_000;

export interface CpuClock {
  /** CPU time used so far. */
  nowNs(): number;
}

export class IntervalTimer {
  /** 0: fires once. */
  intervalNs = 0;
  /** When it fires next, or fired last, on its clock; Infinity when it is not set. */
  deadlineNs = Infinity;
  /** Fired, and its signal has not been taken. */
  resting = false;
  /** Periods that passed between the firing and the taking of the last signal. */
  overrun = 0;

  private readonly kernel: Kernel;
  private readonly cpu: CpuClock | null;
  private readonly timer: Timer;
  private readonly expired: () => void;

  /** `cpu` is null for a timer on CLOCK_MONOTONIC. */
  constructor(kernel: Kernel, cpu: CpuClock | null, expired: () => void) {
    this.kernel = kernel;
    this.cpu = cpu;
    this.expired = expired;
    this.timer = new Timer(() => this.check());
  }

  private get nowNs(): number {
    return this.cpu === null ? this.kernel.host.monotonicNs() : this.cpu.nowNs();
  }

  /** `deadlineNs` on this timer's clock; Infinity disarms. */
  set(deadlineNs: number, intervalNs: number): void {
    this.intervalNs = intervalNs;
    this.deadlineNs = deadlineNs;
    this.resting = false;
    this.overrun = 0;
    this.arm();
  }

  setRelative(durationNs: number, intervalNs: number): void {
    this.set(durationNs === 0 ? Infinity : this.nowNs + durationNs, intervalNs);
  }

  disarm(): void {
    this.set(Infinity, 0);
  }

  /** Nanoseconds until it fires next; 0 when it is not set, at least 1 when it is. */
  get remainingNs(): number {
    if (this.deadlineNs === Infinity) return 0;
    const now = this.nowNs;
    if (this.resting && this.intervalNs === 0) return 0;
    if (this.resting) return this.intervalNs - ((now - this.deadlineNs) % this.intervalNs);
    return Math.max(1, this.deadlineNs - now);
  }

  /** The signal of the last firing was taken, or never needed: counts what was missed and starts the next period. */
  taken(): void {
    if (!this.resting) return;
    this.resting = false;
    this.overrun = 0;
    if (this.intervalNs === 0) {
      this.deadlineNs = Infinity;
      return;
    }
    const missed = Math.max(0, Math.floor((this.nowNs - this.deadlineNs) / this.intervalNs));
    this.overrun = Math.min(missed, DELAYTIMER_MAX);
    this.deadlineNs += (missed + 1) * this.intervalNs;
    this.arm();
  }

  /** Nobody will take the signal: goes on by itself, but not more often than POLL_NS. */
  restLater(): void {
    if (this.intervalNs === 0) this.taken();
    else this.kernel.timers.set(this.timer, this.kernel.host.monotonicNs() + Math.max(POLL_NS, this.intervalNs));
  }

  private arm(): void {
    const { timers, host } = this.kernel;
    if (this.cpu === null || this.deadlineNs === Infinity) timers.set(this.timer, this.deadlineNs);
    else timers.set(this.timer, host.monotonicNs() + Math.max(POLL_NS, (this.deadlineNs - this.nowNs) / host.cpuCount));
  }

  private check(): void {
    if (this.resting) {
      this.taken();
      return;
    }
    if (this.nowNs < this.deadlineNs) {
      this.arm();
      return;
    }
    this.resting = true;
    this.expired();
  }
}
