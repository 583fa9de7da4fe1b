/**
 * What the sentry may ask of the host besides running guests: input and output on descriptors it was given, memory, clocks, events.
 *
 * There is no way to open a file by name here; descriptors come from the gofer (`receive`) or are anonymous (`memfd`, pipes).
 * Every call returns a number, negative for `-errno`; none throws for an error of the host. None blocks, except `pread`/`pwrite` on
 * regular files and `receive` where stated.
 */

/** A descriptor of the sentry process. Never shown to a guest. */
export type HostFd = number & { readonly __brand?: 'HostFd' };

/** A piece of memory of the sentry process outside the V8 heap, with its address known. Lives as long as the process. */
export interface HostMemory {
  /** Address in the sentry process, exact in a double. */
  readonly address: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Latin-1 view of `bytes[start, end)`: one character per byte. */
  latin1(start: number, end: number): string;
  /** Writes one byte per character; returns the number of bytes. */
  writeLatin1(text: string, offset: number): number;
}

/** Filled by `fstat`; times in whole seconds plus nanoseconds. */
export interface HostStat {
  dev: number;
  ino: number;
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  rdev: number;
  size: number;
  blksize: number;
  blocks: number;
  atimeSec: number;
  atimeNsec: number;
  mtimeSec: number;
  mtimeNsec: number;
  ctimeSec: number;
  ctimeNsec: number;
}

/** What came with bytes from a socket (`receiveFrom`). */
export interface DatagramFacts {
  /** Who sent them, as the bytes of a sockaddr; '' where the socket is connected and need not say. */
  address: string;
  /** MSG_TRUNC, MSG_OOB … as recvmsg(2) returns them. */
  flags: number;
}

export interface Timestamp {
  sec: number;
  nsec: number;
}

export interface Host {
  /** Page-aligned zeroed memory. Never freed: callers allocate for the life of the process or keep a pool. */
  allocate(bytes: number): HostMemory;
  /** The largest piece of a mapped file: maps `length` bytes of `fd` shared and writable. Never unmapped. */
  mapShared(fd: HostFd, offset: number, length: number): HostMemory | number;
  /**
   * Shows `memory.bytes.length` bytes of `fd` from `offset` on in `memory`, which `allocate` gave, in place of what it held: shared and
   * writable. With -1 as `fd` it holds zeros again. 0 or -errno, after which it holds zeros. Bytes beyond the end of the file must not be touched.
   * Missing where files cannot be mapped over memory.
   */
  show?(memory: HostMemory, fd: HostFd, offset: number): number;

  pread(fd: HostFd, memory: HostMemory, offset: number, length: number, position: number): number;
  pwrite(fd: HostFd, memory: HostMemory, offset: number, length: number, position: number): number;
  /** Writes where the file ends at that moment, whoever else appends to it. The descriptor's position is behind what was written then. */
  append(fd: HostFd, memory: HostMemory, offset: number, length: number): number;
  /** At the descriptor's own position: pipes, terminals, sockets. The caller made sure it will not block (`poll`). */
  read(fd: HostFd, memory: HostMemory, offset: number, length: number): number;
  write(fd: HostFd, memory: HostMemory, offset: number, length: number): number;
  ftruncate(fd: HostFd, length: number): number;
  /** `mode` as in fallocate(2). */
  fallocate(fd: HostFd, mode: number, offset: number, length: number): number;
  /** SEEK_SET 0, SEEK_CUR 1, SEEK_END 2, SEEK_DATA 3, SEEK_HOLE 4. */
  lseek(fd: HostFd, offset: number, whence: number): number;
  fstat(fd: HostFd, into: HostStat): number;
  fsync(fd: HostFd, dataOnly: boolean): number;
  copyFileRange(from: HostFd, fromOffset: number, to: HostFd, toOffset: number, length: number): number;
  close(fd: HostFd): void;
  /** An anonymous file in memory. `name` is for debugging only. */
  memfd(name: string): HostFd;
  /** A non-blocking counter as eventfd(2) makes it: readable while it is not zero. */
  eventCounter(): HostFd;
  /** poll(2) of one descriptor without waiting: the ready events (POLLIN 1, POLLOUT 4, POLLERR 8, POLLHUP 16), or -errno. */
  poll(fd: HostFd, events: number): number;
  /** ioctl whose argument is `length` bytes in memory (terminal attributes and window size). */
  ioctl(fd: HostFd, request: number, memory: HostMemory, offset: number): number;

