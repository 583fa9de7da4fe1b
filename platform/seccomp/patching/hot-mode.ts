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

/** Calls looked at before deciding. */
const WINDOW = 64;
/** Mean time from one cold call to the next, hand-over and service included, up to which being hot pays. */
const ENTER_NS = 16_000;
/** So much more for a call that came by way of the thread's handler. */
const HANDLER_NS = 20_000;
/** Of a window, how many calls must have come from patched sites. */
const ENTER_PATCHED = 60;
/** Hot: how many calls of a window may come in another way. */
const LEAVE_OTHERS = 12;
/** Hot: so many posted calls pay for one nap of the sentry, which ends with the wake-up of another CPU. */
const WORTH_NAP = 100;
/** Naps in a row that were not paid for. */
const NAPS_MAX = 4;
/** Hot: after so many calls the clock is read, and being hot must have paid. */
const TRIAL = 512;
/** Hot calls may take this part of the time that cold ones took, or being hot does not pay. */
const PAYS = 0.7;
/** Being hot for fewer calls than this was not worth it. */
const WORTH_CALLS = 5000;
/** Windows to sit out after that: twice as many each time, up to the second. */
const PENALTY_FIRST = 4;
const PENALTY_MAX = 1024;

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
  #penalty = PENALTY_FIRST;
  #wait = 0;

  /** A cold call, from a patched site or another, and whether it came by way of the handler. True: go hot, if there is a CPU to spare. Reads the clock once in a window. */
  coldCall(fromPatchedSite: boolean, fromHandler: boolean, now: () => number): boolean {
    this.#calls += 1;
    if (fromHandler) this.#fromHandler += 1;
    if (fromPatchedSite) this.#patched += 1;
    if (this.#calls < WINDOW) return false;
    const end = now();
    this.#coldNs = (end - this.#windowStartNs) / WINDOW;
    this.isWarm = this.#coldNs < ENTER_NS + (HANDLER_NS * this.#fromHandler) / WINDOW;
    this.#fromHandler = 0;
    const wanted = this.isWarm && this.#patched >= ENTER_PATCHED;
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
    if (this.#calls >= WINDOW) this.#calls = this.#others = 0;
  }

  /** To be asked now and then: true when being hot has not paid. */
  failsTrial(now: () => number): boolean {
    if (this.#trialCalls < TRIAL) return false;
    const end = now();
    const fails = end - this.#trialStartNs > this.#trialCalls * this.#coldNs * PAYS;
    this.#trialStartNs = end;
    this.#trialCalls = 0;
    return fails;
  }

  /** The sentry is about to sleep because no call has come for long. True: leave. */
  nap(): boolean {
    this.#naps = this.#posted - this.#postedAtNap < WORTH_NAP ? this.#naps + 1 : 0;
    this.#postedAtNap = this.#posted;
    return this.#naps >= NAPS_MAX;
  }

  /** Hot: a stop that was not a posted call. True: leave. */
  otherStop(): boolean {
    this.#calls += 1;
    this.#trialCalls += 1;
    this.#others += 1;
    if (this.#others > LEAVE_OTHERS) return true;
    if (this.#calls >= WINDOW) this.#calls = this.#others = 0;
    return false;
  }

  leave(): void {
    this.isHot = false;
    this.#calls = 0;
    this.#patched = 0;
    this.#penalty = this.#posted >= WORTH_CALLS ? PENALTY_FIRST : Math.min(2 * this.#penalty, PENALTY_MAX);
    this.#wait = this.#posted >= WORTH_CALLS ? 0 : this.#penalty;
    this.#windowStartNs = 0;
  }
}
