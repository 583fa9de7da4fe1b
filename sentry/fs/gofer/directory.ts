/**
 * Directories: looking names up and changing them. Each operation is one message, and whatever it makes comes back with its attributes.
 *
 * Looking up. What the complete listing of a directory says needs no message. A directory in which several names have been asked for is read
 * as a whole (`prefetch`), if it is not too large: programs that search many names in one place, such as compilers and interpreters, then
 * get their ENOENTs for nothing.
 */
import { EINVAL, ENFILE, ENOENT, EPERM, EROFS, ESTALE } from '#sentry/abi/errno.ts';
import { AT_REMOVEDIR, O_RDWR, RENAME_EXCHANGE, RENAME_WHITEOUT, S_IFDIR, S_IFIFO, S_IFMT, S_IFSOCK } from '#sentry/abi/fs.ts';
import type { Attributes } from '#gofer/protocol/attributes.ts';
import { NAMES_MAX } from '#gofer/protocol/limits.ts';
import {
  Create,
  Fsync,
  Link,
  Mkdir,
  Mknod,
  Readdir,
  READDIR_END,
  Rename,
  Symlink,
  Tmpfile,
  Unlink,
  Walk,
} from '#gofer/protocol/messages.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import { PEEK_UNKNOWN } from '../../vfs/inode.ts';
import type { Caller, Inode, Stat } from '../../vfs/inode.ts';
import { Donated } from './descriptor-cache.ts';
import { GoferDirectoryDescription } from './directory-description.ts';
import { Entries } from './entries.ts';
import { GoferFile } from './file.ts';
import { fillStat, GoferInode } from './inode.ts';
import type { Listing } from './listings.ts';
import type { Watched } from './watches.ts';

/** Replies a prefetch may take, each of some 350 entries; and the size of a directory that is not worth trying. */
const PREFETCH_REPLIES_MAX = 2;
const PREFETCH_SIZE_MAX = 32_768;

export class GoferDirectory extends GoferInode implements Watched {
  /** Counts changes of the names, so that a listing in the making notices. */
  changes = 0;
  private asked = 0;
  // Watched.
  wd = -1;

  override lookup(name: string): Inode | number {
    const { cacheable } = this.fileSystem;
    if (!cacheable && this.generation === 0 && this.asked++ > 0) this.watch();
    if (this.isBelieved) {
      const live = cacheable ? this.children?.get(name) : undefined;
      if (live !== undefined) return live;
      if (this.listing === null && ++this.asked === this.prefetchAfter()) this.prefetch();
      const { listing } = this;
      if (listing !== null) {
        const { listings } = this.fileSystem;
        listings.touch(listing);
        const known = listing.entries.get(name);
        if (known === undefined) return -ENOENT;
        if (known.mask !== 0) {
          const inode = this.fileSystem.inodeFor(known, this, name, cacheable ? 'remembered' : 'fresh');
          if (!cacheable) inode.doubt();
          inode.linkTarget ??= listing.entries.targetOf(name);
          if (listing.below !== null && inode.isDirectory && listings.adopt(inode, listing, name)) this.arriveBelow(listing, name);
          return inode;
        }
      }
    }
    return this.askFor(name);
  }

  /** Whether what was looked up here is still true. */
  get isBelieved(): boolean {
    return this.fileSystem.cacheable || this.generation > 0;
  }

  /** Somebody looks up several names here: they are worth to be believed. */
  private watch(): void {
    const { watches } = this.fileSystem;
    if (!watches.isEnabled) return;
    const fid = this.ensureFid();
    if (fid < 0) return;
    this.generation = watches.begin(this, fid);
    // Those that follow may find the directory worth reading as a whole.
    if (this.generation > 0) this.asked = 1;
  }

  /** Somebody lists the directory, of a shared mount, and may ask about what he finds: whether that is or can be believed. */
  mayBelieve(): boolean {
    const { watches } = this.fileSystem;
    watches.drain();
    return this.generation > 0 || watches.canWatch;
  }

  changed(): void {
    this.generation = 0;
    this.changes++;
    this.asked = 0;
    this.stale = true;
    this.fileSystem.listings.drop(this);
  }

  protected override dispose(): void {
    if (this.generation > 0) this.fileSystem.watches.forget(this);
    this.generation = 0;
    super.dispose();
  }

  /** What was read ahead of the directory `name` is used: somebody has got to it. */
  private arriveBelow(listing: Listing, name: string): void {
    listing.advanceTo(name);
    this.fileSystem.directoriesAhead.room.use();
  }

