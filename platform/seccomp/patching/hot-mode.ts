/**
 * Whether sentry and guest sit on one CPU and hand over by sleeping and waking (cold), or on two CPUs, both spinning (hot).
 *
 * Cold, a call costs two switches, 5-9 µs, whatever the guest does between calls. Hot, a posted call costs a fraction of a microsecond, but an
 * ordinary one has to wake the other CPU, 25-50 µs on a virtual machine, and a whole CPU does nothing else. So hot needs all of: a CPU
 * to spare, calls in quick succession, and nearly all of them from patched sites. Sites are patched once the first two hold.
 *
 * Entering and leaving are judged by different measures, so that they do not alternate: to enter, the mean time from call to call over a window; to
 * leave, several gaps longer than the sentry is willing to spin for with few calls between them, or too many calls that were not posted. One
 * long gap says nothing: the guest may have lost its CPU to somebody else. On a machine that others keep busy, that happens all the time; so
 * what hot calls really took, all told, is compared with what cold ones took before. Whoever leaves early waits longer before entering again.
 */

/** What the decisions go by. */
export interface HotLimits {
  /** Calls looked at before deciding. */
  readonly window: number;
  /** Mean time from one cold call to the next, hand-over and service included, up to which being hot pays. */
  readonly enterNs: number;
  /** So much more for a call that came by way of the thread's handler. */
  readonly handlerNs: number;
  /** Which part of a window must have come from patched sites to enter, and may come in another way without leaving. */
  readonly enterPatched: number;
  readonly leaveOthers: number;
  /**
   * Hot: after so many calls the clock is read, and once they fill so much time, they must not have taken more than this part of the time that
   * cold ones took. A shorter time would judge by one slice of the CPU that somebody else had.
   */
  readonly trial: number;
  readonly trialNs: number;
  readonly pays: number;
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
  enterNs: 32_000,
  handlerNs: 20_000,
  enterPatched: 0.9,
  leaveOthers: 0.2,
  trial: 512,
  trialNs: 5_000_000,
  pays: 0.7,
  worthNap: 100,
  napsMax: 4,
  worthCalls: 5000,
  penaltyFirst: 4,
  penaltyMax: 1024,
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
  /** Mean time from call to call before entering. */
  #coldNs = 0;
  #trialStartNs = 0;
  #trialCalls = 0;
  #postedAtNap = 0;
  #naps = 0;
  #penalty: number;
  #wait = 0;
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
    const { window, enterNs, handlerNs, enterPatched } = this.#limits;
    if (this.#calls < window) return false;
    const end = now();
    this.#coldNs = (end - this.#windowStartNs) / window;
    this.isWarm = this.#coldNs < enterNs + (handlerNs * this.#fromHandler) / window;
    this.#fromHandler = 0;
    const wanted = this.isWarm && this.#patched >= enterPatched * window;
    this.#windowStartNs = end;
    this.#calls = 0;
    this.#patched = 0;
    if (!wanted) return false;
    if (this.#wait > 0) {
      this.#wait -= 1;
      return false;
    }
    return true;
  }

  enter(): void {
    this.isHot = true;
    this.#trialStartNs = this.#windowStartNs;
    this.#trialCalls = 0;
    this.#calls = 0;
    this.#others = 0;
    this.#posted = 0;
    this.#postedAtNap = 0;
    this.#naps = 0;
  }

  postedCall(): void {
    this.#posted += 1;
    this.#trialCalls += 1;
    this.#calls += 1;
    if (this.#calls >= this.#limits.window) this.#calls = this.#others = 0;
  }

  /** To be asked now and then: true when being hot has not paid. */
  failsTrial(now: () => number): boolean {
    if (this.#trialCalls < this.#limits.trial) return false;
    const end = now();
    if (end - this.#trialStartNs < this.#limits.trialNs) return false;
    const fails = end - this.#trialStartNs > this.#trialCalls * this.#coldNs * this.#limits.pays;
    this.#trialStartNs = end;
    this.#trialCalls = 0;
    return fails;
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
    this.#trialCalls += 1;
    this.#others += 1;
    if (this.#others > this.#limits.leaveOthers * this.#limits.window) return true;
    if (this.#calls >= this.#limits.window) this.#calls = this.#others = 0;
    return false;
  }

  leave(): void {
    this.isHot = false;
    this.#calls = 0;
    this.#patched = 0;
    const { worthCalls, penaltyFirst, penaltyMax } = this.#limits;
    const paid = this.#posted >= worthCalls;
    this.#penalty = paid ? penaltyFirst : Math.min(2 * this.#penalty, penaltyMax);
    this.#wait = paid ? 0 : this.#penalty;
    this.#windowStartNs = 0;
  }
}
