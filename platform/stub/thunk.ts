/**
 * Thunks: a few bytes for each patched site, which do what the overwritten instruction did, load the address behind the site's `syscall`
 * to r11, and go to the trampoline. Data and code in one piece, so that a thunk works wherever it lies.
 */
export const THUNK_BYTES = 32;
/** How many bytes of a site's instruction move to its thunk. */
export const MOVED_MAX = 5;

/** Writes the thunk of a site whose `moved` bytes were overwritten. `returnAddress` is the one behind its `syscall`. */
export function writeThunk(into: DataView, offset: number, moved: readonly number[], returnAddress: number, trampolineEntry: number): void {
  if (moved.length > MOVED_MAX) throw new Error(`thunk: ${moved.length} bytes to move`);
  let at = offset;
  for (const byte of moved) into.setUint8(at++, byte);
  into.setUint16(at, 0xbb49, true); // mov r11, imm64
  writeAddress(into, at + 2, returnAddress);
  at += 10;
  into.setUint16(at, 0x25ff, true); // jmp [rip + displacement]
  into.setInt32(at + 2, offset + THUNK_BYTES - 8 - (at + 6), true);
  writeAddress(into, offset + THUNK_BYTES - 8, trampolineEntry);
}

function writeAddress(into: DataView, offset: number, address: number): void {
  into.setUint32(offset, address >>> 0, true);
  into.setUint32(offset + 4, Math.floor(address / 0x1_0000_0000), true);
}
