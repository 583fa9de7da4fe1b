/** Programs that go through trees: what they cost, and that reading ahead shows them nothing that is not so. */
import { linkSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ENODATA, ENOENT, ESTALE } from '#sentry/abi/errno.ts';
import { O_APPEND, O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY, SEEK_END } from '#sentry/abi/fs.ts';
import { emptyAttributes } from '#sentry/abi/stat.ts';
import type { Attributes } from '#gofer/protocol/attributes.ts';
import { Fetch, fetchedExtent, Tree } from '#gofer/protocol/messages.ts';
import { Fixture, realHost } from '../../../test/unit/gofer-fixture.ts';
import * as attributesOf from '../../vfs/attributes.ts';
import * as names from '../../vfs/operations.ts';
import { rename } from '../../vfs/rename.ts';
import { resolve } from '../../vfs/walk.ts';
import * as xattr from '../../vfs/xattr.ts';
import { Contents } from './contents.ts';
import { Entries } from './entries.ts';
import { Listings } from './listings.ts';
import type { Listed } from './listings.ts';

let root: string;
let fixture: Fixture;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'read-ahead-'));
  for (let d = 0; d < 30; d++) {
    mkdirSync(join(root, `tree/d${d}/sub`), { recursive: true });
    for (let i = 0; i < 10; i++) writeFileSync(join(root, `tree/d${d}/f${i}`), `${d}:${i}`);
    writeFileSync(join(root, `tree/d${d}/sub/large`), 'x'.repeat(70_000));
  }
  fixture = new Fixture(root);
});

afterEach(() => {
  fixture.close();
  rmSync(root, { recursive: true, force: true });
});

/** Goes through a tree in the order of its listings. */
function visit(path: string, file: (path: string) => void): void {
  const description = fixture.open(path, O_RDONLY);
  const found: string[] = [];
  description.readdir((name) => found.push(name) > 0, fixture.caller);
  for (const name of found) {
    if (name === '.' || name === '..') continue;
    const below = `${path}/${name}`;
    const stat = fixture.stat(below);
    if (typeof stat === 'number') throw new Error(`${below}: ${stat}`);
    if ((stat.mode & 0o170000) === 0o040000) visit(below, file);
    else file(below);
  }
  description.release();
}

/** Reads a directory to its end. */
function readdirOf(path: string): void {
  const description = fixture.open(path, O_RDONLY);
  description.readdir(() => true, fixture.caller);
  description.release();
}

function readAll(path: string): string {
  const file = fixture.open(path, O_RDONLY);
  const text = fixture.read(file, 0, 65_536);
  file.release();
  return text;
}

function setContents(path: string, text: string, flags: number): void {
  const file = fixture.open(path, flags);
  fixture.write(file, text, 0);
  file.release();
}

