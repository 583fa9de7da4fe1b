/**
 * The host calls that platforms are made of: tracing, waiting, guest memory, CPU affinity.
 *
 * ptrace answers only to the thread that attached, so all of this belongs to the main thread. Results follow the kernel's
 * convention (`-errno`). Specification: ptrace(2), wait4(2), process_vm_readv(2), sched_setaffinity(2).
 */
import type { HostMemory } from '../contract/host.ts';
import * as libc from './libc.ts';
import { allocateMemory } from './memory.ts';

export const PTRACE_CONT = 7;
export const PTRACE_GETREGS = 12;
export const PTRACE_SETREGS = 13;
export const PTRACE_SYSEMU = 31;
export const PTRACE_GETSIGINFO = 0x4202;
export const PTRACE_GETREGSET = 0x4204;
export const PTRACE_SETREGSET = 0x4205;
export const PTRACE_SEIZE = 0x4206;
export const PTRACE_INTERRUPT = 0x4207;
export const PTRACE_SETSIGMASK = 0x420b;
export const PTRACE_GET_SYSCALL_INFO = 0x420e;
export const PTRACE_GET_RSEQ_CONFIGURATION = 0x420f;
export const PTRACE_PEEKUSER = 3;
export const PTRACE_POKEUSER = 6;

export const WNOHANG = 1;
export const WNOTHREAD = 0x20000000;
export const WALL = 0x40000000;
/** Only children whose exit signal is not SIGCHLD, and tracees: never an ordinary child of Node. */
export const WCLONE = 0x80000000 | 0;

export const SIGKILL = 9;

const scratch = allocateMemory(4096);
const STATUS = 0;
const LOCAL_IOVEC = 16;
const REMOTE_IOVEC = 32;
const REGSET_IOVEC = 48;
const CPU_TIME = 64;
const CPUCLOCK_SCHED = 2;
const RUSAGE = 256; // struct rusage, 144 bytes
const AFFINITY = 1024;
const AFFINITY_BYTES = 1024; // 8192 CPUs: the host refuses a mask shorter than its own
const status = new Int32Array(scratch.bytes.buffer, STATUS, 1);
const words = scratch.view;

function setIovec(offset: number, address: number, length: number): void {
  words.setUint32(offset, address >>> 0, true);
  words.setUint32(offset + 4, Math.floor(address / 0x1_0000_0000), true);
  words.setUint32(offset + 8, length >>> 0, true);
  words.setUint32(offset + 12, Math.floor(length / 0x1_0000_0000), true);
}

/** A request that transfers nothing but its words, or to memory whose address is `data`. */
export function trace(request: number, tid: number, address: number, data: number): number {
  // SAFETY: requests that store do so at `data`, which callers take from a HostMemory with room for the structure.
  const result = libc.ptrace(request, tid, address, data);
  return result < 0 ? -libc.errno() : result;
}

/** CPU time the process `pid` has used, in nanoseconds; 0 when it is gone. */
export function cpuTimeNs(pid: number): number {
  // SAFETY: clock_gettime stores 16 bytes at CPU_TIME. The clock id of a process is ~pid shifted, kind 2 (clock_getcpuclockid(3)).
  if (libc.clockGettime((~pid << 3) | CPUCLOCK_SCHED, scratch.address + CPU_TIME) < 0) return 0;
  return words.getUint32(CPU_TIME, true) * 1e9 + words.getUint32(CPU_TIME + 8, true);
}

/** One 64-bit word of `struct user`. -1 is ambiguous with an error; callers read registers that hold small numbers. */
export function peekUser(tid: number, offset: number): number {
  // SAFETY: PEEKUSER reads the tracee's saved registers only.
  return libc.ptrace(PTRACE_PEEKUSER, tid, offset, 0);
}

/** GETREGSET/SETREGSET of register set `kind`; returns the bytes transferred. */
export function regset(request: number, tid: number, kind: number, address: number, length: number): number {
  setIovec(REGSET_IOVEC, address, length);
  // SAFETY: the iovec names memory of the caller of that length.
  const result = libc.ptrace(request, tid, kind, scratch.address + REGSET_IOVEC);
  return result < 0 ? -libc.errno() : words.getUint32(REGSET_IOVEC + 8, true);
}

/** wait4: the tid whose state changed (its status is `waitStatus()`), 0 with WNOHANG when there is none, or -errno. */
export function wait(tid: number, options: number): number {
  // SAFETY: the status word is in our own permanent memory.
  return libc.checked(libc.wait4(tid, scratch.address + STATUS, options, 0));
}

/** The same, for `waitedCpuNs`. */
export function waitWithUsage(tid: number, options: number): number {
  // SAFETY: the status word and the struct rusage are in our own permanent memory.
  return libc.checked(libc.wait4(tid, scratch.address + STATUS, options, scratch.address + RUSAGE));
}

