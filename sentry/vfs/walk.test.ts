/**
 * Path walking against a reference that knows no cache, no mounts table and no cleverness; then mounts, openat2's restrictions, the dentry cache.
 */
import * as fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import * as errno from '#sentry/abi/errno.ts';
import * as abi from '#sentry/abi/fs.ts';
import { FakeHost } from '#platform/fake/fake-host.ts';
import { World } from '../fs/testing/world.ts';
import { FileStore } from '../fs/tmpfs/file-store.ts';
import { TMPFS_DEFAULTS, TmpFileSystem } from '../fs/tmpfs/tmpfs.ts';
import { chmod } from './attributes.ts';
import { DentryCache } from './dentry-cache.ts';
import type { Dentry } from './dentry.ts';
import { link, mkdir, rmdir, symlink, unlink } from './operations.ts';
import { open } from './open.ts';
import { getcwd, pathName } from './path-name.ts';
import { rename } from './rename.ts';
import { resolve, WALK_BENEATH, WALK_FOLLOW, WALK_IN_ROOT, WALK_NO_SYMLINKS, WALK_NO_XDEV } from './walk.ts';

function makeWorld(): { world: World; store: FileStore } {
  const host = new FakeHost();
  const store = new FileStore(host);
  return { store, world: new World(host, new TmpFileSystem(store, 1, { ...TMPFS_DEFAULTS, mode: 0o755 })) };
}

// The reference.
type Node = { readonly kind: 'file' } | { readonly kind: 'link'; readonly text: string } | Directory;
interface Directory {
  readonly kind: 'dir';
  readonly parent: Directory | null;
  readonly entries: Map<string, Node>;
}

/** The node at `path`, or -errno: path_resolution(7) word by word. */
function reference(root: Directory, start: Directory, path: string, follow: boolean, budget: { links: number }): Node | number {
  if (path === '') return -errno.ENOENT;
  let at: Directory = path.startsWith('/') ? root : start;
  const names = path.split('/').filter((name) => name !== '');
  const trailing = path.endsWith('/') && names.length > 0;
  for (let i = 0; i < names.length; i++) {
    const isLast = i === names.length - 1;
    const name = names[i]!;
    let node: Node | number;
    if (name === '.') node = at;
    else if (name === '..') node = at.parent ?? at;
    else if (name.length > 255) return -errno.ENAMETOOLONG;
    else node = at.entries.get(name) ?? -errno.ENOENT;
    if (typeof node === 'number') return node;
    if (node.kind === 'link' && (!isLast || follow || trailing)) {
      if (++budget.links > 40) return -errno.ELOOP;
      node = reference(root, at, node.text, true, budget);
      if (typeof node === 'number') return node;
    }
    if ((!isLast || trailing) && node.kind !== 'dir') return -errno.ENOTDIR;
    if (isLast) return node;
    at = node as Directory;
  }
  return at;
}

const name = fc.constantFrom('a', 'b', 'c');
const relative = fc.array(fc.constantFrom('a', 'b', 'c', '.', '..', ''), { minLength: 1, maxLength: 6 }).map((names) => names.join('/'));
const anyPath = fc.tuple(fc.constantFrom('', '/', '//'), relative, fc.constantFrom('', '/')).map((parts) => parts.join(''));
const action = fc.oneof(
  fc.record({ make: fc.constant('dir' as const), where: fc.array(name, { maxLength: 2 }), name, text: fc.constant('') }),
  fc.record({ make: fc.constant('dir' as const), where: fc.array(name, { maxLength: 2 }), name, text: fc.constant('') }),
  fc.record({ make: fc.constant('file' as const), where: fc.array(name, { maxLength: 2 }), name, text: fc.constant('') }),
  fc.record({
    make: fc.constant('link' as const),
    where: fc.array(name, { maxLength: 2 }),
    name,
    text: anyPath.filter((text) => text !== ''),
  }),
);

