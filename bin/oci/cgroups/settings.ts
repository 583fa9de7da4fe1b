/**
 * From `linux.resources` to the files of a cgroup, for both versions. Pure: what is to be written, in an order that the host accepts.
 *
 * Limits on memory and on tasks are those of the guests plus the sandbox's own part (limits.ts); all others hold for the sandbox as a whole.
 * Spec: kernel Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst; the conversions are those of the OCI specification's v2 mapping.
 */
import { CgroupError } from './cgroup-error.ts';
import { HOST_TASKS_FOR_GUEST_TASK, SANDBOX_MEMORY_BYTES, SANDBOX_TASKS } from './limits.ts';
import type { BlockIoConfig, CpuConfig, MemoryConfig, ResourcesConfig, ThrottleDevice } from '../config/types.ts';
import type { Setting } from './resources.ts';

const UNLIMITED = -1;
/** What v1 takes as pids.max at most; more is "max". */
const TASKS_MAX = 4_194_304;

type Values = readonly (readonly [file: string, value: number | string | null, field: string])[];

/** Files whose value is given, as settings of `controller`. */
function settings(controller: string, prefix: string, values: Values): Setting[] {
  return values
    .filter(([, value]) => value !== null)
    .map(([file, value, field]) => ({ controller, file, value: String(value), field: `${prefix}.${field}` }));
}

/** The host's limit for guests' `bytes`; null and "unlimited" stay what they are. */
function withSandbox(bytes: number | null): number | null {
  return bytes === null || bytes <= 0 ? bytes : bytes + SANDBOX_MEMORY_BYTES;
}

/** 0 stands for "not given" in configurations made by programs. */
function given(value: number | null): number | null {
  return value === 0 ? null : value;
}

function tasks(limit: number | null): string | null {
  if (limit === null || limit === 0) return null;
  const host = limit * HOST_TASKS_FOR_GUEST_TASK + SANDBOX_TASKS;
  return limit < 0 || host > TASKS_MAX ? 'max' : String(host);
}

/** memory.swap counts memory and swap together; without a limit on memory there is none on both unless said. */
function totalOfSwap({ limit, swap }: MemoryConfig): number | null {
  return given(swap) ?? (limit === UNLIMITED ? UNLIMITED : null);
}

// ---- version 1

export function version1Settings(resources: ResourcesConfig): Setting[] {
  const { memory, cpu, pidsLimit, blockIO, hugepageLimits } = resources;
  return [
    ...cpu1(cpu),
    ...memory1(memory),
    ...settings('pids', 'pids', [['pids.max', tasks(pidsLimit), 'limit']]),
    ...blockIo1(blockIO),
    ...hugepageLimits.flatMap(({ pageSize, limit }) =>
      settings('hugetlb', 'hugepageLimits', [[`hugetlb.${pageSize}.limit_in_bytes`, limit, pageSize]]),
    ),
  ];
}

/** The limit on memory and swap may never be below that on memory: which one goes first is decided by who writes them. */
function memory1(memory: MemoryConfig): Setting[] {
  const { reservation, swappiness, disableOOMKiller, limit } = memory;
  return settings('memory', 'memory', [
    ['memory.limit_in_bytes', withSandbox(given(limit)), 'limit'],
    ['memory.memsw.limit_in_bytes', withSandbox(totalOfSwap(memory)), 'swap'],
    ['memory.soft_limit_in_bytes', withSandbox(given(reservation)), 'reservation'],
    ['memory.swappiness', swappiness === UNLIMITED ? null : swappiness, 'swappiness'],
    ['memory.oom_control', disableOOMKiller ? 1 : null, 'disableOOMKiller'],
  ]);
}

function cpu1(cpu: CpuConfig): Setting[] {
  return [
    ...settings('cpuset', 'cpu', [
      ['cpuset.cpus', filled(cpu.cpus), 'cpus'],
      ['cpuset.mems', filled(cpu.mems), 'mems'],
    ]),
    ...settings('cpu', 'cpu', [
      ['cpu.shares', given(cpu.shares), 'shares'],
      ['cpu.cfs_period_us', given(cpu.period), 'period'],
      ['cpu.cfs_quota_us', given(cpu.quota), 'quota'],
      ['cpu.cfs_burst_us', given(cpu.burst), 'burst'],
      ['cpu.rt_period_us', given(cpu.realtimePeriod), 'realtimePeriod'],
      ['cpu.rt_runtime_us', given(cpu.realtimeRuntime), 'realtimeRuntime'],
      ['cpu.idle', cpu.idle, 'idle'],
    ]),
  ];
}

function filled(text: string | null): string | null {
  return text === '' ? null : text;
}

function blockIo1(io: BlockIoConfig): Setting[] {
  const rates = (file: string, field: string, list: readonly ThrottleDevice[]): Setting[] =>
    list.flatMap(({ major, minor, rate }) => settings('blkio', 'blockIO', [[file, `${major}:${minor} ${rate}`, field]]));
  return [
    ...settings('blkio', 'blockIO', [
      ['blkio.weight', given(io.weight), 'weight'],
      ['blkio.leaf_weight', given(io.leafWeight), 'leafWeight'],
    ]),
    ...io.weightDevice.flatMap(({ major, minor, weight, leafWeight }) =>
      settings('blkio', 'blockIO', [
        ['blkio.weight_device', weight === null ? null : `${major}:${minor} ${weight}`, 'weightDevice'],
        ['blkio.leaf_weight_device', leafWeight === null ? null : `${major}:${minor} ${leafWeight}`, 'weightDevice'],
      ]),
    ),
    ...rates('blkio.throttle.read_bps_device', 'throttleReadBpsDevice', io.throttleReadBpsDevice),
    ...rates('blkio.throttle.write_bps_device', 'throttleWriteBpsDevice', io.throttleWriteBpsDevice),
    ...rates('blkio.throttle.read_iops_device', 'throttleReadIOPSDevice', io.throttleReadIOPSDevice),
    ...rates('blkio.throttle.write_iops_device', 'throttleWriteIOPSDevice', io.throttleWriteIOPSDevice),
  ];
}

