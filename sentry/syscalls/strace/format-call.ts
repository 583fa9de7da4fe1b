/**
 * A call as strace(1) writes it: `openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC) = 3`. Everything is derived from the row.
 *
 *     const call = new CallText(task, row, words);        // decodes; prints what is known before the call
 *     call.before                                          // 'read(0, '
 *     call.after(result)                                   // '"abc", 4096) = 3'
 *
 * Arguments are printed up to the first one that the kernel fills; the rest waits for the result.
 */
import { ERESTART_RESTARTBLOCK, ERESTARTNOHAND, ERESTARTNOINTR, ERESTARTSYS, errnoName } from '#sentry/abi/errno.ts';
import { AT_FDCWD } from '#sentry/abi/fs.ts';
import { signalName } from '#sentry/abi/signal.ts';
import { syscallName } from '#sentry/abi/x64/syscalls.ts';
import type { Task } from '../../kernel/task.ts';
import { REGISTERS_SET } from '../../kernel/wait.ts';
import { decodeArgument } from '../dispatch.ts';
import type { Arg, Row } from '../row.ts';
import { errorText } from './error-text.ts';
import { GuestView } from './guest-view.ts';
import type { CallContext } from './printer.ts';
import { OVERRIDES, resultText } from './special.ts';
import { STRUCT_PRINTERS } from './structs.ts';
import { enumText, flagText, hex, octal, pointer, quote, quoteBuffer, STRING_MAX } from './text.ts';

/** Column at which results stand (strace -a). */
const RESULT_COLUMN = 40;
/** Results that never reach a guest: how an interrupted call goes on. */
const RESTARTS: Readonly<Record<number, string>> = {
  [ERESTARTSYS]: 'ERESTARTSYS (To be restarted if SA_RESTART is set)',
  [ERESTARTNOINTR]: 'ERESTARTNOINTR (To be restarted)',
  [ERESTARTNOHAND]: 'ERESTARTNOHAND (To be restarted if no handler)',
  [ERESTART_RESTARTBLOCK]: 'ERESTART_RESTARTBLOCK (Interrupted by signal)',
};

export class CallText {
  readonly name: string;
  /** `name(` and the arguments known before the call, each followed by what separates it from the next. */
  readonly before: string;
  private readonly row: Row | undefined;
  private readonly names: readonly string[];
  private readonly values: readonly number[];
  private readonly view: GuestView;
  /** Index of the first argument left for `after`. */
  private readonly pending: number;

  constructor(task: Task, row: Row | undefined, words: Uint32Array) {
    this.row = row;
    this.name = row?.name ?? syscallName(words[0]!);
    this.view = new GuestView(task);
    const entries = row === undefined ? [] : Object.entries(row.args);
    this.names = entries.map(([name]) => name);
    this.values = entries.map(([, arg], i) => decodeArgument(words, i, arg.decode));
    const firstOutput = entries.findIndex(([, arg]) => arg.pointer !== undefined && arg.pointer.direction !== 'in');
    this.pending = firstOutput < 0 ? entries.length : firstOutput;
    this.before = `${this.name}(${this.arguments(0, this.pending, null)}`;
  }

  /** What stands between the two halves of a call that is cut in two. */
  get separator(): string {
    return this.pending > 0 && this.pending < this.values.length ? ', ' : '';
  }

  /** The remaining arguments, the closing parenthesis and the result. */
  after(result: number): string {
    return `${this.arguments(this.pending, this.values.length, result)})`;
  }

  /** The complete line. */
  line(result: number): string {
    return withResult(this.before + this.after(result), this.result(result));
  }

  result(result: number): string {
    if (result === REGISTERS_SET) return '0';
    if (result >= 0) return resultText(this.name, this.values, result);
    const errno = -result;
    const restart = RESTARTS[errno];
    if (restart !== undefined) return `? ${restart}`;
    // F_GETOWN of a process group, getpriority and the like: no error number is that large.
    return errno > 4095 ? `${result}` : `-1 ${errnoName(errno)} (${errorText(errno)})`;
  }

  /** Arguments from `from` to `to`, those after the first preceded by a comma. */
  private arguments(from: number, to: number, result: number | null): string {
    let text = '';
    for (let index = from; index < to; index++) {
      const shown = this.argument(index, { view: this.view, values: this.values, index, result });
      if (shown === null) continue;
      text += index === 0 ? shown : `, ${shown}`;
    }
    return text;
  }

  private argument(index: number, context: CallContext): string | null {
    const override = OVERRIDES[this.name]?.[index];
    if (override !== undefined) {
      const text = override(context);
      if (text !== undefined) return text;
    }
    return this.byDisplay(this.row!.args[this.names[index]!]!, this.values[index]!, context);
  }

  private byDisplay(arg: Arg, value: number, context: CallContext): string {
    const { display } = arg;
    switch (display.kind) {
      case 'dec':
      case 'fd':
      case 'pid':
        return `${value}`;
      case 'hex':
        return hex(value < 0 ? value >>> 0 : value);
      case 'oct':
        return octal(value);
      case 'dirfd':
        return value === AT_FDCWD ? 'AT_FDCWD' : `${value}`;
      case 'signal':
        return value > 0 && value <= 64 ? signalName(value) : `${value}`;
      case 'addr':
        return pointer(value);
      case 'path':
        return this.path(value);
      case 'flags':
        return flagText(value, display.names);
      case 'enum':
        return enumText(value, display.names);
      case 'buffer':
        return this.buffer(arg, value, display.length, context.result);
      case 'struct':
        return this.struct(arg, value, display.format, context);
      default:
        return display satisfies never;
    }
  }

  private path(address: number): string {
    if (address === 0) return 'NULL';
    const text = this.view.string(address);
    return text === null ? pointer(address) : quote(text);
  }

  /** Output buffers hold what the result says, and nothing after an error. */
  private buffer(arg: Arg, address: number, lengthName: string, result: number | null): string {
    const isOutput = arg.pointer?.direction === 'out';
    if (address === 0) return 'NULL';
    if (isOutput && (result === null || result < 0)) return pointer(address);
    const declared = this.values[this.names.indexOf(lengthName)] ?? 0;
    const length = isOutput ? Math.min(result!, declared) : declared;
    const bytes = this.view.bytes(address, Math.min(length, STRING_MAX));
    return bytes === null ? pointer(address) : quoteBuffer(bytes, length);
  }

  private struct(arg: Arg, address: number, format: string, context: CallContext): string {
    if (address === 0) return 'NULL';
    if (arg.pointer?.direction === 'out' && (context.result === null || context.result < 0)) return pointer(address);
    return STRUCT_PRINTERS[format]?.(address, context) ?? pointer(address);
  }
}

/** A complete line for a call that did not wait. */
export function formatCall(task: Task, row: Row | undefined, words: Uint32Array, result: number): string {
  return new CallText(task, row, words).line(result);
}

/** Puts the result into its column. */
export function withResult(call: string, result: string): string {
  return `${call.length < RESULT_COLUMN ? call.padEnd(RESULT_COLUMN) : `${call} `}= ${result}`;
}
