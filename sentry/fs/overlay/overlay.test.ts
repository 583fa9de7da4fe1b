/**
 * What is special about an overlay: whiteouts, copy-up, hard links and inode numbers across copy-up, renaming lower directories, merged listings.
 */
import { beforeEach, describe, expect, it } from 'vitest';
import * as errno from '#sentry/abi/errno.ts';
import * as abi from '#sentry/abi/fs.ts';
import { FakeHost } from '#platform/fake/fake-host.ts';
import { chmod, utimens } from '../../vfs/attributes.ts';
import { link, mkdir, mknod, rmdir, symlink, unlink } from '../../vfs/operations.ts';
import { rename } from '../../vfs/rename.ts';
import { getxattr, setxattr } from '../../vfs/xattr.ts';
import { World } from '../testing/world.ts';
import { FileStore } from '../tmpfs/file-store.ts';
import { TMPFS_DEFAULTS, TmpFileSystem } from '../tmpfs/tmpfs.ts';
import { OverlayFileSystem } from './overlay.ts';

describe('overlay', () => {
  let host: FakeHost;
  let store: FileStore;
  /** The lower tree, seen and changed directly. */
  let lower: World;
  let lowerFs: TmpFileSystem;
  let upperFs: TmpFileSystem;
  let world: World;

  const move = (from: string, to: string, flags = 0) => rename(world.root, null, from, null, to, flags);

  beforeEach(() => {
    host = new FakeHost();
    store = new FileStore(host);
    lowerFs = new TmpFileSystem(store, 1, { ...TMPFS_DEFAULTS, mode: 0o755 });
    lower = new World(host, lowerFs);
    mkdir(lower.root, null, '/etc', 0o755);
    mkdir(lower.root, null, '/etc/sub', 0o755);
    lower.writeFile('/etc/a', 'lower a');
    lower.writeFile('/etc/b', 'lower b');
    lower.writeFile('/etc/sub/deep', 'deep');
    lower.writeFile('/big', 'x'.repeat(700_000));
    symlink(lower.root, 'etc/a', null, '/link');
    link(lower.root, null, '/etc/a', null, '/etc/a2', 0);
    upperFs = new TmpFileSystem(store, 2);
    world = new World(host, new OverlayFileSystem(3, [lowerFs.root], upperFs));
  });

  it('shows the lower tree, unchanged', () => {
    expect(world.readFile('/link')).toBe('lower a');
    expect(world.list('/etc')).toEqual(['a', 'a2', 'b', 'sub']);
    expect(world.stat('/etc/a').ino).toBe(lower.stat('/etc/a').ino);
    expect(world.stat('/etc/a').dev).toBe(3);
    expect(world.stat('/etc/a').nlink).toBe(2);
    expect(world.tryStat('/none')).toBe(-errno.ENOENT);
  });

  it('copies up on the first write, and never changes the lower file', () => {
    const { ino } = world.stat('/etc/b');
    utimens(lower.root, lower.path('/etc'), { sec: 1, nsec: 0 }, { sec: 2, nsec: 0 });
    const file = world.open('/etc/b', abi.O_RDWR);
    expect(world.stat('/etc').mtimeSec).toBe(2);
    expect(world.write(file, 'UPPER', 0)).toBe(5);
    expect(world.read(file)).toBe('UPPER b');
    file.release();
    expect(world.readFile('/etc/b')).toBe('UPPER b');
    expect(lower.readFile('/etc/b')).toBe('lower b');
    expect(world.stat('/etc/b').ino).toBe(ino);
    expect(world.list('/etc')).toEqual(['a', 'a2', 'b', 'sub']);
  });

  it('copies large files and attributes', () => {
    chmod(lower.root, lower.path('/big'), 0o4751);
    setxattr(lower.root, lower.path('/big'), 'user.k', 'v', 0);
    expect(chmod(world.root, world.path('/big'), 0o640)).toBe(0);
    expect(world.readFile('/big')).toBe('x'.repeat(700_000));
    expect(world.stat('/big').mode & 0o7777).toBe(0o640);
    expect(lower.stat('/big').mode & 0o7777).toBe(0o4751);
    expect(getxattr(world.root, world.path('/big'), 'user.k')).toBe('v');
  });

  it('does not copy what is truncated', () => {
    world.open('/big', abi.O_WRONLY | abi.O_TRUNC).release();
    expect(world.stat('/big').size).toBe(0);
    expect(lower.stat('/big').size).toBe(700_000);
  });

  it('reads lower files through their own descriptions', () => {
    const before = host.openDescriptors().length;
    const file = world.open('/big');
    expect(file.mappable(false)).toMatchObject({ hostFd: expect.any(Number) as number });
    expect(host.openDescriptors().length).toBe(before);
    file.release();
  });

  it('whites out', () => {
    expect(unlink(world.root, null, '/etc/b')).toBe(0);
    expect(world.tryStat('/etc/b')).toBe(-errno.ENOENT);
    expect(world.list('/etc')).toEqual(['a', 'a2', 'sub']);
    expect(lower.readFile('/etc/b')).toBe('lower b');
    world.writeFile('/etc/b', 'new');
    expect(world.readFile('/etc/b')).toBe('new');
    expect(unlink(world.root, null, '/etc/b')).toBe(0);
    expect(world.tryStat('/etc/b')).toBe(-errno.ENOENT);
    expect(mkdir(world.root, null, '/etc/b', 0o755)).toBe(0);
    expect(world.list('/etc/b')).toEqual([]);
    expect(mknod(world.root, null, '/etc/w', abi.S_IFCHR, 0)).toBe(-errno.EPERM);
  });

  it('removes directories with all that was in them', () => {
    expect(rmdir(world.root, null, '/etc/sub')).toBe(-errno.ENOTEMPTY);
    expect(unlink(world.root, null, '/etc/sub/deep')).toBe(0);
    expect(rmdir(world.root, null, '/etc/sub')).toBe(0);
    for (const name of ['a', 'a2', 'b']) expect(unlink(world.root, null, `/etc/${name}`)).toBe(0);
    expect(rmdir(world.root, null, '/etc')).toBe(0);
    expect(world.list('/')).toEqual(['big', 'link']);
    expect(mkdir(world.root, null, '/etc', 0o700)).toBe(0);
    // The new directory is opaque.
    expect(world.list('/etc')).toEqual([]);
    expect(world.tryStat('/etc/a')).toBe(-errno.ENOENT);
    expect(world.stat('/etc').nlink).toBe(2);
  });

  it('keeps hard links together across copy-up', () => {
    const held = world.open('/etc/a2');
    world.writeFile('/etc/a', 'changed');
    expect(world.readFile('/etc/a2')).toBe('changed');
    expect(world.stat('/etc/a').nlink).toBe(2);
    expect(world.stat('/etc/a2').ino).toBe(world.stat('/etc/a').ino);
    // The description that was open before the copy-up still shows the old contents, as on Linux.
    expect(world.read(held)).toBe('lower a');
    held.release();
    expect(unlink(world.root, null, '/etc/a')).toBe(0);
    expect(world.stat('/etc/a2').nlink).toBe(1);
    expect(world.readFile('/etc/a2')).toBe('changed');
    expect(move('/etc/a2', '/a3')).toBe(0);
    expect(world.readFile('/a3')).toBe('changed');
    expect(world.stat('/a3').nlink).toBe(1);
    expect(link(world.root, null, '/a3', null, '/a4', 0)).toBe(0);
    expect(world.stat('/a4').nlink).toBe(2);
    expect(unlink(world.root, null, '/a3')).toBe(0);
    expect(unlink(world.root, null, '/a4')).toBe(0);
    expect(upperFs.root.lookup('index')).toMatchObject({ size: 40 });
  });

  it('counts the names that are left of a lower file', () => {
    const file = world.open('/etc/a');
    expect(unlink(world.root, null, '/etc/a')).toBe(0);
    expect(world.stat('/etc/a2').nlink).toBe(1);
    expect(unlink(world.root, null, '/etc/a2')).toBe(0);
    expect(file.inode.ino).toBe(lower.stat('/etc/a').ino);
    expect(chmod(world.root, { mount: null, dentry: file.dentry }, 0o600)).toBe(0);
    expect(world.read(file)).toBe('lower a');
    file.release();
  });

  it('renames lower files and directories', () => {
    expect(move('/etc/b', '/b')).toBe(0);
    expect(world.readFile('/b')).toBe('lower b');
    expect(world.list('/etc')).toEqual(['a', 'a2', 'sub']);
    const { ino } = world.stat('/etc');
    expect(move('/etc', '/conf')).toBe(0);
    expect(world.tryStat('/etc')).toBe(-errno.ENOENT);
    expect(world.stat('/conf').ino).toBe(ino);
    expect(world.list('/conf')).toEqual(['a', 'a2', 'sub']);
    expect(world.readFile('/conf/sub/deep')).toBe('deep');
    world.writeFile('/conf/sub/deep', 'changed');
    expect(world.readFile('/conf/sub/deep')).toBe('changed');
    expect(lower.readFile('/etc/sub/deep')).toBe('deep');
    expect(mkdir(world.root, null, '/etc', 0o755)).toBe(0);
    expect(world.list('/etc')).toEqual([]);
    expect(move('/conf', '/etc')).toBe(0);
    expect(world.list('/etc')).toEqual(['a', 'a2', 'sub']);
    expect(world.list('/')).toEqual(['b', 'big', 'etc', 'link']);
  });

  it('survives the loss of every dentry', () => {
    world.writeFile('/etc/a', 'changed');
    unlink(world.root, null, '/etc/b');
    move('/etc/sub', '/moved');
    const { ino } = world.stat('/etc/a');
    world.vfs.cache.prune(world.fs.root.dentry);
    expect(world.list('/')).toEqual(['big', 'etc', 'link', 'moved']);
    expect(world.list('/moved')).toEqual(['deep']);
    expect(world.readFile('/etc/a2')).toBe('changed');
    expect(world.stat('/etc/a').ino).toBe(ino);
    expect(world.stat('/etc/a').nlink).toBe(2);
    expect(world.tryStat('/etc/b')).toBe(-errno.ENOENT);
    expect(world.tryStat('/etc/sub')).toBe(-errno.ENOENT);
  });

  it('exchanges and replaces across layers', () => {
    world.writeFile('/new', 'new');
    expect(move('/new', '/etc/b', abi.RENAME_EXCHANGE)).toBe(0);
    expect(world.readFile('/new')).toBe('lower b');
    expect(world.readFile('/etc/b')).toBe('new');
    expect(move('/new', '/etc/a')).toBe(0);
    expect(world.readFile('/etc/a')).toBe('lower b');
    expect(world.stat('/etc/a2').nlink).toBe(1);
    expect(world.readFile('/etc/a2')).toBe('lower a');
    expect(move('/etc/a', '/x', abi.RENAME_WHITEOUT)).toBe(-errno.EINVAL);
    mkdir(world.root, null, '/empty', 0o755);
    expect(move('/empty', '/etc/sub')).toBe(-errno.ENOTEMPTY);
    unlink(world.root, null, '/etc/sub/deep');
    expect(move('/empty', '/etc/sub')).toBe(0);
    expect(world.list('/etc/sub')).toEqual([]);
  });

  it('merges lower layers, with their whiteouts and opaque directories', () => {
    const topFs = new TmpFileSystem(store, 5);
    const top = new World(host, topFs);
    mkdir(top.root, null, '/etc', 0o700);
    top.writeFile('/etc/b', 'top b');
    mknod(top.root, null, '/etc/a', abi.S_IFCHR, 0);
    mkdir(top.root, null, '/etc/sub', 0o755);
    setxattr(top.root, top.path('/etc/sub'), 'trusted.overlay.opaque', 'y', 0);
    const merged = new World(host, new OverlayFileSystem(6, [topFs.root, lowerFs.root], new TmpFileSystem(store, 7)));
    expect(merged.list('/')).toEqual(['big', 'etc', 'link']);
    expect(merged.list('/etc')).toEqual(['a2', 'b', 'sub']);
    expect(merged.stat('/etc').mode & 0o777).toBe(0o700);
    expect(merged.readFile('/etc/b')).toBe('top b');
    expect(merged.tryStat('/etc/a')).toBe(-errno.ENOENT);
    expect(merged.list('/etc/sub')).toEqual([]);
    expect(getxattr(merged.root, merged.path('/etc/sub'), 'trusted.overlay.opaque')).toBe(-errno.ENODATA);
    expect(unlink(merged.root, null, '/etc/b')).toBe(0);
    expect(merged.list('/etc')).toEqual(['a2', 'sub']);
  });

  it('fails a copy-up that does not fit, and leaves everything as it was', () => {
    const small = new TmpFileSystem(store, 8, { ...TMPFS_DEFAULTS, sizeBytes: 64 * 1024, inodes: 8 });
    const tight = new World(host, new OverlayFileSystem(9, [lowerFs.root], small));
    expect(tight.tryOpen('/big', abi.O_WRONLY)).toBe(-errno.ENOSPC);
    expect(tight.readFile('/big').length).toBe(700_000);
    for (const name of ['a', 'a2', 'b', 'sub/deep']) unlink(tight.root, null, `/etc/${name}`);
    const left = tight.list('/etc');
    expect(unlink(tight.root, null, '/big')).toBe(-errno.ENOSPC);
    expect(tight.stat('/big').size).toBe(700_000);
    expect(tight.list('/etc')).toEqual(left);
  });

  it('closes every descriptor in the end', () => {
    world.writeFile('/big', 'y'.repeat(100_000));
    const file = world.open('/big');
    unlink(world.root, null, '/big');
    const before = host.openDescriptors().length;
    file.release();
    expect(host.openDescriptors().length).toBe(before - 1);
  });
});
