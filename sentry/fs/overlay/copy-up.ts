/**
 * Copying a lower file to the upper layer: owner, mode, times, extended attributes, contents.
 */
import { emptyAttributes } from '#sentry/abi/stat.ts';
import { O_RDONLY, O_WRONLY } from '#sentry/abi/fs.ts';
import type { HostMemory, HostStat } from '#platform/contract/host.ts';
import { COPY_UP_CHUNK } from '../../limits.ts';
import { KernelIo } from '../../mm/io.ts';
import { ALL_CAPABILITIES, initialCredentials } from '../../vfs/credentials.ts';
import { Dentry } from '../../vfs/dentry.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import type { Caller, Inode } from '../../vfs/inode.ts';
import { OVERLAY_XATTR_PREFIX } from './format.ts';

/** Layers are read and written with the overlay's own rights, whoever caused it (Linux: the mounter's). */
export const OVERLAY_CALLER: Caller = { credentials: initialCredentials(0, 0, [], ALL_CAPABILITIES), task: null };

export class CopyUp {
  /** Where the bytes rest on their way. */
  private readonly buffer: HostMemory;
  private readonly stat: HostStat = emptyAttributes();

  constructor(buffer: HostMemory) {
    this.buffer = buffer;
  }

  /** Everything but the contents: 0 or -errno. */
  metadata(from: Inode, to: Inode): number {
    const names = from.listxattr();
    if (typeof names !== 'number') {
      for (const name of names) {
        if (name.startsWith(OVERLAY_XATTR_PREFIX)) continue;
        const value = from.getxattr(name);
        if (typeof value === 'string') to.setxattr(name, value, 0);
      }
    }
    const { stat } = this;
    const error = from.getattr(stat);
    if (error < 0) return error;
    const { mode, uid, gid, atimeSec, atimeNsec, mtimeSec, mtimeNsec } = stat;
    return to.setattr({ mode, uid, gid, atimeSec, atimeNsec, mtimeSec, mtimeNsec }, OVERLAY_CALLER);
  }

  /** The first `limit` bytes of a regular file: 0 or -errno. */
  contents(from: Inode, to: Inode, limit: number): number {
    const error = from.getattr(this.stat);
    if (error < 0) return error;
    const length = Math.min(limit, this.stat.size);
    if (length === 0) return 0;
    const source = openLayer(from, O_RDONLY);
    if (typeof source === 'number') return source;
    const target = openLayer(to, O_WRONLY);
    const result = typeof target === 'number' ? target : this.copy(source, target, length);
    source.release();
    if (typeof target !== 'number') target.release();
    return result;
  }

  private copy(source: FileDescription, target: FileDescription, length: number): number {
    for (let done = 0; done < length; ) {
      const want = Math.min(length - done, COPY_UP_CHUNK);
      const got = source.read(new KernelIo(this.buffer, 0, want), done, OVERLAY_CALLER);
      if (got <= 0) return got;
      for (let written = 0; written < got; ) {
        const n = target.write(new KernelIo(this.buffer, written, got - written), done + written, OVERLAY_CALLER);
        if (n < 0) return n;
        written += n;
      }
      done += got;
    }
    return 0;
  }

  /** Runs `change` on the upper directory without leaving a trace in its times. */
  keepingTimes(directory: Inode, change: () => number): number {
    const { stat } = this;
    directory.getattr(stat);
    const { atimeSec, atimeNsec, mtimeSec, mtimeNsec } = stat;
    const result = change();
    directory.setattr({ atimeSec, atimeNsec, mtimeSec, mtimeNsec }, OVERLAY_CALLER);
    return result;
  }
}

/** A description of an inode of a layer, for the overlay's own use. */
export function openLayer(inode: Inode, flags: number): FileDescription | number {
  return inode.open(new Dentry('', null, inode), flags, OVERLAY_CALLER);
}
