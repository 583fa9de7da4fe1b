/**
 * Struct layouts, declared once. `struct('timespec', { sec: i64, nsec: i64 })` yields size, alignment, field offsets, a codec and the
 * inferred value type, following the C rules of the x86-64 and arm64 ABIs (natural alignment, little endian).
 *
 *     export const Timespec = struct('timespec', { sec: i64, nsec: i64 });
 *     export type Timespec = ValueOf<typeof Timespec>;
 *     Timespec.encode(view, offset, { sec: 1, nsec: 2 });     // or, without an object: view.setInt32(offset + Timespec.offsets.sec, …)
 *
 * 64-bit fields decode to doubles: exact below 2^53, which holds for every size, offset and time the sentry hands out. Where all 64 bits
 * matter (signal masks, user cookies) declare `words`, a pair of 32-bit fields.
 */

export interface Field<T> {
  readonly size: number;
  readonly align: number;
  get(view: DataView, offset: number): T;
  put(view: DataView, offset: number, value: T): void;
}

export const u8: Field<number> = { size: 1, align: 1, get: (v, o) => v.getUint8(o), put: (v, o, x) => v.setUint8(o, x) };
export const i8: Field<number> = { size: 1, align: 1, get: (v, o) => v.getInt8(o), put: (v, o, x) => v.setInt8(o, x) };
export const u16: Field<number> = { size: 2, align: 2, get: (v, o) => v.getUint16(o, true), put: (v, o, x) => v.setUint16(o, x, true) };
export const i16: Field<number> = { size: 2, align: 2, get: (v, o) => v.getInt16(o, true), put: (v, o, x) => v.setInt16(o, x, true) };
export const u32: Field<number> = { size: 4, align: 4, get: (v, o) => v.getUint32(o, true), put: (v, o, x) => v.setUint32(o, x, true) };
export const i32: Field<number> = { size: 4, align: 4, get: (v, o) => v.getInt32(o, true), put: (v, o, x) => v.setInt32(o, x, true) };
export const u64: Field<number> = { size: 8, align: 8, get: getU64, put: putI64 };
export const i64: Field<number> = { size: 8, align: 8, get: getI64, put: putI64 };

/** Unsigned 64-bit little-endian integer as a double (rounded above 2^53). */
export function getU64(view: DataView, offset: number): number {
  return view.getUint32(offset + 4, true) * 0x1_0000_0000 + view.getUint32(offset, true);
}

/** Signed 64-bit little-endian integer as a double (rounded beyond ±2^53). */
export function getI64(view: DataView, offset: number): number {
  return view.getInt32(offset + 4, true) * 0x1_0000_0000 + view.getUint32(offset, true);
}

/** Stores an integer of either sign as 64 bits, two's complement. */
export function putI64(view: DataView, offset: number, value: number): void {
  // Nearly all are small.
  if (value >= 0 && value < 0x1_0000_0000) {
    view.setUint32(offset, value, true);
    view.setUint32(offset + 4, 0, true);
    return;
  }
  const high = Math.floor(value / 0x1_0000_0000);
  view.setUint32(offset, value - high * 0x1_0000_0000, true);
  view.setInt32(offset + 4, high, true);
}

/** A 64-bit field kept as [low, high] 32-bit words. */
export const words: Field<readonly [number, number]> = {
  size: 8,
  align: 8,
  get: (v, o) => [v.getUint32(o, true), v.getUint32(o + 4, true)],
  put: (v, o, [low, high]) => {
    v.setUint32(o, low, true);
    v.setUint32(o + 4, high, true);
  },
};

/** `count` elements of one kind. */
export function array<T>(element: Field<T>, count: number): Field<readonly T[]> {
  return {
    size: element.size * count,
    align: element.align,
    get: (v, o) => Array.from({ length: count }, (_, i) => element.get(v, o + i * element.size)),
    put: (v, o, values) => {
      for (let i = 0; i < count; i++) element.put(v, o + i * element.size, values[i] as T);
    },
  };
}

/** `char name[count]`: a latin1 string, cut at the first NUL on reading, zero-padded on writing (terminated if shorter). */
export function chars(count: number): Field<string> {
  return {
    size: count,
    align: 1,
    get: (v, o) => {
      let text = '';
      for (let i = 0; i < count; i++) {
        const c = v.getUint8(o + i);
        if (c === 0) break;
        text += String.fromCharCode(c);
      }
      return text;
    },
    put: (v, o, text) => {
      for (let i = 0; i < count; i++) v.setUint8(o + i, i < text.length ? text.charCodeAt(i) & 0xff : 0);
    },
  };
}

type Fields = Readonly<Record<string, Field<never> | Field<any>>>; // eslint-disable-line -- heterogeneous by nature
type Values<F extends Fields> = { -readonly [K in keyof F]: F[K] extends Field<infer T> ? T : never };

export interface Layout<F extends Fields> extends Field<Values<F>> {
  readonly name: string;
  readonly offsets: { readonly [K in keyof F]: number };
  encode(view: DataView, offset: number, value: Values<F>): void;
  decode(view: DataView, offset: number): Values<F>;
}

/** The plain object a layout encodes and decodes. */
export type ValueOf<L> = L extends Field<infer T> ? T : never;

/** Declares a struct. `packed` drops the padding (`__attribute__((packed))`, as in epoll_event on x86-64). */
export function struct<F extends Fields>(name: string, fields: F, packing: 'natural' | 'packed' = 'natural'): Layout<F> {
  const offsets: Record<string, number> = {};
  let end = 0;
  let align = 1;
  for (const [key, field] of Object.entries(fields)) {
    const fieldAlign = packing === 'packed' ? 1 : field.align;
    end = Math.ceil(end / fieldAlign) * fieldAlign;
    offsets[key] = end;
    end += field.size;
    align = Math.max(align, fieldAlign);
  }
  const size = Math.ceil(end / align) * align;
  const entries = Object.entries(fields) as [string, Field<unknown>][];
  const encode = (view: DataView, offset: number, value: Values<F>): void => {
    for (let i = 0; i < size; i++) view.setUint8(offset + i, 0);
    for (const [key, field] of entries) field.put(view, offset + (offsets[key] as number), (value as Record<string, unknown>)[key]);
  };
  const decode = (view: DataView, offset: number): Values<F> => {
    const value: Record<string, unknown> = {};
    for (const [key, field] of entries) value[key] = field.get(view, offset + (offsets[key] as number));
    return value as Values<F>;
  };
  return { name, size, align, offsets: offsets as Layout<F>['offsets'], encode, decode, get: decode, put: encode };
}
