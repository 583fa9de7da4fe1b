/**
 * What handing over costs: the mean time from letting a guest thread run to the next stop of any. What the guest computes is in it, what the
 * sentry does for a call is not; so it can be compared between the two ways of handing over, whatever the calls are.
 *
 * Off, it costs one comparison per call. Specification: none; platform/seccomp/patching/hot-mode.ts uses it.
 */
export class HandOverMeter {
  isOn = false;
  stops = 0;
  #beganNs = 0;
  #totalNs = 0;
  /** When a thread was let run without a stop since; 0: none was. */
  #runningSinceNs = 0;

  begin(nowNs: number): void {
    this.isOn = true;
    this.stops = 0;
    this.#beganNs = nowNs;
    this.#totalNs = 0;
    this.#runningSinceNs = 0;
  }

  end(): void {
    this.isOn = false;
  }

  /** A thread runs from now on. */
  ran(nowNs: number): void {
    if (this.#runningSinceNs === 0) this.#runningSinceNs = nowNs;
  }

  /** A thread has stopped. */
  stopped(nowNs: number): void {
    if (this.#runningSinceNs === 0) return;
    this.#totalNs += nowNs - this.#runningSinceNs;
    this.#runningSinceNs = 0;
    this.stops += 1;
  }

  get meanNs(): number {
    return this.stops === 0 ? 0 : this.#totalNs / this.stops;
  }

  /** Since it was switched on. */
  elapsedNs(nowNs: number): number {
    return nowNs - this.#beganNs;
  }
}
