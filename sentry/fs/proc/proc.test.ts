import { describe, expect, test } from 'vitest';
import { FakeHost } from '#platform/fake/fake-host.ts';
import { EACCES, EINVAL, ENOENT, ESRCH } from '#sentry/abi/errno.ts';
import { O_CREAT, O_RDONLY, O_RDWR, O_WRONLY, S_IFLNK } from '#sentry/abi/fs.ts';
import { emptyAttributes } from '#sentry/abi/stat.ts';
import { KernelIo } from '../../mm/io.ts';
import type { AddressSpace } from '../../mm/address-space.ts';
import { ALL_CAPABILITIES, initialCredentials } from '../../vfs/credentials.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import { WALK_FOLLOW } from '../../vfs/walk.ts';
import { TimerQueue } from '../../lib/timer-queue.ts';
import { Network } from '../inet/network.ts';
import { FileStore } from '../tmpfs/file-store.ts';
import { TmpFileSystem } from '../tmpfs/tmpfs.ts';
import { World } from '../testing/world.ts';
import type { TestCaller } from '../testing/world.ts';
import { PASSING_DENTRIES_MAX } from '../../limits.ts';
import type { MemoryFigures } from './memory-figures.ts';
import type { KernelView, PidsView, TaskView } from './process-view.ts';
import { ProcFileSystem } from './proc-file-system.ts';
import { smapsRollupText } from './smaps.ts';

/** A kernel of two processes: 1 (root) and 7 (user 1000, stopped, in a session with terminal pts/3). */
class Bench {
  readonly host = new FakeHost();
  readonly world: World;
  readonly tasks = new Map<number, TaskView>();
  readonly root: TestCaller;
  readonly user: TestCaller;
  readonly file: FileDescription;
  private readonly buffer = this.host.allocate(1 << 16);

  /** Of the container. */
  set memory(figures: MemoryFigures) {
    (this.pids as { memory: MemoryFigures | null }).memory = figures;
  }

  private readonly pids = {
    tasks: this.tasks,
    groups: { get: (pid: number) => this.tasks.get(pid)?.group, values: () => [...this.tasks.values()].map(({ group }) => group) },
    newest: 7,
    memory: null as MemoryFigures | null,
  } as unknown as PidsView;

  constructor() {
    const kernel = {
      bootTimeNs: this.host.nowNs - 5e9,
      machine: { cpuCount: 2, cpuDescription: 'vendor_id\t: None\n', memoryBytes: 1 << 30 },
      memoryUsed: 1 << 20,
      fileSystemTypes: ['proc', 'tmpfs'],
      network: new Network(this.host, new TimerQueue()),
      anonymous: { unixSockets: new Set() },
    };
    this.world = new World(this.host, new ProcFileSystem(5, this.host, kernel as unknown as KernelView, this.pids));
    const other = new World(this.host, new TmpFileSystem(new FileStore(this.host), 6));
    other.writeFile('/opened', 'contents');
    this.file = other.open('/opened', O_RDWR);
    this.tasks.set(1, this.task(1, 0, null));
    this.tasks.set(7, this.task(7, 1000, this.tasks.get(1)!));
    this.root = { ...this.world.root, task: this.tasks.get(1)! };
    this.user = { ...this.world.user(1000), task: this.tasks.get(7)! };
  }

