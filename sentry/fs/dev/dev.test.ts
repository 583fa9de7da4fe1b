import { expect, test } from 'vitest';
import { FakeHost } from '#platform/fake/fake-host.ts';
import { EINVAL, ENODEV, ENOSPC } from '#sentry/abi/errno.ts';
import { O_CREAT, O_RDWR, O_TRUNC, O_WRONLY, S_IFCHR } from '#sentry/abi/fs.ts';
import { makeDevice } from '../../vfs/special-files.ts';
import { FileStore } from '../tmpfs/file-store.ts';
import { World } from '../testing/world.ts';
import { makeDevFileSystem } from './dev-file-system.ts';
import { registerMemoryDevices } from './memory-devices.ts';

function devWorld(): World {
  const host = new FakeHost();
  const world = new World(host, makeDevFileSystem(new FileStore(host), 7));
  registerMemoryDevices(world.vfs.special, host);
  return world;
}

test('the nodes of a container', () => {
  const world = devWorld();
  expect(world.list('/')).toEqual([
    'fd',
    'full',
    'mqueue',
    'null',
    'ptmx',
    'pts',
    'random',
    'shm',
    'stderr',
    'stdin',
    'stdout',
    'tty',
    'urandom',
    'zero',
  ]);
  expect(world.stat('/null').mode).toBe(S_IFCHR | 0o666);
  expect(world.stat('/urandom').rdev).toBe(makeDevice(1, 9));
  expect(world.stat('/shm').mode).toBe(0o041777);
});

test('null', () => {
  const world = devWorld();
  const file = world.open('/null', O_RDWR | O_CREAT | O_TRUNC);
  expect(world.read(file)).toBe('');
  expect(world.write(file, 'anything', 0)).toBe(8);
  expect(file.seek(100, 0)).toBe(0);
  expect(file.truncate(0)).toBe(-EINVAL);
  expect(file.mappable(true)).toBe(-ENODEV);
  expect(file.pollable).toBe(false);
});

test('zero and full', () => {
  const world = devWorld();
  const zero = world.open('/zero', O_RDWR);
  expect(world.read(zero, 0, 100_000)).toBe('\0'.repeat(100_000));
  expect(world.write(zero, 'gone', 0)).toBe(4);
  expect(zero.mappable(true)).toEqual({ hostFd: -1, hostOffset: 0 });
  const full = world.open('/full', O_RDWR);
  expect(world.read(full, 0, 3)).toBe('\0\0\0');
  expect(world.write(full, 'x', 0)).toBe(-ENOSPC);
  expect(full.mappable(false)).toBe(-ENODEV);
});

test('random bytes differ', () => {
  const world = devWorld();
  const file = world.open('/urandom', O_RDWR);
  const first = world.read(file, 0, 70_000);
  expect(first.length).toBe(70_000);
  expect(world.read(file, 0, 70_000)).not.toBe(first);
  expect(world.write(file, 'seed', 0)).toBe(4);
  expect(file.pollable).toBe(false);
  expect(world.open('/random').pollable).toBe(true);
});

test('a node made elsewhere works as well', () => {
  const world = devWorld();
  world.path('/shm').dentry.inode!.mknod('zero', S_IFCHR | 0o600, makeDevice(1, 5), 0, 0);
  expect(world.read(world.open('/shm/zero'), 0, 4)).toBe('\0\0\0\0');
  world.writeFile('/shm/file', 'text');
  expect(world.readFile('/shm/file')).toBe('text');
  expect(world.tryOpen('/null', O_WRONLY)).toBe(0);
});
