/**
 * Pages of sentry memory outside the V8 heap, for what queues in pipes and sockets. Slabs are allocated from the host as they are first
 * needed and never given back; freed pages are used again, the last freed first, while it is still in the CPU's cache.
 *
 *     const page = pool.take();                       // a page number, or -1: the bound is reached
 *     io.take(pool.memory(page), pool.offset(page), n);
 *     pool.free(page);
 *
 * A page number is an index: taking and freeing allocate nothing once the lists have grown.
 */
import type { Host, HostMemory } from '#platform/contract/host.ts';
import type { MemoryBudget } from './memory-budget.ts';
import { COPY_OFFSET } from './user-memory.ts';

export const POOL_PAGE_SIZE = 4096;
const PAGE_SHIFT = 12;
const SLAB_SHIFT = 8;
const SLAB_PAGES = 1 << SLAB_SHIFT;

export class PagePool {
  /** Pages in use. */
  inUse = 0;
  readonly limit: number;
  private readonly slabs: HostMemory[] = [];
  private readonly freed: number[] = [];
  private readonly host: Pick<Host, 'allocate'>;
  private readonly budget: MemoryBudget | null;
  private never = 0;

  /** At most `limit` pages are in use at a time, and no more than `budget` allows. */
  constructor(host: Pick<Host, 'allocate'>, limit: number, budget: MemoryBudget | null = null) {
    this.host = host;
    this.limit = limit;
    this.budget = budget;
  }

  take(): number {
    if (this.inUse >= this.limit) return -1;
    if (this.budget !== null) {
      if (!this.budget.fits(POOL_PAGE_SIZE)) return -1;
      this.budget.charge(POOL_PAGE_SIZE);
    }
    this.inUse++;
    const page = this.freed.pop();
    return page === undefined ? this.takeNew() : page;
  }

  free(page: number): void {
    this.inUse--;
    this.budget?.charge(-POOL_PAGE_SIZE);
    this.freed.push(page);
  }

  /** The memory that holds `page`, at `offset(page)`. */
  memory(page: number): HostMemory {
    return this.slabs[page >> SLAB_SHIFT]!;
  }

  offset(page: number): number {
    return COPY_OFFSET + ((page & (SLAB_PAGES - 1)) << PAGE_SHIFT);
  }

  private takeNew(): number {
    const page = this.never++;
    if (page >> SLAB_SHIFT >= this.slabs.length) this.slabs.push(this.host.allocate(COPY_OFFSET + (SLAB_PAGES << PAGE_SHIFT)));
    return page;
  }
}
