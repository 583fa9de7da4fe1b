/**
 * The gofer client: a host directory as a file system of the sentry.
 *
 *     const connection = new GoferConnection(host, socket, onLost);
 *     if (!connection.awaitHello()) …
 *     const shared = shareConnection(connection);                          // what all its mounts have in common
 *     const fileSystem = mountGofer({ ...shared, mount: 0, device, allocateDevice, caching: 'exclusive' });
 *
 * Caching. An *exclusive* mount is changed by nobody else: names, attributes and listings are believed until we change them ourselves. A
 * *shared* mount is asked again on each walk. File data is never cached here: reads and writes go to the host's page cache through donated
 * descriptors, so other users of the file see them at once.
 *
 * Identity. Inodes are known by the host's device and inode number, so hard links meet in one inode. Host file systems mounted below the
 * root appear with device numbers of their own, or inode numbers could collide.
 */
import { ENFILE } from '#sentry/abi/errno.ts';
import { S_IFDIR, S_IFMT, S_IFREG } from '#sentry/abi/fs.ts';
import type { Attributes } from '#gofer/protocol/attributes.ts';
import { Attach, MakeReadOnly, MOUNT_IDS_MAPPED, MOUNT_READ_ONLY, Statfs } from '#gofer/protocol/messages.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import { GOFER_IDLE_DESCRIPTORS_MAX } from '../../limits.ts';
import { COPY_OFFSET } from '../../mm/user-memory.ts';
import { FileSystem } from '../../vfs/inode.ts';
import type { FileSystemStatistics } from '../../vfs/inode.ts';
import type { GoferConnection } from './connection.ts';
import { ChunkAhead } from './chunk-ahead.ts';
import { Contents } from './contents.ts';
import { DescriptorCache } from './descriptor-cache.ts';
import { DirectoriesAhead } from './directories-ahead.ts';
import { FidCache } from './fid-cache.ts';
import { FilesAhead } from './files-ahead.ts';
import { GoferDirectory } from './directory.ts';
import { GoferFile } from './file.ts';
import { GoferInode, inoOf } from './inode.ts';
import { Listings } from './listings.ts';
import { Watches } from './watches.ts';

export type Caching = 'exclusive' | 'shared';

/** What the mounts of one connection have in common. */
export interface SharedConnection {
  readonly connection: GoferConnection;
  readonly fids: FidCache;
  readonly descriptors: DescriptorCache;
  /** For bytes on their way between a file and guest memory, from COPY_OFFSET on; valid within one call. */
  readonly staging: HostMemory;
  /** Small files that the gofer read ahead; null: it shares no memory. */
  readonly contents: Contents | null;
  /** Those that we read whole ourselves. */
  readonly ownContents: Contents | null;
  readonly watches: Watches;
}

export interface GoferMountOptions extends SharedConnection {
  /** Number of the mount in the gofer's configuration. */
  readonly mount: number;
  /** `st_dev` of the root's file system. */
  readonly device: number;
  /** Makes `st_dev` numbers for further host file systems below the root. */
  readonly allocateDevice: () => number;
  readonly caching: Caching;
  /** See FileSystem. */
  readonly partOf?: string;
}

/** Bytes moved at once between guest memory and a file. */
const STAGING_SIZE: number = 256 * 1024;

/** Which part of the window is for files that we read ourselves: the last of so many. */
const OWN_SHARE = 4;

/** Prepares a connection that has said hello for its mounts. */
export function shareConnection(connection: GoferConnection): SharedConnection {
  const { host, window } = connection;
  const size = window?.bytes.length ?? 0;
  const fetched = size - Math.floor(size / OWN_SHARE);
  return {
    connection,
    fids: new FidCache(connection),
    watches: new Watches(connection),
    descriptors: new DescriptorCache(host, GOFER_IDLE_DESCRIPTORS_MAX),
    staging: host.allocate(COPY_OFFSET + STAGING_SIZE),
    contents: window === null ? null : new Contents(window, 0, fetched),
    ownContents: window === null ? null : new Contents(window, fetched, size),
  };
}

/** Mounts number `options.mount` of the gofer, or -errno. */
export function mountGofer(options: GoferMountOptions): GoferFileSystem | number {
  const { connection, fids, mount } = options;
  const fid = fids.take();
  if (fid === 0) return -ENFILE;
  const attached = connection.ask(Attach, { mount, fid });
  if (attached === null) return -connection.errno;
  return new GoferFileSystem(options, attached.attributes, attached.mountFlags, fid);
}

export class GoferFileSystem extends FileSystem {
  override readonly type: string = 'gofer';
  override readonly cacheable: boolean;
  override readonly asksFar: boolean = true;
  readonly connection: GoferConnection;
  readonly fids: FidCache;
  readonly descriptors: DescriptorCache;
  readonly staging: HostMemory;
  readonly contents: Contents | null;
  readonly ownContents: Contents | null;
  readonly watches: Watches;
  /** The gofer refuses every change. */
  readOnly: boolean;
  /** Owners are the container's numbers, which descriptors of the host do not know. */
  readonly idsMapped: boolean;
  readonly listings = new Listings();
  readonly directoriesAhead: DirectoriesAhead;
  readonly filesAhead: FilesAhead;
  readonly chunkAhead: ChunkAhead;
  override readonly partOf: string;
  override readonly root: GoferInode;
  private readonly allocateDevice: () => number;
  private readonly rootDevice: number;
  /** Guest device numbers of host devices. */
  private readonly devices = new Map<number, number>();
  /** Live inodes of the root's device by number, and all others by device and number. */
  private readonly inodes = new Map<number, GoferInode>();
  private readonly otherInodes = new Map<string, GoferInode>();

