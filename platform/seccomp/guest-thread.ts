/**
 * One guest thread on the seccomp platform: its stops, registers, memory calls, forks.
 *
 * The cheap way of a system call: a notification brings number and arguments, `resume` sends the result; nothing else of the thread is
 * visible. Whoever needs more (registers, extended state, memory calls, forks) finds the thread in the handler, where calls that need it
 * stop by themselves, or brings it there (see stub-thread.ts).
 *
 * Registers are copied from the signal frame at the first look, and back at `resume` if they changed.
 */
import { Frame } from '#sentry/abi/x64/signal-frame.ts';
import { Reg } from '#sentry/abi/x64/registers.ts';
import { StopKind } from '../contract/platform.ts';
import type { Fault, GuestThread } from '../contract/platform.ts';
import type { HostMemory } from '../contract/host.ts';
import type { Notifications } from '../host/notifications.ts';
import { allocateMemory } from '../host/memory.ts';
import * as process from '../host/process.ts';
import type { CpuSet } from '../host/process.ts';
import { Reply } from '../stub/guest-code.ts';
import { CARRIED_MAX } from '../stub/trampoline-layout.ts';
import type { Context } from './context.ts';
import { readState, registerWord, writeState } from './frame.ts';
import type { SeccompSpace } from './guest-space.ts';
import { PostedCall } from './patching/posted-call.ts';
import { Rescue } from './patching/rescue.ts';
import * as nr from '../stub/host-syscalls.ts';
import { MemoryThread } from './memory-thread.ts';
import { ESRCH, State } from './stub-thread.ts';
import type { Switchboard } from './switchboard.ts';
import { ThreadRegisters } from './thread-registers.ts';

const ENOSYS = 38;
const SIGTRAP = 5;
const SIGSYS = 31;
const FAULT_SIGNALS = (1 << 4) | (1 << SIGTRAP) | (1 << 7) | (1 << 8) | (1 << 11); // SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV
const SYS_SECCOMP_CODE = 1;
const TRAP_TRACE = 2;
const AUDIT_ARCH_X86_64 = 0xc000_003e;
const NO_SUCH_CALL = 0xffff_ffff;
// Offsets in siginfo_t.
const SI_CODE = 8;
const SI_ADDR = 16;
const SI_SYSCALL = 24;
const SI_ARCH = 28;
const ARGUMENT_REGISTERS = [Reg.rdi, Reg.rsi, Reg.rdx, Reg.r10, Reg.r8, Reg.r9];
/** Those of the 32-bit entry, of which it sees the lower halves. */
const FOREIGN_ARGUMENT_REGISTERS = [Reg.rbx, Reg.rcx, Reg.rdx, Reg.rsi, Reg.rdi, Reg.rbp];
/** rip of calls that the host serves at fixed addresses above the user half. */
const USER_HIGH = 0x8000;

export class SeccompThread extends MemoryThread implements GuestThread {
  owner: unknown = null;
  readonly space: SeccompSpace;
  readonly call = new Uint32Array(14);
  readonly posted: PostedCall;
  readonly fault: Fault = { signo: 0, code: 0, addressLow: 0, addressHigh: 0, trapNumber: 0, errorCode: 0 };
  #running = false;
  /** `interrupt` was called and no stop has answered it yet. */
  interruptWanted = false;
  interruptedAtNs = 0;
  placement = 0;
  affinity: CpuSet | null = null;
  readonly #registers: ThreadRegisters;

  constructor(board: Switchboard, space: SeccompSpace, context: Context, slotAddress: number) {
    super(board, context, slotAddress);
    this.space = space;
    this.posted = new PostedCall(context, slotAddress);
    this.#registers = new ThreadRegisters(context, board.layout, slotAddress);
  }

  get pid(): number {
    return this.space.pid;
  }

  /** The kernel let it run and has not been told of a stop since. */
  get running(): boolean {
    return this.#running;
  }

