/** Pieces of a process's memory, the process being this one. */
import { expect, test } from 'vitest';
import type { GuestPieces } from '../contract/platform.ts';
import { mprotect } from './libc.ts';
import { allocateMemory } from './memory.ts';
import { readRemotePieces, writeRemotePieces } from './remote-pieces.ts';

const PAGE = 4096;
const there = allocateMemory(4 * PAGE);
const here = allocateMemory(4 * PAGE);

function pieces(list: readonly (readonly [offset: number, length: number])[], done = 0): GuestPieces {
  const addresses = Float64Array.from(list, ([offset]) => there.address + offset);
  return { addresses, lengths: Float64Array.from(list, ([, length]) => length), current: 0, done };
}

test('are copied one after the other', () => {
  there.writeLatin1('abcdef', 0);
  there.writeLatin1('ghi', PAGE);
  const list = pieces(
    [
      [0, 6],
      [100, 0],
      [PAGE, 3],
    ],
    4,
  );
  expect(readRemotePieces(process.pid, list, here, 10, 5)).toBe(5);
  expect(here.latin1(10, 15)).toBe('efghi');
  here.writeLatin1('12345', 10);
  expect(writeRemotePieces(process.pid, list, here, 10, 4)).toBe(4);
  expect(there.latin1(0, 6)).toBe('abcd12');
  expect(there.latin1(PAGE, PAGE + 3)).toBe('34i');
});

test('are copied when there are many', () => {
  const many = pieces(Array.from({ length: 300 }, (_, i) => [i * 8, 4] as const));
  for (let i = 0; i < 300; i++) there.view.setUint32(i * 8, i, true);
  expect(readRemotePieces(process.pid, many, here, 0, 1200)).toBe(1200);
  for (let i = 0; i < 300; i++) expect(here.view.getUint32(i * 4, true)).toBe(i);
});

test('end where memory ends', () => {
  expect(mprotect(there.address + 3 * PAGE, PAGE, 0)).toBe(0);
  const list = pieces([
    [0, 10],
    [3 * PAGE - 6, 10],
    [0, 10],
  ]);
  expect(readRemotePieces(process.pid, list, here, 0, 30)).toBe(16);
  expect(readRemotePieces(process.pid, pieces([[3 * PAGE, 8]]), here, 0, 8)).toBe(0);
  expect(() => readRemotePieces(process.pid, list, here, 4 * PAGE - 1, 30)).toThrow(RangeError);
});
