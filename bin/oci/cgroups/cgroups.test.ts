import { describe, expect, test } from 'vitest';
import { cgroupPlace, slicePath } from './cgroup-path.ts';
import { findHierarchies } from './hierarchies.ts';
import { HostCgroup } from './host-cgroup.ts';
import type { CgroupState } from './host-cgroup.ts';
import { SANDBOX_MEMORY_BYTES } from './limits.ts';
import { prepareCgroup } from './plan.ts';
import type { CgroupHost, CgroupRequest } from './plan.ts';
import { swapAlone, version1Settings, version2Settings, weightOfShares } from './settings.ts';
import { scopeProperties } from './systemd-scope.ts';
import type { ResourcesConfig } from '../config/types.ts';
import { NO_RESOURCES } from './resources.ts';
import { FakeCgroups, version1Hierarchies, version2Hierarchies } from './testing.ts';

const MIB = 1024 * 1024;
const V2_CONTROLLERS = ['cpuset', 'cpu', 'io', 'memory', 'pids'];

const swapOf = (memory: Partial<ResourcesConfig['memory']>) => swapAlone({ ...NO_RESOURCES.memory, ...memory });
type Partly<T> = { readonly [K in keyof T]?: T[K] extends readonly unknown[] ? T[K] : T[K] extends object ? Partial<T[K]> : T[K] };

function some({ memory, cpu, blockIO, ...rest }: Partly<ResourcesConfig>): ResourcesConfig {
  const base = NO_RESOURCES;
  const groups = { memory: { ...base.memory, ...memory }, cpu: { ...base.cpu, ...cpu }, blockIO: { ...base.blockIO, ...blockIO } };
  return { ...base, ...(rest as Partial<ResourcesConfig>), ...groups };
}

function values(settings: ReturnType<typeof version1Settings>): Record<string, string> {
  return Object.fromEntries(settings.map(({ file, value }) => [file, value]));
}

function setUp(files: FakeCgroups, request: Partial<CgroupRequest> = {}, host: Partial<CgroupHost> = {}) {
  const warnings: string[] = [];
  const full = {
    id: 'box',
    cgroupsPath: '',
    resources: NO_RESOURCES,
    systemd: false,
    warn: (text: string) => void warnings.push(text),
    ...request,
  };
  const cgroup = prepareCgroup(full, { files, hierarchies: files.hierarchies, rootless: false, systemd: null, ...host });
  return { cgroup, warnings };
}

describe('where the hierarchies are', () => {
  test('hybrid: controllers by themselves, one pair together, and v2', () => {
    const mountinfo = [
      '31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755',
      '32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct',
      '35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory',
      '36 31 0:32 / /mnt/again rw,relatime - cgroup cgroup rw,memory',
      '40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd',
      '41 31 0:38 / /sys/fs/cgroup/uni\\040fied rw,relatime - cgroup2 cgroup2 rw,nsdelegate',
    ].join('\n');
    const membership = '9:name=systemd:/a\n4:memory:/x/y:z\n1:cpu,cpuacct:/\n0::/user\n';
    expect(findHierarchies(mountinfo, membership)).toEqual([
      { version: 1, controllers: ['cpu', 'cpuacct'], mountPoint: '/sys/fs/cgroup/cpu,cpuacct', own: '/sys/fs/cgroup/cpu,cpuacct' },
      { version: 1, controllers: ['memory'], mountPoint: '/sys/fs/cgroup/memory', own: '/sys/fs/cgroup/memory/x/y:z' },
      { version: 1, controllers: ['name=systemd'], mountPoint: '/sys/fs/cgroup/systemd', own: '/sys/fs/cgroup/systemd/a' },
      { version: 2, controllers: [], mountPoint: '/sys/fs/cgroup/uni fied', own: '/sys/fs/cgroup/uni fied/user' },
    ]);
  });

  test('inside a container: the mount shows a part of the hierarchy', () => {
    const line = '35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro,relatime - cgroup cgroup rw,memory';
    expect(findHierarchies(line, '4:memory:/docker/abc/child')[0]!.own).toBe('/sys/fs/cgroup/memory/child');
    expect(findHierarchies(line, '4:memory:/docker/abc')[0]!.own).toBe('/sys/fs/cgroup/memory');
    expect(findHierarchies(line, '4:memory:/elsewhere')[0]!.own).toBe('/sys/fs/cgroup/memory');
  });
});

