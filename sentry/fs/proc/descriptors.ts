/** /proc/PID/fd and fdinfo (proc_pid_fd(5)): a link and a text for each open descriptor, made when it is first asked for. */
import { ENOENT } from '#sentry/abi/errno.ts';
import { O_CLOEXEC, S_IFLNK } from '#sentry/abi/fs.ts';
import type { Caller, Inode, Stat } from '../../vfs/inode.ts';
import type { Target } from '../../vfs/mount.ts';
import { pathName } from '../../vfs/path-name.ts';
import { LinkFile, SyntheticDirectory } from '../synthetic/synthetic.ts';
import type { Entry } from '../synthetic/synthetic.ts';
import { DESCRIPTOR_INODES_MAX } from '../../limits.ts';
import { mayInspect, readerOf } from './access.ts';
import type { TaskView } from './process-view.ts';
import type { ProcFileSystem } from './proc-file-system.ts';

/** Size that Linux gives for the links of fd. */
const LINK_SIZE = 64;

export function fdinfoText(task: TaskView, fd: number): string | number {
  const file = task.files.get(fd);
  if (file === undefined) return -ENOENT;
  const flags = file.flags | (task.files.isCloexec(fd) ? O_CLOEXEC : 0);
  return `pos:\t${file.position}\nflags:\t0${flags.toString(8)}\nmnt_id:\t${file.mount?.id ?? 0}\nino:\t${file.inode.ino}\n${file.fdinfo()}`;
}

/** Its permissions tell how the file was opened. */
export class DescriptorLink extends LinkFile {
  private readonly task: TaskView;
  private readonly fd: number;

  constructor(fs: ProcFileSystem, task: TaskView, fd: number) {
    super(fs, (caller) => {
      const file = task.files.get(fd);
      return file === undefined ? -ENOENT : pathName(file, readerOf(caller).fs.root);
    });
    this.task = task;
    this.fd = fd;
  }

  override followMagic(): Target | number {
    const file = this.task.files.get(this.fd);
    return file === undefined ? -ENOENT : { mount: file.mount, dentry: file.dentry };
  }

  override getattr(into: Stat): number {
    const file = this.task.files.get(this.fd);
    if (file !== undefined) this.mode = S_IFLNK | (file.readable ? 0o500 : 0) | (file.writable ? 0o300 : 0);
    const result = super.getattr(into);
    into.size = LINK_SIZE;
    return result;
  }
}

/** /proc/PID/fd and fdinfo: one name for each open descriptor. */
export class DescriptorsDirectory extends SyntheticDirectory {
  private readonly task: TaskView;
  private readonly make: (fd: number) => Inode;
  private readonly entryMode: number;
  private readonly made = new Map<number, Inode>();

  constructor(fs: ProcFileSystem, task: TaskView, make: (fd: number) => Inode, entryMode: number, permissions = 0o500) {
    super(fs, permissions);
    this.task = task;
    this.make = make;
    this.entryMode = entryMode;
  }

  override lookup(name: string, caller: Caller): Inode | number {
    const refusal = mayInspect(caller, this.task);
    if (refusal < 0) return refusal;
    const fd = Number(name);
    if (!/^(0|[1-9]\d{0,9})$/.test(name) || this.task.hasExited || this.task.files.get(fd) === undefined) return -ENOENT;
    let inode = this.made.get(fd);
    if (inode === undefined) {
      // Who still holds one of the old ones goes on with it; a new look finds a new one.
      if (this.made.size >= DESCRIPTOR_INODES_MAX) this.made.clear();
      inode = this.make(fd);
      inode.uid = this.uid;
      inode.gid = this.gid;
      this.made.set(fd, inode);
    }
    return inode;
  }

  entries(caller: Caller): Entry[] {
    const list: Entry[] = [];
    if (this.task.hasExited || mayInspect(caller, this.task) < 0) return list;
    const { files } = this.task;
    for (let fd = files.nextOpen(0); fd >= 0; fd = files.nextOpen(fd + 1))
      list.push({ name: String(fd), ino: this.ino * 4096 + fd, mode: this.entryMode });
    return list;
  }
}
