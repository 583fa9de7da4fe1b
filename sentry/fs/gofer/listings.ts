/**
 * Directories of exclusive mounts whose entries are all known: what is not listed does not exist, and what is listed needs no question to the
 * gofer either. A listing comes from reading a directory to its end, from prefetching one in which several names were looked up, or ahead of
 * time with those of its neighbours (directories-ahead.ts).
 *
 * A listing belongs to a live directory (`owner`), or, while nobody has looked that directory up, to the listing of the directory above
 * (`above.below`). So what was read ahead waits there until somebody comes for it, and what a directory knew outlives its inode. Files that were
 * read ahead wait in `ready` in the same way.
 *
 * Bounded over all directories of a mount; the listing used least recently goes first, and what waits below it goes with it.
 */
import type { Attributes } from '#gofer/protocol/attributes.ts';
import { GOFER_LISTED_ENTRIES_MAX } from '../../limits.ts';
import type { Entries } from './entries.ts';

/** Who has a listing. */
export interface Listed {
  listing: Listing | null;
}

/** What a file's reader will need, obtained ahead of time. */
export interface Ready {
  /** The file as it was then. */
  readonly attributes: Attributes;
  /** False when it had to give way to others. */
  readonly isUsable: boolean;
  /** Nobody will come for it. */
  discard(): void;
}

export class Listing {
  /** Attributes whose mask is 0 tell no more than type and inode number (any more). */
  readonly entries: Entries;
  owner: Listed | null = null;
  above: Listing | null = null;
  nameAbove = '';
  below: Map<string, Listing> | null = null;
  ready: Map<string, Ready> | null = null;
  /** Index of the entry behind the one that somebody who goes through the directory has got to. */
  cursor = 0;
  /** How many of its files were opened, and how many read ahead for somebody who opens them out of order (files-ahead.ts). */
  opened = 0;
  scattered = 0;
  /** How many of its directories were listed out of order (directories-ahead.ts). */
  strayDirectories = 0;

  constructor(entries: Entries) {
    this.entries = entries;
  }

  /** Moves the cursor behind `name`. Returns the index where it was. */
  advanceTo(name: string): number {
    const { cursor } = this;
    this.cursor = this.entries.indexOf(name) + 1;
    return cursor;
  }

  /** Whether something usable was read ahead for `name`. */
  hasReady(name: string): boolean {
    return this.ready?.get(name)?.isUsable === true;
  }

  /** What was read ahead for `name`; it is the caller's now. */
  takeReady(name: string): Ready | null {
    const { ready } = this;
    const found = ready?.get(name);
    if (found === undefined) return null;
    ready!.delete(name);
    return found.isUsable ? found : null;
  }

  /** `found` waits for whoever opens `name`. */
  putReady(name: string, found: Ready): void {
    this.ready ??= new Map();
    this.ready.get(name)?.discard();
    this.ready.set(name, found);
  }

  discardReady(): void {
    if (this.ready === null) return;
    for (const ready of this.ready.values()) ready.discard();
    this.ready = null;
  }
}

export class Listings {
  private readonly limit: number;
  /** Least recently used first. */
  private readonly kept = new Set<Listing>();
  private latest: Listing | null = null;
  private entries = 0;

  constructor(limit: number = GOFER_LISTED_ENTRIES_MAX) {
    this.limit = limit;
  }

  /** Largest directory that is worth keeping. */
  get largest(): number {
    return this.limit;
  }

  /** For tests: entries in all listings. */
  get size(): number {
    return this.entries;
  }

  /** `directory` consists of `entries`. */
  add(directory: Listed, entries: Entries): void {
    this.drop(directory);
    const listing = new Listing(entries);
    listing.owner = directory;
    directory.listing = listing;
    this.keep(listing);
  }

  /** The directory called `name` in the one of `above` consists of `entries`. Returns its listing. */
  addBelow(above: Listing, name: string, entries: Entries): Listing {
    const old = above.below?.get(name);
    if (old !== undefined) this.dropListing(old);
    const listing = new Listing(entries);
    this.hang(listing, above, name);
    this.keep(listing);
    return listing;
  }

  private keep(listing: Listing): void {
    this.kept.add(listing);
    this.latest = listing;
    this.entries += weight(listing);
    this.trim();
  }

  private hang(listing: Listing, above: Listing, name: string): void {
    listing.owner = null;
    listing.above = above;
    listing.nameAbove = name;
    above.below ??= new Map();
    above.below.set(name, listing);
  }

  /** `directory` came to life as `name` in the directory of `above`: what is known of it becomes its own. Whether something was. */
  adopt(directory: Listed, above: Listing, name: string): boolean {
    const listing = above.below?.get(name);
    if (listing === undefined || directory.listing !== null) return false;
    above.below!.delete(name);
    listing.above = null;
    listing.owner = directory;
    directory.listing = listing;
    return true;
  }

  /** `directory`, called `name`, ceases to be alive: its listing waits in that of the directory above, if there is one. */
  leave(directory: Listed, above: Listing | null, name: string): void {
    const { listing } = directory;
    if (listing === null) return;
    if (above === null || !this.kept.has(above)) {
      this.drop(directory);
      return;
    }
    directory.listing = null;
    const other = above.below?.get(name);
    if (other !== undefined) this.dropListing(other);
    this.hang(listing, above, name);
  }

  /** Whether `listing` was not dropped. */
  has(listing: Listing): boolean {
    return this.kept.has(listing);
  }

  /** `listing` was used. */
  touch(listing: Listing): void {
    if (listing === this.latest || !this.kept.delete(listing)) return;
    this.kept.add(listing);
    this.latest = listing;
  }

  drop(directory: Listed): void {
    if (directory.listing !== null) this.dropListing(directory.listing);
  }

  private dropListing(listing: Listing): void {
    if (!this.kept.delete(listing)) return;
    if (this.latest === listing) this.latest = null;
    this.entries -= weight(listing);
    if (listing.owner !== null) listing.owner.listing = null;
    listing.above?.below?.delete(listing.nameAbove);
    listing.discardReady();
    // No deeper than a message goes: only what was read ahead hangs below.
    if (listing.below !== null) for (const below of listing.below.values()) this.dropListing(below);
  }

  dropAll(): void {
    for (const listing of this.kept) this.dropListing(listing);
  }

  /** A name came into being, or what it stands for changed. */
  set(directory: Listed, name: string, attributes: Attributes): void {
    const { listing } = directory;
    if (listing === null) return;
    if (!listing.entries.set(name, attributes)) return;
    this.entries++;
    this.trim();
  }

  /** A name is gone. */
  remove(directory: Listed, name: string): void {
    const { listing } = directory;
    if (listing === null || !listing.entries.delete(name)) return;
    this.entries--;
    listing.takeReady(name)?.discard();
    const below = listing.below?.get(name);
    if (below !== undefined) this.dropListing(below);
  }

  private trim(): void {
    for (const listing of this.kept) {
      if (this.entries <= this.limit) return;
      if (listing !== this.latest) this.dropListing(listing);
    }
  }
}

/** An empty directory takes memory too. */
function weight(listing: Listing): number {
  return listing.entries.size + 1;
}
