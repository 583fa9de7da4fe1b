/**
 * A guest address space (Linux mm_struct): which areas exist, who chose their addresses, and the program break.
 *
 * The sentry decides every address and keeps the areas; a thread of the guest's own host process carries each change out
 * (`GuestThread.mmap` and kin), so page faults, copy-on-write and shared mappings run at the host's speed and never come here. The host is
 * asked first: the areas change only after it agreed, so the two views cannot drift apart.
 *
 * Spec: mmap(2), munmap(2), mprotect(2), mremap(2), brk(2); Linux mm/mmap.c, mm/mremap.c.
 */
import { EACCES, EEXIST, EFAULT, EINVAL, ENOMEM, EOPNOTSUPP, EOVERFLOW, EPERM } from '#sentry/abi/errno.ts';
import {
  MAP_32BIT,
  MAP_ANONYMOUS,
  MAP_DENYWRITE,
  MAP_EXECUTABLE,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_GROWSDOWN,
  MAP_HUGETLB,
  MAP_LOCKED,
  MAP_NONBLOCK,
  MAP_NORESERVE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_SHARED_VALIDATE,
  MAP_STACK,
  MAP_TYPE,
  MREMAP_DONTUNMAP,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  pageRoundDown,
  pageRoundUp,
} from '#sentry/abi/mman.ts';
import type { GuestSpace, GuestThread, PlatformLimits } from '#platform/contract/platform.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import { MEMORY_AREAS_MAX } from '../limits.ts';
import { UserMemory } from './user-memory.ts';
import type { MemoryBudget } from './memory-budget.ts';
import { VmaSet, committedIn } from './vma.ts';
import type { Vma } from './vma.ts';
import type { MappedFile } from './mapped-file.ts';

/** Linux vm.max_map_count. */
const AREAS_MAX = 65530;
/** mmap_min_addr. */
export const LOWEST_ADDRESS = 0x1_0000;
/** More than any address space holds: refused before anything else is looked at. */
const ADDRESSES = 2 ** 47;
/** End of what MAP_32BIT may use. */
const LIMIT_32BIT = 0x8000_0000;
/** Linux's LEGACY_MAP_MASK. */
const VALIDATED_FLAGS =
  MAP_TYPE |
  MAP_FIXED |
  MAP_FIXED_NOREPLACE |
  MAP_ANONYMOUS |
  MAP_32BIT |
  MAP_GROWSDOWN |
  MAP_DENYWRITE |
  MAP_EXECUTABLE |
  MAP_LOCKED |
  MAP_NORESERVE |
  MAP_POPULATE |
  MAP_NONBLOCK |
  MAP_STACK |
  MAP_HUGETLB;
const KEPT_FLAGS = MAP_NORESERVE | MAP_GROWSDOWN | MAP_STACK;

let nextSharedId = 1;

/** Limits that depend on the process: RLIMIT_AS, RLIMIT_DATA in bytes, Infinity for none. */
export interface MemoryLimits {
  readonly addressSpace: number;
  readonly data: number;
}

export class AddressSpace {
  readonly memory: UserMemory;
  readonly space: GuestSpace;
  readonly areas = new VmaSet();
  readonly limits: PlatformLimits;
  /** Top-down allocation starts here; below the stack. */
  mmapBase: number;
  /** No free range large enough lies between here and mmapBase, as far as known: where the next search starts. */
  private searchFrom: number;

  // The program's layout, for /proc/PID and prctl(PR_SET_MM).
  brkStart = 0;
  brk = 0;
  codeStart = 0;
  codeEnd = 0;
  dataStart = 0;
  dataEnd = 0;
  stackStart = 0;
  argStart = 0;
  argEnd = 0;
  envStart = 0;
  envEnd = 0;
  /** The auxiliary vector as it was put on the stack: pairs. */
  auxv: readonly (readonly [number, number])[] = [];
  /** /proc/PID/exe: the kernel's open file of the executable. */
  executable: MappedFile | null = null;
  dumpable = 1;
  lockFuture = false;

  private references = 1;
  private readonly cell: HostMemory;
  private readonly budget: MemoryBudget;
  /** What `areas` have been charged for. */
  private charged = 0;
  private chargedAreas = 0;
  /** Areas of all address spaces. */
  private static areasInAll = 0;

  constructor(space: GuestSpace, limits: PlatformLimits, cell: HostMemory, budget: MemoryBudget) {
    this.budget = budget;
    this.space = space;
    this.limits = limits;
    this.cell = cell;
    this.memory = new UserMemory(space, limits.highestAddress, cell);
    this.mmapBase = limits.highestAddress;
    this.searchFrom = this.mmapBase;
  }

