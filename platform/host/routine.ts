/**
 * Machine code in the sentry process itself: pages that are written once and then only executable.
 *
 * Two things need it: the routine that clones the first stub (`platform/stub`), which must not return to JavaScript in the child,
 * and the signal handler that notes a signal without running JavaScript.
 */
import * as libc from './libc.ts';
import { HostError, must } from './errors.ts';
import { allocateMemory, pageAligned } from './memory.ts';

const PROT_READ_EXEC = 5;

/** Maps `code` executable and returns its address. `copies` consecutive page-aligned copies are made. */
export function mapCode(code: Uint8Array, copies: number): number {
  const size = pageAligned(code.length);
  const memory = allocateMemory(size * copies);
  for (let i = 0; i < copies; i += 1) memory.bytes.set(code, i * size);
  // SAFETY: the pages are our own and nothing writes to them after this line, although the view remains.
  if (libc.mprotect(memory.address, size * copies, PROT_READ_EXEC) < 0) throw new HostError('mprotect', libc.errno());
  return memory.address;
}

/** Calls the routine at `address`; `-errno` convention of a raw system call. */
export function callCode(address: number, first: number, second: number): number {
  // SAFETY: `address` comes from mapCode and the routine follows the C calling convention.
  return must('clone', libc.callRoutine(address, first, second));
}