  set running(running: boolean) {
    if (running === this.#running) return;
    this.#running = running;
    this.space.platform.running += running ? 1 : -1;
    this.space.platform.patchedCalls.ran(this, running);
  }

  setResult(value: number): void {
    this.#registers.setResult(value);
  }

  registers(): Uint32Array {
    // Those of a forked child that has not begun are in its slot already, which it has not seen yet.
    if (!this.#registers.isFetched && !this.isHeld) this.enterHandler();
    return this.#registers.fetch(this.stop === StopKind.Syscall ? this.call[0]! : -1);
  }

  registersChanged(): void {
    this.#registers.changed();
  }

  get extendedStateSize(): number {
    return this.board.layout.stateSize;
  }

  readExtendedState(into: HostMemory, offset: number): number {
    return this.enterHandler() ? readState(this.context, this.board.layout, into, offset) : -ESRCH;
  }

  writeExtendedState(from: HostMemory, offset: number, length: number): number {
    return this.enterHandler() ? writeState(this.context, this.board.layout, from, offset, length) : -ESRCH;
  }

  resume(): void {
    if (this.running || !this.alive) return this.space.platform.resumeLost(this);
    this.space.platform.place(this);
    this.running = true;
    const registers = this.#registers;
    if (this.state === State.Parked) {
      this.state = State.Running;
      this.board.listener.answer(this.idLow, this.idHigh, registers.resultLow, registers.resultHigh);
    } else if (this.state === State.Posted) {
      this.state = State.Running;
      const { commands } = this.context;
      if (commands > 0) {
        this.space.deferring = null;
        this.context.commands = 0;
      }
      this.posted.answer(registers.resultLow, registers.resultHigh, commands);
    } else {
      registers.store();
      if (this.state === State.Rung) this.#leaveHandler();
      else if (this.isHeld) this.begin(true);
    }
    registers.forget();
  }

  /** Back to the guest, making the deferred memory calls on the way. */
  #leaveHandler(): void {
    if (this.context.commands === 0) return this.reply(Reply.Return);
    this.space.deferring = null;
    this.context.endCommands();
    this.reply(Reply.CommandsThenReturn);
    this.state = State.Running;
  }

  interrupt(): void {
    if (!this.running || this.interruptWanted) return;
    this.interruptWanted = true;
    this.space.platform.interrupting(this);
    if (this.state === State.Running) process.killThread(this.pid, this.tid, this.board.interruptSignal);
  }

  setAffinity(words: readonly number[] | null): void {
    this.space.platform.setAffinity(this, words);
  }

  /** Guest memory is about to change: patched sites in it are put back, or are no longer known. */
  protected override aboutToChange(number: number, address: number, length: number, protection: number, flags: number, to: number): void {
    const { patches, platform } = this.space;
    if (number === nr.SYS_MSYNC) return;
    const { patcher } = platform.patchedCalls;
    // What is replaced or unmapped needs no restoring, unless it is what the sites lead to.
    const keepsBytes = number === nr.SYS_MPROTECT || number === nr.SYS_MREMAP;
    patcher.aboutToChange(this, address, length, keepsBytes);
    patches.changed(address, length);
    if (number === nr.SYS_MMAP) patches.text.mapped(address, length, protection, flags);
    if (number !== nr.SYS_MREMAP) return;
    patcher.aboutToChange(this, to, protection, false);
    patches.changed(to, protection);
  }

  fork(): GuestThread | number {
    if (!this.#prepareToClone()) return -ESRCH;
    return this.space.platform.processes.fork(this);
  }

  spawn(): GuestThread | number {
    if (!this.#prepareToClone()) return -ESRCH;
    return this.space.platform.processes.spawn(this);
  }

  /** In the handler, with the frame up to date, so that it can be copied. */
  #prepareToClone(): boolean {
    if (!this.enterHandler() || this.performDeferred() < 0) return false;
    this.registers();
    this.#registers.store();
    return true;
  }

  release(): void {
    this.space.platform.processes.release(this);
  }

  /** The old value of the word, or -1 when the address faults. */
  compareExchange(address: number, expected: number, desired: number): number {
    if (!this.enterHandler() || this.performDeferred() < 0) return -1;
    return this.exchange(address, expected, desired);
  }

  called(listener: Notifications): boolean {
    if (this.state !== State.Running) return this.board.condemn(this, 'makes a call while it should not run');
    const { call } = this;
    this.ipLow = listener.ipLow;
    this.ipHigh = listener.ipHigh;
    call[0] = listener.nr;
    call.set(listener.arguments, 2);
    if (this.interruptWanted && this.ipHigh < USER_HIGH) {
      // The interruption is under way: it shall find the thread before its call, not after it.
      this.state = State.Interrupting;
      listener.answer(this.idLow, this.idHigh, 0, 0);
      return false;
    }
    this.state = State.Parked;
    return this.#stopped(StopKind.Syscall);
  }

  /** The address behind the `syscall` instruction of the call it is parked in. */
  get callAddress(): number {
    return this.ipLow + this.ipHigh * 0x1_0000_0000;
  }

  /** Takes the call it has posted: a stop. False: there is none, or an interruption on its way shall find the thread before it. */
  takePosted(): boolean {
    if (this.state !== State.Running || this.interruptWanted || !this.posted.take(this.call)) return false;
    this.state = State.Posted;
    return this.#stopped(StopKind.Syscall);
  }

  keepAnswer(value: number): void {
    if (this.space.platform.keepsAnswers) this.posted.keepAnswer(this.call[0]!, value);
  }

  forgetAnswers(): void {
    this.posted.forgetAnswers();
  }

  /** The call it is stopped at is left to wait. */
  leaveWaiting(): void {
    this.space.platform.patchedCalls.settle();
    if (this.state !== State.Posted && this.space.platform.isCrowded) this.sleep();
  }

  /** Writes the bytes that are on their way with an answer to guest memory now. */
  deliver(): boolean {
    const { posted } = this;
    if (!posted.bringsBytes) return true;
    const { outBytes } = posted;
    posted.outTo(deliveries);
    posted.forgetOut();
    return process.writeRemote(this.pid, posted.outAddress, deliveries, 0, outBytes) === outBytes;
  }

  protected override rangWhilePosted(): boolean {
    // An interruption that came too late: the stop has answered it.
    if (this.signal !== this.board.interruptSignal) return this.board.condemn(this, 'rings while its call is being served');
    this.reply(Reply.Return);
    this.state = State.Posted;
    return false;
  }

  protected override leavePosted(): boolean {
    const { frames } = this.space.platform.patchedCalls;
    const isWaiting = frames.isWaiting(this.context);
    this.deliver();
    this.posted.abandon();
    if (isWaiting) frames.leave(this.context, this.call);
    return isWaiting;
  }

  /** A fault or an interruption in the code around a patched site is not the guest's to see. What its frame tells is made right, or told. */
  #rescue(stepping: boolean): Rescue {
    const { frames } = this.space.platform.patchedCalls;
    const outcome = frames.rescue(this.context, this.posted, this.space.patches.region, stepping);
    if (outcome === Rescue.Completed && !this.deliver()) frames.fail(this.context);
    if (outcome === Rescue.Failed) this.board.condemn(this, 'could not do what it was ordered');
    return outcome;
  }

  #interrupted(): boolean {
    if (this.#rescue(false) !== Rescue.Underway) return this.#stopped(StopKind.Interrupted);
    this.space.platform.patchedCalls.frames.trapAfterCommands(this.context);
    this.reply(Reply.Return);
    return false;
  }

  #faulted(info: number, code: number): boolean {
    const stepping = this.signal === SIGTRAP && code === TRAP_TRACE;
    const outcome = this.#rescue(stepping);
    if (outcome === Rescue.Failed) return false;
    const undone = outcome === Rescue.Undone || outcome === Rescue.Completed;
    if (outcome === Rescue.Stepping || (undone && !stepping)) {
      // Commands that had to be finished first have been.
      if (this.interruptWanted && outcome === Rescue.Completed) return this.#stopped(StopKind.Interrupted);
      this.reply(Reply.Return);
      return false;
    }
    this.#decodeFault(info, code);
    if (undone) {
      const address = this.space.platform.patchedCalls.frames.instructionPointer(this.context);
      this.fault.addressLow = address >>> 0;
      this.fault.addressHigh = Math.floor(address / 0x1_0000_0000);
    }
    return this.#stopped(StopKind.Fault);
  }

