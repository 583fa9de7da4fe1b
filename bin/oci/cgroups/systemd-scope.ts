/**
 * A container's cgroup as a transient scope of systemd, for hosts where systemd owns the tree: it makes the directories, and leaves what is
 * below them to us (Delegate). It is asked through busctl(1), once to start and once to stop.
 *
 * A scope starts with at least one process: the one that asks. Limits are given to systemd too, because it writes the files of its units
 * again when it reloads. Spec: org.freedesktop.systemd1(5), StartTransientUnit; systemd.resource-control(5).
 */
import { spawnSync } from 'node:child_process';
import { CgroupError } from './cgroup-error.ts';
import type { ResourcesConfig } from '../config/types.ts';
import { callerVariable } from '../../guest-env.ts';
import type { SystemdScope } from './cgroup-path.ts';
import { version2Settings } from './settings.ts';

const SERVICE = ['org.freedesktop.systemd1', '/org/freedesktop/systemd1', 'org.freedesktop.systemd1.Manager'];
const PATIENCE_MS = 10_000;

export interface ScopeRequest {
  readonly description: string;
  readonly pid: number;
  readonly rootless: boolean;
  readonly resources: ResourcesConfig;
}

/** Arguments of one property in busctl's notation: name, type, value. */
type Property = readonly string[];

/** Runs busctl(1) with these arguments, on the system's bus or the user's. */
export type Busctl = (bus: '--system' | '--user', args: readonly string[]) => { readonly status: number | null; readonly stderr: string };

export const hostBusctl: Busctl = (bus, args) => {
  const options = { encoding: 'utf8', timeout: PATIENCE_MS, env: busEnvironment() } as const;
  const { status, stderr } = spawnSync('busctl', [bus, '--quiet', ...args], options);
  return { status, stderr: stderr ?? '' };
};

function busOf(rootless: boolean): '--system' | '--user' {
  return rootless ? '--user' : '--system';
}

/** Where the user's bus is. The launcher keeps the caller's variables under other names. */
function busEnvironment(): NodeJS.ProcessEnv {
  const names = ['PATH', 'XDG_RUNTIME_DIR', 'DBUS_SESSION_BUS_ADDRESS', 'DBUS_SYSTEM_BUS_ADDRESS'];
  return Object.fromEntries(names.map((name) => [name, callerVariable(name)]));
}

export function systemdIsReachable(busctl: Busctl, rootless: boolean): boolean {
  return busctl(busOf(rootless), ['get-property', ...SERVICE, 'Version']).status === 0;
}

/** Starts the scope with `request.pid` in it. Throws CgroupError. */
export function startScope(busctl: Busctl, scope: SystemdScope, request: ScopeRequest): void {
  const properties = scopeProperties(scope, request);
  const args = ['StartTransientUnit', 'ssa(sv)a(sa(sv))', scope.unit, 'replace', String(properties.length), ...properties.flat(), '0'];
  const { status, stderr } = busctl(busOf(request.rootless), ['call', ...SERVICE, ...args]);
  if (status !== 0) throw new CgroupError(`systemd does not start the scope ${scope.unit} (${stderr.trim() || 'no answer'}).`);
}

export function scopeProperties({ slice }: SystemdScope, { description, pid, resources }: ScopeRequest): Property[] {
  return [
    ['Description', 's', description],
    ['Slice', 's', slice],
    ['PIDs', 'au', '1', String(pid)],
    ['Delegate', 'b', 'true'],
    ['DefaultDependencies', 'b', 'false'],
    ...['CPUAccounting', 'MemoryAccounting', 'TasksAccounting', 'IOAccounting'].map((name) => [name, 'b', 'true']),
    ...limitProperties(resources),
  ];
}

/** systemd's names for files of v2. */
const LIMITS: Readonly<Record<string, string>> = {
  'memory.max': 'MemoryMax',
  'memory.low': 'MemoryLow',
  'memory.swap.max': 'MemorySwapMax',
  'pids.max': 'TasksMax',
  'cpu.weight': 'CPUWeight',
};
const INFINITY = '18446744073709551615';

function limitProperties(resources: ResourcesConfig): Property[] {
  const { quota, period } = resources.cpu;
  const perSecond =
    quota === null || quota <= 0 ? [] : [['CPUQuotaPerSecUSec', 't', String(Math.ceil((quota * 1e6) / (period || 100_000)))]];
  const limits = version2Settings(resources).flatMap(({ file, value }) => {
    const name = LIMITS[file];
    return name === undefined ? [] : [[name, 't', value === 'max' ? INFINITY : value]];
  });
  return [...limits, ...perSecond];
}

/** After its processes have ended; a scope that is gone is no error. */
export function stopScope(unit: string): void {
  const rootless = process.geteuid!() !== 0;
  hostBusctl(busOf(rootless), ['call', ...SERVICE, 'StopUnit', 'ss', unit, 'replace']);
}
