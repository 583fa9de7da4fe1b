/**
 * A guest address space: one host process and its threads.
 *
 * Guest memory is read and written with process_vm_readv and process_vm_writev, which honour page protection and stop exactly at
 * the first inaccessible page.
 *
 * Slots of threads lie at CONTEXT_BASE, one place for each index. A place whose thread has ended stays mapped and is used again. The first
 * thread of the process is never ended, since the process would then have no name: it waits in `idle`, as a few others do.
 */
import type { GuestPieces, GuestSpace, GuestThread } from '../contract/platform.ts';
import type { HostMemory } from '../contract/host.ts';
import * as process from '../host/process.ts';
import { readRemotePieces, writeRemotePieces } from '../host/remote-pieces.ts';
import { SLOT_SIZE } from '../stub/context-layout.ts';
import { CONTEXT_BASE, CONTEXT_END, GUEST_END } from '../stub/layout.ts';
import type { Context } from './context.ts';
import type { SeccompPlatform } from './platform.ts';
import type { SeccompThread } from './guest-thread.ts';
import { SpacePatches } from './patching/patcher.ts';
import type { VdsoPlace } from '../stub/layout.ts';

export const SLOTS_MAX = (CONTEXT_END - CONTEXT_BASE) / SLOT_SIZE;

/** A third of what Linux lets a process have (vm.max_map_count): the host may need more mappings than the kernel has areas. */
const DEFERRED_AREAS_MAX = 20_000;

/** A slot mapped in the process that no thread uses. */
export interface FreeSlot {
  readonly context: Context;
  readonly address: number;
}

export class SeccompSpace implements GuestSpace {
  readonly platform: SeccompPlatform;
  /** The host process; 0 until its first sign of life. */
  pid = 0;
  readonly vdso: VdsoPlace | null;
  readonly threads = new Set<SeccompThread>();
  /** Host threads without a guest thread, waiting in the handler. */
  readonly idle: SeccompThread[] = [];
  readonly freeSlots: FreeSlot[] = [];
  /** Every slot that is or was mapped in the process: returned when the process has ended. */
  readonly contexts: Context[] = [];
  /** The lowest index that was never used; a fork begins at its parent's. */
  nextIndex: number;
  readonly #firstIndex: number;
  /** The thread whose slot holds memory calls that are yet to be made. */
  deferring: SeccompThread | null = null;
  areas = 0;
  /** The process was told to end or has ended: it reads and writes nothing any more. */
  ended = false;

  /** CPU time that the process had used before it came to this guest. */
  #cpuTimeBefore = 0;
  /** Once the process was reaped. */
  #cpuTimeAtEnd: number | null = null;

  readonly patches: SpacePatches;

  /** `patches`: what is known of the space it is a copy of. */
  constructor(platform: SeccompPlatform, vdso: SeccompSpace['vdso'], slotAddress: number, patches: SpacePatches | null) {
    this.platform = platform;
    this.patches = patches === null ? new SpacePatches() : patches.copy();
    this.vdso = vdso;
    this.#firstIndex = (slotAddress - CONTEXT_BASE) / SLOT_SIZE;
    this.nextIndex = (this.#firstIndex + 1) % SLOTS_MAX;
  }

  /** As `read`; stops behind the NUL of a string that came along with the call being served. */
  readString(address: number, memory: HostMemory, offset: number, length: number): number {
    const carried = this.platform.patchedCalls.serving(this)?.posted.carriedString(address, memory, offset, length) ?? -1;
    return carried >= 0 ? carried : this.read(address, memory, offset, length);
  }

  /** A host that seals its vDSO left it among the guest's memory, and refuses to change it. */
  get holdsForeign(): boolean {
    return this.vdso !== null && this.vdso.vvar.start < GUEST_END;
  }

  /**
   * Whether a memory call may be put off until its thread goes on. Not where another thread could depend on it, and not with so many areas
   * that the host may run out of mappings: then its answer is needed.
   */
  mayDefer(): boolean {
    return this.threads.size === 1 && this.areas < DEFERRED_AREAS_MAX && !this.holdsForeign;
  }

  mayDeferAdvice(): boolean {
    return !this.holdsForeign;
  }

  /** Where a new thread's slot may lie, or 0 when there is no more room. */
  nextSlotAddress(): number {
    if (this.nextIndex === this.#firstIndex) return 0;
    const address = CONTEXT_BASE + this.nextIndex * SLOT_SIZE;
    this.nextIndex = (this.nextIndex + 1) % SLOTS_MAX;
    return address;
  }

  read(address: number, memory: HostMemory, offset: number, length: number): number {
    if (!fits(memory, offset, length)) throw new RangeError('guest read: range outside of the host memory');
    if (length === 0 || this.ended) return 0;
    const caller = this.platform.patchedCalls.serving(this);
    if (caller !== null) {
      if (caller.posted.carried(address, memory, offset, length)) return length;
      caller.deliver();
    }
    this.deferring?.performDeferred();
    const result = process.readRemote(this.pid, address, memory, offset, length);
    return result < 0 ? 0 : result;
  }

  write(address: number, memory: HostMemory, offset: number, length: number): number {
    if (!fits(memory, offset, length)) throw new RangeError('guest write: range outside of the host memory');
    if (length === 0 || this.ended) return 0;
    const caller = this.platform.patchedCalls.serving(this);
    if (caller !== null) {
      if (caller.posted.bring(address, memory, offset, length)) return length;
      caller.deliver();
    }
    this.deferring?.performDeferred();
    const result = process.writeRemote(this.pid, address, memory, offset, length);
    return result < 0 ? 0 : result;
  }

  readPieces(pieces: GuestPieces, memory: HostMemory, offset: number, length: number): number {
    if (this.ended) return 0;
    this.platform.patchedCalls.serving(this)?.deliver();
    this.deferring?.performDeferred();
    return readRemotePieces(this.pid, pieces, memory, offset, length);
  }

  writePieces(pieces: GuestPieces, memory: HostMemory, offset: number, length: number): number {
    if (this.ended) return 0;
    this.platform.patchedCalls.serving(this)?.deliver();
    this.deferring?.performDeferred();
    return writeRemotePieces(this.pid, pieces, memory, offset, length);
  }

  compareExchange(thread: GuestThread, address: number, expected: number, desired: number): number {
    return (thread as SeccompThread).compareExchange(address, expected, desired);
  }

  cpuTimeNs(): number {
    return this.ended ? 0 : (this.#cpuTimeAtEnd ?? process.cpuTimeNs(this.pid)) - this.#cpuTimeBefore;
  }

  /** The process has ended by itself, or at the hands of the host, after `cpuTimeNs`; its number may be another's from now on. */
  reaped(cpuTimeNs: number): void {
    this.#cpuTimeAtEnd = cpuTimeNs;
  }

  /** Takes over the process of a space that has ended. */
  takeOver(old: SeccompSpace): void {
    this.pid = old.pid;
    this.contexts.push(...old.contexts);
    this.freeSlots.push(...old.freeSlots);
    this.nextIndex = old.nextIndex;
    this.#cpuTimeBefore = process.cpuTimeNs(this.pid);
  }

  kill(): void {
    this.platform.processes.kill(this);
  }
}

function fits(memory: HostMemory, offset: number, length: number): boolean {
  return offset >= 0 && length >= 0 && offset + length <= memory.bytes.length;
}
