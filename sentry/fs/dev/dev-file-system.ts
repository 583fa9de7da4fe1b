/**
 * /dev: a tmpfs of type devtmpfs, filled with the nodes that a container has. Guests may add to it, as to Linux's.
 *
 *     const dev = makeDevFileSystem(store, vfs.allocateDevice());
 *     …mount dev on /dev, a DevptsFileSystem on /dev/pts, a tmpfs (mode 1777) on /dev/shm
 *
 * What a node does when it is opened is registered elsewhere by its number: memory-devices.ts, fs/devpts, kernel/terminal.
 * Compare: OCI runtime specification, "Default Devices" and "Dev symbolic links".
 */
import { S_IFCHR, S_IFDIR } from '#sentry/abi/fs.ts';
import { makeDevice } from '../../vfs/special-files.ts';
import type { FileStore } from '../tmpfs/file-store.ts';
import { TMPFS_DEFAULTS, TmpFileSystem } from '../tmpfs/tmpfs.ts';
import { FULL_MINOR, MEMORY_MAJOR, NULL_MINOR, RANDOM_MINOR, URANDOM_MINOR, ZERO_MINOR } from './memory-devices.ts';

/** Auxiliary terminal devices: 5:0 is the controlling terminal of whoever opens it. */
export const TTY_AUXILIARY_MAJOR = 5;
export const TTY_MINOR = 0;
const TTY_GROUP = 5;

export interface DeviceNode {
  readonly major: number;
  readonly minor: number;
  readonly gid: number;
}

/** Devices that every container has, by their names in /dev. */
export const DEFAULT_DEVICES: Readonly<Record<string, DeviceNode>> = {
  null: { major: MEMORY_MAJOR, minor: NULL_MINOR, gid: 0 },
  zero: { major: MEMORY_MAJOR, minor: ZERO_MINOR, gid: 0 },
  full: { major: MEMORY_MAJOR, minor: FULL_MINOR, gid: 0 },
  random: { major: MEMORY_MAJOR, minor: RANDOM_MINOR, gid: 0 },
  urandom: { major: MEMORY_MAJOR, minor: URANDOM_MINOR, gid: 0 },
  tty: { major: TTY_AUXILIARY_MAJOR, minor: TTY_MINOR, gid: TTY_GROUP },
};

/** Links that every container has in /dev. */
export const DEFAULT_LINKS: Readonly<Record<string, string>> = {
  fd: '/proc/self/fd',
  stdin: '/proc/self/fd/0',
  stdout: '/proc/self/fd/1',
  stderr: '/proc/self/fd/2',
  ptmx: 'pts/ptmx',
};

/** Mount points. */
const DIRECTORIES: Readonly<Record<string, number>> = { pts: 0o755, shm: 0o1777, mqueue: 0o1777 };

export function makeDevFileSystem(store: FileStore, device: number): TmpFileSystem {
  const fileSystem = new TmpFileSystem(store, device, { ...TMPFS_DEFAULTS, mode: 0o755 }, 'devtmpfs');
  const { root } = fileSystem;
  for (const [name, { major, minor, gid }] of Object.entries(DEFAULT_DEVICES))
    root.mknod(name, S_IFCHR | 0o666, makeDevice(major, minor), 0, gid);
  for (const [name, target] of Object.entries(DEFAULT_LINKS)) root.symlink(name, target, 0, 0);
  for (const [name, mode] of Object.entries(DIRECTORIES)) root.mkdir(name, S_IFDIR | mode, 0, 0);
  return fileSystem;
}
