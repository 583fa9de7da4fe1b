/**
 * What only the host knows of a container's cgroup, read by the verbs: how often its CPU time was cut, which CPUs it may use, what it read and wrote.
 * Files that the host does not have leave their figures at 0 or empty. Spec: kernel Documentation/admin-guide/cgroup-v1, cgroup-v2.rst.
 */
import type { HostCgroup } from './host-cgroup.ts';

export interface BlockIoEntry {
  readonly major: number;
  readonly minor: number;
  readonly op: string;
  readonly value: number;
}

export interface HostStatistics {
  readonly throttling: { readonly periods: number; readonly throttledPeriods: number; readonly throttledNs: number };
  readonly cpus: readonly number[];
  readonly mems: readonly number[];
  readonly serviceBytes: readonly BlockIoEntry[];
  readonly serviced: readonly BlockIoEntry[];
}

/** CPUs of a list that a host could have: what it says is believed, but not without a bound. */
const CPUS_MAX = 8192;

/** `cgroup` null: the container has none. */
export function hostStatistics(cgroup: HostCgroup | null): HostStatistics {
  const read = (controller: string, name: string): string => {
    const directory = cgroup?.directoryOf(controller) ?? null;
    const text = directory === null ? '' : cgroup!.files.read(`${directory.path}/${name}`);
    return typeof text === 'string' ? text : '';
  };
  const stat = pairs(read('cpu', 'cpu.stat'));
  const cpuset = cgroup?.directoryOf('cpuset')?.version === 1 ? 'cpuset.' : '';
  const list = (name: string): number[] => numbersOf(read('cpuset', cpuset === '' ? `cpuset.${name}.effective` : `cpuset.${name}`));
  return {
    throttling: {
      periods: stat.get('nr_periods') ?? 0,
      throttledPeriods: stat.get('nr_throttled') ?? 0,
      throttledNs: stat.get('throttled_time') ?? (stat.get('throttled_usec') ?? 0) * 1000,
    },
    cpus: list('cpus'),
    mems: list('mems'),
    ...blockIo(read),
  };
}

function pairs(text: string): Map<string, number> {
  return new Map(
    text.split('\n').map((line) => {
      const [key, value] = line.split(' ');
      return [key ?? '', Number(value)];
    }),
  );
}

/** `0-2,5` is 0, 1, 2, 5. */
export function numbersOf(list: string): number[] {
  return list
    .trim()
    .split(',')
    .filter((range) => range !== '')
    .flatMap((range) => {
      const [first = 0, last = first] = range.split('-').map(Number);
      return Array.from({ length: Math.min(last - first + 1, CPUS_MAX) }, (_, i) => first + i);
    });
}

function blockIo(read: (controller: string, name: string) => string): Pick<HostStatistics, 'serviceBytes' | 'serviced'> {
  const version2 = read('io', 'io.stat');
  if (version2 !== '')
    return {
      serviceBytes: ofIoStat(version2, { rbytes: 'Read', wbytes: 'Write' }),
      serviced: ofIoStat(version2, { rios: 'Read', wios: 'Write' }),
    };
  return {
    serviceBytes: ofThrottle(read('blkio', 'blkio.throttle.io_service_bytes_recursive')),
    serviced: ofThrottle(read('blkio', 'blkio.throttle.io_serviced_recursive')),
  };
}

/** Lines `8:0 Read 4096`; the last one is a total without a device. */
function ofThrottle(text: string): BlockIoEntry[] {
  return [...text.matchAll(/^(\d+):(\d+) (\w+) (\d+)$/gm)].map(([, major, minor, op, value]) => {
    return { major: Number(major), minor: Number(minor), op: op!, value: Number(value) };
  });
}

/** Lines `8:0 rbytes=4096 wbytes=0 rios=1 …`. */
function ofIoStat(text: string, names: Readonly<Record<string, string>>): BlockIoEntry[] {
  return [...text.matchAll(/^(\d+):(\d+) (.*)$/gm)].flatMap(([, major, minor, fields]) =>
    Object.entries(names).flatMap(([name, op]) => {
      const value = new RegExp(`\\b${name}=(\\d+)`).exec(fields!)?.[1];
      return value === undefined ? [] : [{ major: Number(major), minor: Number(minor), op, value: Number(value) }];
    }),
  );
}
