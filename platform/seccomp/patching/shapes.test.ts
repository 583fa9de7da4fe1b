/** Call sites told apart by their bytes, and what becomes of them. */
import { expect, test } from 'vitest';
import { AROUND, edits, recognize } from './shapes.ts';

const NOP10 = [0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0];

/** AROUND bytes before and behind the end of `before`. */
function text(before: readonly number[], behind: readonly number[] = []): Uint8Array {
  const bytes = new Uint8Array(2 * AROUND).fill(0x90);
  bytes.set(before, AROUND - before.length);
  bytes.set(behind, AROUND);
  return bytes;
}

test('a number in eax is moved to the thunk', () => {
  expect(recognize(text([0xb8, 0x27, 0, 0, 0, 0x0f, 0x05]), 39)).toEqual({ moved: [0xb8, 0x27, 0, 0, 0], start: -7, padding: null });
});

test('an instruction that only ends like one is not', () => {
  // mov r8d, 39: the prefix makes it another register.
  expect(recognize(text([0x41, 0xb8, 0x27, 0, 0, 0, 0x0f, 0x05]), 39)).toBeNull();
  expect(recognize(text([0x41, 0x31, 0xc0, 0x0f, 0x05], NOP10), 0)).toBeNull();
  // Another number than the call that was made.
  expect(recognize(text([0xb8, 0x27, 0, 0, 0, 0x0f, 0x05]), 40)).toBeNull();
  expect(recognize(text([0x31, 0xc0, 0x0f, 0x05], NOP10), 1)).toBeNull();
  // No syscall instruction, or one of the old kind.
  expect(recognize(text([0xb8, 0x27, 0, 0, 0, 0x0f, 0x34]), 39)).toBeNull();
  expect(recognize(text([0xb8, 0x27, 0, 0, 0, 0xcd, 0x80]), 39)).toBeNull();
});

test('what could only be the prefix of a segment that does not count is none', () => {
  // je +0x26; mov eax, 72
  expect(recognize(text([0x74, 0x26, 0xb8, 0x48, 0, 0, 0, 0x0f, 0x05]), 72)).not.toBeNull();
  // mov eax, gs:…: what is overwritten would be read from elsewhere.
  expect(recognize(text([0x65, 0xb8, 0x48, 0, 0, 0, 0x0f, 0x05]), 72)).toBeNull();
});

test('a short instruction needs padding within reach', () => {
  const read = [0x31, 0xc0, 0x0f, 0x05];
  expect(recognize(text(read), 0)).toBeNull();
  expect(recognize(text(read, [0xc3, ...NOP10]), 0)).toEqual({ moved: [0x31, 0xc0], start: -4, padding: { start: 1, guard: [0xeb, 8] } });
  expect(recognize(text(read, [0xc3, ...Array<number>(9).fill(0xcc)]), 0)?.padding).toEqual({ start: 1, guard: [0xcc, 0xcc] });
  expect(recognize(text(read, [0xc3, ...Array<number>(8).fill(0xcc)]), 0)).toBeNull();
  const far = [...Array<number>(AROUND - 11).fill(0x90), ...NOP10];
  expect(recognize(text(read, far), 0)?.padding).toBeUndefined();
});

test('the patch leaves the syscall instruction in place', () => {
  const slot = 0x050f_1238;
  const long = recognize(text([0xb8, 0x27, 0, 0, 0, 0x0f, 0x05]), 39)!;
  expect(edits(long, slot)).toEqual([{ start: -7, bytes: [0xff, 0x24, 0x25, 0x38, 0x12] }]);
  const short = recognize(text([0x31, 0xc0, 0x0f, 0x05], [0xc3, ...NOP10]), 0)!;
  expect(edits(short, slot)).toEqual([
    { start: 1, bytes: [0xeb, 8, 0xff, 0x24, 0x25, 0x38, 0x12, 0x0f, 0x05] },
    // From behind the short jump, at -2, to behind the guard, at 3.
    { start: -4, bytes: [0xeb, 5] },
  ]);
  expect(() => edits(long, 0x0600_0000)).toThrow('outside of its region');
});
