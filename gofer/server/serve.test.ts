import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
  closeSync,
  readdirSync,
  lstatSync,
  renameSync,
  readlinkSync,
} from 'node:fs';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  EACCES,
  EBADF,
  EEXIST,
  EINVAL,
  EISDIR,
  ELOOP,
  ENODATA,
  ENOENT,
  ENOSYS,
  ENOTDIR,
  ENOTEMPTY,
  EPERM,
  EPROTO,
  EROFS,
  EXDEV,
} from '#sentry/abi/errno.ts';
import {
  AT_REMOVEDIR,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFSOCK,
  S_IFREG,
} from '#sentry/abi/fs.ts';
import { isName } from '#gofer/protocol/codec.ts';
import {
  Attach,
  Create,
  Fsync,
  GetAttributes,
  Getxattr,
  Link,
  Listxattr,
  Mkdir,
  Mknod,
  MOUNT_READ_ONLY,
  Open,
  PROTOCOL_VERSION,
  Readdir,
  READDIR_END,
  Readlink,
  Release,
  Removexattr,
  Rename,
  SET_ATIME,
  SET_MODE,
  SET_SIZE,
  SET_UID,
  SetAttributes,
  Setxattr,
  Statfs,
  Symlink,
  Unlink,
  Walk,
} from '#gofer/protocol/messages.ts';
import type { Attributes } from '#gofer/protocol/attributes.ts';
import { WINDOW_SIZE } from '#gofer/protocol/limits.ts';
import { TestGofer } from './testing.ts';

let root: string;
let outside: string;
let gofer: TestGofer;
const RW = 1; // fid of the writable root
const RO = 2; // fid of the same directory, read-only

beforeEach(() => {
  const top = mkdtempSync(join(tmpdir(), 'gofer-test-'));
  root = join(top, 'root');
  outside = join(top, 'outside');
  mkdirSync(join(root, 'dir/sub'), { recursive: true });
  mkdirSync(outside);
  writeFileSync(join(outside, 'secret'), 'secret');
  writeFileSync(join(root, 'dir/sub/file'), 'hello');
  symlinkSync('../outside/secret', join(root, 'escape'));
  symlinkSync(outside, join(root, 'escape-dir'));
  symlinkSync('dir', join(root, 'link'));
  gofer = new TestGofer([
    { path: root, readOnly: false },
    { path: root, readOnly: true },
  ]);
  gofer.hello();
  gofer.ask(Attach, { mount: 0, fid: RW });
  gofer.ask(Attach, { mount: 1, fid: RO });
});

afterEach(() => {
  gofer.close();
  rmSync(join(root, '..'), { recursive: true, force: true });
});

function walkTo(path: string, newFid: number, from = RW): number {
  const { errno, body } = gofer.ask(Walk, { fid: from, newFid, names: path.split('/') });
  return errno !== 0 ? errno : body.stop;
}

interface Entry {
  readonly name: string;
  readonly attributes: Attributes;
}

function listAll(fid: number): Entry[] {
  const entries: Entry[] = [];
  let cookie: readonly [number, number] = [0, 0];
  for (;;) {
    const { errno, body } = gofer.ask(Readdir, { fid, newFid: 0, names: [], cookie, watch: 0 });
    expect(errno).toBe(0);
    entries.push(...body.entries.names.map((name, i) => ({ name, attributes: body.entries.attributes[i]! })));
    cookie = body.next;
    if (body.end === READDIR_END) return entries;
  }
}