  constructor(options: GoferMountOptions, root: Attributes, mountFlags: number, fid: number) {
    super(options.device);
    this.connection = options.connection;
    this.fids = options.fids;
    this.descriptors = options.descriptors;
    this.staging = options.staging;
    this.contents = options.contents;
    this.ownContents = options.ownContents;
    this.watches = options.watches;
    this.partOf = options.partOf ?? '';
    this.allocateDevice = options.allocateDevice;
    this.cacheable = options.caching === 'exclusive';
    this.readOnly = (mountFlags & MOUNT_READ_ONLY) !== 0;
    this.idsMapped = (mountFlags & MOUNT_IDS_MAPPED) !== 0;
    this.directoriesAhead = new DirectoriesAhead(this);
    this.filesAhead = new FilesAhead(this, this.cacheable ? options.contents : null);
    this.chunkAhead = new ChunkAhead(this);
    this.rootDevice = hostDevice(root);
    this.devices.set(this.rootDevice, options.device);
    this.root = makeInode(this, root, null, '');
    this.remember(this.root);
    this.fids.pin(this.root);
    this.fids.give(this.root, fid);
    // Nobody may let the root's inode go.
    this.root.acquire();
  }

  /**
   * Ends the time in which the mount could be prepared: nothing can write to it from now on (`readOnlyLater` of the gofer's configuration). Nobody
   * may have files open. 0 or -errno.
   */
  makeReadOnly(mount: number): number {
    const { connection, fids, root } = this;
    const body = connection.ask(MakeReadOnly, { mount, fid: root.fid });
    if (body === null) return -connection.errno;
    for (const inodes of [this.inodes, this.otherInodes]) for (const inode of inodes.values()) if (inode !== root) fids.drop(inode, 'soon');
    this.readOnly = true;
    return 0;
  }

  statistics(into: FileSystemStatistics): number {
    const body = this.connection.ask(Statfs, { fid: this.root.fid });
    if (body === null) return -this.connection.errno;
    Object.assign(into, body);
    return 0;
  }

  override get optionText(): string {
    return this.cacheable ? '' : 'cache=none';
  }

  /** `st_dev` of a file. */
  deviceOf(attributes: Attributes): number {
    const host = hostDevice(attributes);
    if (host === this.rootDevice) return this.device;
    let device = this.devices.get(host);
    if (device === undefined) {
      device = this.allocateDevice();
      this.devices.set(host, device);
    }
    return device;
  }

  /** The inode of a file found as `name` in `parent`: the live one, brought up to date if the attributes are, or a new one. */
  inodeFor(attributes: Attributes, parent: GoferInode, name: string, news: 'fresh' | 'remembered'): GoferInode {
    const live = this.find(attributes);
    if (live !== undefined && live.isSameFile(attributes)) {
      if (news === 'fresh') live.update(attributes);
      live.moveTo(parent, name);
      return live;
    }
    const inode = makeInode(this, attributes, parent, name);
    this.remember(inode);
    return inode;
  }

  private find(attributes: Attributes): GoferInode | undefined {
    return this.isPlain(attributes) ? this.inodes.get(inoOf(attributes)) : this.otherInodes.get(identityOf(attributes));
  }

  /** `inode` is alive. */
  remember(inode: GoferInode): void {
    const { attributes } = inode;
    if (this.isPlain(attributes)) this.inodes.set(inoOf(attributes), inode);
    else this.otherInodes.set(identityOf(attributes), inode);
  }

  /** The last reference to `inode` is gone. */
  forget(inode: GoferInode): void {
    const { attributes } = inode;
    if (this.find(attributes) !== inode) return;
    if (this.isPlain(attributes)) this.inodes.delete(inoOf(attributes));
    else this.otherInodes.delete(identityOf(attributes));
  }

  /** Whether the inode number alone tells the file. */
  private isPlain(attributes: Attributes): boolean {
    return attributes.inoHigh < 0x20_0000 && hostDevice(attributes) === this.rootDevice;
  }

  /** For tests: how many inodes are alive. */
  get liveInodes(): number {
    return this.inodes.size + this.otherInodes.size;
  }
}

function makeInode(fileSystem: GoferFileSystem, attributes: Attributes, parent: GoferInode | null, name: string): GoferInode {
  switch (attributes.mode & S_IFMT) {
    case S_IFDIR:
      return new GoferDirectory(fileSystem, attributes, parent, name);
    case S_IFREG:
      return new GoferFile(fileSystem, attributes, parent, name);
    default:
      return new GoferInode(fileSystem, attributes, parent, name);
  }
}

function hostDevice(attributes: Attributes): number {
  return attributes.devMajor * 0x10_0000 + attributes.devMinor;
}

function identityOf(attributes: Attributes): string {
  return `${hostDevice(attributes)}:${attributes.inoHigh}:${attributes.inoLow}`;
}
