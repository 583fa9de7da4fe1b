/**
 * Which call sites can be patched, told by the bytes before and behind their `syscall` instruction.
 *
 * The patch overwrites one instruction of five bytes in front of `syscall` by the first five bytes of a `jmp *slot` whose last two bytes, the
 * upper half of the slot's address, are 0f 05: the very bytes of `syscall`. So whoever comes back to the instruction itself (a restarted
 * call, a signal handler's return, a jump into the middle) finds it in its place, and between start and `syscall` there is no instruction
 * boundary at which a thread could have been interrupted. The overwritten instruction moves to the site's thunk; it must mean the
 * same there, so only instructions known here are moved.
 *
 *   mov eax, imm32           how C libraries make nearly all calls, and Go's runtime
 *   mov r9, [rsp + 8]        the C libraries' `syscall` function, after shifting the other registers
 *
 * Others stay as they are, for example Go's general call, which has only moves of three bytes there.
 */

/** Bytes needed in front of the address behind `syscall`. */
export const SITE_BYTES = 7;
const MOVED_BYTES = 5;

const SYSCALL = [0x0f, 0x05] as const;
const MOV_EAX_IMM32 = 0xb8;
const MOV_R9_FROM_STACK = [0x4c, 0x8b, 0x4c, 0x24, 0x08] as const;

/** The five bytes to move, when `bytes` (SITE_BYTES of them from `at`) end in a site that can be patched; otherwise null. */
export function movableBytes(bytes: Uint8Array, at: number): number[] | null {
  if (bytes[at + MOVED_BYTES] !== SYSCALL[0] || bytes[at + MOVED_BYTES + 1] !== SYSCALL[1]) return null;
  const isMovable = bytes[at] === MOV_EAX_IMM32 || MOV_R9_FROM_STACK.every((byte, i) => bytes[at + i] === byte);
  return isMovable ? [...bytes.subarray(at, at + MOVED_BYTES)] : null;
}

/** The five bytes of the patch: `jmp *slot` without the upper half of the address, which is there already. */
export function writePatch(into: Uint8Array, at: number, slotAddress: number): void {
  if (slotAddress >>> 16 !== 0x050f) throw new RangeError('patch: a slot outside of its region');
  into[at] = 0xff;
  into[at + 1] = 0x24;
  into[at + 2] = 0x25;
  into[at + 3] = slotAddress & 0xff;
  into[at + 4] = (slotAddress >>> 8) & 0xff;
}
