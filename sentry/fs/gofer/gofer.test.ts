import { emptyAttributes } from '#sentry/abi/stat.ts';
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EACCES, EEXIST, EISDIR, ENOENT, ENOTDIR, ENOTEMPTY, EPERM, EROFS } from '#sentry/abi/errno.ts';
import {
  O_APPEND,
  O_CREAT,
  O_EXCL,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  RENAME_EXCHANGE,
  S_IFIFO,
  S_IFMT,
  S_IFREG,
  SEEK_END,
  SEEK_SET,
} from '#sentry/abi/fs.ts';
import type { HostStat } from '#platform/contract/host.ts';
import * as attributesOf from '../../vfs/attributes.ts';
import { initialCredentials, NO_CAPABILITIES } from '../../vfs/credentials.ts';
import * as names from '../../vfs/operations.ts';
import { rename } from '../../vfs/rename.ts';
import { resolve } from '../../vfs/walk.ts';
import type { VfsCaller } from '../../vfs/walk.ts';
import * as xattr from '../../vfs/xattr.ts';
import { buffer, Fixture, realHost } from '../../../test/unit/gofer-fixture.ts';
import { FidCache } from './fid-cache.ts';

let root: string;
let fixture: Fixture;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'gofer-client-'));
  mkdirSync(join(root, 'dir/sub'), { recursive: true });
  writeFileSync(join(root, 'dir/file'), 'hello');
  symlinkSync('dir/file', join(root, 'link'));
  fixture = new Fixture(root);
});

afterEach(() => {
  fixture.close();
  rmSync(root, { recursive: true, force: true });
});

