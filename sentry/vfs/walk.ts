/**
 * Path walking (path_resolution(7), openat2(2)): from a string to a dentry seen through a mount.
 *
 *     const walk = firstWalk.begin(caller, start, flags);
 *     let error = walk.toParent(path);          // all but the last component; walk.dentry is the directory, walk.last the name
 *     error = walk.toEnd(path);                 // everything; walk.dentry is the place, never negative
 *
 * The two `Walk` objects are reused for ever, so a walk over cached dentries allocates nothing but the component strings. Symbolic links
 * are followed by putting their text in front of what remains of the path. Nothing here may call back into a walk.
 *
 * Order of errors as Linux: search permission of a directory comes before the look at the name in it; ENAMETOOLONG of a component comes
 * from the look-up. Model: Linux fs/namei.c link_path_walk, step_into, pick_link.
 */
import { EACCES, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, EXDEV } from '#sentry/abi/errno.ts';
import { NAME_MAX, PATH_MAX, S_IFDIR, S_IFLNK, S_IFMT, SYMLINKS_MAX, X_OK } from '#sentry/abi/fs.ts';
import type { DentryCache } from './dentry-cache.ts';
import type { Dentry } from './dentry.ts';
import type { FsContext } from './fs-context.ts';
import { PEEK_UNKNOWN } from './inode.ts';
import type { Caller, Inode, Stat } from './inode.ts';
import { ANONYMOUS_MOUNT } from './anonymous-mount.ts';
import type { Mount, Path } from './mount.ts';
import { LookAhead } from './look-ahead.ts';
import { mayFollow, permission } from './permission.ts';

/** Who walks. The kernel's task satisfies this. */
export interface VfsCaller extends Caller {
  readonly fs: FsContext;
}

/** Follow a symbolic link in the last component. */
export const WALK_FOLLOW = 1;
/** An empty path means the start itself (AT_EMPTY_PATH). */
export const WALK_EMPTY = 2;
/** The result must be a directory. */
export const WALK_DIRECTORY = 4;
/** openat2(2)'s RESOLVE_* as walk flags: the same bits, shifted. */
export const WALK_RESOLVE_SHIFT = 8;
export const WALK_NO_XDEV = 0x01 << WALK_RESOLVE_SHIFT;
export const WALK_NO_MAGICLINKS = 0x02 << WALK_RESOLVE_SHIFT;
export const WALK_NO_SYMLINKS = 0x04 << WALK_RESOLVE_SHIFT;
export const WALK_BENEATH = 0x08 << WALK_RESOLVE_SHIFT;
export const WALK_IN_ROOT = 0x10 << WALK_RESOLVE_SHIFT;

/** What the last component of `toParent` is. */
export const LastType = { Name: 0, Dot: 1, DotDot: 2, Root: 3 } as const;
export type LastType = (typeof LastType)[keyof typeof LastType];

const SLASH = 47;
const DOT = 46;

export class Walk {
  // Where the walk is. Valid after a walk that returned 0.
  mount: Mount = ANONYMOUS_MOUNT;
  dentry: Dentry = ANONYMOUS_MOUNT.root;
  /** After `toParent`: the last component, its kind, and whether slashes follow it. */
  last = '';
  lastType: LastType = LastType.Root;
  trailing = false;

  caller!: VfsCaller;
  private flags = 0;
  private cache!: DentryCache;
  private rootMount: Mount = ANONYMOUS_MOUNT;
  private rootDentry: Dentry = ANONYMOUS_MOUNT.root;
  private links = 0;
  /** What remains of the path behind the component being looked up: `rest` from `restAt` on. */
  private rest = '';
  private restAt = 0;
  private readonly ahead = new LookAhead();

  /** Prepares a walk from `start` (null: the working directory). */
  begin(caller: VfsCaller, start: Path | null, flags: number): this {
    const { fs } = caller;
    const from = start ?? fs.cwd;
    const root = (flags & (WALK_BENEATH | WALK_IN_ROOT)) !== 0 ? from : fs.root;
    const { vfs } = fs.namespace;
    vfs.beforeWalk?.();
    this.caller = caller;
    this.flags = flags;
    this.cache = vfs.cache;
    this.links = 0;
    this.mount = from.mount;
    this.dentry = from.dentry;
    this.rootMount = root.mount;
    this.rootDentry = root.dentry;
    this.ahead.drop();
    this.cache.trim();
    return this;
  }

