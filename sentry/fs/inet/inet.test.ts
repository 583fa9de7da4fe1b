/** Sockets over the loopback interface without a kernel: the test lets the stack work where the kernel's loop would. */
import { array, assert, constantFrom, integer, oneof, property, tuple, uint8Array } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FakeHost } from '#platform/fake/fake-host.ts';
import { EAGAIN, EINPROGRESS, EINVAL, ENOPROTOOPT, EPERM } from '#sentry/abi/errno.ts';
import { POLLHUP, READABLE, WRITABLE } from '#sentry/abi/fs.ts';
import { AF_INET, AF_INET6, SO_REUSEADDR, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_RAW, SOCK_STREAM, SOL_SOCKET } from '#sentry/abi/socket.ts';
import { NO_CAPABILITIES } from '../../vfs/credentials.ts';
import { Bench } from '../anonymous/testing.ts';
import { OptionValue } from '../socket/option-table.ts';
import { SOCKET_LEVEL } from '../socket/socket-level.ts';
import type { Socket, SocketCaller } from '../socket/socket.ts';
import { InternetFamily } from './inet-family.ts';
import { Network } from './network.ts';

function must(result: number, wanted: number): void {
  if (result !== wanted) throw new Error(`${result} instead of ${wanted}`);
}

class Net {
  readonly host = new FakeHost();
  readonly bench = new Bench(this.host);
  readonly network = new Network(this.host, this.bench.timers);
  readonly caller = this.bench.caller as unknown as SocketCaller;
  readonly value = new OptionValue(this.host.allocate(4096));

  socket(type: number, domain = AF_INET, protocol = 0): Socket {
    const made = new InternetFamily({ files: this.bench.files, network: this.network }, domain).create(
      type,
      protocol,
      SOCK_NONBLOCK,
      this.caller,
    );
    if (typeof made === 'number') throw new Error(`no socket: ${made}`);
    return made;
  }

  work(): void {
    while (this.network.isDue) this.network.run();
  }

  listener(domain = AF_INET): Socket {
    const socket = this.socket(SOCK_STREAM, domain);
    must(socket.bind(domain === AF_INET ? LOOPBACK : LOOPBACK6, this.caller), 0);
    must(socket.listen(4, this.caller), 0);
    return socket;
  }

  connected(domain = AF_INET): [Socket, Socket] {
    const listener = this.listener(domain);
    const client = this.socket(SOCK_STREAM, domain);
    must(client.connect(listener.localAddress(), this.caller), -EINPROGRESS);
    this.work();
    const server = listener.accept(0, this.caller);
    listener.release();
    this.work();
    return [client, server as Socket];
  }

  set(socket: Socket, level: number, name: number, bytes: readonly number[]): number {
    this.value.memory.bytes.set(bytes, 0);
    this.value.length = bytes.length;
    return level === SOL_SOCKET
      ? SOCKET_LEVEL.set(socket, name, this.value, this.caller)
      : socket.setOption(level, name, this.value, this.caller);
  }

  get(socket: Socket, level: number, name: number, room: number): number {
    this.value.length = room;
    return level === SOL_SOCKET
      ? SOCKET_LEVEL.get(socket, name, this.value, this.caller)
      : socket.getOption(level, name, this.value, this.caller);
  }
}

const LOOPBACK = '\x02\0\0\0\x7f\0\0\x01\0\0\0\0\0\0\0\0';
const LOOPBACK6 = `\x0a\0${'\0'.repeat(21)}\x01${'\0'.repeat(4)}`;

