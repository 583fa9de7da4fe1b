/**
 * How addresses, routes, neighbours and path MTUs come and go: router advertisements, duplicates, source selection, packets too big.
 */
import { describe, expect, it } from 'vitest';
import { FakeMemory } from '#platform/fake/fake-memory.ts';
import { EACCES, ECONNREFUSED, EEXIST, EHOSTUNREACH, EINVAL, EMSGSIZE, ENETUNREACH, ENODEV } from '#sentry/abi/errno.ts';
import { KernelIo } from '../mm/io.ts';
import { commonPrefixLength, formatAddress, IPV4_PREFIX_BITS, maskAddress, parseAddress } from './address.ts';
import { addBytes, finishSum } from './checksum.ts';
import { PMTUDISC_DO } from './endpoint/options.ts';
import { Path } from './ip/path.ts';
import { NEIGHBOURS_MAX } from './limits.ts';
import { IFA_F_DADFAILED, IFA_F_DEPRECATED, IFA_F_TENTATIVE, IFF_NOARP } from './link/interface.ts';
import { NUD_PERMANENT, NUD_REACHABLE } from './link/neighbour-cache.ts';
import type { Allocate } from './packet.ts';
import { Route, RTN_BLACKHOLE, RTN_PROHIBIT, RTN_UNREACHABLE } from './route/routing-table.ts';
import type { Stack } from './stack.ts';
import { ipAddress, socketAddress, StackPair } from './testing/stack-pair.ts';
import { HardwareAddress } from './wire/ethernet.ts';

const allocate: Allocate = (bytes) => new FakeMemory(new Uint8Array(bytes));

function io(bytes: ArrayLike<number>): KernelIo {
  return new KernelIo(new FakeMemory(Uint8Array.from(bytes)), 0, bytes.length);
}

function addressBytes(text: string): number[] {
  const view = new DataView(new ArrayBuffer(16));
  ipAddress(text).write(view, 0);
  return [...new Uint8Array(view.buffer)];
}

function u32(value: number): number[] {
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
}

/** A router advertisement from the right stack. */
function advertise(pair: StackPair, lifetime: number, prefix: string, valid: number, preferred: number, hops = 255): void {
  const raw = pair.right.raw.endpoint(6, 58);
  if (typeof raw === 'number') throw new Error('no endpoint');
  raw.options.multicastHops = hops;
  const header = [134, 0, 0, 0, 64, 0, lifetime >> 8, lifetime & 255, ...u32(0), ...u32(0)];
  const option = [3, 4, 64, 0xc0, ...u32(valid), ...u32(preferred), ...u32(0), ...addressBytes(prefix)];
  const mtu = [5, 1, 0, 0, ...u32(1400)];
  const all = socketAddress('ff02::1', 0, pair.rightLink.index);
  raw.bind(socketAddress(pair.rightLink.linkLocal!.toString(), 0, pair.rightLink.index));
  expect(raw.send(io([...header, ...option, ...mtu]), all, null)).toBe(header.length + option.length + mtu.length);
  raw.close();
}

function routeTo(stack: Stack, text: string, bound = 0): string | number {
  const path = new Path();
  path.destination.copy(ipAddress(text));
  path.boundInterface = bound;
  const result = stack.output.route(path);
  return result < 0 ? result : `${path.source.toString()} by ${path.interface!.name} to ${path.nextHop.toString()}`;
}

function route(stack: Stack, text: string, bits: number, change: (route: Route) => void): number {
  const made = new Route();
  made.destination.copy(ipAddress(text));
  made.prefixBits = bits;
  change(made);
  return stack.routes.add(made);
}

