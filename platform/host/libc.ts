/**
 * The raw calls: libc functions bound through koffi, with addresses as plain numbers.
 *
 * This file and its neighbours in `platform/host` are the only koffi users. Every function here trusts its arguments: an address
 * must point to memory that lives through the call. Callers outside this folder get the checked forms (`HostMemory`, `LinuxHost`,
 * `process.ts`), which carry a SAFETY line for each call. A typed call costs 31-49 ns; errno is read through a permanent view of
 * the thread's errno word because `koffi.errno()` costs more than the call itself.
 *
 * koffi returns 64-bit results beyond 2^53 as BigInt; no call below does so with the arguments used here.
 */
import koffi from 'koffi';

const libc = koffi.load('libc.so.6');

// SAFETY: `T` is checked against the C prototype by hand at each use below; addresses travel as uintptr_t, so koffi neither copies nor frees anything.
function bind<T>(name: string, result: string, parameters: readonly string[]): T {
  return libc.func(name, result, [...parameters]) as unknown as T;
}

const PTR = 'uintptr_t';

type N1 = (a: number) => number;
type N2 = (a: number, b: number) => number;
type N3 = (a: number, b: number, c: number) => number;
type N4 = (a: number, b: number, c: number, d: number) => number;
type N5 = (a: number, b: number, c: number, d: number, e: number) => number;
type N6 = (a: number, b: number, c: number, d: number, e: number, f: number) => number;

export const mmap: N6 = bind('mmap', 'intptr_t', [PTR, 'size_t', 'int', 'int', 'int', 'int64_t']);
export const mprotect: N3 = bind('mprotect', 'int', [PTR, 'size_t', 'int']);
export const madvise: N3 = bind('madvise', 'int', [PTR, 'size_t', 'int']);
export const memfdCreate: (name: string, flags: number) => number = bind('memfd_create', 'int', ['str', 'uint']);

export const pread: N4 = bind('pread64', 'intptr_t', ['int', PTR, 'size_t', 'int64_t']);
export const pwrite: N4 = bind('pwrite64', 'intptr_t', ['int', PTR, 'size_t', 'int64_t']);
export const pwritev2: N5 = bind('pwritev64v2', 'intptr_t', ['int', PTR, 'int', 'int64_t', 'int']);
export const read: N3 = bind('read', 'intptr_t', ['int', PTR, 'size_t']);
export const write: N3 = bind('write', 'intptr_t', ['int', PTR, 'size_t']);
export const ftruncate: N2 = bind('ftruncate64', 'int', ['int', 'int64_t']);
export const fallocate: N4 = bind('fallocate64', 'int', ['int', 'int', 'int64_t', 'int64_t']);
export const lseek: N3 = bind('lseek64', 'int64_t', ['int', 'int64_t', 'int']);
// The raw call: glibc's fstat is newfstatat with an empty path, and a filter that allows newfstatat allows paths.
const SYS_FSTAT = 5;
const rawSyscall2: N3 = bind('syscall', 'long', ['long', 'int', PTR]);
export const fstat: N2 = (fd, into) => rawSyscall2(SYS_FSTAT, fd, into);
export const fsync: N1 = bind('fsync', 'int', ['int']);
export const fdatasync: N1 = bind('fdatasync', 'int', ['int']);
export const copyFileRange: N6 = bind('copy_file_range', 'intptr_t', ['int', PTR, 'int', PTR, 'size_t', 'uint']);
export const close: N1 = bind('close', 'int', ['int']);
export const ioctl: N3 = bind('ioctl', 'int', ['int', 'ulong', PTR]);
export const open: (path: string, flags: number, mode: number) => number = bind('open64', 'int', ['str', 'int', 'uint']);

export const poll: N3 = bind('poll', 'int', [PTR, 'ulong', 'int']);
export const ppoll: N4 = bind('ppoll', 'int', [PTR, 'ulong', PTR, PTR]);
export const sendmsg: N3 = bind('sendmsg', 'intptr_t', ['int', PTR, 'int']);
export const recvmsg: N3 = bind('recvmsg', 'intptr_t', ['int', PTR, 'int']);
export const socketpair: N4 = bind('socketpair', 'int', ['int', 'int', 'int', PTR]);
export const eventfd: N2 = bind('eventfd', 'int', ['uint', 'int']);
export const pipe2: N2 = bind('pipe2', 'int', [PTR, 'int']);

export const epollCreate: N1 = bind('epoll_create1', 'int', ['int']);
export const epollCtl: N4 = bind('epoll_ctl', 'int', ['int', 'int', 'int', PTR]);
export const epollWait: N4 = bind('epoll_wait', 'int', ['int', PTR, 'int', 'int']);
export const timerfdCreate: N2 = bind('timerfd_create', 'int', ['int', 'int']);
export const timerfdSettime: N4 = bind('timerfd_settime', 'int', ['int', 'int', PTR, PTR]);
export const clockGettime: N2 = bind('clock_gettime', 'int', ['int', PTR]);
export const getrandom: N3 = bind('getrandom', 'intptr_t', [PTR, 'size_t', 'uint']);
export const sigaction: N3 = bind('sigaction', 'int', ['int', PTR, PTR]);
export const sigprocmask: N3 = bind('sigprocmask', 'int', ['int', PTR, PTR]);

