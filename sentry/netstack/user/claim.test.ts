/**
 * First bytes of flows: real ones cut at every place, broken ones, random ones.
 */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CLAIM_BROKEN, CLAIM_DONE, CLAIM_MORE } from './claim-finding.ts';
import { ClaimWatch } from './claim.ts';
import { CLAIM_BYTES_MAX } from './limits.ts';

type Part = number | string | readonly Part[];

/** Bytes: numbers are bytes, texts ASCII. */
const flat = (...parts: readonly Part[]): number[] =>
  parts.flatMap((part) => (typeof part === 'number' ? [part] : typeof part === 'string' ? [...Buffer.from(part)] : flat(...part)));
const sized = (bytes: number, ...parts: readonly Part[]): number[] => {
  const body = flat(...parts);
  return [...Array.from({ length: bytes }, (_, i) => (body.length >> (8 * (bytes - 1 - i))) & 255), ...body];
};
const zeros = (count: number): number[] => Array.from({ length: count }, () => 0);

const extension = (type: number, ...parts: readonly Part[]): number[] => [type >> 8, type & 255, ...sized(2, ...parts)];
const serverName = (...names: readonly string[]): number[] => extension(0, sized(2, ...names.map((name) => [0, ...sized(2, name)])));
const hello = (...extensions: readonly Part[]): number[] => [
  1,
  ...sized(3, 3, 3, zeros(32), sized(1, zeros(32)), sized(2, 0x13, 1, 0x13, 2), sized(1, 0), sized(2, ...extensions)),
];
/** Cuts `message` into records of `size` bytes. */
function records(message: readonly number[], size = 16_384): number[] {
  const out: number[] = [];
  for (let at = 0; at < message.length; at += size) out.push(22, 3, 1, ...sized(2, message.slice(at, at + size)));
  return out;
}

function find(bytes: readonly number[]): { finding: number; names: string[] } {
  const names: string[] = [];
  return { finding: new ClaimWatch().look(Uint8Array.from(bytes), bytes.length, names), names };
}

const http = (text: string) => find(flat(text.replaceAll('\n', '\r\n')));

describe('TLS', () => {
  const whole = records(hello(extension(43, 2, 3, 4), serverName('www.example.com'), extension(16, zeros(9))));

  test('the server name is found, and only when the hello is complete', () => {
    for (let cut = 0; cut < whole.length; cut++) expect(find(whole.slice(0, cut))).toEqual({ finding: CLAIM_MORE, names: [] });
    expect(find(whole)).toEqual({ finding: CLAIM_DONE, names: ['www.example.com'] });
    expect(find([...whole, 23, 3, 3, 0, 1, 0]).names).toEqual(['www.example.com']);
  });

  test.each([1, 2, 5, 40])('in records of %d bytes too', (size) => {
    const bytes = records(hello(serverName('a.example')), size);
    expect(find(bytes)).toEqual({ finding: CLAIM_DONE, names: ['a.example'] });
    expect(find(bytes.slice(0, -1)).finding).toBe(CLAIM_MORE);
  });

  test('without one nothing is claimed, with several all are', () => {
    expect(find(records(hello(extension(43, 0))))).toEqual({ finding: CLAIM_DONE, names: [] });
    expect(find(records(hello(serverName('a.example', 'b.example')))).names).toEqual(['a.example', 'b.example']);
    expect(find(records(hello(serverName('a.example'), serverName('b.example')))).names).toEqual(['a.example', 'b.example']);
  });

  test.each<[string, number[]]>([
    ['an alert in the middle', [...records(hello(serverName('a.example')).slice(0, 20)), 21, 3, 1, 0, 2, 1, 0]],
    ['another handshake message', records([2, ...sized(3, zeros(8))])],
    ['a hello too long', records([1, 1, 0, 0, ...zeros(20)])],
    ['extensions longer than the hello', records([1, ...sized(3, 3, 3, zeros(32), 0, sized(2, 0, 0), sized(1, 0), 0, 99, 0)])],
    ['an extension that leaves it', records(hello(0, 0, 0, 9, 1))],
    ['a name that leaves its list', records(hello(extension(0, sized(2, 0, 0, 9, 'abc'))))],
    ['a list that is not as long as it says', records(hello(extension(0, 0, 9, 0, 0, 1, 'a')))],
    ['an empty name', records(hello(serverName('')))],
    ['an empty record', [22, 3, 1, 0, 0]],
  ])('%s is broken', (_, bytes) => {
    expect(find(bytes).finding).toBe(CLAIM_BROKEN);
  });
});

describe('HTTP', () => {
  test('the host is found when the head is complete', () => {
    const text = 'GET /x HTTP/1.1\nAccept: */*\nhOsT: www.example.com:8080\n\n';
    for (let cut = 0; cut < text.length; cut++) expect(http(text.slice(0, cut)).finding).toBe(CLAIM_MORE);
    expect(http(text)).toEqual({ finding: CLAIM_DONE, names: ['www.example.com'] });
    expect(find(flat('GET / HTTP/1.0\nHost: bare.example\n\n')).names).toEqual(['bare.example']);
  });

  test.each<[string, string[]]>([
    ['GET http://user@a.example:80/x HTTP/1.1\nHost: b.example\n\n', ['a.example', 'b.example']],
    ['CONNECT c.example:443 HTTP/1.1\nHost: c.example:443\n\n', ['c.example', 'c.example']],
    ['GET / HTTP/1.1\nHost: a.example\nHost: b.example\n\n', ['a.example', 'b.example']],
    ['GET / HTTP/1.1\nHost: 192.0.2.1:80\n\n', []],
    ['GET / HTTP/1.1\nHost: [2001:db8::1]\n\n', []],
    ['GET / HTTP/1.0\n\n', []],
  ])('%j claims %j', (text, names) => {
    expect(http(text)).toEqual({ finding: CLAIM_DONE, names });
  });

  test.each([
    'GET / HTTP/1.1\n Host: x\n\n',
    'GET / HTTP/1.1\nHost : x.example\n\n',
    `GET / HTTP/1.1\nCookie: ${'x'.repeat(CLAIM_BYTES_MAX)}`,
  ])('%.30j is broken', (text) => {
    expect(http(text).finding).toBe(CLAIM_BROKEN);
  });
});

