import { expect, test } from 'vitest';
import { parseDuration, parseMemorySize, parseWholeNumber } from './resource-values.ts';

test('sizes', () => {
  expect(['-1', '0', '65536', '64m', '1.5GiB', '2 kb', '8B'].map((text) => parseMemorySize('memory', text))).toEqual([
    -1,
    0,
    65_536,
    64 * 1024 ** 2,
    1.5 * 1024 ** 3,
    2048,
    8,
  ]);
  for (const text of ['', '64x', '-2', 'm', '1e9', '99999p'])
    expect(() => parseMemorySize('memory', text), text).toThrow('invalid value for memory');
});

test('whole numbers', () => {
  expect(parseWholeNumber('pids-limit', '-1')).toBe(-1);
  for (const text of ['', 'x', '1.5', '9007199254740993']) expect(() => parseWholeNumber('pids-limit', text), text).toThrow('pids-limit');
});

test('durations', () => {
  expect(['5s', '1m30s', '1.5h', '250ms', '0s'].map((text) => parseDuration('interval', text))).toEqual([5000, 90_000, 5_400_000, 250, 0]);
  for (const text of ['', '5', 's', '5s ', '-5s', '5x']) expect(() => parseDuration('interval', text), text).toThrow('interval');
});
