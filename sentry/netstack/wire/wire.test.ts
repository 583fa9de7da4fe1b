/**
 * Properties of the codecs and of the checksum.
 */
import { assert, integer, property, uint8Array } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addBytes, finishSum } from '../checksum.ts';
import { IpHeader } from '../ip/header.ts';
import { SeededRandom } from '../testing/random.ts';
import { igmpResponseMs, mldResponseMs } from './group-messages.ts';
import { DatagramParts, parseIpv4, SOURCE_ROUTED, writeIpv4 } from './ipv4.ts';
import {
  DROPPED,
  parseIpv6,
  UNKNOWN_HEADER,
  UNKNOWN_OPTION,
  walkExtensions,
  writeFragmentHeader,
  writeIpv6,
  writeRouterAlert,
} from './ipv6.ts';

/** RFC 1071, as plainly as it can be said. */
function plainChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += bytes[i]! * 256 + (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum % 0x10000) + Math.floor(sum / 0x10000);
  return 0xffff - sum;
}

function randomHeader(random: SeededRandom, version: 4 | 6): IpHeader {
  const ip = new IpHeader();
  ip.version = version;
  if (version === 4) {
    ip.source.setIpv4(random.word());
    ip.destination.setIpv4(random.word());
  } else {
    ip.source.set(random.word(), random.word(), random.word(), random.word());
    ip.destination.set(random.word(), random.word(), random.word(), random.word());
    ip.flowLabel = random.below(1 << 20);
  }
  ip.protocol = random.below(256);
  ip.hopLimit = random.below(256);
  ip.trafficClass = random.below(256);
  ip.dontFragment = version === 6 || random.below(2) === 1;
  return ip;
}

describe('the checksum', () => {
  it('is that of the definition, whatever length and alignment', () => {
    assert(
      property(uint8Array({ maxLength: 70_000, size: 'max' }), integer({ min: 0, max: 3 }), (bytes, shift) => {
        const shifted = new Uint8Array(bytes.length + shift);
        shifted.set(bytes, shift);
        expect(finishSum(addBytes(0, new DataView(shifted.buffer), shift, bytes.length))).toBe(plainChecksum(bytes));
      }),
      { numRuns: 60 },
    );
    const ones = new Uint8Array(65_536).fill(255);
    expect(finishSum(addBytes(0x1fffe, new DataView(ones.buffer), 0, 65_536))).toBe(0);
  });
});

describe('IP headers', () => {
  it.each([4, 6] as const)('of version %i are read as they were written', (version) => {
    const random = new SeededRandom(version);
    for (let i = 0; i < 500; i++) {
      const ip = randomHeader(random, version);
      const view = new DataView(new ArrayBuffer(2000));
      const length = random.below(1000);
      const read = new IpHeader();
      const parts = new DatagramParts();
      if (version === 4) writeIpv4(ip, view, 40, length, i);
      else writeIpv6(ip, view, 40, length, ip.protocol);
      const parse = version === 4 ? parseIpv4 : parseIpv6;
      expect(parse(read, parts, view, 40, 1000 + 60)).toBe(0);
      expect(parts.payloadLength).toBe(length);
      ip.identification = version === 4 ? i : 0;
      expect(read).toEqual(ip);
      const needed = (version === 4 ? 20 : 40) + length;
      expect(parse(read, parts, view, 40, needed - 1)).toBeLessThan(0);
    }
  });

  it('with a source route are refused', () => {
    const view = new DataView(new ArrayBuffer(40));
    writeIpv4(randomHeader(new SeededRandom(1), 4), view, 0, 8, 1);
    view.setUint8(0, 0x47);
    view.setUint32(20, 0x83070400);
    view.setUint16(10, 0);
    view.setUint16(10, finishSum(addBytes(0, view, 0, 28)));
    expect(parseIpv4(new IpHeader(), new DatagramParts(), view, 0, 40)).toBe(SOURCE_ROUTED);
  });
});

describe('extension headers', () => {
  function walk(first: number, bytes: number[]): { result: number; ip: IpHeader; parts: DatagramParts } {
    const view = new DataView(new ArrayBuffer(40 + bytes.length));
    bytes.forEach((byte, i) => view.setUint8(40 + i, byte));
    writeIpv6(new IpHeader(), view, 0, bytes.length, first);
    const ip = new IpHeader();
    const parts = new DatagramParts();
    expect(parseIpv6(ip, parts, view, 0, 40 + bytes.length)).toBe(0);
    return { result: walkExtensions(ip, parts, view, 0), ip, parts };
  }

  it('are followed in order', () => {
    const bytes = new DataView(new ArrayBuffer(24));
    writeRouterAlert(bytes, 0, 44);
    writeFragmentHeader(bytes, 8, 17, 1232, true, -5);
    const { result, ip, parts } = walk(0, Array.from(new Uint8Array(bytes.buffer)));
    expect([result, ip.protocol, parts.isFragment, parts.fragmentOffset, parts.moreFragments, parts.identification]).toEqual([
      0,
      17,
      true,
      1232,
      true,
      -5,
    ]);
    expect([parts.headerLength, parts.payloadLength]).toEqual([56, 8]);
  });

  it('are refused where they must be', () => {
    // Hop-by-hop behind another; an unknown option that asks for an error, one that asks for silence; a chain without end.
    expect(walk(60, [0, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0]).result).toBe(UNKNOWN_HEADER);
    const unknown = walk(60, [17, 0, 0x80, 4, 0, 0, 0, 0]);
    expect([unknown.result, unknown.parts.pointer]).toEqual([UNKNOWN_OPTION, 42]);
    expect(walk(60, [17, 0, 0x40, 4, 0, 0, 0, 0]).result).toBe(DROPPED);
    expect(
      walk(
        60,
        Array.from({ length: 160 }, (_, i) => [60, 0, 1, 4, 0, 0, 0, 0][i % 8]!),
      ).result,
    ).toBe(DROPPED);
    expect(walk(60, [17, 5, 1, 4, 0, 0, 0, 0]).result).toBeLessThan(0);
    expect(walk(43, [17, 0, 4, 1, 0, 0, 0, 0]).result).toBeLessThan(0);
    expect(walk(43, [17, 0, 4, 0, 0, 0, 0, 0]).result).toBe(0);
  });
});

it('response codes grow exponentially', () => {
  expect([igmpResponseMs(100), igmpResponseMs(0x80), igmpResponseMs(0xff)]).toEqual([10_000, 12_800, 3_174_400]);
  expect([mldResponseMs(10_000), mldResponseMs(0x8000), mldResponseMs(0xffff)]).toEqual([10_000, 32_768, 8_387_584]);
});
