/**
 * What the sentry may ask of a platform.
 *
 * A platform runs guest code natively and hands every system call and fault to the kernel loop. It knows host processes, registers
 * and guest memory; it knows nothing of Linux semantics such as file descriptors or signals of the guest.
 *
 * Typical sequence:
 *
 *     const { space, thread } = platform.createSpace();      // an empty address space and its first thread, stopped
 *     thread.mmap(…); space.write(…);                        // load a program
 *     thread.registers()[…] = …; thread.registersChanged(); thread.resume();
 *     for (;;) {
 *       const stopped = platform.wait();                     // blocks: a guest thread stopped, or null: host events are pending
 *       if (stopped === null) { …host.takeEvents()… continue; }
 *       …serve stopped.call…; stopped.setResult(value); stopped.resume();
 *     }
 *
 * Everything here is synchronous. Results are numbers: a negative value is `-errno`.
 */
import type { HostFd, HostMemory } from './host.ts';

/** Why a guest thread is stopped. */
export const StopKind = {
  /** Never ran since creation, or was left stopped by the kernel. */
  Idle: 0,
  /** At a system call: `call` holds its number and arguments. */
  Syscall: 1,
  /** The CPU raised an exception: `fault` holds the signal it stands for. */
  Fault: 2,
  /** Stopped because of `interrupt()`. */
  Interrupted: 3,
  /** The host thread no longer exists (killed by the host, or its whole process was). */
  Gone: 4,
} as const;
export type StopKind = (typeof StopKind)[keyof typeof StopKind];

/** A CPU exception as the host reported it; fields as in `siginfo_t` and the x86 `sigcontext`. */
export interface Fault {
  /** Signal number: SIGSEGV, SIGBUS, SIGFPE, SIGILL or SIGTRAP. */
  signo: number;
  /** `si_code`, for example SEGV_MAPERR. */
  code: number;
  /** `si_addr`, split into 32-bit words. */
  addressLow: number;
  addressHigh: number;
  /** x86 `trapno` and `err` for the signal frame; 0 where the host does not tell. */
  trapNumber: number;
  errorCode: number;
}

/** Guest memory `beginMemoryCalls` is given. */
export const MEMORY_CALLS_SCRATCH = 4096;

/** A range of guest addresses, end exclusive. */
export interface GuestRange {
  readonly start: number;
  readonly end: number;
}

/**
 * One guest thread, a host thread in a stub process. `Owner` is whatever the kernel hangs on it (its task).
 *
 * All methods except `interrupt` require the thread to be stopped.
 */
export interface GuestThread {
  /** Set and read by the kernel only. */
  owner: unknown;
  readonly space: GuestSpace;
  /** Why it last stopped. */
  readonly stop: StopKind;
  /** Valid after a Syscall stop: [nr, 0, arg0 low, arg0 high, … arg5 low, arg5 high], 14 words. The kernel owns the copy: the guest cannot change it. */
  readonly call: Uint32Array;
  /** Valid after a Fault stop. */
  readonly fault: Fault;

  /**
   * After a Syscall stop with the number 0xffffffff: the number that the thread gave the 32-bit entry (int 0x80), `call` having the arguments as i386
   * passes them; -1 when it came by the native entry. Missing where there is no other.
   */
  foreignNumber?(): number;

  /** Result of the system call it is stopped at; stored at the next `resume`. Cheaper than going through `registers`. `value` is within ±2^53. */
  setResult(value: number): void;
  /**
   * The general registers, as word pairs in the order of `user_regs_struct` (see sentry/abi/x64/registers.ts). Fetched on first use
   * after a stop; the view is the same object each time. Includes a pending `setResult`. Valid until `resume`.
   */
  registers(): Uint32Array;
  /** Tells that `registers()` was modified and must be stored at the next `resume`. */
  registersChanged(): void;
  /** Bytes of extended state (XSAVE image, uncompacted) `readExtendedState` yields. */
  readonly extendedStateSize: number;
  /** Copies the XSAVE image into `into` at `offset`. Returns bytes or -errno. */
  readExtendedState(into: HostMemory, offset: number): number;
  /** Loads the XSAVE image of `length` bytes from `from`. Returns 0 or -errno (a malformed image is refused by the host). */
  writeExtendedState(from: HostMemory, offset: number, length: number): number;

  /** Lets guest code run until its next stop. */
  resume(): void;
  /**
   * The call it is stopped at, one without arguments, has this result whenever the thread makes it, until `forgetAnswers`: a platform may give
   * it without a stop.
   */
  keepAnswer?(value: number): void;
  forgetAnswers?(): void;
  /** Tells that the system call it is stopped at will not be answered for now: a thread that waits actively had better sleep. */
  leaveWaiting?(): void;
  /** Asks a running thread to stop soon (StopKind.Interrupted, or whatever else stops it first). No-op when stopped. */
  interrupt(): void;

