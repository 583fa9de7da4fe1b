/**
 * `tsvisor update`: other limits for a container that exists. Flags and the form of `--resources` are runc's. The host's cgroup is changed first, because it may refuse;
 * then the sentry's own limits and what guests see of them.
 */
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { UserError } from '../errors.ts';
import { HostCgroup } from '../oci/cgroups/host-cgroup.ts';
import { NO_RESOURCES } from '../oci/cgroups/resources.ts';
import type { StatsReply } from '../oci/cgroups/stats-reply.ts';
import { readResources } from '../oci/config/read.ts';
import type { ResourcesConfig } from '../oci/config/types.ts';
import { EXIT_OCI_FAILURE, reasonOf } from '../oci/errors.ts';
import type { PodReply } from '../oci/control/protocol.ts';
import { KnownContainer } from '../oci/lifecycle/known-container.ts';
import { applyPodLimits } from '../oci/lifecycle/pod-cgroup.ts';
import type { RuntimeLog } from '../oci/log.ts';
import { ociAction } from './oci-action.ts';
import { parseMemorySize, parseWholeNumber } from './resource-values.ts';

const STDIN = 0;

interface UpdateOptions {
  resources?: string;
  blkioWeight?: string;
  cpuPeriod?: string;
  cpuQuota?: string;
  cpuBurst?: string;
  cpuShare?: string;
  cpuRtPeriod?: string;
  cpuRtRuntime?: string;
  cpuIdle?: string;
  cpusetCpus?: string;
  cpusetMems?: string;
  memory?: string;
  memoryReservation?: string;
  memorySwap?: string;
  kernelMemory?: string;
  kernelMemoryTcp?: string;
  pidsLimit?: string;
  l3CacheSchema?: string;
  memBwSchema?: string;
}

export function updateCommand(): Command {
  const command = new Command('update')
    .description('Change the limits of a container.')
    .argument('<id>')
    .option('-r, --resources <file>', "linux.resources as JSON, or '-' for standard input; other options are ignored then")
    .option('--memory <bytes>', 'such as 512m; -1: no limit')
    .option('--memory-reservation <bytes>', 'what it is brought back to when memory is short')
    .option('--memory-swap <bytes>', 'memory and swap together; -1: no limit')
    .option('--cpu-quota <us>', 'CPU time in each period; -1: no limit')
    .option('--cpu-period <us>', 'length of a period')
    .option('--cpu-burst <us>', 'CPU time that may be saved up')
    .option('--cpu-share <weight>', 'relative weight, 2 to 262144')
    .option('--cpu-idle <0|1>', 'run only when nobody else wants to')
    .option('--cpu-rt-period <us>', 'period of realtime CPU time')
    .option('--cpu-rt-runtime <us>', 'realtime CPU time in it')
    .option('--cpuset-cpus <list>', 'CPUs, such as 0-3,7')
    .option('--cpuset-mems <list>', 'memory nodes')
    .option('--pids-limit <count>', 'threads at once; -1: no limit')
    .option('--blkio-weight <weight>', 'relative weight of input and output, 10 to 1000')
    .option('--kernel-memory <bytes>', 'accepted for old clients; without effect')
    .option('--kernel-memory-tcp <bytes>', 'accepted for old clients; without effect')
    .option('--l3-cache-schema <text>', 'not supported')
    .option('--mem-bw-schema <text>', 'not supported');
  return ociAction(command, ({ globals, log }, id: string, options: UpdateOptions) => {
    const container = KnownContainer.find(globals.root, id);
    container.permit('update');
    const resources = options.resources === undefined ? ofOptions(options, log) : ofFile(options.resources, log);
    const reply = update(container, resources, log);
    const sandbox = KnownContainer.tryFind(globals.root, container.record.sandbox);
    if (sandbox !== null) applyPodLimits(sandbox, reply, (sentence) => log.warn(sentence));
  });
}

function update(container: KnownContainer, resources: ResourcesConfig, log: RuntimeLog): PodReply {
  const { cgroup } = container.record;
  const warn = (sentence: string): void => log.warn(sentence);
  const known = complete(container, resources);
  if (cgroup !== null) HostCgroup.fromState(cgroup).update(known, warn);
  else warn('this container has no cgroup on the host: only what the sandbox itself enforces is changed');
  return container.ask<PodReply>({ verb: 'update', resources: known });
}

/** A limit on memory and swap together says nothing about swap alone without the limit on memory, which may be an older one. */
function complete(container: KnownContainer, resources: ResourcesConfig): ResourcesConfig {
  const { memory } = resources;
  if (memory.swap === null || memory.limit !== null) return resources;
  const { limitBytes } = container.ask<StatsReply>({ verb: 'stats' }).memory;
  return { ...resources, memory: { ...memory, limit: limitBytes ?? -1 } };
}

function ofFile(path: string, log: RuntimeLog): ResourcesConfig {
  const { resources, warnings } = readResources(readText(path));
  for (const sentence of warnings) log.warn(sentence);
  return resources;
}

function readText(path: string): string {
  try {
    return readFileSync(path === '-' ? STDIN : path, 'utf8');
  } catch (error) {
    const reason = reasonOf(-((error as NodeJS.ErrnoException).errno ?? 0));
    throw new UserError(`--resources ${path} cannot be read: ${reason}`, EXIT_OCI_FAILURE);
  }
}

function ofOptions(options: UpdateOptions, log: RuntimeLog): ResourcesConfig {
  if (options.l3CacheSchema !== undefined || options.memBwSchema !== undefined)
    throw new UserError('Intel RDT (--l3-cache-schema, --mem-bw-schema) is not supported', EXIT_OCI_FAILURE);
  if (options.kernelMemory !== undefined) log.warn('Linux has no limit for kernel memory any more: --kernel-memory is ignored');
  if (options.kernelMemoryTcp !== undefined) log.warn('the sandbox has a network stack of its own: --kernel-memory-tcp is ignored');
  const { memory, cpu, blockIO } = NO_RESOURCES;
  const number = (name: string, text: string | undefined): number | null => (text === undefined ? null : parseWholeNumber(name, text));
  const size = (name: string, text: string | undefined): number | null => (text === undefined ? null : parseMemorySize(name, text));
  return {
    ...NO_RESOURCES,
    memory: {
      ...memory,
      limit: size('memory', options.memory),
      reservation: size('memory-reservation', options.memoryReservation),
      swap: size('memory-swap', options.memorySwap),
    },
    cpu: {
      ...cpu,
      shares: number('cpu-share', options.cpuShare),
      quota: number('cpu-quota', options.cpuQuota),
      period: number('cpu-period', options.cpuPeriod),
      burst: number('cpu-burst', options.cpuBurst),
      realtimePeriod: number('cpu-rt-period', options.cpuRtPeriod),
      realtimeRuntime: number('cpu-rt-runtime', options.cpuRtRuntime),
      idle: number('cpu-idle', options.cpuIdle),
      cpus: options.cpusetCpus ?? null,
      mems: options.cpusetMems ?? null,
    },
    pidsLimit: number('pids-limit', options.pidsLimit),
    blockIO: { ...blockIO, weight: number('blkio-weight', options.blkioWeight) },
  };
}
