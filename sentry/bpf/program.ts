/**
 * A program of classic BPF: checked once, and decoded into arrays that are quick to run and to reason about.
 *
 *     const program = decodeProgram(words, dialect);         // null: Linux would refuse it with EINVAL
 *
 * Instructions are grouped by what they do, not by their opcode: an arithmetic instruction keeps its operation apart, a jump its two targets
 * as absolute positions. What can be loaded differs between system calls and packets: that says a dialect. All jumps lead forward, so every
 * run ends.
 *
 * Specification: Linux Documentation/networking/filter.rst; net/core/filter.c bpf_check_classic, check_load_and_stores.
 */
import * as bpf from '#sentry/abi/bpf.ts';

/** What an instruction does. `K`: with its constant, `X`: with the index register. */
export const Op = {
  LoadConstant: 0,
  LoadMemory: 1,
  LoadIndexConstant: 2,
  LoadIndexMemory: 3,
  Store: 4,
  StoreIndex: 5,
  ArithmeticK: 6,
  ArithmeticX: 7,
  Negate: 8,
  /** To `yes`. */
  Jump: 9,
  CompareK: 10,
  CompareX: 11,
  ReturnConstant: 12,
  ReturnAccumulator: 13,
  /** X = A, A = X. */
  ToIndex: 14,
  FromIndex: 15,
  /** A = word `k` of what the program is about; a dialect says whether there are words. */
  LoadData: 16,
} as const;
export type Op = (typeof Op)[keyof typeof Op];

/** Kinds from here on are a dialect's: they load the accumulator, and from the second on the index register. */
export const FIRST_OWN_KIND = 17;
export const FIRST_OWN_INDEX_KIND = 128;

export interface Program {
  readonly length: number;
  /** What each instruction does: an `Op` or a kind of the dialect. */
  readonly op: Uint8Array;
  /** BPF_ADD… of arithmetic, BPF_JEQ… of comparisons. */
  readonly operation: Uint8Array;
  /** Operand: constant, index of scratch memory, or what the dialect's loads want. */
  readonly k: Int32Array;
  /** Where jumps lead. */
  readonly yes: Uint16Array;
  readonly no: Uint16Array;
}

/** One instruction, decoded. */
export interface Instruction {
  /** An `Op` or a kind of the dialect. */
  readonly kind: number;
  readonly operand: number;
  /** BPF_ADD… of arithmetic. */
  readonly operation?: number;
}

/** What programs of one purpose may do besides what all may. */
export interface Dialect {
  /** What an instruction does that all programs together do not know; null: it is not allowed. `k` unsigned. */
  readonly load: (code: number, k: number) => Instruction | null;
  readonly hasModulo: boolean;
}

const CLASS = 0x07;
const OPERATION = 0xf0;

/** Bytes a decoded program takes for each instruction. */
export const BYTES_PER_INSTRUCTION = 10;

const ARITHMETIC: ReadonlySet<number> = new Set([
  bpf.BPF_ADD,
  bpf.BPF_SUB,
  bpf.BPF_MUL,
  bpf.BPF_DIV,
  bpf.BPF_OR,
  bpf.BPF_AND,
  bpf.BPF_LSH,
  bpf.BPF_RSH,
  bpf.BPF_XOR,
]);
const COMPARISONS: ReadonlySet<number> = new Set([bpf.BPF_JEQ, bpf.BPF_JGT, bpf.BPF_JGE, bpf.BPF_JSET]);

const PLAIN: ReadonlyMap<number, Op> = new Map([
  [bpf.BPF_LD | bpf.BPF_IMM, Op.LoadConstant],
  [bpf.BPF_LD | bpf.BPF_MEM, Op.LoadMemory],
  [bpf.BPF_LDX | bpf.BPF_IMM, Op.LoadIndexConstant],
  [bpf.BPF_LDX | bpf.BPF_MEM, Op.LoadIndexMemory],
  [bpf.BPF_ST, Op.Store],
  [bpf.BPF_STX, Op.StoreIndex],
  [bpf.BPF_ALU | bpf.BPF_NEG, Op.Negate],
  [bpf.BPF_JMP | bpf.BPF_JA, Op.Jump],
  [bpf.BPF_RET | bpf.BPF_K, Op.ReturnConstant],
  [bpf.BPF_RET | bpf.BPF_A, Op.ReturnAccumulator],
  [bpf.BPF_MISC | bpf.BPF_TAX, Op.ToIndex],
  [bpf.BPF_MISC | bpf.BPF_TXA, Op.FromIndex],
]);

/** The kind of an instruction that all programs may have, or -1. */
function commonKind(code: number, hasModulo: boolean): number {
  const plain = PLAIN.get(code);
  if (plain !== undefined) return plain;
  const isIndexed = (code & bpf.BPF_X) !== 0;
  const operation = code & OPERATION;
  if ((code & ~(CLASS | OPERATION | bpf.BPF_X)) !== 0) return -1;
  switch (code & CLASS) {
    case bpf.BPF_ALU:
      if (!ARITHMETIC.has(operation) && !(hasModulo && operation === bpf.BPF_MOD)) return -1;
      return isIndexed ? Op.ArithmeticX : Op.ArithmeticK;
    case bpf.BPF_JMP:
      return COMPARISONS.has(operation) ? (isIndexed ? Op.CompareX : Op.CompareK) : -1;
    default:
      return -1;
  }
}

function decode(code: number, k: number, dialect: Dialect): Instruction | null {
  const kind = commonKind(code, dialect.hasModulo);
  if (kind < 0) return dialect.load(code, k);
  return isAllowedOperand(kind, code, k) ? { kind, operand: k } : null;
}

function isAllowedOperand(kind: number, code: number, k: number): boolean {
  switch (kind) {
    case Op.LoadMemory:
    case Op.LoadIndexMemory:
    case Op.Store:
    case Op.StoreIndex:
      return k < bpf.BPF_MEMWORDS;
    case Op.ArithmeticK:
      return isSaneConstant(code & OPERATION, k);
    default:
      return true;
  }
}

function isSaneConstant(operation: number, k: number): boolean {
  if (operation === bpf.BPF_DIV || operation === bpf.BPF_MOD) return k !== 0;
  return (operation !== bpf.BPF_LSH && operation !== bpf.BPF_RSH) || k < 32;
}

/**
 * Checks and decodes.
 * @param words the program as in guest memory: for each instruction one word with code (bits 0-15), jt (16-23) and jf (24-31), and one with k.
 * @returns null for a program that Linux refuses with EINVAL.
 */
export function decodeProgram(words: Uint32Array, dialect: Dialect): Program | null {
  const length = words.length / 2;
  if (length < 1 || length > bpf.BPF_MAXINSNS) return null;
  const op = new Uint8Array(length);
  const operation = new Uint8Array(length);
  const k = new Int32Array(length);
  const yes = new Uint16Array(length);
  const no = new Uint16Array(length);
  for (let pc = 0; pc < length; pc++) {
    const head = words[2 * pc]!;
    const code = head & 0xffff;
    const instruction = decode(code, words[2 * pc + 1]!, dialect);
    if (instruction === null) return null;
    const { kind, operand } = instruction;
    op[pc] = kind;
    operation[pc] = instruction.operation ?? code & OPERATION;
    k[pc] = operand;
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
  const program: Program = { length, op, operation, k, yes, no };
  return readsOnlyWhatItStored(program) ? program : null;
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
