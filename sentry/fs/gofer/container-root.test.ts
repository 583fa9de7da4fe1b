/** What the root of a container asks of the gofer beyond a directory of `do`: owners of a user namespace, a time to prepare it, sockets, mounts on it. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { IdMap } from '#gofer/server/id-map.ts';
import { EACCES, EINVAL, ENODATA, ENOENT, EOVERFLOW, EPERM, EROFS } from '#sentry/abi/errno.ts';
import { O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TMPFILE, O_WRONLY, S_IFSOCK } from '#sentry/abi/fs.ts';
import { emptyAttributes } from '#sentry/abi/stat.ts';
import { Fixture, realHost } from '../../../test/unit/gofer-fixture.ts';
import type { Special } from '../../../test/unit/gofer-fixture.ts';
import * as attributesOf from '../../vfs/attributes.ts';
import { ALL_CAPABILITIES, initialCredentials, NO_CAPABILITIES } from '../../vfs/credentials.ts';
import { FsContext } from '../../vfs/fs-context.ts';
import type { Path } from '../../vfs/mount.ts';
import * as names from '../../vfs/operations.ts';
import { resolve, WALK_EMPTY, WALK_FOLLOW } from '../../vfs/walk.ts';
import type { VfsCaller } from '../../vfs/walk.ts';
import * as xattr from '../../vfs/xattr.ts';
import { FileStore } from '../tmpfs/file-store.ts';
import { TmpFileSystem } from '../tmpfs/tmpfs.ts';

let root: string;
const opened: Fixture[] = [];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'gofer-container-'));
  mkdirSync(join(root, 'dir'));
  writeFileSync(join(root, 'dir/file'), 'hello');
});

afterEach(() => {
  for (const fixture of opened.splice(0)) fixture.close();
  rmSync(root, { recursive: true, force: true });
});

function serve(special: Special, caching: 'shared' | 'exclusive' = 'shared'): Fixture {
  const fixture = new Fixture(root, caching, false, 64, special);
  opened.push(fixture);
  return fixture;
}

function as(fixture: Fixture, uid: number, capabilities = NO_CAPABILITIES): VfsCaller {
  return { ...fixture.caller, credentials: initialCredentials(uid, uid, [], capabilities) };
}

function at(fixture: Fixture, path: string): Path {
  const found = resolve(fixture.caller, null, path, WALK_FOLLOW);
  if (typeof found === 'number') throw new Error(`${path}: ${found}`);
  return found;
}

function tryOpen(fixture: Fixture, caller: VfsCaller, path: string, flags: number): number {
  const before = fixture.caller.credentials;
  Object.assign(fixture.caller, { credentials: caller.credentials });
  const result = fixture.tryOpen(path, flags);
  Object.assign(fixture.caller, { credentials: before });
  return result;
}

describe.skipIf(process.geteuid!() !== 0)('owners of a user namespace', () => {
  const ids = new IdMap([{ containerID: 0, hostID: 100_000, size: 1000 }]);

  beforeEach(() => {
    chownSync(root, 100_000, 100_000);
    chownSync(join(root, 'dir'), 100_000, 100_005);
    chownSync(join(root, 'dir/file'), 100_033, 100_000);
  });

  test('are those of the container, however they are asked for', () => {
    for (const caching of ['shared', 'exclusive'] as const) {
      const fixture = serve({ ids }, caching);
      expect(fixture.stat('/dir')).toMatchObject({ uid: 0, gid: 5 });
      expect(fixture.list('/dir')).toEqual(['.', '..', 'file']);
      expect(fixture.stat('/dir/file')).toMatchObject({ uid: 33, gid: 0 });
      const file = fixture.open('/dir/file', O_RDWR);
      fixture.write(file, 'changed', 0);
      expect(fixture.stat('/dir/file')).toMatchObject({ uid: 33, gid: 0, size: 7 });
      file.release();
      expect(fixture.stat('/dir/file')).toMatchObject({ uid: 33, gid: 0, size: 7 });
    }
  });

  test('new files and chown', () => {
    const fixture = serve({ ids });
    fixture.open('/new', O_CREAT | O_WRONLY).release();
    expect(names.mkdir(as(fixture, 7, ALL_CAPABILITIES), null, '/made', 0o755)).toBe(-EACCES);
    expect(names.symlink(fixture.caller, 'new', null, '/link')).toBe(0);
    expect(names.mknod(fixture.caller, null, '/sock', S_IFSOCK | 0o600, 0)).toBe(0);
    for (const name of ['new', 'link', 'sock']) expect(lstatSync(join(root, name))).toMatchObject({ uid: 100_000, gid: 100_000 });
    expect(attributesOf.chown(fixture.caller, at(fixture, '/new'), 33, 34)).toBe(0);
    expect(statSync(join(root, 'new'))).toMatchObject({ uid: 100_033, gid: 100_034 });
    expect(fixture.stat('/new')).toMatchObject({ uid: 33, gid: 34 });
  });

  test('one without a number on the host', () => {
    const fixture = serve({ ids });
    expect(attributesOf.chown(fixture.caller, at(fixture, '/dir/file'), 1000, -1)).toBe(-EINVAL);
    expect(attributesOf.chown(fixture.caller, at(fixture, '/dir/file'), -1, 1000)).toBe(-EINVAL);
    chmodSync(root, 0o777);
    expect(fixture.stat('/')).toMatchObject({ mode: 0o40777 });
    expect(tryOpen(fixture, as(fixture, 1000), '/x', O_CREAT | O_WRONLY)).toBe(-EOVERFLOW);
    expect(statSync(join(root, 'dir/file'))).toMatchObject({ uid: 100_033, gid: 100_000 });
  });

  test('one without a number inside is a stranger to everybody, root and nobody alike', () => {
    chownSync(join(root, 'dir/file'), 0, 0);
    chmodSync(join(root, 'dir/file'), 0o600);
    mkdirSync(join(root, 'theirs'), { mode: 0o755 });
    const fixture = serve({ ids });
    expect(fixture.stat('/dir/file')).toMatchObject({ uid: 65_534, gid: 65_534 });
    for (const caller of [fixture.caller, as(fixture, 65_534)]) {
      expect(tryOpen(fixture, caller, '/dir/file', O_RDONLY)).toBe(-EACCES);
      expect(tryOpen(fixture, caller, '/theirs/x', O_CREAT | O_WRONLY)).toBe(-EACCES);
      expect(attributesOf.chmod(caller, at(fixture, '/dir/file'), 0o666)).toBe(-EPERM);
      expect(attributesOf.chown(caller, at(fixture, '/dir/file'), 0, 0)).toBe(-EPERM);
    }
    chmodSync(join(root, 'dir/file'), 0o604);
    expect(tryOpen(fixture, fixture.caller, '/dir/file', O_RDONLY)).toBe(0);
    expect(tryOpen(fixture, fixture.caller, '/dir/file', O_RDWR)).toBe(-EACCES);
  });

  test('what lies in a set-group-ID directory of a strange group belongs to that group', () => {
    chownSync(join(root, 'dir'), 100_000, 50);
    chmodSync(join(root, 'dir'), 0o2775);
    const fixture = serve({ ids });
    expect(fixture.tryOpen('/dir/new', O_CREAT | O_WRONLY)).toBe(0);
    expect(statSync(join(root, 'dir/new'))).toMatchObject({ uid: 100_000, gid: 50 });
  });
});

test('a mapping to the user who runs it takes no privilege', () => {
  const own = process.geteuid!();
  const fixture = serve({ ids: new IdMap([{ containerID: 0, hostID: own, size: 1 }]) });
  fixture.open('/new', O_CREAT | O_WRONLY).release();
  expect(fixture.stat('/new')).toMatchObject({ uid: 0 });
  expect(attributesOf.chown(fixture.caller, at(fixture, '/new'), 0, -1)).toBe(0);
});

describe('a root that is read-only once it is prepared', () => {
  test.each(['shared', 'exclusive'] as const)('%s', (caching) => {
    const fixture = serve({ readOnlyLater: true }, caching);
    expect(names.mkdir(fixture.caller, null, '/prepared', 0o755)).toBe(0);
    const file = fixture.open('/dir/file', O_RDONLY);
    expect(fixture.fileSystem.makeReadOnly(0)).toBe(0);
    expect(names.mkdir(fixture.caller, null, '/late', 0o755)).toBe(-EROFS);
    expect(fixture.tryOpen('/dir/file', O_WRONLY)).toBe(-EROFS);
    expect(fixture.read(file, 0)).toBe('hello');
    file.release();
    expect(fixture.stat('/prepared')).toMatchObject({ uid: process.geteuid!() });
    expect(fixture.list('/dir')).toEqual(['.', '..', 'file']);
    expect(fixture.fileSystem.makeReadOnly(0)).toBe(-EINVAL);
  });

  test('only where it was so configured', () => {
    expect(serve({}).fileSystem.makeReadOnly(0)).toBe(-EINVAL);
  });
});

test.skipIf(process.geteuid!() !== 0)('set-user-ID bits stay when root writes, and go when others do', () => {
  chmodSync(join(root, 'dir/file'), 0o6777);
  const fixture = serve({});
  const file = fixture.open('/dir/file', O_RDWR);
  fixture.write(file, 'x', 0);
  expect(statSync(join(root, 'dir/file')).mode & 0o7777).toBe(0o6777);
  expect(file.truncate(0)).toBe(0);
  expect(statSync(join(root, 'dir/file')).mode & 0o7777).toBe(0o6777);
  Object.assign(fixture.caller, { credentials: initialCredentials(5, 5, [], NO_CAPABILITIES) });
  fixture.write(file, 'y', 0);
  expect(statSync(join(root, 'dir/file')).mode & 0o7777).toBe(0o777);
  file.release();
});

test.each(['shared', 'exclusive'] as const)('a file without a name, and its first one: %s', (caching) => {
  const fixture = serve({}, caching);
  const file = fixture.open('/dir', O_TMPFILE | O_RDWR, 0o640);
  expect(fixture.write(file, 'unnamed', 0)).toBe(7);
  expect(fixture.read(file, 0)).toBe('unnamed');
  const into = emptyAttributes();
  file.getattr(into);
  expect(into).toMatchObject({ nlink: 0, size: 7, mode: 0o100640 });
  expect(fixture.list('/dir')).toEqual(['.', '..', 'file']);
  const { mount, dentry } = file;
  expect(names.link(fixture.caller, { mount: mount!, dentry }, '', null, '/dir/named', WALK_EMPTY)).toBe(0);
  expect(readFileSync(join(root, 'dir/named'), 'utf8')).toBe('unnamed');
  expect(fixture.stat('/dir/named')).toMatchObject({ nlink: 1, size: 7 });
  file.release();
  expect(fixture.read(fixture.open('/dir/named', O_RDONLY), 0)).toBe('unnamed');
  expect(names.unlink(fixture.caller, null, '/dir/named')).toBe(0);
  const never = fixture.open('/dir', O_TMPFILE | O_RDWR | O_EXCL);
  expect(names.link(fixture.caller, { mount: never.mount!, dentry: never.dentry }, '', null, '/dir/never', WALK_EMPTY)).toBe(-ENOENT);
  never.release();
  expect(fixture.tryOpen('/dir', O_TMPFILE | O_RDONLY)).toBe(-EINVAL);
});

describe('a shared root', () => {
  test('shows at once what the host does', () => {
    const fixture = serve({});
    expect(fixture.stat('/dir/new')).toBeTypeOf('number');
    writeFileSync(join(root, 'dir/new'), 'x');
    expect(fixture.stat('/dir/new')).toMatchObject({ size: 1 });
    writeFileSync(join(root, 'dir/new2'), 'longer');
    renameSync(join(root, 'dir/new2'), join(root, 'dir/new'));
    expect(fixture.stat('/dir/new')).toMatchObject({ size: 6 });
    expect(fixture.list('/dir')).toEqual(['.', '..', 'file', 'new']);
  });

  test('is asked again about a directory that denies access', () => {
    chmodSync(join(root, 'dir'), 0o755);
    const before = serve({});
    const user = as(before, 7);
    expect(tryOpen(before, user, '/dir/file', O_RDONLY)).toBe(-EACCES);
    chmodSync(root, 0o755);
    expect(tryOpen(before, user, '/dir/file', O_RDONLY)).toBe(0);
    // The same from a working directory.
    const inside = { ...user, fs: new FsContext(before.caller.fs.namespace, before.caller.fs.root, at(before, '/dir'), 0) };
    expect(names.mkdir(inside, null, 'made', 0o755)).toBe(-EACCES);
    chmodSync(join(root, 'dir'), 0o777);
    expect(names.mkdir(inside, null, 'made', 0o755)).toBe(0);
    inside.fs.release();
  });

  test('is not asked about the places where others are mounted', () => {
    const fixture = serve({});
    const { namespace } = fixture.caller.fs;
    namespace.mount(at(fixture, '/dir'), new TmpFileSystem(new FileStore(realHost), 9), 0, 'tmpfs');
    expect(fixture.tryOpen('/dir/x', O_CREAT | O_WRONLY)).toBe(0);
    expect(fixture.cost(() => expect(fixture.stat('/dir/x')).toMatchObject({ size: 0 }))).toBe(0);
    // Somebody on the host takes the place away: what is mounted there stays.
    renameSync(join(root, 'dir'), join(root, 'gone'));
    expect(fixture.stat('/dir/x')).toMatchObject({ size: 0 });
  });
});

describe.skipIf(process.geteuid!() !== 0)('file capabilities', () => {
  const value = Buffer.from('0100000200200000000000000000000000000000', 'hex').toString('latin1');
  const name = 'security.capability';

  test('are asked for once while the file stays as it is', () => {
    const fixture = serve({});
    const file = at(fixture, '/dir/file');
    file.dentry.acquire();
    expect(fixture.cost(() => expect(xattr.getxattr(fixture.caller, file, name)).toBe(-ENODATA))).toBe(1);
    expect(fixture.cost(() => expect(xattr.getxattr(fixture.caller, file, name)).toBe(-ENODATA))).toBe(0);
    expect(xattr.setxattr(fixture.caller, file, name, value, 0)).toBe(0);
    expect(xattr.getxattr(fixture.caller, file, name)).toBe(value);
    expect(xattr.listxattr(fixture.caller, file)).toEqual([name]);
    execFileSync('setcap', ['-r', join(root, 'dir/file')]);
    expect(xattr.getxattr(fixture.caller, at(fixture, '/dir/file'), name)).toBe(-ENODATA);
    file.dentry.release();
  });

  test('of a user namespace name its root on the host', () => {
    for (const name of ['', 'dir', 'dir/file']) chownSync(join(root, name), 100_000, 100_000);
    const fixture = serve({ ids: new IdMap([{ containerID: 0, hostID: 100_000, size: 1000 }]) });
    expect(xattr.setxattr(fixture.caller, at(fixture, '/dir/file'), name, value, 0)).toBe(0);
    expect(execFileSync('getcap', ['-n', join(root, 'dir/file')]).toString()).toContain('[rootid=100000]');
    expect(xattr.getxattr(fixture.caller, at(fixture, '/dir/file'), name)).toBe(value);
    execFileSync('setcap', ['cap_net_raw+ep', join(root, 'dir/file')]);
    // Given by the host's root, who is nobody inside.
    expect(xattr.getxattr(fixture.caller, at(fixture, '/dir/file'), name)).toBe(-ENODATA);
    expect(xattr.setxattr(fixture.caller, at(fixture, '/dir/file'), name, 'x', 0)).toBe(-EINVAL);
  });
});
