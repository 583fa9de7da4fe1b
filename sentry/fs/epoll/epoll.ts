/**
 * An epoll instance: epoll(7). Its cost is proportional to what is ready, not to what is watched: a file's wake-up puts its watch on the
 * ready list, and waiting looks at that list only.
 *
 *     epoll.add(fd, file, events, low, high);
 *     const n = epoll.collect(view, 0, max);      // 0: wait on `epoll.queue` for READABLE and try again
 *
 * A ready-list entry is a hint. `collect` asks the file for its readiness now; what is no longer ready is dropped, a level-triggered entry
 * goes back to the end of the list, so that entries beyond `max` have their turn next time.
 *
 * Linux: fs/eventpoll.c.
 */
import { EEXIST, EINVAL, ELOOP, ENOENT, ENOSPC } from '#sentry/abi/errno.ts';
import { O_RDWR, READABLE } from '#sentry/abi/fs.ts';
import { EPOLL_NESTING_MAX, EPOLLET, EPOLLEXCLUSIVE, EPOLLONESHOT, EpollEvent } from '#sentry/abi/epoll.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import { AnonymousFile } from '../anonymous/anonymous-file.ts';
import type { AnonymousFiles } from '../anonymous/anonymous-files.ts';
import { EPOLL_WATCHES_MAX } from '../anonymous/limits.ts';
import { Watch } from './watch.ts';

const DATA_OFFSET = EpollEvent.offsets.data;
let watchesInUse = 0;

export class Epoll extends AnonymousFile {
  private readonly watches = new Map<number, Watch>();
  private head: Watch | null = null;
  private tail: Watch | null = null;
  /** What the last `collect` reported, for `putBack`. */
  private readonly collected: Watch[] = [];
  private collectedCount = 0;

  constructor(files: AnonymousFiles) {
    super(files.anonymous('[eventpoll]'), null, O_RDWR);
  }

  /** EPOLL_CTL_ADD. The caller has checked that `file` can be polled and is not this instance. */
  add(fd: number, file: FileDescription, events: number, dataLow: number, dataHigh: number): number {
    if (this.find(fd, file) !== null) return -EEXIST;
    if (file instanceof Epoll && (file.reaches(this) || file.depthBelow() + 1 + this.depthAbove() > EPOLL_NESTING_MAX)) return -ELOOP;
    if (watchesInUse >= EPOLL_WATCHES_MAX) return -ENOSPC;
    watchesInUse++;
    const watch = new Watch(this, fd, file);
    watch.sameFd = this.watches.get(fd) ?? null;
    this.watches.set(fd, watch);
    if (file instanceof Epoll) file.watchedBy.push(this);
    watch.arm(events, dataLow, dataHigh);
    if (watch.poll() !== 0) this.markReady(watch);
    return 0;
  }

  /** EPOLL_CTL_MOD. */
  modify(fd: number, file: FileDescription, events: number, dataLow: number, dataHigh: number): number {
    const watch = this.find(fd, file);
    if (watch === null) return -ENOENT;
    if ((watch.events & EPOLLEXCLUSIVE) !== 0) return -EINVAL;
    watch.arm(events, dataLow, dataHigh);
    if (watch.poll() !== 0) this.markReady(watch);
    return 0;
  }

  /** EPOLL_CTL_DEL. */
  delete(fd: number, file: FileDescription): number {
    const watch = this.find(fd, file);
    if (watch === null) return -ENOENT;
    this.remove(watch);
    return 0;
  }

  /** Writes at most `max` epoll_events; returns how many. Allocates nothing. */
  collect(view: DataView, offset: number, max: number): number {
    const { collected } = this;
    let count = 0;
    const last = this.tail;
    let at = offset;
    while (this.head !== null && count < max) {
      const watch: Watch = this.head;
      this.unlink(watch);
      const events = watch.poll();
      if (events !== 0) {
        collected[count++] = watch;
        view.setUint32(at, events, true);
        view.setUint32(at + DATA_OFFSET, watch.dataLow, true);
        view.setUint32(at + DATA_OFFSET + 4, watch.dataHigh, true);
        at += EpollEvent.size;
        if ((watch.events & EPOLLONESHOT) !== 0) watch.disarm();
        else if ((watch.events & EPOLLET) === 0) this.append(watch);
      }
      if (watch === last) break;
    }
    this.collectedCount = count;
    return count;
  }

