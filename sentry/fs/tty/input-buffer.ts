/**
 * What was typed and not read yet: a ring of one page. In canonical mode [tail, complete) are whole lines, ended by delimiters, and
 * [complete, head) is the line being edited; in the other mode everything up to `head` can be read.
 *
 * Positions count up for ever; the place in the ring is their remainder. A delimiter is a byte with its mark set: the newline or VEOL that
 * ended the line, or EOF_MARK, which ends a line without being part of it.
 */
import type { HostMemory } from '#platform/contract/host.ts';
import { POOL_PAGE_SIZE as SIZE } from '../../mm/page-pool.ts';
import type { PagePool } from '../../mm/page-pool.ts';
import type { Io } from '../../mm/io.ts';

/** A marked byte of this value is the end-of-file character (any other marked byte is part of its line). */
export const EOF_MARK = 0;

export class InputBuffer {
  head = 0;
  tail = 0;
  /** End of the last complete line. */
  complete = 0;
  private readonly pool: PagePool;
  private readonly page: number;
  private readonly memory: HostMemory;
  private readonly base: number;
  private readonly marks = new Uint8Array(SIZE / 8);

  /** `page` was taken from `pool`; `destroy` gives it back. */
  constructor(pool: PagePool, page: number) {
    this.pool = pool;
    this.page = page;
    this.memory = pool.memory(page);
    this.base = pool.offset(page);
  }

  destroy(): void {
    this.pool.free(this.page);
  }

  get length(): number {
    return this.head - this.tail;
  }
  /** Bytes that still fit; one place is kept for the delimiter of an overlong line. */
  get room(): number {
    return SIZE - 1 - this.length;
  }
  get hasLine(): boolean {
    return this.complete !== this.tail;
  }
  /** The line being edited is empty. */
  get lineIsEmpty(): boolean {
    return this.head === this.complete;
  }

  at(position: number): number {
    return this.memory.bytes[this.base + (position % SIZE)]!;
  }

  push(byte: number): void {
    const place = this.head % SIZE;
    this.memory.bytes[this.base + place] = byte;
    this.marks[place >> 3]! &= ~(1 << (place & 7));
    this.head++;
  }

  /** Ends the line with `byte`. */
  pushDelimiter(byte: number): void {
    this.push(byte);
    this.mark(this.head - 1);
    this.complete = this.head;
  }

  clear(): void {
    this.tail = this.complete = this.head;
  }

  /** Whatever is there becomes a line that can be read, without a newline at its end (a change to canonical mode). */
  completeAll(): void {
    this.marks.fill(0);
    if (this.length > 0) this.mark(this.head - 1);
    this.complete = this.head;
  }

  /** Nothing is complete (a change from canonical mode: lines mean nothing then). */
  forgetLines(): void {
    this.marks.fill(0);
    this.complete = this.tail;
  }

  /** Bytes a reader in canonical mode can get: end-of-file characters do not count. */
  get completeBytes(): number {
    let count = this.complete - this.tail;
    for (let i = this.tail; i < this.complete; i++) if (this.isMarked(i) && this.at(i) === EOF_MARK) count--;
    return count;
  }

  /** Moves at most one line to `io`: bytes (0 for an end of file), or -EFAULT. The caller made sure that there is a line. */
  takeLine(io: Io): number {
    const limit = io.remaining;
    let end = this.tail;
    while (end < this.complete && end - this.tail < limit && !this.isMarked(end)) end++;
    // An end-of-file character right behind the bytes that were asked for goes with them: it must not end the next read.
    const delimited = end < this.complete && this.isMarked(end);
    const endOfFile = delimited && this.at(end) === EOF_MARK;
    if (delimited && !endOfFile && end - this.tail < limit) end++;
    const moved = this.move(io, end - this.tail);
    if (moved >= 0 && endOfFile && this.tail === end) this.tail++;
    return moved;
  }

  /** Moves bytes to `io` whatever they are. */
  takeBytes(io: Io): number {
    const moved = this.move(io, Math.min(this.length, io.remaining));
    if (this.complete < this.tail) this.complete = this.tail;
    return moved;
  }

  private move(io: Io, count: number): number {
    let total = 0;
    while (total < count) {
      const place = this.tail % SIZE;
      const want = Math.min(count - total, SIZE - place);
      const moved = io.put(this.memory, this.base + place, want);
      if (moved < 0) return total > 0 ? total : moved;
      this.tail += moved;
      total += moved;
      if (moved < want) break;
    }
    return total;
  }

  private mark(position: number): void {
    const place = position % SIZE;
    this.marks[place >> 3]! |= 1 << (place & 7);
  }

  private isMarked(position: number): boolean {
    const place = position % SIZE;
    return (this.marks[place >> 3]! & (1 << (place & 7))) !== 0;
  }
}
