/**
 * Advisory locks of one inode, of both kinds Linux has:
 *
 * - whole-file locks (flock(2)), owned by an open file description;
 * - record locks on byte ranges (fcntl(2)), owned by a descriptor table (POSIX) or an open file description (F_OFD_*).
 *
 * The two kinds ignore each other. A `FileLocks` hangs on the inode as an attachment, made when the first lock is asked for. Waiting is
 * done by the caller: on a conflict it waits on `queue`, which is notified whenever a lock goes, and tries again.
 *
 * Ranges are [start, end] inclusive; `Infinity` stands for "to the end of the file, however it grows".
 */
import { EAGAIN, EDEADLK, ENOLCK } from '#sentry/abi/errno.ts';
import { F_RDLCK, F_UNLCK, F_WRLCK } from '#sentry/abi/fcntl.ts';
import { WaitQueue } from '../../lib/wait-queue.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import type { Inode } from '../../vfs/inode.ts';

/** More record locks than this on one file give ENOLCK. */
export const RECORDS_MAX = 4096;

/** Event mask of `FileLocks.queue`. */
export const LOCK_RELEASED = 1;

const ATTACHMENT = Symbol('locks');

export interface RecordLock {
  readonly owner: object;
  /** F_RDLCK or F_WRLCK. */
  readonly type: number;
  readonly start: number;
  readonly end: number;
  /** What F_GETLK reports: the process that took it, or -1 for an OFD lock. */
  readonly pid: number;
}

/** Which owner each waiting owner waits for: what deadlock detection walks. One per sandbox would do; owners are unique objects anyway. */
const waitingFor = new Map<object, object>();

export class FileLocks {
  readonly queue = new WaitQueue();
  private readonly whole = new Map<FileDescription, 'shared' | 'exclusive'>();
  /** Sorted by start. */
  private records: RecordLock[] = [];

  /** flock: takes, converts or keeps a lock. 0, or -EAGAIN on a conflict; a failed conversion has lost the old lock, as on Linux. */
  lockWhole(file: FileDescription, kind: 'shared' | 'exclusive'): number {
    if (this.whole.get(file) === kind) return 0;
    if (this.whole.delete(file)) this.queue.notify(LOCK_RELEASED);
    for (const held of this.whole.values()) if (kind === 'exclusive' || held === 'exclusive') return -EAGAIN;
    this.whole.set(file, kind);
    return 0;
  }

  unlockWhole(file: FileDescription): void {
    if (this.whole.delete(file)) this.queue.notify(LOCK_RELEASED);
  }

  /** The first lock of another owner that stands in the way of `wanted`. */
  conflicting(wanted: RecordLock): RecordLock | null {
    for (const held of this.records) {
      if (held.owner === wanted.owner || held.end < wanted.start || held.start > wanted.end) continue;
      if (held.type === F_WRLCK || wanted.type === F_WRLCK) return held;
    }
    return null;
  }

  /** F_SETLK: 0, -EAGAIN on a conflict, -ENOLCK. `wanted.type` may be F_UNLCK. */
  setRecord(wanted: RecordLock): number {
    if (wanted.type !== F_UNLCK && this.conflicting(wanted) !== null) return -EAGAIN;
    const before = this.records;
    const after: RecordLock[] = [];
    let { start, end } = wanted;
    for (const held of before) {
      if (held.owner !== wanted.owner || held.end < start - 1 || held.start > end + 1) {
        after.push(held);
      } else if (held.type === wanted.type) {
        start = Math.min(start, held.start); // same kind, overlapping or adjacent: they melt into one
        end = Math.max(end, held.end);
      } else {
        if (held.start < start) after.push({ ...held, end: Math.min(held.end, start - 1) });
        if (held.end > end) after.push({ ...held, start: Math.max(held.start, end + 1) });
      }
    }
    if (wanted.type !== F_UNLCK) after.push({ ...wanted, start, end });
    if (after.length > before.length && after.length > RECORDS_MAX) return -ENOLCK;
    this.records = after.sort((a, b) => a.start - b.start);
    this.queue.notify(LOCK_RELEASED); // a range may have become free, or weaker
    return 0;
  }

  /** Drops every record lock of `owner`. */
  releaseRecords(owner: object): void {
    const left = this.records.filter((held) => held.owner !== owner);
    if (left.length === this.records.length) return;
    this.records = left;
    this.queue.notify(LOCK_RELEASED);
  }

  /** An open file description goes: its flock and OFD locks go with it. */
  releaseDescription(file: FileDescription): void {
    this.unlockWhole(file);
    this.releaseRecords(file);
  }

  /** For /proc/locks. */
  list(): { readonly whole: readonly (readonly [FileDescription, string])[]; readonly records: readonly RecordLock[] } {
    return { whole: [...this.whole], records: this.records };
  }
}

/** The locks of an inode if any were ever asked for. */
export function existingLocks(inode: Inode): FileLocks | undefined {
  return inode.attachments === null ? undefined : (inode.attachments.get(ATTACHMENT) as FileLocks | undefined);
}

export function locksOf(inode: Inode): FileLocks {
  const existing = existingLocks(inode);
  if (existing !== undefined) return existing;
  const made = new FileLocks();
  inode.attachments ??= new Map();
  inode.attachments.set(ATTACHMENT, made);
  return made;
}

/**
 * `owner` is about to wait for `blocker` (F_SETLKW): -EDEADLK when `blocker` waits for `owner` already, directly or along a chain.
 * Otherwise the wait is noted until `stopWaiting`.
 */
export function startWaiting(owner: object, blocker: object): number {
  let next: object | undefined = blocker;
  for (let steps = 0; next !== undefined && steps < 64; steps++) {
    if (next === owner) return -EDEADLK;
    next = waitingFor.get(next);
  }
  waitingFor.set(owner, blocker);
  return 0;
}

export function stopWaiting(owner: object): void {
  waitingFor.delete(owner);
}

/** Whether a lock type of struct flock is one. */
export function isLockType(type: number): boolean {
  return type === F_RDLCK || type === F_WRLCK || type === F_UNLCK;
}