describe('finding files', () => {
  test('the hello tells version, fids and mounts', () => {
    const other = new TestGofer([{ path: root, readOnly: true }], 17);
    expect(other.hello()).toEqual({
      version: PROTOCOL_VERSION,
      fids: 17,
      mounts: 1,
      watches: 1,
      window: WINDOW_SIZE,
      report: ['for tests'],
    });
    other.close();
  });

  test('attach tells whether a mount is read-only', () => {
    expect(gofer.ask(Attach, { mount: 0, fid: 9 }).body.mountFlags).toBe(0);
    const { body } = gofer.ask(Attach, { mount: 1, fid: 9 });
    expect(body.mountFlags).toBe(MOUNT_READ_ONLY);
    expect(body.attributes.mode & S_IFMT).toBe(S_IFDIR);
    expect(gofer.ask(Attach, { mount: 2, fid: 9 }).errno).toBe(EINVAL);
  });

  test('one walk resolves a path and gives every component', () => {
    const { body } = gofer.ask(Walk, { fid: RW, newFid: 5, names: ['dir', 'sub', 'file'] });
    expect(body.stop).toBe(0);
    expect(body.reached.map((a) => a.mode & S_IFMT)).toEqual([S_IFDIR, S_IFDIR, S_IFREG]);
    const host = statSync(join(root, 'dir/sub/file'));
    const last = body.reached[2]!;
    expect([last.inoLow + last.inoHigh * 2 ** 32, last.size, last.nlink, last.uid]).toEqual([host.ino, 5, 1, host.uid]);
    expect(gofer.ask(GetAttributes, { fid: 5 }).body.attributes).toEqual(last);
  });

  test('a walk stops at what is missing, at links and behind files', () => {
    expect(gofer.ask(Walk, { fid: RW, newFid: 5, names: ['dir', 'none', 'x'] }).body).toMatchObject({ stop: ENOENT, reached: [{}] });
    expect(gofer.ask(Walk, { fid: RW, newFid: 5, names: ['link', 'sub'] }).body).toMatchObject({ stop: 0, reached: [{}], target: 'dir' });
    expect(gofer.ask(Walk, { fid: RW, newFid: 5, names: ['dir', 'sub', 'file', 'x'] }).body).toMatchObject({ stop: ENOTDIR });
    expect(gofer.ask(GetAttributes, { fid: 5 }).errno).toBe(EBADF);
  });

  test('a link can be kept and read', () => {
    expect(walkTo('escape', 5)).toBe(0);
    expect(gofer.ask(Readlink, { fid: 5 }).body.target).toBe('../outside/secret');
    expect(gofer.ask(Readlink, { fid: RW }).errno).toBe(EINVAL);
    expect(gofer.ask(Open, { fid: 5, newFid: 0, names: [], flags: O_RDONLY }).errno).toBe(ELOOP);
  });

  test('an empty walk makes a second fid', () => {
    expect(gofer.ask(Walk, { fid: RW, newFid: 7, names: [] }).errno).toBe(0);
    gofer.post(Release, { fids: [RW, 0, 9999] });
    expect(gofer.connection.serveOne()).toBe(true);
    expect(gofer.ask(GetAttributes, { fid: RW }).errno).toBe(EBADF);
    expect(gofer.ask(GetAttributes, { fid: 7 }).errno).toBe(0);
  });

  test('without openat2 the answers are the same', () => {
    gofer.server.withoutOpenat2();
    expect(walkTo('dir/sub/file', 5)).toBe(0);
    expect(gofer.ask(Walk, { fid: RW, newFid: 0, names: ['escape-dir', 'secret'] }).body).toMatchObject({ reached: [{}], target: outside });
  });

  test('a link to a directory is not walked through, opened or listed', () => {
    expect(gofer.ask(Open, { fid: RW, newFid: 0, names: ['escape-dir', 'secret'], flags: O_RDONLY }).errno).toBe(ELOOP);
    expect(walkTo('escape-dir', 5)).toBe(0);
    expect(gofer.ask(Walk, { fid: 5, newFid: 0, names: ['secret'] }).body.stop).toBe(ENOTDIR);
    expect(gofer.ask(Readdir, { fid: 5, newFid: 0, names: [], cookie: [0, 0], watch: 0 }).errno).toBe(ENOTDIR);
    expect(gofer.ask(Create, { directory: 5, name: 'x', newFid: 0, flags: O_RDWR, mode: 0o600, uid: 0, gid: 0 }).errno).toBe(ENOTDIR);
  });

  test('a directory swapped for a link after the walk leads nowhere new', () => {
    expect(walkTo('dir', 5)).toBe(0);
    renameSync(join(root, 'dir'), join(root, 'moved'));
    symlinkSync(outside, join(root, 'dir'));
    expect(gofer.ask(Open, { fid: 5, newFid: 0, names: ['secret'], flags: O_RDONLY }).errno).toBe(ENOENT);
    const { errno, fd } = gofer.ask(Open, { fid: 5, newFid: 0, names: ['sub', 'file'], flags: O_RDONLY });
    expect(errno).toBe(0);
    closeSync(fd);
  });

  test('the proc file system looks empty', () => {
    const host = new TestGofer([{ path: '/', readOnly: true }]);
    host.hello();
    host.ask(Attach, { mount: 0, fid: 1 });
    expect(host.ask(Walk, { fid: 1, newFid: 2, names: ['proc'] }).body).toMatchObject({ stop: 0, reached: [{}] });
    expect(host.ask(Walk, { fid: 1, newFid: 0, names: ['proc', 'self'] }).body).toMatchObject({ stop: ENOENT, reached: [{}] });
    expect(host.ask(Readdir, { fid: 2, newFid: 0, names: [], cookie: [0, 0], watch: 0 }).body).toMatchObject({
      end: READDIR_END,
      entries: { names: [] },
    });
    expect(host.ask(Open, { fid: 2, newFid: 0, names: [], flags: O_RDONLY }).errno).toBe(EACCES);
    expect(host.ask(Open, { fid: 1, newFid: 0, names: ['sys', 'kernel', 'uevent_seqnum'], flags: O_RDONLY }).errno).toBe(ENOENT);
    host.close();
  });

  test('statfs', () => {
    const { body } = gofer.ask(Statfs, { fid: RW });
    expect(body.nameLength).toBe(255);
    expect(body.blocks).toBeGreaterThan(0);
  });
});

