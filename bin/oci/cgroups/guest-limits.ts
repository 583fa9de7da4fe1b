/**
 * From `linux.resources` to what guests are shown at /sys/fs/cgroup: the limits as they were configured, without the sandbox's own part.
 * `unified` has the last word, as on the host. Spec: as settings.ts.
 */
import type { CgroupLimits } from '#sentry/fs/cgroup/cgroup-view.ts';
import type { ResourcesConfig } from '../config/types.ts';
import { swapAlone, weightOfShares } from './settings.ts';

/** Changes `limits` to what `resources` says, and leaves the rest. */
export function applyGuestLimits(limits: CgroupLimits, { memory, cpu, unified }: ResourcesConfig): void {
  if (isGiven(memory.limit)) limits.memoryMaxBytes = bounded(memory.limit);
  if (isGiven(memory.reservation)) limits.memoryLowBytes = bounded(memory.reservation);
  const swap = swapAlone({ ...memory, limit: memory.limit ?? bytesOf(limits.memoryMaxBytes) });
  if (swap !== null) limits.swapMaxBytes = swap < 0 ? Infinity : swap;
  if (isGiven(cpu.shares)) limits.cpuWeight = weightOfShares(cpu.shares);
  if (isGiven(cpu.quota)) limits.cpuQuotaUs = bounded(cpu.quota);
  if (isGiven(cpu.period)) limits.cpuPeriodUs = cpu.period;
  if (isGiven(cpu.burst)) limits.cpuBurstUs = cpu.burst;
  if (cpu.idle !== null) limits.cpuIsIdle = cpu.idle === 1;
  if (cpu.cpus !== null) limits.cpus = cpu.cpus;
  applyUnified(limits, unified);
}

function isGiven(value: number | null): value is number {
  return value !== null && value !== 0;
}

function bounded(value: number): number {
  return value < 0 ? Infinity : value;
}

function bytesOf(limit: number): number {
  return limit === Infinity ? -1 : limit;
}

function applyUnified(limits: CgroupLimits, unified: Readonly<Record<string, string>>): void {
  const set = (file: string, apply: (value: number) => void): void => {
    const text = unified[file]?.trim();
    if (text === undefined) return;
    const value = text === 'max' ? Infinity : Number(text);
    if (!Number.isNaN(value)) apply(value);
  };
  set('memory.max', (value) => (limits.memoryMaxBytes = value));
  set('memory.high', (value) => (limits.memoryHighBytes = value));
  set('memory.low', (value) => (limits.memoryLowBytes = value));
  set('memory.min', (value) => (limits.memoryMinBytes = value));
  set('memory.swap.max', (value) => (limits.swapMaxBytes = value));
  set('cpu.weight', (value) => (limits.cpuWeight = value));
  const [quota, period] = (unified['cpu.max'] ?? '').trim().split(' ');
  if (quota !== undefined && quota !== '') limits.cpuQuotaUs = quota === 'max' ? Infinity : Number(quota);
  if (period !== undefined) limits.cpuPeriodUs = Number(period);
}
