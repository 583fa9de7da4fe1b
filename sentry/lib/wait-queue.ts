/**
 * Wait queues: how something that becomes ready (a pipe, a child's exit, a futex) tells those who wait for it.
 *
 * A `WaitEntry` is a node in the queue's doubly linked list; entries are kept and reused by their owners so that waiting allocates
 * nothing. `notify` calls `wake` of every entry whose mask meets the events. `wake` must only note the fact (make a task runnable, set a
 * readiness bit): it runs in the middle of somebody else's system call.
 *
 * Model: Linux wait_queue_head_t, gVisor waiter.Queue.
 */

export interface Waiter {
  /** Something in `events` happened. May remove `entry` from its queue. An exclusive entry tells whether somebody will act on it. */
  wake(entry: WaitEntry, events: number): boolean | void;
}

export class WaitEntry {
  readonly waiter: Waiter;
  mask = 0;
  /** Of those in a queue that are exclusive, `notify` wakes in order until one takes the event (EPOLLEXCLUSIVE). */
  exclusive = false;
  queue: WaitQueue | null = null;
  next: WaitEntry | null = null;
  previous: WaitEntry | null = null;
  /** For the owner's use. */
  tag: unknown = null;

  constructor(waiter: Waiter) {
    this.waiter = waiter;
  }
}

export class WaitQueue {
  private head: WaitEntry | null = null;
  private tail: WaitEntry | null = null;

  get isEmpty(): boolean {
    return this.head === null;
  }

  /** What anybody here waits for: the entries' masks together. Owners change the mask of an entry while it is in the queue (epoll). */
  get awaited(): number {
    let mask = 0;
    for (let entry = this.head; entry !== null; entry = entry.next) mask |= entry.mask;
    return mask;
  }

  /** Appends `entry`, which must not be in a queue. */
  add(entry: WaitEntry, mask: number): void {
    entry.mask = mask;
    entry.queue = this;
    entry.next = null;
    entry.previous = this.tail;
    if (this.tail === null) this.head = entry;
    else this.tail.next = entry;
    this.tail = entry;
  }

  /** Unlinks `entry`; does nothing when it is not in this queue. */
  remove(entry: WaitEntry): void {
    if (entry.queue !== this) return;
    if (entry.previous === null) this.head = entry.next;
    else entry.previous.next = entry.next;
    if (entry.next === null) this.tail = entry.previous;
    else entry.next.previous = entry.previous;
    entry.queue = null;
    entry.next = null;
    entry.previous = null;
  }

  /** Wakes every entry interested in `events`, and of the exclusive ones no more than needed. */
  notify(events: number): void {
    let entry = this.head;
    let taken = false;
    while (entry !== null) {
      const next: WaitEntry | null = entry.next;
      if ((entry.mask & events) !== 0) {
        if (!entry.exclusive) entry.waiter.wake(entry, events);
        else if (!taken) taken = entry.waiter.wake(entry, events) === true;
      }
      entry = next;
    }
  }

  /** Wakes at most `count` interested entries in order of arrival; returns how many. */
  notifySome(events: number, count: number): number {
    let woken = 0;
    let entry = this.head;
    while (entry !== null && woken < count) {
      const next: WaitEntry | null = entry.next;
      if ((entry.mask & events) !== 0) {
        entry.waiter.wake(entry, events);
        woken++;
      }
      entry = next;
    }
    return woken;
  }
}
