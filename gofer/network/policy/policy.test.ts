/**
 * Rules and the policy, the latter against an oracle that says in the plainest way what the command line's help promises.
 */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseAddress } from '#sentry/netstack/address.ts';
import { NameBindings } from './bindings.ts';
import { Policy } from './policy.ts';
import { normalName, parseRule } from './rule.ts';
import type { Rule } from './rule.ts';
import { withOwnAddresses } from './special-addresses.ts';
import { BINDING_MIN_NS, BOUND_ADDRESSES_MAX, NAMES_PER_ADDRESS_MAX } from '../limits.ts';

const TCP = 6;
const UDP = 17;

function rules(...texts: readonly string[]): Rule[] {
  return texts.map((text) => {
    const rule = parseRule(text);
    if (typeof rule === 'string') throw new Error(`${text}: ${rule}`);
    return rule;
  });
}

const at = (text: string) => parseAddress(text)!;
const opens = (policy: Policy, address: string, port = 443, names: readonly string[] = [], protocol = TCP): boolean =>
  policy.judgeFlow(protocol, at(address), port, names).isAllowed;

describe('a rule', () => {
  test.each([
    ['example.com', 'example.com', 0, 65_535, 0],
    ['*.Example.COM.:443', '.example.com', 443, 443, 0],
    ['bücher.example:80-90/tcp', 'xn--bcher-kva.example', 80, 90, TCP],
    ['a_b.example/udp', 'a_b.example', 0, 65_535, UDP],
  ])('%s is about a name', (text, name, firstPort, lastPort, protocol) => {
    expect(parseRule(text)).toMatchObject({ text, name, prefix: null, firstPort, lastPort, protocol });
  });

  test.each([
    ['10.0.0.0/8', 104, 0, 65_535],
    ['10.1.2.3:22', 128, 22, 22],
    ['[2001:db8::/32]:443', 32, 443, 443],
    ['[2001:db8::]/32:443', 32, 443, 443],
    ['2001:db8::1', 128, 0, 65_535],
    ['::/0', 0, 0, 65_535],
    ['0.0.0.0/0:53/udp', 96, 53, 53],
  ])('%s is about addresses', (text, bits, firstPort, lastPort) => {
    expect(parseRule(text)).toMatchObject({ name: null, prefix: { bits }, firstPort, lastPort });
  });

  test.each([
    '',
    '*.',
    'a..b',
    '10.0.0',
    '10.0.0.0/33',
    '300.1.1.1',
    'example.com:0',
    'example.com:70000',
    'example.com:9-8',
    'a b',
    'x:y',
    '*.*.com',
    '::/129',
    `${'a'.repeat(64)}.com`,
    '-:',
    '[::1',
  ])('%j is none', (text) => {
    expect(parseRule(text)).toBeTypeOf('string');
  });

  test('nothing that can be typed makes the parser throw', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[*a-z0-9.:[\]/-]{0,30}$/)), (text) => void parseRule(text)));
  });
});

describe('without rules', () => {
  const policy = new Policy([], []);
  test.each(['1.1.1.1', '10.0.0.1', '192.168.1.1', '2001:db8::1', 'fd12::1'])('%s is open', (address) => {
    expect(opens(policy, address)).toBe(true);
  });
  test.each([
    '127.0.0.1',
    '127.9.9.9',
    '::1',
    '169.254.169.254',
    'fe80::1',
    'fd00:ec2::254',
    '100.100.100.200',
    '0.0.0.0',
    '::',
    '224.0.0.1',
    'ff02::1',
    '255.255.255.255',
  ])('%s is not, with or without a name that resolves to it', (address) => {
    expect(opens(policy, address)).toBe(false);
    expect(opens(policy, address, 80, ['innocent.example'])).toBe(false);
    expect(opens(new Policy(rules('*', '0.0.0.0/0', '::/0', 'innocent.example'), []), address, 80, ['innocent.example'])).toBe(false);
  });
  test('an IPv4 address in IPv6 clothes is the same address', () => {
    expect(opens(policy, '::ffff:127.0.0.1')).toBe(false);
  });
});

