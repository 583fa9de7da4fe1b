/**
 * Whole stacks: two of them on a simulated link, and one alone on its loopback.
 */
import { describe, expect, it } from 'vitest';
import { FakeMemory } from '#platform/fake/fake-memory.ts';
import { EAGAIN, ECONNREFUSED, EHOSTUNREACH, EMSGSIZE, ENETUNREACH } from '#sentry/abi/errno.ts';
import { KernelIo } from '../mm/io.ts';
import { ReceivedDatagram } from './endpoint/datagram.ts';
import { PMTUDISC_DO } from './endpoint/options.ts';
import type { Allocate } from './packet.ts';
import type { SocketAddress } from './socket-address.ts';
import type { Stack } from './stack.ts';
import { ipAddress, socketAddress, StackPair } from './testing/stack-pair.ts';
import type { UdpEndpoint } from './udp/udp-endpoint.ts';

const allocate: Allocate = (bytes) => new FakeMemory(new Uint8Array(bytes));

function udp(stack: Stack, version: 4 | 6, local?: SocketAddress): UdpEndpoint {
  const endpoint = stack.udp.endpoint(version);
  if (typeof endpoint === 'number') throw new Error('no endpoint');
  if (local !== undefined && endpoint.bind(local) < 0) throw new Error('cannot bind');
  return endpoint;
}

function pattern(length: number, seed = 7): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + seed) & 255);
}

function send(endpoint: UdpEndpoint, bytes: Uint8Array, to: SocketAddress | null): number {
  const memory = new FakeMemory(bytes);
  return endpoint.send(new KernelIo(memory, 0, bytes.length), to, null, 0);
}

function receive(endpoint: UdpEndpoint, into = new ReceivedDatagram()): Uint8Array | number {
  const memory = new FakeMemory(new Uint8Array(70_000));
  const n = endpoint.receive(new KernelIo(memory, 0, 70_000), into, 0);
  return n < 0 ? n : memory.bytes.slice(0, n);
}

