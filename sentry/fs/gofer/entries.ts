/**
 * The entries of a directory in its order, found by name. Whoever lists a directory mostly looks its names up in that order, too, so the next name
 * is tried first; a hash table is made only when somebody looks about.
 *
 * A removed entry leaves a gap (its attributes are null), so that indices stay valid for those who are reading; when there are many gaps, new
 * arrays take the place of the old ones, which such readers keep.
 */
import type { Attributes } from '#gofer/protocol/attributes.ts';
import type { DirectoryEntries } from '#gofer/protocol/messages.ts';

/** So few names are searched without a table. */
const FEW = 8;
/** Gaps that are not worth closing. */
const GAPS_MIN = 32;

export class Entries {
  names: string[];
  attributes: (Attributes | null)[];
  /** Where links point, as far as it was told. */
  private targets: Map<string, string> | null = null;
  /** Entries that are not gaps. */
  size: number;
  private table: Map<string, number> | null = null;
  /** Where the next name is expected. */
  private next = 0;

  constructor(told: DirectoryEntries | null = null) {
    // A reply's arrays are nobody else's.
    this.names = (told?.names ?? []) as string[];
    this.attributes = (told?.attributes ?? []) as Attributes[];
    this.size = this.names.length;
    if (told !== null && told.targets.size > 0) this.targets = told.targets as Map<string, string>;
  }

  /** Appends what another reply told. */
  append({ names, attributes, targets }: DirectoryEntries): void {
    for (let i = 0; i < names.length; i++) {
      this.names.push(names[i]!);
      this.attributes.push(attributes[i]!);
    }
    this.size += names.length;
    this.table = null;
    if (targets.size === 0) return;
    this.targets ??= new Map();
    for (const [name, target] of targets) this.targets.set(name, target);
  }

  /** Where the link `name` points, or null if that is not known. */
  targetOf(name: string): string | null {
    return this.targets?.get(name) ?? null;
  }

  /** The index of `name`, or -1. */
  indexOf(name: string): number {
    const { names, next } = this;
    let found = next;
    if (names[next] !== name || this.attributes[next] === null) {
      found = names.length <= FEW ? this.search(name) : (this.tableOf().get(name) ?? -1);
    }
    if (found >= 0) this.next = found + 1;
    return found;
  }

  private search(name: string): number {
    const { names, attributes } = this;
    for (let i = 0; i < names.length; i++) if (names[i] === name && attributes[i] !== null) return i;
    return -1;
  }

  private tableOf(): Map<string, number> {
    if (this.table !== null) return this.table;
    this.table = new Map();
    for (let i = 0; i < this.names.length; i++) if (this.attributes[i] !== null) this.table.set(this.names[i]!, i);
    return this.table;
  }

  get(name: string): Attributes | undefined {
    const index = this.indexOf(name);
    return index < 0 ? undefined : this.attributes[index]!;
  }

  has(name: string): boolean {
    return this.indexOf(name) >= 0;
  }

  /** Whether the name is new. */
  set(name: string, attributes: Attributes): boolean {
    this.targets?.delete(name);
    const index = this.indexOf(name);
    if (index >= 0) {
      this.attributes[index] = attributes;
      return false;
    }
    this.names.push(name);
    this.attributes.push(attributes);
    this.size++;
    this.table?.set(name, this.names.length - 1);
    return true;
  }

  /** Whether there was such a name. */
  delete(name: string): boolean {
    const index = this.indexOf(name);
    if (index < 0) return false;
    this.attributes[index] = null;
    this.targets?.delete(name);
    this.size--;
    this.table?.delete(name);
    if (this.names.length - this.size > GAPS_MIN + this.size) this.closeGaps();
    return true;
  }

  private closeGaps(): void {
    const { attributes } = this;
    this.names = this.names.filter((_, i) => attributes[i] !== null);
    this.attributes = attributes.filter((each) => each !== null);
    this.table = null;
    this.next = 0;
  }
}
