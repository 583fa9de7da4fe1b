/**
 * `tmpcopyup`: a tmpfs that starts with a copy of what it is going to cover: directories, files, links, FIFOs and sockets, with owner, mode and times.
 * Device nodes and extended attributes are left behind. Anybody may have made what is there, so the copy is bounded by the tmpfs itself, in bytes
 * and inodes, and by COPY_DEPTH_MAX.
 */
import { emptyAttributes } from '#sentry/abi/stat.ts';
import { ELOOP, ENOENT } from '#sentry/abi/errno.ts';
import { O_CREAT, O_DIRECTORY, O_EXCL, O_RDONLY, O_WRONLY, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from '#sentry/abi/fs.ts';
import type { HostMemory, HostStat } from '#platform/contract/host.ts';
import type { TmpFileSystem } from '#sentry/fs/tmpfs/tmpfs.ts';
import { KernelIo } from '#sentry/mm/io.ts';
import type { FileDescription } from '#sentry/vfs/file-description.ts';
import { MountNamespace } from '#sentry/vfs/mount-namespace.ts';
import type { Path } from '#sentry/vfs/mount.ts';
import { open, openPath } from '#sentry/vfs/open.ts';
import { mkdir, mknod, symlink } from '#sentry/vfs/operations.ts';
import { TreeBuilder } from './tree-builder.ts';

/** Directories within directories that are copied. */
const COPY_DEPTH_MAX = 64;
const CHUNK = 65_536;

/** Fills `into`, which nobody sees yet, with what lies at `place`: 0 or -errno. */
export function copyTree(builder: TreeBuilder, place: string, into: TmpFileSystem): number {
  const from = builder.find(place);
  if (from === -ENOENT) return 0;
  if (typeof from === 'number') return from;
  if (!from.dentry.inode!.isDirectory) return 0;
  const target = new TreeBuilder(builder.host, new MountNamespace(builder.namespace.vfs, into, 0, 'tmpfs'));
  target.caller.fs.umask = 0;
  const error = new TreeCopy(builder, target).directory(from, target.namespace.rootPath, 0);
  target.release();
  return error;
}

class TreeCopy {
  private readonly source: TreeBuilder;
  private readonly target: TreeBuilder;
  private readonly memory: HostMemory;
  private readonly stat: HostStat = emptyAttributes();

  constructor(source: TreeBuilder, target: TreeBuilder) {
    this.source = source;
    this.target = target;
    this.memory = source.host.allocate(CHUNK);
  }

  /** The entries of `from`, then its own owner and mode. `depth`: directories above it. */
  directory(from: Path, to: Path, depth: number): number {
    if (depth > COPY_DEPTH_MAX) return -ELOOP;
    const names = this.namesIn(from);
    if (typeof names === 'number') return names;
    for (const name of names) {
      const entry = this.source.enter(from, name);
      // It is gone by now.
      if (entry === -ENOENT) continue;
      const error = typeof entry === 'number' ? entry : this.entry(entry, to, name, depth);
      if (error < 0) return error;
    }
    // Those of the top are the mount's options.
    return depth === 0 ? 0 : this.attributes(from, to);
  }

  private namesIn(directory: Path): string[] | number {
    const file = openPath(this.source.caller, directory, O_RDONLY | O_DIRECTORY);
    if (typeof file === 'number') return file;
    const names: string[] = [];
    let error = 0;
    for (let before = -1; error === 0 && before !== names.length; ) {
      before = names.length;
      error = file.readdir((name) => {
        if (name !== '.' && name !== '..') names.push(name);
        return true;
      }, this.source.caller);
    }
    file.release();
    return error < 0 ? error : names;
  }

  private entry(from: Path, to: Path, name: string, depth: number): number {
    const { caller } = this.target;
    const inode = from.dentry.inode!;
    const { mode } = inode;
    switch (mode & S_IFMT) {
      case S_IFDIR: {
        const made = mkdir(caller, to, name, 0o700);
        const below = made < 0 ? made : this.target.enter(to, name);
        return typeof below === 'number' ? below : this.directory(from, below, depth + 1);
      }
      case S_IFREG:
        return this.file(from, to, name);
      case S_IFLNK: {
        const text = inode.readlink(this.source.caller);
        const made = typeof text === 'number' ? text : symlink(caller, text, to, name);
        return made < 0 ? made : this.attributesOf(from, to, name);
      }
      case S_IFIFO:
      case S_IFSOCK: {
        const made = mknod(caller, to, name, mode, 0);
        return made < 0 ? made : this.attributesOf(from, to, name);
      }
      default:
        return 0;
    }
  }

  private file(from: Path, to: Path, name: string): number {
    const source = openPath(this.source.caller, from, O_RDONLY);
    if (typeof source === 'number') return source;
    const target = open(this.target.caller, to, name, O_WRONLY | O_CREAT | O_EXCL, 0o600, 0);
    const error = typeof target === 'number' ? target : this.contents(source, target);
    source.release();
    if (typeof target !== 'number') target.release();
    return error < 0 ? error : this.attributesOf(from, to, name);
  }

  private contents(source: FileDescription, target: FileDescription): number {
    for (let position = 0; ; ) {
      const length = source.read(new KernelIo(this.memory, 0, CHUNK), position, this.source.caller);
      if (length <= 0) return length;
      const written = target.write(new KernelIo(this.memory, 0, length), position, this.target.caller);
      if (written < 0) return written;
      position += written;
    }
  }

  private attributesOf(from: Path, to: Path, name: string): number {
    const made = this.target.enter(to, name);
    return typeof made === 'number' ? made : this.attributes(from, made);
  }

  private attributes(from: Path, to: Path): number {
    const { stat } = this;
    const error = from.dentry.inode!.getattr(stat);
    if (error < 0) return error;
    const { mode, uid, gid, atimeSec, atimeNsec, mtimeSec, mtimeNsec } = stat;
    const times = { uid, gid, atimeSec, atimeNsec, mtimeSec, mtimeNsec };
    const change = (mode & S_IFMT) === S_IFLNK ? times : { mode: mode & 0o7777, ...times };
    return to.dentry.inode!.setattr(change, this.target.caller);
  }
}
