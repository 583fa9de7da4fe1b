/**
 * Layouts and sets of poll(2) and select(2). The event bits themselves are in fs.ts: poll, epoll and wait queues share them.
 */
import { POLLERR, POLLHUP, POLLIN, POLLOUT, POLLPRI, POLLRDBAND, POLLRDNORM, POLLWRBAND, POLLWRNORM } from './fs.ts';
import { i16, i32, struct } from './layout.ts';

export const PollFd = struct('pollfd', { fd: i32, events: i16, revents: i16 });

/** What select(2) takes as readable, writable and exceptional (Linux fs/select.c). */
export const SELECT_IN = POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR;
export const SELECT_OUT = POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR;
export const SELECT_EXCEPTION = POLLPRI;

export const POLL_NAMES = {
  POLLIN: 0x1,
  POLLPRI: 0x2,
  POLLOUT: 0x4,
  POLLERR: 0x8,
  POLLHUP: 0x10,
  POLLNVAL: 0x20,
  POLLRDNORM: 0x40,
  POLLRDBAND: 0x80,
  POLLWRNORM: 0x100,
  POLLWRBAND: 0x200,
  POLLRDHUP: 0x2000,
} as const;
