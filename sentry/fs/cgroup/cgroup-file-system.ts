/**
 * /sys/fs/cgroup inside: cgroup v2 with the container's own cgroup as its root, whatever version the host has. Programs that adapt to their limits (JVM, Node.js,
 * Go, nproc) find them here, and a mount that can be written to takes groups of the guests' own (control-group.ts).
 *
 *     const groups = new ControlGroups(container.pids);                    one for each container
 *     vfs.types.set('cgroup2', () => new CgroupFileSystem(device, host, { groups, limits, accounts, … }));
 *
 * Spec: Linux Documentation/admin-guide/cgroup-v2.rst; cgroup_namespaces(7).
 */
import { EINVAL, ENOENT } from '#sentry/abi/errno.ts';
import { S_IFDIR } from '#sentry/abi/fs.ts';
import type { Host } from '#platform/contract/host.ts';
import type { Caller, Inode } from '../../vfs/inode.ts';
import { SyntheticDirectory, SyntheticFileSystem, TextFile } from '../synthetic/synthetic.ts';
import type { Entry } from '../synthetic/synthetic.ts';
import type { ControlGroup, ControlGroups } from './control-group.ts';
import { coreFiles, pidsFiles } from './core-files.ts';
import type { GroupFile, KillProcess } from './core-files.ts';
import { limitFiles } from './limit-files.ts';
import type { ContainerFiguresSource } from './limit-files.ts';

const CGROUP2_MAGIC = 0x6367_7270;
const WRITE_ONLY_FILE = 'cgroup.kill';

export interface CgroupSource extends ContainerFiguresSource {
  readonly groups: ControlGroups;
  readonly kill: KillProcess;
}

export class CgroupFileSystem extends SyntheticFileSystem {
  readonly type = 'cgroup2';
  readonly magic = CGROUP2_MAGIC;
  readonly source: CgroupSource;
  readonly root: Inode;
  private readonly made = new WeakMap<ControlGroup, GroupDirectory>();

  constructor(device: number, host: Host, source: CgroupSource) {
    super(device, host);
    this.source = source;
    this.root = this.directoryOf(source.groups.root);
  }

  override get optionText(): string {
    return 'nsdelegate';
  }

  directoryOf(group: ControlGroup): GroupDirectory {
    let directory = this.made.get(group);
    if (directory === undefined) {
      directory = new GroupDirectory(this, group);
      this.made.set(group, directory);
    }
    return directory;
  }
}

class GroupDirectory extends SyntheticDirectory {
  declare readonly fileSystem: CgroupFileSystem;
  readonly group: ControlGroup;
  private readonly core: ReadonlyMap<string, TextFile>;
  /** Those of controllers: all at the root; of pids below, while it is handed down. */
  private readonly controlled: ReadonlyMap<string, TextFile>;

  constructor(fileSystem: CgroupFileSystem, group: ControlGroup) {
    super(fileSystem, 0o755);
    const { source } = fileSystem;
    this.group = group;
    this.uid = group.uid;
    this.gid = group.gid;
    this.core = this.files(coreFiles(group, source.kill));
    this.controlled = this.files(group.isRoot ? limitFiles(source) : pidsFiles(group));
  }

  private files(table: Readonly<Record<string, GroupFile>>): ReadonlyMap<string, TextFile> {
    return new Map(Object.entries(table).map(([name, { read, write }]) => [name, this.file(name, read, write)]));
  }

  private file(name: string, read: GroupFile['read'], write: GroupFile['write']): TextFile {
    const guarded: GroupFile['read'] = (caller) => (this.group.removed ? -ENOENT : read(caller));
    const writer = write === null ? null : (text: string, caller: Caller) => (this.group.removed ? -ENOENT : write(text, caller));
    const file = new TextFile(this.fileSystem, guarded, writer, name === WRITE_ONLY_FILE ? 0o200 : undefined);
    file.uid = this.group.uid;
    file.gid = this.group.gid;
    return file;
  }

  private get visible(): readonly ReadonlyMap<string, TextFile>[] {
    return this.group.isRoot || this.group.limitsPids ? [this.core, this.controlled] : [this.core];
  }

  protected override get links(): number {
    return 2 + this.group.children.size;
  }

  override lookup(name: string, _caller: Caller): Inode | number {
    const child = this.group.children.get(name);
    if (child !== undefined) return this.fileSystem.directoryOf(child);
    for (const files of this.visible) {
      const file = files.get(name);
      if (file !== undefined) return file;
    }
    return -ENOENT;
  }

  entries(_caller: Caller): Entry[] {
    const files = this.visible.flatMap((table) => [...table].map(([name, { ino, mode }]) => ({ name, ino, mode })));
    const groups = [...this.group.children.values()].map((child) => {
      const { ino } = this.fileSystem.directoryOf(child);
      return { name: child.name, ino, mode: S_IFDIR | 0o755 };
    });
    return [...files, ...groups];
  }

  override mkdir(name: string, _mode: number, uid: number, gid: number): Inode | number {
    if (this.group.removed) return -ENOENT;
    const made = this.group.make(name, { uid, gid });
    return typeof made === 'number' ? made : this.fileSystem.directoryOf(made);
  }

  override rmdir(_name: string, target: Inode): number {
    return target instanceof GroupDirectory ? this.group.remove(target.group) : -EINVAL;
  }
}