describe('TCP', () => {
  test.each([AF_INET, AF_INET6])('carries bytes and the end (domain %i)', (domain) => {
    const net = new Net();
    const [client, server] = net.connected(domain);
    expect(client.poll()).toBe(WRITABLE);
    expect(net.bench.read(server, 10)).toBe(-EAGAIN);
    expect(net.bench.write(client, 'hello')).toBe(5);
    net.work();
    expect(server.poll() & READABLE).toBe(READABLE);
    expect(net.bench.read(server, 10)).toBe('hello');
    client.release();
    net.work();
    expect(net.bench.read(server, 10)).toBe('');
    server.release();
  });

  test('large data arrives in order however much fits at a time', () => {
    const net = new Net();
    const [client, server] = net.connected();
    const text = Array.from({ length: 50_000 }, (_, i) => String.fromCharCode(65 + (i % 53))).join('');
    let sent = '';
    let received = '';
    while (received.length < 1_000_000) {
      const n = net.bench.write(client, text);
      if (n > 0) sent += text.slice(0, n);
      net.work();
      const piece = net.bench.read(server, 30_000);
      if (typeof piece === 'string') received += piece;
      net.work();
    }
    expect(sent.startsWith(received)).toBe(true);
  });

  test('a refused connection leaves a socket that can try again', () => {
    const net = new Net();
    const listener = net.listener();
    const name = listener.localAddress();
    listener.release();
    const client = net.socket(SOCK_STREAM);
    expect(client.connect(name, net.caller)).toBe(-EINPROGRESS);
    net.work();
    expect(client.poll() & POLLHUP).toBe(POLLHUP);
    expect(client.takeError()).toBe(111);
    const again = net.listener();
    expect(client.connect(again.localAddress(), net.caller)).toBeLessThan(0);
    expect(client.connect(again.localAddress(), net.caller)).toBe(-EINPROGRESS);
    net.work();
    expect(client.connect(again.localAddress(), net.caller)).toBe(0);
  });
});

describe('UDP', () => {
  test('keeps boundaries and tells who sent', () => {
    const net = new Net();
    const [a, b] = [net.socket(SOCK_DGRAM), net.socket(SOCK_DGRAM)];
    expect(a.bind(LOOPBACK, net.caller)).toBe(0);
    expect(b.connect(a.localAddress(), net.caller)).toBe(0);
    expect([net.bench.write(b, 'one'), net.bench.write(b, 'three')]).toEqual([3, 5]);
    net.work();
    expect([net.bench.read(a, 2), net.bench.read(a, 20), net.bench.read(a, 20)]).toEqual(['on', 'three', -EAGAIN]);
  });
});

test('raw sockets are for who has the capability', () => {
  const net = new Net();
  const poor = { ...net.caller, credentials: { ...net.caller.credentials, effective: NO_CAPABILITIES } } as SocketCaller;
  const family = new InternetFamily({ files: net.bench.files, network: net.network }, AF_INET);
  expect(family.create(SOCK_RAW, 1, 0, poor)).toBe(-EPERM);
  expect(typeof family.create(SOCK_RAW, 1, 0, net.caller)).toBe('object');
});

describe('options', () => {
  test('are set and read', () => {
    const net = new Net();
    const socket = net.socket(SOCK_STREAM);
    expect(net.set(socket, SOL_SOCKET, SO_REUSEADDR, [1, 0])).toBe(-EINVAL);
    expect(net.set(socket, SOL_SOCKET, SO_REUSEADDR, [7, 0, 0, 0])).toBe(0);
    expect(net.get(socket, SOL_SOCKET, SO_REUSEADDR, 4)).toBe(4);
    expect(net.value.view.getInt32(0, true)).toBe(1);
    expect(net.set(socket, SOL_SOCKET, 999, [1, 0, 0, 0])).toBe(-ENOPROTOOPT);
  });

  test('of any level, name, length and value answer with a number', () => {
    const levels = constantFrom(SOL_SOCKET, 0, 6, 17, 41, 58, 255, 263, 77);
    const bytes = oneof(
      uint8Array({ maxLength: 140 }).map((array) => [...array]),
      integer({ min: -2, max: 300 }).map((value) => [value & 255, (value >> 8) & 255, (value >> 16) & 255, value >>> 24]),
    );
    const kinds = constantFrom<[number, number]>([SOCK_STREAM, 0], [SOCK_DGRAM, 0], [SOCK_RAW, 1], [SOCK_RAW, 58]);
    assert(
      property(
        kinds,
        constantFrom(AF_INET, AF_INET6),
        array(tuple(levels, integer({ min: 0, max: 110 }), bytes), { maxLength: 20 }),
        ([type, protocol], domain, changes) => {
          const net = new Net();
          const socket = net.socket(type, domain, protocol);
          for (const [level, name, value] of changes) {
            expect(net.set(socket, level, name, value)).toBeLessThanOrEqual(0);
            expect(net.get(socket, level, name, value.length)).toBeGreaterThanOrEqual(-4095);
          }
          socket.release();
        },
      ),
      { numRuns: 150 },
    );
  });
});
