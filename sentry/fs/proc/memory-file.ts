/**
 * /proc/PID/mem: the memory of a process as a file (proc_pid_mem(5)). It belongs to the address space that the process had when the file was
 * opened; once that is gone, reads find nothing.
 *
 * Linux writes through page protection, as debuggers want; here the guest's own protection holds and such a write fails with EIO.
 */
import { EINVAL, EIO } from '#sentry/abi/errno.ts';
import { SEEK_CUR, SEEK_SET, S_IFREG } from '#sentry/abi/fs.ts';
import type { AddressSpace } from '../../mm/address-space.ts';
import type { Io } from '../../mm/io.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import { FileDescription } from '../../vfs/file-description.ts';
import type { Caller } from '../../vfs/inode.ts';
import { SyntheticInode } from '../synthetic/synthetic.ts';
import type { SyntheticFileSystem } from '../synthetic/synthetic.ts';

/** What opening it may use: 0, or -errno for a caller that may not look into the process. */
export type CheckAccess = (caller: Caller) => number;

export class MemoryInode extends SyntheticInode {
  private readonly owner: { readonly mm: AddressSpace };
  private readonly check: CheckAccess;

  constructor(fileSystem: SyntheticFileSystem, owner: { readonly mm: AddressSpace }, check: CheckAccess) {
    super(fileSystem, S_IFREG | 0o600);
    this.owner = owner;
    this.check = check;
  }

  open(dentry: Dentry, flags: number, caller: Caller): FileDescription | number {
    return this.check(caller) || new MemoryFile(dentry, flags, this.fileSystem, this.owner.mm);
  }
}

class MemoryFile extends FileDescription {
  private readonly fileSystem: SyntheticFileSystem;
  private readonly mm: AddressSpace;

  constructor(dentry: Dentry, flags: number, fileSystem: SyntheticFileSystem, mm: AddressSpace) {
    super(dentry, null, flags);
    this.fileSystem = fileSystem;
    this.mm = mm;
  }

  override get seekable(): boolean {
    return true;
  }

  override seek(offset: number, whence: number): number {
    const target = whence === SEEK_SET ? offset : whence === SEEK_CUR ? this.position + offset : -1;
    return target < 0 ? -EINVAL : target;
  }

  override read(io: Io, position: number): number {
    if (this.mm.isDead) return 0;
    const { staging } = this.fileSystem;
    let total = 0;
    while (io.remaining > 0) {
      const want = Math.min(io.remaining, staging.bytes.length);
      const got = this.mm.memory.copyInPartial(position + total, staging, 0, want);
      if (got === 0) return total > 0 ? total : -EIO;
      const moved = io.put(staging, 0, got);
      if (moved < 0) return total > 0 ? total : moved;
      total += moved;
      if (moved < want) break;
    }
    return total;
  }

  override write(io: Io, position: number): number {
    if (this.mm.isDead) return 0;
    const { staging } = this.fileSystem;
    const taken = io.take(staging, 0, Math.min(io.remaining, staging.bytes.length));
    if (taken <= 0) return taken;
    const put = this.mm.memory.copyOutPartial(position, staging, 0, taken);
    this.endOfWrite = position + put;
    return put === 0 ? -EIO : put;
  }
}
