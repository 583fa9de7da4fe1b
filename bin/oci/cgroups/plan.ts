/**
 * Making a container's cgroup: its directory in every hierarchy of the host, the limits set, nobody in it yet.
 *
 * - v1: each controller's hierarchy by itself; cpuset directories are useless until they have CPUs and memory nodes, so they take the parent's.
 * - v2: a directory has the controllers that all directories above it hand down (cgroup.subtree_control); they are switched on along the way as
 *   far as the host lets us. Hybrid hosts have both, and there only controllers that are asked for are switched on.
 * - Without the right to do so (an ordinary user, or root of a user namespace): where a hierarchy is not delegated there is no directory, a
 *   warning, and the container starts.
 * What was made is taken back when a step fails.
 */
import { existsSync, readFileSync } from 'node:fs';
import { EACCES, EEXIST, ENOENT, EPERM, EROFS, errnoName } from '#sentry/abi/errno.ts';
import { CgroupError } from './cgroup-error.ts';
import type { ResourcesConfig } from '../config/types.ts';
import { beginWaiting, endWaiting } from './background-join.ts';
import { cgroupPlace } from './cgroup-path.ts';
import type { CgroupPlace } from './cgroup-path.ts';
import { hostFiles } from './cgroup-files.ts';
import type { CgroupFiles } from './cgroup-files.ts';
import { findHierarchies, join } from './hierarchies.ts';
import type { Hierarchy } from './hierarchies.ts';
import { HostCgroup } from './host-cgroup.ts';
import type { CgroupDirectory, CgroupState, Warn } from './host-cgroup.ts';
import { pause } from './remove.ts';
import { version1Settings, version2Settings } from './settings.ts';
import { hostBusctl, startScope, systemdIsReachable } from './systemd-scope.ts';
import type { Busctl } from './systemd-scope.ts';

export interface CgroupRequest {
  readonly id: string;
  /** `linux.cgroupsPath`, or the empty string. */
  readonly cgroupsPath: string;
  readonly resources: ResourcesConfig;
  /** --systemd-cgroup */
  readonly systemd: boolean;
  /** --rootless: whether what is not permitted is left out; null or absent: for an ordinary user and in a user namespace. */
  readonly rootless?: boolean | null;
  readonly warn: Warn;
  /**
   * Told what is about to be made, before any of it is: written down, it lets others take away what a creator leaves that dies halfway.
   */
  readonly onPlanned?: (state: CgroupState) => void;
}

/** What is read of the host. */
export interface CgroupHost {
  readonly files: CgroupFiles;
  readonly hierarchies: readonly Hierarchy[];
  readonly rootless: boolean;
  /** How systemd is asked; null where the host was not started by it. */
  readonly systemd: Busctl | null;
}

const NOT_PERMITTED: ReadonlySet<number> = new Set([-EACCES, -EPERM, -EROFS]);
/** Those that v2 has and a container may be limited by. */
const HANDED_DOWN = ['cpuset', 'cpu', 'io', 'memory', 'hugetlb', 'pids', 'rdma', 'misc'];
const SCOPE_PATIENCE_MS = 10_000;
const SCOPE_LOOK_MS = 5;
const MAKE_ATTEMPTS = 4;
const WHOLE_ID_RANGE = 4_294_967_295;

/** To be called first of all, when it is clear that a cgroup will be made: see background-join.ts. */
export function beginCgroup(host: CgroupHost = inspectHost()): CgroupHost {
  beginWaiting(host.hierarchies);
  return host;
}

/**
 * Makes the cgroup and sets its limits. null where this user may not have one (told to `warn`). Throws CgroupError for what config.json asks in
 * vain, and where the cgroup is in use.
 */
export function prepareCgroup(request: CgroupRequest, found: CgroupHost = inspectHost()): HostCgroup | null {
  const host = { ...found, rootless: request.rootless ?? found.rootless };
  const place = cgroupPlace({ ...request, rootless: host.rootless });
  const cgroup = make(request, place, host);
  if (cgroup === null) {
    endWaiting();
    return null;
  }
  try {
    cgroup.update(request.resources, request.warn);
  } catch (error) {
    cgroup.remove();
    throw error;
  }
  return cgroup;
}

export function inspectHost(): CgroupHost {
  const read = (path: string): string => readFileSync(path, 'latin1');
  const hierarchies = findHierarchies(read('/proc/self/mountinfo'), read('/proc/self/cgroup'));
  const rootless = process.geteuid!() !== 0 || !ownsAllIds(read('/proc/self/uid_map'));
  return { files: hostFiles, hierarchies, rootless, systemd: existsSync('/run/systemd/system') ? hostBusctl : null };
}

