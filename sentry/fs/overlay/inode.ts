/**
 * An overlay inode: an upper inode, or a lower one that becomes upper with its first change. Non-directories are complete here.
 *
 * Links. A lower file may have several names, all of which lead to the same overlay inode. After copy-up one of them (or none) is a name in
 * the upper layer and the others still only exist in the lower one; `lowerNames` counts those, and the file keeps a link in the overlay's
 * index so that the upper inode outlives its visible names. st_nlink is put together from these.
 */
import { emptyAttributes } from '#sentry/abi/stat.ts';
import { ENODATA, ENOENT, EOPNOTSUPP } from '#sentry/abi/errno.ts';
import { O_ACCMODE, O_EXCL, O_RDONLY, O_TRUNC, S_IFLNK, S_IFMT, S_IFREG } from '#sentry/abi/fs.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import { Inode } from '../../vfs/inode.ts';
import type { AttributeChange, Caller, Stat } from '../../vfs/inode.ts';
import { OVERLAY_CALLER } from './copy-up.ts';
import type { OverlayDirectory } from './directory.ts';
import { OVERLAY_XATTR_PREFIX } from './format.ts';
import type { OverlayFileSystem } from './overlay.ts';

const linkStat = emptyAttributes();

export class OverlayInode extends Inode {
  declare readonly fileSystem: OverlayFileSystem;
  upper: Inode | null;
  /** The lower inode it was, also after copy-up. For a directory the topmost of its lower ones. */
  readonly lower: Inode | null;
  /** A place it can be found at in the tree, where copy-up puts it; null when none is known any more. */
  parent: OverlayDirectory | null = null;
  name = '';
  /** Names in the lower layer that still show, not counting one that was copied up; -1: nothing has changed, ask the lower inode. */
  private lowerNames = -1;
  private indexed = false;
  /** What it shows as st_dev, before and after copy-up; -1: not known yet. */
  private device = -1;
  private references = 0;
  private forgotten = false;

  constructor(fileSystem: OverlayFileSystem, ino: number, upper: Inode | null, lower: Inode | null) {
    const real = (upper ?? lower)!;
    super(fileSystem, ino, real.mode, real.uid, real.gid);
    this.upper = upper;
    this.lower = lower;
    upper?.acquire();
    lower?.acquire();
    if (upper !== null) this.device = fileSystem.device;
  }

  /** Where its attributes and contents are now. */
  get real(): Inode {
    return (this.upper ?? this.lower)!;
  }

  override get rdev(): number {
    return this.real.rdev;
  }

  /** Takes over what the layer says of the fields that the VFS reads directly. */
  refresh(): this {
    const { real } = this;
    this.mode = real.mode;
    this.uid = real.uid;
    this.gid = real.gid;
    return this;
  }

  getattr(into: Stat): number {
    const error = (this.upper ?? this.lower!).getattr(into);
    if (error < 0) return error;
    if (this.device < 0) this.device = this.fileSystem.deviceFor(this.isDirectory, into.dev);
    into.dev = this.device;
    into.ino = this.ino;
    this.mode = into.mode;
    this.uid = into.uid;
    this.gid = into.gid;
    if (this.lowerNames >= 0) into.nlink = this.upper === null ? this.lowerNames : into.nlink + this.lowerNames - (this.indexed ? 1 : 0);
    return 0;
  }

  protected get nlink(): number {
    return this.getattr(linkStat) < 0 ? 0 : linkStat.nlink;
  }

  override setattr(change: AttributeChange, caller: Caller): number {
    const error = this.copyUp(change.size ?? Infinity) || this.upper!.setattr(change, caller);
    this.refresh();
    return error;
  }

  override open(dentry: Dentry, flags: number, caller: Caller): FileDescription | number {
    if (this.upper === null && ((flags & O_ACCMODE) !== O_RDONLY || (flags & O_TRUNC) !== 0)) {
      const error = this.copyUp((flags & O_TRUNC) === 0 ? Infinity : 0);
      if (error < 0) return error;
    }
    return this.real.open(dentry, flags, caller);
  }

  override readlink(caller: Caller): string | number {
    return this.real.readlink(caller);
  }

  // Extended attributes: those of overlayfs itself do not show.
  override getxattr(name: string): string | number {
    return name.startsWith(OVERLAY_XATTR_PREFIX) ? -ENODATA : this.real.getxattr(name);
  }

  override setxattr(name: string, value: string, flags: number): number {
    if (name.startsWith(OVERLAY_XATTR_PREFIX)) return -EOPNOTSUPP;
    return this.copyUp(Infinity) || this.upper!.setxattr(name, value, flags);
  }

  override listxattr(): readonly string[] | number {
    const names = this.real.listxattr();
    return typeof names === 'number' || names.length === 0 ? names : names.filter((name) => !name.startsWith(OVERLAY_XATTR_PREFIX));
  }