describe('an exclusive mount', () => {
  test('asks for a name once', () => {
    expect(fixture.cost(() => expect(fixture.stat('/dir/file')).toMatchObject({ size: 5, dev: 77 }))).toBe(1);
    expect(fixture.cost(() => expect(fixture.stat('/dir/file')).toMatchObject({ size: 5 }))).toBe(0);
    expect(fixture.cost(() => expect(fixture.stat('/dir/none')).toBe(-ENOENT))).toBe(1);
    expect(fixture.cost(() => expect(fixture.stat('/dir/none')).toBe(-ENOENT))).toBe(0);
  });

  test('opens a file again without asking', () => {
    const first = fixture.open('/link', O_RDONLY);
    expect(fixture.read(first, 1)).toBe('ello');
    first.release();
    expect(fixture.cost(() => fixture.open('/dir/file', O_RDONLY).release())).toBe(0);
  });

  test('answers from a listing that was read to its end', () => {
    for (let i = 0; i < 20; i++) writeFileSync(join(root, 'dir', `f${i}`), 'x'.repeat(i));
    expect(fixture.list('/dir').length).toBe(24);
    expect(
      fixture.cost(() => {
        for (let i = 0; i < 20; i++) expect(fixture.stat(`/dir/f${i}`)).toMatchObject({ size: i });
        expect(fixture.stat('/dir/f20')).toBe(-ENOENT);
        fixture.list('/dir');
      }),
    ).toBe(0);
    const file = fixture.open('/dir/f3', O_RDONLY);
    expect(fixture.read(file, 0)).toBe('xxx');
    file.release();
  });

  test('reads a directory as a whole after several names in it', () => {
    const cost = fixture.cost(() => {
      for (let i = 0; i < 30; i++) expect(fixture.stat(`/dir/n${i}`)).toBe(-ENOENT);
    });
    expect(cost).toBeLessThan(12);
  });

  test('keeps listings right through changes', () => {
    fixture.list('/dir');
    fixture.open('/dir/new', O_CREAT | O_RDWR).release();
    expect(names.unlink(fixture.caller, null, '/dir/file')).toBe(0);
    expect(names.mkdir(fixture.caller, null, '/dir/d', 0o755)).toBe(0);
    expect(rename(fixture.caller, null, '/dir/d', null, '/dir/e', 0)).toBe(0);
    expect(fixture.list('/dir')).toEqual(['.', '..', 'e', 'new', 'sub']);
    expect(fixture.stat('/dir/file')).toBe(-ENOENT);
  });

  test('a directory whose entries changed is asked for again, also when nobody held it', () => {
    fixture.list('/');
    const { cache } = fixture.caller.fs.namespace.vfs;
    const prune = (): void => cache.prune(fixture.caller.fs.namespace.rootPath.dentry);
    const changes = [
      () => names.mkdir(fixture.caller, null, '/dir/new', 0o755),
      () => rename(fixture.caller, null, '/dir/new', null, '/moved', 0),
      () => names.rmdir(fixture.caller, null, '/dir/sub'),
    ];
    for (const change of changes) {
      expect(change()).toBe(0);
      prune();
      const { nlink, mtimeMs } = statSync(join(root, 'dir'));
      expect(fixture.stat('/dir')).toMatchObject({ nlink, mtimeSec: Math.floor(mtimeMs / 1000) });
    }
  });

  test('a file that lost a name shows that under the others', () => {
    linkSync(join(root, 'dir/file'), join(root, 'dir/sub/other'));
    fixture.list('/dir');
    fixture.list('/dir/sub');
    expect(names.unlink(fixture.caller, null, '/dir/file')).toBe(0);
    fixture.caller.fs.namespace.vfs.cache.prune(fixture.caller.fs.namespace.rootPath.dentry);
    expect(fixture.stat('/dir/sub/other')).toMatchObject({ nlink: 1 });
  });

  test('removing while listing skips nothing', () => {
    for (let i = 0; i < 900; i++) writeFileSync(join(root, 'dir/sub', `entry-${i}`), '');
    const file = fixture.open('/dir/sub', O_RDONLY);
    const seen: string[] = [];
    for (;;) {
      const batch: string[] = [];
      expect(file.readdir((name) => batch.length < 50 && batch.push(name) > 0, fixture.caller)).toBe(0);
      if (batch.length === 0) break;
      seen.push(...batch);
      for (const name of batch.filter((entry) => entry.startsWith('e')))
        expect(names.unlink(fixture.caller, null, `/dir/sub/${name}`)).toBe(0);
    }
    file.release();
    expect(new Set(seen).size).toBe(902);
    expect(names.rmdir(fixture.caller, null, '/dir/sub')).toBe(0);
  });

  test('seeking in a directory', () => {
    for (let i = 0; i < 900; i++) writeFileSync(join(root, 'dir/sub', `entry-${i}`), '');
    const file = fixture.open('/dir/sub', O_RDONLY);
    const all: string[] = [];
    file.readdir((name) => all.push(name) > 0, fixture.caller);
    for (const position of [700, 2, 430, 901]) {
      file.position = file.seek(position, SEEK_SET);
      const rest: string[] = [];
      file.readdir((name) => rest.push(name) > 0, fixture.caller);
      expect(rest).toEqual(all.slice(position));
    }
    file.release();
  });
});

