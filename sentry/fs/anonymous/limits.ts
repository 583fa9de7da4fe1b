/**
 * Bounds on what guests make the sentry hold for pipes, sockets and event files.
 */

/** Pages of queued pipe and socket data in the whole sandbox: 128 MiB. */
export const POOL_PAGES_MAX = 32_768;
/** Slots of a pipe by default (64 KiB) and at most by F_SETPIPE_SZ (1 MiB, fs.pipe-max-size). */
export const PIPE_SLOTS_DEFAULT = 16;
export const PIPE_SLOTS_MAX = 256;
/** Watches of all epoll instances together (fs.epoll.max_user_watches). */
export const EPOLL_WATCHES_MAX = 400_000;
/** net.core.{w,r}mem_default and _max. */
export const SOCKET_BUFFER_DEFAULT = 212_992;
export const SOCKET_BUFFER_MAX = 212_992;
export const SOCKET_BUFFER_MIN = 2304;
/** Instructions of all sockets' filters together, 18 bytes each: who attaches more gets ENOMEM. */
export const FILTER_INSTRUCTIONS_MAX = 1 << 20;
/** Memory of one packet ring, and of all (PACKET_RX_RING). */
export const PACKET_RING_BYTES_MAX = 64 * 1024 * 1024;
export const PACKET_RINGS_BYTES_MAX = 128 * 1024 * 1024;
/** net.unix.max_dgram_qlen. */
export const DATAGRAM_QUEUE_MAX = 10;
/** Files in flight in SCM_RIGHTS messages, in the whole sandbox: a sender beyond it gets ETOOMANYREFS. */
export const FILES_IN_FLIGHT_MAX = 16_384;
/** fs.inotify.* */
export const INOTIFY_EVENTS_MAX = 16_384;
export const INOTIFY_WATCHES_MAX = 65_536;