describe('opening', () => {
  test('donates a descriptor that reads the file', () => {
    const { errno, fd, body } = gofer.ask(Open, { fid: RW, newFid: 6, names: ['dir', 'sub', 'file'], flags: O_RDWR });
    expect([errno, body.attributes.size]).toEqual([0, 5]);
    const buffer = Buffer.alloc(16);
    expect(buffer.toString('latin1', 0, readSync(fd, buffer))).toBe('hello');
    closeSync(fd);
    const again = gofer.ask(Open, { fid: 6, newFid: 0, names: [], flags: O_RDONLY });
    expect(() => writeSync(again.fd, 'x')).toThrow(/EBADF/);
    closeSync(again.fd);
    const cut = gofer.ask(Open, { fid: 6, newFid: 0, names: [], flags: O_WRONLY | O_TRUNC });
    expect(cut.body.attributes.size).toBe(0);
    closeSync(cut.fd);
  });

  test('an unlinked file can still be opened by its fid', () => {
    expect(walkTo('dir/sub/file', 5)).toBe(0);
    rmSync(join(root, 'dir/sub/file'));
    const { errno, fd, body } = gofer.ask(Open, { fid: 5, newFid: 0, names: [], flags: O_RDONLY });
    expect([errno, body.attributes.nlink]).toEqual([0, 0]);
    closeSync(fd);
  });

  test('a read-only mount gives nothing writable and refuses every change', () => {
    const names = ['dir', 'sub', 'file'];
    for (const flags of [O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC])
      expect(gofer.ask(Open, { fid: RO, newFid: 0, names, flags }).errno).toBe(EROFS);
    walkTo('dir/sub/file', 5, RO);
    const owner = { mode: 0o600, uid: 0, gid: 0, newFid: 0 };
    const change = { fid: 5, mask: SET_MODE, mode: 0o777, uid: 0, gid: 0, size: 0, atimeSec: 0, atimeNsec: 0, mtimeSec: 0, mtimeNsec: 0 };
    expect([
      gofer.ask(Create, { directory: RO, name: 'n', flags: O_RDWR, ...owner }).errno,
      gofer.ask(Mkdir, { directory: RO, name: 'n', ...owner }).errno,
      gofer.ask(Mknod, { directory: RO, name: 'n', ...owner }).errno,
      gofer.ask(Symlink, { directory: RO, name: 'n', target: 't', uid: 0, gid: 0 }).errno,
      gofer.ask(Link, { fid: 5, directory: RO, name: 'n' }).errno,
      gofer.ask(Unlink, { directory: RO, name: 'escape', flags: 0 }).errno,
      gofer.ask(Rename, { directory: RO, name: 'escape', newDirectory: RW, newName: 'n', flags: 0 }).errno,
      gofer.ask(Rename, { directory: RW, name: 'escape', newDirectory: RO, newName: 'n', flags: 0 }).errno,
      gofer.ask(SetAttributes, change).errno,
      gofer.ask(Setxattr, { fid: 5, name: 'user.x', value: 'v', flags: 0 }).errno,
      gofer.ask(Removexattr, { fid: 5, name: 'user.x' }).errno,
    ]).toEqual(Array.from({ length: 11 }, () => EROFS));
    // A link out of the read-only mount into the writable one would make its files writable.
    expect(gofer.ask(Link, { fid: 5, directory: RW, name: 'n' }).errno).toBe(EXDEV);
  });

  test('FIFOs, sockets and devices are never opened', () => {
    execFileSync('mkfifo', [join(root, 'fifo')]);
    expect(gofer.ask(Open, { fid: RW, newFid: 0, names: ['fifo'], flags: O_RDONLY }).errno).toBe(EACCES);
    const dev = new TestGofer([{ path: '/dev', readOnly: true }]);
    dev.hello();
    dev.ask(Attach, { mount: 0, fid: 1 });
    expect(dev.ask(Walk, { fid: 1, newFid: 0, names: ['null'] }).body.reached[0]!.mode & S_IFMT).toBe(S_IFCHR);
    expect(dev.ask(Open, { fid: 1, newFid: 0, names: ['null'], flags: O_RDONLY }).errno).toBe(EACCES);
    dev.close();
  });

  test('flags outside the list are refused', () => {
    for (const flags of [3, 0o100, 0o4000, 0o10000000, 0o20200000, 0x8000_0000])
      expect(gofer.ask(Open, { fid: RW, newFid: 0, names: [], flags }).errno).toBe(EINVAL);
    expect(gofer.ask(Open, { fid: RW, newFid: 0, names: [], flags: O_RDWR }).errno).toBe(EISDIR);
  });

  test('a root may be a single file', () => {
    const one = new TestGofer([{ path: join(root, 'dir/sub/file'), readOnly: true }]);
    one.hello();
    expect(one.ask(Attach, { mount: 0, fid: 1 }).body.mountFlags).toBe(3);
    expect(one.ask(Walk, { fid: 1, newFid: 0, names: ['x'] }).body.stop).toBe(ENOTDIR);
    const { errno, fd } = one.ask(Open, { fid: 1, newFid: 0, names: [], flags: O_RDONLY });
    expect(errno).toBe(0);
    closeSync(fd);
    one.close();
  });
});

