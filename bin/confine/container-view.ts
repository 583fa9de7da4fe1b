/**
 * The mount namespace of a container's host process. Managers take the container's pid for a process inside: they enter its mount namespace and read and
 * write what lies at `/` there (`podman cp` does, `nsenter -m`). Left in the host's, they would change the host. So the sentry's main thread gets a
 * namespace that shows what the container shows, as far as it lies on the host: its root and its bind mounts. In place of what is in the sandbox's memory
 * (tmpfs, proc and their like) lies an empty read-only directory, so that nothing is written where no guest would see it.
 *
 *     const namespaces = openNamespaces();          // while names can be opened
 *     enterEmptyRoot(report);                       // in all threads
 *     enterContainerView(view, namespaces, report); // the calling thread is in the new namespace, at its root
 *     enterEmptyRoot(report);                       // again, the calling thread only
 *
 * The sentry gains nothing by it: it has no call that takes a name. A host that does not allow some of it gives an empty namespace rather than its own.
 * See mount_namespaces(7), pivot_root(2), open_tree(2), openat2(2).
 */
import { EEXIST, ENOENT } from '#sentry/abi/errno.ts';
import { AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_PATH } from '#sentry/abi/fs.ts';
import { MS_PRIVATE, MS_REC } from '#sentry/abi/mount.ts';
import { makeReadOnly, openDetached } from '#gofer/server/roots.ts';
import { close, fchownat, mkdirat, mknodat, openat, openat2, RESOLVE_IN_ROOT } from '#platform/host/files.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import { systemCall } from '#platform/host/setup-calls.ts';
import { emptyFileSystem } from './empty-root.ts';
import type { ConfinementReport } from './report.ts';

const SYS_FCHDIR = 81;
const SYS_PIVOT_ROOT = 155;
const SYS_MOUNT = 165;
const SYS_UMOUNT2 = 166;
const SYS_UNSHARE = 272;
const SYS_SETNS = 308;
const SYS_MOVE_MOUNT = 429;
const CLONE_NEWNS = 0x2_0000;
const MNT_DETACH = 2;
const MOVE_MOUNT_F_EMPTY_PATH = 4;
const MOVE_MOUNT_T_EMPTY_PATH = 0x40;
const S_IFREG = 0o100000;
const AT_EMPTY_PATH = 0x1000;

export interface ContainerView {
  readonly root: ViewedPlace;
  /** In their order. */
  readonly mounts: readonly ViewedMount[];
  /** Of places that are made for them: the container's root. */
  readonly owner: { readonly uid: number; readonly gid: number };
  /** Told of places that were missing and are made. */
  readonly onMade?: (place: string) => void;
}

interface ViewedPlace {
  /** On the host. */
  readonly path: string;
  readonly readOnly: boolean;
}

export interface ViewedMount {
  /** In the container; links in it are followed below its root. */
  readonly place: string;
  /** null: it lies in the sandbox's memory. */
  readonly shows: (ViewedPlace & { readonly recursive: boolean; readonly isDirectory: boolean }) | null;
}

const NAME = 0;
const OPEN_HOW = 4_352;
const memory = allocateMemory(8_192);
memory.view.setBigUint64(OPEN_HOW, BigInt(O_PATH | O_CLOEXEC), true);
memory.view.setBigUint64(OPEN_HOW + 16, BigInt(RESOLVE_IN_ROOT), true);

function textAt(text: string): number {
  memory.view.setUint8(memory.writeLatin1(text, NAME), 0);
  return memory.address + NAME;
}

