/**
 * Listing directories ahead on an exclusive mount: a program that goes through a tree (find, grep, tar, a package manager) gets with the
 * listing it asks for those of the neighbours, and what lies below them.
 *
 *     directoriesAhead.obtain(directory)                whenever `directory` has no listing: whether it has one now
 *
 * While what came ahead is used, the next message is already under way when somebody comes to its first directory: the gofer works while the
 * guest does. Nobody waits for it who does not need it, and when nobody comes for what it brings, none follows. What came waits in the listing of the
 * directory it lies in (listings.ts) and is bounded there.
 *
 * Only where the gofer refuses changes may a message be under way while the guest goes on: what it says cannot have been overtaken by a
 * change of ours.
 */
import { S_IFDIR, S_IFMT } from '#sentry/abi/fs.ts';
import { MESSAGE_MAX, TREE_DIRECTORY_SIZE_MAX } from '#gofer/protocol/limits.ts';
import { Tree } from '#gofer/protocol/messages.ts';
import type { TreeSection } from '#gofer/protocol/messages.ts';
import { GOFER_AHEAD_DIRECTORIES_MAX } from '../../limits.ts';
import { Appetite } from './appetite.ts';
import { Entries } from './entries.ts';
import type { GoferFileSystem } from './file-system.ts';
import type { GoferInode } from './inode.ts';
import type { Listing } from './listings.ts';
import type { ReplySlot } from './reply-slot.ts';
import { WantedDirectories } from './wanted-directories.ts';
import type { WantedGroup } from './wanted-directories.ts';

/** What may wait to be used while more is read ahead. */
const WAITING_MAX = 8 * GOFER_AHEAD_DIRECTORIES_MAX;
/** Bytes of listings that the first message asks for. */
const ROOM_MIN = 8_192;
/** No directory is begun behind the first. */
const ROOM_OF_ONE = 1;
/** So many directories of one may be needed out of order before it is worth while to list their neighbours. */
const STRAYS_MAX = 2;

export class DirectoriesAhead {
  readonly room: Appetite = new Appetite(ROOM_MIN, MESSAGE_MAX);
  private readonly fileSystem: GoferFileSystem;
  /** Of the request that is under way; made when the first one is. */
  private slot: ReplySlot | null = null;
  private groups: readonly WantedGroup[] = [];

  constructor(fileSystem: GoferFileSystem) {
    this.fileSystem = fileSystem;
  }

  /** Whether listings that were read ahead have been used lately. */
  get isSearching(): boolean {
    return this.room.isKeen;
  }

  /** Whether somebody needs many directories of this one, in whatever order: then he will need all of those that he comes to. */
  isWandered({ parent }: GoferInode): boolean {
    return (parent?.listing?.strayDirectories ?? 0) > STRAYS_MAX;
  }

  /** Obtains the listing of `directory`, perhaps together with others, if its name is one of a listing itself. Whether it has one now. */
  obtain(directory: GoferInode): boolean {
    const came = this.settle();
    if (directory.listing !== null) {
      this.room.use();
      this.room.adjust(WAITING_MAX);
      this.goOn(directory);
      return true;
    }
    const above = directory.parent;
    const listing = above?.listing ?? null;
    if (above === null || listing === null || directory.attributes.size > TREE_DIRECTORY_SIZE_MAX) return false;
    this.fileSystem.listings.touch(listing);
    const from = listing.advanceTo(directory.name);
    if (!isNextDirectory(listing, from, listing.cursor - 1)) {
      const room = this.roomForStray(listing);
      return this.ask(directory, above, listing, room);
    }
    this.room.adjust(WAITING_MAX);
    // Somebody waits for this one; the next can be larger.
    if (!this.ask(directory, above, listing, this.fileSystem.readOnly ? ROOM_MIN : this.room.amount)) return false;
    // Where nothing comes of asking ahead, it ends.
    if (came !== 0) this.goOn(directory);
    return true;
  }

