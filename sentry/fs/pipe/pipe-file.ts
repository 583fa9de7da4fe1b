/**
 * An open end of a pipe or FIFO. Several descriptions may be open on one `Pipe`: FIFOs, and pipes opened anew through /proc/PID/fd.
 *
 *     const [reader, writer] = createPipe(files, caller, flags);
 *
 * FIFO opening (fifo(7)): `openFifo` returns at once; while `openWait` is not null, open(2) waits. Opening
 * O_WRONLY | O_NONBLOCK without a reader fails with ENXIO.
 */
import { EINVAL, ENXIO } from '#sentry/abi/errno.ts';
import { O_ACCMODE, O_DIRECT, O_NONBLOCK, O_RDONLY, O_WRONLY, POLLERR, POLLHUP, READABLE, S_IFIFO, WRITABLE } from '#sentry/abi/fs.ts';
import { FIONREAD } from '#sentry/abi/socket.ts';
import type { WaitQueue } from '../../lib/wait-queue.ts';
import type { Io } from '../../mm/io.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import { FileDescription } from '../../vfs/file-description.ts';
import type { Caller, Inode } from '../../vfs/inode.ts';
import type { AnonymousFiles } from '../anonymous/anonymous-files.ts';
import { guestOf } from '../anonymous/guest-caller.ts';
import { Pipe } from './pipe.ts';

/** Key of an inode's pipe in `Inode.attachments`. */
const PIPE = Symbol('pipe');

export class PipeFile extends FileDescription {
  readonly pipe: Pipe;
  /** Events that can happen to this end. */
  readonly directions: number;
  /** No hang-up is reported before a writer has come since: the count of writers at a non-blocking open. */
  private writersIgnored = -1;
  private partnersAtOpen = -1;

  constructor(pipe: Pipe, dentry: Dentry, flags: number) {
    super(dentry, null, flags);
    this.pipe = pipe;
    this.directions = (this.readable ? READABLE | POLLHUP : 0) | (this.writable ? WRITABLE | POLLERR : 0);
    pipe.attach(this);
  }

  override get writesWhole(): boolean {
    return true;
  }

  /** Until the other end has come; afterwards the open is done, even if that partner has left again. */
  override openWait(): WaitQueue | null {
    if (this.partnersAtOpen < 0) return null;
    const { pipe } = this;
    const arrived = this.readable ? pipe.writerArrivals : pipe.readerArrivals;
    return arrived === this.partnersAtOpen ? this.queue : null;
  }

  /** Called once, right after opening a FIFO. */
  meetPartner(): void {
    const { pipe } = this;
    if (this.readable && this.writable) return;
    if ((this.readable ? pipe.writers : pipe.readers) > 0) return;
    if ((this.flags & O_NONBLOCK) !== 0) this.writersIgnored = pipe.writerArrivals;
    else this.partnersAtOpen = this.readable ? pipe.writerArrivals : pipe.readerArrivals;
  }

  override read(io: Io): number {
    return this.pipe.read(io);
  }

  override write(io: Io): number {
    return this.pipe.write(io, (this.flags & O_DIRECT) !== 0);
  }

  override poll(): number {
    const { pipe } = this;
    let events = 0;
    if (this.readable) {
      if (!pipe.isEmpty) events |= READABLE;
      if (pipe.writers === 0 && pipe.writerArrivals !== this.writersIgnored) events |= POLLHUP;
    }
    if (this.writable) {
      if (!pipe.isFull) events |= WRITABLE;
      if (pipe.readers === 0) events |= POLLERR;
    }
    return events;
  }

  override ioctl(request: number, argument: number, caller: Caller): number {
    if (request === FIONREAD) return guestOf(caller).memory.storeU32(argument, this.pipe.bytes);
    return super.ioctl(request, argument, caller);
  }

  protected override destroy(): void {
    this.pipe.detach(this);
    if (this.pipe.isUnused) this.inode.attachments?.delete(PIPE);
  }
}

/** Both ends of a new pipe. `flags`: O_NONBLOCK and O_DIRECT. */
export function createPipe(files: AnonymousFiles, caller: Caller, flags: number): readonly [reader: PipeFile, writer: PipeFile] {
  const dentry = files.pipefs.dentry('pipe', S_IFIFO | 0o600, caller);
  const pipe = new Pipe(files.pages);
  attachPipe(dentry.inode!, pipe);
  const reader = new PipeFile(pipe, dentry, O_RDONLY | flags);
  const writer = new PipeFile(pipe, dentry, O_WRONLY | flags);
  return [reader, writer];
}

/** Opens a FIFO, or a pipe by its name below /proc/PID/fd. open(2) then waits for `openWait`. */
export function openFifo(files: AnonymousFiles, inode: Inode, dentry: Dentry, flags: number): PipeFile | number {
  const access = flags & O_ACCMODE;
  if (access === O_ACCMODE) return -EINVAL;
  let pipe = inode.attachments?.get(PIPE) as Pipe | undefined;
  if (access === O_WRONLY && (flags & O_NONBLOCK) !== 0 && (pipe === undefined || pipe.readers === 0)) return -ENXIO;
  if (pipe === undefined) {
    pipe = new Pipe(files.pages);
    attachPipe(inode, pipe);
  }
  const file = new PipeFile(pipe, dentry, flags);
  // Linux: a pipe opened by its name below /proc does not wait, even when its writers have gone.
  if (inode.fileSystem !== files.pipefs) file.meetPartner();
  return file;
}

function attachPipe(inode: Inode, pipe: Pipe): void {
  inode.attachments ??= new Map();
  inode.attachments.set(PIPE, pipe);
}
