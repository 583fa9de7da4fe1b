/**
 * Listing directories of an overlay. A directory that only one layer has is listed by that layer, entry for entry. For a merged one the entries of all
 * layers are collected first; that list is shared by all who list the directory until it changes, and a description keeps the one it began
 * with until it is rewound, so cookies (indices) stay valid. Linux does the same (ovl_dir_cache).
 */
import { emptyAttributes } from '#sentry/abi/stat.ts';
import { EINVAL, ENOENT } from '#sentry/abi/errno.ts';
import { direntType, DT_CHR, O_DIRECTORY, O_RDONLY, S_IFDIR, SEEK_CUR, SEEK_SET } from '#sentry/abi/fs.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import { FileDescription } from '../../vfs/file-description.ts';
import type { DirentSink } from '../../vfs/file-description.ts';
import type { Caller, Inode } from '../../vfs/inode.ts';
import { openLayer, OVERLAY_CALLER } from './copy-up.ts';
import type { OverlayDirectory } from './directory.ts';
import { isWhiteout } from './format.ts';

/** Entries without '.' and '..', as parallel arrays. */
export interface Listing {
  readonly names: string[];
  readonly inos: number[];
  readonly types: number[];
}

/** Cookies 0 and 1 are '.' and '..'. */
const FIRST_COOKIE = 2;
const DIRECTORY = direntType(S_IFDIR);

/** Collects the entries of all layers, each name once. */
export function mergedListing(directory: OverlayDirectory): Listing | number {
  const listing: Listing = { names: [], inos: [], types: [] };
  const seen = new Set<string>();
  const { upper, lowers } = directory;
  for (const layer of upper === null ? lowers : [upper, ...lowers]) {
    const file = openLayer(layer, O_RDONLY | O_DIRECTORY);
    if (typeof file === 'number') return file;
    const error = file.readdir((name, ino, type) => {
      if (name === '.' || name === '..' || seen.has(name)) return true;
      seen.add(name);
      if (type === DT_CHR && isHidden(layer, name)) return true;
      listing.names.push(name);
      listing.inos.push(layer === upper ? inoInUpper(directory, layer, name) : ino);
      listing.types.push(type);
      return true;
    }, OVERLAY_CALLER);
    file.release();
    if (error < 0) return error;
  }
  return listing;
}

function isHidden(layer: Inode, name: string): boolean {
  const found = layer.lookup(name, OVERLAY_CALLER);
  return typeof found !== 'number' && isWhiteout(found);
}

function inoInUpper(directory: OverlayDirectory, upper: Inode, name: string): number {
  const found = upper.lookup(name, OVERLAY_CALLER);
  return typeof found === 'number' ? 0 : directory.fileSystem.inoOf(found);
}

const scratchStat = emptyAttributes();

export class OverlayDirectoryDescription extends FileDescription {
  private readonly directory: OverlayDirectory;
  /** How it is listed since the last rewinding: by the one layer that has it, or from a merged list. */
  private layerFile: FileDescription | null = null;
  private listing: Listing | null = null;

  constructor(directory: OverlayDirectory, dentry: Dentry, flags: number) {
    super(dentry, null, flags);
    this.directory = directory;
    directory.acquire();
  }

  override get seekable(): boolean {
    return true;
  }

  override readdir(sink: DirentSink, caller: Caller): number {
    if (this.position === 0 || (this.layerFile === null && this.listing === null)) {
      const error = this.rewind();
      if (error < 0) return error;
    }
    return this.layerFile === null ? this.readListing(sink, this.listing!) : this.readLayer(sink, this.layerFile, caller);
  }

  /** Decides anew how to list: the directory may have got an upper layer meanwhile. */
  private rewind(): number {
    const { directory } = this;
    this.layerFile?.release();
    this.layerFile = null;
    this.listing = null;
    directory.getattr(scratchStat);
    if (scratchStat.nlink === 0) return -ENOENT;
    const { upper, lowers } = directory;
    const only = upper === null && lowers.length === 1 ? lowers[0]! : lowers.length === 0 ? upper : null;
    if (only === null) {
      const listing = directory.listing();
      if (typeof listing === 'number') return listing;
      this.listing = listing;
      return 0;
    }
    const file = openLayer(only, O_RDONLY | O_DIRECTORY);
    if (typeof file === 'number') return file;
    this.layerFile = file;
    return 0;
  }

  private readLayer(sink: DirentSink, file: FileDescription, caller: Caller): number {
    const { directory } = this;
    const layer = directory.upper !== null && directory.lowers.length === 0 ? directory.upper : null;
    file.position = this.position;
    const error = file.readdir((name, ino, type, nextOffset) => {
      if (name === '.') return sink(name, directory.ino, type, nextOffset);
      if (name === '..') return sink(name, this.parentIno, type, nextOffset);
      if (layer !== null) return sink(name, inoInUpper(directory, layer, name), type, nextOffset);
      if (type === DT_CHR && isHidden(directory.lowers[0]!, name)) return true;
      return sink(name, ino, type, nextOffset);
    }, caller);
    this.position = file.position;
    return error;
  }

  private readListing(sink: DirentSink, listing: Listing): number {
    if (this.position === 0) {
      if (!sink('.', this.directory.ino, DIRECTORY, 1)) return 0;
      this.position = 1;
    }
    if (this.position === 1) {
      if (!sink('..', this.parentIno, DIRECTORY, FIRST_COOKIE)) return 0;
      this.position = FIRST_COOKIE;
    }
    for (let i = this.position - FIRST_COOKIE; i < listing.names.length; i++) {
      if (!sink(listing.names[i]!, listing.inos[i]!, listing.types[i]!, i + 1 + FIRST_COOKIE)) return 0;
      this.position = i + 1 + FIRST_COOKIE;
    }
    return 0;
  }

  private get parentIno(): number {
    return this.dentry.parent?.inode?.ino ?? this.directory.ino;
  }

  override seek(offset: number, whence: number): number {
    const to = whence === SEEK_SET ? offset : whence === SEEK_CUR ? this.position + offset : -1;
    return to < 0 ? -EINVAL : to;
  }

  override sync(): number {
    return 0;
  }

  protected override destroy(): void {
    this.layerFile?.release();
    this.directory.release();
  }
}
