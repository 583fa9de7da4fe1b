/**
 * Open file descriptions (open(2), "Open file descriptions"): what descriptors of one or several processes share. Files of every kind
 * derive from this class: regular files, directories, pipes, sockets, epoll instances, terminals.
 *
 * Nothing here blocks. A read that has to wait returns -EAGAIN whatever O_NONBLOCK says; the system call layer then waits on `queue` for
 * the events and calls again. Whoever changes readiness calls `queue.notify(events)`.
 *
 * Reference counting: `acquire` for each descriptor, mapping or message in flight that holds it, `release` when it goes; the last one
 * calls `destroy`.
 */
import { EINVAL, ENODEV, ENOTDIR, ENOTTY, ESPIPE } from '#sentry/abi/errno.ts';
import { O_ACCMODE, O_APPEND, O_PATH, O_RDONLY, O_WRONLY, POLLERR, POLLHUP, READABLE, WRITABLE } from '#sentry/abi/fs.ts';
import { IN_CLOSE_NOWRITE, IN_CLOSE_WRITE } from '#sentry/abi/event-files.ts';
import { WaitQueue } from '../lib/wait-queue.ts';
import { OPEN_FILES_MAX } from '../limits.ts';
import type { Io } from '../mm/io.ts';
import type { Mappable } from '../mm/mapped-file.ts';
import type { Dentry } from './dentry.ts';
import type { Caller, Inode, Stat } from './inode.ts';
import type { Mount } from './mount.ts';
import { happened } from './watchers.ts';

/** Receives directory entries; returns false when it is full (the entry was not taken). `nextOffset` is the `d_off` of the entry. */
export type DirentSink = (name: string, ino: number, type: number, nextOffset: number) => boolean;

/** Event on a file's `queue`: its last reference is going. Only those who watch without holding a reference (epoll) ask for it. */
export const CLOSED = 0x4000;

export abstract class FileDescription {
  /** Status flags: access mode, O_APPEND, O_NONBLOCK, O_DIRECT, O_PATH … (not O_CLOEXEC, which belongs to the descriptor). */
  flags: number;
  /** File position of seekable files. */
  position = 0;
  readonly queue: WaitQueue = new WaitQueue();
  /** Where it was opened; anonymous files (pipes, epoll …) have a dentry of a pseudo file system with a name such as `pipe:[12]`. */
  readonly dentry: Dentry;
  /** null for anonymous files. Inodes pass null too: the VFS sets it with `setMount` once the open has succeeded. */
  mount: Mount | null;
  /** The open that made this description also made the file (fcntl F_CREATED_QUERY). */
  created = false;
  /** fcntl F_SETOWN / F_SETSIG, kept by the kernel. */
  owner: unknown = null;
  /** Called once when the last reference goes: its flock and OFD locks are dropped. Kept by the kernel. */
  onLastRelease: (() => void) | null = null;
  /** What it adds to `inode.writers`: 1 when open for writing, -1 when open for execution. */
  private writeAccess: -1 | 0 | 1 = 0;
  private references = 1;
  private static total = 0;

  /** Whether the sandbox has as many open files as it may (Linux fs.file-max). */
  static get areTooMany(): boolean {
    return FileDescription.total > OPEN_FILES_MAX;
  }

  /** Takes a reference to `dentry`, and becomes the owner of one to `mount` if there is one. */
  constructor(dentry: Dentry, mount: Mount | null, flags: number) {
    FileDescription.total++;
    this.dentry = dentry.acquire();
    this.mount = mount;
    this.flags = flags;
  }

  /** Counts among those who write the file (1) or execute it (-1) until the last reference is gone. */
  countWriter(writeAccess: -1 | 1): void {
    this.writeAccess = writeAccess;
    this.inode.writers += writeAccess;
    if (writeAccess > 0) this.inode.contentsVersion++;
  }

  setMount(mount: Mount): void {
    mount.acquire();
    this.mount?.release();
    this.mount = mount;
  }

  get inode(): Inode {
    return this.dentry.inode!;
  }
  get readable(): boolean {
    return (this.flags & O_PATH) === 0 && (this.flags & O_ACCMODE) !== O_WRONLY;
  }
  get writable(): boolean {
    return (this.flags & O_PATH) === 0 && (this.flags & O_ACCMODE) !== O_RDONLY;
  }
  get appends(): boolean {
    return (this.flags & O_APPEND) !== 0;
  }

  /** Whether pread, pwrite and lseek make sense. When false `read` and `write` get position -1. */
  get seekable(): boolean {
    return false;
  }

  /** Whether a blocking write goes on until every byte is taken: byte streams such as pipes, stream sockets, terminals. */
  get writesWhole(): boolean {
    return this.seekable;
  }

