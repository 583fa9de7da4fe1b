/**
 * What TCP itself costs on loopback, without system calls, IP and guests: nanoseconds and bytes of garbage for 64 KiB written and read, and for a
 * round trip of one byte. The layer below is a ring of headers and held packets, as the stack's backlog is.
 *
 *     node --expose-gc test/bench/tcp-path.ts
 */
import { performance } from 'node:perf_hooks';
import type { HostMemory } from '#platform/contract/host.ts';
import { FakeMemory } from '#platform/fake/fake-memory.ts';
import type { Io } from '#sentry/mm/io.ts';
import { IpAddress } from '#sentry/netstack/address.ts';
import { IpHeader } from '#sentry/netstack/ip/header.ts';
import type { Path } from '#sentry/netstack/ip/path.ts';
import { PacketPool, Payload } from '#sentry/netstack/packet.ts';
import { SocketAddress } from '#sentry/netstack/socket-address.ts';
import { TcpHeader } from '#sentry/netstack/tcp/header.ts';
import type { TcpLower } from '#sentry/netstack/tcp/lower.ts';
import { Tcp } from '#sentry/netstack/tcp/tcp.ts';

const RING = 1024;

class Entry {
  readonly ip = new IpHeader();
  readonly header = new TcpHeader();
  readonly payload = new Payload();
}

/** Loopback: what is sent waits in a ring until `poll`. */
class Loopback implements TcpLower {
  readonly ring = Array.from({ length: RING }, () => new Entry());
  head = 0;
  tail = 0;
  segments = 0;

  route(path: Path): number {
    path.source.setIpv4(0x7f000001);
    path.mtu = 65_536;
    path.sendMax = 65_536;
    path.isLoopback = true;
    return 0;
  }

  send(_path: Path, ip: IpHeader, header: TcpHeader, payload: Payload | null): number {
    const entry = this.ring[this.tail++ & (RING - 1)]!;
    this.segments++;
    entry.ip.copy(ip);
    entry.header.copy(header);
    if (payload === null) entry.payload.packet = null;
    else entry.payload.set(payload.packet!.hold(), payload.offset, payload.length);
    return 0;
  }

  poll(tcp: Tcp, nowNs: number): void {
    while (this.head !== this.tail) {
      const entry = this.ring[this.head++ & (RING - 1)]!;
      const { packet } = entry.payload;
      tcp.input(entry.ip, entry.header, packet === null ? null : entry.payload, nowNs);
      if (packet !== null) packet.release();
    }
  }
}

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

const lower = new Loopback();
let state = 12_345;
const random = (): number => (state = Math.imul(state ^ (state >>> 13), 0x5bd1e995) + 1) | 0;
const tcp = new Tcp({ lower, packets: new PacketPool((bytes) => new FakeMemory(new Uint8Array(bytes)), 256 << 20), random });
const began = performance.now();
const now = (): number => 1e12 + (performance.now() - began) * 1e6;
tcp.setTime(now());
const bound = tcp.connection();
bound.bind(new IpAddress().setIpv4(0x7f000001), 80);
const listener = bound.listen(16);
if (typeof listener === 'number') throw new Error('listen');
const client = tcp.connection();
client.connect(new SocketAddress().set(new IpAddress().setIpv4(0x7f000001), 80));
lower.poll(tcp, now());
const server = tcp.accept(listener)!;
const io = new NoIo();

function bulk(): void {
  tcp.setTime(now());
  io.remaining = 65_536;
  while (io.remaining > 0) {
    if (client.send(io, 0) < 0) lower.poll(tcp, now());
    lower.poll(tcp, now());
    const left = io.remaining;
    io.remaining = 131_072;
    server.receive(io, 0);
    lower.poll(tcp, now());
    io.remaining = left;
  }
}

function roundTrip(): void {
  tcp.setTime(now());
  io.remaining = 1;
  client.send(io, 0);
  lower.poll(tcp, now());
  io.remaining = 1;
  if (server.receive(io, 0) !== 1) throw new Error('nothing came');
  io.remaining = 1;
  server.send(io, 0);
  lower.poll(tcp, now());
  io.remaining = 1;
  if (client.receive(io, 0) !== 1) throw new Error('no answer came');
  lower.poll(tcp, now());
  if (tcp.nextDeadline <= now()) tcp.expire(now());
}

function measure(name: string, count: number, work: () => void): void {
  for (let i = 0; i < count; i++) work();
  const times: number[] = [];
  const segments = lower.segments;
  const heap = process.memoryUsage().heapUsed;
  for (let round = 0; round < 9; round++) {
    const from = performance.now();
    for (let i = 0; i < count; i++) work();
    times.push(((performance.now() - from) * 1e6) / count);
  }
  const garbage = (process.memoryUsage().heapUsed - heap) / (9 * count);
  times.sort((a, b) => a - b);
  const each = (lower.segments - segments) / (9 * count);
  console.log(`${name}: ${times[4]!.toFixed(0)} ns, ${garbage.toFixed(0)} bytes of heap, ${each.toFixed(2)} segments`);
}

measure('64 KiB written and read', 20_000, bulk);
client.setNoDelay(1);
server.setNoDelay(1);
measure('1 byte there and back', 50_000, roundTrip);
