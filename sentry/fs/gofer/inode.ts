/**
 * What inodes of every type have in common: attributes as the gofer told them, a place in the tree by which the gofer can find them, and
 * perhaps a fid.
 *
 * Attributes are believed until we change something (`update`), with one exception: while a file is open for writing its size and times move
 * without our noticing each step (mappings), so they are then read from the descriptor. A deleted file has no place any more; it keeps its
 * fid, pinned, until it is closed.
 *
 * Invariant: `parent.children.get(name) === this` while the inode is alive and has a place.
 */
import { EINVAL, EIO, ENODATA, ENFILE, EROFS, ESTALE } from '#sentry/abi/errno.ts';
import { S_IFMT } from '#sentry/abi/fs.ts';
import { OVERFLOW_ID, UNMAPPED_ID } from '#sentry/abi/stat.ts';
import type { Attributes } from '#gofer/protocol/attributes.ts';
import { NAMES_MAX } from '#gofer/protocol/limits.ts';
import {
  GetAttributes,
  Getxattr,
  Listxattr,
  Readlink,
  Removexattr,
  SET_ATIME,
  SET_GID,
  SET_MODE,
  SET_MTIME,
  SET_SIZE,
  SET_UID,
  SetAttributes,
  Setxattr,
  Walk,
} from '#gofer/protocol/messages.ts';
import { Inode } from '../../vfs/inode.ts';
import type { AttributeChange, Stat } from '../../vfs/inode.ts';
import { makeDevice } from '../../vfs/special-files.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import type { FidHolder } from './fid-cache.ts';
import type { GoferFileSystem } from './file-system.ts';
import type { Listed, Listing } from './listings.ts';

const CAPABILITY = 'security.capability';

/** No walk. */
const LONG_AGO = -1;

/** What the gofer told of the attribute, its value or -errno, and the change time of the file then. */
interface KnownCapability {
  readonly value: string | number;
  readonly ctimeSec: number;
  readonly ctimeNsec: number;
}

export class GoferInode extends Inode implements FidHolder, Listed {
  declare readonly fileSystem: GoferFileSystem;
  attributes: Attributes;
  /** Size, times or link count may have changed since `attributes` were told. */
  stale = false;
  /** No name leads here any more. */
  deleted = false;
  // The place in the tree.
  parent: GoferInode | null;
  name: string;
  /** Live inodes by name; only in directories. */
  children: Map<string, GoferInode> | null = null;
  // FidHolder.
  fid = 0;
  pinned = false;
  // Listed; only in directories.
  listing: Listing | null = null;
  /** Target of a symbolic link, once known. */
  linkTarget: string | null = null;
  private capability: KnownCapability | null = null;
  /** The walk during which the attributes were told last. */
  private told: number;
  private references = 0;

  constructor(fileSystem: GoferFileSystem, attributes: Attributes, parent: GoferInode | null, name: string) {
    super(fileSystem, inoOf(attributes), attributes.mode, attributes.uid, attributes.gid);
    this.attributes = attributes;
    this.told = fileSystem.watches.walk;
    this.parent = parent;
    this.name = name;
    this.takePlace();
  }

  override get rdev(): number {
    return makeDevice(this.attributes.rdevMajor, this.attributes.rdevMinor);
  }

  // ---- attributes ----

  isSameFile(other: Attributes): boolean {
    const { attributes } = this;
    return (
      attributes.inoLow === other.inoLow &&
      attributes.inoHigh === other.inoHigh &&
      attributes.devMinor === other.devMinor &&
      attributes.devMajor === other.devMajor &&
      (attributes.mode & S_IFMT) === (other.mode & S_IFMT)
    );
  }

  /** The gofer has just told these attributes. */
  update(attributes: Attributes): void {
    this.attributes = attributes;
    this.mode = attributes.mode;
    this.uid = attributes.uid;
    this.gid = attributes.gid;
    this.stale = false;
    this.told = this.fileSystem.watches.walk;
  }