describe('special addresses', () => {
  test('open by a rule that names them', () => {
    const policy = new Policy(rules('*', '127.0.0.1:8080', '169.254.169.254'), []);
    expect(opens(policy, '127.0.0.1', 8080)).toBe(true);
    expect(opens(policy, '127.0.0.1', 8081)).toBe(false);
    expect(opens(policy, '127.0.0.2', 8080)).toBe(false);
    expect(opens(policy, '169.254.169.254', 80)).toBe(true);
    expect(opens(policy, '8.8.8.8', 53)).toBe(true);
  });
});

test("the host's own addresses are special, too", () => {
  const own = withOwnAddresses(['192.0.2.7', '2001:db8::7', 'not one']);
  expect(opens(new Policy([], [], own), '192.0.2.7')).toBe(false);
  expect(opens(new Policy([], [], own), '192.0.2.8')).toBe(true);
  expect(opens(new Policy(rules('*', '192.0.2.0/24'), [], own), '192.0.2.7')).toBe(false);
  expect(opens(new Policy(rules('192.0.2.7:443'), [], own), '192.0.2.7')).toBe(true);
  expect(opens(new Policy([], [], own), '2001:db8::7')).toBe(false);
});

describe('names', () => {
  const policy = new Policy(rules('*.example.com:443', 'plain.example', '10.0.0.0/8'), rules('bad.example.com', '10.0.0.7'));
  test('are resolved if they are allowed', () => {
    expect(policy.judgeName('www.example.com').isAllowed).toBe(true);
    expect(policy.judgeName('a.b.example.com').isAllowed).toBe(true);
    expect(policy.judgeName('example.com').isAllowed).toBe(false);
    expect(policy.judgeName('badexample.com').isAllowed).toBe(false);
    expect(policy.judgeName('bad.example.com').isAllowed).toBe(false);
    expect(policy.judgeName('other.org').isAllowed).toBe(false);
  });
  test('open the addresses that were bound to them, for their ports', () => {
    expect(opens(policy, '1.2.3.4')).toBe(false);
    expect(opens(policy, '1.2.3.4', 443, ['www.example.com'])).toBe(true);
    expect(opens(policy, '1.2.3.4', 80, ['www.example.com'])).toBe(false);
    expect(opens(policy, '1.2.3.4', 80, ['plain.example'])).toBe(true);
    expect(policy.judgeFlow(TCP, at('1.2.3.4'), 443, ['www.example.com']).isByName).toBe(true);
    expect(policy.judgeFlow(TCP, at('10.0.0.1'), 443, []).isAllowed).toBe(true);
    expect(opens(policy, '10.0.0.7', 443, ['plain.example'])).toBe(false);
  });
  test('that a flow claims have to be those of its address', () => {
    const claim = (address: string, names: readonly string[], claimed: string): boolean =>
      policy.judgeClaim(at(address), 443, names, claimed).isAllowed;
    expect(claim('1.2.3.4', ['www.example.com'], 'www.example.com')).toBe(true);
    expect(claim('1.2.3.4', ['www.example.com'], 'mail.example.com')).toBe(false);
    expect(claim('1.2.3.4', ['www.example.com'], 'evil.org')).toBe(false);
    expect(claim('10.0.0.1', [], 'anything.org')).toBe(true);
    expect(claim('10.0.0.1', [], 'bad.example.com')).toBe(false);
  });
  test('that are denied are refused on open addresses too', () => {
    const policy = new Policy([], rules('*.ads.example', 'ads.example'));
    expect(opens(policy, '1.2.3.4')).toBe(true);
    expect(opens(policy, '1.2.3.4', 443, ['ads.example'])).toBe(false);
    expect(opens(policy, '1.2.3.4', 443, ['ads.example', 'good.example'])).toBe(true);
    expect(policy.judgeClaim(at('1.2.3.4'), 443, ['ads.example', 'good.example'], 'x.ads.example').isAllowed).toBe(false);
    expect(policy.judgeClaim(at('1.2.3.4'), 443, [], 'good.example').isAllowed).toBe(true);
  });
});

