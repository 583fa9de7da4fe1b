import { describe, expect, it } from 'vitest';
import { FakeMemory } from '#platform/fake/fake-memory.ts';
import { KernelIo } from '../mm/io.ts';
import { addBytes, finishSum } from './checksum.ts';
import type { Allocate } from './packet.ts';
import { PCAP_BUFFER_BYTES, PcapCapture } from './pcap.ts';
import { socketAddress, StackPair } from './testing/stack-pair.ts';

const allocate: Allocate = (bytes) => new FakeMemory(new Uint8Array(bytes));

describe('captures', () => {
  it('hold every frame with its checksums, on lo once', () => {
    const pair = new StackPair({ seed: 1 }, allocate);
    const { left } = pair;
    const chunks: Uint8Array[] = [];
    const sink = {
      write: (memory: FakeMemory, offset: number, length: number): number => {
        chunks.push(memory.bytes.slice(offset, offset + length));
        return length;
      },
    };
    const capture = new PcapCapture(allocate(PCAP_BUFFER_BYTES), sink, left.interfaces.loopback, left.state, 1.7e18);
    left.interfaces.loopback.taps.push(capture);
    const unbound = left.tcp.connection();
    unbound.bind(socketAddress('127.0.0.1', 0).address, 80);
    unbound.listen(4);
    const client = left.tcp.connection();
    client.connect(socketAddress('127.0.0.1', 80));
    pair.run(1e8);
    client.send(new KernelIo(allocate(200_000), 0, 200_000), 0);
    pair.run(1e8);
    capture.flush();
    const file = Uint8Array.from(chunks.flatMap((chunk) => Array.from(chunk)));
    const view = new DataView(file.buffer);
    expect([view.getUint32(0, true), view.getUint32(20, true)]).toEqual([0xa1b23c4d, 1]);
    let frames = 0;
    let payload = 0;
    for (let at = 24; at < file.length; frames++) {
      const length = view.getUint32(at + 8, true);
      const ip = at + 16 + 14;
      expect(finishSum(addBytes(0, view, ip, 20))).toBe(0);
      const total = view.getUint16(ip + 2);
      expect(total + 14).toBe(length);
      const pseudo = addBytes(6 + total - 20, view, ip + 12, 8);
      expect(finishSum(addBytes(pseudo, view, ip + 20, total - 20))).toBe(0);
      payload += total - 20 - (view.getUint8(ip + 32) >> 4) * 4;
      at += 16 + length;
    }
    expect(frames).toBe(capture.written);
    expect(frames).toBeGreaterThan(5);
    expect(payload).toBeGreaterThan(50_000);
  });
});
