/**
 * Where the platform's own pages lie in every guest address space.
 *
 * The top of the user half belongs to the platform: context slots (seccomp platform only), the vDSO with its data pages, the stub's
 * pages of code near the very end. Guests may use everything beneath `GUEST_END`. All stubs have the same layout, because each is a
 * fork of the first, and the code is neither writable nor different between them.
 */

export const PAGE_SIZE = 4096;

/** End of the user half of a 47-bit address space (TASK_SIZE_MAX: one guard page below 2^47). */
export const TASK_END = 0x7fff_ffff_f000;

/**
 * End (exclusive) of the addresses a guest may map. Nothing lies in the 4 GiB above it, so that a memory call which starts below and is
 * shorter than that cannot reach the platform's pages: a seccomp filter compares, it does not add.
 */
export const GUEST_END = 0x7ffe_0000_0000;

/** Context slots of the threads of a process, up to CONTEXT_END. */
export const CONTEXT_BASE = 0x7fff_0000_0000;
export const CONTEXT_END = 0x7fff_8000_0000;

/** Where the host's vvar and vdso pages are moved to, keeping their order and distance. */
export const VDSO_BASE = 0x7fff_fff1_0000;

export interface AddressRange {
  readonly start: number;
  readonly end: number;
}

/** Where the vDSO lies in every guest. */
export interface VdsoPlace {
  readonly vvar: AddressRange;
  readonly code: AddressRange;
}

/** The stub's code. One page stays free on either side. */
export const STUB_BASE = 0x7fff_ffff_c000;
/** What the filter takes for stub code; a power of two, to which STUB_BASE is aligned. */
export const STUB_SIZE = 2 * PAGE_SIZE;

/** Whether [address, address + length) is not wholly a guest's, or is no range at all. */
export function isOutsideGuest(address: number, length: number): boolean {
  return !(address >= 0 && length >= 0 && address + length <= GUEST_END);
}
