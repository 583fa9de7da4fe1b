/**
 * File descriptor tables: which open file each descriptor of a process refers to, and its close-on-exec bit (Linux files_struct).
 *
 * Threads share one table (clone with CLONE_FILES: `acquire`), fork copies it (`fork`), execve closes what is marked (`closeOnExec`).
 * The table is dense and hands out the lowest free number, as POSIX demands.
 *
 *     const fd = task.files.install(file, cloexec);     // takes over the caller's reference; on -EMFILE it stays the caller's
 *     const file = task.files.get(fd);                  // no reference taken: valid until the handler returns
 *     task.files.close(fd);
 *
 * The table is also the owner of POSIX record locks: closing any descriptor of a file drops the locks this table holds on it (fcntl(2)).
 */
import { EBADF, EMFILE, ENFILE } from '#sentry/abi/errno.ts';
import { O_PATH } from '#sentry/abi/fs.ts';
import { DESCRIPTOR_SLOTS_MAX } from '../limits.ts';
import { FileDescription } from '../vfs/file-description.ts';
import { existingLocks } from './locks/file-locks.ts';

/** No table grows beyond this, whatever RLIMIT_NOFILE says (Linux fs.nr_open). */
export const DESCRIPTORS_MAX = 1 << 20;

const FIRST_CAPACITY = 64;

export class FdTable {
  /** RLIMIT_NOFILE of the owning process: descriptors at or above it are not handed out. prlimit keeps it current. */
  limit: number;
  private readonly files: (FileDescription | undefined)[] = [];
  private cloexec = new Uint8Array(FIRST_CAPACITY);
  /** No descriptor below this one is free. */
  private lowestFree = 0;
  private references = 1;
  /** Slots of this table in `slotsInAll`. */
  private slots = 0;
  private static slotsInAll = 0;

  constructor(limit = 1024) {
    this.limit = limit;
  }

  get(fd: number): FileDescription | undefined {
    return this.files[fd];
  }

  /** Descriptors that were in use at once, at least: one more than the highest open one. */
  get size(): number {
    return this.files.length;
  }

  /** Number of open descriptors. */
  get openCount(): number {
    let count = 0;
    for (const file of this.files) if (file !== undefined) count++;
    return count;
  }

  /** The first open descriptor at or after `from`, or -1. */
  nextOpen(from: number): number {
    for (let fd = from; fd < this.files.length; fd++) if (this.files[fd] !== undefined) return fd;
    return -1;
  }

  /**
   * The descriptor `install` would give, -EMFILE or -ENFILE. Calls that create something look here first, as Linux reserves the descriptor before
   * it acts.
   */
  get nextFree(): number {
    while (this.files[this.lowestFree] !== undefined) this.lowestFree++;
    const fd = this.lowestFree;
    if (fd >= this.limit || fd >= DESCRIPTORS_MAX) return -EMFILE;
    return FileDescription.areTooMany || !this.mayGrow(fd) ? -ENFILE : fd;
  }

  /** Gives `file` the lowest free descriptor at or above `from`. */
  install(file: FileDescription, cloexec: boolean, from = 0): number {
    let fd = Math.max(from, this.lowestFree);
    while (this.files[fd] !== undefined) fd++;
    if (fd >= this.limit || fd >= DESCRIPTORS_MAX) return -EMFILE;
    if (FileDescription.areTooMany || !this.mayGrow(fd)) return -ENFILE;
    this.place(fd, file, cloexec);
    if (from <= this.lowestFree) this.lowestFree = fd + 1;
    return fd;
  }

  /** Makes `fd` refer to `file`, closing what it referred to before (dup2). Takes over the caller's reference. */
  replace(fd: number, file: FileDescription, cloexec: boolean): number {
    if (!this.mayGrow(fd)) return -ENFILE;
    const old = this.files[fd];
    this.place(fd, file, cloexec);
    if (old !== undefined) this.letGo(old);
    return fd;
  }

  /** Whether all tables together leave room for one as long as `fd` makes this one. */
  private mayGrow(fd: number): boolean {
    return fd < this.slots || FdTable.slotsInAll + fd + 1 - this.slots <= DESCRIPTOR_SLOTS_MAX;
  }

  /** Whether there is room for a copy (fork). */
  get mayFork(): boolean {
    return FdTable.slotsInAll + this.slots <= DESCRIPTOR_SLOTS_MAX;
  }

  private countSlots(slots: number): void {
    FdTable.slotsInAll += slots - this.slots;
    this.slots = slots;
  }

  close(fd: number): number {
    const file = this.files[fd];
    if (file === undefined) return -EBADF;
    this.remove(fd);
    return this.letGo(file);
  }

  /** Closes every open descriptor from `first` to `last`. */
  closeRange(first: number, last: number): void {
    const end = Math.min(last, this.files.length - 1);
    for (let fd = end; fd >= first; fd--) if (this.files[fd] !== undefined) this.close(fd);
  }

  isCloexec(fd: number): boolean {
    return this.cloexec[fd] === 1;
  }

  setCloexec(fd: number, cloexec: boolean): void {
    if (this.files[fd] !== undefined) this.cloexec[fd] = cloexec ? 1 : 0;
  }

  setCloexecRange(first: number, last: number): void {
    const end = Math.min(last, this.files.length - 1);
    for (let fd = first; fd <= end; fd++) this.setCloexec(fd, true);
  }

  /** execve: closes what is marked. The table must not be shared (the caller replaced a shared one by its `fork`). */
  closeOnExec(): void {
    for (let fd = this.files.length - 1; fd >= 0; fd--) if (this.cloexec[fd] === 1) this.close(fd);
  }

  /** A copy for a child process: the same open files under the same numbers. */
  fork(): FdTable {
    const copy = new FdTable(this.limit);
    copy.cloexec = this.cloexec.slice();
    copy.countSlots(this.slots);
    copy.lowestFree = this.lowestFree;
    for (let fd = 0; fd < this.files.length; fd++) copy.files.push(this.files[fd]?.acquire());
    return copy;
  }

  acquire(): this {
    this.references++;
    return this;
  }

  /** A task ends or changes tables; the last one closes everything. */
  release(): void {
    if (--this.references > 0) return;
    this.closeRange(0, this.files.length - 1);
    this.countSlots(0);
  }

  get isShared(): boolean {
    return this.references > 1;
  }

  private place(fd: number, file: FileDescription, cloexec: boolean): void {
    while (this.files.length < fd) this.files.push(undefined);
    if (fd >= this.cloexec.length) {
      const grown = new Uint8Array(Math.max(fd + 1, this.cloexec.length * 2));
      grown.set(this.cloexec);
      this.cloexec = grown;
      this.countSlots(grown.length);
    }
    this.files[fd] = file;
    this.cloexec[fd] = cloexec ? 1 : 0;
  }

  private remove(fd: number): void {
    this.files[fd] = undefined;
    this.cloexec[fd] = 0;
    if (fd < this.lowestFree) this.lowestFree = fd;
    while (this.files.length > 0 && this.files[this.files.length - 1] === undefined) this.files.pop();
  }

  /** What close(2) does to the open file. */
  private letGo(file: FileDescription): number {
    let result = 0;
    if ((file.flags & O_PATH) === 0) {
      existingLocks(file.inode)?.releaseRecords(this);
      result = file.flush(this);
    }
    file.release();
    return result;
  }
}

/** Gives a task a descriptor table of its own (close_range, execve). */
export function unshareFiles(task: { files: FdTable }): void {
  if (!task.files.isShared) return;
  const shared = task.files;
  task.files = shared.fork();
  shared.release();
}