  /**
   * Takes what is under way, if it is here, and asks for more, for somebody in `directory` who has use for listings of which he will read the files.
   * Whether there are more now.
   */
  takeArrived(directory: GoferInode): boolean {
    if (this.slot?.isBusy !== true || !this.slot.hasArrived || this.settle() === 0) return false;
    this.goOn(directory);
    return true;
  }

  private ask(directory: GoferInode, above: GoferInode, listing: Listing, room: number): boolean {
    const wanted = new WantedDirectories(GOFER_AHEAD_DIRECTORIES_MAX);
    if (!wanted.start(directory, above, listing)) return false;
    if (room > ROOM_OF_ONE) wanted.addNeighbours(directory, above, listing);
    const { groups } = wanted;
    const body = this.fileSystem.connection.ask(Tree, { groups, room });
    if (body !== null) this.keep(groups, body.sections, directory);
    return directory.listing !== null;
  }

  /** Room for a directory that is needed out of order: who needs few in this one has no use for their neighbours. */
  private roomForStray(listing: Listing): number {
    if (++listing.strayDirectories <= STRAYS_MAX) return ROOM_OF_ONE;
    this.room.adjust(WAITING_MAX);
    return this.room.amount;
  }

  /** Asks for what comes behind `directory`, and does not wait. */
  private goOn(directory: GoferInode): void {
    const { connection, readOnly } = this.fileSystem;
    if (!this.isSearching || !readOnly) return;
    const wanted = new WantedDirectories(GOFER_AHEAD_DIRECTORIES_MAX);
    wanted.gather(directory);
    const { groups } = wanted;
    if (groups.length === 0) return;
    this.slot ??= connection.makeSlot();
    if (connection.begin(this.slot, Tree, { groups, room: this.room.amount })) this.groups = groups;
  }

  /** Takes what is under way. How many listings it brought; -1: there was nothing under way. */
  private settle(): number {
    const { slot, groups } = this;
    if (slot === null || !slot.isBusy) return -1;
    this.groups = [];
    const body = this.fileSystem.connection.finish(slot, Tree);
    return body === null ? 0 : this.keep(groups, body.sections, null);
  }

  /** Keeps the listings that came. Their number. `needed`: the directory whose listing was not asked for ahead of need. */
  private keep(groups: readonly WantedGroup[], sections: readonly TreeSection[], needed: GoferInode | null): number {
    const places: (Listing | null)[] = groups.map(({ listing }) => listing);
    let kept = 0;
    for (const section of sections) {
      const place = places[section.parent];
      if (place === undefined) return kept;
      const listing = place === null ? null : this.keepSection(place, section);
      if (listing !== null) kept++;
      if (listing !== null && (needed === null || listing.owner !== needed)) this.room.offer();
      places.push(listing);
    }
    return kept;
  }

  /** Keeps one listing that belongs in `place`. null: it is not needed, or not known to belong there any more. */
  private keepSection(place: Listing, { name, attributes, entries }: TreeSection): Listing | null {
    const { listings } = this.fileSystem;
    const entry = place.entries.get(name);
    if (entry === undefined || entry.inoLow !== attributes.inoLow || entry.inoHigh !== attributes.inoHigh || !listings.has(place))
      return null;
    const directory = (place.owner as GoferInode | null)?.children?.get(name);
    // What is known already is as good, and others may hold on to it.
    if (place.below?.has(name) === true || (directory !== undefined && (directory.listing !== null || !directory.isSameFile(attributes))))
      return null;
    if (directory === undefined) return listings.addBelow(place, name, new Entries(entries));
    listings.add(directory, new Entries(entries));
    return directory.listing;
  }
}

/** Whether no directory lies in [from, to). */
function isNextDirectory({ entries }: Listing, from: number, to: number): boolean {
  if (to < from) return false;
  for (let i = from; i < to; i++) if (((entries.attributes[i]?.mode ?? 0) & S_IFMT) === S_IFDIR) return false;
  return true;
}
