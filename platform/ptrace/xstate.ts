/**
 * The extended state of a thread (x87, SSE, AVX, AVX-512, PKRU…) as an uncompacted XSAVE image.
 *
 * The host accepts only an image of its full size, whereas a guest may hand in a shorter one (a signal frame without the newest
 * components): the rest is filled with zeros, which the image's own header declares absent.
 * Specification: Intel SDM volume 1, chapter 13; ptrace(2) NT_X86_XSTATE.
 */
import type { HostMemory } from '../contract/host.ts';
import * as process from '../host/process.ts';
import { allocateMemory } from '../host/memory.ts';

const NT_X86_XSTATE = 0x202;
const EINVAL = 22;
/** Legacy area and header: no image is shorter. */
const SMALLEST = 576;
const LARGEST = 16384;
const FCW_AT = 0;
const MXCSR_AT = 24;
const FEATURES_AT = 512;
const X87_AND_SSE = 3;

const buffer = allocateMemory(LARGEST);
let size = 0;

/** Bytes of the image on this host; asked once. */
export function extendedStateSize(tid: number): number {
  if (size === 0) {
    const result = process.regset(process.PTRACE_GETREGSET, tid, NT_X86_XSTATE, buffer.address, LARGEST);
    if (result > 0) size = result;
  }
  return size;
}

/** What a new program starts with: everything zero but the control words. */
export function resetExtendedState(tid: number): number {
  const length = extendedStateSize(tid);
  buffer.bytes.fill(0, 0, length);
  buffer.view.setUint16(FCW_AT, 0x37f, true);
  buffer.view.setUint32(MXCSR_AT, 0x1f80, true);
  // Declared present, because the host keeps the old MXCSR otherwise.
  buffer.view.setUint32(FEATURES_AT, X87_AND_SSE, true);
  return process.regset(process.PTRACE_SETREGSET, tid, NT_X86_XSTATE, buffer.address, length);
}

export function copyExtendedState(from: number, to: number): number {
  const length = process.regset(process.PTRACE_GETREGSET, from, NT_X86_XSTATE, buffer.address, LARGEST);
  return length < 0 ? length : process.regset(process.PTRACE_SETREGSET, to, NT_X86_XSTATE, buffer.address, length);
}

export function saveExtendedState(tid: number, into: HostMemory, offset: number): number {
  const length = extendedStateSize(tid);
  if (offset < 0 || offset + length > into.bytes.length) return -EINVAL;
  return process.regset(process.PTRACE_GETREGSET, tid, NT_X86_XSTATE, into.address + offset, length);
}

export function loadExtendedState(tid: number, from: HostMemory, offset: number, length: number): number {
  const full = extendedStateSize(tid);
  if (length < SMALLEST || length > full || offset < 0 || offset + length > from.bytes.length) return -EINVAL;
  buffer.bytes.set(from.bytes.subarray(offset, offset + length));
  buffer.bytes.fill(0, length, full);
  const result = process.regset(process.PTRACE_SETREGSET, tid, NT_X86_XSTATE, buffer.address, full);
  return result < 0 ? result : 0;
}
