/**
 * The zygote: the first stub process, from which every clean address space is forked.
 *
 * It is cloned from the sentry instead of being executed from a file, because only a clone keeps the sentry's descriptor table, by
 * which a stub maps a donated descriptor and the sentry owns the filter's listener. The clone is emptied before anything else happens. The
 * sentry cannot reach into it, so all steps are a list of system calls prepared in a shared slot:
 *
 *   at the sentry's addresses: rseq off, signals blocked, own session, no rights, vDSO and stub moved to their places, slot mapped;
 *   in the stub page: everything else unmapped, signal handlers, alternate stack, filter; then a trap.
 *
 * The trap makes the host write a signal frame, from which the frames' layout is learned and which every new program starts with.
 * Specification: clone(2), mremap(2), rseq(2), seccomp(2), sigaltstack(2).
 */
import { assembleFilter } from '../bpf/assembler.ts';
import { guestFilter } from '../bpf/guest-filter.ts';
import { errnoName, PlatformUnavailable } from '../host/errors.ts';
import type { LinuxHost } from '../host/host.ts';
import { rseqArea } from '../host/libc.ts';
import { Notifications, Ready } from '../host/notifications.ts';
import type { Mapping } from '../host/proc.ts';
import * as process from '../host/process.ts';
import { callCloningCode, mapCode } from '../host/routine.ts';
import { UNTRACED_ZYGOTE_FLAGS } from '../stub/clone-flags.ts';
import * as slot from '../stub/context-layout.ts';
import { DOORBELL } from '../stub/guest-code.ts';
import type { GuestCode } from '../stub/guest-code.ts';
import { CONTEXT_BASE, CONTEXT_END, GUEST_END, PAGE_SIZE, STUB_BASE, STUB_SIZE, TASK_END, VDSO_BASE } from '../stub/layout.ts';
import type { Context, Contexts } from './context.ts';
import { clearFrame, learnFrame } from './frame.ts';
import type { FrameLayout } from './frame.ts';
import * as nr from './host-syscalls.ts';
import { State, StubThread } from './stub-thread.ts';
import { INTERRUPT_SIGNAL } from './switchboard.ts';

const EPERM = 1;
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
const NOT_MADE = -0x1_0000_0000;
const PATIENCE_NS = 10_000_000_000;
const LOOK_NS = 200_000;

// Scratch in the slot until the first frame is written: the lower part of the alternate stack.
const MASK = slot.STACK;
const STACK_STRUCT = slot.STACK + 16;
const PROGRAM_HEADER = slot.STACK + 48;
const ACTION = slot.STACK + 64;
const PROGRAM = slot.STACK + 128;
const PROGRAM_BYTES_MAX = 0x1c00;

export interface AddressRange {
  readonly start: number;
  readonly end: number;
}

/** Where the vDSO lies in every guest. */
export interface VdsoPlace {
  readonly vvar: AddressRange;
  readonly code: AddressRange;
}

export interface Launched {
  readonly pid: number;
  readonly context: Context;
  readonly listener: Notifications;
  readonly layout: FrameLayout;
  readonly vdso: VdsoPlace | null;
  readonly idLow: number;
  readonly idHigh: number;
}

/** The zygote as it waits for orders. It never runs a guest. */
export class Zygote extends StubThread {
  readonly pid: number;

  constructor(board: StubThread['board'], launched: Launched) {
    super(board, launched.context, CONTEXT_BASE);
    this.pid = launched.pid;
    this.tid = launched.pid;
    this.idLow = launched.idLow;
    this.idHigh = launched.idHigh;
    this.state = State.Rung;
    board.threads.set(this.tid, this);
  }

  called(): boolean {
    return this.board.condemn(this, 'is the zygote and makes a call');
  }
  protected stoppedInHandler(): boolean {
    return this.board.condemn(this, 'is the zygote and was stopped');
  }
  protected interrupted(): boolean {
    return false;
  }
  protected started(): boolean {
    return false;
  }
  protected restoreCall(): void {}
}

