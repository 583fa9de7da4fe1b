/** How connections begin: repeated SYNs, backlogs, floods, ports, what a gateway intercepts. */
import { describe, expect, it } from 'vitest';
import { EADDRINUSE, EADDRNOTAVAIL, EAGAIN, ECONNREFUSED, EHOSTUNREACH, ETIMEDOUT } from '#sentry/abi/errno.ts';
import { READABLE, WRITABLE } from '#sentry/abi/fs.ts';
import { IpAddress } from '../address.ts';
import { IpHeader } from '../ip/header.ts';
import { SocketAddress } from '../socket-address.ts';
import type { TcpConnection } from './connection.ts';
import { ACK, RST, SYN, TcpHeader } from './header.ts';
import type { HeldSyn } from './intercept.ts';
import { RTO_INITIAL_US } from './limits.ts';
import { CLOSED, ESTABLISHED, FIN_WAIT1, SYN_RECEIVED, SYN_SENT } from './states.ts';
import { checkInvariants } from './testing/invariants.ts';
import { World } from './testing/world.ts';
import type { Host } from './testing/world.ts';

/** A SYN out of nowhere. */
function stranger(world: World, to: Host, index: number, port = 80): void {
  const ip = new IpHeader();
  ip.source.setIpv4(0x0b000000 + (index >> 8));
  ip.destination.copy(to.address);
  const header = new TcpHeader();
  header.sourcePort = 1024 + (index & 255);
  header.destinationPort = port;
  header.seq = index;
  header.flags = SYN;
  header.window = 1000;
  header.mss = 1460;
  world.inject(to, ip, header);
}

describe('connect', () => {
  it('repeats its SYN and gives up', () => {
    const world = new World();
    world.filter = () => true;
    world.seen = [];
    const client = world.client.connect(world.server, 80);
    world.run(3500);
    expect(world.seen.length).toBe(3);
    expect(client.state).toBe(SYN_SENT);
    expect(client.events).toBe(0);
    world.run(200_000);
    expect(world.seen.length).toBe(7);
    expect([client.state, client.takeError()]).toEqual([CLOSED, ETIMEDOUT]);
  });

  it('gives up sooner with TCP_USER_TIMEOUT and TCP_SYNCNT', () => {
    const world = new World();
    world.filter = () => true;
    const began = world.nowNs;
    const first = world.client.connect(world.server, 80, (connection) => (connection.options.userTimeoutMs = 2500));
    const second = world.client.connect(world.server, 81, (connection) => (connection.options.synRetries = 1));
    world.runUntil(() => first.state === CLOSED);
    expect((world.nowNs - began) / 1e6).toBeCloseTo(2500, -2);
    world.runUntil(() => second.state === CLOSED);
    expect((world.nowNs - began) / 1e6).toBeCloseTo(3000, -2);
  });

  it('ends with what ICMP says, if that quotes the SYN', () => {
    const world = new World();
    world.filter = () => true;
    const client = world.client.connect(world.server, 80);
    const ip = new IpHeader();
    ip.source.copy(world.client.address);
    ip.destination.copy(world.server.address);
    const header = new TcpHeader();
    header.sourcePort = client.localPort;
    header.destinationPort = 80;
    header.seq = (client.initialSend + 77) | 0;
    world.client.tcp.unreachable(ip, header, EHOSTUNREACH, 0, world.nowNs);
    expect(client.state).toBe(SYN_SENT);
    header.seq = client.initialSend;
    world.client.tcp.unreachable(ip, header, EHOSTUNREACH, 0, world.nowNs);
    expect([client.state, client.takeError()]).toEqual([CLOSED, EHOSTUNREACH]);
  });

  it('survives a lost SYN, SYN|ACK and ACK', () => {
    for (const lost of [1, 2, 3]) {
      const world = new World();
      let count = 0;
      world.filter = () => ++count === lost;
      const [client, server] = world.connected();
      world.client.write(client, 'x');
      world.run(3000);
      expect(world.server.read(server)).toBe('x');
    }
  });

  it('closed while both sides open sends FIN when the handshake is done', () => {
    const world = new World();
    world.filter = (seen) => seen.from === world.client && (seen.flags & SYN) !== 0;
    const client = world.client.connect(world.server, 80);
    const ip = new IpHeader();
    ip.source.copy(world.server.address);
    ip.destination.copy(world.client.address);
    const header = new TcpHeader();
    header.sourcePort = 80;
    header.destinationPort = client.localPort;
    header.seq = 1000;
    header.flags = SYN;
    header.window = 1000;
    world.inject(world.client, ip, header);
    expect(client.state).toBe(SYN_RECEIVED);
    client.shutdown(1);
    checkInvariants(client);
    world.filter = () => true;
    header.seq = 1001;
    header.ack = (client.initialSend + 1) | 0;
    header.flags = ACK;
    world.inject(world.client, ip, header);
    checkInvariants(client);
    expect([client.state, client.unackedBytes, client.finQueued]).toEqual([FIN_WAIT1, 0, true]);
    expect((client.sendNext - client.initialSend) | 0).toBe(2);
  });

  it('to itself is a simultaneous open', () => {
    const world = new World();
    const { client } = world;
    const connection = client.tcp.connection();
    expect(connection.bind(client.address, 4000)).toBe(0);
    client.tcp.setTime(world.nowNs);
    connection.connect(new SocketAddress().set(client.address, 4000));
    world.run(100);
    expect(connection.state).toBe(ESTABLISHED);
    client.write(connection, 'echo');
    world.run(100);
    expect(client.read(connection)).toBe('echo');
  });
});

