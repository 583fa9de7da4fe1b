/**
 * The only way between sentry memory and guest memory. Every function takes a guest address as it came from the guest: wild, unaligned,
 * in the middle of nothing. A fault is a value, never an exception.
 *
 * Copy once, then use the copy: another guest thread may change the bytes at any time.
 *
 * Typical sequence in a handler:
 *
 *     if (task.memory.copyIn(address, task.scratch, 0, Timespec.size) < 0) return -EFAULT;
 *     const requested = Timespec.decode(task.scratch.view, 0);
 *     …
 *     Timespec.encode(task.scratch.view, 0, remaining);
 *     return task.memory.copyOut(address, task.scratch, 0, Timespec.size);        // 0 or -EFAULT
 */
import { EFAULT, ENAMETOOLONG } from '#sentry/abi/errno.ts';
import { PATH_MAX } from '#sentry/abi/fs.ts';
import type { GuestSpace } from '#platform/contract/platform.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import type { GuestBytes } from './io.ts';

const PAGE_SIZE = 4096;

export class UserMemory implements GuestBytes {
  private space: GuestSpace;
  /** End of the guest's address range (TASK_SIZE). */
  private readonly limit: number;
  /** A page of sentry memory for single values and strings, apart from the handlers' scratch memory. */
  private readonly cell: HostMemory;

  constructor(space: GuestSpace, limit: number, cell: HostMemory) {
    this.space = space;
    this.limit = limit;
    this.cell = cell;
  }

  /** Bytes copied before the first inaccessible one. */
  copyInPartial(address: number, memory: HostMemory, offset: number, length: number): number {
    const reachable = this.reachable(address, length);
    return reachable === 0 ? 0 : this.space.read(address, memory, offset, reachable);
  }

  copyOutPartial(address: number, memory: HostMemory, offset: number, length: number): number {
    const reachable = this.reachable(address, length);
    return reachable === 0 ? 0 : this.space.write(address, memory, offset, reachable);
  }

  /** All `length` bytes or -EFAULT; 0 on success. */
  copyIn(address: number, memory: HostMemory, offset: number, length: number): number {
    return this.copyInPartial(address, memory, offset, length) === length ? 0 : -EFAULT;
  }

  copyOut(address: number, memory: HostMemory, offset: number, length: number): number {
    return this.copyOutPartial(address, memory, offset, length) === length ? 0 : -EFAULT;
  }

  /** The 32-bit word at `address`, or -1 when inaccessible. */
  loadU32(address: number): number {
    return this.copyIn(address, this.cell, 0, 4) < 0 ? -1 : this.cell.view.getUint32(0, true);
  }

  storeU32(address: number, value: number): number {
    this.cell.view.setUint32(0, value, true);
    return this.copyOut(address, this.cell, 0, 4);
  }

  /** The 64-bit word at `address` as a double, or -1 when inaccessible. */
  loadU64(address: number): number {
    if (this.copyIn(address, this.cell, 0, 8) < 0) return -1;
    return this.cell.view.getUint32(4, true) * 0x1_0000_0000 + this.cell.view.getUint32(0, true);
  }

  storeU64(address: number, value: number): number {
    const high = Math.floor(value / 0x1_0000_0000);
    this.cell.view.setUint32(0, value - high * 0x1_0000_0000, true);
    this.cell.view.setInt32(4, high, true);
    return this.copyOut(address, this.cell, 0, 8);
  }

  /**
   * A NUL-terminated string of at most `limit` bytes with its terminator, one character per byte.
   * -EFAULT when memory ends before the terminator, -ENAMETOOLONG when there is none within the limit.
   */
  readString(address: number, limit: number = PATH_MAX): string | number {
    const { cell } = this;
    let text = '';
    let from = address;
    let left = limit;
    while (left > 0) {
      // Up to the end of the page: the string may end just before an inaccessible one.
      const want = Math.min(left, PAGE_SIZE - (from % PAGE_SIZE), PAGE_SIZE);
      const got = this.copyInPartial(from, cell, 0, want);
      const end = cell.bytes.subarray(0, got).indexOf(0);
      if (end >= 0) return text === '' ? cell.latin1(0, end) : text + cell.latin1(0, end);
      if (got < want) return -EFAULT;
      text += cell.latin1(0, got);
      from += got;
      left -= got;
    }
    return -ENAMETOOLONG;
  }

  /** Stores a string with its terminating NUL. The caller checked the length against the guest's buffer. */
  writeString(address: number, text: string): number {
    const { cell } = this;
    for (let done = 0; done <= text.length; done += PAGE_SIZE) {
      const piece = text.slice(done, done + PAGE_SIZE);
      const last = done + PAGE_SIZE > text.length;
      cell.writeLatin1(piece, 0);
      const length = last ? piece.length + 1 : piece.length;
      if (last) cell.bytes[piece.length] = 0;
      if (this.copyOut(address + done, cell, 0, length) < 0) return -EFAULT;
    }
    return 0;
  }

  /** Stores `text` without a terminator (readlink, getdents names). */
  writeBytes(address: number, text: string): number {
    const { cell } = this;
    for (let done = 0; done < text.length; done += PAGE_SIZE) {
      const piece = text.slice(done, done + PAGE_SIZE);
      cell.writeLatin1(piece, 0);
      if (this.copyOut(address + done, cell, 0, piece.length) < 0) return -EFAULT;
    }
    return 0;
  }

  private reachable(address: number, length: number): number {
    if (!(address >= 0 && address < this.limit)) return 0;
    return Math.min(length, this.limit - address);
  }
}

/** Bytes of sentry memory a `UserMemory` needs as its cell. */
export const CELL_SIZE = 2 * PAGE_SIZE;
