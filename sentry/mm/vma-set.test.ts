/** The set of areas: random changes against a model that keeps one entry for each page, with sets that fork shares. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { MAP_PRIVATE, MAP_SHARED, PAGE_SIZE, PROT_READ, PROT_WRITE } from '#sentry/abi/mman.ts';
import type { MappedFile } from './mapped-file.ts';
import { VmaSet } from './vma-set.ts';
import { DONTFORK, committedIn, isPrivateData } from './vma.ts';

const PAGES = 24;

class CountedFile implements MappedFile {
  readonly readable = true;
  readonly writable = true;
  readonly refusesSharedWrites = false;
  readonly inode = { ino: 1, fileSystem: { device: 1 } };
  references = 0;
  sharedMappings = 0;

  mappable(): number {
    return -1;
  }
  noteSharedMapping(change: 1 | -1): void {
    this.sharedMappings += change;
  }
  acquire(): void {
    this.references++;
  }
  release(): void {
    this.references--;
  }
}

interface Page {
  readonly protection: number;
  readonly flags: number;
  readonly file: MappedFile | null;
  readonly offset: number;
  readonly locked: boolean;
  readonly dontFork: boolean;
}

/** A set and what every page of it should be. */
interface World {
  readonly set: VmaSet;
  readonly pages: (Page | null)[];
}

interface Step {
  readonly kind: 'map' | 'unmap' | 'protect' | 'lock' | 'dontFork' | 'fork' | 'end';
  readonly which: number;
  readonly from: number;
  readonly count: number;
  readonly protection: number;
  readonly what: number;
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom('map', 'map', 'map', 'unmap', 'protect', 'protect', 'lock', 'dontFork', 'fork', 'end'),
  which: fc.nat(7),
  from: fc.nat(PAGES - 1),
  count: fc.integer({ min: 1, max: 8 }),
  protection: fc.constantFrom(0, PROT_READ, PROT_READ | PROT_WRITE),
  what: fc.nat(3),
});

function pageOf(set: VmaSet, page: number): Page | null {
  const area = set.find(page * PAGE_SIZE);
  if (area === undefined) return null;
  const { protection, flags, file, locked, forkAdvice } = area;
  const offset = file === null ? 0 : area.offset + page * PAGE_SIZE - area.start;
  return { protection, flags, file, offset, locked, dontFork: forkAdvice === DONTFORK };
}

function check({ set, pages }: World): void {
  expect(pages.map((_, page) => pageOf(set, page))).toEqual(pages);
  let end = 0;
  let total = 0;
  let data = 0;
  let committed = 0;
  for (const [i, area] of set.all.entries()) {
    expect(area.start).toBeGreaterThanOrEqual(end);
    expect(area.end).toBeGreaterThan(area.start);
    const next = set.at(i + 1);
    if (next !== undefined) expect(area.continuesIn(next)).toBe(false);
    end = area.end;
    total += area.end - area.start;
    committed += committedIn(area);
    if (isPrivateData(area)) data += area.end - area.start;
  }
  expect([set.totalBytes, set.dataBytes, set.committedBytes]).toEqual([total, data, committed]);
}

class Worlds {
  readonly files = [new CountedFile(), new CountedFile()];
  private readonly all: World[] = [{ set: new VmaSet(), pages: Array.from({ length: PAGES }, () => null) }];

  apply({ kind, which, from, count, protection, what }: Step): void {
    const world = this.all[which % this.all.length]!;
    const last = Math.min(from + count, PAGES);
    const start = from * PAGE_SIZE;
    const end = last * PAGE_SIZE;
    const change = (edit: (page: Page) => Page): void => {
      for (let i = from; i < last; i++) if (world.pages[i] !== null) world.pages[i] = edit(world.pages[i]!);
    };
    if (kind === 'map') this.map(world, from, last, protection, what);
    else if (kind === 'unmap') {
      world.set.remove(start, end);
      world.pages.fill(null, from, last);
    } else if (kind === 'protect') {
      world.set.protect(start, end, protection);
      change((page) => ({ ...page, protection }));
    } else if (kind === 'lock') {
      world.set.update(start, end, (area) => {
        area.locked = what > 0;
      });
      change((page) => ({ ...page, locked: what > 0 }));
    } else if (kind === 'dontFork') {
      world.set.update(start, end, (area) => {
        area.forkAdvice = what > 1 ? DONTFORK : 0;
      });
      change((page) => ({ ...page, dontFork: what > 1 }));
    } else if (kind === 'fork') this.fork(world);
    else this.end(world);
  }

  /** Compares every set with its model, ends it, and returns what is left of the files' references. */
  finish(): number[] {
    for (const world of this.all) check(world);
    while (this.all.length > 0) this.all.pop()!.set.clear();
    return this.files.flatMap(({ references, sharedMappings }) => [references, sharedMappings]);
  }

  private map({ set, pages }: World, from: number, last: number, protection: number, what: number): void {
    const file = this.files[what] ?? null;
    const flags = what === 1 ? MAP_SHARED : MAP_PRIVATE;
    set.remove(from * PAGE_SIZE, last * PAGE_SIZE);
    set.add(from * PAGE_SIZE, last * PAGE_SIZE, protection, flags, file, file === null ? 0 : from * PAGE_SIZE, '', null, false);
    for (let i = from; i < last; i++)
      pages[i] = { protection, flags, file, offset: file === null ? 0 : i * PAGE_SIZE, locked: false, dontFork: false };
  }

  private fork({ set, pages }: World): void {
    if (this.all.length === 8) return;
    const inherited = pages.map((page) => (page === null || page.dontFork ? null : { ...page, locked: false }));
    this.all.push({ set: set.fork(), pages: inherited });
  }

  private end(world: World): void {
    if (this.all.length === 1) return;
    world.set.clear();
    this.all.splice(this.all.indexOf(world), 1);
  }
}

test('whatever is mapped, changed, forked and ended, sets keep to the model and files get their references back', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const worlds = new Worlds();
      for (const one of steps) worlds.apply(one);
      expect(worlds.finish()).toEqual([0, 0, 0, 0]);
    }),
    { numRuns: 300 },
  );
});

test('fork shares areas until one of the two changes them', () => {
  const set = new VmaSet();
  set.add(0, PAGE_SIZE, PROT_READ, MAP_PRIVATE, null, 0, '', null, false);
  const child = set.fork();
  expect(child.at(0)).toBe(set.at(0));
  child.protect(0, PAGE_SIZE, 0);
  expect(set.at(0)!.protection).toBe(PROT_READ);
  expect(child.at(0)!.protection).toBe(0);
});

test('a heap that grows stays one area', () => {
  const set = new VmaSet();
  for (let page = 0; page < 100; page++) {
    const start = page * PAGE_SIZE;
    set.add(start, start + PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, null, 0, '[heap]', null, false);
  }
  expect(set.all.length).toBe(1);
  expect(set.committedBytes).toBe(100 * PAGE_SIZE);
});
