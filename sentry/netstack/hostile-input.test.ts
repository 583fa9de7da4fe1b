/**
 * What a hostile peer may put on the wire: random bytes, valid packets with bytes changed, cut short or padded, and fragments that overlap.
 * Nothing throws, nothing is kept beyond the bounds, and the stack serves others afterwards.
 */
import { assert, constantFrom, property, uint8Array } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FakeMemory } from '#platform/fake/fake-memory.ts';
import { EAGAIN } from '#sentry/abi/errno.ts';
import { KernelIo } from '../mm/io.ts';
import { ReceivedDatagram } from './endpoint/datagram.ts';
import { FRAGMENT_BYTES_MAX, REASSEMBLIES_MAX } from './limits.ts';
import type { LinkDevice } from './link/device.ts';
import { NO_OFFLOAD, Offload } from './link/device.ts';
import type { FrameReceiver } from './link/device.ts';
import { PacketPool } from './packet.ts';
import type { Allocate, Packet } from './packet.ts';
import { SeededRandom } from './testing/random.ts';
import { socketAddress, StackPair } from './testing/stack-pair.ts';
import { Stack } from './stack.ts';

const allocate: Allocate = (bytes) => new FakeMemory(new Uint8Array(bytes));

const VERIFIED = new Offload();
VERIFIED.isVerified = true;

/** A device that a test puts frames into, and whose output is kept. */
class Wire implements LinkDevice {
  readonly kind = 'ethernet';
  readonly mtu = 1500;
  readonly hardwareAddress = '\x02\x00\x00\x00\x00\x01';
  readonly canChecksum = false;
  readonly segmentationMax = 0;
  readonly nextDeadline = Infinity;
  readonly sent: Uint8Array[] = [];
  readonly arriving: Uint8Array[] = [];
  private readonly pool = new PacketPool(allocate);
  private frames = 0;

  send(packet: Packet): number {
    if (this.sent.length < 10_000) this.sent.push(packet.memory.bytes.slice(packet.start, packet.end));
    return 0;
  }

  poll(receiver: FrameReceiver, budget: number, nowNs: number): number {
    let count = 0;
    for (; count < budget && this.arriving.length > 0; count++) {
      const frame = this.arriving.shift()!;
      const packet = this.pool.takeUrgent(frame.length)!;
      packet.memory.bytes.set(frame, packet.start);
      packet.end += frame.length;
      // Every other frame as from a device that vouches for checksums, so that what lies behind them is reached.
      receiver.frame(packet, this.frames++ % 2 === 0 ? NO_OFFLOAD : VERIFIED, nowNs);
      packet.release();
    }
    return count;
  }
}

function target(): { stack: Stack; wire: Wire } {
  const wire = new Wire();
  const stack = new Stack({ allocate, random: new SeededRandom(99).word });
  stack.setTime(1e9);
  const owner = stack.addDevice('eth0', wire);
  if (typeof owner === 'number') throw new Error('no interface');
  owner.ipv6.dadTransmits = 0;
  stack.interfaces.setUp(owner);
  stack.interfaces.addAddress(owner, socketAddress('10.0.0.1', 0).address, 96 + 24);
  stack.interfaces.addAddress(owner, socketAddress('fd00::2', 0).address, 64);
  const listener = stack.tcp.connection();
  listener.bind(socketAddress('::', 0).address, 80);
  listener.listen(16);
  for (const version of [4, 6] as const) {
    const udp = stack.udp.endpoint(version);
    if (typeof udp !== 'number') udp.bind(socketAddress(version === 4 ? '0.0.0.0' : '::', version === 4 ? 53 : 54));
    stack.raw.endpoint(version, version === 4 ? 1 : 58);
  }
  stack.packets.endpoint('raw', 3);
  return { stack, wire };
}

/** Frames of a conversation of two stacks: the seeds that changes start from. */
function corpus(): Uint8Array[] {
  const frames: Uint8Array[] = [];
  const pair = new StackPair({ seed: 1 }, allocate);
  pair.link.filter = (frame) => {
    frames.push(frame.memory.bytes.slice(frame.start, frame.end));
    return false;
  };
  for (const text of ['10.0.0.2', 'fd00::2']) {
    const udp = pair.left.udp.endpoint(text.includes(':') ? 6 : 4);
    if (typeof udp === 'number') throw new Error('no endpoint');
    udp.send(new KernelIo(allocate(3000), 0, 3000), socketAddress(text, 9), null, 0);
    pair.left.tcp.connection().connect(socketAddress(text, 80));
    udp.join(socketAddress(text.includes(':') ? 'ff02::1234' : '239.1.2.3', 0).address, pair.leftLink.index);
  }
  pair.run(3e9);
  return frames;
}

/** Points every frame at the target, so that the address does not make it useless. */
function aimed(frame: Uint8Array, random: SeededRandom): Uint8Array {
  const copy = frame.slice();
  copy.set([0x02, 0, 0, 0, 0, 0x01], 0);
  if (copy.length > 34 && copy[12] === 0x08 && copy[13] === 0 && random.below(4) > 0) {
    copy.set([10, 0, 0, 1], 30);
    copy.set([10, 0, 0, 9], 26);
    copy.set([0, 0], 24);
    let sum = 0;
    for (let i = 14; i < 34; i += 2) sum += (copy[i]! << 8) | copy[i + 1]!;
    sum = ~((sum & 0xffff) + (sum >>> 16));
    copy[24] = (sum >> 8) & 255;
    copy[25] = sum & 255;
  }
  return copy;
}

