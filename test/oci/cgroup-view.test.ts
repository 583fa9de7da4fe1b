/** /sys/fs/cgroup as a container sees it: its limits and accounts, what programs conclude from them, and groups of its own where it may write. */
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, test } from 'vitest';
import { newContainer, type Setup } from './harness/container.ts';
import { ours } from './harness/runtime.ts';

const MB = 1 << 20;
/** A Node.js for the container, with what it needs of the host. */
const NODE = process.execPath;

/** The cgroup mount with these options; no cgroup on the host but the runtime's choice. */
function mounted(options: readonly string[], resources: Record<string, unknown> = {}): NonNullable<Setup['edit']> {
  return (spec) => {
    spec.linux.resources = { ...spec.linux.resources, ...resources };
    spec.mounts = spec.mounts.filter(({ destination }) => destination !== '/sys/fs/cgroup');
    spec.mounts.push({
      destination: '/sys/fs/cgroup',
      type: 'cgroup2',
      source: 'cgroup',
      options: [...options, 'nosuid', 'noexec', 'nodev'],
    });
  };
}

// The layout of v2 on a host that has v1 is ours alone.
describe.runIf(ours)('limits and accounts', () => {
  test('are those that were configured', async () => {
    const resources = {
      memory: { limit: 64 * MB, swap: 96 * MB },
      cpu: { shares: 1024, quota: 50_000, period: 100_000 },
      pids: { limit: 33 },
    };
    await using box = await newContainer({
      shell: 'cat /proc/self/cgroup; cd /sys/fs/cgroup; cat memory.max memory.swap.max cpu.max cpu.weight pids.max cgroup.controllers',
      edit: mounted(['ro'], resources),
    });
    const expected = ['0::/', String(64 * MB), String(32 * MB), '50000 100000', '100', '33', 'cpuset cpu io memory pids'];
    expect((await box.run()).stdout.trim().split('\n')).toEqual(expected);
  });

  test('are not to be changed inside, and a read-only mount takes nothing', async () => {
    await using box = await newContainer({
      shell: 'cd /sys/fs/cgroup; echo 1 > memory.max; mkdir x; cat memory.max',
      edit: mounted(['ro'], { memory: { limit: 64 * MB } }),
    });
    const { stdout, stderr } = await box.run();
    expect(stdout).toBe(`${64 * MB}\n`);
    expect(stderr).toMatch(/memory\.max: Read-only file system[^]*x': Read-only file system/);
  });

  test('memory.current goes up and down with what is in use', async () => {
    const now = 'cat /sys/fs/cgroup/memory.current';
    await using box = await newContainer({
      shell: `mount -t tmpfs none /mnt; ${now}; head -c 30000000 /dev/zero > /mnt/a; ${now}; rm /mnt/a; ${now}`,
      edit: (spec, ...rest) => {
        mounted(['ro'], { memory: { limit: 128 * MB } })(spec, ...rest);
        for (const set of Object.values(spec.process.capabilities ?? {})) (set as string[]).push('CAP_SYS_ADMIN');
      },
    });
    const [before, full, after] = (await box.run()).stdout.trim().split('\n').map(Number);
    expect(full! - before!).toBeGreaterThan(25e6);
    expect(full! - after!).toBeGreaterThan(25e6);
  });

  test('a process that the host killed is counted', async () => {
    await using box = await newContainer({
      shell: 'sh -c "exec tail -c 2000000000 /dev/zero"; cat /sys/fs/cgroup/memory.events',
      edit: mounted(['ro'], { memory: { limit: 64 * MB } }),
    });
    expect((await box.run([], { timeoutMs: 50_000 })).stdout).toContain('oom_kill 1\n');
  });

  test('a cpuset is what nproc counts, CPU time is not', async () => {
    await using box = await newContainer({
      shell: 'nproc; cat /sys/fs/cgroup/cpuset.cpus.effective; grep -c ^processor /proc/cpuinfo',
      edit: mounted(['ro'], { cpu: { cpus: '0', quota: 200_000, period: 100_000 } }),
    });
    expect((await box.run()).stdout).toBe('1\n0\n1\n');
  });

  test.runIf(existsSync('/lib64'))('Node.js concludes what it may use', async () => {
    const script = 'console.log(JSON.stringify([process.constrainedMemory(), os.availableParallelism(), os.totalmem()]))';
    await using box = await newContainer({
      args: ['/node/node', '-e', script],
      edit: (spec, ...rest) => {
        mounted(['ro'], { memory: { limit: 256 * MB }, cpu: { cpus: '0' } })(spec, ...rest);
        const shown = [['/node', dirname(NODE)], ...['/lib', '/lib64', '/usr/lib'].map((path) => [path, path])];
        for (const [destination, source] of shown)
          spec.mounts.push({ destination: destination!, source: source!, type: 'bind', options: ['rbind', 'ro'] });
      },
    });
    expect(JSON.parse((await box.run()).stdout)).toEqual([256 * MB, 1, 256 * MB]);
  });
});

describe.runIf(ours)('a mount that can be written to', () => {
  test('takes groups: members, kill, removal', async () => {
    await using box = await newContainer({
      shell: [
        'cd /sys/fs/cgroup',
        'mkdir jobs',
        'sleep 100 & echo $! > jobs/cgroup.procs',
        'sh -c "echo 0 > jobs/cgroup.procs; cat /proc/self/cgroup; sleep 100" &',
        'sleep 0.3; wc -l < jobs/cgroup.procs',
        'rmdir jobs 2>/dev/null || echo busy',
        'echo 1 > jobs/cgroup.kill; wait; cat jobs/cgroup.events',
        'rmdir jobs && ls -d jobs || echo gone',
      ].join('\n'),
      edit: mounted(['rw']),
    });
    expect((await box.run()).stdout).toBe('0::/jobs\n2\nbusy\npopulated 0\nfrozen 0\ngone\n');
  });

  test('pids.max of a group holds for what is started in it', async () => {
    await using box = await newContainer({
      shell: [
        'cd /sys/fs/cgroup',
        'mkdir init few',
        'echo 0 > init/cgroup.procs',
        'echo +pids > cgroup.subtree_control',
        'echo 3 > few/pids.max',
        'sh -c "echo 0 > few/cgroup.procs; sleep 1 & sleep 1 & sleep 1 & wait"',
        'cat few/pids.events; sleep 1 & sleep 1 & sleep 1 & echo many',
      ].join('\n'),
      edit: mounted(['rw']),
    });
    const { stdout, stderr } = await box.run();
    expect(stderr).toMatch(/can't fork/);
    expect(stdout).toMatch(/^max [1-9]\d*\nmany\n$/);
  });

  test('limits from outside stay: EPERM', async () => {
    await using box = await newContainer({
      shell: 'cd /sys/fs/cgroup; echo max > memory.max; echo max > pids.max; cat memory.max pids.max',
      edit: mounted(['rw'], { memory: { limit: 64 * MB }, pids: { limit: 9 } }),
    });
    const { stdout, stderr } = await box.run();
    expect(stdout).toBe(`${64 * MB}\n9\n`);
    expect(stderr).toMatch(/Operation not permitted/);
  });
});
