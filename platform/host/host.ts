/**
 * `LinuxHost`: the host contract on a Linux host, through libc.
 *
 *     const host = createHost({ debugLog: (line) => … });
 *     const platform = createPtracePlatform(host);
 *
 * `createHost` reads what it needs from /proc and keeps descriptors of what it will look at again; afterwards the process may lose its
 * root directory and its right to open files.
 *
 * Ranges given as (memory, offset, length) are checked here once, so that no caller can make the host write outside of a mapping.
 * Main thread only (errno and the ptrace platform both belong to it).
 */
import type { DatagramFacts, Host, HostFd, HostMemory, HostStat, Timestamp } from '../contract/host.ts';
import * as libc from './libc.ts';
import { CpuLoad } from './cpu-load.ts';
import { HostEvents } from './events.ts';
import { setsockopt } from './files.ts';
import { addressOf, allocateMemory, mapSharedMemory, showFile } from './memory.ts';
import { received, receiveFrom, receiveMessage, sendMessage } from './messages.ts';
import { readHostFacts } from './proc.ts';
import type { HostFacts } from './proc.ts';
import { allowedCpus, currentCpu } from './process.ts';
import * as sockets from './sockets.ts';
import { putI64 } from '#sentry/abi/layout.ts';
import { SOCK_CLOEXEC, SOCK_NONBLOCK } from '#sentry/abi/socket.ts';

export interface HostOptions {
  /** Receives lines of the debug log; without it they are dropped. */
  readonly debugLog?: ((line: string) => void) | undefined;
}

const CLOCK_REALTIME = 0;
const MFD_CLOEXEC = 1;
const EFD_FLAGS = 0x80800; // EFD_CLOEXEC | EFD_NONBLOCK
const EFAULT = 14;
const MSG_NOSIGNAL = 0x4000;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SO_LINGER = 13;

// Offsets in the host's page of memory.
const STAT = 0;
const POLLFD = 288;
const OFFSETS = 304;
const OPTION = 320;
const IOVEC = 336;

const RWF_APPEND = 0x10;

function outside(memory: HostMemory, offset: number, length: number): boolean {
  return !(offset >= 0 && length >= 0 && offset + length <= memory.bytes.length);
}

export class LinuxHost implements Host {
  readonly events = new HostEvents();
  readonly facts: HostFacts;
  readonly cpuLoad: CpuLoad;
  readonly cpuCount: number;
  readonly #page = allocateMemory(4096);
  readonly #view = this.#page.view;
  /** A timespec at an address of its own: the clock is read on every write. */
  readonly #clock = allocateMemory(16);
  readonly #debugLog: ((line: string) => void) | undefined;

  constructor(options: HostOptions) {
    this.#debugLog = options.debugLog;
    const { cpus } = allowedCpus();
    this.cpuCount = cpus.length;
    this.cpuLoad = new CpuLoad(cpus);
    this.facts = readHostFacts();
  }

  allocate(bytes: number): HostMemory {
    return allocateMemory(bytes);
  }

  mapShared(fd: HostFd, offset: number, length: number): HostMemory | number {
    return mapSharedMemory(fd, offset, length);
  }

  show(memory: HostMemory, fd: HostFd, offset: number): number {
    return showFile(memory, fd, offset);
  }

  pread(fd: HostFd, memory: HostMemory, offset: number, length: number, position: number): number {
    if (outside(memory, offset, length)) return -EFAULT;
    // SAFETY: the range lies within a permanent mapping.
    return libc.checked(libc.pread(fd, addressOf(memory, offset), length, position));
  }

  pwrite(fd: HostFd, memory: HostMemory, offset: number, length: number, position: number): number {
    if (outside(memory, offset, length)) return -EFAULT;
    // SAFETY: the range lies within a permanent mapping.
    return libc.checked(libc.pwrite(fd, addressOf(memory, offset), length, position));
  }