describe('going through a tree', () => {
  test('costs few messages, and none the second time', () => {
    let files = 0;
    expect(fixture.cost(() => visit('/tree', () => files++))).toBeLessThan(12);
    expect(files).toBe(330);
    expect(fixture.cost(() => visit('/tree', () => files++))).toBe(0);
  });

  test('stat makes no inodes', () => {
    visit('/tree', () => {});
    expect(fixture.fileSystem.liveInodes).toBeLessThan(70);
  });

  test('reading every file costs few messages and shows what is in them', () => {
    const cost = fixture.cost(() =>
      visit('/tree', (path) => {
        const expected = /d(\d+)\/f(\d+)$/.exec(path);
        expect(readAll(path)).toBe(expected === null ? 'x'.repeat(65_536) : `${expected[1]}:${expected[2]}`);
      }),
    );
    expect(cost).toBeLessThan(45);
  });

  test('a file whose contents are there is opened and read without any call', () => {
    visit('/tree/d1', readAll);
    const name = readdirSync(join(root, 'tree/d1')).find((each) => fixture.fileSystem.contents!.count > 0 && each.startsWith('f'))!;
    const again = [...Array(10).keys()].map((i) => `/tree/d1/f${i}`).find((path) => fixture.cost(() => readAll(path)) === 0);
    expect([name, again]).not.toContain(undefined);
  });

  test('links and attributes that nobody has cost nothing', () => {
    for (let i = 0; i < 20; i++) symlinkSync(`d${i}/f1`, join(root, `tree/link${i}`));
    symlinkSync('x'.repeat(300), join(root, 'tree/long'));
    visit('/tree', () => {});
    const cost = fixture.cost(() => {
      for (let i = 0; i < 20; i++) expect(names.readlink(fixture.caller, null, `/tree/link${i}`, 0)).toBe(`d${i}/f1`);
      const at = resolve(fixture.caller, null, '/tree/d1/f1', 0);
      if (typeof at === 'number') throw new Error('no file');
      expect(xattr.getxattr(fixture.caller, at, 'security.selinux')).toBe(-ENODATA);
    });
    expect(cost).toBe(0);
    expect(names.readlink(fixture.caller, null, '/tree/long', 0)).toBe('x'.repeat(300));
    expect(names.unlink(fixture.caller, null, '/tree/link3')).toBe(0);
    expect(names.symlink(fixture.caller, 'elsewhere', null, '/tree/link3')).toBe(0);
    fixture.caller.fs.namespace.vfs.cache.prune(fixture.caller.fs.namespace.rootPath.dentry);
    expect(names.readlink(fixture.caller, null, '/tree/link3', 0)).toBe('elsewhere');
  });

  test('opening most files of a directory by name costs few messages', () => {
    mkdirSync(join(root, 'many'));
    for (let i = 0; i < 60; i++) writeFileSync(join(root, `many/${String(i).padStart(2, '0')}`), `${i}`);
    for (const readOnly of [false, true]) {
      fixture.close();
      fixture = new Fixture(root, 'exclusive', readOnly);
      readdirOf('/many');
      const cost = fixture.cost(() => {
        for (let i = 0; i < 60; i++) expect(readAll(`/many/${String(i).padStart(2, '0')}`)).toBe(`${i}`);
      });
      expect(cost).toBeLessThan(20);
    }
  });

  test('opening few files of a directory reads few others', () => {
    mkdirSync(join(root, 'many'));
    for (let i = 0; i < 400; i++) writeFileSync(join(root, `many/${i}`), `${i}`);
    readdirOf('/many');
    for (let i = 0; i < 20; i++) expect(readAll(`/many/${(i * 137) % 400}`)).toBe(`${(i * 137) % 400}`);
    expect(fixture.fileSystem.contents!.count).toBeLessThan(100);
  });

  test('a directory that is needed by itself brings no others, but the third does', () => {
    readdirOf('/tree');
    const lookAbout = (d: string) => ['f1', 'f2', 'none'].map((name) => fixture.stat(`/tree/${d}/${name}`));
    // Not in the order of the directory, whatever that is.
    const order = readdirSync(join(root, 'tree'));
    const before = fixture.fileSystem.listings.size;
    for (const i of [20, 10]) lookAbout(order[i]!);
    const strays = fixture.fileSystem.listings.size - before;
    for (const d of order.toReversed()) lookAbout(d);
    expect([strays < 30, fixture.fileSystem.listings.size > 330]).toEqual([true, true]);
    expect(fixture.cost(() => lookAbout(order[5]!))).toBe(0);
  });

  test('opening in no order reads nothing ahead', () => {
    visit('/tree', () => {});
    for (const i of [7, 2, 9, 0, 5]) readAll(`/tree/d${i}/f${i}`);
    // Their own contents, which they read whole.
    expect(fixture.fileSystem.contents!.count).toBeLessThanOrEqual(5);
  });
});

