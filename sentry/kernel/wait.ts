/**
 * How a system call waits. A handler that cannot finish says what it waits on and returns `BLOCKED`; when something fires, the same handler
 * is called again with the same arguments and looks anew:
 *
 *     const n = file.read(io, position, task);
 *     if (n === -EAGAIN && blocking) return task.wait.on(file.queue, READABLE);
 *     return n;
 *
 * With a deadline:
 *
 *     if (task.wait.first) task.wait.deadlineNs = now + timeout;
 *     if (nothingReady) return task.wait.timedOut ? 0 : task.wait.on(queue, mask);
 *
 * A signal ends the wait: if the handler still returns BLOCKED, the call's result is what `interrupt` says (by default the bytes moved so
 * far, or -ERESTARTSYS).
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

export class CallWait implements Waiter {
  /** True while the handler runs for the first time for this call. */
  first = true;
  /** The deadline passed. */
  timedOut = false;
  /** CLOCK_MONOTONIC; the handler sets it when `first`. */
  deadlineNs = Infinity;
  /** Bytes moved so far by a call that goes on after waiting (write to a pipe). Becomes the result when a signal comes. */
  progress = 0;
  /** Anything else the handler wants to keep between its runs. */
  state: unknown = null;
  /** Result when a signal ends the wait and `progress` is 0; may be replaced for the current call. */
  interrupted: number = -ERESTARTSYS;
  /** Called when a signal ends the wait, before the result is stored (nanosleep writes the remaining time). Its value is the result. */
  onInterrupt: (() => number) | null = null;
  /** Called once when the call ends after having waited, whatever the reason: undo what `state` registered elsewhere. */
  onFinish: (() => void) | null = null;
  /** Only SIGKILL ends the wait (vfork, exit of a stopped group). */
  uninterruptible = false;
  /** Whether the task sits in queues now. */
  waiting = false;

  private readonly entries: WaitEntry[] = [];
  private used = 0;
  private readonly timers: TimerQueue;
  private readonly timer: Timer;
  private readonly makeRunnable: () => void;

  constructor(timers: TimerQueue, makeRunnable: () => void) {
    this.timers = timers;
    this.makeRunnable = makeRunnable;
    this.timer = new Timer(() => {
      this.timedOut = true;
      this.makeRunnable();
    });
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
    if (this.deadlineNs !== Infinity && !this.timedOut) this.timers.set(this.timer, this.deadlineNs);
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
    if (this.onInterrupt !== null) return this.onInterrupt();
    return this.progress > 0 ? this.progress : this.interrupted;
  }

  /** Back to the state a new call starts from. */
  finish(): void {
    if (this.waiting || this.used > 0) this.detach();
    const { onFinish } = this;
    this.first = true;
    this.timedOut = false;
    this.deadlineNs = Infinity;
    this.progress = 0;
    this.state = null;
    this.interrupted = -ERESTARTSYS;
    this.onInterrupt = null;
    this.onFinish = null;
    this.uninterruptible = false;
    if (onFinish !== null) onFinish();
  }
}
