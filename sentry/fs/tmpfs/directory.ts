/**
 * Directories of a tmpfs: entries in the order in which they were made, each with a number that grows for ever. That number is the entry's
 * readdir cookie, so a listing goes on at the right place whatever is created or removed meanwhile.
 */
import { EINVAL, EISDIR, ENOENT, ENOTDIR, ENOTEMPTY } from '#sentry/abi/errno.ts';
import { direntType, RENAME_EXCHANGE, RENAME_WHITEOUT, S_IFCHR, S_IFDIR, SEEK_CUR, SEEK_SET } from '#sentry/abi/fs.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import { FileDescription } from '../../vfs/file-description.ts';
import type { DirentSink } from '../../vfs/file-description.ts';
import type { Caller, Inode } from '../../vfs/inode.ts';
import { TmpFile } from './file.ts';
import { TmpInode, TmpSpecial, TmpSymlink } from './inode.ts';
import type { TmpFileSystem } from './tmpfs.ts';

/** Linux counts a directory's size as if each entry, '.' and '..' included, took 20 bytes. */
const ENTRY_SIZE = 20;
/** Cookies 0 and 1 are '.' and '..'. */
const FIRST_COOKIE = 2;

interface Entry {
  inode: TmpInode;
  readonly cookie: number;
}

export class TmpDirectory extends TmpInode {
  readonly entries = new Map<string, Entry>();
  private nextCookie = FIRST_COOKIE;

  constructor(fileSystem: TmpFileSystem, mode: number, uid: number, gid: number) {
    super(fileSystem, mode, uid, gid);
    this.nlink = 2;
  }

  override get size(): number {
    return (this.entries.size + 2) * ENTRY_SIZE;
  }

  override lookup(name: string): Inode | number {
    return this.entries.get(name)?.inode ?? -ENOENT;
  }

  override create(name: string, mode: number, uid: number, gid: number): Inode | number {
    const error = this.fileSystem.takeInode();
    return error < 0 ? error : this.add(name, new TmpFile(this.fileSystem, mode, uid, gid));
  }

  override mkdir(name: string, mode: number, uid: number, gid: number): Inode | number {
    const error = this.fileSystem.takeInode();
    if (error < 0) return error;
    this.nlink++;
    return this.add(name, new TmpDirectory(this.fileSystem, mode, uid, gid));
  }

  override mknod(name: string, mode: number, rdev: number, uid: number, gid: number): Inode | number {
    const error = this.fileSystem.takeInode();
    return error < 0 ? error : this.add(name, new TmpSpecial(this.fileSystem, mode, rdev, uid, gid));
  }

  override symlink(name: string, target: string, uid: number, gid: number): Inode | number {
    const error = this.fileSystem.takeInode();
    if (error < 0) return error;
    const full = this.fileSystem.chargeMetadata(target.length);
    if (full < 0) {
      this.fileSystem.freeInode();
      return full;
    }
    return this.add(name, new TmpSymlink(this.fileSystem, target, uid, gid));
  }

  override tmpfile(mode: number, uid: number, gid: number, flags: number): Inode | number {
    const error = this.fileSystem.takeInode();
    if (error < 0) return error;
    const file = new TmpFile(this.fileSystem, mode, uid, gid);
    file.nlink = 0;
    file.linkable = flags === 0;
    file.unnamed = true;
    return file;
  }

  override link(name: string, target: Inode): number {
    const inode = target as TmpInode;
    if (inode.nlink === 0) {
      if (!(inode instanceof TmpFile) || !inode.linkable) return -ENOENT;
      inode.unnamed = false;
    } else {
      const error = this.fileSystem.takeInode();
      if (error < 0) return error;
    }
    inode.addLink();
    this.add(name, inode);
    return 0;
  }

  override unlink(name: string, _target: Inode): number {
    const entry = this.entries.get(name);
    if (entry === undefined) return -ENOENT;
    this.entries.delete(name);
    this.touchModified();
    entry.inode.dropLink();
    return 0;
  }

  override rmdir(name: string, _target: Inode): number {
    const entry = this.entries.get(name);
    if (entry === undefined) return -ENOENT;
    if (!(entry.inode instanceof TmpDirectory)) return -ENOTDIR;
    if (entry.inode.entries.size > 0) return -ENOTEMPTY;
    this.entries.delete(name);
    this.nlink--;
    this.touchModified();
    entry.inode.dropLink();
    return 0;
  }

  override rename(name: string, newDirectory: Inode, newName: string, flags: number): number {
    const to = newDirectory as TmpDirectory;
    const source = this.entries.get(name);
    if (source === undefined) return -ENOENT;
    const target = to.entries.get(newName);
    if ((flags & RENAME_EXCHANGE) !== 0) return target === undefined ? -ENOENT : this.exchange(source, to, target);
    if (target !== undefined) {
      if (target.inode === source.inode) return 0;
      const error = mayReplace(source.inode, target.inode);
      if (error < 0) return error;
    }
    if ((flags & RENAME_WHITEOUT) !== 0) {
      const error = this.fileSystem.takeInode();
      if (error < 0) return error;
    }
    this.move(name, source, to, newName, target);
    if ((flags & RENAME_WHITEOUT) !== 0) this.add(name, new TmpSpecial(this.fileSystem, S_IFCHR, 0, source.inode.uid, source.inode.gid));
    return 0;
  }

