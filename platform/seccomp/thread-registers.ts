/**
 * The general registers of a stopped thread: copied from the signal frame at the first look, and back before the thread goes on if they
 * changed; and the result of the call it is stopped at, which may be all that changes.
 *
 * The segment bases are not in the frame: the handler stores them beside it, and loads them on the way back when told to. The guest's
 * gs base is 0 unless it set another; in the thread it is the slot's address then.
 */
import { Reg, REGISTER_WORDS } from '#sentry/abi/x64/registers.ts';
import * as slot from '../stub/context-layout.ts';
import type { Context } from './context.ts';
import { readRegisters, registerWord, writeRegisters } from './frame.ts';
import type { FrameLayout } from './frame.ts';

/** A base from here on is not the user half's, and the host's instruction refuses it. */
const BASE_END_HIGH = 0x7fff;

export class ThreadRegisters {
  resultLow = 0;
  resultHigh = 0;
  readonly #context: Context;
  readonly #layout: FrameLayout;
  readonly #slotAddress: number;
  readonly #words = new Uint32Array(REGISTER_WORDS);
  #fetched = false;
  #dirty = false;
  #resultPending = false;

  constructor(context: Context, layout: FrameLayout, slotAddress: number) {
    this.#context = context;
    this.#layout = layout;
    this.#slotAddress = slotAddress;
  }

  get isFetched(): boolean {
    return this.#fetched;
  }

  setResult(value: number): void {
    this.resultLow = value >>> 0;
    this.resultHigh = Math.floor(value / 0x1_0000_0000) >>> 0;
    this.#resultPending = true;
  }

  /** The registers, a pending result included. `call`: the number of the call it is stopped at, or -1. */
  fetch(call: number): Uint32Array {
    const words = this.#words;
    if (!this.#fetched) {
      this.#read(call);
      this.#fetched = true;
    }
    if (this.#resultPending) {
      this.#resultPending = false;
      words[Reg.rax] = this.resultLow;
      words[Reg.rax + 1] = this.resultHigh;
      this.#dirty = true;
    }
    return words;
  }

  changed(): void {
    this.#dirty = true;
  }

  /** The thread goes on, or has stopped anew: what is known of its registers is out of date. */
  forget(): void {
    this.#fetched = false;
    this.#dirty = false;
    this.#resultPending = false;
  }

  /** Puts the registers, or the result alone, into the frame. The thread is in the handler or has not begun. */
  store(): void {
    if (!this.#fetched) {
      if (this.#resultPending) this.#storeResult();
      return;
    }
    this.fetch(-1);
    if (!this.#dirty) return;
    this.#dirty = false;
    writeRegisters(this.#context, this.#layout, this.#words);
    this.#storeBase(Reg.fsBase, slot.FS_BASE, 0);
    this.#storeBase(Reg.gsBase, slot.GS_BASE, this.#slotAddress);
  }

  #storeResult(): void {
    const rax = registerWord(this.#layout, Reg.rax);
    this.#context.words[rax] = this.resultLow;
    this.#context.words[rax + 1] = this.resultHigh;
    this.#resultPending = false;
  }

  #read(call: number): void {
    const registers = this.#words;
    const { words } = this.#context;
    readRegisters(this.#context, this.#layout, registers);
    registers[Reg.origRax] = call;
    registers[Reg.origRax + 1] = call < 0 ? 0xffff_ffff : 0;
    for (let i = 0; i < 2; i += 1) {
      registers[Reg.fsBase + i] = words[slot.FS_BASE / 4 + i]!;
      registers[Reg.gsBase + i] = words[slot.GS_BASE / 4 + i]!;
    }
    // Ours, unless the guest set another.
    if (registers[Reg.gsBase]! + registers[Reg.gsBase + 1]! * 0x1_0000_0000 === this.#slotAddress) {
      registers[Reg.gsBase] = 0;
      registers[Reg.gsBase + 1] = 0;
    }
  }

  /** `instead`: what 0 stands for. */
  #storeBase(register: number, offset: number, instead: number): void {
    const { words } = this.#context;
    const high = this.#words[register + 1]!;
    const value = high >= BASE_END_HIGH ? 0 : this.#words[register]! + high * 0x1_0000_0000;
    const wanted = value === 0 ? instead : value;
    if (words[offset / 4]! + words[offset / 4 + 1]! * 0x1_0000_0000 === wanted) return;
    this.#context.setWord(offset, wanted);
    words[slot.LOAD_BASES / 4] = 1;
  }
}
