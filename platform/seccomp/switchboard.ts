/**
 * Where all guest threads ring: takes notifications from the filter's listener, finds the thread, and tells what they mean.
 *
 * A notification is one of: a call of the guest; the doorbell; a call of the stub that the filter asks about, which goes on if it was
 * ordered; the first sign of life of a thread cloned a moment ago. At most one clone is under way in the whole sandbox, so an unknown
 * thread that asks exactly for what the awaited one must ask for is that one; any other unknown one is refused.
 *
 * A process that does what the stub would never do is killed (`condemn`).
 */
import type { HostEvents } from '../host/events.ts';
import type { Notifications } from '../host/notifications.ts';
import { Ready } from '../host/notifications.ts';
import * as process from '../host/process.ts';
import { DOORBELL, KIND_STARTED } from '../stub/guest-code.ts';
import { STUB_BASE, STUB_SIZE } from '../stub/layout.ts';
import type { FrameLayout } from './frame.ts';
import { State } from './stub-thread.ts';
import type { StubThread } from './stub-thread.ts';

const EPERM = 1;
const STUB_HIGH = Math.floor(STUB_BASE / 0x1_0000_0000);
const STUB_LOW = STUB_BASE >>> 0;
const STUB_MASK = -STUB_SIZE >>> 0;
/** SIGPWR. Not a real-time signal: those the host queues, and refuses when there are too many. */
export const INTERRUPT_SIGNAL = 30;
/** How long a thread may take to do what it was told. A stub takes microseconds; only a hostile or stopped process takes longer. */
const PATIENCE_NS = 5_000_000_000;

/** What the switchboard needs of the platform. */
export interface SwitchboardOwner {
  log(line: string): void;
  /** Looks for processes that ended. */
  sweep(): void;
}

export interface SwitchboardParts {
  readonly listener: Notifications;
  readonly layout: FrameLayout;
  readonly contextsFd: number;
  /** Where the stub's `exchange` lies in every process, and where a thread that has rung goes on. */
  readonly exchangeAddress: number;
  readonly doorbellAddress: number;
  /** Whether the filter asks about all memory calls that can make a process grow. */
  readonly memoryLimited: boolean;
}

export class Switchboard {
  readonly listener: Notifications;
  readonly layout: FrameLayout;
  readonly contextsFd: number;
  readonly sentryPid = process.ownPid();
  readonly interruptSignal = INTERRUPT_SIGNAL;
  readonly exchangeAddress: number;
  readonly #doorbellLow: number;
  readonly memoryLimited: boolean;
  /** By host thread id. */
  readonly threads = new Map<number, StubThread>();
  /** Stops that were found and not yet fetched. */
  readonly stops: StubThread[] = [];
  readonly owner: SwitchboardOwner;
  readonly #events: HostEvents;
  #expected: StubThread | null = null;

  constructor(owner: SwitchboardOwner, events: HostEvents, parts: SwitchboardParts) {
    this.owner = owner;
    this.#events = events;
    this.listener = parts.listener;
    this.layout = parts.layout;
    this.contextsFd = parts.contextsFd;
    this.exchangeAddress = parts.exchangeAddress;
    this.#doorbellLow = parts.doorbellAddress >>> 0;
    this.memoryLimited = parts.memoryLimited;
  }

