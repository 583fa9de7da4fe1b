/**
 * Mounts (mount_namespaces(7)). A `Mount` shows a file system (or a subtree of it: `root`) at a place of another mount (`parent`,
 * `mountpoint`). A `Path` is a dentry seen through a mount; path walking deals in these.
 *
 * The walk finds what is mounted on a dentry through `mount.children`, asked only when `dentry.mountCount` says there may be something.
 */
import type { Dentry } from './dentry.ts';
import type { FileSystem } from './inode.ts';

let nextMountId = 20;

export class Mount {
  readonly id = nextMountId++;
  readonly fileSystem: FileSystem;
  /** The dentry of the file system that appears at the mount point. */
  readonly root: Dentry;
  /** MS_* flags: those of MS_KEPT. */
  flags: number;
  /** What /proc/mounts shows in its first column. */
  readonly source: string;
  parent: Mount | null = null;
  mountpoint: Dentry | null = null;
  /** What is mounted on dentries seen through this mount. */
  readonly children = new Map<Dentry, Mount>();
  private references = 0;

  constructor(fileSystem: FileSystem, root: Dentry, flags: number, source: string) {
    this.fileSystem = fileSystem;
    this.root = root.acquire();
    this.flags = flags;
    this.source = source;
  }

  /** Appears at `mountpoint` of `parent`. */
  attach(parent: Mount, mountpoint: Dentry): void {
    this.parent = parent;
    this.mountpoint = mountpoint.acquire();
    mountpoint.mountCount++;
    parent.children.set(mountpoint, this);
  }

  detach(): void {
    const { parent, mountpoint } = this;
    if (parent === null || mountpoint === null) return;
    parent.children.delete(mountpoint);
    mountpoint.mountCount--;
    mountpoint.release();
    this.parent = null;
    this.mountpoint = null;
  }

  acquire(): this {
    this.references++;
    return this;
  }
  release(): void {
    this.references--;
  }
  get busy(): boolean {
    return this.references > 0;
  }
}

/** A place in the tree as a process sees it. */
export interface Path {
  readonly mount: Mount;
  readonly dentry: Dentry;
}

/** What calls on an open file and calls on a path have in common: a `Path` or a `FileDescription`. */
export interface Target {
  readonly mount: Mount | null;
  readonly dentry: Dentry;
}
