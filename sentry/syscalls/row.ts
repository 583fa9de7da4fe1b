/**
 * A system call as data. One row per call: number, name, argument types, how far it is supported, and the handler. Dispatch, argument
 * decoding, strace text, docs/SYSCALLS.md and the bad-pointer tests all come from the row.
 *
 *     export const pipe2 = syscall({
 *       name: 'pipe2', nr: { x64: 293, arm64: 59 },
 *       args: { fds: out(8), flags: flags('O_', { O_CLOEXEC, O_NONBLOCK, O_DIRECT }) },
 *       support: partial('O_DIRECT is accepted and ignored'),
 *       run: (task, fds, flags) => …   // positional numbers, in the order of `args`
 *     });
 *
 * All arguments reach the handler as numbers: `i32` and `fd` signed, `u32` and flags unsigned, `addr`, `size` and `i64` as doubles
 * (an address above 2^53 is rounded, which is as inaccessible as before).
 */
import type { Task } from '../kernel/task.ts';

/** How the 64-bit register becomes a number. */
export const Decode = { I32: 0, U32: 1, U64: 2, I64: 3 } as const;
export type Decode = (typeof Decode)[keyof typeof Decode];

export type Display =
  | { readonly kind: 'dec' | 'hex' | 'oct' | 'fd' | 'dirfd' | 'path' | 'addr' | 'signal' | 'pid' }
  /** A guest buffer whose length is another argument (`length: 'count'`) or, for output, the call's result. */
  | { readonly kind: 'buffer'; readonly length: string }
  | { readonly kind: 'flags' | 'enum'; readonly names: Readonly<Record<string, number>> }
  | { readonly kind: 'struct'; readonly format: string };

export interface Arg {
  readonly decode: Decode;
  readonly display: Display;
  /** For pointers: direction of the data as seen by the kernel, and the least size it touches (for hostile-pointer tests). */
  readonly pointer?: Pointer;
}

export interface Pointer {
  readonly direction: 'in' | 'out' | 'inout';
  readonly size: number;
  /** How much there is when another argument says it: its value times `unit` bytes. */
  readonly extent?: { readonly argument: string; readonly unit: number };
  /** What counts is the memory at the moment the call is served, not at the moment it was made: it must not be copied beforehand. */
  readonly live?: true;
}

export const i32: Arg = { decode: Decode.I32, display: { kind: 'dec' } };
export const u32: Arg = { decode: Decode.U32, display: { kind: 'dec' } };
export const hex32: Arg = { decode: Decode.U32, display: { kind: 'hex' } };
export const mode: Arg = { decode: Decode.U32, display: { kind: 'oct' } };
export const i64: Arg = { decode: Decode.I64, display: { kind: 'dec' } };
export const size: Arg = { decode: Decode.U64, display: { kind: 'dec' } };
export const hex64: Arg = { decode: Decode.U64, display: { kind: 'hex' } };
export const fd: Arg = { decode: Decode.I32, display: { kind: 'fd' } };
export const dirfd: Arg = { decode: Decode.I32, display: { kind: 'dirfd' } };
export const pid: Arg = { decode: Decode.I32, display: { kind: 'pid' } };
export const signal: Arg = { decode: Decode.I32, display: { kind: 'signal' } };
/** An address that is not dereferenced (mmap's hint), or whose contents strace does not show. */
export const addr: Arg = { decode: Decode.U64, display: { kind: 'addr' } };
/** A NUL-terminated path in guest memory. */
export const path: Arg = { decode: Decode.U64, display: { kind: 'path' }, pointer: { direction: 'in', size: 1 } };

/** A pointer to `bytes` bytes read by the kernel. `format` names a printer in strace for a struct. */
export function input(bytes: number, format?: string): Arg {
  return pointerArg('in', bytes, format);
}
/** A pointer to `bytes` bytes written by the kernel. */
export function out(bytes: number, format?: string): Arg {
  return pointerArg('out', bytes, format);
}
export function inout(bytes: number, format?: string): Arg {
  return pointerArg('inout', bytes, format);
}
/** A data buffer whose length is the argument called `length`. */
export function buffer(direction: 'in' | 'out', length: string): Arg {
  const pointer: Pointer = { direction, size: 1, extent: { argument: length, unit: 1 } };
  return { decode: Decode.U64, display: { kind: 'buffer', length }, pointer };
}
/** A pointer to as many elements of `unit` bytes as the argument called `argument` says. */
export function many(arg: Arg, argument: string, unit: number): Arg {
  return { ...arg, pointer: { ...pointerOf(arg), extent: { argument, unit } } };
}
/** A pointer to memory that other threads change while the call waits for its turn, and that has to be read then (futex words). */
export function live(arg: Arg): Arg {
  return { ...arg, pointer: { ...pointerOf(arg), live: true } };
}
/** A 32-bit set of named bits. The handler refuses unknown bits itself where Linux does (many calls ignore them). */
export function flags(names: Readonly<Record<string, number>>): Arg {
  return { decode: Decode.U32, display: { kind: 'flags', names } };
}
/** One of several named values. */
export function oneOf(names: Readonly<Record<string, number>>): Arg {
  return { decode: Decode.I32, display: { kind: 'enum', names } };
}

function pointerOf({ pointer }: Arg): Pointer {
  if (pointer === undefined) throw new Error('not a pointer');
  return pointer;
}

function pointerArg(direction: 'in' | 'out' | 'inout', bytes: number, format?: string): Arg {
  const display: Display = format === undefined ? { kind: 'addr' } : { kind: 'struct', format };
  return { decode: Decode.U64, display, pointer: { direction, size: bytes } };
}

/** How much of Linux's behaviour is there. */
export type Support =
  | { readonly level: 'full' }
  | { readonly level: 'partial'; readonly note: string }
  | { readonly level: 'refused'; readonly errno: number; readonly note: string };
export const full: Support = { level: 'full' };
export function partial(note: string): Support {
  return { level: 'partial', note };
}
/** The call always fails with `errno`, on purpose. */
export function refused(errno: number, note: string): Support {
  return { level: 'refused', errno, note };
}

/** Result: a value ≥ 0, -errno, or BLOCKED / REGISTERS_SET of kernel/wait.ts. */
export type Handler = (task: Task, ...args: number[]) => number;

export interface Row {
  readonly name: string;
  readonly nr: { readonly x64?: number; readonly arm64?: number };
  readonly args: Readonly<Record<string, Arg>>;
  readonly support: Support;
  readonly run: Handler;
}

/** Declares a row. */
export function syscall<const R extends Row>(row: R): R {
  return row;
}

/** Declares several at once: a family file exports one array, which the table collects. */
export function family(...rows: readonly Row[]): readonly Row[] {
  return rows;
}
