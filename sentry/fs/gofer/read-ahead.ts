/**
 * Reading ahead on an exclusive mount: what a program that goes through a tree (find, grep, tar, git, a package manager) will ask for next is
 * obtained with what it asks for now, many directories or files to a message.
 *
 *     readAhead.listings(directory)        directories: `directory`, what lies below it, and its neighbours and what lies below them
 *     readAhead.files(directory, name)     regular files: `name` and those behind it in the directory's own order
 *
 * Both act only on a program that goes in the directory's order, and ask for more each time while what was read ahead is used, for less
 * when it is not. What came waits in the listing of the directory it lies in (listings.ts): it is bounded there, in the window (contents.ts) and
 * by the number of idle descriptors.
 */
import { S_IFDIR, S_IFMT, S_IFREG } from '#sentry/abi/fs.ts';
import type { Attributes } from '#gofer/protocol/attributes.ts';
import { FETCHED_DESCRIPTORS_MAX, MESSAGE_MAX, NAMES_MAX, TREE_DIRECTORY_SIZE_MAX } from '#gofer/protocol/limits.ts';
import { Fetch, FETCH_CONTENT, FETCH_DESCRIPTOR, fetchedExtent, Tree } from '#gofer/protocol/messages.ts';
import type { Fetched, FetchGroup, TreeSection } from '#gofer/protocol/messages.ts';
import { GOFER_AHEAD_BYTES_MAX, GOFER_AHEAD_DIRECTORIES_MAX, GOFER_AHEAD_FILES_MAX, GOFER_CONTENT_MAX } from '../../limits.ts';
import { Donated } from './descriptor-cache.ts';
import { Entries } from './entries.ts';
import type { GoferFileSystem } from './file-system.ts';
import type { GoferInode } from './inode.ts';
import { Listing } from './listings.ts';
import type { Ready } from './listings.ts';
import type { Contents } from './contents.ts';

/** How many entries of a directory, and how deep below it, one message looks for files. */
const GATHERED_ENTRIES_MAX = 1_024;
const GATHERED_DEPTH_MAX = 16;
/** Files that somebody who goes through a directory may leave out (he wants those called *.c) and still be going through it. */
const SKIPPED_MAX = 16;
/** What may wait to be used while more is read ahead. */
const FILES_WAITING_MAX = 4 * GOFER_AHEAD_FILES_MAX;
const DIRECTORIES_WAITING_MAX = 8 * GOFER_AHEAD_DIRECTORIES_MAX;
/** Bytes of listings that the first message asks for. */
const ROOM_MIN = 8_192;

/** How much to ask for: more while what was read ahead is used, less when it is not. */
class Appetite {
  amount: number;
  private readonly least: number;
  private readonly most: number;
  /** What was read ahead and not used so far, and what was used since the last message. */
  private waiting = 0;
  private used = 0;

  constructor(least: number, most: number) {
    this.amount = least;
    this.least = least;
    this.most = most;
  }

  /** Before a message. `enough`: so many may wait unused, for somebody who goes on will come to them. */
  adjust(enough: number): void {
    if (this.used > 0 && this.waiting <= enough) this.amount = Math.min(this.most, this.amount * 4);
    else if (this.used === 0 && this.waiting > 0) this.lessen();
    else if (this.waiting > enough) this.lessen();
    this.used = 0;
  }
  /** Somebody does not go in order. */
  lessen(): void {
    this.amount = Math.max(this.least, this.amount >> 2);
    this.waiting = 0;
  }
  offer(): void {
    this.waiting++;
  }
  use(): void {
    this.used++;
    if (this.waiting > 0) this.waiting--;
  }
}

/** A descriptor that came before anybody asked for it. */
export class ReadyDescriptor implements Ready {
  readonly attributes: Attributes;
  readonly donated: Donated;

  constructor(attributes: Attributes, donated: Donated) {
    this.attributes = attributes;
    this.donated = donated;
  }

  get isUsable(): boolean {
    return this.donated.wanted;
  }

