/**
 * Programs: what is refused, what instructions compute, and that the analysis never contradicts a run. What Linux itself says of random
 * programs is compared in test/syscalls/seccomp-programs.c.
 */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as bpf from '#sentry/abi/bpf.ts';
import * as s from '#sentry/abi/seccomp.ts';
import { analyse, constantResult, KNOWN_NUMBER_AND_ARCHITECTURE } from './analysis.ts';
import { DATA_WORDS, evaluate } from './interpreter.ts';
import { decodeSeccomp } from './program.ts';
import type { SeccompProgram } from './program.ts';

type Instruction = readonly [code: number, k?: number, yes?: number, no?: number];

const LOAD = bpf.BPF_LD | bpf.BPF_ABS;
const ALLOW: Instruction = [bpf.BPF_RET, s.SECCOMP_RET_ALLOW];
const RETURN_A: Instruction = [bpf.BPF_RET | bpf.BPF_A];

function words(...program: readonly Instruction[]): Uint32Array {
  return Uint32Array.from(program.flatMap(([code, k = 0, yes = 0, no = 0]) => [code | (yes << 16) | (no << 24), k]));
}

function decode(...program: readonly Instruction[]): SeccompProgram {
  const decoded = decodeSeccomp(words(...program));
  if (decoded === null) throw new Error('refused');
  return decoded;
}

function data(...start: readonly number[]): Int32Array {
  const all = new Int32Array(DATA_WORDS);
  all.set(start);
  return all;
}

describe('checks', () => {
  const refused: readonly (readonly [string, readonly Instruction[]])[] = [
    ['nothing', []],
    ['an end without a return', [[LOAD]]],
    ['a load beyond the data', [[LOAD, 64], ALLOW]],
    ['an unaligned load', [[LOAD, 6], ALLOW]],
    ['a load of a byte', [[LOAD | 0x10, 0], ALLOW]],
    ['an indexed load', [[0x40, 0], ALLOW]],
    ['a remainder', [[bpf.BPF_ALU | 0x90, 3], ALLOW]],
    ['a division by 0', [[bpf.BPF_ALU | bpf.BPF_DIV, 0], ALLOW]],
    ['a shift by 32', [[bpf.BPF_ALU | bpf.BPF_LSH, 32], ALLOW]],
    ['the seventeenth word of memory', [[bpf.BPF_ST, 16], ALLOW]],
    ['memory that was not stored', [[bpf.BPF_LD | bpf.BPF_MEM, 0], ALLOW]],
    ['memory stored on one way only', [[bpf.BPF_JMP | bpf.BPF_JEQ, 0, 0, 1], [bpf.BPF_ST, 1], [bpf.BPF_LDX | bpf.BPF_MEM, 1], ALLOW]],
    ['a jump behind the end', [[bpf.BPF_JMP, 1], ALLOW]],
    ['a jump that wraps around', [[bpf.BPF_JMP, 0xffff_ffff], ALLOW]],
    ['a comparison that leads behind the end', [[bpf.BPF_JMP | bpf.BPF_JGE, 0, 0, 1], ALLOW]],
    ['returning the index register', [[bpf.BPF_RET | bpf.BPF_X]]],
    ['bits above the opcode', [[LOAD | 0x100, 0], ALLOW]],
  ];
  test.for(refused)('%s is refused', ([, program]) => {
    expect(decodeSeccomp(words(...program))).toBeNull();
  });

  test('the longest program', () => {
    const long = Array.from({ length: bpf.BPF_MAXINSNS }, () => ALLOW);
    expect(decodeSeccomp(words(...long))).not.toBeNull();
    expect(decodeSeccomp(words(...long, ALLOW))).toBeNull();
  });

  test('memory stored on both ways', () => {
    const program = decode(
      [LOAD],
      [bpf.BPF_JMP | bpf.BPF_JEQ, 5, 0, 2],
      [bpf.BPF_ST, 1],
      [bpf.BPF_JMP, 1],
      [bpf.BPF_ST, 1],
      [bpf.BPF_LD | bpf.BPF_MEM, 1],
      RETURN_A,
    );
    expect(evaluate(program, data(7))).toBe(7);
  });
});

