/**
 * How a system call waits. A handler that cannot finish says what it waits on and returns `BLOCKED`; when something fires, the same handler
 * is called again with the same arguments and looks anew:
 *
 *     const n = file.read(io, position, task);
 *     if (n === -EAGAIN && blocking) return task.wait.on(file.queue, READABLE);
 *     return n;
 *
 * With a timeout, which costs a look at the clock only if the call really waits (`deadlineNs` may be set instead):
 *
 *     if (task.wait.first) task.wait.timeoutNs = timeout;
 *     if (nothingReady) return task.wait.mayWait ? task.wait.on(queue, mask) : 0;
 *
 * A signal ends the wait: if the handler still returns BLOCKED, the call's result is what `interrupt` says (by default the bytes moved so
 * far, or -ERESTARTSYS).
 *
 * Most calls do not wait. Whatever a handler sets here marks the object as touched, and only then the end of the call cleans up.
 */
import { ERESTARTSYS } from '#sentry/abi/errno.ts';
import { WaitEntry } from '../lib/wait-queue.ts';
import type { WaitQueue, Waiter } from '../lib/wait-queue.ts';
import { Timer } from '../lib/timer-queue.ts';
import type { TimerQueue } from '../lib/timer-queue.ts';

/** The handler's result when it waits. No system call returns it. */
export const BLOCKED = -0x4000_0000;
/** The handler has set all registers (execve, rt_sigreturn): nothing is to be stored. */
export const REGISTERS_SET = -0x4000_0001;

/** What a waiting call keeps alive: an open file. */
export interface Held {
  release(): void;
}

export class CallWait implements Waiter {
  /** True while the handler runs for the first time for this call. */
  first = true;
  /** The deadline passed. */
  timedOut = false;
  /** Whether the task sits in queues now. */
  waiting = false;

  // What belongs to the current call; set through the accessors below.
  private touched = false;
  private callTimeoutNs = Infinity;
  private callDeadlineNs = Infinity;
  private callProgress = 0;
  private callState: unknown = null;
  private callInterrupted: number = -ERESTARTSYS;
  private callOnInterrupt: (() => number) | null = null;
  private callOnFinish: (() => void) | null = null;
  private callHeld: Held | null = null;
  private callUninterruptible = false;

  private readonly entries: WaitEntry[] = [];
  private used = 0;
  private readonly clock: WaitClock;
  private readonly timers: TimerQueue;
  private readonly timer: Timer;
  private readonly makeRunnable: () => void;

  constructor(clock: WaitClock, timers: TimerQueue, makeRunnable: () => void) {
    this.clock = clock;
    this.timers = timers;
    this.makeRunnable = makeRunnable;
    this.timer = new Timer(() => {
      this.timedOut = true;
      this.makeRunnable();
    });
  }

  /** How long the call may wait; 0: not at all. The handler sets it when `first`. */
  get timeoutNs(): number {
    return this.callTimeoutNs;
  }
  set timeoutNs(value: number) {
    this.callTimeoutNs = value;
    this.touched = true;
  }

  /** CLOCK_MONOTONIC, when the wait ends: set by the handler when `first`, or counted from the first look at it by the timeout. */
  get deadlineNs(): number {
    if (this.callTimeoutNs !== Infinity && this.callDeadlineNs === Infinity) {
      this.callDeadlineNs = this.callTimeoutNs === 0 ? 0 : this.clock.monotonicNs() + this.callTimeoutNs;
    }
    return this.callDeadlineNs;
  }
  set deadlineNs(value: number) {
    this.callDeadlineNs = value;
    this.touched = true;
  }

  /** Whether the call may (still) wait: neither is its time over nor was it told not to wait at all. */
  get mayWait(): boolean {
    return !this.timedOut && this.callTimeoutNs !== 0 && this.callDeadlineNs !== 0;
  }

  /** Bytes moved so far by a call that goes on after waiting (write to a pipe). Becomes the result when a signal comes. */
  get progress(): number {
    return this.callProgress;
  }
  set progress(value: number) {
    this.callProgress = value;
    this.touched = true;
  }

