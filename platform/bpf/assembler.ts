/**
 * Seccomp filters as data, and their translation to classic BPF.
 *
 * A filter is a list of rules, each one system call with the reason why it is allowed and, where BPF can look, conditions on its
 * arguments. Whatever no rule allows meets the filter's default action. Foreign architectures (int 0x80, x32) are killed first.
 *
 *     const program = assembleFilter({ name: 'stub', rules: [{ nr: 11, name: 'munmap', reason: '…' }], otherwise: 'kill' });
 *
 * Specification: seccomp(2), the kernel's Documentation/userspace-api/seccomp_filter.rst.
 */

/** A test of one argument (0…5). All conditions of a rule must hold. */
export type Condition =
  /** All 64 bits equal one of the values (each below 2^32; the upper half must be zero). */
  | { readonly argument: number; readonly oneOf: readonly number[] }
  /** The lower 32 bits equal one of the values; the upper half is ignored, as the kernel ignores it for int arguments. */
  | { readonly argument: number; readonly lowOneOf: readonly number[] }
  /** The unsigned 64-bit value is below this bound (up to 2^53). */
  | { readonly argument: number; readonly below: number }
  /** The unsigned 64-bit value is this bound (up to 2^53) or more. */
  | { readonly argument: number; readonly notBelow: number }
  /** All these bits of the lower half are set. */
  | { readonly argument: number; readonly bitsSet: number }
  /** None of these bits of the lower half is set. */
  | { readonly argument: number; readonly bitsClear: number };

export interface Rule {
  readonly nr: number;
  readonly name: string;
  readonly reason: string;
  readonly when?: readonly Condition[];
  /** What happens when the conditions hold. */
  readonly action?: 'allow' | 'notify' | 'trap';
}

/** `kill`: the whole process. `eperm`, `enosys`: the call fails. `notify`: the filter's listener answers. `trap`: SIGSYS. */
export type DefaultAction = 'kill' | 'eperm' | 'enosys' | 'notify';

export interface Filter {
  readonly name: string;
  readonly rules: readonly Rule[];
  readonly otherwise: DefaultAction;
  /** Calls of foreign architectures; killed unless stated. */
  readonly foreign?: 'kill' | 'trap';
  /** Numbers of x32: killed, unless they are to be looked at like others. */
  readonly x32?: 'kill' | 'rules';
  /** Calls made by the code in this range (`size` a power of two, `start` a multiple of it) meet these rules instead. */
  readonly within?: CodeRange;
}

export interface CodeRange {
  readonly start: number;
  readonly size: number;
  readonly rules: readonly Rule[];
  readonly otherwise: DefaultAction;
}

const LOAD_WORD = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP = 0x05;
const JUMP_EQUAL = 0x15;
const JUMP_GREATER = 0x25;
const JUMP_GREATER_EQUAL = 0x35;
const JUMP_SET = 0x45;
const RETURN = 0x06;

const AUDIT_ARCH_X86_64 = 0xc000_003e;
const X32_BIT = 0x4000_0000;
const RET_KILL_PROCESS = 0x8000_0000;
const RET_ALLOW = 0x7fff_0000;
const RET_ERRNO = 0x0005_0000;
const RET_TRAP = 0x0003_0000;
const RET_USER_NOTIF = 0x7fc0_0000;
const AND = 0x54; // BPF_ALU | BPF_AND | BPF_K
const EPERM = 1;
const ENOSYS = 38;

// struct seccomp_data
const OFFSET_NR = 0;
const OFFSET_ARCH = 4;
const OFFSET_IP = 8;
const OFFSET_ARGUMENTS = 16;

/** An instruction whose jumps name labels; `next` is the instruction that follows. */
interface Instruction {
  readonly code: number;
  readonly k: number;
  readonly whenTrue: string;
  readonly whenFalse: string;
}

const NEXT = 'next';

class Program {
  readonly #instructions: Instruction[] = [];
  readonly #labels = new Map<string, number>();
  #fresh = 0;

  label(name: string): void {
    this.#labels.set(name, this.#instructions.length);
  }

  freshLabel(): string {
    this.#fresh += 1;
    return `.${this.#fresh}`;
  }

  load(offset: number): void {
    this.#push(LOAD_WORD, offset, NEXT, NEXT);
  }

  jump(code: number, k: number, whenTrue: string, whenFalse: string): void {
    this.#push(code, k, whenTrue, whenFalse);
  }

  go(label: string): void {
    this.#push(JUMP, 0, label, NEXT);
  }

  /** The accumulator keeps the bits of `mask`. */
  and(mask: number): void {
    this.#push(AND, mask, NEXT, NEXT);
  }

  ret(action: number): void {
    this.#push(RETURN, action, NEXT, NEXT);
  }