  // Host memory management, done by this thread in its own address space. The kernel has chosen and checked every address.
  /** `flags` are Linux MAP_* (MAP_FIXED is always implied); hostFd -1 for anonymous memory. Returns 0 or -errno. */
  mmap(address: number, length: number, protection: number, flags: number, hostFd: HostFd, offset: number): number;
  munmap(address: number, length: number): number;
  mprotect(address: number, length: number, protection: number): number;
  /** Moves or resizes; `flags` are MREMAP_*; `newAddress` is used with MREMAP_FIXED. Returns 0 or -errno. */
  mremap(address: number, oldLength: number, newLength: number, flags: number, newAddress: number): number;
  madvise(address: number, length: number, advice: number): number;
  /** `msync`/`mlock` family on request: returns 0 or -errno. */
  msync(address: number, length: number, flags: number): number;
  /**
   * From here to `endMemoryCalls` the calls above may be collected and answered with 0 before they are made; they are made in their order.
   * `scratch`: MEMORY_CALLS_SCRATCH bytes of private writable guest memory that the platform may use meanwhile, and leaves filled with zeros;
   * the first call may be the one that maps it.
   */
  beginMemoryCalls(scratch: number): void;
  /** 0, or the error of the first collected call that failed; those after it were not made. */
  endMemoryCalls(): number;

  /**
   * On which CPUs the thread may run: bit n for the n-th of `Host.cpuCount`, 32 to a word; null for all. Also while it runs. Inherited by
   * `fork` and `spawn`.
   */
  setAffinity(words: readonly number[] | null): void;

  /** A copy-on-write copy of the address space with one thread that has this thread's registers and extended state. Throws HostError-like only on -errno: returns errno number. */
  fork(): GuestThread | number;
  /** Another thread in the same address space, registers and extended state copied from this one. Stopped. Returns -errno on failure. */
  spawn(): GuestThread | number;
  /** Ends this host thread. The space lives on while it has other threads. The object must not be used afterwards. */
  release(): void;
}

/** Pieces of guest memory one after the other, beginning with byte `done` of piece `current`. All lie below the end of guest memory. */
export interface GuestPieces {
  readonly addresses: Float64Array;
  readonly lengths: Float64Array;
  readonly current: number;
  readonly done: number;
}

/** A guest address space: one host process. */
export interface GuestSpace {
  /** The host's vDSO and vvar pages as they lie in this space: [vvar range, vdso range]; empty when the host has none. */
  readonly vdso: { readonly vvar: GuestRange; readonly code: GuestRange } | null;
  /**
   * Copies `length` bytes of guest memory at `address` to `memory` at `offset`, honouring page protection.
   * Returns the number of bytes copied before the first inaccessible page (so `length` on complete success, possibly 0).
   */
  read(address: number, memory: HostMemory, offset: number, length: number): number;
  /**
   * As `read`, for a string: it may stop behind the first NUL. For platforms to which a string can travel with the call that names it. Missing
   * where `read` does as well.
   */
  readString?(address: number, memory: HostMemory, offset: number, length: number): number;
  /**
   * As `read`, from several pieces to `length` consecutive bytes of `memory`; there are as many bytes in the pieces at least. Missing where
   * a copy for each does as well.
   */
  readPieces?(pieces: GuestPieces, memory: HostMemory, offset: number, length: number): number;
  /** The other direction. */
  write(address: number, memory: HostMemory, offset: number, length: number): number;
  /** As `readPieces`. */
  writePieces?(pieces: GuestPieces, memory: HostMemory, offset: number, length: number): number;
  /**
   * Atomic 32-bit operation for futexes on guest memory: compares the word at `address` with `expected` and stores `desired`.
   * Returns the old value (as unsigned) or -1 when not accessible. Used for robust lists and FUTEX_WAKE_OP.
   */
  compareExchange(thread: GuestThread, address: number, expected: number, desired: number): number;
  /**
   * How many areas the kernel's map of the space has: set by the kernel after each change. A platform judges by it whether the host might run
   * out of mappings.
   */
  areas?: number;
  /** CPU time all its threads have used, those that ended included, in nanoseconds. Missing where the platform cannot tell. */
  cpuTimeNs?(): number;
  /** Ends every thread of the space at once and frees it. */
  kill(): void;
}

export interface PlatformLimits {
  /** First address guests may map. */
  readonly lowestAddress: number;
  /** End (exclusive) of what guests may map; what lies above belongs to the platform. The guest's TASK_SIZE. */
  readonly highestAddress: number;
}

export interface Platform {
  readonly name: string;
  readonly limits: PlatformLimits;
  /**
   * A clean address space holding only the platform's own pages and the vDSO, with one thread, stopped: registers zero, extended state as a
   * new program finds it. Or -errno (EAGAIN: no more host processes).
   */
  createSpace(): GuestThread | number;
  /**
   * Blocks until a guest thread stops, and returns it; or returns null when `host.takeEvents` has something or the alarm went off.
   * With no guest thread running and nothing watched it still blocks for the alarm.
   */
  wait(): GuestThread | null;
  /** Ends every guest process. */
  destroy(): void;
}
