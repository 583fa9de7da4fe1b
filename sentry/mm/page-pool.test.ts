import { expect, test } from 'vitest';
import { FakeHost } from '#platform/fake/fake-host.ts';
import { PagePool, POOL_PAGE_SIZE } from './page-pool.ts';

test('pages are distinct, used again, and bounded', () => {
  const pool = new PagePool(new FakeHost(), 600);
  const pages = Array.from({ length: 600 }, () => pool.take());
  expect(new Set(pages.map((page) => `${pool.memory(page).address}+${pool.offset(page)}`)).size).toBe(600);
  expect(pool.take()).toBe(-1);
  const last = pages.at(-1)!;
  pool.free(last);
  expect(pool.inUse).toBe(599);
  expect(pool.take()).toBe(last);
  for (const page of pages) {
    const memory = pool.memory(page);
    expect(pool.offset(page) + POOL_PAGE_SIZE).toBeLessThanOrEqual(memory.bytes.length);
  }
});
