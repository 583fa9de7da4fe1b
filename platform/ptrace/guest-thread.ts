/**
 * One guest thread under ptrace: its stops, registers, memory calls, forks.
 *
 * The way of a system call: wait4 reports the SYSEMU stop, PTRACE_GET_SYSCALL_INFO writes number and arguments into `call`, the
 * kernel sets a result, and `resume` stores rax alone and continues with PTRACE_SYSEMU. General registers are fetched only when
 * somebody looks at them and stored only when they, or an injected call, changed.
 */
import { StopKind } from '../contract/platform.ts';
import type { Fault, GuestThread } from '../contract/platform.ts';
import type { HostFd, HostMemory } from '../contract/host.ts';
import * as process from '../host/process.ts';
import { FORK_FLAGS, SPAWN_FLAGS } from '../stub/clone-flags.ts';
import { isOutsideGuest } from '../stub/layout.ts';
import { decodeFault } from './fault.ts';
import type { PtraceSpace } from './guest-space.ts';
import * as nr from '../stub/host-syscalls.ts';
import { MemoryCalls } from './memory-calls.ts';
import * as reg from './registers.ts';
import { Tracee } from './tracee.ts';
import { loadExtendedState, saveExtendedState, extendedStateSize } from './xstate.ts';

const EINVAL = 22;
const SYSCALL_INFO_ENTRY = 1;
const AUDIT_ARCH_X86_64 = 0xc000_003e;
const NO_SUCH_CALL = 0xffff_ffff;

export class PtraceThread extends Tracee implements GuestThread {
  owner: unknown = null;
  readonly space: PtraceSpace;
  stop: StopKind = StopKind.Idle;
  readonly call: Uint32Array;
  readonly fault: Fault = { signo: 0, code: 0, addressLow: 0, addressHigh: 0, trapNumber: 0, errorCode: 0 };
  running = false;
  /** `interrupt` was called and no stop has answered it yet. */
  interruptWanted = false;
  /** What it asked the 32-bit entry for, or -1. */
  #foreignNumber = -1;
  #deferred: MemoryCalls | null = null;

  constructor(space: PtraceSpace, tid: number, injectAddress: number) {
    super(tid, injectAddress);
    this.space = space;
    this.call = this.slot.call;
  }

  setResult(value: number): void {
    this.result = value;
    this.resultPending = true;
  }

  registers(): Uint32Array {
    return this.fetchRegisters();
  }

  registersChanged(): void {
    this.dirty = true;
  }

  get extendedStateSize(): number {
    return extendedStateSize(this.tid);
  }

  readExtendedState(into: HostMemory, offset: number): number {
    return saveExtendedState(this.tid, into, offset);
  }

  writeExtendedState(from: HostMemory, offset: number, length: number): number {
    return loadExtendedState(this.tid, from, offset, length);
  }

  resume(): void {
    if (this.running || !this.alive) return this.space.platform.resumeLost(this);
    if (this.dirty) {
      this.fetchRegisters();
      this.storeRegisters();
      this.dirty = false;
    } else if (this.resultPending) {
      process.trace(process.PTRACE_POKEUSER, this.tid, reg.RAX_OFFSET, this.result);
      this.resultPending = false;
    }
    this.fetched = false;
    this.space.platform.run(this);
  }

  interrupt(): void {
    if (!this.running || this.interruptWanted) return;
    this.interruptWanted = true;
    process.trace(process.PTRACE_INTERRUPT, this.tid, 0, 0);
  }

  setAffinity(words: readonly number[] | null): void {
    this.space.platform.setAffinity(this, words);
  }

