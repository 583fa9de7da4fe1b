/**
 * Profiles compiled and then asked, by running the programs, what they say of calls. The last one is podman's own profile, as podman itself
 * hands it to a runtime.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import * as s from '#sentry/abi/seccomp.ts';
import { X64_SYSCALLS } from '#sentry/abi/x64/syscalls.ts';
import { analyse, KNOWN_NUMBER_AND_ARCHITECTURE } from '#sentry/kernel/seccomp/analysis.ts';
import { DATA_WORDS, evaluate } from '#sentry/kernel/seccomp/interpreter.ts';
import { decodeSeccomp } from '#sentry/kernel/seccomp/program.ts';
import type { SeccompProgram } from '#sentry/kernel/seccomp/program.ts';
import { readConfig } from '../config/read.ts';
import type { SeccompConfig } from '../config/types.ts';
import { compileProfile } from './compile.ts';

const ALLOW = s.SECCOMP_RET_ALLOW;
const KILL = s.SECCOMP_RET_KILL_THREAD;
const errno = (code: number): number => s.SECCOMP_RET_ERRNO | code;
const ENOSYS = errno(38);

/** `profile` as JSON text, so that numbers of 64 bits can be written in it. */
function read(profile: string): SeccompConfig {
  const text = `{"ociVersion":"1.0.2","root":{"path":"rootfs"},"process":{"args":["a"],"cwd":"/","user":{"uid":0,"gid":0}},
    "linux":{"namespaces":[{"type":"pid"},{"type":"ipc"},{"type":"mount"}],"seccomp":${profile}}}`;
  return readConfig(text, '/').config.linux.seccomp!;
}

function compile(profile: string): SeccompProgram {
  return decodeSeccomp(compileProfile(read(profile)).words)!;
}

function ask(
  program: SeccompProgram,
  name: string | number,
  args: readonly bigint[] = [],
  architecture: number = s.AUDIT_ARCH_X86_64,
): number {
  return evaluate(program, dataOf(name, args, architecture));
}

function dataOf(name: string | number, args: readonly bigint[] = [], architecture: number = s.AUDIT_ARCH_X86_64): Int32Array {
  const data = new Int32Array(DATA_WORDS);
  data[0] = typeof name === 'number' ? name : X64_SYSCALLS.find(([, known]) => known === name)![0];
  data[1] = architecture;
  for (const [i, arg] of args.entries()) data.set([Number(BigInt.asIntN(32, arg)), Number(BigInt.asIntN(32, arg >> 32n))], 4 + 2 * i);
  return data;
}

describe('actions', () => {
  test('every action, with its error number', () => {
    const rules = [
      ['read', 'KILL'],
      ['write', 'KILL_THREAD'],
      ['open', 'KILL_PROCESS'],
      ['close', 'TRAP'],
      ['stat', 'ERRNO'],
      ['fstat', 'ERRNO', 13],
      ['lstat', 'TRACE', 7],
      ['poll', 'LOG'],
      ['lseek', 'ERRNO', 0],
    ].map(([name, action, errnoRet]) => ({ names: [name], action: `SCMP_ACT_${action}`, errnoRet }));
    const program = compile(JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: rules }));
    const verdicts = ['read', 'write', 'open', 'close', 'stat', 'fstat', 'lstat', 'poll', 'lseek', 'mmap'].map((name) =>
      ask(program, name),
    );
    expect(verdicts).toEqual([
      KILL,
      KILL,
      s.SECCOMP_RET_KILL_PROCESS,
      s.SECCOMP_RET_TRAP,
      errno(1),
      errno(13),
      s.SECCOMP_RET_TRACE | 7,
      s.SECCOMP_RET_LOG,
      errno(0),
      ALLOW,
    ]);
  });

  test('SCMP_ACT_NOTIFY is refused by the name of its field', () => {
    const rule =
      '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_LOG"},{"names":["write"],"action":"SCMP_ACT_NOTIFY"}]}';
    expect(() => compile(rule)).toThrow('config.json: linux.seccomp.syscalls[1].action is SCMP_ACT_NOTIFY, which is not supported');
    expect(() => compile('{"defaultAction":"SCMP_ACT_NOTIFY"}')).toThrow('linux.seccomp.defaultAction');
  });

  test('flags', () => {
    const flags = '["SECCOMP_FILTER_FLAG_TSYNC","SECCOMP_FILTER_FLAG_LOG","SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]';
    const compiled = compileProfile(read(`{"defaultAction":"SCMP_ACT_ALLOW","flags":${flags}}`));
    expect(compiled.flags).toBe(s.SECCOMP_FILTER_FLAG_TSYNC | s.SECCOMP_FILTER_FLAG_LOG);
  });
});

