/**
 * Open directories. Offsets are entry numbers (0 and 1 are '.' and '..'), because the host's own cookies need more bits than a double holds;
 * so a description remembers at which entry each reply began, and keeps the entries of one reply only. Rewinding to 0 reads anew.
 *
 * Read in order to its end, a directory of an exclusive mount becomes a listing (listings.ts), and is read from that the next time.
 */
import { EINVAL, ENOENT } from '#sentry/abi/errno.ts';
import { direntType, DT_DIR, SEEK_CUR, SEEK_SET } from '#sentry/abi/fs.ts';
import type { Attributes } from '#gofer/protocol/attributes.ts';
import { READDIR_END } from '#gofer/protocol/messages.ts';
import type { DirectoryEntries } from '#gofer/protocol/messages.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import { FileDescription } from '../../vfs/file-description.ts';
import type { DirentSink } from '../../vfs/file-description.ts';
import type { Stat } from '../../vfs/inode.ts';
import type { GoferDirectory } from './directory.ts';
import { Entries } from './entries.ts';
import { inoOf } from './inode.ts';

/** '.' and '..'. */
const FIXED = 2;
const NO_NAMES: readonly string[] = [];
const NO_ATTRIBUTES: readonly Attributes[] = [];

/** Where a reply begins: number of its first entry, and the cookie that yields it. */
interface Chunk {
  readonly first: number;
  readonly cookie: readonly [number, number];
}

export class GoferDirectoryDescription extends FileDescription {
  private readonly directory: GoferDirectory;
  /** Entries [first, first + names.length). Gaps (null) were removed meanwhile. */
  private names: readonly string[] = NO_NAMES;
  private attributes: readonly (Attributes | null)[] = NO_ATTRIBUTES;
  private first = 0;
  private next: readonly [number, number] = [0, 0];
  private ended = false;
  private chunks: Chunk[] = [];
  /** A listing in the making, while the directory is read in order and does not change. */
  private collected: Entries | null = null;
  private changesSeen = 0;

  constructor(directory: GoferDirectory, dentry: Dentry, flags: number) {
    super(dentry, null, flags);
    this.directory = directory;
    directory.acquire();
  }

  override get seekable(): boolean {
    return true;
  }

  override readdir(sink: DirentSink): number {
    const { directory } = this;
    if (directory.deleted) return -ENOENT;
    if (this.position === 0) {
      this.rewind();
      if (!sink('.', directory.ino, DT_DIR, 1)) return 0;
      this.position = 1;
    }
    if (this.position === 1) {
      const parent = this.dentry.parent?.inode ?? directory;
      if (!sink('..', parent.ino, DT_DIR, FIXED)) return 0;
      this.position = FIXED;
    }
    for (;;) {
      const index = this.position - FIXED;
      const error = this.bring(index);
      if (error !== 0) return error < 0 ? error : 0;
      const entry = this.attributes[index - this.first]!;
      if (entry !== null) {
        const name = this.names[index - this.first]!;
        if (!sink(name, inoOf(entry), direntType(entry.mode), this.position + 1)) return 0;
      }
      this.position++;
    }
  }

  private rewind(): void {
    const { directory } = this;
    this.take(NO_NAMES, NO_ATTRIBUTES, 0);
    this.next = [0, 0];
    this.ended = false;
    this.chunks = [];
    const { cacheable, listings, directoriesAhead } = directory.fileSystem;
    const isBelieved = cacheable || directory.mayBelieve();
    this.changesSeen = directory.changes;
    this.collected = isBelieved ? new Entries() : null;
    if (!isBelieved || (directory.listing === null && !(cacheable && directoriesAhead.obtain(directory)))) return;
    listings.touch(directory.listing!);
    const { entries } = directory.listing!;
    this.take(entries.names, entries.attributes, 0);
    this.ended = true;
    this.collected = null;
  }

  private take(names: readonly string[], attributes: readonly (Attributes | null)[], first: number): void {
    this.names = names;
    this.attributes = attributes;
    this.first = first;
  }

  /** Makes entry number `index` one of those that are here: 0, 1 if it lies behind the last, or -errno. */
  private bring(index: number): number {
    if (index < this.first) this.goBack(index);
    while (index - this.first >= this.names.length) {
      if (this.ended) return 1;
      const error = this.fetch();
      if (error < 0) return error;
    }
    return 0;
  }

  /** To the reply that held entry `index`. */
  private goBack(index: number): void {
    const chunk = this.chunks.findLast(({ first }) => first <= index) ?? { first: 0, cookie: [0, 0] as const };
    this.take(NO_NAMES, NO_ATTRIBUTES, chunk.first);
    this.next = chunk.cookie;
    this.ended = false;
    this.collected = null;
  }

  private fetch(): number {
    const first = this.first + this.names.length;
    if (this.chunks.at(-1)?.first !== first) this.chunks.push({ first, cookie: this.next });
    const body = this.directory.read(this.next);
    if (typeof body === 'number') return body;
    if (!this.directory.isBelieved) this.collected = null;
    this.take(body.entries.names, body.entries.attributes, first);
    this.next = body.next;
    this.ended = body.end === READDIR_END;
    this.collect(body.entries);
    return 0;
  }

  private collect(entries: DirectoryEntries): void {
    const { collected, directory } = this;
    if (collected === null) return;
    const { listings } = directory.fileSystem;
    collected.append(entries);
    if (collected.size > listings.largest || directory.changes !== this.changesSeen) this.collected = null;
    else if (this.ended) listings.add(directory, collected);
    if (this.ended) this.collected = null;
  }

  override seek(offset: number, whence: number): number {
    if (whence !== SEEK_SET && whence !== SEEK_CUR) return -EINVAL;
    const to = whence === SEEK_SET ? offset : this.position + offset;
    return to < 0 ? -EINVAL : to;
  }

  override getattr(into: Stat): number {
    const { directory } = this;
    const { cacheable, watches } = directory.fileSystem;
    if (!cacheable) {
      // No walk looked whether it changed.
      watches.drain();
      if (directory.generation === 0) directory.stale = true;
    }
    return this.inode.getattr(into);
  }

  override sync(dataOnly: boolean): number {
    return this.directory.sync(dataOnly);
  }

  protected override destroy(): void {
    this.directory.release();
  }
}
