/**
 * Operations that change the tree: create, mkdir, symlink, link, mknod, unlink, rename, setattr, fsync.
 *
 * Ownership. A file is made by the gofer and given to the user the sentry names if the gofer holds CAP_CHOWN; otherwise it stays the
 * gofer's own. Giving away goes through an O_PATH descriptor of what is there after the call, and only if that still belongs to the
 * gofer: another process of the host that swaps the name in between cannot get its own choice of file given away.
 */
import { EINVAL, EISDIR, ENOENT, EOPNOTSUPP, EPERM, EROFS } from '#sentry/abi/errno.ts';
import {
  AT_EMPTY_PATH,
  AT_REMOVEDIR,
  AT_SYMLINK_FOLLOW,
  O_ACCMODE,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOCTTY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  O_TMPFILE,
  O_TRUNC,
  O_WRONLY,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  S_ISGID,
  S_ISUID,
} from '#sentry/abi/fs.ts';
import { putI64 } from '#sentry/abi/layout.ts';
import type { ValueOf, Writer } from '#gofer/protocol/codec.ts';
import { SET_ALL, SET_ATIME, SET_GID, SET_MODE, SET_MTIME, SET_SIZE, SET_UID } from '#gofer/protocol/messages.ts';
import type { Create, Fsync, Link, Mkdir, Mknod, Rename, SetAttributes, Symlink, Tmpfile, Unlink } from '#gofer/protocol/messages.ts';
import {
  close,
  fchmodat,
  fchownat,
  fdatasync,
  fsync as hostFsync,
  ftruncate,
  linkat,
  mkdirat,
  mknodat,
  openat,
  renameat2,
  symlinkat,
  unlinkat,
  utimensat,
} from '#platform/host/files.ts';
import { checkOpenFlags } from './walk.ts';
import type { Owner, Server } from './server.ts';

/** `chown` ignores an id of this value. */
const UNCHANGED = 0xffff_ffff;

/** Gives a new file, open as O_PATH `fd`, to its owner. `mode`: type and permission bits it is to have. 0 or -errno; then `stat` describes it. */
function giveAway(server: Server, fd: number, mode: number, { uid, gid }: Owner): number {
  const error = server.stat(fd);
  if (error < 0) return error;
  if (!server.mayChown || server.statUid !== server.uid || (server.statMode & S_IFMT) !== (mode & S_IFMT)) return 0;
  const given = fchownat(fd, server.emptyNameAt, uid, gid, AT_EMPTY_PATH);
  if (given < 0) return given;
  // Linux: chown clears these bits.
  if ((mode & (S_ISUID | S_ISGID)) !== 0 && (mode & S_IFMT) !== S_IFLNK) changeMode(server, fd, mode & 0o7777);
  return server.stat(fd);
}

/** chmod of what an O_PATH descriptor stands for. It must not be a symbolic link. */
function changeMode(server: Server, fd: number, mode: number): number {
  return fchmodat(server.selfFd, server.nameAt(String(fd)), mode, 0);
}

/** What there is to do with a new file. */
interface Recipient {
  readonly owner: Owner;
  /** As which fid it is kept; 0: not. */
  readonly newFid: number;
}

/**
 * Finishes an operation that made a file in directory `directory` (a fid): owner, attributes into the reply, the new fid. `fd` is an
 * O_PATH descriptor of it, or the -errno that came instead; it is kept or closed.
 */
function finishNew(server: Server, fd: number, mode: number, { owner, newFid }: Recipient, directory: number, reply: Writer): number {
  if (fd < 0) return fd;
  const error = giveAway(server, fd, mode, owner);
  if (error < 0) {
    close(fd);
    return error;
  }
  server.putStat(reply);
  server.keep(newFid, fd, server.table.mount(directory));
  return 0;
}

export function create(server: Server, request: ValueOf<typeof Create.request>, reply: Writer): number {
  const { directory, name, newFid, mode, uid, gid } = request;
  const parent = server.writableDirectory(directory);
  if (parent < 0) return parent;
  const flags = request.flags & ~O_TRUNC;
  const refused = server.checkNewFid(newFid) || checkOpenFlags(flags) || server.checkMode(mode);
  if (refused < 0) return refused;
  if ((flags & O_DIRECTORY) !== 0) return -EINVAL;
  const owner = server.owner(uid, gid);
  if (typeof owner === 'number') return owner;
  const fd = openat(parent, server.nameAt(name), flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, mode);
  if (fd < 0) return fd;
  server.donate(fd);
  return finishNew(server, server.reopenPath(fd), S_IFREG | mode, { owner, newFid }, directory, reply);
}

