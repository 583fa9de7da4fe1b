/**
 * Signal frames on x86-64: the registers, mask, extended state and siginfo a handler finds on its stack, and the way back through
 * rt_sigreturn(2).
 *
 * Layout below the interrupted stack pointer (or the top of the alternate stack): red zone, XSAVE image at a multiple of 64, frame with its
 * start at 8 modulo 16, as if the handler had been called by its restorer. The whole is assembled in scratch memory and copied once.
 *
 * A frame that comes back is the guest's: every value is checked or masked before the host sees it.
 *
 * Specification: Linux arch/x86/kernel/signal.c, signal_64.c, fpu/signal.c.
 */
import { EFAULT } from '#sentry/abi/errno.ts';
import { getU64, putI64 } from '#sentry/abi/layout.ts';
import type { SignalInfo } from '#sentry/abi/siginfo.ts';
import { SA_ONSTACK, SA_RESTORER, SS_AUTODISARM } from '#sentry/abi/signal.ts';
import { EFLAGS_DF, EFLAGS_RF, EFLAGS_TF, EFLAGS_USER, getReg, Reg, setReg, USER_CS, USER_SS } from '#sentry/abi/x64/registers.ts';
import {
  FCW_INITIAL,
  FP_XSTATE_MAGIC1,
  FP_XSTATE_MAGIC2,
  Frame,
  FRAME_REGISTERS,
  MAGIC2_SIZE,
  MXCSR_INITIAL,
  RED_ZONE,
  UC_FP_XSTATE,
  UC_SIGCONTEXT_SS,
  UC_STRICT_RESTORE_SS,
  XFEATURE_LEGACY,
  Xsave,
  XSAVE_ALIGNMENT,
} from '#sentry/abi/x64/signal-frame.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import type { Task } from '../task.ts';
import { setAltStack } from './alt-stack.ts';

/** Where in scratch memory the extended state of a returning frame is assembled, behind the frame itself. */
const RETURN_STATE = 4096;
/** rip at or above this is not user code. */
const ADDRESS_LIMIT_HIGH = 0x8000;

/** Puts a frame for `info` on the task's stack and sets its registers to enter the handler. 0 or -EFAULT. */
export function pushFrame(task: Task, info: SignalInfo): number {
  const { handlers } = task.group;
  const { signo } = info;
  const flags = handlers.flags[signo]!;
  if ((flags & SA_RESTORER) === 0) return -EFAULT;
  const regs = task.thread.registers();
  const interrupted = getReg(regs, Reg.rsp);
  const stateSize = task.thread.extendedStateSize;
  const stateAddress = stateAddressFor(task, flags, interrupted, stateSize);
  if (stateAddress < 0) return -EFAULT;
  const address = alignFrame(stateAddress);
  if (usesAltStack(task, flags, interrupted) && !task.signals.covers(address)) return -EFAULT;
  const length = stateAddress - address + stateSize + MAGIC2_SIZE;
  const { scratch } = task;
  scratch.bytes.fill(0, 0, length);
  putState(task, scratch, stateAddress - address, stateSize);
  putContext(task, scratch, regs, stateAddress);
  putI64(scratch.view, Frame.restorer, handlers.restorer[signo]!);
  info.encode(scratch.view, Frame.siginfo);
  if (task.memory.copyOut(address, scratch, 0, length) < 0) return -EFAULT;
  if ((task.signals.stackFlags & SS_AUTODISARM) !== 0) task.signals.resetAltStack();
  enterHandler(task, regs, signo, handlers.handler[signo]!, address);
  return 0;
}

/** Where the XSAVE image goes; negative when there is no room at all. */
function stateAddressFor(task: Task, flags: number, interrupted: number, stateSize: number): number {
  const { signals } = task;
  let top = interrupted - RED_ZONE;
  if ((flags & SA_ONSTACK) !== 0 && signals.stackSize !== 0 && !signals.isOnAltStack(top)) top = signals.stackAddress + signals.stackSize;
  const address = Math.floor((top - stateSize - MAGIC2_SIZE) / XSAVE_ALIGNMENT) * XSAVE_ALIGNMENT;
  return address - Frame.size < 0 || address > Number.MAX_SAFE_INTEGER ? -1 : address;
}

/** The stack looks as after a call: rsp + 8 is a multiple of 16. */
function alignFrame(stateAddress: number): number {
  return Math.floor((stateAddress - Frame.size) / 16) * 16 - 8;
}

/** Whether the frame has to lie on the alternate stack: it switches to it, or the thread is there already. */
function usesAltStack(task: Task, flags: number, interrupted: number): boolean {
  const { signals } = task;
  if (signals.isOnAltStack(interrupted)) return true;
  return (flags & SA_ONSTACK) !== 0 && signals.stackSize !== 0;
}

