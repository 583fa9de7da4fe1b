/**
 * Raw, ping and packet endpoints, multicast and broadcast, the rules of binding, and what the error queue holds.
 */
import { describe, expect, it } from 'vitest';
import { FakeMemory } from '#platform/fake/fake-memory.ts';
import {
  EACCES,
  EADDRINUSE,
  EADDRNOTAVAIL,
  EAGAIN,
  EDESTADDRREQ,
  EHOSTUNREACH,
  EINVAL,
  EMSGSIZE,
  ENOTCONN,
  EPIPE,
} from '#sentry/abi/errno.ts';
import { MSG_MORE, MSG_PEEK, MSG_TRUNC, SHUT_WR } from '#sentry/abi/socket.ts';
import { KernelIo } from '../mm/io.ts';
import { ReceivedDatagram, ReceivedError } from './endpoint/datagram.ts';
import { SendAncillary } from './endpoint/options.ts';
import { IpHeader } from './ip/header.ts';
import { Path } from './ip/path.ts';
import { devicePair } from './link/pair.ts';
import { ReceivedFrame } from './packet-socket/packet-endpoint.ts';
import type { Allocate } from './packet.ts';
import type { SocketAddress } from './socket-address.ts';
import { Route } from './route/routing-table.ts';
import { Stack } from './stack.ts';
import { SeededRandom } from './testing/random.ts';
import { ipAddress, socketAddress, StackPair } from './testing/stack-pair.ts';

const allocate: Allocate = (bytes) => new FakeMemory(new Uint8Array(bytes));

function made<T>(made: T | number): T {
  if (typeof made === 'number') throw new Error(`not made: ${made}`);
  return made;
}

function bytesIo(bytes: ArrayLike<number>): KernelIo {
  return new KernelIo(new FakeMemory(Uint8Array.from(bytes)), 0, bytes.length);
}

interface Receiver {
  receive(io: KernelIo, into: ReceivedDatagram, flags: number): number;
}

function take(endpoint: Receiver, flags = 0, into = new ReceivedDatagram(), room = 70_000): number[] | number {
  const memory = new FakeMemory(new Uint8Array(70_000));
  const n = endpoint.receive(new KernelIo(memory, 0, room), into, flags);
  return n < 0 ? n : Array.from(memory.bytes.subarray(0, Math.min(n, room)));
}

function udpAt(stack: Stack, version: 4 | 6, local: SocketAddress): ReturnType<typeof open> {
  const endpoint = open(stack, version);
  if (endpoint.bind(local) < 0) throw new Error('cannot bind');
  return endpoint;
}

function open(stack: Stack, version: 4 | 6) {
  return made(stack.udp.endpoint(version));
}

describe('ping endpoints', () => {
  it.each([
    [4, '10.0.0.2', 8, 0],
    [4, '127.0.0.1', 8, 0],
    [6, 'fd00::2', 128, 129],
    [6, '::1', 128, 129],
  ] as const)('IPv%i to %s', (version, text, request, reply) => {
    const pair = new StackPair({ seed: 1, delayNs: 1e5 }, allocate);
    const ping = made(pair.left.raw.pingEndpoint(version));
    expect(ping.send(bytesIo([request, 0, 0, 0, 9, 9, 0, 1, 1, 2, 3]), socketAddress(text, 0), null)).toBe(11);
    pair.run(1e9);
    const from = new ReceivedDatagram();
    const answer = take(ping, 0, from) as number[];
    const { port } = ping.local;
    expect([answer[0], answer.slice(4)]).toEqual([reply, [port >> 8, port & 255, 0, 1, 1, 2, 3]]);
    expect(from.from.address.toString()).toBe(text);
    expect(ping.send(bytesIo([13, 0, 0, 0, 0, 0, 0, 0]), socketAddress(text, 0), null)).toBe(-EINVAL);
  });
});

