/**
 * Building blocks for file systems whose contents are made up on demand: proc and sys.
 *
 * A directory derives from `SyntheticDirectory` and says which names it has; a text file is a `TextFile` with a function that produces
 * its contents, called again whenever a reader starts from the beginning (as seq_file does). Nothing is stored.
 */
import { EACCES, EINVAL, ENOENT, EPERM } from '#sentry/abi/errno.ts';
import { O_ACCMODE, O_RDONLY, SEEK_CUR, SEEK_END, SEEK_SET, S_IFDIR, S_IFLNK, S_IFREG, direntType } from '#sentry/abi/fs.ts';
import type { Host, HostMemory, Timestamp } from '#platform/contract/host.ts';
import { SYNTHETIC_TEXT_MAX } from '../../limits.ts';
import type { Io } from '../../mm/io.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import { FileDescription } from '../../vfs/file-description.ts';
import type { DirentSink } from '../../vfs/file-description.ts';
import { FileSystem, Inode } from '../../vfs/inode.ts';
import type { AttributeChange, Caller, FileSystemStatistics, Stat } from '../../vfs/inode.ts';

/** A name in a synthetic directory. */
export interface Entry {
  readonly name: string;
  readonly ino: number;
  readonly mode: number;
}

const MODE_BITS = 0o7777;
/** Largest single write a synthetic file looks at. */
const WRITE_MAX = 4096;

export abstract class SyntheticFileSystem extends FileSystem {
  override readonly cacheable: boolean = false;
  override readonly forgetsNames: boolean = true;
  readonly host: Host;
  /** For moving text to readers; valid within one call. */
  readonly staging: HostMemory;
  readonly mountTime: Timestamp = { sec: 0, nsec: 0 };
  private nextIno = 1;

  constructor(device: number, host: Host) {
    super(device);
    this.host = host;
    this.staging = host.allocate(16384);
    host.realtime(this.mountTime);
  }

  abstract readonly magic: number;
  /** What making a name answers where there is none. Linux: -ENOENT in proc, which does not even know of names that are missing. */
  readonly newNameError: number = -EPERM;

  newIno(): number {
    return this.nextIno++;
  }

  statistics(into: FileSystemStatistics): number {
    into.type = this.magic;
    into.blockSize = 4096;
    into.blocks = 0;
    into.blocksFree = 0;
    into.blocksAvailable = 0;
    into.files = 0;
    into.filesFree = 0;
    into.nameLength = 255;
    return 0;
  }
}

/** Attributes that every synthetic inode has. */
export abstract class SyntheticInode extends Inode {
  declare readonly fileSystem: SyntheticFileSystem;

  constructor(fileSystem: SyntheticFileSystem, mode: number) {
    super(fileSystem, fileSystem.newIno(), mode, 0, 0);
  }

  protected get links(): number {
    return 1;
  }

  getattr(into: Stat): number {
    const { sec, nsec } = this.fileSystem.mountTime;
    into.dev = this.fileSystem.device;
    into.ino = this.ino;
    into.mode = this.mode;
    into.nlink = this.links;
    into.uid = this.uid;
    into.gid = this.gid;
    into.rdev = 0;
    into.size = 0;
    into.blksize = 4096;
    into.blocks = 0;
    into.atimeSec = into.mtimeSec = into.ctimeSec = sec;
    into.atimeNsec = into.mtimeNsec = into.ctimeNsec = nsec;
    return 0;
  }

  override setattr(change: AttributeChange, _caller: Caller): number {
    // Opening with O_TRUNC is how shells write to such files.
    return Object.keys(change).every((key) => key === 'size') && this.isRegular ? 0 : -EPERM;
  }
}

export abstract class SyntheticDirectory extends SyntheticInode {
  constructor(fileSystem: SyntheticFileSystem, permissions = 0o555) {
    super(fileSystem, S_IFDIR | (permissions & MODE_BITS));
  }

  protected override get links(): number {
    return 2;
  }

  abstract override lookup(name: string, caller: Caller): Inode | number;
  abstract entries(caller: Caller): Entry[];

  override create(): Inode | number {
    const { newNameError } = this.fileSystem;
    return newNameError === -EPERM ? -EACCES : newNameError;
  }
  override mkdir(_name?: string, _mode?: number, _uid?: number, _gid?: number): Inode | number {
    return this.fileSystem.newNameError;
  }
  override mknod(): Inode | number {
    return this.fileSystem.newNameError;
  }
  override symlink(): Inode | number {
    return this.fileSystem.newNameError;
  }

  open(dentry: Dentry, flags: number): FileDescription | number {
    return new DirectoryFile(dentry, flags, this);
  }
}

/** A directory with fixed names, given once. */
export class StaticDirectory extends SyntheticDirectory {
  private readonly children: ReadonlyMap<string, Inode>;

  constructor(fileSystem: SyntheticFileSystem, children: Readonly<Record<string, Inode>>, permissions = 0o555) {
    super(fileSystem, permissions);
    this.children = new Map(Object.entries(children));
  }

  override lookup(name: string, _caller: Caller): Inode | number {
    return this.children.get(name) ?? -ENOENT;
  }

  entries(_caller: Caller): Entry[] {
    return [...this.children].map(([name, { ino, mode }]) => ({ name, ino, mode }));
  }
}

class DirectoryFile extends FileDescription {
  private readonly directory: SyntheticDirectory;
  private listing: Entry[] = [];

  constructor(dentry: Dentry, flags: number, directory: SyntheticDirectory) {
    super(dentry, null, flags);
    this.directory = directory;
  }