describe('changing', () => {
  const owner = { mode: 0o640, uid: process.getuid!(), gid: process.getgid!(), newFid: 0 };

  test('create, exclusively, and give to a user', () => {
    const uid = process.getuid!() === 0 ? 1234 : process.getuid!();
    const request = { directory: RW, name: 'new', ...owner, newFid: 5, uid, flags: O_RDWR };
    const { errno, fd, body } = gofer.ask(Create, request);
    expect([errno, body.attributes.mode, body.attributes.uid]).toEqual([0, S_IFREG | 0o640, uid]);
    writeSync(fd, 'data');
    closeSync(fd);
    expect(readFileSync(join(root, 'new'), 'latin1')).toBe('data');
    expect(gofer.ask(Create, request).errno).toBe(EEXIST);
    expect(gofer.ask(Create, { ...request, name: 'escape' }).errno).toBe(EEXIST);
    expect(gofer.ask(GetAttributes, { fid: 5 }).body.attributes.size).toBe(4);
  });

  test('set-user-id bits survive the change of owner', () => {
    const { body, fd } = gofer.ask(Create, { directory: RW, name: 'suid', ...owner, mode: 0o4755, uid: process.getuid!(), flags: O_RDWR });
    expect(body.attributes.mode & 0o7777).toBe(0o4755);
    closeSync(fd);
  });

  test('mkdir, mknod, symlink, link', () => {
    expect(gofer.ask(Mkdir, { directory: RW, name: 'd', ...owner, mode: 0o1777, newFid: 5 }).body.attributes.mode).toBe(S_IFDIR | 0o1777);
    expect(gofer.ask(Mknod, { directory: 5, name: 'f', ...owner, mode: S_IFIFO | 0o600 }).body.attributes.mode).toBe(S_IFIFO | 0o600);
    expect(gofer.ask(Mknod, { directory: 5, name: 's', ...owner, mode: S_IFSOCK | 0o600 }).body.attributes.mode).toBe(S_IFSOCK | 0o600);
    expect(gofer.ask(Mknod, { directory: 5, name: 'c', ...owner, mode: S_IFCHR | 0o600 }).errno).toBe(EPERM);
    expect(gofer.ask(Symlink, { directory: 5, name: 'l', target: '/etc/passwd', uid: 7, gid: 7 }).body.attributes.mode & S_IFMT).toBe(
      S_IFLNK,
    );
    expect(readlinkSync(join(root, 'd/l'))).toBe('/etc/passwd');
    walkTo('dir/sub/file', 6);
    expect(gofer.ask(Link, { fid: 6, directory: 5, name: 'hard' }).body.attributes.nlink).toBe(2);
    walkTo('escape', 7);
    expect(gofer.ask(Link, { fid: 7, directory: 5, name: 'hard-link' }).errno).toBe(0);
    expect(lstatSync(join(root, 'd/hard-link')).isSymbolicLink()).toBe(true);
    expect(gofer.ask(Link, { fid: 5, directory: RW, name: 'd2' }).errno).toBe(EPERM);
    expect(readdirSync(join(root, 'd')).toSorted()).toEqual(['f', 'hard', 'hard-link', 'l', 's']);
  });

  test('unlink and rename', () => {
    const remove = (name: string, flags: number): number => gofer.ask(Unlink, { directory: RW, name, flags }).errno;
    expect([remove('dir', 0), remove('dir', AT_REMOVEDIR), remove('link', AT_REMOVEDIR), remove('link', 0), remove('x', 1)]).toEqual([
      EISDIR,
      ENOTEMPTY,
      ENOTDIR,
      0,
      EINVAL,
    ]);
    const rename = (name: string, newName: string, flags: number): number =>
      gofer.ask(Rename, { directory: RW, name, newDirectory: RW, newName, flags }).errno;
    expect([
      rename('escape', 'dir', RENAME_NOREPLACE),
      rename('escape', 'dir', RENAME_EXCHANGE),
      rename('dir', 'e', 0),
      rename('e', 'f', 4),
    ]).toEqual([EEXIST, 0, 0, EINVAL]);
    expect(readdirSync(root).toSorted()).toEqual(['e', 'escape', 'escape-dir']);
  });

  test('setattr', () => {
    walkTo('dir/sub/file', 5);
    const none = { fid: 5, mask: 0, mode: 0, uid: 0, gid: 0, size: 0, atimeSec: 0, atimeNsec: 0, mtimeSec: 0, mtimeNsec: 0 };
    const before = gofer.ask(SetAttributes, none).body.attributes;
    const { body } = gofer.ask(SetAttributes, {
      ...none,
      mask: SET_MODE | SET_SIZE | SET_ATIME,
      mode: 0o4711,
      size: 100,
      atimeSec: -5,
      atimeNsec: 7,
    });
    expect(body.attributes).toMatchObject({ mode: S_IFREG | 0o4711, size: 100, atimeSec: -5, atimeNsec: 7, uid: before.uid });
    expect(gofer.ask(SetAttributes, { ...none, mask: SET_SIZE, size: -1 }).errno).toBe(EINVAL);
    expect(gofer.ask(SetAttributes, { ...none, mask: SET_ATIME, atimeNsec: 1_000_000_000 }).errno).toBe(EINVAL);
    expect(gofer.ask(SetAttributes, { ...none, fid: RW, mask: SET_SIZE }).errno).toBe(EISDIR);
    expect(gofer.ask(SetAttributes, { ...none, mask: 64 }).errno).toBe(EINVAL);
    const owner = process.getuid!() === 0 ? 42 : process.getuid!();
    expect(gofer.ask(SetAttributes, { ...none, mask: SET_UID, uid: owner }).body.attributes.uid).toBe(owner);
    expect(gofer.ask(Fsync, { fid: 5, dataOnly: 1 }).errno).toBe(0);
    expect(gofer.ask(Fsync, { fid: RW, dataOnly: 0 }).errno).toBe(0);
    walkTo('escape', 6);
    gofer.ask(SetAttributes, { ...none, fid: 6, mask: SET_ATIME, atimeSec: 1 });
    expect(statSync(join(outside, 'secret')).atimeMs).not.toBe(1000);
  });

  test('extended attributes of the user namespace only', () => {
    walkTo('dir/sub/file', 5);
    expect(gofer.ask(Setxattr, { fid: 5, name: 'user.color', value: 'r\0d', flags: 0 }).errno).toBe(0);
    expect(gofer.ask(Getxattr, { fid: 5, name: 'user.color' }).body.value).toBe('r\0d');
    expect(gofer.ask(Listxattr, { fid: 5 }).body.names).toBe('user.color\0');
    expect([EINVAL, EPERM]).toContain(gofer.ask(Setxattr, { fid: 5, name: 'security.capability', value: 'x', flags: 0 }).errno);
    expect(gofer.ask(Getxattr, { fid: 5, name: 'security.capability' }).errno).toBe(ENODATA);
    expect(gofer.ask(Removexattr, { fid: 5, name: 'user.color' }).errno).toBe(0);
    expect(gofer.ask(Listxattr, { fid: 5 }).body.names).toBe('');
  });
});