  override lookupAhead(names: readonly string[], _caller: Caller, found: (Inode | number)[]): void {
    const { cacheable, watches } = this.fileSystem;
    // What can be answered here, or is worth a prefetch or a watch, is left to `lookup`.
    if (cacheable && this.children?.has(names[0]!) === true) return;
    if (this.isBelieved ? this.listing !== null || this.asked + 1 >= this.prefetchAfter() : watches.isEnabled && this.asked > 0) return;
    const body = this.askForAll(names);
    if (body === null) return;
    this.asked++;
    let last: GoferInode | null = null;
    for (let i = 0; i < body.reached.length; i++) {
      last = this.fileSystem.inodeFor(body.reached[i]!, last ?? this, names[i]!, 'fresh');
      found.push(last);
    }
    if (body.stop !== 0 && (last ?? this).isDirectory) found.push(-body.stop);
    if (last === null) return;
    if (last.isSymlink) last.linkTarget = body.target;
    if (body.fid !== 0 && last.fid === 0) this.fileSystem.fids.give(last, body.fid);
    else this.fileSystem.fids.putBack(body.fid);
  }

  /** Walks along `names` with one message. `reached`: attributes of those that were found; `fid`: of the last, if all were; null: we do not get even here. */
  private askForAll(names: readonly string[]): { reached: readonly Attributes[]; stop: number; target: string; fid: number } | null {
    const { connection, fids } = this.fileSystem;
    const path: string[] = [];
    const from = this.ancestorWithFid(path);
    if (from === null) return null;
    const above = path.length;
    path.push(...names.slice(0, NAMES_MAX - above));
    const { fid } = from;
    const newFid = fids.take();
    const body = connection.ask(Walk, { fid, newFid, names: path });
    const isWhole = body !== null && body.stop === 0 && body.reached.length === path.length;
    if (!isWhole) fids.putBack(newFid);
    if (body === null || body.reached.length < above || (body.reached.length === above && body.stop === 0)) return null;
    // The directory itself may be another one by now; then nothing is known of what lies in it.
    if (above > 0 && !this.isSameFile(body.reached[above - 1]!)) {
      if (isWhole) fids.putBack(newFid);
      return null;
    }
    return { reached: body.reached.slice(above), stop: body.stop, target: body.target, fid: isWhole ? newFid : 0 };
  }

  override peek(name: string, into: Stat): number {
    const { fileSystem } = this;
    if (!this.isBelieved || this.children?.has(name) === true) return PEEK_UNKNOWN;
    if (this.listing === null && this.prefetchAfter() === 1 && this.asked++ === 0) this.prefetch();
    const { listing } = this;
    if (listing === null) return PEEK_UNKNOWN;
    fileSystem.listings.touch(listing);
    const known = listing.entries.get(name);
    if (known === undefined) return -ENOENT;
    if (known.mask === 0) return PEEK_UNKNOWN;
    // What happens in it, or to another of its names, is not told here.
    if (!fileSystem.cacheable && ((known.mode & S_IFMT) === S_IFDIR || known.nlink > 1)) return PEEK_UNKNOWN;
    fillStat(into, known, fileSystem);
    return 0;
  }

  /** Asks the gofer for one name. */
  private askFor(name: string): Inode | number {
    const { connection, fids } = this.fileSystem;
    const path: string[] = [];
    // A directory that is asked repeatedly is worth a fid of its own.
    if (this.fid === 0 && this.asked > 2) this.ensureFid();
    const from = this.ancestorWithFid(path);
    if (from === null || path.length >= NAMES_MAX) return -ENOENT;
    path.push(name);
    const fid = from.fid;
    const newFid = fids.take();
    const body = connection.ask(Walk, { fid, newFid, names: path });
    if (body === null || body.stop !== 0 || body.reached.length < path.length) {
      fids.putBack(newFid);
      if (body === null) return -connection.errno;
      return body.stop === 0 ? -ENOENT : -body.stop;
    }
    const inode = this.fileSystem.inodeFor(body.reached.at(-1)!, this, name, 'fresh');
    if (inode.fid === 0) fids.give(inode, newFid);
    else fids.putBack(newFid);
    inode.linkTarget = inode.isSymlink ? body.target : null;
    return inode;
  }

  /** Names asked for before it is read as a whole: as many as reading it costs, by its size. Somebody who goes through a tree asks for more. */
  private prefetchAfter(): number {
    const { directoriesAhead } = this.fileSystem;
    return directoriesAhead.isSearching || directoriesAhead.isWandered(this) ? 1 : 1 + Math.max(1, this.attributes.size >> 12);
  }

  /** Reads the whole directory, if that takes few messages. */
  private prefetch(): void {
    if (this.attributes.size > PREFETCH_SIZE_MAX || (this.fileSystem.cacheable && this.fileSystem.directoriesAhead.obtain(this))) return;
    const entries = new Entries();
    let cookie: readonly [number, number] = [0, 0];
    for (let replies = 0; replies < PREFETCH_REPLIES_MAX; replies++) {
      const body = this.read(cookie);
      if (typeof body === 'number') return;
      entries.append(body.entries);
      if (body.end === READDIR_END) {
        this.fileSystem.listings.add(this, entries);
        return;
      }
      cookie = body.next;
    }
  }

