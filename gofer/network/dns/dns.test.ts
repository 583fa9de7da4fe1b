/**
 * The DNS codec on good, bad and random bytes; the resolver with a forwarder that answers at once.
 */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { IpAddress, parseAddress } from '#sentry/netstack/address.ts';
import { NameBindings } from '../policy/bindings.ts';
import { Policy } from '../policy/policy.ts';
import { parseRule } from '../policy/rule.ts';
import type { Rule } from '../policy/rule.ts';
import { composeQuestion, composeRefusal } from './compose.ts';
import { parseHosts, parseResolvers } from './host-configuration.ts';
import { addressesOf, readMessage } from './message.ts';
import * as dns from './records.ts';
import { Resolver } from './resolver.ts';
import { reverseAddress } from './reverse.ts';

const ASKER = { pid: 0, command: '' };

type Wire = readonly (number | string | readonly number[])[];

/** Bytes: numbers are 16 bits, texts are names, lists are bytes. */
function wire(...parts: Wire): Uint8Array {
  const bytes = parts.flatMap((part): readonly number[] => {
    if (typeof part === 'number') return [part >> 8, part & 255];
    if (typeof part !== 'string') return part;
    return [...part.split('.').flatMap((label) => (label === '' ? [] : [label.length, ...Buffer.from(label)])), 0];
  });
  return Uint8Array.from(bytes);
}

const query = (name: string, type = dns.TYPE_A, id = 7, ...opt: Wire): Uint8Array =>
  wire(id, 0x0100, 1, 0, 0, opt.length > 0 ? 1 : 0, name, type, 1, ...opt);
const OPT: Wire = [[0], dns.TYPE_OPT, 1232, 0, 0, 0];
const TO_QUESTION = [0xc0, 12] as const;
const address = (...octets: readonly number[]): Wire => [dns.TYPE_A, 1, 0, 300, 4, octets];

describe('messages', () => {
  test('names are read in lower case, through pointers', () => {
    const bytes = wire(
      7,
      0x8180,
      1,
      2,
      0,
      0,
      'WWW.Example.com',
      1,
      1,
      TO_QUESTION,
      5,
      1,
      0,
      60,
      6,
      [3],
      [99, 100, 110],
      [0xc0, 16],
      [0xc0, 45],
      ...address(1, 2, 3, 4),
    );
    const message = readMessage(bytes)!;
    expect(message.question.name).toBe('www.example.com');
    expect(message.answers.map(({ name, type, target }) => [name, type, target])).toEqual([
      ['www.example.com', 5, 'cdn.example.com'],
      ['cdn.example.com', 1, ''],
    ]);
    expect(addressesOf(bytes, message, 'cdn.example.com').map((found) => found.address.toString())).toEqual(['1.2.3.4']);
  });

  test.each<[string, Uint8Array]>([
    ['nothing', wire()],
    ['a header alone', wire(1, 0, 1, 0, 0, 0)],
    ['two questions', wire(1, 0, 2, 0, 0, 0, 'a', 1, 1, 'b', 1, 1)],
    ['a pointer to itself', wire(1, 0, 1, 0, 0, 0, [0xc0, 12], 1, 1)],
    ['a pointer into the header', wire(1, 0, 1, 0, 0, 0, [1, 97, 0xc0, 0], 1, 1)],
    ['a pointer forward', wire(1, 0, 1, 0, 0, 0, [0xc0, 18], 1, 1, 'a')],
    ['a label of the reserved kind', wire(1, 0, 1, 0, 0, 0, [0x41, 97, 0], 1, 1)],
    ['a dot in a label', wire(1, 0, 1, 0, 0, 0, [3, 97, 0x2e, 98, 0], 1, 1)],
    ['a NUL in a label', wire(1, 0, 1, 0, 0, 0, [2, 97, 0, 0], 1, 1)],
    ['a name of 256 bytes', wire(1, 0, 1, 0, 0, 0, Array.from({ length: 128 }, () => 'a').join('.'), 1, 1)],
    ['records that are not there', wire(1, 0, 1, 9, 0, 0, 'a', 1, 1)],
    ['a thousand records', wire(1, 0, 1, 1000, 0, 0, 'a', 1, 1)],
    ['data that leaves the message', wire(1, 0, 1, 1, 0, 0, 'a', 1, 1, 'a', 1, 1, 0, 0, 5, [1])],
    ['something behind its end', wire(1, 0, 1, 0, 0, 0, 'a', 1, 1, [0])],
    ['two OPT records', wire(1, 0, 1, 0, 0, 2, 'a', 1, 1, ...OPT, ...OPT)],
  ])('%s is malformed', (_, bytes) => {
    expect(readMessage(bytes)).toBe(null);
  });

  test('random bytes, and good messages with bytes changed, are read or refused', () => {
    const good = wire(7, 0x8180, 1, 1, 0, 1, 'www.example.com', 1, 1, TO_QUESTION, ...address(1, 2, 3, 4), ...OPT);
    const changed = fc.array(fc.tuple(fc.nat(good.length - 1), fc.integer({ min: 0, max: 255 })), { maxLength: 4 }).map((changes) => {
      const bytes = good.slice();
      for (const [at, value] of changes) bytes[at] = value;
      return bytes;
    });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 80 }), changed), (bytes) => {
        const message = readMessage(bytes);
        if (message === null) return;
        expect(message.question.end).toBeLessThanOrEqual(bytes.length);
        for (const { offset, length } of message.answers) expect(offset + length).toBeLessThanOrEqual(bytes.length);
        expect(readMessage(composeQuestion(1, bytes, message))?.question.name ?? '').toBe(
          readMessage(composeQuestion(1, bytes, message)) === null ? '' : message.question.name,
        );
      }),
      { numRuns: 3_000 },
    );
  });
});

