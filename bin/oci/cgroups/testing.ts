/**
 * cgroup file systems in memory with the host kernel's rules, as far as making, joining and removing a container's cgroup meets them:
 * a directory comes with its controllers' files, v2 hands controllers down by subtree_control and keeps processes in leaves, a process is in
 * one cgroup of a hierarchy, and a directory with processes or directories in it is busy.
 */
import { EACCES, EBUSY, EEXIST, EINVAL, ENOENT, EOPNOTSUPP } from '#sentry/abi/errno.ts';
import type { CgroupFiles } from './cgroup-files.ts';
import type { Hierarchy } from './hierarchies.ts';

const V1_FILES: Readonly<Record<string, readonly string[]>> = {
  memory: [
    'memory.limit_in_bytes',
    'memory.memsw.limit_in_bytes',
    'memory.soft_limit_in_bytes',
    'memory.swappiness',
    'memory.oom_control',
    'memory.usage_in_bytes',
    'memory.max_usage_in_bytes',
  ],
  cpu: ['cpu.shares', 'cpu.cfs_quota_us', 'cpu.cfs_period_us', 'cpu.idle'],
  cpuset: ['cpuset.cpus', 'cpuset.mems'],
  pids: ['pids.max', 'pids.current'],
  blkio: ['blkio.weight', 'blkio.throttle.read_bps_device'],
};
const V2_FILES: Readonly<Record<string, readonly string[]>> = {
  memory: ['memory.max', 'memory.low', 'memory.swap.max', 'memory.current'],
  cpu: ['cpu.max', 'cpu.weight', 'cpu.idle', 'cpu.max.burst'],
  cpuset: ['cpuset.cpus', 'cpuset.mems'],
  pids: ['pids.max', 'pids.current'],
  io: ['io.max', 'io.weight'],
};
const UNLIMITED = 2 ** 63;

interface Directory {
  readonly hierarchy: Hierarchy;
  readonly files: Map<string, string>;
  readonly processes: Set<number>;
}

export class FakeCgroups implements CgroupFiles {
  readonly tree = new Map<string, Directory>();
  readonly hierarchies: readonly Hierarchy[];
  /** Paths below which nothing may be made or written. */
  readonly forbidden = new Set<string>();
  /** Nobody may be moved: the cgroup they are in is not ours. */
  keepsProcesses = false;
  /** Those that were killed through cgroup.kill. */
  killed: number[] = [];

  /** `available`: what v2's top has. */
  constructor(hierarchies: readonly Hierarchy[], available: readonly string[] = []) {
    this.hierarchies = hierarchies;
    for (const hierarchy of hierarchies) {
      this.#add(hierarchy.mountPoint, hierarchy, hierarchy.version === 1 ? hierarchy.controllers : available);
      const top = this.tree.get(hierarchy.mountPoint)!;
      if (hierarchy.controllers.includes('cpuset')) top.files.set('cpuset.cpus', '0-3\n').set('cpuset.mems', '0\n');
      top.files.delete('cgroup.type');
    }
  }

