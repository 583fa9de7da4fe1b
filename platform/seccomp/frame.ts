/**
 * The host's signal frame in a context slot: where a stopped thread's registers, extended state and siginfo lie.
 *
 * The host writes it at the end of the alternate stack, always at the same place: the stack is given with SS_AUTODISARM, so a new
 * frame starts at its top whatever the guest's rsp is. The layout is learned once, from the first frame of the zygote, which no guest has
 * touched; a frame anywhere else was not written by the host.
 *
 * Specification: sigaltstack(2), Linux arch/x86/kernel/signal_64.c, fpu/signal.c; sentry/abi/x64/signal-frame.ts.
 */
import { FP_XSTATE_MAGIC1, Frame, FRAME_REGISTERS, MAGIC2_SIZE, Xsave } from '#sentry/abi/x64/signal-frame.ts';
import { Reg } from '#sentry/abi/x64/registers.ts';
import type { HostMemory } from '../contract/host.ts';
import * as slot from '../stub/context-layout.ts';
import type { Context } from './context.ts';

const EINVAL = 22;
const USER_CS = 0x33;
const USER_CS_32 = 0x23;
const USER_SS = 0x2b;
const INITIAL_EFLAGS = 0x202;
const FCW_INITIAL = 0x37f;
const MXCSR_INITIAL = 0x1f80;
const MXCSR_MASK_AT = 28;
const HEADER_RESERVED_AT = 520; // XCOMP_BV and the rest of the header: zero in an uncompacted image
const X87_AND_SSE = 3;
const SMALLEST_STATE = 576;

/** What `Frame` tells, as offsets in a slot. */
export interface FrameLayout {
  readonly frame: number;
  /** XSAVE image and its length. */
  readonly state: number;
  readonly stateSize: number;
}

/** Learns the layout from the first frame, at `address` in a slot that lies at `slotAddress`. Null: not as expected. */
export function learnFrame({ view }: Context, slotAddress: number, address: number): FrameLayout | null {
  const frame = address - slotAddress;
  if (frame < slot.STACK || frame + Frame.size > slot.SLOT_SIZE || frame % 8 !== 0) return null;
  const pointer = frame + Frame.fpstate;
  const state = view.getUint32(pointer, true) + view.getUint32(pointer + 4, true) * 0x1_0000_0000 - slotAddress;
  if (state < frame || state + SMALLEST_STATE > slot.SLOT_SIZE) return null;
  if (view.getUint32(state + Xsave.softwareBytes, true) !== FP_XSTATE_MAGIC1) return null;
  const stateSize = view.getUint32(state + Xsave.stateSize, true);
  if (stateSize < SMALLEST_STATE || state + stateSize + MAGIC2_SIZE > slot.SLOT_SIZE) return null;
  return { frame, state, stateSize };
}

/** Makes the frame that of a new program: registers zero, extended state initial. */
export function clearFrame(context: Context, layout: FrameLayout): void {
  const { bytes, view } = context;
  const { frame, state, stateSize } = layout;
  bytes.fill(0, frame + Frame.registers, frame + Frame.cs);
  view.setUint32(frame + Frame.registers + 8 * FRAME_REGISTERS.indexOf(Reg.eflags), INITIAL_EFLAGS, true);
  view.setUint16(frame + Frame.cs, USER_CS, true);
  view.setUint16(frame + Frame.ss, USER_SS, true);
  bytes.fill(0, state, state + MXCSR_MASK_AT);
  bytes.fill(0, state + MXCSR_MASK_AT + 4, state + Xsave.softwareBytes);
  bytes.fill(0, state + Xsave.presentFeatures, state + stateSize);
  view.setUint16(state + Xsave.fcw, FCW_INITIAL, true);
  view.setUint32(state + Xsave.mxcsr, MXCSR_INITIAL, true);
  view.setUint32(state + Xsave.presentFeatures, X87_AND_SSE, true);
}

