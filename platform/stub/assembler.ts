/**
 * A small x86-64 assembler: just the instructions the stub consists of, written one per line.
 *
 *     const a = new Assembler();
 *     a.label('again');
 *     a.movImm32('rax', 34);
 *     a.syscall();
 *     a.jmp('again');
 *     const bytes = a.finish();          // labels resolved; a.offsetOf('again') tells where they lie
 *
 * Encodings: Intel SDM volume 2. Jumps are always near with 32-bit displacement, so sizes do not depend on distances.
 */

export const REGISTER_NUMBERS = {
  rax: 0,
  rcx: 1,
  rdx: 2,
  rbx: 3,
  rsp: 4,
  rbp: 5,
  rsi: 6,
  rdi: 7,
  r8: 8,
  r9: 9,
  r10: 10,
  r11: 11,
  r12: 12,
  r13: 13,
  r14: 14,
  r15: 15,
} as const;
export type Register = keyof typeof REGISTER_NUMBERS;

interface Fixup {
  /** Where the 32-bit displacement lies; it counts from the end of those four bytes. */
  readonly at: number;
  readonly label: string;
}

export class Assembler {
  readonly #bytes: number[] = [];
  readonly #labels = new Map<string, number>();
  readonly #fixups: Fixup[] = [];
  /** Like fixups, but the 32 bits receive the label's offset itself. */
  readonly #offsets: Fixup[] = [];

  /** Offset of the next byte. */
  get offset(): number {
    return this.#bytes.length;
  }

