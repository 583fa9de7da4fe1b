/**
 * A sentry that was taken over talks to the gofer. Whatever it sends, the gofer answers or hangs up: it does not throw, leak descriptors,
 * or touch anything outside of its root. Messages that once did harm stay here as a corpus.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Writer } from '#gofer/protocol/codec.ts';
import type { WireField } from '#gofer/protocol/codec.ts';
import { writeHeader } from '#gofer/protocol/header.ts';
import * as messages from '#gofer/protocol/messages.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import { TestGofer } from './testing.ts';

let top: string;
let gofer: TestGofer;
const memory = allocateMemory(65_536);

beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), 'gofer-hostile-'));
  mkdirSync(join(top, 'root/dir'), { recursive: true });
  mkdirSync(join(top, 'root/ro'), { recursive: true });
  writeFileSync(join(top, 'outside'), 'untouched');
  writeFileSync(join(top, 'root/ro/file'), 'untouched');
  writeFileSync(join(top, 'root/file'), 'x');
  symlinkSync('../outside', join(top, 'root/link'));
  gofer = new TestGofer(
    [
      { path: join(top, 'root'), readOnly: false },
      { path: join(top, 'root/ro'), readOnly: true },
    ],
    16,
  );
  gofer.hello();
  gofer.ask(messages.Attach, { mount: 0, fid: 1 });
  gofer.ask(messages.Attach, { mount: 1, fid: 2 });
});

afterEach(() => {
  gofer.close();
  // Directories that even their owner may not search.
  execFileSync('chmod', ['-R', 'u+rwX', top]);
  rmSync(top, { recursive: true, force: true });
});

function framed(type: number, body: Uint8Array): Uint8Array {
  writeHeader(memory, 0, 8 + body.length, type, 9);
  memory.bytes.set(body, 8);
  return memory.bytes.slice(0, 8 + body.length);
}

const openDescriptors = (): number => readdirSync('/proc/self/fd').length;

function expectUnharmed(): void {
  expect(readFileSync(join(top, 'outside'), 'latin1')).toBe('untouched');
  expect(readdirSync(top).toSorted()).toEqual(['outside', 'root']);
}

test('any body of any type', () => {
  const before = openDescriptors();
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 30 }), fc.uint8Array({ maxLength: 64 }), (type, body) => {
      // Only a malformed release, which has no reply to carry an error, ends the connection.
      const goesOn = gofer.postRaw(framed(type, body));
      const answered = gofer.drain() >= 12;
      expect(type === messages.Release.type ? !answered : goesOn && answered).toBe(true);
    }),
    { numRuns: 1500 },
  );
  expect(openDescriptors() - before).toBeLessThanOrEqual(14);
  expectUnharmed();
});

/** Values that lead further than random bytes: existing fids and names, and every kind of wrong one. */
const fid = fc.constantFrom(0, 1, 2, 3, 4, 5, 16, 17, 0xffff_ffff);
const name = fc.constantFrom('file', 'dir', 'link', 'ro', 'new', 'n\xff', 'x'.repeat(255));
const number = fc.constantFrom(
  0,
  1,
  2,
  3,
  0o100,
  0o777,
  0o1000,
  0o10644,
  0o20644,
  0o100644,
  0o4755,
  0o200000,
  0o10000000,
  0x7fff_ffff,
  0xffff_ffff,
);
const big = fc.constantFrom(0, -1, 1, 4096, 2 ** 40, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER);
const manyNames = fc.array(name, { maxLength: 8 });
const byField: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  mount: fc.constantFrom(0, 1, 2, 0xffff),
  fid,
  newFid: fid,
  directory: fid,
  newDirectory: fid,
  name,
  newName: name,
  names: fc.array(name, { maxLength: 4 }),
  // Those of Fetch and of Tree.
  groups: fc.array(fc.record({ fid, names: fc.array(name, { maxLength: 4 }), files: manyNames, directories: manyNames }), { maxLength: 4 }),
  at: number,
  room: fc.oneof(number, fc.constantFrom(64, 4096, 8 << 20)),
  limit: number,
  target: fc.constantFrom('', '/', '/etc/passwd', '../outside', 't'.repeat(4095)),
  flags: number,
  mode: number,
  uid: number,
  gid: number,
  mask: fc.nat(70),
  size: fc.constantFrom(0, -1, 4096),
  atimeSec: big,
  mtimeSec: big,
  atimeNsec: number,
  mtimeNsec: number,
  cookie: fc.tuple(number, number),
  value: fc.constantFrom('', 'v', 'v'.repeat(5000)),
  dataOnly: number,
};
const requests = Object.values(messages).filter(
  (value): value is messages.Message<never, never> =>
    typeof value === 'object' && 'request' in value && value.type !== 0 && value.type !== messages.Release.type,
);

/** Names of a request's fields, found by having it written from a spy. */
function fieldsOf(request: WireField<never>): string[] {
  const fields: string[] = [];
  const spy = new Proxy(
    {},
    {
      get: (_, key) => {
        fields.push(String(key));
        return undefined;
      },
    },
  );
  const writer = new Writer();
  writer.begin(memory, 0, 0);
  for (;;) {
    const before = fields.length;
    try {
      request.write(writer, spy as never);
      return [...new Set(fields)];
    } catch {
      if (fields.length === before || fields.length > 500) break;
    }
    break;
  }
  return Object.keys(byField);
}

test.each(requests.map((message) => [message.name, message] as const))('%s with well-formed nonsense', (_, message) => {
  const before = openDescriptors();
  const keys = fieldsOf(message.request);
  const shape = fc.record(
    Object.fromEntries(
      keys
        .filter((key) => key in byField)
        .map((key) => [key, message === messages.Getxattr && key === 'name' ? fc.constant('user.x') : byField[key]!]),
    ),
  );
  fc.assert(
    fc.property(shape, (request) => {
      gofer.post(message, request as never);
      expect(gofer.connection.serveOne()).toBe(true);
      expect(gofer.drain()).toBeGreaterThanOrEqual(12);
    }),
    { numRuns: 150 },
  );
  expect(openDescriptors() - before).toBeLessThanOrEqual(14);
  expectUnharmed();
});

/** Raw datagrams; false: the gofer must hang up. */
const CORPUS: readonly (readonly [string, Uint8Array, boolean])[] = [
  ['empty', new Uint8Array(0), false],
  ['half a header', new Uint8Array(7), false],
  ['a length of zero', new Uint8Array(8), false],
  ['a length beyond the datagram', Uint8Array.of(255, 255, 255, 255, 2, 0, 0, 0), false],
  ['only a header', Uint8Array.of(8, 0, 0, 0, 2, 0, 0, 0), true],
  ['a reply instead of a request', Uint8Array.of(8, 0, 0, 0, 2, 128, 0, 0), true],
  ['a hello from the client', Uint8Array.of(8, 0, 0, 0, 0, 0, 0, 0), true],
  ['a walk that announces 65535 names', Uint8Array.of(18, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 255, 255), true],
  ['a walk along ".."', Uint8Array.of(22, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 46, 46), true],
  ['a name that runs past the end', Uint8Array.of(22, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 255, 0, 97, 97), true],
  ['a release of numbers nobody has', Uint8Array.of(18, 0, 0, 0, 21, 0, 0, 0, 2, 0, 0, 0, 0, 0, 255, 255, 255, 255), true],
];

test.each(CORPUS)('corpus: %s', (_, bytes, goesOn) => {
  expect(gofer.postRaw(bytes)).toBe(goesOn);
  expectUnharmed();
});