describe('arguments', () => {
  const rule = (op: string, value: string, valueTwo = '0'): SeccompProgram =>
    compile(
      `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["dup2"],"action":"SCMP_ACT_ERRNO","args":[{"index":1,"op":"SCMP_CMP_${op}","value":${value},"valueTwo":${valueTwo}}]}]}`,
    );
  const VALUES = [0n, 1n, 7n, 0xffff_ffffn, 2n ** 32n, 2n ** 32n + 7n, 2n ** 63n, 2n ** 64n - 1n];
  const OPERATORS: Readonly<Record<string, (a: bigint, b: bigint) => boolean>> = {
    EQ: (a, b) => a === b,
    NE: (a, b) => a !== b,
    LT: (a, b) => a < b,
    LE: (a, b) => a <= b,
    GT: (a, b) => a > b,
    GE: (a, b) => a >= b,
  };

  test.for(Object.entries(OPERATORS))('SCMP_CMP_%s compares 64 bits, unsigned', ([op, holds]) => {
    for (const value of VALUES) {
      const program = rule(op, `${value}`);
      for (const argument of VALUES)
        expect(ask(program, 'dup2', [5n, argument]), `${argument} ${op} ${value}`).toBe(holds(argument, value) ? errno(1) : ALLOW);
    }
  });

  test('SCMP_CMP_MASKED_EQ looks at the bits of the mask only', () => {
    for (const mask of VALUES) {
      for (const wanted of VALUES) {
        const program = rule('MASKED_EQ', `${mask}`, `${wanted}`);
        for (const argument of VALUES)
          expect(ask(program, 'dup2', [5n, argument])).toBe((argument & mask) === (wanted & mask) ? errno(1) : ALLOW);
      }
    }
  });

  const profile = (...rules: readonly string[]): SeccompProgram =>
    compile(`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[${rules.join(',')}]}`);
  const equals = (index: number, value: number): string => `{"index":${index},"op":"SCMP_CMP_EQ","value":${value}}`;
  const dup2 = (action: string, ...args: readonly string[]): string =>
    `{"names":["dup2"],"action":"SCMP_ACT_${action}","args":[${args.join(',')}]}`;

  test('all conditions of a rule must hold; one of several rules', () => {
    const program = profile(dup2('ALLOW', equals(0, 1), equals(1, 2)), dup2('LOG', equals(0, 3)));
    const verdicts = [
      [1n, 2n],
      [1n, 3n],
      [3n, 2n],
      [2n, 2n],
    ].map((args) => ask(program, 'dup2', args));
    expect(verdicts).toEqual([ALLOW, errno(1), s.SECCOMP_RET_LOG, errno(1)]);
  });

  test('two conditions on one argument are two rules', () => {
    const program = profile(dup2('ALLOW', equals(0, 1), equals(0, 2)));
    expect([1n, 2n, 3n].map((arg) => ask(program, 'dup2', [arg]))).toEqual([ALLOW, ALLOW, errno(1)]);
  });

  test('a rule without conditions takes the place of the others, before and after it', () => {
    expect(ask(profile(dup2('LOG', equals(0, 1)), dup2('ALLOW'), dup2('TRAP'), dup2('KILL', equals(0, 1))), 'dup2', [1n])).toBe(ALLOW);
  });

  test('a rule that says what the default says is none', () => {
    expect(ask(profile(dup2('ERRNO'), dup2('ALLOW', equals(0, 1))), 'dup2', [1n])).toBe(ALLOW);
  });
});

