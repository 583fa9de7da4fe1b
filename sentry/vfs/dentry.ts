/**
 * Dentries: names in the tree, each with its inode or none (a negative entry: the name is known not to exist).
 *
 * A dentry is referenced by open files, working directories and mounts; unreferenced ones stay cached in their parent's `children` and are
 * dropped by the cache's bound (dentry-cache.ts). A child keeps its parent alive by being in the parent's `children`; a deleted dentry,
 * which is in nobody's `children`, holds a reference to its parent instead, so that '..' of a deleted directory still leads somewhere.
 * Model: Linux dcache.
 */
import type { DentryList } from './dentry-list.ts';
import type { Inode } from './inode.ts';

export class Dentry {
  /** '' for a root. */
  name: string;
  /** null for a root and for anonymous files. */
  parent: Dentry | null;
  /** null: negative. */
  inode: Inode | null;
  children: Map<string, Dentry> | null = null;
  /** Number of mounts on top of this dentry, over all mount namespaces: lets the walk skip the mount table. */
  mountCount = 0;
  /** Removed from the tree (unlinked, rmdir) while still open: shown as "name (deleted)". */
  unlinked = false;
  references = 0;
  /** The generation of the directory when this was last looked up in it (see Inode). */
  checked = 0;

  /** The child through which a walk went last. See `latestCalled`. */
  latest: Dentry | null = null;

  // Owned by the dentry cache: its list, and whether a walk came by since the cache last looked.
  next: Dentry | null = null;
  previous: Dentry | null = null;
  list: DentryList | null = null;
  used = false;
  private holdsParent = false;

  constructor(name: string, parent: Dentry | null, inode: Inode | null) {
    this.name = name;
    this.parent = parent;
    this.inode = inode;
    inode?.acquire();
  }

  acquire(): this {
    this.references++;
    return this;
  }

  release(): void {
    // A loop: removed directories may hold each other in a chain as long as the guest likes.
    let next = this.giveUp();
    while (next !== null) next = next.giveUp();
  }

  /** One reference less. Returns the parent, if it is to be released in turn. */
  private giveUp(): Dentry | null {
    this.references--;
    return this.references === 0 && (this.unlinked || this.parent === null) ? this.letGo() : null;
  }

  /** `latest`, if it is still a child and called path[start, end): then neither the name has to be made nor the table searched. */
  latestCalled(path: string, start: number, end: number): Dentry | null {
    const { latest } = this;
    if (latest === null || latest.name.length !== end - start) return null;
    // One that was evicted has no inode, one that was removed is unlinked, one that was moved has another name or parent.
    if (latest.inode === null || latest.unlinked || latest.parent !== this) return null;
    const { name } = latest;
    for (let i = 0; i < name.length; i++) if (name.charCodeAt(i) !== path.charCodeAt(start + i)) return null;
    latest.used = true;
    return latest;
  }

  /** No longer in its parent's `children`. Whoever has it open goes on with it. */
  orphan(): void {
    this.unlinked = true;
    if (this.references === 0) {
      this.dispose();
    } else if (this.parent !== null && !this.holdsParent) {
      this.holdsParent = true;
      this.parent.acquire();
    }
  }

  /** Lets go of the inode, and of the parent if it was held. */
  dispose(): void {
    this.letGo()?.release();
  }

  /** Lets go of the inode. Returns the parent if that is to be released too. */
  private letGo(): Dentry | null {
    const { inode } = this;
    this.inode = null;
    inode?.release();
    if (!this.holdsParent) return null;
    this.holdsParent = false;
    return this.parent;
  }
}
