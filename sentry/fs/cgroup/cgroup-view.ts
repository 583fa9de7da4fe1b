/**
 * What the files at /sys/fs/cgroup are filled from: the limits the container was given, and what it uses. The file systems know neither the
 * configuration nor the host; both are handed to them.
 */

/** Infinity: no limit. Changed in place when the container is updated. */
export interface CgroupLimits {
  memoryMaxBytes: number;
  /** Beyond the memory. */
  swapMaxBytes: number;
  memoryHighBytes: number;
  memoryLowBytes: number;
  memoryMinBytes: number;
  /** Microseconds of CPU time in each period. */
  cpuQuotaUs: number;
  cpuPeriodUs: number;
  cpuBurstUs: number;
  /** 1 to 10000; the usual one is 100. */
  cpuWeight: number;
  cpuIsIdle: boolean;
  /** cpuset.cpus as configured, or the empty string. */
  cpus: string;
}

export interface CgroupAccounts {
  readonly cpuNs: number;
  /** In use now, in bytes. */
  readonly memoryBytes: number;
  readonly memoryPeakBytes: number;
  /** Processes the host killed because memory was exhausted. */
  readonly oomKills: number;
  /** Tasks, zombies included. */
  readonly taskCount: number;
  readonly taskPeak: number;
  readonly tasksMax: number;
  /** Clones refused because of `tasksMax`. */
  readonly taskRefusals: number;
}

export function noLimits(): CgroupLimits {
  return {
    memoryMaxBytes: Infinity,
    swapMaxBytes: Infinity,
    memoryHighBytes: Infinity,
    memoryLowBytes: 0,
    memoryMinBytes: 0,
    cpuQuotaUs: Infinity,
    cpuPeriodUs: 100_000,
    cpuBurstUs: 0,
    cpuWeight: 100,
    cpuIsIdle: false,
    cpus: '',
  };
}
