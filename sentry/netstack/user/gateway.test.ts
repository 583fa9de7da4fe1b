/**
 * A guest's stack, its gateway, and a world outside that is made of two queues for each socket.
 */
import { describe, expect, test } from 'vitest';
import { EACCES, ECONNREFUSED, ECONNRESET, EHOSTUNREACH } from '#sentry/abi/errno.ts';
import { MSG_PEEK, SHUT_WR } from '#sentry/abi/socket.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import { FakeMemory } from '#platform/fake/fake-memory.ts';
import { KernelIo } from '../../mm/io.ts';
import { IPV4_PREFIX_BITS, parseAddress } from '../address.ts';
import { ReceivedDatagram } from '../endpoint/datagram.ts';
import { IPPROTO_TCP } from '../ip/header.ts';
import { Route } from '../route/routing-table.ts';
import { SocketAddress } from '../socket-address.ts';
import { Stack } from '../stack.ts';
import type { TcpConnection } from '../tcp/connection.ts';
import { SeededRandom } from '../testing/random.ts';
import type { Asker } from './asker.ts';
import { Gateway } from './gateway.ts';
import { USER_NETWORK_4 } from './gateway-addresses.ts';
import { TCP_FLOWS_MAX, UDP_FLOWS_MAX } from './limits.ts';
import type { FlowHost, FlowOpened, Outside } from './outside.ts';

const EAGAIN = 11;
const EPOLLIN = 1;
const EPOLLOUT = 4;
const EPOLLRDHUP = 0x2000;
const ROOM = 262_144;

const allocate = (bytes: number): HostMemory => new FakeMemory(new Uint8Array(bytes));

/** A socket of the host with its peer's queues. */
class OutsideSocket {
  readonly toPeer: number[] = [];
  readonly fromPeer: number[] = [];
  room = ROOM;
  error = 0;
  connectError = 0;
  isPeerDone = false;
  isShut = false;
  isClosed = false;
  wasReset = false;
  callback: (events: number) => void = () => undefined;
}

class World implements Outside, FlowHost {
  nowNs = 1e9;
  readonly sockets: OutsideSocket[] = [];
  readonly opened: { protocol: number; address: string; port: number; asker: Asker; done: FlowOpened }[] = [];
  readonly claims: { name: string; judged: (isAllowed: boolean) => void }[] = [];
  readonly guest: Stack;
  readonly gateway: Gateway;
  /** -errno for every flow, or 0: a socket, by name or not. */
  verdict = 0;
  isByName = false;
  isDelayed = false;

  constructor() {
    const random = new SeededRandom(7);
    this.guest = new Stack({ allocate, random: random.word });
    const published = [{ guestPort: 80, protocol: IPPROTO_TCP }];
    this.gateway = new Gateway({ host: this, outside: this, random: random.word, guest: this.guest, published, onWork: () => undefined });
    this.tick(0);
    const eth0 = this.guest.addDevice('eth0', this.gateway.guestDevice);
    if (typeof eth0 === 'number') throw new Error('no interface');
    this.guest.interfaces.setUp(eth0);
    this.guest.interfaces.addAddress(eth0, USER_NETWORK_4.guest, USER_NETWORK_4.prefixBits);
    const route = new Route();
    route.destination.setIpv4(0);
    route.prefixBits = IPV4_PREFIX_BITS;
    route.interface = eth0;
    this.guest.routes.add(route);
  }

  allocate(bytes: number): HostMemory {
    return allocate(bytes);
  }

  /** Lets `durationNs` pass in steps of a millisecond at most, and everything happen. */
  tick(durationNs = 20e6): void {
    const endNs = this.nowNs + durationNs;
    do {
      this.nowNs = Math.min(endNs, this.nowNs + Math.max(1e6, durationNs / 1_000));
      this.guest.setTime(this.nowNs);
      this.gateway.setTime(this.nowNs);
      for (let i = 0; i < 50 && (this.guest.poll(this.nowNs) || this.gateway.poll(this.nowNs) || i < 4); i++);
    } while (this.nowNs < endNs);
  }

