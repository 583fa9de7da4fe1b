import { describe, expect, it } from 'vitest';
import { FakeMemory } from '#platform/fake/fake-memory.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import { EAGAIN, ENETDOWN, ENOBUFS } from '#sentry/abi/errno.ts';
import { PacketPool } from '../packet.ts';
import type { Packet } from '../packet.ts';
import { SeededRandom } from '../testing/random.ts';
import { Offload } from './device.ts';
import { HostLink } from './host-link.ts';

/** A descriptor whose frames a test writes and reads. */
class FakeDescriptor {
  readonly written: number[][] = [];
  readonly arriving: number[][] = [];
  error = 0;

  read(_fd: number, memory: HostMemory, offset: number, length: number): number {
    const frame = this.arriving.shift();
    if (frame === undefined) return -EAGAIN;
    memory.bytes.set(frame.slice(0, length), offset);
    return Math.min(frame.length, length);
  }

  write(_fd: number, memory: HostMemory, offset: number, length: number): number {
    if (this.error !== 0) return -this.error;
    this.written.push(Array.from(memory.bytes.subarray(offset, offset + length)));
    return length;
  }
}

function linkOn(host: FakeDescriptor): { link: HostLink; pool: PacketPool } {
  const pool = new PacketPool((bytes) => new FakeMemory(new Uint8Array(bytes)));
  const options = { kind: 'ethernet', mtu: 1500, hardwareAddress: '\x02\0\0\0\0\x05', vnetHeaderLength: 10, cutsSegments: true } as const;
  return { link: new HostLink(host, 3, pool, options), pool };
}

function frameOf(pool: PacketPool, bytes: number[]): Packet {
  const packet = pool.takeUrgent(bytes.length)!;
  packet.memory.bytes.set(bytes, packet.start);
  packet.end += bytes.length;
  return packet;
}

function ones(length: number): number[] {
  return Array.from({ length }, () => 1);
}

const ETHERNET = Array.from({ length: 14 }, (_, i) => i);

describe('a link on a descriptor', () => {
  it('says in the header what is left to the host', () => {
    const host = new FakeDescriptor();
    const { link, pool } = linkOn(host);
    const packet = frameOf(pool, [...ETHERNET, 0x60, 1, 2, 3]);
    const offload = new Offload();
    expect(link.send(packet, 14, offload)).toBe(0);
    offload.checksumStart = 40;
    offload.checksumOffset = 16;
    offload.segmentSize = 1428;
    offload.headerLength = 72;
    expect(link.send(packet, 14, offload)).toBe(0);
    expect(host.written.map((frame) => frame.slice(0, 10))).toEqual([
      [0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
      [1, 4, 86, 0, 1428 & 255, 1428 >> 8, 54, 0, 16, 0],
    ]);
    expect(host.written[1]!.slice(10)).toEqual([...ETHERNET, 0x60, 1, 2, 3]);
  });

  it('tells a full queue from a link that is gone', () => {
    const host = new FakeDescriptor();
    const { link, pool } = linkOn(host);
    const packet = frameOf(pool, [...ETHERNET, 0x45]);
    host.error = EAGAIN;
    expect(link.send(packet, 14, new Offload())).toBe(-ENOBUFS);
    host.error = ENETDOWN;
    expect([link.send(packet, 14, new Offload()), link.lastError]).toEqual([-ENETDOWN, ENETDOWN]);
  });

  it('hands frames over in packets that fit, and keeps none', () => {
    const host = new FakeDescriptor();
    const { link, pool } = linkOn(host);
    const seen: [number, number, boolean, number][] = [];
    const receiver = {
      frame(packet: Packet, offload: Offload): void {
        seen.push([packet.length, packet.footprint, offload.isVerified, offload.checksumStart]);
      },
    };
    host.arriving.push([2, 0, 0, 0, 0, 0, 0, 0, 0, 0, ...ones(100)]);
    host.arriving.push([1, 1, 66, 0, 180, 5, 34, 0, 16, 0, ...ones(60_000)]);
    host.arriving.push([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ...ones(60)]);
    expect(link.poll(receiver, 10, 0)).toBe(3);
    expect(seen).toEqual([
      [100, 2048, true, -1],
      [60_000, 69_632, false, 20],
      [60, 2048, false, -1],
    ]);
    expect(link.poll(receiver, 10, 0)).toBe(0);
    expect(pool.inUse).toBe(69_632);
  });

  it('drops frames whose header contradicts them', () => {
    const host = new FakeDescriptor();
    const { link } = linkOn(host);
    const random = new SeededRandom(3);
    const receiver = {
      frame(packet: Packet, offload: Offload): void {
        expect(packet.length).toBeGreaterThanOrEqual(14);
        const end = offload.checksumStart < 0 ? 0 : 14 + offload.checksumStart + offload.checksumOffset + 2;
        expect(end).toBeLessThanOrEqual(packet.length);
      },
    };
    for (let i = 0; i < 3000; i++)
      host.arriving.push(Array.from({ length: random.below(120) }, () => random.below(256) & (random.below(3) === 0 ? 255 : 3)));
    while (host.arriving.length > 0) link.poll(receiver, 100, 0);
    expect(link.lastError).toBe(0);
  });
});
