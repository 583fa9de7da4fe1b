/**
 * A POSIX message queue: the inode of a file system of its own (mq_overview(7)).
 *
 * A message goes straight to whoever waits longest for one; else it is kept, if there is room. Senders who wait are let in as room comes.
 * `send` and `receive` act for those who wait, so a call that was woken finds its result in its `QueueWait`.
 *
 * Spec: mq_send(3), mq_receive(3), mq_notify(3); Linux ipc/mqueue.c.
 */
import { POLLIN, POLLOUT, READABLE, S_IFREG, WRITABLE } from '#sentry/abi/fs.ts';
import { WaitQueue } from '../../lib/wait-queue.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import type { AttributeChange, Caller, Stat } from '../../vfs/inode.ts';
import { SyntheticInode } from '../synthetic/synthetic.ts';
import { MessageList } from './message-list.ts';
import type { Message } from './message-list.ts';
import type { MqueueFileSystem } from './mqueue-file-system.ts';
import { MqueueFile } from './mqueue-file.ts';
import { QUEUE_FILE_SIZE } from './mqueue-limits.ts';

/** The only event on the queue of a wait. */
export const QUEUE_DONE = 1;

/** Who is to be told once when a message comes to the empty queue. Made by the system call layer. */
export interface Notification {
  /** The descriptor table of the process: closing a descriptor of the queue there ends the registration. */
  readonly table: unknown;
  /** For reading the queue as a file. */
  readonly notify: number;
  readonly signo: number;
  pidSeenBy(caller: Caller): number;
  /** A message came, sent by `sender`, a task. The registration is over. */
  arrived(sender: unknown): void;
  /** The registration is over without one. */
  removed(): void;
}

/** A call that waits: to send `message`, or, when that is null, to receive one. */
export class QueueWait {
  done = false;
  /** What is to be sent, or was received. */
  message: Message | null;
  readonly queue = new WaitQueue();

  constructor(message: Message | null) {
    this.message = message;
  }

  finish(): void {
    this.done = true;
    this.queue.notify(QUEUE_DONE);
  }
}

export class MessageQueueInode extends SyntheticInode {
  declare readonly fileSystem: MqueueFileSystem;
  /** Messages it may hold, and bytes of one. */
  readonly maxMessages: number;
  readonly messageSize: number;
  /** What it counts for RLIMIT_MSGQUEUE of the user who made it. */
  readonly charged: number;
  readonly creator: number;
  notification: Notification | null = null;
  /** Whether it has a name. */
  linked = true;
  readonly openFiles = new Set<MqueueFile>();
  private readonly messages = new MessageList();
  private readonly senders = new Set<QueueWait>();
  private readonly receivers = new Set<QueueWait>();
  private references = 0;
  private accessSec: number;
  private modifySec: number;
  private changeSec: number;

  constructor(
    fileSystem: MqueueFileSystem,
    mode: number,
    uid: number,
    gid: number,
    maxMessages: number,
    messageSize: number,
    charged: number,
  ) {
    super(fileSystem, S_IFREG | (mode & 0o7777));
    this.uid = this.creator = uid;
    this.gid = gid;
    this.maxMessages = maxMessages;
    this.messageSize = messageSize;
    this.charged = charged;
    this.accessSec = this.modifySec = this.changeSec = fileSystem.now;
  }

  get length(): number {
    return this.messages.length;
  }
  get bytes(): number {
    return this.messages.bytes;
  }
  get isFull(): boolean {
    return this.messages.length >= this.maxMessages;
  }
  get events(): number {
    return (this.messages.length > 0 ? READABLE : 0) | (this.isFull ? 0 : WRITABLE);
  }

  /** Sends when there is room. `sender`: the task. */
  send(message: Message, sender: unknown): void {
    this.touchModified();
    for (const wait of this.receivers) {
      this.receivers.delete(wait);
      wait.message = message;
      wait.finish();
      return;
    }
    this.insert(message);
    if (this.messages.length === 1) this.notifyArrival(sender);
  }

  private insert(message: Message): void {
    this.messages.add(message);
    this.tell(READABLE | POLLIN);
  }

  private notifyArrival(sender: unknown): void {
    const { notification } = this;
    this.notification = null;
    notification?.arrived(sender);
  }

  /** The message whose turn it is, or null. Who waits for its room may send now. */
  receive(): Message | null {
    const message = this.messages.take();
    if (message === null) return null;
    this.touchModified();
    for (const wait of this.senders) {
      this.senders.delete(wait);
      this.insert(wait.message!);
      wait.message = null;
      wait.finish();
      return message;
    }
    this.tell(WRITABLE | POLLOUT);
    return message;
  }

  private tell(events: number): void {
    for (const file of this.openFiles) file.queue.notify(events);
  }

  addSender(wait: QueueWait): void {
    this.senders.add(wait);
  }
  addReceiver(wait: QueueWait): void {
    this.receivers.add(wait);
  }
  /** No longer waits; does nothing when it does not. */
  remove(wait: QueueWait): void {
    this.senders.delete(wait);
    this.receivers.delete(wait);
  }

  /** Ends a registration for a message. */
  removeNotification(): void {
    const { notification } = this;
    this.notification = null;
    notification?.removed();
  }

  // ---- the inode

  override open(dentry: Dentry, flags: number): MqueueFile {
    return new MqueueFile(dentry, flags, this);
  }

  override getattr(into: Stat): number {
    super.getattr(into);
    into.nlink = this.linked ? 1 : 0;
    into.size = QUEUE_FILE_SIZE;
    into.atimeSec = this.accessSec;
    into.mtimeSec = this.modifySec;
    into.ctimeSec = this.changeSec;
    into.atimeNsec = into.mtimeNsec = into.ctimeNsec = 0;
    return 0;
  }

  override setattr(change: AttributeChange): number {
    if (change.mode !== undefined) this.mode = S_IFREG | (change.mode & 0o7777);
    if (change.uid !== undefined) this.uid = change.uid;
    if (change.gid !== undefined) this.gid = change.gid;
    if (change.atimeSec !== undefined) this.accessSec = change.atimeSec;
    if (change.mtimeSec !== undefined) this.modifySec = change.mtimeSec;
    this.touchChanged();
    return 0;
  }

  touchAccessed(): void {
    this.accessSec = this.fileSystem.now;
  }
  touchChanged(): void {
    this.changeSec = this.fileSystem.now;
  }
  private touchModified(): void {
    this.modifySec = this.changeSec = this.accessSec = this.fileSystem.now;
  }

  /** It has no name any more. */
  unlinked(): void {
    this.linked = false;
    this.touchChanged();
    this.freeIfUnused();
  }

  override acquire(): void {
    this.references++;
  }
  override release(): void {
    this.references--;
    this.freeIfUnused();
  }

  private freeIfUnused(): void {
    if (this.linked || this.references > 0) return;
    for (let message = this.messages.take(); message !== null; message = this.messages.take()) this.fileSystem.freeMessage(message);
    this.fileSystem.forget(this);
  }
}
