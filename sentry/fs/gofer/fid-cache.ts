/**
 * Which files the gofer holds open for us. A gofer has room for a few thousand fids; there may be many more inodes. So fids are kept for the
 * inodes used last, and an inode that lost its own is walked to again when it needs one. Taking the number of another inode needs no message:
 * the gofer lets go of what a number stood for when it is bound anew.
 *
 * An inode is pinned while it must not lose its fid: a mount's root, and a deleted file that is still open, to which no name leads any more.
 */
import type { GoferConnection } from './connection.ts';

/** Who holds a fid; 0: nobody does. */
export interface FidHolder {
  fid: number;
  pinned: boolean;
}

/** Unused numbers after which the gofer is told to let go of them. */
const IDLE_MAX = 256;

export class FidCache {
  private readonly connection: GoferConnection;
  private readonly limit: number;
  private next = 1;
  /** Numbers that stand for nothing we need. */
  private readonly idle: number[] = [];
  /** Holders that may lose their fid; the least recently used first. */
  private readonly holders = new Set<FidHolder>();

  constructor(connection: GoferConnection, limit: number = connection.hello.fids) {
    this.connection = connection;
    this.limit = limit;
  }

  /** A number to bind, or 0 when every fid is pinned. It belongs to nobody until `give`; `putBack` it if binding failed. */
  take(): number {
    const idle = this.idle.pop();
    if (idle !== undefined) return idle;
    if (this.next <= this.limit) return this.next++;
    for (const holder of this.holders) {
      const { fid } = holder;
      this.holders.delete(holder);
      holder.fid = 0;
      return fid;
    }
    return 0;
  }

  putBack(fid: number): void {
    if (fid !== 0) this.idle.push(fid);
  }

  give(holder: FidHolder, fid: number): void {
    if (holder.fid !== 0) this.putBack(holder.fid);
    holder.fid = fid;
    if (!holder.pinned && fid !== 0) this.holders.add(holder);
  }

  /** `holder` is used: it will be among the last to lose its fid. */
  touch(holder: FidHolder): void {
    if (holder.pinned || !this.holders.delete(holder)) return;
    this.holders.add(holder);
  }

  pin(holder: FidHolder): void {
    holder.pinned = true;
    this.holders.delete(holder);
  }

  /** `holder` goes away. `now`: the gofer must let go of it at once, for it may be the last that keeps a deleted file alive. */
  drop(holder: FidHolder, when: 'now' | 'soon'): void {
    const { fid } = holder;
    if (fid === 0) return;
    holder.fid = 0;
    this.holders.delete(holder);
    this.idle.push(fid);
    if (when === 'now') this.connection.release([fid]);
    else if (this.idle.length % IDLE_MAX === 0) this.connection.release(this.idle.slice(-IDLE_MAX));
  }
}
