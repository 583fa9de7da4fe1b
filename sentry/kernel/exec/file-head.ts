/**
 * The beginning of a file that is to be executed, read at once, and whatever else of it turns out to be needed: for telling what it is. The
 * bytes are the file's at the moment of reading; each is looked at once.
 */
import { ENOEXEC } from '#sentry/abi/errno.ts';
import { PAGE_SIZE } from '#sentry/abi/mman.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import { KernelIo } from '../../mm/io.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import type { Caller } from '../../vfs/inode.ts';

const HEAD_SIZE = PAGE_SIZE;

export class FileHead {
  /** Bytes [0, length) are the beginning of the file. */
  readonly memory: HostMemory;
  length = 0;
  private readonly file: FileDescription;
  private readonly caller: Caller;

  /** Uses `scratch` from its start on. */
  constructor(file: FileDescription, scratch: HostMemory, caller: Caller) {
    this.file = file;
    this.memory = scratch;
    this.caller = caller;
  }

  /** Reads the beginning. 0 or -errno. */
  fetch(): number {
    const got = this.read(0, 0, HEAD_SIZE);
    this.length = Math.max(0, got);
    return Math.min(0, got);
  }

  /** Where in `memory` the `length` bytes at `position` of the file are: -ENOEXEC when the file is shorter, another -errno when it cannot be read. */
  find(position: number, length: number): number {
    if (position + length <= this.length) return position;
    const got = this.read(position, HEAD_SIZE, length);
    return got < 0 ? got : got < length ? -ENOEXEC : HEAD_SIZE;
  }

  private read(position: number, offset: number, length: number): number {
    const io = new KernelIo(this.memory, offset, length);
    while (io.remaining > 0) {
      const got = this.file.read(io, position + length - io.remaining, this.caller);
      if (got < 0) return got;
      if (got === 0) break;
    }
    return length - io.remaining;
  }
}
