/**
 * What a profile says of each system call, gathered the way libseccomp and runc do, which is what people who write profiles test with:
 *
 * - a name that no system call of this machine has is left out; so is a rule that says what the default says
 * - the conditions of a rule must all hold, but where two look at the same argument, each is a rule of its own
 * - of the rules for one call the first without conditions takes the place of those before it and of those that follow
 *
 * Rules with conditions that hold for the same arguments and differ: the first counts. (libseccomp leaves that to how its tree came to be.)
 */
import * as s from '#sentry/abi/seccomp.ts';
import { EPERM } from '#sentry/abi/errno.ts';
import { X64_SYSCALLS } from '#sentry/abi/x64/syscalls.ts';
import { UserError } from '../../errors.ts';
import { EXIT_OCI_FAILURE } from '../errors.ts';
import type { SeccompAction, SeccompConfig, SeccompRule } from '../config/types.ts';
import type { ConditionalVerdict } from './conditions.ts';

/** The verdict on one system call. */
export interface CallVerdict {
  conditional: readonly ConditionalVerdict[];
  /** Where no condition holds; null: what the default says. */
  always: number | null;
}

export interface Rules {
  readonly otherwise: number;
  /** By number. */
  readonly calls: ReadonlyMap<number, CallVerdict>;
  /** The highest number that has a rule, -1 without one. */
  readonly lastNumber: number;
  /** Names that are no system call of this machine. */
  readonly unknown: readonly string[];
}

const NUMBERS: ReadonlyMap<string, number> = new Map(X64_SYSCALLS.map(([number, name]) => [name, number]));

/** @throws UserError for SCMP_ACT_NOTIFY, with the name of the field. */
export function gatherRules(profile: SeccompConfig): Rules {
  const otherwise = verdictOf(profile.defaultAction, profile.defaultErrnoRet, 'defaultAction');
  const calls = new Map<number, CallVerdict>();
  const unknown = new Set<string>();
  let lastNumber = -1;
  for (const [i, rule] of profile.syscalls.entries()) {
    const value = verdictOf(rule.action, rule.errnoRet, `syscalls[${i}].action`);
    for (const name of rule.names) {
      const number = NUMBERS.get(name);
      if (number === undefined) {
        unknown.add(name);
        continue;
      }
      lastNumber = Math.max(lastNumber, number);
      if (value !== otherwise) addRule(calls, number, rule, value);
    }
  }
  return { otherwise, calls, lastNumber, unknown: [...unknown] };
}

function addRule(calls: Map<number, CallVerdict>, number: number, { args }: SeccompRule, verdict: number): void {
  let call = calls.get(number);
  if (call === undefined) calls.set(number, (call = { conditional: [], always: null }));
  if (call.always !== null) return;
  if (args.length === 0) {
    call.conditional = [];
    call.always = verdict;
    return;
  }
  const isEachItsOwn = new Set(args.map(({ index }) => index)).size < args.length;
  const added = isEachItsOwn ? args.map((condition) => ({ conditions: [condition], verdict })) : [{ conditions: args, verdict }];
  call.conditional = [...call.conditional, ...added];
}

function verdictOf(action: SeccompAction, errno: number | null, field: string): number {
  switch (action) {
    case 'SCMP_ACT_KILL':
    case 'SCMP_ACT_KILL_THREAD':
      return s.SECCOMP_RET_KILL_THREAD;
    case 'SCMP_ACT_KILL_PROCESS':
      return s.SECCOMP_RET_KILL_PROCESS;
    case 'SCMP_ACT_TRAP':
      return s.SECCOMP_RET_TRAP;
    case 'SCMP_ACT_ERRNO':
      return s.SECCOMP_RET_ERRNO | (errno ?? EPERM);
    case 'SCMP_ACT_TRACE':
      return s.SECCOMP_RET_TRACE | (errno ?? EPERM);
    case 'SCMP_ACT_ALLOW':
      return s.SECCOMP_RET_ALLOW;
    case 'SCMP_ACT_LOG':
      return s.SECCOMP_RET_LOG;
    case 'SCMP_ACT_NOTIFY':
      throw new UserError(
        `config.json: linux.seccomp.${field} is SCMP_ACT_NOTIFY, which is not supported: nobody outside can answer a guest's system calls`,
        EXIT_OCI_FAILURE,
      );
    default:
      return action satisfies never;
  }
}
