/**
 * Where a new mapping goes: free addresses top-down from the mmap base, as Linux's mmap_min_addr..mmap_base layout has it (mm/mmap.c
 * arch_get_unmapped_area_topdown).
 *
 * A hint remembers how far down everything is known to be full, so that a program that maps many things does not search through them again.
 */
import { EEXIST, EINVAL, ENOMEM, EPERM } from '#sentry/abi/errno.ts';
import { MAP_32BIT, MAP_FIXED, MAP_FIXED_NOREPLACE, PAGE_SIZE, pageRoundDown } from '#sentry/abi/mman.ts';
import { LOWEST_ADDRESS } from './mmap-checks.ts';
import type { VmaSet } from './vma-set.ts';

/** End of what MAP_32BIT may use. */
const LIMIT_32BIT = 0x8000_0000;

export class FreeRanges {
  private readonly areas: VmaSet;
  /** End of the guest's addresses. */
  private readonly highest: number;
  /** Top-down allocation starts here; below the stack. */
  private base: number;
  /** No free range large enough lies between here and `base`, as far as known: where the next search starts. */
  private searchFrom: number;

  constructor(areas: VmaSet, highest: number) {
    this.areas = areas;
    this.highest = highest;
    this.base = highest;
    this.searchFrom = highest;
  }

  /** Sets where top-down allocation begins (exec). */
  setBase(base: number): void {
    this.base = base;
    this.searchFrom = base;
  }

  /** fork: the same layout. */
  copyFrom(other: FreeRanges): void {
    this.base = other.base;
    this.searchFrom = other.searchFrom;
  }

  /** What lay below `end` is free again. */
  freed(end: number): void {
    if (end > this.searchFrom) this.searchFrom = Math.min(end, this.base);
  }

  /** A free range of `size` bytes, top-down from the base; -ENOMEM when there is none. */
  find(size: number): number {
    let found = this.searchDown(size, this.searchFrom);
    // The hint skips holes that were too small for earlier requests; before giving up look at all of them.
    if (found < 0) found = this.searchDown(size, this.base);
    if (found < 0) found = this.searchDown(size, this.highest);
    if (found < 0) return -ENOMEM;
    if (found < this.searchFrom) this.searchFrom = found;
    return found;
  }

  /** Where mmap(2) puts `size` bytes, given its `hint` and `flags`, or -errno. */
  place(hint: number, size: number, flags: number): number {
    const { highest } = this;
    if ((flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) !== 0) {
      if (hint % PAGE_SIZE !== 0) return -EINVAL;
      if (hint + size > highest) return -ENOMEM;
      if (hint < LOWEST_ADDRESS) return -EPERM;
      if ((flags & MAP_FIXED_NOREPLACE) !== 0 && !this.areas.isFree(hint, hint + size)) return -EEXIST;
      return hint;
    }
    const wished = pageRoundDown(hint);
    if (wished >= LOWEST_ADDRESS && wished + size <= highest && this.areas.isFree(wished, wished + size)) return wished;
    if ((flags & MAP_32BIT) !== 0) {
      const low = this.searchDown(size, LIMIT_32BIT);
      return low >= 0 ? low : -ENOMEM;
    }
    return this.find(size);
  }

  private searchDown(size: number, from: number): number {
    const { areas } = this;
    let end = from;
    for (let i = areas.indexAbove(from - 1); i >= 0; i--) {
      const area = areas.at(i);
      if (area === undefined || area.start >= end) continue;
      if (area.end <= end - size) return end - size;
      end = Math.min(end, area.start);
    }
    return end - size >= LOWEST_ADDRESS ? end - size : -1;
  }
}
