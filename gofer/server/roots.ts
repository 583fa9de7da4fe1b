/**
 * Opening the roots a gofer serves, before it is confined. Afterwards only the descriptors made here lead to host files.
 *
 * Where the caller may mount (CAP_SYS_ADMIN), each root becomes a detached copy of the mount tree (open_tree(2)): its '..' leads nowhere,
 * device nodes and set-user-id bits on it are dead, and a read-only root is read-only for the host kernel too (mount_setattr(2)), access
 * times included. Elsewhere a root is a plain O_PATH descriptor, and these properties are what the server's code and Landlock give.
 */
import { AT_EMPTY_PATH, AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_PATH, S_IFDIR, S_IFMT } from '#sentry/abi/fs.ts';
import { BASIC_ATTRIBUTES } from '#gofer/protocol/attributes.ts';
import { Statx } from '#sentry/abi/stat.ts';
import { close, openat, statx } from '#platform/host/files.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import { systemCall } from '#platform/host/setup-calls.ts';
import type { MountConfig } from './config.ts';
import type { Root } from './server.ts';
import { openWindow } from './window.ts';
import type { Window } from './window.ts';

const SYS_OPEN_TREE = 428;
const SYS_MOUNT_SETATTR = 442;
const OPEN_TREE_CLONE = 1;
const AT_RECURSIVE = 0x8000;
const MOUNT_ATTR_RDONLY = 1;
const MOUNT_ATTR_NOSUID = 2;
const MOUNT_ATTR_NODEV = 4;
const MOUNT_ATTR_SIZE = 32;

const ATTRIBUTES = 4_352;
const STATX = 4_608;
const memory = allocateMemory(8_192);

function pathAt(path: string): number {
  memory.view.setUint8(memory.writeLatin1(path, 0), 0);
  return memory.address;
}

export interface OpenedRoots {
  readonly roots: readonly Root[];
  /** O_PATH descriptor of /proc/self/fd. */
  readonly selfFd: number;
  /** Whether all of them are detached mounts. */
  readonly detached: boolean;
  /** Devices of the host's /dev, which are not to be walked into. Its file system cannot be told from a tmpfs by its magic number. */
  readonly sealed: readonly Device[];
  readonly window: Window | null;
}

export interface Device {
  readonly major: number;
  readonly minor: number;
}

/** Opens every root. On failure the negative errno and the path it was for. */
export function openRoots(mounts: readonly MountConfig[]): OpenedRoots | { readonly errno: number; readonly path: string } {
  const roots: Root[] = [];
  const served: Device[] = [];
  let detached = true;
  const open = (path: string, readOnly: boolean, recursive: number): number => {
    const fd = openDetached(path, readOnly, recursive);
    if (fd >= 0) return fd;
    detached = false;
    return openat(AT_FDCWD, pathAt(path), O_PATH | O_CLOEXEC, 0);
  };
  for (const { path, readOnly, readOnlyLater, recursive } of mounts) {
    const depth = recursive === false ? 0 : AT_RECURSIVE;
    const fd = open(path, readOnly, depth);
    const later = readOnlyLater === true ? open(path, true, depth) : undefined;
    const error = fd < 0 ? fd : statx(fd, pathAt(''), AT_EMPTY_PATH, BASIC_ATTRIBUTES, memory.address + STATX);
    if (error < 0) return { errno: -error, path };
    const directory = (memory.view.getUint16(STATX + Statx.offsets.mode, true) & S_IFMT) === S_IFDIR;
    if (later !== undefined && later < 0) return { errno: -later, path };
    roots.push({ fd, readOnly, directory, ...(later === undefined ? {} : { later }) });
    served.push(lastDevice());
  }
  const self = openSelf();
  return self < 0
    ? { errno: -self, path: '/proc/self/fd' }
    : { roots, selfFd: self, detached, sealed: devicesOfDev(served), window: openWindow() };
}

/** The device of the last statx. */
function lastDevice(): Device {
  const { devMajor, devMinor } = Statx.offsets;
  return { major: memory.view.getUint32(STATX + devMajor, true), minor: memory.view.getUint32(STATX + devMinor, true) };
}

/** File systems mounted in /dev, unless they are also the host's root or a root that is served by the user's wish. */
function devicesOfDev(served: readonly Device[]): Device[] {
  const found = ['/', '/dev', '/dev/shm', '/dev/mqueue', '/dev/hugepages'].map((path) =>
    statx(AT_FDCWD, pathAt(path), 0, BASIC_ATTRIBUTES, memory.address + STATX) < 0 ? null : lastDevice(),
  );
  const [root, ...devices] = found;
  const open = [...served, ...(root ? [root] : [])];
  return devices
    .filter((device) => device !== null)
    .filter((device) => !open.some(({ major, minor }) => major === device.major && minor === device.minor));
}

/** A detached copy of the tree at `path`, or -errno. `recursive`: AT_RECURSIVE, or 0 for the mount that `path` lies on alone. */
export function openDetached(path: string, readOnly: boolean, recursive: number): number {
  const fd = systemCall(SYS_OPEN_TREE, AT_FDCWD, pathAt(path), OPEN_TREE_CLONE | O_CLOEXEC | recursive);
  if (fd < 0) return fd;
  const wanted = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (readOnly ? MOUNT_ATTR_RDONLY : 0);
  const set = setAttributes(fd, wanted, AT_RECURSIVE);
  if (set >= 0) return fd;
  close(fd);
  return set;
}

/** Makes the mount at whose root `fd` is read-only, but not those below it: 0 or -errno. */
export function makeReadOnly(fd: number): number {
  return setAttributes(fd, MOUNT_ATTR_RDONLY, 0);
}

function setAttributes(fd: number, attributes: number, recursive: number): number {
  memory.bytes.fill(0, ATTRIBUTES, ATTRIBUTES + MOUNT_ATTR_SIZE);
  memory.view.setUint32(ATTRIBUTES, attributes, true);
  pathAt('');
  return systemCall(SYS_MOUNT_SETATTR, fd, memory.address, AT_EMPTY_PATH | recursive, memory.address + ATTRIBUTES, MOUNT_ATTR_SIZE);
}

/** /proc/self/fd: as a detached mount, so that nothing else of /proc can be reached from it; else as it is. */
function openSelf(): number {
  const fd = systemCall(SYS_OPEN_TREE, AT_FDCWD, pathAt('/proc/self/fd'), OPEN_TREE_CLONE | O_CLOEXEC);
  return fd >= 0 ? fd : openat(AT_FDCWD, pathAt('/proc/self/fd'), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
}
