/**
 * The wait queue of a socket of the host. While somebody waits, the host's descriptor is watched edge-triggered: each piece of news is told once, as epoll(7)
 * has it, whether or not everything before was read. So nothing has to be armed again after a read, and nothing spins.
 *
 *     waiter comes, or an epoll instance asks (`update`)     → watched for what it waits for, in addition
 *     the host reports                                       → waiters notified; nobody there: no longer watched
 *
 * Whoever waits has looked before: news from before that is none, and later news is reported after it.
 */
import { POLLPRI, POLLRDHUP } from '#sentry/abi/fs.ts';
import { EPOLLET } from '#sentry/abi/epoll.ts';
import type { HostFd } from '#platform/contract/host.ts';
import { WaitQueue } from '../../lib/wait-queue.ts';
import type { WaitEntry } from '../../lib/wait-queue.ts';
import { directionsOf, notified } from '../host-file/host-events.ts';
import type { HostEvents } from '../host-file/host-events.ts';

const NOT_WATCHED = -1;

export class SocketQueue extends WaitQueue {
  private readonly events: HostEvents;
  private readonly fd: HostFd;
  /** Directions the host reports, or NOT_WATCHED. */
  private watched = NOT_WATCHED;
  private readonly onEvents = (events: number): void => this.report(events);

  constructor(events: HostEvents, fd: HostFd) {
    super();
    this.events = events;
    this.fd = fd;
  }

  override add(entry: WaitEntry, mask: number): void {
    super.add(entry, mask);
    this.update();
  }

  /** Sees to it that the host reports what is waited for. */
  update(): void {
    if (this.isEmpty) return;
    const { awaited } = this;
    const wanted = (awaited & (POLLPRI | POLLRDHUP)) | directionsOf(awaited);
    if (this.watched === NOT_WATCHED) this.watch(wanted);
    else if ((wanted & ~this.watched) !== 0) this.watch(wanted | this.watched);
  }

  private watch(directions: number): void {
    this.watched = this.events.watch(this.fd, (directions | EPOLLET) >>> 0, this.onEvents) < 0 ? NOT_WATCHED : directions;
  }

  /** To be called before the descriptor is closed. */
  close(): void {
    if (this.watched !== NOT_WATCHED) this.events.unwatch(this.fd);
    this.watched = NOT_WATCHED;
  }

  private report(events: number): void {
    if (this.isEmpty) this.close();
    else this.notify(notified(events));
  }
}
