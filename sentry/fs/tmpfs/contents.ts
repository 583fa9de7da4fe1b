/**
 * The bytes of one tmpfs file. It begins empty, lives in a slab piece while it is small, and moves to a memfd of its own when it grows too
 * large for that (`FileStore.smallFileMax`) or is mapped; it does not move back.
 *
 * Invariants: bytes of the piece beyond `size` are zero. `pageMask` has a bit for each page (at most 16) of a small file that was written (the others are
 * holes). `charged` is how many pages the file system was charged; `Budget` says whether there may be more.
 *
 * A mapped file may get pages for its holes without a call: from the first mapping on, the whole of it counts against the memory of the sandbox
 * (`committed` is what that adds to `charged`).
 *
 * Of a memfd that is used often the sentry maps a piece (file-windows.ts). Within the piece and the file's size, reads and writes are copies
 * between it and guest memory. Not while there may be holes: touching one would fill it uncounted.
 */
import { emptyAttributes } from '#sentry/abi/stat.ts';
import { EFAULT, EFBIG, EINVAL, ENOMEM, ENOSPC, ENXIO } from '#sentry/abi/errno.ts';
import { SEEK_DATA, SEEK_HOLE } from '#sentry/abi/fs.ts';
import type { HostFd, HostStat } from '#platform/contract/host.ts';
import type { Io } from '../../mm/io.ts';
import { COPY_OFFSET } from '../../mm/user-memory.ts';
import { FILE_SIZE_MAX } from '../../vfs/attributes.ts';
import { TMPFS_WINDOW_BYTES } from '../../limits.ts';
import type { FileWindow } from './file-windows.ts';
import { pieceSize, STAGING_SIZE } from './file-store.ts';
import type { FileStore } from './file-store.ts';

const PAGE_SIZE = 4096;
const NO_PIECE = -1;
/** Mapping a piece and faulting its pages in pays for itself after about so many accesses. */
const USES_BEFORE_WINDOW = 8;
const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;

/** Pages a file system may still use. */
export interface Budget {
  /** Pages left. */
  readonly available: number;
  /** Takes (or, negative, gives back) pages. */
  charge(pages: number): void;
}

const scratchStat: HostStat = emptyAttributes();

export class Contents {
  size = 0;
  private readonly store: FileStore;
  private readonly budget: Budget;
  private piece = NO_PIECE;
  private capacity = 0;
  private pageMask = 0;
  private fd: HostFd = -1;
  private charged = 0;
  private committed = 0;
  private mapped = false;
  /** The memfd may have holes, so its use must be asked for. */
  private sparse = false;
  /** The piece of the memfd that is mapped; the owner of windows takes it away. */
  window: FileWindow | null = null;
  /** The piece last used, counted in windows, and how often in a row. */
  private region = -1;
  private uses = 0;

  constructor(store: FileStore, budget: Budget) {
    this.store = store;
    this.budget = budget;
  }

  /** The memfd, or -1 while the file is small. */
  get hostFd(): HostFd {
    return this.fd;
  }

  read(io: Io, position: number): number {
    const length = Math.min(io.remaining, this.size - position);
    if (length <= 0) return 0;
    if (this.fd >= 0) return this.readMemfd(io, position, length);
    if (this.piece === NO_PIECE) return this.readZeros(io, length);
    return io.put(this.store.memory(this.piece), this.store.offset(this.piece) + position, length);
  }

  private readMemfd(io: Io, position: number, length: number): number {
    const window = this.windowOn(position, length);
    if (window !== null) return io.put(window.memory, position - window.offset, length);
    const { host, staging } = this.store;
    let done = 0;
    while (done < length) {
      const want = Math.min(length - done, STAGING_SIZE);
      const got = host.pread(this.fd, staging, COPY_OFFSET, want, position + done);
      if (got <= 0) return done > 0 ? done : got;
      const moved = io.put(staging, COPY_OFFSET, got);
      if (moved < 0) return done > 0 ? done : moved;
      done += moved;
      if (moved < got) break;
    }
    return done;
  }

  /** A small file that only consists of a hole. */
  private readZeros(io: Io, length: number): number {
    this.store.staging.bytes.fill(0, 0, length);
    return io.put(this.store.staging, 0, length);
  }

