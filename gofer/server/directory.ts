/**
 * Listing directories, with the attributes of every entry, so that a tree can be searched without asking for each file.
 *
 * Nothing is kept between two messages: the directory is opened anew and positioned by the cookie of the last entry (its `d_off`,
 * getdents64(2)), which the client returns as it came. An invented cookie lists from somewhere else, or nothing.
 */
import { ENOENT, ENOTDIR } from '#sentry/abi/errno.ts';
import { NAME_MAX, O_DIRECTORY, O_RDONLY, S_IFDIR, S_IFMT } from '#sentry/abi/fs.ts';
import { ATTRIBUTES_SIZE } from '#gofer/protocol/attributes.ts';
import { Statx } from '#sentry/abi/stat.ts';
import { u16, words } from '#gofer/protocol/codec.ts';
import type { ValueOf, Writer } from '#gofer/protocol/codec.ts';
import { READDIR_END } from '#gofer/protocol/messages.ts';
import type { Readdir } from '#gofer/protocol/messages.ts';
import { close, getdents64, seekTo } from '#platform/host/files.ts';
import { BULK } from './server.ts';
import type { Server } from './server.ts';
import { leave, reach, settle } from './walk.ts';
import type { Position } from './walk.ts';

/** As many bytes of directory entries as describe about one reply's worth of files. */
const DENTS_SIZE = 12_288;
/** Offsets in `struct linux_dirent64`. */
const D_OFF = 8;
const D_RECLEN = 16;
const D_TYPE = 18;
const D_NAME = 19;
/** Room the longest entry and the end of the reply take. */
const ENTRY_MAX = 8 + 2 + 2 + NAME_MAX + ATTRIBUTES_SIZE + 16;

export function readdir(server: Server, request: ValueOf<typeof Readdir.request>, reply: Writer): number {
  const { fid, newFid, names, cookie } = request;
  const position = reach(server, fid, newFid, names);
  if (typeof position === 'number') return position;
  const mount = server.table.mount(fid);
  const error = (position.mode & S_IFMT) === S_IFDIR ? listReached(server, position, cookie, reply) : -ENOTDIR;
  if (error === 0) return settle(server, position, newFid, mount);
  leave(position);
  return error;
}

function listReached(server: Server, position: Position, cookie: readonly [number, number], reply: Writer): number {
  const error = server.putAttributes(position.fd, reply);
  if (error < 0) return error;
  const listing = new Listing(server, reply, cookie);
  if (!position.sealed) {
    const fd = server.reopen(position.fd, O_RDONLY | O_DIRECTORY);
    if (fd < 0) return fd;
    const filled = listing.fill(fd);
    close(fd);
    if (filled < 0) return filled;
  }
  listing.finish();
  return 0;
}

/** One reply in the making. */
class Listing {
  private readonly server: Server;
  private readonly reply: Writer;
  private readonly countAt: number;
  private count = 0;
  private cookieLow: number;
  private cookieHigh: number;
  private end = READDIR_END;

  constructor(server: Server, reply: Writer, cookie: readonly [number, number]) {
    this.server = server;
    this.reply = reply;
    this.countAt = reply.reserve(2);
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
    const { view } = this.server.memory;
    for (let at = from; at < to; at += view.getUint16(at + D_RECLEN, true)) {
      if (this.reply.room < ENTRY_MAX) return false;
      this.take(fd, at);
      this.cookieLow = view.getUint32(at + D_OFF, true);
      this.cookieHigh = view.getUint32(at + D_OFF + 4, true);
    }
    return true;
  }

  private take(fd: number, at: number): void {
    const { server, reply } = this;
    const { view, bytes, address } = server.memory;
    const nameAt = at + D_NAME;
    const length = bytes.indexOf(0, nameAt) - nameAt;
    if (length > NAME_MAX || isDots(bytes, nameAt, length)) return;
    const error = server.statEntry(fd, address + nameAt);
    if (error === -ENOENT) return; // removed meanwhile
    words.write(reply, [view.getUint32(at + D_OFF, true), view.getUint32(at + D_OFF + 4, true)]);
    u16.write(reply, bytes[at + D_TYPE]!);
    u16.write(reply, length);
    reply.memory!.bytes.set(bytes.subarray(nameAt, nameAt + length), reply.reserve(length));
    if (error < 0) this.putUnknown(at);
    else server.putStat(reply);
    this.count++;
  }

  /** Attributes of an entry that cannot be asked for: its inode number and type. */
  private putUnknown(at: number): void {
    const { view } = this.server.memory;
    const memory = this.reply.memory!;
    const start = this.reply.reserve(ATTRIBUTES_SIZE);
    memory.bytes.fill(0, start, start + ATTRIBUTES_SIZE);
    memory.view.setUint16(start + Statx.offsets.mode, view.getUint8(at + D_TYPE) << 12, true);
    memory.view.setUint32(start + Statx.offsets.ino, view.getUint32(at, true), true);
    memory.view.setUint32(start + Statx.offsets.ino + 4, view.getUint32(at + 4, true), true);
  }

  finish(): void {
    this.reply.memory!.view.setUint16(this.countAt, this.count, true);
    u16.write(this.reply, this.end);
    words.write(this.reply, [this.cookieLow, this.cookieHigh]);
  }
}

const DOT = 0x2e;

function isDots(bytes: Uint8Array, at: number, length: number): boolean {
  return bytes[at] === DOT && (length === 1 || (length === 2 && bytes[at + 1] === DOT));
}
