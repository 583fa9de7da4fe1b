/**
 * The only way between sentry memory and guest memory. Every function takes a guest address as it came from the guest: wild, unaligned,
 * in the middle of nothing. A fault is a value, never an exception.
 *
 * Copy once, then use the copy: another guest thread may change the bytes at any time.
 *
 * Copies of a kilobyte and more avoid a trap of the hardware. AMD's Zen with fast short `rep movsb`, which memcpy and the kernel's copies
 * consist of, takes ten times as long (4 KiB: 2 µs instead of 0.1; 16 KiB: 15 instead of 0.25) when source and destination lie such that
 * (destination - source) mod 4096 is 1 to 31. malloc puts large buffers 16 bytes behind the beginning of a page, so this is no rare case.
 * Such copies go by way of the cell, half a page off. Elsewhere memory for file data begins in the middle of a page (COPY_OFFSET).
 *
 * Typical sequence in a handler:
 *
 *     if (task.memory.copyIn(address, task.scratch, 0, Timespec.size) < 0) return -EFAULT;
 *     const requested = Timespec.decode(task.scratch.view, 0);
 *     …
 *     Timespec.encode(task.scratch.view, 0, remaining);
 *     return task.memory.copyOut(address, task.scratch, 0, Timespec.size);        // 0 or -EFAULT
 */
import { EFAULT, ENAMETOOLONG, ENOSYS } from '#sentry/abi/errno.ts';
import { PATH_MAX } from '#sentry/abi/fs.ts';
import type { GuestPieces, GuestSpace } from '#platform/contract/platform.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import type { GuestBytes } from './io.ts';

const PAGE_SIZE = 4096;
const PAGE_MASK = PAGE_SIZE - 1;
/** Shorter copies take no time worth a detour. */
const ALIASED_MIN = 1024;
/** Where in a page memory for data on its way to guests should begin: buffers of guests mostly begin at 0 or 16. */
export const COPY_OFFSET = 2048;
/** What is fetched of a string at first. */
const SHORT_STRING = 256;

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
    if (reachable === 0) return 0;
    if (reachable >= ALIASED_MIN && isAliased(memory.address + offset, address)) return this.readAround(address, memory, offset, reachable);
    return this.space.read(address, memory, offset, reachable);
  }

  copyOutPartial(address: number, memory: HostMemory, offset: number, length: number): number {
    const reachable = this.reachable(address, length);
    if (reachable === 0) return 0;
    if (reachable >= ALIASED_MIN && isAliased(address, memory.address + offset))
      return this.writeAround(address, memory, offset, reachable);
    return this.space.write(address, memory, offset, reachable);
  }

  private readAround(address: number, memory: HostMemory, offset: number, length: number): number {
    const { cell } = this;
    const at = besides(address);
    for (let done = 0; done < length; done += BYPASS_SIZE) {
      const n = Math.min(BYPASS_SIZE, length - done);
      const got = this.space.read(address + done, cell, at, n);
      memory.bytes.set(cell.bytes.subarray(at, at + got), offset + done);
      if (got < n) return done + got;
    }
    return length;
  }

  private writeAround(address: number, memory: HostMemory, offset: number, length: number): number {
    const { cell } = this;
    const at = besides(address);
    for (let done = 0; done < length; done += BYPASS_SIZE) {
      const n = Math.min(BYPASS_SIZE, length - done);
      cell.bytes.set(memory.bytes.subarray(offset + done, offset + done + n), at);
      const put = this.space.write(address + done, cell, at, n);
      if (put < n) return done + put;
    }
    return length;
  }

  /** The same from several pieces, to consecutive bytes. */
  copyInPieces(pieces: GuestPieces, memory: HostMemory, offset: number, length: number): number {
    const { space } = this;
    return space.readPieces === undefined || !this.arePlain(pieces, length) ? -ENOSYS : space.readPieces(pieces, memory, offset, length);
  }

  copyOutPieces(pieces: GuestPieces, memory: HostMemory, offset: number, length: number): number {
    const { space } = this;
    return space.writePieces === undefined || !this.arePlain(pieces, length) ? -ENOSYS : space.writePieces(pieces, memory, offset, length);
  }

  /** Whether the first `length` bytes of the pieces lie below the end of guest memory. */
  private arePlain({ addresses, lengths, current, done }: GuestPieces, length: number): boolean {
    let left = length + done;
    for (let i = current; left > 0; i++) {
      const address = addresses[i]!;
      if (!(address >= 0 && address + Math.min(left, lengths[i]!) <= this.limit)) return false;
      left -= lengths[i]!;
    }
    return true;
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
    // Most are short. Not beyond the end of the page: the string may end just before an inaccessible one.
    const want = Math.min(limit, PAGE_SIZE - ((address | 0) & PAGE_MASK), SHORT_STRING);
    const got = this.stringPiece(address, want);
    const end = terminator(cell.bytes, got);
    if (end >= 0) return cell.latin1(0, end);
    return got < want ? -EFAULT : this.longString(address, limit);
  }

  /** Copies up to `want` bytes to the cell. */
  private stringPiece(from: number, want: number): number {
    const { space } = this;
    const reachable = this.reachable(from, want);
    if (reachable === 0) return 0;
    if (space.readString === undefined) return space.read(from, this.cell, 0, reachable);
    return space.readString(from, this.cell, 0, reachable);
  }

  /** A string that does not end within the first piece. */
  private longString(address: number, limit: number): string | number {
    const { cell } = this;
    let text = '';
    while (text.length < limit) {
      const from = address + text.length;
      const want = Math.min(limit - text.length, PAGE_SIZE - ((from | 0) & PAGE_MASK));
      const got = this.stringPiece(from, want);
      const end = terminator(cell.bytes, got);
      if (end >= 0) return text + cell.latin1(0, end);
      if (got < want) return -EFAULT;
      text += cell.latin1(0, got);
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

/** Where the first NUL of `length` bytes is, or -1. */
function terminator(bytes: Uint8Array, length: number): number {
  // Not `indexOf`: on a short string the call costs more than the search, and it would have to be given a view of its own.
  for (let i = 0; i < length; i++) if (bytes[i] === 0) return i;
  return -1;
}

/** Whether a copy would be slow. (`|` takes the low bits of any address below 2^53.) */
function isAliased(to: number, from: number): boolean {
  return ((((to | 0) - (from | 0)) & PAGE_MASK) - 1) >>> 0 < 31;
}

/** Where in the cell bytes on their way to or from `address` may lie. */
function besides(address: number): number {
  return BYPASS + (((address | 0) + COPY_OFFSET) & PAGE_MASK);
}

/** The cell: two pages for values and strings, then those for copies that go by way of it. */
const BYPASS = 2 * PAGE_SIZE;
const BYPASS_SIZE = 8 * PAGE_SIZE;

/** Bytes of page-aligned sentry memory a `UserMemory` needs as its cell. */
export const CELL_SIZE = BYPASS + BYPASS_SIZE + PAGE_SIZE;
