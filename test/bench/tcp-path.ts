/**
 * What TCP costs on the stack's loopback, without system calls, guests and copies: nanoseconds and bytes of garbage for 64 KiB written and read, and for
 * a round trip of one byte.
 *
 *     node --expose-gc test/bench/tcp-path.ts
 */
import { performance } from 'node:perf_hooks';
import type { HostMemory } from '#platform/contract/host.ts';
import { FakeMemory } from '#platform/fake/fake-memory.ts';
import type { Io } from '#sentry/mm/io.ts';
import { IpAddress } from '#sentry/netstack/address.ts';
import { SocketAddress } from '#sentry/netstack/socket-address.ts';
import { Stack } from '#sentry/netstack/stack.ts';

/** Moves nothing, so that the copies to and from the guest do not count. */
class NoIo implements Io {
  remaining = 0;
  put(_memory: HostMemory, _offset: number, length: number): number {
    this.remaining -= length;
    return length;
  }
  take(_memory: HostMemory, _offset: number, length: number): number {
    this.remaining -= length;
    return length;
  }
  skip(length: number): void {
    this.remaining -= length;
  }
}

let state = 12_345;
const random = (): number => (state = Math.imul(state ^ (state >>> 13), 0x5bd1e995) + 1) | 0;
const stack = new Stack({ allocate: (bytes) => new FakeMemory(new Uint8Array(bytes)), random });
const { tcp } = stack;
const began = performance.now();
const now = (): number => 1e12 + (performance.now() - began) * 1e6;

function poll(): void {
  while (stack.needsPoll) stack.poll(now());
}

stack.setTime(now());
const bound = tcp.connection();
bound.bind(new IpAddress().setIpv4(0x7f000001), 80);
const listener = bound.listen(16);
if (typeof listener === 'number') throw new Error('listen');
const client = tcp.connection();
client.connect(new SocketAddress().set(new IpAddress().setIpv4(0x7f000001), 80));
poll();
const server = tcp.accept(listener)!;
const io = new NoIo();

function bulk(): void {
  stack.setTime(now());
  io.remaining = 65_536;
  while (io.remaining > 0) {
    if (client.send(io, 0) < 0) poll();
    poll();
    const left = io.remaining;
    io.remaining = 131_072;
    server.receive(io, 0);
    poll();
    io.remaining = left;
  }
}

function roundTrip(): void {
  stack.setTime(now());
  io.remaining = 1;
  client.send(io, 0);
  poll();
  io.remaining = 1;
  if (server.receive(io, 0) !== 1) throw new Error('nothing came');
  io.remaining = 1;
  server.send(io, 0);
  poll();
  io.remaining = 1;
  if (client.receive(io, 0) !== 1) throw new Error('no answer came');
  poll();
  if (stack.nextDeadline <= now()) stack.poll(now());
}

function measure(name: string, count: number, work: () => void): void {
  for (let i = 0; i < count; i++) work();
  const times: number[] = [];
  const segments = tcp.counters.OutSegs;
  const heap = process.memoryUsage().heapUsed;
  for (let round = 0; round < 9; round++) {
    const from = performance.now();
    for (let i = 0; i < count; i++) work();
    times.push(((performance.now() - from) * 1e6) / count);
  }
  const garbage = (process.memoryUsage().heapUsed - heap) / (9 * count);
  times.sort((a, b) => a - b);
  const each = (tcp.counters.OutSegs - segments) / (9 * count);
  console.log(`${name}: ${times[4]!.toFixed(0)} ns, ${garbage.toFixed(0)} bytes of heap, ${each.toFixed(2)} segments`);
}

measure('64 KiB written and read', 20_000, bulk);
client.setNoDelay(1);
server.setNoDelay(1);
measure('1 byte there and back', 50_000, roundTrip);
