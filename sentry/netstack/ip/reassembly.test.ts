import { describe, expect, it } from 'vitest';
import { FakeMemory } from '#platform/fake/fake-memory.ts';
import { FRAGMENTS_PER_DATAGRAM_MAX } from '../limits.ts';
import { copyBytes, PacketPool, Payload } from '../packet.ts';
import { StackState } from '../stack-state.ts';
import { SeededRandom } from '../testing/random.ts';
import { DatagramParts } from '../wire/ipv4.ts';
import { IpHeader } from './header.ts';
import { ReassemblyTable } from './reassembly.ts';

interface Cut {
  readonly from: number;
  readonly end: number;
}

class Fixture {
  readonly state = new StackState(new PacketPool((bytes) => new FakeMemory(new Uint8Array(bytes))), () => 1);
  timedOut = 0;
  readonly table = new ReassemblyTable(this.state, () => this.timedOut++);

  add(bytes: Uint8Array, cut: Cut, total: number, id = 7): Uint8Array | null {
    const packet = this.state.pool.takeUrgent(cut.end - cut.from)!;
    packet.memory.bytes.set(bytes.subarray(cut.from, cut.end), packet.start);
    packet.end += cut.end - cut.from;
    const ip = new IpHeader();
    ip.source.setIpv4(1);
    ip.destination.setIpv4(2);
    const parts = new DatagramParts();
    parts.fragmentOffset = cut.from;
    parts.moreFragments = cut.end < total;
    parts.identification = id;
    const whole = this.table.add(ip, parts, new Payload().set(packet, packet.start, packet.length));
    packet.release();
    if (whole === null) return null;
    const copy = new FakeMemory(new Uint8Array(whole.length));
    copyBytes(whole.memory, whole.start, copy, 0, whole.length);
    whole.release();
    return copy.bytes;
  }
}

/** Pieces of `total` bytes, all but the last a multiple of eight. */
function cuts(random: SeededRandom, total: number): Cut[] {
  const made: Cut[] = [];
  const size = Math.max(8, Math.ceil(total / (FRAGMENTS_PER_DATAGRAM_MAX - 2) / 8) * 8);
  for (let from = 0; from < total; ) {
    const end = Math.min(total, from + size + 8 * random.below(10));
    made.push({ from, end });
    from = end;
  }
  return made;
}

function shuffle<T>(list: T[], random: SeededRandom): T[] {
  return list
    .map((item) => ({ item, key: random.fraction() }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item);
}

describe('reassembly', () => {
  it('gives the datagram back from its pieces in any order, some of them twice', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = new SeededRandom(seed * 7919);
      const fixture = new Fixture();
      const total = 9 + random.below(65_000);
      const bytes = Uint8Array.from({ length: total }, () => random.below(256));
      const pieces = cuts(random, total);
      const order = shuffle([...pieces, ...pieces.filter(() => random.below(4) === 0)], random);
      const results = order.map((cut) => fixture.add(bytes, cut, total)).filter((result) => result !== null);
      expect(results.length, `seed ${seed}`).toBeGreaterThanOrEqual(1);
      expect(results[0]).toEqual(bytes);
      fixture.state.timers.expire(1e12);
      expect([fixture.state.pool.inUse, fixture.table.bytes, fixture.table.count]).toEqual([0, 0, 0]);
    }
  });

  it('gives up what overlaps, contradicts its end, or never ends', () => {
    const bytes = new Uint8Array(4000);
    const attempts: Cut[][] = [
      [
        { from: 0, end: 1000 },
        { from: 992, end: 2000 },
        { from: 2000, end: 4000 },
      ],
      [
        { from: 2000, end: 4000 },
        { from: 0, end: 2008 },
      ],
      [
        { from: 0, end: 800 },
        { from: 0, end: 1600 },
        { from: 1600, end: 4000 },
      ],
    ];
    for (const attempt of attempts) {
      const fixture = new Fixture();
      for (const cut of attempt) expect(fixture.add(bytes, cut, 4000)).toBe(null);
      expect(fixture.state.counters.ipv4.ReasmFails).toBeGreaterThan(0);
    }
    const fixture = new Fixture();
    fixture.add(bytes, { from: 800, end: 1600 }, 1600);
    fixture.add(bytes, { from: 1600, end: 2400 }, 4000);
    expect([fixture.table.count, fixture.state.pool.inUse]).toEqual([0, 0]);
    fixture.add(bytes, { from: 0, end: 800 }, 4000);
    fixture.state.timers.expire(1e12);
    expect([fixture.timedOut, fixture.state.counters.ipv4.ReasmTimeout, fixture.state.pool.inUse]).toEqual([1, 1, 0]);
  });

  it('keeps datagrams apart by their identification', () => {
    const fixture = new Fixture();
    const [a, b] = [new Uint8Array(100).fill(1), new Uint8Array(100).fill(2)];
    fixture.add(a, { from: 0, end: 48 }, 100, 1);
    fixture.add(b, { from: 0, end: 48 }, 100, 2);
    expect(fixture.add(b, { from: 48, end: 100 }, 100, 2)).toEqual(b);
    expect(fixture.add(a, { from: 48, end: 100 }, 100, 1)).toEqual(a);
  });
});