/** Whether this is the host's first user namespace: it maps every id. */
function ownsAllIds(uidMap: string): boolean {
  return Number(uidMap.trim().split(/\s+/)[2]) === WHOLE_ID_RANGE;
}

function make(request: CgroupRequest, place: CgroupPlace, host: CgroupHost): HostCgroup | null {
  const makers = host.hierarchies.map((hierarchy) => new DirectoryMaker(host.files, hierarchy, place.path));
  request.onPlanned?.({
    directories: makers.map((maker) => maker.planned()),
    scope: place.scope?.unit ?? null,
    partial: false,
    isOnlyPlanned: true,
  });
  const scope = startOwnScope(request, place, host);
  const { directories, refused } = makeDirectories(request, makers, host, scope === null ? 'ours alone' : 'entered');
  if (directories.length === 0) return withoutCgroup(request);
  const cgroup = new HostCgroup({ directories, scope, partial: refused.length > 0, isOnlyPlanned: false }, host.files);
  return cgroup;
}

function withoutCgroup({ resources, warn }: CgroupRequest): null {
  const fields = limitFields(resources);
  if (fields.length > 0) warn(`not applied, because this user may not make cgroups: ${fields.join(', ')}.`);
  return null;
}

/** Names of the limits that are asked for. */
function limitFields(resources: ResourcesConfig): string[] {
  const settings = [...version1Settings(resources), ...version2Settings(resources)];
  return [...new Set(settings.map(({ field }) => `linux.resources.${field}`))];
}

interface Made {
  readonly directories: readonly CgroupDirectory[];
  /** Hierarchies in which this user may not have one. */
  readonly refused: readonly string[];
}

/** `state`: whether nobody may be in it, or systemd has put us there. */
function makeDirectories(
  { resources, id }: CgroupRequest,
  makers: readonly DirectoryMaker[],
  { hierarchies, rootless }: CgroupHost,
  state: 'ours alone' | 'entered',
): Made {
  const directories: CgroupDirectory[] = [];
  const refused: string[] = [];
  const wanted = controllersWanted(resources, hierarchies);
  const giveUp = (sentence: string): never => {
    for (const maker of makers) maker.undo();
    throw new CgroupError(sentence);
  };
  for (const maker of makers) {
    let result = maker.make(wanted);
    const members = result === 0 && state === 'ours alone' ? maker.memberCount : 0;
    if (members > 0) giveUp(`container's cgroup is not empty: ${members} process(es) found in ${maker.path}.`);
    // A directory may be ours and the one we would leave not: cgroups(7), "Delegation containment".
    if (result === 0 && rootless) result = maker.enter();
    const { controllers, version } = maker.hierarchy;
    if (result === 0) directories.push(maker.made());
    else if (rootless && NOT_PERMITTED.has(result)) refused.push(controllers.join(',') || 'unified');
    // A hybrid host's v2 hierarchy is a convenience for who has v1's.
    else if (version === 1 || directories.length === 0)
      giveUp(`cannot make the cgroup of container ${id}: mkdir ${maker.path} failed (${errnoName(-result)}).`);
    if (result < 0) maker.undo();
  }
  return { directories, refused };
}

/** systemd makes the directories itself; where it cannot be asked the same path is used without it. */
function startOwnScope(
  { warn, resources, id }: CgroupRequest,
  { scope }: CgroupPlace,
  { systemd, rootless, files }: CgroupHost,
): string | null {
  if (scope === null) return null;
  if (systemd === null || !systemdIsReachable(systemd, rootless)) {
    warn(`systemd cannot be asked for the scope ${scope.unit}; its cgroup is made without it.`);
    return null;
  }
  startScope(systemd, scope, { description: `tsvisor container ${id}`, pid: process.pid, rootless, resources });
  awaitMembership(scope.unit, files);
  return scope.unit;
}

/** systemd answers before it has moved us. */
function awaitMembership(unit: string, files: CgroupFiles): void {
  for (let waitedMs = 0; waitedMs < SCOPE_PATIENCE_MS; waitedMs += SCOPE_LOOK_MS) {
    if (String(files.read('/proc/self/cgroup')).includes(`/${unit}`)) return;
    pause(SCOPE_LOOK_MS);
  }
  throw new CgroupError(`systemd did not start the scope ${unit} within ${SCOPE_PATIENCE_MS / 1000} seconds.`);
}

/** Where v1 has the usual controllers, v2's are left alone unless needed. */
function controllersWanted(resources: ResourcesConfig, hierarchies: readonly Hierarchy[]): readonly string[] {
  const inVersion1 = hierarchies.flatMap(({ controllers }) => controllers);
  if (inVersion1.length === 0) return HANDED_DOWN;
  const asked = new Set(version2Settings(resources).map(({ controller }) => controller));
  return HANDED_DOWN.filter((name) => asked.has(name) && !inVersion1.includes(name));
}