test.each(['SSH-2.0-OpenSSH\n', '\x00\x01\x02', 'EHLO me.example\r\n', '{"jsonrpc":1}', 'GET /\r\n', '\x16\x02\x00'])(
  '%j is another protocol',
  (text) => {
    expect(find(flat(text))).toEqual({ finding: CLAIM_DONE, names: [] });
  },
);

test('nothing makes it throw, and bytes behind the length do not count', () => {
  const good = records(hello(serverName('www.example.com')));
  const mutated = fc.array(fc.tuple(fc.nat(good.length - 1), fc.integer({ min: 0, max: 255 })), { maxLength: 5 }).map((changes) => {
    const bytes = good.slice();
    for (const [at, value] of changes) bytes[at] = value;
    return bytes;
  });
  const text = fc.stringMatching(/^(GET|POST) [ -~]{0,20} HTTP\/1\.1\r\n([A-Za-z: .\r\n]{0,60})/).map((value) => flat(value));
  fc.assert(
    fc.property(
      fc.oneof(fc.array(fc.integer({ min: 0, max: 255 })), mutated, text),
      fc.array(fc.integer({ min: 0, max: 255 })),
      (bytes, behind) => {
        const names: string[] = [];
        const finding = new ClaimWatch().look(Uint8Array.from([...bytes, ...behind]), bytes.length, names);
        expect({ finding, names }).toEqual(find(bytes));
      },
    ),
    { numRuns: 2_000 },
  );
});

describe('the requests of one connection', () => {
  /** What each look finds, as far as `text` goes; `step` bytes come at a time. */
  function requests(text: string, step = 1 << 20): string[] {
    const bytes = Uint8Array.from(flat(text.replaceAll('\n', '\r\n')));
    const watch = new ClaimWatch();
    const found: string[] = [];
    let at = 0;
    for (let end = Math.min(step, bytes.length); ; ) {
      const names: string[] = [];
      const rest = bytes.subarray(at, end);
      const finding = rest.length === 0 ? CLAIM_MORE : watch.look(rest, rest.length, names);
      if (finding === CLAIM_BROKEN) return [...found, 'broken'];
      if (finding === CLAIM_DONE) {
        found.push(...names);
        if (watch.allowance === Infinity) return [...found, 'anything'];
        at += watch.allowance;
        while (at > end && end < bytes.length) end = Math.min(end + step, bytes.length);
      } else if (end === bytes.length) return found;
      else end = Math.min(end + step, bytes.length);
    }
  }

  const a = 'GET / HTTP/1.1\nHost: a.example\n\n';
  const b = 'POST /x HTTP/1.1\nHost: b.example\nContent-Length: 5\n\nGET /';
  const c = 'PUT /x HTTP/1.1\nHost: c.example\nTransfer-Encoding: gzip, chunked\n\n4;x="y"\nGET \n10\n0123456789abcdef\n0\nTrailer: z\n\n';

  test.each([1, 2, 3, 7, 50, 1 << 20])('each is found, %i bytes at a time', (step) => {
    expect(requests(a + b + a, step)).toEqual(['a.example', 'b.example', 'a.example']);
    expect(requests(c + b + c + a, step)).toEqual(['c.example', 'b.example', 'c.example', 'a.example']);
    expect(requests(`\n\n${a}\n${b}\n${a}`, step)).toEqual(['a.example', 'b.example', 'a.example']);
  });

  test('what follows CONNECT, or is no request any more, is not looked at', () => {
    expect(requests(`CONNECT p.example:443 HTTP/1.1\nHost: p.example\n\n${a}`)).toEqual(['p.example', 'p.example', 'anything']);
    expect(requests(`${a}\x81\x05hello`)).toEqual(['a.example', 'anything']);
  });

  test.each([
    'Content-Length: 5\nContent-Length: 6',
    'Content-Length: +5',
    'Content-Length: 5, 5',
    'Content-Length: 5\nTransfer-Encoding: chunked',
    'Transfer-Encoding: chunked\nContent-Length: 5',
    'Transfer-Encoding: chunked, gzip',
    'Transfer-Encoding: chunked\nTransfer-Encoding: chunked',
  ])('%j leaves open where the next one begins', (fields) => {
    expect(requests(`POST / HTTP/1.1\nHost: a.example\n${fields}\n\n5\nhello\n0\n\n`)).toEqual(['broken']);
  });

  test.each(['5\nhelloX', 'x\n', '-1\n', `${'0'.repeat(20)}1\nx\n`, '5 5\n', ` 5\n`])('the chunk %j is broken', (chunks) => {
    expect(requests(`POST / HTTP/1.1\nHost: a.example\nTransfer-Encoding: chunked\n\n${chunks}0\n\n`)).toEqual(['a.example', 'broken']);
  });
});
