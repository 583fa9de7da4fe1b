/**
 * The tree a guest sees: the root directory of the host read-only beneath an overlay, the host directories asked for, and the sandbox's own
 * proc, sys, dev and tmpfs over them.
 */
import { ENOENT, errnoName } from '#sentry/abi/errno.ts';
import { MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, O_CREAT, O_EXCL, O_WRONLY } from '#sentry/abi/fs.ts';
import type { Host } from '#platform/contract/host.ts';
import type { GoferConnection } from '#sentry/fs/gofer/connection.ts';
import { mountGofer, shareConnection } from '#sentry/fs/gofer/file-system.ts';
import type { Caching, SharedConnection } from '#sentry/fs/gofer/file-system.ts';
import { makeDevFileSystem } from '#sentry/fs/dev/dev-file-system.ts';
import { registerMemoryDevices } from '#sentry/fs/dev/memory-devices.ts';
import { DevptsFileSystem, parseDevptsOptions } from '#sentry/fs/devpts/devpts-file-system.ts';
import { openFifo } from '#sentry/fs/pipe/pipe-file.ts';
import { OverlayFileSystem } from '#sentry/fs/overlay/overlay.ts';
import { ProcFileSystem } from '#sentry/fs/proc/proc-file-system.ts';
import { SysFileSystem } from '#sentry/fs/sys/sys-file-system.ts';
import { FileStore } from '#sentry/fs/tmpfs/file-store.ts';
import { parseTmpfsOptions, TMPFS_DEFAULTS, TmpFileSystem } from '#sentry/fs/tmpfs/tmpfs.ts';
import type { Kernel } from '#sentry/kernel/kernel.ts';
import { installTerminals, TERMINAL_SERVICES } from '#sentry/kernel/terminal/terminals.ts';
import { ALL_CAPABILITIES, initialCredentials } from '#sentry/vfs/credentials.ts';
import { FsContext } from '#sentry/vfs/fs-context.ts';
import type { FileSystem } from '#sentry/vfs/inode.ts';
import { KernelIo } from '#sentry/mm/io.ts';
import { TMPFS_MEMFDS_MAX, TMPFS_SLAB_BYTES_MAX } from '#sentry/limits.ts';
import { MountNamespace } from '#sentry/vfs/mount-namespace.ts';
import { open } from '#sentry/vfs/open.ts';
import { mkdir, unlink } from '#sentry/vfs/operations.ts';
import { Vfs } from '#sentry/vfs/vfs.ts';
import { WALK_FOLLOW, resolve } from '#sentry/vfs/walk.ts';
import type { VfsCaller } from '#sentry/vfs/walk.ts';
import { toText } from '../byte-text.ts';
import { UserError } from '../errors.ts';
import type { WrittenFile } from './network-files.ts';
import type { BindMount } from './spec.ts';

const SYSTEM_FLAGS = MS_NOSUID | MS_NODEV | MS_NOEXEC;

export interface FileTree {
  readonly namespace: MountNamespace;
  /** What is mounted on /dev/pts. */
  readonly pts: DevptsFileSystem;
}

/** Makes the namespace. Mount 0 of the gofer is the root, the others follow in the order of `mounts`. `written`: files of ours in the overlay. */
export function buildFileTree(
  kernel: Kernel,
  gofer: GoferConnection,
  mounts: readonly BindMount[],
  written: readonly WrittenFile[] = [],
): FileTree {
  const { host } = kernel;
  const vfs = new Vfs(host);
  vfs.special.openFifo = (inode, dentry, flags) => openFifo(kernel.anonymous, inode, dentry, flags);
  const store = new FileStore(host, TMPFS_MEMFDS_MAX, TMPFS_SLAB_BYTES_MAX, kernel.memoryBudget);
  registerTypes(kernel, vfs, store);
  const shared = shareConnection(gofer);
  const lower = attach(vfs, shared, 0, 'exclusive', '/');
  const upper = new TmpFileSystem(store, vfs.allocateDevice(), { ...TMPFS_DEFAULTS, mode: 0o755 }, 'overlay');
  const root = new OverlayFileSystem(vfs.allocateDevice(), [lower.root], upper);
  const namespace = new MountNamespace(vfs, root, 0, 'overlay');
  const builder = new TreeBuilder(host, namespace);
  const pts = builder.mountSystem(kernel, store);
  // Before the host's directories are mounted, which may be writable.
  for (const file of written) builder.write(file);
  mounts.forEach(({ guest, readOnly }, i) => {
    const fileSystem = attach(vfs, shared, i + 1, 'shared', guest);
    builder.mount(guest, fileSystem, readOnly ? MS_RDONLY : 0, 'gofer');
  });
  return { namespace, pts };
}