  /** Writes what is left in `io`; less when the file system is full. */
  write(io: Io, position: number): number {
    let length = io.remaining;
    if (length === 0) return 0;
    if (position >= FILE_SIZE_MAX) return -EFBIG;
    length = Math.min(length, FILE_SIZE_MAX - position);
    length = this.fitting(position, length);
    if (length === 0) return -ENOSPC;
    if (this.fd < 0 && position + length <= this.store.smallFileMax && this.reserve(position + length))
      return this.writeSmall(io, position, length);
    return this.makeRoom() || this.writeMemfd(io, position, length);
  }

  /** How many of `length` bytes at `position` the budget allows. */
  private fitting(position: number, length: number): number {
    const { available } = this.budget;
    const end = position + length;
    const firstPage = Math.floor(position / PAGE_SIZE);
    if (Math.ceil(end / PAGE_SIZE) - firstPage <= available) return length;
    const firstUnpaid = Math.max(firstPage, this.solidPages);
    return Math.max(0, Math.min(end, (firstUnpaid + available) * PAGE_SIZE) - position);
  }

  /** Pages from the beginning that are certainly the file's own. */
  private get solidPages(): number {
    if (this.fd >= 0) return this.sparse ? 0 : Math.ceil(this.size / PAGE_SIZE);
    return (this.pageMask & (this.pageMask + 1)) === 0 ? countBits(this.pageMask) : 0;
  }

  private writeSmall(io: Io, position: number, length: number): number {
    const memory = this.store.memory(this.piece);
    const base = this.store.offset(this.piece);
    const moved = io.take(memory, base + position, length);
    const end = position + Math.max(moved, 0);
    if (moved < length && position + length > this.size) {
      memory.bytes.fill(0, base + Math.max(end, this.size), base + position + length);
    }
    if (moved <= 0) return moved;
    this.own(position, end);
    if (end > this.size) this.size = end;
    return moved;
  }

  /** Marks pages of a small file as written, and pays for them. */
  private own(start: number, end: number): void {
    const missing = maskOf(start, end) & ~this.pageMask;
    if (missing === 0) return;
    this.pageMask |= missing;
    this.pay(countBits(this.pageMask));
  }

  /** A window that shows the `length` bytes at `position`, all within the file; null when it is not worth having or cannot be had. */
  private windowOn(position: number, length: number): FileWindow | null {
    if (this.sparse || position + length > this.size) return null;
    const region = Math.floor(position / TMPFS_WINDOW_BYTES);
    if (position + length > (region + 1) * TMPFS_WINDOW_BYTES) return null;
    if (region !== this.region) {
      this.region = region;
      this.uses = 0;
    }
    if (this.window !== null && this.window.offset === region * TMPFS_WINDOW_BYTES) return this.window;
    if (++this.uses < USES_BEFORE_WINDOW) return null;
    return this.store.windows.take(this, this.fd, region * TMPFS_WINDOW_BYTES);
  }

  private writeMemfd(io: Io, position: number, length: number): number {
    const window = this.windowOn(position, length);
    if (window !== null) return io.take(window.memory, position - window.offset, length);
    const { host, staging } = this.store;
    let done = 0;
    let error = 0;
    while (done < length) {
      const taken = io.take(staging, COPY_OFFSET, Math.min(length - done, STAGING_SIZE));
      if (taken <= 0) {
        error = taken === 0 ? -EFAULT : taken;
        break;
      }
      const written = host.pwrite(this.fd, staging, COPY_OFFSET, taken, position + done);
      if (written < 0) {
        error = written;
        break;
      }
      done += written;
      if (written < taken) break;
    }
    if (done === 0) return error;
    if (position > this.size) this.sparse = true;
    if (position + done > this.size) this.size = position + done;
    this.settle();
    return done;
  }

  /** Makes the piece hold `end` bytes. false: no slab memory left. */
  private reserve(end: number): boolean {
    if (end <= this.capacity) return true;
    const wanted = pieceSize(end);
    const piece = this.store.takePiece(end);
    if (piece < 0) return false;
    const { bytes } = this.store.memory(piece);
    const to = this.store.offset(piece);
    let kept = 0;
    if (this.piece !== NO_PIECE) {
      kept = Math.min(this.size, this.capacity);
      const from = this.store.offset(this.piece);
      bytes.set(this.store.memory(this.piece).bytes.subarray(from, from + kept), to);
      this.store.freePiece(this.piece, this.capacity);
    }
    bytes.fill(0, to + kept, to + wanted);
    this.piece = piece;
    this.capacity = wanted;
    return true;
  }

