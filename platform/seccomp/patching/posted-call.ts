/**
 * The sentry's side of one thread's posted calls: the words of its slot that platform/stub/trampoline.ts talks through.
 *
 *     if (posted.isPosted && posted.take(call)) … serve … posted.answer(low, high);
 *
 * Bytes that came along with the call are handed out in place of guest memory (`carried`), and bytes for memory that the thread found
 * writable travel with the answer (`bring`). Both hold while the call is being served, no longer: what a waiting call
 * reads later must be what is there then.
 *
 * Every word of the slot is the guest's word. Number and arguments are copied once; carried bytes are bounded by their area; where an
 * answer's bytes go is remembered here, not read back.
 */
import * as libc from '../../host/libc.ts';
import type { HostMemory } from '../../contract/host.ts';
import { COMMAND_BYTES, COPY_IN, COPY_OUT } from '../../stub/context-layout.ts';
import * as slot from '../../stub/trampoline-layout.ts';
import { CallState } from '../../stub/trampoline-layout.ts';
import type { Context } from '../context.ts';

const WORD = 4;
const HIGH = 0x1_0000_0000;
const CALL_WORDS = 12;
const STATE = slot.STATE / WORD;
const HOT = slot.HOT / WORD;
const FIRST_ARGUMENT = slot.ARGUMENTS / WORD;

export class PostedCall {
  readonly #context: Context;
  readonly #words: Uint32Array;
  /** For Atomics, which want a signed or unsigned integer array: the same words. */
  readonly #state: Int32Array;
  readonly #stateAddress: number;
  /** Where the slot lies in the process. */
  readonly #slotAddress: number;
  /** The call being served brought bytes from there. */
  #carriedAddress = 0;
  #carriedBytes = 0;
  #carriedString = false;
  /** Memory the thread found writable. */
  #writableAddress = 0;
  #writableBytes = 0;
  /** What the answer brings. */
  #outAddress = 0;
  #outBytes = 0;

  constructor(context: Context, slotAddress: number) {
    this.#context = context;
    this.#words = context.words;
    this.#state = new Int32Array(context.words.buffer, context.words.byteOffset, context.words.length);
    this.#stateAddress = context.address + slot.STATE;
    this.#slotAddress = slotAddress;
    // The slot may have been another thread's.
    this.cool();
    this.abandon();
    this.forgetAnswers();
  }

