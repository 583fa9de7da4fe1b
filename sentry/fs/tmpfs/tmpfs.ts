/**
 * tmpfs (tmpfs(5)): a file system in memory. Also what memfd_create(2) files live in, and the upper layer of the overlay.
 *
 *     const store = new FileStore(host);                       // one for the sandbox
 *     const tmpfs = new TmpFileSystem(store, vfs.allocateDevice(), parseTmpfsOptions('size=64m,mode=1777'));
 *
 * This file is the file system as a whole: options, what is used and what is left. Model: Linux mm/shmem.c.
 */
import { EINVAL, ENOSPC } from '#sentry/abi/errno.ts';
import { S_IFDIR } from '#sentry/abi/fs.ts';
import type { Timestamp } from '#platform/contract/host.ts';
import { TMPFS_BYTES_DEFAULT, TMPFS_INODES_DEFAULT, TMPFS_METADATA_BYTES_MAX } from '../../limits.ts';
import { FileSystem } from '../../vfs/inode.ts';
import type { FileSystemStatistics } from '../../vfs/inode.ts';
import type { Budget } from './contents.ts';
import type { FileStore } from './file-store.ts';
import { TmpDirectory } from './directory.ts';

export const TMPFS_MAGIC = 0x0102_1994;
const PAGE_SIZE = 4096;

export interface TmpfsOptions {
  readonly sizeBytes: number;
  readonly inodes: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

export const TMPFS_DEFAULTS: TmpfsOptions = { sizeBytes: TMPFS_BYTES_DEFAULT, inodes: TMPFS_INODES_DEFAULT, mode: 0o1777, uid: 0, gid: 0 };

export class TmpFileSystem extends FileSystem implements Budget {
  readonly type: string;
  readonly store: FileStore;
  readonly root: TmpDirectory;
  private readonly options: TmpfsOptions;
  private readonly pagesMax: number;
  private pagesUsed = 0;
  private inodesUsed = 0;
  private metadataUsed = 0;
  private nextIno = 1;
  private readonly time: Timestamp = { sec: 0, nsec: 0 };

  /** `type` is the name in /proc/mounts: devtmpfs and the overlay's upper layer are tmpfs too. */
  constructor(store: FileStore, device: number, options: TmpfsOptions = TMPFS_DEFAULTS, type: string = 'tmpfs') {
    super(device);
    this.type = type;
    this.store = store;
    this.options = options;
    this.pagesMax = options.sizeBytes === 0 ? Infinity : Math.ceil(options.sizeBytes / PAGE_SIZE);
    this.inodesUsed = 1;
    this.root = new TmpDirectory(this, S_IFDIR | options.mode, options.uid, options.gid);
  }

  override get optionText(): string {
    const { sizeBytes, inodes, mode, uid, gid } = this.options;
    let text = '';
    if (sizeBytes !== TMPFS_BYTES_DEFAULT && sizeBytes !== 0) text += `,size=${Math.ceil(sizeBytes / 1024)}k`;
    if (inodes !== TMPFS_INODES_DEFAULT && inodes !== 0) text += `,nr_inodes=${inodes}`;
    if (mode !== 0o1777) text += `,mode=${mode.toString(8)}`;
    if (uid !== 0) text += `,uid=${uid}`;
    if (gid !== 0) text += `,gid=${gid}`;
    return text.slice(1);
  }

  statistics(into: FileSystemStatistics): number {
    const bounded = Number.isFinite(this.pagesMax);
    into.type = TMPFS_MAGIC;
    into.blockSize = PAGE_SIZE;
    into.blocks = bounded ? this.pagesMax : 0;
    into.blocksFree = into.blocksAvailable = bounded ? Math.max(0, this.available) : 0;
    into.files = this.options.inodes;
    into.filesFree = Math.max(0, this.options.inodes - this.inodesUsed);
    into.nameLength = 255;
    return 0;
  }

  get available(): number {
    return Math.min(this.pagesMax - this.pagesUsed, this.store.pagesAvailable);
  }

  charge(pages: number): void {
    this.pagesUsed += pages;
    this.store.charge(pages);
  }

  /** Counts a new inode or hard link (both cost one, as on Linux): 0 or -ENOSPC. */
  takeInode(): number {
    if (this.options.inodes !== 0 && this.inodesUsed >= this.options.inodes) return -ENOSPC;
    if (!this.store.takeInode()) return -ENOSPC;
    this.inodesUsed++;
    return 0;
  }

  freeInode(): void {
    this.inodesUsed--;
    this.store.freeInode();
  }

  /** Link texts and extended attributes are in the V8 heap; their sum is bounded. 0 or -ENOSPC. */
  chargeMetadata(bytes: number): number {
    if (bytes > 0 && this.metadataUsed + bytes > TMPFS_METADATA_BYTES_MAX) return -ENOSPC;
    if (!this.store.chargeMetadata(bytes)) return -ENOSPC;
    this.metadataUsed += bytes;
    return 0;
  }

  allocateIno(): number {
    return this.nextIno++;
  }

  /** The current time. The object is reused: read it at once. */
  now(): Timestamp {
    this.store.host.realtime(this.time);
    return this.time;
  }
}

const SUFFIXES: Readonly<Record<string, number>> = { k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };

/** The data argument of mount(2) for tmpfs. Unknown options are refused. `memoryBytes`: what a size in percent is a part of. */
export function parseTmpfsOptions(text: string, memoryBytes: number = 0): TmpfsOptions | number {
  const options: { -readonly [K in keyof TmpfsOptions]: TmpfsOptions[K] } = { ...TMPFS_DEFAULTS };
  for (const option of text.split(',')) {
    if (option === '') continue;
    const [key, value = ''] = option.split('=', 2) as [string, string?];
    if (key === 'size') options.sizeBytes = value.endsWith('%') ? parseShare(value, memoryBytes) : parseSize(value, 1);
    else if (key === 'nr_blocks') options.sizeBytes = parseSize(value, PAGE_SIZE);
    else if (key === 'nr_inodes') options.inodes = parseSize(value, 1);
    else if (key === 'mode') options.mode = Number.parseInt(value, 8) & 0o7777;
    else if (key === 'uid') options.uid = parseSize(value, 1);
    else if (key === 'gid') options.gid = parseSize(value, 1);
    else if (!IGNORED.has(key)) return -EINVAL;
  }
  return Object.values(options).some((value: number) => Number.isNaN(value)) ? -EINVAL : options;
}

/** Options about placement that change nothing a program could see, and the generic ones that mount(8) passes through. */
const IGNORED: ReadonlySet<string> = new Set(['huge', 'mpol', 'inode32', 'inode64', 'rw', 'ro', 'noswap']);

/** A part of the memory; never 0, which would mean without limit. */
function parseShare(text: string, whole: number): number {
  const match = /^(\d+)%$/.exec(text);
  return match === null ? Number.NaN : Math.max(1, Math.floor((Number(match[1]) * whole) / 100));
}

function parseSize(text: string, unit: number): number {
  const match = /^(\d+)([kmgt]?)$/i.exec(text);
  if (match === null) return Number.NaN;
  return Number(match[1]) * (SUFFIXES[match[2]!.toLowerCase()] ?? 1) * unit;
}
