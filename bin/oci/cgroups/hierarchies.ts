/**
 * The cgroup hierarchies of the host and this process's place in each: /proc/self/mountinfo says where they are mounted, /proc/self/cgroup
 * where the process is. A host has one hierarchy (v2), one for each controller or group of controllers (v1), or both (hybrid: the v2 one has
 * what v1 does not).
 *
 * Inside a container the mount may show only a part of the hierarchy; paths are then relative to that part (mountinfo's root field).
 * Spec: cgroups(7), proc_pid_cgroup(5), proc_pid_mountinfo(5).
 */

export interface Hierarchy {
  readonly version: 1 | 2;
  /** Controllers of a v1 hierarchy, `name=systemd` for the named one; empty for v2, where each directory has its own. */
  readonly controllers: readonly string[];
  readonly mountPoint: string;
  /** Directory of this process's cgroup. */
  readonly own: string;
}

const V1_CONTROLLERS = new Set([
  'cpuset',
  'cpu',
  'cpuacct',
  'blkio',
  'memory',
  'devices',
  'freezer',
  'net_cls',
  'perf_event',
  'net_prio',
  'hugetlb',
  'pids',
  'rdma',
  'misc',
  'name=systemd',
]);

interface MountLine {
  readonly root: string;
  readonly mountPoint: string;
  readonly type: string;
  readonly options: readonly string[];
}

/** @param mountinfo /proc/self/mountinfo. @param membership /proc/self/cgroup. Both as byte strings. */
export function findHierarchies(mountinfo: string, membership: string): Hierarchy[] {
  const places = parseMembership(membership);
  const found: Hierarchy[] = [];
  const taken = new Set<string>();
  for (const line of mountinfo.split('\n')) {
    const mount = parseMountLine(line);
    if (mount === null) continue;
    const controllers = mount.type === 'cgroup' ? mount.options.filter((option) => V1_CONTROLLERS.has(option)) : [];
    const key = controllers.join(',');
    // Bind mounts show a hierarchy again: the first one counts.
    if (taken.has(key) || (mount.type === 'cgroup' && controllers.length === 0)) continue;
    taken.add(key);
    const place = places.get(controllers[0] ?? '') ?? '/';
    const own = join(mount.mountPoint, beneath(place, mount.root));
    found.push({ version: mount.type === 'cgroup' ? 1 : 2, controllers, mountPoint: mount.mountPoint, own });
  }
  return found;
}

/** Path in its hierarchy by controller; by the empty name for v2. */
export function parseMembership(text: string): Map<string, string> {
  const places = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, controllers, ...path] = line.split(':');
    if (controllers === undefined || path.length === 0) continue;
    for (const name of controllers.split(',')) places.set(name, path.join(':'));
  }
  return places;
}

/** null: not a cgroup mount. */
function parseMountLine(line: string): MountLine | null {
  const [before, after] = line.split(' - ', 2);
  const [, , , root, mountPoint] = (before ?? '').split(' ');
  const [type, , superOptions] = (after ?? '').split(' ');
  if (root === undefined || mountPoint === undefined || (type !== 'cgroup' && type !== 'cgroup2')) return null;
  return { root: unescape(root), mountPoint: unescape(mountPoint), type, options: (superOptions ?? '').split(',') };
}

/** mountinfo writes blanks and backslashes as three octal digits. */
function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/** `place` relative to `root`, both of one hierarchy. What lies outside of the shown part is not reachable: its top then. */
function beneath(place: string, root: string): string {
  if (root === '/') return place.startsWith('/..') ? '/' : place;
  return place === root || place.startsWith(`${root}/`) ? place.slice(root.length) : '/';
}

/** Two absolute paths, one below the other. */
export function join(directory: string, path: string): string {
  const names = path.split('/').filter((name) => name !== '');
  return names.length === 0 ? directory : `${directory === '/' ? '' : directory}/${names.join('/')}`;
}