describe('listing', () => {
  test('a large directory comes in several messages, each entry once, with attributes', () => {
    const names = Array.from({ length: 1500 }, (_, i) => `${'n'.repeat(i % 200)}${i}`);
    mkdirSync(join(root, 'many'));
    for (const name of names) writeFileSync(join(root, 'many', name), name);
    walkTo('many', 5);
    const entries = listAll(5);
    expect(entries.map((entry) => entry.name).toSorted()).toEqual(names.toSorted());
    expect(entries.every((entry) => entry.attributes.size === entry.name.length && (entry.attributes.mode & S_IFMT) === S_IFREG)).toBe(
      true,
    );
  });

  test('a path can be listed in one message', () => {
    const { body } = gofer.ask(Readdir, { fid: RW, newFid: 5, names: ['dir', 'sub'], cookie: [0, 0], watch: 0 });
    expect([body.entries.names, body.end, body.attributes.mode & S_IFMT]).toEqual([['file'], READDIR_END, S_IFDIR]);
    expect(gofer.ask(Walk, { fid: 5, newFid: 0, names: ['file'] }).body.stop).toBe(0);
    expect(gofer.ask(Readdir, { fid: RW, newFid: 6, names: ['link'], cookie: [0, 0], watch: 0 }).errno).toBe(ENOTDIR);
    expect(gofer.ask(Readdir, { fid: RW, newFid: 6, names: ['dir', 'none'], cookie: [0, 0], watch: 0 }).errno).toBe(ENOENT);
    expect(gofer.ask(GetAttributes, { fid: 6 }).errno).toBe(EBADF);
  });

  test('invented cookies do no harm', () => {
    for (const cookie of [
      [0xffff_ffff, 0xffff_ffff],
      [1, 0],
      [0, 0x8000_0000],
      [5, 0x7fff_ffff],
    ] as const)
      gofer.ask(Readdir, { fid: RW, newFid: 0, names: [], cookie, watch: 0 });
    expect(
      listAll(RW)
        .map((entry) => entry.name)
        .toSorted(),
    ).toEqual(['dir', 'escape', 'escape-dir', 'link']);
  });

  test('names of any bytes', () => {
    const name = '\x01\xff\n "\\\x80';
    expect(gofer.ask(Mkdir, { directory: RW, name, newFid: 0, mode: 0o700, uid: 0, gid: 0 }).errno).toBe(0);
    expect(listAll(RW).map((entry) => entry.name)).toContain(name);
    expect(readdirSync(root, { encoding: 'latin1' })).toContain(name);
    expect(gofer.ask(Mkdir, { directory: RW, name: '\xe9'.repeat(255), newFid: 0, mode: 0o700, uid: 0, gid: 0 }).errno).toBe(0);
    expect(isName('\xe9'.repeat(256))).toBe(false);
  });
});

