/**
 * Reading files ahead on an exclusive mount: a program that opens the files of a directory one after the other, and then those of the next
 * (grep, tar, git), gets with the one it opens those that come behind it, many to a message; their contents, if they are small, without a
 * descriptor.
 *
 *     filesAhead.obtain(directory, name)                when nothing is there for `name`: whether something is now
 *
 * More is asked for while what came ahead is used, less when it is not. The next message is already under way when somebody comes to the first
 * file of it: the gofer reads while the guest does. What came waits in the listing of its directory (listings.ts): it is bounded in the window
 * (contents.ts) and by the number of idle descriptors.
 */
import { S_IFMT, S_IFREG } from '#sentry/abi/fs.ts';
import type { Attributes } from '#gofer/protocol/attributes.ts';
import type { ValueOf } from '#gofer/protocol/codec.ts';
import { Fetch, FETCH_CONTENT, FETCH_DESCRIPTOR, fetchedExtent } from '#gofer/protocol/messages.ts';
import type { Fetched } from '#gofer/protocol/messages.ts';
import type { HostFd } from '#platform/contract/host.ts';
import { GOFER_AHEAD_FILES_MAX, GOFER_CONTENT_MAX } from '../../limits.ts';
import { Appetite } from './appetite.ts';
import type { Contents } from './contents.ts';
import { Donated } from './descriptor-cache.ts';
import type { GoferFileSystem } from './file-system.ts';
import type { GoferInode } from './inode.ts';
import type { Listing, Ready } from './listings.ts';
import type { ReplySlot } from './reply-slot.ts';
import { WantedFiles } from './wanted-files.ts';
import type { Group } from './wanted-files.ts';

/** Files that somebody who goes through a directory may leave out (he wants those called *.c) and still be going through it. */
const SKIPPED_MAX = 16;
/** Files that come with one that somebody waits for. */
const FILES_AT_FIRST = 16;
/** Files of a directory that are opened out of order before some that lie about come with the next; and how many come for each one opened. */
const STRAYS_MAX = 2;
const SCATTERED_SHARE = 4;
/** What may wait to be used while more is read ahead. */
const WAITING_MAX = 4 * GOFER_AHEAD_FILES_MAX;

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

/** Where the files of one message go in the window. */
interface Place {
  readonly groups: readonly Group[];
  readonly at: number;
  readonly bytes: number;
}

export class FilesAhead {
  readonly batch: Appetite = new Appetite(1, GOFER_AHEAD_FILES_MAX);
  private readonly fileSystem: GoferFileSystem;
  /** null: nothing is read ahead on this mount. */
  private readonly contents: Contents | null;
  /** Of the request that is under way; made when the first one is. */
  private slot: ReplySlot | null = null;
  private place: Place | null = null;

  constructor(fileSystem: GoferFileSystem, contents: Contents | null) {
    this.fileSystem = fileSystem;
    this.contents = contents;
  }

  /** Obtains the contents or descriptors of `name` and its neighbours, if somebody goes through the directory. Whether something is there for `name`. */
  obtain(directory: GoferInode, name: string): boolean {
    const { contents, batch } = this;
    const { listing } = directory;
    if (contents === null || listing === null) return false;
    this.settle(contents);
    const from = listing.advanceTo(name);
    if (listing.hasReady(name)) {
      batch.adjust(WAITING_MAX);
      this.goOn(contents, directory, listing);
      return true;
    }
    if (filesBetween(listing, from, listing.cursor - 1) > (batch.isKeen ? SKIPPED_MAX : 0))
      return this.obtainScattered(contents, directory, listing, name);
    batch.adjust(WAITING_MAX);
    if (!batch.isKeen) {
      // Opened by itself; if the next one is opened, too, that was worth it.
      batch.use();
      return false;
    }
    // Somebody waits for these; the next ones can be more.
    const count = this.fileSystem.readOnly ? Math.min(batch.amount, FILES_AT_FIRST) : batch.amount;
    if (!this.ask(contents, directory, listing, name, count)) return false;
    this.goOn(contents, directory, listing);
    return true;
  }