  /** Brings the attributes up to date. Regular files look at an open descriptor first. */
  refresh(): number {
    const fid = this.ensureFid();
    if (fid < 0) return this.deleted ? 0 : fid;
    const body = this.fileSystem.connection.ask(GetAttributes, { fid });
    if (body === null) return -this.fileSystem.connection.errno;
    this.update(body.attributes);
    return 0;
  }

  override getattr(into: Stat): number {
    if (!this.fileSystem.cacheable) this.expire();
    if (this.stale) {
      const error = this.refresh();
      if (error < 0) return error;
    }
    fillStat(into, this.attributes, this.fileSystem);
    return 0;
  }

  /** No walk tells of where it begins: of the root of a mount, of working directories, of directories that are open. */
  override recheck(): boolean {
    if (this.fileSystem.cacheable || !this.isDirectory) return false;
    const { mode, uid, gid } = this;
    return this.refresh() === 0 && (this.mode !== mode || this.uid !== uid || this.gid !== gid);
  }

  /** Its attributes come from a listing. */
  doubt(): void {
    this.told = LONG_AGO;
  }

  /** Attributes that the present walk did not tell, and of whose change nobody would tell, are not believed. */
  private expire(): void {
    const { watches } = this.fileSystem;
    if (watches.isEnabled && this.told === watches.walk) return;
    // Without watches nobody counts walks; then it is only the root of a mount that they do not tell of.
    if (!watches.isEnabled && this.parent !== null) return;
    const watcher = this.isDirectory ? this : this.attributes.nlink > 1 ? null : this.parent;
    if (watcher === null || watcher.generation === 0) this.stale = true;
  }

  override setattr(change: AttributeChange): number {
    if (this.fileSystem.readOnly) return -EROFS;
    const fid = this.ensureFid();
    if (fid < 0) return fid;
    const { connection } = this.fileSystem;
    const { mode, uid, gid, size, atimeSec, mtimeSec } = change;
    const mask =
      (mode === undefined ? 0 : SET_MODE) |
      (uid === undefined ? 0 : SET_UID) |
      (gid === undefined ? 0 : SET_GID) |
      (size === undefined ? 0 : SET_SIZE) |
      (atimeSec === undefined ? 0 : SET_ATIME) |
      (mtimeSec === undefined ? 0 : SET_MTIME);
    const body = connection.ask(SetAttributes, {
      fid,
      mask,
      mode: (mode ?? 0) & 0o7777,
      uid: uid ?? 0,
      gid: gid ?? 0,
      size: size ?? 0,
      atimeSec: atimeSec ?? 0,
      atimeNsec: change.atimeNsec ?? 0,
      mtimeSec: mtimeSec ?? 0,
      mtimeNsec: change.mtimeNsec ?? 0,
    });
    if (body === null) return -connection.errno;
    this.update(body.attributes);
    this.publish();
    return 0;
  }

  /** Corrects what listings say about this file. */
  publish(): void {
    const { listings } = this.fileSystem;
    if (this.attributes.nlink > 1 && !this.isDirectory) listings.dropAll();
    else if (this.parent !== null && !this.deleted)
      listings.set(this.parent, this.name, this.stale ? typeOnly(this.attributes) : this.attributes);
  }

  /** Our own doing changed size or times; the new values are looked up when somebody asks. */
  touch(): void {
    if (this.stale) return;
    this.stale = true;
    this.publish();
  }

  // ---- place and fid ----

  /** The file was found as `name` in `parent`. */
  moveTo(parent: GoferInode, name: string): void {
    if (this.parent === parent && this.name === name) return;
    if (this.parent === null) return; // a mount's root stays where it is
    this.leavePlace();
    this.parent = parent;
    this.name = name;
    this.takePlace();
  }

  private takePlace(): void {
    if (this.parent === null) return;
    this.parent.children ??= new Map();
    this.parent.children.set(this.name, this);
  }

