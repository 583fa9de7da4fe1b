/**
 * On the host this runs on, whatever versions of cgroups it has. Needs the right to make cgroups: skipped without.
 * And a scope of systemd, by a busctl that only writes down what it is asked.
 */
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { ResourcesConfig } from '../config/types.ts';
import { HostCgroup } from './host-cgroup.ts';
import type { CgroupState } from './host-cgroup.ts';
import { SANDBOX_MEMORY_BYTES } from './limits.ts';
import { CgroupMeter } from './meter.ts';
import { raiseGuestScore } from './oom-score.ts';
import { inspectHost, prepareCgroup } from './plan.ts';
import { NO_RESOURCES } from './resources.ts';
import type { Busctl } from './systemd-scope.ts';
import { FakeCgroups, version2Hierarchies } from './testing.ts';

const MIB = 1024 * 1024;
const { memory, cpu } = NO_RESOURCES;

function maySet(): boolean {
  try {
    const { hierarchies } = inspectHost();
    for (const { mountPoint } of hierarchies) accessSync(mountPoint, constants.W_OK);
    return process.getuid!() === 0 && hierarchies.length > 0;
  } catch {
    return false;
  }
}

/** One that stays until it is killed. */
function sleeper(): ChildProcess {
  return spawn('sleep', ['100'], { stdio: 'ignore' });
}

function ended(child: ChildProcess): Promise<string | null> {
  return new Promise((resolve) => {
    child.on('exit', (_, signal) => resolve(signal));
  });
}

describe.runIf(maySet())('on this host', () => {
  const place = `/tsvisor-unit-${process.pid}`;
  const resources: ResourcesConfig = {
    ...NO_RESOURCES,
    memory: { ...memory, limit: 64 * MIB },
    cpu: { ...cpu, shares: 512, quota: 50_000, period: 100_000 },
    pidsLimit: 10,
    hugepageLimits: [{ pageSize: '2MB', limit: 0 }],
  };
  const prepare = (id: string): HostCgroup => {
    const request = { id, cgroupsPath: `${place}/${id}`, resources, systemd: false, warn: () => {} };
    return prepareCgroup(request)!;
  };

  test('limits are set, members are in every hierarchy, and what is left is killed at the end', async () => {
    const cgroup = prepare('a');
    const child = sleeper();
    const gone = ended(child);
    const late = sleeper();
    cgroup.joinInBackground([child.pid!])([child.pid!, late.pid!]);
    const membership = readFileSync(`/proc/${child.pid}/cgroup`, 'latin1').trim().split('\n');
    expect(readFileSync(`/proc/${late.pid}/cgroup`, 'latin1').trim().split('\n')).toEqual(membership);
    expect(membership.filter((line) => line.endsWith(`${place}/a`))).toHaveLength(cgroup.state.directories.length);
    const directory = cgroup.directoryOf('memory')!;
    const limit = directory.version === 1 ? 'memory.limit_in_bytes' : 'memory.max';
    expect(cgroup.files.read(`${directory.path}/${limit}`)).toBe(`${64 * MIB + SANDBOX_MEMORY_BYTES}\n`);
    cgroup.update({ ...NO_RESOURCES, memory: { ...memory, limit: 128 * MIB } }, () => {});
    expect(cgroup.files.read(`${directory.path}/${limit}`)).toBe(`${128 * MIB + SANDBOX_MEMORY_BYTES}\n`);
    const state = JSON.parse(JSON.stringify(cgroup.toState())) as CgroupState;
    expect(HostCgroup.fromState(state).remove()).toBe(true);
    expect(await gone).toBe('SIGKILL');
    for (const { path, madeParents } of state.directories) expect([path, ...madeParents].filter(existsSync)).toEqual([]);
  });

  test('one in use is refused and left alone', () => {
    const first = prepare('b');
    const child = sleeper();
    first.join(child.pid!);
    expect(() => prepare('b')).toThrow("container's cgroup is not empty");
    expect(child.exitCode).toBe(null);
    child.kill('SIGKILL');
    expect(first.remove()).toBe(true);
  });

  test('who takes too much is killed, and the meter has seen it', () => {
    const cgroup = prepare('c');
    const directory = cgroup.directoryOf('memory')!;
    const meter = new CgroupMeter(directory);
    meter.begin();
    const script = `echo $$ > ${directory.path}/cgroup.procs; exec tail /dev/zero`;
    expect(spawnSync('sh', ['-c', script], { stdio: 'ignore', timeout: 15_000 }).signal).toBe('SIGKILL');
    expect(meter.oomKills).toBe(1);
    expect(meter.memoryBytes).toBeLessThan(32 * MIB);
    expect(cgroup.remove()).toBe(true);
  });
});

describe('with --systemd-cgroup', () => {
  function scope(status: number): { asked: string[]; paths: string[] | undefined; warnings: string[] } {
    const files = new FakeCgroups(version2Hierarchies(), ['cpuset', 'cpu', 'io', 'memory', 'pids']);
    // systemd puts us where we asked to be.
    const read = files.read.bind(files);
    files.read = (file) => (file === '/proc/self/cgroup' ? '0::/system.slice/tsvisor-box.scope\n' : read(file));
    const asked: string[] = [];
    const warnings: string[] = [];
    const systemd: Busctl = (bus, args) => {
      asked.push([bus, ...args].join(' '));
      return { status, stderr: '' };
    };
    const request = { id: 'box', cgroupsPath: 'system.slice:tsvisor:box', resources: { ...NO_RESOURCES, pidsLimit: 7 }, systemd: true };
    const host = { files, hierarchies: files.hierarchies, rootless: false, systemd };
    const cgroup = prepareCgroup({ ...request, warn: (text) => void warnings.push(text) }, host);
    return { asked, paths: cgroup?.state.directories.map((one) => one.path), warnings };
  }

  test('a transient scope with us in it, and the files besides', () => {
    const { asked, paths, warnings } = scope(0);
    expect(asked[1]).toMatch(/^--system call .* StartTransientUnit ssa\(sv\)a\(sa\(sv\)\) tsvisor-box\.scope replace \d+ /);
    expect(asked[1]).toContain(`PIDs au 1 ${process.pid}`);
    expect(paths).toEqual(['/sys/fs/cgroup/system.slice/tsvisor-box.scope']);
    expect(warnings).toEqual([]);
  });

  test('a systemd that does not answer: the same place, and a warning', () => {
    const { paths, warnings } = scope(1);
    expect(paths).toEqual(['/sys/fs/cgroup/system.slice/tsvisor-box.scope']);
    expect(warnings[0]).toMatch(/systemd cannot be asked for the scope tsvisor-box\.scope/);
  });
});

test('guests are born with a higher score than the sentry, which has its own again', () => {
  const own = (): number => Number(readFileSync('/proc/self/oom_score_adj', 'latin1'));
  const helper = sleeper();
  const before = own();
  const warnings: string[] = [];
  const score = raiseGuestScore({
    configured: 100,
    limitBytes: 16 * MIB,
    helpers: [helper.pid!],
    warn: (text) => void warnings.push(text),
  });
  const guests = own();
  score.restore();
  const after = own();
  // With the capability below everything, without it where it was.
  expect([-999, before]).toContain(after);
  expect(guests).toBe(after === -999 ? 100 : Math.min(1000, before + 1000));
  expect(Number(readFileSync(`/proc/${helper.pid}/oom_score_adj`, 'latin1'))).toBe(after);
  expect(warnings).toEqual([]);
  helper.kill('SIGKILL');
  writeFileSync('/proc/self/oom_score_adj', String(Math.max(before, after)));
});
