/** The container's system call filter as a profile: config-linux.md "Seccomp", seccomp(2). bin/oci/seccomp compiles it. */
import { integer, list, names, object, oneOf, optional, required, shown, text } from './reader.ts';
import type { Reader } from './reader.ts';
import { SECCOMP_ACTIONS, SECCOMP_OPERATORS } from './types.ts';
import type { SeccompConfig, Wide } from './types.ts';

const ERRNO_MAX = 4095;
const ARGUMENTS = 6;

const ARCHITECTURES = [
  'SCMP_ARCH_AARCH64',
  'SCMP_ARCH_ARM',
  'SCMP_ARCH_LOONGARCH64',
  'SCMP_ARCH_M68K',
  'SCMP_ARCH_MIPS',
  'SCMP_ARCH_MIPS64',
  'SCMP_ARCH_MIPS64N32',
  'SCMP_ARCH_MIPSEL',
  'SCMP_ARCH_MIPSEL64',
  'SCMP_ARCH_MIPSEL64N32',
  'SCMP_ARCH_PARISC',
  'SCMP_ARCH_PARISC64',
  'SCMP_ARCH_PPC',
  'SCMP_ARCH_PPC64',
  'SCMP_ARCH_PPC64LE',
  'SCMP_ARCH_RISCV64',
  'SCMP_ARCH_S390',
  'SCMP_ARCH_S390X',
  'SCMP_ARCH_SH',
  'SCMP_ARCH_SHEB',
  'SCMP_ARCH_X32',
  'SCMP_ARCH_X86',
  'SCMP_ARCH_X86_64',
] as const;

const FLAGS = [
  'SECCOMP_FILTER_FLAG_TSYNC',
  'SECCOMP_FILTER_FLAG_LOG',
  'SECCOMP_FILTER_FLAG_SPEC_ALLOW',
  'SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV',
] as const;

const WORD = 2n ** 32n;

const wide: Reader<Wide> = (value, place) => {
  const isWhole = typeof value === 'bigint' || Number.isSafeInteger(value);
  const whole = isWhole ? BigInt(value as bigint | number) : -1n;
  if (whole < 0n || whole >= WORD * WORD) place.fail(`must be a whole number of at most 64 bits, not ${shown(value)}`);
  return { low: Number(whole % WORD), high: Number(whole / WORD) };
};

const argument = object({
  index: required(integer(0, ARGUMENTS - 1)),
  value: required(wide),
  valueTwo: optional(wide, { low: 0, high: 0 }),
  op: required(oneOf(SECCOMP_OPERATORS)),
});

const errnoRet = optional(integer(0, ERRNO_MAX), null);

const rule = object({
  names: required(names),
  action: required(oneOf(SECCOMP_ACTIONS)),
  errnoRet,
  args: optional(list(argument), []),
});

const fields = object({
  defaultAction: optional(oneOf(['', ...SECCOMP_ACTIONS]), ''),
  defaultErrnoRet: errnoRet,
  architectures: optional(list(oneOf(ARCHITECTURES)), []),
  flags: optional(list(oneOf(FLAGS)), []),
  listenerPath: optional(text, ''),
  listenerMetadata: optional(text, ''),
  syscalls: optional(list(rule), []),
});

/** An object without an action and without rules means no filter. */
export const seccomp: Reader<SeccompConfig | null> = (value, place) => {
  const { defaultAction, listenerPath, listenerMetadata, ...read } = fields(value, place);
  if (defaultAction === '') return read.syscalls.length === 0 ? null : place.at('defaultAction').fail('is missing');
  return { ...read, defaultAction, listenerPath: listenerPath || null, listenerMetadata: listenerMetadata || null };
};

/** For `tsvisor features`. */
export const KNOWN_SECCOMP_FLAGS: readonly string[] = FLAGS;