  acquire(): this {
    this.references++;
    return this;
  }

  /** Gives up a reference. With the last one the host process ends. Returns whether it was the last. */
  release(): boolean {
    if (--this.references > 0) return false;
    this.areas.clear();
    this.settle();
    this.executable?.release();
    this.executable = null;
    this.space.kill();
    return true;
  }

  get isShared(): boolean {
    return this.references > 1;
  }

  get isDead(): boolean {
    return this.references === 0;
  }

  /** Sets where top-down allocation begins (exec). */
  setMmapBase(base: number): void {
    this.mmapBase = base;
    this.searchFrom = base;
  }

  /** The same areas over a copy of the host process (fork). */
  fork(space: GuestSpace): AddressSpace {
    const copy = new AddressSpace(space, this.limits, this.cell, this.budget);
    for (const area of this.areas.all) {
      if (area.forkAdvice === DONTFORK) continue;
      area.file?.acquire();
      copy.areas.insert({ ...area, locked: false });
    }
    copy.settle();
    copy.setMmapBase(this.mmapBase);
    copy.searchFrom = this.searchFrom;
    for (const key of LAYOUT_FIELDS) copy[key] = this[key];
    copy.auxv = this.auxv;
    copy.executable = this.executable;
    copy.executable?.acquire();
    return copy;
  }

  /**
   * mmap(2). `address` is the hint or, with MAP_FIXED, the place. Returns the address or -errno.
   */
  mmap(
    thread: GuestThread,
    hint: number,
    length: number,
    protection: number,
    flags: number,
    file: MappedFile | null,
    offset: number,
    limits: MemoryLimits,
  ): number {
    const refusal = checkMmap(hint, length, flags, file, offset, protection);
    if (refusal < 0) return refusal;
    const size = pageRoundUp(length);
    if (!(size > 0 && size <= this.limits.highestAddress)) return -ENOMEM;
    if (this.areas.all.length >= AREAS_MAX || AddressSpace.areasInAll >= MEMORY_AREAS_MAX) return -ENOMEM;
    if (this.areas.totalBytes + size > limits.addressSpace) return -ENOMEM;
    if (mayCommit(protection, flags, file) && !this.budget.fits(size)) return -ENOMEM;
    if (isData(protection, flags) && this.areas.dataBytes + size > limits.data) return -ENOMEM;
    const address = this.place(hint, size, flags);
    if (address < 0) return address;
    return this.mapAt(thread, address, size, protection, flags, file, offset);
  }

  /** Maps [address, address+size), replacing what is there. Checks are done. `name` labels the area. */
  mapAt(
    thread: GuestThread,
    address: number,
    size: number,
    protection: number,
    flags: number,
    file: MappedFile | null,
    offset: number,
    name = '',
  ): number {
    const shared = (flags & MAP_TYPE) !== MAP_PRIVATE;
    let hostFd = -1;
    let hostOffset = 0;
    if (file !== null) {
      const target = file.mappable(shared);
      if (typeof target === 'number') return target;
      hostFd = target.hostFd;
      hostOffset = hostFd < 0 ? 0 : target.hostOffset + offset;
    }
    const type = (shared ? MAP_SHARED : MAP_PRIVATE) | (hostFd < 0 ? MAP_ANONYMOUS : 0);
    const hostFlags = type | MAP_FIXED | (flags & (MAP_NORESERVE | MAP_POPULATE));
    const result = thread.mmap(address, size, protection, hostFlags, hostFd, hostOffset);
    if (result < 0) return result;
    this.forget(address, address + size);
    file?.acquire();
    this.areas.insert({
      start: address,
      end: address + size,
      protection,
      flags: (shared ? MAP_SHARED : MAP_PRIVATE) | (flags & KEPT_FLAGS),
      file,
      offset: file === null ? 0 : offset,
      name,
      shared: shared && file === null ? { id: nextSharedId++ } : null,
      forkAdvice: 0,
      locked: (flags & MAP_LOCKED) !== 0 || this.lockFuture,
    });
    this.settle();
    return address;
  }

  /** Notes an area that exists on the host already: the vDSO. */
  adopt(start: number, end: number, protection: number, name: string): void {
    this.areas.insert({
      start,
      end,
      protection,
      flags: MAP_PRIVATE,
      file: null,
      offset: 0,
      name,
      shared: null,
      forkAdvice: 0,
      locked: false,
    });
  }

