/**
 * The layout of a context slot: the memory that the sentry and one guest thread share.
 *
 *     0x0000  control page: words below
 *     0x1000  copy-in page   (posted calls: what the stub copied from the guest)
 *     0x2000  copy-out page  (posted calls: what the sentry answers)
 *     0x3000  command list   (calls that the stub makes on the sentry's order)
 *     0x4000  alternate stack; the host's signal frame lies at its end
 *
 * In a guest process the slot of thread i lies at CONTEXT_BASE + i * SLOT_SIZE, above what a guest may map, shared and not inherited by
 * forks. A guest thread can read and write the slots of its own process at any moment: the sentry believes nothing in them twice.
 *
 * Words that one side polls while the other writes lie on cache lines of their own. Offsets are bytes; every word has 64 bits.
 */

export const SLOT_SIZE = 0x8000;

// 0x000…0x1ff and 0x400…0xfff belong to posted calls, see trampoline-layout.ts.

// The handler and its commands: 0x200…0x3ff.
/** fs and gs bases of the guest, stored by the handler at every stop, loaded on the way back when LOAD_BASES is set. */
export const FS_BASE = 0x200;
export const GS_BASE = 0x208;
export const LOAD_BASES = 0x210;
/** For the reply "fork": descriptor and offset of the child's slot, and the process that must be its parent. */
export const FORK_DESCRIPTOR = 0x218;
export const FORK_OFFSET = 0x220;
export const FORK_PARENT = 0x228;
/** Not zero: a forked child need not ring before it returns to the guest. */
export const GO = 0x240;
/** For the reply "sleep": becomes the next reply plus one. The low half is a futex. */
export const WAKE = 0x248;
/** For the reply "spawn": where the new thread's slot and its frame lie. */
export const SPAWN_SLOT = 0x230;
export const SPAWN_FRAME = 0x238;

export const COPY_IN = 0x1000;
export const COPY_OUT = 0x2000;
export const COPY_BYTES = 0x1000;

/** A command: number (the upper half not zero: may fail), six arguments, result. The list ends with the number COMMANDS_END. */
export const COMMANDS = 0x3000;
export const COMMAND_BYTES = 64;
export const COMMANDS_MAX = 63;
export const COMMANDS_END = 0xffff_ffff;

export const STACK = 0x4000;
export const STACK_BYTES = SLOT_SIZE - STACK;
