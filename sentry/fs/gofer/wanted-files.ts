/**
 * Which files one message reads ahead (files-ahead.ts): the one that is opened, those behind it in its directory, with whatever lies in the
 * subdirectories between them, and when the directory is through, those behind it in the one above. That is the order of whoever goes through a tree
 * depth first, as far as listings are known.
 *
 *     const wanted = new WantedFiles(128);
 *     if (wanted.start(directory, listing, name)) wanted.gather(directory, listing);
 */
import { S_IFDIR, S_IFMT, S_IFREG } from '#sentry/abi/fs.ts';
import type { Attributes } from '#gofer/protocol/attributes.ts';
import { FETCHED_DESCRIPTORS_MAX, NAMES_MAX } from '#gofer/protocol/limits.ts';
import { fetchedExtent } from '#gofer/protocol/messages.ts';
import type { FetchGroup } from '#gofer/protocol/messages.ts';
import { GOFER_AHEAD_BYTES_MAX, GOFER_CONTENT_MAX } from '../../limits.ts';
import type { GoferInode } from './inode.ts';
import type { Listing } from './listings.ts';

/** How many entries of a directory, and how deep below it, one message looks for files. */
const GATHERED_ENTRIES_MAX = 1_024;
const GATHERED_DEPTH_MAX = 16;

export interface Group extends FetchGroup {
  readonly listing: Listing;
  readonly files: string[];
}

export class WantedFiles {
  readonly groups: Group[] = [];
  /** Bytes of the window that they need. */
  bytes = 0;
  /** More were found than can be asked for. */
  isFull = false;
  /** What `start` added. */
  private startListing: Listing | null = null;
  private startName = '';
  private left: number;
  private large = 0;

  constructor(files: number) {
    this.left = files;
  }

  /** The file that somebody opens now. Whether it can be fetched. */
  start(directory: GoferInode, listing: Listing, name: string): boolean {
    const attributes = listing.entries.get(name);
    if (attributes === undefined || attributes.mask === 0 || !this.begin(directory, listing)) return false;
    this.startListing = listing;
    this.startName = name;
    return this.add(name, attributes);
  }

  /** What comes behind the cursor of `directory`, and when that is through, behind `directory` in the one above. */
  gather(directory: GoferInode, listing: Listing): void {
    let at: GoferInode = directory;
    let known: Listing | null = listing;
    while (known !== null && this.gatherFrom(at, known)) {
      if (at.parent === null || at.parent.listing === null) return;
      const { name }: GoferInode = at;
      at = at.parent;
      known = at.listing;
      known?.advanceTo(name);
    }
  }

  /** Behind the cursor of a live directory; false when enough was found. */
  private gatherFrom(directory: GoferInode, listing: Listing): boolean {
    const { names, attributes } = listing.entries;
    const end = Math.min(names.length, listing.cursor + GATHERED_ENTRIES_MAX);
    let begun = this.groups.at(-1)?.listing === listing;
    for (let i = listing.cursor; i < end; i++) {
      const entry = attributes[i] ?? null;
      if (entry !== null && (entry.mode & S_IFMT) === S_IFDIR) {
        if (!this.gatherBelow(directory, listing, names[i]!)) return false;
        begun = false;
      } else if (isFetchable(directory, listing, names[i]!, entry) && !this.isStart(listing, names[i]!)) {
        if (!begun && !this.begin(directory, listing)) return false;
        begun = true;
        if (!this.add(names[i]!, entry)) return false;
      }
    }
    return end === names.length;
  }

  private isStart(listing: Listing, name: string): boolean {
    return listing === this.startListing && name === this.startName;
  }

  /** A subdirectory: what lies in it comes before what lies behind it. */
  private gatherBelow(directory: GoferInode, listing: Listing, name: string): boolean {
    const live = directory.children?.get(name);
    if (live !== undefined) return live.listing === null || this.gatherAll(live, live.listing, []);
    const below = listing.below?.get(name);
    return below === undefined || this.gatherAll(directory, below, [name]);
  }

  /** All of one directory that somebody will get to: the one `path` leads to from the live `base`. */
  private gatherAll(base: GoferInode, listing: Listing, path: readonly string[]): boolean {
    const live = path.length === 0 ? base : null;
    let begun = false;
    const { names, attributes } = listing.entries;
    for (let i = 0; i < names.length; i++) {
      const name = names[i]!;
      const entry = attributes[i] ?? null;
      const below = entry !== null && (entry.mode & S_IFMT) === S_IFDIR ? listing.below?.get(name) : undefined;
      if (below !== undefined) {
        if (path.length >= GATHERED_DEPTH_MAX || !this.gatherAll(base, below, [...path, name])) return false;
        begun = false;
      } else if (isFetchable(live, listing, name, entry)) {
        if (!begun && !this.begin(base, listing, path)) return false;
        begun = true;
        if (!this.add(name, entry)) return false;
      }
    }
    return true;
  }

  /** The files that are added next lie in this directory. */
  private begin(base: GoferInode, listing: Listing, path: readonly string[] = []): boolean {
    const names: string[] = [];
    const fid = base.pathFrom(names);
    if (fid === 0 || names.length + path.length > NAMES_MAX) return false;
    this.groups.push({ fid, names: [...names, ...path], files: [], listing });
    return true;
  }

  /** False when no more can be asked for. */
  private add(name: string, { size }: Attributes): boolean {
    const isSmall = size <= GOFER_CONTENT_MAX;
    const bytes = isSmall ? this.bytes + fetchedExtent(size) : this.bytes;
    this.isFull = this.left === 0 || bytes > GOFER_AHEAD_BYTES_MAX || (!isSmall && this.large === FETCHED_DESCRIPTORS_MAX);
    if (this.isFull) return false;
    this.bytes = bytes;
    if (!isSmall) this.large++;
    this.left--;
    this.groups.at(-1)!.files.push(name);
    return true;
  }
}

/** A regular file of which nothing is there yet, and that nobody has changed. */
function isFetchable(
  directory: GoferInode | null,
  listing: Listing,
  name: string,
  attributes: Attributes | null,
): attributes is Attributes {
  if (attributes === null || attributes.mask === 0 || (attributes.mode & S_IFMT) !== S_IFREG) return false;
  if (listing.hasReady(name)) return false;
  const live = directory?.children?.get(name);
  return live === undefined || live.takesReady;
}