  mmap(address: number, length: number, protection: number, flags: number, hostFd: HostFd, offset: number): number {
    if (isOutsideGuest(address, length)) return -EINVAL;
    return Math.min(0, this.#memoryCall(nr.SYS_MMAP, address, length, protection, flags | nr.MAP_FIXED, hostFd, offset));
  }

  munmap(address: number, length: number): number {
    if (isOutsideGuest(address, length)) return -EINVAL;
    return this.#memoryCall(nr.SYS_MUNMAP, address, length, 0, 0, 0, 0);
  }

  mprotect(address: number, length: number, protection: number): number {
    if (isOutsideGuest(address, length)) return -EINVAL;
    return this.#memoryCall(nr.SYS_MPROTECT, address, length, protection, 0, 0, 0);
  }

  mremap(address: number, oldLength: number, newLength: number, flags: number, newAddress: number): number {
    if (isOutsideGuest(address, oldLength) || isOutsideGuest(newAddress, newLength)) return -EINVAL;
    return Math.min(0, this.#memoryCall(nr.SYS_MREMAP, address, oldLength, newLength, flags, newAddress, 0));
  }

  madvise(address: number, length: number, advice: number): number {
    if (isOutsideGuest(address, length)) return -EINVAL;
    return this.#memoryCall(nr.SYS_MADVISE, address, length, advice, 0, 0, 0);
  }

  msync(address: number, length: number, flags: number): number {
    if (isOutsideGuest(address, length)) return -EINVAL;
    return this.#memoryCall(nr.SYS_MSYNC, address, length, flags, 0, 0, 0);
  }

  beginMemoryCalls(scratch: number): void {
    // Another guest thread could change the list while it is worked through: then every call is made at once.
    if (this.space.threads.size === 1) this.#deferred = new MemoryCalls(scratch);
  }

  endMemoryCalls(): number {
    const result = this.#performDeferred();
    this.#deferred = null;
    return result;
  }

  #memoryCall(number: number, a0: number, a1: number, a2: number, a3: number, a4: number, a5: number): number {
    if (this.#deferred === null || this.#deferred.mapsScratch(number, a0, a1)) return this.inject(number, a0, a1, a2, a3, a4, a5);
    const result = this.#deferred.isFull ? this.#performDeferred() : 0;
    if (result === 0) this.#deferred.add(number, a0, a1, a2, a3, a4, a5);
    return result;
  }

  #performDeferred(): number {
    return this.#deferred === null ? 0 : this.#deferred.perform(this, this.space.platform.batchRoutine);
  }

  fork(): GuestThread | number {
    const tid = this.inject(nr.SYS_CLONE, FORK_FLAGS, 0, 0, 0, 0, 0);
    return tid < 0 ? tid : this.space.platform.adopt(this, tid, null);
  }

  spawn(): GuestThread | number {
    const woken = this.space.platform.reuseIdle(this);
    if (woken !== null) return woken;
    const tid = this.inject(nr.SYS_CLONE, SPAWN_FLAGS, 0, 0, 0, 0, 0);
    return tid < 0 ? tid : this.space.platform.adopt(this, tid, this.space);
  }

  release(): void {
    this.space.platform.releaseThread(this);
  }

  /** The old value of the word, or -1 when the address faults. */
  compareExchange(address: number, expected: number, desired: number): number {
    if (isOutsideGuest(address, 4)) return -1;
    return this.exchange(this.space.platform.exchangeRoutine, address, expected, desired);
  }

  /** Takes note of a system call stop. */
  stoppedAtSyscall(): void {
    this.stopped(StopKind.Syscall);
    const { info, infoAddress } = this.slot;
    const result = process.trace(process.PTRACE_GET_SYSCALL_INFO, this.tid, reg.SYSCALL_INFO_SIZE, infoAddress);
    if (result < 0) {
      this.lost(StopKind.Gone);
      return;
    }
    this.#foreignNumber = -1;
    if ((info[reg.INFO_OP]! & 0xff) !== SYSCALL_INFO_ENTRY || info[reg.INFO_ARCH] !== AUDIT_ARCH_X86_64) {
      // int 0x80 and sysenter: there is no 32-bit kernel behind this one, so no number of theirs exists.
      if (info[reg.INFO_ARCH] !== AUDIT_ARCH_X86_64) this.#foreignNumber = this.call[0]!;
      this.call[0] = NO_SUCH_CALL;
    }
  }

  foreignNumber(): number {
    return this.#foreignNumber;
  }

  /** Takes note of a CPU exception whose siginfo the host holds. False: the signal came from outside and is dropped. */
  stoppedAtSignal(signal: number): boolean {
    const { siginfo, siginfoAddress } = this.slot;
    const result = process.trace(process.PTRACE_GETSIGINFO, this.tid, 0, siginfoAddress);
    if (result < 0 || siginfo[2]! <= 0) return false;
    this.stopped(StopKind.Fault);
    decodeFault(this.fault, signal, siginfo, this.fetchRegisters(), this.tid);
    return true;
  }

  stopped(kind: StopKind): void {
    this.running = false;
    this.interruptWanted = false;
    this.stop = kind;
  }

  lost(kind: StopKind): void {
    this.stopped(kind);
    this.alive = false;
  }
}