  /** Anything else the handler wants to keep between its runs. */
  get state(): unknown {
    return this.callState;
  }
  set state(value: unknown) {
    this.callState = value;
    this.touched = true;
  }

  /** Result when a signal ends the wait and `progress` is 0; may be replaced for the current call. */
  get interrupted(): number {
    return this.callInterrupted;
  }
  set interrupted(value: number) {
    this.callInterrupted = value;
    this.touched = true;
  }

  /** Called when a signal ends the wait, before the result is stored (nanosleep writes the remaining time). Its value is the result. */
  get onInterrupt(): (() => number) | null {
    return this.callOnInterrupt;
  }
  set onInterrupt(value: (() => number) | null) {
    this.callOnInterrupt = value;
    this.touched = true;
  }

  /** Called once when the call ends after having waited, whatever the reason: undo what `state` registered elsewhere. */
  get onFinish(): (() => void) | null {
    return this.callOnFinish;
  }
  set onFinish(value: (() => void) | null) {
    this.callOnFinish = value;
    this.touched = true;
  }

  /** Only SIGKILL ends the wait (vfork, exit of a stopped group). */
  get uninterruptible(): boolean {
    return this.callUninterruptible;
  }
  set uninterruptible(value: boolean) {
    this.callUninterruptible = value;
    this.touched = true;
  }

  /** Becomes the owner of one reference, which it lets go when the call ends. One for each call. */
  hold(held: Held): void {
    this.callHeld = held;
    this.touched = true;
  }

  /** Waits on one queue (in addition to those added before). */
  on(queue: WaitQueue, mask: number): typeof BLOCKED {
    this.add(queue, mask);
    return BLOCKED;
  }

  /** Adds a queue to what the call waits on. Returns the entry for handlers that look which one fired. */
  add(queue: WaitQueue, mask: number): WaitEntry {
    let entry = this.entries[this.used];
    if (entry === undefined) {
      entry = new WaitEntry(this);
      this.entries.push(entry);
    }
    this.used++;
    this.touched = true;
    queue.add(entry, mask);
    return entry;
  }

  wake(_entry: WaitEntry, _events: number): void {
    this.makeRunnable();
  }

  /** The kernel calls this when a handler returned BLOCKED. */
  settle(): void {
    this.waiting = true;
    this.first = false;
    this.touched = true;
    const { deadlineNs } = this;
    if (deadlineNs !== Infinity && !this.timedOut) this.timers.set(this.timer, deadlineNs);
  }

  /** Leaves all queues; called before the handler runs again and when the call ends. */
  detach(): void {
    for (let i = 0; i < this.used; i++) {
      const entry = this.entries[i]!;
      if (entry.queue !== null) entry.queue.remove(entry);
      entry.tag = null;
    }
    this.used = 0;
    this.waiting = false;
    if (this.timer.isSet) this.timers.cancel(this.timer);
  }

  /** What the call returns when a signal ends the wait. */
  interruptResult(): number {
    if (this.callOnInterrupt !== null) return this.callOnInterrupt();
    return this.callProgress > 0 ? this.callProgress : this.callInterrupted;
  }

  /** Back to the state a new call starts from. */
  finish(): void {
    if (this.touched) this.reset();
  }

  private reset(): void {
    if (this.waiting || this.used > 0) this.detach();
    const onFinish = this.callOnFinish;
    const held = this.callHeld;
    this.first = true;
    this.timedOut = false;
    this.touched = false;
    this.callTimeoutNs = Infinity;
    this.callDeadlineNs = Infinity;
    this.callProgress = 0;
    this.callState = null;
    this.callInterrupted = -ERESTARTSYS;
    this.callOnInterrupt = null;
    this.callOnFinish = null;
    this.callHeld = null;
    this.callUninterruptible = false;
    if (onFinish !== null) onFinish();
    if (held !== null) held.release();
  }
}

/** Where timeouts begin. */
export interface WaitClock {
  monotonicNs(): number;
}
