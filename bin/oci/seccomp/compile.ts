/**
 * Compiles the profile of a container, `linux.seccomp` of config.json, to the program that kernel/seccomp runs for its processes.
 *
 *     const { words, flags, warnings } = compileProfile(config.linux.seccomp);
 *     installFilter(task, words, flags);      // for each process that the runtime starts; children inherit
 *
 * The program looks at the architecture, then searches the number in a sorted tree, then at arguments where rules do. What surrounds the rules is as
 * with runc: an architecture that the profile does not name is killed, and numbers above all that the profile names do not exist (ENOSYS)
 * unless they are allowed: a program that tries a call newer than the profile then falls back on an older one.
 *
 * Linux: for SCMP_ARCH_X86 libseccomp would look rules up by the numbers of i386. Behind this filter no such call exists, so here it lets them all pass.
 * Specification: config-linux.md "Seccomp"; libseccomp's seccomp_rule_add(3); runc's libcontainer/seccomp.
 */
import { ENOSYS } from '#sentry/abi/errno.ts';
import * as bpf from '#sentry/abi/bpf.ts';
import * as s from '#sentry/abi/seccomp.ts';
import { UserError } from '../../errors.ts';
import { EXIT_OCI_FAILURE } from '../errors.ts';
import type { SeccompConfig } from '../config/types.ts';
import { byArguments } from './conditions.ts';
import { JEQ, JGE, JGT, choose, encode, load, verdict } from './instructions.ts';
import type { Instruction } from './instructions.ts';
import { gatherRules } from './rules.ts';
import type { Rules } from './rules.ts';

export interface CompiledProfile {
  /** `struct sock_filter` after `struct sock_filter`, two words each. */
  readonly words: Uint32Array;
  /** SECCOMP_FILTER_FLAG_*. */
  readonly flags: number;
  /** For the debug log: what was left out. */
  readonly warnings: readonly string[];
}

const NUMBER = 0;
const ARCHITECTURE = 4;
const NO_CALL = 0xffff_ffff;

/** Verdicts by which new calls need not be hidden: they happen, or somebody hears of them. */
const PERMISSIVE: ReadonlySet<number> = new Set([s.SECCOMP_RET_ALLOW, s.SECCOMP_RET_LOG, s.SECCOMP_RET_TRACE]);
const NO_SUCH_CALL = s.SECCOMP_RET_ERRNO | ENOSYS;

/**
 * @throws UserError that names the field: an action that is not supported, too many rules for a program.
 */
export function compileProfile(profile: SeccompConfig): CompiledProfile {
  const rules = gatherRules(profile);
  const foreign = (name: string): number => (profile.architectures.includes(name) ? s.SECCOMP_RET_ALLOW : s.SECCOMP_RET_KILL_THREAD);
  const otherEntry = choose(JEQ, s.AUDIT_ARCH_I386, [verdict(foreign('SCMP_ARCH_X86'))], [verdict(s.SECCOMP_RET_KILL_THREAD)]);
  const x32 = choose(JEQ, NO_CALL, [verdict(numberless(rules))], [verdict(foreign('SCMP_ARCH_X32'))]);
  const native = [load(NUMBER), ...choose(JGE, s.X32_SYSCALL_BIT, x32, known(rules))];
  const program = [load(ARCHITECTURE), ...choose(JEQ, s.AUDIT_ARCH_X86_64, native, otherEntry)];
  if (program.length > bpf.BPF_MAXINSNS) {
    const text = `${program.length} instructions, more than the ${bpf.BPF_MAXINSNS} that Linux lets a filter have`;
    throw new UserError(`config.json: linux.seccomp.syscalls has too many rules: they come to ${text}`, EXIT_OCI_FAILURE);
  }
  return { words: encode(program), flags: flagsOf(profile.flags), warnings: warningsOf(rules, profile) };
}

/** The verdict on numbers that no rule can mean. */
function numberless({ otherwise }: Rules): number {
  return hidesNewCalls(otherwise) ? NO_SUCH_CALL : otherwise;
}

function hidesNewCalls(otherwise: number): boolean {
  return otherwise !== NO_SUCH_CALL && !PERMISSIVE.has(otherwise & s.SECCOMP_RET_ACTION);
}

/** Numbers of the native entry. */
function known(rules: Rules): readonly Instruction[] {
  const tree = search(stretches(rules));
  if (!hidesNewCalls(rules.otherwise)) return tree;
  return rules.lastNumber < 0 ? [verdict(NO_SUCH_CALL)] : choose(JGT, rules.lastNumber, [verdict(NO_SUCH_CALL)], tree);
}

/** Consecutive numbers, from `first` on, of which the same is said. */
interface Stretch {
  readonly first: number;
  readonly piece: readonly Instruction[];
  /** The verdict where that is all; null: arguments decide. */
  readonly constant: number | null;
}

function stretches({ calls, otherwise }: Rules): readonly Stretch[] {
  const all: Stretch[] = [];
  const add = (first: number, constant: number | null, piece: readonly Instruction[]): void => {
    const last = all.at(-1);
    if (last !== undefined && constant !== null && last.constant === constant) return;
    all.push({ first, constant, piece });
  };
  let next = 0;
  for (const [number, { conditional, always }] of [...calls].toSorted(([a], [b]) => a - b)) {
    if (number > next) add(next, otherwise, [verdict(otherwise)]);
    next = number + 1;
    if (conditional.length === 0) add(number, always ?? otherwise, [verdict(always ?? otherwise)]);
    else add(number, null, byArguments(conditional, always ?? otherwise));
  }
  add(next, otherwise, [verdict(otherwise)]);
  return all;
}

/** The piece of the stretch that the number in A lies in. */
function search(all: readonly Stretch[]): readonly Instruction[] {
  if (all.length === 1) return all[0]!.piece;
  const middle = all.length >> 1;
  return choose(JGE, all[middle]!.first, search(all.slice(middle)), search(all.slice(0, middle)));
}

const FLAGS: Readonly<Record<string, number>> = s.SECCOMP_FILTER_FLAGS;

/** SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV is about listeners only. */
function flagsOf(names: readonly string[]): number {
  let flags = 0;
  for (const name of names) flags |= FLAGS[name] ?? 0;
  return flags & ~s.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
}

function warningsOf({ unknown }: Rules, { listenerPath }: SeccompConfig): readonly string[] {
  const warnings: string[] = [];
  if (unknown.length > 0) warnings.push(`linux.seccomp: no system calls of x86-64, left out: ${unknown.join(', ')}`);
  if (listenerPath !== null) warnings.push('linux.seccomp.listenerPath is not used: no rule has SCMP_ACT_NOTIFY');
  return warnings;
}