  /** munmap(2). */
  munmap(thread: GuestThread, address: number, length: number): number {
    if (address % PAGE_SIZE !== 0 || !(length > 0)) return -EINVAL;
    const end = address + pageRoundUp(length);
    if (end > this.limits.highestAddress) return -EINVAL;
    if (this.areas.isFree(address, end)) return 0;
    const result = thread.munmap(address, end - address);
    if (result < 0) return result;
    this.forget(address, end);
    this.settle();
    return 0;
  }

  /** Whether the budget allows a copy of all of this (fork). */
  get mayFork(): boolean {
    return AddressSpace.areasInAll + this.areas.all.length <= MEMORY_AREAS_MAX && this.budget.fits(this.areas.committedBytes);
  }

  /** Brings the budget up to date after a change of the areas. */
  private settle(): void {
    const { committedBytes } = this.areas;
    this.budget.charge(committedBytes - this.charged);
    this.charged = committedBytes;
    const count = this.areas.all.length;
    AddressSpace.areasInAll += count - this.chargedAreas;
    this.chargedAreas = count;
  }

  /** mprotect(2). Areas before the first hole are changed even when the result is -ENOMEM, as on Linux. */
  mprotect(thread: GuestThread, address: number, length: number, protection: number): number {
    if (address % PAGE_SIZE !== 0) return -EINVAL;
    if (length === 0) return 0;
    const end = address + pageRoundUp(length);
    if (!(end <= this.limits.highestAddress)) return -ENOMEM;
    let reached = address;
    for (let i = this.areas.indexAbove(address); reached < end; i++) {
      const area = this.areas.at(i);
      if (area === undefined || area.start > reached) return this.protect(thread, address, reached, protection, -ENOMEM);
      if (!mayProtect(area, protection)) return this.protect(thread, address, reached, protection, -EACCES);
      reached = area.end;
    }
    return this.protect(thread, address, end, protection, 0);
  }

  /** brk(2): the new break, or the old one when it cannot be moved. */
  setBrk(thread: GuestThread, requested: number, limits: MemoryLimits): number {
    if (requested < this.brkStart || requested > this.limits.highestAddress) return this.brk;
    const oldEnd = pageRoundUp(this.brk);
    const newEnd = pageRoundUp(requested);
    if (newEnd > oldEnd) {
      const size = newEnd - oldEnd;
      if (!this.areas.isFree(oldEnd, newEnd + PAGE_SIZE)) return this.brk;
      if (this.areas.totalBytes + size > limits.addressSpace || !this.budget.fits(size)) return this.brk;
      if (this.areas.dataBytes + size > limits.data) return this.brk;
      if (this.mapAt(thread, oldEnd, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, null, 0, '[heap]') < 0) return this.brk;
    } else if (newEnd < oldEnd && this.munmap(thread, newEnd, oldEnd - newEnd) < 0) {
      return this.brk;
    }
    this.brk = requested;
    return requested;
  }

  /** mremap(2). */
  mremap(
    thread: GuestThread,
    address: number,
    oldLength: number,
    newLength: number,
    flags: number,
    target: number,
    limits: MemoryLimits,
  ): number {
    const refusal = checkMremap(address, oldLength, newLength, flags, target, this.limits.highestAddress);
    if (refusal < 0) return refusal;
    const oldSize = pageRoundUp(oldLength);
    const newSize = pageRoundUp(newLength);
    const area = this.areas.find(address);
    if (area === undefined) return -EFAULT;
    if (oldSize === 0) return this.mayAdd(area, newSize, limits) ? this.duplicate(thread, area, address, newSize, flags, target) : -ENOMEM;
    const fixed = (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) !== 0;
    if (newSize <= oldSize && !fixed) {
      return newSize === oldSize ? address : this.munmap(thread, address + newSize, oldSize - newSize) < 0 ? -ENOMEM : address;
    }
    if (area.end < address + oldSize) return -EFAULT;
    // What MREMAP_DONTUNMAP leaves behind goes on counting.
    if (!this.mayAdd(area, newSize - ((flags & MREMAP_DONTUNMAP) === 0 ? oldSize : 0), limits)) return -ENOMEM;
    if (!fixed && area.end === address + oldSize && this.canGrow(area, newSize - oldSize))
      return this.grow(thread, area, address, oldSize, newSize);
    if ((flags & MREMAP_MAYMOVE) === 0) return -ENOMEM;
    return this.move(thread, area, address, oldSize, newSize, flags, target);
  }