describe('file contents', () => {
  test('writes are seen in attributes and on the host', () => {
    const file = fixture.open('/dir/file', O_RDWR);
    expect(fixture.write(file, 'HELLO WORLD', 0)).toBe(11);
    expect(fixture.stat('/dir/file')).toMatchObject({ size: 11 });
    expect(file.seek(-5, SEEK_END)).toBe(6);
    file.release();
    expect(readFileSync(join(root, 'dir/file'), 'latin1')).toBe('HELLO WORLD');
    expect(fixture.stat('/dir/file')).toMatchObject({ size: 11 });
  });

  test('appending writes at the end', () => {
    const file = fixture.open('/dir/file', O_WRONLY | O_APPEND);
    expect(fixture.write(file, '!!', 0)).toBe(2);
    expect(file.endOfWrite).toBe(7);
    file.release();
    expect(readFileSync(join(root, 'dir/file'), 'latin1')).toBe('hello!!');
  });

  test('create, truncate, read back', () => {
    const file = fixture.open('/dir/new', O_CREAT | O_EXCL | O_RDWR, 0o666);
    fixture.write(file, 'abc', 0);
    expect(file.truncate(2)).toBe(0);
    expect(fixture.read(file, 0)).toBe('ab');
    file.release();
    expect(statSync(join(root, 'dir/new')).mode & 0o7777).toBe(0o644);
    fixture.open('/dir/new', O_WRONLY | O_TRUNC).release();
    expect(fixture.stat('/dir/new')).toMatchObject({ size: 0 });
    expect(fixture.tryOpen('/dir/new', O_CREAT | O_EXCL | O_RDWR)).toBe(-EEXIST);
    expect(fixture.tryOpen('/dir', O_WRONLY)).toBe(-EISDIR);
  });

  test('a deleted file lives while it is open', () => {
    const file = fixture.open('/dir/file', O_RDWR);
    expect(names.unlink(fixture.caller, null, '/dir/file')).toBe(0);
    expect(existsSync(join(root, 'dir/file'))).toBe(false);
    fixture.write(file, 'J', 0);
    expect(fixture.read(file, 0)).toBe('Jello');
    const into = emptyAttributes();
    expect(file.getattr(into)).toBe(0);
    expect([into.nlink, into.size]).toEqual([0, 5]);
    expect(attributesOf.chmod(fixture.caller, { mount: file.mount, dentry: file.dentry }, 0o600)).toBe(0);
    file.release();
    expect(fixture.stat('/dir/file')).toBe(-ENOENT);
  });

  test('a mapping is the donated file itself', () => {
    const file = fixture.open('/dir/file', O_RDWR);
    const mapping = file.mappable(true);
    if (typeof mapping === 'number') throw new Error('not mappable');
    buffer.writeLatin1('x', 0);
    realHost.pwrite(mapping.hostFd, buffer, 0, 1, 0);
    expect(fixture.read(file, 0)).toBe('xello');
    file.release();
  });
});

describe('names', () => {
  test('hard links meet in one inode', () => {
    linkSync(join(root, 'dir/file'), join(root, 'other'));
    const a = resolve(fixture.caller, null, '/dir/file', 0);
    const b = resolve(fixture.caller, null, '/other', 0);
    if (typeof a === 'number' || typeof b === 'number') throw new Error('not found');
    expect(a.dentry.inode).toBe(b.dentry.inode);
    expect(names.link(fixture.caller, null, '/other', null, '/dir/third', 0)).toBe(0);
    expect(fixture.stat('/dir/file')).toMatchObject({ nlink: 3 });
    expect(names.unlink(fixture.caller, null, '/other')).toBe(0);
    expect(fixture.stat('/dir/third')).toMatchObject({ nlink: 2 });
  });

  test('renaming a directory moves what is below', () => {
    const file = fixture.open('/dir/file', O_RDONLY);
    expect(rename(fixture.caller, null, '/dir', null, '/moved', 0)).toBe(0);
    expect(fixture.stat('/moved/file')).toMatchObject({ size: 5 });
    expect(fixture.stat('/dir/file')).toBe(-ENOENT);
    expect(fixture.read(file, 0)).toBe('hello');
    file.release();
    expect(fixture.open('/moved/file', O_RDWR).release()).toBeUndefined();
  });

  test('replacing and exchanging', () => {
    writeFileSync(join(root, 'a'), 'aa');
    writeFileSync(join(root, 'b'), 'bbbb');
    expect(rename(fixture.caller, null, '/a', null, '/b', RENAME_EXCHANGE)).toBe(0);
    expect([fixture.stat('/a'), fixture.stat('/b')]).toMatchObject([{ size: 4 }, { size: 2 }]);
    expect(rename(fixture.caller, null, '/a', null, '/b', 0)).toBe(0);
    expect([fixture.stat('/a'), fixture.stat('/b')]).toMatchObject([-ENOENT, { size: 4, nlink: 1 }]);
    expect(readFileSync(join(root, 'b'), 'latin1')).toBe('bbbb');
  });

  test('symlink, readlink, mknod, rmdir, chown, utimens', () => {
    expect(names.symlink(fixture.caller, 'dir/sub', null, '/s')).toBe(0);
    expect(names.readlink(fixture.caller, null, '/s', 0)).toBe('dir/sub');
    expect(names.readlink(fixture.caller, null, '/link', 0)).toBe('dir/file');
    expect(names.mknod(fixture.caller, null, '/fifo', S_IFIFO | 0o600, 0)).toBe(0);
    expect(lstatSync(join(root, 'fifo')).isFIFO()).toBe(true);
    expect(names.mknod(fixture.caller, null, '/sock', 0o140600, 0)).toBe(0);
    expect(lstatSync(join(root, 'sock')).isSocket()).toBe(true);
    expect(names.mknod(fixture.caller, null, '/device', 0o020600, 0x103)).toBe(-EPERM);
    expect(names.mknod(fixture.caller, null, '/plain', S_IFREG | 0o600, 0)).toBe(0);
    expect(names.rmdir(fixture.caller, null, '/dir')).toBe(-ENOTEMPTY);
    expect(names.rmdir(fixture.caller, null, '/dir/sub')).toBe(0);
    const at = resolve(fixture.caller, null, '/plain', 0);
    if (typeof at === 'number') throw new Error('not found');
    expect(attributesOf.utimens(fixture.caller, at, 'omit', { sec: 5, nsec: 6 })).toBe(0);
    expect(attributesOf.chmod(fixture.caller, at, 0o4755)).toBe(0);
    expect(fixture.stat('/plain')).toMatchObject({ mtimeSec: 5, mtimeNsec: 6, mode: S_IFREG | 0o4755 });
    expect(xattr.setxattr(fixture.caller, at, 'user.a', 'b', 0)).toBe(0);
    expect(xattr.listxattr(fixture.caller, at)).toEqual(['user.a']);
    expect(xattr.getxattr(fixture.caller, at, 'user.a')).toBe('b');
    expect(xattr.removexattr(fixture.caller, at, 'user.a')).toBe(0);
  });
});

