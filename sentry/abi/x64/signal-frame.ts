/**
 * The stack frame of a signal handler on x86-64: `struct rt_sigframe` with its ucontext, sigcontext and siginfo, and the extended state
 * behind it. Offsets count from the start of the frame, where the handler's return address (the restorer) lies.
 *
 *     0    pretcode
 *     8    ucontext: flags, link, stack (24), mcontext = sigcontext (256), sigmask (8)
 *     312  siginfo (128)
 *     440  end; the XSAVE image lies above, at a multiple of 64
 *
 * Specification: Linux arch/x86/include/asm/sigframe.h, uapi/asm/sigcontext.h, uapi/asm/ucontext.h.
 */
import { SIGINFO_SIZE } from '../siginfo.ts';
import { Reg } from './registers.ts';

const UCONTEXT = 8;
const MCONTEXT = UCONTEXT + 40;
const SIGCONTEXT_SIZE = 256;

export const Frame = {
  restorer: 0,
  ucontext: UCONTEXT,
  flags: UCONTEXT,
  link: UCONTEXT + 8,
  stackAddress: UCONTEXT + 16,
  stackFlags: UCONTEXT + 24,
  stackSize: UCONTEXT + 32,
  /** The eighteen registers of `FRAME_REGISTERS`, eight bytes each. */
  registers: MCONTEXT,
  cs: MCONTEXT + 144,
  gs: MCONTEXT + 146,
  fs: MCONTEXT + 148,
  ss: MCONTEXT + 150,
  errorCode: MCONTEXT + 152,
  trapNumber: MCONTEXT + 160,
  oldMask: MCONTEXT + 168,
  faultAddress: MCONTEXT + 176,
  fpstate: MCONTEXT + 184,
  mask: MCONTEXT + SIGCONTEXT_SIZE,
  siginfo: MCONTEXT + SIGCONTEXT_SIZE + 8,
  size: MCONTEXT + SIGCONTEXT_SIZE + 8 + SIGINFO_SIZE,
} as const;

/** Registers in the order of sigcontext. */
export const FRAME_REGISTERS: readonly number[] = [
  Reg.r8,
  Reg.r9,
  Reg.r10,
  Reg.r11,
  Reg.r12,
  Reg.r13,
  Reg.r14,
  Reg.r15,
  Reg.rdi,
  Reg.rsi,
  Reg.rbp,
  Reg.rbx,
  Reg.rdx,
  Reg.rax,
  Reg.rcx,
  Reg.rsp,
  Reg.rip,
  Reg.eflags,
];

/** ucontext.uc_flags. */
export const UC_FP_XSTATE = 1;
export const UC_SIGCONTEXT_SS = 2;
export const UC_STRICT_RESTORE_SS = 4;

/** Bytes below the stack pointer that belong to the interrupted function. */
export const RED_ZONE = 128;
export const XSAVE_ALIGNMENT = 64;

/** Places in an XSAVE image (uncompacted) and in the 48 bytes of it that software may use. */
export const Xsave = {
  fcw: 0,
  mxcsr: 24,
  /** `struct _fpx_sw_bytes`: in a frame magic1, extended_size, xfeatures (8), xstate_size. The host's ptrace keeps XCR0 in the first 8. */
  softwareBytes: 464,
  extendedSize: 468,
  features: 472,
  stateSize: 480,
  softwareEnd: 512,
  /** XSTATE_BV, XCOMP_BV of the header. */
  presentFeatures: 512,
  headerEnd: 576,
} as const;
export const FP_XSTATE_MAGIC1 = 0x4650_5853;
export const FP_XSTATE_MAGIC2 = 0x4650_5845;
export const MAGIC2_SIZE = 4;
/** x87 and SSE, which every image has. */
export const XFEATURE_LEGACY = 3;
export const FCW_INITIAL = 0x37f;
export const MXCSR_INITIAL = 0x1f80;
