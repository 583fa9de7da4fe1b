/**
 * Virtual memory areas and their ordered set (Linux vm_area_struct and the tree of an mm).
 *
 * The set is a sorted array: a guest has tens to a few thousand areas, and binary search plus a short memmove beats a tree of objects at
 * that size. Areas never overlap. Neighbours that could be one area are merged, so that /proc/PID/maps reads as on Linux.
 */
import { MAP_SHARED, PROT_WRITE } from '#sentry/abi/mman.ts';
import type { MappedFile } from './mapped-file.ts';

/** Anonymous shared memory has an identity of its own: futexes in it are the same futex in every process that inherited it. */
export interface SharedMemory {
  readonly id: number;
}

export interface Vma {
  start: number;
  /** Exclusive. */
  end: number;
  protection: number;
  /** MAP_SHARED or MAP_PRIVATE, with MAP_NORESERVE, MAP_GROWSDOWN, MAP_STACK as given. */
  flags: number;
  /** The mapped file, holding a reference, or null. */
  file: MappedFile | null;
  /** Offset in the file (or in the shared memory) of `start`. */
  offset: number;
  /** `[heap]`, `[stack]`, `[vdso]`, `[vvar]`, or a name given by prctl(PR_SET_VMA); '' for none. */
  name: string;
  shared: SharedMemory | null;
  /** madvise(MADV_DONTFORK / MADV_WIPEONFORK). */
  forkAdvice: number;
  locked: boolean;
}

export class VmaSet {
  private areas: Vma[] = [];
  /** Sum of the lengths, for RLIMIT_AS and /proc/PID/statm. */
  totalBytes = 0;
  /** Sum of private writable areas but the stack, for RLIMIT_DATA. */
  dataBytes = 0;
  /** Sum of what counts against the sandbox's memory budget. */
  committedBytes = 0;

  get all(): readonly Vma[] {
    return this.areas;
  }

  /** Index of the first area that ends above `address`. */
  indexAbove(address: number): number {
    const { areas } = this;
    let low = 0;
    let high = areas.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (areas[middle]!.end > address) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  at(index: number): Vma | undefined {
    return this.areas[index];
  }

  /** The area that contains `address`. */
  find(address: number): Vma | undefined {
    const area = this.areas[this.indexAbove(address)];
    return area !== undefined && area.start <= address ? area : undefined;
  }

  /** Whether nothing is mapped in [start, end). */
  isFree(start: number, end: number): boolean {
    const area = this.areas[this.indexAbove(start)];
    return area === undefined || area.start >= end;
  }

  /** Whether every byte of [start, end) is mapped. */
  covers(start: number, end: number): boolean {
    let expected = start;
    for (let i = this.indexAbove(start); expected < end; i++) {
      const area = this.areas[i];
      if (area === undefined || area.start > expected) return false;
      expected = area.end;
    }
    return true;
  }

  /** Adds an area to free address space and merges it with its neighbours. */
  insert(vma: Vma): Vma {
    const index = this.indexAbove(vma.start);
    this.areas.splice(index, 0, vma);
    noteShared(vma, 1);
    this.count(vma, 1);
    return this.mergeAround(index);
  }

  /** Cuts areas so that `address` is a boundary. */
  splitAt(address: number): void {
    const index = this.indexAbove(address);
    const area = this.areas[index];
    if (area === undefined || area.start >= address) return;
    const upper: Vma = { ...area, start: address, offset: area.offset + (address - area.start) };
    upper.file?.acquire();
    noteShared(upper, 1);
    area.end = address;
    this.areas.splice(index + 1, 0, upper);
  }

  /** Removes everything in [start, end), splitting at the edges. References to files are given up. */
  remove(start: number, end: number): void {
    const first = this.areas[this.indexAbove(start)];
    if (first === undefined || first.start >= end) return;
    this.splitAt(start);
    this.splitAt(end);
    const from = this.indexAbove(start);
    let to = from;
    for (; to < this.areas.length && this.areas[to]!.start < end; to++) {
      const area = this.areas[to]!;
      this.count(area, -1);
      noteShared(area, -1);
      area.file?.release();
    }
    this.areas.splice(from, to - from);
  }

  /** Applies `change` to every area of [start, end), after splitting at the edges, then merges again. */
  update(start: number, end: number, change: (vma: Vma) => void): void {
    this.splitAt(start);
    this.splitAt(end);
    const from = this.indexAbove(start);
    let to = from;
    for (; to < this.areas.length && this.areas[to]!.start < end; to++) {
      const area = this.areas[to]!;
      this.count(area, -1);
      change(area);
      this.count(area, 1);
    }
    for (let i = Math.min(to, this.areas.length - 1); i >= from && i >= 0; i--) this.mergeWithPrevious(i);
  }

  clear(): void {
    for (const area of this.areas) {
      noteShared(area, -1);
      area.file?.release();
    }
    this.areas = [];
    this.totalBytes = 0;
    this.committedBytes = 0;
    this.dataBytes = 0;
  }

  /** Adds an area to the sums, or takes it out. */
  private count(area: Vma, sign: 1 | -1): void {
    const size = area.end - area.start;
    this.totalBytes += sign * size;
    this.committedBytes += sign * committedIn(area);
    if (isPrivateData(area)) this.dataBytes += sign * size;
  }

  private mergeAround(index: number): Vma {
    this.mergeWithPrevious(index + 1);
    const merged = this.mergeWithPrevious(index);
    return this.areas[merged ? index - 1 : index]!;
  }

  private mergeWithPrevious(index: number): boolean {
    if (index <= 0 || index >= this.areas.length) return false;
    const low = this.areas[index - 1]!;
    const high = this.areas[index]!;
    if (!mergeable(low, high)) return false;
    low.end = high.end;
    noteShared(high, -1);
    high.file?.release();
    this.areas.splice(index, 1);
    return true;
  }
}

function noteShared({ file, flags }: Vma, change: 1 | -1): void {
  if (file !== null && (flags & MAP_SHARED) !== 0 && file.writable) file.noteSharedMapping(change);
}

function isPrivateData({ flags, protection, name }: Vma): boolean {
  return (flags & MAP_SHARED) === 0 && (protection & PROT_WRITE) !== 0 && name !== '[stack]';
}

/** A stack is mapped at its full limit, and hardly ever used beyond this. */
const STACK_COMMITMENT = 256 * 1024;

/** Bytes of an area that may become memory of its own. */
export function committedIn({ start, end, protection, flags, shared, name }: Vma): number {
  if (name === '[stack]') return Math.min(end - start, STACK_COMMITMENT);
  if ((flags & MAP_SHARED) !== 0) return shared === null ? 0 : end - start;
  return (protection & PROT_WRITE) !== 0 ? end - start : 0;
}

function mergeable(low: Vma, high: Vma): boolean {
  return (
    low.end === high.start &&
    low.protection === high.protection &&
    low.flags === high.flags &&
    low.file === high.file &&
    low.name === high.name &&
    low.shared === high.shared &&
    low.forkAdvice === high.forkAdvice &&
    low.locked === high.locked &&
    ((low.file === null && (low.flags & MAP_SHARED) === 0) || low.offset + (low.end - low.start) === high.offset)
  );
}
