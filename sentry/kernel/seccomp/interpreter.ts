/**
 * Runs a seccomp program on the data of one call. Nothing is allocated: the accumulator and the index register are locals, scratch memory is one
 * array for all. Values are signed 32-bit integers; what is unsigned in BPF is compared and divided as such.
 *
 * Specification: Linux Documentation/networking/filter.rst; division by an index register of zero ends the program with 0, shifts count modulo
 * 32 (net/core/filter.c bpf_convert_filter, kernel/bpf/core.c).
 */
import * as bpf from '#sentry/abi/bpf.ts';
import * as s from '#sentry/abi/seccomp.ts';
import { arithmetic, holds } from '../../bpf/arithmetic.ts';
import { Op } from '../../bpf/program.ts';
import type { Program } from '../../bpf/program.ts';
import { LOAD_DATA } from './program.ts';

/** 32-bit words of `struct seccomp_data`. */
export const DATA_WORDS = s.SECCOMP_DATA_SIZE / 4;

const memory = new Int32Array(bpf.BPF_MEMWORDS);

/**
 * @param data the words of `struct seccomp_data`, DATA_WORDS of them.
 * @returns what the program returns, as a signed number.
 */
export function evaluate(program: Program, data: Int32Array): number {
  const { op, operation, k, yes, no } = program;
  let a = 0;
  let x = 0;
  let pc = 0;
  for (;;) {
    const operand = k[pc]!;
    switch (op[pc] as Op | typeof LOAD_DATA) {
      case LOAD_DATA:
        a = data[operand]!;
        break;
      case Op.CompareK:
        pc = holds(operation[pc]!, a, operand) ? yes[pc]! : no[pc]!;
        continue;
      case Op.Jump:
        pc = yes[pc]!;
        continue;
      case Op.ReturnConstant:
        return operand;
      case Op.ReturnAccumulator:
        return a;
      case Op.ArithmeticK:
        a = arithmetic(operation[pc]!, a, operand);
        break;
      case Op.LoadConstant:
        a = operand;
        break;
      case Op.LoadMemory:
        a = memory[operand]!;
        break;
      case Op.LoadIndexConstant:
        x = operand;
        break;
      case Op.LoadIndexMemory:
        x = memory[operand]!;
        break;
      case Op.Store:
        memory[operand] = a;
        break;
      case Op.StoreIndex:
        memory[operand] = x;
        break;
      case Op.ArithmeticX:
        if (x === 0 && operation[pc] === bpf.BPF_DIV) return 0;
        a = arithmetic(operation[pc]!, a, x);
        break;
      case Op.Negate:
        a = -a | 0;
        break;
      case Op.CompareX:
        pc = holds(operation[pc]!, a, x) ? yes[pc]! : no[pc]!;
        continue;
      case Op.ToIndex:
        x = a;
        break;
      case Op.FromIndex:
        a = x;
        break;
    }
    pc++;
  }
}
