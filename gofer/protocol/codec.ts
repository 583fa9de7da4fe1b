/**
 * The typed codec of the gofer protocol. A message body is a record of fields, declared once (messages.ts) and used by both sides:
 *
 *     const Point = record({ x: u32, names: list(name, 16) });
 *     writer.begin(memory, 0, size); Point.write(writer, { x: 1, names: ['a'] });  if (writer.overflow) …
 *     reader.begin(memory, 0, length); const point = Point.read(reader);           if (!reader.complete) …malformed…
 *
 * The reader trusts nothing. It never reads past the end and never throws: the first thing that does not fit sets `malformed`, and from
 * then on every field reads as zero or empty. A body is good only if it was read to its last byte (`complete`). Lengths and counts are
 * bounded by the declaration, so a message of n bytes makes at most O(n) work and memory.
 *
 * Integers are little endian. Texts are bytes, one per character of the string, preceded by a 16-bit length.
 */
import { NAME_MAX } from '#sentry/abi/fs.ts';
import { getI64, putI64 } from '#sentry/abi/layout.ts';

/** Memory that holds messages; `HostMemory` satisfies it. */
export interface WireMemory {
  /** Where it lies, for host calls that store something in a message. */
  readonly address: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  latin1(start: number, end: number): string;
  writeLatin1(text: string, offset: number): number;
}

/** Appends fields to a message. Once something did not fit, `overflow` stays set and nothing more is stored. */
export class Writer {
  memory: WireMemory | null = null;
  at = 0;
  private limit = 0;
  overflow = false;

  begin(memory: WireMemory, offset: number, limit: number): void {
    this.memory = memory;
    this.at = offset;
    this.limit = limit;
    this.overflow = false;
  }

  /** Makes room for `bytes` bytes and returns where they begin, or -1. */
  reserve(bytes: number): number {
    if (this.overflow || this.at + bytes > this.limit) {
      this.overflow = true;
      return -1;
    }
    const start = this.at;
    this.at += bytes;
    return start;
  }

  /** Takes back what was appended from `at` on, and the overflow that it may have led to. */
  rewind(at: number): void {
    this.at = at;
    this.overflow = false;
  }

  get room(): number {
    return this.limit - this.at;
  }
}

/** Takes fields from a message. */
export class Reader {
  memory: WireMemory | null = null;
  at = 0;
  private end = 0;
  malformed = false;

  begin(memory: WireMemory, offset: number, length: number): void {
    this.memory = memory;
    this.at = offset;
    this.end = offset + length;
    this.malformed = false;
  }

  /** Passes over `bytes` bytes and returns where they begin, or -1. */
  take(bytes: number): number {
    if (this.malformed || this.at + bytes > this.end) {
      this.malformed = true;
      return -1;
    }
    const start = this.at;
    this.at += bytes;
    return start;
  }

  fail(): void {
    this.malformed = true;
  }

  /** Whether everything was read and nothing was wrong. */
  get complete(): boolean {
    return !this.malformed && this.at === this.end;
  }
}

export interface WireField<T> {
  write(writer: Writer, value: T): void;
  read(reader: Reader): T;
}

export const u16: WireField<number> = {
  write(writer, value) {
    const at = writer.reserve(2);
    if (at >= 0) writer.memory!.view.setUint16(at, value, true);
  },
  read(reader) {
    const at = reader.take(2);
    return at < 0 ? 0 : reader.memory!.view.getUint16(at, true);
  },
};

export const u32: WireField<number> = {
  write(writer, value) {
    const at = writer.reserve(4);
    if (at >= 0) writer.memory!.view.setUint32(at, value, true);
  },
  read(reader) {
    const at = reader.take(4);
    return at < 0 ? 0 : reader.memory!.view.getUint32(at, true);
  },
};

/** A signed 64-bit integer as a double; values beyond ±(2^53 - 1) are malformed, for they would not survive the trip. */
export const i64: WireField<number> = {
  write(writer, value) {
    const at = writer.reserve(8);
    if (at >= 0) putI64(writer.memory!.view, at, value);
  },
  read(reader) {
    const at = reader.take(8);
    if (at < 0) return 0;
    const value = getI64(reader.memory!.view, at);
    if (Number.isSafeInteger(value)) return value;
    reader.fail();
    return 0;
  },
};

/** 64 opaque bits as [low, high]. */
export const words: WireField<readonly [number, number]> = {
  write(writer, [low, high]) {
    u32.write(writer, low);
    u32.write(writer, high);
  },
  read(reader) {
    return [u32.read(reader), u32.read(reader)];
  },
};

/** At most `limit` bytes of any value. */
export function text(limit: number): WireField<string> {
  return {
    write(writer, value) {
      u16.write(writer, value.length);
      const at = value.length > limit ? writer.reserve(Infinity) : writer.reserve(value.length);
      if (at >= 0) writer.memory!.writeLatin1(value, at);
    },
    read(reader) {
      const length = u16.read(reader);
      if (length > limit) reader.fail();
      const at = reader.take(length);
      return at < 0 ? '' : reader.memory!.latin1(at, at + length);
    },
  };
}

/** At most `limit` bytes, none of them NUL: what a C string can hold. */
export function cText(limit: number): WireField<string> {
  const field = text(limit);
  return {
    write: (writer, value) => field.write(writer, value),
    read(reader) {
      const value = field.read(reader);
      if (value.includes('\0')) reader.fail();
      return reader.malformed ? '' : value;
    },
  };
}

/** Whether `value` names an entry of a directory: one component that leads nowhere else. */
export function isName(value: string): boolean {
  if (value.length === 0 || value.length > NAME_MAX || value === '.' || value === '..') return false;
  return !value.includes('/') && !value.includes('\0');
}

/** One name in a directory. Everything a path could do beyond that ('/', '.', '..') is malformed. */
export const name: WireField<string> = {
  write: (writer, value) => nameText.write(writer, value),
  read(reader) {
    const value = nameText.read(reader);
    if (!isName(value)) reader.fail();
    return reader.malformed ? '' : value;
  },
};
const nameText = text(NAME_MAX);

/** At most `limit` elements. */
export function list<T>(element: WireField<T>, limit: number): WireField<readonly T[]> {
  return {
    write(writer, values) {
      if (values.length > limit) writer.reserve(Infinity);
      u16.write(writer, values.length);
      for (const value of values) element.write(writer, value);
    },
    read(reader) {
      const count = u16.read(reader);
      if (count > limit) reader.fail();
      const values: T[] = [];
      for (let i = 0; i < count && !reader.malformed; i++) values.push(element.read(reader));
      return values;
    },
  };
}

type Fields = Readonly<Record<string, WireField<unknown>>>;
type Values<F extends Fields> = { readonly [K in keyof F]: F[K] extends WireField<infer T> ? T : never };

/** The value that a field carries. */
export type ValueOf<F> = F extends WireField<infer T> ? T : never;

/** Named fields, one after the other without padding. */
export function record<F extends Fields>(fields: F): WireField<Values<F>> {
  const entries = Object.entries(fields);
  return {
    write(writer, value) {
      const source = value as Record<string, unknown>;
      for (const [key, field] of entries) field.write(writer, source[key]);
    },
    read(reader) {
      const value: Record<string, unknown> = {};
      for (const [key, field] of entries) value[key] = field.read(reader);
      return value as Values<F>;
    },
  };
}