/** One container's directory in one hierarchy, with what has to be above it. */
class DirectoryMaker {
  readonly path: string;
  readonly hierarchy: Hierarchy;
  readonly #files: CgroupFiles;
  /** From the hierarchy's top to the container's directory. */
  readonly #chain: string[];
  readonly #made: string[] = [];

  constructor(files: CgroupFiles, hierarchy: Hierarchy, place: string) {
    const { version, mountPoint, own } = hierarchy;
    // v2: processes live in leaves only, so beside our own cgroup instead of below it.
    const base = version === 2 && own !== mountPoint ? own.slice(0, own.lastIndexOf('/')) : own;
    const from = place.startsWith('/') ? mountPoint : base;
    this.path = join(from, place);
    this.#files = files;
    this.hierarchy = hierarchy;
    const names = this.path
      .slice(mountPoint.length)
      .split('/')
      .filter((name) => name !== '');
    this.#chain = ['', ...names].map((_, i) => join(mountPoint, names.slice(0, i).join('/')));
  }

  /** 0 or -errno. */
  make(wanted: readonly string[]): number {
    for (let attempt = 1; ; attempt++) {
      const result = this.#makeChain(wanted);
      // The end of another container may have removed a directory above meanwhile.
      if (result !== -ENOENT || attempt === MAKE_ATTEMPTS) return result;
    }
  }

  #makeChain(wanted: readonly string[]): number {
    const { version, controllers } = this.hierarchy;
    for (const [i, directory] of this.#chain.entries()) {
      if (i > 0) {
        const result = this.#files.makeDirectory(directory);
        if (result < 0 && result !== -EEXIST) return result;
        if (result === 0) this.#made.push(directory);
        if (controllers.includes('cpuset')) this.#inheritCpuset(directory, this.#chain[i - 1]!);
      }
      if (version === 2 && i < this.#chain.length - 1) this.#handDown(directory, wanted);
    }
    return version === 2 ? this.#checkType() : 0;
  }

  #inheritCpuset(directory: string, parent: string): void {
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      const present = this.#files.read(`${directory}/${file}`);
      const above = this.#files.read(`${parent}/${file}`);
      if (typeof present === 'string' && present.trim() === '' && typeof above === 'string')
        this.#files.write(`${directory}/${file}`, above.trim());
    }
  }

  #handDown(directory: string, wanted: readonly string[]): void {
    const available = this.#words(`${directory}/cgroup.controllers`);
    const enabled = this.#words(`${directory}/cgroup.subtree_control`);
    const names = wanted.filter((name) => available.includes(name) && !enabled.includes(name));
    if (names.length === 0) return;
    const file = `${directory}/cgroup.subtree_control`;
    if (this.#files.write(file, names.map((name) => `+${name}`).join(' ')) === 0) return;
    // What cannot be switched on is missed, by name, when a limit needs it.
    for (const name of names) this.#files.write(file, `+${name}`);
  }

  #words(file: string): string[] {
    const text = this.#files.read(file);
    return typeof text === 'number' ? [] : text.trim().split(/\s+/);
  }

  /** In a threaded subtree there can be no limits on memory; see cgroups(7), "Thread mode". */
  #checkType(): number {
    const type = this.#files.read(`${this.path}/cgroup.type`);
    if (typeof type === 'number' || type.trim() === 'domain') return 0;
    throw new CgroupError(`cannot enter cgroupv2 ${this.path}: it is in ${type.trim()} mode; choose another linux.cgroupsPath.`);
  }

  made(): CgroupDirectory {
    const { version, controllers } = this.hierarchy;
    const usable = version === 1 ? controllers : this.#words(`${this.path}/cgroup.controllers`).filter((name) => name !== '');
    return { version, controllers: usable, path: this.path, madeParents: this.#made.filter((path) => path !== this.path) };
  }

  /** What `make` would make now. */
  planned(): CgroupDirectory {
    const { version, controllers } = this.hierarchy;
    const missing = this.#chain.filter((path) => path !== this.path && typeof this.#files.read(`${path}/cgroup.procs`) === 'number');
    return { version, controllers, path: this.path, madeParents: missing };
  }

  get memberCount(): number {
    const members = this.#files.read(`${this.path}/cgroup.procs`);
    return typeof members === 'number' ? 0 : members.split('\n').filter((line) => line !== '').length;
  }

  /** Puts this process in: 0 or -errno. */
  enter(): number {
    return this.#files.write(`${this.path}/cgroup.procs`, String(process.pid));
  }

  undo(): void {
    for (const path of [...this.#made].reverse()) this.#files.removeDirectory(path);
  }
}
