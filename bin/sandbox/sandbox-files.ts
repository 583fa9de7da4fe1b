/**
 * What all file trees of a sandbox have in common, whether it holds one command, a container or a pod of them: memory for tmpfs, dentries, device
 * numbers, and the kinds of file systems.
 *
 *     const files = new SandboxFiles(kernel);
 *     const vfs = files.makeVfs(container);                 // one for each tree
 *     const lower = attachGofer(vfs, shareConnection(connection), 0, 'exclusive', '/');
 *
 * Each tree has a Vfs of its own, for the terminals that its /dev/tty and /dev/ptmx lead to are its own. Dentries are shared: an open directory can be
 * sent to another container, and is walked from there.
 */
import { errnoName } from '#sentry/abi/errno.ts';
import { registerMemoryDevices } from '#sentry/fs/dev/memory-devices.ts';
import { DevptsFileSystem, parseDevptsOptions } from '#sentry/fs/devpts/devpts-file-system.ts';
import { mountGofer } from '#sentry/fs/gofer/file-system.ts';
import type { Caching, GoferFileSystem, SharedConnection } from '#sentry/fs/gofer/file-system.ts';
import { openFifo } from '#sentry/fs/pipe/pipe-file.ts';
import { ProcFileSystem } from '#sentry/fs/proc/proc-file-system.ts';
import { SysFileSystem } from '#sentry/fs/sys/sys-file-system.ts';
import { FileStore } from '#sentry/fs/tmpfs/file-store.ts';
import { parseTmpfsOptions, TmpFileSystem } from '#sentry/fs/tmpfs/tmpfs.ts';
import type { Container } from '#sentry/kernel/container.ts';
import type { Kernel } from '#sentry/kernel/kernel.ts';
import { TERMINAL_SERVICES } from '#sentry/kernel/terminal/terminals.ts';
import { TMPFS_MEMFDS_MAX, TMPFS_SLAB_BYTES_MAX } from '#sentry/limits.ts';
import { Vfs } from '#sentry/vfs/vfs.ts';
import { toText } from '../byte-text.ts';
import { UserError } from '../errors.ts';

export class SandboxFiles {
  readonly kernel: Kernel;
  readonly store: FileStore;
  private first: Vfs | null = null;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    this.store = new FileStore(kernel.host, TMPFS_MEMFDS_MAX, TMPFS_SLAB_BYTES_MAX, kernel.memoryBudget);
  }

  /** A fresh `st_dev` for a file system that is made by somebody else. */
  allocateDevice(): number {
    this.first ??= new Vfs(this.kernel.host);
    return this.first.allocateDevice();
  }

  /** For the tree of a container: pipes, memory devices, and what mount(2) inside can mount. Terminals are yet to be installed. */
  makeVfs({ pids }: Container): Vfs {
    const { kernel, store } = this;
    const vfs = this.first === null ? new Vfs(kernel.host) : this.first.another();
    this.first ??= vfs;
    vfs.special.openFifo = (inode, dentry, flags) => openFifo(kernel.anonymous, inode, dentry, flags);
    registerMemoryDevices(vfs.special, kernel.host);
    vfs.types.set('tmpfs', (text) => {
      const options = parseTmpfsOptions(text, kernel.machine.memoryBytes);
      return typeof options === 'number' ? options : new TmpFileSystem(store, vfs.allocateDevice(), options);
    });
    vfs.types.set('proc', () => new ProcFileSystem(vfs.allocateDevice(), kernel.host, kernel, pids));
    vfs.types.set('sysfs', () => new SysFileSystem(vfs.allocateDevice(), kernel.host, kernel.machine, kernel.network.stack.interfaces));
    vfs.types.set('mqueue', () => kernel.ipc.messageQueues(vfs));
    vfs.types.set('devpts', (text) => {
      const options = parseDevptsOptions(text);
      return typeof options === 'number'
        ? options
        : new DevptsFileSystem(vfs.allocateDevice(), kernel.anonymous, TERMINAL_SERVICES, options);
    });
    return vfs;
  }
}

/**
 * Mount number `mount` of a gofer as a file system. `place`: where it is to appear, for the message when it cannot be. `partOf`: what it is called on the
 * host, to be told in mountinfo; '' if that is nobody's business.
 */
export function attachGofer(
  vfs: Vfs,
  shared: SharedConnection,
  mount: number,
  caching: Caching,
  place: string,
  partOf = '',
): GoferFileSystem {
  const allocateDevice = (): number => vfs.allocateDevice();
  const fileSystem = mountGofer({ ...shared, mount, device: allocateDevice(), allocateDevice, caching, partOf });
  if (typeof fileSystem === 'number')
    throw new UserError(`the host directory for ${toText(place)} cannot be served (${errnoName(-fileSystem)}).`);
  return fileSystem;
}