describe('linux.cgroupsPath', () => {
  const request = { id: 'box', cgroupsPath: '', systemd: false, rootless: false };
  test.each([
    ['', 'box'],
    ['/libpod_parent/libpod-1', '/libpod_parent/libpod-1'],
    ['a//b/./c', 'a/b/c'],
    ['../../etc', 'etc'],
    ['/../../etc/..', '/'],
    ['system.slice:docker:1', 'system.slice:docker:1'],
  ])('%j is %j', (cgroupsPath, path) => {
    expect(cgroupPlace({ ...request, cgroupsPath })).toEqual({ path, scope: null });
  });

  test('of systemd', () => {
    const of = (cgroupsPath: string, rootless = false) => cgroupPlace({ ...request, cgroupsPath, systemd: true, rootless });
    expect(of('')).toEqual({ path: '/system.slice/tsvisor-box.scope', scope: { slice: 'system.slice', unit: 'tsvisor-box.scope' } });
    expect(of('', true).path).toBe('/user.slice/tsvisor-box.scope');
    expect(of('kubepods-burstable-pod1.slice:cri-containerd:abc').path).toBe(
      '/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-abc.scope',
    );
    expect(of('-.slice:p:n').path).toBe('/p-n.scope');
    for (const wrong of ['/a/b', 'a:b', 'x:y:z', 'a--b.slice:p:n', '../x.slice:p:n', 's.slice:p:../n', '.slice:p:n']) {
      expect(() => of(wrong)).toThrow(/cgroupsPath/);
    }
  });
  test('of a slice', () => expect(slicePath('a-b-c.slice')).toBe('/a.slice/a-b.slice/a-b-c.slice'));
});

describe('settings', () => {
  test('memory, v1: the sandbox comes on top, -1 stays', () => {
    const memory = { limit: 64 * MIB, swap: 128 * MIB, reservation: 32 * MIB };
    expect(values(version1Settings(some({ memory })))).toEqual({
      'memory.limit_in_bytes': String(64 * MIB + SANDBOX_MEMORY_BYTES),
      'memory.memsw.limit_in_bytes': String(128 * MIB + SANDBOX_MEMORY_BYTES),
      'memory.soft_limit_in_bytes': String(32 * MIB + SANDBOX_MEMORY_BYTES),
    });
    expect(values(version1Settings(some({ memory: { limit: -1 } })))).toEqual({
      'memory.limit_in_bytes': '-1',
      'memory.memsw.limit_in_bytes': '-1',
    });
  });

  test('memory, v2: swap by itself', () => {
    const memory = { limit: 64 * MIB, swap: 96 * MIB, reservation: 32 * MIB };
    expect(values(version2Settings(some({ memory })))).toEqual({
      'memory.swap.max': String(32 * MIB),
      'memory.max': String(64 * MIB + SANDBOX_MEMORY_BYTES),
      'memory.low': String(32 * MIB + SANDBOX_MEMORY_BYTES),
    });
    expect(swapOf({ limit: 5, swap: -1 })).toBe(-1);
    expect(swapOf({ limit: -1 })).toBe(-1);
    expect(swapOf({ limit: 5, swap: 5 })).toBe(0);
    expect(swapOf({ limit: 5 })).toBe(null);
    expect(() => swapOf({ swap: 5 })).toThrow('unable to set swap limit without memory limit');
    expect(() => swapOf({ limit: 6, swap: 5 })).toThrow('memory+swap limit should be >= memory limit');
  });

  test('cpu', () => {
    const cpu = { shares: 1024, quota: 50_000, period: 200_000, cpus: '0-1', mems: '' };
    expect(values(version1Settings(some({ cpu })))).toEqual({
      'cpuset.cpus': '0-1',
      'cpu.shares': '1024',
      'cpu.cfs_period_us': '200000',
      'cpu.cfs_quota_us': '50000',
    });
    expect(values(version2Settings(some({ cpu })))).toEqual({ 'cpuset.cpus': '0-1', 'cpu.weight': '100', 'cpu.max': '50000 200000' });
    expect(values(version2Settings(some({ cpu: { quota: -1 } })))).toEqual({ 'cpu.max': 'max 100000' });
    expect(values(version2Settings(some({ cpu: { idle: 1, shares: 5 } })))).toEqual({ 'cpu.idle': '1' });
    expect([2, 1024, 262_144].map(weightOfShares)).toEqual([1, 100, 10_000]);
  });

  test('what programs write for "not given" sets nothing', () => {
    const resources = some({ memory: { limit: 0, swap: 0 }, cpu: { shares: 0, quota: 0, period: 0, cpus: '' }, pidsLimit: 0 });
    expect(version1Settings(resources)).toEqual([]);
    expect(version2Settings(resources)).toEqual([]);
  });

  test('pids, io, hugetlb, unified', () => {
    expect(values(version1Settings(some({ pidsLimit: -1 })))).toEqual({ 'pids.max': 'max' });
    expect(Number(values(version2Settings(some({ pidsLimit: 10 })))['pids.max'])).toBeGreaterThan(10);
    const blockIO = { weight: 500, throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1000 }] };
    expect(values(version2Settings(some({ blockIO })))).toEqual({ 'io.weight': '4950', 'io.max': '8:0 rbps=1000' });
    expect(values(version2Settings(some({ hugepageLimits: [{ pageSize: '2MB', limit: 9 }] })))).toEqual({ 'hugetlb.2MB.max': '9' });
    expect(version2Settings(some({ unified: { 'memory.high': '5' } }))[0]).toMatchObject({ controller: 'memory', file: 'memory.high' });
    expect(() => version2Settings(some({ unified: { '../cgroup.procs': '1' } }))).toThrow(/unified/);
  });
});

