/**
 * Regular files. An open file holds a descriptor that the gofer donated; reads, writes and mappings go to it directly (file-description.ts). An inode
 * keeps at most two: one for reading, one for reading and writing. They outlive the last close (descriptor-cache.ts).
 *
 * A small file of an exclusive mount whose contents were read ahead (files-ahead.ts) is opened and read without a descriptor: the gofer has shown that
 * it can be opened. Nobody has contents while somebody may write.
 */
import { emptyAttributes } from '#sentry/abi/stat.ts';
import { EACCES, ENFILE, EROFS, ESTALE } from '#sentry/abi/errno.ts';
import { O_ACCMODE, O_RDONLY, O_RDWR, O_WRONLY, S_ISGID, S_ISUID } from '#sentry/abi/fs.ts';
import { fetchedExtent, Open } from '#gofer/protocol/messages.ts';
import type { Attributes } from '#gofer/protocol/attributes.ts';
import type { HostFd, HostStat } from '#platform/contract/host.ts';
import { GOFER_CONTENT_MAX } from '../../limits.ts';
import type { Dentry } from '../../vfs/dentry.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import type { AttributeChange, Stat } from '../../vfs/inode.ts';
import { Content } from './contents.ts';
import { Donated } from './descriptor-cache.ts';
import { GoferFileDescription } from './file-description.ts';
import { GoferInode } from './inode.ts';
import type { Ready } from './listings.ts';
import { ReadyDescriptor } from './files-ahead.ts';

const scratchStat: HostStat = emptyAttributes();

export class GoferFile extends GoferInode {
  /** Open files and mappings. */
  openFiles = 0;
  /** Those of them that may write. */
  writingFiles = 0;
  /** ContentUser: what the file holds, read ahead. Only while nobody has it open for writing. */
  content: Content | null = null;
  private forReading: Donated | null = null;
  private forWriting: Donated | null = null;

  override open(dentry: Dentry, flags: number): FileDescription | number {
    if ((flags & O_ACCMODE) !== O_RDONLY) this.dropContent();
    else if (this.fileSystem.cacheable && this.hasContent()) return new GoferFileDescription(this, null, dentry, flags);
    const donated = this.obtain(flags);
    return typeof donated === 'number' ? donated : new GoferFileDescription(this, donated, dentry, flags);
  }

  /** Whether it can be read without a descriptor. Looks for what was read ahead, or reads ahead, which may yield a descriptor, too. */
  private hasContent(): boolean {
    if (this.content !== null) return true;
    const { parent, name, fileSystem } = this;
    const listing = parent?.listing ?? null;
    if (this.deleted || parent === null || listing === null || !this.takesReady) return false;
    listing.opened++;
    if (listing.hasReady(name)) listing.advanceTo(name);
    else if (!fileSystem.filesAhead.obtain(parent, name)) return false;
    const ready = listing.takeReady(name);
    if (ready !== null) this.takeReady(ready);
    return this.content !== null;
  }

  /** Makes what was read ahead its own, if the file is still what it was then. */
  private takeReady(ready: Ready): void {
    const { attributes } = ready;
    if (!this.isSameFile(attributes) || !this.isUnchangedSince(attributes)) {
      ready.discard();
      return;
    }
    this.fileSystem.filesAhead.batch.use();
    if (ready instanceof Content) {
      ready.user = this;
      this.content = ready;
    } else if (ready instanceof ReadyDescriptor) {
      this.forReading = ready.donated;
    }
  }

  private isUnchangedSince({ size, mtimeSec, mtimeNsec, ctimeSec, ctimeNsec }: Attributes): boolean {
    const { attributes } = this;
    return (
      !this.stale &&
      attributes.size === size &&
      attributes.mtimeSec === mtimeSec &&
      attributes.mtimeNsec === mtimeNsec &&
      attributes.ctimeSec === ctimeSec &&
      attributes.ctimeNsec === ctimeNsec
    );
  }

  override get takesReady(): boolean {
    return this.content === null && this.writingFiles === 0 && this.anyDescriptor() === null;
  }

  /**
   * A small file is read whole from the host's descriptor `fd`: keeps what comes for the next time. False: nothing was read. The file's size is believed,
   * and a byte more is asked for, to see its end.
   */
  readWhole(fd: HostFd): boolean {
    const { ownContents: contents, connection } = this.fileSystem;
    const { attributes } = this;
    const { size } = attributes;
    if (contents === null || !this.fileSystem.cacheable || this.stale || this.writingFiles > 0 || size > GOFER_CONTENT_MAX) return false;
    const at = contents.reserve(fetchedExtent(size));
    if (connection.host.pread(fd, contents.memory, at, size + 1, 0) !== size) return false;
    const content = contents.add(at, size, attributes);
    content.user = this;
    this.content = content;
    return true;
  }

  /** The contents are about to change. */
  private dropContent(): void {
    this.content?.discard();
    const { listings } = this.fileSystem;
    // Its other names may have something ready, too.
    if (this.attributes.nlink > 1) listings.dropAll();
    else this.parent?.listing?.takeReady(this.name)?.discard();
  }

