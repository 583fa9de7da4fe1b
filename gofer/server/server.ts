/**
 * The state of a gofer: its roots, its fids, and the memory its host calls work on. The operations in the files beside this one are
 * functions of it; `serve.ts` is the loop that calls them.
 *
 * Names. The only way to reach a file is `openPath`: one component beneath a directory descriptor, never a symbolic link followed, never
 * '..'. With openat2(2) the kernel enforces this a second time (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS); without
 * it openat(2) with O_NOFOLLOW and names free of '/' come to the same.
 *
 * Opening. O_PATH descriptors are opened for use through a descriptor of /proc/self/fd, taken before confinement: that opens exactly the
 * file that was walked to, whatever has been renamed meanwhile. Only regular files and directories are ever opened, so no device, FIFO or
 * socket of the host is touched and no open waits for a peer.
 */
import { EBADF, EINVAL, ENOSYS, EOVERFLOW, ENOTDIR, EROFS, EXDEV } from '#sentry/abi/errno.ts';
import {
  AT_EMPTY_PATH,
  AT_NO_AUTOMOUNT,
  AT_SYMLINK_NOFOLLOW,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOCTTY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
} from '#sentry/abi/fs.ts';
import { getU64 } from '#sentry/abi/layout.ts';
import { Statx, UNMAPPED_ID } from '#sentry/abi/stat.ts';
import { ATTRIBUTES_SIZE, BASIC_ATTRIBUTES } from '#gofer/protocol/attributes.ts';
import type { Writer } from '#gofer/protocol/codec.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import {
  close,
  openat,
  openat2,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
  statx,
} from '#platform/host/files.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import { FidTable } from './fid-table.ts';
import { FileSystems, STATFS_SIZE } from './file-systems.ts';
import type { IdMap } from './id-map.ts';
import type { Window } from './window.ts';

export interface Root {
  /** O_PATH descriptor of the root directory or file. */
  readonly fd: number;
  readonly readOnly: boolean;
  /** A directory; otherwise a single file is served. */
  readonly directory: boolean;
  /** The same root read-only, to take its place when the sentry asks for that; absent: it stays as it is. */
  readonly later?: number;
}

export interface ServerOptions {
  readonly roots: readonly Root[];
  /** O_PATH descriptor of /proc/self/fd. */
  readonly selfFd: number;
  readonly fids: number;
  /** File systems that are not served, by device (file-systems.ts). */
  readonly sealed: readonly { readonly major: number; readonly minor: number }[];
  readonly window: Window | null;
  /** Whether this process may give files away (CAP_CHOWN); otherwise what is created belongs to it. */
  readonly mayChown: boolean;
  /** The effective user id: who owns what has just been created. */
  readonly uid: number;
  /** Users and groups of the container; null: those of the host. */
  readonly users: IdMap | null;
  readonly groups: IdMap | null;
  /** The inotify instance that the sentry reads; -1: there is none. */
  readonly watches: number;
  /** Leads from the working directory to descriptors of this process: '' where that is /proc/self/fd. */
  readonly selfPrefix: string;
}

/** An owner by the host's numbers. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Scratch memory: places of the pieces. Results of statx overlap nothing they must not: see `attributesAt`. */
const FIRST_NAME = 0; // names are shorter than PATH_MAX
const SECOND_NAME = 4_352;
const OPEN_HOW = 8_704;
const OPEN_HOW_BELOW = 8_736;
const STATX = 8_768;
const STATFS = STATX + 256;
const TIMES = STATFS + STATFS_SIZE;
const EMPTY_NAME = TIMES + 32;
/** Free for one operation at a time: directory entries, link targets, attribute values. */
export const BULK = 12_288;
export const BULK_SIZE = 65_536;

export class Server {
  readonly roots: Root[];
  readonly selfFd: number;
  readonly table: FidTable;
  readonly fileSystems: FileSystems;
  readonly mayChown: boolean;
  readonly uid: number;
  readonly memory: HostMemory;
  /** Descriptors to send with the reply, closed afterwards. */
  readonly donated: number[] = [];
  /** Descriptors to close after the reply: that of a detached tree of mounts takes the kernel milliseconds. */
  private readonly retired: number[] = [];
  /** Memory shared with the sentry; null: there is none. */
  readonly window: Window | null;
  readonly users: IdMap | null;
  readonly groups: IdMap | null;
  readonly watches: number;
  readonly selfPrefix: string;
  private haveOpenat2 = true;

