/**
 * Where the platform's own pages lie in every guest address space.
 *
 * The top megabyte below the 47-bit limit belongs to the platform: the vDSO with its data pages at the bottom, the stub's one page
 * of code near the top. Guests may use everything beneath `GUEST_END`. All stubs have the same layout, because each is a fork of
 * the first, and the code page is neither writable nor different between them.
 */

export const PAGE_SIZE = 4096;

/** End of the user half of a 47-bit address space (TASK_SIZE_MAX: one guard page below 2^47). */
export const TASK_END = 0x7fff_ffff_f000;

/** End (exclusive) of the addresses a guest may map. */
export const GUEST_END = 0x7fff_fff0_0000;

/** Where the host's vvar and vdso pages are moved to, keeping their order and distance. */
export const VDSO_BASE = 0x7fff_fff1_0000;

/** The stub's code page. One page stays free on either side. */
export const STUB_BASE = 0x7fff_ffff_c000;
