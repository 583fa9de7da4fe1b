/**
 * `FakeHost`: the host contract without a host, for unit tests of the kernel.
 *
 * Descriptors are small numbers into a table of plain objects (fake-files.ts), the clock stands still until a test (or `FakePlatform.wait`
 * for the alarm) moves it, random bytes come from a fixed seed. Nothing blocks: `receive` without a message answers -EAGAIN.
 *
 *     const host = new FakeHost();
 *     const fd = host.addFile('contents');       // a donated descriptor
 *     const { read, write } = host.addPipe();
 *     host.raise(SIGINT); host.advance(1e9);
 */
import { SEEK_END, SEEK_SET } from '#sentry/abi/fs.ts';
import { FIRST_USER_TOKEN } from '../contract/host.ts';
import type { Host, HostFd, HostMemory, HostStat, Timestamp } from '../contract/host.ts';
import { FakeCounter, FakeFile, FakeSocket, fakePipe, fakeSocketPair } from './fake-files.ts';
import type { FakeDescription } from './fake-files.ts';
import { FakeMemory } from './fake-memory.ts';

const EAGAIN = 11;
const EBADF = 9;
const ENOTSOCK = 88;
const EEXIST = 17;
const EINVAL = 22;
const ENOENT = 2;
const ENOTTY = 25;
const EOPNOTSUPP = 95;
const EPERM = 1;
const ESPIPE = 29;
const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
const EPOLLERR_AND_HUP = 24;
const SIGNAL_TOKEN = 1;
const ALARM_TOKEN = 2;
const START_REALTIME_SEC = 1_700_000_000;
const SECOND = 1e9;

interface Watch {
  readonly events: number;
  readonly token: number;
}

export class FakeHost implements Host {
  readonly cpuCount = 2;
  /** CLOCK_MONOTONIC in nanoseconds. */
  nowNs = 1000 * SECOND;
  alarmNs = Infinity;
  receivedDescriptors = 0;
  /** Lines given to `log`. */
  readonly logged: string[] = [];
  readonly #descriptions = new Map<number, FakeDescription>();
  readonly #watches = new Map<number, Watch>();
  readonly #signals: number[] = [];
  #signalReported = true;
  #nextFd = 100;
  #random = 0x2545_f491;

  // For tests.

  add(description: FakeDescription): HostFd {
    const fd = this.#nextFd;
    this.#nextFd += 1;
    this.#descriptions.set(fd, description);
    return fd;
  }

  addFile(contents: string | Uint8Array): HostFd {
    const file = new FakeFile();
    const bytes = typeof contents === 'string' ? Uint8Array.from(contents, (c) => c.charCodeAt(0)) : contents;
    file.write(bytes, 0, bytes.length, 0);
    return this.add(file);
  }

  addPipe(): { read: HostFd; write: HostFd } {
    const { reader, writer } = fakePipe();
    return { read: this.add(reader), write: this.add(writer) };
  }

  /** A message socket for the code under test; the test keeps the other end. */
  addSocket(): { fd: HostFd; peer: FakeSocket } {
    const { left, right } = fakeSocketPair();
    return { fd: this.add(left), peer: right };
  }

  description(fd: HostFd): FakeDescription | undefined {
    return this.#descriptions.get(fd);
  }

  file(fd: HostFd): FakeFile | null {
    const description = this.#descriptions.get(fd);
    return description instanceof FakeFile ? description : null;
  }

