/**
 * What a walk learns of components that it has not come to yet: a file system that asks somebody far away (the gofer) is offered the rest of the
 * path with the first name that it does not know, and answers for several at once. The walk still takes each step by itself, with its checks.
 *
 *     ahead.ask(directory, name, path, at, caller);     // `name`, and what follows in `path` from `at` on
 *     ahead.take(directory, name);                      // for one component after the other: an inode, -errno, or null
 *     ahead.drop();                                     // the walk went another way, or is over
 *
 * The answers are good for this walk only, also on file systems that others change.
 */
import { NAME_MAX } from '#sentry/abi/fs.ts';
import { LOOK_AHEAD_NAMES_MAX } from '../limits.ts';
import type { Caller, Inode } from './inode.ts';

const SLASH = 47;

export class LookAhead {
  private readonly found: (Inode | number)[] = [];
  private names: string[] = [];
  /** The next answer, and the directory that it is about. */
  private next = 0;
  private directory: Inode | null = null;

  /** Offers a path. Whether there are answers. */
  ask(directory: Inode, name: string, path: string, at: number, caller: Caller): boolean {
    this.drop();
    const names = [name];
    collectNames(path, at, names);
    if (names.length === 1) return false;
    directory.lookupAhead(names, caller, this.found);
    this.names = names;
    this.directory = directory;
    return this.found.length > 0;
  }

  take(directory: Inode, name: string): Inode | number | null {
    const { next } = this;
    const found = this.found[next];
    if (found === undefined) return null;
    if (this.directory !== directory || this.names[next] !== name) {
      this.drop();
      return null;
    }
    this.next = next + 1;
    this.directory = typeof found === 'number' ? null : found;
    return found;
  }

  /** Lets go of answers that nobody came for. */
  drop(): void {
    const { found } = this;
    if (found.length === 0) return;
    // From the end: an inode may hold those before it.
    for (let i = found.length - 1; i >= this.next; i--) {
      const inode = found[i]!;
      if (typeof inode === 'number') continue;
      inode.acquire();
      inode.release();
    }
    found.length = 0;
    this.next = 0;
    this.directory = null;
  }
}

/** Appends the components of `path` from `at` on, up to the first that is not simply a name. */
function collectNames(path: string, at: number, names: string[]): void {
  for (let start = at; start < path.length && names.length < LOOK_AHEAD_NAMES_MAX; ) {
    let end = path.indexOf('/', start);
    if (end < 0) end = path.length;
    const name = path.slice(start, end);
    if (name === '.' || name === '..' || name.length > NAME_MAX) return;
    names.push(name);
    start = end;
    while (path.charCodeAt(start) === SLASH) start++;
  }
}
