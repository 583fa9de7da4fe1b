/**
 * The tree a guest of `do` sees: the root directory of the host read-only beneath an overlay, the host directories asked for, and the sandbox's
 * own proc, sys, dev and tmpfs over them.
 */
import { MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY } from '#sentry/abi/fs.ts';
import { makeDevFileSystem } from '#sentry/fs/dev/dev-file-system.ts';
import type { DevptsFileSystem } from '#sentry/fs/devpts/devpts-file-system.ts';
import type { GoferConnection } from '#sentry/fs/gofer/connection.ts';
import { shareConnection } from '#sentry/fs/gofer/file-system.ts';
import { OverlayFileSystem } from '#sentry/fs/overlay/overlay.ts';
import { ProcFileSystem } from '#sentry/fs/proc/proc-file-system.ts';
import { SysFileSystem } from '#sentry/fs/sys/sys-file-system.ts';
import type { FileStore } from '#sentry/fs/tmpfs/file-store.ts';
import { TMPFS_DEFAULTS, TmpFileSystem } from '#sentry/fs/tmpfs/tmpfs.ts';
import type { Container } from '#sentry/kernel/container.ts';
import { installTerminals } from '#sentry/kernel/terminal/terminals.ts';
import { MountNamespace } from '#sentry/vfs/mount-namespace.ts';
import type { WrittenFile } from './network-files.ts';
import { attachGofer, SandboxFiles } from './sandbox-files.ts';
import type { BindMount } from './spec.ts';
import { TreeBuilder } from './tree-builder.ts';

const SYSTEM_FLAGS = MS_NOSUID | MS_NODEV | MS_NOEXEC;

export interface FileTree {
  readonly namespace: MountNamespace;
  /** What is mounted on /dev/pts. */
  readonly pts: DevptsFileSystem;
}

/** Makes the namespace for `container`. Mount 0 of the gofer is the root, the others follow in the order of `mounts`. `written`: files of ours in the overlay. */
export function buildFileTree(
  container: Container,
  gofer: GoferConnection,
  mounts: readonly BindMount[],
  written: readonly WrittenFile[] = [],
): FileTree {
  const { kernel } = container;
  const files = new SandboxFiles(kernel);
  const vfs = files.makeVfs(container);
  const shared = shareConnection(gofer);
  const lower = attachGofer(vfs, shared, 0, 'exclusive', '/');
  const upper = new TmpFileSystem(files.store, vfs.allocateDevice(), { ...TMPFS_DEFAULTS, mode: 0o755 }, 'overlay');
  const root = new OverlayFileSystem(vfs.allocateDevice(), [lower.root], upper);
  const namespace = new MountNamespace(vfs, root, 0, 'overlay');
  const builder = new TreeBuilder(kernel.host, namespace);
  const pts = mountSystem(container, files.store, builder);
  // Before the host's directories are mounted, which may be writable.
  for (const file of written)
    if (file.how === 'replaced') builder.write(file);
    else builder.append(file);
  mounts.forEach(({ guest, readOnly }, i) => {
    const fileSystem = attachGofer(vfs, shared, i + 1, 'shared', guest);
    builder.mount(guest, fileSystem, readOnly ? MS_RDONLY : 0, 'gofer');
  });
  builder.release();
  return { namespace, pts };
}

function mountSystem({ kernel, pids }: Container, store: FileStore, builder: TreeBuilder): DevptsFileSystem {
  const { vfs } = builder.namespace;
  builder.mount('/proc', new ProcFileSystem(vfs.allocateDevice(), kernel.host, kernel, pids), SYSTEM_FLAGS, 'proc');
  builder.mount(
    '/sys',
    new SysFileSystem(vfs.allocateDevice(), kernel.host, kernel.machine, kernel.network.stack.interfaces),
    SYSTEM_FLAGS | MS_RDONLY,
    'sysfs',
  );
  const pts = installTerminals(kernel, vfs);
  builder.mount('/dev', makeDevFileSystem(store, vfs.allocateDevice()), MS_NOSUID, 'devtmpfs');
  builder.mount('/dev/pts', pts, MS_NOSUID | MS_NOEXEC, 'devpts');
  builder.mount('/dev/shm', new TmpFileSystem(store, vfs.allocateDevice(), TMPFS_DEFAULTS), MS_NOSUID | MS_NODEV, 'tmpfs');
  return pts;
}