  /**
   * Somebody opens files in an order of his own (git goes by name), perhaps most of a directory, perhaps few. He gets some that lie about, in
   * proportion to those he has opened.
   */
  private obtainScattered(contents: Contents, directory: GoferInode, listing: Listing, name: string): boolean {
    this.batch.lessen();
    const count = Math.min(SCATTERED_SHARE * listing.opened - listing.scattered, GOFER_AHEAD_FILES_MAX);
    if (listing.opened <= STRAYS_MAX || count < SCATTERED_SHARE) return false;
    listing.scattered += count;
    listing.cursor = 0;
    return this.ask(contents, directory, listing, name, count);
  }

  /** `name` and what comes behind the cursor, `count` files together. Whether something is there for `name`. */
  private ask(contents: Contents, directory: GoferInode, listing: Listing, name: string, count: number): boolean {
    const { connection } = this.fileSystem;
    const wanted = new WantedFiles(count);
    if (contents.isReserved || !wanted.start(directory, listing, name)) return false;
    wanted.gather(directory, listing);
    const place = placeFor(contents, wanted);
    const body = connection.ask(Fetch, requestFor(place));
    if (body !== null) this.keep(contents, place, body.files, () => connection.takeDescriptor());
    return listing.hasReady(name);
  }

  /** Asks for what comes behind the cursor of `listing`, and does not wait. */
  private goOn(contents: Contents, directory: GoferInode, listing: Listing): void {
    const { connection, readOnly } = this.fileSystem;
    if (!this.batch.isKeen || !readOnly || contents.isReserved) return;
    const { amount } = this.batch;
    let wanted = new WantedFiles(amount);
    wanted.gather(directory, listing);
    if (!wanted.isFull && this.fileSystem.directoriesAhead.takeArrived(directory)) {
      wanted = new WantedFiles(amount);
      wanted.gather(directory, listing);
    }
    if (wanted.groups.length === 0) return;
    const place = placeFor(contents, wanted);
    this.slot ??= connection.makeSlot();
    if (!connection.begin(this.slot, Fetch, requestFor(place))) return;
    contents.isReserved = true;
    this.place = place;
  }

  /** Takes what is under way. */
  private settle(contents: Contents): void {
    const { slot, place } = this;
    if (slot === null || place === null) return;
    this.place = null;
    contents.isReserved = false;
    const body = this.fileSystem.connection.finish(slot, Fetch);
    if (body !== null) this.keep(contents, place, body.files, () => slot.takeDescriptor());
  }

  private keep(contents: Contents, { groups, at, bytes }: Place, fetched: readonly Fetched[], takeDescriptor: () => HostFd): void {
    const { listings } = this.fileSystem;
    const files = fetched.values();
    let position = at;
    for (const { listing, files: names } of groups) {
      const isKept = listings.has(listing);
      for (const name of names) {
        const { value: file } = files.next();
        if (file === undefined) return;
        const end = file.kind === FETCH_CONTENT ? position + fetchedExtent(file.length) : position;
        if (end > at + bytes) return;
        const ready = this.readyOf(contents, file, position, takeDescriptor);
        position = end;
        if (ready === null) continue;
        if (isKept) {
          listing.putReady(name, ready);
          this.batch.offer();
        } else ready.discard();
      }
    }
  }

  private readyOf(contents: Contents, { kind, length, attributes }: Fetched, at: number, takeDescriptor: () => HostFd): Ready | null {
    const { descriptors } = this.fileSystem;
    if (kind === FETCH_CONTENT) return attributes.size === length ? contents.add(at, length, attributes) : null;
    const fd = kind === FETCH_DESCRIPTOR ? takeDescriptor() : -1;
    if (fd < 0) return null;
    const donated = new Donated(fd, descriptors);
    descriptors.idle(donated);
    return new ReadyDescriptor(attributes, donated);
  }
}

function placeFor(contents: Contents, { groups, bytes }: WantedFiles): Place {
  return { groups, at: contents.reserve(bytes), bytes };
}

function requestFor({ groups, at, bytes }: Place): ValueOf<typeof Fetch.request> {
  return { groups, at, room: bytes, limit: GOFER_CONTENT_MAX };
}

/** Regular files in [from, to) that are passed over: many, if that lies backwards. */
function filesBetween({ entries }: Listing, from: number, to: number): number {
  if (to < from) return Infinity;
  let files = 0;
  for (let i = from; i < to && files <= SKIPPED_MAX; i++) if (((entries.attributes[i]?.mode ?? 0) & S_IFMT) === S_IFREG) files++;
  return files;
}
