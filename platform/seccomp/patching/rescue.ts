/**
 * A thread that was interrupted, or met a fault, inside a thunk or the trampoline: its frame is made that of a thread at the call site, so
 * that nobody ever sees an instruction pointer in there.
 *
 *   not yet posted, or posted and not taken → at the site's own `syscall` instruction, about to make the call  (`Undone`)
 *   answered                                → behind it, with the result; bytes on their way are copied here     (`Completed`)
 *   ordered commands are under way          → must finish first; the trampoline then traps                       (`Underway`)
 *   single-stepped, and the overwritten instruction has not been executed in its thunk → goes on untouched, or it never would (`Stepping`)
 *
 * A guest can jump into the trampoline with any registers and any words in its slot. Then what is done here hits its own registers and
 * memory and nothing else; loops are impossible, because each outcome but `Underway` leaves the trampoline, and that one is bounded by
 * the patience of whoever interrupts.
 */
import { Reg } from '#sentry/abi/x64/registers.ts';
import { GUEST_END, STUB_BASE } from '../../stub/layout.ts';
import { TRAMPOLINE_OFFSET } from '../../stub/guest-code.ts';
import type { Trampoline } from '../../stub/trampoline.ts';
import * as slot from '../../stub/trampoline-layout.ts';
import { CallState } from '../../stub/trampoline-layout.ts';
import type { Context } from '../context.ts';
import { registerWord } from '../frame.ts';
import type { FrameLayout } from '../frame.ts';
import type { PostedCall } from './posted-call.ts';
import { jumpAt, thunkAt } from './region.ts';
import type { Region } from './region.ts';

export const Rescue = { NotOurs: 0, Undone: 1, Completed: 2, Underway: 3, Failed: 4, Stepping: 5 } as const;
export type Rescue = (typeof Rescue)[keyof typeof Rescue];

const EFAULT = 14;
const HIGH = 0x1_0000_0000;
const BASE = STUB_BASE + TRAMPOLINE_OFFSET;
const SYSCALL_BYTES = 2;
const ARGUMENT_REGISTERS = [Reg.rdi, Reg.rsi, Reg.rdx, Reg.r10, Reg.r8, Reg.r9] as const;
/** CF, PF, AF, ZF and SF as lahf stores them; OF. */
const LAHF_FLAGS = 0xd5;
const OVERFLOW = 0x800;

export class Frames {
  readonly #layout: FrameLayout;
  readonly #trampoline: Trampoline;

  constructor(layout: FrameLayout, trampoline: Trampoline) {
    this.#layout = layout;
    this.#trampoline = trampoline;
  }

  instructionPointer(context: Context): number {
    return this.#get(context, Reg.rip);
  }

  /** Whether the frame's instruction pointer is where a thread waits for the answer to a posted call. */
  isWaiting(context: Context): boolean {
    const at = this.#get(context, Reg.rip) - BASE;
    return at >= this.#trampoline.posted && at < this.#trampoline.answered;
  }

  /** Looks at the frame of a thread whose call, if it has posted one, the sentry has not taken. `stepping`: a trap after one instruction. */
  rescue(context: Context, posted: PostedCall, region: Region | null, stepping: boolean): Rescue {
    const rip = this.#get(context, Reg.rip);
    const at = rip - BASE;
    const t = this.#trampoline;
    if (at < t.answer || at >= t.end) return this.#inThunk(context, region, rip, stepping);
    if (at > t.answering && at < t.entry) return this.#leave(context, this.#get(context, at < t.answeringInRcx ? Reg.r11 : Reg.rcx));
    if (at < t.saved) return this.#beforeSaving(context);
    if (at < t.posted || at >= t.retreat) return this.undo(context);
    if (at < t.answered && posted.state !== CallState.Idle) {
      posted.withdraw();
      return this.undo(context);
    }
    if (at === t.failed) return Rescue.Failed;
    if (at >= t.commands && at <= t.commandsEnd) return Rescue.Underway;
    // Answered, with commands still to come: they must not get lost.
    if (at !== t.interrupted && context.words[slot.ORDERED_BYTES / 4] !== 0) return Rescue.Underway;
    this.complete(context, context.words[slot.RESULT / 4]!, context.words[slot.RESULT / 4 + 1]!);
    return Rescue.Completed;
  }