  #add(path: string, hierarchy: Hierarchy, controllers: readonly string[]): void {
    const files = new Map<string, string>();
    if (hierarchy.version === 2) {
      files
        .set('cgroup.controllers', controllers.join(' '))
        .set('cgroup.subtree_control', '')
        .set('cgroup.type', 'domain')
        .set('cgroup.kill', '');
    }
    const names = hierarchy.version === 1 ? V1_FILES : V2_FILES;
    for (const controller of controllers) for (const name of names[controller] ?? []) files.set(name, '');
    this.tree.set(path, { hierarchy, files, processes: new Set() });
  }

  #allowed(path: string): boolean {
    return ![...this.forbidden].some((prefix) => path.startsWith(prefix));
  }

  #split(path: string): { directory: Directory | undefined; parent: string; name: string } {
    const cut = path.lastIndexOf('/');
    return { directory: this.tree.get(path.slice(0, cut)), parent: path.slice(0, cut), name: path.slice(cut + 1) };
  }

  read(path: string): string | number {
    const { directory, name } = this.#split(path);
    if (directory === undefined) return -ENOENT;
    if (name === 'cgroup.procs') return [...directory.processes].map((pid) => `${pid}\n`).join('');
    return directory.files.get(name) ?? -ENOENT;
  }

  write(path: string, text: string): number {
    const { directory, parent, name } = this.#split(path);
    if (directory === undefined) return -ENOENT;
    if (!this.#allowed(path) || (name === 'cgroup.procs' && this.keepsProcesses)) return -EACCES;
    if (name === 'cgroup.procs') return this.#join(parent, directory, Number(text));
    if (!directory.files.has(name)) return -ENOENT;
    if (name === 'cgroup.subtree_control') return this.#handDown(parent, directory, text);
    if (name === 'cgroup.kill') return this.#kill(directory);
    if (name.endsWith('limit_in_bytes') && !this.#pairFits(directory, name, Number(text))) return -EINVAL;
    directory.files.set(name, text);
    return 0;
  }

  #join(path: string, directory: Directory, pid: number): number {
    if (
      directory.hierarchy.version === 2 &&
      directory.files.get('cgroup.subtree_control') !== '' &&
      path !== directory.hierarchy.mountPoint
    )
      return -EBUSY;
    for (const other of this.tree.values()) if (other.hierarchy === directory.hierarchy) other.processes.delete(pid);
    directory.processes.add(pid);
    return 0;
  }

  #handDown(path: string, directory: Directory, text: string): number {
    const names = text.split(' ').map((word) => word.slice(1));
    const available = directory.files.get('cgroup.controllers')!.split(' ');
    if (!names.every((name) => available.includes(name))) return -ENOENT;
    if (directory.processes.size > 0 && path !== directory.hierarchy.mountPoint) return -EBUSY;
    const all = new Set([
      ...directory.files
        .get('cgroup.subtree_control')!
        .split(' ')
        .filter((word) => word !== ''),
      ...names,
    ]);
    directory.files.set('cgroup.subtree_control', [...all].join(' '));
    for (const name of this.directories(path)) {
      const child = this.tree.get(`${path}/${name}`)!.files;
      child.set('cgroup.controllers', [...all].join(' '));
      for (const controller of names) for (const file of V2_FILES[controller] ?? []) child.set(file, '');
    }
    return 0;
  }

  #kill(directory: Directory): number {
    this.killed.push(...directory.processes);
    for (const pid of directory.processes) for (const other of this.tree.values()) other.processes.delete(pid);
    return 0;
  }

  /** v1: memory+swap is never below memory. */
  #pairFits({ files }: Directory, name: string, value: number): boolean {
    const number = (file: string): number => (Number(files.get(file) || UNLIMITED) < 0 ? UNLIMITED : Number(files.get(file) || UNLIMITED));
    const wanted = value < 0 ? UNLIMITED : value;
    if (name === 'memory.limit_in_bytes') return wanted <= number('memory.memsw.limit_in_bytes');
    if (name === 'memory.memsw.limit_in_bytes') return wanted >= number('memory.limit_in_bytes');
    return true;
  }

  makeDirectory(path: string): number {
    const { directory } = this.#split(path);
    if (this.tree.has(path)) return -EEXIST;
    if (!this.#allowed(path)) return -EACCES;
    if (directory === undefined) return -ENOENT;
    const { hierarchy, files } = directory;
    this.#add(
      path,
      hierarchy,
      hierarchy.version === 1
        ? hierarchy.controllers
        : files
            .get('cgroup.subtree_control')!
            .split(' ')
            .filter((word) => word !== ''),
    );
    return 0;
  }

  removeDirectory(path: string): number {
    const directory = this.tree.get(path);
    if (directory === undefined) return -ENOENT;
    if (path === directory.hierarchy.mountPoint) return -EOPNOTSUPP;
    if (directory.processes.size > 0 || this.directories(path).length > 0) return -EBUSY;
    this.tree.delete(path);
    return 0;
  }

  directories(path: string): string[] {
    return [...this.tree.keys()]
      .filter((other) => other.startsWith(`${path}/`) && !other.slice(path.length + 1).includes('/'))
      .map((other) => other.slice(path.length + 1));
  }
}

/** A host with each controller by itself. */
export function version1Hierarchies(own = '/'): Hierarchy[] {
  return ['memory', 'cpu', 'cpuset', 'pids', 'blkio', 'name=systemd'].map((name) => {
    const mountPoint = `/sys/fs/cgroup/${name.replace('name=', '')}`;
    return { version: 1, controllers: [name], mountPoint, own: own === '/' ? mountPoint : `${mountPoint}${own}` };
  });
}

export function version2Hierarchies(own = '/'): Hierarchy[] {
  return [{ version: 2, controllers: [], mountPoint: '/sys/fs/cgroup', own: own === '/' ? '/sys/fs/cgroup' : `/sys/fs/cgroup${own}` }];
}
