/** How a file over a host descriptor learns of readiness. The kernel implements it. */
import type { HostFd } from '#platform/contract/host.ts';

export interface HostEvents {
  /** Calls `callback` with POLL* bits while `fd` is ready for `events` (level-triggered: stop watching when nobody is interested). 0 or -errno; -EPERM: always ready. */
  watch(fd: HostFd, events: number, callback: (events: number) => void): number;
  unwatch(fd: HostFd): void;
}