/** Mount number `mount` of the gofer as a file system. */
function attach(vfs: Vfs, shared: SharedConnection, mount: number, caching: Caching, place: string): FileSystem {
  const fileSystem = mountGofer({ ...shared, mount, device: vfs.allocateDevice(), allocateDevice: () => vfs.allocateDevice(), caching });
  if (typeof fileSystem === 'number')
    throw new UserError(`the host directory for ${toText(place)} cannot be served (${errnoName(-fileSystem)}).`);
  return fileSystem;
}

/** What mount(2) inside the sandbox can mount. */
function registerTypes(kernel: Kernel, vfs: Vfs, store: FileStore): void {
  vfs.types.set('tmpfs', (text) => {
    const options = parseTmpfsOptions(text);
    return typeof options === 'number' ? options : new TmpFileSystem(store, vfs.allocateDevice(), options);
  });
  vfs.types.set('proc', () => new ProcFileSystem(vfs.allocateDevice(), kernel.host, kernel));
  vfs.types.set('sysfs', () => new SysFileSystem(vfs.allocateDevice(), kernel.host, kernel.machine));
  vfs.types.set('devpts', (text) => {
    const options = parseDevptsOptions(text);
    return typeof options === 'number' ? options : new DevptsFileSystem(vfs.allocateDevice(), kernel.anonymous, TERMINAL_SERVICES, options);
  });
}

/** Mounts as the superuser would, before there is any process. */
class TreeBuilder {
  private readonly caller: VfsCaller;
  private readonly namespace: MountNamespace;
  private readonly host: Host;

  constructor(host: Host, namespace: MountNamespace) {
    this.host = host;
    this.namespace = namespace;
    const { rootPath } = namespace;
    this.caller = {
      credentials: initialCredentials(0, 0, [0], ALL_CAPABILITIES),
      fs: new FsContext(namespace, rootPath, rootPath, 0o022),
      task: null,
    };
  }

  mountSystem(kernel: Kernel, store: FileStore): DevptsFileSystem {
    const { vfs } = this.namespace;
    this.mount('/proc', new ProcFileSystem(vfs.allocateDevice(), this.host, kernel), SYSTEM_FLAGS, 'proc');
    this.mount('/sys', new SysFileSystem(vfs.allocateDevice(), this.host, kernel.machine), SYSTEM_FLAGS | MS_RDONLY, 'sysfs');
    registerMemoryDevices(vfs.special, this.host);
    const pts = installTerminals(kernel, vfs);
    this.mount('/dev', makeDevFileSystem(store, vfs.allocateDevice()), MS_NOSUID, 'devtmpfs');
    this.mount('/dev/pts', pts, MS_NOSUID | MS_NOEXEC, 'devpts');
    this.mount('/dev/shm', new TmpFileSystem(store, vfs.allocateDevice(), TMPFS_DEFAULTS), MS_NOSUID | MS_NODEV, 'tmpfs');
    return pts;
  }

  mount(place: string, fileSystem: FileSystem, flags: number, source: string): void {
    this.makeDirectories(place);
    const at = resolve(this.caller, null, place, WALK_FOLLOW);
    const mounted = typeof at === 'number' ? at : this.namespace.mount(at, fileSystem, flags, source);
    if (typeof mounted === 'number') throw new UserError(`cannot mount on ${toText(place)} inside the sandbox (${errnoName(-mounted)}).`);
  }

  /** Puts a file of ours where the root may have one. */
  write({ path, contents }: WrittenFile): void {
    this.makeDirectories(path.slice(0, path.lastIndexOf('/')));
    // What is there may be a link to somewhere else.
    unlink(this.caller, null, path);
    const file = open(this.caller, null, path, O_WRONLY | O_CREAT | O_EXCL, 0o644, 0);
    if (typeof file === 'number') throw new UserError(`cannot write ${toText(path)} inside the sandbox (${errnoName(-file)}).`);
    const memory = this.host.allocate(contents.length);
    memory.writeLatin1(contents, 0);
    file.write(new KernelIo(memory, 0, contents.length), 0, this.caller);
    file.release();
  }

  /** A mount point that the root lacks is made in the overlay. */
  private makeDirectories(place: string): void {
    const names = place.split('/').filter((name) => name !== '');
    for (let i = 1; i <= names.length; i++) {
      const path = `/${names.slice(0, i).join('/')}`;
      if (resolve(this.caller, null, path, WALK_FOLLOW) !== -ENOENT) continue;
      const made = mkdir(this.caller, null, path, 0o755);
      if (made < 0) throw new UserError(`cannot make ${toText(path)} inside the sandbox (${errnoName(-made)}).`);
    }
  }
}