  openFlow(protocol: number, address: { toString(): string }, port: number, asker: Asker, done: FlowOpened): boolean {
    this.opened.push({ protocol, address: address.toString(), port, asker, done });
    if (!this.isDelayed) this.later.push(() => this.answer(done));
    return true;
  }

  readonly later: (() => void)[] = [];

  answer(done: FlowOpened): OutsideSocket | null {
    if (this.verdict < 0) {
      done(this.verdict, false);
      return null;
    }
    this.sockets.push(new OutsideSocket());
    done(this.sockets.length - 1, this.isByName);
    return this.sockets.at(-1)!;
  }

  /** What waits for the kernel's loop. */
  settle(): void {
    for (let i = 0; i < 5; i++) {
      this.tick();
      for (const job of this.later.splice(0)) job();
    }
    this.tick();
  }

  resolve(transport: string, question: string, _asker: Asker, answered: (answer: string | null) => void): boolean {
    this.later.push(() => answered(`${transport} answer to ${question}`));
    return true;
  }

  claim(_address: unknown, _port: number, name: string, _asker: Asker, judged: (isAllowed: boolean) => void): boolean {
    this.claims.push({ name, judged });
    return true;
  }

  watch(fd: number, _events: number, callback: (events: number) => void): number {
    this.sockets[fd]!.callback = callback;
    this.later.push(() => callback(EPOLLOUT));
    return 0;
  }

  unwatch(fd: number): void {
    this.sockets[fd]!.callback = () => undefined;
  }

  read(fd: number, memory: HostMemory, offset: number, length: number): number {
    const socket = this.sockets[fd]!;
    if (socket.error !== 0) return -socket.error;
    if (socket.fromPeer.length === 0) return socket.isPeerDone ? 0 : -EAGAIN;
    const bytes = socket.fromPeer.splice(0, length);
    memory.bytes.set(bytes, offset);
    return bytes.length;
  }

  write(fd: number, memory: HostMemory, offset: number, length: number): number {
    const socket = this.sockets[fd]!;
    const taken = Math.min(length, socket.room);
    if (taken === 0) return -EAGAIN;
    socket.room -= taken;
    for (let i = 0; i < taken; i++) socket.toPeer.push(memory.bytes[offset + i]!);
    return taken;
  }

  close(fd: number): void {
    this.sockets[fd]!.isClosed = true;
  }
  shutdown(fd: number): number {
    this.sockets[fd]!.isShut = true;
    return 0;
  }
  socketError(fd: number): number {
    return this.sockets[fd]!.connectError;
  }
  resetOnClose(fd: number): number {
    this.sockets[fd]!.wasReset = true;
    return 0;
  }

  // The guest's side.
  connect(to: string, port: number): TcpConnection {
    const connection = this.guest.tcp.connection();
    connection.connect(new SocketAddress().set(parseAddress(to)!, port));
    return connection;
  }
}

const scratch = allocate(ROOM);

function send(connection: TcpConnection, text: string): number {
  scratch.writeLatin1(text, 0);
  return connection.send(new KernelIo(scratch, 0, text.length), 0);
}

function receive(connection: TcpConnection, flags = 0): string | number {
  const length = connection.receive(new KernelIo(scratch, 0, ROOM), flags);
  return length < 0 ? length : scratch.latin1(0, length);
}

const text = (bytes: readonly number[]): string => String.fromCharCode(...bytes);

