/**
 * Regular files of a tmpfs, and their open descriptions. The bytes are the business of `Contents`; here are times, seals and set-user-ID rules.
 */
import { EBUSY, EINVAL, EOPNOTSUPP, EPERM } from '#sentry/abi/errno.ts';
import { O_APPEND, SEEK_DATA, SEEK_HOLE } from '#sentry/abi/fs.ts';
import type { Io } from '../../mm/io.ts';
import { clearPrivileges } from '../../vfs/attributes.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import { FileDescription } from '../../vfs/file-description.ts';
import type { Mappable } from '../../mm/mapped-file.ts';
import type { AttributeChange, Caller } from '../../vfs/inode.ts';
import { seekTo } from '../../vfs/seek.ts';
import { Contents } from './contents.ts';
import { TmpInode } from './inode.ts';
import type { TmpFileSystem } from './tmpfs.ts';

// fcntl(2) F_ADD_SEALS.
export const F_SEAL_SEAL = 1;
export const F_SEAL_SHRINK = 2;
export const F_SEAL_GROW = 4;
export const F_SEAL_WRITE = 8;
export const F_SEAL_FUTURE_WRITE = 16;
export const F_SEAL_EXEC = 32;
const F_ALL_SEALS = 63;
const WRITE_SEALS = F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;

const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;

export class TmpFile extends TmpInode {
  readonly contents: Contents;
  /** Only memfds made with MFD_ALLOW_SEALING take seals: others carry F_SEAL_SEAL from the start. */
  seals = F_SEAL_SEAL;
  /** Shared mappings that could be written to. */
  writableMappings = 0;
  /** Whether a nameless file may be given a name (O_TMPFILE without O_EXCL). */
  linkable = false;
  private mapping: Mappable | null = null;

  constructor(fileSystem: TmpFileSystem, mode: number, uid: number, gid: number) {
    super(fileSystem, mode, uid, gid);
    this.contents = new Contents(fileSystem.store, fileSystem);
  }

  override get size(): number {
    return this.contents.size;
  }
  override get blocks(): number {
    return this.contents.blocks;
  }

  override open(dentry: Dentry, flags: number, _caller: Caller): FileDescription {
    return new TmpFileDescription(this, dentry, flags);
  }

  override setattr(change: AttributeChange, caller: Caller): number {
    const { mode } = change;
    if (mode !== undefined && ((mode ^ this.mode) & 0o111) !== 0 && (this.seals & F_SEAL_EXEC) !== 0) return -EPERM;
    return super.setattr(change, caller);
  }

  protected override resize(length: number): number {
    if (length < this.size && (this.seals & F_SEAL_SHRINK) !== 0) return -EPERM;
    if (length > this.size && (this.seals & F_SEAL_GROW) !== 0) return -EPERM;
    const error = this.contents.truncate(length);
    if (error < 0) return error;
    this.touchModified();
    return 0;
  }

  /** ftruncate(2). */
  truncate(length: number): number {
    return this.resize(length);
  }

  /** The host file to map, made on demand. */
  mappable(): Mappable | number {
    if (this.mapping !== null) return this.mapping;
    const error = this.contents.moveToMemfd() || this.contents.commit();
    if (error < 0) return error;
    this.mapping = { hostFd: this.contents.hostFd, hostOffset: 0 };
    return this.mapping;
  }

  addSeals(seals: number): number {
    if ((seals & ~F_ALL_SEALS) !== 0) return -EINVAL;
    if ((this.seals & F_SEAL_SEAL) !== 0) return -EPERM;
    if ((seals & F_SEAL_WRITE) !== 0 && this.writableMappings > 0) return -EBUSY;
    this.seals |= seals;
    return 0;
  }

  protected override free(): void {
    this.mapping = null;
    this.contents.free();
  }
}

export class TmpFileDescription extends FileDescription {
  private readonly file: TmpFile;

  constructor(file: TmpFile, dentry: Dentry, flags: number) {
    super(dentry, null, flags);
    this.file = file;
    file.acquire();
  }

  override get seekable(): boolean {
    return true;
  }

  /** The inode behind, for fcntl's seals and for copying between tmpfs files. */
  get tmpFile(): TmpFile {
    return this.file;
  }

  override read(io: Io, position: number, _caller: Caller): number {
    const { file } = this;
    const n = file.contents.read(io, position);
    if (n > 0) file.touchAccessed(this.mount === null ? 0 : this.mount.flags, this.flags);
    return n;
  }

  override write(io: Io, position: number, caller: Caller): number {
    const { file } = this;
    const at = (this.flags & O_APPEND) !== 0 ? file.contents.size : position;
    if (file.seals !== F_SEAL_SEAL) {
      if ((file.seals & WRITE_SEALS) !== 0) return -EPERM;
      if ((file.seals & F_SEAL_GROW) !== 0 && at + io.remaining > file.contents.size) return -EPERM;
    }
    const n = file.contents.write(io, at);
    if (n <= 0) return n;
    this.endOfWrite = at + n;
    file.touchModified();
    if ((file.mode & 0o6000) !== 0) clearPrivileges(caller, file);
    return n;
  }

  override seek(offset: number, whence: number): number {
    if (whence === SEEK_DATA || whence === SEEK_HOLE) return this.file.contents.seek(offset, whence);
    return seekTo(offset, whence, this.position, this.file.contents.size);
  }

  override truncate(length: number): number {
    return this.file.truncate(length);
  }

  override allocate(mode: number, offset: number, length: number): number {
    const { file } = this;
    if ((mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE)) !== 0) return -EOPNOTSUPP;
    if ((mode & FALLOC_FL_PUNCH_HOLE) !== 0 && (file.seals & WRITE_SEALS) !== 0) return -EPERM;
    if ((mode & FALLOC_FL_KEEP_SIZE) === 0 && (file.seals & F_SEAL_GROW) !== 0 && offset + length > file.size) return -EPERM;
    const error = file.contents.allocate(mode, offset, length);
    if (error < 0) return error;
    if ((mode & FALLOC_FL_PUNCH_HOLE) !== 0) file.touchModified();
    else file.touchChanged();
    return 0;
  }

  override get refusesSharedWrites(): boolean {
    return (this.file.seals & WRITE_SEALS) !== 0;
  }

  override noteSharedMapping(change: 1 | -1): void {
    this.file.writableMappings += change;
  }

  override seals(): number {
    // Linux: a file of an overlay has none, whatever its layer is.
    return this.inode === this.file ? this.file.seals : -EINVAL;
  }

  override addSeals(seals: number): number {
    return this.writable ? this.file.addSeals(seals) : -EPERM;
  }

  override sync(): number {
    return 0;
  }

  override mappable(_shared: boolean): Mappable | number {
    return this.file.mappable();
  }

  protected override destroy(): void {
    this.file.release();
  }
}
