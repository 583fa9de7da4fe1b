/**
 * Rules that look at arguments, as instructions. An argument has 64 bits, BPF registers 32: the upper half decides unless it is equal. All
 * comparisons are unsigned, as in libseccomp's SCMP_CMP_*.
 */
import type { SeccompArgument, Wide } from '../config/types.ts';
import { JEQ, JGE, JGT, and, compare, load, verdict } from './instructions.ts';
import type { Instruction } from './instructions.ts';

/** `args` in `struct seccomp_data`, little endian. */
const ARGUMENTS = 16;
const ARGUMENT_BYTES = 8;
const WORD_BYTES = 4;

/** What becomes of a call if all conditions hold. */
export interface ConditionalVerdict {
  readonly conditions: readonly SeccompArgument[];
  readonly verdict: number;
}

/** The first rule that holds decides, else `otherwise` does. Ends in a verdict on each way. */
export function byArguments(rules: readonly ConditionalVerdict[], otherwise: number): readonly Instruction[] {
  return [...rules.flatMap(oneRule), verdict(otherwise)];
}

/** Goes on behind itself if some condition does not hold. */
function oneRule({ conditions, verdict: value }: ConditionalVerdict): readonly Instruction[] {
  let piece: readonly Instruction[] = [verdict(value)];
  for (const condition of conditions.toReversed()) piece = [...test(condition, piece.length), ...piece];
  return piece;
}

/** Goes on behind itself if the condition holds, else leaves out `over` instructions. */
function test({ index, op, value, valueTwo }: SeccompArgument, over: number): readonly Instruction[] {
  const low = load(ARGUMENTS + ARGUMENT_BYTES * index);
  const high = load(ARGUMENTS + ARGUMENT_BYTES * index + WORD_BYTES);
  switch (op) {
    case 'SCMP_CMP_EQ':
      return [high, compare(JEQ, value.high, 0, over + 2), low, compare(JEQ, value.low, 0, over)];
    case 'SCMP_CMP_NE':
      return [high, compare(JEQ, value.high, 0, 2), low, compare(JEQ, value.low, over, 0)];
    case 'SCMP_CMP_GT':
      return atLeast(JGT);
    case 'SCMP_CMP_GE':
      return atLeast(JGE);
    case 'SCMP_CMP_LT':
      return below(JGE);
    case 'SCMP_CMP_LE':
      return below(JGT);
    case 'SCMP_CMP_MASKED_EQ':
      return masked(value, valueTwo);
    default:
      return op satisfies never;
  }

  function atLeast(code: number): readonly Instruction[] {
    return [high, compare(JGT, value.high, 3, 0), compare(JEQ, value.high, 0, over + 2), low, compare(code, value.low, 0, over)];
  }

  function below(code: number): readonly Instruction[] {
    return [high, compare(JGT, value.high, over + 3, 0), compare(JEQ, value.high, 0, 2), low, compare(code, value.low, over, 0)];
  }

  /** Bits outside the mask count on neither side. */
  function masked(mask: Wide, wanted: Wide): readonly Instruction[] {
    const lower = [low, and(mask.low), compare(JEQ, (wanted.low & mask.low) >>> 0, 0, over)];
    return [high, and(mask.high), compare(JEQ, (wanted.high & mask.high) >>> 0, 0, over + lower.length), ...lower];
  }
}
