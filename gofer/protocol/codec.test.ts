import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ATTRIBUTES_SIZE, attributes, readAttributes, writeAttributes } from './attributes.ts';
import type { Attributes } from './attributes.ts';
import { cText, i64, isName, list, name, Reader, record, text, u16, u32, words, Writer } from './codec.ts';
import type { WireField, WireMemory } from './codec.ts';
import * as messages from './messages.ts';
import type { Message } from './messages.ts';

function memoryOf(size: number): WireMemory {
  const buffer = Buffer.alloc(size);
  return {
    address: 0,
    bytes: buffer,
    view: new DataView(buffer.buffer, buffer.byteOffset, size),
    latin1: (start, end) => buffer.toString('latin1', start, end),
    writeLatin1: (value, offset) => buffer.write(value, offset, 'latin1'),
  };
}

const memory = memoryOf(65_536);

function roundTrip<T>(field: WireField<T>, value: T): { readonly value: T; readonly complete: boolean } {
  const writer = new Writer();
  writer.begin(memory, 8, 65_000);
  field.write(writer, value);
  expect(writer.overflow).toBe(false);
  const reader = new Reader();
  reader.begin(memory, 8, writer.at - 8);
  return { value: field.read(reader), complete: reader.complete };
}

const byteText = (max: number): fc.Arbitrary<string> =>
  fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: max }).map((codes) => String.fromCharCode(...codes));
const someName = byteText(255).filter(isName);
const word = fc.integer({ min: 0, max: 0xffff_ffff });
const someAttributes: fc.Arbitrary<Attributes> = fc.record({
  mask: word,
  mode: fc.integer({ min: 0, max: 0xffff }),
  nlink: word,
  uid: word,
  gid: word,
  inoLow: word,
  inoHigh: word,
  devMajor: word,
  devMinor: word,
  rdevMajor: word,
  rdevMinor: word,
  size: fc.maxSafeNat(),
  blocks: fc.maxSafeNat(),
  blksize: word,
  atimeSec: fc.maxSafeInteger(),
  atimeNsec: word,
  mtimeSec: fc.maxSafeInteger(),
  mtimeNsec: word,
  ctimeSec: fc.maxSafeInteger(),
  ctimeNsec: word,
});

describe('fields survive the trip', () => {
  const cases: readonly (readonly [string, WireField<never>, fc.Arbitrary<unknown>])[] = [
    ['u16', u16 as WireField<never>, fc.integer({ min: 0, max: 0xffff })],
    ['u32', u32 as WireField<never>, word],
    ['i64', i64 as WireField<never>, fc.maxSafeInteger()],
    ['words', words as unknown as WireField<never>, fc.tuple(word, word)],
    ['text', text(300) as WireField<never>, byteText(300)],
    ['cText', cText(300) as WireField<never>, byteText(300).filter((value) => !value.includes('\0'))],
    ['name', name as WireField<never>, someName],
    ['list', list(name, 20) as unknown as WireField<never>, fc.array(someName, { maxLength: 20 })],
    ['attributes', attributes as unknown as WireField<never>, someAttributes],
    [
      'record',
      record({ a: u32, b: text(9), c: list(u16, 4) }) as unknown as WireField<never>,
      fc.record({ a: word, b: byteText(9), c: fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 4 }) }),
    ],
  ];
  test.each(cases)('%s', (_, field, values) => {
    fc.assert(
      fc.property(values, (value) => {
        expect(roundTrip(field, value as never)).toEqual({ value, complete: true });
      }),
      { numRuns: 100 },
    );
  });

  test('attributes have the size of what statx writes', () => {
    expect(ATTRIBUTES_SIZE).toBe(144);
    fc.assert(
      fc.property(someAttributes, (value) => {
        writeAttributes(memory.view, 16, value);
        expect(readAttributes(memory.view, 16)).toEqual(value);
      }),
      { numRuns: 50 },
    );
  });
});

const all: readonly Message<never, unknown>[] = Object.values(messages).filter(
  (value): value is Message<never, never> => typeof value === 'object' && 'request' in value && 'reply' in value,
);

describe('hostile bytes', () => {
  test('every message type is known once', () => {
    expect(new Set(all.map(({ type }) => type)).size).toBe(all.length);
    expect(all.length).toBe(27);
  });

  test.each(all.map((message) => [message.name, message] as const))('%s: any bytes are read without harm', (_, message) => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
        memory.bytes.set(bytes, 8);
        for (const field of [message.request, message.reply]) {
          const reader = new Reader();
          reader.begin(memory, 8, bytes.length);
          field.read(reader);
          expect(reader.at).toBeLessThanOrEqual(8 + bytes.length);
        }
      }),
      { numRuns: 60 },
    );
  });

  test('what is cut off or too long is malformed', () => {
    const body = record({ fid: u32, names: list(name, 3) });
    const writer = new Writer();
    writer.begin(memory, 0, 1000);
    body.write(writer, { fid: 7, names: ['a', 'bc'] });
    for (let length = 0; length <= writer.at + 2; length++) {
      const reader = new Reader();
      reader.begin(memory, 0, length);
      body.read(reader);
      expect(reader.complete).toBe(length === writer.at);
    }
  });

  test('bounds of lists and texts hold on both sides', () => {
    const writer = new Writer();
    for (const write of [
      () => list(u16, 2).write(writer, [1, 2, 3]),
      () => text(3).write(writer, 'abcd'),
      () => text(3000).write(writer, 'x'.repeat(2000)),
    ]) {
      writer.begin(memory, 0, 100);
      write();
      expect(writer.overflow).toBe(true);
    }
    const reader = new Reader();
    memory.view.setUint16(0, 0xffff, true);
    reader.begin(memory, 0, 60_000);
    expect(list(u32, 5).read(reader)).toEqual([]);
    expect(reader.malformed).toBe(true);
  });

  test('64-bit values that a double cannot hold are malformed', () => {
    memory.view.setBigInt64(0, 2n ** 53n, true);
    const reader = new Reader();
    reader.begin(memory, 0, 8);
    i64.read(reader);
    expect(reader.malformed).toBe(true);
  });
});
