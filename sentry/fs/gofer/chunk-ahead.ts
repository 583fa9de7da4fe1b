/**
 * The next part of a large directory, asked for while somebody still goes through the one before: who reads a directory mostly reads all of it,
 * and each part keeps the gofer busy for longer than its reader. One directory at a time; for mounts on which the gofer refuses changes, like
 * all that is asked for ahead of need (directories-ahead.ts).
 *
 *     const part = chunkAhead.take(directory, cookie) ?? connection.ask(Readdir, …);
 *     if (part.end !== READDIR_END) chunkAhead.begin(directory, fid, part.next);
 */
import type { ValueOf } from '#gofer/protocol/codec.ts';
import { Readdir } from '#gofer/protocol/messages.ts';
import type { GoferFileSystem } from './file-system.ts';
import type { GoferInode } from './inode.ts';
import type { ReplySlot } from './reply-slot.ts';

type Cookie = readonly [number, number];
type Part = ValueOf<typeof Readdir.reply>;

const NO_NAMES: readonly string[] = [];

export class ChunkAhead {
  private readonly fileSystem: GoferFileSystem;
  /** Made when the first request is sent ahead. */
  private slot: ReplySlot | null = null;
  /** What is under way: the part of this directory that begins here. */
  private directory: GoferInode | null = null;
  private cookie: Cookie = [0, 0];

  constructor(fileSystem: GoferFileSystem) {
    this.fileSystem = fileSystem;
  }

  /** The part of `directory` that begins at `cookie`, if it was asked for. null: it was not, or cannot be read. */
  take(directory: GoferInode, cookie: Cookie): Part | null {
    const { slot } = this;
    if (slot === null || !slot.isBusy || this.directory !== directory) return null;
    if (this.cookie[0] !== cookie[0] || this.cookie[1] !== cookie[1]) return null;
    this.directory = null;
    return this.fileSystem.connection.finish(slot, Readdir);
  }

  /** Asks for the part of `directory`, which `fid` stands for, that begins at `cookie`. Not while another is under way that is not here yet. */
  begin(directory: GoferInode, fid: number, cookie: Cookie): void {
    const { connection, readOnly, cacheable } = this.fileSystem;
    if (!readOnly || !cacheable || fid === 0) return;
    this.slot ??= connection.makeSlot();
    const { slot } = this;
    if (slot.isBusy) {
      if (!slot.hasArrived) return;
      // Nobody came for it.
      connection.finish(slot, Readdir);
    }
    const isSent = connection.begin(slot, Readdir, { fid, newFid: 0, names: NO_NAMES, cookie, watch: 0 });
    this.directory = isSent ? directory : null;
    this.cookie = cookie;
  }
}
