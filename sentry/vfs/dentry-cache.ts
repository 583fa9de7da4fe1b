/**
 * The bound on cached dentries, and the only code that links dentries into the tree and out of it.
 *
 * All dentries are in a list, youngest first. A walk that passes a dentry only sets its `used` bit; when there are too many, `trim` goes
 * through the old end, moves used ones to the front with the bit cleared, and drops those that nobody refers to and that have no children.
 * So a dentry that a walk has just returned survives the next trim: two paths can be resolved one after the other without references.
 *
 * There are two lists: names of file systems where they go without the VFS being told (processes) are in a short one of their own, for what they
 * stand for cannot be let go before them. Linux: proc_flush_pid.
 *
 * Model: the second-chance LRU of Linux's dcache.
 */
import { DENTRIES_MAX, DENTRIES_TRIMMED_AT_ONCE, PASSING_DENTRIES_MAX } from '../limits.ts';
import { Dentry } from './dentry.ts';
import { DentryList } from './dentry-list.ts';
import type { Inode } from './inode.ts';

export class DentryCache {
  private readonly kept: DentryList;
  private readonly passing = new DentryList(PASSING_DENTRIES_MAX);

  constructor(limit: number = DENTRIES_MAX) {
    this.kept = new DentryList(limit);
  }

  /** Dentries in the lists. */
  get count(): number {
    return this.kept.count + this.passing.count;
  }

  /** A new child of `parent`, which must not have one of this name. */
  add(parent: Dentry, name: string, inode: Inode | null): Dentry {
    const dentry = new Dentry(name, parent, inode);
    this.attach(dentry, parent, name);
    return dentry;
  }

  /** Takes `dentry` out of the tree: its name was removed, or leads elsewhere now. */
  drop(dentry: Dentry): void {
    // Below a removed directory there can only be negative entries, or, where the tree changes behind our back, stale ones.
    if (dentry.children !== null && dentry.children.size > 0) for (const stale of bottomUp(dentry)) this.dropOne(stale);
    this.dropOne(dentry);
  }

  private dropOne(dentry: Dentry): void {
    dentry.children = null;
    this.detach(dentry);
    dentry.orphan();
  }

  /** The name of `dentry` was removed; remembers that it does not exist. */
  dropAndRemember(dentry: Dentry): void {
    const parent = dentry.parent!;
    const { name } = dentry;
    this.drop(dentry);
    if (parent.inode!.fileSystem.cacheable) this.add(parent, name, null);
  }

  /** `dentry` is called `name` in `parent` now; what had that name before is gone. */
  move(dentry: Dentry, parent: Dentry, name: string): void {
    const replaced = parent.children?.get(name);
    if (replaced !== undefined && replaced !== dentry) this.drop(replaced);
    const oldParent = dentry.parent!;
    const oldName = dentry.name;
    oldParent.children!.delete(oldName);
    this.attachName(dentry, parent, name);
    if (oldParent.inode!.fileSystem.cacheable) this.add(oldParent, oldName, null);
  }

  /** Two dentries swap their places. */
  exchange(a: Dentry, b: Dentry): void {
    const { parent: parentOfA, name: nameOfA } = a;
    parentOfA!.children!.delete(nameOfA);
    b.parent!.children!.delete(b.name);
    this.attachName(a, b.parent!, b.name);
    this.attachName(b, parentOfA!, nameOfA);
  }

  /** Forgets everything below `dentry` that nobody uses (an unmount, a mount whose names changed behind our back). */
  prune(dentry: Dentry): void {
    for (const below of bottomUp(dentry)) if (isDroppable(below)) this.evict(below);
  }

  /** Brings the number of dentries back to the limit as far as one bounded pass can. */
  trim(): void {
    if (this.kept.count > this.kept.enough) this.trimList(this.kept);
    if (this.passing.count > this.passing.enough) this.trimList(this.passing);
  }

  private trimList(list: DentryList): void {
    const target = list.limit - Math.min(DENTRIES_TRIMMED_AT_ONCE / 2, list.limit / 2);
    let steps = Math.min(DENTRIES_TRIMMED_AT_ONCE, list.count);
    let looked = 0;
    let held = 0;
    let dentry = list.tail;
    while (dentry !== null && steps-- > 0 && list.count > target) {
      const before: Dentry | null = dentry.previous;
      const droppable = isDroppable(dentry);
      looked++;
      if (!droppable) held++;
      if (dentry.used || !droppable) {
        dentry.used = false;
        list.remove(dentry);
        list.add(dentry);
      } else {
        this.evict(dentry);
      }
      dentry = before;
    }
    // What somebody refers to cannot be dropped, however often it is looked at.
    list.enough = held === looked ? list.count + list.limit / 2 : list.limit;
  }

  private evict(dentry: Dentry): void {
    this.detach(dentry);
    dentry.dispose();
  }

  private attach(dentry: Dentry, parent: Dentry, name: string): void {
    this.attachName(dentry, parent, name);
    dentry.used = true;
    const list = parent.inode?.fileSystem.forgetsNames === true ? this.passing : this.kept;
    list.add(dentry);
  }

  private attachName(dentry: Dentry, parent: Dentry, name: string): void {
    dentry.parent = parent;
    dentry.name = name;
    parent.children ??= new Map();
    parent.children.set(name, dentry);
  }

  private detach(dentry: Dentry): void {
    const siblings = dentry.parent?.children;
    if (siblings?.get(dentry.name) === dentry) siblings.delete(dentry.name);
    dentry.list?.remove(dentry);
  }
}

function isDroppable(dentry: Dentry): boolean {
  return dentry.references === 0 && dentry.mountCount === 0 && (dentry.children === null || dentry.children.size === 0);
}

/** Everything below `dentry`, children before their parents. No recursion: a guest decides how deep its directories are. */
function bottomUp(dentry: Dentry): Dentry[] {
  const found: Dentry[] = [dentry];
  for (const at of found) if (at.children !== null) for (const child of at.children.values()) found.push(child);
  found.shift();
  return found.reverse();
}
