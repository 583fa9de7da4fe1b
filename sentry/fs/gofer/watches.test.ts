/** Shared mounts whose directories are watched: nothing that the host does goes unnoticed, and what it does not do costs nothing. */
import {
  appendFileSync,
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import type { Stats } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ENOENT } from '#sentry/abi/errno.ts';
import { O_CREAT, O_RDONLY, O_RDWR, O_WRONLY, S_IFDIR, S_IFLNK, S_IFMT } from '#sentry/abi/fs.ts';
import { SeededRandom } from '../../netstack/testing/random.ts';
import { Fixture } from '../../../test/unit/gofer-fixture.ts';
import * as names from '../../vfs/operations.ts';
import { rename } from '../../vfs/rename.ts';

let root: string;
let fixture: Fixture;

beforeEach(() => {
  // Not on a file system that is not watched.
  root = mkdtempSync(join(tmpdir(), 'gofer-watches-'));
  mkdirSync(join(root, 'dir/sub'), { recursive: true });
  for (const name of ['a', 'b', 'c']) writeFileSync(join(root, 'dir', name), name);
  fixture = new Fixture(root, 'shared', false, 64, { watched: true });
});

afterEach(() => {
  fixture.close();
  rmSync(root, { recursive: true, force: true });
});

/** Until everything that is looked up often is believed. */
function settle(...paths: string[]): void {
  for (let i = 0; i < 4; i++) for (const path of paths) fixture.stat(path);
  expect(fixture.cost(() => paths.forEach((path) => fixture.stat(path)))).toBe(0);
}

function sizeOf(path: string): number {
  const found = fixture.stat(path);
  return typeof found === 'number' ? found : found.size;
}

describe('what is looked up again', () => {
  test('costs nothing, present or missing', () => {
    settle('/', '/dir', '/dir/a', '/dir/b', '/dir/none');
    expect(fixture.cost(() => fixture.open('/dir/a', O_RDONLY).release())).toBeLessThanOrEqual(1);
    expect(fixture.cost(() => fixture.open('/dir/a', O_RDONLY).release())).toBe(0);
  });

  test('is seen as the host leaves it, at once', () => {
    const at = (name: string): string => join(root, 'dir', name);
    const paths = ['/dir', '/dir/a', '/dir/b', '/dir/c', '/dir/none'];
    const steps: readonly (readonly [string, () => void, () => void])[] = [
      ['create', () => writeFileSync(at('none'), '12345'), () => expect(sizeOf('/dir/none')).toBe(5)],
      ['delete', () => unlinkSync(at('none')), () => expect(fixture.stat('/dir/none')).toBe(-ENOENT)],
      ['write', () => appendFileSync(at('a'), 'more'), () => expect(sizeOf('/dir/a')).toBe(5)],
      ['truncate', () => truncateSync(at('a'), 2), () => expect(sizeOf('/dir/a')).toBe(2)],
      ['chmod', () => chmodSync(at('b'), 0o601), () => expect(fixture.stat('/dir/b')).toMatchObject({ mode: 0o100601 })],
      ['utimes', () => utimesSync(at('b'), 5, 6), () => expect(fixture.stat('/dir/b')).toMatchObject({ mtimeSec: 6 })],
      ['replace', () => renameSync(at('b'), at('c')), () => expect([fixture.stat('/dir/b'), sizeOf('/dir/c')]).toEqual([-ENOENT, 1])],
      [
        'chmod of the directory',
        () => chmodSync(join(root, 'dir'), 0o711),
        () => expect(fixture.stat('/dir')).toMatchObject({ mode: 0o40711 }),
      ],
      ['another directory', () => swapDirectory(), () => expect([fixture.stat('/dir/a'), sizeOf('/dir/new')]).toEqual([-ENOENT, 3])],
    ];
    for (const [, change, check] of steps) {
      settle(...paths);
      change();
      check();
    }
  });

  function swapDirectory(): void {
    rmSync(join(root, 'dir'), { recursive: true });
    mkdirSync(join(root, 'dir'));
    writeFileSync(join(root, 'dir/new'), 'new');
  }

  test('a file with several names is changed by another of them', () => {
    linkSync(join(root, 'dir/a'), join(root, 'other'));
    for (let i = 0; i < 4; i++) sizeOf('/dir/a');
    appendFileSync(join(root, 'other'), 'more');
    expect(sizeOf('/dir/a')).toBe(5);
  });

  test('a file that a guest writes', () => {
    settle('/dir/a', '/dir/b');
    const file = fixture.open('/dir/a', O_RDWR);
    fixture.write(file, 'longer', 0);
    expect(sizeOf('/dir/a')).toBe(6);
    file.release();
    expect(sizeOf('/dir/a')).toBe(6);
    settle('/dir/a', '/dir/b');
  });

  test('is asked again after more changes than the host keeps', () => {
    settle('/dir/a', '/dir/none');
    // Nobody looks meanwhile.
    for (let i = 0; i < 20_000; i++) utimesSync(join(root, 'dir', i % 2 === 0 ? 'a' : 'b'), i, i);
    writeFileSync(join(root, 'dir/none'), 'x');
    expect(sizeOf('/dir/none')).toBe(1);
  });
});

