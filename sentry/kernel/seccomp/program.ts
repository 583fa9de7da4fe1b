/**
 * A seccomp program: checked once, and decoded into arrays that are quick to run and to reason about.
 *
 *     const program = decodeProgram(words);         // null: Linux would refuse it with EINVAL
 *     evaluate(program, data)                       // interpreter.ts
 *     analyse(program, data, known)                 // analysis.ts
 *
 * Instructions are grouped by what they do, not by their opcode: an arithmetic instruction keeps its operation apart, a jump its two targets
 * as absolute positions, a load the index of the word of `struct seccomp_data`. All jumps lead forward, so every run ends.
 *
 * Specification: seccomp(2); Linux kernel/seccomp.c seccomp_check_filter, net/core/filter.c bpf_check_classic, check_load_and_stores.
 */
import * as s from '#sentry/abi/seccomp.ts';

/** What an instruction does. `K`: with its constant, `X`: with the index register. */
export const Op = {
  /** A = word `k` of the data. */
  LoadData: 0,
  LoadConstant: 1,
  LoadMemory: 2,
  LoadIndexConstant: 3,
  LoadIndexMemory: 4,
  Store: 5,
  StoreIndex: 6,
  ArithmeticK: 7,
  ArithmeticX: 8,
  Negate: 9,
  /** To `yes`. */
  Jump: 10,
  CompareK: 11,
  CompareX: 12,
  ReturnConstant: 13,
  ReturnAccumulator: 14,
  /** X = A, A = X. */
  ToIndex: 15,
  FromIndex: 16,
} as const;
export type Op = (typeof Op)[keyof typeof Op];

export interface Program {
  readonly length: number;
  readonly op: Uint8Array;
  /** BPF_ADD… of arithmetic, BPF_JEQ… of comparisons. */
  readonly operation: Uint8Array;
  /** Operand: constant, index of a data word, index of scratch memory. */
  readonly k: Int32Array;
  /** Where jumps lead. */
  readonly yes: Uint16Array;
  readonly no: Uint16Array;
  /** Whether it looks at the instruction pointer at all, which is not always at hand. */
  readonly readsInstructionPointer: boolean;
}

/** The words of the instruction pointer in the data. */
const FIRST_POINTER_WORD = 2;
const LAST_POINTER_WORD = 3;
const CLASS = 0x07;
const OPERATION = 0xf0;

/** Bytes a decoded program takes for each instruction. */
export const BYTES_PER_INSTRUCTION = 10;

const ARITHMETIC: ReadonlySet<number> = new Set([
  s.BPF_ADD,
  s.BPF_SUB,
  s.BPF_MUL,
  s.BPF_DIV,
  s.BPF_OR,
  s.BPF_AND,
  s.BPF_LSH,
  s.BPF_RSH,
  s.BPF_XOR,
]);
const COMPARISONS: ReadonlySet<number> = new Set([s.BPF_JEQ, s.BPF_JGT, s.BPF_JGE, s.BPF_JSET]);

const PLAIN: ReadonlyMap<number, Op> = new Map([
  [s.BPF_LD | s.BPF_ABS, Op.LoadData],
  [s.BPF_LD | s.BPF_IMM, Op.LoadConstant],
  [s.BPF_LD | s.BPF_LEN, Op.LoadConstant],
  [s.BPF_LD | s.BPF_MEM, Op.LoadMemory],
  [s.BPF_LDX | s.BPF_IMM, Op.LoadIndexConstant],
  [s.BPF_LDX | s.BPF_LEN, Op.LoadIndexConstant],
  [s.BPF_LDX | s.BPF_MEM, Op.LoadIndexMemory],
  [s.BPF_ST, Op.Store],
  [s.BPF_STX, Op.StoreIndex],
  [s.BPF_ALU | s.BPF_NEG, Op.Negate],
  [s.BPF_JMP | s.BPF_JA, Op.Jump],
  [s.BPF_RET | s.BPF_K, Op.ReturnConstant],
  [s.BPF_RET | s.BPF_A, Op.ReturnAccumulator],
  [s.BPF_MISC | s.BPF_TAX, Op.ToIndex],
  [s.BPF_MISC | s.BPF_TXA, Op.FromIndex],
]);

