/**
 * A host thread that runs the stub: where it is, and how it is made to perform calls.
 *
 * It stops either parked in a call of the guest (`Parked`: only number, arguments and result) or in the handler, having rung the doorbell
 * (`Rung`: registers are in its slot, and it executes what the reply tells). Whoever needs the latter of a parked thread interrupts it
 * (`enterHandler`). The methods that wait do so for this one thread; stops of others meanwhile are queued by the switchboard.
 *
 * The host thread may be killed, and its process may be hostile, at any moment: then `alive` becomes false and the methods say -ESRCH.
 */
import type { Notifications } from '../host/notifications.ts';
import { futexWake } from '../host/libc.ts';
import * as process from '../host/process.ts';
import { Frame } from '#sentry/abi/x64/signal-frame.ts';
import { Reg } from '#sentry/abi/x64/registers.ts';
import * as slot from '../stub/context-layout.ts';
import { UNTRACED_FORK_FLAGS, UNTRACED_SPAWN_FLAGS } from '../stub/clone-flags.ts';
import { KIND_DONE, KIND_STARTED, Reply } from '../stub/guest-code.ts';
import { GUEST_END } from '../stub/layout.ts';
import type { Context } from './context.ts';
import { copyFrame, registerWord } from './frame.ts';
import * as nr from '../stub/host-syscalls.ts';
import { Orders } from './orders.ts';
import type { Switchboard } from './switchboard.ts';

export const ESRCH = 3;
const EAGAIN = 11;
const SYSCALL_LENGTH = 2;

/** What `exchange` puts back; it is used by one thread at a time. */
const savedFrame = new Uint8Array(Frame.size);

export const State = {
  /** Runs guest code. */
  Running: 0,
  /** In a call of the guest that awaits its answer. */
  Parked: 1,
  /** In the handler, awaiting a reply. */
  Rung: 2,
  /** Performs what was ordered. */
  Busy: 3,
  /** On the way to the handler because we need it there. */
  Entering: 4,
  /** On the way to the handler because the kernel asked for an interruption. */
  Interrupting: 5,
  /** Runs a routine of the stub as if it were guest code; the next signal ends it. */
  Routine: 6,
  /** Cloned, not yet rung. */
  Starting: 7,
  /** In a posted call that awaits its answer. */
  Posted: 8,
} as const;
export type State = (typeof State)[keyof typeof State];

export abstract class StubThread {
  /** 0 until its first sign of life. */
  tid = 0;
  /** The process it belongs to; 0 until known. */
  abstract readonly pid: number;
  readonly board: Switchboard;
  readonly context: Context;
  /** Where the slot lies in the process. */
  readonly slotAddress: number;
  readonly frameAddress: number;
  alive = true;
  state: State = State.Starting;
  /** The notification that awaits an answer (Parked, Rung). */
  idLow = 0;
  idHigh = 0;
  /** With which signal it entered the handler last. */
  signal = 0;
  /** How the last commands ended. */
  protected outcome = 0;
  readonly orders = new Orders();
  /** Behind the `syscall` instruction of the call it is parked in. */
  protected ipLow = 0;
  protected ipHigh = 0;
  #held = false;
  /** It is `Rung`, but waits in its slot. */
  #asleep = false;
  /** A reply without its code: the frame's address, shifted by a byte. */
  readonly #replyLow: number;
  readonly #replyHigh: number;

  constructor(board: Switchboard, context: Context, slotAddress: number) {
    this.board = board;
    this.context = context;
    this.slotAddress = slotAddress;
    this.frameAddress = slotAddress + board.layout.frame;
    this.#replyLow = (this.frameAddress << 8) >>> 0;
    this.#replyHigh = Math.floor(this.frameAddress / 0x100_0000);
  }

  /** The thread makes a call of the guest: true when the kernel is to be told. */
  abstract called(listener: Notifications): boolean;
  /** The thread rang in guest code: a stop. True when the kernel is to be told. */
  protected abstract stoppedInHandler(): boolean;
  /** The interruption the kernel asked for has come. */
  protected abstract interrupted(): boolean;
  /** The thread rang while its posted call awaits its answer. */
  protected rangWhilePosted(): boolean {
    return this.board.condemn(this, 'rings out of turn');
  }

  /** The thread has entered the handler out of a posted call: makes the frame that of a thread behind the call. False: it did something else. */
  protected leavePosted(): boolean {
    return false;
  }

  /** First ring of a cloned thread. True when the kernel is to be told. */
  protected abstract started(): boolean;

