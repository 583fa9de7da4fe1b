/**
 * Directories of an overlay: the upper directory, if there is one already, over any number of lower ones.
 *
 * `covered` are the names in the upper directory (files or whiteouts) below which the lower layers have something too. When such a name goes, a
 * whiteout takes its place. The upper layer starts empty and changes only through here, so the set is always complete, and no lower
 * directory has to be asked when a file is created or removed.
 *
 * A directory that came from the lower layer and is renamed keeps its `lowers`: what Linux writes into a redirect attribute is simply kept in
 * memory, because the upper layer lives no longer than the sandbox. For the same reason directories need no opaque mark: `lowers` is empty.
 */
import { EINVAL, ENOENT, ENOTEMPTY, EPERM } from '#sentry/abi/errno.ts';
import { RENAME_EXCHANGE, RENAME_WHITEOUT, S_IFDIR, S_IFMT } from '#sentry/abi/fs.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import { PEEK_UNKNOWN } from '../../vfs/inode.ts';
import type { Caller, Inode, Stat } from '../../vfs/inode.ts';
import { OVERLAY_CALLER } from './copy-up.ts';
import { isWhiteout, WHITEOUT_MODE } from './format.ts';
import { OverlayInode } from './inode.ts';
import { mergedListing, OverlayDirectoryDescription } from './listing.ts';
import type { Listing } from './listing.ts';
import type { OverlayFileSystem } from './overlay.ts';

/** Name of a whiteout in the index directory before it is moved to its place. */
const SPARE = 'whiteout';

export class OverlayDirectory extends OverlayInode {
  /** What lies below the upper directory, topmost first. */
  readonly lowers: readonly Inode[];
  readonly covered = new Set<string>();
  /** Removed by rmdir or rename. */
  private removed = false;
  /** The merged entries as of the last change; made when somebody lists. */
  private cachedListing: Listing | null = null;

  constructor(fileSystem: OverlayFileSystem, ino: number, upper: Inode | null, lowers: readonly Inode[]) {
    super(fileSystem, ino, upper, lowers[0] ?? null);
    this.lowers = lowers;
    for (let i = 1; i < lowers.length; i++) lowers[i]!.acquire();
  }

  override getattr(into: Stat): number {
    const error = super.getattr(into);
    // Linux: counting the subdirectories of a merged directory would mean to list it; 1 tells programs not to rely on the count.
    if (this.removed) into.nlink = 0;
    else if (this.upper !== null && this.lowers.length > 0) into.nlink = 1;
    return error;
  }

  override lookup(name: string, caller: Caller): OverlayInode | number {
    const found = this.find(name, caller);
    if (typeof found !== 'number') found.place(this, name);
    return found;
  }

  /** In a directory that nothing was changed in, the lower layer knows, but for files of which the overlay may know more: those with other names. */
  override peek(name: string, into: Stat): number {
    if (this.upper !== null || this.lowers.length !== 1) return PEEK_UNKNOWN;
    const result = this.lowers[0]!.peek(name, into);
    if (result !== 0) return result;
    const type = into.mode & S_IFMT;
    const isDirectory = type === S_IFDIR;
    if (type === WHITEOUT_MODE || (into.nlink > 1 && !isDirectory)) return PEEK_UNKNOWN;
    into.dev = this.fileSystem.deviceFor(isDirectory, into.dev);
    return 0;
  }

  /** The lower layer may know the whole path, as far as it leads through directories in which nothing was changed. */
  override lookupAhead(names: readonly string[], caller: Caller, found: (Inode | number)[]): void {
    if (this.lowers.length !== 1 || (this.upper !== null && this.upper.lookup(names[0]!, caller) !== -ENOENT)) return;
    const below: (Inode | number)[] = [];
    this.lowers[0]!.lookupAhead(names, caller, below);
    const first = found.length;
    below.every((lower, i) => {
      const directory = i === 0 ? this : found[first + i - 1]!;
      if (!(directory instanceof OverlayDirectory) || (i > 0 && (directory.upper !== null || directory.lowers.length !== 1))) return false;
      const shown = typeof lower === 'number' ? lower : this.shownAhead(lower);
      if (shown === null) return false;
      if (typeof shown !== 'number') shown.place(directory, names[i]!);
      return found.push(shown) > 0;
    });
    // Those that are not shown: nobody else refers to them.
    for (const lower of below.reverse()) {
      if (typeof lower === 'number') continue;
      lower.acquire();
      lower.release();
    }
  }

  private shownAhead(lower: Inode): OverlayInode | null {
    return isWhiteout(lower) ? null : this.fileSystem.ofLower(lower, lower.isDirectory ? [lower] : null);
  }