/** The instruction's kind, or -1 when seccomp does not allow it (packet loads, BPF_MOD, anything unknown). */
function kindOf(code: number): number {
  const plain = PLAIN.get(code);
  if (plain !== undefined) return plain;
  const isIndexed = (code & s.BPF_X) !== 0;
  if ((code & ~(CLASS | OPERATION | s.BPF_X)) !== 0) return -1;
  switch (code & CLASS) {
    case s.BPF_ALU:
      return ARITHMETIC.has(code & OPERATION) ? (isIndexed ? Op.ArithmeticX : Op.ArithmeticK) : -1;
    case s.BPF_JMP:
      return COMPARISONS.has(code & OPERATION) ? (isIndexed ? Op.CompareX : Op.CompareK) : -1;
    default:
      return -1;
  }
}

/**
 * Checks and decodes.
 * @param words the program as in guest memory: for each instruction one word with code (bits 0-15), jt (16-23) and jf (24-31), and one with k.
 * @returns null for a program that Linux refuses with EINVAL.
 */
export function decodeProgram(words: Uint32Array): Program | null {
  const length = words.length / 2;
  if (length < 1 || length > s.BPF_MAXINSNS) return null;
  const op = new Uint8Array(length);
  const operation = new Uint8Array(length);
  const k = new Int32Array(length);
  const yes = new Uint16Array(length);
  const no = new Uint16Array(length);
  let readsInstructionPointer = false;
  for (let pc = 0; pc < length; pc++) {
    const head = words[2 * pc]!;
    const code = head & 0xffff;
    const kind = kindOf(code);
    const operand = operandOf(kind, code, words[2 * pc + 1]!);
    if (kind < 0 || operand < 0) return null;
    op[pc] = kind;
    operation[pc] = code & OPERATION;
    k[pc] = operand;
    if (kind === Op.LoadData && operand >= FIRST_POINTER_WORD && operand <= LAST_POINTER_WORD) readsInstructionPointer = true;
    if (kind !== Op.Jump && kind !== Op.CompareK && kind !== Op.CompareX) continue;
    const isPlain = kind === Op.Jump;
    const to = pc + 1 + (isPlain ? operand : (head >>> 16) & 0xff);
    const otherwise = isPlain ? to : pc + 1 + (head >>> 24);
    if (to >= length || otherwise >= length) return null;
    yes[pc] = to;
    no[pc] = otherwise;
  }
  const last = op[length - 1];
  if (last !== Op.ReturnConstant && last !== Op.ReturnAccumulator) return null;
  const program: Program = { length, op, operation, k, yes, no, readsInstructionPointer };
  return readsOnlyWhatItStored(program) ? program : null;
}

/** The operand as decoded, unsigned; -1 when the instruction may not have it. */
function operandOf(kind: number, code: number, k: number): number {
  switch (kind) {
    case Op.LoadData:
      return k < s.SECCOMP_DATA_SIZE && (k & 3) === 0 ? k >>> 2 : -1;
    case Op.LoadConstant:
    case Op.LoadIndexConstant:
      return (code & s.BPF_LEN) === 0 ? k : s.SECCOMP_DATA_SIZE;
    case Op.LoadMemory:
    case Op.LoadIndexMemory:
    case Op.Store:
    case Op.StoreIndex:
      return k < s.BPF_MEMWORDS ? k : -1;
    case Op.ArithmeticK:
      return isSaneConstant(code & OPERATION, k) ? k : -1;
    default:
      return k;
  }
}

function isSaneConstant(operation: number, k: number): boolean {
  if (operation === s.BPF_DIV) return k !== 0;
  return (operation !== s.BPF_LSH && operation !== s.BPF_RSH) || k < 32;
}

/** Whether scratch memory is read only where every way there has stored it. */
function readsOnlyWhatItStored({ length, op, k, yes, no }: Program): boolean {
  const storedAt = new Uint16Array(length).fill(0xffff);
  let stored = 0;
  for (let pc = 0; pc < length; pc++) {
    stored &= storedAt[pc]!;
    const bit = 1 << k[pc]!;
    switch (op[pc]) {
      case Op.Store:
      case Op.StoreIndex:
        stored |= bit;
        break;
      case Op.LoadMemory:
      case Op.LoadIndexMemory:
        if ((stored & bit) === 0) return false;
        break;
      case Op.Jump:
      case Op.CompareK:
      case Op.CompareX:
        storedAt[yes[pc]!]! &= stored;
        storedAt[no[pc]!]! &= stored;
        // What comes next is reached by jumps only, and those have said what they stored.
        stored = 0xffff;
        break;
      default:
    }
  }
  return true;
}
