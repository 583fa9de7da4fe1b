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
import { Reg, REGISTER_WORDS } from '#sentry/abi/x64/registers.ts';
import { StopKind } from '../contract/platform.ts';
import type { Fault, GuestThread } from '../contract/platform.ts';
import type { HostFd, HostMemory } from '../contract/host.ts';
import type { Notifications } from '../host/notifications.ts';
import { isFreeMemoryCall } from '../bpf/guest-filter.ts';
import { allocateMemory } from '../host/memory.ts';
import * as process from '../host/process.ts';
import type { CpuSet } from '../host/process.ts';
import * as slot from '../stub/context-layout.ts';
import { Reply } from '../stub/guest-code.ts';
import { GUEST_END } from '../stub/layout.ts';
import { CARRIED_MAX } from '../stub/trampoline-layout.ts';
import type { Context } from './context.ts';
import { readRegisters, readState, registerWord, writeRegisters, writeState } from './frame.ts';
import type { SeccompSpace } from './guest-space.ts';
import { PostedCall } from './patching/posted-call.ts';
import { Rescue } from './patching/rescue.ts';
import * as nr from './host-syscalls.ts';
import { ESRCH, State, StubThread } from './stub-thread.ts';
import type { Switchboard } from './switchboard.ts';

const EINVAL = 22;
const ENOSYS = 38;
const SIGTRAP = 5;
const SIGSYS = 31;
const MADV_DONTNEED = 4;
const FAULT_SIGNALS = (1 << 4) | (1 << SIGTRAP) | (1 << 7) | (1 << 8) | (1 << 11); // SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV
const SYS_SECCOMP_CODE = 1;
const AUDIT_ARCH_X86_64 = 0xc000_003e;
const NO_SUCH_CALL = 0xffff_ffff;
// Offsets in siginfo_t.
const SI_CODE = 8;
const SI_ADDR = 16;
const SI_SYSCALL = 24;
const SI_ARCH = 28;
const ARGUMENT_REGISTERS = [Reg.rdi, Reg.rsi, Reg.rdx, Reg.r10, Reg.r8, Reg.r9];
/** rip of calls that the host serves at fixed addresses above the user half. */
const USER_HIGH = 0x8000;

export class SeccompThread extends StubThread implements GuestThread {
  owner: unknown = null;
  readonly space: SeccompSpace;
  stop: StopKind = StopKind.Idle;
  readonly call = new Uint32Array(14);
  readonly posted: PostedCall;
  readonly fault: Fault = { signo: 0, code: 0, addressLow: 0, addressHigh: 0, trapNumber: 0, errorCode: 0 };
  #running = false;
  /** `interrupt` was called and no stop has answered it yet. */
  interruptWanted = false;
  interruptedAtNs = 0;
  placement = 0;
  affinity: CpuSet | null = null;
  readonly #registers = new Uint32Array(REGISTER_WORDS);
  #fetched = false;
  #dirty = false;
  #resultPending = false;
  #resultLow = 0;
  #resultHigh = 0;
  #collecting = false;

  constructor(board: Switchboard, space: SeccompSpace, context: Context, slotAddress: number) {
    super(board, context, slotAddress);
    this.space = space;
    this.posted = new PostedCall(context, slotAddress);
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
    this.#resultLow = value >>> 0;
    this.#resultHigh = Math.floor(value / 0x1_0000_0000) >>> 0;
    this.#resultPending = true;
  }

  registers(): Uint32Array {
    const registers = this.#registers;
    if (!this.#fetched) {
      this.enterHandler();
      this.#fetchRegisters();
      this.#fetched = true;
    }
    if (this.#resultPending) {
      this.#resultPending = false;
      registers[Reg.rax] = this.#resultLow;
      registers[Reg.rax + 1] = this.#resultHigh;
      this.#dirty = true;
    }
    return registers;
  }