  leavePlace(): void {
    const siblings = this.parent?.children;
    if (siblings?.get(this.name) === this) siblings.delete(this.name);
  }

  /** The nearest ancestor (or the inode itself) that has a fid, with the names that lead from there to here in `pathNames`. null: no way. */
  protected ancestorWithFid(pathNames: string[]): GoferInode | null {
    if (this.fid !== 0) {
      this.fileSystem.fids.touch(this);
      return this;
    }
    pathNames.push(this.name);
    let at = this.deleted ? null : this.parent;
    while (at !== null && at.fid === 0) {
      if (pathNames.length === NAMES_MAX - 1 && at.ensureFid() > 0) break;
      pathNames.push(at.name);
      at = at.deleted ? null : at.parent;
    }
    if (at === null || pathNames.length >= NAMES_MAX) return null;
    pathNames.reverse();
    this.fileSystem.fids.touch(at);
    return at;
  }

  /** A fid from which `names` lead here, which are stored; 0: there is no way. */
  pathFrom(names: string[]): number {
    const from = this.ancestorWithFid(names);
    return from === null ? 0 : from.fid;
  }

  /** Whether files read ahead may serve it: it is regular, has none yet, and nobody writes it. */
  get takesReady(): boolean {
    return false;
  }

  /** A fid that stands for this inode, or -errno. */
  ensureFid(): number {
    if (this.fid !== 0) {
      this.fileSystem.fids.touch(this);
      return this.fid;
    }
    const names: string[] = [];
    const from = this.ancestorWithFid(names);
    if (from === null) return -ESTALE;
    return this.walkTo(from, names);
  }

  private walkTo(from: GoferInode, names: readonly string[]): number {
    const { connection, fids } = this.fileSystem;
    const startFid = from.fid;
    // Taking a number may cost another inode its fid, but never one used just now (the gofer has room for many).
    const newFid = fids.take();
    if (newFid === 0) return -ENFILE;
    const body = connection.ask(Walk, { fid: startFid, newFid, names });
    const last = body?.reached.at(-1);
    if (body === null || body.stop !== 0 || body.reached.length < names.length || last === undefined || !this.isSameFile(last)) {
      fids.putBack(newFid);
      return body === null ? -connection.errno : -ESTALE;
    }
    this.update(last);
    fids.give(this, newFid);
    return newFid;
  }

  /** The name by which we knew the file goes, while somebody has it open: make sure that it can be reached without. */
  keepReachable(): void {
    if (this.ensureFid() > 0) this.fileSystem.fids.pin(this);
  }

  /** A name of this file was removed. */
  nameRemoved(): void {
    this.attributes.nlink = Math.max(0, this.attributes.nlink - (this.isDirectory ? this.attributes.nlink : 1));
    this.leavePlace();
    if (this.attributes.nlink === 0) {
      this.deleted = true;
      return;
    }
    this.stale = true;
    // What listings say of its other names, wherever they are, is old.
    this.fileSystem.listings.dropAll();
  }

  // ---- everything else ----

  override readlink(): string | number {
    if (!this.isSymlink) return -EINVAL;
    if (this.linkTarget !== null) return this.linkTarget;
    const fid = this.ensureFid();
    if (fid < 0) return fid;
    const body = this.fileSystem.connection.ask(Readlink, { fid });
    if (body === null) return -this.fileSystem.connection.errno;
    this.linkTarget = body.target;
    return body.target;
  }

  /** Only files and directories are opened here; the kernel opens the others itself. */
  override open(_dentry: Dentry, _flags: number): FileDescription | number {
    return -EIO;
  }

  override getxattr(name: string): string | number {
    // The gofer serves no others (gofer/server/xattr.ts), and programs such as ls ask for security.* of every file.
    if (name === CAPABILITY) return this.isRegular ? this.getCapability() : -ENODATA;
    return name.startsWith('user.') ? this.askForAttribute(name) : -ENODATA;
  }

