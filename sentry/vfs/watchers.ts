/**
 * File system events (inotify(7)): where the VFS tells what happened to a file, and where those who want to know register.
 *
 *     happened(file.dentry, IN_MODIFY);                        // to the file itself, and to its directory with the file's name
 *     happenedIn(directory, IN_CREATE, name, inode, 0);        // to a name in a directory
 *
 * While nobody in the sandbox watches anything an event costs one comparison. Watchers hang on the inode, so they hear of a file by
 * whatever name it is reached. Linux: include/linux/fsnotify.h.
 */
import { IN_ATTRIB, IN_DELETE, IN_DELETE_SELF, IN_ISDIR, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO } from '#sentry/abi/event-files.ts';
import { emptyAttributes } from '#sentry/abi/stat.ts';
import type { Dentry } from './dentry.ts';
import type { Inode } from './inode.ts';

export interface InodeWatcher {
  /** `name` is '' for the inode itself, else a name in the directory; `unlinked`: the name is gone, the file is only held open. */
  happened(mask: number, cookie: number, name: string, unlinked: boolean): void;
}

const WATCHERS = Symbol('watchers');
/** Watchers in the whole sandbox. */
let watching = 0;
let lastCookie = 0;
const attributes = emptyAttributes();

export function watchInode(inode: Inode, watcher: InodeWatcher): void {
  watching++;
  inode.attachments ??= new Map();
  const watchers = inode.attachments.get(WATCHERS) as Set<InodeWatcher> | undefined;
  if (watchers === undefined) inode.attachments.set(WATCHERS, new Set([watcher]));
  else watchers.add(watcher);
}

export function unwatchInode(inode: Inode, watcher: InodeWatcher): void {
  const watchers = inode.attachments?.get(WATCHERS) as Set<InodeWatcher> | undefined;
  if (watchers === undefined || !watchers.delete(watcher)) return;
  watching--;
  if (watchers.size === 0) inode.attachments!.delete(WATCHERS);
}

/** `mask` happened to the file at `dentry`. */
export function happened(dentry: Dentry, mask: number): void {
  if (watching === 0) return;
  const { inode, parent } = dentry;
  if (inode === null) return;
  const full = inode.isDirectory ? mask | IN_ISDIR : mask;
  const directory = parent?.inode ?? null;
  if (directory !== null) tell(directory, full, 0, dentry.name, dentry.unlinked);
  tell(inode, full, 0, '');
}

/** The same with the result of an operation, which it passes on: only success is told. */
export function happenedIf(dentry: Dentry, mask: number, result: number): number {
  if (watching !== 0 && result >= 0) happened(dentry, mask);
  return result;
}

/** `mask` happened to a name in a directory. */
export function happenedIn(directory: Dentry, mask: number, name: string, isDirectory: boolean): void {
  if (watching === 0 || directory.inode === null) return;
  tell(directory.inode, isDirectory ? mask | IN_ISDIR : mask, 0, name);
}

/** `inode` has another name. */
export function linked(inode: Inode): void {
  if (watching !== 0) tell(inode, IN_ATTRIB, 0, '');
}

/** `name` was taken out of `directory`; it was `inode`'s. */
export function removed(directory: Dentry, name: string, inode: Inode): void {
  if (watching === 0) return;
  lostName(inode);
  happenedIn(directory, IN_DELETE, name, inode.isDirectory);
}

/** A name of `inode` is gone: there is one link less, or it was the last. */
function lostName(inode: Inode): void {
  if (inode.attachments?.has(WATCHERS) !== true) return;
  const isGone = inode.isDirectory || inode.getattr(attributes) < 0 || attributes.nlink === 0;
  if (!inode.isDirectory) tell(inode, IN_ATTRIB, 0, '');
  if (isGone) tell(inode, IN_DELETE_SELF, 0, '');
}

/** `moved` was `oldName` in `from` and is `newName` in `to` now, where it replaced `replaced`. */
export function renamed(from: Dentry, oldName: string, to: Dentry, newName: string, moved: Inode, replaced: Inode | null): void {
  if (watching === 0) return;
  const cookie = ++lastCookie;
  const kind = moved.isDirectory ? IN_ISDIR : 0;
  if (from.inode !== null) tell(from.inode, IN_MOVED_FROM | kind, cookie, oldName);
  if (to.inode !== null) tell(to.inode, IN_MOVED_TO | kind, cookie, newName);
  if (replaced !== null) lostName(replaced);
  tell(moved, IN_MOVE_SELF, 0, '');
}

function tell(inode: Inode, mask: number, cookie: number, name: string, unlinked = false): void {
  const watchers = inode.attachments?.get(WATCHERS) as Set<InodeWatcher> | undefined;
  if (watchers === undefined) return;
  for (const watcher of watchers) watcher.happened(mask, cookie, name, unlinked);
}
