/**
 * The files of /proc/PID and /proc/PID/task/TID (proc(5)), each made when it is first asked for: most programs look at one or two.
 *
 * What a file shows is computed at each read, and a task that has gone answers ESRCH. Access to what belongs to a process alone (memory,
 * descriptors, links) follows ptrace access rules: same user, or CAP_SYS_PTRACE.
 */
import { EACCES, EINVAL, ENOENT, ESRCH } from '#sentry/abi/errno.ts';
import { S_IFLNK } from '#sentry/abi/fs.ts';
import type { IdRange } from '#sentry/abi/id-range.ts';
import { PAGE_SIZE } from '#sentry/abi/mman.ts';
import { putI64 } from '#sentry/abi/layout.ts';
import { CAP_SYS_RESOURCE, capable } from '../../vfs/credentials.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import type { Inode } from '../../vfs/inode.ts';
import type { Path } from '../../vfs/mount.ts';
import { pathName } from '../../vfs/path-name.ts';
import { LinkFile, StaticDirectory, TextFile } from '../synthetic/synthetic.ts';
import type { MayOpen, ReadText } from '../synthetic/synthetic.ts';
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

/** What the files of one task are made with. */
export class TaskFiles {
  readonly fs: ProcFileSystem;
  readonly task: TaskView;

  constructor(fs: ProcFileSystem, task: TaskView) {
    this.fs = fs;
    this.task = task;
  }

  /** A text for everybody. */
  text(read: ReadText): TextFile {
    return new TextFile(this.fs, living(this.task, read), null, undefined, exists(this.task));
  }

  /** A text for those who may look into the process. Checked once, at open: who may keep the descriptor may go on reading (mm_access in fs/proc/base.c). */
  guarded(read: ReadText): TextFile {
    return new TextFile(this.fs, living(this.task, read), null, undefined, this.inspected());
  }

  /** The same, for its owner alone. */
  secret(read: ReadText): TextFile {
    return new TextFile(this.fs, living(this.task, read), null, 0o400, this.inspected());
  }

  private inspected(): MayOpen {
    const { task } = this;
    return (caller) => exists(task)(caller) || mayInspect(caller, task);
  }
}

/** By name, in the order in which a directory lists them. */
export const TASK_FILES: ReadonlyMap<string, (of: TaskFiles) => Inode> = new Map(
  Object.entries<(of: TaskFiles) => Inode>({
    attr: ({ fs }) => new StaticDirectory(fs, {}),
    auxv: (of) => of.secret(() => auxvText(of.fs, of.task)),
    cgroup: (of) => of.text(() => `0::${of.task.group.controlGroup?.path ?? '/'}\n`),
    cmdline: (of) => of.text(() => stringsText(of.fs, of.task, of.task.mm.argStart, of.task.mm.argEnd)),
    comm: ({ fs, task }) =>
      new TextFile(
        fs,
        living(task, () => `${task.name}\n`),
        (value, caller) => {
          if (readerOf(caller).group !== task.group) return -EINVAL;
          task.name = value.replace(/\n$/, '').slice(0, COMM_LENGTH);
          return 0;
        },
      ),
    coredump_filter: (of) => of.text(() => '00000033\n'),
    cwd: ({ fs, task }) => placeLink(fs, task, () => task.fs.cwd),
    environ: (of) => of.secret(() => stringsText(of.fs, of.task, of.task.mm.envStart, of.task.mm.envEnd)),
    exe: ({ fs, task }) => executableLink(fs, task),
    fd: ({ fs, task }) => new DescriptorsDirectory(fs, task, (fd) => new DescriptorLink(fs, task, fd), S_IFLNK | 0o700),
    fdinfo: ({ fs, task }) => new DescriptorsDirectory(fs, task, (fd) => new TextFile(fs, () => fdinfoText(task, fd)), 0o100444, 0o555),
    gid_map: (of) => of.text(() => idMapText(of.task.container.groupMap)),
    io: (of) => of.secret(() => 'rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n'),
    limits: (of) => of.text(() => limitsText(of.task.group)),
    loginuid: (of) => of.text(() => '4294967295'),
    maps: (of) => of.guarded((caller) => mapsText(of.task.mm, readerOf(caller).fs.root)),
    mem: ({ fs, task }) => new MemoryInode(fs, task, (caller) => mayInspect(caller, task)),
    mountinfo: (of) => of.text((caller) => mountInfoText(of.task, readerOf(caller).fs.root)),
    mounts: (of) => of.text((caller) => mountsText(of.task, readerOf(caller).fs.root)),
    mountstats: (of) => of.secret((caller) => mountStatsText(of.task, readerOf(caller).fs.root)),
    net: ({ fs }) => networkDirectory(fs, fs.kernel.network, fs.kernel.anonymous.unixSockets),
    ns: ({ fs, task }) => namespacesDirectory(fs, task),
    oom_adj: (of) => of.text(() => '0\n'),
    oom_score: (of) => of.text(() => '0\n'),
    oom_score_adj: ({ fs, task }) => oomScoreFile(fs, task),
    personality: (of) => of.secret(() => `${of.task.personality.toString(16).padStart(8, '0')}\n`),
    projid_map: (of) => of.text(() => '         0          0 4294967295\n'),
    root: ({ fs, task }) => placeLink(fs, task, () => task.fs.root),
    schedstat: (of) => of.text(() => '0 0 0\n'),
    sessionid: (of) => of.text(() => '4294967295'),
    setgroups: (of) => of.text(() => 'allow\n'),
    smaps: (of) => of.guarded((caller) => smapsText(of.task.mm, readerOf(caller).fs.root)),
    smaps_rollup: (of) => of.guarded(() => smapsRollupText(of.task.mm)),
    stat: (of) => of.text(() => statText(of.task, of.fs.kernel)),
    statm: (of) => of.text(() => statmText(of.task.mm)),
    status: (of) => of.text(() => statusText(of.task, of.fs.kernel)),
    timerslack_ns: (of) => of.text(() => `${of.task.scheduling.timerSlackNs}\n`),
    uid_map: (of) => of.text(() => idMapText(of.task.container.userMap)),
    wchan: (of) => of.text(() => '0'),
  }),
);

/** Linux: kernel/user_namespace.c, uid_m_show. */
function idMapText(ranges: readonly IdRange[]): string {
  const column = (id: number): string => String(id).padStart(10);
  return ranges.map(({ containerID, hostID, size }) => `${column(containerID)} ${column(hostID)} ${column(size)}\n`).join('');
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
