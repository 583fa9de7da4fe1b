/**
 * The tree of files of a container, from its configuration: the root that its gofer serves, the mounts in their order, devices, and what is masked or
 * read-only. Done before the container's first process exists (OCI runtime specification, config.md and config-linux.md; the order is runc's).
 *
 *     const files = new SandboxFiles(kernel);                                  // once in a sandbox
 *     const tree = buildContainerTree(files, container, connection, config, { types, warn, made });
 *     createProcess(kernel, container, { namespace: tree.namespace, root: tree.namespace.rootPath, … });
 *     tree.showConsole(n);                                                     // when /dev/pts/n is its terminal
 *
 * Propagation: the tree is the container's own and private, whatever the options say. A mount made on the host later does not appear inside.
 */
import { EINVAL, ENOENT, ENOTDIR, errnoName } from '#sentry/abi/errno.ts';
import { MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY } from '#sentry/abi/fs.ts';
import { MS_KEPT } from '#sentry/abi/mount.ts';
import { parseDevptsOptions } from '#sentry/fs/devpts/devpts-file-system.ts';
import type { DevptsFileSystem, DevptsOptions } from '#sentry/fs/devpts/devpts-file-system.ts';
import type { GoferConnection } from '#sentry/fs/gofer/connection.ts';
import { shareConnection } from '#sentry/fs/gofer/file-system.ts';
import type { GoferFileSystem, SharedConnection } from '#sentry/fs/gofer/file-system.ts';
import { OverlayFileSystem } from '#sentry/fs/overlay/overlay.ts';
import type { FileStore } from '#sentry/fs/tmpfs/file-store.ts';
import { TMPFS_DEFAULTS, TmpFileSystem } from '#sentry/fs/tmpfs/tmpfs.ts';
import type { Container } from '#sentry/kernel/container.ts';
import { installTerminals } from '#sentry/kernel/terminal/terminals.ts';
import type { FileSystem } from '#sentry/vfs/inode.ts';
import { MountNamespace } from '#sentry/vfs/mount-namespace.ts';
import type { Mount } from '#sentry/vfs/mount.ts';
import type { FileSystemMaker, Vfs } from '#sentry/vfs/vfs.ts';
import { toText } from '../byte-text.ts';
import { UserError } from '../errors.ts';
import type { ContainerConfig, MountConfig } from '../oci/config/types.ts';
import { makeConsole, makeDevices, makeNodes, showConsole } from './container-devices.ts';
import { maskPath, protectPath } from './container-masks.ts';
import { ownFileSystem, rootMode, rootOf } from './container-roots.ts';
import { copyTree } from './copy-up.ts';
import { attachGofer } from './sandbox-files.ts';
import type { SandboxFiles } from './sandbox-files.ts';
import { TreeBuilder } from './tree-builder.ts';

const SYSTEM_FLAGS = MS_NOSUID | MS_NODEV | MS_NOEXEC;

export interface ContainerTree {
  readonly namespace: MountNamespace;
  /** What is mounted on /dev/pts, or would be. */
  readonly pts: DevptsFileSystem;
  /** Shows terminal `index` of /dev/pts as /dev/console as well. To be called once, before any process runs. */
  readonly showConsole: (index: number) => void;
}

export interface ContainerTreeOptions {
  /** Makers of file systems by type, beside those that every tree has and in their place: mqueue, cgroup, a container's own proc. */
  readonly types: ReadonlyMap<string, FileSystemMaker>;
  /** Told a sentence about what is left out. */
  readonly warn: (sentence: string) => void;
  /** Destinations of mounts that were missing and have been made on the host meanwhile (container-view.ts). */
  readonly made: ReadonlySet<string>;
}

