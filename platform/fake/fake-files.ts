/**
 * What the descriptors of a fake host refer to: files in memory, pipes, message sockets, counters.
 *
 * All of them are plain objects a test can look into. Results follow the kernel's convention (`-errno`).
 */

const EAGAIN = 11;
const EINVAL = 22;
const EPIPE = 32;

const EPOLLIN = 1;
const EPOLLOUT = 4;
const EPOLLHUP = 16;
const PIPE_CAPACITY = 65536;
const LARGEST_FILE = 1 << 30;
const S_IFREG = 0o100000;
const S_IFIFO = 0o010000;
const S_IFSOCK = 0o140000;

export interface FakeDescription {
  /** File type and permission bits. */
  readonly mode: number;
  readonly size: number;
  /** At the descriptor's own position. */
  readStream(into: Uint8Array): number;
  writeStream(from: Uint8Array): number;
  /** Ready events, EPOLL* bits. */
  poll(): number;
  closed(): void;
}

/** A regular file in memory, with a position of its own (one description). */
export class FakeFile implements FakeDescription {
  readonly mode = S_IFREG | 0o600;
  readonly buffer = new ArrayBuffer(0, { maxByteLength: LARGEST_FILE });
  readonly #bytes = new Uint8Array(this.buffer);
  size = 0;
  position = 0;

  read(into: Uint8Array, at: number, length: number, offset: number): number {
    const count = Math.max(0, Math.min(length, this.size - offset));
    into.set(this.#bytes.subarray(offset, offset + count), at);
    return count;
  }

  write(from: Uint8Array, at: number, length: number, offset: number): number {
    if (offset + length > LARGEST_FILE) return -EINVAL;
    this.reserve(offset + length);
    this.#bytes.set(from.subarray(at, at + length), offset);
    this.size = Math.max(this.size, offset + length);
    return length;
  }

  truncate(length: number): number {
    if (length < 0 || length > LARGEST_FILE) return -EINVAL;
    this.reserve(length);
    if (length < this.size) this.#bytes.fill(0, length, this.size);
    this.size = length;
    return 0;
  }

  zero(offset: number, length: number): void {
    this.#bytes.fill(0, offset, Math.min(offset + length, this.size));
  }

  /** Makes room without changing the size; a buffer only grows, so that windows on it stay valid. */
  reserve(length: number): void {
    if (length <= this.buffer.byteLength) return;
    this.buffer.resize(Math.min(LARGEST_FILE, Math.max(length, this.buffer.byteLength * 2, 65536)));
  }

  readStream(into: Uint8Array): number {
    const count = this.read(into, 0, into.length, this.position);
    this.position += count;
    return count;
  }

  writeStream(from: Uint8Array): number {
    const count = this.write(from, 0, from.length, this.position);
    if (count > 0) this.position += count;
    return count;
  }

  poll(): number {
    return EPOLLIN | EPOLLOUT;
  }

  closed(): void {}
}

/** Bytes between two ends of a pipe. */
class PipeBuffer {
  readonly bytes: number[] = [];
  writerOpen = true;
  readerOpen = true;
}

class PipeReader implements FakeDescription {
  readonly mode = S_IFIFO | 0o600;
  readonly size = 0;
  readonly #pipe: PipeBuffer;

  constructor(pipe: PipeBuffer) {
    this.#pipe = pipe;
  }

  readStream(into: Uint8Array): number {
    const { bytes, writerOpen } = this.#pipe;
    if (bytes.length === 0) return writerOpen ? -EAGAIN : 0;
    const taken = bytes.splice(0, into.length);
    into.set(taken);
    return taken.length;
  }

  writeStream(): number {
    return -9; // EBADF
  }

  poll(): number {
    return (this.#pipe.bytes.length > 0 ? EPOLLIN : 0) | (this.#pipe.writerOpen ? 0 : EPOLLHUP);
  }

  closed(): void {
    this.#pipe.readerOpen = false;
  }
}

class PipeWriter implements FakeDescription {
  readonly mode = S_IFIFO | 0o600;
  readonly size = 0;
  readonly #pipe: PipeBuffer;

  constructor(pipe: PipeBuffer) {
    this.#pipe = pipe;
  }

  readStream(): number {
    return -9; // EBADF
  }

  writeStream(from: Uint8Array): number {
    if (!this.#pipe.readerOpen) return -EPIPE;
    const room = PIPE_CAPACITY - this.#pipe.bytes.length;
    if (room === 0) return -EAGAIN;
    const count = Math.min(room, from.length);
    for (let i = 0; i < count; i += 1) this.#pipe.bytes.push(from[i]!);
    return count;
  }

  poll(): number {
    return this.#pipe.bytes.length < PIPE_CAPACITY ? EPOLLOUT : 0;
  }

  closed(): void {
    this.#pipe.writerOpen = false;
  }
}

export function fakePipe(): { reader: FakeDescription; writer: FakeDescription } {
  const pipe = new PipeBuffer();
  return { reader: new PipeReader(pipe), writer: new PipeWriter(pipe) };
}

/** eventfd(2). */
export class FakeCounter implements FakeDescription {
  readonly mode = 0o600;
  readonly size = 0;
  value = 0;

  readStream(into: Uint8Array): number {
    if (into.length < 8) return -EINVAL;
    if (this.value === 0) return -EAGAIN;
    const view = new DataView(into.buffer, into.byteOffset, 8);
    view.setUint32(0, this.value, true);
    view.setUint32(4, 0, true);
    this.value = 0;
    return 8;
  }

  writeStream(from: Uint8Array): number {
    if (from.length < 8) return -EINVAL;
    this.value += new DataView(from.buffer, from.byteOffset, 8).getUint32(0, true);
    return 8;
  }

  poll(): number {
    return (this.value > 0 ? EPOLLIN : 0) | EPOLLOUT;
  }

  closed(): void {}
}

export interface FakeMessage {
  readonly bytes: Uint8Array;
  readonly descriptions: readonly FakeDescription[];
}

/** One end of a SOCK_SEQPACKET pair. */
export class FakeSocket implements FakeDescription {
  readonly mode = S_IFSOCK | 0o600;
  readonly size = 0;
  readonly inbox: FakeMessage[] = [];
  peer: FakeSocket | null = null;
  /** Called with each message for this end: a test answers at once, as a server on the other side would. */
  onMessage: ((message: FakeMessage, socket: FakeSocket) => void) | null = null;

  send(message: FakeMessage): number {
    const { peer } = this;
    if (peer === null) return -EPIPE;
    if (peer.onMessage !== null) peer.onMessage(message, peer);
    else peer.inbox.push(message);
    return message.bytes.length;
  }

  readStream(into: Uint8Array): number {
    const message = this.inbox.shift();
    if (message === undefined) return this.peer === null ? 0 : -EAGAIN;
    const count = Math.min(into.length, message.bytes.length);
    into.set(message.bytes.subarray(0, count));
    return count;
  }

  writeStream(from: Uint8Array): number {
    return this.send({ bytes: from.slice(), descriptions: [] });
  }

  poll(): number {
    return (this.inbox.length > 0 ? EPOLLIN : 0) | (this.peer === null ? EPOLLIN | EPOLLHUP : EPOLLOUT);
  }

  closed(): void {
    if (this.peer !== null) this.peer.peer = null;
    this.peer = null;
  }
}

export function fakeSocketPair(): { left: FakeSocket; right: FakeSocket } {
  const left = new FakeSocket();
  const right = new FakeSocket();
  left.peer = right;
  right.peer = left;
  return { left, right };
}
