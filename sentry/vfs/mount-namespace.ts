/**
 * Mount namespaces (mount_namespaces(7)): the trees of mounts that processes see, and mount(2), umount2(2), pivot_root(2) on them.
 *
 *     const namespace = new MountNamespace(vfs, rootFileSystem, 0, 'none');
 *     namespace.mount(path, new TmpFileSystem(…), MS_NOSUID | MS_NODEV, 'tmpfs');
 *     new FsContext(namespace, namespace.rootPath, namespace.rootPath, 0o022);
 *
 * The caller checked capabilities. There is no propagation between namespaces: every mount is private.
 */
import { EBUSY, EINVAL, ENOSPC, ENOTDIR } from '#sentry/abi/errno.ts';
import { MOUNTS_MAX } from '../limits.ts';
import { Dentry } from './dentry.ts';
import type { FileSystem } from './inode.ts';
import { Mount } from './mount.ts';
import type { Path } from './mount.ts';
import type { Vfs } from './vfs.ts';

export const MNT_FORCE = 1;
export const MNT_DETACH = 2;
export const MNT_EXPIRE = 4;
export const UMOUNT_NOFOLLOW = 8;

/** Mounts per file system, to know when it is no longer used; and its root dentry, which all of them share. */
interface Use {
  readonly root: Dentry;
  mounts: number;
}
const uses = new WeakMap<FileSystem, Use>();

export class MountNamespace {
  readonly vfs: Vfs;
  /** In the order in which they were mounted; the first is the root. */
  readonly mounts: Mount[] = [];
  private references = 1;

  constructor(vfs: Vfs, root: FileSystem | null, flags: number, source: string) {
    this.vfs = vfs;
    if (root !== null) this.mounts.push(makeMount(root, null, flags, source));
  }

  /** What '/' is for a process that was never in a chroot, with whatever is mounted over it. */
  get rootPath(): Path {
    let mount = this.mounts[0]!;
    for (let over = mount.children.get(mount.root); over !== undefined; over = mount.children.get(mount.root)) mount = over;
    return { mount, dentry: mount.root };
  }

  /** Mounts `fileSystem` on `at`. */
  mount(at: Path, fileSystem: FileSystem, flags: number, source: string): Mount | number {
    return this.attach(at, () => makeMount(fileSystem, null, flags, source), fileSystem.root.isDirectory);
  }

  /** Shows `from` (a directory or a file) at `at` as well. */
  bind(at: Path, from: Path, flags: number): Mount | number {
    const { mount, dentry } = from;
    return this.attach(at, () => makeMount(mount.fileSystem, dentry, mount.flags | flags, mount.source), dentry.inode!.isDirectory);
  }

  /** The same with everything mounted below `from` (MS_REC). */
  bindTree(at: Path, from: Path, flags: number): Mount | number {
    const top = this.bind(at, from, flags);
    if (typeof top === 'number') return top;
    const copies = new Map<Mount, Mount>([[from.mount, top]]);
    for (const mount of this.mounts.slice()) {
      const parentCopy = mount.parent === null ? undefined : copies.get(mount.parent);
      if (parentCopy === undefined || mount === top || copies.has(mount)) continue;
      if (mount.parent === from.mount && !isBelow(mount.mountpoint!, from.dentry)) continue;
      const copy = makeMount(mount.fileSystem, mount.root, mount.flags, mount.source);
      copy.attach(parentCopy, mount.mountpoint!);
      this.mounts.push(copy);
      copies.set(mount, copy);
    }
    return top;
  }

  private attach(at: Path, make: () => Mount, isDirectory: boolean): Mount | number {
    if (at.dentry.unlinked) return -EINVAL;
    if (!this.mounts.includes(at.mount)) return -EINVAL;
    if (at.dentry.inode!.isDirectory !== isDirectory) return -ENOTDIR;
    if (this.mounts.length >= MOUNTS_MAX) return -ENOSPC;
    const mount = make();
    mount.attach(at.mount, at.dentry);
    this.mounts.push(mount);
    return mount;
  }