  constructor(options: ServerOptions) {
    this.roots = [...options.roots];
    this.selfFd = options.selfFd;
    this.window = options.window;
    this.table = new FidTable(options.fids);
    this.mayChown = options.mayChown;
    this.uid = options.uid;
    this.users = options.users;
    this.groups = options.groups;
    this.watches = options.watches;
    this.selfPrefix = options.selfPrefix;
    this.memory = allocateMemory(BULK + BULK_SIZE);
    const { memory } = this;
    const { buffer, byteOffset } = memory.view;
    this.fileSystems = new FileSystems(new DataView(buffer, byteOffset + STATFS, STATFS_SIZE), memory.address + STATFS);
    for (const { major, minor } of options.sealed) this.fileSystems.decide(major, minor, true);
    memory.view.setUint8(EMPTY_NAME, 0);
    memory.view.setBigUint64(OPEN_HOW, BigInt(O_PATH | O_NOFOLLOW | O_CLOEXEC), true);
    const beneath = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;
    memory.view.setBigUint64(OPEN_HOW + 16, BigInt(beneath), true);
    memory.view.setBigUint64(OPEN_HOW_BELOW, BigInt(O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), true);
    memory.view.setBigUint64(OPEN_HOW_BELOW + 16, BigInt(beneath | RESOLVE_NO_XDEV), true);
  }

  /** Stores a name where a host call can read it; valid until the next call. Returns its address. */
  nameAt(text: string): number {
    return this.cString(text, FIRST_NAME);
  }
  /** A second name that lives beside the first. */
  secondNameAt(text: string): number {
    return this.cString(text, SECOND_NAME);
  }
  get emptyNameAt(): number {
    return this.memory.address + EMPTY_NAME;
  }
  get statfsOffset(): number {
    return STATFS;
  }
  get timesOffset(): number {
    return TIMES;
  }

  private cString(text: string, offset: number): number {
    const length = this.memory.writeLatin1(text, offset);
    this.memory.view.setUint8(offset + length, 0);
    return this.memory.address + offset;
  }

