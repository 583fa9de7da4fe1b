/** Address spaces on the fake platform: what the memory budget counts. */
import { expect, test } from 'vitest';
import { FakeHost } from '#platform/fake/fake-host.ts';
import { FakePlatform } from '#platform/fake/fake-platform.ts';
import { ENOMEM } from '#sentry/abi/errno.ts';
import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  MREMAP_DONTUNMAP,
  MREMAP_MAYMOVE,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
} from '#sentry/abi/mman.ts';
import { AddressSpace } from './address-space.ts';
import { MemoryBudget } from './memory-budget.ts';
import { remap } from './remap.ts';
import { CELL_SIZE } from './user-memory.ts';

const UNLIMITED = { addressSpace: Infinity, data: Infinity };
const WRITABLE = PROT_READ | PROT_WRITE;

function space(limitPages: number): { mm: AddressSpace; budget: MemoryBudget; thread: ReturnType<FakePlatform['createSpace']> } {
  const host = new FakeHost();
  const platform = new FakePlatform(host);
  const thread = platform.createSpace();
  const budget = new MemoryBudget(limitPages * PAGE_SIZE);
  return { mm: new AddressSpace(thread.space, platform.limits, host.allocate(CELL_SIZE), budget), budget, thread };
}

test('memory that MREMAP_DONTUNMAP leaves behind stays within the budget', () => {
  const { mm, budget, thread } = space(3);
  const size = 2 * PAGE_SIZE;
  const address = mm.mmap(thread, 0, size, WRITABLE, MAP_PRIVATE | MAP_ANONYMOUS, null, 0, UNLIMITED);
  expect(address).toBeGreaterThan(0);
  const flags = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
  expect(remap(mm, thread, address, size, size, flags, 0, UNLIMITED)).toBe(-ENOMEM);
  expect(budget.used).toBe(size);
  expect(remap(mm, thread, address, size, size + PAGE_SIZE, MREMAP_MAYMOVE, 0, UNLIMITED)).toBeGreaterThan(0);
});

test('a second mapping of shared memory counts', () => {
  const { mm, thread } = space(3);
  const size = 2 * PAGE_SIZE;
  const address = mm.mmap(thread, 0, size, WRITABLE, MAP_SHARED | MAP_ANONYMOUS, null, 0, UNLIMITED);
  expect(remap(mm, thread, address, 0, size, MREMAP_MAYMOVE, 0, UNLIMITED)).toBe(-ENOMEM);
  expect(remap(mm, thread, address, 0, PAGE_SIZE, MREMAP_MAYMOVE, 0, UNLIMITED)).toBeGreaterThan(0);
});

test('the last reference gives everything back', () => {
  const { mm, budget, thread } = space(8);
  mm.mmap(thread, 0, 4 * PAGE_SIZE, WRITABLE, MAP_PRIVATE | MAP_ANONYMOUS, null, 0, UNLIMITED);
  mm.acquire();
  expect(mm.release()).toBe(false);
  expect(budget.used).toBe(4 * PAGE_SIZE);
  expect(mm.release()).toBe(true);
  expect(budget.used).toBe(0);
});
