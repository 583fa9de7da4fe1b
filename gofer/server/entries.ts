/**
 * Reading directory entries as getdents64(2) stores them in the server's scratch memory, and writing name and attributes of each to a reply. The
 * host stores the attributes where they belong in the reply; nothing is copied.
 *
 *     entries.begin(fd, from, to);
 *     while (entries.advance()) if (entries.put(reply)) …
 */
import { ENOENT } from '#sentry/abi/errno.ts';
import { NAME_MAX, S_IFLNK, S_IFMT } from '#sentry/abi/fs.ts';
import { Statx } from '#sentry/abi/stat.ts';
import { ATTRIBUTES_SIZE, STATX_SIZE } from '#gofer/protocol/attributes.ts';
import type { Writer } from '#gofer/protocol/codec.ts';
import { LISTED_TARGET_MAX } from '#gofer/protocol/limits.ts';
import { readlinkat } from '#platform/host/files.ts';
import type { Server } from './server.ts';

/** Offsets in `struct linux_dirent64`. */
const D_OFF = 8;
const D_RECLEN = 16;
const D_TYPE = 18;
const D_NAME = 19;
const DOT = 0x2e;

export class EntryReader {
  private readonly server: Server;
  private fd = -1;
  private next = 0;
  private end = 0;
  private at = 0;
  private nameLength = 0;
  /** Of the entry written last: type and permissions, as its attributes tell. */
  mode = 0;

  constructor(server: Server) {
    this.server = server;
  }

  /** Entries of directory `fd`, at [from, to) of the scratch memory. */
  begin(fd: number, from: number, to: number): void {
    this.fd = fd;
    this.next = from;
    this.end = to;
  }

  get isAtEnd(): boolean {
    return this.next >= this.end;
  }

  /** To the next entry; false behind the last. */
  advance(): boolean {
    if (this.next >= this.end) return false;
    const { view, bytes } = this.server.memory;
    this.at = this.next;
    this.next += view.getUint16(this.at + D_RECLEN, true);
    this.nameLength = 0;
    for (let i = this.at + D_NAME; bytes[i] !== 0; i++) this.nameLength++;
    return true;
  }

  /** Not '.', not '..', and no name that could not be sent. */
  get isFile(): boolean {
    const { nameLength } = this;
    const { bytes } = this.server.memory;
    const first = this.at + D_NAME;
    if (bytes[first] === DOT && (nameLength === 1 || (nameLength === 2 && bytes[first + 1] === DOT))) return false;
    return nameLength <= NAME_MAX;
  }

  get type(): number {
    return this.server.memory.bytes[this.at + D_TYPE]!;
  }
  get cookieLow(): number {
    return this.server.memory.view.getUint32(this.at + D_OFF, true);
  }
  get cookieHigh(): number {
    return this.server.memory.view.getUint32(this.at + D_OFF + 4, true);
  }
  name(): string {
    const start = this.at + D_NAME;
    return this.server.memory.latin1(start, start + this.nameLength);
  }

  /** Appends name and attributes. False, and nothing is appended, if the file vanished meanwhile or there is no room (`reply.overflow`). */
  put(reply: Writer): boolean {
    const { server, nameLength } = this;
    const { address } = server.memory;
    const begin = reply.at;
    const start = reply.reserve(2 + nameLength + ATTRIBUTES_SIZE);
    // The host stores the whole structure, of which the end is overwritten by what follows; perhaps a link's target.
    if (start < 0 || reply.room < STATX_SIZE + LISTED_TARGET_MAX) {
      reply.overflow = true;
      return false;
    }
    const memory = reply.memory!;
    const attributesAt = start + 2 + nameLength;
    const error = server.statEntryTo(this.fd, address + this.at + D_NAME, memory, attributesAt);
    if (error === -ENOENT) {
      reply.rewind(begin);
      return false;
    }
    memory.view.setUint16(start, nameLength, true);
    this.copyName(memory.bytes, start + 2);
    if (error < 0) this.putUnknown(memory.view, attributesAt);
    this.mode = memory.view.getUint16(attributesAt + Statx.offsets.mode, true);
    if ((this.mode & S_IFMT) === S_IFLNK) this.putTarget(reply);
    return true;
  }

  /** Where the entry, a symbolic link, points; nothing if that is long. `put` made sure of room. */
  private putTarget(reply: Writer): void {
    const { address } = this.server.memory;
    const at = reply.reserve(2);
    const length = readlinkat(this.fd, address + this.at + D_NAME, reply.memory!.address + at + 2, LISTED_TARGET_MAX + 1);
    const told = length > 0 && length <= LISTED_TARGET_MAX ? length : 0;
    reply.memory!.view.setUint16(at, told, true);
    reply.reserve(told);
  }

  private copyName(into: Uint8Array, offset: number): void {
    const { bytes } = this.server.memory;
    const from = this.at + D_NAME;
    for (let i = 0; i < this.nameLength; i++) into[offset + i] = bytes[from + i]!;
  }

  /** Attributes of an entry that cannot be asked for: its inode number and type. */
  private putUnknown(into: DataView, offset: number): void {
    const { view } = this.server.memory;
    for (let i = 0; i < ATTRIBUTES_SIZE; i += 4) into.setUint32(offset + i, 0, true);
    into.setUint16(offset + Statx.offsets.mode, this.type << 12, true);
    into.setUint32(offset + Statx.offsets.ino, view.getUint32(this.at, true), true);
    into.setUint32(offset + Statx.offsets.ino + 4, view.getUint32(this.at + 4, true), true);
  }
}
