/**
 * Regular files. An open file holds a descriptor that the gofer donated; reads, writes and mappings go to it directly. An inode keeps at most
 * two: one for reading, one for reading and writing. They outlive the last close (descriptor-cache.ts).
 *
 * Position and O_APPEND are the sentry's business: the descriptor's own position is never used, and appending writes at the file's end as it
 * is at that moment.
 */
import { emptyAttributes } from '#sentry/abi/stat.ts';
import { EACCES, EFAULT, ENFILE, EROFS, ESTALE } from '#sentry/abi/errno.ts';
import {
  O_ACCMODE,
  O_APPEND,
  O_DSYNC,
  O_RDONLY,
  O_RDWR,
  O_SYNC,
  O_WRONLY,
  SEEK_DATA,
  SEEK_END,
  SEEK_HOLE,
  S_ISGID,
  S_ISUID,
} from '#sentry/abi/fs.ts';
import { Open } from '#gofer/protocol/messages.ts';
import type { HostStat } from '#platform/contract/host.ts';
import type { Io } from '../../mm/io.ts';
import type { Mappable } from '../../mm/mapped-file.ts';
import { clearPrivileges } from '../../vfs/attributes.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import { FileDescription } from '../../vfs/file-description.ts';
import type { AttributeChange, Caller, Stat } from '../../vfs/inode.ts';
import { seekTo } from '../../vfs/seek.ts';
import { Donated } from './descriptor-cache.ts';
import { GoferInode } from './inode.ts';

const scratchStat: HostStat = emptyAttributes();

export class GoferFile extends GoferInode {
  /** Open files and mappings. */
  openFiles = 0;
  private forReading: Donated | null = null;
  private forWriting: Donated | null = null;

  override open(dentry: Dentry, flags: number): FileDescription | number {
    const donated = this.obtain(flags);
    return typeof donated === 'number' ? donated : new GoferFileDescription(this, donated, dentry, flags);
  }

  /** A descriptor that allows what `flags` ask for. */
  private obtain(flags: number): Donated | number {
    const access = flags & O_ACCMODE;
    if (this.forWriting?.wanted === true) return this.forWriting;
    if (access === O_RDONLY) {
      if (this.forReading?.wanted === true) return this.forReading;
      const opened = this.ask(O_RDONLY);
      if (typeof opened !== 'number') this.forReading = opened;
      return opened;
    }
    if (this.fileSystem.readOnly) return -EROFS;
    const opened = this.ask(O_RDWR);
    if (typeof opened !== 'number') {
      this.adopt(opened);
      return opened;
    }
    if (opened !== -EACCES || access !== O_WRONLY) return opened;
    // A file that a gofer without privileges may write but not read: good for this one use.
    const writeOnly = this.ask(O_WRONLY);
    if (typeof writeOnly !== 'number') writeOnly.wanted = false;
    return writeOnly;
  }

  /** Has the gofer open the file. */
  private ask(flags: number): Donated | number {
    const names: string[] = [];
    const from = this.ancestorWithFid(names);
    if (from === null) return -ESTALE;
    const { connection, descriptors } = this.fileSystem;
    const body = connection.ask(Open, { fid: from.fid, newFid: 0, names, flags });
    if (body === null) return -connection.errno;
    const fd = connection.takeDescriptor();
    if (fd < 0) return -ENFILE; // the sentry's table of descriptors is full
    const donated = new Donated(fd, descriptors);
    if (!this.isSameFile(body.attributes)) {
      donated.discard();
      return -ESTALE;
    }
    this.update(body.attributes);
    return donated;
  }

  /** A descriptor for reading and writing that came along with the file's creation, or was asked for. */
  adopt(donated: Donated): void {
    this.forWriting?.discard();
    this.forWriting = donated;
  }

  /** Whether size and times can change without our doing anything: somebody has it open, perhaps mapped, for writing. */
  private get isVolatile(): boolean {
    return this.forWriting !== null && this.forWriting.users > 0;
  }

  override getattr(into: Stat): number {
    if (this.isVolatile) this.stale = true;
    return super.getattr(into);
  }

  override refresh(): number {
    const donated = this.anyDescriptor();
    if (donated === null) return super.refresh();
    const error = this.fileSystem.connection.host.fstat(donated.fd, scratchStat);
    if (error < 0) return error;
    const { attributes } = this;
    const { mode, nlink, uid, gid, size, blocks, atimeSec, atimeNsec, mtimeSec, mtimeNsec, ctimeSec, ctimeNsec } = scratchStat;
    this.update({ ...attributes, mode, nlink, uid, gid, size, blocks, atimeSec, atimeNsec, mtimeSec, mtimeNsec, ctimeSec, ctimeNsec });
    return 0;
  }

  private anyDescriptor(): Donated | null {
    if (this.forWriting?.wanted === true) return this.forWriting;
    return this.forReading?.wanted === true ? this.forReading : null;
  }

