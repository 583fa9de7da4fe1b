/** When to be hot, by a clock of our own. */
import { expect, test } from 'vitest';
import { HOT_LIMITS, HotMode } from './hot-mode.ts';

const { window, penaltyFirst } = HOT_LIMITS;

/** Windows of cold calls, each taking `ns`; how many it took until the mode wants to be hot, or -1. */
function windowsToEnter(mode: HotMode, ns: number, patched = true, handler = false): number {
  let time = 1e9;
  for (let i = 0; i < 4000 * window; i += 1) {
    time += ns;
    if (mode.coldCall(patched, handler, () => time)) return Math.ceil((i + 1) / window);
  }
  return -1;
}

test('quick calls from patched sites make it hot, slow ones do not', () => {
  expect(windowsToEnter(new HotMode(HOT_LIMITS), 8000)).toBe(2); // the first has no beginning
  expect(windowsToEnter(new HotMode(HOT_LIMITS), 1.25 * HOT_LIMITS.enterNs)).toBe(-1);
  expect(windowsToEnter(new HotMode(HOT_LIMITS), 1.25 * HOT_LIMITS.enterNs, true, true)).toBe(2);
});

test('calls from other sites only make it warm', () => {
  const mode = new HotMode(HOT_LIMITS);
  expect(windowsToEnter(mode, 8000, false)).toBe(-1);
  expect(mode.isWarm).toBe(true);
});

test('whoever leaves early waits longer each time', () => {
  const mode = new HotMode(HOT_LIMITS);
  const waits: number[] = [];
  for (let i = 0; i < 4; i += 1) {
    waits.push(windowsToEnter(mode, 8000));
    mode.enter();
    mode.leave();
  }
  expect(waits[1]).toBeGreaterThan(2 * penaltyFirst);
  expect(waits[3]).toBeGreaterThan(waits[2]!);
  windowsToEnter(mode, 8000);
  mode.enter();
  for (let i = 0; i < HOT_LIMITS.worthCalls; i += 1) mode.postedCall();
  mode.leave();
  expect(windowsToEnter(mode, 8000)).toBe(2);
});

test('too many other stops end it, one long gap does not', () => {
  const mode = new HotMode(HOT_LIMITS);
  windowsToEnter(mode, 8000);
  mode.enter();
  for (let i = 0; i < 1000; i += 1) mode.postedCall();
  expect(mode.nap()).toBe(false);
  const others = Array.from({ length: window }, () => mode.otherStop());
  expect(others[0]).toBe(false);
  expect(others).toContain(true);
});

test('it has to pay', () => {
  const trial = (ns: number): boolean => {
    const mode = new HotMode(HOT_LIMITS);
    let time = 1e9;
    const now = (): number => time;
    for (let i = 0; i < 2 * window; i += 1) {
      time += 8000;
      mode.coldCall(true, false, now);
    }
    mode.enter();
    for (let i = 0; i < HOT_LIMITS.trial; i += 1) mode.postedCall();
    time += HOT_LIMITS.trialNs - 1; // one slice of the CPU that somebody else had
    expect(mode.failsTrial(now)).toBe(false);
    const calls = Math.ceil(HOT_LIMITS.trialNs / ns) * 10;
    for (let i = 0; i < calls; i += 1) mode.postedCall();
    time += ns * calls;
    return mode.failsTrial(now);
  };
  expect(trial(500)).toBe(false);
  expect(trial(7900)).toBe(true);
});
