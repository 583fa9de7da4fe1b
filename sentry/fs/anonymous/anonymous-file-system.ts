/**
 * The pseudo file systems behind files without a path: pipefs, sockfs and anon_inodefs. They are never mounted; they give such a file an
 * inode to stat and a dentry whose name /proc/PID/fd shows, `pipe:[12]`, `socket:[13]` or `anon_inode:[eventpoll]`.
 *
 *     const dentry = files.pipefs.dentry('pipe', S_IFIFO | 0o600, caller);
 *     new SomeFile(dentry, …)
 *
 * Linux: fs/anon_inodes.c, fs/pipe.c (pipefs), net/socket.c (sockfs).
 */
import { ENXIO, EOPNOTSUPP } from '#sentry/abi/errno.ts';
import { S_IFMT } from '#sentry/abi/fs.ts';
import type { Host, Timestamp } from '#platform/contract/host.ts';
import { Dentry } from '../../vfs/dentry.ts';
import { FileSystem, Inode } from '../../vfs/inode.ts';
import type { AttributeChange, Caller, FileSystemStatistics, Stat } from '../../vfs/inode.ts';
import type { FileDescription } from '../../vfs/file-description.ts';

export const PIPEFS_MAGIC = 0x5049_5045;
export const SOCKFS_MAGIC = 0x534f_434b;
export const ANON_INODE_MAGIC = 0x0904_1934;

/** Opens another description of an anonymous inode, as opening /proc/PID/fd/N does. */
export type Reopen = (dentry: Dentry, flags: number, caller: Caller) => FileDescription | number;

/** Numbers shared by all three file systems, so that `pipe:[n]` and `socket:[n]` never coincide. */
let nextIno = 1000;

export class AnonymousFileSystem extends FileSystem {
  readonly type: string;
  private readonly magic: number;
  private readonly host: Pick<Host, 'realtime'>;
  private readonly now: Timestamp = { sec: 0, nsec: 0 };
  private readonly rootInode: Inode;

  constructor(host: Pick<Host, 'realtime'>, device: number, type: string, magic: number) {
    super(device);
    this.type = type;
    this.magic = magic;
    this.host = host;
    this.rootInode = this.inode(0o40755, 0, 0);
  }

  get root(): Inode {
    return this.rootInode;
  }

  inode(mode: number, uid: number, gid: number): AnonymousInode {
    this.host.realtime(this.now);
    return new AnonymousInode(this, nextIno++, mode, uid, gid, this.now);
  }

  /** A dentry `name:[ino]` with a fresh inode, for one file and those opened anew from it. */
  dentry(name: string, mode: number, caller: Caller): Dentry {
    const { fsuid, fsgid } = caller.credentials;
    const inode = this.inode(mode, fsuid, fsgid);
    return new Dentry(`${name}:[${inode.ino}]`, null, inode);
  }

  statistics(into: FileSystemStatistics): number {
    into.type = this.magic;
    into.blockSize = 4096;
    into.blocks = into.blocksFree = into.blocksAvailable = into.files = into.filesFree = 0;
    into.nameLength = 255;
    return 0;
  }
}

export class AnonymousInode extends Inode {
  /** How /proc/PID/fd/N is opened anew; null: ENXIO, as sockets and anon_inodes answer. */
  reopen: Reopen | null = null;
  private sec: number;
  private nsec: number;

  constructor(fileSystem: FileSystem, ino: number, mode: number, uid: number, gid: number, time: Timestamp) {
    super(fileSystem, ino, mode, uid, gid);
    this.sec = time.sec;
    this.nsec = time.nsec;
  }

  getattr(into: Stat): number {
    into.dev = this.fileSystem.device;
    into.ino = this.ino;
    into.mode = this.mode;
    into.nlink = 1;
    into.uid = this.uid;
    into.gid = this.gid;
    into.rdev = into.size = into.blocks = 0;
    into.blksize = 4096;
    into.atimeSec = into.mtimeSec = into.ctimeSec = this.sec;
    into.atimeNsec = into.mtimeNsec = into.ctimeNsec = this.nsec;
    return 0;
  }

  override setattr(change: AttributeChange): number {
    // Linux: anon_inodes refuse, pipes and sockets take a new mode or owner.
    if ((this.mode & S_IFMT) === 0) return -EOPNOTSUPP;
    if (change.mode !== undefined) this.mode = (this.mode & S_IFMT) | (change.mode & 0o7777);
    if (change.uid !== undefined) this.uid = change.uid;
    if (change.gid !== undefined) this.gid = change.gid;
    if (change.mtimeSec !== undefined) this.sec = change.mtimeSec;
    if (change.mtimeNsec !== undefined) this.nsec = change.mtimeNsec;
    return 0;
  }

  open(dentry: Dentry, flags: number, caller: Caller): FileDescription | number {
    return this.reopen === null ? -ENXIO : this.reopen(dentry, flags, caller);
  }
}
