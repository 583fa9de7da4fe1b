/**
 * eventfd(2): a 64-bit counter to write to and to read from. Kept as two 32-bit words: a double does not hold every value.
 */
import { EAGAIN, EFAULT, EINVAL } from '#sentry/abi/errno.ts';
import { O_RDWR, POLLERR, READABLE, WRITABLE } from '#sentry/abi/fs.ts';
import { EFD_SEMAPHORE } from '#sentry/abi/event-files.ts';
import type { Io } from '../../mm/io.ts';
import { AnonymousFile } from '../anonymous/anonymous-file.ts';
import type { AnonymousFiles } from '../anonymous/anonymous-files.ts';

const WORD = 0x1_0000_0000;
const ALL_ONES = 0xffff_ffff;

let nextId = 0;

export class EventFile extends AnonymousFile {
  private readonly files: AnonymousFiles;
  private readonly semaphore: boolean;
  private readonly id = nextId++;
  private low: number;
  private high = 0;

  /** `flags`: EFD_SEMAPHORE and O_NONBLOCK. */
  constructor(files: AnonymousFiles, initial: number, flags: number) {
    super(files.anonymous('[eventfd]'), null, O_RDWR | (flags & ~EFD_SEMAPHORE));
    this.files = files;
    this.low = initial;
    this.semaphore = (flags & EFD_SEMAPHORE) !== 0;
  }

  override get writesWhole(): boolean {
    return false;
  }

  override read(io: Io): number {
    if (io.remaining < 8) return -EINVAL;
    if (this.low === 0 && this.high === 0) return -EAGAIN;
    const { cell } = this.files;
    cell.view.setUint32(0, this.semaphore ? 1 : this.low, true);
    cell.view.setUint32(4, this.semaphore ? 0 : this.high, true);
    if (!this.semaphore) this.low = this.high = 0;
    else if (this.low > 0) this.low--;
    else {
      this.high--;
      this.low = ALL_ONES;
    }
    this.queue.notify(WRITABLE);
    return io.put(cell, 0, 8) < 8 ? -EFAULT : 8;
  }

  override write(io: Io): number {
    // Linux: exactly eight; a read may ask for more.
    if (io.remaining !== 8) return -EINVAL;
    const { cell } = this.files;
    if (io.take(cell, 0, 8) < 8) return -EFAULT;
    const addLow = cell.view.getUint32(0, true);
    const addHigh = cell.view.getUint32(4, true);
    if (addLow === ALL_ONES && addHigh === ALL_ONES) return -EINVAL;
    let low = this.low + addLow;
    let high = this.high + addHigh;
    if (low >= WORD) {
      low -= WORD;
      high++;
    }
    // The counter goes up to 2^64 - 2.
    if (high >= WORD || (high === ALL_ONES && low === ALL_ONES)) return -EAGAIN;
    this.low = low;
    this.high = high;
    this.queue.notify(READABLE);
    return 8;
  }

  override poll(): number {
    let events = 0;
    if (this.low !== 0 || this.high !== 0) events |= READABLE;
    if (this.high === ALL_ONES && this.low === ALL_ONES) events |= POLLERR;
    else if (this.high !== ALL_ONES || this.low < ALL_ONES - 1) events |= WRITABLE;
    return events;
  }

  override fdinfo(): string {
    const digits = this.high === 0 ? this.low.toString(16) : this.high.toString(16) + this.low.toString(16).padStart(8, '0');
    return `eventfd-count: ${digits.padStart(16)}\neventfd-id: ${this.id}\neventfd-semaphore: ${this.semaphore ? 1 : 0}\n`;
  }
}