export function tmpfile(server: Server, request: ValueOf<typeof Tmpfile.request>, reply: Writer): number {
  const { directory, newFid, flags, mode, uid, gid } = request;
  const parent = server.writableDirectory(directory);
  if (parent < 0) return parent;
  const refused = server.checkNewFid(newFid) || checkOpenFlags(flags & ~O_EXCL) || server.checkMode(mode);
  if (refused < 0) return refused;
  // Linux: one that can only be read is of no use.
  if ((flags & O_ACCMODE) === O_RDONLY || (flags & (O_DIRECTORY | O_TRUNC)) !== 0) return -EINVAL;
  const owner = server.owner(uid, gid);
  if (typeof owner === 'number') return owner;
  const fd = server.reopen(parent, flags | O_TMPFILE, mode);
  if (fd < 0) return fd;
  server.donate(fd);
  return finishNew(server, server.reopenPath(fd), S_IFREG | mode, { owner, newFid }, directory, reply);
}

export function mkdir(server: Server, request: ValueOf<typeof Mkdir.request>, reply: Writer): number {
  const { directory, name, newFid, mode, uid, gid } = request;
  const parent = server.writableDirectory(directory);
  if (parent < 0) return parent;
  const refused = server.checkNewFid(newFid) || server.checkMode(mode);
  if (refused < 0) return refused;
  const owner = server.owner(uid, gid);
  if (typeof owner === 'number') return owner;
  const error = mkdirat(parent, server.nameAt(name), mode);
  if (error < 0) return error;
  return finishNew(server, server.openPath(parent, name), S_IFDIR | mode, { owner, newFid }, directory, reply);
}

export function mknod(server: Server, request: ValueOf<typeof Mknod.request>, reply: Writer): number {
  const { directory, name, newFid, mode, uid, gid } = request;
  const parent = server.writableDirectory(directory);
  if (parent < 0) return parent;
  const type = mode & S_IFMT;
  const refused = server.checkNewFid(newFid) || server.checkMode(mode & ~S_IFMT);
  if (refused < 0) return refused;
  // A socket made by mknod is but a name: whoever connects to it on the host is refused. The sentry knows who is bound to it inside.
  if (type !== S_IFREG && type !== S_IFIFO && type !== S_IFSOCK) return -EPERM;
  const owner = server.owner(uid, gid);
  if (typeof owner === 'number') return owner;
  const error = mknodat(parent, server.nameAt(name), mode, 0);
  if (error < 0) return error;
  return finishNew(server, server.openPath(parent, name), mode, { owner, newFid }, directory, reply);
}

export function symlink(server: Server, request: ValueOf<typeof Symlink.request>, reply: Writer): number {
  const { directory, name, target, uid, gid } = request;
  const parent = server.writableDirectory(directory);
  if (parent < 0) return parent;
  if (target.length === 0) return -ENOENT;
  const owner = server.owner(uid, gid);
  if (typeof owner === 'number') return owner;
  const error = symlinkat(server.secondNameAt(target), parent, server.nameAt(name));
  if (error < 0) return error;
  return finishNew(server, server.openPath(parent, name), S_IFLNK, { owner, newFid: 0 }, directory, reply);
}

export function link(server: Server, request: ValueOf<typeof Link.request>, reply: Writer): number {
  const { fid, directory, name } = request;
  const parent = server.writableDirectory(directory);
  if (parent < 0) return parent;
  const fd = server.table.descriptor(fid);
  if (fd < 0) return fd;
  const refused = server.checkSameMount(fid, directory) || (server.table.isDirectory(fid) ? -EPERM : 0);
  if (refused < 0) return refused;
  // Through /proc/self/fd, because linking by an empty path asks for CAP_DAC_READ_SEARCH.
  const error = linkat(server.selfFd, server.secondNameAt(String(fd)), parent, server.nameAt(name), AT_SYMLINK_FOLLOW);
  return error < 0 ? error : server.putAttributes(fd, reply);
}

export function unlink(server: Server, request: ValueOf<typeof Unlink.request>): number {
  const { directory, name, flags } = request;
  const parent = server.writableDirectory(directory);
  if (parent < 0) return parent;
  return flags === 0 || flags === AT_REMOVEDIR ? unlinkat(parent, server.nameAt(name), flags) : -EINVAL;
}

