/**
 * Directories of exclusive mounts whose entries are all known: what is not listed does not exist, and what is listed needs no question to the
 * gofer either. A listing comes from reading a directory to its end, or from prefetching one in which several names were looked up.
 *
 * Bounded over all directories of a mount; the listing made first goes first.
 */
import type { Attributes } from '#gofer/protocol/attributes.ts';
import { GOFER_LISTED_ENTRIES_MAX } from '../../limits.ts';

/** Entries of one directory. Attributes whose mask is 0 tell no more than type and inode number (any more). */
export type Listing = Map<string, Attributes>;

/** Who has a listing. */
export interface Listed {
  listing: Listing | null;
}

export class Listings {
  private readonly limit: number;
  private readonly listed = new Set<Listed>();
  private entries = 0;

  constructor(limit: number = GOFER_LISTED_ENTRIES_MAX) {
    this.limit = limit;
  }

  /** Largest directory that is worth keeping. */
  get largest(): number {
    return this.limit >> 2;
  }

  add(directory: Listed, listing: Listing): void {
    this.drop(directory);
    directory.listing = listing;
    this.listed.add(directory);
    this.entries += listing.size;
    this.trim();
  }

  drop(directory: Listed): void {
    if (!this.listed.delete(directory)) return;
    this.entries -= directory.listing?.size ?? 0;
    directory.listing = null;
  }

  dropAll(): void {
    for (const directory of this.listed) this.drop(directory);
  }

  /** A name came into being, or what it stands for changed. */
  set(directory: Listed, name: string, attributes: Attributes): void {
    const { listing } = directory;
    if (listing === null) return;
    if (!listing.has(name)) this.entries++;
    listing.set(name, attributes);
    this.trim();
  }

  /** A name is gone. */
  remove(directory: Listed, name: string): void {
    if (directory.listing?.delete(name) === true) this.entries--;
  }

  private trim(): void {
    for (const directory of this.listed) {
      if (this.entries <= this.limit) return;
      this.drop(directory);
    }
  }
}