  override removexattr(name: string): number {
    const value = this.getxattr(name);
    if (typeof value === 'number') return value;
    return this.copyUp(Infinity) || this.upper!.removexattr(name);
  }

  // Copy-up.
  /** Makes sure it is in the upper layer; of a regular file only the first `limit` bytes are needed. 0 or -errno. */
  copyUp(limit: number): number {
    if (this.upper !== null) return 0;
    const { parent } = this;
    if (parent === null) return this.copyUpNameless(limit);
    const error = parent.copyUp(0);
    if (error < 0) return error;
    return this.fileSystem.copying.keepingTimes(parent.upper!, () => this.copyUpTo(parent, limit));
  }

  private copyUpTo(parent: OverlayDirectory, limit: number): number {
    const { nlink } = this;
    const directory = parent.upper!;
    const made = this.makeUpper(directory);
    if (typeof made === 'number') return made;
    const error = this.fillUpper(made, limit);
    if (error < 0) {
      if (made.isDirectory) directory.rmdir(this.name, made);
      else directory.unlink(this.name, made);
      return error;
    }
    parent.covered.add(this.name);
    this.adoptUpper(made, nlink - 1);
    return 0;
  }

  /** All known names are gone, but it is open: it lives on in the upper layer without a name. */
  private copyUpNameless(limit: number): number {
    const lower = this.lower!;
    if ((this.mode & S_IFMT) !== S_IFREG) return -ENOENT;
    const { nlink } = this;
    // Without any name left it cannot get one again.
    const made = this.fileSystem.index.tmpfile(lower.mode, lower.uid, lower.gid, nlink > 0 ? 0 : O_EXCL);
    if (typeof made === 'number') return made;
    made.acquire();
    const error = this.fillUpper(made, limit);
    if (error === 0) this.adoptUpper(made, nlink);
    made.release();
    return error;
  }

  protected makeUpper(directory: Inode): Inode | number {
    const lower = this.lower!;
    switch (this.mode & S_IFMT) {
      case S_IFREG:
        return directory.create(this.name, lower.mode, lower.uid, lower.gid);
      case S_IFLNK: {
        const target = lower.readlink(OVERLAY_CALLER);
        return typeof target === 'number' ? target : directory.symlink(this.name, target, lower.uid, lower.gid);
      }
      default:
        return directory.mknod(this.name, lower.mode, lower.rdev, lower.uid, lower.gid);
    }
  }

  private fillUpper(made: Inode, limit: number): number {
    const { copying } = this.fileSystem;
    const error = (this.mode & S_IFMT) === S_IFREG ? copying.contents(this.lower!, made, limit) : 0;
    return error || copying.metadata(this.lower!, made);
  }

  /** `lowerNames`: how many other names the lower file still shows under. */
  protected adoptUpper(upper: Inode, lowerNames: number): void {
    upper.acquire();
    this.upper = upper;
    this.lowerNames = lowerNames;
    this.fileSystem.rememberUpper(this, upper);
    if (lowerNames > 0) this.indexed = this.fileSystem.index.link(`${upper.ino}`, upper) === 0;
    this.refresh();
  }

  // Names.
  /** A name of it that only the lower layer has was whited out, or is in the upper layer from now on. */
  lowerNameGone(): void {
    if (this.lowerNames < 0) this.lowerNames = this.nlink;
    this.lowerNames--;
  }

  /** After names were removed: lets go of what nobody can reach any more. */
  namesChanged(): void {
    if (this.nlink > 0) return;
    if (this.indexed) {
      this.indexed = false;
      this.fileSystem.index.unlink(`${this.upper!.ino}`, this.upper!);
    }
    this.place(null, '');
    this.dropIfUnused();
  }

  /** Remembers where it can be found. The directory is kept alive: a copy-up must reach the one that the tree shows. */
  place(parent: OverlayDirectory | null, name: string): void {
    this.name = name;
    if (parent === this.parent) return;
    const old = this.parent;
    this.parent = parent;
    parent?.acquire();
    old?.release();
  }

  override acquire(): void {
    this.references++;
  }

  override release(): void {
    this.references--;
    this.dropIfUnused();
  }

  /** Whether it knows something that could not be found out again. */
  protected get isRemembered(): boolean {
    return this.lower !== null && (this.upper !== null || this.lowerNames >= 0) && this.nlink > 0;
  }

  private dropIfUnused(): void {
    if (this.references > 0 || this.forgotten || this.isRemembered) return;
    this.forgotten = true;
    this.fileSystem.forget(this);
    this.place(null, '');
    this.letGo();
  }

  protected letGo(): void {
    this.upper?.release();
    this.lower?.release();
  }
}
