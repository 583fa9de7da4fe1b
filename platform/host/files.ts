/**
 * The host's file calls, as the gofer needs them: every name is resolved relative to a directory descriptor, every result is a number,
 * negative for -errno.
 *
 * Arguments called `…At` are addresses of memory outside the V8 heap (`HostMemory.address` plus an offset); the caller guarantees that a
 * path there ends in NUL and that buffers are as long as it says. Nothing is converted or copied on the way, so a name goes from the
 * message it came in to the kernel as the same bytes.
 *
 * See the manual page of each call (section 2). openat2 goes through syscall(2): the C library has no function for it.
 */
import koffi from 'koffi';
import { EINTR } from '#sentry/abi/errno.ts';
import { checked } from './libc.ts';

export { close, fdatasync, fsync, read } from './libc.ts';

type N2 = (a: number, b: number) => number;
type N3 = (a: number, b: number, c: number) => number;
type N4 = (a: number, b: number, c: number, d: number) => number;
type N5 = (a: number, b: number, c: number, d: number, e: number) => number;

const libc = koffi.load('libc.so.6');

// One wrapper an arity instead of a rest parameter: these calls are the gofer's inner loop.
// SAFETY (for every declaration below): checked by hand against the C prototype; addresses travel as uintptr_t and are the callers' own
// mapped memory of at least the length given.
function two(declaration: string): N2 {
  const raw = libc.func(declaration) as N2;
  return (a, b) => checked(raw(a, b));
}
function three(declaration: string): N3 {
  const raw = libc.func(declaration) as N3;
  return (a, b, c) => checked(raw(a, b, c));
}
function four(declaration: string): N4 {
  const raw = libc.func(declaration) as N4;
  return (a, b, c, d) => checked(raw(a, b, c, d));
}
function five(declaration: string): N5 {
  const raw = libc.func(declaration) as N5;
  return (a, b, c, d, e) => checked(raw(a, b, c, d, e));
}

/** (directory, pathAt, flags, mode) */
export const openat: N4 = four('int openat(int, uintptr_t, int, unsigned int)');
/** (directory, pathAt, flags, mask, intoAt) */
export const statx: N5 = five('int statx(int, uintptr_t, int, unsigned int, uintptr_t)');
/** (fd, intoAt) */
export const fstatfs: N2 = two('int fstatfs(int, uintptr_t)');
/** (fd, intoAt, length) */
export const getdents64: N3 = three('long getdents64(int, uintptr_t, size_t)');
/** (directory, pathAt, intoAt, length) */
export const readlinkat: N4 = four('long readlinkat(int, uintptr_t, uintptr_t, size_t)');
/** (directory, pathAt, mode) */
export const mkdirat: N3 = three('int mkdirat(int, uintptr_t, unsigned int)');
/** (directory, pathAt, mode, device) */
export const mknodat: N4 = four('int mknodat(int, uintptr_t, unsigned int, unsigned long)');
/** (targetAt, directory, pathAt) */
export const symlinkat: N3 = three('int symlinkat(uintptr_t, int, uintptr_t)');
/** (oldDirectory, oldPathAt, directory, pathAt, flags) */
export const linkat: N5 = five('int linkat(int, uintptr_t, int, uintptr_t, int)');
/** (directory, pathAt, flags) */
export const unlinkat: N3 = three('int unlinkat(int, uintptr_t, int)');
/** (oldDirectory, oldPathAt, directory, pathAt, flags) */
export const renameat2: N5 = five('int renameat2(int, uintptr_t, int, uintptr_t, unsigned int)');
/** (directory, pathAt, mode, flags) */
export const fchmodat: N4 = four('int fchmodat(int, uintptr_t, unsigned int, int)');
/** (directory, pathAt, uid, gid, flags) */
export const fchownat: N5 = five('int fchownat(int, uintptr_t, unsigned int, unsigned int, int)');
/** (directory, pathAt, timesAt, flags); two `struct timespec` at timesAt. */
export const utimensat: N4 = four('int utimensat(int, uintptr_t, uintptr_t, int)');
/** (fd, length) */
export const ftruncate: N2 = two('int ftruncate64(int, int64_t)');
/** (fd, nameAt, intoAt, length) */
export const inotifyAddWatch: N3 = three('int inotify_add_watch(int, uintptr_t, uint32_t)');
export const fgetxattr: N4 = four('long fgetxattr(int, uintptr_t, uintptr_t, size_t)');
/** (fd, nameAt, valueAt, length, flags) */
export const fsetxattr: N5 = five('int fsetxattr(int, uintptr_t, uintptr_t, size_t, int)');
/** (fd, intoAt, length) */
export const flistxattr: N3 = three('long flistxattr(int, uintptr_t, size_t)');
/** (fd, nameAt) */
export const fremovexattr: N2 = two('int fremovexattr(int, uintptr_t)');
/** (fd, level, option, valueAt, length) */
export const setsockopt: N5 = five('int setsockopt(int, int, int, uintptr_t, unsigned int)');

const rawSeek = libc.func('int64_t lseek64(int, int64_t, int)') as (fd: number, offset: bigint, whence: number) => number | bigint;

/** Seeks to 64 opaque bits (a directory cookie; its value may exceed what a double holds). 0 or -errno. */
export function seekTo(fd: number, low: number, high: number): number {
  const result = rawSeek(fd, BigInt.asIntN(64, (BigInt(high) << 32n) | BigInt(low)), 0);
  return result === -1 ? checked(-1) : 0;
}

export const RESOLVE_NO_XDEV = 0x01;
export const RESOLVE_NO_MAGICLINKS = 0x02;
export const RESOLVE_NO_SYMLINKS = 0x04;
export const RESOLVE_BENEATH = 0x08;
export const RESOLVE_IN_ROOT = 0x10;
const SYS_OPENAT2 = 437; // the same on x86-64 and arm64
const rawOpenat2 = libc.func('long syscall(long, long, uintptr_t, uintptr_t, size_t)') as N5;

/** openat2(2) with a `struct open_how` of 24 bytes at `howAt`. */
export function openat2(directory: number, pathAt: number, howAt: number): number {
  return checked(rawOpenat2(SYS_OPENAT2, directory, pathAt, howAt, 24));
}

const rawRecv = libc.func('long recv(int, uintptr_t, size_t, int)') as N4;

/** One datagram into memory; waits for it. Descriptors that come along are discarded by the kernel, for there is no room for them. */
export function receive(fd: number, intoAt: number, length: number): number {
  for (;;) {
    const result = checked(rawRecv(fd, intoAt, length, 0));
    if (result !== -EINTR) return result;
  }
}
