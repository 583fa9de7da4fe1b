/** Whatever a window answers, `UserMemory` would have answered. */
import { expect, test } from 'vitest';
import { FakeHost } from '#platform/fake/fake-host.ts';
import { FakePlatform } from '#platform/fake/fake-platform.ts';
import { GuestWindow, WINDOW_SIZE } from './guest-window.ts';
import { CELL_SIZE, UserMemory } from './user-memory.ts';

const BASE = 0x40_0000;
const PAGES = 6;
const PAGE = 4096;
const PROT_RW = 3;
const PRIVATE_ANON = 0x22;

function world() {
  const host = new FakeHost();
  const platform = new FakePlatform(host);
  const thread = platform.createSpace();
  thread.mmap(BASE, PAGES * PAGE, PROT_RW, PRIVATE_ANON, -1, 0);
  const memory = new UserMemory(thread.space, platform.limits.highestAddress, host.allocate(CELL_SIZE));
  return { memory, buffer: host.allocate(2 * WINDOW_SIZE) };
}

test('strings and words as without a window', () => {
  const { memory, buffer } = world();
  const end = BASE + PAGES * PAGE;
  memory.writeString(BASE + 5, 'first');
  memory.writeString(BASE + 4 * PAGE - 3, 'across the end of a window');
  memory.writeString(end - 6, 'last.');
  memory.writeBytes(BASE + PAGE, 'x'.repeat(300));
  memory.storeU64(BASE + 4 * PAGE + 512, 0x1234_5678_9abc);
  const window = new GuestWindow(memory, buffer, 0);
  const addresses = [
    BASE,
    BASE + 5,
    BASE + PAGE,
    BASE + 4 * PAGE - 3,
    BASE + 4 * PAGE + 508,
    end - 6,
    end - 1,
    end - 4,
    end,
    BASE - 1,
    0,
    2 ** 47,
    2 ** 63,
  ];
  for (const address of [...addresses, ...addresses.toReversed()]) {
    for (const limit of [1, 6, 200, 300, 301, 131072]) expect(window.readString(address, limit)).toBe(memory.readString(address, limit));
    expect(window.loadU64(address)).toBe(memory.loadU64(address));
  }
});

test('two windows in one buffer do not disturb each other', () => {
  const { memory, buffer } = world();
  memory.writeString(BASE, 'one');
  memory.writeString(BASE + PAGE, 'two');
  const first = new GuestWindow(memory, buffer, 0);
  const second = new GuestWindow(memory, buffer, WINDOW_SIZE);
  expect([first.readString(BASE, 10), second.readString(BASE + PAGE, 10), first.readString(BASE, 10)]).toEqual(['one', 'two', 'one']);
});

test('the same memory is copied once', () => {
  const { memory, buffer } = world();
  memory.writeString(BASE, 'before');
  const window = new GuestWindow(memory, buffer, 0);
  window.readString(BASE, 10);
  memory.writeString(BASE, 'after');
  expect(window.readString(BASE, 10)).toBe('before');
});