export const ptrace: N4 = bind('ptrace', 'long', ['long', 'int', PTR, 'intptr_t']);
export const wait4: N4 = bind('wait4', 'int', ['int', PTR, 'int', PTR]);
export const kill: N2 = bind('kill', 'int', ['int', 'int']);
export const getpid: () => number = bind('getpid', 'int', []);
export const gettid: () => number = bind('gettid', 'int', []);
export const processVmReadv: N6 = bind('process_vm_readv', 'intptr_t', ['int', PTR, 'ulong', PTR, 'ulong', 'ulong']);
export const processVmWritev: N6 = bind('process_vm_writev', 'intptr_t', ['int', PTR, 'ulong', PTR, 'ulong', 'ulong']);
export const schedSetaffinity: N3 = bind('sched_setaffinity', 'int', ['int', 'size_t', PTR]);
export const schedGetaffinity: N3 = bind('sched_getaffinity', 'int', ['int', 'size_t', PTR]);
export const schedGetcpu: () => number = bind('sched_getcpu', 'int', []);

// glibc has a function for it only since 2.30.
const SYS_TGKILL = 234;
const rawSyscall3: N4 = bind('syscall', 'long', ['long', 'int', 'int', 'int']);
export const tgkill: N3 = (pid, tid, signal) => rawSyscall3(SYS_TGKILL, pid, tid, signal);
const SYS_FUTEX = 202;
const FUTEX_WAKE = 1;
const rawFutex: N4 = bind('syscall', 'long', ['long', PTR, 'int', 'int']);
/** Wakes one thread that sleeps on the word at `address`, of whichever process that shares it. */
export const futexWake: N1 = (address) => rawFutex(SYS_FUTEX, address, FUTEX_WAKE, 1);
export const getauxval: N1 = bind('getauxval', 'ulong', ['ulong']);
const pthreadSelf: () => number = bind('pthread_self', PTR, []);

/** The area that the C library registered with the host for the calling thread (rseq(2)), or null. */
export function rseqArea(): { address: number; size: number } | null {
  try {
    // SAFETY: two variables of the C library, of the types stated, that are constant after its start.
    const offset = Number(koffi.decode(libc.symbol('__rseq_offset', 'int64_t'), 'int64_t'));
    const size = Number(koffi.decode(libc.symbol('__rseq_size', 'uint'), 'uint'));
    return size === 0 ? null : { address: pthreadSelf() + offset, size };
  } catch {
    return null; // before glibc 2.35
  }
}

export const spawn: (pid: number, path: string, actions: number, attributes: number, argv: number, envp: number) => number = bind(
  'posix_spawn',
  'int',
  [PTR, 'str', PTR, PTR, PTR, PTR],
);
export const spawnAttributesInit: N1 = bind('posix_spawnattr_init', 'int', [PTR]);
export const spawnSetFlags: N2 = bind('posix_spawnattr_setflags', 'int', [PTR, 'short']);
export const spawnSetSignalDefault: N2 = bind('posix_spawnattr_setsigdefault', 'int', [PTR, PTR]);
export const spawnSetSignalMask: N2 = bind('posix_spawnattr_setsigmask', 'int', [PTR, PTR]);
export const spawnActionsInit: N1 = bind('posix_spawn_file_actions_init', 'int', [PTR]);
export const spawnAddDup2: N3 = bind('posix_spawn_file_actions_adddup2', 'int', [PTR, 'int', 'int']);
export const spawnAddOpen: (actions: number, fd: number, path: string, flags: number, mode: number) => number = bind(
  'posix_spawn_file_actions_addopen',
  'int',
  [PTR, 'int', 'str', 'int', 'uint'],
);
export const spawnAddChdir: (actions: number, path: string) => number = bind('posix_spawn_file_actions_addchdir_np', 'int', [PTR, 'str']);

const errnoLocation: () => number = bind('__errno_location', PTR, []);
// SAFETY: the errno word of the calling thread lives as long as the thread, and this module is loaded once per thread.
const errnoWord = new Int32Array(koffi.view(errnoLocation(), 4));

/** An address in the calling thread's own static storage, where the host also keeps its rseq area. */
export const threadStorage = errnoLocation();

/** errno of the last failed call of this thread. */
export function errno(): number {
  return errnoWord[0]!;
}

/** A result in the kernel's convention: `-errno` for -1. */
export function checked(result: number): number {
  return result < 0 ? -errnoWord[0]! : result;
}

/** A view of `length` bytes at `address`. SAFETY: the caller never unmaps them; nothing protects a view of memory that is gone. */
export function viewMemory(address: number, length: number): ArrayBuffer {
  return koffi.view(address, length);
}

// Without a name: koffi allows each only once in a process, and this module may be there twice (bin/build.ts).
const routineType = koffi.proto('intptr_t', ['intptr_t', 'intptr_t']);

/** Calls machine code at `address` as a C function of two words. SAFETY: the code there follows the System V calling convention. */
export function callRoutine(address: number, first: number, second: number): number {
  return koffi.call(BigInt(address), routineType, first, second) as number;
}
