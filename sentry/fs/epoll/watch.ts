/**
 * One entry of an epoll instance's interest list (Linux epitem): which file under which descriptor number, the events wanted, the user's
 * cookie, and its place in the ready list. It sits in the file's wait queue for as long as it exists; a wake-up puts it on the ready list.
 */
import { EPOLLEXCLUSIVE } from '#sentry/abi/epoll.ts';
import { POLLERR, POLLHUP } from '#sentry/abi/fs.ts';
import { WaitEntry } from '../../lib/wait-queue.ts';
import type { Waiter } from '../../lib/wait-queue.ts';
import { CLOSED } from '../../vfs/file-description.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import type { Epoll } from './epoll.ts';

/** The low bits are POLL* bits, the highest four say how to trigger. */
const EVENT_BITS = 0x0fff_ffff;

export class Watch implements Waiter {
  readonly epoll: Epoll;
  readonly fd: number;
  /** Not referenced: when its last reference goes, the watch goes. */
  readonly file: FileDescription;
  /** As the guest gave them, with EPOLLET, EPOLLONESHOT … */
  events = 0;
  /** POLL* bits reported; 0 while disarmed by EPOLLONESHOT. */
  mask = 0;
  dataLow = 0;
  dataHigh = 0;
  /** Another watch with the same descriptor number but another file (the number was reused while a duplicate keeps the old file open). */
  sameFd: Watch | null = null;

  // The ready list, owned by the epoll instance.
  isReady = false;
  next: Watch | null = null;
  previous: Watch | null = null;

  private readonly entry: WaitEntry;

  constructor(epoll: Epoll, fd: number, file: FileDescription) {
    this.epoll = epoll;
    this.fd = fd;
    this.file = file;
    this.entry = new WaitEntry(this);
    file.queue.add(this.entry, CLOSED);
  }

  arm(events: number, dataLow: number, dataHigh: number): void {
    this.events = events;
    this.dataLow = dataLow;
    this.dataHigh = dataHigh;
    this.rearm();
  }

  rearm(): void {
    this.mask = (this.events & EVENT_BITS) | POLLERR | POLLHUP;
    this.entry.mask = this.mask | CLOSED;
    this.entry.exclusive = (this.events & EPOLLEXCLUSIVE) !== 0;
  }

  /** EPOLLONESHOT has fired: silent until the next EPOLL_CTL_MOD. */
  disarm(): void {
    this.mask = 0;
    this.entry.mask = CLOSED;
  }

  detach(): void {
    this.file.queue.remove(this.entry);
  }

  /** What the guest is to be told now. */
  poll(): number {
    return this.mask === 0 ? 0 : this.file.poll() & this.mask;
  }

  wake(_entry: WaitEntry, events: number): boolean {
    if ((events & CLOSED) !== 0) {
      // Told to all: nobody takes it.
      this.epoll.remove(this);
      return false;
    }
    const isAwaited = !this.epoll.queue.isEmpty;
    this.epoll.markReady(this);
    return isAwaited;
  }
}
