/**
 * Runs a seccomp program on the data of one call.
 *
 * Specification: seccomp(2); Linux kernel/seccomp.c seccomp_run_filters.
 */
import { SECCOMP_DATA_SIZE } from '#sentry/abi/seccomp.ts';
import { run } from '../../bpf/interpreter.ts';
import type { Loads } from '../../bpf/interpreter.ts';
import type { SeccompProgram } from './program.ts';

/** 32-bit words of `struct seccomp_data`. */
export const DATA_WORDS = SECCOMP_DATA_SIZE / 4;

/** There is nothing to load but the data. */
const NOTHING_ELSE: Loads = { isBeyond: true, load: () => 0 };

/**
 * @param data the words of `struct seccomp_data`, DATA_WORDS of them.
 * @returns what the program returns, as a signed number.
 */
export function evaluate(program: SeccompProgram, data: Int32Array): number {
  return run(program, data, NOTHING_ELSE);
}
