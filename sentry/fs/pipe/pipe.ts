/**
 * The buffer between the two ends of a pipe: a ring of slots, each a page of the pool with the bytes [start, start + length) in use, as
 * Linux has it. A write that does not fill a page leaves room that the next small write may use; a slot is free again only when its page
 * has been read completely. Capacity, POLLOUT and the atomicity of small writes follow from that.
 *
 * Bytes live outside the V8 heap; one small write and read touch only integers.
 *
 * Spec: pipe(7), fifo(7); Linux fs/pipe.c.
 */
import { EAGAIN, EBUSY, EFAULT, EINVAL, ENOMEM, EPERM, EPIPE } from '#sentry/abi/errno.ts';
import { POLLERR, POLLHUP, READABLE, WRITABLE } from '#sentry/abi/fs.ts';
import { POOL_PAGE_SIZE as PAGE } from '../../mm/page-pool.ts';
import type { PagePool } from '../../mm/page-pool.ts';
import type { Io } from '../../mm/io.ts';
import { PIPE_SLOTS_DEFAULT, PIPE_SLOTS_MAX } from '../anonymous/limits.ts';
import type { PipeFile } from './pipe-file.ts';

/** Slot flag: a packet of an O_DIRECT pipe, read whole or cut. */
const PACKET = 1;

export class Pipe {
  /** Open descriptions by access mode; one that is O_RDWR counts in both. */
  readers = 0;
  writers = 0;
  /** How many readers and writers have ever come: the rendezvous of FIFOs. */
  readerArrivals = 0;
  writerArrivals = 0;
  /** Everybody to be told of changes. */
  private readonly files: PipeFile[] = [];

  private readonly pool: PagePool;
  private slots = PIPE_SLOTS_DEFAULT;
  private pages = new Int32Array(PIPE_SLOTS_DEFAULT);
  private starts = new Int32Array(PIPE_SLOTS_DEFAULT);
  private lengths = new Int32Array(PIPE_SLOTS_DEFAULT);
  private flags = new Int32Array(PIPE_SLOTS_DEFAULT);
  /** The ring's first slot in use, and how many are. */
  private first = 0;
  private used = 0;
  /** Bytes waiting: FIONREAD. */
  bytes = 0;

  constructor(pool: PagePool) {
    this.pool = pool;
  }

  get isEmpty(): boolean {
    return this.used === 0;
  }
  get isFull(): boolean {
    return this.used >= this.slots;
  }
  /** F_GETPIPE_SZ. */
  get capacity(): number {
    return this.slots * PAGE;
  }

  attach(file: PipeFile): void {
    this.files.push(file);
    if (file.readable) {
      this.readers++;
      this.readerArrivals++;
    }
    if (file.writable) {
      this.writers++;
      this.writerArrivals++;
    }
    // Whoever waits in open(2) of a FIFO looks again.
    for (let i = 0; i < this.files.length; i++) this.files[i]!.queue.notify(READABLE | WRITABLE);
  }

  detach(file: PipeFile): void {
    this.files.splice(this.files.indexOf(file), 1);
    if (file.readable) this.readers--;
    if (file.writable) this.writers--;
    if (this.readers === 0 && this.writers === 0) this.clear();
    else if (this.readers === 0 || this.writers === 0) this.notifyAll(READABLE | WRITABLE | POLLERR | POLLHUP);
  }

  get isUnused(): boolean {
    return this.files.length === 0;
  }

  /** Bytes read; 0 when there is neither data nor a writer; -EAGAIN. */
  read(io: Io): number {
    if (io.remaining === 0) return 0;
    let total = 0;
    const wasFull = this.isFull;
    while (this.used > 0) {
      const slot = this.first;
      const packet = this.flags[slot] === PACKET;
      const want = Math.min(this.lengths[slot]!, io.remaining);
      const page = this.pages[slot]!;
      const got = io.put(this.pool.memory(page), this.pool.offset(page) + this.starts[slot]!, want);
      if (got < want) {
        if (got > 0) total += this.consume(slot, got);
        if (total === 0) return -EFAULT;
        break;
      }
      total += this.consume(slot, got);
      if (packet) {
        this.discard(slot);
        break;
      }
      if (io.remaining === 0) break;
    }
    if (wasFull && !this.isFull) this.notifyAll(WRITABLE);
    if (total > 0) return total;
    return this.writers === 0 ? 0 : -EAGAIN;
  }

  /** Bytes written, fewer than asked when the pipe filled; -EAGAIN when none fitted; -EPIPE. */
  write(io: Io, packets: boolean): number {
    if (io.remaining === 0) return 0;
    if (this.readers === 0) return -EPIPE;
    let total = packets ? 0 : this.append(io);
    if (total < 0) return total;
    while (io.remaining > 0 && !this.isFull) {
      const put = this.fillSlot(io, packets ? PACKET : 0);
      if (put < 0) {
        if (total === 0) total = put;
        break;
      }
      total += put;
    }
    if (total > 0) this.notifyAll(READABLE);
    return total === 0 ? -EAGAIN : total;
  }

