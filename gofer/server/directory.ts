/**
 * Listing directories, with the attributes of every entry, so that a tree can be searched without asking for each file.
 *
 * Nothing is kept between two messages: the directory is opened anew and positioned by the cookie of the last entry (its `d_off`,
 * getdents64(2)), which the client returns as it came. An invented cookie lists from somewhere else, or nothing.
 */
import { ENOTDIR } from '#sentry/abi/errno.ts';
import { NAME_MAX, O_DIRECTORY, O_RDONLY, S_IFDIR, S_IFMT } from '#sentry/abi/fs.ts';
import { ATTRIBUTES_SIZE, STATX_SIZE } from '#gofer/protocol/attributes.ts';
import { i64, u16, words } from '#gofer/protocol/codec.ts';
import type { ValueOf, Writer } from '#gofer/protocol/codec.ts';
import { LISTED_TARGET_MAX } from '#gofer/protocol/limits.ts';
import { READDIR_END } from '#gofer/protocol/messages.ts';
import type { Readdir } from '#gofer/protocol/messages.ts';
import { close, getdents64, seekTo } from '#platform/host/files.ts';
import { EntryReader } from './entries.ts';
import { BULK } from './server.ts';
import type { Server } from './server.ts';
import { leave, reach, settle } from './walk.ts';
import type { Position } from './walk.ts';
import { addWatch } from './watch.ts';

/** As many bytes of directory entries as describe about one reply's worth of files. */
const DENTS_SIZE = 12_288;
/** Room the longest entry and the end of the reply take. */
const ENTRY_MAX = 2 + NAME_MAX + ATTRIBUTES_SIZE + STATX_SIZE + LISTED_TARGET_MAX;

export function readdir(server: Server, request: ValueOf<typeof Readdir.request>, reply: Writer): number {
  const { fid, newFid, names, cookie, watch } = request;
  const position = reach(server, fid, newFid, names);
  if (typeof position === 'number') return position;
  const mount = server.table.mount(fid);
  const error = (position.mode & S_IFMT) === S_IFDIR ? listReached(server, position, cookie, watch, reply) : -ENOTDIR;
  if (error === 0) return settle(server, position, newFid, mount);
  leave(position);
  return error;
}

function listReached(server: Server, position: Position, cookie: readonly [number, number], watch: number, reply: Writer): number {
  const error = server.putAttributes(position.fd, reply);
  if (error < 0) return error;
  const wd = watch === 0 || position.sealed ? -1 : addWatch(server, position.fd);
  const listing = new Listing(server, reply, cookie);
  if (!position.sealed) {
    const fd = server.reopen(position.fd, O_RDONLY | O_DIRECTORY);
    if (fd < 0) return fd;
    const filled = listing.fill(fd);
    close(fd);
    if (filled < 0) return filled;
  }
  listing.finish(wd);
  return 0;
}

/** One reply in the making. */
class Listing {
  private readonly server: Server;
  private readonly reply: Writer;
  private readonly countAt: number;
  private readonly entries: EntryReader;
  private count = 0;
  private cookieLow: number;
  private cookieHigh: number;
  private end = READDIR_END;

  constructor(server: Server, reply: Writer, cookie: readonly [number, number]) {
    this.server = server;
    this.reply = reply;
    this.countAt = reply.reserve(2);
    this.entries = new EntryReader(server);
    [this.cookieLow, this.cookieHigh] = cookie;
  }

  /** Adds entries until the directory ends or the reply is full. 0 or -errno. */
  fill(fd: number): number {
    if (this.cookieLow !== 0 || this.cookieHigh !== 0) {
      const error = seekTo(fd, this.cookieLow, this.cookieHigh);
      if (error < 0) return error;
    }
    for (;;) {
      const length = getdents64(fd, this.server.memory.address + BULK, DENTS_SIZE);
      if (length <= 0) return length;
      if (this.takeAll(fd, BULK, BULK + length)) continue;
      this.end = 0;
      return 0;
    }
  }

  /** Adds the entries at [from, to) of the scratch memory; false when the reply is full. */
  private takeAll(fd: number, from: number, to: number): boolean {
    const { entries, reply } = this;
    entries.begin(fd, from, to);
    while (reply.room >= ENTRY_MAX) {
      if (!entries.advance()) return true;
      if (entries.isFile) this.take();
      this.cookieLow = entries.cookieLow;
      this.cookieHigh = entries.cookieHigh;
    }
    return entries.isAtEnd;
  }

  private take(): void {
    if (this.entries.put(this.reply)) this.count++;
  }

  finish(wd: number): void {
    this.reply.memory!.view.setUint16(this.countAt, this.count, true);
    u16.write(this.reply, this.end);
    words.write(this.reply, [this.cookieLow, this.cookieHigh]);
    i64.write(this.reply, Math.max(wd, -1));
  }
}