describe.each([
  ['IPv4', 4, '10.0.0.1', '10.0.0.2'],
  ['IPv6', 6, 'fd00::1', 'fd00::2'],
] as const)('UDP over a link, %s', (_name, version, leftText, rightText) => {
  it('carries datagrams both ways', () => {
    const pair = new StackPair({ seed: 1, delayNs: 1e6 }, allocate);
    const client = udp(pair.left, version);
    const server = udp(pair.right, version, socketAddress(rightText, 7));
    expect(client.connect(socketAddress(rightText, 7))).toBe(0);
    expect(client.local.address.toString()).toBe(leftText);
    expect(send(client, pattern(100), null)).toBe(100);
    pair.run(1e9);
    const from = new ReceivedDatagram();
    expect(receive(server, from)).toEqual(pattern(100));
    expect(from.from.address.toString()).toBe(leftText);
    expect(from.from.port).toBe(client.local.port);
    expect(send(server, pattern(5), from.from)).toBe(5);
    pair.run(1e9);
    expect(receive(client)).toEqual(pattern(5));
    expect(receive(client)).toBe(-EAGAIN);
  });

  it('cuts what is too big to fragments and puts them together', () => {
    const pair = new StackPair({ seed: 2, jitterNs: 5e6, duplicateRate: 0.1 }, allocate);
    const client = udp(pair.left, version);
    const server = udp(pair.right, version, socketAddress(rightText, 7));
    for (const length of [1472, 1473, 9000, 40_000, 65_507]) {
      expect(send(client, pattern(length), socketAddress(rightText, 7))).toBe(length);
      pair.run(1e9);
      expect(receive(server)).toEqual(pattern(length));
      // What came whole may have come twice.
      for (let again = receive(server); typeof again !== 'number'; again = receive(server)) expect(again).toEqual(pattern(length));
    }
    expect(send(client, new Uint8Array(65_535), socketAddress(rightText, 7))).toBe(-EMSGSIZE);
    client.options.mtuDiscover = PMTUDISC_DO;
    expect(send(client, pattern(3000), socketAddress(rightText, 7))).toBe(-EMSGSIZE);
  });

  it('tells a connected sender of a closed port', () => {
    const pair = new StackPair({ seed: 3 }, allocate);
    const client = udp(pair.left, version);
    client.connect(socketAddress(rightText, 9));
    expect(send(client, pattern(10), null)).toBe(10);
    pair.run(1e9);
    expect(receive(client)).toBe(-ECONNREFUSED);
    expect(receive(client)).toBe(-EAGAIN);
  });

  it('tells a sender that asked for errors of a neighbour that does not answer', () => {
    const pair = new StackPair({ seed: 4 }, allocate);
    const client = udp(pair.left, version);
    client.options.isErrorQueued = true;
    const nobody = version === 4 ? '10.0.0.77' : 'fd00::77';
    expect(send(client, pattern(10), socketAddress(nobody, 9))).toBe(10);
    pair.run(5e9);
    expect(client.takeError()).toBe(EHOSTUNREACH);
  });

  it('has no way to where no route leads', () => {
    const pair = new StackPair({ seed: 5 }, allocate);
    const far = version === 4 ? '192.0.2.1' : '2001:db8::1';
    expect(send(udp(pair.left, version), pattern(10), socketAddress(far, 9))).toBe(-ENETUNREACH);
  });

  it('loses nothing but what the link loses, and changes nothing', () => {
    const seed = 0x1234 + version;
    const pair = new StackPair({ seed, lossRate: 0.1, jitterNs: 1e6, duplicateRate: 0.05, corruptRate: 0.1, delayNs: 1e5 }, allocate);
    const client = udp(pair.left, version);
    const server = udp(pair.right, version, socketAddress(rightText, 7));
    const seen = new Set<number>();
    for (let i = 0; i < 500; i++) {
      send(client, pattern(1 + ((i * 37) % 2000), i), socketAddress(rightText, 7));
      pair.run(2e7);
      for (let got = receive(server); typeof got !== 'number'; got = receive(server)) {
        const which = got[0]!;
        expect(got, `seed ${seed}`).toEqual(pattern(got.length, which - 7 + 7));
        seen.add(which);
      }
    }
    expect(seen.size).toBeGreaterThan(150);
  });
});

describe('UDP on the loopback', () => {
  it('hands the very packet over', () => {
    const pair = new StackPair({ seed: 6 }, allocate);
    const { left } = pair;
    const server = udp(left, 6, socketAddress('::', 53));
    const client = udp(left, 4);
    const before = left.state.pool.inUse;
    expect(send(client, pattern(3000), socketAddress('127.0.0.1', 53))).toBe(3000);
    expect(left.needsPoll).toBe(true);
    left.poll(pair.nowNs);
    const from = new ReceivedDatagram();
    expect(receive(server, from)).toEqual(pattern(3000));
    expect(from.from.address.toString()).toBe('127.0.0.1');
    expect(from.interfaceIndex).toBe(1);
    expect(left.state.pool.inUse).toBe(before);
  });

  it('answers ports that nobody has', () => {
    const { left, nowNs } = new StackPair({ seed: 7 }, allocate);
    for (const [version, text] of [
      [4, '127.0.0.1'],
      [6, '::1'],
      [4, '10.0.0.1'],
    ] as const) {
      const client = udp(left, version);
      client.connect(socketAddress(text, 9));
      send(client, pattern(10), null);
      left.poll(nowNs);
      left.poll(nowNs);
      expect(client.takeError(), text).toBe(ECONNREFUSED);
    }
    expect(left.state.pool.inUse).toBe(0);
  });
});

describe('addresses', () => {
  it('are configured by themselves in IPv6', () => {
    const { leftLink } = new StackPair({ seed: 8 }, allocate);
    expect(leftLink.linkLocal?.toString()).toBe('fe80::ff:fe00:1');
    expect(leftLink.findAddress(ipAddress('fd00::1'))?.isUsable).toBe(true);
  });
});