function mutate(frame: Uint8Array, random: SeededRandom): Uint8Array {
  const copy = frame.slice(0, random.below(3) === 0 ? random.below(frame.length + 1) : frame.length);
  for (let i = random.below(4); i > 0 && copy.length > 0; i--) copy[random.below(copy.length)] = random.below(256);
  return copy;
}

function expectAlive(stack: Stack, wire: Wire): void {
  wire.sent.length = 0;
  const udp = stack.udp.endpoint(4);
  if (typeof udp === 'number') throw new Error('no endpoint');
  expect(udp.bind(socketAddress('127.0.0.1', 0))).toBe(0);
  expect(udp.send(new KernelIo(allocate(10), 0, 10), udp.local, null, 0)).toBe(10);
  stack.poll(stack.state.nowNs);
  expect(udp.receive(new KernelIo(allocate(10), 0, 10), new ReceivedDatagram(), 0)).toBe(10);
  expect(udp.receive(new KernelIo(allocate(10), 0, 10), new ReceivedDatagram(), 0)).toBe(-EAGAIN);
  udp.close();
}

describe('hostile input', () => {
  it('of random bytes changes nothing', () => {
    const { stack, wire } = target();
    const types = constantFrom([0x08, 0x00], [0x86, 0xdd], [0x08, 0x06], [0x12, 0x34]);
    const first = constantFrom(0x45, 0x46, 0x4f, 0x60, 0x00);
    assert(
      property(types, first, uint8Array({ maxLength: 200 }), (type, start, body) => {
        const frame = new Uint8Array(14 + body.length);
        frame.set([0x02, 0, 0, 0, 0, 0x01], 0);
        frame.set(type, 12);
        frame.set(body, 14);
        if (body.length > 0) frame[14] = start;
        wire.arriving.push(frame);
        stack.poll(stack.state.nowNs + 1000);
      }),
      { numRuns: 3000, seed: 5 },
    );
    expectAlive(stack, wire);
  });

  it.each([1, 2, 3, 4, 5])('made of real packets changes nothing, seed %i', (seed) => {
    const { stack, wire } = target();
    const random = new SeededRandom(seed);
    const frames = corpus();
    expect(frames.length).toBeGreaterThan(20);
    for (let i = 0; i < 4000; i++) {
      wire.arriving.push(mutate(aimed(frames[random.below(frames.length)]!, random), random));
      if (i % 8 === 0) stack.poll(stack.state.nowNs + random.below(2_000_000));
    }
    while (stack.poll(stack.state.nowNs + 1000) || wire.arriving.length > 0);
    expectAlive(stack, wire);
    const { ipv4, ipv6, icmpv6 } = stack.state.counters;
    for (const reached of [ipv4.InDelivers, ipv6.InDelivers, icmpv6.InMsgs, icmpv6.InErrors]) expect(reached).toBeGreaterThan(0);
    // Once all timers have run out, nothing is kept but what raw and packet sockets have queued within their bounds.
    for (let i = 0; i < 200; i++) stack.poll(stack.state.nowNs + 10e9);
    expect(stack.state.pool.inUse).toBeLessThan(4_000_000);
  });

  it('of fragments stays within its bounds', () => {
    const { stack, wire } = target();
    const random = new SeededRandom(77);
    for (let i = 0; i < 20_000; i++) {
      const body = new Uint8Array(8 * (1 + random.below(180)));
      wire.arriving.push(fragment(random.below(600), random.below(500) * 8, random.below(8) > 0, body));
      if (i % 16 === 0) stack.poll(stack.state.nowNs + 1000);
    }
    const { bytes, count } = stack.reassembly;
    expect(bytes).toBeLessThanOrEqual(FRAGMENT_BYTES_MAX);
    expect(count).toBeLessThanOrEqual(REASSEMBLIES_MAX);
    expect(stack.state.counters.ipv4.ReasmOverlaps).toBeGreaterThan(0);
    for (let i = 0; i < 10; i++) stack.poll(stack.state.nowNs + 10e9);
    expect(stack.reassembly.bytes).toBe(0);
    expectAlive(stack, wire);
  });
});

function fragment(id: number, offset: number, isMore: boolean, body: Uint8Array): Uint8Array {
  const frame = new Uint8Array(34 + body.length);
  const view = new DataView(frame.buffer);
  frame.set([0x02, 0, 0, 0, 0, 0x01], 0);
  view.setUint16(12, 0x0800);
  view.setUint16(14, 0x4500);
  view.setUint16(16, 20 + body.length);
  view.setUint16(18, id);
  view.setUint16(20, (offset >> 3) | (isMore ? 0x2000 : 0));
  view.setUint16(22, 0x4011);
  frame.set([10, 0, 0, 9, 10, 0, 0, 1], 26);
  let sum = 0;
  for (let i = 14; i < 34; i += 2) sum += view.getUint16(i);
  view.setUint16(24, ~((sum & 0xffff) + (sum >>> 16)));
  frame.set(body, 34);
  return frame;
}