  private move(name: string, source: Entry, to: TmpDirectory, newName: string, target: Entry | undefined): void {
    const { inode } = source;
    this.entries.delete(name);
    if (inode instanceof TmpDirectory) {
      this.nlink--;
      to.nlink++;
    }
    if (target === undefined) {
      to.entries.set(newName, { inode, cookie: to.nextCookie++ });
    } else {
      const replaced = target.inode;
      target.inode = inode;
      if (replaced instanceof TmpDirectory) to.nlink--;
      replaced.dropLink();
    }
    inode.touchChanged();
    this.touchModified();
    if (to !== this) to.touchModified();
  }

  private exchange(source: Entry, to: TmpDirectory, target: Entry): number {
    const { inode } = source;
    source.inode = target.inode;
    target.inode = inode;
    const sourceCount = inode instanceof TmpDirectory ? 1 : 0;
    const targetCount = source.inode instanceof TmpDirectory ? 1 : 0;
    this.nlink += targetCount - sourceCount;
    to.nlink += sourceCount - targetCount;
    inode.touchChanged();
    source.inode.touchChanged();
    this.touchModified();
    if (to !== this) to.touchModified();
    return 0;
  }

  private add(name: string, inode: TmpInode): Inode {
    this.entries.set(name, { inode, cookie: this.nextCookie++ });
    this.touchModified();
    return inode;
  }

  override open(dentry: Dentry, flags: number, _caller: Caller): FileDescription {
    return new TmpDirectoryDescription(this, dentry, flags);
  }
}

function mayReplace(source: TmpInode, target: TmpInode): number {
  if (target instanceof TmpDirectory) {
    if (!(source instanceof TmpDirectory)) return -EISDIR;
    return target.entries.size > 0 ? -ENOTEMPTY : 0;
  }
  return source instanceof TmpDirectory ? -ENOTDIR : 0;
}

/** An open directory. It keeps an iterator over the entries (a live one: removals and additions do not disturb it) as long as it is read in order. */
class TmpDirectoryDescription extends FileDescription {
  private readonly directory: TmpDirectory;
  private iterator: MapIterator<[string, Entry]> | null = null;
  /** The entry the iterator yielded last and nobody has taken yet. */
  private pending: [string, Entry] | null = null;
  /** Where the iterator stands. */
  private iteratorPosition = 0;

  constructor(directory: TmpDirectory, dentry: Dentry, flags: number) {
    super(dentry, null, flags);
    this.directory = directory;
    directory.acquire();
  }

  override get seekable(): boolean {
    return true;
  }

  override readdir(sink: DirentSink, _caller: Caller): number {
    const { directory } = this;
    if (directory.nlink === 0) return -ENOENT;
    directory.touchAccessed(this.mount === null ? 0 : this.mount.flags, this.flags);
    if (this.position === 0) {
      if (!sink('.', this.inode.ino, direntType(S_IFDIR), 1)) return 0;
      this.position = 1;
    }
    if (this.position === 1) {
      const parent = this.dentry.parent?.inode ?? this.inode;
      if (!sink('..', parent.ino, direntType(S_IFDIR), FIRST_COOKIE)) return 0;
      this.position = FIRST_COOKIE;
    }
    for (let next = this.nextEntry(); next !== null; next = this.nextEntry()) {
      const [name, { inode, cookie }] = next;
      if (!sink(name, inode.ino, direntType(inode.mode), cookie + 1)) return 0;
      this.pending = null;
      this.position = this.iteratorPosition = cookie + 1;
    }
    return 0;
  }

  /** The first entry at or behind `position` that still exists. */
  private nextEntry(): [string, Entry] | null {
    if (this.iterator === null || this.iteratorPosition !== this.position) {
      this.iterator = this.directory.entries.entries();
      this.pending = null;
      this.iteratorPosition = this.position;
    }
    if (this.pending !== null && this.directory.entries.get(this.pending[0]) === this.pending[1]) return this.pending;
    for (;;) {
      const { value, done } = this.iterator.next();
      if (done === true) {
        // An exhausted iterator stays so, but entries may still be added: begin anew next time.
        this.iterator = null;
        this.pending = null;
        return null;
      }
      if (value[1].cookie < this.position) continue;
      this.pending = value;
      return value;
    }
  }

  override seek(offset: number, whence: number): number {
    if (whence === SEEK_SET) return offset < 0 ? -EINVAL : offset;
    if (whence === SEEK_CUR) return this.position + offset < 0 ? -EINVAL : this.position + offset;
    return -EINVAL;
  }

  override sync(): number {
    return 0;
  }

  protected override destroy(): void {
    this.directory.release();
  }
}
