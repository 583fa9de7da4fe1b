/**
 * Inodes of files that the sentry inherited: stdin, stdout, stderr and what else was passed to it. The guest sees kind, size and times; host
 * device and inode numbers, owners and names are replaced by the sandbox's own.
 *
 * `HostHandle` counts the descriptions that share one host descriptor: one per inherited descriptor, more when a guest opens it anew
 * through /proc/self/fd or /dev/stdin.
 */
import { EACCES } from '#sentry/abi/errno.ts';
import { O_ACCMODE, O_RDWR, S_IFCHR, S_IFMT } from '#sentry/abi/fs.ts';
import { deviceMajor, emptyAttributes } from '#sentry/abi/stat.ts';
import type { Host, HostFd } from '#platform/contract/host.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import { FileSystem, Inode } from '../../vfs/inode.ts';
import type { AttributeChange, Caller, FileSystemStatistics, Stat } from '../../vfs/inode.ts';

/** Major number of memory devices such as /dev/null: the only ones whose number a guest gets to see. */
const MEMORY_DEVICES = 1;
const PIPEFS_MAGIC = 0x5049_5045;

/** What the guest is told about an inherited file. */
export interface Disguise {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
}

export class HostHandle {
  readonly fd: HostFd;
  private readonly host: Host;
  private users = 0;

  constructor(host: Host, fd: HostFd) {
    this.host = host;
    this.fd = fd;
  }

  acquire(): this {
    this.users++;
    return this;
  }

  release(): void {
    // The sentry's own 0, 1 and 2 stay: whatever it opened next would take their place.
    if (--this.users === 0 && this.fd > 2) this.host.close(this.fd);
  }
}

/** The file system they all lie in; never mounted. */
export class HostFileSystem extends FileSystem {
  readonly type = 'pipefs';
  private nextIno = 1;
  private readonly rootInode: Inode;

  constructor(device: number) {
    super(device);
    this.rootInode = new HostInode(this, null, { mode: 0o40500, uid: 0, gid: 0, rdev: 0 });
  }

  get root(): Inode {
    return this.rootInode;
  }

  allocateIno(): number {
    return this.nextIno++;
  }

  statistics(into: FileSystemStatistics): number {
    into.type = PIPEFS_MAGIC;
    into.blockSize = 4096;
    into.blocks = into.blocksFree = into.blocksAvailable = into.files = into.filesFree = 0;
    into.nameLength = 255;
    return 0;
  }
}

/** How the inode's file is opened once more. */
export type Reopen = (dentry: Dentry, flags: number) => FileDescription | number;

const real: Stat = emptyAttributes();

export class HostInode extends Inode {
  reopen: Reopen = () => -EACCES;
  /** O_* access mode the descriptor was inherited with: no reopening goes beyond it. */
  access = O_RDWR;
  private readonly device: number;
  private readonly source: { readonly host: Host; readonly fd: HostFd } | null;

  constructor(fileSystem: HostFileSystem, source: { readonly host: Host; readonly fd: HostFd } | null, disguise: Disguise) {
    super(fileSystem, fileSystem.allocateIno(), disguise.mode, disguise.uid, disguise.gid);
    this.device = disguise.rdev;
    this.source = source;
  }

  override get rdev(): number {
    return this.device;
  }

  getattr(into: Stat): number {
    if (this.source !== null) this.source.host.fstat(this.source.fd, real);
    into.dev = this.fileSystem.device;
    into.ino = this.ino;
    into.mode = this.mode;
    into.nlink = 1;
    into.uid = this.uid;
    into.gid = this.gid;
    into.rdev = this.device;
    into.size = this.isRegular ? real.size : 0;
    into.blksize = this.isRegular ? 4096 : 1024;
    into.blocks = this.isRegular ? real.blocks : 0;
    into.atimeSec = real.atimeSec;
    into.atimeNsec = real.atimeNsec;
    into.mtimeSec = real.mtimeSec;
    into.mtimeNsec = real.mtimeNsec;
    into.ctimeSec = real.ctimeSec;
    into.ctimeNsec = real.ctimeNsec;
    return 0;
  }

  /** Mode and owner change in the sandbox only; the size is the host file's. Times are the host's to keep. */
  override setattr(change: AttributeChange): number {
    if (change.size !== undefined && this.source !== null) {
      const error = this.source.host.ftruncate(this.source.fd, change.size);
      if (error < 0) return error;
    }
    if (change.mode !== undefined) this.mode = (this.mode & S_IFMT) | (change.mode & 0o7777);
    if (change.uid !== undefined) this.uid = change.uid;
    if (change.gid !== undefined) this.gid = change.gid;
    return 0;
  }

  open(dentry: Dentry, flags: number, _caller: Caller): FileDescription | number {
    const wanted = flags & O_ACCMODE;
    if (this.access !== O_RDWR && wanted !== this.access) return -EACCES;
    return this.reopen(dentry, flags);
  }
}

/** What of a host device number may be shown. */
export function visibleDevice(mode: number, rdev: number): number {
  return (mode & S_IFMT) === S_IFCHR && deviceMajor(rdev) === MEMORY_DEVICES ? rdev : 0;
}