  task(pid: number, uid: number, parent: TaskView | null): TaskView {
    const words = { low: 0x8000_0001, high: 0 };
    const task = {
      tid: pid,
      startTimeNs: this.host.nowNs - 1e9,
      state: uid === 0 ? 'S' : 'T',
      name: `program ${pid}`,
      niceness: 0,
      minorFaults: 0,
      hasExited: false,
      credentials: initialCredentials(uid, uid, [uid], ALL_CAPABILITIES),
      fs: this.world.fs,
      uts: { nodename: 'box', domainname: '(none)' },
      mm: {
        areas: { all: [], totalBytes: 8192 },
        codeStart: 0,
        codeEnd: 0,
        stackStart: 0,
        dataStart: 0,
        dataEnd: 0,
        brkStart: 0,
        argStart: 0,
        argEnd: 0,
        envStart: 0,
        envEnd: 0,
      },
      files: {
        get: (fd: number) => (fd === 3 ? this.file : undefined),
        nextOpen: (from: number) => (from <= 3 ? 3 : -1),
        isCloexec: () => true,
        size: 4,
      },
      signals: { blocked: words, pending: { set: words } },
      pids: this.pids,
      container: { userMap: [{ containerID: 0, hostID: 100_000, size: 5 }], groupMap: [] },
      group: undefined as unknown,
    };
    task.group = {
      pid,
      leader: task,
      tasks: new Set([task]),
      parent: parent?.group ?? null,
      oomScoreAdj: 0,
      isZombie: false,
      exitStatus: 0,
      processGroup: { pgid: pid, session: { sid: pid, terminal: uid === 0 ? null : { device: 136 * 256 + 3, foreground: { pgid: 7 } } } },
      limits: { soft: () => 1024, hard: () => Infinity },
      handlers: { handler: Float64Array.from({ length: 65 }, (_, i) => (i === 2 ? 1 : i === 15 ? 4096 : 0)) },
      signals: { pending: { set: words }, queued: { count: 2 } },
      userTimeNs: 2.5e9,
      systemTimeNs: 1e7,
      childrenUserTimeNs: 0,
      childrenSystemTimeNs: 0,
    };
    return task as unknown as TaskView;
  }

  read(name: string, caller = this.root): string {
    const file = this.world.open(name, O_RDONLY, 0, caller);
    const length = file.read(new KernelIo(this.buffer, 0, this.buffer.bytes.length), 0, caller);
    file.release();
    return this.buffer.latin1(0, length);
  }
}