describe('a listener', () => {
  it('keeps to its backlog, and lets those who wait in when there is room', () => {
    const world = new World();
    const listener = world.server.listen(80, 2);
    const clients: TcpConnection[] = [];
    for (let i = 0; i < 3; i++) {
      clients.push(world.client.connect(world.server, 80));
      world.run(10);
    }
    expect(listener.acceptable).toBe(3);
    expect(listener.events).toBe(READABLE);
    const late = world.client.connect(world.server, 80);
    world.run(10);
    expect(late.state).toBe(SYN_SENT);
    expect(world.server.tcp.counters.ListenOverflows).toBe(1);
    expect(world.server.tcp.accept(listener)).not.toBeNull();
    world.run(2000);
    expect(late.state).toBe(ESTABLISHED);
    expect(listener.acceptable).toBe(3);
  });

  it('resets what nobody accepted when it closes', () => {
    const world = new World();
    const listener = world.server.listen(80);
    const client = world.client.connect(world.server, 80);
    world.run(10);
    world.server.tcp.setTime(world.nowNs);
    listener.close();
    world.run(10);
    expect(client.state).toBe(CLOSED);
    expect([world.server.tcp.context.table.size, world.server.tcp.context.orphans]).toEqual([0, 0]);
    expect(world.client.connect(world.server, 80).state).toBe(SYN_SENT);
    world.run(10);
  });

  it('waits for data with TCP_DEFER_ACCEPT', () => {
    const world = new World();
    const listener = world.server.listen(80, 4, (connection) => (connection.options.deferAccept = 3));
    const client = world.client.connect(world.server, 80);
    world.run(500);
    expect(client.state).toBe(ESTABLISHED);
    expect(listener.acceptable).toBe(0);
    world.client.write(client, 'first');
    world.run(500);
    const server = world.server.tcp.accept(listener)!;
    expect(world.server.read(server)).toBe('first');
  });

  it('answers a flood with cookies and keeps its memory', () => {
    const world = new World();
    const listener = world.server.listen(80, 8);
    for (let i = 0; i < 20_000; i++) stranger(world, world.server, i);
    const { context } = world.server.tcp;
    expect(listener.requests).toBe(8);
    expect(context.table.size).toBe(8);
    expect(context.counters.SyncookiesSent).toBe(19_992);
    const client = world.client.connect(world.server, 80);
    world.run(50);
    expect(client.state).toBe(ESTABLISHED);
    expect(context.counters.SyncookiesRecv).toBe(1);
    const server = world.server.tcp.accept(listener)!;
    expect([server.usesSack, server.usesTimestamps, server.sendScale]).toEqual([true, true, client.receiveScale]);
    // Nothing is known of the round trip yet.
    expect(server.rtoUs).toBe(RTO_INITIAL_US);
    world.client.write(client, new Uint8Array(30_000));
    world.run(500);
    expect(world.server.readInto(server, 1 << 20)).toBe(30_000);
    world.server.write(server, 'answer');
    world.run(50);
    expect(world.client.read(client)).toBe('answer');
    world.run(200_000);
    expect(listener.requests).toBe(0);
  });

  it('lets a connection by cookie come into being when its first segments were lost', () => {
    const world = new World();
    const listener = world.server.listen(80, 1);
    for (let i = 0; i < 10; i++) stranger(world, world.server, i);
    let lost = 0;
    world.filter = (seen) => seen.from === world.client && (seen.flags & SYN) === 0 && lost++ < 3;
    const client = world.client.connect(world.server, 80);
    world.run(50);
    world.client.write(client, new Uint8Array(14_000));
    world.run(2000);
    expect(lost).toBeGreaterThan(3);
    expect(world.server.tcp.counters.SyncookiesFailed).toBeGreaterThan(0);
    const server = world.server.tcp.accept(listener)!;
    expect(world.server.readInto(server, 1 << 20)).toBe(14_000);
  });

  it('does not take a cookie it did not make', () => {
    const world = new World({ seed: 3 });
    world.server.listen(80, 1);
    for (let i = 0; i < 10; i++) stranger(world, world.server, i);
    world.seen = [];
    for (let guess = 0; guess < 1000; guess++) {
      const ip = new IpHeader();
      ip.source.setIpv4(0x0c000001);
      ip.destination.copy(world.server.address);
      const header = new TcpHeader();
      header.sourcePort = 5000;
      header.destinationPort = 80;
      header.seq = 1;
      header.ack = Math.imul(guess, 0x9e3779b1);
      header.flags = ACK;
      world.inject(world.server, ip, header);
    }
    expect(world.server.tcp.counters.SyncookiesFailed).toBe(1000);
    expect(world.seen.every((seen) => (seen.flags & RST) !== 0)).toBe(true);
    expect(world.server.tcp.counters.PassiveOpens).toBe(0);
  });

  it('shares a port by SO_REUSEPORT, each connection with one of them', () => {
    const world = new World();
    const group = [1, 2, 3].map(() => world.server.listen(80, 64, (connection) => (connection.reusePort = 1)));
    for (let i = 0; i < 60; i++) world.client.connect(world.server, 80);
    world.run(100);
    const counts = group.map((listener) => listener.acceptable);
    expect(counts.reduce((sum, n) => sum + n, 0)).toBe(60);
    for (const count of counts) expect(count).toBeGreaterThan(5);
  });
});