describe('a request that is under way', () => {
  /** The gofer refuses changes, so messages are sent ahead of need. */
  function reopen(): void {
    fixture.close();
    fixture = new Fixture(root, 'exclusive', true);
  }

  function expectedOf(path: string): string {
    const [, d, i] = /d(\d+)\/f(\d+)$/.exec(path) ?? [];
    return d === undefined ? 'x'.repeat(65_536) : `${d}:${i}`;
  }

  test('shows a tree and its files as they are, for few messages more', () => {
    reopen();
    const found: string[] = [];
    const cost = fixture.cost(() =>
      visit('/tree', (path) => {
        found.push(path);
        expect(readAll(path)).toBe(expectedOf(path));
      }),
    );
    expect(new Set(found).size).toBe(330);
    expect(cost).toBeLessThan(60);
    expect(fixture.lost).toBe('');
    expect(fixture.cost(() => visit('/tree', () => {}))).toBe(0);
  });

  test('keeps its part of the window while other files are read', () => {
    reopen();
    visit('/tree', () => {});
    for (let i = 0; i < 10; i++) readAll(`/tree/d1/f${i}`);
    visit('/tree/d2', readAll);
    const { contents, ownContents } = fixture.fileSystem;
    expect(contents!.isReserved).toBe(true);
    // More than the own part holds, while the gofer may be at work on the other.
    for (let i = 0; i < 3; i++) ownContents!.add(ownContents!.reserve(ownContents!.size / 2), 1, { mask: 0 } as Attributes);
    visit('/tree', (path) => expect(readAll(path)).toBe(expectedOf(path)));
  });

  test('brings the next part of a large directory, whoever else reads one meanwhile', () => {
    const expected = new Map<string, string[]>();
    for (const name of ['big', 'bigger']) {
      mkdirSync(join(root, name));
      for (let i = 0; i < 1500; i++) writeFileSync(join(root, name, `${name}-${i}-${'x'.repeat(40)}`), '');
      expected.set(name, readdirSync(join(root, name)).toSorted());
    }
    reopen();
    const readers = ['big', 'bigger', 'big'].map((name) => ({
      name,
      file: fixture.open(`/${name}`, O_RDONLY),
      found: [] as string[],
      ended: false,
    }));
    while (readers.some(({ ended }) => !ended)) {
      for (const reader of readers) {
        let left = 100;
        const before = reader.found.length;
        reader.file.readdir((name) => left-- > 0 && reader.found.push(name) > 0, fixture.caller);
        reader.ended = reader.found.length === before;
      }
    }
    for (const { name, file, found } of readers) {
      expect(found.filter((each) => each !== '.' && each !== '..').toSorted()).toEqual(expected.get(name));
      file.release();
    }
    expect(fixture.lost).toBe('');
  });

  test('may come when the directories it tells of are gone', () => {
    reopen();
    visit('/tree/d1', readAll);
    visit('/tree/d2', readAll);
    fixture.fileSystem.listings.dropAll();
    fixture.caller.fs.namespace.vfs.cache.prune(fixture.caller.fs.namespace.rootPath.dentry);
    visit('/tree', (path) => expect(readAll(path)).toBe(expectedOf(path)));
    fixture.fileSystem.listings.dropAll();
    expect(fixture.fileSystem.listings.size).toBe(0);
  });

  test('is not followed by others when nobody comes for what it brings', () => {
    reopen();
    visit('/tree', () => {});
    for (let i = 0; i < 10; i++) readAll(`/tree/d1/f${i}`);
    // What lies about is used up, and no more is asked for than the files need.
    for (let d = 29; d > 2; d--) expect(fixture.cost(() => readAll(`/tree/d${d}/f${d % 10}`))).toBeLessThan(4);
  });

  test('ends the sandbox when its reply is not one', () => {
    reopen();
    const { connection, gofer } = fixture;
    const slot = connection.makeSlot();
    expect(connection.begin(slot, Tree, { groups: [], room: 100 })).toBe(true);
    expect(connection.begin(connection.makeSlot(), Fetch, { groups: [], at: 0, room: 0, limit: 0 })).toBe(true);
    expect(connection.finish(slot, Tree)).not.toBeNull();
    expect([fixture.lost, slot.isBusy]).toEqual(['', false]);
    connection.begin(slot, Tree, { groups: [], room: 100 });
    gofer.connection.sayHello([]);
    connection.ask(Tree, { groups: [], room: 100 });
    expect(fixture.lost).toContain('something else');
  });

  test('closes the descriptors that nobody came for', () => {
    reopen();
    const before = readdirSync('/proc/self/fd').length;
    const { connection } = fixture;
    const slot = connection.makeSlot();
    const groups = [{ fid: 1, names: ['tree', 'd1', 'sub'], files: ['large'] }];
    for (let i = 0; i < 20; i++) {
      expect(connection.begin(slot, Fetch, { groups, at: 0, room: 0, limit: 0 })).toBe(true);
      expect(connection.finish(slot, Fetch)!.files.length).toBe(1);
    }
    slot.dropDescriptors();
    expect(readdirSync('/proc/self/fd').length).toBe(before);
  });
});