  /** A descriptor that allows what `flags` ask for. */
  obtain(flags: number): Donated | number {
    const access = flags & O_ACCMODE;
    if (this.forWriting?.wanted === true) return this.forWriting;
    if (access === O_RDONLY) {
      if (this.forReading?.wanted === true) return this.forReading;
      const opened = this.ask(O_RDONLY);
      if (typeof opened !== 'number') this.forReading = opened;
      return opened;
    }
    if (this.fileSystem.readOnly) return -EROFS;
    const opened = this.ask(O_RDWR);
    if (typeof opened !== 'number') {
      this.adopt(opened);
      return opened;
    }
    if (opened !== -EACCES || access !== O_WRONLY) return opened;
    // A file that a gofer without privileges may write but not read: good for this one use.
    const writeOnly = this.ask(O_WRONLY);
    if (typeof writeOnly !== 'number') writeOnly.wanted = false;
    return writeOnly;
  }

  /** Has the gofer open the file. */
  private ask(flags: number): Donated | number {
    const names: string[] = [];
    const from = this.ancestorWithFid(names);
    if (from === null) return -ESTALE;
    const { connection, descriptors } = this.fileSystem;
    const body = connection.ask(Open, { fid: from.fid, newFid: 0, names, flags });
    if (body === null) return -connection.errno;
    const fd = connection.takeDescriptor();
    if (fd < 0) return -ENFILE; // the sentry's table of descriptors is full
    const donated = new Donated(fd, descriptors);
    if (!this.isSameFile(body.attributes)) {
      donated.discard();
      return -ESTALE;
    }
    this.update(body.attributes);
    return donated;
  }

  /** A descriptor for reading and writing that came along with the file's creation, or was asked for. */
  adopt(donated: Donated): void {
    this.forWriting?.discard();
    this.forWriting = donated;
  }

  /** Whether size and times can change without our doing anything: somebody has it open, perhaps mapped, for writing. */
  private get isVolatile(): boolean {
    return this.forWriting !== null && this.forWriting.users > 0;
  }

  override getattr(into: Stat): number {
    if (this.isVolatile) this.stale = true;
    return super.getattr(into);
  }

  override refresh(): number {
    const donated = this.anyDescriptor();
    if (donated === null) return super.refresh();
    const error = this.fileSystem.connection.host.fstat(donated.fd, scratchStat);
    if (error < 0) return error;
    const { attributes, fileSystem } = this;
    const { mode, nlink, size, blocks, atimeSec, atimeNsec, mtimeSec, mtimeNsec, ctimeSec, ctimeNsec } = scratchStat;
    const { uid, gid } = fileSystem.idsMapped ? attributes : scratchStat;
    this.update({ ...attributes, mode, nlink, uid, gid, size, blocks, atimeSec, atimeNsec, mtimeSec, mtimeNsec, ctimeSec, ctimeNsec });
    return 0;
  }

  private anyDescriptor(): Donated | null {
    if (this.forWriting?.wanted === true) return this.forWriting;
    return this.forReading?.wanted === true ? this.forReading : null;
  }

  override setattr(change: AttributeChange): number {
    const { size, mode, uid, gid, atimeSec, mtimeSec } = change;
    if (size !== undefined && !this.fileSystem.readOnly) this.dropContent();
    const donated = this.forWriting;
    const onlySize = mode === undefined && uid === undefined && gid === undefined && atimeSec === undefined && mtimeSec === undefined;
    // The gofer may keep set-user-ID bits, which the host takes away from whoever else changes the size.
    const hasSetId = (this.mode & (S_ISUID | S_ISGID)) !== 0;
    if (size === undefined || !onlySize || hasSetId || donated?.wanted !== true) return super.setattr(change);
    const error = this.fileSystem.connection.host.ftruncate(donated.fd, size);
    if (error === 0) this.touch();
    return error;
  }

  /** A description was closed. On a shared mount a descriptor for writing is not kept: other programs could not execute the file (ETXTBSY). */
  closed(): void {
    const donated = this.forWriting;
    if (donated === null || donated.users > 0 || this.fileSystem.cacheable) return;
    donated.discard();
    this.forWriting = null;
  }

  /** Whether `attributes.size` is the size. */
  get knowsSize(): boolean {
    return !this.isVolatile && !this.stale && this.fileSystem.cacheable;
  }

  protected override dispose(): void {
    const { content } = this;
    this.content = null;
    if (content !== null) this.leaveContent(content);
    this.forReading?.discard();
    this.forWriting?.discard();
    this.forReading = null;
    this.forWriting = null;
  }

  /** The inode goes, but the file may be opened again. */
  private leaveContent(content: Content): void {
    content.user = null;
    const listing = this.parent?.listing ?? null;
    if (!this.deleted && listing?.entries.has(this.name) === true) listing.putReady(this.name, content);
    else content.discard();
  }
}