  /** A key under which futexes of shared memory are one; null for private memory (the key is this address space and the address). */
  futexKey(address: number): string | null {
    const area = this.areas.find(address);
    if (area === undefined || (area.flags & MAP_SHARED) === 0) return null;
    const offset = area.offset + (address - area.start);
    if (area.shared !== null) return `s${area.shared.id}:${offset}`;
    if (area.file === null) return null;
    return `f${area.file.inode.fileSystem.device}:${area.file.inode.ino}:${offset}`;
  }

  /** A free range of `size` bytes, top-down from the mmap base; -ENOMEM when there is none. */
  findFree(size: number): number {
    let found = this.searchDown(size, this.searchFrom);
    // The hint skips holes that were too small for earlier requests; before giving up look at all of them.
    if (found < 0) found = this.searchDown(size, this.mmapBase);
    if (found < 0) found = this.searchDown(size, this.limits.highestAddress);
    if (found < 0) return -ENOMEM;
    if (found < this.searchFrom) this.searchFrom = found;
    return found;
  }

  private searchDown(size: number, from: number): number {
    let end = from;
    for (let i = this.areas.indexAbove(from - 1); i >= 0; i--) {
      const area = this.areas.at(i);
      if (area === undefined || area.start >= end) continue;
      if (area.end <= end - size) return end - size;
      end = Math.min(end, area.start);
    }
    return end - size >= LOWEST_ADDRESS ? end - size : -1;
  }

  private place(hint: number, size: number, flags: number): number {
    const highest = this.limits.highestAddress;
    if ((flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) !== 0) {
      if (hint % PAGE_SIZE !== 0) return -EINVAL;
      if (hint + size > highest) return -ENOMEM;
      if (hint < LOWEST_ADDRESS) return -EPERM;
      if ((flags & MAP_FIXED_NOREPLACE) !== 0 && !this.areas.isFree(hint, hint + size)) return -EEXIST;
      return hint;
    }
    const wished = pageRoundDown(hint);
    if (wished >= LOWEST_ADDRESS && wished + size <= highest && this.areas.isFree(wished, wished + size)) return wished;
    if ((flags & MAP_32BIT) !== 0) {
      const low = this.searchDown(size, LIMIT_32BIT);
      return low >= 0 ? low : -ENOMEM;
    }
    return this.findFree(size);
  }

  private forget(start: number, end: number): void {
    this.areas.remove(start, end);
    if (end > this.searchFrom) this.searchFrom = Math.min(end, this.mmapBase);
  }

  private protect(thread: GuestThread, start: number, end: number, protection: number, result: number): number {
    if (end <= start) return result;
    if ((protection & PROT_WRITE) !== 0 && !this.budget.fits(this.uncommitted(start, end))) return -ENOMEM;
    const done = thread.mprotect(start, end - start, protection);
    if (done < 0) return done;
    this.areas.update(start, end, (area) => {
      area.protection = protection;
    });
    this.settle();
    return result;
  }

  /** Bytes of [start, end) that do not count as committed yet. */
  private uncommitted(start: number, end: number): number {
    let bytes = 0;
    for (let i = this.areas.indexAbove(start); ; i++) {
      const area = this.areas.at(i);
      if (area === undefined || area.start >= end) return bytes;
      if (committedIn(area) === 0) bytes += Math.min(end, area.end) - Math.max(start, area.start);
    }
  }

  /** Whether limits and budget allow `bytes` more of what `area` is. */
  private mayAdd(area: Vma, bytes: number, limits: MemoryLimits): boolean {
    if (bytes <= 0) return true;
    return this.areas.totalBytes + bytes <= limits.addressSpace && (committedIn(area) === 0 || this.budget.fits(bytes));
  }

  private canGrow(area: Vma, by: number): boolean {
    return area.end + by <= this.limits.highestAddress && this.areas.isFree(area.end, area.end + by);
  }

  private grow(thread: GuestThread, area: Vma, address: number, oldSize: number, newSize: number): number {
    const result = thread.mremap(address, oldSize, newSize, 0, 0);
    if (result < 0) return result;
    area.file?.acquire();
    const start = address + oldSize;
    this.areas.insert({ ...area, start, end: address + newSize, offset: area.offset + (start - area.start) });
    this.settle();
    return address;
  }

  private move(thread: GuestThread, area: Vma, address: number, oldSize: number, newSize: number, flags: number, target: number): number {
    const destination = (flags & MREMAP_FIXED) !== 0 ? target : this.place(target, newSize, 0);
    if (destination < 0) return destination;
    const hostFlags = MREMAP_MAYMOVE | MREMAP_FIXED | (flags & MREMAP_DONTUNMAP);
    const result = thread.mremap(address, oldSize, newSize, hostFlags, destination);
    if (result < 0) return result;
    const moved: Vma = { ...area, start: destination, end: destination + newSize, offset: area.offset + (address - area.start) };
    moved.file?.acquire();
    this.forget(destination, destination + newSize);
    if ((flags & MREMAP_DONTUNMAP) === 0) this.forget(address, address + oldSize);
    this.areas.insert(moved);
    this.settle();
    return destination;
  }

