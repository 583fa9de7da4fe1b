/**
 * `tsvisor events`: figures of a container at intervals, and a line whenever the host killed a process of it for want of memory; with `--stats`, the figures once. Lines are
 * JSON in the shape of runc's. It ends with the container.
 *
 * The host has no way to wake a process for both versions of cgroups alike, so its count of kills is looked at, several times a second.
 */
import { writeSync } from 'node:fs';
import { Command } from 'commander';
import { UserError } from '../errors.ts';
import { HostCgroup } from '../oci/cgroups/host-cgroup.ts';
import { hostStatistics } from '../oci/cgroups/host-statistics.ts';
import { CgroupMeter } from '../oci/cgroups/meter.ts';
import { pause } from '../oci/cgroups/remove.ts';
import { eventLine, statsEvent } from '../oci/cgroups/stats-event.ts';
import type { ContainerEvent } from '../oci/cgroups/stats-event.ts';
import type { StatsReply } from '../oci/cgroups/stats-reply.ts';
import { EXIT_OCI_FAILURE } from '../oci/errors.ts';
import { KnownContainer } from '../oci/lifecycle/known-container.ts';
import { ociAction } from './oci-action.ts';
import { parseDuration } from './resource-values.ts';

const STDOUT = 1;
/** How often kills are looked for. */
const LOOK_MS = 200;

export function eventsCommand(): Command {
  const command = new Command('events')
    .description('Show figures of a container, and when it runs out of memory.')
    .argument('<id>')
    .option('--interval <duration>', 'between two lines of figures', '5s')
    .option('--stats', 'the figures once');
  return ociAction(command, ({ globals }, id: string, { interval, stats = false }: { interval: string; stats?: boolean }) => {
    const intervalMs = parseDuration('interval', interval);
    if (intervalMs <= 0) throw new UserError('duration interval must be greater than 0', EXIT_OCI_FAILURE);
    const container = KnownContainer.find(globals.root, id);
    container.permit('events');
    const observer = new Observer(container);
    if (stats) observer.show(container.ask<StatsReply>({ verb: 'stats' }));
    else observer.follow(intervalMs);
  });
}

class Observer {
  private readonly container: KnownContainer;
  private readonly cgroup: HostCgroup | null;
  private readonly meter: CgroupMeter;

  constructor(container: KnownContainer) {
    const { cgroup } = container.record;
    this.container = container;
    this.cgroup = cgroup === null ? null : HostCgroup.fromState(cgroup);
    this.meter = new CgroupMeter(this.cgroup?.directoryOf('memory') ?? null);
  }

  show(reply: StatsReply): void {
    emit(statsEvent(this.container.id, reply, hostStatistics(this.cgroup)));
  }

  /** Until the container has ended. */
  follow(intervalMs: number): void {
    let kills = this.meter.oomKills ?? 0;
    let nextMs = performance.now() + intervalMs;
    while (this.container.isAlive) {
      pause(Math.min(LOOK_MS, Math.max(1, nextMs - performance.now())));
      const now = this.meter.oomKills ?? kills;
      for (; kills < now; kills++) emit({ type: 'oom', id: this.container.id });
      if (performance.now() < nextMs) continue;
      nextMs += intervalMs;
      const reply = this.container.tryAsk<StatsReply>({ verb: 'stats' });
      if (reply !== null) this.show(reply);
    }
  }
}

function emit(event: ContainerEvent): void {
  writeSync(STDOUT, `${eventLine(event)}\n`);
}
