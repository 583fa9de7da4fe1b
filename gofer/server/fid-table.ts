/**
 * The fids of one connection: which host descriptor each number stands for, on which mount it lies, and what kind of file it is.
 *
 * All descriptors here are O_PATH: they name a file but cannot read it. The table owns them; binding a number again closes what it held.
 * Numbers are the client's choice and hostile: everything outside 1 … `size` is -EBADF.
 */
import { EBADF } from '#sentry/abi/errno.ts';
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '#sentry/abi/fs.ts';
import { close } from '#platform/host/files.ts';

export class FidTable {
  readonly size: number;
  private readonly descriptors: Int32Array;
  private readonly mounts: Uint16Array;
  private readonly types: Uint16Array;
  private readonly sealed: Uint8Array;

  constructor(size: number) {
    this.size = size;
    this.descriptors = new Int32Array(size + 1).fill(-1);
    this.mounts = new Uint16Array(size + 1);
    this.types = new Uint16Array(size + 1);
    this.sealed = new Uint8Array(size + 1);
  }

  /** Whether a client may bind this number. */
  isValid(fid: number): boolean {
    return fid >= 1 && fid <= this.size;
  }

  /** The host descriptor, or -EBADF. */
  descriptor(fid: number): number {
    if (!this.isValid(fid)) return -EBADF;
    const fd = this.descriptors[fid]!;
    return fd < 0 ? -EBADF : fd;
  }

  mount(fid: number): number {
    return this.mounts[fid]!;
  }
  isDirectory(fid: number): boolean {
    return this.types[fid] === S_IFDIR;
  }
  isRegular(fid: number): boolean {
    return this.types[fid] === S_IFREG;
  }
  isSymlink(fid: number): boolean {
    return this.types[fid] === S_IFLNK;
  }
  /** Lies on a file system that is not served (see file-systems.ts). */
  isSealed(fid: number): boolean {
    return this.sealed[fid] === 1;
  }

  /** Hands `fd` over to the table. `fid` must be valid. */
  bind(fid: number, fd: number, mount: number, mode: number, sealed: boolean): void {
    this.release(fid);
    this.descriptors[fid] = fd;
    this.mounts[fid] = mount;
    this.types[fid] = mode & S_IFMT;
    this.sealed[fid] = sealed ? 1 : 0;
  }

  release(fid: number): void {
    if (!this.isValid(fid)) return;
    const fd = this.descriptors[fid]!;
    if (fd < 0) return;
    this.descriptors[fid] = -1;
    close(fd);
  }

  /** Lets go of everything that lies on a mount. */
  releaseMount(mount: number): void {
    for (let fid = 1; fid <= this.size; fid++) if (this.mounts[fid] === mount) this.release(fid);
  }

  releaseAll(): void {
    for (let fid = 1; fid <= this.size; fid++) this.release(fid);
  }
}