describe('ports', () => {
  const any = new IpAddress();
  const anyIpv4 = new IpAddress().setIpv4(0);

  function tryBind(world: World, address: IpAddress, port: number, flags: Partial<TcpConnection> = {}): TcpConnection | number {
    const connection = Object.assign(world.server.tcp.connection(), flags);
    const error = connection.bind(address, port);
    return error < 0 ? error : connection;
  }

  it('are bound once, unless both say SO_REUSEADDR and nobody listens', () => {
    const world = new World();
    const { address } = world.server;
    expect(tryBind(world, address, 80)).toBeTypeOf('object');
    expect(tryBind(world, address, 80)).toBe(-EADDRINUSE);
    expect(tryBind(world, anyIpv4, 80)).toBe(-EADDRINUSE);
    expect(tryBind(world, any, 80)).toBe(-EADDRINUSE);
    expect(tryBind(world, any, 80, { v6Only: 1 })).toBeTypeOf('object');
    expect(tryBind(world, new IpAddress().setIpv4(0x7f000001), 80)).toBeTypeOf('object');
    const first = tryBind(world, address, 90, { reuseAddress: 1 }) as TcpConnection;
    const second = tryBind(world, address, 90, { reuseAddress: 1 }) as TcpConnection;
    expect(first.listen(1)).toBeTypeOf('object');
    expect(second.listen(1)).toBe(-EADDRINUSE);
    expect(tryBind(world, address, 90, { reuseAddress: 1 })).toBe(-EADDRINUSE);
  });

  it('of TIME_WAIT need SO_REUSEADDR', () => {
    const world = new World();
    const [client, server] = world.connected(80, (connection) => (connection.reuseAddress = 1));
    world.server.tcp.setTime(world.nowNs);
    server.close();
    world.run(10);
    client.close();
    world.run(10);
    expect(world.server.tcp.context.timeWaits).toBe(1);
    world.server.tcp.context.listeners.forEach((listener) => listener.close());
    expect(tryBind(world, world.server.address, 80)).toBe(-EADDRINUSE);
    expect(tryBind(world, world.server.address, 80, { reuseAddress: 1 })).toBeTypeOf('object');
  });

  it('are given to many connections with different peers, and run out with one peer', () => {
    const world = new World();
    world.filter = () => true;
    const connect = (port: number): number => {
      const connection = world.client.tcp.connection();
      world.client.tcp.setTime(world.nowNs);
      return connection.connect(new SocketAddress().set(world.server.address, port));
    };
    let count = 0;
    let last = 0;
    while (count < 40_000 && (last = connect(80)) === -115) count++;
    expect([count, last]).toEqual([28_232, -EADDRNOTAVAIL]);
    expect(connect(81)).toBe(-115);
  });

  it('in TIME_WAIT are taken over by a newer SYN', () => {
    const world = new World();
    const [client, server] = world.connected(80);
    const { localPort } = client;
    world.server.tcp.setTime(world.nowNs);
    server.close();
    world.run(10);
    client.close();
    world.run(2000);
    expect(world.server.tcp.context.timeWaits).toBe(1);
    const again = world.client.connect(world.server, 80, (connection) => connection.bind(world.client.address, localPort));
    world.run(100);
    expect(again.state).toBe(ESTABLISHED);
    expect(world.server.tcp.counters.TWRecycled).toBe(1);
  });

  it('in TIME_WAIT are used again by connect after a second', () => {
    const world = new World();
    const [client, server] = world.connected(80, (connection) => (connection.reuseAddress = 1));
    const { localPort } = client;
    world.client.tcp.setTime(world.nowNs);
    client.close();
    world.run(10);
    server.close();
    world.run(10);
    expect(world.client.tcp.context.timeWaits).toBe(1);
    const again = (): TcpConnection => {
      const connection = world.client.tcp.connection();
      connection.reuseAddress = 1;
      expect(connection.bind(world.client.address, localPort)).toBe(0);
      world.client.tcp.setTime(world.nowNs);
      return connection;
    };
    const to = new SocketAddress().set(world.server.address, 80);
    const early = again();
    expect(early.connect(to)).toBe(-EADDRNOTAVAIL);
    early.close();
    world.run(2000);
    const late = again();
    expect(late.connect(to)).toBe(-115);
    world.run(100);
    expect(late.state).toBe(ESTABLISHED);
    expect(world.client.tcp.context.timeWaits).toBe(0);
    expect(world.client.tcp.context.table.size).toBe(1);
  });
});

