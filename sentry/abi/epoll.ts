/**
 * epoll(7): operations, flags and the event struct, which is packed on x86-64 only.
 */
import { O_CLOEXEC } from './fs.ts';
import { struct, u32, words } from './layout.ts';

export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLL_CTL_MOD = 3;
export const EPOLL_CLOEXEC = O_CLOEXEC;

/** Beside the POLL* bits. As unsigned numbers: `EPOLLET` is bit 31. */
export const EPOLLEXCLUSIVE = 0x1000_0000;
export const EPOLLWAKEUP = 0x2000_0000;
export const EPOLLONESHOT = 0x4000_0000;
export const EPOLLET = 0x8000_0000;

export const EpollEvent = struct('epoll_event', { events: u32, data: words }, 'packed');

/** How deep epoll instances may watch one another (Linux EP_MAX_NESTS). */
export const EPOLL_NESTING_MAX = 4;
/** Largest maxevents: INT_MAX bytes of events. */
export const EPOLL_EVENTS_MAX = Math.floor(0x7fff_ffff / EpollEvent.size);