  discard(): void {
    this.donated.discard();
  }
}

export class ReadAhead {
  readonly room = new Appetite(ROOM_MIN, MESSAGE_MAX);
  readonly batch = new Appetite(1, GOFER_AHEAD_FILES_MAX);
  private readonly fileSystem: GoferFileSystem;
  private readonly contents: Contents | null;

  constructor(fileSystem: GoferFileSystem, contents: Contents | null) {
    this.fileSystem = fileSystem;
    this.contents = contents;
  }

  /** Whether listings that were read ahead have been used lately. */
  get isSearching(): boolean {
    return this.room.amount > ROOM_MIN;
  }

  /** Obtains the listing of `directory` together with others, if its name is one of a listing itself. Whether it has one now. */
  listings(directory: GoferInode): boolean {
    const above = directory.parent;
    const listing = above?.listing ?? null;
    if (above === null || listing === null || directory.attributes.size > TREE_DIRECTORY_SIZE_MAX) return false;
    this.room.adjust(DIRECTORIES_WAITING_MAX);
    listing.advanceTo(directory.name);
    const directories = [directory.name, ...upcomingDirectories(above, listing)];
    const names: string[] = [];
    const from = above.pathFrom(names);
    if (from === 0) return false;
    const body = this.fileSystem.connection.ask(Tree, { fid: from, names, directories, room: this.room.amount });
    // The listing may be gone: finding the way can bring other news. Then nothing can be kept.
    if (body !== null && above.listing === listing) this.keepSections(above, listing, directory, body.sections);
    return directory.listing !== null;
  }

  private keepSections(above: GoferInode, listing: Listing, wanted: GoferInode, sections: readonly TreeSection[]): void {
    const { listings } = this.fileSystem;
    const known: Listing[] = [listing];
    for (const section of sections) {
      const place = known[section.parent];
      const entries = new Entries(section.entries.names, section.entries.attributes);
      if (place === undefined) return;
      if (place === listing && section.name === wanted.name) {
        if (!wanted.isSameFile(section.attributes)) return;
        wanted.update(section.attributes);
        listings.add(wanted, entries);
        known.push(wanted.listing!);
        continue;
      }
      known.push(this.keepSection(place, section, entries, place === listing ? above : (place.owner as GoferInode | null)));
    }
  }

  /** Keeps one listing. `live`: the directory it lies in, if that is alive. */
  private keepSection(place: Listing, { name, attributes }: TreeSection, entries: Entries, live: GoferInode | null): Listing {
    const { listings } = this.fileSystem;
    const entry = place.entries.get(name);
    const directory = live?.children?.get(name);
    const isKnown = entry !== undefined && entry.inoLow === attributes.inoLow && entry.inoHigh === attributes.inoHigh;
    // What a live directory knows already is as good, and others may hold on to it.
    if (!isKnown || (directory !== undefined && (directory.listing !== null || !directory.isSameFile(attributes))))
      return new Listing(entries);
    this.room.offer();
    if (directory === undefined) return listings.addBelow(place, name, entries);
    listings.add(directory, entries);
    return directory.listing!;
  }

  /** Obtains the contents or descriptors of `name` and its neighbours, if somebody goes through the directory. Whether something came for `name`. */
  files(directory: GoferInode, name: string): boolean {
    const { contents } = this;
    const { listing } = directory;
    if (contents === null || listing === null) return false;
    const from = listing.advanceTo(name);
    const { batch } = this;
    if (filesBetween(listing, from, listing.cursor - 1) > (batch.amount > 1 ? SKIPPED_MAX : 0)) {
      batch.lessen();
      return false;
    }
    batch.adjust(FILES_WAITING_MAX);
    if (batch.amount <= 1) {
      // Opened by itself; if the next one is opened, too, that was worth it.
      batch.use();
      return false;
    }
    const wanted = new Wanted(this.batch.amount);
    if (!wanted.start(directory, listing, name)) return false;
    wanted.gather(directory, listing);
    return this.fetch(contents, wanted) && listing.hasReady(name);
  }

