/**
 * From a stopped thread to its handler: looks the row up, decodes the arguments, runs the handler. This is the hot path of every system
 * call: nothing is allocated and nothing is looked up by name.
 */
import { ENOSYS } from '#sentry/abi/errno.ts';
import { enforce, GO_ON } from '../kernel/seccomp/enforce.ts';
import type { Task } from '../kernel/task.ts';
import { Decode } from './row.ts';
import type { Handler, Row } from './row.ts';

const TWO_32 = 0x1_0000_0000;
const ARGUMENTS_MAX = 6;

/**
 * Turns one register into a number for one row, again and again.
 *
 * To V8 an address of 47 bits is an object of 16 bytes when it is passed to a function it does not know, such as a handler. A program that
 * uses one buffer over and over is spared them: the number made last is kept.
 */
class Decoder {
  private readonly decode: Decode;
  /** Index of the low word in `GuestThread.call`. */
  private readonly at: number;
  private low = 0;
  private high = 0;
  private value: number;

  constructor(decode: Decode, index: number) {
    this.decode = decode;
    this.at = 2 + 2 * index;
    // First nothing: a field that only ever holds numbers is stored unboxed, and boxed at each use.
    this.value = undefined as unknown as number;
    this.value = 0;
  }

  of(call: Uint32Array): number {
    const low = call[this.at]!;
    switch (this.decode) {
      case Decode.I32:
        return low | 0;
      case Decode.U32:
        return low;
      case Decode.U64:
        return this.wide(low, call[this.at + 1]!);
      case Decode.I64:
        return this.wide(low, call[this.at + 1]! | 0);
      default:
        return this.decode satisfies never;
    }
  }

  private wide(low: number, high: number): number {
    if (high === 0) return low;
    if ((low | 0) !== this.low || (high | 0) !== this.high) {
      this.low = low | 0;
      this.high = high | 0;
      this.value = high * TWO_32 + low;
    }
    return this.value;
  }
}

/** A row prepared for dispatch. */
interface Entry {
  readonly row: Row;
  readonly run: Handler;
  readonly count: number;
  readonly d0: Decoder;
  readonly d1: Decoder;
  readonly d2: Decoder;
  readonly d3: Decoder;
  readonly d4: Decoder;
  readonly d5: Decoder;
}

export type Architecture = 'x64' | 'arm64';

/** Sees every call; null where nobody traces. */
export interface CallTracer {
  enter(task: Task, row: Row | undefined): void;
  leave(task: Task, row: Row | undefined, result: number): void;
}

export class SyscallTable {
  private readonly entries: (Entry | undefined)[] = [];
  private readonly unknownSeen = new Set<number>();
  readonly rows: readonly Row[];

  constructor(rows: readonly Row[], architecture: Architecture) {
    this.rows = rows;
    for (const row of rows) {
      const nr = row.nr[architecture];
      if (nr === undefined) continue;
      if (this.entries[nr] !== undefined) throw new Error(`two rows for system call ${nr}: ${this.entries[nr].row.name} and ${row.name}`);
      this.entries[nr] = prepare(row);
    }
  }

  rowOf(nr: number): Row | undefined {
    return this.entries[nr]?.row;
  }

  /** Serves the call `task` is stopped at. */
  dispatch(task: Task): number {
    const { call } = task.thread;
    const nr = call[0]!;
    const { seccomp } = task;
    if (seccomp !== null && !seccomp.allows(nr)) {
      const result = enforce(task, seccomp);
      if (result !== GO_ON) return result;
    }
    const entry = this.entries[nr];
    if (entry === undefined) return this.unknown(task, nr);
    return invoke(entry, task, call);
  }

  /** The same, telling `tracer` before and after. */
  dispatchTraced(task: Task, tracer: CallTracer): number {
    const row = this.rowOf(task.thread.call[0]!);
    tracer.enter(task, row);
    const result = this.dispatch(task);
    tracer.leave(task, row, result);
    return result;
  }

  private unknown(task: Task, nr: number): number {
    // Bounded: a guest may try every number there is.
    if (this.unknownSeen.size < 1024 && !this.unknownSeen.has(nr)) {
      this.unknownSeen.add(nr);
      task.kernel.host.log(`system call ${nr | 0} is not implemented (first asked for by ${task.name})`);
    }
    return -ENOSYS;
  }
}

function prepare(row: Row): Entry {
  const decodes = Object.values(row.args).map((arg) => arg.decode);
  if (decodes.length > ARGUMENTS_MAX) throw new Error(`${row.name} has more than six arguments`);
  const at = (index: number): Decoder => new Decoder(decodes[index] ?? Decode.I32, index);
  return { row, run: row.run, count: decodes.length, d0: at(0), d1: at(1), d2: at(2), d3: at(3), d4: at(4), d5: at(5) };
}

/** Argument `index` of a call as its row declares it. */
export function decodeArgument(call: Uint32Array, index: number, decode: Decode): number {
  const low = call[2 + 2 * index]!;
  switch (decode) {
    case Decode.I32:
      return low | 0;
    case Decode.U32:
      return low;
    case Decode.U64:
      return call[3 + 2 * index]! * TWO_32 + low;
    case Decode.I64:
      return (call[3 + 2 * index]! | 0) * TWO_32 + low;
    default:
      return decode satisfies never;
  }
}

function invoke(entry: Entry, task: Task, call: Uint32Array): number {
  const { run, count } = entry;
  if (count === 0) return run(task);
  const a0 = entry.d0.of(call);
  if (count === 1) return run(task, a0);
  const a1 = entry.d1.of(call);
  if (count === 2) return run(task, a0, a1);
  const a2 = entry.d2.of(call);
  if (count === 3) return run(task, a0, a1, a2);
  const a3 = entry.d3.of(call);
  if (count === 4) return run(task, a0, a1, a2, a3);
  const a4 = entry.d4.of(call);
  if (count === 5) return run(task, a0, a1, a2, a3, a4);
  return run(task, a0, a1, a2, a3, a4, entry.d5.of(call));
}
