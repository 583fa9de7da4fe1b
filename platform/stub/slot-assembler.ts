/**
 * The assembler's instructions for code that works on a thread's context slot: operands in memory relative to the gs base, and the few
 * others that such code needs.
 *
 * Encodings: Intel SDM volume 2; gs override 65, absolute 32-bit displacement by a SIB byte without base and index.
 */
import { Assembler, REGISTER_NUMBERS } from './assembler.ts';
import type { Register } from './assembler.ts';

const GS = 0x65;
const LOCK = 0xf0;

export class SlotAssembler extends Assembler {
  /** mov r64, gs:[offset] */
  load64(to: Register, offset: number): void {
    this.#slot(0x48, [0x8b], to, offset);
  }

  /** mov r32, gs:[offset] */
  loadSlot32(to: Register, offset: number): void {
    this.#slot(0, [0x8b], to, offset);
  }

  /** mov gs:[offset], r64 */
  store64(offset: number, from: Register): void {
    this.#slot(0x48, [0x89], from, offset);
  }

  /** mov gs:[offset], r32 */
  store32(offset: number, from: Register): void {
    this.#slot(0, [0x89], from, offset);
  }

  /** mov dword gs:[offset], imm32 */
  storeImm32(offset: number, value: number): void {
    this.bytes(GS, 0xc7, 0x04, 0x25);
    this.u32(offset);
    this.u32(value);
  }

  /** cmp dword gs:[offset], imm32 */
  compareSlotImm32(offset: number, value: number): void {
    this.bytes(GS, 0x81, 0x3c, 0x25);
    this.u32(offset);
    this.u32(value);
  }

  /** cmp r32, gs:[offset] */
  compareSlot32(left: Register, offset: number): void {
    this.#slot(0, [0x3b], left, offset);
  }

  /** xchg gs:[offset], r32: atomic, and a full barrier. */
  exchange32(offset: number, register: Register): void {
    this.#slot(0, [0x87], register, offset);
  }

  /** lock cmpxchg gs:[offset], r32 */
  compareExchange32(offset: number, register: Register): void {
    this.bytes(LOCK);
    this.#slot(0, [0x0f, 0xb1], register, offset);
  }

  /** mov r64, gs:[offset + index × 8] */
  loadIndexed64(to: Register, index: Register, offset: number): void {
    const n = REGISTER_NUMBERS[to];
    const i = REGISTER_NUMBERS[index];
    this.bytes(GS, 0x48 | (n >= 8 ? 4 : 0) | (i >= 8 ? 2 : 0), 0x8b, 0x04 | ((n & 7) << 3), 0xc5 | ((i & 7) << 3));
    this.u32(offset);
  }

  /** mov r64, gs:[base + offset] */
  loadFrom64(to: Register, base: Register, offset: number): void {
    const n = REGISTER_NUMBERS[to];
    const b = REGISTER_NUMBERS[base];
    if ((b & 7) === 4) throw new Error('assembler: this base register needs a SIB byte');
    this.bytes(GS, 0x48 | (n >= 8 ? 4 : 0) | (b >= 8 ? 1 : 0), 0x8b, 0x80 | ((n & 7) << 3) | (b & 7));
    this.u32(offset);
  }

  /** mov r32, r32: the upper half becomes zero. */
  mov32(to: Register, from: Register): void {
    const t = REGISTER_NUMBERS[to];
    const f = REGISTER_NUMBERS[from];
    const rex = 0x40 | (f >= 8 ? 4 : 0) | (t >= 8 ? 1 : 0);
    if (rex !== 0x40) this.bytes(rex);
    this.bytes(0x89, 0xc0 | ((f & 7) << 3) | (t & 7));
  }

  and32(register: Register, value: number): void {
    this.#group1(4, register, value);
  }

  cmp32(register: Register, value: number): void {
    this.#group1(7, register, value);
  }

  /** cmp r64, imm32 (sign-extended) */
  cmpImm64(register: Register, value: number): void {
    this.#group1Wide(7, register, value);
  }

  /** add r64, imm32 (sign-extended) */
  addImm64(register: Register, value: number): void {
    this.#group1Wide(0, register, value);
  }

  shr32(register: Register, count: number): void {
    this.#shift(5, register, count);
  }

  shl32(register: Register, count: number): void {
    this.#shift(4, register, count);
  }

  /** shr r64, 32; ZF tells whether nothing is left. */
  upperHalf(register: Register): void {
    const n = REGISTER_NUMBERS[register];
    this.bytes(n >= 8 ? 0x49 : 0x48, 0xc1, 0xe8 | (n & 7), 32);
  }

  /** dec r32 */
  dec32(register: Register): void {
    const n = REGISTER_NUMBERS[register];
    if (n >= 8) this.bytes(0x41);
    this.bytes(0xff, 0xc8 | (n & 7));
  }

  /** Jump if unsigned below. */
  jb(label: string): void {
    this.jumpTo(0x82, label);
  }

  /** jrcxz over the next `size` bytes: the one branch that neither looks at the flags nor changes them. */
  skipIfRcxZero(size: number): void {
    this.bytes(0xe3, size);
  }

  pause(): void {
    this.bytes(0xf3, 0x90);
  }

  /** Flags SF, ZF, AF, PF and CF to ah, OF to al: what `restoreFlags` takes. */
  saveFlags(): void {
    this.bytes(0x9f, 0x0f, 0x90, 0xc0); // lahf; seto al
  }

  restoreFlags(): void {
    this.bytes(0x04, 0x7f, 0x9e); // add al, 127; sahf
  }

  /** rep movsb. The direction flag must be clear. */
  copyBytes(): void {
    this.bytes(0xf3, 0xa4);
  }

  #slot(rexW: number, opcode: readonly number[], register: Register, offset: number): void {
    const n = REGISTER_NUMBERS[register];
    const rex = rexW | (n >= 8 ? 0x44 : 0);
    this.bytes(GS);
    if (rex !== 0) this.bytes(rex);
    this.bytes(...opcode, 0x04 | ((n & 7) << 3), 0x25);
    this.u32(offset);
  }

  #group1(operation: number, register: Register, value: number): void {
    const n = REGISTER_NUMBERS[register];
    if (n >= 8) this.bytes(0x41);
    this.bytes(0x81, 0xc0 | (operation << 3) | (n & 7));
    this.u32(value);
  }

  #group1Wide(operation: number, register: Register, value: number): void {
    const n = REGISTER_NUMBERS[register];
    this.bytes(n >= 8 ? 0x49 : 0x48, 0x81, 0xc0 | (operation << 3) | (n & 7));
    this.u32(value);
  }

  #shift(operation: number, register: Register, count: number): void {
    const n = REGISTER_NUMBERS[register];
    if (n >= 8) this.bytes(0x41);
    this.bytes(0xc1, 0xc0 | (operation << 3) | (n & 7), count);
  }
}
