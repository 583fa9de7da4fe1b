/**
 * Resource limits (getrlimit(2)) of a process: a soft and a hard value each, shared by its threads, copied by fork. Values are bytes,
 * counts or seconds; RLIM_INFINITY is `Infinity` here and ~0 in guest memory.
 */
import {
  RLIM_INFINITY,
  RLIM_NLIMITS,
  RLIMIT_CORE,
  RLIMIT_MEMLOCK,
  RLIMIT_MSGQUEUE,
  RLIMIT_NICE,
  RLIMIT_NOFILE,
  RLIMIT_NPROC,
  RLIMIT_RTPRIO,
  RLIMIT_SIGPENDING,
  RLIMIT_STACK,
} from '#sentry/abi/resource.ts';

const DEFAULTS: readonly (readonly [resource: number, soft: number, hard: number])[] = [
  [RLIMIT_STACK, 8 << 20, RLIM_INFINITY],
  [RLIMIT_CORE, 0, RLIM_INFINITY],
  [RLIMIT_NPROC, 4096, 4096],
  [RLIMIT_NOFILE, 1024, 1 << 20],
  [RLIMIT_MEMLOCK, 8 << 20, 8 << 20],
  [RLIMIT_SIGPENDING, 4096, 4096],
  [RLIMIT_MSGQUEUE, 819_200, 819_200],
  [RLIMIT_NICE, 0, 0],
  [RLIMIT_RTPRIO, 0, 0],
];

/** No limits. An array of values never changes: processes share it. */
const UNLIMITED = new Float64Array(RLIM_NLIMITS).fill(RLIM_INFINITY);

export class ResourceLimits {
  private softValues = UNLIMITED;
  private hardValues = UNLIMITED;

  /** What init starts with. */
  static initial(): ResourceLimits {
    const limits = new ResourceLimits();
    for (const [resource, soft, hard] of DEFAULTS) limits.set(resource, soft, hard);
    return limits;
  }

  soft(resource: number): number {
    return this.softValues[resource]!;
  }

  hard(resource: number): number {
    return this.hardValues[resource]!;
  }

  set(resource: number, soft: number, hard: number): void {
    this.softValues = this.softValues.with(resource, soft);
    this.hardValues = this.hardValues.with(resource, hard);
  }

  fork(): ResourceLimits {
    const copy = new ResourceLimits();
    copy.softValues = this.softValues;
    copy.hardValues = this.hardValues;
    return copy;
  }
}