  // ---- new names ----

  override create(name: string, mode: number, uid: number, gid: number): Inode | number {
    const { connection, descriptors } = this.fileSystem;
    const made = this.make(
      (directory, newFid) => connection.ask(Create, { directory, name, newFid, flags: O_RDWR, mode: mode & 0o7777, uid, gid }),
      name,
    );
    const fd = connection.takeDescriptor();
    if (typeof made === 'number') return made;
    if (fd < 0) return made;
    const donated = new Donated(fd, descriptors);
    if (made instanceof GoferFile) made.adopt(donated);
    descriptors.idle(donated);
    return made;
  }

  override tmpfile(mode: number, uid: number, gid: number, flags: number): Inode | number {
    const { connection, fids, descriptors, readOnly } = this.fileSystem;
    if (readOnly) return -EROFS;
    const directory = this.ensureFid();
    if (directory < 0) return directory;
    const newFid = fids.take();
    if (newFid === 0) return -ENFILE;
    const body = connection.ask(Tmpfile, { directory, newFid, flags: O_RDWR | flags, mode: mode & 0o7777, uid, gid });
    const fd = connection.takeDescriptor();
    if (body === null || fd < 0) {
      fids.putBack(newFid);
      return body === null ? -connection.errno : -ENFILE;
    }
    const inode = new GoferFile(this.fileSystem, body.attributes, null, '');
    // No name leads to it: it lives by its fid.
    inode.deleted = true;
    fids.pin(inode);
    fids.give(inode, newFid);
    const donated = new Donated(fd, descriptors);
    inode.adopt(donated);
    descriptors.idle(donated);
    return inode;
  }

  override mkdir(name: string, mode: number, uid: number, gid: number): Inode | number {
    return this.make(
      (directory, newFid) => this.fileSystem.connection.ask(Mkdir, { directory, name, newFid, mode: mode & 0o7777, uid, gid }),
      name,
    );
  }

  override mknod(name: string, mode: number, _rdev: number, uid: number, gid: number): Inode | number {
    // The gofer makes no devices on the host. A socket there is a name that nobody answers to; who is bound to it hangs on the inode here.
    const type = mode & S_IFMT;
    if (type !== S_IFIFO && type !== S_IFSOCK) return -EPERM;
    return this.make((directory, newFid) => this.fileSystem.connection.ask(Mknod, { directory, name, newFid, mode, uid, gid }), name);
  }

  override symlink(name: string, target: string, uid: number, gid: number): Inode | number {
    const made = this.make(
      (directory) => this.fileSystem.connection.ask(Symlink, { directory, name, target, uid, gid }),
      name,
      'without fid',
    );
    if (typeof made !== 'number') made.linkTarget = target;
    return made;
  }

  /** Has the gofer make something called `name`: the new inode, or -errno. */
  private make(
    ask: (directory: number, newFid: number) => { readonly attributes: Attributes } | null,
    name: string,
    binding: 'with fid' | 'without fid' = 'with fid',
  ): GoferInode | number {
    const { connection, fids, readOnly } = this.fileSystem;
    if (readOnly) return -EROFS;
    const directory = this.ensureFid();
    if (directory < 0) return directory;
    const newFid = binding === 'with fid' ? fids.take() : 0;
    if (newFid === 0 && binding === 'with fid') return -ENFILE;
    const body = ask(directory, newFid);
    if (body === null) {
      fids.putBack(newFid);
      return -connection.errno;
    }
    const inode = this.fileSystem.inodeFor(body.attributes, this, name, 'fresh');
    fids.give(inode, newFid);
    this.nameChanged(name, body.attributes);
    return inode;
  }

  override link(name: string, target: Inode): number {
    const inode = target as GoferInode;
    if (this.fileSystem.readOnly) return -EROFS;
    const directory = this.ensureFid();
    const fid = inode.ensureFid();
    if (directory < 0 || fid < 0) return Math.min(directory, fid);
    const body = this.fileSystem.connection.ask(Link, { fid, directory: this.fid === 0 ? directory : this.fid, name });
    if (body === null) return -this.fileSystem.connection.errno;
    inode.update(body.attributes);
    inode.deleted = false;
    inode.publish();
    this.nameChanged(name, body.attributes);
    return 0;
  }

  // ---- names that go ----

