/**
 * Whether sentry and guest sit on one CPU and hand over by sleeping and waking (cold), or on two CPUs, both spinning (hot).
 *
 * Cold, a call costs two switches, 5-9 µs, whatever the guest does between calls. Hot, a posted call costs a fraction of a microsecond, but an
 * ordinary one has to wake the other CPU, 25-50 µs on a virtual machine, and a whole CPU does nothing else. So hot needs all of: a CPU
 * to spare, calls in quick succession, and nearly all of them from patched sites. Sites are patched once the first two hold.
 *
 * Entering and leaving are judged by different measures, so that they do not alternate: to enter, the mean time from call to call over a window; to
 * leave, several gaps longer than the sentry is willing to spin for with few calls between them, or too many calls that were not posted. One
 * long gap says nothing: the guest may have lost its CPU to somebody else. On a machine that others keep busy, or with several guest threads
 * that need both CPUs, that happens all the time; so what handing over takes while hot is compared now and then with what it took before
 * (`HandOverMeter`). Whoever leaves early waits longer before entering again.
 */

import { HandOverMeter } from './hand-over-meter.ts';

/** What the decisions go by. */
export interface HotLimits {
  /** Calls looked at before deciding. */
  readonly window: number;
  /** Mean time from one cold call to the next, hand-over and service included, up to which patching sites pays. */
  readonly warmNs: number;
  /** Mean time of handing over, what the guest computes included, up to which being hot pays. */
  readonly enterNs: number;
  /** So much more for a call that came by way of the thread's handler. */
  readonly handlerNs: number;
  /** Which part of a window must have come from patched sites to enter, and may come in another way without leaving. */
  readonly enterPatched: number;
  readonly leaveOthers: number;
  /**
   * Hot: over so many calls, and at least so much time, handing over must not take more than this part of what it took cold. A shorter time would judge by
   * one slice of the CPU that somebody else had. Then nothing is judged for so long: measuring costs as much as a hot call.
   */
  readonly trial: number;
  readonly trialNs: number;
  readonly pays: number;
  readonly unjudgedNs: number;
  /** Hot: so many posted calls pay for one nap of the sentry, which ends with the wake-up of another CPU; naps in a row that were not paid for. */
  readonly worthNap: number;
  readonly napsMax: number;
  /** Being hot for fewer calls than this was not worth it: so many windows to sit out then, twice as many each time, up to the second number. */
  readonly worthCalls: number;
  readonly penaltyFirst: number;
  readonly penaltyMax: number;
  /** Also one that others are using. */
  readonly takesAnyCpu: boolean;
}

export const HOT_LIMITS: HotLimits = {
  window: 64,
  warmNs: 100_000,
  enterNs: 32_000,
  handlerNs: 20_000,
  enterPatched: 0.9,
  leaveOthers: 0.2,
  trial: 512,
  trialNs: 5_000_000,
  pays: 0.7,
  unjudgedNs: 200_000_000,
  worthNap: 100,
  napsMax: 4,
  worthCalls: 5000,
  penaltyFirst: 4,
  penaltyMax: 512,
  takesAnyCpu: false,
};

export class HotMode {
  isHot = false;
  /** Calls come fast enough for patching sites to be worth it. */
  isWarm = false;
  #windowStartNs = 0;
  #calls = 0;
  #patched = 0;
  #fromHandler = 0;
  #others = 0;
  #posted = 0;
  /** What handing over took on average before entering. */
  #coldNs = 0;
  #nextTrialNs = 0;
  #isFirstTrial = true;
  #postedAtNap = 0;
  #naps = 0;
  #penalty: number;
  #wait = 0;
  readonly meter = new HandOverMeter();
  readonly #limits: HotLimits;

  constructor(limits: HotLimits) {
    this.#limits = limits;
    this.#penalty = limits.penaltyFirst;
  }

  /** A cold call, from a patched site or another, and whether it came by way of the handler. True: go hot, if there is a CPU to spare. Reads the clock once in a window. */
  coldCall(fromPatchedSite: boolean, fromHandler: boolean, now: () => number): boolean {
    this.#calls += 1;
    if (fromHandler) this.#fromHandler += 1;
    if (fromPatchedSite) this.#patched += 1;
    const { window, warmNs, handlerNs, enterPatched } = this.#limits;
    if (this.#calls < window) return false;
    const end = now();
    this.isWarm = (end - this.#windowStartNs) / window < warmNs + (handlerNs * this.#fromHandler) / window;
    const wanted = this.isWarm && this.#patched >= enterPatched * window;
    this.#windowStartNs = end;
    this.#calls = 0;
    this.#patched = 0;
    this.#fromHandler = 0;
    return wanted ? this.#consider(end) : this.#reject();
  }

  /** The first window that wants it lets the next one measure what handing over takes. */
  #consider(nowNs: number): boolean {
    if (this.#wait > 0) {
      this.#wait -= 1;
      return false;
    }
    if (this.meter.isOn) {
      this.meter.end();
      this.#coldNs = this.meter.meanNs;
      return this.#coldNs < this.#limits.enterNs;
    }
    this.meter.begin(nowNs);
    return false;
  }

  #reject(): false {
    this.meter.end();
    return false;
  }

  enter(nowNs: number): void {
    this.isHot = true;
    this.meter.begin(nowNs);
    this.#calls = 0;
    this.#others = 0;
    this.#posted = 0;
    this.#nextTrialNs = 0;
    this.#postedAtNap = 0;
    this.#naps = 0;
  }

  postedCall(): void {
    this.#posted += 1;
    this.#calls += 1;
    if (this.#calls >= this.#limits.window) this.#calls = this.#others = 0;
  }

  /** To be asked now and then: true when being hot has not paid. */
  failsTrial(now: () => number): boolean {
    const { meter } = this;
    const { trial, trialNs, pays, unjudgedNs } = this.#limits;
    const nowNs = now();
    if (!meter.isOn) {
      if (nowNs >= this.#nextTrialNs) meter.begin(nowNs);
      return false;
    }
    if (meter.stops < trial || meter.elapsedNs(nowNs) < trialNs) return false;
    meter.end();
    if (this.#isFirstTrial) {
      // The engine compiles meanwhile what had never run before.
      this.#isFirstTrial = false;
      return false;
    }
    this.#nextTrialNs = nowNs + unjudgedNs;
    return meter.meanNs > pays * this.#coldNs;
  }

  /** The sentry is about to sleep because no call has come for long. True: leave. */
  nap(): boolean {
    this.#naps = this.#posted - this.#postedAtNap < this.#limits.worthNap ? this.#naps + 1 : 0;
    this.#postedAtNap = this.#posted;
    return this.#naps >= this.#limits.napsMax;
  }

  /** Hot: a stop that was not a posted call. True: leave. */
  otherStop(): boolean {
    this.#calls += 1;
    this.#others += 1;
    if (this.#others > this.#limits.leaveOthers * this.#limits.window) return true;
    if (this.#calls >= this.#limits.window) this.#calls = this.#others = 0;
    return false;
  }

  leave(): void {
    this.isHot = false;
    this.meter.end();
    this.#calls = 0;
    this.#patched = 0;
    const { worthCalls, penaltyFirst, penaltyMax } = this.#limits;
    const paid = this.#posted >= worthCalls;
    this.#penalty = paid ? penaltyFirst : Math.min(2 * this.#penalty, penaltyMax);
    this.#wait = paid ? 0 : this.#penalty;
    this.#windowStartNs = 0;
  }
}