  /** Lets the thread trap when it has done what it was ordered. */
  trapAfterCommands(context: Context): void {
    context.words[slot.TRAP_AFTER_COMMANDS / 4] = 1;
  }

  /** Registers as at the site's own `syscall` instruction, from what the trampoline has saved. */
  undo(context: Context): Rescue {
    this.#restoreArguments(context);
    const { words } = context;
    this.#set(context, Reg.rax, words[slot.NUMBER / 4]!, 0);
    return this.#leave(context, this.#returnAddress(context) - SYSCALL_BYTES);
  }

  /** Registers as behind the call. */
  complete(context: Context, low: number, high: number): void {
    this.#restoreArguments(context);
    this.#behind(context, low, high);
  }

  /** The same for a call that was taken: with the arguments it was taken with. */
  leave(context: Context, call: Uint32Array): void {
    this.#restoreArguments(context);
    for (let i = 0; i < ARGUMENT_REGISTERS.length; i += 1) this.#set(context, ARGUMENT_REGISTERS[i]!, call[2 + 2 * i]!, call[3 + 2 * i]!);
    this.#behind(context, 0, 0);
  }

  /** The result turns out to be that the guest's buffer is gone. */
  fail(context: Context): void {
    this.#set(context, Reg.rax, -EFAULT >>> 0, 0xffff_ffff);
  }

  #behind(context: Context, low: number, high: number): void {
    const address = this.#returnAddress(context);
    this.#set(context, Reg.rax, low, high);
    this.#set(context, Reg.rcx, address >>> 0, Math.floor(address / HIGH));
    const flags = registerWord(this.#layout, Reg.eflags);
    this.#set(context, Reg.r11, context.words[flags]!, 0);
    this.#leave(context, address);
  }

  #inThunk(context: Context, region: Region | null, rip: number, stepping: boolean): Rescue {
    if (region === null) return Rescue.NotOurs;
    const thunk = thunkAt(region, rip);
    if (thunk === null) {
      const site = jumpAt(region, rip);
      if (site === null) return Rescue.NotOurs;
      return stepping ? Rescue.Stepping : this.#leave(context, site.returnAddress - SYSCALL_BYTES - site.moved.length);
    }
    const { site, offset } = thunk;
    if (stepping && offset < site.moved.length) return Rescue.Stepping;
    this.#leave(context, site.returnAddress - SYSCALL_BYTES - (offset < site.moved.length ? site.moved.length : 0));
    return Rescue.Undone;
  }

  /** All registers are the caller's but rcx; r11 tells where it came from. */
  #beforeSaving(context: Context): Rescue {
    const address = this.#get(context, Reg.r11);
    return address >= GUEST_END ? Rescue.NotOurs : this.#leave(context, address - SYSCALL_BYTES);
  }

  #restoreArguments(context: Context): void {
    const { words } = context;
    for (let i = 0; i < ARGUMENT_REGISTERS.length; i += 1) {
      const at = slot.ARGUMENTS / 4 + 2 * i;
      this.#set(context, ARGUMENT_REGISTERS[i]!, words[at]!, words[at + 1]!);
    }
    const saved = words[slot.FLAGS / 4]!;
    const flags = registerWord(this.#layout, Reg.eflags);
    const others = words[flags]! & ~(LAHF_FLAGS | OVERFLOW);
    words[flags] = others | ((saved >>> 8) & LAHF_FLAGS) | ((saved & 1) === 0 ? 0 : OVERFLOW);
  }

  #returnAddress(context: Context): number {
    const { words } = context;
    const address = words[slot.RETURN_ADDRESS / 4]! + words[slot.RETURN_ADDRESS / 4 + 1]! * HIGH;
    // A forged one: the guest goes on at address 0, where nothing is.
    return address < GUEST_END && address >= SYSCALL_BYTES ? address : SYSCALL_BYTES;
  }

  #leave(context: Context, address: number): Rescue {
    this.#set(context, Reg.rip, address >>> 0, Math.floor(address / HIGH));
    return Rescue.Undone;
  }

  #get({ words }: Context, register: number): number {
    const at = registerWord(this.#layout, register);
    return words[at]! + words[at + 1]! * HIGH;
  }

  #set({ words }: Context, register: number, low: number, high: number): void {
    const at = registerWord(this.#layout, register);
    words[at] = low;
    words[at + 1] = high;
  }
}