describe('of a process', () => {
  test('is forgotten when the process has gone', () => {
    const bench = new Bench();
    const open = Array.from({ length: 400 }, () => bench.world.open('/1/status', O_RDONLY, 0, bench.root));
    for (let pid = 1000; pid < 4000; pid++) {
      bench.tasks.set(pid, bench.task(pid, 0, null));
      expect(bench.read(`/${pid}/stat`)).toContain(`${pid} (program`);
      bench.tasks.delete(pid);
    }
    expect(bench.world.vfs.cache.count).toBeLessThan(2 * PASSING_DENTRIES_MAX);
    for (const file of open) file.release();
    expect(bench.read('/7/stat')).toContain('7 (program');
  });

  test('ns tells who shares a namespace', () => {
    const bench = new Bench();
    const link = (name: string): unknown => bench.world.path(name, 0, bench.root).dentry.inode!.readlink(bench.root);
    for (const kind of ['pid', 'net', 'mnt']) expect(link(`/1/ns/${kind}`)).toBe(link(`/7/ns/${kind}`));
    expect(link('/1/ns/pid_for_children')).toBe(link('/1/ns/pid'));
    expect(link('/1/ns/uts')).toMatch(/^uts:\[\d+\]$/);
    expect(link('/1/ns/uts')).not.toBe(link('/7/ns/uts'));
  });

  test('stat has its 52 fields', () => {
    const bench = new Bench();
    const text = bench.read('/7/stat');
    expect(text.startsWith(`7 (program 7) T 1 7 7 ${136 * 256 + 3} 7 4194304 `)).toBe(true);
    const fields = text
      .slice(text.lastIndexOf(')') + 2)
      .trim()
      .split(' ');
    expect(fields.length).toBe(50);
    expect(fields[11]).toBe('250'); // utime in ticks
    expect(fields[19]).toBe('400'); // start time since boot
    expect(fields[28]).toBe('1'); // pending signals: 31 bits
    expect(fields[30]).toBe('2'); // ignored: SIGINT
    expect(bench.read('/1/stat')).toContain(' S 0 1 1 0 -1 ');
  });

  test('status', () => {
    const text = new Bench().read('/7/status');
    const names = text
      .trimEnd()
      .split('\n')
      .map((line) => line.slice(0, line.indexOf(':')));
    expect(names.slice(0, 12)).toEqual([
      'Name',
      'Umask',
      'State',
      'Tgid',
      'Ngid',
      'Pid',
      'PPid',
      'TracerPid',
      'Uid',
      'Gid',
      'FDSize',
      'Groups',
    ]);
    expect(text).toContain('State:\tT (stopped)\n');
    expect(text).toContain('Uid:\t1000\t1000\t1000\t1000\n');
    expect(text).toContain('SigQ:\t2/1024\n');
    expect(text).toContain('SigBlk:\t0000000080000001\n');
    expect(text).toContain('SigCgt:\t0000000000004000\n');
    expect(text).toContain('Cpus_allowed_list:\t0-1\n');
  });

  test('the ids of a user namespace', () => {
    expect(new Bench().read('/1/uid_map')).toBe('         0     100000          5\n');
    expect(new Bench().read('/1/gid_map')).toBe('');
  });

  test('limits are columns', () => {
    const lines = new Bench().read('/1/limits').split('\n');
    expect(lines[0]).toBe('Limit                     Soft Limit           Hard Limit           Units     ');
    expect(lines[8]).toBe('Max open files            1024                 unlimited            files     ');
    expect(lines.length).toBe(18);
  });

  test('descriptors: links that tell how the file is open, and what is known of it', () => {
    const bench = new Bench();
    expect(bench.world.list('/1/fd')).toEqual(['3']);
    const stat = emptyAttributes();
    expect(bench.world.path('/1/fd/3', 0, bench.root).dentry.inode!.getattr(stat)).toBe(0);
    expect(stat.mode).toBe(S_IFLNK | 0o700);
    expect(stat.size).toBe(64);
    expect(bench.read('/1/fd/3')).toBe('contents');
    expect(bench.read('/1/fdinfo/3')).toContain('pos:\t0\nflags:\t0');
    expect(bench.world.tryOpen('/1/fd/4', O_RDONLY, 0, bench.root)).toBe(-ENOENT);
    expect(bench.world.tryOpen('/1/fd/03', O_RDONLY, 0, bench.root)).toBe(-ENOENT);
  });

  test('others do not look into it', () => {
    const bench = new Bench();
    for (const name of ['fd/3', 'environ', 'maps', 'mem', 'smaps_rollup']) {
      expect(bench.world.tryOpen(`/1/${name}`, O_RDONLY, 0, bench.user), name).toBe(-EACCES);
    }
    expect(bench.world.tryOpen('/1/status', O_RDONLY, 0, bench.user)).toBe(0);
    expect(bench.world.tryOpen('/7/fd/3', O_RDONLY, 0, bench.user)).toBe(0);
    expect(bench.world.stat('/7/status').uid).toBe(1000);
  });

  test('the name can be changed from within', () => {
    const bench = new Bench();
    const write = (caller: TestCaller): number => {
      const file = bench.world.open('/7/comm', O_WRONLY, 0, caller);
      const memory = bench.host.allocate(4096);
      const length = memory.writeLatin1('a name much too long\n', 0);
      let left = length;
      const io = {
        remaining: length,
        put: () => 0,
        skip: () => {},
        take: (to: typeof memory, offset: number, n: number) => (to.writeLatin1(memory.latin1(0, n), offset), (left -= n), n),
      };
      const result = file.write(io, 0, caller);
      file.release();
      expect(left).toBe(0);
      return result;
    };
    expect(write(bench.root)).toBe(-EINVAL);
    expect(write(bench.user)).toBe(21);
    expect(bench.read('/7/comm')).toBe('a name much too\n');
  });

  test('a process that has gone', () => {
    const bench = new Bench();
    const directory = bench.world.path('/7');
    const file = bench.world.open('/7/status');
    const task = bench.tasks.get(7)!;
    bench.tasks.delete(7);
    (task as { state: string }).state = 'X';
    expect(bench.world.tryStat('/7')).toBe(-ENOENT);
    expect(directory.dentry.inode!.lookup('status', bench.root)).toBe(-ESRCH);
    expect(() => bench.world.read(file)).toThrow(`${-ESRCH}`);
  });
});