  private find(name: string, caller: Caller): OverlayInode | number {
    if (this.upper !== null) {
      const found = this.upper.lookup(name, caller);
      if (typeof found !== 'number') return isWhiteout(found) ? -ENOENT : this.fileSystem.ofUpper(found);
      if (found !== -ENOENT) return found;
    }
    return this.lowers.length === 0 ? -ENOENT : this.fileSystem.lookUpLower(this.lowers, name, caller);
  }

  // New names.
  override create(name: string, mode: number, uid: number, gid: number): Inode | number {
    return this.make(name, (upper) => upper.create(name, mode, uid, gid));
  }

  override mkdir(name: string, mode: number, uid: number, gid: number): Inode | number {
    return this.make(name, (upper) => upper.mkdir(name, mode, uid, gid));
  }

  override mknod(name: string, mode: number, rdev: number, uid: number, gid: number): Inode | number {
    // Linux: nobody makes whiteouts through the overlay.
    if ((mode & S_IFMT) === WHITEOUT_MODE && rdev === 0) return -EPERM;
    return this.make(name, (upper) => upper.mknod(name, mode, rdev, uid, gid));
  }

  override symlink(name: string, target: string, uid: number, gid: number): Inode | number {
    return this.make(name, (upper) => upper.symlink(name, target, uid, gid));
  }

  override link(name: string, target: Inode): number {
    const inode = target as OverlayInode;
    const error = inode.copyUp(Infinity);
    if (error < 0) return error;
    const made = this.make(name, (upper) => upper.link(name, inode.upper!) || inode.upper!);
    return typeof made === 'number' ? made : 0;
  }

  override tmpfile(mode: number, uid: number, gid: number, flags: number): Inode | number {
    const made = this.copyUp(0) || this.upper!.tmpfile(mode, uid, gid, flags);
    return typeof made === 'number' ? made : this.fileSystem.ofUpper(made);
  }

  private make(name: string, build: (upper: Inode) => Inode | number): OverlayInode | number {
    const error = this.copyUp(0);
    if (error < 0) return error;
    const upper = this.upper!;
    const hadWhiteout = this.removeWhiteout(name);
    const made = build(upper);
    if (typeof made === 'number') {
      if (hadWhiteout) upper.mknod(name, WHITEOUT_MODE, 0, 0, 0);
      return made;
    }
    this.changed();
    const inode = this.fileSystem.ofUpper(made);
    inode.place(this, name);
    return inode;
  }

  /** Whether there was one. */
  private removeWhiteout(name: string): boolean {
    if (!this.covered.has(name)) return false;
    const upper = this.upper!;
    const found = upper.lookup(name, OVERLAY_CALLER);
    if (typeof found === 'number' || !isWhiteout(found)) return false;
    return upper.unlink(name, found) === 0;
  }

  // Names go.
  override unlink(name: string, target: Inode): number {
    const inode = target as OverlayInode;
    const error = this.removeFromLayers(name, inode);
    if (error < 0) return error;
    inode.namesChanged();
    return 0;
  }

  override rmdir(name: string, target: Inode): number {
    const directory = target as OverlayDirectory;
    if (!directory.isEmpty) return -ENOTEMPTY;
    const error = this.removeFromLayers(name, directory);
    if (error < 0) return error;
    directory.markRemoved();
    return 0;
  }

  private removeFromLayers(name: string, inode: OverlayInode): number {
    let error = this.copyUp(0);
    if (error < 0) return error;
    const upper = this.upper!;
    const isUpper = this.isInUpper(name);
    const needsWhiteout = !isUpper || this.covered.has(name);
    if (needsWhiteout) error = this.prepareWhiteout();
    if (error < 0) return error;
    if (isUpper) {
      if (inode instanceof OverlayDirectory) inode.clearWhiteouts();
      error = inode.isDirectory ? upper.rmdir(name, inode.upper!) : upper.unlink(name, inode.upper!);
    } else {
      this.covered.add(name);
      inode.lowerNameGone();
    }
    if (needsWhiteout) this.placeWhiteout(name);
    this.changed();
    return error;
  }

  private isInUpper(name: string): boolean {
    return this.upper !== null && typeof this.upper.lookup(name, OVERLAY_CALLER) !== 'number';
  }

  /** Makes a whiteout in the index, so that what follows cannot fail half-way for want of an inode. */
  private prepareWhiteout(): number {
    const made = this.fileSystem.index.mknod(SPARE, WHITEOUT_MODE, 0, 0, 0);
    return typeof made === 'number' ? made : 0;
  }

  private placeWhiteout(name: string): void {
    this.fileSystem.index.rename(SPARE, this.upper!, name, 0);
  }

  private dropPreparedWhiteout(): void {
    const spare = this.fileSystem.index.lookup(SPARE, OVERLAY_CALLER);
    if (typeof spare !== 'number') this.fileSystem.index.unlink(SPARE, spare);
  }

