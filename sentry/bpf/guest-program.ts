/** A program on its way in from a guest: what `struct sock_fprog` points to. */
import { SOCK_FILTER_SIZE } from '#sentry/abi/bpf.ts';
import { EFAULT } from '#sentry/abi/errno.ts';
import type { HostMemory } from '#platform/contract/host.ts';

const WORDS_PER_INSTRUCTION = SOCK_FILTER_SIZE / 4;

/** The part of guest memory that is needed. */
export interface ProgramMemory {
  copyIn(address: number, into: HostMemory, offset: number, length: number): number;
}

/**
 * The words of `length` instructions at `address`, as `decodeProgram` wants them, or -EFAULT.
 * @param scratch room for BPF_MAXINSNS instructions, of which there are no more.
 */
export function copyProgram(memory: ProgramMemory, scratch: HostMemory, address: number, length: number): Uint32Array | number {
  if (memory.copyIn(address, scratch, 0, length * SOCK_FILTER_SIZE) < 0) return -EFAULT;
  return Uint32Array.from({ length: length * WORDS_PER_INSTRUCTION }, (_, i) => scratch.view.getUint32(4 * i, true));
}