describe('raw endpoints', () => {
  it('see every packet of their protocol, IPv4 with its header', () => {
    const pair = new StackPair({ seed: 2 }, allocate);
    const raw = made(pair.right.raw.endpoint(4, 200));
    const sender = made(pair.left.raw.endpoint(4, 200));
    sender.send(bytesIo([1, 2, 3]), socketAddress('10.0.0.2', 0), null);
    pair.run(1e9);
    const packet = take(raw) as number[];
    expect([packet[0], packet[9], packet.slice(12)]).toEqual([0x45, 200, [10, 0, 0, 1, 10, 0, 0, 2, 1, 2, 3]]);
    expect(take(sender)).toBe(-EAGAIN);
  });

  it('bring their own header, also to ourselves', () => {
    const pair = new StackPair({ seed: 3 }, allocate);
    const raw = made(pair.left.raw.endpoint(4, 255));
    const header = [0x45, 0, 0, 0, 0, 0, 0, 0, 9, 17, 0, 0, 0, 0, 0, 0, 127, 0, 0, 1];
    const server = udpAt(pair.left, 4, socketAddress('127.0.0.1', 77));
    expect(raw.send(bytesIo([...header, 0, 5, 0, 77, 0, 9, 0, 0, 42]), socketAddress('127.0.0.1', 0), null)).toBe(29);
    pair.run(1e9);
    const into = new ReceivedDatagram();
    expect(take(server, 0, into)).toEqual([42]);
    expect([into.hopLimit, into.from.port]).toEqual([9, 5]);
  });

  it('see what passes on the loopback as objects', () => {
    const pair = new StackPair({ seed: 4 }, allocate);
    const raw = made(pair.left.raw.endpoint(4, 17));
    open(pair.left, 4).send(bytesIo([7]), socketAddress('127.0.0.1', 9), null, 0);
    pair.run(1e9);
    expect((take(raw) as number[]).slice(-1)).toEqual([7]);
  });

  it('of ICMPv6 have their checksum made, and filter types', () => {
    const pair = new StackPair({ seed: 5 }, allocate);
    const raw = made(pair.left.raw.endpoint(6, 58));
    raw.icmpv6Filter.fill(-1);
    raw.icmpv6Filter[129 >> 5]! &= ~(1 << (129 & 31));
    expect(raw.send(bytesIo([128, 0, 0, 0, 0, 5, 0, 1]), socketAddress('fd00::2', 0), null)).toBe(8);
    pair.run(3e9);
    expect((take(raw) as number[])[0]).toBe(129);
    expect(take(raw)).toBe(-EAGAIN);
  });
});

describe('packet endpoints', () => {
  it('see frames leave and arrive on lo, with checksums', () => {
    const pair = new StackPair({ seed: 6 }, allocate);
    const tap = made(pair.left.packets.endpoint('cooked', 3));
    expect(tap.bind(3, 1)).toBe(0);
    open(pair.left, 4).send(bytesIo([7]), socketAddress('127.0.0.1', 9), null, 0);
    pair.run(1e9);
    const kinds: number[] = [];
    const frame = new ReceivedFrame();
    const memory = new FakeMemory(new Uint8Array(2000));
    while (tap.receive(new KernelIo(memory, 0, 2000), frame, 0) > 0) kinds.push(frame.from.kind, memory.bytes[9]!);
    // The datagram and the ICMP error it caused, each twice.
    expect(kinds).toEqual([4, 17, 0, 17, 4, 1, 0, 1]);
    const { counters } = pair.left.interfaces.loopback;
    // 14 + 20 + 8 + 1, and 14 + 20 + 8 + 29 for the error.
    expect([counters.rxPackets, counters.txPackets, counters.rxBytes]).toEqual([2, 2, 43 + 71]);
  });

  it('send frames of their own', () => {
    const pair = new StackPair({ seed: 7 }, allocate);
    const tap = made(pair.right.packets.endpoint('raw', 0x88b5));
    const sender = made(pair.left.packets.endpoint('raw', 0));
    sender.bind(0, pair.leftLink.index);
    const frame = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5, 1, 2, 3];
    expect(sender.send(bytesIo(frame), null)).toBe(17);
    pair.run(1e9);
    const memory = new FakeMemory(new Uint8Array(100));
    expect(tap.receive(new KernelIo(memory, 0, 100), new ReceivedFrame(), 0)).toBe(17);
    expect(Array.from(memory.bytes.subarray(0, 17))).toEqual(frame);
    tap.close();
    sender.close();
  });
});