  /** Reads at `position` into `io`. Returns bytes (0 at the end), -EAGAIN when it would have to wait, or -errno. */
  read(_io: Io, _position: number, _caller: Caller): number {
    return -EINVAL;
  }
  /** Writes at `position` (with O_APPEND: at the end, and `position` ignored; the caller moves the file position to `endOfWrite`). */
  write(_io: Io, _position: number, _caller: Caller): number {
    return -EINVAL;
  }
  /** Where the last write ended; used after appending. */
  endOfWrite = 0;

  /** New position for lseek(2), or -errno. The caller stores it. */
  seek(_offset: number, _whence: number): number {
    return -ESPIPE;
  }
  /** Lists entries from `position` on. Updates `position`. */
  readdir(_sink: DirentSink, _caller: Caller): number {
    return -ENOTDIR;
  }
  getattr(into: Stat): number {
    return this.inode.getattr(into);
  }
  truncate(_length: number): number {
    return -EINVAL;
  }
  /** fallocate(2). */
  allocate(_mode: number, _offset: number, _length: number): number {
    return -ENODEV;
  }
  sync(_dataOnly: boolean): number {
    return -EINVAL;
  }
  /** Current readiness: POLL* bits. Regular files and directories are always ready. */
  poll(): number {
    return READABLE | WRITABLE;
  }
  /** Whether a write would do something now. Sockets take more than what poll(2) calls writable. */
  get takesWrites(): boolean {
    return (this.poll() & (WRITABLE | POLLERR | POLLHUP)) !== 0;
  }
  /** Whether a writer that gets EPIPE is sent SIGPIPE, too. */
  get signalsBrokenPipe(): boolean {
    return true;
  }
  /** How long a blocking read or write waits: for ever, except on sockets with a timeout. */
  get readTimeoutNs(): number {
    return Infinity;
  }
  get writeTimeoutNs(): number {
    return Infinity;
  }
  /** Whether epoll can watch it: not regular files, directories and devices that never block. */
  get pollable(): boolean {
    const { inode } = this;
    return !inode.isRegular && !inode.isDirectory;
  }
  /** `argument` is the raw third argument; an implementation reads guest memory through `caller.task` (see kernel). */
  ioctl(_request: number, _argument: number, _caller: Caller): number {
    return -ENOTTY;
  }
  /** Whether and how the file can be mapped. `protection`/`flags` were checked against the access mode. Bytes of [offset, offset+length) will be accessed. */
  mappable(_shared: boolean, _offset = 0, _size = 0): Mappable | number {
    return -ENODEV;
  }
  /** See MappedFile: only sealed files refuse. */
  get refusesSharedWrites(): boolean {
    return false;
  }
  noteSharedMapping(_change: 1 | -1): void {}
  /** F_GET_SEALS and F_ADD_SEALS (memfd_create(2)): a set of F_SEAL_*, or -errno for files without. */
  seals(): number {
    return -EINVAL;
  }
  addSeals(_seals: number): number {
    return -EINVAL;
  }
  /** An open that has to wait (a FIFO without a partner): the queue to wait on before a descriptor is handed out; null once complete. */
  openWait(): WaitQueue | null {
    return null;
  }
  /** A descriptor for it was closed (each close(2), not only the last) in the descriptor table `table`: flush. */
  flush(_table: unknown): number {
    return 0;
  }
  /** Lines for /proc/PID/fdinfo/N beyond pos, flags, mnt_id, ino. */
  fdinfo(): string {
    return '';
  }
  /** For how long close(2) of the last reference waits as long as it `lingers` (SO_LINGER); 0: not at all. */
  get lingerNs(): number {
    return 0;
  }
  /** Begins to end the file, and whether what was written is still on its way; its queue tells when that may have changed. */
  lingers(): boolean {
    return false;
  }
  /** The last reference is gone. */
  protected destroy(): void {}

  acquire(): this {
    this.references++;
    return this;
  }
  release(): void {
    if (--this.references > 0) return;
    FileDescription.total--;
    if (this.onLastRelease !== null) this.onLastRelease();
    if (!this.queue.isEmpty) this.queue.notify(CLOSED);
    if (this.mount !== null && (this.flags & O_PATH) === 0) happened(this.dentry, this.writable ? IN_CLOSE_WRITE : IN_CLOSE_NOWRITE);
    this.destroy();
    if (this.writeAccess !== 0) this.inode.writers -= this.writeAccess;
    if (this.mount !== null) this.mount.release();
    this.dentry.release();
  }
  get referenceCount(): number {
    return this.references;
  }
}
