/**
 * From the host's siginfo of a CPU exception to the contract's `Fault`.
 *
 * The host does not show a tracer `trapno` and `err` of the exception, which Linux puts in a signal frame. They are worked out: the
 * trap number follows from signal and code; the error code of a page fault is exact for instruction fetches and for writes to
 * readable pages, and says "read" otherwise (a write to an unmapped or PROT_NONE page looks like a read).
 * Specification: sigaction(2), Intel SDM volume 3, chapter 6 (exceptions) and 4.7 (page-fault error codes).
 */
import type { Fault } from '../contract/platform.ts';
import * as process from '../host/process.ts';
import { allocateMemory } from '../host/memory.ts';
import * as reg from './registers.ts';

const SIGILL = 4;
const SIGTRAP = 5;
const SIGBUS = 7;
const SIGFPE = 8;
const SIGSEGV = 11;
const SEGV_ACCERR = 2;
const SEGV_PKUERR = 4;
const SI_KERNEL = 0x80;
const BUS_ADRALN = 1;
const FPE_INTDIV = 1;
const TRAP_BRKPT = 1;

const TRAP_DIVIDE = 0;
const TRAP_DEBUG = 1;
const TRAP_BREAKPOINT = 3;
const TRAP_OVERFLOW = 4;
const TRAP_INVALID_OPCODE = 6;
const TRAP_GENERAL_PROTECTION = 13;
const TRAP_PAGE_FAULT = 14;
const TRAP_ALIGNMENT = 17;
const TRAP_SIMD = 19;

const PF_PRESENT = 1;
const PF_WRITE = 2;
const PF_USER = 4;
const PF_FETCH = 16;

const probe = allocateMemory(4096);

export function decodeFault(fault: Fault, signal: number, siginfo: Int32Array, registers: Uint32Array, tid: number): void {
  const code = siginfo[2]!;
  fault.signo = signal;
  fault.code = code;
  fault.addressLow = siginfo[4]! >>> 0;
  fault.addressHigh = siginfo[5]! >>> 0;
  fault.errorCode = 0;
  fault.trapNumber = trapNumber(signal, code);
  if (fault.trapNumber === TRAP_PAGE_FAULT) fault.errorCode = pageFaultError(fault, registers, tid);
  // An int3's si_addr is not filled in by the host; Linux leaves it 0 too.
}

function trapNumber(signal: number, code: number): number {
  switch (signal) {
    case SIGILL:
      return TRAP_INVALID_OPCODE;
    case SIGFPE:
      return code === FPE_INTDIV ? TRAP_DIVIDE : TRAP_SIMD;
    case SIGTRAP:
      return code === SI_KERNEL || code === TRAP_BRKPT ? TRAP_BREAKPOINT : TRAP_DEBUG;
    case SIGBUS:
      return code === BUS_ADRALN ? TRAP_ALIGNMENT : TRAP_PAGE_FAULT;
    case SIGSEGV:
      return code === SI_KERNEL ? TRAP_GENERAL_PROTECTION : TRAP_PAGE_FAULT;
    default:
      return TRAP_OVERFLOW;
  }
}

function pageFaultError(fault: Fault, registers: Uint32Array, tid: number): number {
  const present = fault.code === SEGV_ACCERR || fault.code === SEGV_PKUERR ? PF_PRESENT : 0;
  if (fault.addressLow === registers[reg.RIP] && fault.addressHigh === registers[reg.RIP + 1]) return PF_USER | PF_FETCH | present;
  const address = fault.addressHigh * 0x1_0000_0000 + fault.addressLow;
  const readable = fault.addressHigh < 0x8000 && process.readRemote(tid, address, probe, 0, 1) === 1;
  return PF_USER | present | (readable ? PF_WRITE : 0);
}
