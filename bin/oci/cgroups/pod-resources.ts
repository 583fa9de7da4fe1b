/**
 * What the sandbox of a pod may use on the host. All guests of a pod live in the sandbox's processes, which are in the cgroup of the pod's first container;
 * that one is made for a process that only waits (in Kubernetes: 2 CPU shares), so it gets what the other containers may use together. Their own
 * cgroups hold their stand-ins. The limits of each are kept by the sentry where it can (tasks), those of the pod by the cgroup above.
 */
import type { CpuConfig, MemoryConfig, ResourcesConfig } from '../config/types.ts';
import { NO_RESOURCES } from './resources.ts';

const UNLIMITED = -1;
const DEFAULT_SHARES = 1024;
const SHARES_MAX = 262_144;
const PERIOD_US = 100_000;

/** For the containers of a pod that do something; at least one. */
export function podResources(members: readonly ResourcesConfig[]): ResourcesConfig {
  return {
    ...NO_RESOURCES,
    memory: podMemory(members.map(({ memory }) => memory)),
    cpu: podCpu(members.map(({ cpu }) => cpu)),
    pidsLimit: sumOfLimits(members.map(({ pidsLimit }) => pidsLimit)),
  };
}

/** No limit if one has none. */
function sumOfLimits(limits: readonly (number | null)[]): number {
  let sum = 0;
  for (const limit of limits) {
    if (limit === null || limit <= 0) return UNLIMITED;
    sum += limit;
  }
  return sum;
}

function podMemory(members: readonly MemoryConfig[]): MemoryConfig {
  const limit = sumOfLimits(members.map((memory) => memory.limit));
  // Without a limit on memory there is none on memory and swap together.
  const swap = limit === UNLIMITED ? UNLIMITED : sumOfLimits(members.map((memory) => memory.swap));
  return { ...NO_RESOURCES.memory, limit, swap };
}

function podCpu(members: readonly CpuConfig[]): CpuConfig {
  const shares = members.reduce((sum, cpu) => sum + (cpu.shares ?? DEFAULT_SHARES), 0);
  const quota = sumOfLimits(members.map(({ quota: time, period }) => (time === null ? null : (time * PERIOD_US) / (period ?? PERIOD_US))));
  return { ...NO_RESOURCES.cpu, shares: Math.min(shares, SHARES_MAX), quota: Math.round(quota), period: PERIOD_US };
}

/** `later` where it says something, else `earlier`: what `update` makes of a configuration. */
export function mergeResources(earlier: ResourcesConfig, later: ResourcesConfig): ResourcesConfig {
  return {
    ...earlier,
    memory: merge(earlier.memory, later.memory),
    cpu: merge(earlier.cpu, later.cpu),
    pidsLimit: later.pidsLimit ?? earlier.pidsLimit,
    blockIO: merge(earlier.blockIO, later.blockIO),
    unified: { ...earlier.unified, ...later.unified },
  };
}

function merge<T extends object>(earlier: T, later: T): T {
  const said = Object.entries(later).filter(([, value]) => value !== null && !(Array.isArray(value) && value.length === 0));
  return { ...earlier, ...Object.fromEntries(said) };
}
