/** When to be hot, by a clock of our own. */
import { expect, test } from 'vitest';
import { HOT_LIMITS, HotMode } from './hot-mode.ts';

const { window, penaltyFirst } = HOT_LIMITS;

interface Calls {
  /** From call to call. */
  readonly ns: number;
  /** Of that, handing over. */
  readonly handOverNs?: number;
  readonly patched?: boolean;
  readonly handler?: boolean;
}

/** Cold calls until the mode wants to be hot: how many windows it took, or -1. */
function windowsToEnter(mode: HotMode, { ns, handOverNs = ns, patched = true, handler = false }: Calls): number {
  let time = 1e9;
  for (let i = 0; i < 4000 * window; i += 1) {
    if (mode.meter.isOn) mode.meter.ran(time + ns - handOverNs);
    time += ns;
    if (mode.meter.isOn) mode.meter.stopped(time);
    if (mode.coldCall(patched, handler, () => time)) return Math.ceil((i + 1) / window);
  }
  return -1;
}

const QUICK = { ns: 8000 };

test('quick calls from patched sites make it hot, slow ones do not', () => {
  expect(windowsToEnter(new HotMode(HOT_LIMITS), QUICK)).toBe(3); // the first has no beginning, the second begins to measure
  const slow = 1.25 * HOT_LIMITS.warmNs;
  expect(windowsToEnter(new HotMode(HOT_LIMITS), { ns: slow, handOverNs: 1000 })).toBe(-1);
  expect(windowsToEnter(new HotMode(HOT_LIMITS), { ns: 1.1 * HOT_LIMITS.warmNs, handOverNs: 1000, handler: true })).toBe(3);
});

test('it is handing over that counts, not serving', () => {
  const ns = 0.9 * HOT_LIMITS.warmNs;
  expect(windowsToEnter(new HotMode(HOT_LIMITS), { ns, handOverNs: 8000 })).toBe(3);
  expect(windowsToEnter(new HotMode(HOT_LIMITS), { ns, handOverNs: 1.25 * HOT_LIMITS.enterNs })).toBe(-1);
});

test('calls from other sites only make it warm', () => {
  const mode = new HotMode(HOT_LIMITS);
  expect(windowsToEnter(mode, { ns: 8000, patched: false })).toBe(-1);
  expect(mode.isWarm).toBe(true);
});

test('whoever leaves early waits longer each time', () => {
  const mode = new HotMode(HOT_LIMITS);
  const waits: number[] = [];
  for (let i = 0; i < 4; i += 1) {
    waits.push(windowsToEnter(mode, QUICK));
    mode.enter(1e9);
    mode.leave();
  }
  expect(waits[1]).toBeGreaterThan(2 * penaltyFirst);
  expect(waits[3]).toBeGreaterThan(waits[2]!);
  windowsToEnter(mode, QUICK);
  mode.enter(1e9);
  for (let i = 0; i < HOT_LIMITS.worthCalls; i += 1) mode.postedCall();
  mode.leave();
  expect(windowsToEnter(mode, QUICK)).toBe(3);
});

test('too many other stops end it, one long gap does not', () => {
  const mode = new HotMode(HOT_LIMITS);
  windowsToEnter(mode, QUICK);
  mode.enter(1e9);
  for (let i = 0; i < 1000; i += 1) mode.postedCall();
  expect(mode.nap()).toBe(false);
  const others = Array.from({ length: window }, () => mode.otherStop());
  expect(others[0]).toBe(false);
  expect(others).toContain(true);
});

/** Posted calls, each handed over in `ns`. */
function post(mode: HotMode, calls: number, ns: number, clock: { ns: number }): void {
  for (let i = 0; i < calls; i += 1) {
    if (mode.meter.isOn) mode.meter.ran(clock.ns);
    clock.ns += ns;
    if (mode.meter.isOn) mode.meter.stopped(clock.ns);
    mode.postedCall();
  }
}

test('it has to pay', () => {
  const { trial, trialNs, unjudgedNs } = HOT_LIMITS;
  const mode = new HotMode(HOT_LIMITS);
  windowsToEnter(mode, QUICK);
  const clock = { ns: 2e9 };
  const now = (): number => clock.ns;
  mode.enter(clock.ns);
  const slow = Math.max(7900, Math.ceil(trialNs / trial));
  post(mode, trial, slow, clock);
  expect(mode.failsTrial(now)).toBe(false); // the very first: the engine is still compiling
  expect(mode.failsTrial(now)).toBe(false); // begins the next
  post(mode, trial, 500, clock);
  clock.ns += trialNs;
  expect(mode.failsTrial(now)).toBe(false); // passed, and not judged again for a while
  post(mode, 2 * trial, slow, clock);
  expect(mode.failsTrial(now)).toBe(false);
  clock.ns += unjudgedNs;
  expect(mode.failsTrial(now)).toBe(false);
  post(mode, trial, slow, clock);
  expect(mode.failsTrial(now)).toBe(true);
});