/** A tree of few names, changed by the host and by the guest in turns, looks the same to both at every step. */
describe.each([1, 2, 3, 4, 5, 6])('a random history (seed %i)', (seed) => {
  test('is the same from both sides', { timeout: 60_000 }, () => {
    const { word } = new SeededRandom(seed);
    const pick = <T>(from: readonly T[]): T => from[(word() >>> 0) % from.length]!;
    const places = ['dir', 'dir/sub', 'x', 'dir/x', 'dir/sub/x', 'y', 'dir/y', 'dir/sub/y', 'dir/sub/x/x'];
    const host: readonly ((a: string, b: string) => void)[] = [
      (a) => writeFileSync(a, 'w'.repeat((word() >>> 0) % 50)),
      (a) => appendFileSync(a, 'more'),
      (a) => mkdirSync(a),
      (a) => rmSync(a, { recursive: true }),
      (a, b) => renameSync(a, b),
      (a, b) => symlinkSync(relative(dirname(a), b), a),
      (a) => chmodSync(a, 0o600 + ((word() >>> 0) % 64)),
    ];
    const guest: readonly ((a: string, b: string) => void)[] = [
      (a) => void fixture.tryOpen(a, O_CREAT | O_WRONLY),
      (a) => void names.mkdir(fixture.caller, null, a, 0o755),
      (a) => void names.unlink(fixture.caller, null, a),
      (a) => void names.rmdir(fixture.caller, null, a),
      (a, b) => void rename(fixture.caller, null, a, null, b, 0),
      (a, b) => void names.link(fixture.caller, null, a, null, b, 0),
    ];
    for (let step = 0; step < 400; step++) {
      const [a, b] = [pick(places), pick(places)];
      if ((word() & 1) === 0) quietly(() => pick(host)(join(root, a), join(root, b)));
      else pick(guest)(`/${a}`, `/${b}`);
      for (let looks = (word() >>> 0) % 4; looks >= 0; looks--) compare(pick(places));
      if (step % 20 === 0) places.forEach(compare);
    }
    places.forEach(compare);
  });

  /** What each side knows of a place. */
  function compare(place: string): void {
    expect(seenInside(place), place).toEqual(seenOutside(place));
  }

  function seenInside(place: string): unknown {
    const found = fixture.stat(`/${place}`);
    if (typeof found === 'number') return null;
    const { ino, mode, nlink, size } = found;
    const type = mode & S_IFMT;
    return {
      ino,
      mode,
      nlink,
      size,
      list: type === S_IFDIR ? fixture.list(`/${place}`) : null,
      target: type === S_IFLNK ? names.readlink(fixture.caller, null, `/${place}`, 0) : null,
    };
  }

  function seenOutside(place: string): unknown {
    const path = join(root, place);
    const there = lookAt(path);
    if (there === undefined) return null;
    const { ino, mode, nlink, size } = there;
    return {
      ino,
      mode,
      nlink,
      size,
      list: there.isDirectory() ? ['.', '..', ...readdirSync(path)].sort() : null,
      target: there.isSymbolicLink() ? readlinkSync(path) : null,
    };
  }

  function lookAt(path: string): Stats | undefined {
    try {
      return lstatSync(path);
    } catch {
      return undefined;
    }
  }

  function quietly(action: () => void): void {
    try {
      action();
    } catch {
      // What cannot be done is not done.
    }
  }
});