function build(
  world: World,
  actions: readonly { make: 'dir' | 'file' | 'link'; where: string[]; name: string; text: string }[],
): Directory {
  const root: Directory = { kind: 'dir', parent: null, entries: new Map() };
  for (const { make, where, name: last, text } of actions) {
    let at: Node | undefined = root;
    for (const step of where) at = at?.kind === 'dir' ? at.entries.get(step) : undefined;
    if (at?.kind !== 'dir' || at.entries.has(last)) continue;
    const path = `/${[...where, last].join('/')}`;
    if (make === 'dir') {
      mkdir(world.root, null, path, 0o755);
      at.entries.set(last, { kind: 'dir', parent: at, entries: new Map() });
    } else if (make === 'file') {
      world.writeFile(path, '');
      at.entries.set(last, { kind: 'file' });
    } else {
      symlink(world.root, text, null, path);
      at.entries.set(last, { kind: 'link', text });
    }
  }
  return root;
}

/** A place as the reference would name it. */
function describeNode(root: Directory, node: Node | number): string {
  if (typeof node === 'number') return `${node}`;
  if (node === root) return '/';
  const search = (directory: Directory, prefix: string): string | null => {
    for (const [entry, child] of directory.entries) {
      if (child === node) return `${prefix}/${entry}`;
      const deeper = child.kind === 'dir' ? search(child, `${prefix}/${entry}`) : null;
      if (deeper !== null) return deeper;
    }
    return null;
  };
  return search(root, '')!;
}