  /** Copies (tee) or moves (splice) up to `length` bytes to another pipe. Returns bytes, 0 or -EAGAIN like `read`, -EPIPE, or -EAGAIN when `target` is full. */
  transfer(target: Pipe, length: number, how: 'copy' | 'move'): number {
    if (target.readers === 0) return -EPIPE;
    if (this.used === 0) return this.writers === 0 ? 0 : -EAGAIN;
    let total = 0;
    const wasFull = this.isFull;
    for (let i = 0; total < length && !target.isFull && (how === 'copy' ? i < this.used : this.used > 0); i++) {
      const slot = how === 'copy' ? (this.first + i) % this.slots : this.first;
      const n = Math.min(this.lengths[slot]!, length - total);
      const page = target.pool.take();
      if (page < 0) return total === 0 ? -ENOMEM : total;
      const from = this.pool.offset(this.pages[slot]!) + this.starts[slot]!;
      const source = this.pool.memory(this.pages[slot]!).bytes.subarray(from, from + n);
      target.pool.memory(page).bytes.set(source, target.pool.offset(page));
      target.push(page, n, this.flags[slot]!);
      total += n;
      if (how === 'move') this.consume(slot, n);
    }
    if (total > 0) target.notifyAll(READABLE);
    if (wasFull && !this.isFull) this.notifyAll(WRITABLE);
    return total === 0 ? -EAGAIN : total;
  }

  /** F_SETPIPE_SZ: the new capacity or -errno. `mayExceed`: CAP_SYS_RESOURCE. */
  resize(bytes: number, mayExceed: boolean): number {
    if (bytes < 0 || bytes > 0x7fff_ffff) return -EINVAL;
    let slots = 1;
    while (slots * PAGE < bytes) slots *= 2;
    if (slots > PIPE_SLOTS_MAX) return mayExceed ? -ENOMEM : -EPERM;
    if (slots < this.used) return -EBUSY;
    this.pages = this.reorder(this.pages, slots);
    this.starts = this.reorder(this.starts, slots);
    this.lengths = this.reorder(this.lengths, slots);
    this.flags = this.reorder(this.flags, slots);
    this.first = 0;
    const grew = slots > this.slots;
    this.slots = slots;
    if (grew) this.notifyAll(WRITABLE);
    return slots * PAGE;
  }

  private reorder(old: Int32Array, slots: number): Int32Array<ArrayBuffer> {
    const fresh = new Int32Array(slots);
    for (let i = 0; i < this.used; i++) fresh[i] = old[(this.first + i) % this.slots]!;
    return fresh;
  }

  /** Puts the odd end of a write behind what the last page holds, if it fits there completely. */
  private append(io: Io): number {
    const odd = io.remaining & (PAGE - 1);
    if (odd === 0 || this.used === 0) return 0;
    const slot = (this.first + this.used - 1) % this.slots;
    const end = this.starts[slot]! + this.lengths[slot]!;
    if (this.flags[slot] === PACKET || end + odd > PAGE) return 0;
    const page = this.pages[slot]!;
    if (io.take(this.pool.memory(page), this.pool.offset(page) + end, odd) < odd) return -EFAULT;
    this.lengths[slot] = this.lengths[slot]! + odd;
    this.bytes += odd;
    return odd;
  }

  private fillSlot(io: Io, flag: number): number {
    const page = this.pool.take();
    if (page < 0) return -ENOMEM;
    const want = Math.min(PAGE, io.remaining);
    const got = io.take(this.pool.memory(page), this.pool.offset(page), want);
    if (got < want) {
      this.pool.free(page);
      return -EFAULT;
    }
    this.push(page, got, flag);
    return got;
  }

  private push(page: number, length: number, flag: number): void {
    const slot = (this.first + this.used) % this.slots;
    this.pages[slot] = page;
    this.starts[slot] = 0;
    this.lengths[slot] = length;
    this.flags[slot] = flag;
    this.used++;
    this.bytes += length;
  }

  /** Takes `n` bytes off the front of the first slot. */
  private consume(slot: number, n: number): number {
    this.starts[slot] = this.starts[slot]! + n;
    this.lengths[slot] = this.lengths[slot]! - n;
    this.bytes -= n;
    if (this.lengths[slot] === 0) this.dropFirst();
    return n;
  }

  /** Forgets what is left of a packet, if `slot` still is the first. */
  private discard(slot: number): void {
    if (this.used === 0 || this.first !== slot || this.starts[slot] === 0) return;
    this.bytes -= this.lengths[slot]!;
    this.dropFirst();
  }

  private dropFirst(): void {
    this.pool.free(this.pages[this.first]!);
    this.starts[this.first] = 0;
    this.first = (this.first + 1) % this.slots;
    this.used--;
  }

  private clear(): void {
    while (this.used > 0) this.dropFirst();
    this.bytes = 0;
  }

  /** `events` that concern a file's own direction. */
  private notifyAll(events: number): void {
    const { files } = this;
    for (let i = 0; i < files.length; i++) {
      const file = files[i]!;
      const { queue } = file;
      if (!queue.isEmpty) queue.notify(file.directions & events);
    }
  }
}