export function rename(server: Server, request: ValueOf<typeof Rename.request>): number {
  const { directory, name, newDirectory, newName, flags } = request;
  const from = server.writableDirectory(directory);
  if (from < 0) return from;
  const to = server.writableDirectory(newDirectory);
  if (to < 0) return to;
  const refused = server.checkSameMount(directory, newDirectory);
  if (refused < 0) return refused;
  if (flags !== 0 && flags !== RENAME_NOREPLACE && flags !== RENAME_EXCHANGE) return -EINVAL;
  return renameat2(from, server.nameAt(name), to, server.secondNameAt(newName), flags);
}

export function setAttributes(server: Server, request: ValueOf<typeof SetAttributes.request>, reply: Writer): number {
  const { fid, mask, mode } = request;
  const fd = server.table.descriptor(fid);
  if (fd < 0) return fd;
  if (server.isReadOnly(fid) || server.table.isSealed(fid)) return -EROFS;
  if ((mask & ~SET_ALL) !== 0) return -EINVAL;
  if ((mask & (SET_UID | SET_GID)) !== 0) {
    const error = changeOwner(server, fd, request);
    if (error < 0) return error;
  }
  if ((mask & SET_SIZE) !== 0) {
    const error = resize(server, fid, fd, request.size);
    if (error < 0) return error;
  }
  // After the size and the owner: changing those takes set-user-ID bits away.
  if ((mask & SET_MODE) !== 0) {
    const error = server.table.isSymlink(fid) ? -EOPNOTSUPP : server.checkMode(mode) || changeMode(server, fd, mode);
    if (error < 0) return error;
  }
  const error = (mask & (SET_ATIME | SET_MTIME)) === 0 ? 0 : setTimes(server, fd, request);
  return error < 0 ? error : server.putAttributes(fd, reply);
}

/** Linux: EINVAL for a user or group that the host has not. */
function changeOwner(server: Server, fd: number, { mask, uid, gid }: ValueOf<typeof SetAttributes.request>): number {
  const newUid = (mask & SET_UID) === 0 ? UNCHANGED : server.hostUser(uid);
  const newGid = (mask & SET_GID) === 0 ? UNCHANGED : server.hostGroup(gid);
  if (newUid < 0 || newGid < 0) return -EINVAL;
  return fchownat(fd, server.emptyNameAt, newUid, newGid, AT_EMPTY_PATH);
}

function resize(server: Server, fid: number, fd: number, size: number): number {
  if (server.table.isDirectory(fid)) return -EISDIR;
  if (!server.table.isRegular(fid) || size < 0) return -EINVAL;
  const writable = server.reopen(fd, O_WRONLY);
  if (writable < 0) return writable;
  const error = ftruncate(writable, size);
  close(writable);
  return error;
}

const NSEC_PER_SEC = 1_000_000_000;
const UTIME_OMIT = 0x3fff_fffe;

function setTimes(server: Server, fd: number, request: ValueOf<typeof SetAttributes.request>): number {
  const { mask, atimeSec, atimeNsec, mtimeSec, mtimeNsec } = request;
  if (atimeNsec >= NSEC_PER_SEC || mtimeNsec >= NSEC_PER_SEC) return -EINVAL;
  const { view, address } = server.memory;
  const at = server.timesOffset;
  putI64(view, at, atimeSec);
  putI64(view, at + 8, (mask & SET_ATIME) === 0 ? UTIME_OMIT : atimeNsec);
  putI64(view, at + 16, mtimeSec);
  putI64(view, at + 24, (mask & SET_MTIME) === 0 ? UTIME_OMIT : mtimeNsec);
  return utimensat(fd, server.emptyNameAt, address + at, AT_EMPTY_PATH);
}

export function fsync(server: Server, request: ValueOf<typeof Fsync.request>): number {
  const { fid } = request;
  const fd = server.table.descriptor(fid);
  if (fd < 0) return fd;
  if (server.table.isSealed(fid)) return -EROFS;
  if (!server.table.isDirectory(fid) && !server.table.isRegular(fid)) return -EINVAL;
  const opened = server.reopen(fd, O_RDONLY);
  if (opened < 0) return opened;
  const error = request.dataOnly === 0 ? hostFsync(opened) : fdatasync(opened);
  close(opened);
  return error;
}