  /** mount(2) with MS_MOVE: `from` must be the root of a mount. */
  move(from: Path, to: Path): number {
    const { mount } = from;
    if (from.dentry !== mount.root || mount.parent === null || !this.mounts.includes(mount)) return -EINVAL;
    if (to.dentry.unlinked || to.dentry.inode!.isDirectory !== mount.root.inode!.isDirectory) return -EINVAL;
    for (let at: Mount | null = to.mount; at !== null; at = at.parent) if (at === mount) return -EINVAL;
    mount.detach();
    mount.attach(to.mount, to.dentry);
    return 0;
  }

  /** umount2(2): `at` must be the root of a mount. */
  unmount(at: Path, flags: number): number {
    const { mount } = at;
    if (at.dentry !== mount.root || !this.mounts.includes(mount)) return -EINVAL;
    if (mount === this.mounts[0]) return -EBUSY;
    if ((flags & MNT_DETACH) === 0 && (mount.children.size > 0 || mount.busy)) return -EBUSY;
    this.remove(mount);
    return 0;
  }

  private remove(mount: Mount): void {
    for (const child of Array.from(mount.children.values())) this.remove(child);
    mount.detach();
    this.mounts.splice(this.mounts.indexOf(mount), 1);
    this.forget(mount);
  }

  private forget(mount: Mount): void {
    const use = uses.get(mount.fileSystem)!;
    mount.root.release();
    if (--use.mounts > 0) return;
    this.vfs.cache.prune(use.root);
    // While somebody still has files open the file system lives on with them.
    if (!mount.busy) mount.fileSystem.destroy();
  }

  /** New flags for a mount (MS_REMOUNT, with MS_BIND or without). */
  remount(at: Path, flags: number): number {
    if (at.dentry !== at.mount.root || !this.mounts.includes(at.mount)) return -EINVAL;
    at.mount.flags = flags;
    return 0;
  }

  /** pivot_root(2): the mount at `newRoot` becomes the root, the old one appears at `putOld`, which lies below it. */
  pivotRoot(newRoot: Path, putOld: Path): number {
    const old = this.rootPath.mount;
    const { mount } = newRoot;
    if (newRoot.dentry !== mount.root || mount.parent === null) return -EINVAL;
    if (mount === old || putOld.mount === old) return -EBUSY;
    if (!putOld.dentry.inode!.isDirectory) return -ENOTDIR;
    let at: Mount | null = putOld.mount;
    while (at !== null && at !== mount) at = at.parent;
    if (at === null) return -EINVAL;
    mount.detach();
    old.detach();
    old.attach(putOld.mount, putOld.dentry);
    this.mounts.splice(this.mounts.indexOf(mount), 1);
    this.mounts.unshift(mount);
    return 0;
  }

  /** A copy for clone(CLONE_NEWNS) and unshare(2); `translate` tells where a path of this namespace lies in the copy. */
  copy(): { readonly namespace: MountNamespace; readonly translate: (path: Path) => Path } {
    const namespace = new MountNamespace(this.vfs, null, 0, '');
    const copies = new Map<Mount, Mount>();
    for (const mount of this.mounts) {
      const copy = makeMount(mount.fileSystem, mount.root, mount.flags, mount.source);
      copies.set(mount, copy);
      namespace.mounts.push(copy);
    }
    for (const [mount, copy] of copies) {
      const parent = mount.parent === null ? undefined : copies.get(mount.parent);
      if (parent !== undefined) copy.attach(parent, mount.mountpoint!);
    }
    return { namespace, translate: (path) => ({ mount: copies.get(path.mount) ?? path.mount, dentry: path.dentry }) };
  }

  acquire(): this {
    this.references++;
    return this;
  }

  /** The last process in it is gone. */
  release(): void {
    if (--this.references > 0) return;
    for (const mount of this.mounts.splice(0).reverse()) {
      mount.detach();
      this.forget(mount);
    }
  }
}

/** A mount of `fileSystem`, of all of it or of the subtree at `root`. All mounts of a file system share its dentries. */
function makeMount(fileSystem: FileSystem, root: Dentry | null, flags: number, source: string): Mount {
  let use = uses.get(fileSystem);
  if (use === undefined) {
    use = { root: new Dentry('', null, fileSystem.root).acquire(), mounts: 0 };
    uses.set(fileSystem, use);
  }
  use.mounts++;
  return new Mount(fileSystem, root ?? use.root, flags, source);
}

function isBelow(dentry: Dentry, ancestor: Dentry): boolean {
  for (let at: Dentry | null = dentry; at !== null; at = at.parent) if (at === ancestor) return true;
  return false;
}
