/**
 * The ordered set of the areas of an address space (the tree of a Linux mm).
 *
 * It is a sorted array: a guest has tens to a few thousand areas, and binary search plus a short memmove beats a tree of objects at that
 * size. Areas never overlap. Neighbours that could be one area are merged, so that /proc/PID/maps reads as on Linux.
 *
 * fork shares the array until one of the two address spaces changes (`own`): most children call execve or exit soon, and then nothing has
 * been copied and nothing is taken apart. The array holds one reference to each mapped file, however many share it.
 */
import type { MappedFile } from './mapped-file.ts';
import { DONTFORK, Vma, committedIn, isPrivateData, noteMapping } from './vma.ts';
import type { SharedMemory } from './vma.ts';

interface Store {
  readonly areas: Vma[];
  /** Sets that share it. */
  users: number;
}

export class VmaSet {
  /** Sum of the lengths, for RLIMIT_AS and /proc/PID/statm. */
  totalBytes = 0;
  /** Sum of private writable areas but the stack, for RLIMIT_DATA. */
  dataBytes = 0;
  /** Sum of what counts against the sandbox's memory budget. */
  committedBytes = 0;
  /** Stands for the process whose calls change it: shared memory segments remember it. A child's areas come by a call of its parent. */
  owner = 0;
  private store: Store = { areas: [], users: 1 };

  get all(): readonly Readonly<Vma>[] {
    return this.store.areas;
  }