/** Makes the tree. `connection` leads to the gofer that serves `containerRoots(config)`. Throws UserError naming the field that cannot be done. */
export function buildContainerTree(
  files: SandboxFiles,
  container: Container,
  connection: GoferConnection,
  config: ContainerConfig,
  options: ContainerTreeOptions,
): ContainerTree {
  const { host } = files.kernel;
  const vfs = files.makeVfs(container);
  for (const [type, make] of options.types) vfs.types.set(type, make);
  const pts = installTerminals(files.kernel, vfs, devptsOptions(config));
  const shared = shareConnection(connection);
  vfs.beforeWalk = () => shared.watches.drain();
  shared.watches.isEnabled = true;
  const served = attachGofer(vfs, shared, 0, rootMode(config) === 'shared' ? 'shared' : 'exclusive', '/');
  const namespace = new MountNamespace(vfs, makeRoot(files, vfs, served, config), 0, 'rootfs');
  const builder = new TreeBuilder(host, namespace);
  const mounts = new ContainerMounts(builder, config, options, (index) => attachBind(vfs, shared, config, index));
  mounts.mountAll(pts);
  finishTree(files.store, builder, config, options.warn);
  builder.release();
  const sealed = config.root.readonly && rootMode(config) !== 'overlay' ? served.makeReadOnly(0) : 0;
  if (sealed < 0) throw new UserError(`config.json: root.readonly: the file server process does not do it (${errnoName(-sealed)}).`);
  return { namespace, pts, showConsole: (index) => showConsole(host, namespace, index) };
}

/** Mount `index` of the configuration. As Linux does, mountinfo tells where on the host it comes from. */
function attachBind(vfs: Vfs, shared: SharedConnection, config: ContainerConfig, index: number): GoferFileSystem {
  const { destination, source } = config.mounts[index]!;
  return attachGofer(vfs, shared, rootOf(config, index), 'shared', destination, source);
}

/** Everything that comes after the mounts. */
export function finishTree(store: FileStore, builder: TreeBuilder, config: ContainerConfig, warn: (sentence: string) => void): void {
  const { namespace } = builder;
  const { linux, root, process, mounts } = config;
  const nodes = makeNodes(builder.host, store, namespace.vfs);
  if (!mounts.some(({ destination, type }) => destination === '/dev' && type === 'bind')) makeDevices(builder, nodes, linux.devices, warn);
  if (process?.terminal === true) makeConsole(builder);
  const cwd = builder.make(process?.cwd ?? '/', 'directory');
  if (typeof cwd === 'number') throw new UserError(`config.json: process.cwd ${toText(process!.cwd)} cannot be made (${errnoName(-cwd)}).`);
  linux.readonlyPaths.forEach((path, i) => check(protectPath(builder, path), `linux.readonlyPaths[${i}]`, path));
  linux.maskedPaths.forEach((path, i) => check(maskPath(store, builder, nodes, path), `linux.maskedPaths[${i}]`, path));
  const top = namespace.mounts[0]!;
  if (root.readonly) top.flags |= MS_RDONLY;
}

function check(result: number, field: string, path: string): void {
  if (result < 0) throw new UserError(`config.json: ${field} ${toText(path)} cannot be covered (${errnoName(-result)}).`);
}

function makeRoot(files: SandboxFiles, vfs: Vfs, served: GoferFileSystem, config: ContainerConfig): FileSystem {
  if (rootMode(config) !== 'overlay') return served;
  const upper = new TmpFileSystem(files.store, vfs.allocateDevice(), { ...TMPFS_DEFAULTS, mode: 0o755 }, 'overlay');
  return new OverlayFileSystem(vfs.allocateDevice(), [served.root], upper);
}

/** Those of the terminals that /dev/ptmx makes; undefined: the configuration has none. */
function devptsOptions({ mounts }: ContainerConfig): DevptsOptions | undefined {
  const index = mounts.findIndex(isMainDevpts);
  if (index < 0) return undefined;
  const { data } = mounts[index]!;
  const options = parseDevptsOptions(data);
  if (typeof options === 'number')
    throw new UserError(`config.json: mounts[${index}].options: "${toText(data)}" are not options of devpts.`);
  return options;
}

function isMainDevpts({ type, destination }: MountConfig): boolean {
  return type === 'devpts' && destination === '/dev/pts';
}

/** The mounts of a configuration, in their order. */
export class ContainerMounts {
  private readonly builder: TreeBuilder;
  private readonly config: ContainerConfig;
  private readonly options: ContainerTreeOptions;
  /** The host directory or file that mount `index` shows. */
  private readonly served: (index: number) => FileSystem;