  private askForAttribute(name: string): string | number {
    const fid = this.ensureFid();
    if (fid < 0) return fid;
    const { connection } = this.fileSystem;
    return connection.ask(Getxattr, { fid, name })?.value ?? -connection.errno;
  }

  /** Every execve asks for it. Setting it changes the change time. */
  private getCapability(): string | number {
    const known = this.capability;
    const { ctimeSec, ctimeNsec } = this.attributes;
    if (known !== null && !this.stale && known.ctimeSec === ctimeSec && known.ctimeNsec === ctimeNsec) return known.value;
    const value = this.askForAttribute(CAPABILITY);
    if (!this.stale) this.capability = { value, ctimeSec, ctimeNsec };
    return value;
  }

  override setxattr(name: string, value: string, flags: number): number {
    if (this.fileSystem.readOnly) return -EROFS;
    const fid = this.ensureFid();
    if (fid < 0) return fid;
    this.touch();
    this.capability = null;
    return this.fileSystem.connection.tell(Setxattr, { fid, name, value, flags });
  }

  override listxattr(): readonly string[] | number {
    const fid = this.ensureFid();
    if (fid < 0) return fid;
    const body = this.fileSystem.connection.ask(Listxattr, { fid });
    if (body === null) return -this.fileSystem.connection.errno;
    return body.names.split('\0').slice(0, -1);
  }

  override removexattr(name: string): number {
    if (this.fileSystem.readOnly) return -EROFS;
    const fid = this.ensureFid();
    if (fid < 0) return fid;
    this.touch();
    this.capability = null;
    return this.fileSystem.connection.tell(Removexattr, { fid, name });
  }

  override acquire(): void {
    if (this.references++ === 0) this.fileSystem.remember(this);
  }

  override release(): void {
    if (--this.references > 0) return;
    const { fids, listings } = this.fileSystem;
    this.dispose();
    if (this.deleted) listings.drop(this);
    else listings.leave(this, this.parent?.listing ?? null, this.name);
    fids.drop(this, this.deleted ? 'now' : 'soon');
    this.pinned = false;
    this.leavePlace();
    this.fileSystem.forget(this);
  }

  /** Lets go of what a type of inode holds besides. */
  protected dispose(): void {}
}

/** What stat(2) tells of a file with these attributes. */
export function fillStat(into: Stat, attributes: Attributes, fileSystem: GoferFileSystem): void {
  into.dev = fileSystem.deviceOf(attributes);
  into.ino = inoOf(attributes);
  into.mode = attributes.mode;
  into.nlink = attributes.nlink;
  into.uid = shownId(attributes.uid);
  into.gid = shownId(attributes.gid);
  into.rdev = makeDevice(attributes.rdevMajor, attributes.rdevMinor);
  into.size = attributes.size;
  into.blksize = attributes.blksize;
  into.blocks = attributes.blocks;
  into.atimeSec = attributes.atimeSec;
  into.atimeNsec = attributes.atimeNsec;
  into.mtimeSec = attributes.mtimeSec;
  into.mtimeNsec = attributes.mtimeNsec;
  into.ctimeSec = attributes.ctimeSec;
  into.ctimeNsec = attributes.ctimeNsec;
}

/** Linux: overflowuid and overflowgid stand for owners without a number inside. */
function shownId(id: number): number {
  return id === UNMAPPED_ID ? OVERFLOW_ID : id;
}

/** `st_ino`: rounded if it has more than 53 bits. */
export function inoOf(attributes: Attributes): number {
  return attributes.inoHigh * 0x1_0000_0000 + attributes.inoLow;
}

/** What stays true of a file whose attributes changed: its type and identity. */
export function typeOnly(attributes: Attributes): Attributes {
  return attributes.mask === 0 ? attributes : { ...attributes, mask: 0 };
}