  private fetch(contents: Contents, { groups, bytes }: Wanted): boolean {
    const at = contents.reserve(bytes);
    const body = this.fileSystem.connection.ask(Fetch, { groups, at, room: bytes, limit: GOFER_CONTENT_MAX });
    if (body === null) return false;
    const files = body.files.values();
    let position = at;
    for (const group of groups) {
      for (const name of group.files) {
        const { value: file } = files.next();
        if (file === undefined) return true;
        const end = file.kind === FETCH_CONTENT ? position + fetchedExtent(file.length) : position;
        if (end > at + bytes) return true;
        const ready = this.readyOf(contents, file, position);
        position = end;
        if (ready === null) continue;
        group.listing.putReady(name, ready);
        this.batch.offer();
      }
    }
    return true;
  }

  private readyOf(contents: Contents, { kind, length, attributes }: Fetched, at: number): Ready | null {
    const { connection, descriptors } = this.fileSystem;
    if (kind === FETCH_CONTENT) return attributes.size === length ? contents.add(at, length, attributes) : null;
    const fd = kind === FETCH_DESCRIPTOR ? connection.takeDescriptor() : -1;
    if (fd < 0) return null;
    const donated = new Donated(fd, descriptors);
    descriptors.idle(donated);
    return new ReadyDescriptor(attributes, donated);
  }
}

interface Group extends FetchGroup {
  readonly listing: Listing;
  readonly files: string[];
}

/** The files of one message. */
class Wanted {
  readonly groups: Group[] = [];
  /** Bytes of the window that they need. */
  bytes = 0;
  private left: number;
  private large = 0;

  constructor(files: number) {
    this.left = files;
  }

  /** The file that somebody opens now. Whether it can be fetched. */
  start(directory: GoferInode, listing: Listing, name: string): boolean {
    const attributes = listing.entries.get(name);
    if (attributes === undefined || attributes.mask === 0 || !this.begin(directory, listing)) return false;
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
      } else if (isFetchable(directory, listing, names[i]!, entry)) {
        if (!begun && !this.begin(directory, listing)) return false;
        begun = true;
        if (!this.add(names[i]!, entry)) return false;
      }
    }
    return end === names.length;
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
    if (this.left === 0) return false;
    if (size > GOFER_CONTENT_MAX) {
      if (this.large === FETCHED_DESCRIPTORS_MAX) return false;
      this.large++;
    } else {
      if (this.bytes + fetchedExtent(size) > GOFER_AHEAD_BYTES_MAX) return false;
      this.bytes += fetchedExtent(size);
    }
    this.left--;
    this.groups.at(-1)!.files.push(name);
    return true;
  }
}

/** Regular files in [from, to) that are passed over: many, if that lies backwards. */
function filesBetween({ entries }: Listing, from: number, to: number): number {
  if (to < from) return Infinity;
  let files = 0;
  for (let i = from; i < to && files <= SKIPPED_MAX; i++) if (((entries.attributes[i]?.mode ?? 0) & S_IFMT) === S_IFREG) files++;
  return files;
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

/** Directories of which nothing is known: those behind the cursor, then those before it. */
function upcomingDirectories(directory: GoferInode, listing: Listing): string[] {
  const { names, attributes } = listing.entries;
  const found: string[] = [];
  for (let i = 0; i < names.length && found.length < GOFER_AHEAD_DIRECTORIES_MAX - 1; i++) {
    const index = (listing.cursor + i) % names.length;
    const entry = attributes[index] ?? null;
    if (entry === null || entry.mask === 0 || (entry.mode & S_IFMT) !== S_IFDIR || entry.size > TREE_DIRECTORY_SIZE_MAX) continue;
    const name = names[index]!;
    const live = directory.children?.get(name);
    if (listing.below?.has(name) !== true && (live === undefined || live.listing === null)) found.push(name);
  }
  return found;
}