  override get seekable(): boolean {
    return true;
  }

  override seek(offset: number, whence: number): number {
    const target = whence === SEEK_SET ? offset : whence === SEEK_CUR ? this.position + offset : -1;
    return target < 0 ? -EINVAL : target;
  }

  override readdir(sink: DirentSink, caller: Caller): number {
    if (this.position === 0) this.listing = this.directory.entries(caller);
    const parent = this.dentry.parent?.inode ?? this.directory;
    for (;;) {
      const index = this.position;
      let taken: boolean;
      if (index === 0) taken = sink('.', this.directory.ino, direntType(S_IFDIR), 1);
      else if (index === 1) taken = sink('..', parent.ino, direntType(S_IFDIR), 2);
      else {
        const entry = this.listing[index - 2];
        if (entry === undefined) return 0;
        taken = sink(entry.name, entry.ino, direntType(entry.mode), index + 1);
      }
      if (!taken) return 0;
      this.position = index + 1;
    }
  }
}

/** Produces a file's text (one character per byte), or -errno. */
export type ReadText = (caller: Caller) => string | number;
/** What open(2) asks besides the permission bits: 0 or -errno. */
export type MayOpen = (caller: Caller) => number;
/** Takes what was written in one write(2). 0 or -errno. */
export type WriteText = (text: string, caller: Caller) => number;

export class TextFile extends SyntheticInode {
  readonly readText: ReadText;
  readonly writeText: WriteText | null;
  private readonly mayOpen: MayOpen | null;

  /** Without `permissions`: 0444, or 0644 when it can be written. */
  constructor(
    fileSystem: SyntheticFileSystem,
    readText: ReadText,
    writeText: WriteText | null = null,
    permissions?: number,
    mayOpen: MayOpen | null = null,
  ) {
    super(fileSystem, S_IFREG | (permissions ?? (writeText === null ? 0o444 : 0o644)));
    this.readText = readText;
    this.writeText = writeText;
    this.mayOpen = mayOpen;
  }

  open(dentry: Dentry, flags: number, caller: Caller): FileDescription | number {
    if ((flags & O_ACCMODE) !== O_RDONLY && this.writeText === null) return -EACCES;
    const refusal = this.mayOpen === null ? 0 : this.mayOpen(caller);
    if (refusal < 0) return refusal;
    return new OpenTextFile(dentry, flags, this);
  }
}

class OpenTextFile extends FileDescription {
  private readonly file: TextFile;
  /** What was produced last, so that one reader sees one text. Null at the start, and while all of them together hold too much. */
  private text: string | null = null;
  private static bytesHeld = 0;

  constructor(dentry: Dentry, flags: number, file: TextFile) {
    super(dentry, null, flags);
    this.file = file;
  }

  override get seekable(): boolean {
    return true;
  }

  override seek(offset: number, whence: number): number {
    const base = whence === SEEK_SET ? 0 : whence === SEEK_CUR ? this.position : whence === SEEK_END ? 0 : Number.NaN;
    const target = base + offset;
    return target >= 0 ? target : -EINVAL;
  }

  override read(io: Io, position: number, caller: Caller): number {
    let { text } = this;
    if (position === 0 || text === null) {
      const produced = this.file.readText(caller);
      if (typeof produced === 'number') return produced;
      text = produced;
      this.hold(text);
    }
    const { staging } = this.file.fileSystem;
    const end = Math.min(text.length, position + io.remaining);
    let done = position;
    while (done < end) {
      const piece = text.slice(done, Math.min(end, done + staging.bytes.length));
      staging.writeLatin1(piece, 0);
      const moved = io.put(staging, 0, piece.length);
      if (moved < 0) return done > position ? done - position : moved;
      done += moved;
      if (moved < piece.length) break;
    }
    return Math.max(0, done - position);
  }

  override write(io: Io, _position: number, caller: Caller): number {
    const { writeText, fileSystem } = this.file;
    if (writeText === null) return -EINVAL;
    const length = io.remaining;
    if (length > WRITE_MAX) return -EINVAL;
    const taken = io.take(fileSystem.staging, 0, length);
    if (taken < 0) return taken;
    const result = writeText(fileSystem.staging.latin1(0, taken), caller);
    if (result < 0) return result;
    this.endOfWrite = taken;
    return taken;
  }

  override truncate(_length: number): number {
    return 0;
  }

  protected override destroy(): void {
    this.hold(null);
  }

  private hold(text: string | null): void {
    const others = OpenTextFile.bytesHeld - (this.text?.length ?? 0);
    this.text = text !== null && others + text.length <= SYNTHETIC_TEXT_MAX ? text : null;
    OpenTextFile.bytesHeld = others + (this.text?.length ?? 0);
  }
}

/** A symbolic link whose target is computed. `follow` makes it a magic link. */
export class LinkFile extends SyntheticInode {
  private readonly target: (caller: Caller) => string | number;
  private readonly follow: Inode['followMagic'] | null;

  constructor(fileSystem: SyntheticFileSystem, target: (caller: Caller) => string | number, follow: Inode['followMagic'] | null = null) {
    super(fileSystem, S_IFLNK | 0o777);
    this.target = target;
    this.follow = follow;
  }

  override readlink(caller: Caller): string | number {
    return this.target(caller);
  }

  override followMagic(caller: Caller): ReturnType<Inode['followMagic']> {
    return this.follow === null ? null : this.follow(caller);
  }

  open(): FileDescription | number {
    return -EINVAL;
  }
}