describe('making, joining and removing', () => {
  test('v1: in every hierarchy, cpuset from above, gone without a trace', () => {
    const files = new FakeCgroups(version1Hierarchies());
    const before = [...files.tree.keys()];
    const resources = some({ memory: { limit: 64 * MIB, swap: 64 * MIB }, pidsLimit: 5, cpu: { shares: 512 } });
    const { cgroup, warnings } = setUp(files, { cgroupsPath: '/pods/one', resources });
    expect(warnings).toEqual([]);
    expect(files.read('/sys/fs/cgroup/cpuset/pods/one/cpuset.cpus')).toBe('0-3');
    expect(files.read('/sys/fs/cgroup/memory/pods/one/memory.limit_in_bytes')).toBe(String(64 * MIB + SANDBOX_MEMORY_BYTES));
    cgroup!.join(77);
    expect(files.read('/sys/fs/cgroup/systemd/pods/one/cgroup.procs')).toBe('77\n');
    for (const { processes } of files.tree.values()) processes.clear();
    const state = JSON.parse(JSON.stringify(cgroup!.toState()));
    expect(HostCgroup.fromState(state, files).remove()).toBe(true);
    expect([...files.tree.keys()]).toEqual(before);
    expect(HostCgroup.fromState(state, files).remove()).toBe(true);
  });

  test('v1: relative paths are below our own cgroup; raising both memory limits', () => {
    const files = new FakeCgroups(version1Hierarchies());
    for (const { mountPoint } of files.hierarchies) files.makeDirectory(`${mountPoint}/mine`);
    const host = { hierarchies: version1Hierarchies('/mine') };
    const { cgroup } = setUp(files, { resources: some({ memory: { limit: 9 * MIB, swap: 9 * MIB } }) }, host);
    cgroup!.update(some({ memory: { limit: 20 * MIB, swap: 20 * MIB } }), () => {});
    const directory = '/sys/fs/cgroup/memory/mine/box';
    expect(files.read(`${directory}/memory.limit_in_bytes`)).toBe(String(20 * MIB + SANDBOX_MEMORY_BYTES));
    expect(() => cgroup!.update(some({ unified: { 'memory.high': '5' } }), () => {})).toThrow('cannot use unified on cgroup v1');
  });

  test('v2: controllers are handed down on the way, beside our own cgroup', () => {
    const files = new FakeCgroups(version2Hierarchies('/user/session'), V2_CONTROLLERS);
    files.makeDirectory('/sys/fs/cgroup/user');
    files.makeDirectory('/sys/fs/cgroup/user/session');
    files.write('/sys/fs/cgroup/user/session/cgroup.procs', String(process.pid));
    const { cgroup } = setUp(files, { resources: some({ memory: { limit: MIB }, pidsLimit: 3 }) });
    expect(cgroup!.directoryOf('memory')?.path).toBe('/sys/fs/cgroup/user/box');
    expect(files.read('/sys/fs/cgroup/user/box/memory.max')).toBe(String(MIB + SANDBOX_MEMORY_BYTES));
    expect(files.read('/sys/fs/cgroup/user/cgroup.subtree_control')).toBe('cpuset cpu io memory pids');
    cgroup!.join(5);
    expect(files.killed).toEqual([]);
    expect(cgroup!.remove()).toBe(true);
    expect(files.killed).toEqual([5]);
  });

  test('v2: a parent with processes in it has no controllers to give', () => {
    const files = new FakeCgroups(version2Hierarchies(), V2_CONTROLLERS);
    files.makeDirectory('/sys/fs/cgroup/busy');
    files.write('/sys/fs/cgroup/busy/cgroup.procs', '9');
    const request = { cgroupsPath: '/busy/box', resources: some({ memory: { limit: MIB } }) };
    expect(() => setUp(files, request)).toThrow('cannot set memory limit: container could not join or create cgroup');
    expect(files.tree.has('/sys/fs/cgroup/busy/box')).toBe(false);
    const { cgroup, warnings } = setUp(files, { cgroupsPath: '/busy/box', resources: some({ blockIO: { weight: 10 } }) });
    expect(cgroup).not.toBe(null);
    expect(warnings[0]).toMatch(/blockIO.weight is not applied/);
  });

  test('v2: in a threaded subtree', () => {
    const files = new FakeCgroups(version2Hierarchies(), V2_CONTROLLERS);
    files.makeDirectory('/sys/fs/cgroup/box');
    files.write('/sys/fs/cgroup/box/cgroup.type', 'threaded');
    expect(() => setUp(files, { cgroupsPath: '/box' })).toThrow('threaded mode');
  });

  test('one that is in use is refused and left alone', () => {
    const files = new FakeCgroups(version2Hierarchies(), V2_CONTROLLERS);
    files.makeDirectory('/sys/fs/cgroup/box');
    files.write('/sys/fs/cgroup/box/cgroup.procs', '9');
    expect(() => setUp(files, { cgroupsPath: '/box' })).toThrow("container's cgroup is not empty: 1 process(es) found");
    expect(files.read('/sys/fs/cgroup/box/cgroup.procs')).toBe('9\n');
  });

  test('what was planned is known before it is made, and taken away without killing anybody', () => {
    const files = new FakeCgroups(version1Hierarchies());
    const before = [...files.tree.keys()];
    let planned: CgroupState | null = null;
    const onPlanned = (state: CgroupState): void => {
      expect([...files.tree.keys()]).toEqual(before);
      planned = state;
    };
    setUp(files, { cgroupsPath: '/pods/one', onPlanned });
    const crashed = HostCgroup.fromState(planned!, files);
    files.write('/sys/fs/cgroup/cpu/pods/one/cgroup.procs', '5');
    expect(crashed.remove()).toBe(false);
    expect(files.read('/sys/fs/cgroup/cpu/pods/one/cgroup.procs')).toBe('5\n');
    for (const { processes } of files.tree.values()) processes.clear();
    expect(crashed.remove()).toBe(true);
    expect([...files.tree.keys()]).toEqual(before);
  });

  test('an ordinary user who may make a cgroup but not leave the own one goes without', () => {
    const files = new FakeCgroups(version2Hierarchies(), V2_CONTROLLERS);
    const before = [...files.tree.keys()];
    files.keepsProcesses = true;
    const { cgroup, warnings } = setUp(files, { resources: some({ pidsLimit: 4 }) }, { rootless: true });
    expect(cgroup).toBe(null);
    expect(warnings).toEqual(['not applied, because this user may not make cgroups: linux.resources.pids.limit.']);
    expect([...files.tree.keys()]).toEqual(before);
  });

  test('an ordinary user: only what is delegated', () => {
    const files = new FakeCgroups(version1Hierarchies());
    for (const name of ['memory', 'cpu', 'cpuset', 'blkio', 'systemd']) files.forbidden.add(`/sys/fs/cgroup/${name}/`);
    const { cgroup, warnings } = setUp(files, { resources: some({ pidsLimit: 4, memory: { limit: MIB } }) }, { rootless: true });
    expect(cgroup!.state.directories.map(({ path }) => path)).toEqual(['/sys/fs/cgroup/pids/box']);
    expect(warnings).toEqual(['linux.resources.memory.limit is not applied: there is no memory controller for this container.']);
    files.forbidden.add('/sys/fs/cgroup/pids/');
    expect(setUp(files, { id: 'other' }, { rootless: true })).toEqual({ cgroup: null, warnings: [] });
    expect(setUp(files, { id: 'other', resources: some({ pidsLimit: 4 }) }, { rootless: true }).warnings).toEqual([
      'not applied, because this user may not make cgroups: linux.resources.pids.limit.',
    ]);
    expect(() => setUp(files, { id: 'other' })).toThrow('EACCES');
  });
});

test('a scope of systemd', () => {
  const request = { description: 'd', pid: 12, rootless: false, resources: some({ cpu: { quota: 50_000 }, pidsLimit: -1 }) };
  const properties = scopeProperties({ slice: 'a.slice', unit: 'b.scope' }, request);
  expect(properties).toContainEqual(['PIDs', 'au', '1', '12']);
  expect(properties).toContainEqual(['CPUQuotaPerSecUSec', 't', '500000']);
  expect(properties).toContainEqual(['TasksMax', 't', '18446744073709551615']);
});