  /** Takes note of a ring. True when the kernel is to be told. The arguments are the guest's word. */
  rang(kind: number, result: number): boolean {
    const before = this.state;
    const isSignal = kind > 0 && kind < KIND_DONE;
    this.state = State.Rung;
    if (before === State.Busy && kind === KIND_DONE) {
      this.outcome = result;
      return false;
    }
    if (before === State.Starting && kind === KIND_STARTED) return this.started();
    // The sentry had checked them: the host is out of memory or mappings, or the guest interfered.
    if (before === State.Running && kind === KIND_DONE) return this.board.condemn(this, `could not make a memory call (${result})`);
    if (!isSignal) return this.board.condemn(this, 'rings out of turn');
    this.signal = kind;
    if (before === State.Running) return this.stoppedInHandler();
    if (before === State.Entering || before === State.Routine) return false;
    if (before === State.Posted) return this.rangWhilePosted();
    if (before !== State.Interrupting) return this.board.condemn(this, 'rings while it should not run');
    this.#setReturnAddress(true);
    return this.interrupted();
  }

  /** Answers the doorbell. */
  reply(code: number): void {
    this.state = code === Reply.Return ? State.Running : State.Busy;
    this.#answer(code);
  }

  #answer(code: number): void {
    if (!this.#asleep) {
      this.board.listener.answer(this.idLow, this.idHigh, this.#replyLow + code, this.#replyHigh);
      return;
    }
    this.#asleep = false;
    this.context.words[slot.WAKE / 4] = code + 1;
    futexWake(this.context.address + slot.WAKE);
  }

  /**
   * Leaves the thread to wait in its slot instead of in the filter: the host goes through all that wait there, one by one, at each
   * notification and each answer.
   */
  sleep(): void {
    if (this.#asleep || !this.enterHandler()) return;
    this.#answer(Reply.Sleep);
    this.#asleep = true;
  }

  get isAsleep(): boolean {
    return this.#asleep;
  }

  /** Takes over where the host thread of `other` is. */
  protected takePlace(other: StubThread): void {
    this.tid = other.tid;
    this.idLow = other.idLow;
    this.idHigh = other.idHigh;
    this.state = other.state;
    this.#asleep = other.#asleep;
  }

  /** A forked child whose first call, for its slot, has not been answered: it has not seen its slot yet. */
  get isHeld(): boolean {
    return this.state === State.Starting && this.tid !== 0 && this.#held;
  }

  hold(idLow: number, idHigh: number): void {
    this.idLow = idLow;
    this.idHigh = idHigh;
    this.#held = true;
  }

  /** Lets a held child go on: right into the guest, or to the doorbell. */
  begin(intoGuest: boolean): void {
    this.#held = false;
    this.context.words[slot.GO / 4] = intoGuest ? 1 : 0;
    if (intoGuest) this.state = State.Running;
    this.board.listener.continue(this.idLow, this.idHigh);
  }

  /** Brings the thread into the handler. False when it died or refused. */
  enterHandler(): boolean {
    if (this.state === State.Parked && this.alive) {
      this.state = State.Entering;
      process.killThread(this.pid, this.tid, this.board.interruptSignal);
      this.board.listener.answer(this.idLow, this.idHigh, 0, 0);
      if (this.board.awaitRing(this)) this.#setReturnAddress(false);
    } else if (this.state === State.Posted && this.alive) {
      this.state = State.Entering;
      process.killThread(this.pid, this.tid, this.board.interruptSignal);
      if (this.board.awaitRing(this) && !this.leavePosted()) this.board.condemn(this, 'posts a call without making it');
    } else if (this.state !== State.Rung) {
      if (this.isHeld) this.begin(false);
      this.board.awaitRing(this);
    }
    return this.alive;
  }

  /** Performs the commands in the list: 0 or the error of the first that failed. */
  performCommands(): number {
    this.context.endCommands();
    this.reply(Reply.Commands);
    return this.finishCommands();
  }

  /** Waits for the end of commands under way. */
  finishCommands(): number {
    return this.board.awaitRing(this) ? this.outcome : -ESRCH;
  }

  /** A copy of the process; `child`, whose slot has been filled, becomes its thread. 0 or -errno. */
  cloneProcess(child: StubThread): number {
    const { context } = this;
    context.setWord(slot.FORK_DESCRIPTOR, this.board.contextsFd);
    context.setWord(slot.FORK_OFFSET, child.context.fileOffset);
    context.setWord(slot.FORK_PARENT, this.board.sentryPid);
    child.orders.add(
      nr.SYS_MMAP,
      this.slotAddress,
      slot.SLOT_SIZE,
      nr.PROT_READ_WRITE,
      nr.MAP_SLOT,
      this.board.contextsFd,
      child.context.fileOffset,
    );
    this.orders.add(nr.SYS_CLONE, UNTRACED_FORK_FLAGS, 0, 0, 0, 0, 0);
    return this.#clone(child, Reply.Fork);
  }

  /** Another thread of the process, `child`, whose slot has been filled and mapped. */
  cloneThread(child: StubThread): number {
    this.context.setWord(slot.SPAWN_SLOT, child.slotAddress);
    this.context.setWord(slot.SPAWN_FRAME, child.frameAddress);
    this.orders.add(nr.SYS_CLONE, UNTRACED_SPAWN_FLAGS, 0, 0, 0, 0, 0);
    return this.#clone(child, Reply.Spawn);
  }

  #clone(child: StubThread, code: number): number {
    this.board.expect(child);
    this.reply(code);
    const result = this.board.awaitRing(this) ? this.outcome : -ESRCH;
    this.orders.clear();
    // Whose thread the newcomer is follows from what it asks for, not from the number that the parent reports.
    if (result >= 0 && this.board.awaitNewcomer(child)) return 0;
    this.board.expect(null);
    return result < 0 ? result : -EAGAIN;
  }

