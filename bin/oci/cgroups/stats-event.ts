/**
 * The lines of `events`, in the shape of runc's (its package types): field names and what is left out when it is zero are what clients parse.
 * Figures are the sentry's accounts of the guests, limits those that were configured; what only the host counts comes from the host.
 */
import type { BlockIoEntry, HostStatistics } from './host-statistics.ts';
import type { InterfaceStats, StatsReply } from './stats-reply.ts';

/** What cgroup v1 shows for "no limit". */
const UNLIMITED_BYTES = 9_223_372_036_854_771_712n;

/** No name of an interface or id of a container has blanks. */
const UNLIMITED_MARK = 'no limit';

export interface ContainerEvent {
  readonly type: 'stats' | 'oom';
  readonly id: string;
  readonly data?: object;
}

export function statsEvent(id: string, guests: StatsReply, host: HostStatistics): ContainerEvent {
  const { memory, pids, interfaces, cpuNs } = guests;
  const usage = { usage: memory.usageBytes, max: memory.peakBytes, failcnt: 0 };
  const swapLimit = memory.limitBytes === null || memory.swapLimitBytes === null ? null : memory.limitBytes + memory.swapLimitBytes;
  const data = {
    cpu: {
      usage: { ...present({ total: cpuNs }), kernel: 0, user: cpuNs },
      throttling: present({
        periods: host.throttling.periods,
        throttledPeriods: host.throttling.throttledPeriods,
        throttledTime: host.throttling.throttledNs,
      }),
    },
    cpuset: cpuset(host),
    memory: {
      usage: { limit: memory.limitBytes, ...usage },
      swap: { limit: swapLimit, ...usage },
      kernel: { limit: null, failcnt: 0 },
      kernelTCP: { limit: null, failcnt: 0 },
      raw: { anon: memory.usageBytes, oom_kill: memory.oomKills },
    },
    pids: present({ current: pids.current, limit: pids.limit ?? 0 }),
    blkio: blockIo(host),
    hugetlb: {},
    intel_rdt: {},
    network_interfaces: interfaces.length === 0 ? null : interfaces.map(interfaceFields),
  };
  return { type: 'stats', id, data };
}

/** One line, without the newline. A limit of null is written as v1's number, which no JavaScript number holds. */
export function eventLine(event: ContainerEvent): string {
  const text = JSON.stringify(event, (key, value: unknown) => (key === 'limit' && value === null ? UNLIMITED_MARK : value));
  return text.replaceAll(`"${UNLIMITED_MARK}"`, String(UNLIMITED_BYTES));
}

/** Go's omitempty. */
function present(fields: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== 0));
}

function cpuset({ cpus, mems }: HostStatistics): object {
  return {
    ...(cpus.length === 0 ? {} : { cpus }),
    cpu_exclusive: 0,
    ...(mems.length === 0 ? {} : { mems }),
    mem_hardwall: 0,
    mem_exclusive: 0,
    memory_migrate: 0,
    memory_spread_page: 0,
    memory_spread_slab: 0,
    memory_pressure: 0,
    sched_load_balance: 0,
    sched_relax_domain_level: 0,
  };
}

function blockIo({ serviceBytes, serviced }: HostStatistics): Record<string, readonly BlockIoEntry[]> {
  return {
    ...(serviceBytes.length === 0 ? {} : { ioServiceBytesRecursive: serviceBytes }),
    ...(serviced.length === 0 ? {} : { ioServicedRecursive: serviced }),
  };
}

/** Go writes these without names of their own. */
function interfaceFields(stats: InterfaceStats): object {
  return {
    Name: stats.name,
    RxBytes: stats.rxBytes,
    RxPackets: stats.rxPackets,
    RxErrors: stats.rxErrors,
    RxDropped: stats.rxDropped,
    TxBytes: stats.txBytes,
    TxPackets: stats.txPackets,
    TxErrors: stats.txErrors,
    TxDropped: stats.txDropped,
  };
}
