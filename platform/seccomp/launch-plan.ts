/**
 * How a copy of the sentry becomes the zygote: the list of system calls that it makes by itself, and the structures these point to.
 *
 * First part, at the sentry's addresses: rseq off, signals blocked, own session, no rights, vDSO and stub moved to their places, slot mapped.
 * Second part, in the stub's pages: everything else unmapped, signal handlers, alternate stack, filter.
 *
 * Specification: capset(2), mremap(2), rseq(2), rt_sigaction(2), seccomp(2), sigaltstack(2).
 */
import { assembleFilter } from '../bpf/assembler.ts';
import { guestFilter } from '../bpf/guest-filter.ts';
import { rseqArea } from '../host/libc.ts';
import type { Mapping } from '../host/proc.ts';
import * as slot from '../stub/context-layout.ts';
import { DOORBELL } from '../stub/guest-code.ts';
import type { GuestCode } from '../stub/guest-code.ts';
import { CONTEXT_BASE, CONTEXT_END, GUEST_END, STUB_BASE, STUB_SIZE, TASK_END, VDSO_BASE } from '../stub/layout.ts';
import type { VdsoPlace } from '../stub/layout.ts';
import type { Context } from './context.ts';
import * as nr from '../stub/host-syscalls.ts';
import { INTERRUPT_SIGNAL } from './switchboard.ts';

const SIGTRAP = 5;
const SIGSYS = 31;
/** Every way into the handler. */
const HANDLED_SIGNALS = [4, SIGTRAP, 7, 8, 11, SIGSYS, INTERRUPT_SIGNAL];
const SA_FLAGS = 0x1c00_0004; // SA_SIGINFO | SA_ONSTACK | SA_RESTORER | SA_RESTART
const SS_AUTODISARM = 0x8000_0000;
const SIG_SETMASK = 2;
const PR_SET_DUMPABLE = 4;
const PR_SET_NAME = 15;
const PR_SET_NO_NEW_PRIVS = 38;
const SECCOMP_SET_MODE_FILTER = 1;
const FILTER_FLAGS = 0x28; // NEW_LISTENER | WAIT_KILLABLE_RECV
const RSEQ_FLAG_UNREGISTER = 1;
const RSEQ_SIGNATURE = 0x5305_3053;
const RSEQ_LENGTH = 32;
/** The vDSO passes here on its way when source and destination overlap. */
const HOP_BASE = 0x1000_0000;
/** What the result of a call is before it was made. */
export const NOT_MADE = -0x1_0000_0000;

// Scratch in the slot until the first frame is written: the lower part of the alternate stack.
const MASK = slot.STACK;
const STACK_STRUCT = slot.STACK + 16;
const PROGRAM_HEADER = slot.STACK + 48;
const ACTION = slot.STACK + 64;
const PROGRAM = slot.STACK + 128;
const PROGRAM_BYTES_MAX = 0x1c00;

/** The list of calls, and what each is called in an error. */
export class Plan {
  readonly names: string[] = [];
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  add(name: string, number: number, ...args: readonly number[]): void {
    this.#add(name, false, number, args);
  }

  /** Goes on if the call fails. */
  attempt(name: string, number: number, ...args: readonly number[]): void {
    this.#add(name, true, number, args);
  }

  /** Ends a part of the list; the next one follows behind its mark. */
  endPart(): void {
    const at = slot.COMMANDS + this.names.length * slot.COMMAND_BYTES;
    this.#context.setWord(at, slot.COMMANDS_END);
    this.names.push('');
    this.#context.commands = this.names.length;
  }

  result(index: number): number {
    return this.#context.commandResult(index);
  }

  #add(name: string, mayFail: boolean, number: number, args: readonly number[]): void {
    const [a0 = 0, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0] = args;
    if (this.names.length > slot.COMMANDS_MAX) throw new RangeError('zygote: the list of calls is too long');
    this.#context.addCommand(number, a0, a1, a2, a3, a4, a5, mayFail);
    this.#context.setWord(slot.COMMANDS + this.names.length * slot.COMMAND_BYTES + 56, NOT_MADE);
    this.names.push(name);
  }
}

/** What the plan is made for. */
export interface LaunchSite {
  readonly context: Context;
  readonly contextsFd: number;
  readonly stub: GuestCode;
  /** Where two copies of the stub lie in the sentry. */
  readonly code: number;
  readonly memoryLimited: boolean;
  /** The parts of the host's vDSO, and whether they can be moved. */
  readonly vdso: readonly Mapping[];
  readonly moveVdso: boolean;
}

/** Fills the plan and the slot. Where the vDSO will lie. */
export function prepareLaunch(plan: Plan, site: LaunchSite): VdsoPlace | null {
  const { context, contextsFd, stub, code, vdso: parts, moveVdso } = site;
  writeStructures(context, stub, site.memoryLimited);
  detach(plan, context.address, code, stub);
  const vdso = placeVdso(plan, parts, moveVdso);
  const move = nr.MREMAP_MAYMOVE | nr.MREMAP_FIXED;
  plan.add('move stub', nr.SYS_MREMAP, code + STUB_SIZE, STUB_SIZE, STUB_SIZE, move, STUB_BASE);
  plan.add('map slot', nr.SYS_MMAP, CONTEXT_BASE, slot.SLOT_SIZE, nr.PROT_READ_WRITE, nr.MAP_SLOT, contextsFd, context.fileOffset);
  plan.endPart();
  plan.add('madvise', nr.SYS_MADVISE, CONTEXT_BASE, slot.SLOT_SIZE, nr.MADV_DONTFORK);
  unmapRest(plan, vdso);
  for (const signal of HANDLED_SIGNALS) plan.add('sigaction', nr.SYS_RT_SIGACTION, signal, CONTEXT_BASE + ACTION, 0, 8);
  plan.add('sigaltstack', nr.SYS_SIGALTSTACK, CONTEXT_BASE + STACK_STRUCT, 0);
  plan.add('seccomp', nr.SYS_SECCOMP, SECCOMP_SET_MODE_FILTER, FILTER_FLAGS, CONTEXT_BASE + PROGRAM_HEADER);
  plan.endPart();
  return vdso;
}

