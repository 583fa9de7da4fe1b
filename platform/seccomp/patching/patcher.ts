/**
 * Patches call sites of an address space, one at a time, while one of its threads is stopped at the site.
 *
 *     region mapped (once) → slot and thunk written → pages writable → a few bytes written → pages executable again
 *
 * No other thread of the space may run meanwhile: then no CPU executes the bytes while they change, and because the overwritten bytes are one
 * instruction no stopped thread can stand among them. With several threads running, the site stays as it is until a better moment.
 * The page is a private mapping of a file: the first write gives the guest a copy of its own.
 */
import { isFreeMemoryCall } from '../../bpf/guest-filter.ts';
import type { HostMemory } from '../../contract/host.ts';
import type { LinuxHost } from '../../host/host.ts';
import * as process from '../../host/process.ts';
import { TRAMPOLINE_OFFSET } from '../../stub/guest-code.ts';
import { PAGE_SIZE, STUB_BASE } from '../../stub/layout.ts';
import type { Trampoline } from '../../stub/trampoline.ts';
import { REGION_BASE } from '../../stub/trampoline-layout.ts';
import type { SeccompThread } from '../guest-thread.ts';
import * as nr from '../../stub/host-syscalls.ts';
import { REGION_BYTES, REGION_END } from './region.ts';
import type { Region, Regions, Site } from './region.ts';
import { AROUND, edits, MOV_EAX_IMM32, recognize } from './shapes.ts';
import type { Shape } from './shapes.ts';
import { TextRanges } from './text-ranges.ts';

const PROT_READ_EXEC = 5;
const MAP_PRIVATE_IF_FREE = 0x10_0002; // MAP_PRIVATE | MAP_FIXED_NOREPLACE
/** Sites counted in one address space. */
const COUNTED_MAX = 2048;
const NEVER = -1;
/** Calls whose answer may be kept in the slot: getpid, getuid, getgid, geteuid, getegid, getppid, gettid. */
const WITHOUT_ARGUMENTS: ReadonlySet<number> = new Set([39, 102, 104, 107, 108, 110, 186]);
/** Calls for which the thread has to go to its handler anyway: mremap, the clones, execve and exit, rt_sigreturn, arch_prctl. */
const NEEDS_HANDLER: ReadonlySet<number> = new Set([15, 25, 56, 57, 58, 59, 60, 158, 231, 322, 435]);

/** What is known of one address space. */
export class SpacePatches {
  text = new TextRanges();
  region: Region | null = null;
  /** Return addresses of patched sites. */
  readonly patched = new Set<number>();
  /** Calls seen from unpatched sites; NEVER for those that cannot be patched. */
  readonly counts = new Map<number, number>();
  /** The region cannot be mapped here, or the guest wants its place. */
  refused = false;

  /** For a copy of the address space. */
  copy(): SpacePatches {
    const copy = new SpacePatches();
    copy.text = this.text.copy();
    copy.region = this.region;
    if (this.region !== null) this.region.users += 1;
    for (const address of this.patched) copy.patched.add(address);
    copy.refused = this.refused;
    return copy;
  }

  /** Guest memory in a range is replaced, protected anew or gone: sites there are no longer ours to know. */
  changed(start: number, length: number): void {
    this.text.cut(start, length);
    for (const address of this.patched) if (isNear(address, start, length)) this.patched.delete(address);
  }
}

export class Patcher {
  readonly #host: LinuxHost;
  readonly #regions: Regions;
  readonly #trampoline: Trampoline;
  readonly #worthCalls: number;
  readonly #memory: HostMemory;

  /** `worthCalls`: after how many calls a site is worth patching. */
  constructor(host: LinuxHost, regions: Regions, trampoline: Trampoline, worthCalls: number) {
    this.#worthCalls = worthCalls;
    this.#host = host;
    this.#regions = regions;
    this.#trampoline = trampoline;
    this.#memory = host.allocate(PAGE_SIZE);
  }

  release({ region }: SpacePatches): void {
    if (region !== null) this.#regions.release(region);
  }

