/**
 * A traced host thread that is stopped: its registers, and system calls injected into it.
 *
 * An injected call borrows the thread: registers are loaded, rip points to the stub's `syscall; int3`, the thread runs until the
 * int3 stops it, and rax is the result. Nothing is passed through memory, so another guest thread cannot interfere. The guest's own
 * registers stay in the slot and go back lazily, at the next resume; several injections in a row cost one restore.
 *
 *     const tracee = new Tracee(tid, injectAddress);
 *     const result = tracee.inject(SYS_munmap, address, length, 0, 0, 0, 0);
 */
import * as process from '../host/process.ts';
import type { CpuSet } from '../host/process.ts';
import { allocateMemory } from '../host/memory.ts';
import * as reg from './registers.ts';
import type { Slot } from './registers.ts';

export const ESRCH = 3;
const EINTR = 4;
const SIGTRAP = 5;
const STOPPED = 0x7f;
const USER_CS = 0x33;
const USER_SS = 0x2b;
const INJECTED_EFLAGS = 0x202; // interrupts on; no trap flag, direction flag or alignment check of the guest's
const FAULT_SIGNALS = (1 << 4) | (1 << 5) | (1 << 7) | (1 << 8) | (1 << 11); // SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV

const scratch = allocateMemory(4096);
const injected = new Uint32Array(scratch.bytes.buffer, 0, reg.REGISTER_WORDS);

export class Tracee {
  readonly tid: number;
  readonly slot: Slot;
  /** Where the stub's `syscall; int3` lies in this process. */
  injectAddress: number;
  alive = true;
  /** Which placement the host thread has; compared with the platform's at each resume. */
  placement = 0;
  /** The CPUs its owner asked for; null leaves the choice to the platform. */
  affinity: CpuSet | null = null;
  /** The slot holds the guest's registers. */
  protected fetched = false;
  /** The registers on the host differ from the slot. */
  protected dirty = false;
  protected resultPending = false;
  protected result = 0;

  constructor(tid: number, injectAddress: number) {
    this.tid = tid;
    this.injectAddress = injectAddress;
    this.slot = reg.takeSlot();
  }

  /** The guest's registers in the slot, with a pending result of the system call in place. */
  protected fetchRegisters(): Uint32Array {
    const registers = this.slot.registers;
    if (!this.fetched) {
      process.trace(process.PTRACE_GETREGS, this.tid, 0, this.slot.registersAddress);
      this.fetched = true;
    }
    if (this.resultPending) {
      this.resultPending = false;
      registers[reg.RAX] = this.result >>> 0;
      registers[reg.RAX + 1] = Math.floor(this.result / 0x1_0000_0000) >>> 0;
      this.dirty = true;
    }
    return registers;
  }

  /** Stores the slot's registers on the host. */
  protected storeRegisters(): void {
    const registers = this.slot.registers;
    // -1 keeps the host from restarting a call: a guest's rax may hold one of the kernel's internal restart codes.
    registers[reg.ORIG_RAX] = 0xffff_ffff;
    registers[reg.ORIG_RAX + 1] = 0xffff_ffff;
    if (process.trace(process.PTRACE_SETREGS, this.tid, 0, this.slot.registersAddress) < 0) {
      sanitize(registers);
      process.trace(process.PTRACE_SETREGS, this.tid, 0, this.slot.registersAddress);
    }
  }

  /** Takes over another tracee's guest registers: for a thread just cloned from it. */
  copyRegisters(from: Tracee): void {
    this.slot.registers.set(from.fetchRegisters());
    this.fetched = true;
    this.dirty = true;
  }

  /** Performs a system call in this thread. The result, or -ESRCH when the thread is gone. */
  inject(nr: number, a0: number, a1: number, a2: number, a3: number, a4: number, a5: number): number {
    this.#load(this.injectAddress);
    reg.setWord(injected, reg.RAX, nr);
    reg.setWord(injected, reg.RDI, a0);
    reg.setWord(injected, reg.RSI, a1);
    reg.setWord(injected, reg.RDX, a2);
    reg.setWord(injected, reg.R10, a3);
    reg.setWord(injected, reg.R8, a4);
    reg.setWord(injected, reg.R9, a5);
    return this.#run() === SIGTRAP ? process.peekUser(this.tid, reg.RAX_OFFSET) : -ESRCH;
  }

