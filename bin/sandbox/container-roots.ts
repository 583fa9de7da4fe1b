/**
 * What the gofer of a container serves: its root, and the host directories and files it mounts. Made from the configuration alone, so that the process
 * that starts the gofer and the one that builds the tree (container-tree.ts) agree on the numbers.
 *
 *     startGofer(containerRoots(config));        // number 0 is the root
 *     rootOf(config, mountIndex)                 // of a bind mount: its number
 *
 * A bind mount of the host's own proc, sysfs and their like is not served: inside, these names mean the sandbox's kernel (`ownFileSystem`).
 */
import { statSync } from 'node:fs';
import { MS_RDONLY } from '#sentry/abi/fs.ts';
import { MS_REC } from '#sentry/abi/mount.ts';
import { MOUNTS_MAX } from '#gofer/protocol/limits.ts';
import type { MountConfig as ServedRoot } from '#gofer/server/config.ts';
import type { ContainerView, ViewedMount } from '../confine/container-view.ts';
import type { ContainerConfig, IdMapping, MountConfig, MountType } from '../oci/config/types.ts';
import { toText } from '../byte-text.ts';
import { UserError } from '../errors.ts';
import { reasonOf } from '../oci/errors.ts';

/** Says how the root is served; see `rootMode`. */
export const ROOT_ANNOTATION = 'dev.tsvisor.rootfs';

/**
 * `shared`: the host may change it at any time and sees every change at once. `exclusive`: nobody else changes it while the container runs, so what was
 * looked up once is believed. `overlay`: it is not changed at all; what the container writes is kept in the sandbox's memory.
 */
export type RootMode = 'shared' | 'exclusive' | 'overlay';

const ROOT_MODES: readonly RootMode[] = ['shared', 'exclusive', 'overlay'];

export function rootMode({ annotations }: ContainerConfig): RootMode {
  const wish = annotations[ROOT_ANNOTATION];
  if (wish === undefined) return 'shared';
  const mode = ROOT_MODES.find((known) => known === wish);
  if (mode === undefined)
    throw new UserError(`config.json: annotations["${ROOT_ANNOTATION}"] is "${wish}"; it can be ${ROOT_MODES.join(', ')}.`);
  return mode;
}

/** The host's kernel interfaces by the place where Linux systems mount them. */
const KERNEL_INTERFACES: readonly (readonly [string, MountType])[] = [
  ['/sys/fs/cgroup', 'cgroup'],
  ['/proc', 'proc'],
  ['/sys', 'sysfs'],
  ['/dev/mqueue', 'mqueue'],
  ['/dev/pts', 'devpts'],
];

/** What a bind mount of a kernel interface of the host shows instead: a type of file system, and the place in it. null: it is one of files. */
export function ownFileSystem({ type, source }: MountConfig): { readonly type: MountType; readonly place: string } | null {
  if (type !== 'bind') return null;
  for (const [place, own] of KERNEL_INTERFACES) {
    if (source === place || source.startsWith(`${place}/`)) return { type: own, place: source.slice(place.length) || '/' };
  }
  return null;
}

function isServed(mount: MountConfig): boolean {
  return mount.type === 'bind' && ownFileSystem(mount) === null;
}

/** The number of the root that mount `index` of the configuration shows; it must be a bind mount that is served. */
export function rootOf({ mounts }: ContainerConfig, index: number): number {
  return 1 + mounts.slice(0, index).filter(isServed).length;
}

/** The roots in their order. Names what is not there before anything is started. */
export function containerRoots(config: ContainerConfig): ServedRoot[] {
  const { root, mounts } = config;
  const isKept = rootMode(config) !== 'overlay';
  const roots: ServedRoot[] = [{ path: root.path, readOnly: !isKept, readOnlyLater: isKept && root.readonly }];
  exists(root.path, 'root.path');
  mounts.forEach((mount, i) => {
    if (!isServed(mount)) return;
    exists(mount.source, `mounts[${i}].source`);
    const { flags, recursiveFlags } = mount;
    roots.push({ path: mount.source, readOnly: ((flags | recursiveFlags) & MS_RDONLY) !== 0, recursive: (flags & MS_REC) !== 0 });
  });
  if (roots.length > MOUNTS_MAX)
    throw new UserError(`config.json: mounts has ${roots.length - 1} bind mounts; ${MOUNTS_MAX - 1} can be shown inside.`);
  return roots;
}

/** What somebody on the host finds who enters the container's mount namespace. */
export function containerView(config: ContainerConfig): ContainerView {
  const { root, mounts, linux } = config;
  return {
    root: { path: root.path, readOnly: root.readonly || rootMode(config) === 'overlay' },
    mounts: mounts
      .filter((mount, i) => isServed(mount) || !isCovered(mount, mounts.slice(0, i)))
      .map((mount) => ({ place: mount.destination, shows: isServed(mount) ? viewed(mount) : null })),
    owner: { uid: hostRoot(linux.uidMappings), gid: hostRoot(linux.gidMappings) },
  };
}

/** It lies in another one that lies in the sandbox's memory. */
function isCovered({ destination }: MountConfig, before: readonly MountConfig[]): boolean {
  return before.some((mount) => !isServed(mount) && destination.startsWith(`${mount.destination}/`));
}

function viewed(mount: MountConfig): ViewedMount['shows'] {
  const { source, flags, recursiveFlags } = mount;
  const isDirectory = statSync(Buffer.from(source, 'latin1')).isDirectory();
  return { path: source, readOnly: ((flags | recursiveFlags) & MS_RDONLY) !== 0, recursive: (flags & MS_REC) !== 0, isDirectory };
}

/** The host's number of user or group 0 of the container. */
function hostRoot(mappings: readonly IdMapping[]): number {
  return mappings.find(({ containerID }) => containerID === 0)?.hostID ?? 0;
}

function exists(path: string, field: string): void {
  try {
    statSync(Buffer.from(path, 'latin1'));
  } catch (error) {
    const reason = reasonOf(-((error as NodeJS.ErrnoException).errno ?? 0));
    throw new UserError(`config.json: ${field} ${toText(path)} cannot be shown inside: ${reason}`);
  }
}
