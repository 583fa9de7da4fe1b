/**
 * Operations that find files and read about them: attach, walk, getattr, open, readlink, statfs.
 */
import { EACCES, EBADF, EINVAL, EISDIR, ELOOP, ENOENT, ENOTDIR, ENXIO, EROFS } from '#sentry/abi/errno.ts';
import {
  O_ACCMODE,
  O_APPEND,
  O_DIRECT,
  O_DIRECTORY,
  O_DSYNC,
  O_NOATIME,
  O_RDONLY,
  O_SYNC,
  O_TRUNC,
  PATH_MAX,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
} from '#sentry/abi/fs.ts';
import { u32 } from '#gofer/protocol/codec.ts';
import type { ValueOf, Writer } from '#gofer/protocol/codec.ts';
import { getU64 } from '#sentry/abi/layout.ts';
import { MOUNT_FILE, MOUNT_IDS_MAPPED, MOUNT_READ_ONLY, Readlink, Statfs } from '#gofer/protocol/messages.ts';
import type { Attach, GetAttributes, MakeReadOnly, Open, Walk } from '#gofer/protocol/messages.ts';
import { close, fstatfs, readlinkat } from '#platform/host/files.ts';
import { BULK } from './server.ts';
import type { Server } from './server.ts';

export function attach(server: Server, request: ValueOf<typeof Attach.request>, reply: Writer): number {
  const root = server.roots[request.mount];
  if (root === undefined) return -EINVAL;
  if (!server.table.isValid(request.fid)) return -EBADF;
  const mapped = server.users !== null || server.groups !== null;
  u32.write(reply, (root.readOnly ? MOUNT_READ_ONLY : 0) | (root.directory ? 0 : MOUNT_FILE) | (mapped ? MOUNT_IDS_MAPPED : 0));
  return bindRoot(server, request.mount, request.fid, reply);
}

/** Binds `fid`, a valid number, to a root that there is. */
function bindRoot(server: Server, mount: number, fid: number, reply: Writer): number {
  const fd = server.reopenPath(server.roots[mount]!.fd);
  if (fd < 0) return fd;
  const error = server.putAttributes(fd, reply);
  if (error < 0) close(fd);
  else server.keep(fid, fd, mount);
  return error;
}

export function makeReadOnly(server: Server, request: ValueOf<typeof MakeReadOnly.request>, reply: Writer): number {
  const { mount, fid } = request;
  if (!server.table.isValid(fid)) return -EBADF;
  const error = server.makeReadOnly(mount);
  return error < 0 ? error : bindRoot(server, mount, fid, reply);
}

/** Where a walk stands: the descriptor reached and who owns it. */
export interface Position {
  fd: number;
  /** Whether `fd` was opened on the way, and is to be closed or kept; else it belongs to a fid. */
  temporary: boolean;
  mode: number;
  sealed: boolean;
}

/** Where fid `fid` stands, or null. */
function start(server: Server, fid: number): Position | null {
  const { table } = server;
  const fd = table.descriptor(fid);
  if (fd < 0) return null;
  const mode = table.isDirectory(fid) ? S_IFDIR : table.isSymlink(fid) ? S_IFLNK : S_IFREG;
  return { fd, temporary: false, mode, sealed: table.isSealed(fid) };
}

/** Goes to the entry `name`; afterwards `server.stat` describes it. 0 or -errno; on failure the position stays. */
function step(server: Server, position: Position, name: string): number {
  if ((position.mode & S_IFMT) !== S_IFDIR) return -ENOTDIR;
  if (position.sealed) return -ENOENT;
  const fd = server.openPath(position.fd, name);
  if (fd < 0) return fd;
  const error = server.stat(fd);
  if (error < 0) {
    close(fd);
    return error;
  }
  leave(position);
  position.fd = fd;
  position.temporary = true;
  position.mode = server.statMode;
  position.sealed = server.statSealed(fd);
  return 0;
}

export function leave(position: Position): void {
  if (position.temporary) close(position.fd);
  position.temporary = false;
}

export function walk(server: Server, request: ValueOf<typeof Walk.request>, reply: Writer): number {
  const { fid, newFid, names } = request;
  const position = start(server, fid);
  if (position === null || server.checkNewFid(newFid) < 0) return -EBADF;
  const mount = server.table.mount(fid);
  const countAt = reply.reserve(2);
  let reached = 0;
  let stop = 0;
  while (reached < names.length) {
    if (reached > 0 && isLink(position.mode)) break;
    stop = -step(server, position, names[reached]!);
    if (stop !== 0) break;
    server.putStat(reply);
    reached++;
  }
  reply.memory!.view.setUint16(countAt, reached, true);
  u32.write(reply, stop);
  Readlink.reply.write(reply, { target: reached > 0 && isLink(position.mode) ? linkTarget(server, position.fd) : '' });
  return settle(server, position, stop === 0 && reached === names.length ? newFid : 0, mount);
}

function isLink(mode: number): boolean {
  return (mode & S_IFMT) === S_IFLNK;
}

/** Goes all the way along `names`, none of which may be a link but the last. 0 or -errno; the caller leaves or keeps the position either way. */
function follow(server: Server, position: Position, names: readonly string[]): number {
  for (let i = 0; i < names.length; i++) {
    const error = i > 0 && isLink(position.mode) ? -ELOOP : step(server, position, names[i]!);
    if (error < 0) return error;
  }
  return 0;
}

