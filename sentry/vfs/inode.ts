/**
 * Inodes: what a file system offers the VFS. A file system is a class derived from `FileSystem` and some derived from `Inode`; the VFS
 * does path walking, mount crossing, permission checks, dentry caching and the rules every file system shares, then calls the methods
 * here with checked arguments. So no method below checks permissions, name validity, or whether a name exists already unless it says so.
 *
 * Every method returns a result or `-errno`. The defaults answer what Linux answers for an inode type that lacks the operation.
 *
 * Model: Linux Documentation/filesystems/vfs.rst (inode_operations), with dentries kept by the VFS alone.
 */
import { EINVAL, ENODATA, ENOTDIR, EOPNOTSUPP, EPERM } from '#sentry/abi/errno.ts';
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '#sentry/abi/fs.ts';
import type { HostStat } from '#platform/contract/host.ts';
import type { Credentials } from './credentials.ts';
import type { FileDescription } from './file-description.ts';
import type { Dentry } from './dentry.ts';
import type { Target } from './mount.ts';

/** Attributes as fstat(2) reports them. Filled in place: the caller owns the object. */
export type Stat = HostStat;

/** What `setattr` is to change; absent fields stay. Times: seconds and nanoseconds. */
export interface AttributeChange {
  mode?: number; // permission bits only, type bits ignored
  uid?: number;
  gid?: number;
  size?: number;
  atimeSec?: number;
  atimeNsec?: number;
  mtimeSec?: number;
  mtimeNsec?: number;
}

/** statfs(2) figures. */
export interface FileSystemStatistics {
  type: number; // magic, as TMPFS_MAGIC
  blockSize: number;
  blocks: number;
  blocksFree: number;
  blocksAvailable: number;
  files: number;
  filesFree: number;
  nameLength: number;
}

/** Who does something, and what the inode needs to know of them. The kernel's task satisfies this. */
export interface Caller {
  readonly credentials: Credentials;
  /** Only for file systems that show the process table (proc, devpts, /dev/fd): the kernel's Task. Others must not touch it. */
  readonly task: unknown;
}

export abstract class FileSystem {
  /** Name in /proc/mounts and /proc/filesystems. */
  abstract readonly type: string;
  /** `st_dev`, as makedev(major, minor) folds it. */
  readonly device: number;
  /**
   * Whether positive and negative dentries may be kept without asking again. When false the VFS calls `Inode.lookup` on each walk and
   * keeps the dentry only while something refers to it.
   */
  readonly cacheable: boolean = true;

  /** Names here go without the VFS being told, and what they stood for with them: dentries that nobody refers to are kept for a moment only. */
  readonly forgetsNames: boolean = false;

  /** A look-up may mean to ask somebody far away: the walk offers whole paths (`Inode.lookupAhead`). */
  readonly asksFar: boolean = false;

  /** Where its root lies in the larger file system that it is a part of: the beginning of the fourth field of mountinfo. '' if it is whole. */
  readonly partOf: string = '';

  constructor(device: number) {
    this.device = device;
  }

  abstract get root(): Inode;
  abstract statistics(into: FileSystemStatistics): number;
  /** Options shown in /proc/mounts after rw/ro. */
  get optionText(): string {
    return '';
  }
  /** The last mount is gone. */
  destroy(): void {}
}

/** `Inode.peek` cannot tell. */
export const PEEK_UNKNOWN = 1;

export abstract class Inode {
  readonly fileSystem: FileSystem;
  readonly ino: number;
  /** Type and permission bits; current whenever the VFS has just looked the inode up or called `getattr`. */
  mode: number;
  uid: number;
  gid: number;
  /** How many have it open for writing; negative: how many execute it, which excludes writing (Linux i_writecount). */
  writers = 0;
  /** Goes up when the file is opened for writing and when its size is set: what was read before may be something else now. */
  contentsVersion = 0;
  /**
   * Of a directory of a file system that is not `cacheable`, while it is sure to hear of changes: a number that is greater than 0. Dentries that bear it were
   * looked up since, and are believed.
   */
  generation = 0;
  /** Advisory locks, pipe of a FIFO, bound socket and the like hang here; each kind under a key of its own (see `Attachment`). */
  attachments: Map<symbol, unknown> | null = null;

  constructor(fileSystem: FileSystem, ino: number, mode: number, uid: number, gid: number) {
    this.fileSystem = fileSystem;
    this.ino = ino;
    this.mode = mode;
    this.uid = uid;
    this.gid = gid;
  }