  /** From slab memory to a memfd: 0 or -errno. */
  moveToMemfd(): number {
    if (this.fd >= 0) return 0;
    const { store } = this;
    const fd = store.takeMemfd();
    if (fd < 0) return fd;
    const error = this.copyPiece(fd);
    if (error < 0) {
      store.freeMemfd(fd);
      return error;
    }
    if (this.piece !== NO_PIECE) store.freePiece(this.piece, this.capacity);
    this.sparse = this.pageMask !== maskOf(0, this.size);
    this.piece = NO_PIECE;
    this.capacity = 0;
    this.pageMask = 0;
    this.fd = fd;
    return 0;
  }

  /** The same for calls that know only one word for having run out of something: there is no descriptor left for another memfd. */
  private makeRoom(): number {
    return this.moveToMemfd() < 0 ? -ENOSPC : 0;
  }

  private copyPiece(fd: HostFd): number {
    const { store } = this;
    if (this.size > 0) {
      const error = store.host.ftruncate(fd, this.size);
      if (error < 0) return error;
    }
    for (let start = 0; this.piece !== NO_PIECE && start < this.size; start += PAGE_SIZE) {
      if ((this.pageMask & maskOf(start, start + 1)) === 0) continue;
      const length = Math.min(PAGE_SIZE, this.size - start);
      const written = store.host.pwrite(fd, store.memory(this.piece), store.offset(this.piece) + start, length, start);
      if (written < 0) return written;
    }
    return 0;
  }

  /** Before the first mapping: 0, or -ENOMEM when the memory of the sandbox has no room for the whole file. */
  commit(): number {
    if (this.mapped) return 0;
    if (!this.mayCommit(this.size)) return -ENOMEM;
    this.mapped = true;
    this.settle();
    return 0;
  }

  private mayCommit(size: number): boolean {
    return Math.ceil(size / PAGE_SIZE) - this.charged - this.committed <= this.store.pagesAvailable;
  }

  truncate(length: number): number {
    if (length > FILE_SIZE_MAX) return -EFBIG;
    if (this.mapped && length > this.size && !this.mayCommit(length)) return -ENOSPC;
    if (this.fd < 0 && length > this.store.smallFileMax) {
      const error = this.makeRoom();
      if (error < 0) return error;
    }
    if (this.fd >= 0) {
      const error = this.store.host.ftruncate(this.fd, length);
      if (error < 0) return error;
      if (length > this.size) this.sparse = true;
    } else if (length > this.capacity && this.piece !== NO_PIECE) {
      if (!this.reserve(length)) return this.makeRoom() || this.truncate(length);
    } else {
      this.shrinkSmall(length);
    }
    this.size = length;
    this.settle();
    return 0;
  }

  private shrinkSmall(length: number): void {
    if (this.piece === NO_PIECE || length >= this.size) return;
    if (length === 0) {
      this.store.freePiece(this.piece, this.capacity);
      this.piece = NO_PIECE;
      this.capacity = 0;
    } else {
      const base = this.store.offset(this.piece);
      this.store.memory(this.piece).bytes.fill(0, base + length, base + this.size);
    }
    this.pageMask &= maskOf(0, length);
  }

  /** fallocate(2): room for a range, or a hole in it. */
  allocate(mode: number, offset: number, length: number): number {
    const end = offset + length;
    const keepSize = (mode & FALLOC_FL_KEEP_SIZE) !== 0;
    if ((mode & FALLOC_FL_PUNCH_HOLE) !== 0) return this.punch(offset, end);
    if (Math.ceil(end / PAGE_SIZE) - Math.floor(offset / PAGE_SIZE) > this.budget.available + this.charged) return -ENOSPC;
    if (this.fd < 0 && end <= this.store.smallFileMax && !keepSize && this.reserve(end)) {
      this.own(offset, end);
      if (end > this.size) this.size = end;
      return 0;
    }
    const error = this.makeRoom() || this.store.host.fallocate(this.fd, keepSize ? FALLOC_FL_KEEP_SIZE : 0, offset, length);
    if (error < 0) return error;
    if (!keepSize && end > this.size) this.size = end;
    this.sparse = true;
    this.settle();
    return 0;
  }

