/**
 * A System V shared memory segment (Linux shmid_kernel) and its attachments.
 *
 * The bytes are a nameless tmpfs file, the same thing that memfd_create(2) makes, so attaching is mapping a file: areas, protection, fork and
 * page faults need nothing of their own. What is its own is the count of attachments. Linux counts areas (a segment attached once and cut
 * in two by mprotect has two), so the attachment is told of every area that comes or goes.
 *
 * Spec: shmat(2), shmctl(2); Linux ipc/shm.c.
 */
import { O_RDONLY, O_RDWR } from '#sentry/abi/fs.ts';
import { SHM_DEST } from '#sentry/abi/ipc.ts';
import type { TmpFile } from '../../fs/tmpfs/file.ts';
import { TmpFileDescription } from '../../fs/tmpfs/file.ts';
import { Dentry } from '../../vfs/dentry.ts';
import type { Task } from '../task.ts';
import { IpcObject } from './ipc-object.ts';
import type { SharedMemorySegments } from './shared-memory.ts';

const PAGE_SIZE = 4096;

export class ShmSegment extends IpcObject {
  /** Bytes, as asked for. */
  readonly size: number;
  /** Processes here are numbers of `PidNamespace.global`. */
  readonly creator: number;
  readonly file: TmpFile;
  /** The thread that made it, until it ends. */
  maker: Task | null;
  /** Areas that show it, and calls that are about to make one. */
  attached = 0;
  /** Process that attached or detached last, and when each last happened: seconds since 1970, 0 for never. */
  lastPid = 0;
  attachTime = 0;
  detachTime = 0;
  /** What /proc/PID/maps calls it: the key it had when it was made. */
  readonly name: string;

  /** Becomes the owner of a reference to `file`. */
  constructor(key: number, flags: number, size: number, file: TmpFile, maker: Task) {
    super(key, flags, maker.credentials);
    this.size = size;
    this.file = file;
    this.maker = maker;
    this.creator = maker.pids.global(maker.group.pid);
    this.name = `/SYSV${(key >>> 0).toString(16).padStart(8, '0')} (deleted)`;
  }

  get pages(): number {
    return Math.ceil(this.size / PAGE_SIZE);
  }

  get isCondemned(): boolean {
    return (this.mode & SHM_DEST) !== 0;
  }
}

/** An open segment, as areas hold it: one for each shmat. */
export class ShmAttachment extends TmpFileDescription {
  readonly segment: ShmSegment;
  /** Areas are counted one by one, also those a child inherits. */
  readonly countsAreas = true;
  private readonly segments: SharedMemorySegments;

  constructor(segments: SharedMemorySegments, segment: ShmSegment, access: 'read' | 'write') {
    super(segment.file, new Dentry(segment.name, null, segment.file), access === 'read' ? O_RDONLY : O_RDWR);
    this.segments = segments;
    this.segment = segment;
  }

  /** An area that shows the segment came (1) or went (-1) by a call of process `pid`. */
  noteArea(change: 1 | -1, pid: number): void {
    this.segments.noteArea(this.segment, change, pid);
  }
}
