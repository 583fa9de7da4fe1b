/**
 * The general registers of a guest thread: order of `struct user_regs_struct` (Linux asm/user_64.h), which `GuestThread.registers()`
 * yields as word pairs. `Reg.rip` is the index of the low word, `Reg.rip + 1` of the high one:
 *
 *     const regs = thread.registers();
 *     setReg(regs, Reg.rip, entry);
 *     thread.registersChanged();
 */
export const Reg = {
  r15: 0,
  r14: 2,
  r13: 4,
  r12: 6,
  rbp: 8,
  rbx: 10,
  r11: 12,
  r10: 14,
  r9: 16,
  r8: 18,
  rax: 20,
  rcx: 22,
  rdx: 24,
  rsi: 26,
  rdi: 28,
  origRax: 30,
  rip: 32,
  cs: 34,
  eflags: 36,
  rsp: 38,
  ss: 40,
  fsBase: 42,
  gsBase: 44,
  ds: 46,
  es: 48,
  fs: 50,
  gs: 52,
} as const;

/** Words in the register view. */
export const REGISTER_WORDS = 54;

/** Code and stack selectors of 64-bit user code. */
export const USER_CS = 0x33;
export const USER_SS = 0x2b;

export const EFLAGS_CF = 0x1;
export const EFLAGS_TF = 0x100;
export const EFLAGS_IF = 0x200;
export const EFLAGS_DF = 0x400;
export const EFLAGS_RF = 0x1_0000;
/** Flags user code may change, so also a signal frame: AC OF DF TF SF ZF AF PF CF RF. */
export const EFLAGS_USER = 0x5_0dd5;

/** Length of the `syscall` instruction: how far rip goes back to repeat a call. */
export const SYSCALL_LENGTH = 2;

/** A register as a double: exact below 2^53, otherwise rounded (no valid address is). */
export function getReg(regs: Uint32Array, reg: number): number {
  return regs[reg + 1]! * 0x1_0000_0000 + regs[reg]!;
}

/** Stores an integer within ±2^53, two's complement. */
export function setReg(regs: Uint32Array, reg: number, value: number): void {
  const high = Math.floor(value / 0x1_0000_0000);
  regs[reg] = value - high * 0x1_0000_0000;
  regs[reg + 1] = high;
}
