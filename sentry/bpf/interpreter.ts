/**
 * Runs a program. Nothing is allocated: the accumulator and the index register are locals, scratch memory is one array for all. Values are
 * signed 32-bit integers; what is unsigned in BPF is compared and divided as such.
 *
 * Specification: Linux Documentation/networking/filter.rst; division by an index register of zero ends the program with 0
 * (net/core/filter.c bpf_convert_filter).
 */
import { BPF_MEMWORDS } from '#sentry/abi/bpf.ts';
import { arithmetic, dividesBy, holds } from './arithmetic.ts';
import { FIRST_OWN_INDEX_KIND, Op } from './program.ts';
import type { Program } from './program.ts';

/** Where the loads of a dialect come from. */
export interface Loads {
  /** What an instruction of the dialect's own loads. `x`: the index register. */
  load(kind: number, operand: number, x: number): number;
  /** The last load asked for what is not there: the program ends with 0. */
  readonly isBeyond: boolean;
}

const memory = new Int32Array(BPF_MEMWORDS);

/**
 * @param data for `Op.LoadData`.
 * @param loads for what else the dialect can load.
 * @returns what the program returns, as a signed number.
 */
export function run(program: Program, data: Int32Array, loads: Loads): number {
  const { op, operation, k, yes, no } = program;
  let a = 0;
  let x = 0;
  let pc = 0;
  for (;;) {
    const kind = op[pc]!;
    const operand = k[pc]!;
    switch (kind) {
      case Op.LoadData:
        a = data[operand]!;
        break;
      case Op.CompareK:
        pc = holds(operation[pc]!, a, operand) ? yes[pc]! : no[pc]!;
        continue;
      case Op.CompareX:
        pc = holds(operation[pc]!, a, x) ? yes[pc]! : no[pc]!;
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
      case Op.ArithmeticX:
        if (x === 0 && dividesBy(operation[pc]!)) return 0;
        a = arithmetic(operation[pc]!, a, x);
        break;
      case Op.Negate:
        a = -a | 0;
        break;
      case Op.LoadConstant:
        a = operand;
        break;
      case Op.LoadIndexConstant:
        x = operand;
        break;
      case Op.LoadMemory:
        a = memory[operand]!;
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
      case Op.ToIndex:
        x = a;
        break;
      case Op.FromIndex:
        a = x;
        break;
      default: {
        const value = loads.load(kind, operand, x);
        if (loads.isBeyond) return 0;
        if (kind < FIRST_OWN_INDEX_KIND) a = value;
        else x = value;
      }
    }
    pc++;
  }
}