  constructor(builder: TreeBuilder, config: ContainerConfig, options: ContainerTreeOptions, served: (index: number) => FileSystem) {
    this.builder = builder;
    this.config = config;
    this.options = options;
    this.served = served;
  }

  /** `pts` is what devpts on /dev/pts means. */
  mountAll(pts: FileSystem): void {
    this.config.mounts.forEach((mount, i) => {
      // Below a bind mount there are no mounts of their own: what is mounted there on the host is part of it.
      const flags = (mount.flags | mount.recursiveFlags) & MS_KEPT;
      const mounted = this.mountOne(mount, i, flags, pts);
      if (typeof mounted === 'number')
        throw new UserError(`config.json: mounts[${i}] cannot be mounted on ${toText(mount.destination)} (${reason(-mounted)}).`);
    });
  }

  private mountOne(mount: MountConfig, index: number, flags: number, pts: FileSystem): Mount | number | null {
    const { destination, type, source } = mount;
    const own = ownFileSystem(mount);
    // A bind mount has the flags of what it shows, unless they are taken back.
    if (own !== null) return this.mountOwn(mount, index, own.type, own.place, (flags | SYSTEM_FLAGS) & ~mount.clearedFlags);
    if (type === 'bind') return this.builder.tryMount(destination, this.served(index), flags, 'gofer');
    if (isMainDevpts(mount)) return this.builder.tryMount(destination, pts, flags, source);
    // A link there would have the kernel's files appear elsewhere, and a program trust what the image put in their place.
    if ((type === 'proc' || type === 'sysfs') && !this.isPlainDirectory(destination)) return -ENOTDIR;
    const fileSystem = this.make(type, type === 'tmpfs' ? this.withMode(destination, mount.data) : mount.data, index);
    if (fileSystem === null || typeof fileSystem === 'number') return fileSystem;
    const copied = mount.copyUp && fileSystem instanceof TmpFileSystem ? copyTree(this.builder, destination, fileSystem) : 0;
    if (copied < 0) return copied;
    return this.builder.tryMount(destination, fileSystem, flags, source);
  }

  /** Nothing is there yet, or a directory that no link stands for. */
  private isPlainDirectory(destination: string): boolean {
    const there = this.builder.look(destination);
    return typeof there === 'number' ? there === -ENOENT : there.dentry.inode!.isDirectory;
  }

  /** A tmpfs that is not told its mode has that of the directory it covers, if there is one, as runc does it. */
  private withMode(destination: string, data: string): string {
    if (this.options.made.has(destination)) return data;
    const covered = this.builder.find(destination);
    if (typeof covered === 'number') return data;
    return `mode=${(covered.dentry.inode!.mode & 0o7777).toString(8)},${data}`;
  }

  private make(type: string, data: string, index: number): FileSystem | number | null {
    const maker = this.builder.namespace.vfs.types.get(type);
    if (maker !== undefined) return maker(data);
    this.options.warn(`config.json: mounts[${index}].type ${type}: the sandbox has no such file system; the mount is left out.`);
    return null;
  }

  /** A kernel interface of the host was asked for: the sandbox's own of that type, or a place in it. */
  private mountOwn({ destination, source }: MountConfig, index: number, type: string, place: string, flags: number): Mount | number | null {
    const fileSystem = this.make(type, '', index);
    if (fileSystem === null || typeof fileSystem === 'number') return fileSystem;
    if (place === '/') return this.builder.tryMount(destination, fileSystem, flags, type);
    const { host, namespace } = this.builder;
    const inside = new TreeBuilder(host, new MountNamespace(namespace.vfs, fileSystem, 0, type));
    const at = inside.find(place);
    if (typeof at !== 'number') return this.builder.tryBind(destination, at, flags);
    this.options.warn(
      `config.json: mounts[${index}].source ${toText(source)}: the sandbox's ${type} has no such file; the mount is left out.`,
    );
    return null;
  }
}

function reason(errno: number): string {
  if (errno === EINVAL) return 'its options are not those of its type';
  return errno === ENOTDIR ? 'it must be a directory and no link, or both must be files' : errnoName(errno);
}
