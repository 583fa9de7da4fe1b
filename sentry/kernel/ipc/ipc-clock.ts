/** The time of day in seconds, as IPC objects record it. */
import type { Timestamp } from '#platform/contract/host.ts';

/** CLOCK_REALTIME. */
interface RealTime {
  realtime(into: Timestamp): void;
}

export class IpcClock {
  private readonly clock: RealTime;
  private readonly time: Timestamp = { sec: 0, nsec: 0 };

  constructor(clock: RealTime) {
    this.clock = clock;
  }

  /** Seconds since 1970. */
  get now(): number {
    this.clock.realtime(this.time);
    return this.time.sec;
  }
}
