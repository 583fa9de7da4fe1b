/** Filters on top of each other: which verdict counts, when it is kept, and what is freed. */
import { expect, test } from 'vitest';
import * as bpf from '#sentry/abi/bpf.ts';
import * as s from '#sentry/abi/seccomp.ts';
import { SeccompFilter } from './filter.ts';
import { DATA_WORDS } from './interpreter.ts';
import { decodeSeccomp } from './program.ts';

const LOAD = bpf.BPF_LD | bpf.BPF_ABS;
const NUMBER = 110;

function add(
  previous: SeccompFilter | null,
  ...program: readonly (readonly [code: number, k: number, yes?: number, no?: number])[]
): SeccompFilter {
  const words = Uint32Array.from(program.flatMap(([code, k, yes = 0, no = 0]) => [code | (yes << 16) | (no << 24), k]));
  const filter = SeccompFilter.create(s.SECCOMP_MODE_FILTER, decodeSeccomp(words)!, previous, false);
  if (typeof filter === 'number') throw new Error(`${filter}`);
  return filter;
}

function always(previous: SeccompFilter | null, verdict: number): SeccompFilter {
  return add(previous, [bpf.BPF_RET, verdict]);
}

function byArgument(previous: SeccompFilter | null): SeccompFilter {
  return add(previous, [LOAD, 16], [bpf.BPF_RET | bpf.BPF_A, 0]);
}

function call(nr: number, argument = 0, architecture = s.AUDIT_ARCH_X86_64): Int32Array {
  const data = new Int32Array(DATA_WORDS);
  data.set([nr, architecture, 0, 0, argument]);
  return data;
}

const BY_SEVERITY = [
  s.SECCOMP_RET_KILL_PROCESS,
  s.SECCOMP_RET_KILL_THREAD,
  s.SECCOMP_RET_TRAP,
  s.SECCOMP_RET_ERRNO,
  s.SECCOMP_RET_USER_NOTIF,
  s.SECCOMP_RET_TRACE,
  s.SECCOMP_RET_LOG,
  s.SECCOMP_RET_ALLOW,
];

test('the more severe verdict counts, whichever filter gave it', () => {
  for (const [i, severe] of BY_SEVERITY.entries()) {
    for (const mild of BY_SEVERITY.slice(i)) {
      expect(always(always(null, severe), mild).judge(call(NUMBER))).toBe(severe);
      expect(always(always(null, mild), severe).judge(call(NUMBER))).toBe(severe);
      // The same where an argument decides, and the programs have to be run.
      expect(byArgument(always(null, mild)).judge(call(NUMBER, severe))).toBe(severe);
      expect(always(byArgument(null), severe).judge(call(NUMBER, mild))).toBe(severe);
    }
  }
});

test('of equal ones the newest counts', () => {
  const filter = always(always(null, s.SECCOMP_RET_ERRNO | 1), s.SECCOMP_RET_ERRNO | 2);
  expect(filter.judge(call(NUMBER))).toBe(s.SECCOMP_RET_ERRNO | 2);
  expect(byArgument(filter).judge(call(NUMBER, s.SECCOMP_RET_ERRNO | 3))).toBe(s.SECCOMP_RET_ERRNO | 3);
});

test('what is allowed once is allowed without asking; what depends is asked about each time', () => {
  const allowing = always(null, s.SECCOMP_RET_ALLOW);
  expect(allowing.allows(NUMBER)).toBe(false);
  allowing.judge(call(NUMBER));
  expect(allowing.allows(NUMBER)).toBe(true);
  const depending = byArgument(allowing);
  expect(depending.judge(call(NUMBER, s.SECCOMP_RET_ALLOW))).toBe(s.SECCOMP_RET_ALLOW);
  expect(depending.allows(NUMBER)).toBe(false);
  expect(always(allowing, s.SECCOMP_RET_ERRNO).allows(NUMBER)).toBe(false);
});

test('numbers of other entries and beyond the table have no entry in it', () => {
  const architectures = add(
    null,
    [LOAD, 4],
    [bpf.BPF_JMP | bpf.BPF_JEQ, s.AUDIT_ARCH_I386, 0, 1],
    [bpf.BPF_RET, 0],
    [bpf.BPF_RET, s.SECCOMP_RET_ALLOW],
  );
  expect(architectures.judge(call(NUMBER))).toBe(s.SECCOMP_RET_ALLOW);
  expect(architectures.judge(call(NUMBER, 0, s.AUDIT_ARCH_I386))).toBe(s.SECCOMP_RET_KILL_THREAD);
  expect(architectures.judge(call(-1))).toBe(s.SECCOMP_RET_ALLOW);
  expect(architectures.allows(0xffff_ffff)).toBe(false);
});

test('"log" is logged once for each number, and allowed from then on', () => {
  const filter = always(null, s.SECCOMP_RET_LOG);
  expect(filter.judge(call(NUMBER))).toBe(s.SECCOMP_RET_LOG);
  expect([filter.isWorthLogging(NUMBER), filter.isWorthLogging(NUMBER), filter.allows(NUMBER), filter.allows(NUMBER + 1)]).toEqual([
    true,
    false,
    true,
    false,
  ]);
  expect([filter.isWorthLogging(100_000), filter.isWorthLogging(200_000)]).toEqual([true, false]);
});

test('ancestors', () => {
  const first = always(null, 0);
  const second = always(first, 0);
  const other = always(first, 0);
  expect([first.isAncestorOf(second), second.isAncestorOf(second), second.isAncestorOf(other), first.isAncestorOf(null)]).toEqual([
    true,
    true,
    false,
    false,
  ]);
});

test('a chain has an end, and is given back with its last user', () => {
  const longest = Array.from({ length: bpf.BPF_MAXINSNS }, () => [bpf.BPF_RET, s.SECCOMP_RET_ALLOW] as const);
  for (let round = 0; round < 20; round++) {
    const used: SeccompFilter[] = [];
    expect(() => {
      for (;;) used.push(SeccompFilter.acquire(add(used.at(-1) ?? null, ...longest)));
    }).toThrow('-12');
    expect(used).toHaveLength(7);
    for (const filter of used) SeccompFilter.release(filter);
  }
  // Those below live as long as those above.
  const chain: SeccompFilter[] = [];
  for (let i = 0; i < 5000; i++) chain.push(always(chain.at(-1) ?? null, 0));
  SeccompFilter.release(SeccompFilter.acquire(chain.at(-1)!));
});