describe('/proc itself', () => {
  test('lists processes and leads to the reader', () => {
    const bench = new Bench();
    expect(bench.world.list('/')).toEqual(expect.arrayContaining(['1', '7', 'self', 'meminfo', 'sys', 'thread-self']));
    expect(bench.world.path('/self', 0, bench.user).dentry.inode!.readlink(bench.user)).toBe('7');
    expect(bench.world.path('/thread-self', 0, bench.user).dentry.inode!.readlink(bench.user)).toBe('7/task/7');
    expect(bench.world.tryStat('/007')).toBe(-ENOENT);
    expect(bench.world.tryStat('/8')).toBe(-ENOENT);
    expect(bench.world.tryOpen('/new', O_WRONLY | O_CREAT)).toBe(-ENOENT);
  });

  test('figures of the machine', () => {
    const bench = new Bench();
    expect(bench.read('/meminfo')).toContain('MemTotal:        1048576 kB\n');
    bench.memory = { limitBytes: 1 << 20, usedBytes: 1 << 19 };
    expect(bench.read('/meminfo')).toMatch(/^MemTotal: +1024 kB\nMemFree: +512 kB\n/);
    expect(bench.read('/uptime')).toBe('5.00 10.00\n');
    expect(bench.read('/cpuinfo').match(/^processor\t: \d$/gm)).toEqual(['processor\t: 0', 'processor\t: 1']);
    expect(bench.read('/stat')).toMatch(/^cpu {2}0 0 0 1000 /);
    expect(bench.read('/loadavg')).toBe('0.00 0.00 0.00 0/2 7\n');
    expect(bench.read('/filesystems')).toBe('nodev\tproc\nnodev\ttmpfs\n');
    expect(bench.read('/interrupts')).toBe('           CPU0       CPU1       \n');
  });

  test('tables of the network are headers of the width that Linux gives them', () => {
    const bench = new Bench();
    const width = (name: string): number => bench.read(`/1/net/${name}`).indexOf('\n');
    expect(['tcp', 'tcp6', 'udp', 'udp6', 'raw', 'route', 'unix'].map(width)).toEqual([149, 144, 127, 162, 114, 127, 55]);
    expect(bench.read('/1/net/dev').split('\n').length).toBe(4);
  });

  test('sysctl', () => {
    const bench = new Bench();
    expect(bench.read('/sys/kernel/hostname')).toBe('box\n');
    expect(bench.read('/sys/kernel/random/uuid', bench.user)).toMatch(
      /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\n$/,
    );
    expect(bench.read('/sys/kernel/random/boot_id')).toBe(bench.read('/sys/kernel/random/boot_id'));
    expect(bench.world.tryOpen('/sys/kernel/ostype', O_WRONLY)).toBe(-EACCES);
  });
});

test('smaps_rollup of an empty address space', () => {
  const text = smapsRollupText({ areas: { all: [] } } as unknown as AddressSpace);
  expect(text.startsWith(`${'00000000-00000000 ---p 00000000 00:00 0 '.padEnd(73)}[rollup]\nRss:                   0 kB\n`)).toBe(true);
});

test('paths are walked with links followed by default', () => {
  const bench = new Bench();
  expect(bench.world.path('/net/unix', WALK_FOLLOW, bench.root).dentry.name).toBe('unix');
});
