/**
 * A platform for measuring the sentry alone: its only process executes nothing but replays system calls from a script, as fast as the
 * kernel takes them. What is left between two calls is the sentry's own time.
 *
 *     const platform = new ScriptedPlatform(host);
 *     platform.script = { next: (thread) => … };     // fills thread.call, or throws when it is over
 *     kernel.start(init); kernel.run();
 *
 * Guest memory is one flat piece, and a copy to or from it costs a memcpy. What it costs for real is the platform's business; so copies are
 * counted, too.
 */
import { StopKind } from '#platform/contract/platform.ts';
import type { Fault, GuestPieces, GuestSpace, GuestThread, Platform, PlatformLimits } from '#platform/contract/platform.ts';
import type { Host, HostMemory } from '#platform/contract/host.ts';

/** Where the guest's memory begins, high up like a real stack: such an address is no small integer to V8. And how much there is. */
export const GUEST_BASE = 0x7f12_3456_0000;
export const GUEST_SIZE = 0x10_0000;

/** Shorter copies are cheaper in a loop. */
const LOOPED_MAX = 16;

/** Words of `GuestThread.call`. */
export const CALL_WORDS = 14;
const REGISTER_WORDS = 54;
const ENOSYS = 38;

/** Decides what the thread does next. */
export interface Script {
  /** The call in `thread.call` ended with `result`; puts the next one there. */
  next(thread: ScriptedThread, result: number): void;
}

export class ScriptedSpace implements GuestSpace {
  readonly vdso = null;
  readonly memory: HostMemory;
  /** Copies in either direction since the last reset. */
  copies = 0;
  copiedBytes = 0;

  constructor(memory: HostMemory) {
    this.memory = memory;
  }

  read(address: number, memory: HostMemory, offset: number, length: number): number {
    const at = address - GUEST_BASE;
    if (at < 0 || at + length > GUEST_SIZE) return 0;
    this.copies++;
    this.copiedBytes += length;
    copy(this.memory.bytes, at, memory.bytes, offset, length);
    return length;
  }

  write(address: number, memory: HostMemory, offset: number, length: number): number {
    const at = address - GUEST_BASE;
    if (at < 0 || at + length > GUEST_SIZE) return 0;
    this.copies++;
    this.copiedBytes += length;
    copy(memory.bytes, offset, this.memory.bytes, at, length);
    return length;
  }

  readPieces({ addresses, lengths, current, done }: GuestPieces, memory: HostMemory, offset: number, length: number): number {
    let skip = done;
    let moved = 0;
    for (let piece = current; moved < length; piece++) {
      const n = Math.min(lengths[piece]! - skip, length - moved);
      this.read(addresses[piece]! + skip, memory, offset + moved, n);
      if (moved > 0) this.copies--;
      moved += n;
      skip = 0;
    }
    return length;
  }

  writePieces({ addresses, lengths, current, done }: GuestPieces, memory: HostMemory, offset: number, length: number): number {
    let skip = done;
    let moved = 0;
    for (let piece = current; moved < length; piece++) {
      const n = Math.min(lengths[piece]! - skip, length - moved);
      this.write(addresses[piece]! + skip, memory, offset + moved, n);
      if (moved > 0) this.copies--;
      moved += n;
      skip = 0;
    }
    return length;
  }

  compareExchange(_thread: GuestThread, address: number, expected: number, desired: number): number {
    const { view } = this.memory;
    const old = view.getUint32(address - GUEST_BASE, true);
    if (old === expected) view.setUint32(address - GUEST_BASE, desired, true);
    return old;
  }

  kill(): void {}
}

/** Copies without making a view, which would count as an allocation of the sentry's. */
function copy(from: Uint8Array, fromAt: number, to: Uint8Array, toAt: number, length: number): void {
  if (length <= LOOPED_MAX) for (let i = 0; i < length; i++) to[toAt + i] = from[fromAt + i]!;
  else (from as Buffer).copy(to, toAt, fromAt, fromAt + length);
}

/** Fills `GuestThread.call`. */
export function setCall(words: Uint32Array, nr: number, args: readonly number[]): void {
  words.fill(0);
  words[0] = nr;
  for (const [i, value] of args.entries()) {
    words[2 + 2 * i] = value >>> 0;
    words[3 + 2 * i] = Math.floor(value / 0x1_0000_0000) >>> 0;
  }
}

export class ScriptedThread implements GuestThread {
  owner: unknown = null;
  readonly space: ScriptedSpace;
  stop: StopKind = StopKind.Idle;
  readonly call = new Uint32Array(CALL_WORDS);
  readonly fault: Fault = { signo: 0, code: 0, addressLow: 0, addressHigh: 0, trapNumber: 0, errorCode: 0 };
  readonly extendedStateSize = 0;
  private readonly platform: ScriptedPlatform;
  private readonly words = new Uint32Array(REGISTER_WORDS);
  private result = 0;

  constructor(platform: ScriptedPlatform, space: ScriptedSpace) {
    this.platform = platform;
    this.space = space;
  }

  setResult(value: number): void {
    this.result = value;
  }

  resume(): void {
    this.stop = StopKind.Syscall;
    this.platform.script!.next(this, this.result);
    this.platform.add(this);
  }

  registers(): Uint32Array {
    return this.words;
  }
  registersChanged(): void {}
  readExtendedState(): number {
    return 0;
  }
  writeExtendedState(): number {
    return 0;
  }
  interrupt(): void {}
  mmap(): number {
    return 0;
  }
  munmap(): number {
    return 0;
  }
  mprotect(): number {
    return 0;
  }
  mremap(): number {
    return 0;
  }
  madvise(): number {
    return 0;
  }
  msync(): number {
    return 0;
  }
  beginMemoryCalls(): void {}
  endMemoryCalls(): number {
    return 0;
  }
  setAffinity(): void {}
  fork(): number {
    return -ENOSYS;
  }
  spawn(): ScriptedThread {
    return new ScriptedThread(this.platform, this.space);
  }
  release(): void {}
}

export class ScriptedPlatform implements Platform {
  readonly name = 'scripted';
  readonly limits: PlatformLimits = { lowestAddress: 0x1_0000, highestAddress: 0x7fff_ffff_f000 };
  script: Script | null = null;
  /** Threads at a call, in the order in which they came: two at most. */
  private first: ScriptedThread | null = null;
  private second: ScriptedThread | null = null;
  readonly space: ScriptedSpace;

  constructor(host: Host) {
    this.space = new ScriptedSpace(host.allocate(GUEST_SIZE));
  }

  createSpace(): ScriptedThread {
    return new ScriptedThread(this, this.space);
  }

  wait(): ScriptedThread | null {
    const thread = this.first;
    if (thread === null) throw new Error('the script waits for something that cannot happen');
    this.first = this.second;
    this.second = null;
    return thread;
  }

  add(thread: ScriptedThread): void {
    if (this.first === null) this.first = thread;
    else this.second = thread;
  }

  destroy(): void {}
}