describe('UDP-Lite', () => {
  it.each([
    [4, '10.0.0.2'],
    [6, 'fd00::2'],
  ] as const)('IPv%i: what the checksum does not cover may be damaged', (version, text) => {
    const pair = new StackPair({ seed: 20 }, allocate);
    const server = made(pair.right.udpLite.endpoint(version));
    server.bind(socketAddress(text, 60));
    const client = made(pair.left.udpLite.endpoint(version));
    client.options.sendCoverage = 10;
    let place = -1;
    pair.link.filter = (frame) => {
      const isData = frame.memory.bytes[frame.start + (version === 4 ? 23 : 20)] === 136;
      if (isData && place >= 0) frame.memory.bytes[frame.end - place]! ^= 1;
      return false;
    };
    const attempt = (damaged: number): number[] | number => {
      place = damaged;
      client.send(bytesIo([1, 2, 3, 4]), socketAddress(text, 60), null, 0);
      pair.run(1e9);
      return take(server);
    };
    expect(attempt(-1)).toEqual([1, 2, 3, 4]);
    expect(attempt(1)).toEqual([1, 2, 3, 5]);
    expect(attempt(4)).toBe(-EAGAIN);
    server.options.receiveCoverage = 12;
    expect(attempt(-1)).toBe(-EAGAIN);
    client.options.sendCoverage = 0;
    expect(attempt(-1)).toEqual([1, 2, 3, 4]);
    expect(attempt(1)).toBe(-EAGAIN);
    const refused = made(pair.left.udpLite.endpoint(version));
    refused.connect(socketAddress(text, 61));
    place = -1;
    refused.send(bytesIo([1]), null, null, 0);
    pair.run(1e9);
    expect(refused.takeError()).toBe(111);
  });
});

describe('datagrams without a checksum', () => {
  it.each([
    [4, '10.0.0.2'],
    [6, 'fd00::2'],
    [6, '::1'],
  ] as const)('IPv%i to %s: are taken in IPv4, and in IPv6 by who said so', (version, text) => {
    const pair = new StackPair({ seed: 21 }, allocate);
    const server = udpAt(text === '::1' ? pair.left : pair.right, version, socketAddress(text, 60));
    const client = open(pair.left, version);
    client.options.hasNoChecksum = true;
    const attempt = (): number[] | number => {
      client.send(bytesIo([7]), socketAddress(text, 60), null, 0);
      pair.run(1e9);
      return take(server);
    };
    expect(attempt()).toEqual(version === 4 ? [7] : -EAGAIN);
    server.options.takesNoChecksum = true;
    expect(attempt()).toEqual([7]);
  });
});

describe('a gateway', () => {
  it('takes every address on its end of a pair, and answers from them', () => {
    const random = new SeededRandom(5).word;
    const guest = new Stack({ allocate, random });
    const gateway = new Stack({ allocate, random });
    const [ours, theirs] = devicePair({ kind: 'ip', mtu: 65_535 });
    const link = made(guest.addDevice('tun0', ours));
    const far = made(gateway.addDevice('tun0', theirs));
    far.isTransparent = true;
    for (const [stack, owner, text] of [
      [guest, link, '10.0.2.15'],
      [gateway, far, '10.0.2.2'],
    ] as const) {
      stack.interfaces.setUp(owner);
      stack.interfaces.addAddress(owner, ipAddress(text), 120);
    }
    const route = new Route();
    route.destination.copy(ipAddress('0.0.0.0'));
    route.prefixBits = 96;
    route.interface = link;
    expect(guest.routes.add(route)).toBe(0);
    const seen: string[] = [];
    gateway.udp.interceptor = {
      input(ip, sourcePort, destinationPort, payload) {
        seen.push(`${ip.destination.toString()}:${destinationPort} ${payload.length}`);
        if (destinationPort === 9) gateway.icmp.refuseFlow(ip, sourcePort, destinationPort, 0, 'prohibited');
        if (destinationPort !== 53) return true;
        const path = new Path();
        path.destination.copy(ip.source);
        path.source.copy(ip.destination);
        path.isSourceGiven = true;
        return gateway.output.sendUdp(path, new IpHeader().prepare(ip.destination, ip.source, 17), 53, sourcePort, payload) === 0;
      },
    };
    const client = open(guest, 4);
    client.send(bytesIo([1, 2]), socketAddress('192.0.2.1', 53), null, 0);
    const refused = open(guest, 4);
    refused.connect(socketAddress('192.0.2.7', 9));
    refused.send(bytesIo([1]), null, null, 0);
    for (let i = 0; i < 3; i++) for (const stack of [guest, gateway]) stack.poll(1);
    const from = new ReceivedDatagram();
    expect(take(client, 0, from)).toEqual([1, 2]);
    expect(from.from.address.toString()).toBe('192.0.2.1');
    expect(seen).toEqual(['192.0.2.1:53 2', '192.0.2.7:9 1']);
    expect(refused.takeError()).toBe(EHOSTUNREACH);
  });
});

