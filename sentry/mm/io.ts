/**
 * Where the bytes of a read go and those of a write come from, whatever lies behind: guest memory given by one buffer or an iovec, or
 * a buffer of the sentry (sendfile, the ELF loader).
 *
 * File implementations see only `Io`. They move bytes through host memory:
 *
 *     const n = host.pread(fd, scratch, 0, Math.min(io.remaining, SCRATCH_SIZE), position);
 *     const moved = io.put(scratch, 0, n);       // advances; -EFAULT only when not one byte could be moved
 */
import { EFAULT, ENOSYS } from '#sentry/abi/errno.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import type { GuestPieces } from '#platform/contract/platform.ts';

export interface Io {
  /** Bytes not yet moved. */
  readonly remaining: number;
  /** Moves `length` (≤ remaining) bytes from sentry memory into the destination. Returns bytes moved, -EFAULT if none could be. */
  put(memory: HostMemory, offset: number, length: number): number;
  /** Moves `length` (≤ remaining) bytes from the source into sentry memory. */
  take(memory: HostMemory, offset: number, length: number): number;
  /** Skips `length` bytes as if they had been moved. */
  skip(length: number): void;
  /** The last `length` bytes moved are as if they had not been: they could be taken, but not be passed on. Missing where that cannot happen. */
  giveBack?(length: number): void;
}

/** What `UserIo` needs of guest memory; `UserMemory` has it. */
export interface GuestBytes {
  copyInPartial(address: number, memory: HostMemory, offset: number, length: number): number;
  copyOutPartial(address: number, memory: HostMemory, offset: number, length: number): number;
  /** -ENOSYS: one piece after the other is the way. */
  copyInPieces(pieces: GuestPieces, memory: HostMemory, offset: number, length: number): number;
  copyOutPieces(pieces: GuestPieces, memory: HostMemory, offset: number, length: number): number;
}

/** At most this many segments in one readv or writev (UIO_MAXIOV). */
export const IOV_MAX = 1024;
/** Room for so many at first: every task has a `UserIo`, and few ever move more pieces. */
const FIRST_PIECES = 8;

/** Guest memory as an `Io`. One object serves a task for ever: `begin`, then `segment` for each buffer. */
export class UserIo implements Io, GuestPieces {
  remaining = 0;
  private memory: GuestBytes | null = null;
  // The pieces, and how far we are.
  addresses: Float64Array = new Float64Array(FIRST_PIECES);
  lengths: Float64Array = new Float64Array(FIRST_PIECES);
  private count = 0;
  current = 0;
  done = 0;
  /** The address of the first piece once more, as it was given to us: what is read from `addresses` would be boxed anew to be passed on. */
  private readonly first: { address: unknown } = { address: null };

  /** One buffer. */
  single(memory: GuestBytes, address: number, length: number): this {
    this.begin(memory);
    this.segment(address, length);
    return this;
  }

  begin(memory: GuestBytes): void {
    this.memory = memory;
    this.count = 0;
    this.current = 0;
    this.done = 0;
    this.remaining = 0;
  }

  /** The segments of `other`, nothing of which has been moved, over `memory` instead. */
  takeOver(other: UserIo, memory: GuestBytes): void {
    this.begin(memory);
    for (let i = 0; i < other.count; i++) this.segment(other.addresses[i]!, other.lengths[i]!);
  }

  segment(address: number, length: number): void {
    if (this.count === 0) this.first.address = address;
    else if (this.count === this.addresses.length) this.grow();
    this.addresses[this.count] = address;
    this.lengths[this.count] = length;
    this.count++;
    this.remaining += length;
  }

  private grow(): void {
    const { addresses, lengths } = this;
    this.addresses = new Float64Array(addresses.length * 2);
    this.lengths = new Float64Array(lengths.length * 2);
    this.addresses.set(addresses);
    this.lengths.set(lengths);
  }

  put(memory: HostMemory, offset: number, length: number): number {
    const { current } = this;
    if (length > this.lengths[current]! - this.done) return this.putPieces(memory, offset, length);
    if (length === 0) return 0;
    const moved = this.memory!.copyOutPartial(this.here(), memory, offset, length);
    if (moved === 0) return -EFAULT;
    this.advance(moved);
    return moved;
  }

  take(memory: HostMemory, offset: number, length: number): number {
    const { current } = this;
    if (length > this.lengths[current]! - this.done) return this.takePieces(memory, offset, length);
    if (length === 0) return 0;
    const moved = this.memory!.copyInPartial(this.here(), memory, offset, length);
    if (moved === 0) return -EFAULT;
    this.advance(moved);
    return moved;
  }

  /** The guest address we are at. */
  private here(): number {
    if (this.current === 0 && this.done === 0) return this.first.address as number;
    return this.addresses[this.current]! + this.done;
  }

  private putPieces(memory: HostMemory, offset: number, length: number): number {
    const moved = this.memory!.copyOutPieces(this, memory, offset, length);
    return moved === -ENOSYS ? this.move(memory, offset, length, 'out') : this.moved(moved);
  }

  private takePieces(memory: HostMemory, offset: number, length: number): number {
    const moved = this.memory!.copyInPieces(this, memory, offset, length);
    return moved === -ENOSYS ? this.move(memory, offset, length, 'in') : this.moved(moved);
  }

  private moved(bytes: number): number {
    this.skip(bytes);
    return bytes === 0 ? -EFAULT : bytes;
  }

  skip(length: number): void {
    let left = length;
    while (left > 0 && this.current < this.count) left -= this.advance(Math.min(left, this.lengths[this.current]! - this.done));
  }

  giveBack(length: number): void {
    this.remaining += length;
    let left = length;
    while (left > 0) {
      if (this.done === 0) this.done = this.lengths[--this.current]!;
      const n = Math.min(left, this.done);
      this.done -= n;
      left -= n;
    }
  }

  private move(host: HostMemory, offset: number, length: number, direction: 'in' | 'out'): number {
    const guest = this.memory!;
    let moved = 0;
    while (moved < length && this.current < this.count) {
      const want = Math.min(length - moved, this.lengths[this.current]! - this.done);
      const address = this.addresses[this.current]! + this.done;
      const got =
        want === 0
          ? 0
          : direction === 'out'
            ? guest.copyOutPartial(address, host, offset + moved, want)
            : guest.copyInPartial(address, host, offset + moved, want);
      this.advance(got);
      moved += got;
      if (got < want) return moved === 0 ? -EFAULT : moved;
    }
    return moved;
  }

  private advance(bytes: number): number {
    this.done += bytes;
    this.remaining -= bytes;
    if (this.done >= this.lengths[this.current]!) {
      this.current++;
      this.done = 0;
    }
    return bytes;
  }
}

/** Sentry memory as an `Io`. */
export class KernelIo implements Io {
  remaining: number;
  private position: number;
  private readonly memory: Pick<HostMemory, 'bytes'>;

  constructor(memory: Pick<HostMemory, 'bytes'>, offset: number, length: number) {
    this.memory = memory;
    this.position = offset;
    this.remaining = length;
  }

  put(memory: HostMemory, offset: number, length: number): number {
    this.memory.bytes.set(memory.bytes.subarray(offset, offset + length), this.position);
    this.skip(length);
    return length;
  }

  take(memory: HostMemory, offset: number, length: number): number {
    memory.bytes.set(this.memory.bytes.subarray(this.position, this.position + length), offset);
    this.skip(length);
    return length;
  }

  skip(length: number): void {
    this.position += length;
    this.remaining -= length;
  }

  giveBack(length: number): void {
    this.skip(-length);
  }
}
