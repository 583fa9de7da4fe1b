/**
 * Reading small files ahead: many with one message, their bytes into the window (window.ts), so that opening and reading them
 * costs the sentry neither a descriptor nor a call. Larger files come as descriptors, as an open would give them.
 *
 * Each file is found and judged like one that is opened by name: one component, an O_PATH descriptor, and only if that is a regular file is it
 * opened. What cannot be opened is told as failed; whoever opens it by itself learns why.
 */
import { EBADF, EINVAL } from '#sentry/abi/errno.ts';
import { O_RDONLY, S_IFDIR, S_IFMT, S_IFREG } from '#sentry/abi/fs.ts';
import { ATTRIBUTES_SIZE } from '#gofer/protocol/attributes.ts';
import { u16, u32 } from '#gofer/protocol/codec.ts';
import type { ValueOf, Writer } from '#gofer/protocol/codec.ts';
import { FETCHED_DESCRIPTORS_MAX, FETCHED_MAX } from '#gofer/protocol/limits.ts';
import { FETCH_CONTENT, FETCH_DESCRIPTOR, FETCH_FAILED, fetchedExtent } from '#gofer/protocol/messages.ts';
import type { Fetch, FetchGroup } from '#gofer/protocol/messages.ts';
import { close, read } from '#platform/host/files.ts';
import type { Server } from './server.ts';
import { leave, reach } from './walk.ts';
import type { Position } from './walk.ts';
import type { Window } from './window.ts';

export function fetch(server: Server, request: ValueOf<typeof Fetch.request>, reply: Writer): number {
  const { groups, at, room, limit } = request;
  const { window } = server;
  if (window === null) return -EINVAL;
  // Both are below 2^32: the sum is exact.
  if (at + room > window.size) return -EINVAL;
  if (groups.some(({ fid }) => server.table.descriptor(fid) < 0)) return -EBADF;
  const place = new Place(window, at, at + room, limit);
  const countAt = reply.reserve(2);
  let count = 0;
  for (const group of groups) {
    const fetched = fetchGroup(server, group, Math.min(group.files.length, FETCHED_MAX - count), place, reply);
    count += fetched;
    if (fetched < group.files.length) break;
  }
  reply.memory!.view.setUint16(countAt, count, true);
  return 0;
}

/** The first `most` files of one directory; how many were got through. */
function fetchGroup(server: Server, { fid, names, files }: FetchGroup, most: number, place: Place, reply: Writer): number {
  const position = reach(server, fid, 0, names);
  const directory = typeof position === 'number' || (position.mode & S_IFMT) !== S_IFDIR ? null : position;
  let count = 0;
  while (count < most && fetchOne(server, directory, files[count]!, place, reply)) count++;
  if (typeof position !== 'number') leave(position);
  return count;
}

/** Where in the window the next file goes. */
class Place {
  readonly window: Window;
  readonly limit: number;
  at: number;
  private readonly end: number;

  constructor(window: Window, at: number, end: number, limit: number) {
    this.window = window;
    this.at = at;
    this.end = end;
    this.limit = limit;
  }

  hasRoom(bytes: number): boolean {
    return this.at + fetchedExtent(bytes) <= this.end;
  }

  /** `bytes` were stored. */
  advance(bytes: number): void {
    this.at += fetchedExtent(bytes);
  }
}

/** Tells of one file; false when there is no room left for it, in the window or among the descriptors. */
function fetchOne(server: Server, directory: Position | null, name: string, place: Place, reply: Writer): boolean {
  const pathFd = directory === null || directory.sealed ? -1 : server.openPath(directory.fd, name);
  if (pathFd < 0 || server.stat(pathFd) < 0 || (server.statMode & S_IFMT) !== S_IFREG || server.statSealed(pathFd)) {
    if (pathFd >= 0) close(pathFd);
    return tell(server, FETCH_FAILED, 0, reply);
  }
  const size = server.statSize;
  const small = size <= place.limit;
  const fits = small ? place.hasRoom(size) : server.donated.length < FETCHED_DESCRIPTORS_MAX;
  const fd = fits ? server.reopen(pathFd, O_RDONLY) : -1;
  close(pathFd);
  if (!fits) return false;
  if (fd < 0) return tell(server, FETCH_FAILED, 0, reply);
  if (!small) {
    server.donate(fd);
    return tell(server, FETCH_DESCRIPTOR, 0, reply);
  }
  const length = readWhole(fd, place, size);
  close(fd);
  if (length !== size) return tell(server, FETCH_FAILED, 0, reply);
  place.advance(size);
  return tell(server, FETCH_CONTENT, size, reply);
}

/** Reads up to `size` + 1 bytes: more or fewer than `size` if the file is not as long as its attributes say, which some file systems never are. */
function readWhole(fd: number, place: Place, size: number): number {
  let done = 0;
  for (;;) {
    // SAFETY: `Place` keeps within the window, which is mapped for the life of the process.
    const got = read(fd, place.window.address + place.at + done, size + 1 - done);
    if (got > 0) done += got;
    if (got <= 0 || done >= size) return done;
  }
}

/** With the attributes of the last `stat`; those of a failed file mean nothing. */
function tell(server: Server, kind: number, length: number, reply: Writer): boolean {
  u16.write(reply, kind);
  u32.write(reply, length);
  if (kind === FETCH_FAILED) {
    const at = reply.reserve(ATTRIBUTES_SIZE);
    if (at >= 0) reply.memory!.bytes.fill(0, at, at + ATTRIBUTES_SIZE);
  } else {
    server.putStat(reply);
  }
  return !reply.overflow;
}
