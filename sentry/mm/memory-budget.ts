/**
 * How much memory the guests of a sandbox may use together, and how much they have committed: private writable mappings, shared anonymous
 * memory and the contents of tmpfs. Like Linux's strict overcommit (Documentation/mm/overcommit-accounting.rst, mode 2), what may become
 * resident is counted when it is mapped, so an allocation fails with ENOMEM instead of a page fault killing somebody.
 */
export class MemoryBudget {
  /** Bytes; Infinity for no limit. */
  readonly limit: number;
  used = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Whether `bytes` more would fit. */
  fits(bytes: number): boolean {
    return this.used + bytes <= this.limit;
  }

  /** Adds `bytes`, which may be negative. */
  charge(bytes: number): void {
    this.used += bytes;
  }
}