  /** Index of the first area that ends above `address`. */
  indexAbove(address: number): number {
    const { areas } = this.store;
    let low = 0;
    let high = areas.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (areas[middle]!.end > address) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  at(index: number): Readonly<Vma> | undefined {
    return this.store.areas[index];
  }

  /** The area that contains `address`. */
  find(address: number): Readonly<Vma> | undefined {
    const area = this.store.areas[this.indexAbove(address)];
    return area !== undefined && area.start <= address ? area : undefined;
  }

  /** Whether nothing is mapped in [start, end). */
  isFree(start: number, end: number): boolean {
    const area = this.store.areas[this.indexAbove(start)];
    return area === undefined || area.start >= end;
  }

  /** Whether every byte of [start, end) is mapped. */
  covers(start: number, end: number): boolean {
    const { areas } = this.store;
    let expected = start;
    for (let i = this.indexAbove(start); expected < end; i++) {
      const area = areas[i];
      if (area === undefined || area.start > expected) return false;
      expected = area.end;
    }
    return true;
  }

  /** The set of a child process: areas it shall not inherit are missing, and none is locked. */
  fork(): VmaSet {
    const copy = new VmaSet();
    copy.owner = this.owner;
    const { areas } = this.store;
    for (let i = 0; i < areas.length; i++) {
      const area = areas[i]!;
      if (area.forkAdvice === DONTFORK || area.locked || area.file?.countsAreas === true) return this.forkOneByOne(copy);
    }
    copy.store = this.store;
    copy.store.users++;
    copy.totalBytes = this.totalBytes;
    copy.dataBytes = this.dataBytes;
    copy.committedBytes = this.committedBytes;
    return copy;
  }

  private forkOneByOne(copy: VmaSet): VmaSet {
    for (const area of this.store.areas) {
      if (area.forkAdvice === DONTFORK) continue;
      const inherited = area.piece(area.start, area.end);
      inherited.locked = false;
      inherited.file?.acquire();
      copy.insert(inherited);
    }
    return copy;
  }

  /** Adds an area to free address space, with the reference to its file, and merges it with its neighbours. */
  insert(vma: Vma): void {
    const areas = this.own();
    const index = this.indexAbove(vma.start);
    areas.splice(index, 0, vma);
    noteMapping(vma, 1, this.owner);
    this.count(vma, 1);
    this.mergeWithPrevious(areas, index + 1);
    this.mergeWithPrevious(areas, index);
  }

  /**
   * Adds [start, end), which is free, as an area with these properties and takes a reference to `file`. What goes on where its neighbour below
   * ends makes that one longer: a heap that grows costs no object.
   */
  add(
    start: number,
    end: number,
    protection: number,
    flags: number,
    file: MappedFile | null,
    offset: number,
    name: string,
    shared: SharedMemory | null,
    locked: boolean,
  ): void {
    const areas = this.own();
    const index = this.indexAbove(start);
    const below = index > 0 ? areas[index - 1]! : null;
    // Compared here as `continuesIn` would; shared and file mappings are rarely adjacent and go the general way.
    if (
      below !== null &&
      file === null &&
      shared === null &&
      below.end === start &&
      below.file === null &&
      below.shared === null &&
      below.protection === protection &&
      below.flags === flags &&
      below.name === name &&
      below.forkAdvice === 0 &&
      below.locked === locked
    ) {
      this.count(below, -1);
      below.end = end;
      this.count(below, 1);
      this.mergeWithPrevious(areas, index);
      return;
    }
    const area = new Vma(start, end, protection, flags, file, offset, name, shared);
    area.locked = locked;
    file?.acquire();
    this.insert(area);
  }

  /** Removes everything in [start, end), splitting at the edges. References to files are given up. */
  remove(start: number, end: number): void {
    if (this.isFree(start, end)) return;
    const areas = this.own();
    const from = this.splitAt(areas, start);
    const to = this.splitAt(areas, end);
    for (let i = from; i < to; i++) {
      const area = areas[i]!;
      this.count(area, -1);
      giveUp(area, this.owner);
    }
    areas.splice(from, to - from);
  }

  /** Gives every area of [start, end) another protection. */
  protect(start: number, end: number, protection: number): void {
    this.update(start, end, (area) => {
      area.protection = protection;
    });
  }

  /** Applies `change`, which leaves the range and the file alone, to every area of [start, end). */
  update(start: number, end: number, change: (vma: Vma) => void): void {
    const areas = this.own();
    const from = this.splitAt(areas, start);
    const to = this.splitAt(areas, end);
    for (let i = from; i < to; i++) {
      const area = areas[i]!;
      this.count(area, -1);
      change(area);
      this.count(area, 1);
    }
    this.mergeBetween(areas, from, to);
  }

  clear(): void {
    const { store } = this;
    if (--store.users === 0) for (const area of store.areas) giveUp(area, this.owner);
    this.store = { areas: [], users: 1 };
    this.totalBytes = 0;
    this.committedBytes = 0;
    this.dataBytes = 0;
  }

  /** The areas, no longer shared with another address space: whoever changes them comes here first. */
  private own(): Vma[] {
    const { store } = this;
    if (store.users === 1) return store.areas;
    store.users--;
    const areas: Vma[] = [];
    for (const area of store.areas) {
      area.file?.acquire();
      noteMapping(area, 1, this.owner);
      areas.push(area.piece(area.start, area.end));
    }
    this.store = { areas, users: 1 };
    return areas;
  }

  /** Cuts areas so that `address` is a boundary; the index of the first area that starts at or above it. */
  private splitAt(areas: Vma[], address: number): number {
    const index = this.indexAbove(address);
    const area = areas[index];
    if (area === undefined || area.start >= address) return index;
    const upper = area.piece(address, area.end);
    upper.file?.acquire();
    noteMapping(upper, 1, this.owner);
    // The stack counts for less than its length, so the sums need not add up by themselves.
    this.count(area, -1);
    area.end = address;
    this.count(area, 1);
    this.count(upper, 1);
    areas.splice(index + 1, 0, upper);
    return index + 1;
  }

  /** Adds an area to the sums, or takes it out. */
  private count(area: Vma, sign: 1 | -1): void {
    const size = sign * (area.end - area.start);
    this.totalBytes += size;
    this.committedBytes += sign * committedIn(area);
    if (isPrivateData(area)) this.dataBytes += size;
  }

  /** Merges what can be, from the area before index `from` to the one at `to`. */
  private mergeBetween(areas: Vma[], from: number, to: number): void {
    for (let i = Math.min(to, areas.length - 1); i >= from; i--) this.mergeWithPrevious(areas, i);
  }

  private mergeWithPrevious(areas: Vma[], index: number): void {
    if (index <= 0 || index >= areas.length) return;
    const low = areas[index - 1]!;
    const high = areas[index]!;
    if (!low.continuesIn(high)) return;
    this.count(low, -1);
    this.count(high, -1);
    low.end = high.end;
    this.count(low, 1);
    giveUp(high, this.owner);
    areas.splice(index, 1);
  }
}

function giveUp(area: Vma, owner: number): void {
  noteMapping(area, -1, owner);
  area.file?.release();
}