describe('path walk', () => {
  it('agrees with the reference', () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 14 }), fc.array(anyPath, { maxLength: 12 }), (actions, paths) => {
        const { world } = makeWorld();
        const root = build(world, actions);
        // Twice: the second time everything is cached.
        for (const path of [...paths, ...paths]) {
          for (const flags of [0, WALK_FOLLOW]) {
            const expected = describeNode(root, reference(root, root, path, flags !== 0, { links: 0 }));
            const got = resolve(world.root, null, path, flags);
            expect(`${path}: ${typeof got === 'number' ? got : pathName(got, world.fs.root)}`).toBe(`${path}: ${expected}`);
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  describe('limits and permissions', () => {
    let world: World;
    beforeEach(() => {
      world = makeWorld().world;
      mkdir(world.root, null, '/d', 0o755);
    });

    it('bounds names, paths and links', () => {
      expect(world.tryStat(`/${'n'.repeat(255)}`)).toBe(-errno.ENOENT);
      expect(world.tryStat(`/${'n'.repeat(256)}`)).toBe(-errno.ENAMETOOLONG);
      expect(world.tryStat(`/d${'/'.repeat(4093)}`)).toBe(0);
      expect(world.tryStat(`/d${'/'.repeat(4094)}`)).toBe(-errno.ENAMETOOLONG);
      let target = 'd';
      for (let i = 0; i < 41; i++) {
        symlink(world.root, target, null, `/l${i}`);
        target = `l${i}`;
      }
      expect(world.tryStat('/l39')).toBe(0);
      expect(world.tryStat('/l40')).toBe(-errno.ELOOP);
    });

    it('asks every directory for search permission, before it looks at the name', () => {
      mkdir(world.root, null, '/d/locked', 0o700);
      world.writeFile('/d/locked/f', '');
      const user = world.user(7);
      expect(world.tryStat('/d/locked', 0, user)).toBe(0);
      expect(world.tryStat('/d/locked/f', 0, user)).toBe(-errno.EACCES);
      expect(world.tryStat('/d/locked/none', 0, user)).toBe(-errno.EACCES);
      expect(world.tryStat('/d/locked/.', 0, user)).toBe(-errno.EACCES);
      expect(world.tryStat('/d/locked/..', 0, user)).toBe(-errno.EACCES);
    });

    it('does not follow strangers’ links in sticky directories', () => {
      chmod(world.root, world.path('/d'), 0o1777);
      symlink(world.user(7), '/d', null, '/d/l');
      expect(world.tryStat('/d/l', WALK_FOLLOW, world.user(8))).toBe(-errno.EACCES);
      expect(world.tryStat('/d/l', WALK_FOLLOW, world.user(7))).toBe(0);
      expect(world.tryStat('/d/l', 0, world.user(8))).toBe(0);
      // Only as the last component: Linux may_follow_link.
      expect(world.tryStat('/d/l/l', 0, world.user(8))).toBe(0);
    });

    it('keeps to the root of a chroot', () => {
      mkdir(world.root, null, '/d/e', 0o755);
      world.fs.setRoot(world.path('/d'));
      expect(getcwd(world.fs)).toBe('(unreachable)/');
      world.fs.setCwd(world.path('/e'));
      expect(getcwd(world.fs)).toBe('/e');
      expect(world.stat('../../..').ino).toBe(world.stat('/').ino);
      expect(world.list('/..')).toEqual(['e']);
    });
  });

  it('restricts as openat2 wants', () => {
    const { world, store } = makeWorld();
    for (const path of ['/d', '/d/e', '/d/m']) mkdir(world.root, null, path, 0o755);
    symlink(world.root, '/d/e', null, '/d/abs');
    symlink(world.root, 'e', null, '/d/rel');
    symlink(world.root, '../d/e', null, '/d/up');
    world.namespace.mount(world.path('/d/m'), new TmpFileSystem(store, 2), 0, 'tmpfs');
    const start = world.path('/d');
    const go = (path: string, flags: number) => {
      const got = resolve(world.root, start, path, flags | WALK_FOLLOW);
      return typeof got === 'number' ? got : pathName(got, world.fs.root);
    };
    expect(go('rel', WALK_BENEATH)).toBe('/d/e');
    expect(go('e/..', WALK_BENEATH)).toBe('/d');
    expect(go('..', WALK_BENEATH)).toBe(-errno.EXDEV);
    expect(go('up', WALK_BENEATH)).toBe(-errno.EXDEV);
    expect(go('abs', WALK_BENEATH)).toBe(-errno.EXDEV);
    expect(go('/d', WALK_BENEATH)).toBe(-errno.EXDEV);
    expect(go('/e', WALK_IN_ROOT)).toBe('/d/e');
    expect(go('../../e', WALK_IN_ROOT)).toBe('/d/e');
    expect(go('abs', WALK_IN_ROOT)).toBe(-errno.ENOENT);
    expect(go('rel', WALK_NO_SYMLINKS)).toBe(-errno.ELOOP);
    expect(go('e', WALK_NO_SYMLINKS)).toBe('/d/e');
    expect(go('m', WALK_NO_XDEV)).toBe(-errno.EXDEV);
    expect(go('m', 0)).toBe('/d/m');
    expect(typeof open(world.root, start, 'm', abi.O_RDONLY, 0, 1)).toBe('number');
  });
});

describe('mounts', () => {
  it('mounts, binds, moves and unmounts', () => {
    const { world, store } = makeWorld();
    const { namespace } = world;
    for (const path of ['/m', '/n', '/o']) mkdir(world.root, null, path, 0o755);
    world.writeFile('/m/hidden', '');
    const at = world.path('/m');
    expect(namespace.mount(at, new TmpFileSystem(store, 2), abi.MS_NODEV, 'tmpfs')).toBeTypeOf('object');
    expect(world.list('/m')).toEqual([]);
    expect(world.stat('/m').dev).toBe(2);
    mkdir(world.root, null, '/m/sub', 0o755);
    world.writeFile('/m/sub/f', 'x');
    expect(namespace.bind(world.path('/n'), world.path('/m/sub'), abi.MS_RDONLY)).toBeTypeOf('object');
    expect(world.readFile('/n/f')).toBe('x');
    expect(world.tryOpen('/n/f', abi.O_WRONLY)).toBe(-errno.EROFS);
    expect(world.tryOpen('/n/new', abi.O_WRONLY | abi.O_CREAT)).toBe(-errno.EROFS);
    expect(unlink(world.root, null, '/n/f')).toBe(-errno.EROFS);
    expect(world.stat('/n/..').ino).toBe(world.stat('/').ino);
    const file = world.open('/n/f');
    expect(pathName(file, world.fs.root)).toBe('/n/f');
    expect(rename(world.root, null, '/m/sub/f', null, '/o/f', 0)).toBe(-errno.EXDEV);
    expect(link(world.root, null, '/m/sub/f', null, '/n/g', 0)).toBe(-errno.EROFS);
    expect(rmdir(world.root, null, '/n')).toBe(-errno.EBUSY);
    expect(namespace.unmount(world.path('/n'), 0)).toBe(-errno.EBUSY);
    file.release();
    expect(namespace.unmount(world.path('/n'), 0)).toBe(0);
    expect(namespace.unmount(world.path('/n'), 0)).toBe(-errno.EINVAL);
    expect(namespace.move(world.path('/m'), world.path('/o'))).toBe(0);
    expect(world.list('/o')).toEqual(['sub']);
    expect(world.list('/m')).toEqual(['hidden']);
    expect(namespace.mounts.map((mount) => mount.source)).toEqual(['none', 'tmpfs']);
    expect(namespace.unmount(world.path('/o'), 0)).toBe(0);
    expect(namespace.unmount(world.path('/'), 0)).toBe(-errno.EBUSY);
  });

  it('binds whole trees and copies namespaces', () => {
    const { world, store } = makeWorld();
    const { namespace } = world;
    for (const path of ['/a', '/a/in', '/b']) mkdir(world.root, null, path, 0o755);
    namespace.mount(world.path('/a/in'), new TmpFileSystem(store, 2), 0, 'inner');
    world.writeFile('/a/in/f', 'x');
    expect(namespace.bind(world.path('/b'), world.path('/a'), 0)).toBeTypeOf('object');
    expect(world.list('/b/in')).toEqual([]);
    expect(namespace.unmount(world.path('/b'), 0)).toBe(0);
    expect(namespace.bindTree(world.path('/b'), world.path('/a'), 0)).toBeTypeOf('object');
    expect(world.readFile('/b/in/f')).toBe('x');
    const { namespace: copy, translate } = namespace.copy();
    expect(namespace.unmount(world.path('/b'), 0)).toBe(-errno.EBUSY);
    expect(namespace.unmount(world.path('/b'), 2)).toBe(0);
    expect(world.list('/b')).toEqual([]);
    world.fs.namespace = copy;
    world.fs.setRoot(translate(world.fs.root));
    world.fs.setCwd(translate(world.fs.cwd));
    expect(world.readFile('/b/in/f')).toBe('x');
    copy.release();
  });

  it('pivots', () => {
    const { world, store } = makeWorld();
    mkdir(world.root, null, '/new', 0o755);
    world.namespace.mount(world.path('/new'), new TmpFileSystem(store, 2), 0, 'new');
    mkdir(world.root, null, '/new/old', 0o755);
    expect(world.namespace.pivotRoot(world.path('/'), world.path('/new/old'))).toBe(-errno.EINVAL);
    expect(world.namespace.pivotRoot(world.path('/new'), world.path('/new/old'))).toBe(0);
    const root = world.namespace.rootPath;
    world.fs.setRoot(root);
    world.fs.setCwd(root);
    expect(world.list('/')).toEqual(['old']);
    expect(world.list('/old')).toEqual(['new']);
    expect(getcwd(world.fs)).toBe('/');
  });
});

describe('dentry cache', () => {
  it('drops what nobody uses, and nothing else', () => {
    const { world, store } = makeWorld();
    const cache = new DentryCache(64);
    Object.defineProperty(world.vfs, 'cache', { value: cache });
    mkdir(world.root, null, '/keep', 0o755);
    mkdir(world.root, null, '/keep/mount', 0o755);
    world.namespace.mount(world.path('/keep/mount'), new TmpFileSystem(store, 9), 0, 'tmpfs');
    world.writeFile('/keep/open', 'x');
    const file = world.open('/keep/open');
    for (let i = 0; i < 2000; i++) {
      world.writeFile(`/f${i}`, `${i}`);
      expect(world.tryStat(`/negative${i}`)).toBe(-errno.ENOENT);
    }
    expect(cache.count).toBeLessThan(64 + 600);
    expect(world.readFile('/f0')).toBe('0');
    expect(pathName(file, world.fs.root)).toBe('/keep/open');
    expect(world.stat('/keep/mount').dev).toBe(9);
    const kept: Dentry = world.path('/keep').dentry;
    expect(kept.children!.get('open')).toBe(file.dentry);
    file.release();
  });
});
