/**
 * What a container has in /dev: the devices and links of every container and those of `linux.devices` (OCI runtime specification, "Default Devices",
 * "Dev symbolic links"), and /dev/console.
 *
 * Nodes are made where /dev lies, mostly a tmpfs. The gofer makes none on the host: where /dev is part of the root, a node of a file system of ours is
 * mounted over an empty file, as runc does where it may not make devices.
 */
import { EEXIST, ENOENT, EPERM, errnoName } from '#sentry/abi/errno.ts';
import { S_IFBLK, S_IFCHR, S_IFIFO } from '#sentry/abi/fs.ts';
import { DEFAULT_DEVICES, DEFAULT_LINKS } from '#sentry/fs/dev/dev-file-system.ts';
import type { Host } from '#platform/contract/host.ts';
import type { FileStore } from '#sentry/fs/tmpfs/file-store.ts';
import { TMPFS_DEFAULTS, TmpFileSystem } from '#sentry/fs/tmpfs/tmpfs.ts';
import { chown } from '#sentry/vfs/attributes.ts';
import { MountNamespace } from '#sentry/vfs/mount-namespace.ts';
import type { Path } from '#sentry/vfs/mount.ts';
import { mknod, symlink } from '#sentry/vfs/operations.ts';
import { makeDevice } from '#sentry/vfs/special-files.ts';
import type { Vfs } from '#sentry/vfs/vfs.ts';
import { toText } from '../byte-text.ts';
import { UserError } from '../errors.ts';
import type { DeviceConfig } from '../oci/config/types.ts';
import { TreeBuilder } from './tree-builder.ts';

/** Nodes to be mounted elsewhere; no process sees where they lie. */
export type Nodes = TreeBuilder;

export function makeNodes(host: Host, store: FileStore, vfs: Vfs): Nodes {
  const fileSystem = new TmpFileSystem(store, vfs.allocateDevice(), { ...TMPFS_DEFAULTS, mode: 0o755 }, 'devtmpfs');
  return new TreeBuilder(host, new MountNamespace(vfs, fileSystem, 0, 'devtmpfs'));
}

const CONSOLE = '/dev/console';
const DEFAULT_MODE = 0o666;

/** The nodes of the configuration, then those that every container has, then the links. */
export function makeDevices(builder: TreeBuilder, nodes: Nodes, devices: readonly DeviceConfig[], warn: (sentence: string) => void): void {
  devices.forEach((device, i) => {
    const { type, path, major, minor } = device;
    if (type !== 'p' && !builder.namespace.vfs.special.knows(typeBits(type), makeDevice(major, minor)))
      warn(
        `config.json: linux.devices[${i}] ${toText(path)} (${type} ${major}:${minor}) is not a device of the sandbox; opening it fails (ENXIO).`,
      );
    makeDeviceAt(builder, nodes, device, `linux.devices[${i}]`);
  });
  for (const [name, { major, minor }] of Object.entries(DEFAULT_DEVICES)) {
    const device: DeviceConfig = { path: `/dev/${name}`, type: 'c', major, minor, fileMode: DEFAULT_MODE, uid: 0, gid: 0 };
    makeDeviceAt(builder, nodes, device, 'the default device');
  }
  makeLinks(builder);
}

function typeBits(type: DeviceConfig['type']): number {
  return type === 'c' ? S_IFCHR : type === 'b' ? S_IFBLK : S_IFIFO;
}

function makeDeviceAt(builder: TreeBuilder, nodes: Nodes, device: DeviceConfig, field: string): void {
  const { path } = device;
  const directory = builder.make(path.slice(0, path.lastIndexOf('/')), 'directory');
  let error = typeof directory === 'number' ? directory : makeNode(builder, directory, path.slice(path.lastIndexOf('/') + 1), device);
  // What the root has in its place stays.
  if (error === -EEXIST) return;
  if (error === -EPERM) error = mountNode(builder, nodes, device);
  if (error < 0) throw new UserError(`config.json: ${field} ${toText(path)} cannot be made (${errnoName(-error)}).`);
}

/** A node called `name` with the mode and owner asked for: 0 or -errno. */
function makeNode(builder: TreeBuilder, directory: Path, name: string, { type, major, minor, fileMode, uid, gid }: DeviceConfig): number {
  const { caller } = builder;
  const umask = caller.fs.umask;
  caller.fs.umask = 0;
  const made = mknod(caller, directory, name, typeBits(type) | fileMode, makeDevice(major, minor));
  caller.fs.umask = umask;
  if (made < 0 || (uid === 0 && gid === 0)) return made;
  const node = builder.enter(directory, name);
  return typeof node === 'number' ? node : chown(caller, node, uid, gid);
}

/** The same as a mount of a node that lies elsewhere. */
function mountNode(builder: TreeBuilder, nodes: Nodes, device: DeviceConfig): number {
  const top = nodes.namespace.rootPath;
  const name = device.path.replaceAll('/', ':');
  const made = makeNode(nodes, top, name, device);
  const node = made < 0 ? made : nodes.enter(top, name);
  const mounted = typeof node === 'number' ? node : builder.tryBind(device.path, node, 0);
  return typeof mounted === 'number' ? mounted : 0;
}

function makeLinks(builder: TreeBuilder): void {
  const links = Object.entries(DEFAULT_LINKS);
  // Linux: where the kernel has it.
  if (typeof builder.look('/proc/kcore') !== 'number') links.push(['core', '/proc/kcore']);
  const directory = builder.make('/dev', 'directory');
  for (const [name, target] of links) {
    const error = typeof directory === 'number' ? directory : symlink(builder.caller, target, directory, name);
    if (error < 0 && error !== -EEXIST) throw new UserError(`/dev/${name} cannot be made inside the sandbox (${errnoName(-error)}).`);
  }
}

/** Where the container's terminal is going to be shown. */
export function makeConsole(builder: TreeBuilder): void {
  const at = builder.make(CONSOLE, 'file');
  if (typeof at === 'number') throw new UserError(`${CONSOLE} cannot be made inside the sandbox (${errnoName(-at)}).`);
}

/** Shows terminal `index` of /dev/pts as /dev/console, too. */
export function showConsole(host: Host, namespace: MountNamespace, index: number): void {
  const builder = new TreeBuilder(host, namespace);
  const terminal = builder.find(`/dev/pts/${index}`);
  // Without a devpts there is no node to be shown.
  const mounted = terminal === -ENOENT ? 0 : typeof terminal === 'number' ? terminal : builder.tryBind(CONSOLE, terminal, 0);
  builder.release();
  if (typeof mounted === 'number' && mounted < 0)
    throw new UserError(`${CONSOLE} cannot be shown inside the sandbox (${errnoName(-mounted)}).`);
}
