/**
 * The wait queue of a file whose readiness the host knows. It watches the host descriptor only while somebody waits here for something
 * that was last seen not to be ready, so an idle sandbox with a readable stdin does not spin:
 *
 *     waiter comes            → watched for what it waits on
 *     the host reports        → waiters notified, that direction no longer watched
 *     a read finds nothing    → `sawIdle`: watched again, if anybody still waits (an epoll instance stays in the queue)
 *     the last waiter leaves  → not watched
 */
import { POLLIN, POLLOUT, READABLE, WRITABLE } from '#sentry/abi/fs.ts';
import type { HostFd } from '#platform/contract/host.ts';
import { WaitQueue } from '../../lib/wait-queue.ts';
import type { WaitEntry } from '../../lib/wait-queue.ts';
import { directionsOf, notified } from './host-events.ts';
import type { HostEvents } from './host-events.ts';

const DIRECTIONS = POLLIN | POLLOUT;

export class HostQueue extends WaitQueue {
  private readonly events: HostEvents;
  private readonly fd: HostFd;
  /** Directions (POLLIN, POLLOUT) last seen not ready. */
  private idle = DIRECTIONS;
  private watched = 0;
  private isWatched = false;
  private closed = false;
  private readonly onEvents = (events: number): void => this.report(events);

  constructor(events: HostEvents, fd: HostFd) {
    super();
    this.events = events;
    this.fd = fd;
  }

  override add(entry: WaitEntry, mask: number): void {
    super.add(entry, mask);
    // It may have been ready all the time: the watch tells at once.
    this.idle = DIRECTIONS;
    this.update();
  }

  override remove(entry: WaitEntry): void {
    if (entry.queue !== this) return;
    super.remove(entry);
    this.update();
  }

  /** A read (POLLIN) or write (POLLOUT) had to give up, or poll saw nothing. To be said each time: waiters may have come to want more. */
  sawIdle(direction: number): void {
    this.idle |= direction;
    this.update();
  }

  /** The file is gone. */
  close(): void {
    this.closed = true;
    this.update();
  }

  private update(): void {
    const awaited = this.closed ? 0 : this.awaited;
    const wanted = directionsOf(awaited) & this.idle;
    // Who waits for nothing of these waits for hang-up or errors.
    const isForHangup = awaited !== 0 && (awaited & (READABLE | WRITABLE)) === 0;
    const needed = wanted !== 0 || (isForHangup && this.idle !== 0);
    if (needed === this.isWatched && wanted === this.watched) return;
    if (!needed) {
      if (this.isWatched) this.events.unwatch(this.fd);
      this.isWatched = false;
      this.watched = 0;
      return;
    }
    this.isWatched = this.events.watch(this.fd, wanted, this.onEvents) >= 0;
    this.watched = wanted;
  }

  private report(events: number): void {
    // A hang-up is reported whatever one asks for: nothing is watched until somebody looks again.
    this.idle = (events & ~DIRECTIONS) === 0 ? this.idle & ~events : 0;
    this.update();
    this.notify(notified(events));
  }
}