  /** Walks the whole path. */
  toEnd(path: string): number {
    if (path === '') return (this.flags & WALK_EMPTY) !== 0 ? 0 : -ENOENT;
    const error = this.toParent(path);
    return error < 0 ? error : this.fromParent();
  }

  /** After `toAttributes`: the place whose attributes they are; null: one without a dentry, so nothing is mounted there. */
  arrived: Dentry | null = null;

  /** Attributes of what the path leads to: 0 or -errno. Afterwards `mount` is the one it lies on, but only `arrived` tells where the walk is. */
  toAttributes(path: string, into: Stat): number {
    const error = path === '' ? this.toEnd(path) : this.toParent(path);
    if (error < 0) return error;
    if (path !== '') {
      this.arrived = null;
      const peeked = this.peekLast(into);
      if (peeked !== PEEK_UNKNOWN) return peeked;
      const walked = this.fromParent();
      if (walked < 0) return walked;
    }
    this.arrived = this.dentry;
    return this.dentry.inode!.getattr(into);
  }

  /** Looks at a last component that nobody has looked up yet. */
  private peekLast(into: Stat): number {
    const { last, dentry } = this;
    if (this.lastType !== LastType.Name || this.trailing || (this.flags & WALK_DIRECTORY) !== 0 || last.length > NAME_MAX)
      return PEEK_UNKNOWN;
    const inode = dentry.inode!;
    if (!(inode.fileSystem.cacheable || inode.generation > 0) || dentry.unlinked || dentry.children?.has(last) === true)
      return PEEK_UNKNOWN;
    const result = inode.peek(last, into);
    const isFollowed = result === 0 && (this.flags & WALK_FOLLOW) !== 0 && (into.mode & S_IFMT) === S_IFLNK;
    return isFollowed ? PEEK_UNKNOWN : result;
  }

  /** From where `toParent` got to through the last component, and along links if it is one. */
  private fromParent(): number {
    for (;;) {
      const mustFollow = this.trailing || (this.flags & WALK_FOLLOW) !== 0;
      const stepped = this.stepLast();
      if (stepped < 0) return stepped;
      let rest: string | null = null;
      if (mustFollow && isLink(this.dentry.inode!)) {
        const text = this.followLast();
        if (typeof text === 'number') {
          if (text < 0) return text;
        } else {
          rest = this.trailing ? `${text}/` : text;
        }
      }
      if (rest === null) {
        const mustBeDirectory = this.trailing || (this.flags & WALK_DIRECTORY) !== 0;
        return mustBeDirectory && !isDirectory(this.dentry.inode) ? -ENOTDIR : 0;
      }
      const error = this.toParent(rest);
      if (error < 0) return error;
    }
  }

  /** Directory in which `stepLast` found its name. */
  linkDirectory: Dentry = ANONYMOUS_MOUNT.root;

  /** From the parent into the last component, without following a link. Afterwards `dentry` is never negative. */
  private stepLast(): number {
    this.linkDirectory = this.dentry;
    switch (this.lastType) {
      case LastType.Name:
        return this.stepInto(this.last);
      case LastType.DotDot:
        return this.stepUp();
      default:
        return 0;
    }
  }

  /** Follows the link at which `stepLast` or the caller arrived; `linkDirectory` is where it lies. */
  followLast(): string | number {
    if (!mayFollow(this.caller.credentials, this.linkDirectory.inode!, this.dentry.inode!)) return -EACCES;
    return this.followLink(this.linkDirectory);
  }