/** What the calls point to. */
function writeStructures(context: Context, stub: GuestCode, memoryLimited: boolean): void {
  const program = assembleFilter(
    guestFilter({
      guestEnd: GUEST_END,
      memoryLimited,
      slots: { start: CONTEXT_BASE, end: CONTEXT_END },
      stub: { start: STUB_BASE, size: STUB_SIZE },
      doorbell: DOORBELL,
    }),
  );
  if (program.length > PROGRAM_BYTES_MAX) throw new RangeError('zygote: the filter is too long');
  context.bytes.set(program, PROGRAM);
  context.view.setUint16(PROGRAM_HEADER, program.length / 8, true);
  context.setWord(PROGRAM_HEADER + 8, CONTEXT_BASE + PROGRAM);
  // struct sigaction as the host has it: handler, flags, restorer, mask.
  context.setWord(ACTION, STUB_BASE + stub.handler);
  context.setWord(ACTION + 8, SA_FLAGS);
  context.setWord(ACTION + 16, STUB_BASE + stub.handler); // never returned to
  context.bytes.fill(0xff, ACTION + 24, ACTION + 32);
  // stack_t: address, flags, size.
  context.setWord(STACK_STRUCT, CONTEXT_BASE + slot.STACK);
  context.view.setUint32(STACK_STRUCT + 8, SS_AUTODISARM, true);
  context.setWord(STACK_STRUCT + 16, slot.STACK_BYTES);
  context.bytes.fill(0xff, MASK, MASK + 8);
  for (const signal of HANDLED_SIGNALS) context.bytes[MASK + ((signal - 1) >> 3)]! &= ~(1 << ((signal - 1) & 7));
}

/** Cuts the process loose from what it inherited from Node. `slotAddress` and `code` are the sentry's addresses. */
function detach(plan: Plan, slotAddress: number, code: number, stub: GuestCode): void {
  const rseq = rseqArea();
  // glibc registered an area of Node's main thread, to which the host would go on writing. Its length is one of these.
  const lengths = rseq === null ? [] : [...new Set([RSEQ_LENGTH, Math.ceil(rseq.size / 32) * 32])];
  for (const length of lengths) plan.attempt('rseq', nr.SYS_RSEQ, rseq!.address, length, RSEQ_FLAG_UNREGISTER, RSEQ_SIGNATURE);
  plan.add('sigprocmask', nr.SYS_RT_SIGPROCMASK, SIG_SETMASK, slotAddress + MASK, 0, 8);
  plan.add('setsid', nr.SYS_SETSID);
  plan.add('no_new_privs', nr.SYS_PRCTL, PR_SET_NO_NEW_PRIVS, 1);
  const capabilities = code + stub.noCapabilities;
  plan.add('capset', nr.SYS_CAPSET, capabilities, capabilities + 8);
  // The sentry may have changed its user; process_vm_readv needs a dumpable process.
  plan.add('set dumpable', nr.SYS_PRCTL, PR_SET_DUMPABLE, 1);
  plan.add('set name', nr.SYS_PRCTL, PR_SET_NAME, code + stub.processName);
}

function placeVdso(plan: Plan, parts: readonly Mapping[], move: boolean): VdsoPlace | null {
  const code = parts.find((part) => part.name === '[vdso]');
  const first = parts[0];
  if (code === undefined || first === undefined) return null;
  const placed = (base: number): VdsoPlace => ({
    vvar: { start: base, end: base + code.start - first.start },
    code: { start: base + code.start - first.start, end: base + code.end - first.start },
  });
  if (!move) return placed(first.start);
  let from = first.start;
  // A move must not overlap its source; some hosts place the vDSO just where ours goes.
  for (const to of code.end > VDSO_BASE ? [HOP_BASE, VDSO_BASE] : [VDSO_BASE]) {
    for (const { start, end } of parts) {
      const [offset, length] = [start - first.start, end - start];
      plan.add('move vdso', nr.SYS_MREMAP, from + offset, length, length, nr.MREMAP_MAYMOVE | nr.MREMAP_FIXED, to + offset);
    }
    from = to;
  }
  return placed(VDSO_BASE);
}

function unmapRest(plan: Plan, vdso: VdsoPlace | null): void {
  const kept = [
    { start: CONTEXT_BASE, end: CONTEXT_BASE + slot.SLOT_SIZE },
    { start: STUB_BASE, end: STUB_BASE + STUB_SIZE },
  ];
  if (vdso !== null) kept.push({ start: vdso.vvar.start, end: vdso.code.end });
  kept.sort((a, b) => a.start - b.start);
  let from = 0;
  for (const range of [...kept, { start: TASK_END, end: TASK_END }]) {
    if (range.start > from) plan.add('munmap', nr.SYS_MUNMAP, from, range.start - from);
    from = range.end;
  }
}