  protected stoppedInHandler(): boolean {
    const { view } = this.context;
    const info = this.board.layout.frame + Frame.siginfo;
    const code = view.getInt32(info + SI_CODE, true);
    const { signal } = this;
    if (signal === SIGSYS && code === SYS_SECCOMP_CODE) return this.#trapped(info);
    if (signal === this.board.interruptSignal && this.interruptWanted) return this.#interrupted();
    // Sent from outside, or an interruption that another stop has answered.
    if (signal > 31 || ((FAULT_SIGNALS >> signal) & 1) === 0 || code <= 0) {
      this.reply(Reply.Return);
      return false;
    }
    return this.#faulted(info, code);
  }

  protected interrupted(): boolean {
    return this.#stopped(StopKind.Interrupted);
  }

  protected started(): boolean {
    if (!this.running) return false;
    if (this.interruptWanted) return this.#stopped(StopKind.Interrupted);
    this.reply(Reply.Return);
    return false;
  }

  protected restoreCall(words: Uint32Array, rax: number): void {
    words[rax] = this.call[0]!;
    words[rax + 1] = 0;
  }

  #trapped(info: number): boolean {
    const { view, words } = this.context;
    const { call } = this;
    const isNative = view.getUint32(info + SI_ARCH, true) === AUDIT_ARCH_X86_64;
    const registers = isNative ? ARGUMENT_REGISTERS : FOREIGN_ARGUMENT_REGISTERS;
    call[0] = isNative ? view.getUint32(info + SI_SYSCALL, true) : NO_SUCH_CALL;
    for (let i = 0; i < 6; i += 1) {
      const word = registerWord(this.board.layout, registers[i]!);
      call[2 + 2 * i] = words[word]!;
      call[3 + 2 * i] = isNative ? words[word + 1]! : 0;
    }
    return this.#stopped(StopKind.Syscall);
  }

  foreignNumber(): number {
    if (this.state !== State.Rung || this.signal !== SIGSYS || this.call[0] !== NO_SUCH_CALL) return -1;
    const { view } = this.context;
    const info = this.board.layout.frame + Frame.siginfo;
    return view.getUint32(info + SI_ARCH, true) === AUDIT_ARCH_X86_64 ? -1 : view.getUint32(info + SI_SYSCALL, true);
  }

  #decodeFault(info: number, code: number): void {
    const { view } = this.context;
    const { fault } = this;
    const { frame } = this.board.layout;
    fault.signo = this.signal;
    fault.code = code;
    fault.addressLow = view.getUint32(info + SI_ADDR, true);
    fault.addressHigh = view.getUint32(info + SI_ADDR + 4, true);
    fault.trapNumber = view.getUint32(frame + Frame.trapNumber, true);
    fault.errorCode = view.getUint32(frame + Frame.errorCode, true);
  }

  #stopped(kind: StopKind): true {
    this.running = false;
    this.interruptWanted = false;
    this.stop = kind;
    this.#registers.forget();
    if (kind === StopKind.Syscall) this.setResult(-ENOSYS);
    return true;
  }

  /** A new guest thread on the host thread of this one, which has ended and waits in the handler. */
  moveTo(space: SeccompSpace): SeccompThread {
    const next = new SeccompThread(this.board, space, this.context, this.slotAddress);
    next.takePlace(this);
    next.placement = this.affinity === null ? this.placement : 0;
    this.context.commands = 0;
    return next;
  }

  /** The host thread is gone. */
  lost(): void {
    this.alive = false;
    this.running = false;
    this.interruptWanted = false;
    this.stop = StopKind.Gone;
  }
}

/** For bytes on their way from a slot to guest memory. */
const deliveries = allocateMemory(CARRIED_MAX);
