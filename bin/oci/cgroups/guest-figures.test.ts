/** What guests and clients are told: limits, the meter's figures, the lines of `events`. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { noLimits } from '#sentry/fs/cgroup/cgroup-view.ts';
import { applyGuestLimits } from './guest-limits.ts';
import { HostCgroup } from './host-cgroup.ts';
import { hostStatistics, numbersOf } from './host-statistics.ts';
import { CgroupMeter } from './meter.ts';
import type { ResourcesConfig } from '../config/types.ts';
import { mergeResources, podResources } from './pod-resources.ts';
import { NO_RESOURCES } from './resources.ts';
import { eventLine, statsEvent } from './stats-event.ts';
import { FakeCgroups, version1Hierarchies, version2Hierarchies } from './testing.ts';

const MIB = 1024 * 1024;

describe('limits that guests see', () => {
  const { memory, cpu } = NO_RESOURCES;

  test('as configured, without the sandbox’s part', () => {
    const limits = noLimits();
    applyGuestLimits(limits, {
      ...NO_RESOURCES,
      memory: { ...memory, limit: 64 * MIB, swap: 96 * MIB, reservation: MIB },
      cpu: { ...cpu, shares: 1024, quota: 50_000, cpus: '0' },
    });
    expect(limits).toMatchObject({
      memoryMaxBytes: 64 * MIB,
      swapMaxBytes: 32 * MIB,
      memoryLowBytes: MIB,
      cpuWeight: 100,
      cpuQuotaUs: 50_000,
      cpus: '0',
    });
  });

  test('an update leaves the rest; -1 takes a limit away; unified has the last word', () => {
    const limits = { ...noLimits(), memoryMaxBytes: MIB, cpuQuotaUs: 5, cpuPeriodUs: 7 };
    applyGuestLimits(limits, { ...NO_RESOURCES, cpu: { ...cpu, quota: -1 }, unified: { 'memory.high': '4096', 'cpu.max': '9 10' } });
    expect(limits).toMatchObject({ memoryMaxBytes: MIB, memoryHighBytes: 4096, cpuQuotaUs: 9, cpuPeriodUs: 10 });
    applyGuestLimits(limits, { ...NO_RESOURCES, memory: { ...memory, limit: -1 } });
    expect(limits.memoryMaxBytes).toBe(Infinity);
  });
});

describe('the meter', () => {
  let path = '';
  beforeEach(() => {
    path = mkdtempSync(join(tmpdir(), 'meter-'));
  });
  afterEach(() => rmSync(path, { recursive: true }));

  test('counts from when it began', () => {
    const put = (name: string, text: string): void => writeFileSync(join(path, name), text);
    put('memory.current', '1000\n');
    put('memory.events', 'low 0\noom 3\noom_kill 2\n');
    const meter = new CgroupMeter({ path, version: 2 });
    meter.begin();
    put('memory.current', '5000\n');
    expect(meter.memoryBytes).toBe(4000);
    expect(meter.oomKills).toBe(2);
    expect(meter.memoryPeakBytes).toBe(null);
    put('memory.current', '10\n');
    expect(meter.memoryBytes).toBe(0);
  });

  test('knows nothing without a cgroup', () => {
    const meter = new CgroupMeter(null);
    meter.begin();
    expect([meter.memoryBytes, meter.oomKills]).toEqual([null, null]);
  });
});

describe('lines of events', () => {
  const guests = {
    cpuNs: 17,
    memory: { usageBytes: 5, peakBytes: 6, limitBytes: null, swapLimitBytes: null, oomKills: 0 },
    pids: { current: 1, limit: null },
    interfaces: [],
  };

  test('in the shape of runc', () => {
    const line = eventLine(statsEvent('box', guests, hostStatistics(null)));
    expect(line).toMatch(
      /^\{"type":"stats","id":"box","data":\{"cpu":\{"usage":\{"total":17,"kernel":0,"user":17\},"throttling":\{\}\},"cpuset":/,
    );
    expect(line).toContain('"usage":{"limit":9223372036854771712,"usage":5,"max":6,"failcnt":0}');
    expect(line).toContain('"pids":{"current":1},"blkio":{},"hugetlb":{},"intel_rdt":{},"network_interfaces":null}}');
    expect(eventLine({ type: 'oom', id: 'box' })).toBe('{"type":"oom","id":"box"}');
  });

  test('what the host counts, of either version', () => {
    const read = (files: FakeCgroups, entries: Record<string, string>) => {
      for (const { mountPoint } of files.hierarchies) files.makeDirectory(`${mountPoint}/box`);
      for (const [path, text] of Object.entries(entries))
        files.tree.get(path.slice(0, path.lastIndexOf('/')))!.files.set(path.slice(path.lastIndexOf('/') + 1), text);
      const directories = files.hierarchies.map(({ version, controllers, mountPoint }) => ({
        version,
        controllers: version === 1 ? controllers : ['cpu', 'cpuset', 'io'],
        path: `${mountPoint}/box`,
        madeParents: [],
      }));
      return hostStatistics(new HostCgroup({ directories, scope: null, partial: false, isOnlyPlanned: false }, files));
    };
    const first = read(new FakeCgroups(version1Hierarchies()), {
      '/sys/fs/cgroup/cpu/box/cpu.stat': 'nr_periods 4\nnr_throttled 3\nthrottled_time 9000\n',
      '/sys/fs/cgroup/cpuset/box/cpuset.cpus': '0-1\n',
      '/sys/fs/cgroup/blkio/box/blkio.throttle.io_service_bytes_recursive': '8:0 Read 4096\n8:0 Total 4096\nTotal 4096\n',
    });
    expect(first.throttling).toEqual({ periods: 4, throttledPeriods: 3, throttledNs: 9000 });
    expect(first.cpus).toEqual([0, 1]);
    expect(first.serviceBytes[0]).toEqual({ major: 8, minor: 0, op: 'Read', value: 4096 });
    const second = read(new FakeCgroups(version2Hierarchies(), ['cpu', 'cpuset', 'io']), {
      '/sys/fs/cgroup/box/cpu.stat': 'usage_usec 1\nthrottled_usec 9\n',
      '/sys/fs/cgroup/box/io.stat': '8:0 rbytes=4096 wbytes=1 rios=2 wios=3 dbytes=0 dios=0\n',
    });
    expect(second.throttling.throttledNs).toBe(9000);
    expect(second.serviced).toEqual([
      { major: 8, minor: 0, op: 'Read', value: 2 },
      { major: 8, minor: 0, op: 'Write', value: 3 },
    ]);
  });

  test('lists of CPUs', () => {
    expect(numbersOf('0-2,5\n')).toEqual([0, 1, 2, 5]);
    expect(numbersOf('\n')).toEqual([]);
  });
});

describe('a pod', () => {
  const { memory, cpu } = NO_RESOURCES;
  const member = (limit: number | null, shares: number | null, quota: number | null, pidsLimit: number | null): ResourcesConfig => ({
    ...NO_RESOURCES,
    memory: { ...memory, limit, swap: limit },
    cpu: { ...cpu, shares, quota, period: quota === null ? null : 50_000 },
    pidsLimit,
  });

  test('may use what its containers may use together', () => {
    const pod = podResources([member(MIB, 512, 25_000, 10), member(2 * MIB, null, 50_000, 20)]);
    expect(pod.memory).toMatchObject({ limit: 3 * MIB, swap: 3 * MIB });
    expect(pod.cpu).toMatchObject({ shares: 1536, quota: 150_000, period: 100_000, cpus: null });
    expect(pod.pidsLimit).toBe(30);
  });

  test('has no limit where one of them has none', () => {
    const pod = podResources([member(MIB, 2, null, 10), member(null, 2, 10, -1)]);
    expect(pod.memory).toMatchObject({ limit: -1, swap: -1 });
    expect(pod.cpu.quota).toBe(-1);
    expect(pod.pidsLimit).toBe(-1);
  });

  test('an update says only what it changes', () => {
    const merged = mergeResources(member(MIB, 512, null, 10), { ...NO_RESOURCES, memory: { ...memory, limit: 2 * MIB } });
    expect(merged.memory).toMatchObject({ limit: 2 * MIB, swap: MIB });
    expect(merged.cpu.shares).toBe(512);
    expect(merged.pidsLimit).toBe(10);
  });
});
