/**
 * Which directories one message lists (directories-ahead.ts): those of which nothing is known, in the order in which somebody who goes through the
 * tree depth first will come to them, as far as listings are known.
 *
 *     const wanted = new WantedDirectories(64);
 *     wanted.start(directory, above, listing);          // one that is needed now
 *     wanted.addNeighbours(directory, above, listing);  // and those beside it
 *     wanted.gather(directory);                         // what lies below it, then what comes behind it, and behind the one above …
 */
import { S_IFDIR, S_IFMT } from '#sentry/abi/fs.ts';
import type { Attributes } from '#gofer/protocol/attributes.ts';
import { NAMES_MAX, TREE_DIRECTORY_SIZE_MAX, TREE_GROUPS_MAX } from '#gofer/protocol/limits.ts';
import type { TreeGroup } from '#gofer/protocol/messages.ts';
import type { GoferInode } from './inode.ts';
import type { Listing } from './listings.ts';

/** How many known entries are passed over in search of unknown directories, and how deep below a live one. */
const PASSED_ENTRIES_MAX = 4_096;
const GATHERED_DEPTH_MAX = 16;

export interface WantedGroup extends TreeGroup {
  readonly listing: Listing;
  readonly directories: string[];
}

export class WantedDirectories {
  readonly groups: WantedGroup[] = [];
  private left: number;
  private passed = 0;

  constructor(directories: number) {
    this.left = directories;
  }

  /** `directory`, whose parent is listed. Whether it can be asked for. */
  start(directory: GoferInode, above: GoferInode, listing: Listing): boolean {
    if (!this.begin(above, listing, [])) return false;
    this.add(directory.name);
    return true;
  }

  /** After `start`: those behind it, and those before it, for whoever looks about in no order. */
  addNeighbours(directory: GoferInode, above: GoferInode, listing: Listing): void {
    const { names, attributes } = listing.entries;
    for (let i = 0; i < names.length && this.left > 0; i++) {
      const index = (listing.cursor + i) % names.length;
      const name = names[index]!;
      if (isListable(attributes[index]) && listingOf(above, listing, name) === null && name !== directory.name) this.add(name);
    }
  }

  /** What lies below `directory`; then, level by level, what lies behind it. */
  gather(directory: GoferInode): void {
    if (directory.listing !== null && !this.visit(directory, directory.listing, [], 0)) return;
    let { name, parent } = directory;
    for (let listing = parent?.listing ?? null; parent !== null && listing !== null; listing = parent?.listing ?? null) {
      if (!this.visit(parent, listing, [], listing.entries.indexOf(name) + 1)) return;
      ({ name, parent } = parent);
    }
  }

  /** The directory that `path` leads to from the live `base`, from entry `first` on. False when enough was found. */
  private visit(base: GoferInode, listing: Listing, path: readonly string[], first: number): boolean {
    const { names, attributes } = listing.entries;
    const live = path.length === 0 ? base : null;
    let begun = false;
    this.passed += names.length - first;
    if (this.passed > PASSED_ENTRIES_MAX) return false;
    for (let i = first; i < names.length; i++) {
      if (!isListable(attributes[i])) continue;
      const name = names[i]!;
      const known = listingOf(live, listing, name);
      if (known !== null) {
        begun = false;
        const child = live?.children?.get(name);
        const goesOn = child === undefined ? this.visitBelow(base, known, [...path, name]) : this.visit(child, known, [], 0);
        if (!goesOn) return false;
        continue;
      }
      if (this.left === 0 || (!begun && !this.begin(base, listing, path))) return false;
      begun = true;
      this.add(name);
    }
    return true;
  }

  private visitBelow(base: GoferInode, listing: Listing, path: readonly string[]): boolean {
    return path.length <= GATHERED_DEPTH_MAX && this.visit(base, listing, path, 0);
  }

  /** The directories that are added next lie in this one. */
  private begin(base: GoferInode, listing: Listing, path: readonly string[]): boolean {
    const names: string[] = [];
    const fid = base.pathFrom(names);
    if (fid === 0 || names.length + path.length > NAMES_MAX || this.groups.length === TREE_GROUPS_MAX) return false;
    this.groups.push({ fid, names: [...names, ...path], directories: [], listing });
    return true;
  }

  private add(name: string): void {
    this.left--;
    this.groups.at(-1)!.directories.push(name);
  }
}

/** Not one that is too large for a message. */
function isListable(entry: Attributes | null | undefined): boolean {
  return (
    entry !== null && entry !== undefined && entry.mask !== 0 && (entry.mode & S_IFMT) === S_IFDIR && entry.size <= TREE_DIRECTORY_SIZE_MAX
  );
}

/** What is known of `name` in the directory of `listing`, which is `live` if that is. */
function listingOf(live: GoferInode | null, listing: Listing, name: string): Listing | null {
  return live?.children?.get(name)?.listing ?? listing.below?.get(name) ?? null;
}