describe('TCP', () => {
  test('a SYN is answered when the host has connected; bytes go both ways, and both ends', () => {
    const world = new World();
    world.isDelayed = true;
    const connection = world.connect('192.0.2.9', 443);
    world.tick();
    expect(world.opened).toMatchObject([{ protocol: IPPROTO_TCP, address: '192.0.2.9', port: 443 }]);
    expect(send(connection, 'early')).toBe(-EAGAIN);
    const socket = world.answer(world.opened[0]!.done)!;
    world.settle();
    expect(send(connection, 'hello')).toBe(5);
    world.tick();
    expect(text(socket.toPeer)).toBe('hello');
    connection.shutdown(SHUT_WR);
    world.tick();
    expect(socket.isShut).toBe(true);
    socket.fromPeer.push(...Buffer.from('bye'));
    socket.isPeerDone = true;
    // Both pieces of news in one: the bytes and the end.
    socket.callback(EPOLLIN | EPOLLRDHUP);
    world.tick();
    expect(receive(connection)).toBe('bye');
    expect(receive(connection)).toBe('');
    expect(socket).toMatchObject({ isClosed: true, wasReset: false });
  });

  test.each([
    [EACCES, 'at once', ECONNREFUSED],
    [ECONNREFUSED, 'at once', ECONNREFUSED],
    [EHOSTUNREACH, 'at once', EHOSTUNREACH],
    [ECONNREFUSED, 'by its socket', ECONNREFUSED],
    [EHOSTUNREACH, 'by its socket', EHOSTUNREACH],
  ])('errno %i %s is told as %i', (errno, how, told) => {
    const world = new World();
    if (how === 'at once') world.verdict = -errno;
    else world.isDelayed = true;
    const connection = world.connect('192.0.2.9', 443);
    world.tick();
    if (how !== 'at once') world.answer(world.opened[0]!.done)!.connectError = errno;
    world.settle();
    expect(connection.takeError()).toBe(told);
    for (const socket of world.sockets) expect(socket.isClosed).toBe(true);
  });

  test('what the host does not take stays with the guest', () => {
    const world = new World();
    const connection = world.connect('192.0.2.9', 443);
    world.settle();
    const [socket] = world.sockets;
    socket!.room = 1_000;
    let sent = 0;
    for (let i = 0; i < 1_000; i++) {
      const n = send(connection, 'x'.repeat(60_000));
      if (n > 0) sent += n;
      else world.tick(2e6);
      if (n < 0 && i > 200) break;
    }
    expect(socket!.toPeer.length).toBe(1_000);
    expect(sent).toBeLessThan(16 << 20);
    while (socket!.toPeer.length < sent) {
      socket!.room = 1 << 20;
      socket!.callback(EPOLLOUT);
      world.tick(300e6);
    }
    expect(socket!.toPeer.length).toBe(sent);
  });

  test('a reset of one side is one of the other', () => {
    const world = new World();
    const first = world.connect('192.0.2.9', 443);
    const second = world.connect('192.0.2.9', 444);
    world.settle();
    const [left, right] = world.sockets;
    first.abort();
    right!.error = ECONNRESET;
    right!.callback(EPOLLIN);
    world.tick();
    expect(left).toMatchObject({ isClosed: true, wasReset: true });
    expect(second.takeError()).toBe(ECONNRESET);
    expect(right!.isClosed).toBe(true);
  });

  test('a flow by name waits for its claim to be judged', () => {
    const world = new World();
    world.isByName = true;
    const request = 'GET / HTTP/1.1\r\nHost: a.example\r\n\r\n';
    const good = world.connect('192.0.2.9', 80);
    const bad = world.connect('192.0.2.9', 81);
    world.settle();
    for (const connection of [good, bad]) {
      send(connection, request.slice(0, 20));
      world.tick();
      expect(world.claims.length).toBe(connection === good ? 0 : 1);
      send(connection, request.slice(20));
      world.tick();
    }
    expect(world.claims.map(({ name }) => name)).toEqual(['a.example', 'a.example']);
    expect(world.sockets.map(({ toPeer }) => toPeer.length)).toEqual([0, 0]);
    world.claims[0]!.judged(true);
    world.claims[1]!.judged(false);
    world.tick();
    expect(text(world.sockets[0]!.toPeer)).toBe(request);
    expect(world.sockets[1]).toMatchObject({ toPeer: [], isClosed: true, wasReset: true });
    expect(receive(bad)).toBe(-ECONNRESET);
  });

  test('so does each request of a connection that stays', () => {
    const world = new World();
    world.isByName = true;
    const request = (host: string) => `POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 4\r\n\r\nbody`;
    const connection = world.connect('192.0.2.9', 80);
    world.settle();
    send(connection, request('a.example') + request('b.example'));
    world.tick();
    world.claims[0]!.judged(true);
    world.tick();
    expect(text(world.sockets[0]!.toPeer)).toBe(request('a.example'));
    expect(world.claims.map(({ name }) => name)).toEqual(['a.example', 'b.example']);
    world.claims[1]!.judged(true);
    world.tick();
    send(connection, request('evil.example'));
    world.tick();
    world.claims[2]!.judged(false);
    world.tick();
    expect(text(world.sockets[0]!.toPeer)).toBe(request('a.example') + request('b.example'));
    expect(world.sockets[0]).toMatchObject({ isClosed: true, wasReset: true });
  });

  test('a published port leads to the guest', () => {
    const world = new World();
    const socket = world.guest.tcp.connection();
    socket.bind(parseAddress('0.0.0.0')!, 80);
    const listener = socket.listen(5);
    if (typeof listener === 'number') throw new Error('no listener');
    world.sockets.push(new OutsideSocket());
    world.gateway.arrived(0, parseAddress('198.51.100.7')!, 999, '', 0);
    world.settle();
    const connection = world.guest.tcp.accept(listener)!;
    expect(connection.remote.toString()).toBe('10.0.2.2');
    world.sockets[0]!.fromPeer.push(...Buffer.from('knock'));
    world.sockets[0]!.callback(EPOLLIN);
    world.tick();
    expect(receive(connection, MSG_PEEK)).toBe('knock');
  });
});

