/**
 * The files of the container's own group, the root inside: its limits as they were configured, and what it uses by the sentry's accounts. Limits cannot be
 * changed from inside (Linux: EPERM at the root of a cgroup namespace). Spec: cgroup-v2.rst, "Controllers".
 */
import { EPERM } from '#sentry/abi/errno.ts';
import { PAGE_SIZE } from '#sentry/abi/mman.ts';
import type { CgroupAccounts, CgroupLimits } from './cgroup-view.ts';
import { readOnly } from './core-files.ts';
import type { GroupFile } from './core-files.ts';

export interface ContainerFiguresSource {
  readonly limits: CgroupLimits;
  readonly accounts: CgroupAccounts;
  /** CPUs guests see, numbered from 0. */
  readonly cpuList: string;
}

function limit(read: () => string): GroupFile {
  return { read: () => `${read()}\n`, write: () => -EPERM };
}

/** Whole pages, as Linux keeps it; `max` for none. */
function bytes(value: number): string {
  return value === Infinity ? 'max' : String(Math.floor(value / PAGE_SIZE) * PAGE_SIZE);
}

function count(value: number): string {
  return value === Infinity ? 'max' : String(value);
}

function flat(pairs: Readonly<Record<string, number>>): string {
  return Object.entries(pairs)
    .map(([key, value]) => `${key} ${value}\n`)
    .join('');
}

export function limitFiles({ limits, accounts, cpuList }: ContainerFiguresSource): Record<string, GroupFile> {
  return {
    ...cpuFiles(limits, accounts),
    ...cpusetFiles(limits, cpuList),
    ...ioFiles(),
    ...memoryFiles(limits, accounts),
    ...pidsFiles(accounts),
  };
}

function cpuFiles(limits: CgroupLimits, accounts: CgroupAccounts): Record<string, GroupFile> {
  return {
    'cpu.idle': limit(() => (limits.cpuIsIdle ? '1' : '0')),
    'cpu.max': limit(() => `${count(limits.cpuQuotaUs)} ${limits.cpuPeriodUs}`),
    'cpu.max.burst': limit(() => String(limits.cpuBurstUs)),
    'cpu.stat': readOnly(() => cpuStat(accounts)),
    'cpu.weight': limit(() => String(limits.cpuWeight)),
    'cpu.weight.nice': limit(() => String(niceOfWeight(limits.cpuWeight))),
  };
}

/** The host counts guests' time only as a whole (sentry/kernel/cpu-time.ts); throttling is its own affair. */
function cpuStat({ cpuNs }: CgroupAccounts): string {
  const usage = Math.floor(cpuNs / 1000);
  return flat({
    usage_usec: usage,
    user_usec: usage,
    system_usec: 0,
    nr_periods: 0,
    nr_throttled: 0,
    throttled_usec: 0,
    nr_bursts: 0,
    burst_usec: 0,
  });
}

const LOAD_STEP = 1.25;
const NICE_MIN = -20;
const NICE_MAX = 19;

/** The nice value whose load is nearest: each step is a factor of 1.25, weight 100 is nice 0 (kernel/sched/core.c). */
function niceOfWeight(weight: number): number {
  const nice = Math.round(-Math.log(weight / 100) / Math.log(LOAD_STEP));
  return Math.max(NICE_MIN, Math.min(NICE_MAX, nice));
}

function cpusetFiles(limits: CgroupLimits, cpuList: string): Record<string, GroupFile> {
  return {
    // Linux: the host's numbers. Guests see the CPUs they may use, numbered from 0.
    'cpuset.cpus': limit(() => (limits.cpus === '' ? '' : cpuList)),
    'cpuset.cpus.effective': readOnly(() => `${cpuList}\n`),
    'cpuset.cpus.partition': limit(() => 'member'),
    'cpuset.mems': limit(() => ''),
    'cpuset.mems.effective': readOnly(() => '0\n'),
  };
}

/** There are no block devices inside. */
function ioFiles(): Record<string, GroupFile> {
  return { 'io.max': limit(() => ''), 'io.stat': readOnly(() => ''), 'io.weight': limit(() => 'default 100') };
}

function memoryFiles(limits: CgroupLimits, accounts: CgroupAccounts): Record<string, GroupFile> {
  const events = readOnly(() => flat({ low: 0, high: 0, max: 0, oom: accounts.oomKills, oom_kill: accounts.oomKills, oom_group_kill: 0 }));
  return {
    'memory.current': readOnly(() => `${bytes(accounts.memoryBytes)}\n`),
    'memory.events': events,
    'memory.events.local': events,
    'memory.high': limit(() => bytes(limits.memoryHighBytes)),
    'memory.low': limit(() => bytes(limits.memoryLowBytes)),
    'memory.max': limit(() => bytes(limits.memoryMaxBytes)),
    'memory.min': limit(() => bytes(limits.memoryMinBytes)),
    'memory.oom.group': limit(() => '0'),
    'memory.peak': readOnly(() => `${bytes(accounts.memoryPeakBytes)}\n`),
    'memory.stat': readOnly(() => memoryStat(accounts)),
    'memory.swap.current': readOnly(() => '0\n'),
    'memory.swap.events': readOnly(() => flat({ high: 0, max: 0, fail: 0 })),
    'memory.swap.high': limit(() => 'max'),
    'memory.swap.max': limit(() => bytes(limits.swapMaxBytes)),
    'memory.swap.peak': readOnly(() => '0\n'),
  };
}

/** All memory is counted as anonymous: files of the host are cached by the host, for everybody. */
function memoryStat({ memoryBytes }: CgroupAccounts): string {
  return flat({
    anon: Math.floor(memoryBytes / PAGE_SIZE) * PAGE_SIZE,
    file: 0,
    kernel: 0,
    kernel_stack: 0,
    pagetables: 0,
    percpu: 0,
    sock: 0,
    shmem: 0,
    file_mapped: 0,
    file_dirty: 0,
    file_writeback: 0,
    swapcached: 0,
    inactive_anon: Math.floor(memoryBytes / PAGE_SIZE) * PAGE_SIZE,
    active_anon: 0,
    inactive_file: 0,
    active_file: 0,
    unevictable: 0,
    slab_reclaimable: 0,
    slab_unreclaimable: 0,
    slab: 0,
    pgfault: 0,
    pgmajfault: 0,
  });
}

function pidsFiles(accounts: CgroupAccounts): Record<string, GroupFile> {
  return {
    'pids.current': readOnly(() => `${accounts.taskCount}\n`),
    'pids.events': readOnly(() => flat({ max: accounts.taskRefusals })),
    'pids.max': limit(() => count(accounts.tasksMax)),
    'pids.peak': readOnly(() => `${accounts.taskPeak}\n`),
  };
}
