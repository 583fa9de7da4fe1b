/**
 * On which CPUs the sentry and the guests run.
 *
 * Handing over between sentry and guest costs 12 us when both are on one CPU and 27-85 us otherwise, because a sleeping CPU must be
 * woken through the hypervisor. A guest that makes calls in quick succession therefore shares the sentry's CPU (`together`). A guest
 * that computes, or several that do, may use every CPU (`spread`).
 *
 * A tick (a few milliseconds after a stop, never while nothing stops) looks at the number of stops in the time that guests ran and at
 * how many threads run, and chooses. The thresholds for entering and leaving lie apart, or it would flap. Threads learn of a change
 * at their next resume, running ones at once.
 */
import type { HostEvents } from './events.ts';
import type { CpuLoad } from './cpu-load.ts';
import type { LinuxHost } from './host.ts';
import * as process from './process.ts';
import type { CpuSet } from './process.ts';

/** A host thread that is placed. */
export interface Placed {
  readonly tid: number;
  /** Which placement it has; compared with `epoch` at each resume. */
  placement: number;
  /** The CPUs its owner asked for; null leaves the choice to the placement. */
  readonly affinity: CpuSet | null;
}

export const TICK_NS = 10_000_000;

// Stops per millisecond. One guest: a gap of 1 ms between stops is computing, below half of that it is calling.
const ONE_LEAVE_TOGETHER = 1;
const ONE_ENTER_TOGETHER = 2;
// Several guests: sharing one CPU loses half the machine, unless the hand-overs would cost more than that.
const MANY_LEAVE_TOGETHER = 12;
const MANY_ENTER_TOGETHER = 20;

/** Sets of CPUs kept for guests that choose theirs. */
const SUBSETS_MAX = 256;
/** Too short a time to judge by. */
const ENOUGH_NS = 1_000_000;
/** The host counts a CPU's idle time in steps of up to 10 ms. */
const LOOK_INTERVAL_NS = 25_000_000;

export class Placement {
  /** Changes whenever threads have to be placed anew. */
  epoch = 1;
  stops = 0;
  readonly #events: HostEvents;
  readonly #all: CpuSet;
  readonly #single = new Map<number, CpuSet>();
  readonly #subsets = new Map<string, CpuSet>();
  readonly #load: CpuLoad;
  #current: CpuSet;
  readonly #followers: number[] = [];
  #together = false;
  #separate = false;
  #nextLookNs = 0;
  #lastTickNs: number;
  #idleNs = 0;

  constructor(host: LinuxHost) {
    const { events } = host;
    this.#events = events;
    this.#all = process.allowedCpus();
    this.#load = host.cpuLoad;
    this.#current = this.#all;
    this.#lastTickNs = events.monotonicNs();
    this.#gather(process.currentCpu());
  }

  /** Sentry and guests share one CPU. */
  get together(): boolean {
    return this.#together;
  }