describe('results', () => {
  const compute = (start: number, ...body: readonly Instruction[]): number =>
    evaluate(decode([LOAD], ...body, RETURN_A), data(start)) >>> 0;

  test('arithmetic wraps around, is unsigned, and shifts count modulo 32', () => {
    expect(compute(0xffff_ffff, [bpf.BPF_ALU | bpf.BPF_ADD, 2])).toBe(1);
    expect(compute(1, [bpf.BPF_ALU | bpf.BPF_SUB, 2])).toBe(0xffff_ffff);
    expect(compute(0x1_0001, [bpf.BPF_ALU | bpf.BPF_MUL, 0x1_0001])).toBe(0x2_0001);
    expect(compute(0xffff_fffe, [bpf.BPF_ALU | bpf.BPF_DIV, 0xffff_ffff])).toBe(0);
    expect(compute(0xffff_fffe, [bpf.BPF_ALU | bpf.BPF_DIV, 2])).toBe(0x7fff_ffff);
    expect(compute(0x8000_0000, [bpf.BPF_ALU | bpf.BPF_RSH, 31])).toBe(1);
    expect(compute(3, [bpf.BPF_LDX | bpf.BPF_IMM, 33], [bpf.BPF_ALU | bpf.BPF_LSH | bpf.BPF_X])).toBe(6);
    expect(compute(5, [bpf.BPF_ALU | bpf.BPF_NEG])).toBe(0xffff_fffb);
    expect(compute(0, [bpf.BPF_ALU | bpf.BPF_NEG])).toBe(0);
    expect(compute(9, [bpf.BPF_LD | bpf.BPF_LEN])).toBe(64);
  });

  test('a division by an index register of 0 ends the program with 0', () => {
    expect(compute(5, [bpf.BPF_ALU | bpf.BPF_DIV | bpf.BPF_X], [bpf.BPF_LD, 7])).toBe(0);
  });

  test('comparisons are unsigned', () => {
    const above = (a: number, k: number): number =>
      evaluate(decode([LOAD], [bpf.BPF_JMP | bpf.BPF_JGT, k, 0, 1], [bpf.BPF_RET, 1], [bpf.BPF_RET, 2]), data(a));
    expect([above(0xffff_ffff, 1), above(1, 0xffff_ffff), above(1, 1)]).toEqual([1, 2, 2]);
  });
});

