/**
 * One suite for every writable file system: what open, mkdir, rename, link and their kin do must not depend on where the files are. A file system
 * joins by adding a maker to `MAKERS`.
 */
import { beforeEach, describe, expect, it } from 'vitest';
import * as errno from '#sentry/abi/errno.ts';
import * as abi from '#sentry/abi/fs.ts';
import { FakeHost } from '#platform/fake/fake-host.ts';
import { access, chmod, chown, fallocate, ftruncate, statfs, truncate, utimens } from '../vfs/attributes.ts';
import type { FileSystem, Inode } from '../vfs/inode.ts';
import { link, mkdir, mknod, readlink, rmdir, symlink, unlink } from '../vfs/operations.ts';
import { getcwd, pathName } from '../vfs/path-name.ts';
import { OPEN_EXEC, openPath } from '../vfs/open.ts';
import { rename } from '../vfs/rename.ts';
import { WALK_FOLLOW } from '../vfs/walk.ts';
import { getxattr, listxattr, removexattr, setxattr } from '../vfs/xattr.ts';
import { OverlayFileSystem } from './overlay/overlay.ts';
import { World } from './testing/world.ts';
import { FileStore } from './tmpfs/file-store.ts';
import { TMPFS_DEFAULTS, TmpFileSystem } from './tmpfs/tmpfs.ts';

const OPTIONS = { ...TMPFS_DEFAULTS, mode: 0o755 };

function tmpfs(host: FakeHost): TmpFileSystem {
  return new TmpFileSystem(new FileStore(host), 1, OPTIONS);
}

const MAKERS: Readonly<Record<string, (host: FakeHost) => FileSystem>> = {
  tmpfs,
  'overlay over an empty directory': (host) => new OverlayFileSystem(3, [tmpfs(host).root], tmpfs(host)),
  'overlay over two layers': (host) => {
    const [one, two] = [tmpfs(host), tmpfs(host)];
    (one.root.mkdir('lib', 0o40755, 0, 0) as Inode).create('x', 0o100644, 0, 0);
    (two.root.mkdir('lib', 0o40755, 0, 0) as Inode).create('y', 0o100644, 0, 0);
    return new OverlayFileSystem(3, [one.root, two.root], tmpfs(host));
  },
};

