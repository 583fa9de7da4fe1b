/**
 * The shared memory segments of an IPC namespace: making, finding, counting and destroying them. Attaching is in attach.ts, the control call in
 * syscalls/shm.ts.
 *
 * A segment is charged to the memory budget with its full size when it is made, as everything that may become resident is. It goes when it
 * was removed (IPC_RMID) and nobody shows it any more.
 *
 * Spec: shmget(2), shmctl(2); Linux ipc/shm.c.
 */
import { EINVAL, ENOMEM, ENOSPC, EPERM } from '#sentry/abi/errno.ts';
import { S_IFREG } from '#sentry/abi/fs.ts';
import { SHM_DEST, SHM_HUGETLB } from '#sentry/abi/ipc.ts';
import { TmpFile } from '../../fs/tmpfs/file.ts';
import { TmpFileSystem } from '../../fs/tmpfs/tmpfs.ts';
import { CAP_IPC_LOCK, capable } from '../../vfs/credentials.ts';
import type { Vfs } from '../../vfs/vfs.ts';
import type { Task } from '../task.ts';
import type { IpcClock } from './ipc-clock.ts';
import type { IpcLimits } from './ipc-limits.ts';
import { IpcTable } from './ipc-table.ts';
import { ShmSegment } from './shm-segment.ts';

/** A segment of 2^63 bytes has no file (MAX_LFS_FILESIZE). */
const FILE_MAX = 2 ** 63 - 1;
/** log2 of the huge page size asked for; x86 has 21 and 30, and 0 stands for 21. */
const HUGE_SHIFT = 26;
const HUGE_SIZES: ReadonlySet<number> = new Set([0, 21, 30]);

export class SharedMemorySegments {
  readonly table = new IpcTable<ShmSegment>();
  /** Pages of all segments. */
  totalPages = 0;
  private readonly limits: IpcLimits;
  private readonly clock: IpcClock;
  /** Where the files lie: made with the first segment, never mounted (Linux shm_mnt). */
  private files: TmpFileSystem | null = null;

  constructor(limits: IpcLimits, clock: IpcClock) {
    this.limits = limits;
    this.clock = clock;
  }

  /** shmget(2): an id or -errno. */
  get(task: Task, key: number, size: number, flags: number): number {
    const refusal = (existing: ShmSegment): number => (existing.size < size ? -EINVAL : 0);
    return this.table.get(key, flags, task.credentials, refusal, () => this.make(task, key, size, flags));
  }

  private make(task: Task, key: number, size: number, flags: number): number {
    const { limits } = this;
    if (size < 1 || size > limits.shmmax) return -EINVAL;
    if (this.totalPages + Math.ceil(size / 4096) > limits.shmall) return -ENOSPC;
    if ((flags & SHM_HUGETLB) !== 0) return refuseHuge(task, flags);
    if (size > FILE_MAX) return -EINVAL;
    if (!this.table.hasRoom(limits.shmmni)) return -ENOSPC;
    if (size > task.kernel.machine.memoryBytes) return -ENOMEM;
    const file = this.makeFile(task, size);
    if (typeof file === 'number') return file;
    const segment = new ShmSegment(key, flags, size, file, task);
    segment.changeTime = this.clock.now;
    task.segments ??= new Set();
    task.segments.add(segment);
    this.totalPages += segment.pages;
    const id = this.table.add(segment, limits.shmmni);
    // Linux: the number of the file is the id of the segment; /proc/PID/maps shows it.
    (file as { ino: number }).ino = id;
    return id;
  }

  /** A nameless file of `size` bytes that the budget has room for, with a reference for the caller; or -errno. */
  private makeFile(task: Task, size: number): TmpFile | number {
    this.files ??= hiddenFileSystem(task.fs.namespace.vfs);
    if (this.files === null) return -ENOMEM;
    const error = this.files.takeInode();
    if (error < 0) return error;
    const { fsuid, fsgid } = task.credentials;
    const file = new TmpFile(this.files, S_IFREG | 0o777, fsuid, fsgid);
    file.nlink = 0;
    file.unnamed = true;
    file.acquire();
    const made = file.truncate(size);
    if (made === 0 && typeof file.mappable() !== 'number') return file;
    file.release();
    return -ENOMEM;
  }

  /** An area that shows `segment` came (1) or went (-1) by a call of process `pid`. */
  noteArea(segment: ShmSegment, change: 1 | -1, pid: number): void {
    segment.lastPid = pid;
    if (change === 1) segment.attachTime = this.clock.now;
    else segment.detachTime = this.clock.now;
    segment.attached += change;
    this.destroyIfDone(segment);
  }

  /** IPC_RMID: it is gone now, or with its last attachment. */
  remove(segment: ShmSegment): void {
    segment.mode |= SHM_DEST;
    this.table.makePrivate(segment);
    this.destroyIfDone(segment);
  }

  /** Keeps `segment` while it is being attached, whatever that replaces. */
  hold(segment: ShmSegment): void {
    segment.attached++;
  }

  letGo(segment: ShmSegment): void {
    segment.attached--;
    this.destroyIfDone(segment);
  }

  private destroyIfDone(segment: ShmSegment): void {
    if (segment.attached > 0 || (!segment.isCondemned && this.limits.shmRmidForced === 0)) return;
    // Gone already: an area was replaced by a copy of itself (mremap with an old length of 0).
    if (this.table.find(segment.id) !== segment) return;
    segment.maker?.segments?.delete(segment);
    this.table.remove(segment);
    this.totalPages -= segment.pages;
    segment.file.release();
  }

  /** The task ends: nobody made its segments any more, which matters where nobody is to leave any behind. */
  leave(task: Task): void {
    const { segments } = task;
    task.segments = null;
    if (segments === null) return;
    for (const segment of segments) {
      segment.maker = null;
      if (this.limits.shmRmidForced !== 0) this.destroyIfDone(segment);
    }
  }

  /** Sets shm_rmid_forced. What its maker has left behind already goes now. */
  forceRemoval(value: number): void {
    this.limits.shmRmidForced = value;
    if (value === 0) return;
    for (const segment of this.table.all()) if (segment.maker === null) this.destroyIfDone(segment);
  }

  touch(segment: ShmSegment): void {
    segment.changeTime = this.clock.now;
  }
}

/** There are no huge pages: as on a machine that has reserved none. */
function refuseHuge({ credentials }: Task, flags: number): number {
  if (!HUGE_SIZES.has((flags >>> HUGE_SHIFT) & 63)) return -EINVAL;
  return capable(credentials, CAP_IPC_LOCK) ? -ENOMEM : -EPERM;
}

function hiddenFileSystem(vfs: Vfs): TmpFileSystem | null {
  const made = vfs.types.get('tmpfs')?.('size=0,nr_inodes=0');
  return made instanceof TmpFileSystem ? made : null;
}
