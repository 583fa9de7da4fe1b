/** Filters are run by a small interpreter of classic BPF, so that what is tested is what the host would decide. */
import { describe, expect, test } from 'vitest';
import { assembleFilter } from './assembler.ts';
import type { Filter } from './assembler.ts';
import { BELL_FILTER } from './bell-filter.ts';
import { stubFilter } from './stub-filter.ts';

const X86_64 = 0xc000_003e;
const I386 = 0x4000_0003;
const KILL = 0x8000_0000;
const ALLOW = 0x7fff_0000;
const ERRNO_EPERM = 0x0005_0001;

interface Call {
  readonly nr: number;
  readonly arch?: number;
  readonly args?: readonly number[];
}

function decide(program: Uint8Array, { nr, arch = X86_64, args = [] }: Call): number {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, nr, true);
  data.setUint32(4, arch, true);
  for (const [index, value] of args.entries()) {
    data.setUint32(16 + index * 8, value >>> 0, true);
    data.setUint32(20 + index * 8, Math.floor(value / 0x1_0000_0000) >>> 0, true);
  }
  const view = new DataView(program.buffer, program.byteOffset, program.length);
  let accumulator = 0;
  for (let pc = 0; pc < program.length / 8; pc += 1) {
    const code = view.getUint16(pc * 8, true);
    const k = view.getUint32(pc * 8 + 4, true);
    const jump = (taken: boolean): void => {
      pc += view.getUint8(pc * 8 + (taken ? 2 : 3));
    };
    switch (code) {
      case 0x20:
        accumulator = data.getUint32(k, true);
        break;
      case 0x05:
        pc += k;
        break;
      case 0x15:
        jump(accumulator === k);
        break;
      case 0x25:
        jump(accumulator > k);
        break;
      case 0x35:
        jump(accumulator >= k);
        break;
      case 0x45:
        jump((accumulator & k) !== 0);
        break;
      case 0x06:
        return k;
      default:
        throw new Error(`unknown instruction ${code}`);
    }
  }
  throw new Error('the program does not end');
}

test('conditions', () => {
  const filter: Filter = {
    name: 'test',
    otherwise: 'eperm',
    rules: [
      { nr: 1, name: 'a', reason: 'test', when: [{ argument: 0, oneOf: [3, 5] }] },
      { nr: 2, name: 'b', reason: 'test', when: [{ argument: 1, below: 0x1_0000_1000 }] },
      {
        nr: 3,
        name: 'c',
        reason: 'test',
        when: [
          { argument: 2, bitsSet: 0x12 },
          { argument: 3, bitsClear: 0x8000_0001 },
        ],
      },
      { nr: 4, name: 'd', reason: 'test', when: [{ argument: 0, lowOneOf: [9] }] },
      { nr: 4, name: 'd', reason: 'test', when: [{ argument: 0, lowOneOf: [11] }] },
      { nr: 5, name: 'e', reason: 'test' },
    ],
  };
  const program = assembleFilter(filter);
  const allows = (nr: number, ...args: number[]): boolean => {
    const action = decide(program, { nr, args });
    expect([ALLOW, ERRNO_EPERM]).toContain(action);
    return action === ALLOW;
  };
  expect([allows(1, 3), allows(1, 5), allows(1, 4), allows(1, 0x1_0000_0003)]).toEqual([true, true, false, false]);
  expect([allows(2, 0, 0x1_0000_0fff), allows(2, 0, 0x1_0000_1000), allows(2, 0, 5), allows(2, 0, 0x2_0000_0000)]).toEqual([
    true,
    false,
    true,
    false,
  ]);
  expect([allows(3, 0, 0, 0x12, 2), allows(3, 0, 0, 0x13, 0), allows(3, 0, 0, 0x10, 0), allows(3, 0, 0, 0x12, 1)]).toEqual([
    true,
    true,
    false,
    false,
  ]);
  expect(allows(3, 0, 0, 0x12, 0x8000_0000)).toBe(false);
  expect([allows(4, 9), allows(4, 11), allows(4, 0x1_0000_000b), allows(4, 10)]).toEqual([true, true, true, false]);
  expect([allows(5), allows(6), allows(0)]).toEqual([true, false, false]);
});

test('foreign architectures are killed whatever the default', () => {
  const program = assembleFilter({ name: 'test', otherwise: 'enosys', rules: [{ nr: 11, name: 'x', reason: 'test' }] });
  expect(decide(program, { nr: 11, arch: I386 })).toBe(KILL);
  expect(decide(program, { nr: 11 + 0x4000_0000 })).toBe(KILL);
  expect(decide(program, { nr: 0xffff_ffff })).toBe(KILL);
  expect(decide(program, { nr: 12 })).toBe(0x0005_0026);
});

describe('stub filter', () => {
  const GUEST_END = 0x7fff_fff0_0000;
  const program = assembleFilter(stubFilter(GUEST_END, [0x100, 0x200]));
  const action = (nr: number, ...args: number[]): number => decide(program, { nr, args });

  test('allows what the sentry injects', () => {
    expect(action(9, 0x10000, 4096, 3, 0x32)).toBe(ALLOW);
    expect(action(11, GUEST_END - 4096, 4096)).toBe(ALLOW);
    expect(action(25, 0x10000, 4096, 8192, 3, 0x20000)).toBe(ALLOW);
    expect(action(56, 0x100)).toBe(ALLOW);
    expect(action(60, 0)).toBe(ALLOW);
  });

  test('kills everything else', () => {
    expect(action(9, 0, 4096, 3, 0x22)).toBe(KILL); // not MAP_FIXED
    expect(action(9, GUEST_END, 4096, 7, 0x32)).toBe(KILL);
    expect(action(10, GUEST_END + 0xfc000, 4096, 7)).toBe(KILL);
    expect(action(25, 0x10000, 4096, 4096, 3, GUEST_END)).toBe(KILL);
    expect(action(25, 0x10000, 4096, 4096, 8, 0)).toBe(KILL);
    expect(action(56, 0x300)).toBe(KILL);
    const allowed = new Set(stubFilter(GUEST_END, []).rules.map((rule) => rule.nr));
    for (let nr = 0; nr < 600; nr += 1) expect(allowed.has(nr) || action(nr) === KILL).toBe(true);
  });
});

test('every rule has a reason', () => {
  for (const { rules } of [BELL_FILTER, stubFilter(1, [])]) {
    for (const rule of rules) expect(rule.reason.length).toBeGreaterThan(10);
  }
});