describe('what surrounds the rules', () => {
  const read0 = '"syscalls":[{"names":["read","openat2"],"action":"SCMP_ACT_ALLOW"}]';

  test('numbers newer than the profile do not exist, unless they are allowed', () => {
    const strict = compile(`{"defaultAction":"SCMP_ACT_KILL",${read0}}`);
    expect([ask(strict, 'read'), ask(strict, 'write'), ask(strict, 'openat2'), ask(strict, 'futex_waitv'), ask(strict, -1)]).toEqual([
      ALLOW,
      KILL,
      ALLOW,
      ENOSYS,
      ENOSYS,
    ]);
    const logging = compile(`{"defaultAction":"SCMP_ACT_LOG",${read0}}`);
    expect(ask(logging, 'futex_waitv')).toBe(s.SECCOMP_RET_LOG);
    const nothing = compile('{"defaultAction":"SCMP_ACT_ERRNO"}');
    expect(ask(nothing, 'read')).toBe(ENOSYS);
  });

  test('architectures that are not named are killed; behind the others there is nothing', () => {
    const native = compile(`{"defaultAction":"SCMP_ACT_ERRNO",${read0}}`);
    const all = compile(`{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86","SCMP_ARCH_X32"],${read0}}`);
    const ask3 = (program: SeccompProgram): readonly number[] => [
      ask(program, 3, [], s.AUDIT_ARCH_I386),
      ask(program, s.X32_SYSCALL_BIT),
      ask(program, 3, [], 0xc000_00b7),
    ];
    expect(ask3(native)).toEqual([KILL, KILL, KILL]);
    expect(ask3(all)).toEqual([ALLOW, ALLOW, KILL]);
  });

  test('names that are no system call here are told', () => {
    const profile =
      '{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["socketcall","read","nosuchcall"],"action":"SCMP_ACT_ALLOW"}]}';
    expect(compileProfile(read(profile)).warnings).toEqual(['linux.seccomp: no system calls of x86-64, left out: socketcall, nosuchcall']);
  });

  test('more rules than a program can hold', () => {
    const args = Array.from({ length: 2000 }, (_, value) => ({
      names: ['read'],
      action: 'SCMP_ACT_ALLOW',
      args: [{ index: 0, value, op: 'SCMP_CMP_EQ' }],
    }));
    expect(() => compile(JSON.stringify({ defaultAction: 'SCMP_ACT_ERRNO', syscalls: args }))).toThrow(
      'linux.seccomp.syscalls has too many rules',
    );
  });

  test('a different verdict for every number', () => {
    const syscalls = X64_SYSCALLS.map(([number, name]) => ({ names: [name], action: 'SCMP_ACT_ERRNO', errnoRet: number + 100 }));
    const program = compile(JSON.stringify({ defaultAction: 'SCMP_ACT_TRAP', syscalls }));
    for (const [number] of X64_SYSCALLS) expect(ask(program, number)).toBe(errno(number + 100));
    expect(ask(program, 350)).toBe(s.SECCOMP_RET_TRAP);
  });
});

describe("podman's profile", () => {
  const config = captureFromPodman();

  test.skipIf(config === null)('allows what programs use and decides nearly everything by the number', () => {
    const profile = readConfig(config!, '/').config.linux.seccomp!;
    const program = decodeSeccomp(compileProfile(profile).words)!;
    for (const name of ['read', 'execve', 'clone', 'clone3', 'futex', 'openat2', 'mmap']) expect(ask(program, name), name).toBe(ALLOW);
    for (const name of ['bpf', 'kexec_load', 'swapon', 'init_module', 'settimeofday']) expect(ask(program, name), name).toBe(errno(1));
    expect(ask(program, 600)).toBe(ENOSYS);
    const personas = [0n, 8n, 0x2_0000n, 0x2_0008n, 0xffff_ffffn, 4n].map((persona) => ask(program, 'personality', [persona]));
    expect(personas).toEqual([ALLOW, ALLOW, ALLOW, ALLOW, ALLOW, ENOSYS]);
    // NETLINK_AUDIT.
    expect([ask(program, 'socket', [16n, 3n, 9n]), ask(program, 'socket', [16n, 3n, 0n]), ask(program, 'socket', [2n, 1n, 9n])]).toEqual([
      errno(22),
      ALLOW,
      ALLOW,
    ]);
    const depend = X64_SYSCALLS.filter(([number]) => !analyse(program, dataOf(number), KNOWN_NUMBER_AND_ARCHITECTURE)).map(
      ([, name]) => name,
    );
    expect(depend.toSorted()).toEqual(['personality', 'socket']);
  });
});

/**
 * The config.json that podman writes for a container: a script in the place of conmon, to which podman says where the file is, keeps it and fails,
 * so nothing is started. Null where there is no podman.
 */
function captureFromPodman(): string | null {
  const scratch = mkdtempSync(join(tmpdir(), 'tsvisor-seccomp-'));
  const place = (name: string): string => join(scratch, name);
  const script = `#!/bin/sh
[ "$1" != --version ] || exec conmon --version
while [ $# -gt 0 ]; do case $1 in -b) cp "$2/config.json" ${place('config.json')};; esac; shift; done
exit 1
`;
  writeFileSync(place('conmon'), script);
  chmodSync(place('conmon'), 0o755);
  mkdirSync(place('rootfs/bin'), { recursive: true });
  writeFileSync(place('rootfs/bin/true'), '');
  const store = ['--root', place('store'), '--runroot', place('run'), '--storage-driver', 'vfs', '--conmon', place('conmon')];
  spawnSync('podman', [...store, 'run', '--rm', '--network', 'none', '--rootfs', place('rootfs'), '/bin/true'], { timeout: 20_000 });
  const config = existsSync(place('config.json')) ? readFileSync(place('config.json'), 'utf8') : null;
  rmSync(scratch, { recursive: true, force: true });
  return config;
}