/** The XSAVE image with the frame's own marks, at `offset`. */
function putState(task: Task, scratch: HostMemory, offset: number, size: number): void {
  task.thread.readExtendedState(scratch, offset);
  const { view } = scratch;
  const marks = offset + Xsave.softwareBytes;
  // Which components the CPU has, as the host left it: XCR0 itself (ptrace), or a frame's own mark (signal frame of a stub).
  const features = view.getUint32(marks, true) === FP_XSTATE_MAGIC1 ? offset + Xsave.features : marks;
  const low = view.getUint32(features, true);
  const high = view.getUint32(features + 4, true);
  scratch.bytes.fill(0, marks, offset + Xsave.softwareEnd);
  view.setUint32(marks, FP_XSTATE_MAGIC1, true);
  view.setUint32(offset + Xsave.extendedSize, size + MAGIC2_SIZE, true);
  view.setUint32(offset + Xsave.features, (low | XFEATURE_LEGACY) >>> 0, true);
  view.setUint32(offset + Xsave.features + 4, high, true);
  view.setUint32(offset + Xsave.stateSize, size, true);
  view.setUint32(offset + size, FP_XSTATE_MAGIC2, true);
}

function putContext(task: Task, { view }: HostMemory, regs: Uint32Array, stateAddress: number): void {
  const { signals } = task;
  putI64(view, Frame.flags, UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS);
  putI64(view, Frame.stackAddress, signals.stackAddress);
  view.setInt32(Frame.stackFlags, signals.stackFlags, true);
  putI64(view, Frame.stackSize, signals.stackSize);
  for (let i = 0; i < FRAME_REGISTERS.length; i++) {
    const reg = FRAME_REGISTERS[i]!;
    view.setUint32(Frame.registers + 8 * i, regs[reg]!, true);
    view.setUint32(Frame.registers + 8 * i + 4, regs[reg + 1]!, true);
  }
  view.setUint16(Frame.cs, regs[Reg.cs]!, true);
  view.setUint16(Frame.ss, regs[Reg.ss]!, true);
  putI64(view, Frame.errorCode, signals.errorCode);
  putI64(view, Frame.trapNumber, signals.trapNumber);
  view.setUint32(Frame.faultAddress, signals.faultLow, true);
  view.setUint32(Frame.faultAddress + 4, signals.faultHigh, true);
  putI64(view, Frame.fpstate, stateAddress);
  const mask = signals.hasSavedMask ? signals.savedMask : signals.blocked;
  view.setUint32(Frame.oldMask, mask.low, true);
  view.setUint32(Frame.oldMask + 4, mask.high, true);
  view.setUint32(Frame.mask, mask.low, true);
  view.setUint32(Frame.mask + 4, mask.high, true);
}

function enterHandler(task: Task, regs: Uint32Array, signo: number, handler: number, address: number): void {
  setReg(regs, Reg.rdi, signo);
  setReg(regs, Reg.rsi, address + Frame.siginfo);
  setReg(regs, Reg.rdx, address + Frame.ucontext);
  setReg(regs, Reg.rax, 0);
  setReg(regs, Reg.rip, handler);
  setReg(regs, Reg.rsp, address);
  setReg(regs, Reg.cs, USER_CS);
  setReg(regs, Reg.ss, USER_SS);
  regs[Reg.eflags] = regs[Reg.eflags]! & ~(EFLAGS_DF | EFLAGS_RF | EFLAGS_TF);
  leaveCall(regs);
  task.thread.registersChanged();
}

/** orig_rax -1: the host must not take rax for the result of a call that it may restart. */
function leaveCall(regs: Uint32Array): void {
  regs[Reg.origRax] = 0xffff_ffff;
  regs[Reg.origRax + 1] = 0xffff_ffff;
}

/** rt_sigreturn: takes registers, mask, alternate stack and extended state from the frame. 0, or -EFAULT for a frame that cannot be. */
export function popFrame(task: Task): number {
  const { scratch, signals, thread } = task;
  const { view } = scratch;
  const regs = thread.registers();
  // The restorer has popped the return address.
  const address = getReg(regs, Reg.rsp) - 8;
  if (task.memory.copyIn(address, scratch, 0, Frame.size) < 0) return -EFAULT;
  signals.setBlocked(view.getUint32(Frame.mask, true), view.getUint32(Frame.mask + 4, true));
  if (!segmentsAreSound(view) || view.getUint32(Frame.registers + 8 * RIP_SLOT + 4, true) >= ADDRESS_LIMIT_HIGH) return -EFAULT;
  const stateAddress = getU64(view, Frame.fpstate);
  const stackAddress = getU64(view, Frame.stackAddress);
  const stackFlags = view.getInt32(Frame.stackFlags, true);
  const stackSize = getU64(view, Frame.stackSize);
  restoreRegisters(regs, view);
  thread.registersChanged();
  if (restoreState(task, stateAddress) < 0) return -EFAULT;
  // Linux: what sigaltstack(2) would refuse is silently not restored.
  setAltStack(task, stackAddress, stackFlags, stackSize, getReg(regs, Reg.rsp));
  return 0;
}

