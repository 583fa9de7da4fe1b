/** Filters of sockets on packets of every length; what they do of all that Linux takes is compared with Linux in test/syscalls/socket-filter.c. */
import { describe, expect, test } from 'vitest';
import * as bpf from '#sentry/abi/bpf.ts';
import { FilteredPacket, PacketFilter } from './packet-filter.ts';

type Statement = readonly [code: number, k: number, jt?: number, jf?: number];

function filterOf(...program: readonly Statement[]): PacketFilter | null {
  const words = program.flatMap(([code, k, jt = 0, jf = 0]) => [code | (jt << 16) | (jf << 24), k]);
  return PacketFilter.decode(Uint32Array.from(words));
}

/** Bytes 1, 2 … `length`, with others on both sides that no filter may see. */
function packetOf(length: number): FilteredPacket {
  const bytes = new Uint8Array(16 + length + 16).fill(0xee);
  for (let i = 0; i < length; i++) bytes[16 + i] = i + 1;
  const packet = new FilteredPacket(new DataView(bytes.buffer));
  packet.start = 16;
  packet.end = 16 + length;
  return packet;
}

const LOAD = bpf.BPF_LD | bpf.BPF_ABS;
const INDEXED = bpf.BPF_LD | bpf.BPF_IND;
const RETURN_A: Statement = [bpf.BPF_RET | bpf.BPF_A, 0];

describe('loads', () => {
  test.each([
    [bpf.BPF_B, 1, 0x01],
    [bpf.BPF_H, 2, 0x0102],
    [bpf.BPF_W, 4, 0x01020304],
  ])('size %i', (size, bytes, first) => {
    const load = filterOf([LOAD | size, 0], RETURN_A)!;
    const last = filterOf([bpf.BPF_LDX | bpf.BPF_LEN, 0], [INDEXED | size, -bytes >>> 0], RETURN_A)!;
    for (let length = 0; length < 8; length++) {
      const packet = packetOf(length);
      expect(load.run(packet)).toBe(length < bytes ? 0 : first);
      // With nothing there the offset is negative, and there are no headers.
      expect(last.run(packet) !== 0).toBe(length >= bytes);
    }
  });

  test('from headers before the packet, where there are such', () => {
    const network = filterOf([LOAD | bpf.BPF_B, bpf.SKF_NET_OFF >>> 0], RETURN_A)!;
    const link = filterOf([LOAD | bpf.BPF_B, (bpf.SKF_LL_OFF + 1) >>> 0], RETURN_A)!;
    const packet = packetOf(4);
    expect(network.run(packet)).toBe(0);
    expect(link.run(packet)).toBe(0);
    packet.network = 12;
    packet.link = 2;
    expect(network.run(packet)).toBe(0xee);
    expect(link.run(packet)).toBe(0xee);
    packet.network = packet.end;
    expect(network.run(packet)).toBe(0);
  });

  test('what nobody finds out here is refused', () => {
    for (const unknown of [12, 16, 52, 64, 0xfff]) expect(filterOf([LOAD, (bpf.SKF_AD_OFF + unknown) >>> 0], RETURN_A)).toBeNull();
  });
});

test('random programs on random packets end, and say something', () => {
  let state = 0x2545f491;
  const random = (below: number): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
  const codes = Array.from({ length: 256 }, (_, code) => code).filter(
    (code) => filterOf([bpf.BPF_ST, 1], [code, 1], [bpf.BPF_RET, 0], [bpf.BPF_RET, 0]) !== null,
  );
  const offsets = [0, 1, 3, 4, 0x7fffffff, 0x80000000, 0xffffffff, bpf.SKF_NET_OFF >>> 0, bpf.SKF_LL_OFF >>> 0, 0xffffefff];
  let runs = 0;
  for (let round = 0; round < 20_000; round++) {
    const length = 1 + random(12);
    const body = Array.from({ length }, (): Statement => {
      const k = random(2) === 0 ? random(20) : offsets[random(offsets.length)]!;
      return [codes[random(codes.length)]!, k, random(3), random(3)];
    });
    const filter = filterOf([bpf.BPF_ST, 1], ...body, [bpf.BPF_RET, 0], [bpf.BPF_RET, 0xffffffff]);
    if (filter === null) continue;
    const packet = packetOf(random(40));
    if (random(2) === 0) packet.network = random(56);
    if (random(2) === 0) packet.link = random(56);
    const kept = filter.run(packet);
    expect(Number.isInteger(kept) && kept >= 0).toBe(true);
    runs++;
  }
  expect(runs).toBeGreaterThan(1000);
});
