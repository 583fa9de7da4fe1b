/**
 * /proc/PID and /proc/PID/task/TID: what is known of one task. A directory's inode lives as long as its task; the files in it, made as they are
 * asked for, are described in process-files.ts.
 */
import { ENOENT, ESRCH } from '#sentry/abi/errno.ts';
import { S_IFDIR } from '#sentry/abi/fs.ts';
import type { Caller, Inode } from '../../vfs/inode.ts';
import { SyntheticDirectory } from '../synthetic/synthetic.ts';
import type { Entry } from '../synthetic/synthetic.ts';
import { TASK_FILES, TaskFiles } from './process-files.ts';
import type { TaskView } from './process-view.ts';
import type { ProcFileSystem } from './proc-file-system.ts';

/** Directory of a task; `leads` for /proc/PID, which has `task` besides. */
export class ProcessDirectory extends SyntheticDirectory {
  declare readonly fileSystem: ProcFileSystem;
  readonly task: TaskView;
  private readonly leads: boolean;
  private readonly files: TaskFiles;
  /** Those somebody asked for. */
  private readonly made = new Map<string, Inode>();

  constructor(fileSystem: ProcFileSystem, task: TaskView, leads: boolean) {
    super(fileSystem);
    this.task = task;
    this.leads = leads;
    this.files = new TaskFiles(fileSystem, task);
    this.followOwner();
  }

  /** Files belong to whom the process acts as, which may have changed. */
  followOwner(): void {
    const { euid, egid } = this.task.credentials;
    if (this.uid === euid && this.gid === egid) return;
    this.uid = euid;
    this.gid = egid;
    for (const file of this.made.values()) this.give(file);
  }

  override lookup(name: string, _caller: Caller): Inode | number {
    if (this.task.state === 'X') return -ESRCH;
    return this.made.get(name) ?? this.make(name);
  }

  entries(caller: Caller): Entry[] {
    if (this.task.state === 'X') return [];
    const names = [...(this.leads ? ['task'] : []), ...TASK_FILES.keys()];
    return names.map((name) => {
      const { ino, mode } = this.lookup(name, caller) as Inode;
      return { name, ino, mode };
    });
  }

  private make(name: string): Inode | number {
    const file = this.leads && name === 'task' ? new TasksDirectory(this.fileSystem, this.task) : TASK_FILES.get(name)?.(this.files);
    if (file === undefined) return -ENOENT;
    this.give(file);
    this.made.set(name, file);
    return file;
  }

  private give(file: Inode): void {
    file.uid = this.uid;
    file.gid = this.gid;
  }
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
