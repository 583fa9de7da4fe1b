/**
 * How much memory the guests of a sandbox may use together, and how much they have committed: private writable mappings, shared anonymous
 * memory and the contents of tmpfs. Like Linux's strict overcommit (Documentation/mm/overcommit-accounting.rst, mode 2), what may become
 * resident is counted when it is mapped, so an allocation fails with ENOMEM instead of a page fault killing somebody.
 */
export class MemoryBudget {
  /** Bytes; Infinity for no limit. */
  readonly limit: number;
  used = 0;
  /** The budget this one is a part of: of the sandbox, for a container's. */
  private readonly whole: MemoryBudget | null;

  constructor(limit: number, whole: MemoryBudget | null = null) {
    this.limit = limit;
    this.whole = whole;
  }

  /** Whether `bytes` more would fit. */
  fits(bytes: number): boolean {
    return this.used + bytes <= this.limit && (this.whole === null || this.whole.fits(bytes));
  }

  /** Adds `bytes`, which may be negative. */
  charge(bytes: number): void {
    this.used += bytes;
    if (this.whole !== null) this.whole.charge(bytes);
  }
}