describe('analysis', () => {
  const decided = (program: SeccompProgram, nr: number): number | null =>
    analyse(program, data(nr, s.AUDIT_ARCH_X86_64), KNOWN_NUMBER_AND_ARCHITECTURE) ? constantResult() : null;

  test('a number that decides, and one whose argument does', () => {
    const program = decode(
      [LOAD],
      [bpf.BPF_JMP | bpf.BPF_JEQ, 56, 0, 2],
      [LOAD, 16],
      [bpf.BPF_JMP | bpf.BPF_JEQ, 1, 1, 0],
      [bpf.BPF_RET, 1],
      [bpf.BPF_RET, 2],
    );
    expect(decided(program, 39)).toBe(1);
    expect(decided(program, 56)).toBeNull();
  });

  test('an argument that makes no difference', () => {
    const program = decode([LOAD, 16], [bpf.BPF_JMP | bpf.BPF_JEQ, 1, 1, 0], [bpf.BPF_RET, 7], [bpf.BPF_RET, 7]);
    expect(decided(program, 1)).toBe(7);
  });

  test('values that ways agree on stay known', () => {
    const program = decode(
      [LOAD, 16],
      [bpf.BPF_JMP | bpf.BPF_JEQ, 1, 0, 2],
      [bpf.BPF_LD, 5],
      [bpf.BPF_JMP, 1],
      [bpf.BPF_LD, 5],
      [bpf.BPF_ALU | bpf.BPF_ADD, 1],
      RETURN_A,
    );
    expect(decided(program, 1)).toBe(6);
  });

  const operand = fc.oneof(
    fc.integer({ min: 0, max: 8 }),
    fc.constantFrom(0x8000_0000, 0xffff_ffff, s.AUDIT_ARCH_X86_64),
    fc.nat(0xffff_ffff),
  );
  const operations = [bpf.BPF_ADD, bpf.BPF_SUB, bpf.BPF_MUL, bpf.BPF_DIV, bpf.BPF_OR, bpf.BPF_AND, bpf.BPF_LSH, bpf.BPF_RSH, bpf.BPF_XOR];
  const instruction: fc.Arbitrary<Instruction> = fc.oneof(
    fc.nat(15).map((word) => [LOAD, 4 * word] as const),
    fc.tuple(fc.constantFrom(bpf.BPF_LD, bpf.BPF_LDX), operand).map(([code, k]) => [code, k] as const),
    fc
      .tuple(fc.constantFrom(bpf.BPF_LD | bpf.BPF_MEM, bpf.BPF_LDX | bpf.BPF_MEM, bpf.BPF_ST, bpf.BPF_STX), fc.nat(1))
      .map(([code, k]) => [code, k] as const),
    fc
      .tuple(fc.constantFrom(...operations), fc.constantFrom(bpf.BPF_K, bpf.BPF_X), fc.nat(31))
      .map(([op, x, k]) => [bpf.BPF_ALU | op | x, k] as const),
    fc
      .tuple(
        fc.constantFrom(bpf.BPF_JEQ, bpf.BPF_JGT, bpf.BPF_JGE, bpf.BPF_JSET),
        fc.constantFrom(bpf.BPF_K, bpf.BPF_X),
        operand,
        fc.nat(3),
        fc.nat(3),
      )
      .map(([op, x, k, yes, no]) => [bpf.BPF_JMP | op | x, k, yes, no] as const),
    fc.constantFrom<Instruction>([bpf.BPF_MISC | bpf.BPF_TAX], [bpf.BPF_MISC | bpf.BPF_TXA], [bpf.BPF_ALU | bpf.BPF_NEG], RETURN_A, ALLOW),
  );
  const ENDS: readonly Instruction[] = [RETURN_A, ALLOW, [bpf.BPF_RET, 1], [bpf.BPF_RET, 1]];

  test('whatever it says, every run agrees', () => {
    let decidedCount = 0;
    const property = fc.property(
      fc.array(instruction, { maxLength: 24 }),
      fc.array(operand, { minLength: 2, maxLength: 2 }),
      fc.array(fc.array(operand, { minLength: DATA_WORDS, maxLength: DATA_WORDS }), { minLength: 4, maxLength: 4 }),
      (body, fixed, others) => {
        const program = decodeSeccomp(words([bpf.BPF_ST, 0], [bpf.BPF_ST, 1], ...body, ...ENDS));
        fc.pre(program !== null);
        const isDecided = analyse(program, data(...fixed), KNOWN_NUMBER_AND_ARCHITECTURE);
        if (!isDecided) return;
        decidedCount++;
        const verdict = constantResult();
        for (const other of others) expect(evaluate(program, data(...fixed, ...other.slice(2)))).toBe(verdict);
      },
    );
    fc.assert(property, { numRuns: 3000 });
    expect(decidedCount).toBeGreaterThan(300);
  });

  test('with everything known it is a run', () => {
    const all = 0xffff;
    const property = fc.property(
      fc.array(instruction, { maxLength: 24 }),
      fc.array(operand, { minLength: DATA_WORDS, maxLength: DATA_WORDS }),
      (body, values) => {
        const program = decodeSeccomp(words([bpf.BPF_ST, 0], [bpf.BPF_ST, 1], ...body, ...ENDS));
        fc.pre(program !== null);
        expect(analyse(program, data(...values), all)).toBe(true);
        expect(constantResult()).toBe(evaluate(program, data(...values)));
      },
    );
    fc.assert(property, { numRuns: 2000 });
  });
});
