/** When guests share the sentry's CPU and when they do not. The clock and the load are the test's; affinities are really set, on this thread. */
import { afterEach, describe, expect, test } from 'vitest';
import type { LinuxHost } from './host.ts';
import { allowedCpus } from './process.ts';
import { Placement, TICK_NS } from './placement.ts';

const cpus = allowedCpus().cpus;
const placements: Placement[] = [];

interface Trial {
  readonly placement: Placement;
  readonly tick: (stops: number, running: number, idleNs?: number) => boolean;
  readonly together: () => boolean;
  /** The CPU that would be better; -1 for none. */
  readonly best: { cpu: number };
}

function create(): Trial {
  let now = 0;
  const best = { cpu: -1 };
  const host = {
    events: { monotonicNs: () => now },
    cpuLoad: { betterCpu: () => best.cpu, idlestCpu: (current: number) => current },
  };
  const placement = new Placement(host as unknown as LinuxHost);
  placements.push(placement);
  return {
    placement,
    best,
    tick: (stops, running, idleNs = 0) => {
      now += TICK_NS;
      placement.stops = stops;
      placement.idled(idleNs);
      return placement.tick(Array.from({ length: running }, () => ({ tid: 0, placement: placement.epoch, affinity: null })));
    },
    together: () => allowedCpus().cpus.length === 1,
  };
}

afterEach(() => {
  for (const placement of placements.splice(0)) placement.restore();
});

describe.skipIf(cpus.length < 2)('placement', () => {
  test('one guest that calls stays, one that computes gets every CPU', () => {
    const { tick, together } = create();
    expect(together()).toBe(true);
    tick(500, 1);
    expect(together()).toBe(true);
    tick(3, 1);
    expect(together()).toBe(false);
    tick(15, 1); // between the thresholds: as it was
    expect(together()).toBe(false);
    tick(100, 1);
    expect(together()).toBe(true);
    tick(15, 1);
    expect(together()).toBe(true);
  });

  test('two guests share a CPU only when they call very often', () => {
    const { tick, together } = create();
    tick(300, 2);
    expect(together()).toBe(true);
    tick(80, 2);
    expect(together()).toBe(false);
    tick(150, 2);
    expect(together()).toBe(false);
    tick(300, 2);
    expect(together()).toBe(true);
  });

  test('idle time does not count', () => {
    const { tick, together } = create();
    tick(8, 0, TICK_NS - 2_000_000);
    expect(together()).toBe(true);
    tick(1, 0, TICK_NS - 100_000);
    expect(together()).toBe(true);
  });

  test('ticks end when nothing stops any more', () => {
    const { tick, placement } = create();
    expect(tick(100, 1)).toBe(true);
    expect(tick(0, 1)).toBe(false);
    const { epoch } = placement;
    expect(tick(0, 1)).toBe(false);
    expect(placement.epoch).toBe(epoch);
  });

  test('a contended CPU is left for a better one', () => {
    const { tick, placement, best } = create();
    const { epoch } = placement;
    const here = allowedCpus().cpus[0]!;
    best.cpu = cpus.find((cpu) => cpu !== here)!;
    tick(500, 1);
    expect(placement.epoch).toBeGreaterThan(epoch);
    expect(allowedCpus().cpus).toEqual([best.cpu]);
  });
});