/** A descriptor of /proc/self/ns, or -errno. */
export function openNamespaces(): number {
  return openat(AT_FDCWD, textAt('/proc/self/ns'), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
}

/** Moves the calling thread into a namespace of its own that shows `view`. Needs CAP_SYS_ADMIN. Closes `namespaces`. */
export function enterContainerView(view: ContainerView, namespaces: number, report: ConfinementReport): void {
  const entered = namespaces < 0 ? namespaces : enterOwnNamespace(namespaces);
  if (namespaces >= 0) close(namespaces);
  if (!report.step('a mount namespace of its own', entered)) return;
  const trees = openTrees(view);
  const root = openDetached(view.root.path, false, AT_RECURSIVE);
  const shown = root < 0 ? root : becomeRoot(root);
  if (!report.step('whose root is that of the container', shown)) report.step('which is empty', becomeRoot(emptyFileSystem()));
  else showMounts(root, view, trees, report);
  for (const fd of [root, ...trees]) if (fd >= 0) close(fd);
}

const AT_RECURSIVE = 0x8000;

/** A copy of the host's namespace, of which nothing leads back: the caller is at its root. 0 or -errno. */
function enterOwnNamespace(namespaces: number): number {
  const unshared = systemCall(SYS_UNSHARE, CLONE_NEWNS);
  if (unshared < 0) return unshared;
  const fd = openat(namespaces, textAt('mnt'), O_CLOEXEC, 0);
  if (fd < 0) return fd;
  // The root directory was given up before. This makes it that of the namespace, from which the host's files can still be named.
  const entered = systemCall(SYS_SETNS, fd, CLONE_NEWNS);
  close(fd);
  return entered < 0 ? entered : systemCall(SYS_MOUNT, 0, textAt('/'), 0, MS_REC | MS_PRIVATE);
}

/** What each mount shows, as a detached mount; -errno where it cannot be had. While the host's names can still be used. */
function openTrees({ mounts }: ContainerView): number[] {
  return mounts.map(({ shows }) =>
    shows === null ? emptyFileSystem() : openDetached(shows.path, shows.readOnly, shows.recursive ? AT_RECURSIVE : 0),
  );
}

/** Makes the detached mount `fd` the root of the namespace and drops everything else in it: 0 or -errno. */
function becomeRoot(fd: number): number {
  if (fd < 0) return fd;
  const old = openat(AT_FDCWD, textAt('/'), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  if (old < 0) return old;
  let result = moveMount(fd, AT_FDCWD, '/', MOVE_MOUNT_F_EMPTY_PATH);
  if (result >= 0) result = systemCall(SYS_FCHDIR, fd);
  // The old root lies on the new one then.
  if (result >= 0) result = systemCall(SYS_PIVOT_ROOT, textAt('.'), textAt('.'));
  if (result >= 0) result = systemCall(SYS_FCHDIR, old);
  if (result >= 0) result = systemCall(SYS_UMOUNT2, textAt('.'), MNT_DETACH);
  if (result >= 0) result = systemCall(SYS_FCHDIR, fd);
  close(old);
  return result;
}

function moveMount(fd: number, directory: number, place: string, flags: number): number {
  const empty = memory.address + OPEN_HOW - 1; // a NUL
  return systemCall(SYS_MOVE_MOUNT, fd, empty, directory, place === '' ? empty : textAt(place), flags);
}

function showMounts(root: number, view: ContainerView, trees: readonly number[], report: ConfinementReport): void {
  let missing = 0;
  view.mounts.forEach(({ place, shows }, i) => {
    const tree = trees[i]!;
    const target = tree < 0 ? tree : reachPlace(root, place, shows === null || shows.isDirectory ? 'directory' : 'file', view);
    const moved = target < 0 ? target : moveMount(tree, target, '', MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    if (target >= 0) close(target);
    if (moved < 0) missing++;
  });
  if (missing > 0) report.lacks(`${missing} of ${trees.length} mounts in it`, 'their places cannot be had');
  if (view.root.readOnly) report.step('and read-only', makeReadOnly(root));
}

/** A descriptor of the place, which is made if it is missing, or -errno. Links lead nowhere but below `root`. */
function reachPlace(root: number, place: string, kind: 'directory' | 'file', { owner, onMade }: ContainerView): number {
  const names = place.split('/').filter((name) => name !== '');
  let parent = root;
  for (let i = 1; i <= names.length; i++) {
    const path = names.slice(0, i).join('/');
    let fd = openat2(root, textAt(path), memory.address + OPEN_HOW);
    if (fd === -ENOENT) {
      const made = make(parent, names[i - 1]!, i === names.length ? kind : 'directory', owner);
      fd = made < 0 ? made : openat2(root, textAt(path), memory.address + OPEN_HOW);
      if (fd >= 0 && i === names.length) onMade?.(place);
    }
    if (parent !== root) close(parent);
    if (fd < 0 || i === names.length) return fd;
    parent = fd;
  }
  return openat(root, textAt('.'), O_PATH | O_CLOEXEC, 0);
}

function make(parent: number, name: string, kind: 'directory' | 'file', { uid, gid }: ContainerView['owner']): number {
  const at = textAt(name);
  const made = kind === 'file' ? mknodat(parent, at, S_IFREG | 0o755, 0) : mkdirat(parent, at, 0o755);
  // A link that leads nowhere, which is left alone.
  if (made < 0) return made === -EEXIST ? -ENOENT : made;
  const fd = openat(parent, at, O_PATH | O_CLOEXEC, 0);
  if (fd < 0) return fd;
  const given = fchownat(fd, memory.address + OPEN_HOW - 1, uid, gid, AT_EMPTY_PATH);
  close(fd);
  return given;
}