  /** Brings one thread to where it belongs now. */
  place(thread: Placed): void {
    thread.placement = this.epoch;
    process.setAffinity(thread.tid, thread.affinity ?? this.#current);
  }

  /** The CPUs that `words` names, bit n for the n-th allowed one. */
  subset(words: readonly number[]): CpuSet {
    const key = words.join();
    let set = this.#subsets.get(key);
    if (set !== undefined) return set;
    // Masks are never freed, and a guest may ask for every combination there is: beyond the bound its wish is not followed.
    if (this.#subsets.size >= SUBSETS_MAX) return this.#all;
    set = process.cpuSet(this.#all.cpus.filter((_, i) => ((words[i >> 5] ?? 0) & (1 << (i & 31))) !== 0));
    this.#subsets.set(key, set);
    return set;
  }

  /** From now on `tid`, which is no guest thread, is placed where the sentry is. Its end is not noticed: pass only what lives as long. */
  follow(tid: number): void {
    this.#followers.push(tid);
    process.setAffinity(tid, this.#current);
  }

  /** Decides anew. `running`: the threads that are running guest code. True when another tick is wanted. */
  tick(running: readonly Placed[]): boolean {
    const now = this.#events.monotonicNs();
    const busyNs = now - this.#lastTickNs - this.#idleNs;
    const wasIdle = this.stops === 0;
    if (busyNs >= ENOUGH_NS && this.#all.cpus.length > 1 && !this.#separate)
      this.#decide((this.stops * 1_000_000) / busyNs, running.length, now);
    this.#begin(now);
    for (const thread of running) {
      if (thread.placement !== this.epoch) this.place(thread);
    }
    return !wasIdle;
  }

  /** Starts a new measurement after a time without ticks. */
  restart(): void {
    this.#begin(this.#events.monotonicNs());
  }

  /** No guest ran for so long: that says nothing about whether guests compute or call. */
  idled(nanoseconds: number): void {
    this.#idleNs += nanoseconds;
  }

  /** Whether another CPU than the sentry's has been idle lately, so that nobody else needs it. Looks at most once in LOOK_INTERVAL_NS. */
  hasIdleCpu(): boolean {
    const now = this.#events.monotonicNs();
    return now >= this.#nextLookNs && this.#look(now);
  }

  /** Whether another CPU than the sentry's was idle since the last look. */
  #look(now: number): boolean {
    this.#nextLookNs = now + LOOK_INTERVAL_NS;
    const cpu = this.#sentryCpu;
    return this.#load.idlestCpu(cpu) !== cpu;
  }

  get #sentryCpu(): number {
    return this.#together ? this.#current.cpus[0]! : process.currentCpu();
  }

  /** From now on, until `rejoin`, guests run on the CPUs that the sentry does not use. False when there is only one. */
  separate(): boolean {
    const cpu = this.#sentryCpu;
    const others = this.#all.cpus.filter((other) => other !== cpu);
    if (others.length === 0) return false;
    this.#gather(cpu);
    const key = -1 - cpu;
    let set = this.#single.get(key);
    if (set === undefined) this.#single.set(key, (set = process.cpuSet(others)));
    this.#separate = true;
    this.#current = set;
    return true;
  }

  /** Sentry and guests share one CPU again, for as long as they call. */
  rejoin(): void {
    if (!this.#separate) return;
    this.#separate = false;
    this.#gather(process.currentCpu());
    // What the guest did with the other CPU until now is no reason not to take it again.
    this.#look(this.#events.monotonicNs());
  }

  /** Gives the calling thread back the CPUs it had. */
  restore(): void {
    process.setAffinity(0, this.#all);
  }

  #begin(now: number): void {
    this.stops = 0;
    this.#idleNs = 0;
    this.#lastTickNs = now;
  }

  #decide(rate: number, runningCount: number, now: number): void {
    if (this.#together) {
      const leave = runningCount > 1 ? MANY_LEAVE_TOGETHER : ONE_LEAVE_TOGETHER;
      if (rate < leave) return this.#spread();
      const better = this.#load.betterCpu(this.#current.cpus[0]!, now);
      if (better >= 0) this.#gather(better);
      return;
    }
    const enter = runningCount > 1 ? MANY_ENTER_TOGETHER : ONE_ENTER_TOGETHER;
    if (rate > enter) this.#gather(this.#load.idlestCpu(process.currentCpu()));
  }

  #gather(cpu: number): void {
    let set = this.#single.get(cpu);
    if (set === undefined) this.#single.set(cpu, (set = process.cpuSet([cpu])));
    this.#together = true;
    this.#move(set);
  }

  #spread(): void {
    this.#together = false;
    this.#move(this.#all);
  }

  #move(set: CpuSet): void {
    this.#current = set;
    this.epoch += 1;
    process.setAffinity(0, set);
    for (const tid of this.#followers) process.setAffinity(tid, set);
  }
}
