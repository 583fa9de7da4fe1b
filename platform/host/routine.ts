/**
 * Machine code in the sentry process itself: pages that are written once and then only executable.
 *
 * Two things need it: the routine that clones the first stub (`platform/stub`), which must not return to JavaScript in the child,
 * and the signal handler that notes a signal without running JavaScript.
 */
import * as libc from './libc.ts';
import { HostError, must } from './errors.ts';
import { allocateMemory, pageAligned } from './memory.ts';
import type { Mapping } from './proc.ts';

const PROT_READ_EXEC = 5;
const MADV_DONTFORK = 10;
const MADV_DOFORK = 11;

/** Maps `code` executable and returns its address. `copies` consecutive page-aligned copies are made. */
export function mapCode(code: Uint8Array, copies: number): number {
  const size = pageAligned(code.length);
  const memory = allocateMemory(size * copies);
  for (let i = 0; i < copies; i += 1) memory.bytes.set(code, i * size);
  // SAFETY: the pages are our own and nothing writes to them after this line, although the view remains.
  if (libc.mprotect(memory.address, size * copies, PROT_READ_EXEC) < 0) throw new HostError('mprotect', libc.errno());
  return memory.address;
}

/** A piece of this process's memory: address and length in bytes. */
export interface Piece {
  readonly address: number;
  readonly length: number;
}

/** What the copy made by `callCloningCode` gets of this process's memory. */
export interface CopiedMemory {
  /** What it can do without. */
  readonly spared: readonly Mapping[];
  /** What it uses. Prevails: a spared range may be gone by now, and its addresses be given to something that is needed. */
  readonly needed: readonly Piece[];
}

/**
 * Calls the routine at `address`, which clones this process, without giving the copy the memory in `spared`: copying page tables
 * and losing copy-on-write afterwards costs several milliseconds. The copy may run nothing but the routine.
 */
export function callCloningCode(address: number, first: number, second: number, { spared, needed }: CopiedMemory): number {
  const used = [...needed, { address: libc.threadStorage, length: 1 }];
  const ranges = spared.filter((range) => !used.some((piece) => overlap(range, piece)));
  // SAFETY: the advice concerns copies only and is taken back at once. A range that is gone or changed meanwhile does no harm: what is not
  // mapped is skipped, and whatever else lies there is ours too and not needed by the copy.
  for (const { start, end } of ranges) libc.madvise(start, end - start, MADV_DONTFORK);
  // SAFETY: `address` comes from mapCode and the routine follows the C calling convention.
  const result = libc.callRoutine(address, first, second);
  for (const { start, end } of ranges) libc.madvise(start, end - start, MADV_DOFORK);
  return must('clone', result);
}

function overlap(range: Mapping, { address, length }: Piece): boolean {
  return range.start < address + length && address < range.end;
}
