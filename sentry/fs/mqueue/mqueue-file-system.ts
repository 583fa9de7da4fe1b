/**
 * The file system of POSIX message queues, `mqueue` (mq_overview(7)): one directory, one file for each queue. There is one for each IPC
 * namespace; mounting it shows the same queues again, and queues work where it is not mounted.
 *
 * A queue counts with all it may ever hold against RLIMIT_MSGQUEUE of the user who makes it. What waits in it is charged as it comes.
 *
 * Linux: ipc/mqueue.c.
 */
import { EINVAL, EMFILE, ENAMETOOLONG, ENOENT, ENOSPC, EOVERFLOW, EPERM } from '#sentry/abi/errno.ts';
import { S_IFDIR } from '#sentry/abi/fs.ts';
import { MQ_PRIO_MAX, MQUEUE_MAGIC } from '#sentry/abi/mqueue.ts';
import type { Host, Timestamp } from '#platform/contract/host.ts';
import { MQUEUE_QUEUES_MAX } from '../../limits.ts';
import type { AttributeChange, Inode, Stat } from '../../vfs/inode.ts';
import { SyntheticDirectory, SyntheticFileSystem } from '../synthetic/synthetic.ts';
import type { Entry } from '../synthetic/synthetic.ts';
import { MessageQueueInode } from './message-queue.ts';
import type { Message } from './message-list.ts';
import { MQUEUE_RANGES } from './mqueue-limits.ts';
import type { MqueueLimits } from './mqueue-limits.ts';

const NAME_MAX = 255;
/** What Linux counts for a message and for a priority in use (struct msg_msg, struct posix_msg_tree_node). */
const MESSAGE_OVERHEAD = 48;
const PRIORITY_OVERHEAD = 48;
/** What a message takes here beside its text. */
const MESSAGE_BYTES = 200;
const DIRENT_SIZE = 20;
/** RLIMIT_MSGQUEUE a process starts with: for files made in the mounted directory, where nobody says whose limit counts. */
const MSGQUEUE_DEFAULT = 819_200;

/** Memory of the sentry for waiting messages. */
export interface MessageMemory {
  take(bytes: number): boolean;
  give(bytes: number): void;
}

/** Who makes a queue. */
export interface Maker {
  readonly uid: number;
  readonly gid: number;
  /** CAP_SYS_RESOURCE. */
  readonly isPrivileged: boolean;
  /** RLIMIT_MSGQUEUE, in bytes. */
  readonly limit: number;
}

export interface QueueSize {
  readonly maxMessages: number;
  readonly messageSize: number;
}

export class MqueueFileSystem extends SyntheticFileSystem {
  readonly type = 'mqueue';
  readonly magic = MQUEUE_MAGIC;
  readonly root: QueueDirectory;
  readonly limits: MqueueLimits;
  private readonly memory: MessageMemory;
  private queues = 0;
  /** RLIMIT_MSGQUEUE: bytes by user. */
  private readonly charged = new Map<number, number>();
  private readonly time: Timestamp = { sec: 0, nsec: 0 };

  constructor(device: number, host: Host, limits: MqueueLimits, memory: MessageMemory) {
    super(device, host);
    this.limits = limits;
    this.memory = memory;
    this.root = new QueueDirectory(this);
  }

  /** A new queue without a name yet, or -errno. `size` null: the defaults. */
  make(mode: number, maker: Maker, size: QueueSize | null): MessageQueueInode | number {
    const { limits } = this;
    if (this.queues >= limits.queues_max && !maker.isPrivileged) return -ENOSPC;
    if (this.queues >= MQUEUE_QUEUES_MAX) return -ENOSPC;
    const maxMessages = size === null ? Math.min(limits.msg_max, limits.msg_default) : size.maxMessages;
    const messageSize = size === null ? Math.min(limits.msgsize_max, limits.msgsize_default) : size.messageSize;
    if (maxMessages <= 0 || messageSize <= 0) return -EINVAL;
    const most = maker.isPrivileged ? MQUEUE_RANGES.msg_max[1] : limits.msg_max;
    const longest = maker.isPrivileged ? MQUEUE_RANGES.msgsize_max[1] : limits.msgsize_max;
    if (maxMessages > most || messageSize > longest) return -EINVAL;
    const bytes = maxMessages * (messageSize + MESSAGE_OVERHEAD) + Math.min(maxMessages, MQ_PRIO_MAX) * PRIORITY_OVERHEAD;
    if (bytes > Number.MAX_SAFE_INTEGER) return -EOVERFLOW;
    const used = this.charged.get(maker.uid) ?? 0;
    if (used + bytes > maker.limit) return -EMFILE;
    this.charged.set(maker.uid, used + bytes);
    this.queues++;
    return new MessageQueueInode(this, mode, maker.uid, maker.gid, maxMessages, messageSize, bytes);
  }

  /** The queue is gone for good. */
  forget({ creator, charged }: MessageQueueInode): void {
    this.queues--;
    const left = (this.charged.get(creator) ?? 0) - charged;
    if (left > 0) this.charged.set(creator, left);
    else this.charged.delete(creator);
  }

  /** Memory for a message of `bytes`. */
  takeMessage(bytes: number): boolean {
    return this.memory.take(MESSAGE_BYTES + bytes);
  }

  /** The message was received, or never sent. */
  freeMessage({ text }: Message): void {
    this.memory.give(MESSAGE_BYTES + text.length);
  }

  /** Seconds since 1970. */
  get now(): number {
    this.host.realtime(this.time);
    return this.time.sec;
  }
}

class QueueDirectory extends SyntheticDirectory {
  declare readonly fileSystem: MqueueFileSystem;
  private readonly queues = new Map<string, MessageQueueInode>();

  constructor(fileSystem: MqueueFileSystem) {
    super(fileSystem, 0o1777);
  }

  override lookup(name: string): MessageQueueInode | number {
    if (name.length > NAME_MAX) return -ENAMETOOLONG;
    return this.queues.get(name) ?? -ENOENT;
  }

  entries(): Entry[] {
    return [...this.queues].map(([name, { ino, mode }]) => ({ name, ino, mode }));
  }

  /** Gives a queue that `make` made its name. */
  add(name: string, queue: MessageQueueInode): void {
    this.queues.set(name, queue);
  }

  override create(name?: string, mode?: number, uid?: number, gid?: number): Inode | number {
    const maker = { uid: uid ?? 0, gid: gid ?? 0, isPrivileged: false, limit: MSGQUEUE_DEFAULT };
    const queue = this.fileSystem.make(mode ?? 0, maker, null);
    if (typeof queue !== 'number') this.add(name ?? '', queue);
    return queue;
  }

  override unlink(name: string): number {
    const queue = this.queues.get(name);
    if (queue === undefined) return -ENOENT;
    this.queues.delete(name);
    queue.unlinked();
    return 0;
  }

  override rename(): number {
    return -EPERM;
  }

  override getattr(into: Stat): number {
    super.getattr(into);
    into.size = (2 + this.queues.size) * DIRENT_SIZE;
    return 0;
  }

  override setattr(change: AttributeChange): number {
    if (change.mode !== undefined) this.mode = S_IFDIR | (change.mode & 0o7777);
    if (change.uid !== undefined) this.uid = change.uid;
    if (change.gid !== undefined) this.gid = change.gid;
    return 0;
  }
}
