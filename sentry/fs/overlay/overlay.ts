/**
 * overlayfs: one or more read-only trees of any file system shown as a writable one; changes go to a tmpfs that is thrown away with the sandbox.
 *
 *     const overlay = new OverlayFileSystem(device, [goferFs.root], new TmpFileSystem(store, device2, options, 'overlay'));
 *
 * This file keeps the identity of inodes: for a lower inode there is at most one overlay inode at a time, likewise for an upper one. An overlay
 * inode that carries state which the layers do not show (a lower file copied up, so that hard links and st_ino stay what they were; a lower
 * file some of whose names were removed; a renamed directory with the lower directories it came with) stays in these maps for as long as
 * it has a name; all others go when nobody refers to them and are made anew on the next look-up.
 *
 * Model: Linux Documentation/filesystems/overlayfs.rst.
 */
import { emptyAttributes } from '#sentry/abi/stat.ts';
import { ENOENT } from '#sentry/abi/errno.ts';
import { FileSystem } from '../../vfs/inode.ts';
import type { Caller, FileSystemStatistics, Inode } from '../../vfs/inode.ts';
import type { TmpFileSystem } from '../tmpfs/tmpfs.ts';
import { CopyUp } from './copy-up.ts';
import { OverlayDirectory } from './directory.ts';
import { isOpaque, isWhiteout } from './format.ts';
import { OverlayInode } from './inode.ts';

const OVERLAYFS_MAGIC = 0x794c_7630;
/** Inode numbers of files without a lower origin start here: far above those of common lower file systems. */
const UPPER_INO_BASE = 2 ** 40;

export class OverlayFileSystem extends FileSystem {
  readonly type: string = 'overlay';
  override readonly cacheable: boolean;
  override readonly asksFar: boolean;
  readonly root: OverlayDirectory;
  readonly upper: TmpFileSystem;
  readonly copying: CopyUp;
  /** Directory of the upper file system with one link to each copied-up file that has several lower names; out of the guest's sight. */
  readonly index: Inode;
  /** st_dev of the root of each lower layer. */
  private readonly layerDevices: readonly number[];
  private readonly byLower = new Map<Inode, OverlayInode>();
  private readonly byUpper = new Map<Inode, OverlayInode>();

  /** `lowers`: topmost first, at least one, all directories. `upper` is empty and belongs to the overlay alone. */
  constructor(device: number, lowers: readonly Inode[], upper: TmpFileSystem) {
    super(device);
    const top = lowers[0]!;
    this.upper = upper;
    this.layerDevices = lowers.map(deviceOf);
    this.cacheable = lowers.every((lower) => lower.fileSystem.cacheable);
    this.asksFar = top.fileSystem.asksFar;
    this.copying = new CopyUp(upper.store.staging);
    this.index = upper.root.mkdir('index', 0o40700, 0, 0) as Inode;
    const upperRoot = upper.root.mkdir('upper', top.mode, top.uid, top.gid) as Inode;
    this.copying.metadata(top, upperRoot);
    this.root = new OverlayDirectory(this, top.ino, upperRoot, lowers);
    this.byUpper.set(upperRoot, this.root);
    this.byLower.set(top, this.root);
    this.root.acquire();
  }

  statistics(into: FileSystemStatistics): number {
    const error = this.upper.statistics(into);
    into.type = OVERLAYFS_MAGIC;
    return error;
  }

  /**
   * What a file that lies on device `lowerDevice` shows as st_dev: the overlay's own, as far as inode numbers stay unique with that. Files of other
   * devices (a lower tree with mounts in it, further layers) keep theirs; directories only where it is a mount of the lower tree, so that
   * `find -xdev` stops there and nowhere else.
   */
  deviceFor(isDirectory: boolean, lowerDevice: number): number {
    const isOwn = isDirectory ? this.layerDevices.includes(lowerDevice) : lowerDevice === this.layerDevices[0];
    return isOwn ? this.device : lowerDevice;
  }

  /** The overlay inode of an upper inode: a new file, or a copied-up one. */
  ofUpper(upper: Inode): OverlayInode {
    const known = this.byUpper.get(upper);
    if (known !== undefined) return known;
    const ino = UPPER_INO_BASE + upper.ino;
    const made = upper.isDirectory ? new OverlayDirectory(this, ino, upper, []) : new OverlayInode(this, ino, upper, null);
    this.byUpper.set(upper, made);
    return made;
  }

  /** The number that `ofUpper` would show, for listings. */
  inoOf(upper: Inode): number {
    return this.byUpper.get(upper)?.ino ?? UPPER_INO_BASE + upper.ino;
  }

  /** What `name` is in the merged `lowers`, leaving the upper layer aside: an overlay inode or -errno. */
  lookUpLower(lowers: readonly Inode[], name: string, caller: Caller): OverlayInode | number {
    let first: Inode | null = null;
    let merged: Inode[] | null = null;
    for (const lower of lowers) {
      const found = lower.lookup(name, caller);
      if (typeof found === 'number') {
        if (found === -ENOENT) continue;
        return found;
      }
      if (isWhiteout(found)) break;
      if (!found.isDirectory) {
        if (first === null) return this.ofLower(found, null);
        break;
      }
      first ??= found;
      if (lowers.length === 1) break;
      (merged ??= []).push(found);
      if (isOpaque(found)) break;
    }
    return first === null ? -ENOENT : this.ofLower(first, merged ?? [first]);
  }

  /** `merged`: all the directories that make up this one, or null for other files. */
  ofLower(lower: Inode, merged: readonly Inode[] | null): OverlayInode {
    const known = this.byLower.get(lower);
    if (known !== undefined) return known.refresh();
    const made = merged === null ? new OverlayInode(this, lower.ino, null, lower) : new OverlayDirectory(this, lower.ino, null, merged);
    this.byLower.set(lower, made);
    return made;
  }

  /** `inode` has been copied up. */
  rememberUpper(inode: OverlayInode, upper: Inode): void {
    this.byUpper.set(upper, inode);
  }

  /** Nobody refers to `inode` any more, and nothing about it has to be remembered. */
  forget(inode: OverlayInode): void {
    if (inode.upper !== null) this.byUpper.delete(inode.upper);
    if (inode.lower !== null) this.byLower.delete(inode.lower);
  }

  override destroy(): void {
    this.upper.destroy();
  }
}

function deviceOf(inode: Inode): number {
  const stat = emptyAttributes();
  return inode.getattr(stat) < 0 ? inode.fileSystem.device : stat.dev;
}
