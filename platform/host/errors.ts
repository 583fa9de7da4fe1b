/**
 * What can go wrong at start-up, before the convention of negative numbers applies: errors that end the sandbox with one sentence for the user.
 *
 * `HostError` carries the operation and the errno; `PlatformUnavailable` says that this host cannot run this platform, and why.
 */

const NAMES: Readonly<Record<number, string>> = {
  1: 'EPERM',
  2: 'ENOENT',
  3: 'ESRCH',
  4: 'EINTR',
  5: 'EIO',
  9: 'EBADF',
  10: 'ECHILD',
  11: 'EAGAIN',
  12: 'ENOMEM',
  13: 'EACCES',
  14: 'EFAULT',
  16: 'EBUSY',
  17: 'EEXIST',
  19: 'ENODEV',
  20: 'ENOTDIR',
  22: 'EINVAL',
  23: 'ENFILE',
  24: 'EMFILE',
  28: 'ENOSPC',
  38: 'ENOSYS',
  95: 'EOPNOTSUPP',
};

export function errnoName(errno: number): string {
  return NAMES[errno] ?? `errno ${errno}`;
}

/** A host call failed where the sandbox cannot go on without it. */
export class HostError extends Error {
  readonly operation: string;
  readonly errno: number;

  constructor(operation: string, errno: number) {
    super(`${operation}: ${errnoName(errno)}`);
    this.name = 'HostError';
    this.operation = operation;
    this.errno = errno;
  }
}

/** The host forbids what the platform needs. The message is one sentence that names the remedy. */
export class PlatformUnavailable extends Error {
  readonly errno: number;

  constructor(message: string, errno: number) {
    super(message);
    this.name = 'PlatformUnavailable';
    this.errno = errno;
  }
}

/** A host process that the platform cannot do without was killed by somebody else. */
export class PlatformLost extends Error {
  constructor(what: string) {
    super(`${what} was killed from outside; the sandbox was stopped.`);
    this.name = 'PlatformLost';
  }
}

/** Throws for a negative result, in the form `const fd = must('epoll_create1', …)`. */
export function must(operation: string, result: number): number {
  if (result < 0) throw new HostError(operation, -result);
  return result;
}
