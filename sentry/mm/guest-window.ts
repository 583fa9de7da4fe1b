/**
 * A copy of a stretch of guest memory, for reading many small things that lie close together, such as the arguments of execve: one copy from
 * the guest instead of one for each pointer and each string.
 *
 * What is near is copied with what is asked for; what turns out not to lie within is read by itself. The copy is as old as the window, so a
 * window is made for one system call.
 */
import { EFAULT } from '#sentry/abi/errno.ts';
import { PAGE_SIZE, pageRoundDown } from '#sentry/abi/mman.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import type { UserMemory } from './user-memory.ts';

const COPIED = 4 * PAGE_SIZE;
/** Bytes of the buffer that a window takes: the copy, and a terminator behind it. */
export const WINDOW_SIZE = COPIED + 8;

export class GuestWindow {
  private readonly memory: UserMemory;
  private readonly buffer: HostMemory;
  private readonly offset: number;
  /** Guest addresses that the copy holds: [start, end). */
  private start = 0;
  private end = 0;

  /** The copy occupies WINDOW_SIZE bytes of `buffer` from `offset` on. */
  constructor(memory: UserMemory, buffer: HostMemory, offset: number) {
    this.memory = memory;
    this.buffer = buffer;
    this.offset = offset;
  }

  /** The 64-bit word at `address` as a double, or -1 when inaccessible. */
  loadU64(address: number): number {
    const at = this.find(address);
    if (at < 0) return -1;
    if (address + 8 > this.end) return this.memory.loadU64(address);
    const { view } = this.buffer;
    return view.getUint32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true);
  }

  /** As `UserMemory.readString`. */
  readString(address: number, limit: number): string | number {
    const at = this.find(address);
    if (at < 0) return -EFAULT;
    const terminator = this.buffer.bytes.indexOf(0, at);
    if (terminator >= Math.min(this.offset + (this.end - this.start), at + limit)) return this.memory.readString(address, limit);
    return this.buffer.latin1(at, terminator);
  }

  /** Where the byte at `address` lies in the buffer, or -EFAULT. */
  private find(address: number): number {
    if (!(address >= this.start && address < this.end)) {
      this.start = pageRoundDown(address);
      this.end = this.start + this.memory.copyInPartial(this.start, this.buffer, this.offset, COPIED);
      this.buffer.bytes[this.offset + (this.end - this.start)] = 0;
      if (!(address < this.end)) {
        this.end = this.start;
        return -EFAULT;
      }
    }
    return this.offset + (address - this.start);
  }
}