  /** Counts a call made behind `returnAddress`, and patches its site when it is worth it. The thread is stopped at that call. */
  consider(thread: SeccompThread, returnAddress: number): void {
    const { patches } = thread.space;
    if (patches.refused || NEEDS_HANDLER.has(thread.call[0]!)) return;
    const count = (patches.counts.get(returnAddress) ?? 0) + 1;
    if (count === 0 || (count === 1 && patches.counts.size >= COUNTED_MAX)) return;
    patches.counts.set(returnAddress, count);
    // What cannot be patched now is looked at again after twice as many calls.
    if (count < this.#worthCalls || (count & (count - 1)) !== 0) return;
    const shape = this.#recognize(thread, returnAddress);
    if (shape === null) patches.counts.set(returnAddress, NEVER);
    else if (isAlone(thread) && this.#patch(thread, returnAddress, shape)) patches.counts.delete(returnAddress);
  }

  #recognize(thread: SeccompThread, returnAddress: number): Shape | null {
    const start = returnAddress - AROUND;
    if (!thread.space.patches.text.contains(start, returnAddress + AROUND)) return null;
    if (process.readRemote(thread.tid, start, this.#memory, 0, 2 * AROUND) !== 2 * AROUND) return null;
    return recognize(this.#memory.bytes.subarray(0, 2 * AROUND), thread.call[0]!);
  }

  /** True when the site is patched. */
  #patch(thread: SeccompThread, returnAddress: number, shape: Shape): boolean {
    const { patches } = thread.space;
    if (!thread.enterHandler() || !this.#mapRegion(thread) || patches.region!.isFull) return false;
    const { region } = patches;
    const changes = edits(shape, region!.nextSlotAddress);
    const originals = changes.map(({ start, bytes }) => {
      const from = AROUND + start;
      return { address: returnAddress + start, bytes: [...this.#memory.bytes.subarray(from, from + bytes.length)] };
    });
    const jumpAddress = shape.padding === null ? 0 : returnAddress + shape.padding.start + shape.padding.guard.length;
    region!.add({ returnAddress, moved: shape.moved, jumpAddress, originals }, this.#entryFor(thread.call[0]!, shape));
    if (!this.#protect(thread, originals, nr.PROT_READ_WRITE)) {
      patches.refused = true;
      return false;
    }
    const written = changes.every(({ start, bytes }) => this.#write(thread, returnAddress + start, bytes));
    if (!this.#protect(thread, originals, PROT_READ_EXEC)) thread.board.condemn(thread, 'cannot make its text executable again');
    if (written) patches.patched.add(returnAddress);
    return written;
  }

  /** Where the site's thunk goes on. A site that makes other calls as well must not ask for the answer to one. */
  #entryFor(nr: number, { moved }: Shape): number {
    const { answer, entry } = this.#trampoline;
    return STUB_BASE + TRAMPOLINE_OFFSET + (moved[0] === MOV_EAX_IMM32 && WITHOUT_ARGUMENTS.has(nr) ? answer : entry);
  }

  /** Of all pages that the pieces lie in. */
  #protect(thread: SeccompThread, pieces: Site['originals'], protection: number): boolean {
    const first = Math.floor(Math.min(...pieces.map(({ address }) => address)) / PAGE_SIZE) * PAGE_SIZE;
    const end = Math.ceil(Math.max(...pieces.map(({ address, bytes }) => address + bytes.length)) / PAGE_SIZE) * PAGE_SIZE;
    thread.context.addCommand(nr.SYS_MPROTECT, first, end - first, protection, 0, 0, 0);
    const isFree = isFreeMemoryCall(nr.SYS_MPROTECT, end - first, protection, 0, thread.board.memoryLimited);
    if (!isFree) thread.orders.add(nr.SYS_MPROTECT, first, end - first, protection, 0, 0, 0);
    const result = thread.performCommands();
    thread.orders.clear();
    return result >= 0;
  }

  #write(thread: SeccompThread, address: number, bytes: readonly number[]): boolean {
    this.#memory.bytes.set(bytes);
    return process.writeRemote(thread.tid, address, this.#memory, 0, bytes.length) === bytes.length;
  }

  #mapRegion(thread: SeccompThread): boolean {
    const { patches } = thread.space;
    if (patches.region !== null) return true;
    const region = this.#regions.take();
    if (region === null) return false;
    const { fd } = this.#regions;
    thread.context.addCommand(nr.SYS_MMAP, REGION_BASE, REGION_BYTES, PROT_READ_EXEC, MAP_PRIVATE_IF_FREE, fd, region.fileOffset);
    thread.orders.add(nr.SYS_MMAP, REGION_BASE, REGION_BYTES, PROT_READ_EXEC, MAP_PRIVATE_IF_FREE, fd, region.fileOffset);
    const result = thread.performCommands();
    thread.orders.clear();
    if (result < 0) {
      this.#regions.release(region);
      patches.refused = true;
      this.#host.log(`guest process ${thread.pid}: its own memory lies where patched call sites lead (${-result}); it runs without`);
      return false;
    }
    patches.region = region;
    return true;
  }

  /**
   * The guest wants memory that patching uses: its own text, in order to change it, or the place of the region. Puts the sites in question
   * back as they were.
   */
  aboutToChange(thread: SeccompThread, start: number, length: number, keepsBytes: boolean): void {
    const { patches } = thread.space;
    if (patches.region === null || patches.refused) return;
    const all = start < REGION_END && start + length > REGION_BASE;
    if (!all && !keepsBytes) return;
    for (const site of patches.region.sites) {
      const { returnAddress } = site;
      const hit = all || isNear(returnAddress, start, length);
      if (hit && patches.patched.has(returnAddress)) this.#unpatch(thread, site);
    }
    // The region stays known: threads may still be in its thunks.
    if (all) patches.refused = true;
  }

  #unpatch(thread: SeccompThread, { returnAddress, originals }: Site): void {
    thread.space.patches.patched.delete(returnAddress);
    if (!thread.enterHandler()) return;
    // Executable throughout: other threads may run here. They find the old instruction or the new one, or a mixture if they are
    // just there, which only a program that changes its text under running threads can bring about.
    if (!this.#protect(thread, originals, nr.PROT_READ_WRITE | PROT_READ_EXEC)) return;
    for (const { address, bytes } of [...originals].reverse()) this.#write(thread, address, bytes);
    this.#protect(thread, originals, PROT_READ_EXEC);
  }
}

/** Whether bytes that the patch of a site may have changed lie in the range. */
function isNear(returnAddress: number, start: number, length: number): boolean {
  return returnAddress + AROUND > start && returnAddress - AROUND < start + length;
}

/** No other thread of the space runs guest code. */
function isAlone(thread: SeccompThread): boolean {
  for (const other of thread.space.threads) if (other !== thread && other.running) return false;
  return true;
}
