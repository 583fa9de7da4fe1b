/**
 * A seccomp program: classic BPF that loads words of `struct seccomp_data`.
 *
 *     const program = decodeSeccomp(words);         // null: Linux would refuse it with EINVAL
 *     evaluate(program, data)                       // interpreter.ts
 *     analyse(program, data, known)                 // analysis.ts
 *
 * Specification: seccomp(2); Linux kernel/seccomp.c seccomp_check_filter.
 */
import * as bpf from '#sentry/abi/bpf.ts';
import * as s from '#sentry/abi/seccomp.ts';
import { decodeProgram, Op } from '../../bpf/program.ts';
import type { Dialect, Instruction, Program } from '../../bpf/program.ts';

export interface SeccompProgram extends Program {
  /** Whether it looks at the instruction pointer at all, which is not always at hand. */
  readonly readsInstructionPointer: boolean;
}

/** The words of the instruction pointer in the data. */
const FIRST_POINTER_WORD = 2;
const LAST_POINTER_WORD = 3;

function load(code: number, k: number): Instruction | null {
  switch (code) {
    case bpf.BPF_LD | bpf.BPF_ABS:
      return k < s.SECCOMP_DATA_SIZE && (k & 3) === 0 ? { kind: Op.LoadData, operand: k >>> 2 } : null;
    case bpf.BPF_LD | bpf.BPF_LEN:
      return { kind: Op.LoadConstant, operand: s.SECCOMP_DATA_SIZE };
    case bpf.BPF_LDX | bpf.BPF_LEN:
      return { kind: Op.LoadIndexConstant, operand: s.SECCOMP_DATA_SIZE };
    default:
      return null;
  }
}

const DIALECT: Dialect = { load, hasModulo: false };

/** @param words as for `decodeProgram`. @returns null for a program that Linux refuses with EINVAL. */
export function decodeSeccomp(words: Uint32Array): SeccompProgram | null {
  const program = decodeProgram(words, DIALECT);
  return program === null ? null : { ...program, readsInstructionPointer: readsInstructionPointer(program) };
}

function readsInstructionPointer({ op, k }: Program): boolean {
  return op.some((kind, pc) => kind === Op.LoadData && k[pc]! >= FIRST_POINTER_WORD && k[pc]! <= LAST_POINTER_WORD);
}
