/** /proc itself: one directory for each process, `self`, and figures of the whole system. */
import { ENOENT } from '#sentry/abi/errno.ts';
import { S_IFDIR } from '#sentry/abi/fs.ts';
import { KERNEL_RELEASE, KERNEL_VERSION } from '../../abi/version.ts';
import type { Caller, Inode } from '../../vfs/inode.ts';
import { LinkFile, StaticDirectory, SyntheticDirectory, TextFile } from '../synthetic/synthetic.ts';
import type { Entry } from '../synthetic/synthetic.ts';
import type { GroupView, MachineView, PidsView } from './process-view.ts';
import { shownMemory } from './memory-figures.ts';
import { readerOf } from './access.ts';
import { sysvipcDirectory } from './ipc.ts';
import { ProcessDirectory } from './process.ts';
import type { ProcFileSystem } from './proc-file-system.ts';
import { sysctlDirectory } from './sysctl.ts';

export class RootDirectory extends SyntheticDirectory {
  declare readonly fileSystem: ProcFileSystem;
  private readonly fixed: ReadonlyMap<string, Inode>;
  private readonly made = new WeakMap<GroupView, ProcessDirectory>();

  constructor(fs: ProcFileSystem) {
    super(fs);
    this.fixed = new Map(Object.entries(fixedEntries(fs)));
  }

  override lookup(name: string, _caller: Caller): Inode | number {
    const fixed = this.fixed.get(name);
    if (fixed !== undefined) return fixed;
    if (!/^[1-9]\d{0,9}$/.test(name)) return -ENOENT;
    const { pids } = this.fileSystem;
    // A thread's number leads to its process, though only processes are listed (proc(5)).
    const group = pids.groups.get(Number(name)) ?? pids.tasks.get(Number(name))?.group;
    return group === undefined ? -ENOENT : this.directoryOf(group);
  }

  entries(_caller: Caller): Entry[] {
    const list = [...this.fixed].map(([name, { ino, mode }]) => ({ name, ino, mode }));
    for (const group of this.fileSystem.pids.groups.values()) {
      list.push({ name: String(group.pid), ino: this.directoryOf(group).ino, mode: S_IFDIR });
    }
    return list;
  }

  private directoryOf(group: GroupView): ProcessDirectory {
    let directory = this.made.get(group);
    // A thread that called execve has taken the leader's place.
    if (directory === undefined || directory.task !== group.leader) {
      directory = new ProcessDirectory(this.fileSystem, group.leader, true);
      this.made.set(group, directory);
    }
    directory.followOwner();
    return directory;
  }
}

function fixedEntries(fs: ProcFileSystem): Record<string, Inode> {
  const { kernel } = fs;
  const text = (read: () => string): TextFile => new TextFile(fs, read);
  return {
    cgroups: text(controllersText),
    cmdline: text(() => 'quiet\n'),
    cpuinfo: text(() => cpuInfoText(kernel.machine)),
    devices: text(() => 'Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/ptmx\n128 ptm\n136 pts\n\nBlock devices:\n'),
    diskstats: text(() => ''),
    filesystems: text(() => kernel.fileSystemTypes.map((type) => `nodev\t${type}\n`).join('')),
    interrupts: text(() => `           ${Array.from({ length: kernel.machine.cpuCount }, (_, cpu) => `CPU${cpu}`.padEnd(11)).join('')}\n`),
    loadavg: text(() => loadText(fs.pids)),
    meminfo: text(() => memoryText(fs)),
    modules: text(() => ''),
    mounts: new LinkFile(fs, () => 'self/mounts'),
    net: new LinkFile(fs, () => 'self/net'),
    partitions: text(() => 'major minor  #blocks  name\n\n'),
    self: new LinkFile(fs, (caller) => {
      const { group, pids } = readerOf(caller);
      return pids === fs.pids ? String(group.pid) : -ENOENT;
    }),
    stat: text(() => statText(fs)),
    swaps: text(() => 'Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n'),
    sys: sysctlDirectory(fs),
    sysvipc: sysvipcDirectory(fs),
    'thread-self': new LinkFile(fs, (caller) => {
      const { group, tid, pids } = readerOf(caller);
      if (pids !== fs.pids) return -ENOENT;
      return `${group.pid}/task/${tid}`;
    }),
    tty: new StaticDirectory(fs, { drivers: text(() => TERMINAL_DRIVERS) }),
    uptime: text(() => uptimeText(fs)),
    version: text(() => `Linux version ${KERNEL_RELEASE} (tsvisor) ${KERNEL_VERSION}\n`),
    vmstat: text(() => `nr_free_pages ${Math.floor(shownMemory(kernel, fs.pids.memory).freeBytes / 4096)}\n`),
  };
}

