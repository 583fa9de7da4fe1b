/** How a file over a host descriptor learns of readiness. The kernel implements it. */
import { POLLIN, POLLOUT, POLLPRI, READABLE, WRITABLE } from '#sentry/abi/fs.ts';
import type { HostFd } from '#platform/contract/host.ts';

export interface HostEvents {
  /** Calls `callback` with POLL* bits while `fd` is ready for `events` (level-triggered: stop watching when nobody is interested). 0 or -errno; -EPERM: always ready. */
  watch(fd: HostFd, events: number, callback: (events: number) => void): number;
  unwatch(fd: HostFd): void;
}

/** The directions of `awaited` as the host is asked for them: POLLIN, POLLOUT. */
export function directionsOf(awaited: number): number {
  return ((awaited & READABLE) === 0 ? 0 : POLLIN) | ((awaited & WRITABLE) === 0 ? 0 : POLLOUT);
}

/** What the host's `events` are to those who wait. Who waits to read sees the end of file; who waits to write, the error. */
export function notified(events: number): number {
  if ((events & ~(POLLIN | POLLOUT | POLLPRI)) !== 0) return events | READABLE | WRITABLE;
  return events | ((events & POLLIN) === 0 ? 0 : READABLE) | ((events & POLLOUT) === 0 ? 0 : WRITABLE);
}