  get isEmpty(): boolean {
    const listing = this.listing();
    return typeof listing !== 'number' && listing.names.length === 0;
  }

  /** Before an empty directory goes: its upper directory holds nothing but whiteouts. */
  clearWhiteouts(): void {
    for (const name of this.covered) this.removeWhiteout(name);
    this.covered.clear();
  }

  private markRemoved(): void {
    this.removed = true;
    this.namesChanged();
  }

  override lowerNameGone(): void {}

  // Moving.
  override rename(name: string, newDirectory: Inode, newName: string, flags: number): number {
    if ((flags & RENAME_WHITEOUT) !== 0) return -EINVAL;
    const to = newDirectory as OverlayDirectory;
    const source = this.lookup(name, OVERLAY_CALLER);
    if (typeof source === 'number') return source;
    const found = to.lookup(newName, OVERLAY_CALLER);
    const target = typeof found === 'number' ? null : found;
    if ((flags & RENAME_EXCHANGE) !== 0) return target === null ? -ENOENT : this.exchange(name, source, to, newName, target);
    if (target instanceof OverlayDirectory && !target.isEmpty) return -ENOTEMPTY;
    const error = this.copyUp(0) || to.copyUp(0) || this.materialize(name, source);
    return error < 0 ? error : this.move(name, source, to, newName, target);
  }

  private move(name: string, source: OverlayInode, to: OverlayDirectory, newName: string, target: OverlayInode | null): number {
    const leavesWhiteout = this.covered.has(name);
    let error = leavesWhiteout ? this.prepareWhiteout() : 0;
    if (error < 0) return error;
    const targetIsUpper = target !== null && to.isInUpper(newName);
    if (targetIsUpper && target instanceof OverlayDirectory) target.clearWhiteouts();
    const hadWhiteout = to.removeWhiteout(newName);
    error = this.upper!.rename(name, to.upper!, newName, 0);
    if (error < 0) {
      if (hadWhiteout) to.upper!.mknod(newName, WHITEOUT_MODE, 0, 0, 0);
      if (leavesWhiteout) this.dropPreparedWhiteout();
      return error;
    }
    if (leavesWhiteout) this.placeWhiteout(name);
    if (target !== null) {
      if (!targetIsUpper) {
        to.covered.add(newName);
        target.lowerNameGone();
      }
      if (target instanceof OverlayDirectory) target.markRemoved();
      else target.namesChanged();
    }
    this.changed();
    to.changed();
    source.place(to, newName);
    return 0;
  }

  private exchange(name: string, source: OverlayInode, to: OverlayDirectory, newName: string, target: OverlayInode): number {
    let error = this.copyUp(0) || to.copyUp(0) || this.materialize(name, source) || to.materialize(newName, target);
    if (error < 0) return error;
    error = this.upper!.rename(name, to.upper!, newName, RENAME_EXCHANGE);
    if (error < 0) return error;
    this.changed();
    to.changed();
    source.place(to, newName);
    target.place(this, name);
    return 0;
  }

  /** Makes sure that `name`, which leads to `inode`, is a name in the upper layer. */
  private materialize(name: string, inode: OverlayInode): number {
    inode.place(this, name);
    const error = inode.copyUp(Infinity);
    if (error < 0) return error;
    if (this.isInUpper(name)) return 0;
    // Copied up under another of its names before.
    const linked = this.upper!.link(name, inode.upper!);
    if (linked < 0) return linked;
    inode.lowerNameGone();
    this.covered.add(name);
    return 0;
  }

  // Copy-up.
  protected override makeUpper(directory: Inode): Inode | number {
    const lower = this.lower!;
    return directory.mkdir(this.name, lower.mode, lower.uid, lower.gid);
  }

  protected override adoptUpper(upper: Inode, _lowerNames: number): void {
    super.adoptUpper(upper, -1);
    this.cachedListing = null;
  }

  protected override get isRemembered(): boolean {
    return !this.removed && this.upper !== null && this.lowers.length > 0;
  }

  protected override letGo(): void {
    super.letGo();
    for (let i = 1; i < this.lowers.length; i++) this.lowers[i]!.release();
  }

  // Listing.
  override open(dentry: Dentry, flags: number, _caller: Caller): FileDescription {
    return new OverlayDirectoryDescription(this, dentry, flags);
  }

  private changed(): void {
    this.cachedListing = null;
  }

  /** All entries of all layers, each name once; or -errno. */
  listing(): Listing | number {
    if (this.cachedListing !== null) return this.cachedListing;
    const listing = mergedListing(this);
    if (typeof listing !== 'number' && this.fileSystem.cacheable) this.cachedListing = listing;
    return listing;
  }
}
