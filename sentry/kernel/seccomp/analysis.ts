/**
 * What a seccomp program says of a call of which only some is known: with the number alone, most filters have made up their minds, and then the
 * answer can be kept for all calls of that number.
 *
 *     if (analyse(program, data, KNOWN_NUMBER_AND_ARCHITECTURE)) … every such call gets `constantResult()`
 *
 * The program is run once from front to back on values that are known or not. Since all jumps lead forward, each instruction is met after everything
 * that leads to it: it starts with what all ways there agree on (constant propagation). A comparison of an unknown value goes both ways. The
 * answer is conservative: "no" where values are too mixed to tell, never a wrong "yes". It takes one step for each instruction at most.
 */
import * as bpf from '#sentry/abi/bpf.ts';
import { arithmetic, holds } from '../../bpf/arithmetic.ts';
import { Op } from '../../bpf/program.ts';
import type { Program } from '../../bpf/program.ts';

/** Bits of the words of `struct seccomp_data`. */
export const KNOWN_NUMBER_AND_ARCHITECTURE = 0b11;

// A state: scratch memory, accumulator, index register; one bit of `known` for each.
const A = bpf.BPF_MEMWORDS;
const X = bpf.BPF_MEMWORDS + 1;
const STATE_WORDS = bpf.BPF_MEMWORDS + 2;

/** For each instruction the state before it; `reached` where some way leads to it. Used within one analysis only. */
let states = new Int32Array(0);
let known = new Uint32Array(0);
let reached = new Uint8Array(0);
/** The state at the instruction being looked at. */
const now = new Int32Array(STATE_WORDS);
let nowKnown = 0;
let result = 0;
let hasResult = false;

/** After `analyse` said yes. */
export function constantResult(): number {
  return result;
}

/**
 * Whether `program` returns the same for all data that agree with `data` in the words whose bits are set in `knownWords`.
 * @param data words of `struct seccomp_data`; those not known are not looked at.
 */
export function analyse(program: Program, data: Int32Array, knownWords: number): boolean {
  begin(program.length);
  for (let pc = 0; pc < program.length; pc++) {
    if (reached[pc] === 0) continue;
    for (let place = 0; place < STATE_WORDS; place++) now[place] = states[pc * STATE_WORDS + place]!;
    nowKnown = known[pc]!;
    if (!step(program, pc, data, knownWords)) return false;
  }
  return hasResult;
}

function begin(length: number): void {
  if (reached.length < length) {
    states = new Int32Array(length * STATE_WORDS);
    known = new Uint32Array(length);
    reached = new Uint8Array(length);
  }
  reached.fill(0, 0, length);
  states.fill(0, 0, STATE_WORDS);
  known[0] = (1 << A) | (1 << X); // both start as 0
  reached[0] = 1;
  hasResult = false;
}

/** One instruction, and what it means for those that follow. False: the program's result is not the same for all. */
function step(program: Program, pc: number, data: Int32Array, knownWords: number): boolean {
  const operation = program.operation[pc]!;
  const k = program.k[pc]!;
  switch (program.op[pc] as Op) {
    case Op.LoadData:
      put(A, (knownWords & (1 << k)) !== 0, data[k]!);
      break;
    case Op.LoadConstant:
      put(A, true, k);
      break;
    case Op.LoadMemory:
      move(A, k);
      break;
    case Op.LoadIndexConstant:
      put(X, true, k);
      break;
    case Op.LoadIndexMemory:
      move(X, k);
      break;
    case Op.Store:
      move(k, A);
      break;
    case Op.StoreIndex:
      move(k, X);
      break;
    case Op.ArithmeticK:
      put(A, isKnown(A), arithmetic(operation, now[A]!, k));
      break;
    case Op.ArithmeticX:
      if (operation === bpf.BPF_DIV && !(isKnown(X) && now[X] !== 0)) {
        // The program may end here, or does.
        if (!returns(true, 0)) return false;
        if (isKnown(X)) return true;
      }
      put(A, isKnown(A) && isKnown(X), isKnown(X) ? arithmetic(operation, now[A]!, now[X]!) : 0);
      break;
    case Op.Negate:
      put(A, isKnown(A), -now[A]! | 0);
      break;
    case Op.ToIndex:
      move(X, A);
      break;
    case Op.FromIndex:
      move(A, X);
      break;
    case Op.Jump:
      reach(program.yes[pc]!);
      return true;
    case Op.CompareK:
      branch(program, pc, isKnown(A), k);
      return true;
    case Op.CompareX:
      branch(program, pc, isKnown(A) && isKnown(X), now[X]!);
      return true;
    case Op.ReturnConstant:
      return returns(true, k);
    case Op.ReturnAccumulator:
      return returns(isKnown(A), now[A]!);
  }
  reach(pc + 1);
  return true;
}

function isKnown(place: number): boolean {
  return (nowKnown & (1 << place)) !== 0;
}

function put(place: number, isItKnown: boolean, value: number): void {
  now[place] = value;
  if (isItKnown) nowKnown |= 1 << place;
  else nowKnown &= ~(1 << place);
}

function move(to: number, from: number): void {
  put(to, isKnown(from), now[from]!);
}

function branch({ operation, yes, no }: Program, pc: number, isDecided: boolean, operand: number): void {
  if (!isDecided) {
    reach(yes[pc]!);
    reach(no[pc]!);
  } else if (holds(operation[pc]!, now[A]!, operand)) reach(yes[pc]!);
  else reach(no[pc]!);
}

/** A way with the present state leads to `pc`: what is known there is what all ways agree on. */
function reach(pc: number): void {
  const at = pc * STATE_WORDS;
  if (reached[pc] === 0) {
    reached[pc] = 1;
    states.set(now, at);
    known[pc] = nowKnown;
    return;
  }
  let both = nowKnown & known[pc]!;
  for (let place = 0; place < STATE_WORDS; place++) {
    if (states[at + place] !== now[place]) both &= ~(1 << place);
  }
  known[pc] = both;
}

/** A way ends here with this value. */
function returns(isItKnown: boolean, value: number): boolean {
  if (!isItKnown || (hasResult && value !== result)) return false;
  result = value;
  hasResult = true;
  return true;
}