describe('bounds', () => {
  test('more TCP flows than allowed are not opened', () => {
    const world = new World();
    world.isDelayed = true;
    for (let i = 0; i < TCP_FLOWS_MAX + 50; i++) {
      world.connect('192.0.2.9', 1 + i);
      if (i % 100 === 0) world.tick(1e6);
    }
    world.tick(1e6);
    expect(world.opened.length).toBeLessThanOrEqual(TCP_FLOWS_MAX);
  });

  test('the UDP flow that was silent for longest makes room, and all end in time', () => {
    const world = new World();
    const endpoint = world.guest.udp.endpoint(4);
    if (typeof endpoint === 'number') throw new Error('no endpoint');
    for (let i = 0; i < UDP_FLOWS_MAX + 20; i++) {
      scratch.writeLatin1('x', 0);
      endpoint.send(new KernelIo(scratch, 0, 1), new SocketAddress().set(parseAddress('192.0.2.9')!, 1 + i), null, 0);
      if (i % 50 === 0) world.settle();
    }
    world.settle();
    expect(world.sockets.length).toBe(UDP_FLOWS_MAX + 20);
    expect(world.sockets.filter(({ isClosed }) => isClosed).length).toBe(20);
    expect(text(world.sockets.at(-1)!.toPeer)).toBe('x');
    world.tick(31e9);
    expect(world.sockets.every(({ isClosed }) => isClosed)).toBe(true);
  });
});

test('DNS is answered by datagram', () => {
  const world = new World();
  const endpoint = world.guest.udp.endpoint(4);
  if (typeof endpoint === 'number') throw new Error('no endpoint');
  endpoint.connect(new SocketAddress().set(USER_NETWORK_4.dns, 53));
  scratch.writeLatin1('where', 0);
  endpoint.send(new KernelIo(scratch, 0, 5), null, null, 0);
  world.settle();
  const length = endpoint.receive(new KernelIo(scratch, 0, ROOM), new ReceivedDatagram(), 0);
  expect(scratch.latin1(0, length)).toBe('udp answer to where');
});

test('whoever asks is named', () => {
  const world = new World();
  const owner = { group: { pid: 7 }, name: 'sh' };
  const connection = world.guest.tcp.connection();
  connection.owner = owner;
  connection.connect(new SocketAddress().set(parseAddress('192.0.2.1')!, 80));
  const endpoint = world.guest.udp.endpoint(4);
  if (typeof endpoint === 'number') throw new Error('no endpoint');
  endpoint.owner = owner;
  endpoint.send(new KernelIo(scratch, 0, 4), new SocketAddress().set(parseAddress('192.0.2.2')!, 9), null, 0);
  world.connect('192.0.2.3', 80);
  world.settle();
  const askers = new Map(world.opened.map(({ address, asker }) => [address, asker]));
  expect(askers.get('192.0.2.1')).toEqual({ pid: 7, command: 'sh' });
  expect(askers.get('192.0.2.2')).toEqual({ pid: 7, command: 'sh' });
  expect(askers.get('192.0.2.3')).toEqual({ pid: 0, command: '' });
});
