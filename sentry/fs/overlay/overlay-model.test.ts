/**
 * An overlay over a populated lower tree must behave like a plain tmpfs that starts with the same tree: random calls are made on both, results and
 * whole trees are compared, and the lower tree must stay what it was. Dentries are dropped at random, so nothing may depend on them.
 */
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import * as abi from '#sentry/abi/fs.ts';
import { FakeHost } from '#platform/fake/fake-host.ts';
import { chmod, truncate } from '../../vfs/attributes.ts';
import { link, mkdir, readlink, rmdir, symlink, unlink } from '../../vfs/operations.ts';
import { PEEK_UNKNOWN } from '../../vfs/inode.ts';
import type { Inode } from '../../vfs/inode.ts';
import { rename } from '../../vfs/rename.ts';
import { resolve } from '../../vfs/walk.ts';
import { World } from '../testing/world.ts';
import { FileStore } from '../tmpfs/file-store.ts';
import { TMPFS_DEFAULTS, TmpFileSystem } from '../tmpfs/tmpfs.ts';
import { OVERLAY_CALLER } from './copy-up.ts';
import { OverlayFileSystem } from './overlay.ts';

const path = fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 3 }).map((names) => `/${names.join('/')}`);
const calls = [
  'write',
  'append',
  'truncate',
  'unlink',
  'rmdir',
  'mkdir',
  'rename',
  'rename',
  'exchange',
  'noreplace',
  'link',
  'symlink',
  'chmod',
  'forget',
  'hold',
] as const;
const step = fc.record({ call: fc.constantFrom(...calls), one: path, two: path, value: fc.nat(511) });
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function populate(world: World): void {
  for (const name of ['/a', '/a/b', '/a/b/c', '/b']) mkdir(world.root, null, name, 0o755);
  world.writeFile('/a/c', 'ac');
  world.writeFile('/a/b/a', 'aba');
  world.writeFile('/b/a', 'ba');
  link(world.root, null, '/b/a', null, '/b/b', 0);
  link(world.root, null, '/b/a', null, '/a/a', 0);
  symlink(world.root, 'a/c', null, '/c');
}

function perform(world: World, { call, one, two, value }: Step): number {
  const { root } = world;
  const move = (flags: number) => rename(root, null, one, null, two, flags);
  switch (call) {
    case 'write':
    case 'append': {
      const how = call === 'write' ? abi.O_CREAT | abi.O_TRUNC : abi.O_APPEND;
      const error = world.tryOpen(one, abi.O_WRONLY | how, value);
      if (error < 0) return error;
      const file = world.open(one, abi.O_WRONLY | (call === 'append' ? abi.O_APPEND : 0));
      const n = world.write(file, `${call}${value}`, 0);
      file.release();
      return n;
    }
    case 'unlink':
      return unlink(root, null, one);
    case 'rmdir':
      return rmdir(root, null, one);
    case 'mkdir':
      return mkdir(root, null, one, value);
    case 'rename':
      return move(0);
    case 'exchange':
      return move(abi.RENAME_EXCHANGE);
    case 'noreplace':
      return move(abi.RENAME_NOREPLACE);
    case 'link':
      return link(root, null, one, null, two, 0);
    case 'symlink':
      return symlink(root, two, null, one);
    case 'truncate':
    case 'chmod': {
      const at = resolve(root, null, one, 0);
      if (typeof at === 'number') return at;
      return call === 'chmod' ? chmod(root, at, value) : truncate(root, at, value % 8);
    }
    case 'forget':
      world.vfs.cache.prune(world.fs.root.dentry);
      return 0;
    default:
      // An open file keeps its inode alive: closing it must not lose anything either.
      return world.tryOpen(one, abi.O_RDONLY);
  }
}

/** The whole tree, hard links told by numbers in order of appearance. */
function snapshot(world: World): string[] {
  const seen = new Map<number, number>();
  const lines: string[] = [];
  const visit = (directory: string): void => {
    for (const name of world.list(directory === '' ? '/' : directory)) {
      const at = `${directory}/${name}`;
      const { ino, mode, nlink, size } = world.stat(at, 0);
      if (!seen.has(ino)) seen.set(ino, seen.size);
      const type = mode & abi.S_IFMT;
      const what = type === abi.S_IFREG ? world.readFile(at) : type === abi.S_IFLNK ? readlink(world.root, null, at, 0) : '';
      const links = type === abi.S_IFDIR ? '' : `x${nlink} ${size}`;
      lines.push(`${at} ${mode.toString(8)} #${seen.get(ino)} ${links} ${what}`);
      if (type === abi.S_IFDIR) visit(at);
    }
  };
  visit('');
  return lines;
}

/** Lets a lower layer answer whole paths and tell attributes without look-up, as the gofer's does. */
function makeFar(fileSystem: TmpFileSystem): void {
  Object.defineProperty(fileSystem, 'asksFar', { value: true });
  const directory = Object.getPrototypeOf(fileSystem.root) as Inode;
  directory.lookupAhead = function lookupAhead(this: Inode, names, caller, found) {
    for (let i = 0; i < names.length; i++) {
      const at = i === 0 ? this : found.at(-1)!;
      if (typeof at === 'number' || !at.isDirectory) return;
      found.push(at.lookup(names[i]!, caller));
    }
  };
  directory.peek = function peek(this: Inode, name, into) {
    if (!this.fileSystem.asksFar) return PEEK_UNKNOWN;
    const found = this.lookup(name, OVERLAY_CALLER);
    return typeof found === 'number' ? found : found.getattr(into);
  };
}

function makePair(distance: 'near' | 'far' = 'near') {
  const host = new FakeHost();
  const store = new FileStore(host);
  const fresh = () => new TmpFileSystem(store, 1, { ...TMPFS_DEFAULTS, mode: 0o755 });
  const model = new World(host, fresh());
  const lowerFs = fresh();
  const lower = new World(host, lowerFs);
  populate(model);
  populate(lower);
  if (distance === 'far') makeFar(lowerFs);
  const overlayFs = new OverlayFileSystem(3, [lowerFs.root], fresh());
  return { host, model, lower, overlay: new World(host, overlayFs), overlayFs };
}

it.each(['near', 'far'] as const)('behaves like a tmpfs that starts with the same tree (lower layer: %s)', (distance) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const { model, lower, overlay } = makePair(distance);
      const before = snapshot(lower);
      for (const one of steps) {
        expect(perform(overlay, one)).toBe(perform(model, one));
        expect(snapshot(overlay)).toEqual(snapshot(model));
      }
      expect(snapshot(lower)).toEqual(before);
    }),
    { numRuns: 300 },
  );
});

it.each(['near', 'far'] as const)('holds nothing when everything was removed (%s)', (distance) => {
  const { overlay, overlayFs } = makePair(distance);
  for (const name of ['/c', '/b/b', '/b/a', '/a/a', '/a/b/a', '/a/c']) expect(unlink(overlay.root, null, name)).toBe(0);
  for (const name of ['/a/b/c', '/a/b', '/a', '/b']) expect(rmdir(overlay.root, null, name)).toBe(0);
  overlay.vfs.cache.prune(overlay.fs.root.dentry);
  expect(overlay.list('/')).toEqual([]);
  const { byLower, byUpper } = overlayFs as unknown as { byLower: Map<unknown, unknown>; byUpper: Map<unknown, unknown> };
  expect([byLower.size, byUpper.size]).toEqual([1, 1]);
});
