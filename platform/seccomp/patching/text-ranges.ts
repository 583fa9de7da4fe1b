/**
 * Where an address space has program text that may be patched: private mappings of files that are executable and were never anything else.
 *
 * Learned from the mappings the kernel orders. Whatever happens to a part of a range later (unmapped, protected anew, moved)
 * takes that part out for good: a program that handles its own text shall find it as it left it.
 */
const PROT_WRITE = 2;
const PROT_EXEC = 4;
const MAP_PRIVATE = 2;
const MAP_ANONYMOUS = 0x20;
const MAP_TYPE = 0x0f;
/** Ranges remembered of one address space; text beyond them stays unpatched. */
const RANGES_MAX = 256;

export class TextRanges {
  /** Pairs of start and end. */
  readonly #bounds: number[] = [];

  copy(): TextRanges {
    const copy = new TextRanges();
    copy.#bounds.push(...this.#bounds);
    return copy;
  }

  get isEmpty(): boolean {
    return this.#bounds.length === 0;
  }

  /** A new mapping replaces what was there, and may be text itself. */
  mapped(start: number, length: number, protection: number, flags: number): void {
    this.cut(start, length);
    const isText = (protection & (PROT_EXEC | PROT_WRITE)) === PROT_EXEC;
    if (!isText || (flags & (MAP_TYPE | MAP_ANONYMOUS)) !== MAP_PRIVATE) return;
    if (this.#bounds.length < 2 * RANGES_MAX) this.#bounds.push(start, start + length);
  }

  cut(start: number, length: number): void {
    const bounds = this.#bounds;
    const end = start + length;
    for (let i = bounds.length - 2; i >= 0; i -= 2) {
      const [from, to] = [bounds[i]!, bounds[i + 1]!];
      if (to <= start || from >= end) continue;
      bounds.splice(i, 2);
      if (from < start) bounds.push(from, start);
      if (to > end) bounds.push(end, to);
    }
  }

  contains(start: number, end: number): boolean {
    const bounds = this.#bounds;
    for (let i = 0; i < bounds.length; i += 2) if (bounds[i]! <= start && end <= bounds[i + 1]!) return true;
    return false;
  }
}
