/**
 * What all mount namespaces of a sandbox share: the dentry cache, the openers of special files, the clock, and numbers for file systems
 * without a device. One object, made when the kernel is wired together; operations reach it through `caller.fs.namespace.vfs`.
 */
import type { Timestamp } from '#platform/contract/host.ts';
import { DentryCache } from './dentry-cache.ts';
import type { FileSystem } from './inode.ts';
import { makeDevice, SpecialFiles } from './special-files.ts';

/** The part of the host the VFS itself needs. */
export interface VfsClock {
  realtime(into: Timestamp): void;
}

/** Makes a file system from the options of mount(2), or -errno. */
export type FileSystemMaker = (options: string) => FileSystem | number;

export class Vfs {
  readonly cache: DentryCache;
  readonly special = new SpecialFiles();
  readonly clock: VfsClock;
  /** What mount(2) can mount, by type name; also what /proc/filesystems lists. */
  readonly types = new Map<string, FileSystemMaker>();
  /** Called before each walk: what changed meanwhile can be learnt. */
  beforeWalk: (() => void) | null = null;
  private readonly minors: { next: number };

  constructor(clock: VfsClock, cache: DentryCache = new DentryCache(), minors: { next: number } = { next: 1 }) {
    this.clock = clock;
    this.cache = cache;
    this.minors = minors;
  }

  /** For trees of another container: the same dentries and device numbers, other special files and types. */
  another(): Vfs {
    return new Vfs(this.clock, this.cache, this.minors);
  }

  /** A fresh `st_dev` for a file system without a device (major number 0). */
  allocateDevice(): number {
    return makeDevice(0, this.minors.next++);
  }
}
