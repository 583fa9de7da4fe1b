/**
 * A first-in first-out queue of bytes in pages of the sandbox's pool: what a terminal has written and its master has not read yet. Pages are
 * taken as bytes come and given back as they go, so an idle terminal holds none.
 */
import { POOL_PAGE_SIZE as PAGE } from '../../mm/page-pool.ts';
import type { PagePool } from '../../mm/page-pool.ts';
import type { Io } from '../../mm/io.ts';

export class ByteQueue {
  length = 0;
  private readonly pool: PagePool;
  private readonly pages: number[] = [];
  /** Offset of the first byte in the first page. */
  private start = 0;

  constructor(pool: PagePool) {
    this.pool = pool;
  }

  /** False when the pool has no page left. */
  push(byte: number): boolean {
    const end = this.start + this.length;
    if (end === this.pages.length * PAGE && !this.grow()) return false;
    const page = this.pages[Math.floor(end / PAGE)]!;
    this.pool.memory(page).bytes[this.pool.offset(page) + (end % PAGE)] = byte;
    this.length++;
    return true;
  }

  /** Moves bytes to `io`: how many, or -EFAULT when not one could be moved. */
  take(io: Io): number {
    let total = 0;
    while (this.length > 0 && io.remaining > 0) {
      const page = this.pages[0]!;
      const want = Math.min(this.length, io.remaining, PAGE - this.start);
      const moved = io.put(this.pool.memory(page), this.pool.offset(page) + this.start, want);
      if (moved < 0) return total > 0 ? total : moved;
      this.consume(moved);
      total += moved;
      if (moved < want) break;
    }
    return total;
  }

  /** Takes one byte off the front, or -1. */
  shift(): number {
    if (this.length === 0) return -1;
    const page = this.pages[0]!;
    const byte = this.pool.memory(page).bytes[this.pool.offset(page) + this.start]!;
    this.consume(1);
    return byte;
  }

  /** Forgets what lies behind the first `keep` bytes. */
  truncate(keep: number): void {
    if (this.length <= keep) return;
    this.length = keep;
    const needed = Math.ceil((this.start + keep) / PAGE);
    while (this.pages.length > needed) this.pool.free(this.pages.pop()!);
    if (this.pages.length === 0) this.start = 0;
  }

  clear(): void {
    this.truncate(0);
    while (this.pages.length > 0) this.pool.free(this.pages.pop()!);
    this.start = 0;
  }

  private consume(count: number): void {
    this.start += count;
    this.length -= count;
    if (this.length === 0) {
      this.clear();
    } else if (this.start === PAGE) {
      this.pool.free(this.pages.shift()!);
      this.start = 0;
    }
  }

  private grow(): boolean {
    const page = this.pool.take();
    if (page < 0) return false;
    this.pages.push(page);
    return true;
  }
}