describe('autoconfiguration', () => {
  it('takes prefix, router and MTU from an advertisement, and forgets them in time', () => {
    const pair = new StackPair({ seed: 1 }, allocate);
    expect(routeTo(pair.left, '2001:db8:9::1')).toBe(-ENETUNREACH);
    advertise(pair, 1800, '2001:db8:1::', 4000, 3000);
    pair.run(2e9);
    const address = pair.leftLink.findAddress(ipAddress('2001:db8:1::ff:fe00:1'));
    expect(address?.isUsable).toBe(true);
    expect(pair.leftLink.mtu).toBe(1400);
    expect(routeTo(pair.left, '2001:db8:9::1')).toBe('2001:db8:1::ff:fe00:1 by eth0 to fe80::ff:fe00:2');
    pair.run(1900e9);
    expect(routeTo(pair.left, '2001:db8:9::1')).toBe(-ENETUNREACH);
    pair.run(1200e9);
    expect(address!.flags & IFA_F_DEPRECATED).not.toBe(0);
    pair.run(1000e9);
    expect(pair.leftLink.findAddress(ipAddress('2001:db8:1::ff:fe00:1'))).toBe(null);
  });

  it('does not believe an advertisement that was routed, and bounds the others', () => {
    const pair = new StackPair({ seed: 2 }, allocate);
    advertise(pair, 1800, '2001:db8:1::', 4000, 3000, 64);
    pair.run(2e9);
    expect(pair.leftLink.findAddress(ipAddress('2001:db8:1::ff:fe00:1'))).toBe(null);
    for (let i = 0; i < 200; i++) advertise(pair, 1800, `2001:db8:${i.toString(16)}::`, 4000, 3000);
    pair.run(2e9);
    expect(pair.leftLink.addresses.length).toBeLessThanOrEqual(3 + 16);
    expect(pair.left.routes.routes.length).toBeLessThan(40);
  });

  it('begins when the link goes up, also for addresses it had before', () => {
    const pair = new StackPair({ seed: 9 }, allocate);
    pair.left.interfaces.setDown(pair.leftLink);
    expect(pair.leftLink.addresses.map(({ address }) => address.toString())).toEqual(['10.0.0.1']);
    pair.left.interfaces.addAddress(pair.leftLink, ipAddress('fd00::9'), 64);
    pair.run(1e9);
    pair.left.interfaces.setUp(pair.leftLink);
    pair.run(2e9);
    const udp = pair.right.udp.endpoint(6);
    if (typeof udp === 'number') throw new Error('no endpoint');
    udp.connect(socketAddress('fd00::9', 99));
    udp.send(io([1]), null, null, 0);
    pair.run(5e9);
    expect(udp.takeError()).toBe(ECONNREFUSED);
    expect(pair.leftLink.groups.length).toBe(3);
    pair.left.interfaces.setDown(pair.leftLink);
    expect(pair.leftLink.groups.length).toBe(0);
  });

  it('gives an address up that somebody has already', () => {
    const pair = new StackPair({ seed: 3 }, allocate);
    pair.left.interfaces.addAddress(pair.leftLink, ipAddress('fd00::2'), 64);
    const address = pair.leftLink.findAddress(ipAddress('fd00::2'))!;
    expect(address.flags & IFA_F_TENTATIVE).not.toBe(0);
    expect(pair.left.interfaces.isBindable(address.address)).toBe(false);
    pair.run(2e9);
    expect(address.flags & IFA_F_DADFAILED).not.toBe(0);
    expect(pair.rightLink.findAddress(ipAddress('fd00::2'))!.isUsable).toBe(true);
  });
});

describe('routes', () => {
  it('are chosen by prefix, then metric, and have kinds', () => {
    const { left, leftLink } = new StackPair({ seed: 4 }, allocate);
    const by =
      (gateway: string, metric = 0) =>
      (made: Route): void => {
        made.interface = leftLink;
        made.gateway.copy(ipAddress(gateway));
        made.hasGateway = true;
        made.metric = metric;
      };
    expect(route(left, '0.0.0.0', IPV4_PREFIX_BITS, by('10.0.0.9', 10))).toBe(0);
    expect(route(left, '0.0.0.0', IPV4_PREFIX_BITS, by('10.0.0.8', 5))).toBe(0);
    expect(route(left, '0.0.0.0', IPV4_PREFIX_BITS, by('10.0.0.7', 5))).toBe(-EEXIST);
    expect(route(left, '192.0.2.0', IPV4_PREFIX_BITS + 24, by('10.0.0.2'))).toBe(0);
    expect(route(left, '192.0.2.1', IPV4_PREFIX_BITS + 24, by('10.0.0.2'))).toBe(-EINVAL);
    const kind =
      (value: number) =>
      (made: Route): void =>
        void (made.kind = value);
    route(left, '198.51.100.1', 128, kind(RTN_UNREACHABLE));
    route(left, '198.51.100.2', 128, kind(RTN_BLACKHOLE));
    route(left, '198.51.100.3', 128, kind(RTN_PROHIBIT));
    expect(routeTo(left, '203.0.113.1')).toBe('10.0.0.1 by eth0 to 10.0.0.8');
    expect(routeTo(left, '192.0.2.5')).toBe('10.0.0.1 by eth0 to 10.0.0.2');
    expect(routeTo(left, '10.0.0.5')).toBe('10.0.0.1 by eth0 to 10.0.0.5');
    expect(routeTo(left, '127.1.2.3')).toBe('127.0.0.1 by lo to 127.1.2.3');
    expect(routeTo(left, '10.0.0.1')).toBe('10.0.0.1 by lo to 10.0.0.1');
    expect(routeTo(left, '0.0.0.0')).toBe('127.0.0.1 by lo to 127.0.0.1');
    expect([1, 2, 3].map((i) => routeTo(left, `198.51.100.${i}`))).toEqual([-EHOSTUNREACH, -EINVAL, -EACCES]);
    expect(routeTo(left, '203.0.113.1', 77)).toBe(-ENODEV);
    expect(routeTo(left, 'fd00::77')).toBe('fd00::1 by eth0 to fd00::77');
    expect(routeTo(left, 'fe80::77', leftLink.index)).toBe('fe80::ff:fe00:1 by eth0 to fe80::77');
    left.interfaces.setDown(leftLink);
    expect(routeTo(left, '203.0.113.1')).toBe(-ENETUNREACH);
  });

  it('go with their address', () => {
    const { left, leftLink } = new StackPair({ seed: 5 }, allocate);
    expect(left.interfaces.removeAddress(leftLink, ipAddress('10.0.0.1'))).toBe(0);
    expect(routeTo(left, '10.0.0.5')).toBe(-ENETUNREACH);
    expect(routeTo(left, 'fd00::5')).toBe('fd00::1 by eth0 to fd00::5');
  });
});