  #push(code: number, k: number, whenTrue: string, whenFalse: string): void {
    this.#instructions.push({ code, k, whenTrue, whenFalse });
  }

  /** struct sock_filter: code u16, jt u8, jf u8, k u32. */
  finish(): Uint8Array {
    const bytes = new Uint8Array(this.#instructions.length * 8);
    const view = new DataView(bytes.buffer);
    for (const [index, { code, k, whenTrue, whenFalse }] of this.#instructions.entries()) {
      const at = index * 8;
      view.setUint16(at, code, true);
      if (code === JUMP) {
        view.setUint32(at + 4, this.#distance(index, whenTrue), true);
        continue;
      }
      view.setUint8(at + 2, this.#shortDistance(index, whenTrue));
      view.setUint8(at + 3, this.#shortDistance(index, whenFalse));
      view.setUint32(at + 4, k, true);
    }
    return bytes;
  }

  #distance(from: number, label: string): number {
    if (label === NEXT) return 0;
    const to = this.#labels.get(label);
    if (to === undefined || to <= from) throw new Error(`bpf: label ${label} is not ahead of its jump`);
    return to - from - 1;
  }

  #shortDistance(from: number, label: string): number {
    const distance = this.#distance(from, label);
    if (distance > 255) throw new Error(`bpf: conditional jump to ${label} spans ${distance} instructions`);
    return distance;
  }
}

function defaultAction(action: DefaultAction): number {
  if (action === 'kill') return RET_KILL_PROCESS;
  if (action === 'notify') return RET_USER_NOTIF;
  return RET_ERRNO | (action === 'eperm' ? EPERM : ENOSYS);
}

/** Continues at the next instruction when the condition holds, else at `refused`. */
function emitCondition(p: Program, condition: Condition, refused: string): void {
  const low = OFFSET_ARGUMENTS + condition.argument * 8;
  const high = low + 4;
  const holds = p.freshLabel();
  if ('below' in condition) {
    const boundHigh = Math.floor(condition.below / 0x1_0000_0000);
    p.load(high);
    p.jump(JUMP_GREATER, boundHigh, refused, NEXT);
    p.jump(JUMP_EQUAL, boundHigh, NEXT, holds);
    p.load(low);
    p.jump(JUMP_GREATER_EQUAL, condition.below >>> 0, refused, holds);
  } else if ('notBelow' in condition) {
    const boundHigh = Math.floor(condition.notBelow / 0x1_0000_0000);
    p.load(high);
    p.jump(JUMP_GREATER, boundHigh, holds, NEXT);
    p.jump(JUMP_EQUAL, boundHigh, NEXT, refused);
    p.load(low);
    p.jump(JUMP_GREATER_EQUAL, condition.notBelow >>> 0, holds, refused);
  } else if ('bitsSet' in condition) {
    p.load(low);
    for (let bit = 0; bit < 32; bit += 1) {
      const mask = (1 << bit) >>> 0;
      if ((condition.bitsSet & mask) !== 0) p.jump(JUMP_SET, mask, NEXT, refused);
    }
  } else if ('bitsClear' in condition) {
    p.load(low);
    p.jump(JUMP_SET, condition.bitsClear >>> 0, refused, NEXT);
  } else {
    if ('oneOf' in condition) {
      p.load(high);
      p.jump(JUMP_EQUAL, 0, NEXT, refused);
    }
    p.load(low);
    const values = 'oneOf' in condition ? condition.oneOf : condition.lowOneOf;
    for (const value of values) p.jump(JUMP_EQUAL, value >>> 0, holds, NEXT);
    p.go(refused);
  }
  p.label(holds);
}

const ACTIONS = { allow: RET_ALLOW, notify: RET_USER_NOTIF, trap: RET_TRAP } as const;

/** The rules for one call: the first whose conditions hold decides. */
function emitRulesOfCall(p: Program, rules: readonly Rule[], otherwise: DefaultAction): void {
  for (const { when = [], action = 'allow' } of rules) {
    const nextRule = p.freshLabel();
    for (const condition of when) emitCondition(p, condition, nextRule);
    p.ret(ACTIONS[action]);
    p.label(nextRule);
    if (when.length === 0) return;
  }
  p.ret(defaultAction(otherwise));
}

/** Expects the number in the accumulator. */
function emitRules(p: Program, rules: readonly Rule[], otherwise: DefaultAction): void {
  const byNumber = new Map<number, Rule[]>();
  for (const rule of rules) byNumber.set(rule.nr, [...(byNumber.get(rule.nr) ?? []), rule]);
  for (const [nr, alternatives] of byNumber) {
    const otherCall = p.freshLabel();
    const thisCall = p.freshLabel();
    p.jump(JUMP_EQUAL, nr, thisCall, NEXT);
    p.go(otherCall);
    p.label(thisCall);
    emitRulesOfCall(p, alternatives, otherwise);
    p.label(otherCall);
  }
  p.ret(defaultAction(otherwise));
}

function emitRange(p: Program, { start, size, rules, otherwise }: CodeRange): void {
  const elsewhere = p.freshLabel();
  const inside = p.freshLabel();
  p.load(OFFSET_IP + 4);
  p.jump(JUMP_EQUAL, Math.floor(start / 0x1_0000_0000), NEXT, elsewhere);
  p.load(OFFSET_IP);
  p.and(-size >>> 0);
  p.jump(JUMP_EQUAL, start >>> 0, inside, NEXT);
  p.go(elsewhere);
  p.label(inside);
  p.load(OFFSET_NR);
  emitRules(p, rules, otherwise);
  p.label(elsewhere);
}

/** The BPF program: eight bytes an instruction. Of several rules for the same call the first whose conditions hold decides. */
export function assembleFilter({ rules, otherwise, foreign = 'kill', x32 = 'kill', within }: Filter): Uint8Array {
  const p = new Program();
  p.load(OFFSET_ARCH);
  p.jump(JUMP_EQUAL, AUDIT_ARCH_X86_64, 'native', NEXT);
  p.ret(foreign === 'kill' ? RET_KILL_PROCESS : RET_TRAP);
  p.label('native');
  if (within !== undefined) emitRange(p, within);
  p.load(OFFSET_NR);
  if (x32 === 'kill') {
    p.jump(JUMP_GREATER_EQUAL, X32_BIT, NEXT, 'rules');
    p.ret(RET_KILL_PROCESS);
    p.label('rules');
  }
  emitRules(p, rules, otherwise);
  return p.finish();
}
