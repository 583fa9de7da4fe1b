/**
 * Places a container may not look into (`linux.maskedPaths`) or not change (`linux.readonlyPaths`): mostly files of proc and sysfs. What is not there
 * needs no cover. Masked: a file shows /dev/null, a directory an empty tmpfs (OCI runtime specification, config-linux.md).
 */
import { ENOENT, ENOTDIR } from '#sentry/abi/errno.ts';
import { MS_RDONLY, S_IFCHR } from '#sentry/abi/fs.ts';
import { MEMORY_MAJOR, NULL_MINOR } from '#sentry/fs/dev/memory-devices.ts';
import type { FileStore } from '#sentry/fs/tmpfs/file-store.ts';
import { TMPFS_DEFAULTS, TmpFileSystem } from '#sentry/fs/tmpfs/tmpfs.ts';
import type { Path } from '#sentry/vfs/mount.ts';
import { mknod } from '#sentry/vfs/operations.ts';
import { makeDevice } from '#sentry/vfs/special-files.ts';
import type { Nodes } from './container-devices.ts';
import type { TreeBuilder } from './tree-builder.ts';

const NULL = 'null';

/** Covers `path`: 0 or -errno. `nodes`: where the null device is taken from. The container's own could be anything. */
export function maskPath(store: FileStore, builder: TreeBuilder, nodes: Nodes, path: string): number {
  const at = builder.find(path);
  if (typeof at === 'number') return isMissing(at) ? 0 : at;
  const { namespace } = builder;
  const { vfs } = namespace;
  if (at.dentry.inode!.isDirectory) {
    const empty = new TmpFileSystem(store, vfs.allocateDevice(), { ...TMPFS_DEFAULTS, mode: 0o755 });
    return resultOf(namespace.mount(at, empty, MS_RDONLY, 'tmpfs'));
  }
  const node = nullNode(nodes);
  return typeof node === 'number' ? node : resultOf(namespace.bind(at, node, MS_RDONLY));
}

/** Makes what lies at `path` read-only, but not what is mounted below it: 0 or -errno. */
export function protectPath(builder: TreeBuilder, path: string): number {
  const at = builder.find(path);
  if (typeof at === 'number') return isMissing(at) ? 0 : at;
  return resultOf(builder.namespace.bindTree(at, at, MS_RDONLY));
}

function nullNode(nodes: Nodes): Path | number {
  const { rootPath } = nodes.namespace;
  const known = nodes.enter(rootPath, NULL);
  if (known !== -ENOENT) return known;
  const made = mknod(nodes.caller, rootPath, NULL, S_IFCHR | 0o666, makeDevice(MEMORY_MAJOR, NULL_MINOR));
  return made < 0 ? made : nodes.enter(rootPath, NULL);
}

function isMissing(errno: number): boolean {
  return errno === -ENOENT || errno === -ENOTDIR;
}

function resultOf(mounted: unknown): number {
  return typeof mounted === 'number' ? mounted : 0;
}
