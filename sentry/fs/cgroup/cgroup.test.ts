import { beforeEach, describe, expect, test } from 'vitest';
import { FakeHost } from '#platform/fake/fake-host.ts';
import { EACCES, EAGAIN, EBUSY, EINVAL, ENOENT, ENOTEMPTY, EOPNOTSUPP, EPERM, ESRCH } from '#sentry/abi/errno.ts';
import { O_RDONLY, O_WRONLY } from '#sentry/abi/fs.ts';
import { CONTROL_GROUP_DEPTH_MAX } from '../../limits.ts';
import { mkdir, rmdir } from '../../vfs/operations.ts';
import { World } from '../testing/world.ts';
import { CgroupFileSystem } from './cgroup-file-system.ts';
import { noLimits } from './cgroup-view.ts';
import { ControlGroups } from './control-group.ts';
import type { ControlGroup, MemberProcess } from './control-group.ts';

const GIB = 1024 ** 3;

class Process implements MemberProcess {
  readonly pid: number;
  isZombie = false;
  controlGroup: ControlGroup | null = null;
  readonly tasks: Set<{ tid: number; hasExited: boolean }>;

  constructor(pid: number, threads = 1) {
    this.pid = pid;
    this.tasks = new Set(Array.from({ length: threads }, (_, i) => ({ tid: pid + i, hasExited: false })));
  }
}

class Bench {
  readonly host = new FakeHost();
  readonly processes = new Map<number, Process>();
  readonly killed: number[] = [];
  readonly limits = noLimits();
  readonly accounts = {
    cpuNs: 5_000_000_000,
    memoryBytes: 10 * 4096 + 5,
    memoryPeakBytes: 20 * 4096,
    oomKills: 1,
    taskCount: 3,
    taskPeak: 9,
    tasksMax: Infinity,
    taskRefusals: 2,
  };
  readonly groups = new ControlGroups({ groups: this.processes, tasks: this.threads() });
  readonly world: World;

  constructor() {
    const { groups, limits, accounts } = this;
    const kill = ({ pid }: MemberProcess): void => void this.killed.push(pid);
    this.world = new World(this.host, new CgroupFileSystem(5, this.host, { groups, limits, accounts, cpuList: '0-1', kill }));
    for (const [pid, threads] of [
      [1, 1],
      [10, 3],
      [20, 1],
    ] as const)
      this.processes.set(pid, new Process(pid, threads));
  }

  private threads(): ReadonlyMap<number, { group: MemberProcess }> {
    const { processes } = this;
    const find = (tid: number): Process | undefined =>
      [...processes.values()].find(({ tasks }) => [...tasks].some((task) => task.tid === tid));
    return { get: (tid: number) => (find(tid) === undefined ? undefined : { group: find(tid)! }) } as ReadonlyMap<
      number,
      { group: MemberProcess }
    >;
  }

  read(path: string): string {
    return this.world.readFile(path);
  }

  write(path: string, text: string): number {
    const file = this.world.open(path, O_WRONLY);
    const result = this.world.write(file, text, 0);
    file.release();
    return result < 0 ? result : 0;
  }

  mkdir(path: string): number {
    return mkdir(this.world.root, null, path, 0o755);
  }
  rmdir(path: string): number {
    return rmdir(this.world.root, null, path);
  }
}

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});

