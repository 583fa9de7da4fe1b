/**
 * The sentry's side of a context slot: memory shared with one guest thread (layout in platform/stub/context-layout.ts).
 *
 * All slots are pieces of one memfd, mapped here in large pieces that stay for ever; a guest process maps only the slots of its own
 * threads. A slot is cleared before it goes to another process, so that no guest finds anything of another.
 *
 *     const contexts = new Contexts(host);
 *     const context = contexts.take();         // cleared
 *     context.addCommand(SYS_munmap, …); context.endCommands();
 *
 * The guest may write all of it at any moment. What is read here is copied once and checked.
 */
import type { HostFd, HostMemory } from '../contract/host.ts';
import { must } from '../host/errors.ts';
import type { LinuxHost } from '../host/host.ts';
import * as slot from '../stub/context-layout.ts';

const SLOTS_PER_PIECE = 64;
const WORD = 4;

export class Context {
  /** Where the slot lies in the memfd. */
  readonly fileOffset: number;
  /** Its address in the sentry. */
  readonly address: number;
  readonly bytes: Uint8Array;
  /** The whole slot as 32-bit words. */
  readonly words: Uint32Array;
  readonly view: DataView;
  commands = 0;

  constructor(piece: HostMemory, at: number, fileOffset: number) {
    const { buffer, byteOffset } = piece.bytes;
    this.fileOffset = fileOffset;
    this.address = piece.address + at;
    this.bytes = piece.bytes.subarray(at, at + slot.SLOT_SIZE);
    this.words = new Uint32Array(buffer, byteOffset + at, slot.SLOT_SIZE / WORD);
    this.view = new DataView(buffer as ArrayBuffer, byteOffset + at, slot.SLOT_SIZE);
  }

  /** Stores a number of 0…2^53 or a negative one as a 64-bit word. */
  setWord(offset: number, value: number): void {
    this.words[offset / WORD] = value >>> 0;
    this.words[offset / WORD + 1] = Math.floor(value / 0x1_0000_0000) >>> 0;
  }

  get isFull(): boolean {
    return this.commands === slot.COMMANDS_MAX;
  }

  /** Forgets everything in it. Nobody may be using it. */
  clear(): void {
    this.bytes.fill(0);
    this.commands = 0;
  }

  /** Appends a call to the list. `mayFail`: the list goes on after an error. */
  addCommand(nr: number, a0: number, a1: number, a2: number, a3: number, a4: number, a5: number, mayFail = false): void {
    const at = slot.COMMANDS + this.commands * slot.COMMAND_BYTES;
    this.commands += 1;
    this.words[at / WORD] = nr;
    this.words[at / WORD + 1] = mayFail ? 1 : 0;
    this.setWord(at + 8, a0);
    this.setWord(at + 16, a1);
    this.setWord(at + 24, a2);
    this.setWord(at + 32, a3);
    this.setWord(at + 40, a4);
    this.setWord(at + 48, a5);
  }

  /** Changes the second argument of a call in the list, the length of a memory call. */
  setCommandLength(index: number, bytes: number): void {
    this.setWord(slot.COMMANDS + index * slot.COMMAND_BYTES + 16, bytes);
  }

  /** Marks the end of the list; the next call added begins a new one. */
  endCommands(): void {
    this.words[(slot.COMMANDS + this.commands * slot.COMMAND_BYTES) / WORD] = slot.COMMANDS_END;
    this.commands = 0;
  }

  /** The result of a command, by its place in the list. Only as true as the guest process. */
  commandResult(index: number): number {
    const at = slot.COMMANDS + index * slot.COMMAND_BYTES + 56;
    return this.view.getInt32(at + 4, true) * 0x1_0000_0000 + this.view.getUint32(at, true);
  }
}

export class Contexts {
  readonly fd: HostFd;
  readonly #host: LinuxHost;
  readonly #free: Context[] = [];
  #size = 0;

  constructor(host: LinuxHost) {
    this.#host = host;
    this.fd = must('memfd_create', host.memfd('contexts'));
  }

  /** A slot full of zeros, or -errno. */
  take(): Context | number {
    if (this.#free.length === 0) {
      const result = this.#grow();
      if (result < 0) return result;
    }
    return this.#free.pop()!;
  }

  /** The slot's process is gone, or no thread of it will use the slot again. */
  give(context: Context): void {
    context.clear();
    this.#free.push(context);
  }

  #grow(): number {
    const length = SLOTS_PER_PIECE * slot.SLOT_SIZE;
    const result = this.#host.ftruncate(this.fd, this.#size + length);
    if (result < 0) return result;
    const piece = this.#host.mapShared(this.fd, this.#size, length);
    if (typeof piece === 'number') return piece;
    for (let at = length - slot.SLOT_SIZE; at >= 0; at -= slot.SLOT_SIZE) this.#free.push(new Context(piece, at, this.#size + at));
    this.#size += length;
    return 0;
  }
}
