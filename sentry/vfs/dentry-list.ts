/** A list of cached dentries in the order in which they were added, linked through the dentries themselves. */
import type { Dentry } from './dentry.ts';

export class DentryList {
  count = 0;
  /** How many there should be. */
  readonly limit: number;
  /** Up to so many there is nothing to trim: `limit`, or more while most are in use. */
  enough: number;
  private head: Dentry | null = null;
  private last: Dentry | null = null;

  constructor(limit: number) {
    this.limit = limit;
    this.enough = limit;
  }

  /** The one that has been here longest. */
  get tail(): Dentry | null {
    return this.last;
  }

  /** At the front; `dentry` is in no list. */
  add(dentry: Dentry): void {
    dentry.list = this;
    this.count++;
    dentry.previous = null;
    dentry.next = this.head;
    if (this.head === null) this.last = dentry;
    else this.head.previous = dentry;
    this.head = dentry;
  }

  remove(dentry: Dentry): void {
    dentry.list = null;
    this.count--;
    if (dentry.previous === null) this.head = dentry.next;
    else dentry.previous.next = dentry.next;
    if (dentry.next === null) this.last = dentry.previous;
    else dentry.next.previous = dentry.previous;
    dentry.next = null;
    dentry.previous = null;
  }
}