  private punch(start: number, requestedEnd: number): number {
    if (this.fd >= 0) {
      const error = this.store.host.fallocate(this.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, start, requestedEnd - start);
      if (error < 0) return error;
      this.sparse = true;
      this.settle();
      return 0;
    }
    const end = Math.min(requestedEnd, this.size);
    if (start >= end || this.piece === NO_PIECE) return 0;
    const base = this.store.offset(this.piece);
    this.store.memory(this.piece).bytes.fill(0, base + start, base + end);
    const firstPage = Math.ceil(start / PAGE_SIZE);
    const endPage = requestedEnd >= this.size ? Math.ceil(this.size / PAGE_SIZE) : Math.floor(end / PAGE_SIZE);
    if (endPage > firstPage) this.pageMask &= ~maskOf(firstPage * PAGE_SIZE, endPage * PAGE_SIZE);
    this.pay(countBits(this.pageMask));
    return 0;
  }

  /** SEEK_DATA and SEEK_HOLE. */
  seek(offset: number, whence: number): number {
    if (whence !== SEEK_DATA && whence !== SEEK_HOLE) return -EINVAL;
    if (offset < 0 || offset >= this.size) return -ENXIO;
    if (this.fd >= 0) return this.store.host.lseek(this.fd, offset, whence);
    const wanted = whence === SEEK_DATA;
    for (let at = offset; at < this.size; at = (Math.floor(at / PAGE_SIZE) + 1) * PAGE_SIZE) {
      if (((this.pageMask & maskOf(at, at + 1)) !== 0) === wanted) return at;
    }
    return wanted ? -ENXIO : this.size;
  }

  /** 512-byte blocks in use. */
  get blocks(): number {
    if (this.fd < 0) return countBits(this.pageMask) * (PAGE_SIZE / 512);
    // Shared mappings fill holes without passing here: ask.
    const known =
      this.sparse && this.store.host.fstat(this.fd, scratchStat) >= 0
        ? scratchStat.blocks
        : Math.ceil(this.size / PAGE_SIZE) * (PAGE_SIZE / 512);
    this.pay(Math.ceil(known / (PAGE_SIZE / 512)));
    return known;
  }

  free(): void {
    if (this.piece !== NO_PIECE) this.store.freePiece(this.piece, this.capacity);
    if (this.window !== null) this.store.windows.giveBack(this.window);
    if (this.fd >= 0) this.store.freeMemfd(this.fd);
    this.piece = NO_PIECE;
    this.capacity = 0;
    this.pageMask = 0;
    this.fd = -1;
    this.size = 0;
    this.pay(0);
  }

  /** Charges what the file occupies now. */
  private settle(): void {
    if (this.fd < 0) this.pay(countBits(this.pageMask));
    else if (!this.sparse) this.pay(Math.ceil(this.size / PAGE_SIZE));
    else if (this.store.host.fstat(this.fd, scratchStat) >= 0) this.pay(Math.ceil(scratchStat.blocks / (PAGE_SIZE / 512)));
  }

  private pay(pages: number): void {
    if (pages !== this.charged) {
      this.budget.charge(pages - this.charged);
      this.charged = pages;
    }
    if (!this.mapped) return;
    const committed = Math.max(0, Math.ceil(this.size / PAGE_SIZE) - pages);
    this.store.charge(committed - this.committed);
    this.committed = committed;
  }
}

/** Bits of the pages (at most 31) that [start, end) touches. */
function maskOf(start: number, end: number): number {
  if (end <= start) return 0;
  const first = Math.floor(start / PAGE_SIZE);
  const last = Math.floor((end - 1) / PAGE_SIZE);
  return (2 ** (last - first + 1) - 1) * 2 ** first;
}

function countBits(mask: number): number {
  let count = 0;
  for (let rest = mask; rest !== 0; rest &= rest - 1) count++;
  return count;
}