  /** Starts a system call and does not wait for its end, which is a SIGTRAP stop; exit has none. */
  startInjection(nr: number, a0: number, a1: number): void {
    this.#load(this.injectAddress);
    reg.setWord(injected, reg.RAX, nr);
    reg.setWord(injected, reg.RDI, a0);
    reg.setWord(injected, reg.RSI, a1);
    process.trace(process.PTRACE_SETREGS, this.tid, 0, scratch.address);
    process.trace(process.PTRACE_CONT, this.tid, 0, 0);
  }

  /** Performs the system calls listed in this thread's memory from `start` to `end`: the result of the last one or of the first that failed. */
  injectBatch(routine: number, start: number, end: number): number {
    this.#load(routine);
    reg.setWord(injected, reg.RBX, start);
    reg.setWord(injected, reg.RBP, end);
    return this.#run() === SIGTRAP ? process.peekUser(this.tid, reg.RAX_OFFSET) : -ESRCH;
  }

  /** Compare-and-exchange of the 32-bit word at `address`: its old value, or -1 when it is not accessible. */
  exchange(routine: number, address: number, expected: number, desired: number): number {
    this.#load(routine);
    reg.setWord(injected, reg.RAX, expected >>> 0);
    reg.setWord(injected, reg.RDI, address);
    reg.setWord(injected, reg.RSI, desired >>> 0);
    return this.#run() === SIGTRAP ? process.peekUser(this.tid, reg.RAX_OFFSET) : -1;
  }

  /** Prepares `injected`: the guest's registers (its segments and bases in particular) with rip and flags replaced. */
  #load(rip: number): void {
    injected.set(this.fetchRegisters());
    reg.setWord(injected, reg.RIP, rip);
    reg.setWord(injected, reg.CS, USER_CS);
    reg.setWord(injected, reg.SS, USER_SS);
    reg.setWord(injected, reg.EFLAGS, INJECTED_EFLAGS);
    injected[reg.ORIG_RAX] = 0xffff_ffff;
    injected[reg.ORIG_RAX + 1] = 0xffff_ffff;
    this.dirty = true;
  }

  #run(): number {
    if (process.trace(process.PTRACE_SETREGS, this.tid, 0, scratch.address) < 0) {
      sanitize(injected);
      process.trace(process.PTRACE_SETREGS, this.tid, 0, scratch.address);
    }
    if (process.trace(process.PTRACE_CONT, this.tid, 0, 0) < 0) return this.#lost();
    return this.awaitTrap();
  }

  /** Waits until an injected routine ends: SIGTRAP for its int3, another signal for a fault in it, -ESRCH when the thread died. */
  awaitTrap(): number {
    for (;;) {
      const tid = process.wait(this.tid, process.WALL);
      if (tid === -EINTR) continue;
      if (tid < 0) return this.#lost();
      const status = process.waitStatus();
      if ((status & 0xff) !== STOPPED) return this.#lost();
      const signal = (status >> 8) & 0xff;
      if (status >> 16 === 0 && isFaultSignal(signal)) return signal;
      // An interrupt that was asked for earlier, or a signal from outside: neither concerns the injected call.
      process.trace(process.PTRACE_CONT, this.tid, 0, 0);
    }
  }

  /** Waits for the first stop of a thread that was seized or cloned a moment ago. */
  awaitStop(): boolean {
    for (;;) {
      const tid = process.wait(this.tid, process.WALL);
      if (tid === -EINTR) continue;
      if (tid < 0 || (process.waitStatus() & 0xff) !== STOPPED) {
        this.#lost();
        return false;
      }
      return true;
    }
  }

  #lost(): number {
    this.alive = false;
    return -ESRCH;
  }
}

/** Whether the CPU can raise it; any other signal comes from outside. */
export function isFaultSignal(signal: number): boolean {
  return signal < 32 && ((FAULT_SIGNALS >> signal) & 1) === 1;
}

/** Makes registers acceptable to the host: SETREGS refuses foreign segment selectors and bases beyond the user half. */
function sanitize(registers: Uint32Array): void {
  reg.setWord(registers, reg.CS, USER_CS);
  reg.setWord(registers, reg.SS, USER_SS);
  for (const selector of [reg.DS, reg.ES, reg.FS, reg.GS]) reg.setWord(registers, selector, 0);
  for (const base of [reg.FS_BASE, reg.GS_BASE]) {
    if (registers[base + 1]! >= 0x7fff) reg.setWord(registers, base, 0);
  }
}
