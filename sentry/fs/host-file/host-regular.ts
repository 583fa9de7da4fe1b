/**
 * An inherited regular file: `tsvisor do … > out.txt`. Reads and writes that go on where the last one ended use the host descriptor's own
 * position, which it shares with processes outside (`{ tsvisor do a; b; } > out`); all others say where they mean.
 */
import { EFAULT, EINVAL, ENXIO, EOPNOTSUPP } from '#sentry/abi/errno.ts';
import { SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET } from '#sentry/abi/fs.ts';
import { emptyAttributes } from '#sentry/abi/stat.ts';
import type { Io } from '../../mm/io.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import { FileDescription } from '../../vfs/file-description.ts';
import type { Mappable } from '../../mm/mapped-file.ts';
import type { Caller } from '../../vfs/inode.ts';
import type { HostHandle } from './host-inode.ts';
import type { HostContext } from './host-stream.ts';

const attributes = emptyAttributes();

export class HostRegular extends FileDescription {
  private readonly context: HostContext;
  private readonly handle: HostHandle;
  /** Where the host descriptor stands, as far as we moved it. */
  private hostPosition: number;

  constructor(context: HostContext, handle: HostHandle, dentry: Dentry, flags: number) {
    super(dentry, null, flags);
    this.context = context;
    this.handle = handle.acquire();
    this.hostPosition = Math.max(0, context.host.lseek(handle.fd, 0, SEEK_CUR));
    this.position = this.hostPosition;
  }

  override get seekable(): boolean {
    return true;
  }

  override read(io: Io, position: number, _caller: Caller): number {
    const { host, staging } = this.context;
    const want = Math.min(io.remaining, staging.bytes.length);
    if (want === 0) return 0;
    const sequential = position === this.hostPosition;
    const got = sequential ? host.read(this.handle.fd, staging, 0, want) : host.pread(this.handle.fd, staging, 0, want, position);
    if (got <= 0) return got;
    const moved = io.put(staging, 0, got);
    if (sequential) this.hostPosition += got;
    return moved;
  }

  override write(io: Io, position: number, _caller: Caller): number {
    const { host, staging } = this.context;
    let total = 0;
    while (io.remaining > 0) {
      const taken = io.take(staging, 0, Math.min(io.remaining, staging.bytes.length));
      if (taken < 0) return total > 0 ? total : -EFAULT;
      const at = position + total;
      const own = this.appends || at === this.hostPosition;
      const written = own ? host.write(this.handle.fd, staging, 0, taken) : host.pwrite(this.handle.fd, staging, 0, taken, at);
      if (written < 0) return total > 0 ? total : written;
      if (own) this.hostPosition = this.appends ? host.lseek(this.handle.fd, 0, SEEK_CUR) : at + written;
      total += written;
      if (written < taken) break;
    }
    this.endOfWrite = this.appends ? this.hostPosition : position + total;
    return total;
  }

  override seek(offset: number, whence: number): number {
    const { host } = this.context;
    let target = offset;
    if (whence === SEEK_CUR) target += this.position;
    else if (whence === SEEK_END) target += this.size();
    else if (whence === SEEK_DATA || whence === SEEK_HOLE) return this.seekHole(offset, whence);
    else if (whence !== SEEK_SET) return -EINVAL;
    if (target < 0) return -EINVAL;
    // The processes outside see where we stand.
    if (host.lseek(this.handle.fd, target, SEEK_SET) >= 0) this.hostPosition = target;
    return target;
  }

  private seekHole(offset: number, whence: number): number {
    const { host } = this.context;
    const found = offset < 0 ? -ENXIO : host.lseek(this.handle.fd, offset, whence);
    if (found >= 0) this.hostPosition = found;
    return found;
  }

  private size(): number {
    return this.context.host.fstat(this.handle.fd, attributes) < 0 ? 0 : attributes.size;
  }

  override truncate(length: number): number {
    return this.context.host.ftruncate(this.handle.fd, length);
  }

  override allocate(mode: number, offset: number, length: number): number {
    return this.context.host.fallocate(this.handle.fd, mode, offset, length);
  }

  override sync(dataOnly: boolean): number {
    const result = this.context.host.fsync(this.handle.fd, dataOnly);
    return result === -EOPNOTSUPP ? 0 : result;
  }

  override mappable(_shared: boolean): Mappable | number {
    return { hostFd: this.handle.fd, hostOffset: 0 };
  }

  protected override destroy(): void {
    this.handle.release();
  }
}