  /** Walks all but the last component, from where the walk is now. Sets `last`, `lastType`, `trailing`. */
  toParent(path: string): number {
    if (path === '') return -ENOENT;
    if (path.length >= PATH_MAX) return -ENAMETOOLONG;
    let rest = path;
    let at = 0;
    this.trailing = false;
    if (rest.charCodeAt(0) === SLASH) {
      const error = this.jumpToRoot();
      if (error < 0) return error;
      at = skipSlashes(rest, 1);
      if (at === rest.length) {
        this.last = '';
        this.lastType = LastType.Root;
        return 0;
      }
    } else if (!isDirectory(this.dentry.inode)) {
      return -ENOTDIR;
    }
    for (;;) {
      const error = permission(this.caller.credentials, this.dentry.inode!, X_OK);
      if (error < 0) return error;
      let end = rest.indexOf('/', at);
      if (end < 0) end = rest.length;
      const next = skipSlashes(rest, end);
      if (next === rest.length) {
        this.last = at === 0 && end === rest.length ? rest : rest.slice(at, end);
        this.lastType = lastTypeOf(rest, at, end);
        this.trailing = next > end;
        this.rest = '';
        this.restAt = 0;
        return 0;
      }
      this.rest = rest;
      this.restAt = next;
      const text = this.stepMiddle(rest, at, end);
      if (typeof text === 'number') {
        if (text < 0) return text;
        at = next;
      } else {
        rest = `${text}/${rest.slice(next)}`;
        at = skipSlashes(rest, 0);
        if (at > 0) {
          const jumped = this.jumpToRoot();
          if (jumped < 0) return jumped;
        }
      }
      if (!isDirectory(this.dentry.inode)) return -ENOTDIR;
    }
  }

  /** One component that is not the last: 0, -errno, or the text of a link to walk first. */
  private stepMiddle(path: string, start: number, end: number): number | string {
    if (path.charCodeAt(start) === DOT) {
      if (end - start === 1) return 0;
      if (end - start === 2 && path.charCodeAt(start + 1) === DOT) return this.stepUp();
    }
    const directory = this.dentry;
    // Most paths go where the last one through this directory went.
    let child: Dentry | number | null = directory.inode!.fileSystem.cacheable ? directory.latestCalled(path, start, end) : null;
    if (child === null) {
      child = this.child(path.slice(start, end));
      if (typeof child !== 'number') directory.latest = child;
    }
    const error = this.enter(child);
    if (error < 0) return error;
    return isLink(this.dentry.inode!) ? this.followLink(directory) : 0;
  }

  /** Into the child `name` and through what is mounted on it. -ENOENT when there is none. */
  private stepInto(name: string): number {
    return this.enter(this.child(name));
  }

  private enter(child: Dentry | number): number {
    if (typeof child === 'number') return child;
    if (child.inode === null) return -ENOENT;
    this.dentry = child;
    return child.mountCount === 0 ? 0 : this.descendMounts();
  }

  /** The dentry called `name` in the directory where the walk is; negative when there is no such file. */
  child(name: string): Dentry | number {
    const directory = this.dentry;
    const known = directory.children?.get(name);
    if (known !== undefined) {
      const { generation, fileSystem } = directory.inode!;
      const { cacheable, asksFar } = fileSystem;
      // Linux: a mount goes when somebody else removes its place. Here it stays, and every path through it is spared a question.
      if (cacheable || (asksFar && known.mountCount > 0) || (generation > 0 && known.checked === generation)) {
        known.used = true;
        return known;
      }
    }
    return this.lookUp(directory, name, known);
  }

  private lookUp(directory: Dentry, name: string, known: Dentry | undefined): Dentry | number {
    if (name.length > NAME_MAX) return -ENAMETOOLONG;
    const inode = directory.inode!;
    if (directory.unlinked && inode.fileSystem.cacheable) return -ENOENT;
    const found = inode.fileSystem.asksFar ? this.lookFar(inode, name) : inode.lookup(name, this.caller);
    // A directory that went away by itself may have an error of its own: ESRCH of a process that has ended.
    if (directory.unlinked) return typeof found === 'number' ? found : -ENOENT;
    if (typeof found === 'number') {
      if (found !== -ENOENT) return found;
      if (known !== undefined) {
        if (known.inode === null) return lookedUp(known, inode);
        this.cache.drop(known);
      }
      return lookedUp(this.cache.add(directory, name, null), inode);
    }
    if (known !== undefined) {
      if (isSameFile(known, found)) {
        known.used = true;
        return lookedUp(known, inode);
      }
      this.cache.drop(known);
    }
    return lookedUp(this.cache.add(directory, name, found), inode);
  }

  /** A look-up that may be answered already, together with one before it. */
  private lookFar(inode: Inode, name: string): Inode | number {
    const { ahead, rest, restAt, caller } = this;
    const known = ahead.take(inode, name);
    if (known !== null) return known;
    if (restAt < rest.length && ahead.ask(inode, name, rest, restAt, caller)) return ahead.take(inode, name) ?? inode.lookup(name, caller);
    return inode.lookup(name, caller);
  }