/** Answers every question with the bytes given, or not at all. */
function resolverWith(
  allow: readonly string[],
  deny: readonly string[],
  answer: ((question: Uint8Array) => Uint8Array | null) | null = null,
) {
  const toRules = (texts: readonly string[]): Rule[] => texts.map((text) => parseRule(text) as Rule);
  const bindings = new NameBindings();
  const denied: string[] = [];
  const forwarded: string[] = [];
  const resolver = new Resolver({
    policy: new Policy(toRules(allow), toRules(deny)),
    bindings,
    hosts: parseHosts('192.0.2.1 known.example alias # comment\n::5 known.example\nnonsense line\n'),
    forwarder: {
      ask(bytes, question, answered) {
        forwarded.push(question.question.name);
        const reply = answer === null ? null : answer(bytes);
        answered(reply, reply === null ? null : readMessage(reply));
      },
    },
    now: () => 0,
    onDenied: (name) => denied.push(name),
  });
  const ask = (bytes: Uint8Array, transport: 'udp' | 'tcp' = 'udp') => {
    let reply: Uint8Array | null = null;
    resolver.resolve(bytes, transport, 32_768, ASKER, (bytes) => (reply = bytes));
    return reply as Uint8Array | null;
  };
  const bound = (text: string): readonly string[] => bindings.namesOf(parseAddress(text)!, 0);
  return { ask, bound, denied, forwarded };
}

const rcode = (bytes: Uint8Array | null): number => bytes![3]! & 15;