  /** Device number of a character or block device node (see special-files.ts). */
  get rdev(): number {
    return 0;
  }
  get isDirectory(): boolean {
    return (this.mode & S_IFMT) === S_IFDIR;
  }
  get isRegular(): boolean {
    return (this.mode & S_IFMT) === S_IFREG;
  }
  get isSymlink(): boolean {
    return (this.mode & S_IFMT) === S_IFLNK;
  }

  abstract getattr(into: Stat): number;
  /** Access was denied by attributes that somebody else may have changed since: whether they are others now. */
  recheck(): boolean {
    return false;
  }
  setattr(_change: AttributeChange, _caller: Caller): number {
    return -EPERM;
  }

  // Directories.
  /** The child called `name`, or -ENOENT. */
  lookup(_name: string, _caller: Caller): Inode | number {
    return -ENOTDIR;
  }
  /**
   * Looks several components up with one question. Appends to `found` what `names` lead to one after the other: inodes, and last perhaps the -errno
   * of the name behind them; as many as are known then, or none, if the question would not save any. No name is '.' or '..'.
   */
  lookupAhead(_names: readonly string[], _caller: Caller, _found: (Inode | number)[]): void {}
  /**
   * The attributes of the child called `name` without looking it up: whoever goes through a tree asks for those of every file, and needs no more.
   * 0, -ENOENT, or PEEK_UNKNOWN: look it up. Only asked of a file system that is `cacheable`, about names that have no dentry.
   */
  peek(_name: string, _into: Stat): number {
    return PEEK_UNKNOWN;
  }
  /** A new regular file. `mode` has the umask applied already; the owner is the caller's fsuid/fsgid (or the directory's gid with S_ISGID: `ownerGid`). */
  create(_name: string, _mode: number, _uid: number, _gid: number): Inode | number {
    return -EPERM;
  }
  mkdir(_name: string, _mode: number, _uid: number, _gid: number): Inode | number {
    return -EPERM;
  }
  /** A FIFO, socket or device node; `mode` holds the type. */
  mknod(_name: string, _mode: number, _rdev: number, _uid: number, _gid: number): Inode | number {
    return -EPERM;
  }
  symlink(_name: string, _target: string, _uid: number, _gid: number): Inode | number {
    return -EPERM;
  }
  /** Another name for `target`, an inode of the same file system. */
  link(_name: string, _target: Inode): number {
    return -EPERM;
  }
  /** Removes a non-directory. The inode lives on while it is open. */
  unlink(_name: string, _target: Inode): number {
    return -EPERM;
  }
  /** Removes an empty directory (-ENOTEMPTY otherwise). */
  rmdir(_name: string, _target: Inode): number {
    return -EPERM;
  }
  /** Moves `name` to `newName` in `newDirectory` (same file system); replaces an existing target as rename(2) says, which this method checks (ENOTEMPTY). `flags`: RENAME_*. */
  rename(_name: string, _newDirectory: Inode, _newName: string, _flags: number): number {
    return -EINVAL;
  }
  /** An unnamed file (O_TMPFILE). With O_EXCL in `flags` it can never be given a name. */
  tmpfile(_mode: number, _uid: number, _gid: number, _flags: number): Inode | number {
    return -EOPNOTSUPP;
  }

  /** Target of a symbolic link. */
  readlink(_caller: Caller): string | number {
    return -EINVAL;
  }
  /**
   * "Magic" links such as /proc/self/fd/3 and /proc/self/exe lead straight to a dentry, whatever their text says.
   * null: an ordinary link. Otherwise where it leads (mount null: an anonymous file), or -errno.
   */
  followMagic(_caller: Caller): Target | number | null {
    return null;
  }

  /**
   * Opens the inode. `flags` are O_* as given, permissions were checked. FIFOs, sockets and device nodes are opened by the kernel's
   * registries, not here. `dentry` names the file for /proc/PID/fd; its inode need not be this one (an overlay opens its lower
   * files with its own dentries), so the description must keep a reference to the inode it reads. The reference to `dentry` that the description owns is acquired
   * by the VFS before the call, which also sets the mount after it.
   */
  abstract open(dentry: Dentry, flags: number, caller: Caller): FileDescription | number;

  // Extended attributes: bytes as latin1 strings.
  getxattr(_name: string): string | number {
    return -ENODATA;
  }
  setxattr(_name: string, _value: string, _flags: number): number {
    return -EOPNOTSUPP;
  }
  listxattr(): readonly string[] | number {
    return [];
  }
  removexattr(_name: string): number {
    return -EOPNOTSUPP;
  }

  /** A reference by a dentry or an open file came or went; at zero links and zero references contents may be freed. */
  acquire(): void {}
  release(): void {}
}
