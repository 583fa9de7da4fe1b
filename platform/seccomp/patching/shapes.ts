/**
 * Which call sites can be patched, and how, told by the bytes around their `syscall` instruction.
 *
 * One instruction in front of `syscall` is overwritten and moves to the site's thunk; it must mean the same there, so only instructions
 * known here are moved. `syscall` itself stays: whoever comes back to it (a restarted call, a signal handler's return, a jump into the
 * middle) finds it in its place. And since it is a single instruction that is overwritten, no thread can stand between its bytes.
 *
 * Five bytes: overwritten by the first five of a `jmp *slot` whose last two, the upper half of the slot's address, are 0f 05 – the
 * very bytes of `syscall`.
 *
 *     b8 imm32          mov eax, number       how C libraries make nearly all calls, and Go's runtime
 *     4c 8b 4c 24 08    mov r9, [rsp + 8]     the C libraries' `syscall` function, after shifting the other registers
 *
 * Two or three bytes: overwritten by a short jump to a `jmp *slot` in padding nearby, a long no-operation that aligns what follows
 * it (preceded by a jump over it, lest somebody comes by) or int3 bytes between functions (two of which stay in front).
 *
 *     31 c0             xor eax, eax          read, which is call 0
 *     48 89 df          mov rdi, rbx          Go's general call (with the comparison that follows it there)
 *     49 89 ca          mov r10, rcx          wrappers of calls with more than three arguments
 *
 * A byte that could be a prefix in front of the instruction makes it another one, and the site stays as it is. So do all others.
 */

/** Bytes to look at on either side of the address behind `syscall`. */
export const AROUND = 128;
const SYSCALL_BYTES = 2;
const JUMP_BYTES = 7;
/** A jump over the rest, and `jmp *slot`. */
const LANDING_BYTES = 2 + JUMP_BYTES;
/** How far a short jump reaches. */
const REACH = 120;

export interface Shape {
  readonly moved: number[];
  /** Where the overwritten instruction begins, relative to the address behind `syscall`. */
  readonly start: number;
  /** Where the padding for the jump begins, on the same scale, and its first two bytes from now on; null when the jump fits the site. */
  readonly padding: { readonly start: number; readonly guard: readonly [number, number] } | null;
}

export const MOV_EAX_IMM32 = 0xb8;
const MOV_R9_FROM_STACK = [0x4c, 0x8b, 0x4c, 0x24, 0x08] as const;
const XOR_EAX_EAX = [0x31, 0xc0] as const;
const MOV_RDI_RBX = [0x48, 0x89, 0xdf] as const;
const MOV_R10_RCX = [0x49, 0x89, 0xca] as const;
const COMPARE_AS_GO = [0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff] as const;
/** nop word cs:[rax + rax + 0], without further prefixes. */
const LONG_NOP = [0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0] as const;
const OPERAND_SIZE = 0x66;
const INT3 = 0xcc;

/** `bytes` holds AROUND bytes on either side of the address behind the `syscall`; `nr` is the number of the call made there. */
export function recognize(bytes: Uint8Array, nr: number): Shape | null {
  const end = AROUND;
  if (bytes[end - 2] !== 0x0f || bytes[end - 1] !== 0x05) return null;
  const moved = movedBytes(bytes, end, nr);
  if (moved === null) return null;
  const start = -SYSCALL_BYTES - moved.length;
  if (canBePrefix(bytes[end + start - 1]!)) return null;
  if (moved.length === JUMP_BYTES - SYSCALL_BYTES) return { moved, start, padding: null };
  const padding = findPadding(bytes, end, start);
  return padding === null ? null : { moved, start, padding };
}

function movedBytes(bytes: Uint8Array, end: number, nr: number): number[] | null {
  const before = (length: number): number[] => [...bytes.subarray(end - SYSCALL_BYTES - length, end - SYSCALL_BYTES)];
  if (matches(bytes, end - 7, MOV_R9_FROM_STACK)) return before(5);
  const isMovNumber =
    bytes[end - 7] === MOV_EAX_IMM32 && matches(bytes, end - 6, [nr & 0xff, (nr >>> 8) & 0xff, (nr >>> 16) & 0xff, nr >>> 24]);
  if (isMovNumber) return before(5);
  if (nr === 0 && matches(bytes, end - 4, XOR_EAX_EAX)) return before(2);
  if (matches(bytes, end - 5, MOV_RDI_RBX) && matches(bytes, end, COMPARE_AS_GO)) return before(3);
  return matches(bytes, end - 5, MOV_R10_RCX) ? before(3) : null;
}

/**
 * Prefixes that would change what is moved or what takes its place (fs, gs, operand and address size, lock, rep, REX), and the escape to two-byte
 * opcodes. Those of the other segments change nothing in 64-bit mode, and the byte is more often a jump's distance.
 */
function canBePrefix(byte: number): boolean {
  if ((byte & 0xf0) === 0x40 || byte === 0x0f) return true;
  return [0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3].includes(byte);
}

function findPadding(bytes: Uint8Array, end: number, start: number): Shape['padding'] {
  for (let at = 1; at + LANDING_BYTES < bytes.length; at += 1) {
    const length = paddingAt(bytes, at);
    // The short jump counts from behind its own two bytes to behind the first two of the padding.
    const distance = at + 2 - (end + start + 2);
    const guard = bytes[at] === INT3 ? ([INT3, INT3] as const) : ([0xeb, length - 2] as const);
    if (length >= LANDING_BYTES && Math.abs(distance) <= REACH) return { start: at - end, guard };
    if (length > 0) at += length - 1;
  }
  return null;
}

/** Length of the padding that begins at `at`; 0 for none. */
function paddingAt(bytes: Uint8Array, at: number): number {
  let prefixes = 0;
  while (bytes[at + prefixes] === OPERAND_SIZE) prefixes += 1;
  if (matches(bytes, at + prefixes, LONG_NOP)) return prefixes + LONG_NOP.length;
  let length = 0;
  while (bytes[at + length] === INT3) length += 1;
  return length;
}

function matches(bytes: Uint8Array, at: number, pattern: readonly number[]): boolean {
  return pattern.every((byte, i) => bytes[at + i] === byte);
}

/** A piece of text and what it becomes. */
export interface Edit {
  /** Relative to the address behind `syscall`. */
  readonly start: number;
  readonly bytes: number[];
}

/** What to write where, in this order, so that the site jumps through the slot. */
export function edits({ start, padding }: Shape, slotAddress: number): Edit[] {
  if (slotAddress >>> 16 !== 0x050f) throw new RangeError('patch: a slot outside of its region');
  const jump = [0xff, 0x24, 0x25, slotAddress & 0xff, (slotAddress >>> 8) & 0xff];
  if (padding === null) return [{ start, bytes: jump }];
  const landing = [...padding.guard, ...jump, 0x0f, 0x05];
  return [
    { start: padding.start, bytes: landing },
    { start, bytes: [0xeb, (padding.start - start) & 0xff] },
  ];
}
