/**
 * The network stack as the sockets and the kernel see it: one stack, its clock, its place in the kernel's loop.
 *
 * A socket calls `enter` before it uses an endpoint, which sets the stack's time. What the call caused (segments for the other end of a
 * loopback connection) waits in the stack's backlog until the kernel, after the call, sees `isDue` and calls `run`; so a receiver is woken in the
 * same turn, and nothing recurses. Timers of the stack are one timer of the kernel's.
 *
 * The stack is made when somebody asks for the first time: most programs never do.
 */
import type { Host, Timestamp } from '#platform/contract/host.ts';
import { Timer } from '../../lib/timer-queue.ts';
import type { TimerQueue } from '../../lib/timer-queue.ts';
import { NetworkSettings } from '../../netstack/settings.ts';
import { Stack } from '../../netstack/stack.ts';
import type { Tcp } from '../../netstack/tcp/tcp.ts';

/** Random words fetched at once. */
const RANDOM_WORDS = 256;
const NS = 1e9;

/** Another stack at the other end of a link of ours, in the same process: a gateway. It lives in the same turns of the kernel's loop. */
export interface Companion {
  setTime(nowNs: number): void;
  /** True: it has more to do, or has sent us something. */
  poll(nowNs: number): boolean;
  readonly nextDeadline: number;
}

/** Turns of both stacks in one `run`. */
const COMPANION_TURNS = 8;

export class Network {
  /** /proc/sys/net. */
  readonly settings = new NetworkSettings();
  companion: Companion | null = null;
  /** The sockets are the host's, and the interfaces are shown as they were at the start: nobody may change them. */
  isOfHost = false;
  /** The stack has something to do as soon as the current call is over. */
  isDue = false;
  private readonly host: Host;
  private readonly timers: TimerQueue;
  private readonly timer: Timer;
  private made: Stack | null = null;
  private readonly time: Timestamp = { sec: 0, nsec: 0 };

  constructor(host: Host, timers: TimerQueue) {
    this.host = host;
    this.timers = timers;
    this.timer = new Timer((nowNs) => {
      this.setTime(nowNs);
      this.run();
    });
  }

  get stack(): Stack {
    return this.made ?? this.make();
  }

  get tcp(): Tcp {
    return this.stack.tcp;
  }

  private make(): Stack {
    const { host } = this;
    const stack = new Stack({ allocate: (bytes) => host.allocate(bytes), random: randomWords(host), settings: this.settings });
    this.made = stack;
    this.setTime(host.monotonicNs());
    return stack;
  }

  private setTime(nowNs: number): void {
    this.stack.setTime(nowNs);
    this.companion?.setTime(nowNs);
  }

  /** To be called before an endpoint is used: sets the time, and lets the stack work afterwards. */
  enter(): void {
    this.setTime(this.host.monotonicNs());
    this.isDue = true;
  }

  /** Does what is due and sets the timer for what comes next. The stack's time has been set in this turn. */
  run(): void {
    const { stack, timer, companion } = this;
    this.isDue = false;
    stack.poll(stack.state.nowNs);
    if (companion !== null) this.runBoth(stack, companion);
    else this.isDue = stack.needsPoll;
    // A timer that comes too early costs less than one that is moved with each segment.
    const nextDeadline = companion === null ? stack.nextDeadline : Math.min(stack.nextDeadline, companion.nextDeadline);
    if (nextDeadline < timer.deadlineNs) this.timers.set(timer, nextDeadline);
  }

  private runBoth(stack: Stack, companion: Companion): void {
    let isMore = true;
    for (let turns = COMPANION_TURNS; isMore && turns > 0; turns--) {
      isMore = companion.poll(stack.state.nowNs);
      stack.poll(stack.state.nowNs);
      isMore ||= stack.needsPoll;
    }
    // What is left has its turn after the guests, at a later time.
    if (isMore) this.enter();
    else this.isDue = false;
  }

  /** CLOCK_REALTIME, ns, at the moment when CLOCK_MONOTONIC was `atNs`. */
  realtimeAt(atNs: number): number {
    this.host.realtime(this.time);
    return this.time.sec * NS + this.time.nsec - (this.host.monotonicNs() - atNs);
  }
}

/** 32 random bits a call, as an int32, from the host's generator. */
function randomWords(host: Host): () => number {
  const memory = host.allocate(4 * RANDOM_WORDS);
  let left = 0;
  return () => {
    if (left === 0) {
      host.random(memory, 0, 4 * RANDOM_WORDS);
      left = RANDOM_WORDS;
    }
    left--;
    return memory.view.getInt32(4 * left, true);
  };
}
