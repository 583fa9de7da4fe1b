import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { UNMAPPED_ID } from '#sentry/abi/stat.ts';
import { IdMap } from './id-map.ts';

test('ranges in both directions', () => {
  const map = new IdMap([
    { containerID: 0, hostID: 1000, size: 1 },
    { containerID: 1, hostID: 100_000, size: 65_535 },
  ]);
  expect([0, 1, 33, 65_535].map((id) => map.toHost(id))).toEqual([1000, 100_000, 100_032, 165_534]);
  expect([65_536, UNMAPPED_ID].map((id) => map.toHost(id))).toEqual([-1, -1]);
  expect([1000, 100_000, 165_534].map((id) => map.toContainer(id))).toEqual([0, 1, 65_535]);
  expect([0, 999, 1001, 165_535, UNMAPPED_ID].map((id) => map.toContainer(id))).toEqual(Array.from({ length: 5 }, () => UNMAPPED_ID));
});

test('what is mapped comes back', () => {
  const map = new IdMap([
    { containerID: 500, hostID: 0, size: 10 },
    { containerID: 0, hostID: 2_000_000_000, size: 400 },
    { containerID: 1000, hostID: 70, size: 1 },
  ]);
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffff_fffe }), (id) => {
      const host = map.toHost(id);
      expect(host < 0 || map.toContainer(host) === id).toBe(true);
    }),
  );
});
