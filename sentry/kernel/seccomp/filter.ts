/**
 * A filter as tasks have it: a program on top of the filters that were there before, of which all are asked and the most severe verdict counts. Tasks
 * that inherited it share the object.
 *
 *     if (!filter.allows(nr)) … enforce(task, filter)       // enforce.ts asks `judge` what is to become of the call
 *
 * What all of them say of a number that asks for nothing else is found out at its first call (analysis.ts) and kept in a table, so that a call whose
 * number alone decides costs one look at an array. The programs themselves run for numbers whose verdict depends on arguments, for numbers beyond the table
 * and for calls through the 32-bit entry.
 *
 * Specification: seccomp(2); Linux kernel/seccomp.c seccomp_run_filters, seccomp_attach_filter.
 */
import { ENOMEM } from '#sentry/abi/errno.ts';
import * as s from '#sentry/abi/seccomp.ts';
import { SECCOMP_FILTERS_BYTES_MAX, SECCOMP_INSTRUCTIONS_PER_TASK } from '../../limits.ts';
import type { Task } from '../task.ts';
import { analyse, constantResult, KNOWN_NUMBER_AND_ARCHITECTURE } from './analysis.ts';
import { BYTES_PER_INSTRUCTION } from '../../bpf/program.ts';
import { evaluate } from './interpreter.ts';
import type { SeccompProgram } from './program.ts';

/** Numbers with an entry in the table: all there are, and some more. */
const NUMBERS = 512;
/** What each program of a chain counts besides its instructions (Linux: seccomp_attach_filter). */
const PENALTY = 4;

/** What a filter takes besides its program and tables, roughly: objects, in the V8 heap. */
const OVERHEAD_BYTES = 2048;

/** What is known of a number. */
const Kind = {
  /** Nobody has asked yet. */
  Unknown: 0,
  /** Always allowed, and nothing else to do. */
  Allowed: 1,
  /** Always the same verdict. */
  Constant: 2,
  /** Arguments or the instruction pointer decide. */
  Depends: 3,
} as const;

/** Who decides about calls that a filter leaves to another process: listener.ts. */
export interface FilterListener {
  /** No task has the filter any more. */
  filterGone(): void;
  /** Puts a call before whoever listens: `goOn` when it is to be made, BLOCKED, or REGISTERS_SET. */
  ask(task: Task, data: Int32Array, goOn: number): number;
}

export class SeccompFilter {
  /** Bytes that all filters of the sandbox take. */
  private static bytesUsed = 0;

  // Immutable.
  /** SECCOMP_MODE_STRICT or SECCOMP_MODE_FILTER. */
  readonly mode: number;
  readonly previous: SeccompFilter | null;
  /** Programs in the chain. */
  readonly count: number;
  /** Verdicts other than "allowed" are to be logged. Linux asks the one filter that decided; here one of the chain is enough. */
  readonly isLogged: boolean;
  readonly readsInstructionPointer: boolean;
  private readonly program: SeccompProgram;
  private readonly instructions: number;
  private readonly bytes: number;

  // Shared by the tasks that have it.
  private readonly kinds = new Uint8Array(NUMBERS);
  private readonly verdicts = new Int32Array(NUMBERS);
  /** Numbers (and, last, all beyond them) whose verdict has been logged. */
  private logged: Uint8Array | null = null;
  private users = 0;
  /** For SECCOMP_RET_USER_NOTIF; null: there is none, or it was closed. */
  listener: FilterListener | null = null;

  private constructor(mode: number, program: SeccompProgram, previous: SeccompFilter | null, isLogged: boolean) {
    this.mode = mode;
    this.program = program;
    this.previous = previous;
    this.count = mode === s.SECCOMP_MODE_STRICT ? 0 : 1 + (previous?.count ?? 0);
    this.isLogged = isLogged || previous?.isLogged === true;
    this.readsInstructionPointer = program.readsInstructionPointer || previous?.readsInstructionPointer === true;
    this.instructions = program.length + PENALTY + (previous?.instructions ?? 0);
    this.bytes = OVERHEAD_BYTES + program.length * BYTES_PER_INSTRUCTION + NUMBERS * (Int32Array.BYTES_PER_ELEMENT + 2);
  }

  /**
   * A filter on top of `previous`, not yet used by any task.
   * @param mode SECCOMP_MODE_*.
   * @returns -ENOMEM when the chain or all filters together would become too long.
   */
  static create(mode: number, program: SeccompProgram, previous: SeccompFilter | null, isLogged: boolean): SeccompFilter | number {
    const filter = new SeccompFilter(mode, program, previous, isLogged);
    if (filter.instructions - PENALTY > SECCOMP_INSTRUCTIONS_PER_TASK) return -ENOMEM;
    if (SeccompFilter.bytesUsed + filter.bytes > SECCOMP_FILTERS_BYTES_MAX) return -ENOMEM;
    return filter;
  }

  /** One more task has the filter; a filter on top of others counts among the users of the next. */
  static acquire(filter: SeccompFilter): SeccompFilter {
    for (let each: SeccompFilter | null = filter; each !== null && each.users++ === 0; each = each.previous) {
      SeccompFilter.bytesUsed += each.bytes;
    }
    return filter;
  }