  /** Descriptors that were not closed: a leak check at the end of a test. */
  openDescriptors(): number[] {
    return [...this.#descriptions.keys()];
  }

  raise(signal: number): void {
    this.#signals.push(signal);
    this.#signalReported = false;
  }

  advance(nanoseconds: number): void {
    this.nowNs += nanoseconds;
  }

  /** Whether `takeEvents` would report something. */
  hasEvents(): boolean {
    return this.takeEvents(new Int32Array(2), true) > 0;
  }

  // The contract.

  allocate(bytes: number): HostMemory {
    return new FakeMemory(new Uint8Array(Math.ceil(bytes / 4096) * 4096));
  }

  mapShared(fd: HostFd, offset: number, length: number): HostMemory | number {
    const file = this.file(fd);
    if (file === null) return -EBADF;
    file.reserve(offset + length);
    return new FakeMemory(new Uint8Array(file.buffer, offset, length));
  }

  pread(fd: HostFd, memory: HostMemory, offset: number, length: number, position: number): number {
    const file = this.file(fd);
    if (file === null) return this.#descriptions.has(fd) ? -ESPIPE : -EBADF;
    return file.read(memory.bytes, offset, length, position);
  }

  pwrite(fd: HostFd, memory: HostMemory, offset: number, length: number, position: number): number {
    const file = this.file(fd);
    if (file === null) return this.#descriptions.has(fd) ? -ESPIPE : -EBADF;
    return file.write(memory.bytes, offset, length, position);
  }

  append(fd: HostFd, memory: HostMemory, offset: number, length: number): number {
    const end = this.lseek(fd, 0, SEEK_END);
    const written = end < 0 ? end : this.pwrite(fd, memory, offset, length, end);
    if (written > 0) this.lseek(fd, end + written, SEEK_SET);
    return written;
  }

  read(fd: HostFd, memory: HostMemory, offset: number, length: number): number {
    return this.#descriptions.get(fd)?.readStream(memory.bytes.subarray(offset, offset + length)) ?? -EBADF;
  }

  write(fd: HostFd, memory: HostMemory, offset: number, length: number): number {
    return this.#descriptions.get(fd)?.writeStream(memory.bytes.subarray(offset, offset + length)) ?? -EBADF;
  }

  ftruncate(fd: HostFd, length: number): number {
    return this.file(fd)?.truncate(length) ?? -EINVAL;
  }

  fallocate(fd: HostFd, mode: number, offset: number, length: number): number {
    const file = this.file(fd);
    if (file === null) return -EBADF;
    if (mode === (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)) {
      file.zero(offset, length);
      return 0;
    }
    if (mode === FALLOC_FL_KEEP_SIZE) return 0;
    if (mode !== 0) return -EOPNOTSUPP;
    return offset + length > file.size ? file.truncate(offset + length) : 0;
  }

  lseek(fd: HostFd, offset: number, whence: number): number {
    const file = this.file(fd);
    if (file === null) return this.#descriptions.has(fd) ? -ESPIPE : -EBADF;
    // No holes: data reaches to the end.
    if (whence >= 3) {
      if (offset < 0 || offset >= file.size) return -6; // ENXIO
      return whence === 3 ? offset : file.size;
    }
    const target = offset + (whence === 1 ? file.position : whence === 2 ? file.size : 0);
    if (target < 0) return -EINVAL;
    file.position = target;
    return target;
  }

  fstat(fd: HostFd, into: HostStat): number {
    const description = this.#descriptions.get(fd);
    if (description === undefined) return -EBADF;
    const sec = START_REALTIME_SEC;
    Object.assign(into, { dev: 1, ino: fd, mode: description.mode, nlink: 1, uid: 0, gid: 0, rdev: 0, size: description.size });
    Object.assign(into, { blksize: 4096, blocks: Math.ceil(description.size / 512), atimeSec: sec, atimeNsec: 0 });
    Object.assign(into, { mtimeSec: sec, mtimeNsec: 0, ctimeSec: sec, ctimeNsec: 0 });
    return 0;
  }

  fsync(fd: HostFd): number {
    return this.#descriptions.has(fd) ? 0 : -EBADF;
  }

  copyFileRange(from: HostFd, fromOffset: number, to: HostFd, toOffset: number, length: number): number {
    const source = this.file(from);
    const target = this.file(to);
    if (source === null || target === null) return -EINVAL;
    const bytes = new Uint8Array(length);
    const count = source.read(bytes, 0, length, fromOffset);
    return target.write(bytes, 0, count, toOffset);
  }

  close(fd: HostFd): void {
    const description = this.#descriptions.get(fd);
    this.#descriptions.delete(fd);
    this.#watches.delete(fd);
    if (description !== undefined && ![...this.#descriptions.values()].includes(description)) description.closed();
  }

  memfd(_name: string): HostFd {
    return this.add(new FakeFile());
  }

  eventCounter(): HostFd {
    return this.add(new FakeCounter());
  }

  poll(fd: HostFd, events: number): number {
    const description = this.#descriptions.get(fd);
    return description === undefined ? -EBADF : description.poll() & (events | EPOLLERR_AND_HUP);
  }

  ioctl(): number {
    return -ENOTTY;
  }

  // No internet sockets here.
  shutdown(): number {
    return -ENOTSOCK;
  }
  socketError(): number {
    return -ENOTSOCK;
  }
  resetOnClose(): number {
    return -ENOTSOCK;
  }

  send(fd: HostFd, memory: HostMemory, offset: number, length: number, descriptors: readonly HostFd[] = []): number {
    const socket = this.#descriptions.get(fd);
    if (!(socket instanceof FakeSocket)) return -EBADF;
    const descriptions: FakeDescription[] = [];
    for (const sent of descriptors) {
      const description = this.#descriptions.get(sent);
      if (description === undefined) return -EBADF;
      descriptions.push(description);
    }
    return socket.send({ bytes: memory.bytes.slice(offset, offset + length), descriptions });
  }

  receive(fd: HostFd, memory: HostMemory, offset: number, length: number, descriptors: Int32Array | null, _timeoutMs: number): number {
    this.receivedDescriptors = 0;
    const socket = this.#descriptions.get(fd);
    if (!(socket instanceof FakeSocket)) return -EBADF;
    const message = socket.inbox.shift();
    if (message === undefined) return socket.peer === null ? 0 : -EAGAIN;
    const count = Math.min(length, message.bytes.length);
    memory.bytes.set(message.bytes.subarray(0, count), offset);
    if (descriptors !== null) {
      for (const description of message.descriptions.slice(0, descriptors.length)) {
        descriptors[this.receivedDescriptors] = this.add(description);
        this.receivedDescriptors += 1;
      }
    }
    return count;
  }

  monotonicNs(): number {
    return this.nowNs;
  }

  realtime(into: Timestamp): void {
    into.sec = START_REALTIME_SEC + Math.floor(this.nowNs / SECOND);
    into.nsec = Math.floor(this.nowNs % SECOND);
  }

  random(memory: HostMemory, offset: number, length: number): void {
    for (let i = 0; i < length; i += 1) {
      // xorshift32
      this.#random ^= this.#random << 13;
      this.#random ^= this.#random >>> 17;
      this.#random ^= this.#random << 5;
      memory.bytes[offset + i] = this.#random & 0xff;
    }
  }

  watch(fd: HostFd, events: number, token: number): number {
    const description = this.#descriptions.get(fd);
    if (description === undefined) return -EBADF;
    if (description instanceof FakeFile) return -EPERM;
    if (token < FIRST_USER_TOKEN) return -EEXIST;
    this.#watches.set(fd, { events, token });
    return 0;
  }

  unwatch(fd: HostFd): number {
    return this.#watches.delete(fd) ? 0 : -ENOENT;
  }

  /** Edge-triggered watches are treated as level-triggered. */
  takeEvents(into: Int32Array, peek = false): number {
    let count = 0;
    const report = (token: number, events: number): void => {
      if (count * 2 + 1 >= into.length) return;
      into[count * 2] = token;
      into[count * 2 + 1] = events;
      count += 1;
    };
    if (!this.#signalReported) {
      report(SIGNAL_TOKEN, 1);
      this.#signalReported = peek ? this.#signalReported : true;
    }
    if (this.alarmNs <= this.nowNs) report(ALARM_TOKEN, 1);
    for (const [fd, { events, token }] of this.#watches) {
      const ready = (this.#descriptions.get(fd)?.poll() ?? 0) & (events | EPOLLERR_AND_HUP);
      if (ready !== 0) report(token, ready);
    }
    return count;
  }

  setAlarm(deadlineNs: number): void {
    this.alarmNs = deadlineNs;
  }

  takeSignal(): number {
    return this.#signals.shift() ?? 0;
  }

  log(line: string): void {
    this.logged.push(line);
  }
}
