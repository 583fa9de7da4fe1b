/**
 * Pieces of seccomp programs. A piece is a list of instructions that ends in a verdict on each of its ways, so pieces need no labels: one is
 * put behind another, and a jump leads over a number of instructions that is known.
 *
 * Specification: seccomp(2), BSD classic BPF as in Linux uapi/linux/filter.h.
 */
import * as bpf from '#sentry/abi/bpf.ts';

/** `struct sock_filter`. */
export interface Instruction {
  readonly code: number;
  readonly k: number;
  /** Instructions to leave out after a comparison that holds, and after one that does not. */
  readonly yes: number;
  readonly no: number;
}

/** A conditional jump leads over so many instructions at most. */
const JUMP_MAX = 255;

export const JEQ = bpf.BPF_JMP | bpf.BPF_JEQ;
export const JGT = bpf.BPF_JMP | bpf.BPF_JGT;
export const JGE = bpf.BPF_JMP | bpf.BPF_JGE;

/** A = the word of `struct seccomp_data` at byte `offset`. */
export function load(offset: number): Instruction {
  return { code: bpf.BPF_LD | bpf.BPF_ABS, k: offset, yes: 0, no: 0 };
}

export function and(mask: number): Instruction {
  return { code: bpf.BPF_ALU | bpf.BPF_AND, k: mask, yes: 0, no: 0 };
}

export function compare(code: number, k: number, yes: number, no: number): Instruction {
  return { code, k, yes, no };
}

export function verdict(value: number): Instruction {
  return { code: bpf.BPF_RET | bpf.BPF_K, k: value >>> 0, yes: 0, no: 0 };
}

/** `yes` if A compares so to `k`, else `no`. */
export function choose(code: number, k: number, yes: readonly Instruction[], no: readonly Instruction[]): readonly Instruction[] {
  if (no.length <= JUMP_MAX) return [compare(code, k, no.length, 0), ...no, ...yes];
  const over: Instruction = { code: bpf.BPF_JMP | bpf.BPF_JA, k: no.length, yes: 0, no: 0 };
  return [compare(code, k, 0, 1), over, ...no, ...yes];
}

/** As guest memory and `installFilter` have programs: two words for each instruction. */
export function encode(program: readonly Instruction[]): Uint32Array {
  return Uint32Array.from(program.flatMap(({ code, k, yes, no }) => [code | (yes << 16) | (no << 24), k]));
}