/** Name, node, major number, minor numbers and kind of each terminal driver. */
const TERMINAL_DRIVERS =
  '/dev/tty             /dev/tty        5       0 system:/dev/tty\n' +
  '/dev/ptmx            /dev/ptmx       5       2 system\n' +
  'pty_slave            /dev/pts      136 0-1048575 pty:slave\n' +
  'pty_master           /dev/ptm      128 0-1048575 pty:master\n';

/** All in the one hierarchy of v2, number 0. */
function controllersText(): string {
  const lines = ['cpuset', 'cpu', 'cpuacct', 'blkio', 'memory', 'pids'].map((name) => `${name}\t0\t1\t1\n`);
  return `#subsys_name\thierarchy\tnum_cgroups\tenabled\n${lines.join('')}`;
}

function cpuInfoText({ cpuCount, cpuDescription }: MachineView): string {
  return Array.from({ length: cpuCount }, (_, cpu) => `processor\t: ${cpu}\n${cpuDescription}\n`).join('');
}

function loadText({ tasks, newest }: PidsView): string {
  let running = 0;
  for (const task of tasks.values()) if (task.state === 'R') running++;
  return `0.00 0.00 0.00 ${running}/${tasks.size} ${newest}\n`;
}

function memoryText({ kernel, pids }: ProcFileSystem): string {
  const { totalBytes: total, freeBytes: free, usedBytes: used } = shownMemory(kernel, pids.memory);
  const lines: [string, number][] = [
    ['MemTotal', total],
    ['MemFree', free],
    ['MemAvailable', free],
    ['Buffers', 0],
    ['Cached', 0],
    ['SwapCached', 0],
    ['Active', 0],
    ['Inactive', 0],
    ['Active(anon)', 0],
    ['Inactive(anon)', 0],
    ['Active(file)', 0],
    ['Inactive(file)', 0],
    ['Unevictable', 0],
    ['Mlocked', 0],
    ['SwapTotal', 0],
    ['SwapFree', 0],
    ['Dirty', 0],
    ['Writeback', 0],
    ['AnonPages', used],
    ['Mapped', 0],
    ['Shmem', 0],
    ['Slab', 0],
    ['SReclaimable', 0],
    ['SUnreclaim', 0],
    ['CommitLimit', total],
    ['Committed_AS', kernel.memoryUsed],
    ['VmallocTotal', 0],
    ['VmallocUsed', 0],
    ['VmallocChunk', 0],
  ];
  return lines.map(([name, bytes]) => `${`${name}:`.padEnd(16)}${String(Math.floor(bytes / 1024)).padStart(8)} kB\n`).join('');
}

function statText(fs: ProcFileSystem): string {
  const { kernel, host, pids } = fs;
  const upTicks = Math.floor((host.monotonicNs() - kernel.bootTimeNs) / 10_000_000);
  const perCpu = `0 0 0 ${upTicks} 0 0 0 0 0 0\n`;
  const { cpuCount } = kernel.machine;
  const cpus = Array.from({ length: cpuCount }, (_, cpu) => `cpu${cpu} ${perCpu}`).join('');
  let running = 0;
  for (const task of pids.tasks.values()) if (task.state === 'R') running++;
  return `cpu  0 0 0 ${upTicks * cpuCount} 0 0 0 0 0 0\n${cpus}intr 0\nctxt 0\nbtime ${fs.mountTime.sec}\nprocesses ${pids.newest}\nprocs_running ${running}\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n`;
}

function uptimeText({ kernel, host }: ProcFileSystem): string {
  const seconds = (host.monotonicNs() - kernel.bootTimeNs) / 1e9;
  return `${seconds.toFixed(2)} ${(seconds * kernel.machine.cpuCount).toFixed(2)}\n`;
}
