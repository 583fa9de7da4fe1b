/** Copies that go by way of the cell, on the fake platform: the same bytes as any other, up to the first inaccessible page. */
import { describe, expect, it } from 'vitest';
import { FakeHost } from '#platform/fake/fake-host.ts';
import { FakePlatform } from '#platform/fake/fake-platform.ts';
import { CELL_SIZE, UserMemory } from './user-memory.ts';

const BASE = 0x7f00_0010_0000;
const SIZE = 0x20000;

function world() {
  const host = new FakeHost();
  const platform = new FakePlatform(host);
  const thread = platform.createSpace();
  thread.mmap(BASE, SIZE, 3, 0x22, -1, 0);
  const memory = new UserMemory(thread.space, platform.limits.highestAddress, host.allocate(CELL_SIZE));
  const here = host.allocate(SIZE);
  for (let i = 0; i < SIZE; i++) here.bytes[i] = (i * 7 + (i >> 8)) & 0xff;
  return { memory, here, back: host.allocate(SIZE) };
}

describe('copies', () => {
  // Distances at which the copy makes a detour, and others; lengths below, at and far above what goes in one piece.
  const distances = [0, 1, 16, 31, 32, 2048, 4080, 4095];
  const lengths = [1000, 1024, 4096, 40_000, 100_000];
  for (const distance of distances) {
    it(`arrive, ${distance} bytes off`, () => {
      const { memory, here, back } = world();
      for (const length of lengths) {
        const address = BASE + 4096 + distance;
        expect(memory.copyOutPartial(address, here, 8, length)).toBe(length);
        back.bytes.fill(0);
        expect(memory.copyInPartial(address, back, 48, length)).toBe(length);
        expect(Buffer.compare(back.bytes.subarray(48, 48 + length), here.bytes.subarray(8, 8 + length))).toBe(0);
        expect([back.bytes[47], back.bytes[48 + length]]).toEqual([0, 0]);
      }
    });

    it(`end with the memory, ${distance} bytes off`, () => {
      const { memory, here, back } = world();
      const address = BASE + SIZE - 70_000 + distance;
      expect(memory.copyOutPartial(address, here, 0, 90_000)).toBe(70_000 - distance);
      expect(memory.copyInPartial(address, back, 0, 90_000)).toBe(70_000 - distance);
      expect(memory.copyInPartial(BASE + SIZE + distance, back, 0, 9000)).toBe(0);
    });
  }
});

describe('strings', () => {
  it('are found wherever they end', () => {
    const { memory } = world();
    for (const length of [0, 1, 255, 256, 257, 4094, 5000]) {
      const text = 'x'.repeat(length);
      const address = BASE + SIZE - length - 1;
      expect(memory.writeString(address, text)).toBe(0);
      expect(memory.readString(address, 6000)).toBe(text);
      expect(memory.readString(address, length)).toBe(-36); // ENAMETOOLONG
      expect(memory.writeBytes(address, `${text}!`)).toBe(0);
      expect(memory.readString(address, 6000)).toBe(-14); // EFAULT
    }
  });
});
