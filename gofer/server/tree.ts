/**
 * Listing a whole tree into one message: directories depth first, each with the attributes of its entries, as far as the message reaches. A
 * program that searches a tree then costs a message for some hundred files, not one for each directory.
 *
 * This is reading ahead, so it is shy: it goes only where a walk would (one component, no links), stays on one file system, leaves out what
 * cannot be listed or is large, and drops a directory that does not fit instead of cutting it.
 *
 *     section: parent u16 (groups count first), name, attributes, count u16, entries (name, attributes)
 */
import { EBADF } from '#sentry/abi/errno.ts';
import { S_IFDIR, S_IFMT } from '#sentry/abi/fs.ts';
import { name as nameField, u16 } from '#gofer/protocol/codec.ts';
import type { ValueOf, Writer } from '#gofer/protocol/codec.ts';
import { TREE_DIRECTORY_SIZE_MAX } from '#gofer/protocol/limits.ts';
import type { Tree } from '#gofer/protocol/messages.ts';
import { close, getdents64 } from '#platform/host/files.ts';
import { EntryReader } from './entries.ts';
import { BULK } from './server.ts';
import type { Server } from './server.ts';
import { leave, reach } from './walk.ts';
import type { Position } from './walk.ts';

const DENTS_SIZE = 16_384;
/** Directories held open on the way down; what lies deeper is listed when it is asked for. */
const DEPTH_MAX = 32;

export function tree(server: Server, request: ValueOf<typeof Tree.request>, reply: Writer): number {
  const { groups, room } = request;
  if (groups.some(({ fid }) => server.table.descriptor(fid) < 0)) return -EBADF;
  const writer = new TreeWriter(server, reply, groups.length, room);
  for (let i = 0; i < groups.length && writer.hasRoom; i++) {
    const { fid, names, directories } = groups[i]!;
    const position = reach(server, fid, 0, names);
    if (typeof position === 'number') continue;
    if ((position.mode & S_IFMT) === S_IFDIR) writer.write(position, i, directories);
    leave(position);
  }
  writer.finish();
  return 0;
}

/** A directory whose subdirectories are being gone through. */
interface Level {
  /** Owned; or that of the position where the tree begins. */
  readonly fd: number;
  /** What sections below it say as their parent. */
  readonly section: number;
  readonly subdirectories: readonly string[];
  next: number;
}

class TreeWriter {
  private readonly server: Server;
  private readonly reply: Writer;
  private readonly countAt: number;
  private readonly entries: EntryReader;
  /** Where in the reply no further directory is begun. */
  private readonly enough: number;
  private readonly groups: number;
  private count = 0;
  private full = false;
  private subdirectories: string[] = [];

  constructor(server: Server, reply: Writer, groups: number, room: number) {
    this.server = server;
    this.reply = reply;
    this.groups = groups;
    this.countAt = reply.reserve(2);
    this.enough = reply.at + room;
    this.entries = new EntryReader(server);
  }

  get hasRoom(): boolean {
    return !this.full && this.reply.at < this.enough;
  }

  /** The directories of one group, and what lies below them. */
  write(start: Position, group: number, directories: readonly string[]): void {
    const levels: Level[] = [{ fd: start.fd, section: group, subdirectories: directories, next: 0 }];
    while (this.hasRoom) {
      const level = levels.at(-1)!;
      const name = level.subdirectories[level.next++];
      if (name === undefined) {
        if (levels.length === 1) break;
        close(level.fd);
        levels.pop();
        continue;
      }
      if (start.sealed) continue;
      const below = this.enter(level, name);
      if (below === null) continue;
      if (levels.length < DEPTH_MAX && below.subdirectories.length > 0) levels.push(below);
      else close(below.fd);
    }
    for (const { fd } of levels.slice(1)) close(fd);
  }

  finish(): void {
    this.reply.memory!.view.setUint16(this.countAt, this.count, true);
  }

  /** Writes the section of one directory. null: it was left out. */
  private enter(level: Level, name: string): Level | null {
    const { server } = this;
    const fd = server.openDirectoryBelow(level.fd, name);
    if (fd < 0) return null;
    const isListed = server.stat(fd) === 0 && this.isWorthListing(fd) && this.section(level.section, name, fd);
    if (isListed) return { fd, section: this.groups + this.count - 1, subdirectories: this.subdirectories, next: 0 };
    close(fd);
    return null;
  }

  /** By the last `stat`. */
  private isWorthListing(fd: number): boolean {
    const { server } = this;
    return !server.statSealed(fd) && server.statSize <= TREE_DIRECTORY_SIZE_MAX;
  }

  private section(parent: number, name: string, fd: number): boolean {
    const { reply, server } = this;
    const begin = reply.at;
    u16.write(reply, parent);
    nameField.write(reply, name);
    server.putStat(reply);
    const countAt = reply.reserve(2);
    const count = reply.overflow ? -1 : this.fill(fd);
    if (reply.overflow) this.full = true;
    if (count < 0 || reply.overflow) {
      reply.rewind(begin);
      return false;
    }
    reply.memory!.view.setUint16(countAt, count, true);
    this.count++;
    return true;
  }

  /** All entries of a directory: their number, or -1 when they cannot be read or do not fit. */
  private fill(fd: number): number {
    const { server, reply, entries } = this;
    this.subdirectories = [];
    let count = 0;
    for (;;) {
      const length = getdents64(fd, server.memory.address + BULK, DENTS_SIZE);
      if (length <= 0) return length === 0 ? count : -1;
      entries.begin(fd, BULK, BULK + length);
      while (entries.advance()) {
        if (!entries.isFile) continue;
        if (!entries.put(reply)) {
          if (reply.overflow) return -1;
          continue;
        }
        count++;
        if ((entries.mode & S_IFMT) === S_IFDIR) this.subdirectories.push(entries.name());
      }
    }
  }
}
