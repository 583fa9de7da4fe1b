/**
 * Virtual memory areas (Linux vm_area_struct): what one is, when two are one, and what it counts for. Their ordered set is in vma-set.ts.
 */
import { MAP_SHARED, PROT_WRITE } from '#sentry/abi/mman.ts';
import type { MappedFile } from './mapped-file.ts';

/** Anonymous shared memory has an identity of its own: futexes in it are the same futex in every process that inherited it. */
export interface SharedMemory {
  readonly id: number;
}

/** `Vma.forkAdvice`: MADV_DONTFORK. */
export const DONTFORK = 10;

/**
 * In `Vma.flags`, beside MAP_*: a shared mapping of a file that was not open for writing, or sealed against it, when it was mapped. It never
 * becomes writable (Linux: VM_SHARED without VM_MAYWRITE), and the host has it as a private mapping; see host-mapping.ts.
 */
export const NEVER_WRITABLE = 0x4000_0000;

/** An area. Only `VmaSet` changes one: it may belong to several address spaces. */
export class Vma {
  start: number;
  /** Exclusive. */
  end: number;
  protection: number;
  /** MAP_SHARED or MAP_PRIVATE, with MAP_NORESERVE, MAP_GROWSDOWN, MAP_STACK as given, and NEVER_WRITABLE. */
  flags: number;
  /** The mapped file, holding a reference, or null. */
  file: MappedFile | null;
  /** Offset in the file (or in the shared memory) of `start`. */
  offset: number;
  /** `[heap]`, `[stack]`, `[vdso]`, `[vvar]`, or a name given by prctl(PR_SET_VMA); '' for none. */
  name: string;
  shared: SharedMemory | null;
  /** 0 or DONTFORK. */
  forkAdvice = 0;
  locked = false;

  constructor(
    start: number,
    end: number,
    protection: number,
    flags: number,
    file: MappedFile | null,
    offset: number,
    name: string,
    shared: SharedMemory | null,
  ) {
    this.start = start;
    this.end = end;
    this.protection = protection;
    this.flags = flags;
    this.file = file;
    this.offset = offset;
    this.name = name;
    this.shared = shared;
  }

  /** What [start, end) would be if all of it were mapped as this is. Takes no reference to the file. */
  piece(start: number, end: number): Vma {
    const offset = this.offset + (start - this.start);
    return this.at(start, end, offset);
  }

  /** The same from `offset` on at other addresses. Takes no reference to the file. */
  at(start: number, end: number, offset: number): Vma {
    const piece = new Vma(start, end, this.protection, this.flags, this.file, offset, this.name, this.shared);
    piece.forkAdvice = this.forkAdvice;
    piece.locked = this.locked;
    return piece;
  }

  /** Whether `high` goes on where this ends. */
  continuesIn(high: Vma): boolean {
    return (
      this.end === high.start &&
      this.protection === high.protection &&
      this.flags === high.flags &&
      this.file === high.file &&
      this.name === high.name &&
      this.shared === high.shared &&
      this.forkAdvice === high.forkAdvice &&
      this.locked === high.locked &&
      this.file?.countsAreas !== true &&
      ((this.file === null && (this.flags & MAP_SHARED) === 0) || this.offset + (this.end - this.start) === high.offset)
    );
  }
}

/** A mapping of a file came (1) or went (-1) by a call of process `pid`: tells files that count those that could be written to, or all. */
export function noteMapping({ file, flags }: Vma, change: 1 | -1, pid: number): void {
  if (file === null) return;
  if ((flags & (MAP_SHARED | NEVER_WRITABLE)) === MAP_SHARED) file.noteSharedMapping(change);
  if (file.countsAreas === true) file.noteArea!(change, pid);
}

/** Whether RLIMIT_DATA counts it. */
export function isPrivateData({ flags, protection, name }: Vma): boolean {
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
