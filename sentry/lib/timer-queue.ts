/**
 * Timers by deadline: a binary heap of reusable `Timer` objects. The owner of the clock asks `nextDeadline`, sleeps until then and calls
 * `expire(now)`. Setting and cancelling allocate nothing.
 */
export class Timer {
  deadlineNs = Infinity;
  /** Place in the heap, -1 when not set. */
  slot = -1;
  readonly fire: (nowNs: number) => void;

  /** `fire` may set this or other timers again. */
  constructor(fire: (nowNs: number) => void) {
    this.fire = fire;
  }

  get isSet(): boolean {
    return this.slot >= 0;
  }
}

export class TimerQueue {
  private readonly heap: Timer[] = [];

  get nextDeadline(): number {
    const first = this.heap[0];
    return first === undefined ? Infinity : first.deadlineNs;
  }

  set(timer: Timer, deadlineNs: number): void {
    if (deadlineNs === Infinity) {
      this.cancel(timer);
      return;
    }
    timer.deadlineNs = deadlineNs;
    if (timer.slot < 0) {
      timer.slot = this.heap.length;
      this.heap.push(timer);
    }
    this.siftUp(timer.slot);
    this.siftDown(timer.slot);
  }

  cancel(timer: Timer): void {
    const { slot } = timer;
    if (slot < 0) return;
    const last = this.heap.pop()!;
    timer.slot = -1;
    timer.deadlineNs = Infinity;
    if (last === timer) return;
    this.place(last, slot);
    this.siftUp(slot);
    this.siftDown(last.slot);
  }

  /** Fires every timer due at `nowNs`, earliest first. */
  expire(nowNs: number): void {
    for (;;) {
      const first = this.heap[0];
      if (first === undefined || first.deadlineNs > nowNs) return;
      this.cancel(first);
      first.fire(nowNs);
    }
  }

  private place(timer: Timer, slot: number): void {
    this.heap[slot] = timer;
    timer.slot = slot;
  }

  private siftUp(from: number): void {
    let slot = from;
    const timer = this.heap[slot]!;
    while (slot > 0) {
      const parent = (slot - 1) >> 1;
      const above = this.heap[parent]!;
      if (above.deadlineNs <= timer.deadlineNs) break;
      this.place(above, slot);
      slot = parent;
    }
    this.place(timer, slot);
  }

  private siftDown(from: number): void {
    let slot = from;
    const timer = this.heap[slot]!;
    for (;;) {
      let child = 2 * slot + 1;
      if (child >= this.heap.length) break;
      if (child + 1 < this.heap.length && this.heap[child + 1]!.deadlineNs < this.heap[child]!.deadlineNs) child++;
      const below = this.heap[child]!;
      if (below.deadlineNs >= timer.deadlineNs) break;
      this.place(below, slot);
      slot = child;
    }
    this.place(timer, slot);
  }
}
