import { expect, test } from 'vitest';
import { TextRanges } from './text-ranges.ts';

const READ_EXEC = 5;
const PRIVATE_FILE = 2;
const PRIVATE_ANONYMOUS = 0x22;
const SHARED_FILE = 1;

test('only private mappings of files that can be executed and not written are text', () => {
  const ranges = new TextRanges();
  ranges.mapped(0x1000, 0x1000, READ_EXEC, PRIVATE_FILE);
  ranges.mapped(0x3000, 0x1000, READ_EXEC, PRIVATE_ANONYMOUS);
  ranges.mapped(0x5000, 0x1000, READ_EXEC, SHARED_FILE);
  ranges.mapped(0x7000, 0x1000, 7, PRIVATE_FILE);
  ranges.mapped(0x9000, 0x1000, 1, PRIVATE_FILE);
  expect([0x1000, 0x3000, 0x5000, 0x7000, 0x9000].map((start) => ranges.contains(start, start + 7))).toEqual([
    true,
    false,
    false,
    false,
    false,
  ]);
});

test('what changes is text no longer', () => {
  const ranges = new TextRanges();
  ranges.mapped(0x10000, 0x10000, READ_EXEC, PRIVATE_FILE);
  ranges.cut(0x14000, 0x1000);
  const copy = ranges.copy();
  expect(ranges.contains(0x13ff0, 0x14000)).toBe(true);
  expect(ranges.contains(0x13ff0, 0x14001)).toBe(false);
  expect(ranges.contains(0x15000, 0x20000)).toBe(true);
  ranges.mapped(0x1f000, 0x1000, 3, PRIVATE_ANONYMOUS);
  expect(ranges.contains(0x1eff0, 0x1f001)).toBe(false);
  expect(copy.contains(0x1eff0, 0x1f001)).toBe(true);
  ranges.cut(0, 0x100_0000);
  expect(ranges.contains(0x10000, 0x10007)).toBe(false);
});