  /** Fills another thread's slot with what this one's frame holds. */
  copyFrameTo(child: StubThread): void {
    copyFrame(this.context, child.context, this.board.layout, child.slotAddress);
    const from = this.context.words;
    const to = child.context.words;
    for (let at = slot.FS_BASE / 4; at < slot.FS_BASE / 4 + 4; at += 1) to[at] = from[at]!;
    const gs = slot.GS_BASE / 4;
    if (from[gs]! + from[gs + 1]! * 0x1_0000_0000 === this.slotAddress) child.context.setWord(slot.GS_BASE, child.slotAddress);
    child.context.words[slot.LOAD_BASES / 4] = 1;
  }

  /**
   * Runs the stub's `exchange` in place of guest code: the old value of the word, or -1 when it is not accessible. The frame afterwards is as
   * before.
   */
  exchange(address: number, expected: number, desired: number): number {
    const { context, board } = this;
    const { frame } = board.layout;
    if (!(address >= 0 && address + 4 <= GUEST_END)) return -1;
    savedFrame.set(context.bytes.subarray(frame, frame + Frame.size));
    const set = (register: number, value: number): void => context.setWord(registerWord(board.layout, register) * 4, value);
    set(Reg.rip, board.exchangeAddress);
    set(Reg.rax, expected >>> 0);
    set(Reg.rdi, address);
    set(Reg.rsi, desired >>> 0);
    set(Reg.eflags, 0x202);
    context.view.setUint16(frame + Frame.cs, 0x33, true);
    do {
      this.state = State.Routine;
      this.#answer(Reply.Return);
      if (!board.awaitRing(this)) return -1;
    } while (this.signal === board.interruptSignal);
    const old = context.words[registerWord(board.layout, Reg.rax)]!;
    context.bytes.set(savedFrame, frame);
    return this.signal === SIGTRAP ? old : -1;
  }

  /**
   * Where the guest goes on after the call it was parked in. Hosts differ in whether a signal that came before the answer makes the call
   * start again; `again`: it shall.
   */
  #setReturnAddress(again: boolean): void {
    const { words } = this.context;
    const { layout } = this.board;
    const rip = registerWord(layout, Reg.rip);
    const [low, high] = [words[rip]!, words[rip + 1]!];
    const callLow = (this.ipLow - SYSCALL_LENGTH) >>> 0;
    const callHigh = this.ipLow < SYSCALL_LENGTH ? this.ipHigh - 1 : this.ipHigh;
    if (again && low === this.ipLow && high === this.ipHigh) {
      words[rip] = callLow;
      words[rip + 1] = callHigh;
      this.restoreCall(words, registerWord(layout, Reg.rax));
    } else if (!again && low === callLow && high === callHigh) {
      words[rip] = this.ipLow;
      words[rip + 1] = this.ipHigh;
    }
  }

  /** Stores the number of the call it was parked in. */
  protected abstract restoreCall(words: Uint32Array, rax: number): void;
}

const SIGTRAP = 5;