  /** `oldLength` 0: a second mapping of shared memory. */
  private duplicate(thread: GuestThread, area: Vma, address: number, size: number, flags: number, target: number): number {
    if ((area.flags & MAP_SHARED) === 0 || (flags & MREMAP_MAYMOVE) === 0) return -EINVAL;
    const destination = (flags & MREMAP_FIXED) !== 0 ? target : this.place(0, size, 0);
    if (destination < 0) return destination;
    const result = thread.mremap(address, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, destination);
    if (result < 0) return result;
    area.file?.acquire();
    const copy: Vma = { ...area, start: destination, end: destination + size, offset: area.offset + (address - area.start) };
    this.forget(destination, destination + size);
    this.areas.insert(copy);
    this.settle();
    return destination;
  }
}

/** MADV_DONTFORK, as `Vma.forkAdvice` keeps it. */
export const DONTFORK = 10;

const LAYOUT_FIELDS = [
  'brkStart',
  'brk',
  'codeStart',
  'codeEnd',
  'dataStart',
  'dataEnd',
  'stackStart',
  'argStart',
  'argEnd',
  'envStart',
  'envEnd',
  'dumpable',
] as const;

function checkMmap(hint: number, length: number, flags: number, file: MappedFile | null, offset: number, protection: number): number {
  if (!(length > 0) || offset % PAGE_SIZE !== 0) return -EINVAL;
  const type = flags & MAP_TYPE;
  if (type !== MAP_SHARED && type !== MAP_PRIVATE && type !== MAP_SHARED_VALIDATE) return -EINVAL;
  if (length > ADDRESSES) return -ENOMEM;
  if (!(offset >= 0 && offset + length <= 2 ** 64)) return -EOVERFLOW;
  if ((flags & MAP_HUGETLB) !== 0) return -ENOMEM;
  if (!(hint >= 0)) return -EINVAL;
  if (file === null) return 0;
  // Of the flags that only MAP_SHARED_VALIDATE knows, MAP_SYNC needs persistent memory.
  if (type === MAP_SHARED_VALIDATE && (flags & ~VALIDATED_FLAGS) !== 0) return -EOPNOTSUPP;
  if (!file.readable) return -EACCES;
  if (type === MAP_PRIVATE || (protection & PROT_WRITE) === 0) return 0;
  if (!file.writable) return -EACCES;
  if (file.refusesSharedWrites) return -EPERM;
  return 0;
}

/** What RLIMIT_DATA counts. */
function isData(protection: number, flags: number): boolean {
  return (flags & MAP_TYPE) === MAP_PRIVATE && (protection & PROT_WRITE) !== 0;
}

/** Whether a mapping can become memory of its own. */
function mayCommit(protection: number, flags: number, file: MappedFile | null): boolean {
  return (flags & MAP_TYPE) === MAP_PRIVATE ? (protection & PROT_WRITE) !== 0 : file === null;
}

function mayProtect(area: Vma, protection: number): boolean {
  if (area.file === null || (area.flags & MAP_SHARED) === 0) return true;
  return (protection & PROT_WRITE) === 0 || (area.file.writable && !area.file.refusesSharedWrites);
}

function checkMremap(address: number, oldLength: number, newLength: number, flags: number, target: number, highest: number): number {
  if ((flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP)) !== 0) return -EINVAL;
  if ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) !== 0 && (flags & MREMAP_MAYMOVE) === 0) return -EINVAL;
  if ((flags & MREMAP_DONTUNMAP) !== 0 && pageRoundUp(oldLength) !== pageRoundUp(newLength)) return -EINVAL;
  if (address % PAGE_SIZE !== 0 || !(newLength > 0) || newLength > highest) return -EINVAL;
  if (!(address + pageRoundUp(oldLength) <= highest)) return -EINVAL;
  if ((flags & MREMAP_FIXED) === 0) return 0;
  if (target % PAGE_SIZE !== 0 || target + pageRoundUp(newLength) > highest) return -EINVAL;
  if (target < LOWEST_ADDRESS) return -EPERM;
  const overlaps = target < address + pageRoundUp(oldLength) && address < target + pageRoundUp(newLength);
  return overlaps ? -EINVAL : 0;
}