describe('the container’s own group', () => {
  test('without limits', () => {
    expect(bench.read('/cgroup.controllers')).toBe('cpuset cpu io memory pids\n');
    expect(bench.read('/memory.max')).toBe('max\n');
    expect(bench.read('/cpu.max')).toBe('max 100000\n');
    expect(bench.read('/pids.max')).toBe('max\n');
    expect(bench.read('/cpuset.cpus')).toBe('\n');
    expect(bench.read('/cpuset.cpus.effective')).toBe('0-1\n');
    expect(bench.read('/cpu.weight.nice')).toBe('0\n');
  });

  test('limits as they are now, in whole pages', () => {
    bench.limits.memoryMaxBytes = GIB + 17;
    bench.limits.cpuQuotaUs = 50_000;
    bench.limits.cpus = '2,5';
    bench.accounts.tasksMax = 100;
    expect(bench.read('/memory.max')).toBe(`${GIB}\n`);
    expect(bench.read('/cpu.max')).toBe('50000 100000\n');
    expect(bench.read('/pids.max')).toBe('100\n');
    expect(bench.read('/cpuset.cpus')).toBe('0-1\n');
  });

  test('accounts', () => {
    expect(bench.read('/memory.current')).toBe('40960\n');
    expect(bench.read('/memory.peak')).toBe('81920\n');
    expect(bench.read('/memory.events')).toContain('oom_kill 1\n');
    expect(bench.read('/memory.stat')).toMatch(/^anon 40960\n/);
    expect(bench.read('/cpu.stat')).toMatch(/^usage_usec 5000000\n/);
    expect(bench.read('/pids.current')).toBe('3\n');
    expect(bench.read('/pids.peak')).toBe('9\n');
    expect(bench.read('/pids.events')).toBe('max 2\n');
  });

  test('who is in it', () => {
    expect(bench.read('/cgroup.procs')).toBe('1\n10\n20\n');
    expect(bench.read('/cgroup.threads')).toBe('1\n10\n11\n12\n20\n');
    bench.processes.get(20)!.isZombie = true;
    expect(bench.read('/cgroup.procs')).toBe('1\n10\n');
    expect(bench.read('/cgroup.events')).toBe('populated 1\nfrozen 0\n');
    expect(bench.read('/cgroup.type')).toBe('domain\n');
  });

  test('its limits cannot be changed from inside', () => {
    for (const file of ['memory.max', 'cpu.max', 'pids.max', 'cpuset.cpus', 'memory.oom.group', 'io.max', 'cgroup.max.depth']) {
      expect(bench.write(`/${file}`, '1'), file).toBe(-EPERM);
    }
    expect(bench.world.tryOpen('/memory.current', O_WRONLY)).toBe(-EACCES);
    expect(bench.write('/cgroup.kill', '1')).toBe(-EPERM);
    expect(bench.killed).toEqual([]);
  });
});

