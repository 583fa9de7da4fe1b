/**
 * inotify(7): a queue of what happened to watched files and directories. Changes made inside the sandbox are seen, whoever makes them; those
 * made by the host behind a shared mount are not.
 *
 * A watch keeps its dentry, and so its inode, in memory. The queue is bounded: what does not fit is replaced by one IN_Q_OVERFLOW.
 * Linux: fs/notify/inotify.
 */
import { EAGAIN, EEXIST, EFAULT, EINVAL, ENOSPC } from '#sentry/abi/errno.ts';
import {
  IN_ALL_EVENTS,
  IN_DELETE_SELF,
  IN_EXCL_UNLINK,
  IN_IGNORED,
  IN_ISDIR,
  IN_MASK_ADD,
  IN_MASK_CREATE,
  IN_MOVE_SELF,
  IN_ONESHOT,
  IN_Q_OVERFLOW,
  InotifyEvent,
} from '#sentry/abi/event-files.ts';
import { O_RDONLY, READABLE } from '#sentry/abi/fs.ts';
import { FIONREAD } from '#sentry/abi/socket.ts';
import type { Io } from '../../mm/io.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import type { Caller } from '../../vfs/inode.ts';
import { unwatchInode, watchInode } from '../../vfs/watchers.ts';
import type { InodeWatcher } from '../../vfs/watchers.ts';
import { AnonymousFile } from '../anonymous/anonymous-file.ts';
import type { AnonymousFiles } from '../anonymous/anonymous-files.ts';
import { guestOf } from '../anonymous/guest-caller.ts';
import { INOTIFY_EVENTS_MAX, INOTIFY_WATCHES_MAX } from '../anonymous/limits.ts';

const HEADER = InotifyEvent.size;
const { offsets: AT } = InotifyEvent;
/** What fdinfo tells of a mask. */
const MASK_SHOWN = IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONESHOT;
let watchesInUse = 0;

interface Event {
  readonly wd: number;
  readonly mask: number;
  readonly cookie: number;
  readonly name: string;
}

class Watch implements InodeWatcher {
  readonly wd: number;
  readonly dentry: Dentry;
  mask: number;
  private readonly file: InotifyFile;

  constructor(file: InotifyFile, wd: number, dentry: Dentry, mask: number) {
    this.file = file;
    this.wd = wd;
    this.dentry = dentry.acquire();
    this.mask = mask;
    watchInode(dentry.inode!, this);
    watchesInUse++;
  }

  happened(mask: number, cookie: number, name: string, unlinked: boolean): void {
    if (unlinked && (this.mask & IN_EXCL_UNLINK) !== 0) return;
    if ((mask & this.mask & IN_ALL_EVENTS) !== 0) {
      // Linux leaves IN_ISDIR out of what happens to the watched directory's own name.
      const shown = (mask & (IN_MOVE_SELF | IN_DELETE_SELF)) !== 0 ? mask & ~IN_ISDIR : mask;
      this.file.enqueue(this.wd, shown, cookie, name);
      if ((this.mask & IN_ONESHOT) !== 0) this.file.drop(this);
    }
    if ((mask & IN_DELETE_SELF) !== 0) this.file.drop(this);
  }

  detach(): void {
    watchesInUse--;
    unwatchInode(this.dentry.inode!, this);
    this.dentry.release();
  }
}

export class InotifyFile extends AnonymousFile {
  private readonly files: AnonymousFiles;
  private readonly watches = new Map<number, Watch>();
  private events: Event[] = [];
  private bytes = 0;
  private lastWd = 0;

  /** `flags`: O_NONBLOCK. */
  constructor(files: AnonymousFiles, flags: number) {
    super(files.anonymous('inotify'), null, O_RDONLY | flags);
    this.files = files;
  }

  /** inotify_add_watch: the watch descriptor or -errno. One watch for each inode; another call changes its mask. */
  watch(dentry: Dentry, mask: number): number {
    for (const watch of this.watches.values()) {
      if (watch.dentry.inode !== dentry.inode) continue;
      if ((mask & IN_MASK_CREATE) !== 0) return -EEXIST;
      watch.mask = (mask & IN_MASK_ADD) !== 0 ? watch.mask | mask : mask;
      return watch.wd;
    }
    if (watchesInUse >= INOTIFY_WATCHES_MAX) return -ENOSPC;
    const wd = ++this.lastWd;
    this.watches.set(wd, new Watch(this, wd, dentry, mask));
    return wd;
  }

  /** inotify_rm_watch. */
  unwatch(wd: number): number {
    const watch = this.watches.get(wd);
    if (watch === undefined) return -EINVAL;
    this.drop(watch);
    return 0;
  }

  drop(watch: Watch): void {
    if (!this.watches.delete(watch.wd)) return;
    watch.detach();
    this.enqueue(watch.wd, IN_IGNORED, 0, '');
  }

  enqueue(wd: number, mask: number, cookie: number, name: string): void {
    const last = this.events.at(-1);
    if (last !== undefined && last.wd === wd && last.mask === mask && last.cookie === cookie && last.name === name) return;
    if (this.events.length < INOTIFY_EVENTS_MAX) this.push({ wd, mask, cookie, name });
    else if (last!.mask !== IN_Q_OVERFLOW) this.push({ wd: -1, mask: IN_Q_OVERFLOW, cookie: 0, name: '' });
  }

  private push(event: Event): void {
    this.events.push(event);
    this.bytes += sizeOf(event);
    this.queue.notify(READABLE);
  }

  /** As many whole events as fit. */
  override read(io: Io): number {
    if (this.events.length === 0) return -EAGAIN;
    let total = 0;
    let taken = 0;
    let error = -EINVAL;
    for (const event of this.events) {
      const size = sizeOf(event);
      if (size > io.remaining) break;
      this.encode(event, size);
      taken++;
      this.bytes -= size;
      if (io.put(this.files.cell, 0, size) < size) {
        error = -EFAULT; // the event is lost, on Linux too
        break;
      }
      total += size;
    }
    this.events = this.events.slice(taken);
    return total === 0 ? error : total;
  }

  private encode({ wd, mask, cookie, name }: Event, size: number): void {
    const { bytes, view } = this.files.cell;
    bytes.fill(0, 0, size);
    view.setInt32(AT.wd, wd, true);
    view.setUint32(AT.mask, mask, true);
    view.setUint32(AT.cookie, cookie, true);
    view.setUint32(AT.len, size - HEADER, true);
    this.files.cell.writeLatin1(name, HEADER);
  }

  override poll(): number {
    return this.events.length > 0 ? READABLE : 0;
  }

  override ioctl(request: number, argument: number, caller: Caller): number {
    if (request === FIONREAD) return guestOf(caller).memory.storeU32(argument, this.bytes);
    return super.ioctl(request, argument, caller);
  }

  override fdinfo(): string {
    let text = '';
    for (const { wd, dentry, mask } of this.watches.values()) {
      const { ino, fileSystem } = dentry.inode!;
      text += `inotify wd:${wd.toString(16)} ino:${ino.toString(16)} sdev:${fileSystem.device.toString(16)} mask:${((mask & MASK_SHOWN) >>> 0).toString(16)} ignored_mask:0\n`;
    }
    return text;
  }

  protected override destroy(): void {
    for (const watch of this.watches.values()) watch.detach();
    this.watches.clear();
    this.events = [];
  }
}

/** The name with its terminator is padded to a multiple of the header's size. */
function sizeOf({ name }: Event): number {
  return name === '' ? HEADER : HEADER + Math.ceil((name.length + 1) / HEADER) * HEADER;
}
