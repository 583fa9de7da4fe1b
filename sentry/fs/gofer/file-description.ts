/**
 * An open regular file. It holds the host's descriptor, or nothing at all while what was read ahead of the file serves; then a descriptor is asked for
 * when the contents are gone or not enough.
 *
 * Position and O_APPEND are the sentry's business: the descriptor's own position says where an append ended, and nothing else. Only the host can append to
 * what others on the host write to as well.
 */
import { EFAULT } from '#sentry/abi/errno.ts';
import { O_APPEND, O_DSYNC, O_RDONLY, O_SYNC, SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE, S_ISGID, S_ISUID } from '#sentry/abi/fs.ts';
import type { HostFd } from '#platform/contract/host.ts';
import type { Io } from '../../mm/io.ts';
import type { Mappable } from '../../mm/mapped-file.ts';
import { COPY_OFFSET } from '../../mm/user-memory.ts';
import { modeAfterWrite } from '../../vfs/truncate.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import { FileDescription } from '../../vfs/file-description.ts';
import type { Caller, Stat } from '../../vfs/inode.ts';
import { seekTo } from '../../vfs/seek.ts';
import type { Content } from './contents.ts';
import type { Donated } from './descriptor-cache.ts';
import type { GoferFile } from './file.ts';

const AT_END = -1;

export class GoferFileDescription extends FileDescription {
  private readonly file: GoferFile;
  /** null: opened for reading what was read ahead, and not needed so far. */
  private donated: Donated | null;
  private mapping: Mappable | null = null;

  constructor(file: GoferFile, donated: Donated | null, dentry: Dentry, flags: number) {
    super(dentry, null, flags);
    this.file = file;
    this.donated = donated?.acquire() ?? null;
    file.openFiles++;
    if (this.writable) file.writingFiles++;
    file.acquire();
  }

  override get seekable(): boolean {
    return true;
  }

  /** The host's descriptor, or -errno. */
  private descriptor(): HostFd {
    if (this.donated !== null) return this.donated.fd;
    const obtained = this.file.obtain(O_RDONLY);
    if (typeof obtained === 'number') return obtained;
    this.donated = obtained.acquire();
    return obtained.fd;
  }

  override read(io: Io, position: number): number {
    const { file } = this;
    return file.content === null ? this.readHost(io, position) : this.readContent(file.content, io, position);
  }

  private readContent(content: Content, io: Io, position: number): number {
    const length = Math.min(io.remaining, content.length - position);
    return length <= 0 ? 0 : io.put(this.file.fileSystem.contents!.memory, content.at + position, length);
  }

  private readHost(io: Io, position: number): number {
    const { staging, connection } = this.file.fileSystem;
    const { host } = connection;
    const { file } = this;
    const fd = this.descriptor();
    if (fd < 0) return fd;
    // Whoever reads from the beginning with a buffer that large reads the whole file, and then once more to see its end.
    if (position === 0 && io.remaining >= file.attributes.size && file.readWhole(fd)) return this.readContent(file.content!, io, 0);
    let done = 0;
    while (io.remaining > 0) {
      const want = Math.min(io.remaining, staging.bytes.length - COPY_OFFSET);
      const got = host.pread(fd, staging, COPY_OFFSET, want, position + done);
      if (got <= 0) return done > 0 ? done : got;
      const moved = io.put(staging, COPY_OFFSET, got);
      if (moved < 0) return done > 0 ? done : moved;
      done += moved;
      if (moved < want) break;
    }
    return done;
  }

  override write(io: Io, position: number, caller: Caller): number {
    const { file } = this;
    const done = this.writeAt(io, (this.flags & O_APPEND) === 0 ? position : file.knowsSize ? file.attributes.size : AT_END);
    if (done <= 0) return done;
    file.touch();
    // The host has taken these bits away, for the sentry has no privileges there. The guest may have.
    if ((file.mode & (S_ISUID | S_ISGID)) !== 0) file.setattr({ mode: modeAfterWrite(caller.credentials, file.mode) });
    if ((this.flags & O_DSYNC) !== 0) {
      const error = this.sync((this.flags & O_SYNC) !== O_SYNC);
      if (error < 0) return error;
    }
    return done;
  }

  /** Bytes in the file now, or -errno. */
  private currentSize(): number {
    const { file } = this;
    if (file.knowsSize) return file.attributes.size;
    const fd = this.descriptor();
    return fd < 0 ? fd : file.fileSystem.connection.host.lseek(fd, 0, SEEK_END);
  }

  /** `position` AT_END: wherever the end is by then, since others write to the file, too. */
  private writeAt(io: Io, position: number): number {
    const { staging, connection } = this.file.fileSystem;
    const { host } = connection;
    const fd = this.descriptor();
    if (fd < 0) return fd;
    let done = 0;
    while (io.remaining > 0) {
      const taken = io.take(staging, COPY_OFFSET, Math.min(io.remaining, staging.bytes.length - COPY_OFFSET));
      if (taken <= 0) return done > 0 ? done : taken === 0 ? -EFAULT : taken;
      const written =
        position === AT_END ? host.append(fd, staging, COPY_OFFSET, taken) : host.pwrite(fd, staging, COPY_OFFSET, taken, position + done);
      if (written < 0) return done > 0 ? done : written;
      done += written;
      this.endOfWrite = position === AT_END ? host.lseek(fd, 0, SEEK_CUR) : position + done;
      if (written < taken) break;
    }
    return done;
  }

  override seek(offset: number, whence: number): number {
    if (whence === SEEK_DATA || whence === SEEK_HOLE) {
      const fd = this.descriptor();
      return fd < 0 ? fd : this.file.fileSystem.connection.host.lseek(fd, offset, whence);
    }
    const size = whence === SEEK_END ? this.currentSize() : 0;
    return size < 0 ? size : seekTo(offset, whence, this.position, size);
  }

  override getattr(into: Stat): number {
    if (!this.file.fileSystem.cacheable) this.file.stale = true;
    // By the dentry: over this file may lie an overlay that shows its own numbers.
    return this.inode.getattr(into);
  }

  override truncate(length: number): number {
    const fd = this.descriptor();
    const error = fd < 0 ? fd : this.file.fileSystem.connection.host.ftruncate(fd, length);
    if (error === 0) this.file.touch();
    return error;
  }

  override allocate(mode: number, offset: number, length: number): number {
    const fd = this.descriptor();
    const error = fd < 0 ? fd : this.file.fileSystem.connection.host.fallocate(fd, mode, offset, length);
    if (error === 0) this.file.touch();
    return error;
  }

  override sync(dataOnly: boolean): number {
    const fd = this.descriptor();
    return fd < 0 ? fd : this.file.fileSystem.connection.host.fsync(fd, dataOnly);
  }

  override mappable(): Mappable | number {
    const fd = this.descriptor();
    if (fd < 0) return fd;
    this.mapping ??= { hostFd: fd, hostOffset: 0 };
    return this.mapping;
  }

  protected override destroy(): void {
    const { file } = this;
    file.openFiles--;
    if (this.writable) {
      file.writingFiles--;
      file.touch();
    }
    this.donated?.release();
    file.closed();
    file.release();
  }
}
