/**
 * The part of a thread's context slot through which a patched call site and the sentry talk: offsets from the start of the slot, which is
 * also where the thread's gs base points.
 *
 * The words are grouped by who writes them, each group on cache lines of its own: a line that both sides write travels between
 * their CPUs at every call. The thread can write all of it at any time; the sentry takes every word from here for hostile.
 *
 * States: the thread posts (idle → posted), the sentry takes (posted → taken) and answers (→ idle). A thread that has waited long enough
 * takes an untouched call back (posted → withdrawn) and makes it at its own site, or goes to sleep over a taken one (taken → parked); the
 * sentry may ask for that (taken → sleep) when the answer will take long.
 */

import { COPY_BYTES } from './context-layout.ts';

export const CallState = { Idle: 0, Posted: 1, Taken: 2, Parked: 3, Sleep: 4, Withdrawn: 5 } as const;

/** The value of `HOT` while the sentry looks for posted calls. Any other value, also whatever lies where a changed gs base points, means: it does not. */
export const HOT_MAGIC = 0x5453_b07d;

// Both write.
export const STATE = 0x000;
// The thread writes these before it posts. The number has 32 bits, the six arguments 64.
export const NUMBER = 0x044;
export const ARGUMENTS = 0x048;
export const RETURN_ADDRESS = 0x078;
/** What travels with the call: from where, how much, and whether it is a string with its NUL. */
export const CARRIED_ADDRESS = 0x080;
export const CARRIED_BYTES = 0x088;
export const CARRIED_STRING = 0x08c;
/** Guest memory found writable, to which the reply may bring bytes. */
export const WRITABLE_ADDRESS = 0x090;
export const WRITABLE_BYTES = 0x098;
// The sentry writes these while the thread runs.
export const HOT = 0x0c0;
export const POSTED_SPINS = 0x0c4;
export const TAKEN_SPINS = 0x0c8;
/** ANSWERS_MAGIC while there are answers to be found in ANSWERS. */
export const ANSWERS_VALID = 0x0d8;
/** The slot's own address in the guest process. */
export const SELF = 0x0d0;
// The sentry writes these before it answers.
export const RESULT = 0x100;
export const OUT_ADDRESS = 0x108;
export const OUT_BYTES = 0x110;
/** Bytes of commands to be executed first; zero when there are none. */
export const ORDERED_BYTES = 0x114;
/** Not zero: trap when the commands are done, because the thread was interrupted among them. */
export const TRAP_AFTER_COMMANDS = 0x118;
/** For each call number below ANSWER_NUMBERS eight bytes: the answer plus one, or zero. Only calls without arguments have one. */
export const ANSWERS = 0x400;
export const ANSWER_NUMBERS = 256;
export const ANSWERS_MAGIC = 0x616e_5377;
/** The largest that can be kept. */
export const ANSWER_MAX = 0xffff_fffe;
// The thread's own.
export const FLAGS = 0x140;
export const CURSOR = 0x148;

/** Bytes that travel with a call, and with its reply, are at most so many. */
export const CARRIED_MAX = COPY_BYTES;

/** Where the slots of patched sites begin: their addresses, little-endian, end in 0f 05. */
export const REGION_BASE = 0x050f_0000;
/** Two words of 32 bits for each call number below TRANSFER_ENTRIES: what travels with the call, what with its reply. */
export const TRANSFER_TABLE = REGION_BASE;
export const TRANSFER_ENTRIES = 512;
export const TransferWord = { None: 0, Path: 1, Fixed: 2, Counted: 3 } as const;
export type TransferWord = (typeof TransferWord)[keyof typeof TransferWord];

/** One transfer as the trampoline reads it: bits 0-2 the argument with the address, 3-4 the kind, 5-7 the argument with the count, 8-31 bytes. */
export function transferWord(kind: TransferWord, argument: number, extent: number, bytes: number): number {
  return (argument | (kind << 3) | (extent << 5) | (bytes << 8)) >>> 0;
}
