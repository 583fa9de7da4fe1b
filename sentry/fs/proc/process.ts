/**
 * /proc/PID and /proc/PID/task/TID: what is known of one task. A directory's inode lives as long as its task; what it shows is computed at
 * each read, and a task that has gone answers ESRCH.
 *
 * Access to what belongs to a process alone (memory, descriptors, links) follows ptrace access rules: same user, or CAP_SYS_PTRACE.
 */
import { EACCES, EINVAL, ENOENT, ESRCH } from '#sentry/abi/errno.ts';
import { S_IFDIR, S_IFLNK } from '#sentry/abi/fs.ts';
import { PAGE_SIZE } from '#sentry/abi/mman.ts';
import { putI64 } from '#sentry/abi/layout.ts';
import { CAP_SYS_RESOURCE, capable } from '../../vfs/credentials.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import type { Caller, Inode } from '../../vfs/inode.ts';
import type { Path } from '../../vfs/mount.ts';
import { pathName } from '../../vfs/path-name.ts';
import { LinkFile, StaticDirectory, SyntheticDirectory, TextFile } from '../synthetic/synthetic.ts';
import type { Entry, MayOpen, ReadText } from '../synthetic/synthetic.ts';
import { mayInspect, readerOf } from './access.ts';
import { DescriptorLink, DescriptorsDirectory, fdinfoText } from './descriptors.ts';
import { mapsText, statmText } from './maps.ts';
import { MemoryInode } from './memory-file.ts';
import { mountInfoText, mountStatsText, mountsText } from './mounts.ts';
import { namespacesDirectory } from './namespaces.ts';
import { networkDirectory } from './net/directory.ts';
import type { TaskView } from './process-view.ts';
import type { ProcFileSystem } from './proc-file-system.ts';
import { smapsRollupText, smapsText } from './smaps.ts';
import { limitsText, statText, statusText } from './status.ts';

const COMM_LENGTH = 15;
/** /proc/PID/cmdline and environ show at most this much. */
const ARGUMENT_BYTES_MAX = 1 << 20;

/** Directory of a task; `leads` for /proc/PID, which has `task` besides. */
export class ProcessDirectory extends SyntheticDirectory {
  declare readonly fileSystem: ProcFileSystem;
  readonly task: TaskView;
  private readonly children: ReadonlyMap<string, Inode>;

  constructor(fileSystem: ProcFileSystem, task: TaskView, leads: boolean) {
    super(fileSystem);
    this.task = task;
    this.children = new Map(Object.entries(processEntries(fileSystem, task, leads)));
    this.followOwner();
  }

  /** Files belong to whom the process acts as, which may have changed. */
  followOwner(): void {
    const { euid, egid } = this.task.credentials;
    if (this.uid === euid && this.gid === egid) return;
    this.uid = euid;
    this.gid = egid;
    for (const child of this.children.values()) {
      child.uid = euid;
      child.gid = egid;
    }
  }

  override lookup(name: string, _caller: Caller): Inode | number {
    if (this.task.state === 'X') return -ESRCH;
    return this.children.get(name) ?? -ENOENT;
  }

  entries(_caller: Caller): Entry[] {
    if (this.task.state === 'X') return [];
    return [...this.children].map(([name, { ino, mode }]) => ({ name, ino, mode }));
  }
}

function processEntries(fs: ProcFileSystem, task: TaskView, leads: boolean): Record<string, Inode> {
  const { kernel } = fs;
  const text = (read: ReadText): TextFile => new TextFile(fs, living(task, read), null, undefined, exists(task));
  // Checked once, at open: who may keep the descriptor may go on reading (mm_access in fs/proc/base.c).
  const inspected: MayOpen = (caller) => exists(task)(caller) || mayInspect(caller, task);
  const guarded = (read: ReadText): TextFile => new TextFile(fs, living(task, read), null, undefined, inspected);
  const secret = (read: ReadText): TextFile => new TextFile(fs, living(task, read), null, 0o400, inspected);
  return {
    ...(leads ? { task: new TasksDirectory(fs, task) } : {}),
    attr: new StaticDirectory(fs, {}),
    auxv: secret(() => auxvText(fs, task)),
    cgroup: text(() => `0::${task.group.controlGroup?.path ?? '/'}\n`),
    cmdline: text(() => stringsText(fs, task, task.mm.argStart, task.mm.argEnd)),
    comm: new TextFile(
      fs,
      living(task, () => `${task.name}\n`),
      (value, caller) => {
        if (readerOf(caller).group !== task.group) return -EINVAL;
        task.name = value.replace(/\n$/, '').slice(0, COMM_LENGTH);
        return 0;
      },
    ),
    coredump_filter: text(() => '00000033\n'),
    cwd: placeLink(fs, task, () => task.fs.cwd),
    environ: secret(() => stringsText(fs, task, task.mm.envStart, task.mm.envEnd)),
    exe: executableLink(fs, task),
    fd: new DescriptorsDirectory(fs, task, (fd) => new DescriptorLink(fs, task, fd), S_IFLNK | 0o700),
    fdinfo: new DescriptorsDirectory(fs, task, (fd) => new TextFile(fs, () => fdinfoText(task, fd)), 0o100444, 0o555),
    gid_map: text(() => '         0          0 4294967295\n'),
    io: secret(() => 'rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n'),
    limits: text(() => limitsText(task.group)),
    loginuid: text(() => '4294967295'),
    maps: guarded((caller) => mapsText(task.mm, readerOf(caller).fs.root)),
    mem: new MemoryInode(fs, task, (caller) => mayInspect(caller, task)),
    mountinfo: text((caller) => mountInfoText(task, readerOf(caller).fs.root)),
    mounts: text((caller) => mountsText(task, readerOf(caller).fs.root)),
    mountstats: secret((caller) => mountStatsText(task, readerOf(caller).fs.root)),
    net: networkDirectory(fs, kernel.network, kernel.anonymous.unixSockets),
    ns: namespacesDirectory(fs, task),
    oom_adj: text(() => '0\n'),
    oom_score: text(() => '0\n'),
    oom_score_adj: oomScoreFile(fs, task),
    personality: secret(() => `${task.personality.toString(16).padStart(8, '0')}\n`),
    projid_map: text(() => '         0          0 4294967295\n'),
    root: placeLink(fs, task, () => task.fs.root),
    schedstat: text(() => '0 0 0\n'),
    sessionid: text(() => '4294967295'),
    setgroups: text(() => 'allow\n'),
    smaps: guarded((caller) => smapsText(task.mm, readerOf(caller).fs.root)),
    smaps_rollup: guarded(() => smapsRollupText(task.mm)),
    stat: text(() => statText(task, kernel)),
    statm: text(() => statmText(task.mm)),
    status: text(() => statusText(task, kernel)),
    timerslack_ns: text(() => `${task.scheduling.timerSlackNs}\n`),
    uid_map: text(() => '         0          0 4294967295\n'),
    wchan: text(() => '0'),
  };
}

