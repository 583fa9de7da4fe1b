/**
 * Random programs: the same script prints on each platform what it prints on Linux. These seeds are fixed; `npm run stress` tries others,
 * and makes one that differs small. What it found stays below as a script.
 */
import { describe, expect, test } from 'vitest';
import { firstDifference, logInside, logOnLinux, places, scriptFor } from './compare.ts';
import type { Step } from './generate.ts';
import { found } from './found.ts';

const seeds = Array.from({ length: 30 }, (_, i) => 1000 + i);

async function expectSameLog(steps: readonly Step[], place: (typeof places)[number]): Promise<void> {
  let native = await logOnLinux(steps);
  expect(native).toContain('\nend\nstatus 0\n');
  const inside = await logInside(steps, place);
  // On a busy machine Linux itself may come to another log; a third one would say that the script is no good.
  if (inside !== native) native = await logOnLinux(steps);
  expect(firstDifference(native, inside)).toBe('');
}

describe('random programs', () => {
  test.concurrent.for(seeds)('seed %i', async (seed) => {
    const place = places[seed % places.length]!;
    await expectSameLog(scriptFor(seed, 150, place), place);
  });
});

describe('what was found', () => {
  test.concurrent.for(Object.entries(found))('%s', async ([, lines]) => {
    await expectSameLog([lines], 'overlay');
  });
});
