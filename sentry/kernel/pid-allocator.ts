/**
 * Process and thread ids: the next free one, wrapping around at pid_max, as Linux hands them out.
 *
 * Process groups and sessions are called by the id of the process that made them, so an id is free again only when none of the four bears
 * it: `PidNamespace.freeId`.
 */
export const PID_MAX = 32768;
/** After the first wrap ids below this one stay with what was started at boot (Linux RESERVED_PIDS). */
const RESERVED = 300;

export class PidAllocator {
  private readonly used = new Set<number>();
  private last = 0;

  /** A free id, or -1 when all are taken. */
  allocate(): number {
    if (this.used.size >= PID_MAX - 1) return -1;
    do {
      this.last++;
      if (this.last >= PID_MAX) this.last = RESERVED;
    } while (this.used.has(this.last) && this.used.size < PID_MAX - RESERVED);
    if (this.used.has(this.last)) return -1;
    this.used.add(this.last);
    return this.last;
  }

  free(pid: number): void {
    this.used.delete(pid);
  }

  /** The id given out last, for /proc/loadavg. */
  get newest(): number {
    return this.last;
  }
}