/** Reading about a task that has been reaped fails with ESRCH. */
function living(task: TaskView, read: ReadText): ReadText {
  return (caller) => (task.state === 'X' ? -ESRCH : read(caller));
}

function exists(task: TaskView): MayOpen {
  return () => (task.state === 'X' ? -ESRCH : 0);
}

/** -1000..1000, kept but without effect: memory is the host's to take back. */
function oomScoreFile(fs: ProcFileSystem, task: TaskView): TextFile {
  return new TextFile(
    fs,
    living(task, () => `${task.group.oomScoreAdj}\n`),
    (text, caller) => {
      const value = Number(text.trim());
      if (text.trim() === '' || !Number.isInteger(value) || Math.abs(value) > 1000) return -EINVAL;
      if (value < task.group.oomScoreAdj && !capable(caller.credentials, CAP_SYS_RESOURCE)) return -EACCES;
      task.group.oomScoreAdj = value;
      return 0;
    },
  );
}

/** NUL-separated strings as they are in guest memory now: setproctitle writes there. */
function stringsText({ staging }: ProcFileSystem, task: TaskView, start: number, end: number): string | number {
  if (task.hasExited) return '';
  let text = '';
  for (let at = start; at < Math.min(end, start + ARGUMENT_BYTES_MAX); ) {
    const want = Math.min(end - at, PAGE_SIZE);
    const got = task.mm.memory.copyInPartial(at, staging, 0, want);
    text += staging.latin1(0, got);
    if (got < want) break;
    at += got;
  }
  return text;
}

function auxvText({ staging }: ProcFileSystem, task: TaskView): string {
  const { auxv } = task.mm;
  auxv.forEach(([key, value], i) => {
    putI64(staging.view, i * 16, key);
    putI64(staging.view, i * 16 + 8, value);
  });
  return staging.latin1(0, auxv.length * 16);
}

function placeLink(fs: ProcFileSystem, task: TaskView, place: () => Path): LinkFile {
  return new LinkFile(
    fs,
    (caller) => (task.hasExited ? -ENOENT : mayInspect(caller, task) || pathName(place(), readerOf(caller).fs.root)),
    (caller) => (task.hasExited ? -ENOENT : mayInspect(caller, task) || place()),
  );
}

function executableLink(fs: ProcFileSystem, task: TaskView): LinkFile {
  const file = (): FileDescription | null => (task.hasExited ? null : (task.mm.executable as FileDescription | null));
  return new LinkFile(
    fs,
    (caller) => {
      const exe = file();
      return exe === null ? -ENOENT : mayInspect(caller, task) || pathName(exe, readerOf(caller).fs.root);
    },
    (caller) => {
      const exe = file();
      return exe === null ? -ENOENT : mayInspect(caller, task) || { mount: exe.mount, dentry: exe.dentry };
    },
  );
}

class TasksDirectory extends SyntheticDirectory {
  declare readonly fileSystem: ProcFileSystem;
  private readonly leader: TaskView;
  private readonly made = new WeakMap<TaskView, ProcessDirectory>();

  constructor(fs: ProcFileSystem, leader: TaskView) {
    super(fs);
    this.leader = leader;
  }

  override lookup(name: string, _caller: Caller): Inode | number {
    const task = this.fileSystem.pids.tasks.get(Number(name));
    if (!/^[1-9]\d{0,9}$/.test(name) || task === undefined || task.group !== this.leader.group) return -ENOENT;
    return this.directoryOf(task);
  }

  entries(_caller: Caller): Entry[] {
    return [...this.leader.group.tasks].map((task) => ({ name: String(task.tid), ino: this.directoryOf(task).ino, mode: S_IFDIR }));
  }

  private directoryOf(task: TaskView): ProcessDirectory {
    let directory = this.made.get(task);
    if (directory === undefined) {
      directory = new ProcessDirectory(this.fileSystem, task, false);
      this.made.set(task, directory);
    }
    directory.followOwner();
    return directory;
  }
}