  /** An O_PATH descriptor of one entry of a directory; the entry itself if it is a symbolic link. */
  openPath(directory: number, name: string): number {
    const at = this.nameAt(name);
    if (this.haveOpenat2) {
      const fd = openat2(directory, at, this.memory.address + OPEN_HOW);
      // Linux: with RESOLVE_NO_SYMLINKS even O_PATH|O_NOFOLLOW may end at a link, for it is not followed.
      if (fd !== -ENOSYS) return fd;
      this.haveOpenat2 = false;
    }
    return openat(directory, at, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
  }

  /**
   * A readable directory, found in the same manner; nothing else is opened. For what nobody asked for yet, so only on the same mount: reading
   * ahead triggers no automount. Hosts without openat2 are not read ahead on.
   */
  openDirectoryBelow(directory: number, name: string): number {
    return this.haveOpenat2 ? openat2(directory, this.nameAt(name), this.memory.address + OPEN_HOW_BELOW) : -ENOSYS;
  }

  /** For tests: go component by component with openat(2), as on hosts without openat2. */
  withoutOpenat2(): void {
    this.haveOpenat2 = false;
  }

  /** Opens for use what an O_PATH descriptor stands for. The caller has made sure that it is a regular file or a directory. `mode`: for O_TMPFILE. */
  reopen(pathFd: number, flags: number, mode = 0): number {
    const at = this.nameAt(String(pathFd));
    // O_NONBLOCK: do not wait for the holder of a lease. It means nothing else for files and directories.
    return openat(this.selfFd, at, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, mode);
  }

  /** A second O_PATH descriptor of the same file. */
  reopenPath(pathFd: number): number {
    return openat(this.selfFd, this.nameAt(String(pathFd)), O_PATH | O_CLOEXEC, 0);
  }

  /** Attributes of an O_PATH descriptor into scratch memory: 0 or -errno. Read them with the functions below. */
  stat(fd: number): number {
    return statx(fd, this.emptyNameAt, AT_EMPTY_PATH | AT_NO_AUTOMOUNT, BASIC_ATTRIBUTES, this.memory.address + STATX);
  }
  get statMode(): number {
    return this.memory.view.getUint16(STATX + Statx.offsets.mode, true);
  }
  get statSize(): number {
    return getU64(this.memory.view, STATX + Statx.offsets.size);
  }
  get statUid(): number {
    return this.memory.view.getUint32(STATX + Statx.offsets.uid, true);
  }
  /** Whether the file of the last `stat`, open as `fd`, lies on a sealed file system. */
  statSealed(fd: number): boolean {
    const { view } = this.memory;
    const { devMajor, devMinor } = Statx.offsets;
    return this.fileSystems.isSealed(fd, view.getUint32(STATX + devMajor, true), view.getUint32(STATX + devMinor, true));
  }
  /** Appends the attributes of the last `stat` to a reply. */
  putStat(reply: Writer): void {
    const at = reply.reserve(ATTRIBUTES_SIZE);
    if (at < 0) return;
    const memory = reply.memory!;
    memory.bytes.set(this.memory.bytes.subarray(STATX, STATX + ATTRIBUTES_SIZE), at);
    this.translateOwner(memory.view, at);
  }

  /** Puts the container's numbers into attributes that the host has stored. */
  private translateOwner(view: DataView, at: number): void {
    const { uid, gid } = Statx.offsets;
    if (this.users !== null) view.setUint32(at + uid, this.users.toContainer(view.getUint32(at + uid, true)), true);
    if (this.groups !== null) view.setUint32(at + gid, this.groups.toContainer(view.getUint32(at + gid, true)), true);
  }

  /** Owner of a new file by the container's numbers: those of the host, or -EOVERFLOW. */
  owner(uid: number, gid: number): Owner | number {
    // The group of a set-group-ID directory may be one that the container does not know: the host hands it on by itself.
    const host = { uid: this.hostUser(uid), gid: gid === UNMAPPED_ID ? gid : this.hostGroup(gid) };
    return host.uid < 0 || host.gid < 0 ? -EOVERFLOW : host;
  }

  /** The host's number of a user of the container, or -1. */
  hostUser(uid: number): number {
    return this.users === null ? uid : this.users.toHost(uid);
  }
  hostGroup(gid: number): number {
    return this.groups === null ? gid : this.groups.toHost(gid);
  }
  /** Attributes of an entry of a directory, without opening it, to a place in a reply with room for STATX_SIZE bytes. */
  statEntryTo(directory: number, nameAt: number, into: HostMemory, at: number): number {
    const error = statx(directory, nameAt, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, BASIC_ATTRIBUTES, into.address + at);
    if (error === 0) this.translateOwner(into.view, at);
    return error;
  }

  /** `stat` and `putStat` of a descriptor. */
  putAttributes(fd: number, reply: Writer): number {
    const error = this.stat(fd);
    if (error === 0) this.putStat(reply);
    return error;
  }

  /** Keeps `fd` as `fid` after a `stat` of it; with fid 0 closes it. */
  keep(fid: number, fd: number, mount: number): void {
    if (fid === 0) close(fd);
    else this.table.bind(fid, fd, mount, this.statMode, this.statSealed(fd));
  }

  /** Checks a number a client wants to bind: 0 or -EBADF. Zero is fine: do not keep. */
  checkNewFid(fid: number): number {
    return fid === 0 || this.table.isValid(fid) ? 0 : -EBADF;
  }

  /** Nothing of mount `mount` is writable from now on: 0 or -EINVAL. */
  makeReadOnly(mount: number): number {
    const root = this.roots[mount];
    if (root?.later === undefined) return -EINVAL;
    this.table.releaseMount(mount);
    this.retired.push(root.fd);
    this.roots[mount] = { fd: root.later, readOnly: true, directory: root.directory };
    return 0;
  }

  isReadOnly(fid: number): boolean {
    return this.roots[this.table.mount(fid)]!.readOnly;
  }

  /** The descriptor of a directory in which entries may be changed, or -errno. */
  writableDirectory(fid: number): number {
    const fd = this.table.descriptor(fid);
    if (fd < 0) return fd;
    if (!this.table.isDirectory(fid)) return -ENOTDIR;
    return this.isReadOnly(fid) || this.table.isSealed(fid) ? -EROFS : fd;
  }

  /** Links and renames stay within one mount, even if two lie on one host file system: they could carry a file out of a read-only one. */
  checkSameMount(fid: number, other: number): number {
    return this.table.mount(fid) === this.table.mount(other) ? 0 : -EXDEV;
  }

  checkMode(mode: number): number {
    return (mode & ~0o7777) === 0 ? 0 : -EINVAL;
  }

  /** What a reply donates besides its body. */
  donate(fd: number): void {
    this.donated.push(fd);
  }

  /** What is left of a request when its reply is on the way. */
  settle(): void {
    closeAll(this.donated);
    closeAll(this.retired);
  }
}

function closeAll(descriptors: number[]): void {
  for (let fd = descriptors.pop(); fd !== undefined; fd = descriptors.pop()) close(fd);
}