/** Goes from a fid along names: where that leads, or -errno. */
export function reach(server: Server, fid: number, newFid: number, names: readonly string[]): Position | number {
  const position = start(server, fid);
  if (position === null || server.checkNewFid(newFid) < 0) return -EBADF;
  const error = follow(server, position, names);
  if (error === 0) return position;
  leave(position);
  return error;
}

/** Leaves a position that was used, or keeps it as a fid if there is one to bind. 0 or -errno. */
export function settle(server: Server, position: Position, newFid: number, mount: number): number {
  if (newFid !== 0) return keepWalked(server, position, newFid, mount);
  leave(position);
  return 0;
}

/** Binds where a walk ended to a fid. A walk along no names makes a second fid for the same file. */
function keepWalked(server: Server, position: Position, newFid: number, mount: number): number {
  const fd = position.temporary ? position.fd : server.reopenPath(position.fd);
  if (fd < 0) return fd;
  const error = server.stat(fd);
  if (error < 0) close(fd);
  else server.keep(newFid, fd, mount);
  return error;
}

/** Where a symbolic link points; empty if that cannot be said. */
function linkTarget(server: Server, fd: number): string {
  const { memory } = server;
  const length = readlinkat(fd, server.emptyNameAt, memory.address + BULK, PATH_MAX);
  return length < 0 ? '' : memory.latin1(BULK, BULK + length);
}

export function getAttributes(server: Server, request: ValueOf<typeof GetAttributes.request>, reply: Writer): number {
  const fd = server.table.descriptor(request.fid);
  return fd < 0 ? fd : server.putAttributes(fd, reply);
}

export function readlink(server: Server, request: ValueOf<typeof Readlink.request>, reply: Writer): number {
  const { fid } = request;
  const fd = server.table.descriptor(fid);
  if (fd < 0) return fd;
  if (!server.table.isSymlink(fid)) return -EINVAL;
  const { memory } = server;
  const length = readlinkat(fd, server.emptyNameAt, memory.address + BULK, PATH_MAX);
  if (length < 0) return length;
  Readlink.reply.write(reply, { target: memory.latin1(BULK, BULK + length) });
  return 0;
}

const OPEN_FLAGS = O_ACCMODE | O_APPEND | O_DIRECT | O_DIRECTORY | O_DSYNC | O_NOATIME | O_SYNC | O_TRUNC;

/** Whether `flags` are those of an open that may change the file. */
export function opensForWriting(flags: number): boolean {
  return (flags & O_ACCMODE) !== O_RDONLY || (flags & O_TRUNC) !== 0;
}

export function checkOpenFlags(flags: number): number {
  return (flags & ~OPEN_FLAGS) !== 0 || (flags & O_ACCMODE) === O_ACCMODE ? -EINVAL : 0;
}

/** Whether a file of this type may be opened with these flags: 0 or -errno. */
function checkOpenable(mode: number, flags: number): number {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return (flags & O_DIRECTORY) === 0 ? 0 : -ENOTDIR;
    case S_IFDIR:
      return opensForWriting(flags) ? -EISDIR : 0;
    case S_IFLNK:
      return -ELOOP;
    case S_IFSOCK:
      return -ENXIO;
    default:
      return -EACCES;
  }
}

export function open(server: Server, request: ValueOf<typeof Open.request>, reply: Writer): number {
  const { fid, newFid, names, flags } = request;
  const known = server.table.descriptor(fid);
  if (known < 0) return known;
  const invalid = checkOpenFlags(flags);
  if (invalid < 0) return invalid;
  if (opensForWriting(flags) && server.isReadOnly(fid)) return -EROFS;
  const mount = server.table.mount(fid);
  const position = reach(server, fid, newFid, names);
  if (typeof position === 'number') return position;
  const error = openReached(server, position, flags, reply);
  if (error === 0) return settle(server, position, newFid, mount);
  leave(position);
  return error;
}

function openReached(server: Server, position: Position, flags: number, reply: Writer): number {
  const error = position.sealed ? -EACCES : server.stat(position.fd);
  if (error < 0) return error;
  const refused = checkOpenable(server.statMode, flags);
  if (refused < 0) return refused;
  const fd = server.reopen(position.fd, flags);
  if (fd < 0) return fd;
  server.donate(fd);
  return server.putAttributes(position.fd, reply); // after the open: it may have truncated the file
}

export function statfs(server: Server, request: ValueOf<typeof Statfs.request>, reply: Writer): number {
  const fd = server.table.descriptor(request.fid);
  if (fd < 0) return fd;
  const { view, address } = server.memory;
  const at = server.statfsOffset;
  const error = fstatfs(fd, address + at);
  if (error < 0) return error;
  // Some file systems say "all ones" for unlimited; a double holds 53 bits.
  const count = (offset: number): number =>
    Number.isSafeInteger(getU64(view, at + offset)) ? getU64(view, at + offset) : Number.MAX_SAFE_INTEGER;
  Statfs.reply.write(reply, {
    type: view.getUint32(at, true),
    blockSize: view.getUint32(at + 8, true),
    blocks: count(16),
    blocksFree: count(24),
    blocksAvailable: count(32),
    files: count(40),
    filesFree: count(48),
    nameLength: view.getUint32(at + 64, true),
  });
  return 0;
}
