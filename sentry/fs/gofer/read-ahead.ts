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
import { MESSAGE_MAX, TREE_DIRECTORY_SIZE_MAX } from '#gofer/protocol/limits.ts';
import { Fetch, FETCH_CONTENT, FETCH_DESCRIPTOR, fetchedExtent, Tree } from '#gofer/protocol/messages.ts';
import type { Fetched, TreeSection } from '#gofer/protocol/messages.ts';
import { GOFER_AHEAD_DIRECTORIES_MAX, GOFER_AHEAD_FILES_MAX, GOFER_CONTENT_MAX } from '../../limits.ts';
import { Donated } from './descriptor-cache.ts';
import { Entries } from './entries.ts';
import type { GoferFileSystem } from './file-system.ts';
import type { GoferInode } from './inode.ts';
import { Listing } from './listings.ts';
import type { Ready } from './listings.ts';
import type { Contents } from './contents.ts';
import { WantedFiles } from './wanted-files.ts';

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
    this.fileSystem.listings.touch(listing);
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
      const entries = new Entries(section.entries);
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
    const wanted = new WantedFiles(this.batch.amount);
    if (!wanted.start(directory, listing, name)) return false;
    wanted.gather(directory, listing);
    return this.fetch(contents, wanted) && listing.hasReady(name);
  }

  private fetch(contents: Contents, { groups, bytes }: WantedFiles): boolean {
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

/** Regular files in [from, to) that are passed over: many, if that lies backwards. */
function filesBetween({ entries }: Listing, from: number, to: number): number {
  if (to < from) return Infinity;
  let files = 0;
  for (let i = from; i < to && files <= SKIPPED_MAX; i++) if (((entries.attributes[i]?.mode ?? 0) & S_IFMT) === S_IFREG) files++;
  return files;
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