  override setattr(change: AttributeChange): number {
    const { size, mode, uid, gid, atimeSec, mtimeSec } = change;
    const donated = this.forWriting;
    const onlySize = mode === undefined && uid === undefined && gid === undefined && atimeSec === undefined && mtimeSec === undefined;
    if (size === undefined || !onlySize || donated?.wanted !== true) return super.setattr(change);
    const error = this.fileSystem.connection.host.ftruncate(donated.fd, size);
    if (error === 0) this.touch();
    return error;
  }

  /** A description was closed. On a shared mount a descriptor for writing is not kept: other programs could not execute the file (ETXTBSY). */
  closed(): void {
    const donated = this.forWriting;
    if (donated === null || donated.users > 0 || this.fileSystem.cacheable) return;
    donated.discard();
    this.forWriting = null;
  }

  /** Bytes in the file now. */
  currentSize(donated: Donated): number {
    return this.isVolatile || this.stale || !this.fileSystem.cacheable
      ? this.fileSystem.connection.host.lseek(donated.fd, 0, SEEK_END)
      : this.attributes.size;
  }

  protected override dispose(): void {
    this.forReading?.discard();
    this.forWriting?.discard();
    this.forReading = null;
    this.forWriting = null;
  }
}

class GoferFileDescription extends FileDescription {
  private readonly file: GoferFile;
  private readonly donated: Donated;
  private mapping: Mappable | null = null;

  constructor(file: GoferFile, donated: Donated, dentry: Dentry, flags: number) {
    super(dentry, null, flags);
    this.file = file;
    this.donated = donated.acquire();
    file.openFiles++;
    file.acquire();
  }

  override get seekable(): boolean {
    return true;
  }

  override read(io: Io, position: number): number {
    const { staging, connection } = this.file.fileSystem;
    const { host } = connection;
    const { fd } = this.donated;
    let done = 0;
    while (io.remaining > 0) {
      const want = Math.min(io.remaining, staging.bytes.length);
      const got = host.pread(fd, staging, 0, want, position + done);
      if (got <= 0) return done > 0 ? done : got;
      const moved = io.put(staging, 0, got);
      if (moved < 0) return done > 0 ? done : moved;
      done += moved;
      if (moved < want) break;
    }
    return done;
  }

  override write(io: Io, position: number, caller: Caller): number {
    const { file } = this;
    let at = position;
    if ((this.flags & O_APPEND) !== 0) {
      at = file.currentSize(this.donated);
      if (at < 0) return at;
    }
    const done = this.writeAt(io, at);
    if (done <= 0) return done;
    this.endOfWrite = at + done;
    file.touch();
    if ((file.mode & (S_ISUID | S_ISGID)) !== 0) clearPrivileges(caller, file);
    if ((this.flags & O_DSYNC) !== 0) {
      const error = this.sync((this.flags & O_SYNC) !== O_SYNC);
      if (error < 0) return error;
    }
    return done;
  }

  private writeAt(io: Io, position: number): number {
    const { staging, connection } = this.file.fileSystem;
    let done = 0;
    while (io.remaining > 0) {
      const taken = io.take(staging, 0, Math.min(io.remaining, staging.bytes.length));
      if (taken <= 0) return done > 0 ? done : taken === 0 ? -EFAULT : taken;
      const written = connection.host.pwrite(this.donated.fd, staging, 0, taken, position + done);
      if (written < 0) return done > 0 ? done : written;
      done += written;
      if (written < taken) break;
    }
    return done;
  }

  override seek(offset: number, whence: number): number {
    if (whence === SEEK_DATA || whence === SEEK_HOLE) {
      return this.file.fileSystem.connection.host.lseek(this.donated.fd, offset, whence);
    }
    const size = whence === SEEK_END ? this.file.currentSize(this.donated) : 0;
    return size < 0 ? size : seekTo(offset, whence, this.position, size);
  }

  override getattr(into: Stat): number {
    if (!this.file.fileSystem.cacheable) this.file.stale = true;
    // By the dentry: over this file may lie an overlay that shows its own numbers.
    return this.inode.getattr(into);
  }

  override truncate(length: number): number {
    const error = this.file.fileSystem.connection.host.ftruncate(this.donated.fd, length);
    if (error === 0) this.file.touch();
    return error;
  }

  override allocate(mode: number, offset: number, length: number): number {
    const error = this.file.fileSystem.connection.host.fallocate(this.donated.fd, mode, offset, length);
    if (error === 0) this.file.touch();
    return error;
  }

  override sync(dataOnly: boolean): number {
    return this.file.fileSystem.connection.host.fsync(this.donated.fd, dataOnly);
  }

  override mappable(): Mappable {
    this.mapping ??= { hostFd: this.donated.fd, hostOffset: 0 };
    return this.mapping;
  }

  protected override destroy(): void {
    const { file } = this;
    file.openFiles--;
    if (this.writable) file.touch();
    this.donated.release();
    file.closed();
    file.release();
  }
}