  /** Takes one notification; the thread that stopped by it, or null when it is nothing for the kernel. Call it when there is one. */
  take(): StubThread | null {
    const { listener } = this;
    if (listener.receive() < 0) return null;
    const inStub = listener.ipHigh === STUB_HIGH && (listener.ipLow & STUB_MASK) >>> 0 === STUB_LOW;
    const thread = this.threads.get(listener.tid) ?? this.#newcomer(inStub);
    // From any other instruction of the stub it would go on with registers of the guest's choice, while it counts as waiting for orders.
    if (thread === null || (inStub && listener.nr === DOORBELL && listener.ipLow !== this.#doorbellLow)) {
      listener.answer(listener.idLow, listener.idHigh, -EPERM >>> 0, 0xffff_ffff);
      return null;
    }
    if (inStub) return this.#calledByStub(thread) ? thread : null;
    thread.idLow = listener.idLow;
    thread.idHigh = listener.idHigh;
    return thread.called(listener) ? thread : null;
  }

  /** Waits until `thread` has rung. False: it died, or was killed because it does not. */
  awaitRing(thread: StubThread): boolean {
    return this.#await(thread, false);
  }

  /** Waits until `thread` makes the last call it was ordered, from which it does not return. */
  awaitExit(thread: StubThread): void {
    const deadline = this.#events.monotonicNs() + PATIENCE_NS;
    while (thread.alive && !thread.orders.isEmpty && this.#events.monotonicNs() < deadline) this.#pollOnce(PATIENCE_NS);
    this.threads.delete(thread.tid);
    thread.alive = false;
  }

  /** The thread that is about to be cloned; null: none any more. */
  expect(thread: StubThread | null): void {
    this.#expected = thread;
  }

  /** A process that nobody knew has ended: if one was expected, it was that. */
  strangerEnded(): void {
    if (this.#expected !== null) this.#expected.alive = false;
  }

  /** Waits for the first sign of life of the expected thread. */
  awaitNewcomer(thread: StubThread): boolean {
    if (thread.tid !== 0) return true;
    return this.#await(thread, true);
  }

  #await(thread: StubThread, newcomer: boolean): boolean {
    const deadline = this.#events.monotonicNs() + PATIENCE_NS;
    let left = PATIENCE_NS;
    for (;;) {
      if (!thread.alive) return false;
      if (newcomer ? thread.tid !== 0 : thread.state === State.Rung) return true;
      if (this.#pollOnce(left)) continue;
      if (!thread.alive) return false;
      left = deadline - this.#events.monotonicNs();
      if (left > 0) continue;
      if (!newcomer) this.condemn(thread, 'does not answer');
      return false;
    }
  }

  /** Waits for a notification or the end of a process, at most so long. True: there was a notification. */
  #pollOnce(limitNs: number): boolean {
    const ready = this.listener.poll(this.#events.exitReadFd, limitNs);
    if ((ready & Ready.Call) !== 0) {
      const stopped = this.take();
      if (stopped !== null) this.stops.push(stopped);
      return true;
    }
    if (ready !== 0) this.owner.sweep();
    return false;
  }

  /** Kills the process of a thread that misbehaves. Its threads are reported as gone when the host has ended it. */
  condemn(thread: StubThread, why: string): false {
    this.owner.log(`guest process ${thread.pid} was killed: thread ${thread.tid} ${why}`);
    if (thread.pid !== 0) process.kill(thread.pid, process.SIGKILL);
    thread.alive = false;
    return false;
  }

  #calledByStub(thread: StubThread): boolean {
    const { listener } = this;
    const { nr, arguments: args } = listener;
    if (nr === DOORBELL) return this.#rang(thread, args);
    if (thread.state === State.Starting && thread.orders.matches(nr, args)) {
      thread.hold(listener.idLow, listener.idHigh);
      return false;
    }
    if (!thread.orders.matches(nr, args)) {
      listener.answer(listener.idLow, listener.idHigh, -EPERM >>> 0, 0xffff_ffff);
      return false;
    }
    listener.continue(listener.idLow, listener.idHigh);
    return false;
  }

  #rang(thread: StubThread, args: Uint32Array): boolean {
    thread.idLow = this.listener.idLow;
    thread.idHigh = this.listener.idHigh;
    if (args[2]! + args[3]! * 0x1_0000_0000 !== thread.frameAddress) return this.condemn(thread, 'rings from elsewhere');
    return thread.rang(args[1] === 0 ? args[0]! : -1, (args[5]! | 0) * 0x1_0000_0000 + args[4]!);
  }

  /** A thread seen for the first time: the one that is awaited, or null. */
  #newcomer(inStub: boolean): StubThread | null {
    const thread = this.#expected;
    if (thread === null || !inStub) return null;
    const { nr, arguments: args, tid } = this.listener;
    const isFirstAct = nr === DOORBELL ? args[0] === KIND_STARTED && thread.orders.isEmpty : thread.orders.isNext(nr, args);
    if (!isFirstAct) return null;
    this.#expected = null;
    thread.tid = tid;
    this.threads.set(tid, thread);
    return thread;
  }
}