/** Copies the frame of another slot; `slotAddress` is where the receiving slot lies in its process. */
export function copyFrame(from: Context, to: Context, layout: FrameLayout, slotAddress: number): void {
  to.bytes.set(from.bytes.subarray(layout.frame, slot.SLOT_SIZE), layout.frame);
  to.setWord(layout.frame + Frame.fpstate, slotAddress + layout.state);
  to.setWord(layout.frame + Frame.stackAddress, slotAddress + slot.STACK);
}

/** From the frame to `user_regs_struct`. */
export function readRegisters({ words, view }: Context, { frame }: FrameLayout, into: Uint32Array): void {
  const first = (frame + Frame.registers) / 4;
  for (let i = 0; i < FRAME_REGISTERS.length; i += 1) {
    const index = FRAME_REGISTERS[i]!;
    into[index] = words[first + 2 * i]!;
    into[index + 1] = words[first + 2 * i + 1]!;
  }
  into.fill(0, Reg.ds);
  into[Reg.cs] = view.getUint16(frame + Frame.cs, true);
  into[Reg.cs + 1] = 0;
  into[Reg.ss] = view.getUint16(frame + Frame.ss, true);
  into[Reg.ss + 1] = 0;
}

/** And back. Segments that are not user code's are replaced by those that are. */
export function writeRegisters({ words, view }: Context, { frame }: FrameLayout, from: Uint32Array): void {
  const first = (frame + Frame.registers) / 4;
  for (let i = 0; i < FRAME_REGISTERS.length; i += 1) {
    const index = FRAME_REGISTERS[i]!;
    words[first + 2 * i] = from[index]!;
    words[first + 2 * i + 1] = from[index + 1]!;
  }
  view.setUint16(frame + Frame.cs, from[Reg.cs] === USER_CS_32 ? USER_CS_32 : USER_CS, true);
  view.setUint16(frame + Frame.ss, USER_SS, true);
}

/** Index of the low word of a general register in the slot's words. */
export function registerWord(layout: FrameLayout, register: number): number {
  return (layout.frame + Frame.registers) / 4 + 2 * FRAME_REGISTERS.indexOf(register);
}

export function readState({ bytes }: Context, { state, stateSize }: FrameLayout, into: HostMemory, offset: number): number {
  if (offset < 0 || offset + stateSize > into.bytes.length) return -EINVAL;
  into.bytes.set(bytes.subarray(state, state + stateSize), offset);
  return stateSize;
}

/** Loads an XSAVE image; -EINVAL for one that the CPU would refuse. A shorter one lacks the newest components, which become initial. */
export function writeState(context: Context, layout: FrameLayout, from: HostMemory, offset: number, length: number): number {
  const { state, stateSize } = layout;
  if (length < SMALLEST_STATE || length > stateSize || offset < 0 || offset + length > from.bytes.length) return -EINVAL;
  const { bytes, view } = context;
  if ((from.view.getUint32(offset + Xsave.mxcsr, true) & ~view.getUint32(state + MXCSR_MASK_AT, true)) !== 0) return -EINVAL;
  for (let at = HEADER_RESERVED_AT; at < Xsave.headerEnd; at += 4) if (from.view.getUint32(offset + at, true) !== 0) return -EINVAL;
  for (const half of [0, 4]) {
    const present = from.view.getUint32(offset + Xsave.presentFeatures + half, true);
    if ((present & ~view.getUint32(state + Xsave.features + half, true)) !== 0) return -EINVAL;
  }
  bytes.set(from.bytes.subarray(offset, offset + MXCSR_MASK_AT), state);
  bytes.set(from.bytes.subarray(offset + MXCSR_MASK_AT + 4, offset + Xsave.softwareBytes), state + MXCSR_MASK_AT + 4);
  bytes.set(from.bytes.subarray(offset + Xsave.presentFeatures, offset + length), state + Xsave.presentFeatures);
  bytes.fill(0, state + length, state + stateSize);
  return 0;
}