  /** One less: the last one frees it, and lets go of those below. */
  static release(filter: SeccompFilter): void {
    for (let each: SeccompFilter | null = filter; each !== null && --each.users === 0; each = each.previous) {
      SeccompFilter.bytesUsed -= each.bytes;
      each.listener?.filterGone();
    }
  }

  /** Whether calls with this number (of the native entry) just go on. False also when it is not known yet. */
  allows(nr: number): boolean {
    return this.kinds[nr] === Kind.Allowed;
  }

  /** Whether this filter is `descendant`, or below it. */
  isAncestorOf(descendant: SeccompFilter | null): boolean {
    let filter = descendant;
    while (filter !== null && filter !== this) filter = filter.previous;
    return filter === this;
  }

  /** Whether the verdict on the call that `data` describes is the same whatever its arguments and the instruction pointer. */
  isDecided(data: Int32Array): boolean {
    return this.isInTable(data) && this.kindOf(data[0]!, data) !== Kind.Depends;
  }

  /**
   * What is to become of a call: an action and its data, as a signed number. `data`: the words of `struct seccomp_data`; those of the instruction
   * pointer are needed only if `readsInstructionPointer`.
   */
  judge(data: Int32Array): number {
    if (!this.isInTable(data)) return this.run(data);
    const nr = data[0]!;
    switch (this.kindOf(nr, data)) {
      case Kind.Allowed:
        return s.SECCOMP_RET_ALLOW;
      case Kind.Constant:
        return this.verdicts[nr]!;
      default:
        return this.run(data);
    }
  }

  /** The listener of the filter that decided for SECCOMP_RET_USER_NOTIF: of several the newest. */
  static listenerFor(newest: SeccompFilter, data: Int32Array): FilterListener | null {
    for (let filter: SeccompFilter | null = newest; filter !== null; filter = filter.previous) {
      if ((evaluate(filter.program, data) & s.SECCOMP_RET_ACTION) === s.SECCOMP_RET_USER_NOTIF) return filter.listener;
    }
    return null;
  }

  /** Whether this filter or one below it has a listener. There may be only one. */
  static hasListener(newest: SeccompFilter | null): boolean {
    for (let filter = newest; filter !== null; filter = filter.previous) if (filter.listener !== null) return true;
    return false;
  }

  /** Whether the verdict on calls with this number is to be put in the log: the first time only. */
  isWorthLogging(nr: number): boolean {
    const entry = Math.min(nr, NUMBERS);
    this.logged ??= new Uint8Array(NUMBERS + 1);
    if (this.logged[entry] !== 0) return false;
    this.logged[entry] = 1;
    // From now on "log" means "allow".
    const isLogVerdict = (this.verdicts[nr]! & s.SECCOMP_RET_ACTION) === s.SECCOMP_RET_LOG;
    if (nr < NUMBERS && this.kinds[nr] === Kind.Constant && isLogVerdict) this.kinds[nr] = Kind.Allowed;
    return true;
  }

  private isInTable(data: Int32Array): boolean {
    return data[0]! >>> 0 < NUMBERS && data[1] === (s.AUDIT_ARCH_X86_64 | 0);
  }

  /** Runs all programs, from the newest down. */
  private run(data: Int32Array): number {
    let verdict = evaluate(this.program, data);
    for (let filter = this.previous; filter !== null; filter = filter.previous)
      verdict = moreSevere(verdict, evaluate(filter.program, data));
    return verdict;
  }

  /** What is known of `nr`, which the first time has to be found out. */
  private kindOf(nr: number, data: Int32Array): number {
    const kind = this.kinds[nr]!;
    if (kind !== Kind.Unknown) return kind;
    if (!analyse(this.program, data, KNOWN_NUMBER_AND_ARCHITECTURE)) return (this.kinds[nr] = Kind.Depends);
    let verdict = constantResult();
    for (let filter = this.previous; filter !== null; filter = filter.previous) {
      const known = filter.kinds[nr]!;
      if (known === Kind.Depends) return (this.kinds[nr] = Kind.Depends);
      if (known !== Kind.Unknown) {
        // It speaks for those below it as well.
        verdict = moreSevere(verdict, filter.verdicts[nr]!);
        break;
      }
      if (!analyse(filter.program, data, KNOWN_NUMBER_AND_ARCHITECTURE)) return (this.kinds[nr] = Kind.Depends);
      verdict = moreSevere(verdict, constantResult());
    }
    this.verdicts[nr] = verdict;
    const isAllowed = (verdict & s.SECCOMP_RET_ACTION) === s.SECCOMP_RET_ALLOW;
    return (this.kinds[nr] = isAllowed ? Kind.Allowed : Kind.Constant);
  }
}

/** Of two verdicts the more severe; of equal ones the first, which is the newer filter's. */
function moreSevere(verdict: number, other: number): number {
  return (other & s.SECCOMP_RET_ACTION) < (verdict & s.SECCOMP_RET_ACTION) ? other : verdict;
}
