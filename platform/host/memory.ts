/**
 * Memory outside the V8 heap whose address is known, so that host calls can be given pieces of it without copying or pinning.
 *
 * Mappings are anonymous (or a shared file mapping) and never unmapped: a view of unmapped memory would be a stray pointer in
 * JavaScript. Callers allocate for the life of the process or keep a pool.
 */
import { Buffer } from 'node:buffer';
import type { HostFd, HostMemory } from '../contract/host.ts';
import { checked, mmap, viewMemory } from './libc.ts';
import { must } from './errors.ts';

const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MAP_FIXED = 0x10;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const PAGE = 4096;

/** What Buffer's `toString` and `write` call in the end, after having looked up the encoding: less than half their time. */
interface Latin1Buffer extends Buffer {
  latin1Slice(start: number, end: number): string;
  latin1Write(text: string, offset: number): number;
}

export class LinuxMemory implements HostMemory {
  readonly address: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly #buffer: Latin1Buffer;
  #lastOffset = 0;
  #lastAddress: number;

  constructor(address: number, length: number) {
    // SAFETY: `address` starts a mapping of at least `length` bytes that is never unmapped (the two functions below).
    const memory = viewMemory(address, length);
    // First nothing, then a number: V8 then keeps one boxed number here that can be passed on. A field that only ever held numbers is boxed
    // anew, 16 bytes of garbage, each time it becomes the argument of a host call.
    this.address = undefined as unknown as number;
    this.address = address;
    this.#lastAddress = undefined as unknown as number;
    this.#lastAddress = address;
    this.#buffer = Buffer.from(memory) as Latin1Buffer;
    this.bytes = this.#buffer;
    this.view = new DataView(memory);
  }

  /** `address + offset`; staging memory is used from the same offset again and again. */
  addressAt(offset: number): number {
    if (offset !== this.#lastOffset) {
      this.#lastOffset = offset;
      this.#lastAddress = this.address + offset;
    }
    return this.#lastAddress;
  }

  latin1(start: number, end: number): string {
    return this.#buffer.latin1Slice(start, end);
  }

  writeLatin1(text: string, offset: number): number {
    return this.#buffer.latin1Write(text, offset);
  }
}

/** The address of byte `offset`, as an argument of a host call; without garbage if the offset is 0 or the one asked for last. */
export function addressOf(memory: HostMemory, offset: number): number {
  if (offset === 0) return memory.address;
  return memory instanceof LinuxMemory ? memory.addressAt(offset) : memory.address + offset;
}

export function pageAligned(bytes: number): number {
  return Math.ceil(bytes / PAGE) * PAGE;
}

export function allocateMemory(bytes: number): LinuxMemory {
  const length = pageAligned(bytes);
  // SAFETY: a new anonymous mapping at an address of the host's choice touches nothing that exists.
  const address = must('mmap', checked(mmap(0, length, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0)));
  return new LinuxMemory(address, length);
}

/** Replaces what lies in `memory` by `fd` from `offset` on, or by zeros. 0 or -errno (then zeros). */
export function showFile(memory: HostMemory, fd: HostFd, offset: number): number {
  const { length } = memory.bytes;
  let error = 0;
  if (fd >= 0) {
    // SAFETY: the range is a mapping that `allocateMemory` made and nobody else uses; it stays mapped. The file may become shorter: callers
    // do not touch what lies beyond its end.
    const shown = checked(mmap(memory.address, length, PROT_READ_WRITE, MAP_SHARED | MAP_FIXED, fd, offset));
    if (shown >= 0) return 0;
    error = shown;
  }
  // SAFETY: as above. A range that could not be mapped again would be a hole under a view: that ends the process.
  must('mmap', checked(mmap(memory.address, length, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS | MAP_FIXED, -1, 0)));
  return error;
}

export function mapSharedMemory(fd: HostFd, offset: number, length: number): LinuxMemory | number {
  // SAFETY: as above; the file may be shortened by its owner, which the callers exclude (they map memfds they own).
  const address = checked(mmap(0, pageAligned(length), PROT_READ_WRITE, MAP_SHARED, fd, offset));
  return address < 0 ? address : new LinuxMemory(address, pageAligned(length));
}
