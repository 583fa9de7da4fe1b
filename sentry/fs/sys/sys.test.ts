import { describe, expect, test } from 'vitest';
import { FakeHost } from '#platform/fake/fake-host.ts';
import { emptyAttributes } from '#sentry/abi/stat.ts';
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
  const world = new World(host, new SysFileSystem(7, host, { cpuCount: 2, cpuDescription: '', memoryBytes: 1 << 30 }));

  test('tells how many CPUs there are', () => {
    expect(world.readFile('/devices/system/cpu/online')).toBe('0-1\n');
    expect(world.readFile('/devices/system/cpu/possible')).toBe('0-1\n');
    expect(world.readFile('/devices/system/cpu/offline')).toBe('\n');
    expect(world.readFile('/devices/system/cpu/cpu1/topology/thread_siblings')).toBe('2\n');
    expect(world.readFile('/devices/system/node/node0/cpulist')).toBe('0-1\n');
    expect(world.tryOpen('/devices/system/cpu/cpu2', 0)).toBe(-2);
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
