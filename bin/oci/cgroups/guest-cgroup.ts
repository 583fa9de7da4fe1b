/**
 * A container's cgroup as its guests and `events` see it: the configured limits, the sentry's accounts, and the groups that guests make. Lives in the
 * sentry.
 *
 *     const guestCgroup = new GuestCgroup({ container, resources, meter, cpuCount });
 *     buildContainerTree(…, { types: new Map(guestCgroup.types(() => files.allocateDevice())), … });
 *     guestCgroup.stats()                      // for the verb `events`
 *     guestCgroup.update(resources)            // for the verb `update`
 */
import type { Host } from '#platform/contract/host.ts';
import { SIGKILL } from '#sentry/abi/signal.ts';
import { CgroupFileSystem } from '#sentry/fs/cgroup/cgroup-file-system.ts';
import { noLimits } from '#sentry/fs/cgroup/cgroup-view.ts';
import type { CgroupAccounts, CgroupLimits } from '#sentry/fs/cgroup/cgroup-view.ts';
import { ControlGroups } from '#sentry/fs/cgroup/control-group.ts';
import { cpuList } from '#sentry/fs/sys/cpu-list.ts';
import type { Container } from '#sentry/kernel/container.ts';
import { killFromOutside } from '#sentry/kernel/container-signals.ts';
import type { ThreadGroup } from '#sentry/kernel/thread-group.ts';
import { IFF_LOOPBACK } from '#sentry/netstack/link/interface.ts';
import type { Stack } from '#sentry/netstack/stack.ts';
import type { FileSystemMaker } from '#sentry/vfs/vfs.ts';
import type { ResourcesConfig } from '../config/types.ts';
import { applyGuestLimits } from './guest-limits.ts';
import type { CgroupMeter } from './meter.ts';
import { mergeResources } from './pod-resources.ts';
import { NO_RESOURCES } from './resources.ts';
import type { InterfaceStats, StatsReply } from './stats-reply.ts';

export interface GuestCgroupOptions {
  readonly container: Container;
  readonly resources: ResourcesConfig;
  /** Of the sandbox's cgroup; null or empty for a container that joined it. */
  readonly meter: CgroupMeter | null;
  /** CPUs that guests see. */
  readonly cpuCount: number;
}

export class GuestCgroup {
  /** As configured and updated since. */
  resources: ResourcesConfig = NO_RESOURCES;
  readonly limits: CgroupLimits = noLimits();
  readonly accounts: CgroupAccounts;
  private readonly container: Container;
  private readonly groups: ControlGroups;
  private readonly cpuList: string;

  constructor({ container, resources, meter, cpuCount }: GuestCgroupOptions) {
    this.container = container;
    this.accounts = new ContainerAccounts(container, meter);
    this.groups = new ControlGroups(container.pids);
    this.cpuList = cpuList(0, cpuCount);
    this.update(resources);
    const { accounts, limits } = this;
    container.pids.memory = {
      get limitBytes() {
        return limits.memoryMaxBytes;
      },
      get usedBytes() {
        return accounts.memoryBytes;
      },
    };
  }

  /** What mount(2) and config.json call it. Both are cgroup v2, whatever the host has. */
  types(allocateDevice: () => number): readonly (readonly [string, FileSystemMaker])[] {
    const make: FileSystemMaker = () => this.fileSystem(allocateDevice());
    return [
      ['cgroup2', make],
      ['cgroup', make],
    ];
  }

  private fileSystem(device: number): CgroupFileSystem {
    const { limits, accounts, groups, container } = this;
    const host: Host = container.kernel.host;
    return new CgroupFileSystem(device, host, {
      limits,
      accounts,
      groups,
      cpuList: this.cpuList,
      kill: (process) => {
        // Linux: the first process of a PID namespace does not die of what its own send.
        if (process !== container.pids.init) killFromOutside(process as ThreadGroup, SIGKILL);
      },
    });
  }

  /** Takes over what `resources` has; the rest stays as it is. */
  update(resources: ResourcesConfig): void {
    this.resources = mergeResources(this.resources, resources);
    applyGuestLimits(this.limits, resources);
    const { pidsLimit } = resources;
    if (pidsLimit !== null && pidsLimit !== 0) this.container.pidsMax = pidsLimit < 0 ? Infinity : pidsLimit;
  }

  stats(): StatsReply {
    const { accounts, container, limits } = this;
    return {
      cpuNs: accounts.cpuNs,
      memory: {
        usageBytes: accounts.memoryBytes,
        peakBytes: accounts.memoryPeakBytes,
        limitBytes: limits.memoryMaxBytes === Infinity ? null : limits.memoryMaxBytes,
        swapLimitBytes: limits.swapMaxBytes === Infinity ? null : limits.swapMaxBytes,
        oomKills: accounts.oomKills,
      },
      pids: { current: accounts.taskCount, limit: accounts.tasksMax === Infinity ? null : accounts.tasksMax },
      interfaces: interfaceStats(container.kernel.network.stack),
    };
  }
}

function interfaceStats({ interfaces }: Stack): InterfaceStats[] {
  return interfaces.list
    .filter(({ flags }) => (flags & IFF_LOOPBACK) === 0)
    .map(({ name, counters: c }) => ({
      name,
      rxBytes: c.rxBytes,
      rxPackets: c.rxPackets,
      rxErrors: c.rxErrors,
      rxDropped: c.rxDropped,
      txBytes: c.txBytes,
      txPackets: c.txPackets,
      txErrors: c.txErrors,
      txDropped: c.txDropped,
    }));
}

/** Read each time anew. */
class ContainerAccounts implements CgroupAccounts {
  private readonly container: Container;
  private readonly meter: CgroupMeter | null;
  private peakBytes = 0;

  constructor(container: Container, meter: CgroupMeter | null) {
    this.container = container;
    this.meter = meter;
  }

  /** While there are others in the sandbox, the host cannot tell them apart: the sentry's own account has to do. */
  private get ownMeter(): CgroupMeter | null {
    return this.container.kernel.containers.size > 1 ? null : this.meter;
  }

  get cpuNs(): number {
    return this.container.usage().cpuNs;
  }

  get memoryBytes(): number {
    const bytes = this.ownMeter?.memoryBytes ?? this.container.usage().memoryBytes;
    this.peakBytes = Math.max(this.peakBytes, bytes);
    return bytes;
  }

  get memoryPeakBytes(): number {
    return this.ownMeter?.memoryPeakBytes ?? Math.max(this.memoryBytes, this.peakBytes);
  }

  get oomKills(): number {
    return this.meter?.oomKills ?? 0;
  }

  get taskCount(): number {
    return this.container.taskCount;
  }
  get taskPeak(): number {
    return this.container.taskPeak;
  }
  get tasksMax(): number {
    return this.container.pidsMax;
  }
  get taskRefusals(): number {
    return this.container.taskRefusals;
  }
}
