/**
 * Memory calls of one thread collected in a list and performed together: one hand-over to the guest process instead of one for each.
 *
 * The list lies in memory of that process, so it is only for a process in which nobody else runs: while the routine of the stub works
 * through it, the thread itself is busy and every other host thread is stopped.
 */
import * as process from '../host/process.ts';
import { allocateMemory } from '../host/memory.ts';
import { BATCH_ENTRY_BYTES } from '../stub/stub-code.ts';
import { SYS_MMAP } from '../stub/host-syscalls.ts';
import { ESRCH } from './tracee.ts';
import type { Tracee } from './tracee.ts';

const CALLS_MAX = 64;
const WORDS = BATCH_ENTRY_BYTES / 8;

/** One for all threads: a list is begun and performed while a single system call is served. */
const list = allocateMemory(CALLS_MAX * BATCH_ENTRY_BYTES);
const zeros = allocateMemory(CALLS_MAX * BATCH_ENTRY_BYTES);

export class MemoryCalls {
  /** Guest memory that receives the list. */
  readonly #scratch: number;
  #count = 0;

  constructor(scratch: number) {
    this.#scratch = scratch;
  }

  /** Whether a call has to be made before the list can be written. */
  mapsScratch(nr: number, address: number, length: number): boolean {
    return nr === SYS_MMAP && this.#count === 0 && address <= this.#scratch && this.#scratch < address + length;
  }

  get isFull(): boolean {
    return this.#count === CALLS_MAX;
  }

  add(nr: number, a0: number, a1: number, a2: number, a3: number, a4: number, a5: number): void {
    const at = this.#count * WORDS;
    this.#count += 1;
    setWord(at, nr);
    setWord(at + 1, a0);
    setWord(at + 2, a1);
    setWord(at + 3, a2);
    setWord(at + 4, a3);
    setWord(at + 5, a4);
    setWord(at + 6, a5);
  }

  /** Performs what was added; 0, or the error of the first call that failed (later ones are then not made). Leaves zeros at the scratch memory. */
  perform(thread: Tracee, routine: number): number {
    const length = this.#count * BATCH_ENTRY_BYTES;
    this.#count = 0;
    if (length === 0) return 0;
    if (process.writeRemote(thread.tid, this.#scratch, list, 0, length) !== length) return -ESRCH;
    const result = thread.injectBatch(routine, this.#scratch, this.#scratch + length);
    if (process.writeRemote(thread.tid, this.#scratch, zeros, 0, length) !== length) return -ESRCH;
    return Math.min(result, 0);
  }
}

function setWord(index: number, value: number): void {
  const { view } = list;
  view.setUint32(index * 8, value >>> 0, true);
  view.setUint32(index * 8 + 4, Math.floor(value / 0x1_0000_0000) >>> 0, true);
}