  append(fd: HostFd, memory: HostMemory, offset: number, length: number): number {
    if (outside(memory, offset, length)) return -EFAULT;
    const view = this.#view;
    putI64(view, IOVEC, addressOf(memory, offset));
    putI64(view, IOVEC + 8, length);
    // SAFETY: the range and the page lie within permanent mappings.
    return libc.checked(libc.pwritev2(fd, this.#page.address + IOVEC, 1, -1, RWF_APPEND));
  }

  read(fd: HostFd, memory: HostMemory, offset: number, length: number): number {
    if (outside(memory, offset, length)) return -EFAULT;
    // SAFETY: the range lies within a permanent mapping.
    return libc.checked(libc.read(fd, addressOf(memory, offset), length));
  }

  write(fd: HostFd, memory: HostMemory, offset: number, length: number): number {
    if (outside(memory, offset, length)) return -EFAULT;
    // SAFETY: the range lies within a permanent mapping.
    return libc.checked(libc.write(fd, addressOf(memory, offset), length));
  }

  ftruncate(fd: HostFd, length: number): number {
    // SAFETY: touches no memory of ours. A file that is mapped by mapShared is never shortened by its owner.
    return libc.checked(libc.ftruncate(fd, length));
  }

  fallocate(fd: HostFd, mode: number, offset: number, length: number): number {
    // SAFETY: touches no memory.
    return libc.checked(libc.fallocate(fd, mode, offset, length));
  }

  lseek(fd: HostFd, offset: number, whence: number): number {
    // SAFETY: touches no memory.
    return libc.checked(libc.lseek(fd, offset, whence));
  }

  fstat(fd: HostFd, into: HostStat): number {
    // SAFETY: struct stat (144 bytes) fits our page.
    const result = libc.checked(libc.fstat(fd, this.#page.address + STAT));
    if (result === 0) decodeStat(this.#view, into);
    return result;
  }

  fsync(fd: HostFd, dataOnly: boolean): number {
    // SAFETY: touches no memory.
    return libc.checked(dataOnly ? libc.fdatasync(fd) : libc.fsync(fd));
  }

  copyFileRange(from: HostFd, fromOffset: number, to: HostFd, toOffset: number, length: number): number {
    setU64(this.#view, OFFSETS, fromOffset);
    setU64(this.#view, OFFSETS + 8, toOffset);
    const address = this.#page.address + OFFSETS;
    // SAFETY: both offsets are words of our own page.
    return libc.checked(libc.copyFileRange(from, address, to, address + 8, length, 0));
  }

  close(fd: HostFd): void {
    // SAFETY: the caller owns the descriptor. The host frees the number even when it reports an error.
    libc.close(fd);
  }

  memfd(name: string): HostFd {
    // SAFETY: koffi copies the name for the duration of the call.
    return libc.checked(libc.memfdCreate(name, MFD_CLOEXEC));
  }

  eventCounter(): HostFd {
    // SAFETY: touches no memory.
    return libc.checked(libc.eventfd(0, EFD_FLAGS));
  }

  poll(fd: HostFd, events: number): number {
    const view = this.#view;
    view.setInt32(POLLFD, fd, true);
    view.setInt32(POLLFD + 4, events & 0xffff, true);
    // SAFETY: one pollfd in our own page.
    const ready = libc.checked(libc.poll(this.#page.address + POLLFD, 1, 0));
    return ready <= 0 ? ready : view.getUint16(POLLFD + 6, true);
  }

  ioctl(fd: HostFd, request: number, memory: HostMemory, offset: number): number {
    // The size of the argument is not known here; terminal requests use at most 64 bytes.
    if (outside(memory, offset, 64)) return -EFAULT;
    // SAFETY: 64 bytes of a permanent mapping follow the address.
    return libc.checked(libc.ioctl(fd, request, memory.address + offset));
  }

  send(fd: HostFd, memory: HostMemory, offset: number, length: number, descriptors?: readonly HostFd[]): number {
    if (descriptors !== undefined) return sendMessage(fd, memory, offset, length, descriptors);
    if (outside(memory, offset, length)) return -EFAULT;
    // Not by sendmsg, whose destination address no filter could look at.
    // SAFETY: the range lies within a permanent mapping.
    return sockets.send(fd, addressOf(memory, offset), length, MSG_NOSIGNAL);
  }

  receiveFrom(fd: HostFd, memory: HostMemory, offset: number, length: number, flags: number, into: DatagramFacts): number {
    return receiveFrom(fd, memory, offset, length, flags, into);
  }

  accept(fd: HostFd): HostFd | number {
    return sockets.accept(fd, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK);
  }

  shutdown(fd: HostFd, how: number): number {
    return sockets.shutdown(fd, how);
  }

  socketError(fd: HostFd): number {
    const address = this.#page.address + OPTION;
    this.#view.setUint32(OPTION + 8, 4, true);
    // SAFETY: the value and its length are words of our own page.
    const result = sockets.getsockopt(fd, SOL_SOCKET, SO_ERROR, address, address + 8);
    return result < 0 ? result : this.#view.getInt32(OPTION, true);
  }

  resetOnClose(fd: HostFd): number {
    // struct linger: on, after no time.
    this.#view.setInt32(OPTION, 1, true);
    this.#view.setInt32(OPTION + 4, 0, true);
    // SAFETY: eight bytes of our own page.
    return setsockopt(fd, SOL_SOCKET, SO_LINGER, this.#page.address + OPTION, 8);
  }

  receive(fd: HostFd, memory: HostMemory, offset: number, length: number, descriptors: Int32Array | null, timeoutMs: number): number {
    return receiveMessage(fd, memory, offset, length, descriptors, timeoutMs).length;
  }

  get receivedDescriptors(): number {
    return received.descriptors;
  }

  currentCpu(): number {
    return currentCpu();
  }

  monotonicNs(): number {
    return this.events.monotonicNs();
  }

  realtime(into: Timestamp): void {
    this.clock(CLOCK_REALTIME, into);
  }

  clock(clock: number, into: Timestamp): void {
    // SAFETY: one timespec in our own page.
    libc.clockGettime(clock, this.#clock.address);
    into.sec = getU64(this.#clock.view, 0);
    into.nsec = this.#clock.view.getUint32(8, true);
  }

  random(memory: HostMemory, offset: number, length: number): void {
    if (outside(memory, offset, length)) throw new RangeError('random: range outside of the memory');
    let done = 0;
    while (done < length) {
      // SAFETY: the rest of a range checked above.
      const count = libc.getrandom(memory.address + offset + done, length - done, 0);
      if (count > 0) done += count;
    }
  }

  watch(fd: HostFd, events: number, token: number): number {
    return this.events.watch(fd, events, token);
  }

  unwatch(fd: HostFd): number {
    return this.events.unwatch(fd);
  }

  takeEvents(into: Int32Array): number {
    return this.events.takeEvents(into);
  }

  setAlarm(deadlineNs: number): void {
    this.events.setAlarm(deadlineNs);
  }

  takeSignal(): number {
    return this.events.takeSignal();
  }

  log(line: string): void {
    this.#debugLog?.(line);
  }
}

export function createHost(options: HostOptions = {}): LinuxHost {
  return new LinuxHost(options);
}

function getU64(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 0x1_0000_0000;
}

/** Signed: times before 1970 and sizes share this. */
function getI64(view: DataView, offset: number): number {
  return view.getUint32(offset, true) + view.getInt32(offset + 4, true) * 0x1_0000_0000;
}

function setU64(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value >>> 0, true);
  view.setUint32(offset + 4, Math.floor(value / 0x1_0000_0000), true);
}

/** struct stat of x86-64. */
function decodeStat(view: DataView, into: HostStat): void {
  into.dev = getU64(view, STAT);
  into.ino = getU64(view, STAT + 8);
  into.nlink = getU64(view, STAT + 16);
  into.mode = view.getUint32(STAT + 24, true);
  into.uid = view.getUint32(STAT + 28, true);
  into.gid = view.getUint32(STAT + 32, true);
  into.rdev = getU64(view, STAT + 40);
  into.size = getU64(view, STAT + 48);
  into.blksize = getU64(view, STAT + 56);
  into.blocks = getU64(view, STAT + 64);
  into.atimeSec = getI64(view, STAT + 72);
  into.atimeNsec = view.getUint32(STAT + 80, true);
  into.mtimeSec = getI64(view, STAT + 88);
  into.mtimeNsec = view.getUint32(STAT + 96, true);
  into.ctimeSec = getI64(view, STAT + 104);
  into.ctimeNsec = view.getUint32(STAT + 112, true);
}
