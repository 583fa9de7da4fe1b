/**
 * Where things are while the starter runs: its stack, at the bottom of which the kernel has put arguments and environment (System V ABI for x86-64, section
 * 3.4.1), and the registers that hold something for longer than a few instructions.
 */
import type { Register } from '#platform/stub/assembler.ts';

export const WORD = 8;
// From the first word of the stack, which rbx keeps: argc, argv, null, environment.
export const MODE = 2 * WORD;
export const NODE = 3 * WORD;
export const GOFER_PROGRAM = 4 * WORD;
export const FIRST_ARGUMENT = 5 * WORD;

// Below it, zero at first because nobody has used it.
export const SCRATCH = 8192;
/** Two descriptors: the socket pair, then the pipe. */
export const PAIR = 0;
/** The gofer's arguments, ended by the null that also is its environment. */
export const GOFER_ARGUMENTS = 16;
export const GOFER_ENVIRONMENT = GOFER_ARGUMENTS + 3 * WORD;
export const ALL_SIGNALS = 64;
export const OLD_SIGNALS = 72;
export const WAIT_STATUS = 80;
export const MILLISECOND = 96;
export const SIGNAL_INFO = 128;
export const OUTCOME = 512;

/** What must survive a system call lies in these: rcx and r11 do not. */
export const CHILD: Register = 'rbp';
export const OUTCOME_END: Register = 'r12';
export const STATUS: Register = 'r13';
/** Behind the last argument, where the null stands. */
export const ARGUMENTS_END: Register = 'r14';
/** The variable that the next Node gets. */
export const VARIABLE: Register = 'r15';