const octet = fc.constantFrom(0, 1, 9, 10, 127, 169, 200);
const address = fc.tuple(octet, octet, octet, octet).map((octets) => octets.join('.'));
const port = fc.constantFrom(22, 80, 443);
const cidr = fc.tuple(address, fc.integer({ min: 0, max: 32 })).map(([text, bits]) => `${text}/${bits}`);
const ruleText = fc
  .tuple(fc.oneof(cidr, address, fc.constant('*')), fc.option(port))
  .map(([target, p]) => (p === null ? target : `${target}:${p}`));

/** Bits of the text's address as a string of 0 and 1. */
const bits = (text: string): string =>
  text
    .split('.')
    .map((part) => Number(part).toString(2).padStart(8, '0'))
    .join('');

function hits(text: string, flow: string, flowPort: number): boolean {
  const [target, rulePort] = text.split(':');
  if (rulePort !== undefined && Number(rulePort) !== flowPort) return false;
  const [network, length = '32'] = target!.split('/');
  return target === '*' || bits(flow).startsWith(bits(network!).slice(0, Number(length)));
}

test('flows are judged as the plain reading of the rules says', () => {
  const list = fc.array(ruleText, { maxLength: 4 });
  const isOrdinary = (text: string): boolean => {
    const [a, b] = text.split('.').map(Number);
    return a !== 0 && a !== 127 && !(a === 169 && b === 254);
  };
  fc.assert(
    fc.property(list, list, address, port, (allow, deny, flow, flowPort) => {
      fc.pre(isOrdinary(flow));
      const expected =
        !deny.some((text) => hits(text, flow, flowPort)) && (allow.length === 0 || allow.some((text) => hits(text, flow, flowPort)));
      expect(opens(new Policy(rules(...allow), rules(...deny)), flow, flowPort)).toBe(expected);
    }),
    { numRuns: 2_000 },
  );
});

describe('bindings', () => {
  test('end with their time, but not before the floor', () => {
    const bindings = new NameBindings();
    bindings.bind('a.example', at('1.1.1.1'), 1, 0);
    bindings.bind('b.example', at('1.1.1.1'), 7_200, 0);
    expect(bindings.namesOf(at('1.1.1.1'), BINDING_MIN_NS - 1)).toEqual(['a.example', 'b.example']);
    expect(bindings.namesOf(at('1.1.1.1'), BINDING_MIN_NS)).toEqual(['b.example']);
    expect(bindings.namesOf(at('1.1.1.1'), 7_200e9)).toEqual([]);
    expect(bindings.size).toBe(0);
  });
  test('are bounded: the stalest goes', () => {
    const bindings = new NameBindings();
    for (let i = 0; i <= BOUND_ADDRESSES_MAX; i++) bindings.bind('n.example', at(`10.0.${i >> 8}.${i & 255}`), 60, i);
    expect(bindings.size).toBe(BOUND_ADDRESSES_MAX);
    expect(bindings.namesOf(at('10.0.0.0'), 0)).toEqual([]);
    for (let i = 0; i <= NAMES_PER_ADDRESS_MAX; i++) bindings.bind(`n${i}.example`, at('9.9.9.9'), 60, i);
    const names = bindings.namesOf(at('9.9.9.9'), 0);
    expect(names.length).toBe(NAMES_PER_ADDRESS_MAX);
    expect(names).not.toContain('n0.example');
  });
});

test('names are normal once they are normalised', () => {
  fc.assert(
    fc.property(fc.domain(), (name) => {
      const normal = normalName(name);
      expect(normal).toBe(name.toLowerCase());
      expect(normalName(`${name}.`)).toBe(normal);
    }),
  );
});