  label(name: string): void {
    if (this.#labels.has(name)) throw new Error(`assembler: label ${name} defined twice`);
    this.#labels.set(name, this.offset);
  }

  offsetOf(name: string): number {
    const offset = this.#labels.get(name);
    if (offset === undefined) throw new Error(`assembler: unknown label ${name}`);
    return offset;
  }

  bytes(...values: readonly number[]): void {
    for (const value of values) this.#bytes.push(value & 0xff);
  }

  /** Fills with int3 up to a multiple of `alignment`. */
  align(alignment: number): void {
    while (this.offset % alignment !== 0) this.#bytes.push(0xcc);
  }

  u32(value: number): void {
    this.bytes(value, value >>> 8, value >>> 16, value >>> 24);
  }

  /** mov r32, imm32: the upper half of the register becomes zero. */
  movImm32(to: Register, value: number): void {
    const n = REGISTER_NUMBERS[to];
    if (n >= 8) this.bytes(0x41);
    this.bytes(0xb8 + (n & 7));
    this.u32(value);
  }

  /** mov r64, imm64 for an unsigned value below 2^53. */
  movImm64(to: Register, value: number): void {
    const n = REGISTER_NUMBERS[to];
    this.bytes(n >= 8 ? 0x49 : 0x48, 0xb8 + (n & 7));
    this.u32(value >>> 0);
    this.u32(Math.floor(value / 0x1_0000_0000));
  }

  /** mov r64, r64 */
  mov(to: Register, from: Register): void {
    this.#registerToRegister(0x89, to, from);
  }

  /** xor r64, r64: the usual way to zero a register. */
  xor(to: Register, from: Register): void {
    this.#registerToRegister(0x31, to, from);
  }

  add(to: Register, from: Register): void {
    this.#registerToRegister(0x01, to, from);
  }

  sub(to: Register, from: Register): void {
    this.#registerToRegister(0x29, to, from);
  }

  /** mov r32, r32: the upper half becomes zero. */
  movLow(to: Register, from: Register): void {
    const t = REGISTER_NUMBERS[to];
    const f = REGISTER_NUMBERS[from];
    if (t >= 8 || f >= 8) this.bytes(0x40 | (f >= 8 ? 4 : 0) | (t >= 8 ? 1 : 0));
    this.bytes(0x89, 0xc0 | ((f & 7) << 3) | (t & 7));
  }

  cmp(left: Register, right: Register): void {
    this.#registerToRegister(0x39, left, right);
  }

  test(left: Register, right: Register): void {
    this.#registerToRegister(0x85, left, right);
  }

  push(register: Register): void {
    const n = REGISTER_NUMBERS[register];
    if (n >= 8) this.bytes(0x41);
    this.bytes(0x50 + (n & 7));
  }

  pop(register: Register): void {
    const n = REGISTER_NUMBERS[register];
    if (n >= 8) this.bytes(0x41);
    this.bytes(0x58 + (n & 7));
  }

  /** lea r64, [rip + label] */
  lea(to: Register, label: string): void {
    const n = REGISTER_NUMBERS[to];
    this.bytes(n >= 8 ? 0x4c : 0x48, 0x8d, 0x05 | ((n & 7) << 3));
    this.#displacement(label);
  }

  /** mov r32, dword [rip + label] */
  load32(to: Register, label: string): void {
    const n = REGISTER_NUMBERS[to];
    if (n >= 8) this.bytes(0x44);
    this.bytes(0x8b, 0x05 | ((n & 7) << 3));
    this.#displacement(label);
  }

  /** mov r64, qword [rbx + displacement], for displacements below 128. */
  load64FromRbx(to: Register, displacement: number): void {
    const n = REGISTER_NUMBERS[to];
    this.bytes(n >= 8 ? 0x4c : 0x48, 0x8b, 0x43 | ((n & 7) << 3), displacement);
  }

  /** add rbx, imm8 */
  addToRbx(value: number): void {
    this.bytes(0x48, 0x83, 0xc3, value);
  }

  /** mov r64, qword [base + displacement] */
  loadAt(to: Register, base: Register, displacement: number): void {
    this.#memory([0x8b], to, base, displacement);
  }

  /** mov qword [base + displacement], r64 */
  storeAt(base: Register, displacement: number, from: Register): void {
    this.#memory([0x89], from, base, displacement);
  }

  /** lea r64, [base + displacement] */
  leaAt(to: Register, base: Register, displacement: number): void {
    this.#memory([0x8d], to, base, displacement);
  }

  /** mov qword [base + displacement], imm32 (sign-extended) */
  storeImmAt(base: Register, displacement: number, value: number): void {
    this.#memory([0xc7], 'rax', base, displacement);
    this.u32(value);
  }

  /** cmp qword [base + displacement], imm8 */
  compareAt(base: Register, displacement: number, value: number): void {
    this.#memory([0x83], 'rdi', base, displacement); // /7
    this.bytes(value);
  }

  /** cmp r64, imm32 (sign-extended) */
  cmpImm32(register: Register, value: number): void {
    this.#registerImmediate(7, register, value);
  }

  /** and r64, imm32 (sign-extended) */
  andImm32(register: Register, value: number): void {
    this.#registerImmediate(4, register, value);
  }

  /** add r64, imm32 (sign-extended) */
  addImm32(register: Register, value: number): void {
    this.#registerImmediate(0, register, value);
  }

  /** add r64, the offset of `label` from the first byte assembled */
  addOffset(register: Register, label: string): void {
    this.#registerImmediate(0, register, 0);
    this.#offsets.push({ at: this.offset - 4, label });
  }

  /** rdfsbase, rdgsbase, wrfsbase, wrgsbase r64 */
  segmentBase(operation: 'rdfs' | 'rdgs' | 'wrfs' | 'wrgs', register: Register): void {
    const n = REGISTER_NUMBERS[register];
    const digit = ['rdfs', 'rdgs', 'wrfs', 'wrgs'].indexOf(operation);
    this.bytes(0xf3, 0x48 | (n >= 8 ? 1 : 0), 0x0f, 0xae, 0xc0 | (digit << 3) | (n & 7));
  }

  /** jmp r64 */
  jmpRegister(register: Register): void {
    const n = REGISTER_NUMBERS[register];
    if (n >= 8) this.bytes(0x41);
    this.bytes(0xff, 0xe0 | (n & 7));
  }

  /** lock cmpxchg dword [rdi], esi: compares with eax, which receives the old value. */
  lockCompareExchange32(): void {
    this.bytes(0xf0, 0x0f, 0xb1, 0x37);
  }

  jmp(label: string): void {
    this.bytes(0xe9);
    this.#displacement(label);
  }

  /** Jump if equal (or zero). */
  je(label: string): void {
    this.bytes(0x0f, 0x84);
    this.#displacement(label);
  }

  /** Jump if not equal (or not zero). */
  jne(label: string): void {
    this.bytes(0x0f, 0x85);
    this.#displacement(label);
  }

  /** Jump if the sign bit is set. */
  js(label: string): void {
    this.bytes(0x0f, 0x88);
    this.#displacement(label);
  }

  /** A conditional jump given by the second byte of its opcode. */
  protected jumpTo(opcode: number, label: string): void {
    this.bytes(0x0f, opcode);
    this.#displacement(label);
  }

  /** Jump if above (unsigned). */
  ja(label: string): void {
    this.bytes(0x0f, 0x87);
    this.#displacement(label);
  }

  /** Jump if above or equal (unsigned). */
  jae(label: string): void {
    this.bytes(0x0f, 0x83);
    this.#displacement(label);
  }

  call(label: string): void {
    this.bytes(0xe8);
    this.#displacement(label);
  }

  ret(): void {
    this.bytes(0xc3);
  }

  syscall(): void {
    this.bytes(0x0f, 0x05);
  }

  int3(): void {
    this.bytes(0xcc);
  }

  /** The machine code with all labels resolved. */
  finish(): Uint8Array {
    const code = Uint8Array.from(this.#bytes);
    const view = new DataView(code.buffer);
    for (const { at, label } of this.#fixups) view.setInt32(at, this.offsetOf(label) - (at + 4), true);
    for (const { at, label } of this.#offsets) view.setInt32(at, this.offsetOf(label), true);
    return code;
  }

  #registerToRegister(opcode: number, rm: Register, reg: Register): void {
    const to = REGISTER_NUMBERS[rm];
    const from = REGISTER_NUMBERS[reg];
    this.bytes(0x48 | (from >= 8 ? 4 : 0) | (to >= 8 ? 1 : 0), opcode, 0xc0 | ((from & 7) << 3) | (to & 7));
  }

  /** op with REX.W, a register (or opcode digit) and [base + disp32]. */
  #memory(opcode: readonly number[], reg: Register, base: Register, displacement: number): void {
    const r = REGISTER_NUMBERS[reg];
    const b = REGISTER_NUMBERS[base];
    this.bytes(0x48 | (r >= 8 ? 4 : 0) | (b >= 8 ? 1 : 0), ...opcode, 0x80 | ((r & 7) << 3) | (b & 7));
    if ((b & 7) === 4) this.bytes(0x24); // rsp and r12 as a base need a SIB byte
    this.u32(displacement);
  }

  #registerImmediate(digit: number, register: Register, value: number): void {
    const n = REGISTER_NUMBERS[register];
    this.bytes(0x48 | (n >= 8 ? 1 : 0), 0x81, 0xc0 | (digit << 3) | (n & 7));
    this.u32(value);
  }

  #displacement(label: string): void {
    this.#fixups.push({ at: this.offset, label });
    this.u32(0);
  }
}