describe('groups and broadcasts', () => {
  it.each([
    [4, '239.1.2.3', '0.0.0.0'],
    [6, 'ff02::1:99', '::'],
  ] as const)('IPv%i: members get what is sent to %s', (version, group, any) => {
    const pair = new StackPair({ seed: 8 }, allocate);
    const member = udpAt(pair.right, version, socketAddress(any, 500));
    const stranger = udpAt(pair.right, version, socketAddress(any, 501));
    expect(member.join(ipAddress(group), pair.rightLink.index)).toBe(0);
    expect(member.join(ipAddress(group), pair.rightLink.index)).toBe(-EADDRINUSE);
    const sender = open(pair.left, version);
    sender.options.multicastInterface = pair.leftLink.index;
    expect(sender.send(bytesIo([1]), socketAddress(group, 500), null, 0)).toBe(1);
    expect(sender.send(bytesIo([1]), socketAddress(group, 501), null, 0)).toBe(1);
    pair.run(1e9);
    const into = new ReceivedDatagram();
    expect(take(member, 0, into)).toEqual([1]);
    expect([into.hopLimit, into.destination.address.toString()]).toEqual([1, group]);
    expect(take(stranger)).toEqual([1]);
    expect(member.leave(ipAddress(group), pair.rightLink.index)).toBe(0);
    expect(member.leave(ipAddress(group), pair.rightLink.index)).toBe(-EADDRNOTAVAIL);
    sender.send(bytesIo([2]), socketAddress(group, 500), null, 0);
    pair.run(1e9);
    expect(take(member)).toBe(-EAGAIN);
  });

  it('come back to members on the sending host', () => {
    const pair = new StackPair({ seed: 9 }, allocate);
    const member = udpAt(pair.left, 4, socketAddress('0.0.0.0', 500));
    member.join(ipAddress('239.1.2.3'), pair.leftLink.index);
    member.options.multicastInterface = pair.leftLink.index;
    member.send(bytesIo([1]), socketAddress('239.1.2.3', 500), null, 0);
    pair.run(1e9);
    expect(take(member)).toEqual([1]);
    member.options.isMulticastLooped = false;
    member.send(bytesIo([1]), socketAddress('239.1.2.3', 500), null, 0);
    pair.run(1e9);
    expect(take(member)).toBe(-EAGAIN);
  });

  it('are reported when joined, asked for, left, and when the link comes up', () => {
    const pair = new StackPair({ seed: 18 }, allocate);
    const reports: string[] = [];
    pair.link.filter = (frame) => {
      const { bytes, view } = frame.memory;
      const at = frame.start + 14;
      // IGMPv3 report: record type and group.
      if (bytes[at + 9] === 2 && bytes[at + 20] === 0x22) reports.push(`${bytes[at + 28]} ${view.getUint32(at + 32).toString(16)}`);
      return false;
    };
    const member = open(pair.left, 4);
    member.join(ipAddress('239.1.2.3'), pair.leftLink.index);
    pair.run(5e9);
    expect(reports.splice(0)).toEqual(['4 ef010203', '4 ef010203']);
    const querier = made(pair.right.raw.endpoint(4, 2));
    querier.options.multicastInterface = pair.rightLink.index;
    querier.send(bytesIo([0x11, 10, 0xee, 0xf5, 0, 0, 0, 0, 0, 0, 0, 0]), socketAddress('224.0.0.1', 0), null);
    pair.run(5e9);
    expect(reports.splice(0)).toEqual(['2 ef010203']);
    pair.left.interfaces.setDown(pair.leftLink);
    pair.left.interfaces.setUp(pair.leftLink);
    pair.run(5e9);
    expect(reports.splice(0)).toEqual(['4 ef010203', '4 ef010203']);
    member.close();
    expect(reports.splice(0)).toEqual(['3 ef010203']);
  });

  it('are allowed to those who asked', () => {
    const pair = new StackPair({ seed: 10 }, allocate);
    const receiver = udpAt(pair.right, 4, socketAddress('0.0.0.0', 500));
    const sender = open(pair.left, 4);
    expect(sender.send(bytesIo([1]), socketAddress('10.0.0.255', 500), null, 0)).toBe(-EACCES);
    sender.options.isBroadcastAllowed = true;
    expect(sender.send(bytesIo([1]), socketAddress('10.0.0.255', 500), null, 0)).toBe(1);
    sender.options.boundInterface = pair.leftLink.index;
    expect(sender.send(bytesIo([2]), socketAddress('255.255.255.255', 500), null, 0)).toBe(1);
    pair.run(1e9);
    expect([take(receiver), take(receiver)]).toEqual([[1], [2]]);
  });
});