const RIP_SLOT = FRAME_REGISTERS.indexOf(Reg.rip);

/** Only 64-bit user code: any other selector would fault on the way back, or leave what the sentry can intercept. */
function segmentsAreSound(view: DataView): boolean {
  if ((view.getUint16(Frame.cs, true) | 3) !== USER_CS) return false;
  const strict = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
  if ((view.getUint32(Frame.flags, true) & strict) !== strict) return true;
  return (view.getUint16(Frame.ss, true) | 3) === USER_SS;
}

function restoreRegisters(regs: Uint32Array, view: DataView): void {
  const eflags = regs[Reg.eflags]!;
  for (let i = 0; i < FRAME_REGISTERS.length; i++) {
    const reg = FRAME_REGISTERS[i]!;
    regs[reg] = view.getUint32(Frame.registers + 8 * i, true);
    regs[reg + 1] = view.getUint32(Frame.registers + 8 * i + 4, true);
  }
  regs[Reg.eflags] = (eflags & ~EFLAGS_USER) | (regs[Reg.eflags]! & EFLAGS_USER);
  regs[Reg.eflags + 1] = 0;
  setReg(regs, Reg.cs, USER_CS);
  setReg(regs, Reg.ss, USER_SS);
  leaveCall(regs);
}

/** Loads the extended state at `address`, or the initial one when it is 0. */
function restoreState(task: Task, address: number): number {
  const { scratch, thread } = task;
  const size = thread.extendedStateSize;
  const { view, bytes } = scratch;
  bytes.fill(0, RETURN_STATE, RETURN_STATE + size + MAGIC2_SIZE);
  if (address === 0) putInitialState(view);
  else {
    const got = task.memory.copyInPartial(address, scratch, RETURN_STATE, size + MAGIC2_SIZE);
    if (got < Xsave.softwareEnd) return -EFAULT;
    // As with the host's ptrace, which names the CPU's components there; the frame's marks are not part of the state.
    keepMarkedState(scratch, size, got);
  }
  return thread.writeExtendedState(scratch, RETURN_STATE, size) < 0 ? -EFAULT : 0;
}

/** Without the marks of an extended frame only the legacy part counts, the rest becomes initial. */
function keepMarkedState({ view, bytes }: HostMemory, size: number, got: number): void {
  const stateSize = view.getUint32(RETURN_STATE + Xsave.stateSize, true);
  const marked =
    view.getUint32(RETURN_STATE + Xsave.softwareBytes, true) === FP_XSTATE_MAGIC1 &&
    stateSize >= Xsave.headerEnd &&
    stateSize <= size &&
    stateSize <= view.getUint32(RETURN_STATE + Xsave.extendedSize, true) &&
    got >= stateSize + MAGIC2_SIZE &&
    view.getUint32(RETURN_STATE + stateSize, true) === FP_XSTATE_MAGIC2;
  const present = RETURN_STATE + Xsave.presentFeatures;
  if (marked) {
    const low = view.getUint32(RETURN_STATE + Xsave.features, true);
    const high = view.getUint32(RETURN_STATE + Xsave.features + 4, true);
    bytes.fill(0, RETURN_STATE + stateSize, RETURN_STATE + size + MAGIC2_SIZE);
    view.setUint32(present, view.getUint32(present, true) & low, true);
    view.setUint32(present + 4, view.getUint32(present + 4, true) & high, true);
  } else {
    bytes.fill(0, RETURN_STATE + Xsave.softwareEnd, RETURN_STATE + size + MAGIC2_SIZE);
    view.setUint32(present, XFEATURE_LEGACY, true);
  }
  bytes.fill(0, RETURN_STATE + Xsave.softwareBytes, RETURN_STATE + Xsave.softwareEnd);
}

function putInitialState(view: DataView): void {
  view.setUint16(RETURN_STATE + Xsave.fcw, FCW_INITIAL, true);
  view.setUint32(RETURN_STATE + Xsave.mxcsr, MXCSR_INITIAL, true);
  view.setUint32(RETURN_STATE + Xsave.presentFeatures, XFEATURE_LEGACY, true);
}
