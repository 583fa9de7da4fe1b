import { describe, expect, test } from 'vitest';
import { FakeHost } from '#platform/fake/fake-host.ts';
import { emptyAttributes } from '#sentry/abi/stat.ts';
import { StackPair } from '../../netstack/testing/stack-pair.ts';
import { World } from '../testing/world.ts';
import { cpuList, cpuMask } from './cpu-list.ts';
import { SysFileSystem } from './sys-file-system.ts';

describe('CPU sets as text', () => {
  test('lists', () => {
    expect(cpuList(0, 1)).toBe('0');
    expect(cpuList(0, 2)).toBe('0-1');
    expect(cpuList(3, 4)).toBe('3');
  });

  test('masks are as wide as the machine', () => {
    expect(cpuMask(0, 2, 2)).toBe('3');
    expect(cpuMask(1, 2, 2)).toBe('2');
    expect(cpuMask(0, 8, 8)).toBe('ff');
    expect(cpuMask(0, 12, 12)).toBe('fff');
    expect(cpuMask(33, 34, 40)).toBe('02,00000000');
    expect(cpuMask(0, 64, 64)).toBe('ffffffff,ffffffff');
  });
});

describe('sysfs', () => {
  const host = new FakeHost();
  const pair = new StackPair({ seed: 1 }, (bytes) => host.allocate(bytes));
  const world = new World(
    host,
    new SysFileSystem(7, host, { cpuCount: 2, cpuDescription: '', memoryBytes: 1 << 30 }, pair.left.interfaces),
  );

  test('tells how many CPUs there are', () => {
    expect(world.readFile('/devices/system/cpu/online')).toBe('0-1\n');
    expect(world.readFile('/devices/system/cpu/possible')).toBe('0-1\n');
    expect(world.readFile('/devices/system/cpu/offline')).toBe('\n');
    expect(world.readFile('/devices/system/cpu/cpu1/topology/thread_siblings')).toBe('2\n');
    expect(world.readFile('/devices/system/node/node0/cpulist')).toBe('0-1\n');
    expect(world.tryOpen('/devices/system/cpu/cpu2', 0)).toBe(-2);
  });

  test('shows the interfaces there are', () => {
    const link = pair.leftLink;
    expect(world.list('/class/net')).toEqual([link.name, 'lo'].sort());
    expect(world.readFile('/class/net/lo/type')).toBe('772\n');
    expect(world.readFile('/class/net/lo/operstate')).toBe('unknown\n');
    expect(world.readFile('/class/net/lo/address')).toBe('00:00:00:00:00:00\n');
    expect(world.readFile(`/class/net/${link.name}/ifindex`)).toBe(`${link.index}\n`);
    expect(world.readFile(`/class/net/${link.name}/mtu`)).toBe(`${link.mtu}\n`);
    expect(world.readFile(`/class/net/${link.name}/address`)).toMatch(/^([0-9a-f]{2}:){5}[0-9a-f]{2}\n$/);
    expect(() => world.readFile('/class/net/lo/speed')).toThrow('-22');
    pair.left.interfaces.loopback.counters.rxBytes = 7;
    expect(world.readFile('/class/net/lo/statistics/rx_bytes')).toBe('7\n');
    expect(world.readFile('/class/net/lo/statistics/collisions')).toBe('0\n');
    expect(world.list('/devices/virtual/net')).toEqual(world.list('/class/net'));
    pair.left.interfaces.setDown(link);
    expect(() => world.readFile(`/class/net/${link.name}/carrier`)).toThrow('-22');
    expect(world.readFile(`/class/net/${link.name}/operstate`)).toBe('down\n');
    pair.left.interfaces.remove(link);
    expect(world.list('/class/net')).toEqual(['lo']);
    expect(world.tryStat(`/class/net/${link.name}`)).toBe(-2);
  });

  test('files are a page long and cannot be written', () => {
    const file = world.open('/kernel/mm/transparent_hugepage/enabled');
    expect(world.readFile('/kernel/mm/transparent_hugepage/enabled')).toBe('always [madvise] never\n');
    const attributes = emptyAttributes();
    expect(file.getattr(attributes)).toBe(0);
    expect(attributes.size).toBe(4096);
    expect(attributes.mode).toBe(0o100444);
    file.release();
    expect(world.tryOpen('/kernel/mm/transparent_hugepage/enabled', 1)).toBe(-13);
  });
});