describe('what was read ahead', () => {
  /** Has the contents of the files of d0 read ahead. */
  function prepare(): void {
    visit('/tree/d0', readAll);
    visit('/tree/d2', readAll);
    expect(fixture.fileSystem.contents!.count).toBeGreaterThan(3);
  }

  test('is not shown after a write', () => {
    prepare();
    for (let i = 0; i < 10; i++) {
      setContents(`/tree/d2/f${i}`, 'NEW', O_WRONLY);
      expect(readAll(`/tree/d2/f${i}`).slice(0, 3)).toBe('NEW');
    }
  });

  test('is not shown to those who opened before the write', () => {
    prepare();
    const files = Array.from({ length: 10 }, (_, i) => fixture.open(`/tree/d2/f${i}`, O_RDONLY));
    for (let i = 0; i < 10; i++) setContents(`/tree/d2/f${i}`, 'after', O_RDWR | O_TRUNC);
    for (const file of files) expect(fixture.read(file, 0)).toBe('after');
    for (const file of files) file.release();
  });

  test('is not read while somebody writes, nor shown afterwards', () => {
    const writers = Array.from({ length: 10 }, (_, i) => fixture.open(`/tree/d2/f${i}`, O_WRONLY | O_APPEND));
    prepare();
    for (const file of writers) fixture.write(file, '+', 0);
    for (let i = 0; i < 10; i++) expect(readAll(`/tree/d2/f${i}`)).toBe(`2:${i}+`);
    for (const file of writers) file.release();
    for (let i = 0; i < 10; i++) expect(readAll(`/tree/d2/f${i}`)).toBe(`2:${i}+`);
  });

  test('is not shown after truncation, nor through another name', () => {
    for (let i = 0; i < 10; i++) linkSync(join(root, `tree/d2/f${i}`), join(root, `tree/d3/link${i}`));
    prepare();
    visit('/tree/d3', readAll);
    for (let i = 0; i < 10; i++) {
      const at = resolve(fixture.caller, null, `/tree/d3/link${i}`, 0);
      if (typeof at === 'number') throw new Error('no link');
      expect(attributesOf.truncate(fixture.caller, at, 1)).toBe(0);
      expect(readAll(`/tree/d2/f${i}`)).toBe('2');
      expect(readAll(`/tree/d3/link${i}`)).toBe('2');
    }
  });

  test('follows names that change', () => {
    prepare();
    for (let i = 0; i < 5; i++) expect(names.unlink(fixture.caller, null, `/tree/d2/f${i}`)).toBe(0);
    setContents('/tree/d2/f0', 'made anew', O_CREAT | O_RDWR);
    expect(rename(fixture.caller, null, '/tree/d2/f9', null, '/tree/d2/f1', 0)).toBe(0);
    expect([readAll('/tree/d2/f0'), readAll('/tree/d2/f1'), fixture.stat('/tree/d2/f2'), fixture.stat('/tree/d2/f9')]).toEqual([
      'made anew',
      '2:9',
      -ENOENT,
      -ENOENT,
    ]);
    expect(rename(fixture.caller, null, '/tree/d2', null, '/tree/e', 0)).toBe(0);
    expect([readAll('/tree/e/f8'), fixture.stat('/tree/d2/f8')]).toEqual(['2:8', -ENOENT]);
  });

  test('outlives the name while the file is open', () => {
    prepare();
    const files = Array.from({ length: 10 }, (_, i) => fixture.open(`/tree/d2/f${i}`, O_RDONLY));
    for (let i = 0; i < 10; i++) expect(names.unlink(fixture.caller, null, `/tree/d2/f${i}`)).toBe(0);
    const { contents } = fixture.fileSystem;
    files.forEach((file, i) => expect(fixture.read(file, 0)).toBe(`2:${i}`));
    // What is evicted is read from the file itself, which has no name any more.
    const half = contents!.size / 2;
    const fillers = Array.from({ length: 3 }, () => contents!.add(contents!.reserve(half), half - 64, { mask: 0 } as Attributes));
    expect(contents!.count).toBe(fillers.filter(({ present }) => present).length);
    files.forEach((file, i) => expect(fixture.read(file, 1)).toBe(`:${i}`));
    for (const file of files) file.release();
  });

  test('is not shown when other contents took its place', () => {
    prepare();
    visit('/tree/d2', () => {});
    const { contents, ownContents } = fixture.fileSystem;
    for (const ring of [contents!, ownContents!]) {
      const half = ring.size / 2;
      for (let i = 0; i < 3; i++) ring.add(ring.reserve(half), half - 64, { mask: 0 } as Attributes);
    }
    contents!.memory.bytes.fill(0x21);
    for (const d of [0, 2, 3]) visit(`/tree/d${d}`, (path) => expect(readAll(path)).not.toContain('!'));
  });

  test('serves mappings and seeking like any file', () => {
    prepare();
    const file = fixture.open('/tree/d2/f3', O_RDONLY);
    expect(file.seek(-1, SEEK_END)).toBe(2);
    expect(fixture.read(file, 3)).toBe('');
    expect(fixture.read(file, 300)).toBe('');
    const mapping = file.mappable(false);
    expect(typeof mapping).toBe('object');
    const stat = emptyAttributes();
    expect([file.getattr(stat), stat.size]).toEqual([0, 3]);
    file.release();
  });

  test('is not believed if the file is another one than was listed', () => {
    visit('/tree', () => {});
    renameSync(join(root, 'tree/d5/f1'), join(root, 'tree/d5/moved'));
    writeFileSync(join(root, 'tree/d5/f1'), 'somebody else was here');
    visit('/tree/d4', readAll);
    const shown = Array.from({ length: 10 }, (_, i) => (i === 1 ? fixture.tryOpen('/tree/d5/f1', O_RDONLY) : readAll(`/tree/d5/f${i}`)));
    expect(shown).toEqual(Array.from({ length: 10 }, (_, i) => (i === 1 ? -ESTALE : `5:${i}`)));
  });

  test('leaves no descriptor behind', () => {
    const before = readdirSync('/proc/self/fd').length;
    visit('/tree', readAll);
    fixture.caller.fs.namespace.vfs.cache.prune(fixture.caller.fs.namespace.rootPath.dentry);
    fixture.fileSystem.listings.dropAll();
    // The gofer's fids are of this process, too.
    fixture.gofer.server.table.releaseAll();
    expect(readdirSync('/proc/self/fd').length).toBeLessThanOrEqual(before);
  });
});