  /** The events from `index` on never reached the guest: they are ready still. */
  putBack(index: number): void {
    for (let i = this.collectedCount - 1; i >= index; i--) {
      const watch = this.collected[i]!;
      if (watch.mask === 0) watch.rearm();
      if (!watch.isReady) this.append(watch);
    }
  }

  /** A file in the interest list became ready. */
  markReady(watch: Watch): void {
    if (!watch.isReady) this.append(watch);
    if (!this.queue.isEmpty) this.queue.notify(READABLE);
  }

  /** The watch is deleted, or its file is gone. */
  remove(watch: Watch): void {
    watch.detach();
    if (watch.isReady) this.unlink(watch);
    this.forget(watch);
    watchesInUse--;
    if (watch.file instanceof Epoll) {
      const { watchedBy } = watch.file;
      watchedBy.splice(watchedBy.indexOf(this), 1);
    }
  }

  override poll(): number {
    while (this.head !== null) {
      if (this.head.poll() !== 0) return READABLE;
      this.unlink(this.head);
    }
    return 0;
  }

  override fdinfo(): string {
    let text = '';
    for (const first of this.watches.values()) {
      for (let watch: Watch | null = first; watch !== null; watch = watch.sameFd) {
        const data = watch.dataHigh.toString(16) + watch.dataLow.toString(16).padStart(8, '0');
        const ino = watch.file.inode.ino.toString(16);
        text += `tfd: ${String(watch.fd).padStart(8)} events: ${hex(watch.events, 8)} data: ${data.replace(/^0+(?=.)/, '').padStart(16)} `;
        text += ` pos:${watch.file.position} ino:${ino} sdev:${watch.file.inode.fileSystem.device.toString(16)}\n`;
      }
    }
    return text;
  }

  protected override destroy(): void {
    for (const first of this.watches.values()) {
      for (let watch: Watch | null = first; watch !== null; ) {
        const next: Watch | null = watch.sameFd;
        this.remove(watch);
        watch = next;
      }
    }
    this.collected.length = 0;
  }

  // Nesting.
  /** Epoll instances that watch this one, once for each watch. */
  private readonly watchedBy: Epoll[] = [];

  private reaches(target: Epoll): boolean {
    if (this === target) return true;
    return this.someNested((inner) => inner.reaches(target));
  }

  private depthBelow(): number {
    let depth = 0;
    this.someNested((inner) => {
      depth = Math.max(depth, inner.depthBelow() + 1);
      return depth > EPOLL_NESTING_MAX;
    });
    return depth;
  }

  private depthAbove(): number {
    let depth = 0;
    for (const outer of this.watchedBy) depth = Math.max(depth, outer.depthAbove() + 1);
    return depth;
  }

  private someNested(test: (inner: Epoll) => boolean): boolean {
    for (const first of this.watches.values()) {
      for (let watch: Watch | null = first; watch !== null; watch = watch.sameFd) {
        if (watch.file instanceof Epoll && test(watch.file)) return true;
      }
    }
    return false;
  }

  // Interest list: by descriptor number, then chained.
  private find(fd: number, file: FileDescription): Watch | null {
    let watch = this.watches.get(fd) ?? null;
    while (watch !== null && watch.file !== file) watch = watch.sameFd;
    return watch;
  }

  private forget(watch: Watch): void {
    const first = this.watches.get(watch.fd)!;
    if (first === watch) {
      if (watch.sameFd === null) this.watches.delete(watch.fd);
      else this.watches.set(watch.fd, watch.sameFd);
      return;
    }
    let before = first;
    while (before.sameFd !== watch) before = before.sameFd!;
    before.sameFd = watch.sameFd;
  }

  // Ready list.
  private append(watch: Watch): void {
    watch.isReady = true;
    watch.next = null;
    watch.previous = this.tail;
    if (this.tail === null) this.head = watch;
    else this.tail.next = watch;
    this.tail = watch;
  }

  private unlink(watch: Watch): void {
    watch.isReady = false;
    if (watch.previous === null) this.head = watch.next;
    else watch.previous.next = watch.next;
    if (watch.next === null) this.tail = watch.previous;
    else watch.next.previous = watch.previous;
    watch.next = null;
    watch.previous = null;
  }
}

function hex(value: number, width: number): string {
  return (value >>> 0).toString(16).padStart(width);
}
