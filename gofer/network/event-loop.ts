/**
 * The helper's loop: waits for descriptors and timers, and calls whoever asked to be told.
 *
 *     loop.watch(fd, EPOLLIN, (events) => …);  loop.timers.set(timer, loop.now + 1e9);
 *     while (…) loop.step();
 */
import { TimerQueue } from '#sentry/lib/timer-queue.ts';
import { FIRST_USER_TOKEN } from '#platform/contract/host.ts';
import { HostEvents } from '#platform/host/events.ts';

type Callback = (events: number) => void;

const EVENTS_AT_ONCE = 64;

export class EventLoop {
  readonly timers = new TimerQueue();
  /** CLOCK_MONOTONIC, as of the last wake-up. */
  now: number;
  private readonly events = new HostEvents();
  private readonly tokens = new Map<number, number>();
  private readonly callbacks = new Map<number, Callback>();
  private readonly reports = new Int32Array(EVENTS_AT_ONCE * 2);
  private nextToken = FIRST_USER_TOKEN;

  constructor() {
    this.now = this.events.monotonicNs();
  }

  /** Calls back while `fd` is ready for `events` (EPOLL* bits). Replaces an earlier wish for the same descriptor. 0 or -errno. */
  watch(fd: number, events: number, callback: Callback): number {
    const old = this.tokens.get(fd);
    if (old !== undefined) this.callbacks.delete(old);
    // A token of its own, so that a report for what a number meant before cannot reach what it means now.
    const token = this.nextToken++;
    const result = this.events.watch(fd, events, token);
    if (result < 0) return result;
    this.tokens.set(fd, token);
    this.callbacks.set(token, callback);
    return 0;
  }

  /** To be called before the descriptor is closed. */
  unwatch(fd: number): void {
    const token = this.tokens.get(fd);
    if (token === undefined) return;
    this.tokens.delete(fd);
    this.callbacks.delete(token);
    this.events.unwatch(fd);
  }

  /** Waits for something to happen, at most `limitNs`, and sees to all of it. */
  step(limitNs = 3_600e9): void {
    const wait = Math.min(limitNs, Math.max(0, this.timers.nextDeadline - this.events.monotonicNs()));
    this.events.waitDirectly(wait);
    this.now = this.events.monotonicNs();
    const count = this.events.takeEvents(this.reports);
    for (let i = 0; i < count; i++) this.callbacks.get(this.reports[2 * i]!)?.(this.reports[2 * i + 1]!);
    this.timers.expire(this.now);
  }
}
