/**
 * A message in a socket's receive queue: bytes in pool pages, the sender's credentials and address, and open files on their way
 * (SCM_RIGHTS). Messages are kept and used again.
 *
 *     const message = messages.take();
 *     message.fill(io, length);          // -EFAULT or -ENOBUFS: `messages.free(message)`
 *     queue.push(message); … message.copy(io, n, 0); message.drop(n); … messages.free(message);
 */
import { EFAULT, ENOBUFS } from '#sentry/abi/errno.ts';
import { POOL_PAGE_SIZE as PAGE } from '../../mm/page-pool.ts';
import type { PagePool } from '../../mm/page-pool.ts';
import { KernelIo } from '../../mm/io.ts';
import type { Io } from '../../mm/io.ts';
import type { FileDescription } from '../../vfs/file-description.ts';

const PAGE_SHIFT = 12;

/** Whose send buffer a message counts in until it is read. */
export interface Charged {
  /** Bytes of messages read or thrown away are no longer on their way. */
  uncharge(bytes: number): void;
}

export class Message {
  next: Message | null = null;
  /** Unread bytes. */
  length = 0;
  owner: Charged | null = null;
  charge = 0;
  rights: FileDescription[] | null = null;
  pid = 0;
  uid = 0;
  gid = 0;
  /** The sender's name, as sockaddr bytes; '' when it has none. */
  address = '';

  private readonly pool: PagePool;
  private readonly pages: number[] = [];
  /** Unread bytes begin here in the first page. */
  private start = 0;

  constructor(pool: PagePool) {
    this.pool = pool;
  }

  /** Room left in the last page. */
  get slack(): number {
    return this.pages.length * PAGE - this.start - this.length;
  }

  /** Appends `length` bytes of `io`. When it fails the message holds what it held before. */
  fill(io: Io, length: number): number {
    const before = this.length;
    let left = length;
    while (left > 0) {
      const end = this.start + this.length;
      const index = end >> PAGE_SHIFT;
      if (index === this.pages.length) {
        const page = this.pool.take();
        if (page < 0) return this.cut(before, -ENOBUFS);
        this.pages.push(page);
      }
      const page = this.pages[index]!;
      const within = end & (PAGE - 1);
      const n = Math.min(left, PAGE - within);
      if (io.take(this.pool.memory(page), this.pool.offset(page) + within, n) < n) return this.cut(before, -EFAULT);
      this.length += n;
      left -= n;
    }
    return length;
  }

  /** Copies `length` bytes, beginning `skip` bytes after the first unread one, into `io`. Returns bytes copied or -EFAULT. */
  copy(io: Io, length: number, skip: number): number {
    let done = 0;
    while (done < length) {
      const at = this.start + skip + done;
      const page = this.pages[at >> PAGE_SHIFT]!;
      const within = at & (PAGE - 1);
      const n = Math.min(length - done, PAGE - within);
      const put = io.put(this.pool.memory(page), this.pool.offset(page) + within, n);
      if (put > 0) done += put;
      if (put < n) return done === 0 ? -EFAULT : done;
    }
    return done;
  }

  /** All unread bytes. */
  toBytes(): Uint8Array {
    const bytes = new Uint8Array(this.length);
    this.copy(new KernelIo({ bytes }, 0, this.length), this.length, 0);
    return bytes;
  }

  /** Keeps the first `length` bytes. */
  trim(length: number): void {
    this.cut(length, 0);
  }

  /** The first `bytes` have been read. */
  drop(bytes: number): void {
    this.length -= bytes;
    this.start += bytes;
    while (this.start >= PAGE && this.pages.length > 0) {
      this.pool.free(this.pages.shift()!);
      this.start -= PAGE;
    }
  }

  /** Gives up the pages and everything that came with the bytes. */
  clear(): void {
    while (this.pages.length > 0) this.pool.free(this.pages.pop()!);
    this.next = null;
    this.owner = null;
    this.rights = null;
    this.address = '';
    this.start = this.length = this.charge = this.pid = this.uid = this.gid = 0;
  }

  private cut(length: number, error: number): number {
    this.length = length;
    const needed = Math.ceil((this.start + length) / PAGE);
    while (this.pages.length > needed) this.pool.free(this.pages.pop()!);
    return error;
  }
}

/** Spare messages. */
export class Messages {
  private readonly pool: PagePool;
  private spare: Message | null = null;

  constructor(pool: PagePool) {
    this.pool = pool;
  }

  take(): Message {
    const message = this.spare;
    if (message === null) return new Message(this.pool);
    this.spare = message.next;
    message.next = null;
    return message;
  }

  free(message: Message): void {
    const { owner, charge } = message;
    message.clear();
    message.next = this.spare;
    this.spare = message;
    owner?.uncharge(charge);
  }
}

/** First in, first out. */
export class MessageQueue {
  head: Message | null = null;
  tail: Message | null = null;
  count = 0;

  push(message: Message): void {
    if (this.tail === null) this.head = message;
    else this.tail.next = message;
    this.tail = message;
    this.count++;
  }

  shift(): Message | null {
    const message = this.head;
    if (message === null) return null;
    this.head = message.next;
    if (this.head === null) this.tail = null;
    message.next = null;
    this.count--;
    return message;
  }
}