describe('few fids', () => {
  test('inodes that lost theirs are walked to again', () => {
    fixture.close();
    fixture = new Fixture(root, 'exclusive', false, 5);
    for (let i = 0; i < 20; i++) {
      mkdirSync(join(root, `d${i}/e`), { recursive: true });
      writeFileSync(join(root, `d${i}/e/f`), `${i}`);
    }
    for (const round of [0, 1]) {
      for (let i = 0; i < 20; i++) {
        const file = fixture.open(`/d${i}/e/f`, O_RDWR);
        expect(fixture.read(file, 0)).toBe(`${i}`);
        file.release();
        expect(names.mkdir(fixture.caller, null, `/d${i}/e/g${round}`, 0o700)).toBe(0);
        expect(rename(fixture.caller, null, `/d${i}/e/g${round}`, null, `/d${(i + 1) % 20}/h${round}`, 0)).toBe(0);
      }
    }
    expect(existsSync(join(root, 'd0/h1'))).toBe(true);
  });

  test('a full cache of pinned fids is an error, not a hang', () => {
    const cache = new FidCache(fixture.connection, 2);
    const pinned = [0, 1].map(() => ({ fid: 0, pinned: false }));
    for (const holder of pinned) {
      cache.give(holder, cache.take());
      cache.pin(holder);
    }
    expect(cache.take()).toBe(0);
  });
});