describe('the resolver', () => {
  const answering = (question: Uint8Array): Uint8Array => {
    const { name } = readMessage(question)!.question;
    const alias: Wire = [TO_QUESTION, 5, 1, 0, 60, 'cdn.example.net'.length + 2, 'cdn.example.net'];
    return wire(
      99,
      0x8180,
      1,
      3,
      0,
      0,
      name,
      1,
      1,
      ...alias,
      'cdn.example.net',
      ...address(1, 2, 3, 4),
      'other.example',
      ...address(6, 6, 6, 6),
    );
  };

  test('passes answers on with the id of the question, and binds the addresses of the chain', () => {
    const { ask, bound } = resolverWith(['*.example.com'], [], answering);
    const reply = ask(query('www.example.com', 1, 0x1234))!;
    expect([reply[0], reply[1]]).toEqual([0x12, 0x34]);
    expect(bound('1.2.3.4')).toEqual(['www.example.com']);
    expect(bound('6.6.6.6')).toEqual([]);
  });

  test('denies at once what the policy does not allow', () => {
    const { ask, denied, forwarded, bound } = resolverWith(['*.example.com'], [], answering);
    const reply = ask(query('evil.example.org', 1, 7, ...OPT))!;
    expect(rcode(reply)).toBe(dns.RCODE_NXDOMAIN);
    expect(Array.from(reply.subarray(-4))).toEqual([0, 2, 0, dns.EXTENDED_BLOCKED]);
    expect(readMessage(reply)).not.toBe(null);
    expect(denied).toEqual(['evil.example.org']);
    expect(forwarded).toEqual([]);
    expect(bound('1.2.3.4')).toEqual([]);
  });

  test('knows localhost and the hosts file', () => {
    const { ask, bound, forwarded } = resolverWith([], []);
    const addresses = (bytes: Uint8Array | null, name: string): string[] =>
      addressesOf(bytes!, readMessage(bytes!)!, name).map((found) => found.address.toString());
    expect(addresses(ask(query('localhost')), 'localhost')).toEqual(['127.0.0.1']);
    expect(addresses(ask(query('x.localhost', dns.TYPE_AAAA)), 'x.localhost')).toEqual(['::1']);
    expect(addresses(ask(query('KNOWN.example')), 'known.example')).toEqual(['192.0.2.1']);
    expect(addresses(ask(query('alias', dns.TYPE_AAAA)), 'alias')).toEqual([]);
    expect(bound('192.0.2.1')).toEqual(['known.example', 'alias']);
    const reverse = ask(query('1.2.0.192.in-addr.arpa', dns.TYPE_PTR))!;
    expect(readMessage(reverse)!.answers[0]!.target).toBe('known.example');
    expect(forwarded).toEqual([]);
  });

  test('keeps hints and reverse questions back where names matter', () => {
    const { ask, forwarded } = resolverWith(['*.example.com'], []);
    expect(rcode(ask(query('www.example.com', dns.TYPE_HTTPS)))).toBe(dns.RCODE_OK);
    expect(rcode(ask(query('4.3.2.1.in-addr.arpa', dns.TYPE_PTR)))).toBe(dns.RCODE_NXDOMAIN);
    expect(forwarded).toEqual([]);
    const open = resolverWith([], []);
    open.ask(query('4.3.2.1.in-addr.arpa', dns.TYPE_PTR));
    open.ask(query('www.example.com', dns.TYPE_HTTPS));
    expect(open.forwarded).toEqual(['4.3.2.1.in-addr.arpa', 'www.example.com']);
  });

  test('answers what it does not do as such, and what is no question not at all', () => {
    const { ask } = resolverWith([], []);
    expect(rcode(ask(query('a.example', dns.TYPE_ANY)))).toBe(dns.RCODE_NOTIMP);
    expect(rcode(ask(query('a.example', 252)))).toBe(dns.RCODE_REFUSED);
    expect(rcode(ask(wire(1, 0x2100, 1, 0, 0, 0, 'a', 1, 1)))).toBe(dns.RCODE_NOTIMP);
    expect(rcode(ask(query('a.example')))).toBe(dns.RCODE_SERVFAIL);
    expect(ask(wire(1, 0x8100, 1, 0, 0, 0, 'a', 1, 1))).toBe(null);
    expect(ask(wire(1, 2, 3))).toBe(null);
  });

  test('tells a client by UDP that an answer is too long for it', () => {
    const long = (question: Uint8Array): Uint8Array => {
      const { name } = readMessage(question)!.question;
      return wire(
        1,
        0x8180,
        1,
        60,
        0,
        0,
        name,
        1,
        1,
        ...Array.from({ length: 60 }, () => [TO_QUESTION, ...address(1, 1, 1, 1)] as Wire).flat(),
      );
    };
    const { ask } = resolverWith([], [], long);
    const short = ask(query('a.example'))!;
    expect(short[2]! & 2).toBe(2);
    expect(short.length).toBeLessThan(dns.UDP_DEFAULT_MAX);
    expect(ask(query('a.example', 1, 7, ...OPT))!.length).toBeGreaterThan(dns.UDP_DEFAULT_MAX);
    expect(ask(query('a.example'), 'tcp')![2]! & 2).toBe(0);
  });

  test('a loop of aliases ends', () => {
    const loop = (question: Uint8Array): Uint8Array =>
      wire(1, 0x8180, 1, 1, 0, 0, readMessage(question)!.question.name, 1, 1, TO_QUESTION, 5, 1, 0, 9, 2, TO_QUESTION);
    expect(rcode(resolverWith([], [], loop).ask(query('a.example')))).toBe(dns.RCODE_OK);
  });
});

test('the host says where its resolvers are', () => {
  expect(parseResolvers('search x\nnameserver 10.0.0.1\nnameserver\t::1 # c\n nameserver 1.1.1.1\n').map(String)).toEqual([
    '10.0.0.1',
    '::1',
  ]);
  expect(parseResolvers('').map(String)).toEqual(['127.0.0.1']);
});

test('reverse names are addresses', () => {
  expect(String(reverseAddress('4.3.2.1.in-addr.arpa'))).toBe('1.2.3.4');
  expect(reverseAddress('400.3.2.1.in-addr.arpa')).toBe(null);
  fc.assert(
    fc.property(fc.tuple(fc.integer(), fc.integer(), fc.integer(), fc.integer()), ([a, b, c, d]) => {
      const address = new IpAddress().set(a, b, c, d);
      const hex = [a, b, c, d].map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
      expect(reverseAddress(`${hex.split('').reverse().join('.')}.ip6.arpa`)!.equals(address)).toBe(true);
    }),
  );
});

test('a refusal keeps the case of the question', () => {
  const bytes = query('WwW.eXample.com');
  const refusal = composeRefusal(bytes, readMessage(bytes)!, dns.RCODE_NXDOMAIN);
  expect(Buffer.from(refusal).toString('latin1')).toContain('eXample');
});