  /** To the topmost mount at the current place. */
  descendMounts(): number {
    for (;;) {
      if (this.dentry.mountCount === 0) return 0;
      const mounted = this.mount.children.get(this.dentry);
      if (mounted === undefined) return 0;
      if ((this.flags & WALK_NO_XDEV) !== 0) return -EXDEV;
      this.mount = mounted;
      this.dentry = mounted.root;
    }
  }

  /** '..' */
  private stepUp(): number {
    if (this.dentry === this.rootDentry && this.mount === this.rootMount) {
      return (this.flags & WALK_BENEATH) !== 0 ? -EXDEV : 0;
    }
    while (this.dentry === this.mount.root) {
      const { parent, mountpoint } = this.mount;
      if (parent === null || mountpoint === null) return 0;
      if ((this.flags & WALK_NO_XDEV) !== 0) return -EXDEV;
      this.mount = parent;
      this.dentry = mountpoint;
      if (mountpoint === this.rootDentry && parent === this.rootMount) return this.descendMounts();
    }
    this.dentry = this.dentry.parent ?? this.dentry;
    return this.dentry.mountCount === 0 ? 0 : this.descendMounts();
  }

  private jumpToRoot(): number {
    if ((this.flags & WALK_BENEATH) !== 0) return -EXDEV;
    if ((this.flags & WALK_NO_XDEV) !== 0 && this.mount !== this.rootMount) return -EXDEV;
    this.mount = this.rootMount;
    this.dentry = this.rootDentry;
    return this.dentry.mountCount === 0 ? 0 : this.descendMounts();
  }

  /**
   * Follows the link at which the walk is, found in `directory`. Returns its text, with the walk back in `directory`; or 0 after a magic link
   * (the walk is where it leads); or -errno.
   */
  private followLink(directory: Dentry): string | number {
    if (++this.links > SYMLINKS_MAX) return -ELOOP;
    const { caller } = this;
    const inode = this.dentry.inode!;
    if ((this.flags & WALK_NO_SYMLINKS) !== 0) return -ELOOP;
    const magic = inode.followMagic(caller);
    if (magic !== null) {
      if (typeof magic === 'number') return magic;
      if ((this.flags & WALK_NO_MAGICLINKS) !== 0) return -ELOOP;
      if ((this.flags & (WALK_BENEATH | WALK_IN_ROOT)) !== 0) return -EXDEV;
      this.mount = magic.mount ?? ANONYMOUS_MOUNT;
      this.dentry = magic.dentry;
      return 0;
    }
    const text = inode.readlink(caller);
    if (text === '') return -ENOENT;
    this.dentry = directory;
    return text;
  }
}

/** A walk for calls with one path, and one more for those with two. */
export const firstWalk = new Walk();
export const secondWalk = new Walk();

/** The place `path` leads to. The result stays valid until the next walk but one, unless its mount and dentry are acquired. */
export function resolve(caller: VfsCaller, start: Path | null, path: string, flags: number): Path | number {
  const walk = firstWalk.begin(caller, start, flags);
  const error = walk.toEnd(path);
  return error < 0 ? error : { mount: walk.mount, dentry: walk.dentry };
}

function skipSlashes(path: string, at: number): number {
  let i = at;
  while (path.charCodeAt(i) === SLASH) i++;
  return i;
}

function lastTypeOf(path: string, start: number, end: number): LastType {
  if (path.charCodeAt(start) !== DOT) return LastType.Name;
  if (end - start === 1) return LastType.Dot;
  return end - start === 2 && path.charCodeAt(start + 1) === DOT ? LastType.DotDot : LastType.Name;
}

/** `dentry` has just been looked up in `directory`. */
function lookedUp(dentry: Dentry, directory: Inode): Dentry {
  dentry.checked = directory.generation;
  return dentry;
}

function isDirectory(inode: Inode | null): boolean {
  return inode !== null && (inode.mode & S_IFMT) === S_IFDIR;
}

function isLink(inode: Inode): boolean {
  return (inode.mode & S_IFMT) === S_IFLNK;
}

/** Whether a dentry of a file system that changes behind our back still stands for what a fresh look-up found. */
function isSameFile(known: Dentry, found: Inode): boolean {
  const { inode } = known;
  if (inode === found) return true;
  return inode !== null && isDirectory(inode) && isDirectory(found) && inode.ino === found.ino;
}