/** CPU time of the process that `waitWithUsage` last reaped, in nanoseconds. */
export function waitedCpuNs(): number {
  const timeval = (offset: number): number => words.getUint32(offset, true) * 1e9 + words.getUint32(offset + 8, true) * 1000;
  return timeval(RUSAGE) + timeval(RUSAGE + 16);
}

export function waitStatus(): number {
  return status[0]!;
}

export function kill(pid: number, signal: number): number {
  // SAFETY: touches no memory. Callers pass only ids of processes they created and have not reaped.
  return libc.checked(libc.kill(pid, signal));
}

/** Sleeps; less than a second. For the rare wait that no descriptor ends. */
export function pause(nanoseconds: number): void {
  words.setUint32(CPU_TIME, 0, true);
  words.setUint32(CPU_TIME + 4, 0, true);
  words.setUint32(CPU_TIME + 8, nanoseconds, true);
  words.setUint32(CPU_TIME + 12, 0, true);
  // SAFETY: one timespec in our own page and no descriptors.
  libc.ppoll(0, 0, scratch.address + CPU_TIME, 0);
}

/** To one thread of a process. -ESRCH when it is gone. */
export function killThread(pid: number, tid: number, signal: number): number {
  // SAFETY: touches no memory. As with kill.
  return libc.checked(libc.tgkill(pid, tid, signal));
}

/** Copies from the memory of `tid`; the bytes before the first inaccessible page. */
export function readRemote(tid: number, address: number, memory: HostMemory, offset: number, length: number): number {
  setIovec(LOCAL_IOVEC, memory.address + offset, length);
  setIovec(REMOTE_IOVEC, address, length);
  // SAFETY: [offset, offset+length) lies within `memory` (checked by the caller); the remote side is checked by the host.
  return libc.checked(libc.processVmReadv(tid, scratch.address + LOCAL_IOVEC, 1, scratch.address + REMOTE_IOVEC, 1, 0));
}

/** Copies to the memory of `tid`, honouring its page protection. */
export function writeRemote(tid: number, address: number, memory: HostMemory, offset: number, length: number): number {
  setIovec(LOCAL_IOVEC, memory.address + offset, length);
  setIovec(REMOTE_IOVEC, address, length);
  // SAFETY: as in readRemote.
  return libc.checked(libc.processVmWritev(tid, scratch.address + LOCAL_IOVEC, 1, scratch.address + REMOTE_IOVEC, 1, 0));
}

/** A set of CPUs, as the host's bit mask in permanent memory. */
export interface CpuSet {
  readonly address: number;
  readonly cpus: readonly number[];
}

/** The CPUs this thread may use now. */
export function allowedCpus(): CpuSet {
  // SAFETY: the mask buffer is ours and as long as stated.
  const length = libc.checked(libc.schedGetaffinity(0, AFFINITY_BYTES, scratch.address + AFFINITY));
  const cpus: number[] = [];
  if (length >= 0) {
    // By bytes first, nearly all of which are zero: this runs at each start, and interpreted.
    for (let byte = 0; byte < AFFINITY_BYTES; byte += 1) {
      const bits = scratch.bytes[AFFINITY + byte]!;
      for (let bit = 0; bits >> bit !== 0; bit += 1) if (((bits >> bit) & 1) === 1) cpus.push(byte * 8 + bit);
    }
  }
  return cpuSet(cpus.length > 0 ? cpus : [0]);
}

export function cpuSet(cpus: readonly number[]): CpuSet {
  const memory = allocateCpuMask();
  for (const cpu of cpus) memory.bytes[memory.offset + (cpu >> 3)]! |= 1 << (cpu & 7);
  return { address: memory.address, cpus };
}

const MASK_SLAB_BYTES = 64 * 1024;
let masks = allocateMemory(MASK_SLAB_BYTES);
let nextMask = 0;

function allocateCpuMask(): { bytes: Uint8Array; offset: number; address: number } {
  if (nextMask === MASK_SLAB_BYTES) {
    masks = allocateMemory(MASK_SLAB_BYTES);
    nextMask = 0;
  }
  const offset = nextMask;
  nextMask += AFFINITY_BYTES;
  return { bytes: masks.bytes, offset, address: masks.address + offset };
}

export function setAffinity(tid: number, set: CpuSet): number {
  // SAFETY: the mask is permanent and AFFINITY_BYTES long.
  return libc.checked(libc.schedSetaffinity(tid, AFFINITY_BYTES, set.address));
}

export function currentCpu(): number {
  // SAFETY: touches no memory.
  return libc.schedGetcpu();
}

export function ownPid(): number {
  // SAFETY: touches no memory.
  return libc.getpid();
}
