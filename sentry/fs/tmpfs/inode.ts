/**
 * What all inodes of a tmpfs have: attributes, times, links, extended attributes. Files and directories derive from it; symbolic links and
 * special files are complete here.
 *
 * Lifetime: `nlink` counts names, `references` dentries and open files. When both reach zero the contents are freed.
 */
import { EEXIST, ENODATA, ENOSPC, ENXIO } from '#sentry/abi/errno.ts';
import {
  MS_NOATIME,
  MS_NODIRATIME,
  MS_STRICTATIME,
  O_NOATIME,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  XATTR_CREATE,
  XATTR_REPLACE,
} from '#sentry/abi/fs.ts';
import { XATTR_BYTES_PER_INODE_MAX } from '../../limits.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import { Inode } from '../../vfs/inode.ts';
import type { AttributeChange, Caller, Stat } from '../../vfs/inode.ts';
import type { TmpFileSystem } from './tmpfs.ts';

const DAY_SECONDS = 86_400;

export class TmpInode extends Inode {
  declare readonly fileSystem: TmpFileSystem;
  nlink = 1;
  atimeSec: number;
  atimeNsec: number;
  mtimeSec: number;
  mtimeNsec: number;
  ctimeSec: number;
  ctimeNsec: number;
  /** Made by O_TMPFILE or memfd_create and never linked: the inode count goes back with its last reference. */
  unnamed = false;
  private references = 0;
  private freed = false;
  private xattrs: Map<string, string> | null = null;
  private xattrBytes = 0;

  /** The caller took an inode from the file system's count. */
  constructor(fileSystem: TmpFileSystem, mode: number, uid: number, gid: number) {
    super(fileSystem, fileSystem.allocateIno(), mode, uid, gid);
    const now = fileSystem.now();
    this.atimeSec = this.mtimeSec = this.ctimeSec = now.sec;
    this.atimeNsec = this.mtimeNsec = this.ctimeNsec = now.nsec;
  }

  get size(): number {
    return 0;
  }
  get blocks(): number {
    return 0;
  }

  getattr(into: Stat): number {
    into.dev = this.fileSystem.device;
    into.ino = this.ino;
    into.mode = this.mode;
    into.nlink = this.nlink;
    into.uid = this.uid;
    into.gid = this.gid;
    into.rdev = this.rdev;
    into.size = this.size;
    into.blksize = 4096;
    into.blocks = this.blocks;
    into.atimeSec = this.atimeSec;
    into.atimeNsec = this.atimeNsec;
    into.mtimeSec = this.mtimeSec;
    into.mtimeNsec = this.mtimeNsec;
    into.ctimeSec = this.ctimeSec;
    into.ctimeNsec = this.ctimeNsec;
    return 0;
  }

  override setattr(change: AttributeChange, _caller: Caller): number {
    if (change.size !== undefined) {
      const error = this.resize(change.size);
      if (error < 0) return error;
    }
    if (change.mode !== undefined) this.mode = (this.mode & S_IFMT) | (change.mode & 0o7777);
    if (change.uid !== undefined) this.uid = change.uid;
    if (change.gid !== undefined) this.gid = change.gid;
    if (change.atimeSec !== undefined) {
      this.atimeSec = change.atimeSec;
      this.atimeNsec = change.atimeNsec ?? 0;
    }
    if (change.mtimeSec !== undefined) {
      this.mtimeSec = change.mtimeSec;
      this.mtimeNsec = change.mtimeNsec ?? 0;
    }
    this.touchChanged();
    return 0;
  }

  /** Sets the size of a regular file. */
  protected resize(_length: number): number {
    return -ENXIO;
  }

  // Times.
  touchChanged(): void {
    const now = this.fileSystem.now();
    this.ctimeSec = now.sec;
    this.ctimeNsec = now.nsec;
  }

  touchModified(): void {
    const now = this.fileSystem.now();
    this.mtimeSec = this.ctimeSec = now.sec;
    this.mtimeNsec = this.ctimeNsec = now.nsec;
  }