describe('neighbours', () => {
  it('are learned, and bounded', () => {
    const pair = new StackPair({ seed: 6 }, allocate);
    const cache = pair.leftLink.neighbours!;
    const udp = pair.left.udp.endpoint(4);
    if (typeof udp === 'number') throw new Error('no endpoint');
    udp.send(io([1]), socketAddress('10.0.0.2', 9), null, 0);
    pair.run(1e8);
    expect(cache.find(ipAddress('10.0.0.2'))?.state).toBe(NUD_REACHABLE);
    cache.setPermanent(ipAddress('10.0.0.50'), new HardwareAddress().set(0x200, 50));
    for (let i = 0; i < NEIGHBOURS_MAX + 100; i++) {
      udp.send(io([1]), socketAddress(`10.0.0.${3 + (i % 40)}`, 9), null, 0);
      cache.learn(ipAddress(`10.1.${i >> 8}.${i & 255}`), new HardwareAddress().set(0x200, i));
    }
    expect(cache.list().length).toBeLessThanOrEqual(NEIGHBOURS_MAX);
    expect(cache.find(ipAddress('10.0.0.50'))?.state).toBe(NUD_PERMANENT);
    pair.run(20e9);
    udp.close();
    expect(pair.left.state.pool.inUse).toBe(0);
  });
});

describe('a link without ARP', () => {
  it('is sent to at once', () => {
    const pair = new StackPair({ seed: 8 }, allocate);
    pair.run(2e9);
    pair.leftLink.flags |= IFF_NOARP;
    const udp = pair.left.udp.endpoint(4);
    if (typeof udp === 'number') throw new Error('no endpoint');
    const before = pair.leftLink.counters.txPackets;
    udp.send(io([1]), socketAddress('10.0.0.77', 9), null, 0);
    pair.run(1e7);
    expect(pair.leftLink.counters.txPackets).toBe(before + 1);
    expect(pair.leftLink.neighbours!.find(ipAddress('10.0.0.77'))).toBeNull();
  });
});

describe('path MTUs', () => {
  it('come from packets too big', () => {
    const pair = new StackPair({ seed: 7 }, allocate);
    const udp = pair.left.udp.endpoint(4);
    if (typeof udp === 'number') throw new Error('no endpoint');
    udp.options.mtuDiscover = PMTUDISC_DO;
    udp.connect(socketAddress('10.0.0.2', 9));
    expect(udp.pathMtu).toBe(1500);
    // ICMP fragmentation needed, of a datagram from us, MTU 1000.
    const quoted = [
      0x45,
      0,
      5,
      0,
      0,
      0,
      0x40,
      0,
      64,
      17,
      0,
      0,
      10,
      0,
      0,
      1,
      10,
      0,
      0,
      2,
      udp.local.port >> 8,
      udp.local.port & 255,
      0,
      9,
      0,
      100,
      0,
      0,
    ];
    const message = [3, 4, 0, 0, 0, 0, 1000 >> 8, 1000 & 255, ...quoted];
    const view = new DataView(Uint8Array.from(message).buffer);
    view.setUint16(2, finishSum(addBytes(0, view, 0, message.length)));
    const raw = pair.right.raw.endpoint(4, 1);
    if (typeof raw === 'number') throw new Error('no endpoint');
    raw.send(io(new Uint8Array(view.buffer)), socketAddress('10.0.0.1', 0), null);
    pair.run(1e9);
    expect(udp.pathMtu).toBe(1000);
    udp.takeError();
    expect(udp.send(io(new Uint8Array(1100)), null, null, 0)).toBe(-EMSGSIZE);
    pair.run(700e9);
    udp.connect(socketAddress('10.0.0.2', 9));
    expect(udp.pathMtu).toBe(1500);
  });
});

describe('addresses', () => {
  it.each(['::', '::1', 'fe80::1', '2001:db8::8:800:200c:417a', '1:2:3:4:5:6:7:8', '1.2.3.4', '2001:db8:0:1:1:1:1:1', '1::', '0:0:1::2'])(
    '%s is read and written',
    (text) => {
      expect(formatAddress(parseAddress(text)!)).toBe(text);
    },
  );

  it.each(['', '1.2.3', '1.2.3.4.5', '256.1.1.1', ':::', '1:2', 'g::', '1::2::3', '12345::', '1:2:3:4:5:6:7:8:9'])('%s is none', (text) => {
    expect(parseAddress(text)).toBe(null);
  });

  it('have prefixes', () => {
    const address = ipAddress('fd00:1:2:3:4:5:6:7');
    expect(commonPrefixLength(address, ipAddress('fd00:1:2:3:8000::'))).toBe(64);
    for (let bits = 0; bits <= 128; bits++) {
      const masked = ipAddress('fd00:1:2:3:4:5:6:7');
      maskAddress(masked, bits);
      expect(address.isIn(masked, bits)).toBe(true);
    }
  });
});