describe('an interceptor', () => {
  function intercepting(): { world: World; held: HeldSyn[]; to: IpAddress } {
    const world = new World();
    const held: HeldSyn[] = [];
    world.server.tcp.interceptor = { interfaceIndex: 0, synArrived: (syn) => held.push(syn) };
    return { world, held, to: new IpAddress().setIpv4(0x5db8d822) };
  }

  function connectTo(world: World, address: IpAddress): TcpConnection {
    const client = world.client.tcp.connection();
    world.client.tcp.setTime(world.nowNs);
    expect(client.connect(new SocketAddress().set(address, 443))).toBe(-115);
    return client;
  }

  it('accepts in the name of any address, later', () => {
    const { world, held, to } = intercepting();
    const client = connectTo(world, to);
    world.run(2500);
    expect(held.length).toBe(1);
    expect([held[0]!.local.equals(to), held[0]!.localPort]).toEqual([true, 443]);
    world.server.tcp.setTime(world.nowNs);
    const server = world.server.tcp.acceptHeld(held[0]!)!;
    let events = 0;
    server.observer = { onChange: (some) => (events |= some) };
    expect(server.state).toBe(SYN_RECEIVED);
    expect(world.server.write(server, 'x')).toBe(-EAGAIN);
    world.run(100);
    expect([client.state, server.state]).toEqual([ESTABLISHED, ESTABLISHED]);
    expect(events & WRITABLE).not.toBe(0);
    world.client.write(client, 'hello');
    world.run(10);
    expect(world.server.read(server)).toBe('hello');
    client.close();
    server.close();
    world.run(100_000);
    expect(world.server.tcp.context.table.size).toBe(0);
    expect(world.server.tcp.context.heldSyns).toBe(0);
  });

  it('refuses', () => {
    const { world, held, to } = intercepting();
    const client = connectTo(world, to);
    world.run(10);
    held[0]!.refuse();
    world.run(10);
    expect([client.state, client.takeError()]).toEqual([CLOSED, ECONNREFUSED]);
  });

  it('forgets what nobody decides', () => {
    const { world, held, to } = intercepting();
    connectTo(world, to);
    let gone = 0;
    world.run(10);
    held[0]!.onGone = () => gone++;
    world.run(160_000);
    expect([gone, held[0]!.isGone, world.server.tcp.context.heldSyns]).toEqual([1, true, 0]);
    expect(world.server.tcp.acceptHeld(held[0]!)).toBeNull();
  });
});