describe.each(Object.entries(MAKERS))('%s', (_name, make) => {
  let world: World;
  let host: FakeHost;
  const at = (path: string) => world.path(path);

  beforeEach(() => {
    host = new FakeHost();
    world = new World(host, make(host));
    mkdir(world.root, null, '/t', 0o777);
    world.fs.setCwd(world.path('/t'));
  });

  it('creates, writes, reads and appends', () => {
    world.writeFile('a', 'hello');
    expect(world.readFile('/t/a')).toBe('hello');
    const file = world.open('a', abi.O_RDWR | abi.O_APPEND);
    expect(world.write(file, ' world', 0)).toBe(6);
    expect(file.endOfWrite).toBe(11);
    expect(world.read(file, 6)).toBe('world');
    file.release();
    expect(world.stat('a').size).toBe(11);
    expect(world.stat('a').mode).toBe(abi.S_IFREG | 0o644);
  });

  it('keeps what a file held when it outgrows small files', () => {
    const file = world.open('big', abi.O_RDWR | abi.O_CREAT);
    let text = '';
    for (let i = 0; i < 40; i++) {
      const piece = String.fromCharCode(65 + (i % 26)).repeat(1000);
      expect(world.write(file, piece, text.length)).toBe(1000);
      text += piece;
      expect(world.read(file)).toBe(text);
    }
    expect(ftruncate(world.root, file, 500)).toBe(0);
    expect(ftruncate(world.root, file, 600)).toBe(0);
    expect(world.read(file)).toBe(text.slice(0, 500) + '\0'.repeat(100));
    file.release();
  });

  it('fills gaps with zeros and knows holes', () => {
    const file = world.open('sparse', abi.O_RDWR | abi.O_CREAT);
    expect(world.write(file, 'x', 9000)).toBe(1);
    expect(world.read(file, 8990)).toBe(`${'\0'.repeat(10)}x`);
    expect(file.seek(0, abi.SEEK_DATA)).toBe(8192);
    expect(file.seek(0, abi.SEEK_HOLE)).toBe(0);
    expect(file.seek(8192, abi.SEEK_HOLE)).toBe(9001);
    expect(file.seek(9001, abi.SEEK_DATA)).toBe(-errno.ENXIO);
    expect(world.stat('sparse').blocks).toBe(8);
    expect(fallocate(world.root, file, 3, 8192, 4096)).toBe(0);
    expect(world.stat('sparse').blocks).toBe(0);
    expect(world.read(file, 9000)).toBe('\0');
    file.release();
  });

  it('truncates by path, and refuses what cannot be truncated', () => {
    world.writeFile('a', 'hello');
    expect(truncate(world.root, at('a'), 2)).toBe(0);
    expect(world.readFile('a')).toBe('he');
    expect(truncate(world.root, at('/t'), 0)).toBe(-errno.EISDIR);
    expect(truncate(world.root, at('a'), -1)).toBe(-errno.EINVAL);
    expect(truncate(world.user(5), at('a'), 0)).toBe(-errno.EACCES);
  });

  it('honours the flags of open', () => {
    expect(world.tryOpen('none', abi.O_RDONLY)).toBe(-errno.ENOENT);
    world.writeFile('a', 'x');
    expect(world.tryOpen('a', abi.O_CREAT | abi.O_EXCL | abi.O_WRONLY)).toBe(-errno.EEXIST);
    expect(world.tryOpen('a', abi.O_DIRECTORY)).toBe(-errno.ENOTDIR);
    expect(world.tryOpen('.', abi.O_WRONLY)).toBe(-errno.EISDIR);
    expect(world.tryOpen('.', abi.O_CREAT | abi.O_RDONLY)).toBe(-errno.EISDIR);
    expect(world.tryOpen('new/', abi.O_CREAT | abi.O_WRONLY)).toBe(-errno.EISDIR);
    expect(world.tryOpen('a/', abi.O_RDONLY)).toBe(-errno.ENOTDIR);
    expect(world.tryOpen('a/b', abi.O_RDONLY)).toBe(-errno.ENOTDIR);
    expect(world.tryOpen('', abi.O_RDONLY)).toBe(-errno.ENOENT);
    symlink(world.root, 'a', null, 'l');
    expect(world.tryOpen('l', abi.O_NOFOLLOW)).toBe(-errno.ELOOP);
    expect(world.tryOpen('l', abi.O_NOFOLLOW | abi.O_DIRECTORY)).toBe(-errno.ENOTDIR);
    expect(world.tryOpen('l', abi.O_NOFOLLOW | abi.O_PATH)).toBe(0);
    expect(world.tryOpen('l', abi.O_CREAT | abi.O_EXCL | abi.O_WRONLY)).toBe(-errno.EEXIST);
    symlink(world.root, 'made', null, 'dangling');
    world.writeFile('dangling', 'through');
    expect(world.readFile('made')).toBe('through');
    expect(world.tryOpen('a', abi.O_WRONLY | abi.O_TRUNC)).toBe(0);
    expect(world.stat('a').size).toBe(0);
  });

  it('makes nameless files and names them', () => {
    const file = world.open('.', abi.O_TMPFILE | abi.O_RDWR, 0o600);
    expect(world.write(file, 'secret', 0)).toBe(6);
    expect(world.list('.')).toEqual([]);
    expect(pathName(file, world.fs.root)).toMatch(/^\/t\/#\d+ \(deleted\)$/);
    const path = { mount: file.mount!, dentry: file.dentry };
    expect(link(world.root, path, '', null, 'named', 2)).toBe(0);
    file.release();
    expect(world.readFile('named')).toBe('secret');
    expect(world.stat('named').nlink).toBe(1);
    const unnamable = world.open('.', abi.O_TMPFILE | abi.O_RDWR | abi.O_EXCL, 0o600);
    expect(link(world.root, { mount: unnamable.mount!, dentry: unnamable.dentry }, '', null, 'x', 2)).toBe(-errno.ENOENT);
    unnamable.release();
  });

  it('makes and removes directories', () => {
    expect(mkdir(world.root, null, 'd/', 0o777)).toBe(0);
    expect(world.stat('d').mode).toBe(abi.S_IFDIR | 0o755);
    expect(mkdir(world.root, null, 'd', 0o777)).toBe(-errno.EEXIST);
    expect(mkdir(world.root, null, 'd/.', 0o777)).toBe(-errno.EEXIST);
    expect(mkdir(world.root, null, 'x/y', 0o777)).toBe(-errno.ENOENT);
    world.writeFile('d/f', '');
    expect(rmdir(world.root, null, 'd')).toBe(-errno.ENOTEMPTY);
    expect(rmdir(world.root, null, 'd/f')).toBe(-errno.ENOTDIR);
    expect(rmdir(world.root, null, 'd/.')).toBe(-errno.EINVAL);
    expect(rmdir(world.root, null, 'd/..')).toBe(-errno.ENOTEMPTY);
    expect(rmdir(world.root, null, '/')).toBe(-errno.EBUSY);
    expect(unlink(world.root, null, 'd')).toBe(-errno.EISDIR);
    expect(unlink(world.root, null, 'd/f')).toBe(0);
    expect(rmdir(world.root, null, 'd')).toBe(0);
    expect(world.tryStat('d')).toBe(-errno.ENOENT);
  });

  it('works in a removed directory as Linux does', () => {
    mkdir(world.root, null, 'd', 0o777);
    world.fs.setCwd(world.path('d'));
    expect(getcwd(world.fs)).toBe('/t/d');
    expect(rmdir(world.root, null, '/t/d')).toBe(0);
    expect(getcwd(world.fs)).toBe(-errno.ENOENT);
    expect(pathName(world.fs.cwd, world.fs.root)).toBe('/t/d (deleted)');
    expect(world.tryOpen('f', abi.O_CREAT | abi.O_WRONLY)).toBe(-errno.ENOENT);
    expect(mkdir(world.root, null, 'e', 0o777)).toBe(-errno.ENOENT);
    expect(world.stat('.').nlink).toBe(0);
    expect(world.stat('..').ino).toBe(world.stat('/t').ino);
  });

  it('keeps an unlinked file while it is open', () => {
    world.writeFile('a', 'still here');
    const file = world.open('a', abi.O_RDWR);
    expect(unlink(world.root, null, 'a')).toBe(0);
    expect(world.tryStat('a')).toBe(-errno.ENOENT);
    expect(world.read(file)).toBe('still here');
    expect(pathName(file, world.fs.root)).toBe('/t/a (deleted)');
    world.writeFile('a', 'another');
    expect(world.read(file)).toBe('still here');
    file.release();
    expect(unlink(world.root, null, 'a/')).toBe(-errno.ENOTDIR);
    expect(unlink(world.root, null, 'none')).toBe(-errno.ENOENT);
    expect(unlink(world.root, null, '.')).toBe(-errno.EISDIR);
  });

  it('links', () => {
    world.writeFile('a', 'one');
    expect(link(world.root, null, 'a', null, 'b', 0)).toBe(0);
    expect(world.stat('a').nlink).toBe(2);
    expect(world.stat('a').ino).toBe(world.stat('b').ino);
    world.writeFile('b', 'two');
    expect(world.readFile('a')).toBe('two');
    expect(link(world.root, null, 'a', null, 'b', 0)).toBe(-errno.EEXIST);
    mkdir(world.root, null, 'd', 0o777);
    expect(link(world.root, null, 'd', null, 'e', 0)).toBe(-errno.EPERM);
    expect(unlink(world.root, null, 'a')).toBe(0);
    expect(world.stat('b').nlink).toBe(1);
    symlink(world.root, 'b', null, 'l');
    expect(link(world.root, null, 'l', null, 'l2', 0)).toBe(0);
    expect(world.stat('l2', 0).mode & abi.S_IFMT).toBe(abi.S_IFLNK);
    expect(link(world.root, null, 'l', null, 'b2', WALK_FOLLOW)).toBe(0);
    expect(world.stat('b2', 0).ino).toBe(world.stat('b').ino);
  });

  it('follows symbolic links', () => {
    mkdir(world.root, null, 'd', 0o777);
    world.writeFile('d/f', 'text');
    symlink(world.root, 'd', null, 'rel');
    symlink(world.root, '/t/d/f', null, 'abs');
    symlink(world.root, 'loop', null, 'loop');
    expect(world.readFile('rel/f')).toBe('text');
    expect(world.readFile('abs')).toBe('text');
    expect(world.readFile('rel/../rel/./f')).toBe('text');
    expect(readlink(world.root, null, 'abs', 0)).toBe('/t/d/f');
    expect(readlink(world.root, null, 'd', 0)).toBe(-errno.EINVAL);
    expect(world.tryStat('loop')).toBe(-errno.ELOOP);
    expect(world.tryStat('loop', 0)).toBe(0);
    expect(world.tryStat('abs/', 0)).toBe(-errno.ENOTDIR);
    expect(world.stat('rel/', 0).mode & abi.S_IFMT).toBe(abi.S_IFDIR);
    expect(world.stat('rel', 0).size).toBe(1);
    expect(symlink(world.root, '', null, 'e')).toBe(-errno.ENOENT);
    expect(symlink(world.root, 'x', null, 'rel')).toBe(-errno.EEXIST);
    expect(mkdir(world.root, null, 'rel', 0o777)).toBe(-errno.EEXIST);
  });

  it('renames files and directories', () => {
    const move = (from: string, to: string, flags = 0) => rename(world.root, null, from, null, to, flags);
    world.writeFile('a', 'A');
    world.writeFile('b', 'B');
    expect(move('a', 'c')).toBe(0);
    expect(world.tryStat('a')).toBe(-errno.ENOENT);
    expect(world.readFile('c')).toBe('A');
    expect(move('c', 'b')).toBe(0);
    expect(world.readFile('b')).toBe('A');
    expect(move('b', 'b')).toBe(0);
    expect(move('none', 'x')).toBe(-errno.ENOENT);
    mkdir(world.root, null, 'd', 0o777);
    mkdir(world.root, null, 'd/e', 0o777);
    expect(move('d', 'd/e/f')).toBe(-errno.EINVAL);
    expect(move('d/e', 'd')).toBe(-errno.ENOTEMPTY);
    expect(move('b', 'd')).toBe(-errno.EISDIR);
    expect(move('d', 'b')).toBe(-errno.ENOTDIR);
    expect(move('b', 'c/')).toBe(-errno.ENOTDIR);
    world.writeFile('d/e/f', 'deep');
    mkdir(world.root, null, 'x', 0o777);
    expect(move('d', 'x')).toBe(0);
    expect(world.readFile('x/e/f')).toBe('deep');
    expect(world.list('/t')).toEqual(['b', 'x']);
    mkdir(world.root, null, 'y', 0o777);
    expect(move('y', 'x')).toBe(-errno.ENOTEMPTY);
    expect(move('.', 'z')).toBe(-errno.EBUSY);
    expect(move('b', 'x', abi.RENAME_NOREPLACE)).toBe(-errno.EEXIST);
    expect(move('b', 'x', abi.RENAME_EXCHANGE)).toBe(0);
    expect(world.readFile('x')).toBe('A');
    expect(world.readFile('b/e/f')).toBe('deep');
    expect(move('b', 'none', abi.RENAME_EXCHANGE)).toBe(-errno.ENOENT);
    expect(move('b', 'x', abi.RENAME_EXCHANGE | abi.RENAME_NOREPLACE)).toBe(-errno.EINVAL);
  });

  it('shows a renamed working directory under its new name', () => {
    mkdir(world.root, null, 'd', 0o777);
    mkdir(world.root, null, 'd/e', 0o777);
    world.fs.setCwd(world.path('d/e'));
    expect(rename(world.root, null, '/t/d', null, '/t/x', 0)).toBe(0);
    expect(getcwd(world.fs)).toBe('/t/x/e');
    world.writeFile('f', 'x');
    expect(world.readFile('/t/x/e/f')).toBe('x');
  });

  it('lists in any piece size, with numbers that stat shows', () => {
    const names = Array.from({ length: 20 }, (_, i) => `n${i}`);
    for (const n of names) world.writeFile(n, n);
    for (const atOnce of [1, 2, 7, 100]) {
      const entries = world.entries('.', atOnce);
      expect(entries.map((entry) => entry.name).sort()).toEqual(['.', '..', ...names].sort());
      for (const entry of entries) expect(entry.ino).toBe(world.stat(entry.name).ino);
    }
  });

  it('lists on while entries come and go', () => {
    for (let i = 0; i < 10; i++) world.writeFile(`n${i}`, '');
    const file = world.open('.', abi.O_DIRECTORY);
    const seen: string[] = [];
    for (let more = true; more; ) {
      more = false;
      file.readdir((entry) => {
        if (more) return false;
        more = true;
        if (entry !== '.' && entry !== '..') seen.push(entry);
        return true;
      }, world.root);
      const last = seen.at(-1);
      if (last !== undefined && last.startsWith('n') && more) unlink(world.root, null, last);
    }
    expect(seen.sort()).toEqual(Array.from({ length: 10 }, (_, i) => `n${i}`));
    file.position = 0;
    const rest: string[] = [];
    file.readdir((entry) => rest.push(entry) > 0, world.root);
    expect(rest).toEqual(['.', '..']);
    file.release();
  });

  it('checks permissions as path_resolution(7) says', () => {
    const user = world.user(1000);
    const other = world.user(1001, 1001, [1000]);
    mkdir(world.root, null, 'd', 0o755);
    expect(world.tryOpen('d/f', abi.O_CREAT | abi.O_WRONLY, 0o644, user)).toBe(-errno.EACCES);
    expect(chown(world.root, at('d'), 1000, 1000)).toBe(0);
    world.writeFile('d/f', 'x', 0o640, user);
    expect(world.stat('d/f').uid).toBe(1000);
    expect(world.tryOpen('d/f', abi.O_RDONLY, 0, other)).toBe(0);
    expect(world.tryOpen('d/f', abi.O_RDWR, 0, other)).toBe(-errno.EACCES);
    expect(world.tryOpen('d/f', abi.O_RDONLY, 0, world.user(1002))).toBe(-errno.EACCES);
    expect(chmod(other, at('d/f'), 0o777)).toBe(-errno.EPERM);
    expect(chmod(user, at('d'), 0o700)).toBe(0);
    expect(world.tryStat('d/f', 0, other)).toBe(-errno.EACCES);
    expect(world.tryStat('d/f', 0, world.root)).toBe(0);
    expect(access(world.root, at('d/f'), abi.X_OK, 'effective')).toBe(-errno.EACCES);
    expect(access(other, at('d/f'), abi.R_OK, 'real')).toBe(0);
    expect(chown(user, at('d/f'), 0, -1)).toBe(-errno.EPERM);
    expect(chown(other, at('d/f'), -1, 1000)).toBe(-errno.EPERM);
  });

  it('protects sticky directories', () => {
    mkdir(world.root, null, 's', 0o777);
    chmod(world.root, at('s'), 0o1777);
    const [user, other] = [world.user(1000), world.user(1001)];
    world.writeFile('s/f', 'x', 0o666, user);
    expect(unlink(other, null, 's/f')).toBe(-errno.EPERM);
    expect(rename(other, null, 's/f', null, 's/g', 0)).toBe(-errno.EPERM);
    world.writeFile('s/own', 'x', 0o644, other);
    expect(rename(other, null, 's/own', null, 's/f', 0)).toBe(-errno.EPERM);
    expect(link(other, null, 's/f', null, 's/l', 0)).toBe(-errno.EPERM);
    expect(unlink(user, null, 's/f')).toBe(0);
  });

  it('takes set-id bits away when contents or owner change', () => {
    const user = world.user(1000);
    mkdir(world.root, null, 'd', 0o777);
    chmod(world.root, at('d'), 0o777);
    world.writeFile('d/f', 'x', 0o755, user);
    expect(chmod(user, at('d/f'), 0o6755)).toBe(0);
    expect(world.stat('d/f').mode & 0o7777).toBe(0o6755);
    const file = world.open('d/f', abi.O_WRONLY, 0, user);
    file.write({ remaining: 1, put: () => 1, skip: () => {}, take: (memory, offset) => ((memory.bytes[offset] = 65), 1) }, 0, user);
    file.release();
    expect(world.stat('d/f').mode & 0o7777).toBe(0o755);
    chmod(user, at('d/f'), 0o6755);
    expect(chown(world.root, at('d/f'), 1001, -1)).toBe(0);
    expect(world.stat('d/f').mode & 0o7777).toBe(0o755);
    // A new member of a set-group-ID directory gets its group; a directory the bit as well.
    chown(world.root, at('d'), 0, 77);
    chmod(world.root, at('d'), 0o2777);
    world.writeFile('d/g', '', 0o644, user);
    expect(world.stat('d/g').gid).toBe(77);
    mkdir(user, null, 'd/sub', 0o755);
    expect(world.stat('d/sub').mode & 0o7777).toBe(0o2755);
  });

  it('sets times, and touches them', () => {
    world.writeFile('a', 'x');
    expect(utimens(world.root, at('a'), { sec: 5, nsec: 6 }, { sec: 7, nsec: 8 })).toBe(0);
    expect(world.stat('a')).toMatchObject({ atimeSec: 5, atimeNsec: 6, mtimeSec: 7, mtimeNsec: 8 });
    expect(utimens(world.root, at('a'), 'omit', { sec: 9, nsec: 0 })).toBe(0);
    expect(world.stat('a')).toMatchObject({ atimeSec: 5, mtimeSec: 9 });
    host.advance(5e9);
    const before = world.stat('.');
    world.writeFile('b', 'y');
    expect(world.stat('.').mtimeSec).toBeGreaterThan(before.mtimeSec);
    const file = world.open('a', abi.O_WRONLY);
    world.write(file, 'z', 0);
    file.release();
    expect(world.stat('a').mtimeSec).toBe(world.stat('b').mtimeSec);
    expect(utimens(world.user(3), at('a'), 'now', 'now')).toBe(-errno.EACCES);
    expect(utimens(world.user(3), at('a'), 'now', { sec: 1, nsec: 0 })).toBe(-errno.EPERM);
  });

  it('keeps extended attributes', () => {
    world.writeFile('a', 'x');
    expect(setxattr(world.root, at('a'), 'user.k', 'v', 0)).toBe(0);
    expect(getxattr(world.root, at('a'), 'user.k')).toBe('v');
    expect(setxattr(world.root, at('a'), 'user.k', 'v', abi.XATTR_CREATE)).toBe(-errno.EEXIST);
    expect(setxattr(world.root, at('a'), 'user.n', 'v', abi.XATTR_REPLACE)).toBe(-errno.ENODATA);
    expect(setxattr(world.root, at('a'), 'trusted.t', '1', 0)).toBe(0);
    expect(listxattr(world.root, at('a'))).toEqual(['user.k', 'trusted.t']);
    expect(listxattr(world.user(9), at('a'))).toEqual(['user.k']);
    expect(getxattr(world.user(9), at('a'), 'trusted.t')).toBe(-errno.ENODATA);
    expect(setxattr(world.user(9), at('a'), 'user.k', 'w', 0)).toBe(-errno.EACCES);
    expect(setxattr(world.user(9), at('a'), 'trusted.t', 'w', 0)).toBe(-errno.EPERM);
    expect(setxattr(world.root, at('a'), 'system.posix_acl_access', 'w', 0)).toBe(-errno.EOPNOTSUPP);
    expect(setxattr(world.root, at('a'), 'odd', 'w', 0)).toBe(-errno.EOPNOTSUPP);
    expect(removexattr(world.root, at('a'), 'user.k')).toBe(0);
    expect(removexattr(world.root, at('a'), 'user.k')).toBe(-errno.ENODATA);
    symlink(world.root, 'a', null, 'l');
    expect(setxattr(world.root, world.path('l', 0), 'user.k', 'v', 0)).toBe(-errno.EPERM);
  });

  it('does not let a running program be written', () => {
    world.writeFile('prog', '#!', 0o755);
    const running = openPath(world.root, at('prog'), OPEN_EXEC);
    if (typeof running === 'number') throw new Error(`exec: ${running}`);
    expect(world.tryOpen('prog', abi.O_WRONLY)).toBe(-errno.ETXTBSY);
    expect(world.tryOpen('prog', abi.O_RDONLY | abi.O_TRUNC)).toBe(-errno.ETXTBSY);
    expect(truncate(world.root, at('prog'), 0)).toBe(-errno.ETXTBSY);
    expect(world.tryOpen('prog', abi.O_RDONLY)).toBe(0);
    running.release();
    const writer = world.open('prog', abi.O_RDWR);
    expect(openPath(world.root, at('prog'), OPEN_EXEC)).toBe(-errno.ETXTBSY);
    writer.release();
    expect(chmod(world.root, at('prog'), 0o644)).toBe(0);
    expect(openPath(world.root, at('prog'), OPEN_EXEC)).toBe(-errno.EACCES);
  });

  it('makes special files', () => {
    expect(mknod(world.root, null, 'fifo', abi.S_IFIFO | 0o666, 0)).toBe(0);
    expect(world.stat('fifo').mode).toBe(abi.S_IFIFO | 0o644);
    expect(mknod(world.root, null, 'null', abi.S_IFCHR | 0o666, 0x103)).toBe(0);
    expect(world.stat('null').rdev).toBe(0x103);
    expect(world.tryOpen('null', abi.O_RDONLY)).toBe(-errno.ENXIO);
    expect(mknod(world.user(4), null, 'no', abi.S_IFCHR, 0x103)).toBe(-errno.EACCES);
    expect(mknod(world.root, null, 'd', abi.S_IFDIR, 0)).toBe(-errno.EPERM);
    expect(mknod(world.root, null, 'plain', 0o644, 0)).toBe(0);
    expect(world.stat('plain').mode).toBe(abi.S_IFREG | 0o644);
  });

  it('counts links of directories and frees what was removed', () => {
    const into = { type: 0, blockSize: 0, blocks: 0, blocksFree: 0, blocksAvailable: 0, files: 0, filesFree: 0, nameLength: 0 };
    statfs(at('/t'), into);
    const { filesFree, blocksFree } = into;
    mkdir(world.root, null, 'd', 0o777);
    for (let i = 0; i < 5; i++) mkdir(world.root, null, `d/${i}`, 0o777);
    expect(world.stat('d').nlink).toBe(7);
    world.writeFile('d/f', 'x'.repeat(50_000));
    expect(statfs(at('/t'), into)).toBe(0);
    expect(into.blocksFree).toBe(blocksFree - 13);
    for (let i = 0; i < 5; i++) rmdir(world.root, null, `d/${i}`);
    unlink(world.root, null, 'd/f');
    rmdir(world.root, null, 'd');
    statfs(at('/t'), into);
    expect(into).toMatchObject({ filesFree, blocksFree });
    expect(host.openDescriptors()).toEqual([]);
  });
});
