/**
 * An inherited pipe, socket, terminal or character device. Reads and writes go to the host descriptor directly, after a look whether they
 * would block: the descriptor is usually a blocking one, and shared with processes outside whose flags must not change.
 *
 * A write goes in pieces of at most PIPE_BUF, for which "writable" is a promise that it does not block (pipe(7)).
 */
import { EAGAIN, EFAULT } from '#sentry/abi/errno.ts';
import { FIONREAD } from '#sentry/abi/fcntl.ts';
import { POLLERR, POLLHUP, POLLIN, POLLOUT, READABLE, WRITABLE } from '#sentry/abi/fs.ts';
import type { Host, HostMemory } from '#platform/contract/host.ts';
import { WaitEntry } from '../../lib/wait-queue.ts';
import type { Io } from '../../mm/io.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import { FileDescription } from '../../vfs/file-description.ts';
import type { Caller } from '../../vfs/inode.ts';
import { guestOf } from '../anonymous/guest-caller.ts';
import type { HostEvents } from './host-events.ts';
import type { HostHandle } from './host-inode.ts';
import { HostQueue } from './host-queue.ts';

const PIPE_BUF = 4096;
/** How long closing waits for the host to take what was written, at most. */
const LINGER_NS = 2e9;
const NOTHING = new Uint8Array(0);

/** What all inherited files of a sandbox share. */
export interface HostContext {
  readonly host: Host;
  readonly events: HostEvents;
  /** Valid within one read or write. */
  readonly staging: HostMemory;
}

export class HostStream extends FileDescription {
  override readonly queue: HostQueue;
  protected readonly context: HostContext;
  protected readonly handle: HostHandle;
  /** Bytes read that the guest's buffer turned out not to take. */
  private leftOver: Uint8Array = NOTHING;
  /** Bytes the guest has written and the host not taken yet; at most one piece. */
  private unwritten: Uint8Array = NOTHING;
  private readonly flusher = new WaitEntry({ wake: () => void this.flushUnwritten() });

  constructor(context: HostContext, handle: HostHandle, dentry: Dentry, flags: number) {
    super(dentry, null, flags);
    this.context = context;
    this.handle = handle.acquire();
    this.queue = new HostQueue(context.events, handle.fd);
  }

  override get writesWhole(): boolean {
    return true;
  }

  override read(io: Io, _position: number, _caller: Caller): number {
    if (io.remaining === 0) return 0;
    const { host, staging } = this.context;
    let got = this.takeLeftOver(staging, io.remaining);
    if (got === 0) {
      if (!this.isReady(POLLIN)) return -EAGAIN;
      got = host.read(this.handle.fd, staging, 0, Math.min(io.remaining, staging.bytes.length));
      if (got <= 0) {
        if (got === -EAGAIN) this.queue.sawIdle(POLLIN);
        return got;
      }
    }
    const moved = io.put(staging, 0, got);
    if (moved < got) this.leftOver = staging.bytes.slice(Math.max(moved, 0), got);
    return moved;
  }

  override write(io: Io, _position: number, _caller: Caller): number {
    const { host, staging } = this.context;
    let total = 0;
    while (io.remaining > 0 && this.flushUnwritten() && this.isReady(POLLOUT)) {
      const taken = io.take(staging, 0, Math.min(io.remaining, PIPE_BUF));
      if (taken < 0) return total > 0 ? total : -EFAULT;
      const written = host.write(this.handle.fd, staging, 0, taken);
      if (written < 0 && written !== -EAGAIN) return total > 0 ? total : written;
      total += taken;
      if (written < taken) this.keepUnwritten(staging.bytes.slice(Math.max(written, 0), taken));
    }
    return total > 0 || io.remaining === 0 ? total : -EAGAIN;
  }

  /** A descriptor that does not block took less than it promised; what was taken from the guest must not be lost. */
  private keepUnwritten(bytes: Uint8Array): void {
    this.unwritten = bytes;
    this.queue.sawIdle(POLLOUT);
    if (this.flusher.queue === null) this.queue.add(this.flusher, WRITABLE);
  }

  /** Whether nothing is left over from an earlier write. */
  private flushUnwritten(): boolean {
    const { host, staging } = this.context;
    if (this.unwritten.length > 0) {
      staging.bytes.set(this.unwritten);
      const written = host.write(this.handle.fd, staging, 0, this.unwritten.length);
      if (written === -EAGAIN) {
        this.queue.sawIdle(POLLOUT);
        return false;
      }
      // After an error there is nobody to write to.
      this.unwritten = written < 0 ? NOTHING : this.unwritten.subarray(written);
      if (this.unwritten.length > 0) return false;
    }
    this.queue.remove(this.flusher);
    return true;
  }

  private takeLeftOver(staging: HostMemory, room: number): number {
    const n = Math.min(this.leftOver.length, room, staging.bytes.length);
    if (n === 0) return 0;
    staging.bytes.set(this.leftOver.subarray(0, n));
    this.leftOver = this.leftOver.subarray(n);
    return n;
  }

  /** Whether the host would not block in `direction`. Errors and hang-ups count: the call itself reports them. */
  protected isReady(direction: number): boolean {
    const events = this.context.host.poll(this.handle.fd, direction);
    if (events < 0 || (events & (direction | POLLERR | POLLHUP)) !== 0) return true;
    this.queue.sawIdle(direction);
    return false;
  }

  override poll(): number {
    const asked = (this.readable ? POLLIN : 0) | (this.writable ? POLLOUT : 0);
    const events = this.context.host.poll(this.handle.fd, asked);
    if (events < 0) return READABLE | WRITABLE;
    let ready = events & (POLLERR | POLLHUP);
    if ((events & POLLIN) !== 0 || this.leftOver.length > 0) ready |= READABLE;
    else if (this.readable) this.queue.sawIdle(POLLIN);
    if ((events & POLLOUT) !== 0 && this.flushUnwritten()) ready |= WRITABLE;
    else if (this.writable) this.queue.sawIdle(POLLOUT);
    return ready;
  }

  override ioctl(request: number, argument: number, caller: Caller): number {
    if (request !== FIONREAD) return super.ioctl(request, argument, caller);
    const { host, staging } = this.context;
    const result = host.ioctl(this.handle.fd, FIONREAD, staging, 0);
    if (result < 0) return result;
    return guestOf(caller).memory.storeU32(argument, staging.view.getInt32(0, true) + this.leftOver.length);
  }

  protected override destroy(): void {
    const { host } = this.context;
    const giveUp = host.monotonicNs() + LINGER_NS;
    while (!this.flushUnwritten() && host.monotonicNs() < giveUp);
    this.queue.close();
    this.handle.release();
  }
}