describe('groups that guests make', () => {
  test('hold processes together', () => {
    expect(bench.mkdir('/a')).toBe(0);
    expect(bench.mkdir('/a/b')).toBe(0);
    expect(bench.read('/a/cgroup.events')).toBe('populated 0\nfrozen 0\n');
    expect(bench.write('/a/b/cgroup.procs', '12\n')).toBe(0); // a thread's number moves its process
    expect(bench.read('/cgroup.procs')).toBe('1\n20\n');
    expect(bench.read('/a/b/cgroup.procs')).toBe('10\n');
    expect(bench.read('/a/cgroup.procs')).toBe('');
    expect(bench.read('/a/cgroup.events')).toBe('populated 1\nfrozen 0\n');
    expect(bench.processes.get(10)!.controlGroup!.path).toBe('/a/b');
    expect(bench.read('/cgroup.stat')).toBe('nr_descendants 2\nnr_dying_descendants 0\n');
    expect(bench.write('/cgroup.procs', '10')).toBe(0);
    expect(bench.processes.get(10)!.controlGroup).toBe(null);
  });

  test('refuse what is no process', () => {
    bench.mkdir('/a');
    expect(bench.write('/a/cgroup.procs', '99')).toBe(-ESRCH);
    for (const text of ['', 'x', '-1', '1 2', '1e1', '99999999999']) expect(bench.write('/a/cgroup.procs', text), text).toBe(-EINVAL);
    bench.processes.get(20)!.isZombie = true;
    expect(bench.write('/a/cgroup.procs', '20')).toBe(-ESRCH);
    expect(bench.write('/a/cgroup.threads', '10')).toBe(-EOPNOTSUPP);
    expect(bench.write('/a/cgroup.type', 'threaded')).toBe(-EOPNOTSUPP);
  });

  test('are removed when nobody is in them', () => {
    bench.mkdir('/a');
    bench.mkdir('/a/b');
    bench.write('/a/b/cgroup.procs', '10');
    const open = bench.world.open('/a/b/cgroup.procs', O_RDONLY);
    expect([-EBUSY, -ENOTEMPTY]).toContain(bench.rmdir('/a'));
    expect(bench.rmdir('/a/b')).toBe(-EBUSY);
    bench.processes.get(10)!.isZombie = true;
    expect(bench.rmdir('/a/b')).toBe(0);
    expect(bench.processes.get(10)!.controlGroup!.path).toBe('/a/b (deleted)');
    expect(bench.rmdir('/a')).toBe(0);
    expect(bench.world.tryOpen('/a/cgroup.procs', O_RDONLY)).toBe(-ENOENT);
    open.release();
  });

  test('end together', () => {
    bench.mkdir('/a');
    bench.mkdir('/a/b');
    bench.write('/a/cgroup.procs', '10');
    bench.write('/a/b/cgroup.procs', '20');
    expect(bench.write('/a/cgroup.kill', '2')).toBe(-EINVAL);
    expect(bench.write('/a/cgroup.kill', '1\n')).toBe(0);
    expect(bench.killed).toEqual([10, 20]);
  });

  test('have pids if it is handed down, and nothing else', () => {
    bench.mkdir('/a');
    bench.mkdir('/other');
    expect(bench.world.tryOpen('/a/pids.max', O_RDONLY)).toBe(-ENOENT);
    expect(bench.read('/a/cgroup.controllers')).toBe('\n');
    expect(bench.write('/cgroup.subtree_control', '+pids')).toBe(-EBUSY); // processes live in leaves
    for (const pid of [1, 10, 20]) bench.write('/other/cgroup.procs', String(pid));
    expect(bench.write('/cgroup.subtree_control', '+memory')).toBe(-EOPNOTSUPP);
    expect(bench.write('/cgroup.subtree_control', '+nonsense')).toBe(-EINVAL);
    expect(bench.write('/a/cgroup.subtree_control', '+pids')).toBe(-ENOENT);
    expect(bench.write('/cgroup.subtree_control', '+pids\n')).toBe(0);
    expect(bench.read('/cgroup.subtree_control')).toBe('pids\n');
    expect(bench.read('/a/cgroup.controllers')).toBe('pids\n');
    expect(bench.write('/cgroup.procs', '1')).toBe(-EBUSY);
    expect(bench.write('/a/pids.max', '4')).toBe(0);
    bench.write('/a/cgroup.procs', '10');
    const group = bench.processes.get(10)!.controlGroup!;
    expect(bench.read('/a/pids.current')).toBe('3\n');
    expect(group.admitsTask()).toBe(true);
    bench.write('/a/cgroup.procs', '20');
    expect(group.admitsTask()).toBe(false);
    expect(bench.read('/a/pids.events')).toBe('max 1\n');
    expect(bench.write('/cgroup.subtree_control', '-pids')).toBe(0);
    expect(group.admitsTask()).toBe(true);
  });

  test('are bounded', () => {
    let path = '';
    for (let depth = 0; depth < CONTROL_GROUP_DEPTH_MAX; depth++) expect(bench.mkdir((path += '/g'))).toBe(0);
    expect(bench.mkdir(`${path}/g`)).toBe(-EAGAIN);
    expect(bench.mkdir('/two\nlines')).toBe(-EINVAL);
  });

  test('belong to who made them', () => {
    const user = bench.world.user(1000);
    expect(mkdir(user, null, '/mine', 0o755)).toBe(-EACCES);
    expect(bench.world.tryOpen('/cgroup.procs', O_WRONLY, 0, user)).toBe(-EACCES);
  });
});