describe('a shared mount', () => {
  test('sees what others do', () => {
    fixture.close();
    fixture = new Fixture(root, 'shared');
    expect(fixture.stat('/dir/file')).toMatchObject({ size: 5 });
    writeFileSync(join(root, 'dir/file'), 'longer than before');
    chmodSync(join(root, 'dir/file'), 0o600);
    expect(fixture.stat('/dir/file')).toMatchObject({ size: 18, mode: S_IFREG | 0o600 });
    unlinkSync(join(root, 'dir/file'));
    expect(fixture.stat('/dir/file')).toBe(-ENOENT);
    writeFileSync(join(root, 'dir/file'), 'again');
    expect(fixture.stat('/dir/file')).toMatchObject({ size: 5 });
    renameSync(join(root, 'dir'), join(root, 'away'));
    expect(fixture.stat('/dir')).toBe(-ENOENT);
    expect(fixture.list('/')).toEqual(['.', '..', 'away', 'link']);
  });

  test('asks once for a path, however long, and again for the next', () => {
    fixture.close();
    fixture = new Fixture(root, 'shared');
    mkdirSync(join(root, 'dir/sub/a/b'), { recursive: true });
    writeFileSync(join(root, 'dir/sub/a/b/file'), 'deep');
    for (let i = 0; i < 2; i++) expect(fixture.cost(() => expect(fixture.stat('/dir/sub/a/b/file')).toMatchObject({ size: 4 }))).toBe(1);
    expect(fixture.cost(() => expect(fixture.stat('/dir/sub/none/b/file')).toBe(-ENOENT))).toBe(1);
    expect(fixture.cost(() => expect(fixture.stat('/dir/file/b/file')).toBe(-ENOTDIR))).toBe(1);
    symlinkSync('sub/a', join(root, 'dir/short'));
    expect(fixture.cost(() => expect(fixture.stat('/dir/short/b/file')).toMatchObject({ size: 4 }))).toBeLessThan(4);
    expect(fixture.stat('/dir/sub/../file')).toMatchObject({ size: 5 });
    renameSync(join(root, 'dir/sub'), join(root, 'dir/moved'));
    expect([fixture.stat('/dir/sub/a/b/file'), fixture.stat('/dir/moved/a')]).toMatchObject([
      -ENOENT,
      { mode: expect.any(Number) as number },
    ]);
  });

  test('a walk that is refused leaves nothing of what lies behind', () => {
    fixture.close();
    fixture = new Fixture(root, 'shared');
    mkdirSync(join(root, 'dir/closed/a/b'), { recursive: true, mode: 0o755 });
    chmodSync(join(root, 'dir/closed'), 0o700);
    const { fs } = fixture.caller;
    const nobody: VfsCaller = { credentials: initialCredentials(65_534, 65_534, [], NO_CAPABILITIES), fs, task: null };
    const into = emptyAttributes();
    for (let i = 0; i < 3; i++) expect(attributesOf.stat(nobody, null, '/dir/closed/a/b/file', 0, into)).toBe(-EACCES);
    fixture.stat('/');
    fs.namespace.vfs.cache.prune(fs.namespace.rootPath.dentry);
    expect(fixture.fileSystem.liveInodes).toBe(1);
  });
});

describe('a read-only mount', () => {
  test('refuses changes with EROFS', () => {
    fixture.close();
    fixture = new Fixture(root, 'exclusive', true);
    expect(fixture.tryOpen('/dir/file', O_RDONLY)).toBe(0);
    expect([
      fixture.tryOpen('/dir/file', O_RDWR),
      fixture.tryOpen('/dir/new', O_CREAT | O_RDWR),
      names.mkdir(fixture.caller, null, '/d', 0o755),
      names.unlink(fixture.caller, null, '/link'),
      rename(fixture.caller, null, '/link', null, '/l', 0),
      names.symlink(fixture.caller, 'x', null, '/y'),
    ]).toEqual(Array.from({ length: 6 }, () => -EROFS));
  });
});

describe('inodes', () => {
  test('are let go with their dentries', () => {
    for (let i = 0; i < 30; i++) writeFileSync(join(root, 'dir', `f${i}`), '');
    for (let i = 0; i < 30; i++) fixture.open(`/dir/f${i}`, O_RDONLY).release();
    const { cache } = fixture.caller.fs.namespace.vfs;
    expect(fixture.fileSystem.liveInodes).toBeGreaterThan(30);
    const { rootPath } = fixture.caller.fs.namespace;
    cache.prune(rootPath.dentry);
    expect(fixture.fileSystem.liveInodes).toBe(1);
    expect(fixture.stat('/dir/f3')).toMatchObject({ mode: expect.any(Number) as number });
    expect((fixture.stat('/dir/f3') as HostStat).mode & S_IFMT).toBe(S_IFREG);
  });

  test('a lost gofer is reported', () => {
    fixture.gofer.server.table.releaseAll();
    expect(fixture.stat('/dir')).not.toBe(0);
    expect(fixture.lost).toBe('');
    realHost.close(fixture.gofer.socket);
    expect(fixture.stat('/elsewhere')).toBeLessThan(0);
    expect(fixture.lost).not.toBe('');
  });
});