  registersChanged(): void {
    this.#dirty = true;
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
    if (this.state === State.Parked) {
      this.state = State.Running;
      this.#resultPending = false;
      this.board.listener.answer(this.idLow, this.idHigh, this.#resultLow, this.#resultHigh);
      return;
    }
    if (this.state === State.Posted) {
      this.state = State.Running;
      this.#resultPending = false;
      const { commands } = this.context;
      if (commands > 0) {
        this.space.deferring = null;
        this.context.commands = 0;
      }
      this.posted.answer(this.#resultLow, this.#resultHigh, commands);
      return;
    }
    this.#storeRegisters();
    this.#fetched = false;
    if (this.state === State.Rung) this.#leaveHandler();
    else if (this.isHeld) this.begin(true);
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

  mmap(address: number, length: number, protection: number, flags: number, hostFd: HostFd, offset: number): number {
    if (outsideGuest(address, length)) return -EINVAL;
    return this.#memoryCall(nr.SYS_MMAP, address, length, protection, flags | nr.MAP_FIXED, hostFd, offset);
  }

  munmap(address: number, length: number): number {
    if (outsideGuest(address, length)) return -EINVAL;
    return this.#memoryCall(nr.SYS_MUNMAP, address, length, 0, 0, 0, 0);
  }

  mprotect(address: number, length: number, protection: number): number {
    if (outsideGuest(address, length)) return -EINVAL;
    return this.#memoryCall(nr.SYS_MPROTECT, address, length, protection, 0, 0, 0);
  }

  mremap(address: number, oldLength: number, newLength: number, flags: number, newAddress: number): number {
    if (outsideGuest(address, oldLength) || outsideGuest(newAddress, newLength)) return -EINVAL;
    return this.#memoryCall(nr.SYS_MREMAP, address, oldLength, newLength, flags, newAddress, 0);
  }

  madvise(address: number, length: number, advice: number): number {
    if (outsideGuest(address, length)) return -EINVAL;
    return this.#memoryCall(nr.SYS_MADVISE, address, length, advice, 0, 0, 0);
  }

  msync(address: number, length: number, flags: number): number {
    if (outsideGuest(address, length)) return -EINVAL;
    return this.#memoryCall(nr.SYS_MSYNC, address, length, flags, 0, 0, 0);
  }

  beginMemoryCalls(_scratch: number): void {
    this.#collecting = true;
  }

  endMemoryCalls(): number {
    this.#collecting = false;
    return this.performDeferred();
  }

  /**
   * Made at once, or with the calls that follow, or on the way back to the guest. The last only while this is the only thread, whose next
   * act makes them, not for files, whose descriptor may be closed until then, and not where the host has the last word.
   */
  #memoryCall(number: number, a0: number, a1: number, a2: number, a3: number, a4: number, a5: number): number {
    const { context, space } = this;
    const asked = !isFreeMemoryCall(number, a1, a3);
    const mayDefer = !asked && !this.#collecting && isForeseen(number, a2) && this.stop === StopKind.Syscall && space.mayDefer();
    // A posted call has no need of the handler: the trampoline makes deferred calls as well.
    if (!(mayDefer && this.state === State.Posted) && !this.enterHandler()) return -ESRCH;
    this.#notePatches(number, a0, a1, a2, a3, a4);
    const result = context.isFull ? this.performDeferred() : 0;
    if (result < 0) return result;
    context.addCommand(number, a0, a1, a2, a3, a4, a5);
    if (asked) this.orders.add(number, a0, a1, a2, a3, a4, a5);
    if (this.#collecting) return 0;
    if (!mayDefer) return this.performDeferred();
    space.deferring = this;
    return 0;
  }

  /** Guest memory is about to change: patched sites in it are put back, or are no longer known. */
  #notePatches(number: number, address: number, length: number, protection: number, flags: number, to: number): void {
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

  /** Makes the memory calls that were collected or deferred. 0 or the error of the first that failed. */
  performDeferred(): number {
    this.space.deferring = null;
    if (this.context.commands === 0) return 0;
    const result = this.enterHandler() ? this.performCommands() : -ESRCH;
    this.orders.clear();
    return result;
  }

  fork(): GuestThread | number {
    if (!this.#prepareToClone()) return -ESRCH;
    return this.space.platform.fork(this);
  }

  spawn(): GuestThread | number {
    if (!this.#prepareToClone()) return -ESRCH;
    return this.space.platform.spawn(this);
  }

  /** In the handler, with the frame up to date, so that it can be copied. */
  #prepareToClone(): boolean {
    if (!this.enterHandler() || this.performDeferred() < 0) return false;
    this.registers();
    this.#storeRegisters();
    return true;
  }

  release(): void {
    this.space.platform.releaseThread(this);
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

  /** The call it is stopped at is left to wait. */
  leaveWaiting(): void {
    this.space.platform.patchedCalls.settle();
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

  /** A fault or an interruption in the code around a patched site is not the guest's to see. True: the thread has been sent on. */
  #rescued(isFault: boolean): boolean {
    const { frames } = this.space.platform.patchedCalls;
    switch (frames.rescue(this.context, this.posted, this.space.patches.region)) {
      case Rescue.NotOurs:
        return false;
      case Rescue.Undone:
        break;
      case Rescue.Completed:
        if (!this.deliver()) frames.fail(this.context);
        break;
      case Rescue.Underway:
        if (isFault) return false;
        frames.trapAfterCommands(this.context);
        this.reply(Reply.Return);
        return true;
      case Rescue.Failed:
        this.board.condemn(this, 'could not do what it was ordered');
        return true;
    }
    if (!isFault) return false;
    this.reply(Reply.Return);
    return true;
  }

  protected stoppedInHandler(): boolean {
    const { view } = this.context;
    const info = this.board.layout.frame + Frame.siginfo;
    const code = view.getInt32(info + SI_CODE, true);
    const { signal } = this;
    if (signal === SIGSYS && code === SYS_SECCOMP_CODE) return this.#trapped(info);
    if (signal === this.board.interruptSignal && this.interruptWanted) {
      return this.#rescued(false) ? false : this.#stopped(StopKind.Interrupted);
    }
    // Sent from outside, or an interruption that another stop has answered.
    if (signal > 31 || ((FAULT_SIGNALS >> signal) & 1) === 0 || code <= 0) {
      this.reply(Reply.Return);
      return false;
    }
    if (this.#rescued(true)) return false;
    this.#decodeFault(info, code);
    return this.#stopped(StopKind.Fault);
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
    call[0] = view.getUint32(info + SI_ARCH, true) === AUDIT_ARCH_X86_64 ? view.getUint32(info + SI_SYSCALL, true) : NO_SUCH_CALL;
    for (let i = 0; i < 6; i += 1) {
      const word = registerWord(this.board.layout, ARGUMENT_REGISTERS[i]!);
      call[2 + 2 * i] = words[word]!;
      call[3 + 2 * i] = words[word + 1]!;
    }
    return this.#stopped(StopKind.Syscall);
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
    this.#fetched = false;
    if (kind === StopKind.Syscall) this.setResult(-ENOSYS);
    else this.#resultPending = false;
    return true;
  }

  /** A new guest thread on the host thread of this one, which has ended and waits in the handler. */
  moveTo(space: SeccompSpace): SeccompThread {
    const next = new SeccompThread(this.board, space, this.context, this.slotAddress);
    next.tid = this.tid;
    next.idLow = this.idLow;
    next.idHigh = this.idHigh;
    next.state = this.state;
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

  #fetchRegisters(): void {
    const registers = this.#registers;
    const { words } = this.context;
    readRegisters(this.context, this.board.layout, registers);
    const isCall = this.stop === StopKind.Syscall;
    registers[Reg.origRax] = isCall ? this.call[0]! : 0xffff_ffff;
    registers[Reg.origRax + 1] = isCall ? 0 : 0xffff_ffff;
    for (let i = 0; i < 2; i += 1) {
      registers[Reg.fsBase + i] = words[slot.FS_BASE / 4 + i]!;
      registers[Reg.gsBase + i] = words[slot.GS_BASE / 4 + i]!;
    }
    // Ours, unless the guest set another.
    if (registers[Reg.gsBase]! + registers[Reg.gsBase + 1]! * 0x1_0000_0000 === this.slotAddress) {
      registers[Reg.gsBase] = 0;
      registers[Reg.gsBase + 1] = 0;
    }
  }

  /** Puts the registers, or the result alone, into the frame. The thread is in the handler or has not begun. */
  #storeRegisters(): void {
    const { layout } = this.board;
    if (this.#resultPending && !this.#fetched) {
      const rax = registerWord(layout, Reg.rax);
      this.context.words[rax] = this.#resultLow;
      this.context.words[rax + 1] = this.#resultHigh;
      this.#resultPending = false;
      return;
    }
    if (!this.#fetched) return;
    const registers = this.registers();
    if (!this.#dirty) return;
    this.#dirty = false;
    writeRegisters(this.context, layout, registers);
    this.#storeBase(Reg.fsBase, slot.FS_BASE, 0);
    this.#storeBase(Reg.gsBase, slot.GS_BASE, this.slotAddress);
  }

  /** `instead`: what 0 stands for. */
  #storeBase(register: number, offset: number, instead: number): void {
    const { words } = this.context;
    const high = this.#registers[register + 1]!;
    // The host's instruction refuses what lies beyond the user half.
    const value = high >= 0x7fff ? 0 : this.#registers[register]! + high * 0x1_0000_0000;
    const wanted = value === 0 ? instead : value;
    if (words[offset / 4]! + words[offset / 4 + 1]! * 0x1_0000_0000 === wanted) return;
    this.context.setWord(offset, wanted);
    words[slot.LOAD_BASES / 4] = 1;
  }
}

/** For bytes on their way from a slot to guest memory. */
const deliveries = allocateMemory(CARRIED_MAX);

/** Whether the kernel knows beforehand that the host will do it. */
function isForeseen(number: number, advice: number): boolean {
  if (number === nr.SYS_MADVISE) return advice === MADV_DONTNEED;
  return number !== nr.SYS_MSYNC;
}

function outsideGuest(address: number, length: number): boolean {
  return !(address >= 0 && length >= 0 && address + length <= GUEST_END);
}
