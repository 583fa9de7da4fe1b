/**
 * Host calls that are made once, while a process confines itself: through ffi-rs, whose calls cost microseconds where koffi's cost
 * nanoseconds, and which is not needed again afterwards.
 *
 * Results are numbers, negative for -errno. Which calls reach all threads of the process and which only the calling one decides what a
 * confinement is worth in a process that has helper threads as Node has; it is said at each function.
 */
import { DataType, load, open } from 'ffi-rs';
import { allocateMemory } from './memory.ts';

open({ library: 'libc', path: 'libc.so.6' });

function callLibc(name: string, types: DataType[], values: unknown[]): number {
  const { value, errnoCode } = load({
    library: 'libc',
    funcName: name,
    retType: DataType.I64,
    paramsType: types,
    paramsValue: values,
    errno: true,
  }) as { value: number; errnoCode: number };
  // The C functions return int: what lies in the upper half of the register is undefined.
  return (value | 0) === -1 ? -errnoCode : value;
}

const { I64 } = DataType;

/** syscall(2) with six words, for calls the C library has no function for. Addresses travel as numbers. Acts on the calling thread only. */
export function systemCall(nr: number, a = 0, b = 0, c = 0, d = 0, e = 0): number {
  // SAFETY: callers pass addresses of memory they own, as long as the call wants.
  return callLibc('syscall', [I64, I64, I64, I64, I64, I64], [nr, a, b, c, d, e]);
}

/** prctl(2). Acts on the calling thread only, but for the options that name the process. */
export function prctl(option: number, a = 0, b = 0, c = 0, d = 0): number {
  // SAFETY: none of the options used takes an address.
  return callLibc('prctl', [I64, I64, I64, I64, I64], [option, a, b, c, d]);
}

/** All groups, user and group ids: the C library applies these to every thread of the process. */
export function dropGroups(): number {
  return callLibc('setgroups', [I64, I64], [0, 0]);
}
export function setresgid(id: number): number {
  return callLibc('setresgid', [I64, I64, I64], [id, id, id]);
}
export function setresuid(id: number): number {
  return callLibc('setresuid', [I64, I64, I64], [id, id, id]);
}

/** chroot(2) and chdir(2) to byte strings. Every thread of the process shares them. */
export function chrootTo(path: Uint8Array): number {
  return callLibc('chroot', [DataType.U8Array], [path]);
}
export function chdirTo(path: Uint8Array): number {
  return callLibc('chdir', [DataType.U8Array], [path]);
}
export function setUmask(mask: number): number {
  return callLibc('umask', [I64], [mask]);
}
export function parentPid(): number {
  return callLibc('getppid', [], []);
}

const SYS_PRLIMIT64 = 302;
const RLIMIT_NOFILE = 7;

/** How many descriptors this process may have open. */
export function descriptorLimit(): number {
  const memory = allocateMemory(16);
  const result = systemCall(SYS_PRLIMIT64, 0, RLIMIT_NOFILE, 0, memory.address);
  return result < 0 ? 0 : Math.min(memory.view.getUint32(0, true) + memory.view.getUint32(4, true) * 2 ** 32, 1_048_576);
}

const SYS_EXIT_GROUP = 231;

/** Ends the process at once, without Node's own clean-up, which makes calls that a confined process may not. */
export function exitNow(code: number): never {
  systemCall(SYS_EXIT_GROUP, code);
  process.exit(code);
}
