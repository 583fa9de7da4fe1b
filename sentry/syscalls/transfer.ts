/**
 * Moving data from one open file to another inside the sentry: what sendfile(2), splice(2) and copy_file_range(2) have in common.
 *
 * The source reads into a `SinkIo`, which writes what it is given to the target at once. So a source loses nothing that the target does not
 * take: pipes and sockets consume only what was moved, and regular files are asked again at the new position.
 */
import { EAGAIN, EFAULT, EPIPE } from '#sentry/abi/errno.ts';
import { SIGPIPE } from '#sentry/abi/signal.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import { KernelIo } from '../mm/io.ts';
import type { Io } from '../mm/io.ts';
import { IN_ACCESS, IN_MODIFY } from '#sentry/abi/event-files.ts';
import { happened } from '../vfs/watchers.ts';
import type { FileDescription } from '../vfs/file-description.ts';
import type { Task } from '../kernel/task.ts';
import { raise } from './file-io.ts';

/** What a target that may refuse is offered at a time when the source could not take it back: PIPE_BUF. */
const SMALL_PIECE = 4096;
const LARGE_PIECE = 1 << 16;

/** Destination of a read that writes to a file. */
class SinkIo implements Io {
  remaining = 0;
  /** Why the target took nothing more: 0 or -errno. */
  error = 0;
  position: number;
  private readonly target: FileDescription;
  private readonly task: Task;

  constructor(task: Task, target: FileDescription, position: number) {
    this.task = task;
    this.target = target;
    this.position = position;
  }

  put(memory: HostMemory, offset: number, length: number): number {
    const n = this.target.write(new KernelIo(memory, offset, length), this.position, this.task);
    if (n <= 0) {
      this.error = n === 0 ? -EAGAIN : n;
      return -EFAULT;
    }
    if (this.target.seekable) this.position = this.target.appends ? this.target.endOfWrite : this.position + n;
    this.remaining -= n;
    return n;
  }

  take(): number {
    return -EFAULT; // nothing is ever taken from a destination
  }

  skip(length: number): void {
    this.remaining -= length;
  }
}

/** One transfer; the positions say afterwards how far it came. */
export class Transfer {
  /** Position in the source; -1 when it has none. */
  from: number;
  /** Why it ended before `length`: 0 (the source's end), or -errno (-EAGAIN: one side would have to wait). */
  ended = 0;
  /** It was the target that would have to wait. */
  targetFull = false;
  private readonly source: FileDescription;
  private readonly target: FileDescription;
  private readonly sink: SinkIo;
  private readonly task: Task;

  constructor(task: Task, source: FileDescription, from: number, target: FileDescription, to: number) {
    this.task = task;
    this.source = source;
    this.target = target;
    this.from = source.seekable ? from : -1;
    this.sink = new SinkIo(task, target, target.seekable ? to : -1);
  }

  get to(): number {
    return this.sink.position;
  }

  /** Moves up to `length` bytes without waiting. Returns how many. */
  run(length: number): number {
    const { sink, source } = this;
    let moved = 0;
    while (moved < length) {
      const room = this.room();
      if (room === 0) {
        this.wouldBlock();
        break;
      }
      sink.remaining = Math.min(length - moved, room);
      const n = source.read(sink, this.from, this.task);
      if (n <= 0) {
        this.ended = n === -EFAULT && sink.error !== 0 ? sink.error : n;
        this.targetFull = sink.error !== 0;
        break;
      }
      moved += n;
      if (source.seekable) this.from += n;
    }
    if (this.ended === -EPIPE) raise(this.task, SIGPIPE);
    if (moved > 0) {
      happened(source.dentry, IN_ACCESS);
      happened(this.target.dentry, IN_MODIFY);
    }
    return moved;
  }

  private wouldBlock(): void {
    this.ended = -EAGAIN;
    this.targetFull = true;
  }

  /** How much the target can surely take. */
  private room(): number {
    const { target } = this;
    if (target.seekable) return LARGE_PIECE;
    if (!target.takesWrites) return 0;
    return this.source.seekable ? LARGE_PIECE : SMALL_PIECE;
  }
}