  get isPosted(): boolean {
    return Atomics.load(this.#state, STATE) === CallState.Posted;
  }

  /** The word of the moment; the guest's to forge. */
  get state(): number {
    return Atomics.load(this.#state, STATE);
  }

  /** The thread may answer call `nr`, which has no arguments, with `value` by itself. */
  keepAnswer(nr: number, value: number): void {
    if (nr >= slot.ANSWER_NUMBERS || !(value >= 0 && value <= slot.ANSWER_MAX)) return;
    this.#words[slot.ANSWERS / WORD + 2 * nr] = value + 1;
    this.#words[slot.ANSWERS_VALID / WORD] = slot.ANSWERS_MAGIC;
  }

  forgetAnswers(): void {
    this.#words[slot.ANSWERS_VALID / WORD] = 0;
    this.#words.fill(0, slot.ANSWERS / WORD, slot.ANSWERS / WORD + 2 * slot.ANSWER_NUMBERS);
  }

  /** From now on the thread may post calls. */
  heat(postedSpins: number, takenSpins: number): void {
    this.#context.setWord(slot.SELF, this.#slotAddress);
    this.#words[slot.POSTED_SPINS / WORD] = postedSpins;
    this.#words[slot.TAKEN_SPINS / WORD] = takenSpins;
    Atomics.store(this.#state, HOT, slot.HOT_MAGIC);
  }

  cool(): void {
    Atomics.store(this.#state, HOT, 0);
  }

  /** Takes the posted call: number and arguments to `call`. False: it is not there any more. */
  take(call: Uint32Array): boolean {
    if (Atomics.compareExchange(this.#state, STATE, CallState.Posted, CallState.Taken) !== CallState.Posted) return false;
    this.#outBytes = 0;
    const words = this.#words;
    call[0] = words[slot.NUMBER / WORD]!;
    for (let i = 0; i < CALL_WORDS; i += 1) call[2 + i] = words[FIRST_ARGUMENT + i]!;
    const carried = words[slot.CARRIED_BYTES / WORD]!;
    this.#carriedBytes = carried <= slot.CARRIED_MAX ? carried : 0;
    if (carried !== 0) {
      this.#carriedAddress = words[slot.CARRIED_ADDRESS / WORD]! + words[slot.CARRIED_ADDRESS / WORD + 1]! * HIGH;
      this.#carriedString = words[slot.CARRIED_STRING / WORD] === 1;
    }
    const writable = words[slot.WRITABLE_BYTES / WORD]!;
    this.#writableBytes = writable <= slot.CARRIED_MAX ? writable : 0;
    if (writable !== 0) this.#writableAddress = words[slot.WRITABLE_ADDRESS / WORD]! + words[slot.WRITABLE_ADDRESS / WORD + 1]! * HIGH;
    return true;
  }

  /** Bytes [address, address + length) as the thread brought them: true when they are all here. */
  carried(address: number, memory: HostMemory, offset: number, length: number): boolean {
    const from = address - this.#carriedAddress;
    if (this.#carriedBytes === 0 || from < 0 || from + length > this.#carriedBytes) return false;
    copy(this.#context.bytes, COPY_IN + from, memory.bytes, offset, length);
    return true;
  }

  /** The string at `address` with its NUL, at most `limit` bytes, if the thread brought it: its length then, else -1. */
  carriedString(address: number, memory: HostMemory, offset: number, limit: number): number {
    const length = this.#carriedBytes;
    if (length === 0 || !this.#carriedString || address !== this.#carriedAddress) return -1;
    if (length > limit || offset + length > memory.bytes.length) return -1;
    copy(this.#context.bytes, COPY_IN, memory.bytes, offset, length);
    // The guest can write here still: the end is where it was said to be, or nowhere.
    return memory.bytes[offset + length - 1] === 0 ? length : -1;
  }

  /** Lets the answer bring bytes to guest memory. False: they have to be written there at once. */
  bring(address: number, memory: HostMemory, offset: number, length: number): boolean {
    const from = address - this.#writableAddress;
    if (this.#writableBytes === 0 || from < 0 || from + length > this.#writableBytes) return false;
    if (this.#outBytes !== 0) {
      // A second piece: only if it continues the first.
      if (address !== this.#outAddress + this.#outBytes) return false;
    } else {
      this.#outAddress = address;
    }
    copy(memory.bytes, offset, this.#context.bytes, COPY_OUT + this.#outBytes, length);
    this.#outBytes += length;
    return true;
  }

  get bringsBytes(): boolean {
    return this.#outBytes !== 0;
  }

  /** Where the answer's bytes go, how many, and the bytes: for the case that the thread cannot copy them itself. */
  get outAddress(): number {
    return this.#outAddress;
  }
  get outBytes(): number {
    return this.#outBytes;
  }

  outTo(memory: HostMemory): void {
    copy(this.#context.bytes, COPY_OUT, memory.bytes, 0, this.#outBytes);
  }

  /** The call will take its time, or has been answered in another way: nothing of what came with it counts any more. */
  forget(): void {
    this.#carriedBytes = 0;
    this.#writableBytes = 0;
  }

  /** Nothing waits to be copied any more. */
  forgetOut(): void {
    this.#outBytes = 0;
  }

  /** The thread had better sleep: the answer will take long. */
  sendToSleep(): void {
    Atomics.compareExchange(this.#state, STATE, CallState.Taken, CallState.Sleep);
  }

  /** Lets the thread go on with this result. `commands`: how many it performs before that. */
  answer(low: number, high: number, commands: number): void {
    const words = this.#words;
    words[slot.RESULT / WORD] = low;
    words[slot.RESULT / WORD + 1] = high;
    words[slot.OUT_BYTES / WORD] = this.#outBytes;
    if (this.#outBytes !== 0) this.#context.setWord(slot.OUT_ADDRESS, this.#outAddress);
    words[slot.ORDERED_BYTES / WORD] = commands * COMMAND_BYTES;
    words[slot.TRAP_AFTER_COMMANDS / WORD] = 0;
    this.forget();
    // SAFETY: the word lies in the slot, which is never unmapped here; waking sleepers on it touches nothing else.
    if (Atomics.exchange(this.#state, STATE, CallState.Idle) === CallState.Parked) libc.futexWake(this.#stateAddress);
  }

  /** Ends the call without an answer: the thread has been taken out of the trampoline. */
  abandon(): void {
    this.forget();
    this.#outBytes = 0;
    this.#words[slot.ORDERED_BYTES / WORD] = 0;
    Atomics.store(this.#state, STATE, CallState.Idle);
  }

  /** Takes a posted call back for the thread: true unless it was not posted. */
  withdraw(): boolean {
    return Atomics.compareExchange(this.#state, STATE, CallState.Posted, CallState.Withdrawn) === CallState.Posted;
  }
}

/** Small pieces word for word: a call of the engine's own copy costs more than they do. */
function copy(from: Uint8Array, fromOffset: number, to: Uint8Array, toOffset: number, length: number): void {
  if (length > 64) {
    to.set(from.subarray(fromOffset, fromOffset + length), toOffset);
    return;
  }
  for (let i = 0; i < length; i += 1) to[toOffset + i] = from[fromOffset + i]!;
}
