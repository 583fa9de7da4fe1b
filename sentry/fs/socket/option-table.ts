/**
 * Socket options as data: a level is a table of rows, a row says how the option is set and how it is read (setsockopt(2), getsockopt(2)).
 *
 *     const TCP_OPTIONS = new OptionTable<TcpSocket>(4, { [TCP_NODELAY]: intOption((s) => …, (s, value) => …), … });
 *     TCP_OPTIONS.set(socket, name, value, caller);      // 0 or -errno
 *     TCP_OPTIONS.get(socket, name, value, caller);      // bytes stored or -errno
 *
 * The value lies at the start of a piece of sentry memory; nobody sees guest memory here.
 */
import { EINVAL, ENOPROTOOPT } from '#sentry/abi/errno.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import type { SocketCaller } from './socket.ts';

/** Bytes of an option that are copied in: no option has more. */
export const OPTION_BYTES_MAX = 4096;

/** The bytes of an option: what the guest gave, or room for what it gets. One object serves all calls. */
export class OptionValue {
  memory: HostMemory;
  /** Bytes given by the guest, cut to OPTION_BYTES_MAX; for reading: the room it offers. */
  length = 0;

  constructor(memory: HostMemory) {
    this.memory = memory;
  }

  get view(): DataView {
    return this.memory.view;
  }

  /** The first four bytes; 0 when there are fewer. */
  get int(): number {
    return this.length < 4 ? 0 : this.view.getInt32(0, true);
  }

  /** An int, or a single byte where that is all there is: options of ip(7) take both. */
  get intOrByte(): number {
    return this.length === 0 || this.length >= 4 ? this.int : this.view.getUint8(0);
  }

  /** The bytes up to the first NUL, at most `most`. */
  text(most: number): string {
    const bytes = this.memory.latin1(0, Math.min(this.length, most));
    const end = bytes.indexOf('\0');
    return end < 0 ? bytes : bytes.slice(0, end);
  }

  /** Stores an int: 4 bytes; a negative `value` is -errno and passes through. */
  putInt(value: number): number {
    if (value < 0) return value;
    return this.putSigned(value);
  }

  putSigned(value: number): number {
    this.view.setInt32(0, value, true);
    return 4;
  }

  /** Bytes of `text`. */
  putText(text: string): number {
    this.memory.writeLatin1(text, 0);
    return text.length;
  }
}

export interface OptionRow<S> {
  /** The value has the length it has: a name, not a number. */
  readonly isText?: boolean;
  /** 0 or -errno. Without it the option cannot be set. */
  readonly set?: (socket: S, value: OptionValue, caller: SocketCaller) => number;
  /** Stores the value: its size or -errno. */
  readonly get?: (socket: S, value: OptionValue, caller: SocketCaller) => number;
}

export class OptionTable<S> {
  private readonly rows = new Map<number, OptionRow<S>>();
  private readonly leastLength: number;

  /** `leastLength`: bytes a value has at least, whatever the option. */
  constructor(leastLength: number, rows: Readonly<Record<number, OptionRow<S>>>) {
    this.leastLength = leastLength;
    for (const [name, row] of Object.entries(rows)) this.rows.set(Number(name), row);
  }

  set(socket: S, name: number, value: OptionValue, caller: SocketCaller): number {
    const row = this.rows.get(name);
    if (value.length < this.leastLength && row?.isText !== true) return -EINVAL;
    return row?.set === undefined ? -ENOPROTOOPT : row.set(socket, value, caller);
  }

  get(socket: S, name: number, value: OptionValue, caller: SocketCaller): number {
    const row = this.rows.get(name);
    return row?.get === undefined ? -ENOPROTOOPT : row.get(socket, value, caller);
  }
}

/** An int that is checked and kept: `set` answers 0 or -errno. */
export function intRow<S>(get: (socket: S) => number, set: (socket: S, value: number, caller: SocketCaller) => number): OptionRow<S> {
  return {
    get: (socket, value) => value.putSigned(get(socket)),
    set: (socket, value, caller) => (value.length < 4 ? -EINVAL : set(socket, value.int, caller)),
  };
}

/** A switch: 0 or 1. */
export function switchRow<S>(get: (socket: S) => number, set: (socket: S, on: number) => void): OptionRow<S> {
  return {
    get: (socket, value) => value.putInt(get(socket)),
    set: (socket, value) => {
      if (value.length < 4) return -EINVAL;
      set(socket, value.int === 0 ? 0 : 1);
      return 0;
    },
  };
}

/** Can only be read. */
export function readOnlyRow<S>(get: (socket: S) => number): OptionRow<S> {
  return { get: (socket, value) => value.putSigned(get(socket)) };
}