describe('UDP endpoints', () => {
  it('exclude each other unless they agree to share', () => {
    const { left } = new StackPair({ seed: 11 }, allocate);
    udpAt(left, 4, socketAddress('127.0.0.1', 60));
    const bindTo = (version: 4 | 6, text: string, set?: (endpoint: ReturnType<typeof open>) => void): number => {
      const endpoint = open(left, version);
      set?.(endpoint);
      const result = endpoint.bind(socketAddress(text, 60));
      endpoint.close();
      return result;
    };
    expect(bindTo(4, '127.0.0.1')).toBe(-EADDRINUSE);
    expect(bindTo(4, '0.0.0.0')).toBe(-EADDRINUSE);
    expect(bindTo(6, '::')).toBe(-EADDRINUSE);
    expect(bindTo(4, '10.0.0.1')).toBe(0);
    expect(bindTo(6, '::1')).toBe(0);
    expect(bindTo(6, '::', (endpoint) => (endpoint.options.isV6Only = true))).toBe(0);
    expect(bindTo(4, '10.0.0.77')).toBe(-EADDRNOTAVAIL);
    expect(bindTo(4, '127.0.0.1', (endpoint) => (endpoint.options.reuseAddress = true))).toBe(-EADDRINUSE);
  });

  it('share flows in a SO_REUSEPORT group', () => {
    const { left, nowNs } = new StackPair({ seed: 12 }, allocate);
    const group = Array.from({ length: 4 }, () => {
      const endpoint = open(left, 4);
      endpoint.options.reusePort = true;
      expect(endpoint.bind(socketAddress('127.0.0.1', 60))).toBe(0);
      return endpoint;
    });
    for (let i = 0; i < 64; i++)
      udpAt(left, 4, socketAddress('127.0.0.1', 2000 + i)).send(bytesIo([1]), socketAddress('127.0.0.1', 60), null, 0);
    left.poll(nowNs);
    const counts = group.map((endpoint) => {
      let n = 0;
      while (take(endpoint) !== -EAGAIN) n++;
      return n;
    });
    expect(counts.reduce((a, b) => a + b)).toBe(64);
    expect(Math.min(...counts)).toBeGreaterThan(0);
  });

  it('keep boundaries, peek, truncate, and refuse what cannot be', () => {
    const { left, nowNs } = new StackPair({ seed: 13 }, allocate);
    const server = udpAt(left, 4, socketAddress('127.0.0.1', 60));
    const client = open(left, 4);
    expect(client.send(bytesIo([1]), null, null, 0)).toBe(-EDESTADDRREQ);
    expect(client.send(bytesIo([1]), socketAddress('127.0.0.1', 0), null, 0)).toBe(-EINVAL);
    expect(client.send(bytesIo(new Uint8Array(65_508)), socketAddress('127.0.0.1', 60), null, 0)).toBe(-EMSGSIZE);
    expect(client.connect(socketAddress('127.0.0.1', 60))).toBe(0);
    for (const bytes of [[1, 2, 3], [], [4]]) expect(client.send(bytesIo(bytes), null, null, 0)).toBe(bytes.length);
    left.poll(nowNs);
    const into = new ReceivedDatagram();
    expect(take(server, MSG_PEEK)).toEqual([1, 2, 3]);
    expect(server.receive(new KernelIo(new FakeMemory(new Uint8Array(2)), 0, 2), into, MSG_TRUNC)).toBe(3);
    expect(into.isTruncated).toBe(true);
    expect([take(server), take(server), take(server)]).toEqual([[], [4], -EAGAIN]);
    expect(client.shutdown(SHUT_WR)).toBe(0);
    expect(client.send(bytesIo([1]), null, null, 0)).toBe(-EPIPE);
    expect(server.shutdown(SHUT_WR)).toBe(-ENOTCONN);
  });

  it('gather pieces and cut to segments', () => {
    const { left, nowNs } = new StackPair({ seed: 14 }, allocate);
    const server = udpAt(left, 4, socketAddress('127.0.0.1', 60));
    const client = open(left, 4);
    client.send(bytesIo([1, 2]), socketAddress('127.0.0.1', 60), null, MSG_MORE);
    client.send(bytesIo([3]), socketAddress('127.0.0.1', 60), null, 0);
    const cut = new SendAncillary();
    cut.segmentSize = 2;
    expect(client.send(bytesIo([5, 6, 7, 8, 9]), socketAddress('127.0.0.1', 60), cut, 0)).toBe(5);
    left.poll(nowNs);
    expect([take(server), take(server), take(server), take(server)]).toEqual([[1, 2, 3], [5, 6], [7, 8], [9]]);
  });

  it('lose what does not fit their buffer, and forget nothing when closed', () => {
    const { left, nowNs } = new StackPair({ seed: 15 }, allocate);
    const before = left.state.pool.inUse;
    const server = udpAt(left, 4, socketAddress('127.0.0.1', 60));
    const client = open(left, 4);
    for (let i = 0; i < 400; i++) client.send(bytesIo(new Uint8Array(1000)), socketAddress('127.0.0.1', 60), null, 0);
    while (left.poll(nowNs));
    expect(server.drops).toBeGreaterThan(100);
    expect(left.state.counters.udpv4.RcvbufErrors).toBe(server.drops);
    server.close();
    client.close();
    expect(left.state.pool.inUse).toBe(before);
  });

  it('queue errors with what they are about', () => {
    const pair = new StackPair({ seed: 16 }, allocate);
    const client = open(pair.left, 4);
    client.options.isErrorQueued = true;
    client.send(bytesIo([1, 2, 3]), socketAddress('10.0.0.2', 9), null, 0);
    pair.run(1e9);
    const error = new ReceivedError();
    const memory = new FakeMemory(new Uint8Array(100));
    expect(client.receiveError(new KernelIo(memory, 0, 100), error)).toBe(3);
    expect([error.errno, error.origin, error.type, error.code]).toEqual([111, 2, 3, 3]);
    expect([error.offender.toString(), error.destination.address.toString(), error.destination.port]).toEqual(['10.0.0.2', '10.0.0.2', 9]);
    expect(Array.from(memory.bytes.subarray(0, 3))).toEqual([1, 2, 3]);
    expect(client.receiveError(new KernelIo(memory, 0, 100), error)).toBe(-EAGAIN);
  });

  it('take IPv4 on an IPv6 socket', () => {
    const { left, nowNs } = new StackPair({ seed: 17 }, allocate);
    const server = udpAt(left, 6, socketAddress('::', 60));
    const client = open(left, 6);
    expect(client.send(bytesIo([1]), socketAddress('::ffff:127.0.0.1', 60), null, 0)).toBe(1);
    left.poll(nowNs);
    const into = new ReceivedDatagram();
    expect(take(server, 0, into)).toEqual([1]);
    expect(into.from.address.isIpv4).toBe(true);
  });
});