  override unlink(name: string, target: Inode): number {
    const inode = target as GoferInode;
    if (this.fileSystem.readOnly) return -EROFS;
    if (inode instanceof GoferFile && (inode.openFiles > 0 || inode.attributes.nlink > 1)) inode.ensureFid();
    return this.remove(name, inode, 0);
  }

  override rmdir(name: string, target: Inode): number {
    return this.fileSystem.readOnly ? -EROFS : this.remove(name, target as GoferInode, AT_REMOVEDIR);
  }

  private remove(name: string, inode: GoferInode, flags: number): number {
    const directory = this.ensureFid();
    if (directory < 0) return directory;
    const error = this.fileSystem.connection.tell(Unlink, { directory, name, flags });
    if (error < 0) return error;
    this.forgetName(name, inode);
    return 0;
  }

  /** `name` does not lead to `inode` any more. */
  private forgetName(name: string, inode: GoferInode): void {
    inode.nameRemoved();
    if (inode instanceof GoferFile && inode.deleted && inode.openFiles > 0 && inode.fid !== 0) this.fileSystem.fids.pin(inode);
    this.fileSystem.listings.remove(this, name);
    this.changes++;
    this.touch();
  }

  override rename(name: string, newDirectory: Inode, newName: string, flags: number): number {
    const to = newDirectory as GoferDirectory;
    if (this.fileSystem.readOnly) return -EROFS;
    if ((flags & RENAME_WHITEOUT) !== 0) return -EINVAL;
    const replaced = to.children?.get(newName);
    if (replaced instanceof GoferFile && (replaced.openFiles > 0 || replaced.attributes.nlink > 1)) replaced.ensureFid();
    // Both may have to be walked to; the first must not lose its fid to the second.
    const directory = this.ensureFid();
    const newDirectoryFid = to.ensureFid();
    if (directory < 0 || newDirectoryFid < 0) return Math.min(directory, newDirectoryFid);
    const error = this.fileSystem.connection.tell(Rename, { directory: this.fid, name, newDirectory: newDirectoryFid, newName, flags });
    if (error < 0) return error;
    const moved = this.children?.get(name);
    if ((flags & RENAME_EXCHANGE) !== 0) {
      replaced?.moveTo(this, name);
      moved?.moveTo(to, newName);
      if (replaced !== undefined) replaced.stale = true;
    } else {
      if (replaced !== undefined && replaced !== moved) to.forgetName(newName, replaced);
      moved?.moveTo(to, newName);
    }
    if (moved !== undefined) moved.stale = true;
    this.namesMoved();
    to.namesMoved();
    return 0;
  }

  private namesMoved(): void {
    this.fileSystem.listings.drop(this);
    this.changes++;
    this.touch();
    this.asked = 0;
  }

  private nameChanged(name: string, attributes: Attributes): void {
    this.fileSystem.listings.set(this, name, attributes);
    this.changes++;
    this.touch();
  }

  // ---- opening ----

  override open(dentry: Dentry, flags: number): FileDescription | number {
    return new GoferDirectoryDescription(this, dentry, flags);
  }

  sync(dataOnly: boolean): number {
    const fid = this.ensureFid();
    return fid < 0 ? fid : this.fileSystem.connection.tell(Fsync, { fid, dataOnly: dataOnly ? 1 : 0 });
  }

  /** One reply's worth of entries, or -errno. Finds the directory on the way, if it has no fid. The next one is asked for while they are gone through. */
  read(cookie: readonly [number, number]): ReturnType<typeof Readdir.reply.read> | number {
    const { chunkAhead } = this.fileSystem;
    const body = chunkAhead.take(this, cookie) ?? this.ask(cookie);
    if (typeof body === 'number') return body;
    if (!this.isSameFile(body.attributes)) return -ESTALE;
    if (body.end !== READDIR_END) chunkAhead.begin(this, this.fid, body.next);
    this.update(body.attributes);
    return body;
  }

  private ask(cookie: readonly [number, number]): ReturnType<typeof Readdir.reply.read> | number {
    const { connection, fids, cacheable, watches } = this.fileSystem;
    const names: string[] = [];
    const from = this.ancestorWithFid(names);
    if (from === null) return -ESTALE;
    const fid = from.fid;
    const newFid = names.length === 0 ? 0 : fids.take();
    const watch = cookie[0] === 0 && cookie[1] === 0 && !cacheable && this.generation === 0 && watches.canWatch ? 1 : 0;
    const body = connection.ask(Readdir, { fid, newFid, names, cookie, watch });
    if (body === null || !this.isSameFile(body.attributes)) {
      fids.putBack(newFid);
      return body === null ? -connection.errno : -ESTALE;
    }
    if (newFid !== 0) fids.give(this, newFid);
    if (body.wd >= 0) {
      this.generation = watches.began(this, body.wd);
      this.asked = 1;
    }
    return body;
  }
}