  /** The file was read: with relatime, which is the default, that only shows when it is news or a day old. */
  touchAccessed(mountFlags: number, openFlags: number): void {
    if ((mountFlags & MS_NOATIME) !== 0 || (openFlags & O_NOATIME) !== 0) return;
    if ((mountFlags & MS_NODIRATIME) !== 0 && this.isDirectory) return;
    const isNews = this.isAccessOlderThan(this.mtimeSec, this.mtimeNsec) || this.isAccessOlderThan(this.ctimeSec, this.ctimeNsec);
    const now = this.fileSystem.now();
    if (!isNews && (mountFlags & MS_STRICTATIME) === 0 && now.sec - this.atimeSec < DAY_SECONDS) return;
    this.atimeSec = now.sec;
    this.atimeNsec = now.nsec;
  }

  private isAccessOlderThan(sec: number, nsec: number): boolean {
    return this.atimeSec < sec || (this.atimeSec === sec && this.atimeNsec <= nsec);
  }

  // Extended attributes.
  override getxattr(name: string): string | number {
    return this.xattrs?.get(name) ?? -ENODATA;
  }

  override setxattr(name: string, value: string, flags: number): number {
    const old = this.xattrs?.get(name);
    if (old !== undefined && (flags & XATTR_CREATE) !== 0) return -EEXIST;
    if (old === undefined && (flags & XATTR_REPLACE) !== 0) return -ENODATA;
    const growth = old === undefined ? name.length + value.length : value.length - old.length;
    if (this.xattrBytes + growth > XATTR_BYTES_PER_INODE_MAX) return -ENOSPC;
    const error = this.fileSystem.chargeMetadata(growth);
    if (error < 0) return error;
    this.xattrBytes += growth;
    this.xattrs ??= new Map();
    this.xattrs.set(name, value);
    this.touchChanged();
    return 0;
  }

  override listxattr(): readonly string[] {
    return this.xattrs === null ? [] : [...this.xattrs.keys()];
  }

  override removexattr(name: string): number {
    const old = this.xattrs?.get(name);
    if (old === undefined) return -ENODATA;
    this.xattrs!.delete(name);
    this.fileSystem.chargeMetadata(-(name.length + old.length));
    this.xattrBytes -= name.length + old.length;
    this.touchChanged();
    return 0;
  }

  /** A name for it was added. */
  addLink(): void {
    this.nlink++;
    this.touchChanged();
  }

  /** A name for it was removed; a directory loses its '.' with its last name. */
  dropLink(): void {
    this.nlink = (this.mode & S_IFMT) === S_IFDIR ? 0 : this.nlink - 1;
    this.touchChanged();
    this.fileSystem.freeInode();
    this.freeIfUnused();
  }

  override acquire(): void {
    this.references++;
  }

  override release(): void {
    this.references--;
    this.freeIfUnused();
  }

  private freeIfUnused(): void {
    if (this.nlink > 0 || this.references > 0 || this.freed) return;
    this.freed = true;
    if (this.unnamed) this.fileSystem.freeInode();
    this.fileSystem.chargeMetadata(-this.xattrBytes);
    this.xattrs = null;
    this.xattrBytes = 0;
    this.free();
  }

  /** Gives back what the inode held. */
  protected free(): void {}

  open(_dentry: Dentry, _flags: number, _caller: Caller): FileDescription | number {
    return -ENXIO;
  }
}

export class TmpSymlink extends TmpInode {
  private readonly target: string;

  /** The file system was charged for the text. */
  constructor(fileSystem: TmpFileSystem, target: string, uid: number, gid: number) {
    super(fileSystem, S_IFLNK | 0o777, uid, gid);
    this.target = target;
  }

  override get size(): number {
    return this.target.length;
  }

  override readlink(): string {
    return this.target;
  }

  protected override free(): void {
    this.fileSystem.chargeMetadata(-this.target.length);
  }
}

/** A FIFO, a socket, a device node, or a whiteout of an overlay (character device 0/0). */
export class TmpSpecial extends TmpInode {
  private readonly device: number;

  constructor(fileSystem: TmpFileSystem, mode: number, device: number, uid: number, gid: number) {
    super(fileSystem, mode, uid, gid);
    this.device = device;
  }

  override get rdev(): number {
    return this.device;
  }
}