// ---- version 2

export function version2Settings(resources: ResourcesConfig): Setting[] {
  const { memory, cpu, pidsLimit, blockIO, hugepageLimits, unified } = resources;
  return [
    ...cpu2(cpu),
    ...memory2(memory),
    ...settings('pids', 'pids', [['pids.max', tasks(pidsLimit), 'limit']]),
    ...io2(blockIO),
    ...hugepageLimits.flatMap(({ pageSize, limit }) =>
      settings('hugetlb', 'hugepageLimits', [[`hugetlb.${pageSize}.max`, limit, pageSize]]),
    ),
    // Last: who writes them by name means them.
    ...Object.entries(unified).map(([file, value]) => unifiedSetting(file, value)),
  ];
}

/** Amounts of memory and of tasks that are given by the file's name mean the guests' as well. */
const OF_GUESTS: Readonly<Record<string, (value: number) => number | string | null>> = {
  'memory.max': withSandbox,
  'memory.high': withSandbox,
  'memory.low': withSandbox,
  'memory.min': withSandbox,
  'pids.max': tasks,
};

function unifiedSetting(file: string, text: string): Setting {
  if (file === '' || file.includes('/') || !file.includes('.')) {
    throw new CgroupError(`config.json: linux.resources.unified: "${file}" is not the name of a cgroup file.`);
  }
  const convert = /^\s*[1-9]\d*\s*$/.test(text) ? OF_GUESTS[file] : undefined;
  const value = convert === undefined ? text : String(convert(Number(text)));
  return { controller: file.slice(0, file.indexOf('.')), file, value, field: `unified.${file}` };
}

function maximum(bytes: number | null): number | string | null {
  return bytes === UNLIMITED ? 'max' : bytes;
}

function memory2(memory: MemoryConfig): Setting[] {
  return settings('memory', 'memory', [
    ['memory.swap.max', maximum(swapAlone(memory)), 'swap'],
    ['memory.max', maximum(withSandbox(given(memory.limit))), 'limit'],
    ['memory.low', maximum(withSandbox(given(memory.reservation))), 'reservation'],
  ]);
}

/** v2 limits swap by itself: the configured total less the configured memory. */
export function swapAlone(memory: MemoryConfig): number | null {
  const { limit } = memory;
  const total = totalOfSwap(memory);
  if (total === null || total === UNLIMITED || limit === UNLIMITED) return total;
  if (limit === null || limit === 0) throw new CgroupError('unable to set swap limit without memory limit.');
  if (total < limit) throw new CgroupError('memory+swap limit should be >= memory limit.');
  return total - limit;
}

function cpu2(cpu: CpuConfig): Setting[] {
  const { shares, idle } = cpu;
  return [
    ...settings('cpuset', 'cpu', [
      ['cpuset.cpus', filled(cpu.cpus), 'cpus'],
      ['cpuset.mems', filled(cpu.mems), 'mems'],
    ]),
    ...settings('cpu', 'cpu', [
      ['cpu.idle', idle, 'idle'],
      // The host refuses a weight for what only runs when idle.
      ['cpu.weight', shares === null || shares === 0 || idle === 1 ? null : weightOfShares(shares), 'shares'],
      ['cpu.max', cpuMax(cpu), 'quota'],
      ['cpu.max.burst', given(cpu.burst), 'burst'],
    ]),
  ];
}

const DEFAULT_PERIOD_US = 100_000;

function cpuMax({ quota, period }: CpuConfig): string | null {
  if (given(quota) === null && given(period) === null) return null;
  const amount = quota === null || quota <= 0 ? 'max' : String(quota);
  return `${amount} ${given(period) ?? DEFAULT_PERIOD_US}`;
}

/**
 * Weight (1 to 10000) for v1 shares (2 to 262144), so that the ends and the defaults (1024 and 100) meet: a quadratic in the logarithm, as
 * newer container runtimes use it. The older linear rule gave a default container 39.
 */
export function weightOfShares(shares: number): number {
  if (shares <= 2) return 1;
  if (shares >= 262_144) return 10_000;
  const log = Math.log2(shares);
  return Math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34));
}

function io2(io: BlockIoConfig): Setting[] {
  const rates = (key: string, field: string, list: readonly ThrottleDevice[]): Setting[] =>
    list.flatMap(({ major, minor, rate }) => settings('io', 'blockIO', [['io.max', `${major}:${minor} ${key}=${rate}`, field]]));
  return [
    ...settings('io', 'blockIO', [['io.weight', weightOfBlockIo(given(io.weight)), 'weight']]),
    ...io.weightDevice.flatMap(({ major, minor, weight }) =>
      settings('io', 'blockIO', [['io.weight', weight === null ? null : `${major}:${minor} ${weightOfBlockIo(weight)}`, 'weightDevice']]),
    ),
    ...rates('rbps', 'throttleReadBpsDevice', io.throttleReadBpsDevice),
    ...rates('wbps', 'throttleWriteBpsDevice', io.throttleWriteBpsDevice),
    ...rates('riops', 'throttleReadIOPSDevice', io.throttleReadIOPSDevice),
    ...rates('wiops', 'throttleWriteIOPSDevice', io.throttleWriteIOPSDevice),
  ];
}

/** 10 to 1000 becomes 1 to 10000. */
function weightOfBlockIo(weight: number | null): number | null {
  return weight === null ? null : 1 + Math.floor(((weight - 10) * 9999) / 990);
}
