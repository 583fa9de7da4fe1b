/**
 * A guest address space (Linux mm_struct): which areas exist, and the program's layout with its break.
 *
 * The sentry decides every address and keeps the areas; a thread of the guest's own host process carries each change out
 * (`GuestThread.mmap` and kin), so page faults, copy-on-write and shared mappings run at the host's speed and never come here. The host is
 * asked first: the areas change only after it agreed, so the two views cannot drift apart. Each call asks it once, and reads nothing that
 * the change brings about: a platform may carry it out later, on the way back to the guest.
 *
 * Who is where: vma-set.ts the areas, free-ranges.ts the choice of addresses, mmap-checks.ts what is refused, host-mapping.ts what the host
 * maps, remap.ts mremap(2).
 *
 * Spec: mmap(2), munmap(2), mprotect(2), brk(2); Linux mm/mmap.c.
 */
import { EACCES, EINVAL, ENOMEM } from '#sentry/abi/errno.ts';
import { MAP_LOCKED, MAP_POPULATE, MAP_PRIVATE, MAP_SHARED, PAGE_SIZE, PROT_READ, PROT_WRITE, pageRoundUp } from '#sentry/abi/mman.ts';
import type { GuestSpace, GuestThread, PlatformLimits } from '#platform/contract/platform.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import { MEMORY_AREAS_MAX } from '../limits.ts';
import { FreeRanges } from './free-ranges.ts';
import { mapOnHost } from './host-mapping.ts';
import type { MappedFile } from './mapped-file.ts';
import type { MemoryBudget } from './memory-budget.ts';
import { checkMmap, flagsOfArea, isData, mayCommit, mayProtect } from './mmap-checks.ts';
import { UserMemory } from './user-memory.ts';
import { VmaSet } from './vma-set.ts';
import { committedIn } from './vma.ts';
import type { Vma } from './vma.ts';

/** Linux vm.max_map_count. */
const AREAS_MAX = 65530;

let nextSharedId = 1;

/** Limits that depend on the process: RLIMIT_AS, RLIMIT_DATA in bytes, Infinity for none. */
export interface MemoryLimits {
  readonly addressSpace: number;
  readonly data: number;
}

export class AddressSpace {
  readonly memory: UserMemory;
  readonly space: GuestSpace;
  readonly areas: VmaSet;
  readonly free: FreeRanges;
  readonly limits: PlatformLimits;
  readonly budget: MemoryBudget;

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
  /** What `areas` have been charged for. */
  private charged = 0;
  private chargedAreas = 0;
  /** Areas of all address spaces. */
  private static areasInAll = 0;

  constructor(space: GuestSpace, limits: PlatformLimits, cell: HostMemory, budget: MemoryBudget, areas = new VmaSet()) {
    this.budget = budget;
    this.space = space;
    this.limits = limits;
    this.cell = cell;
    this.memory = new UserMemory(space, limits.highestAddress, cell);
    this.areas = areas;
    this.free = new FreeRanges(areas, limits.highestAddress);
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

  /** The same areas over a copy of the host process (fork). */
  fork(space: GuestSpace): AddressSpace {
    const copy = new AddressSpace(space, this.limits, this.cell, this.budget, this.areas.fork());
    copy.settle();
    copy.free.copyFrom(this.free);
    copy.brkStart = this.brkStart;
    copy.brk = this.brk;
    copy.codeStart = this.codeStart;
    copy.codeEnd = this.codeEnd;
    copy.dataStart = this.dataStart;
    copy.dataEnd = this.dataEnd;
    copy.stackStart = this.stackStart;
    copy.argStart = this.argStart;
    copy.argEnd = this.argEnd;
    copy.envStart = this.envStart;
    copy.envEnd = this.envEnd;
    copy.dumpable = this.dumpable;
    copy.auxv = this.auxv;
    copy.executable = this.executable;
    copy.executable?.acquire();
    return copy;
  }

  /** Whether the budget allows a copy of all of this (fork). */
  get mayFork(): boolean {
    return AddressSpace.areasInAll + this.areas.all.length <= MEMORY_AREAS_MAX && this.budget.fits(this.areas.committedBytes);
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
    const address = this.free.place(hint, size, flags);
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
    const kept = flagsOfArea(flags, file);
    const result = mapOnHost(thread, address, size, protection, kept | (flags & MAP_POPULATE), file, offset);
    if (result < 0) return result;
    const end = address + size;
    const memory = (kept & MAP_SHARED) !== 0 && file === null ? { id: nextSharedId++ } : null;
    const locked = (flags & MAP_LOCKED) !== 0 || this.lockFuture;
    this.forget(address, end);
    this.areas.add(address, end, protection, kept, file, file === null ? 0 : offset, name, memory, locked);
    this.settle();
    return address;
  }

  /** Notes an area that exists on the host already: the vDSO. */
  adopt(start: number, end: number, protection: number, name: string): void {
    this.areas.add(start, end, protection, MAP_PRIVATE, null, 0, name, null, false);
  }

  /** Notes that `area` came to be on the host as a copy of another, replacing what was there. */
  noteCopy(area: Vma): void {
    area.file?.acquire();
    this.forget(area.start, area.end);
    this.areas.insert(area);
    this.settle();
  }

  /** Notes that [start, end) is gone on the host. What moved is noted at its new place first: a file may go with its last area. */
  noteGone(start: number, end: number): void {
    this.forget(start, end);
    this.settle();
  }

  /** munmap(2). */
  munmap(thread: GuestThread, address: number, length: number): number {
    if (address % PAGE_SIZE !== 0 || !(length > 0)) return -EINVAL;
    const end = address + pageRoundUp(length);
    if (end > this.limits.highestAddress) return -EINVAL;
    if (this.areas.isFree(address, end)) return 0;
    const result = thread.munmap(address, end - address);
    if (result < 0) return result;
    this.noteGone(address, end);
    return 0;
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

  private protect(thread: GuestThread, start: number, end: number, protection: number, result: number): number {
    if (end <= start) return result;
    if ((protection & PROT_WRITE) !== 0 && !this.budget.fits(this.uncommitted(start, end))) return -ENOMEM;
    const done = thread.mprotect(start, end - start, protection);
    if (done < 0) return done;
    this.areas.protect(start, end, protection);
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

  /** A key under which futexes of shared memory are one; null for private memory (the key is this address space and the address). */
  futexKey(address: number): string | null {
    const area = this.areas.find(address);
    if (area === undefined || (area.flags & MAP_SHARED) === 0) return null;
    const offset = area.offset + (address - area.start);
    if (area.shared !== null) return `s${area.shared.id}:${offset}`;
    if (area.file === null) return null;
    return `f${area.file.inode.fileSystem.device}:${area.file.inode.ino}:${offset}`;
  }

  /** [start, end) is gone on the host. `settle` is to follow. */
  forget(start: number, end: number): void {
    this.areas.remove(start, end);
    this.free.freed(end);
  }

  /** Brings the budget up to date after a change of the areas. */
  private settle(): void {
    const { committedBytes } = this.areas;
    this.budget.charge(committedBytes - this.charged);
    this.charged = committedBytes;
    const count = this.areas.all.length;
    AddressSpace.areasInAll += count - this.chargedAreas;
    this.chargedAreas = count;
    this.space.areas = count;
  }
}