  /** Sends one message (SOCK_SEQPACKET or SOCK_STREAM) with optional descriptors; those only before the sentry is confined. */
  send(fd: HostFd, memory: HostMemory, offset: number, length: number, descriptors?: readonly HostFd[]): number;
  /** Receives one message, blocking up to `timeoutMs`; descriptors (at most 32) go to `descriptors`, their count to the word after them is `receivedDescriptors`. 0 at end of file. */
  receive(fd: HostFd, memory: HostMemory, offset: number, length: number, descriptors: Int32Array | null, timeoutMs: number): number;
  /** Number of descriptors the last `receive` brought. */
  readonly receivedDescriptors: number;

  /** The next client of a listening Unix socket: its descriptor, or -EAGAIN. Missing where there is no such socket. */
  accept?(fd: HostFd): HostFd | number;

  /**
   * recvmsg(2) of a donated internet socket, without waiting: at most `length` bytes. `flags`: MSG_PEEK, MSG_TRUNC, MSG_OOB. Bytes (with MSG_TRUNC
   * perhaps more than there was room for) or -errno. Missing where no socket can be donated.
   */
  receiveFrom?(fd: HostFd, memory: HostMemory, offset: number, length: number, flags: number, into: DatagramFacts): number;

  /** shutdown(2) of a donated socket: SHUT_RD 0, SHUT_WR 1, SHUT_RDWR 2. */
  shutdown(fd: HostFd, how: number): number;
  /** SO_ERROR of a donated socket: its pending error, positive, forgotten by asking; 0: none. -errno where it cannot be asked. */
  socketError(fd: HostFd): number;
  /** Lets `close` of a donated TCP socket send a reset instead of taking leave (SO_LINGER of 0). */
  resetOnClose(fd: HostFd): number;

  /** CLOCK_MONOTONIC in nanoseconds. */
  monotonicNs(): number;
  /** CLOCK_REALTIME. */
  realtime(into: Timestamp): void;
  /**
   * Any other clock of the host's that a guest can read in the vDSO (CLOCK_MONOTONIC_RAW, the COARSE ones, CLOCK_BOOTTIME, CLOCK_TAI):
   * it must not see time go back when it asks us. Missing where there is no vDSO.
   */
  clock?(clock: number, into: Timestamp): void;
  /** Fills memory with random bytes from the host's generator. */
  random(memory: HostMemory, offset: number, length: number): void;

  /** Watches `fd` for `events` (EPOLL* bits, level-triggered unless EPOLLET is given); a report carries `token`. -EPERM: always ready (a regular file). */
  watch(fd: HostFd, events: number, token: number): number;
  unwatch(fd: HostFd): number;
  /** Fetches pending reports without waiting, as pairs [token, events]. Returns the number of pairs. Signals and the alarm are reported as tokens below. */
  takeEvents(into: Int32Array): number;
  /** At CLOCK_MONOTONIC `deadlineNs` (Infinity: never) `Platform.wait` returns null. */
  setAlarm(deadlineNs: number): void;

  /** Next signal that the host sent to the sandbox as a whole (SIGINT from the terminal, SIGTERM, SIGWINCH, …), or 0. */
  takeSignal(): number;
  /** Number of CPUs guests may use. */
  readonly cpuCount: number;
  /** The CPU the sentry runs on, which a guest that makes calls usually shares. Missing where the host does not tell. */
  currentCpu?(): number;
  /** One line to the debug log. */
  log(line: string): void;
}

/** Tokens below this one are the host's own (signal pipe, alarm); `watch` takes tokens from here on. */
export const FIRST_USER_TOKEN = 16;
