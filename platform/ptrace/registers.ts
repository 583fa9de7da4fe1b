/**
 * Indices of 32-bit words (low halves) in `user_regs_struct` of x86-64, and the memory in which ptrace leaves what it reports.
 *
 * Every traced thread owns a slot: the system call information, the general registers and the siginfo, at fixed addresses, with
 * views made once. ptrace writes there directly; nothing is copied on the way of a system call.
 * Specification: ptrace(2), `struct ptrace_syscall_info`, <sys/user.h>.
 */
import type { HostMemory } from '../contract/host.ts';
import { allocateMemory } from '../host/memory.ts';

export const RBP = 8;
export const RBX = 10;
export const R10 = 14;
export const R9 = 16;
export const R8 = 18;
export const RAX = 20;
export const RDX = 24;
export const RSI = 26;
export const RDI = 28;
export const ORIG_RAX = 30;
export const RIP = 32;
export const CS = 34;
export const EFLAGS = 36;
export const RSP = 38;
export const SS = 40;
export const FS_BASE = 42;
export const GS_BASE = 44;
export const DS = 46;
export const ES = 48;
export const FS = 50;
export const GS = 52;
/** 27 registers of two words. */
export const REGISTER_WORDS = 54;

/** Byte offset of rax in `struct user`, which begins with the registers. */
export const RAX_OFFSET = RAX * 4;

export const SYSCALL_INFO_SIZE = 88;
/** Words of `struct ptrace_syscall_info`: op, arch, instruction pointer (2), stack pointer (2), then nr and six arguments. */
export const INFO_OP = 0;
export const INFO_ARCH = 1;
const INFO_CALL = 6;
const CALL_WORDS = 14;
const INFO_WORDS = SYSCALL_INFO_SIZE / 4;

const SLOT_BYTES = 512;
const REGISTERS_AT = 96;
const SIGINFO_AT = 320;
const SLAB_BYTES = 64 * 1024;

/** What ptrace reports about one thread. */
export interface Slot {
  readonly infoAddress: number;
  readonly info: Uint32Array;
  readonly call: Uint32Array;
  readonly registersAddress: number;
  readonly registers: Uint32Array;
  readonly siginfoAddress: number;
  readonly siginfo: Int32Array;
}

const free: Slot[] = [];

function addSlab(): void {
  const slab: HostMemory = allocateMemory(SLAB_BYTES);
  const memory = slab.bytes.buffer;
  for (let at = slab.bytes.byteOffset; at < SLAB_BYTES; at += SLOT_BYTES) {
    free.push({
      infoAddress: slab.address + at,
      info: new Uint32Array(memory, at, INFO_WORDS),
      call: new Uint32Array(memory, at + INFO_CALL * 4, CALL_WORDS),
      registersAddress: slab.address + at + REGISTERS_AT,
      registers: new Uint32Array(memory, at + REGISTERS_AT, REGISTER_WORDS),
      siginfoAddress: slab.address + at + SIGINFO_AT,
      siginfo: new Int32Array(memory, at + SIGINFO_AT, 32),
    });
  }
}

export function takeSlot(): Slot {
  if (free.length === 0) addSlab();
  return free.pop()!;
}

/** The views of a returned slot must not be used any more. */
export function returnSlot(slot: Slot): void {
  free.push(slot);
}

/** Stores an address or other number of 0…2^53 as a word pair. */
export function setWord(words: Uint32Array, index: number, value: number): void {
  words[index] = value >>> 0;
  words[index + 1] = Math.floor(value / 0x1_0000_0000);
}
