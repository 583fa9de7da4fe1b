/**
 * timerfd_create(2): a timer whose expirations are read as a count.
 *
 * A periodic timer is armed again when its count is read, not when it fires; expirations in between are computed from the clock. So a
 * period of one nanosecond costs nothing. Linux does the same (fs/timerfd.c).
 */
import { EAGAIN, EFAULT, EINVAL } from '#sentry/abi/errno.ts';
import { O_RDWR, READABLE } from '#sentry/abi/fs.ts';
import { putI64 } from '#sentry/abi/layout.ts';
import { TFD_TIMER_ABSTIME } from '#sentry/abi/event-files.ts';
import { Timer } from '../../lib/timer-queue.ts';
import type { Io } from '../../mm/io.ts';
import { AnonymousFile } from '../anonymous/anonymous-file.ts';
import type { AnonymousFiles } from '../anonymous/anonymous-files.ts';

const CLOCK_REALTIME = 0;
const CLOCK_REALTIME_ALARM = 8;
const NS = 1_000_000_000;

/** Time left and period in nanoseconds; 0 left: disarmed. */
export interface TimerSetting {
  valueNs: number;
  intervalNs: number;
}

export class TimerFile extends AnonymousFile {
  private readonly files: AnonymousFiles;
  private readonly clock: number;
  private readonly timer = new Timer(() => this.fire());
  /** Of the next expiration not yet counted, on the monotonic clock. */
  private deadlineNs = Infinity;
  private intervalNs = 0;
  /** The deadline has passed and the timer is not armed again yet. */
  private expired = false;
  private ticks = 0;
  private settimeFlags = 0;

  /** `flags`: O_NONBLOCK. */
  constructor(files: AnonymousFiles, clock: number, flags: number) {
    super(files.anonymous('[timerfd]'), null, O_RDWR | flags);
    this.files = files;
    this.clock = clock;
  }

  /** Arms the timer `seconds`, `nanoseconds` from now, or at that time of its clock with TFD_TIMER_ABSTIME; all zero disarms it. */
  set(seconds: number, nanoseconds: number, intervalNs: number, flags: number): void {
    const now = this.files.host.monotonicNs();
    this.settimeFlags = flags;
    this.expired = false;
    this.ticks = 0;
    this.intervalNs = intervalNs;
    if (seconds === 0 && nanoseconds === 0) this.deadlineNs = Infinity;
    else if ((flags & TFD_TIMER_ABSTIME) === 0) this.deadlineNs = now + seconds * NS + nanoseconds;
    else this.deadlineNs = this.toMonotonic(seconds, nanoseconds, now);
    this.files.timers.set(this.timer, this.deadlineNs);
  }

  setting(into: TimerSetting): void {
    const now = this.files.host.monotonicNs();
    if (this.expired && this.intervalNs > 0) this.goOn(now);
    into.intervalNs = this.intervalNs;
    into.valueNs = this.deadlineNs === Infinity || this.expired ? 0 : Math.max(1, this.deadlineNs - now);
  }

  override read(io: Io): number {
    if (io.remaining < 8) return -EINVAL;
    if (this.ticks === 0) return -EAGAIN;
    if (this.expired && this.intervalNs > 0) this.goOn(this.files.host.monotonicNs());
    const { cell } = this.files;
    putI64(cell.view, 0, this.ticks);
    this.ticks = 0;
    this.expired = false;
    if (this.intervalNs === 0) this.deadlineNs = Infinity;
    return io.put(cell, 0, 8) < 8 ? -EFAULT : 8;
  }

  override poll(): number {
    return this.ticks > 0 ? READABLE : 0;
  }

  override fdinfo(): string {
    const setting: TimerSetting = { valueNs: 0, intervalNs: 0 };
    this.setting(setting);
    const pair = (ns: number): string => `(${Math.floor(ns / NS)}, ${Math.floor(ns % NS)})`;
    return (
      `clockid: ${this.clock}\nticks: ${this.ticks}\nsettime flags: 0${this.settimeFlags.toString(8)}\n` +
      `it_value: ${pair(setting.valueNs)}\nit_interval: ${pair(setting.intervalNs)}\n`
    );
  }

  protected override destroy(): void {
    this.files.timers.cancel(this.timer);
  }

  private fire(): void {
    this.expired = true;
    this.ticks++;
    this.queue.notify(READABLE);
  }

  /** Counts the expirations since the first uncounted one and arms the next. */
  private goOn(now: number): void {
    const missed = Math.max(0, Math.floor((now - this.deadlineNs) / this.intervalNs));
    this.ticks += missed;
    this.deadlineNs += (missed + 1) * this.intervalNs;
    this.expired = false;
    this.files.timers.set(this.timer, this.deadlineNs);
  }

  private toMonotonic(seconds: number, nanoseconds: number, now: number): number {
    if (this.clock !== CLOCK_REALTIME && this.clock !== CLOCK_REALTIME_ALARM) return seconds * NS + nanoseconds;
    const real = { sec: 0, nsec: 0 };
    this.files.host.realtime(real);
    return now + (seconds - real.sec) * NS + (nanoseconds - real.nsec);
  }
}
