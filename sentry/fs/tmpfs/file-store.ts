/**
 * Where the bytes of tmpfs files are, outside the V8 heap: small files in pieces of slab memory, all others in a memfd each. One store serves
 * every tmpfs of a sandbox, so that its budgets (slab bytes, descriptors, inodes, and the memory of the sandbox as a whole) hold for all
 * of them together.
 *
 * A piece is a number: slab index and offset folded into one. Pieces come in powers of two from 256 bytes to 64 KiB, and a slab is cut into
 * pieces of one size. Slabs are never given back; freed pieces are used again.
 */
import {
  TMPFS_INODES_ALL_MAX,
  TMPFS_MEMFDS_MAX,
  TMPFS_METADATA_ALL_MAX,
  TMPFS_SLAB_BYTES_MAX,
  TMPFS_SMALL_FILE_MAX,
  TMPFS_SMALL_FILE_MAX_WHEN_SCARCE,
} from '../../limits.ts';
import { MemoryBudget } from '../../mm/memory-budget.ts';
import { COPY_OFFSET } from '../../mm/user-memory.ts';
import type { Host, HostFd, HostMemory } from '#platform/contract/host.ts';
import { FileWindows } from './file-windows.ts';
import { ENFILE } from '#sentry/abi/errno.ts';

const PAGE_SIZE = 4096;
const SLAB_SHIFT = 20;
const SLAB_SIZE = 1 << SLAB_SHIFT;
const SMALLEST_SHIFT = 8;
const CLASSES = Math.log2(TMPFS_SMALL_FILE_MAX_WHEN_SCARCE) - SMALLEST_SHIFT + 1;
/** Bytes moved at once between guest memory and a memfd. */
export const STAGING_SIZE: number = 256 * 1024;

/** The part of the host that holds file contents. */
export type StoreHost = Pick<
  Host,
  | 'allocate'
  | 'show'
  | 'memfd'
  | 'close'
  | 'pread'
  | 'pwrite'
  | 'ftruncate'
  | 'fallocate'
  | 'lseek'
  | 'fstat'
  | 'copyFileRange'
  | 'realtime'
>;

/** The memory of the sandbox: what files occupy counts against it. */
export type StoreBudget = Pick<MemoryBudget, 'limit' | 'used' | 'charge'>;

export class FileStore {
  readonly host: StoreHost;
  /** For bytes on their way between a memfd and guest memory, from COPY_OFFSET on; valid within one call. */
  readonly staging: HostMemory;
  /** Pieces of memfds that are mapped. */
  readonly windows: FileWindows;
  /** memfds in use. */
  memfds = 0;
  private readonly slabs: HostMemory[] = [];
  private readonly freed: number[][] = Array.from({ length: CLASSES }, () => []);
  private readonly memfdLimit: number;
  private readonly slabLimit: number;
  private readonly budget: StoreBudget;
  private inodes = 0;
  private metadata = 0;

  constructor(
    host: StoreHost,
    memfdLimit: number = TMPFS_MEMFDS_MAX,
    slabBytesLimit: number = TMPFS_SLAB_BYTES_MAX,
    budget: StoreBudget = new MemoryBudget(Infinity),
  ) {
    this.host = host;
    this.budget = budget;
    this.memfdLimit = memfdLimit;
    this.slabLimit = Math.floor(slabBytesLimit / SLAB_SIZE);
    this.staging = host.allocate(COPY_OFFSET + STAGING_SIZE);
    this.windows = new FileWindows(host);
  }

  /** Pages of contents that the sandbox's memory still has room for. */
  get pagesAvailable(): number {
    const { limit, used } = this.budget;
    return limit === Infinity ? Infinity : Math.floor((limit - used) / PAGE_SIZE);
  }

  /** Counts pages of contents, or, negative, gives them back. */
  charge(pages: number): void {
    this.budget.charge(pages * PAGE_SIZE);
  }

  /** Counts one more inode; false when there are too many. */
  takeInode(): boolean {
    if (this.inodes >= TMPFS_INODES_ALL_MAX) return false;
    this.inodes++;
    return true;
  }

  freeInode(): void {
    this.inodes--;
  }

  /** Counts bytes in the V8 heap, or, negative, gives them back; false when there are too many. */
  chargeMetadata(bytes: number): boolean {
    if (bytes > 0 && this.metadata + bytes > TMPFS_METADATA_ALL_MAX) return false;
    this.metadata += bytes;
    return true;
  }

  /** A piece of at least `bytes` with undefined contents, or -1 when slab memory has reached its bound. */
  takePiece(bytes: number): number {
    const index = classOf(bytes);
    const list = this.freed[index]!;
    if (list.length === 0 && !this.cutSlab(index)) return -1;
    return list.pop()!;
  }

  freePiece(piece: number, bytes: number): void {
    this.freed[classOf(bytes)]!.push(piece);
  }

  memory(piece: number): HostMemory {
    return this.slabs[Math.floor(piece / SLAB_SIZE)]!;
  }

  offset(piece: number): number {
    return COPY_OFFSET + (piece % SLAB_SIZE);
  }

  /** Largest file that should be small. Trees of tens of thousands of files have to fit into the budget of descriptors. */
  get smallFileMax(): number {
    return this.memfds * 2 < this.memfdLimit ? TMPFS_SMALL_FILE_MAX : TMPFS_SMALL_FILE_MAX_WHEN_SCARCE;
  }

  takeMemfd(): HostFd {
    if (this.memfds >= this.memfdLimit) return -ENFILE;
    const fd = this.host.memfd('tmpfs');
    if (fd >= 0) this.memfds++;
    return fd;
  }

  freeMemfd(fd: HostFd): void {
    this.memfds--;
    this.host.close(fd);
  }

  private cutSlab(index: number): boolean {
    if (this.slabs.length >= this.slabLimit) return false;
    const base = this.slabs.length * SLAB_SIZE;
    this.slabs.push(this.host.allocate(COPY_OFFSET + SLAB_SIZE));
    const size = 1 << (SMALLEST_SHIFT + index);
    const list = this.freed[index]!;
    for (let at = SLAB_SIZE - size; at >= 0; at -= size) list.push(base + at);
    return true;
  }
}

function classOf(bytes: number): number {
  const index = 32 - Math.clz32(Math.max(bytes, 1) - 1) - SMALLEST_SHIFT;
  return index < 0 ? 0 : index;
}

/** What `takePiece(bytes)` really gives. */
export function pieceSize(bytes: number): number {
  return 1 << (SMALLEST_SHIFT + classOf(bytes));
}