describe('bounds', () => {
  const attributes = { mask: 1 } as Attributes;
  const entriesOf = (count: number): Entries =>
    new Entries({
      names: Array.from({ length: count }, (_, i) => `${i}`),
      attributes: Array.from({ length: count }, () => attributes),
      targets: new Map(),
    });

  test('listings: the one used least recently goes, with what waits below it', () => {
    const listings = new Listings(100);
    const holders: Listed[] = Array.from({ length: 4 }, () => ({ listing: null }));
    for (const holder of holders) listings.add(holder, entriesOf(20));
    listings.addBelow(holders[0]!.listing!, 'below', entriesOf(10));
    listings.touch(holders[0]!.listing!);
    listings.add({ listing: null }, entriesOf(20));
    expect(holders.map(({ listing }) => listing !== null)).toEqual([true, false, true, true]);
    listings.add({ listing: null }, entriesOf(90));
    expect(holders.every(({ listing }) => listing === null)).toBe(true);
    expect(listings.size).toBe(91);
  });

  test('listings: what was read ahead waits for its directory, and returns when that goes', () => {
    const listings = new Listings(100);
    const above: Listed = { listing: null };
    listings.add(above, entriesOf(3));
    const kept = listings.addBelow(above.listing!, '1', entriesOf(5));
    const directory: Listed = { listing: null };
    expect(listings.adopt(directory, above.listing!, '1')).toBe(true);
    expect([directory.listing, listings.adopt({ listing: null }, above.listing!, '1')]).toEqual([kept, false]);
    listings.leave(directory, above.listing, '1');
    expect([directory.listing, above.listing!.below!.get('1')]).toEqual([null, kept]);
    listings.remove(above, '1');
    expect(listings.size).toBe(3);
    listings.dropAll();
    expect(listings.size).toBe(0);
  });

  test('contents: a ring that forgets the oldest', () => {
    const contents = new Contents(realHost.allocate(8192), 1024, 5120);
    const place = (length: number) => contents.add(contents.reserve(fetchedExtent(length)), length, attributes);
    const all = Array.from({ length: 40 }, (_, i) => place(60 + i));
    expect(contents.count).toBeLessThan(40);
    expect(all.every(({ at, length }) => at >= 1024 && at + length <= 5120)).toBe(true);
    const present = all.filter((content) => content.present);
    expect(present).toEqual(all.slice(-present.length));
    const overlaps = present.flatMap((a) => present.filter((b) => a !== b && a.at < b.at + b.length && b.at < a.at + a.length));
    expect(overlaps).toEqual([]);
    present[0]!.discard();
    expect([present[0]!.present, contents.count]).toEqual([false, present.length - 1]);
  });

  test('entries: gaps, names that come again, and looking about', () => {
    const entries = entriesOf(100);
    for (let i = 0; i < 100; i += 2) expect(entries.delete(`${i}`)).toBe(true);
    expect([entries.size, entries.has('4'), entries.has('5'), entries.delete('4')]).toEqual([50, false, true, false]);
    expect([entries.set('4', attributes), entries.set('4', attributes), entries.get('4')]).toEqual([true, false, attributes]);
    for (let i = 1; i < 100; i += 2) entries.delete(`${i}`);
    expect([entries.size, entries.names.length <= 34, entries.has('4'), entries.has('99')]).toEqual([1, true, true, false]);
  });
});