/** The list of calls, and what each is called in an error. */
class Plan {
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

/** Starts the zygote. Throws PlatformUnavailable where the host does not have or allow what it needs. */
export function launchZygote(host: LinuxHost, contexts: Contexts, stub: GuestCode): Launched {
  const code = mapCode(stub.bytes, 2);
  const first = attemptLaunch(host, contexts, stub, code, true);
  if (typeof first !== 'number') return first;
  // A host that seals the vDSO: it stays where it is.
  const second = attemptLaunch(host, contexts, stub, code, false);
  if (typeof second !== 'number') return second;
  throw new PlatformUnavailable(`this host refuses to set up a guest process (${errnoName(-second)})`, -second);
}

/** -errno when only the move of the vDSO was refused. */
function attemptLaunch(host: LinuxHost, contexts: Contexts, stub: GuestCode, code: number, moveVdso: boolean): Launched | number {
  const context = contexts.take();
  if (typeof context === 'number') throw new PlatformUnavailable(`this host has no memory for guest processes (${errnoName(-context)})`, -context);
  const plan = new Plan(context);
  const vdso = prepare(host, plan, context, contexts.fd, code, stub, moveVdso);
  context.setWord(slot.FORK_PARENT, process.ownPid());
  const pid = callCloningCode(code + stub.launch, UNTRACED_ZYGOTE_FLAGS, context.address, host.facts.heap);
  context.commands = 0;
  const listenerFd = awaitListener(host, plan, pid);
  if (listenerFd < 0) return moveVdso ? listenerFd : refuse(plan);
  return firstRing(host, pid, context, new Notifications(listenerFd), vdso);
}

function prepare(
  host: LinuxHost,
  plan: Plan,
  context: Context,
  contextsFd: number,
  code: number,
  stub: GuestCode,
  moveVdso: boolean,
): VdsoPlace | null {
  writeStructures(context, stub);
  detach(plan, context.address, code, stub);
  const vdso = placeVdso(plan, host.facts.vdso, moveVdso);
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
function writeStructures(context: Context, stub: GuestCode): void {
  const program = assembleFilter(
    guestFilter({
      guestEnd: GUEST_END,
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

/** Waits for the filter's listener: its descriptor, or -errno when the process ended before. */
function awaitListener(host: LinuxHost, plan: Plan, pid: number): number {
  const last = plan.names.lastIndexOf('seccomp');
  const deadline = host.monotonicNs() + PATIENCE_NS;
  for (;;) {
    const result = plan.result(last);
    if (result >= 0) return result;
    if (process.wait(pid, process.WNOHANG | process.WALL) !== 0) break;
    if (host.monotonicNs() > deadline) {
      process.kill(pid, process.SIGKILL);
      process.wait(pid, process.WALL);
      break;
    }
    process.pause(LOOK_NS);
  }
  const failed = failure(plan);
  if (failed >= 0 && plan.names[failed] === 'move vdso') return plan.result(failed);
  return refuse(plan);
}

function failure(plan: Plan): number {
  return plan.names.findIndex((name, i) => name !== '' && name !== 'rseq' && plan.result(i) < 0 && plan.result(i) !== NOT_MADE);
}

function refuse(plan: Plan): never {
  const failed = failure(plan);
  const errno = failed < 0 ? EPERM : -plan.result(failed);
  throw new PlatformUnavailable(refusal(failed < 0 ? 'the first guest process' : plan.names[failed]!, errno), errno);
}

/** One sentence for a user whose host does not let us filter our own child. */
function refusal(step: string, errno: number): string {
  if (step !== 'seccomp') return `this host refuses to set up a guest process (${step}: ${errnoName(errno)})`;
  if (errno === 16) return 'this process already has a seccomp filter with a listener, and a host allows only one';
  if (errno === 22) return 'this host lacks seccomp notifications that only death interrupts (Linux 5.19)';
  return `this host forbids seccomp filters with a listener (${errnoName(errno)}; in a container, allow the seccomp system call in its profile)`;
}

/** The process has raised its trap: the frame tells the layout. */
function firstRing(host: LinuxHost, pid: number, context: Context, listener: Notifications, vdso: VdsoPlace | null): Launched {
  // A host before Linux 6.6 does not know it: answers then cost a little more.
  listener.setSyncWakeUp(true);
  const ready = listener.poll(host.events.exitReadFd, PATIENCE_NS);
  const { arguments: args } = listener;
  const rang = (ready & Ready.Call) !== 0 && listener.receive() === 0 && listener.nr === DOORBELL && args[0] === SIGTRAP;
  const layout = rang ? learnFrame(context, CONTEXT_BASE, args[2]! + args[3]! * 0x1_0000_0000) : null;
  if (layout === null) {
    process.kill(pid, process.SIGKILL);
    process.wait(pid, process.WALL);
    throw new PlatformUnavailable('the first guest process did not answer; see the host kernel log', EPERM);
  }
  context.bytes.fill(0, slot.STACK, layout.frame);
  context.bytes.fill(0, slot.COMMANDS, slot.COMMANDS + PAGE_SIZE);
  clearFrame(context, layout);
  context.setWord(slot.FS_BASE, 0);
  context.setWord(slot.GS_BASE, CONTEXT_BASE);
  return { pid, context, listener, layout, vdso, idLow: listener.idLow, idHigh: listener.idHigh };
}