describe('fids', () => {
  test('numbers outside the table', () => {
    for (const fid of [0, 65, 4096, 0xffff_ffff]) expect(gofer.ask(GetAttributes, { fid }).errno).toBe(EBADF);
    for (const newFid of [65, 4096, 0xffff_ffff]) expect(gofer.ask(Walk, { fid: RW, newFid, names: [] }).errno).toBe(EBADF);
  });

  test('a full table and rebinding leak nothing', () => {
    const open = (): number => readdirSync('/proc/self/fd').length;
    for (let fid = 3; fid <= 64; fid++) gofer.ask(Walk, { fid: RW, newFid: fid, names: ['dir'] });
    const before = open();
    for (let round = 0; round < 3; round++)
      for (let fid = 3; fid <= 64; fid++) gofer.ask(Walk, { fid: RW, newFid: fid, names: ['dir', 'sub'] });
    for (let i = 0; i < 50; i++) gofer.ask(Walk, { fid: RW, newFid: 0, names: ['dir', 'sub', 'none'] });
    for (let i = 0; i < 50; i++) gofer.ask(Open, { fid: RW, newFid: 0, names: ['link'], flags: O_RDONLY });
    expect(open()).toBe(before);
  });
});

describe('unknown and malformed', () => {
  const header = (type: number, length: number, body: number): Uint8Array => {
    const bytes = new Uint8Array(8 + body);
    new DataView(bytes.buffer).setUint32(0, length, true);
    new DataView(bytes.buffer).setUint16(4, type, true);
    return bytes;
  };

  test('an unknown type gets ENOSYS', () => {
    const unknown = { ...GetAttributes, type: 777 };
    expect(gofer.ask(unknown, { fid: 1 }).errno).toBe(ENOSYS);
    expect(gofer.ask({ ...GetAttributes, type: 0 }, { fid: 1 }).errno).toBe(ENOSYS);
  });

  test('a body that is too short or too long gets EPROTO', () => {
    expect(
      gofer.ask(
        { ...GetAttributes, request: Statfs.reply },
        { type: 0, blockSize: 0, blocks: 0, blocksFree: 0, blocksAvailable: 0, files: 0, filesFree: 0, nameLength: 0 },
      ).errno,
    ).toBe(EPROTO);
    expect(gofer.ask({ ...Walk, request: GetAttributes.request }, { fid: 1 }).errno).toBe(EPROTO);
  });

  test('names that are paths are malformed', () => {
    for (const name of ['..', '.', '', 'a/b', '/', 'a\0b']) {
      expect(gofer.ask(Unlink, { directory: RW, name, flags: 0 }).errno).toBe(EPROTO);
      expect(gofer.ask(Walk, { fid: RW, newFid: 0, names: ['dir', name] }).errno).toBe(EPROTO);
    }
  });

  test('bad framing ends the connection', () => {
    expect(gofer.postRaw(header(3, 8, 4))).toBe(false);
    expect(gofer.postRaw(header(3, 0xffff_ffff, 4))).toBe(false);
    expect(gofer.postRaw(new Uint8Array(3))).toBe(false);
    expect(gofer.postRaw(new Uint8Array(61_441))).toBe(false);
    expect(gofer.postRaw(header(Release.type, 12, 4).fill(0xff, 8))).toBe(false);
  });
});
