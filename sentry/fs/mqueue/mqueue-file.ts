/**
 * An open message queue. Messages go through calls of their own (syscalls/mqueue.ts); read(2) tells the state as one line of text, poll(2)
 * whether there are messages and room.
 */
import { SEEK_END } from '#sentry/abi/fs.ts';
import type { Io } from '../../mm/io.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import { FileDescription } from '../../vfs/file-description.ts';
import type { Caller } from '../../vfs/inode.ts';
import { seekTo } from '../../vfs/seek.ts';
import type { MessageQueueInode } from './message-queue.ts';
import { QUEUE_FILE_SIZE } from './mqueue-limits.ts';

export class MqueueFile extends FileDescription {
  readonly messages: MessageQueueInode;

  constructor(dentry: Dentry, flags: number, inode: MessageQueueInode) {
    super(dentry, null, flags);
    this.messages = inode;
    inode.openFiles.add(this);
  }

  override get seekable(): boolean {
    return true;
  }

  override get pollable(): boolean {
    return true;
  }

  override poll(): number {
    return this.messages.events;
  }

  override seek(offset: number, whence: number): number {
    return whence > SEEK_END ? super.seek(offset, whence) : seekTo(offset, whence, this.position, QUEUE_FILE_SIZE);
  }

  override read(io: Io, position: number, caller: Caller): number {
    const { staging } = this.messages.fileSystem;
    const length = staging.writeLatin1(stateText(this.messages, caller), 0);
    const wanted = Math.min(length - position, io.remaining);
    this.messages.touchAccessed();
    return wanted <= 0 ? 0 : io.put(staging, position, wanted);
  }

  /** Linux: whoever is registered and closes a descriptor of the queue, even one of several, is no longer. */
  override flush(table: unknown): number {
    if (this.messages.notification?.table === table) this.messages.removeNotification();
    return 0;
  }

  protected override destroy(): void {
    this.messages.openFiles.delete(this);
  }
}

function stateText({ bytes, notification }: MessageQueueInode, caller: Caller): string {
  const pid = notification === null ? 0 : notification.pidSeenBy(caller);
  const notify = notification === null ? 0 : notification.notify;
  const signo = notification === null ? 0 : notification.signo;
  const column = (value: number, width: number): string => String(value).padEnd(width);
  return `QSIZE:${column(bytes, 10)} NOTIFY:${column(notify, 5)} SIGNO:${column(signo, 5)} NOTIFY_PID:${column(pid, 6)}\n`;
}
