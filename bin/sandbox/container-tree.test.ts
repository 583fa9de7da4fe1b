import { describe, expect, test } from 'vitest';
import { FakeHost } from '#platform/fake/fake-host.ts';
import { EACCES, ELOOP, ENOENT, ENOTDIR, EROFS, ENXIO } from '#sentry/abi/errno.ts';
import {
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_RDONLY,
  O_CREAT,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFREG,
} from '#sentry/abi/fs.ts';
import { registerMemoryDevices } from '#sentry/fs/dev/memory-devices.ts';
import { World } from '#sentry/fs/testing/world.ts';
import { FileStore } from '#sentry/fs/tmpfs/file-store.ts';
import { parseTmpfsOptions, TMPFS_DEFAULTS, TmpFileSystem } from '#sentry/fs/tmpfs/tmpfs.ts';
import { mkdir, mknod, symlink } from '#sentry/vfs/operations.ts';
import { makeDevice } from '#sentry/vfs/special-files.ts';
import { UserError } from '../errors.ts';
import type { ContainerConfig, DeviceConfig, MountConfig, MountType } from '../oci/config/types.ts';
import { containerRoots, ownFileSystem, rootMode, rootOf } from './container-roots.ts';
import { ContainerMounts, finishTree } from './container-tree.ts';
import { TreeBuilder } from './tree-builder.ts';

function mountOf(type: MountType, destination: string, over: Partial<MountConfig> = {}): MountConfig {
  return {
    type,
    destination,
    source: type,
    flags: 0,
    clearedFlags: 0,
    recursiveFlags: 0,
    recursiveClearedFlags: 0,
    propagation: [],
    data: '',
    copyUp: false,
    ...over,
  };
}

interface Parts {
  readonly mounts?: readonly MountConfig[];
  readonly readonly?: boolean;
  readonly cwd?: string;
  readonly terminal?: boolean;
  readonly devices?: readonly DeviceConfig[];
  readonly maskedPaths?: readonly string[];
  readonly readonlyPaths?: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
}

function configOf(parts: Parts): ContainerConfig {
  const { mounts = [], devices = [], maskedPaths = [], readonlyPaths = [], annotations = {} } = parts;
  return {
    root: { path: '/', readonly: parts.readonly ?? false },
    process: { cwd: parts.cwd ?? '/', terminal: parts.terminal ?? false },
    mounts,
    annotations,
    linux: { devices, maskedPaths, readonlyPaths },
  } as unknown as ContainerConfig;
}

function made(result: number): void {
  if (result < 0) throw new Error(`cannot be made: ${result}`);
}

/** A container whose root and bind mounts are in memory; proc and sysfs are empty file systems of these names. */
class Container {
  readonly host = new FakeHost();
  readonly store = new FileStore(this.host);
  readonly rootFileSystem = this.memory('rootfs', 0o755);
  readonly world = new World(this.host, this.rootFileSystem);
  readonly warnings: string[] = [];
  /** What the bind mounts show, in their order. */
  readonly served: TmpFileSystem[] = [];

  memory(type: string, mode: number): TmpFileSystem {
    return new TmpFileSystem(this.store, 7 + this.devices++, { ...TMPFS_DEFAULTS, mode }, type);
  }
  private devices = 0;

  constructor() {
    const { types, special } = this.world.vfs;
    registerMemoryDevices(special, this.host);
    types.set('tmpfs', (text) => {
      const options = parseTmpfsOptions(text);
      return typeof options === 'number' ? options : new TmpFileSystem(this.store, 100, options);
    });
    types.set('proc', () => {
      const proc = this.memory('proc', 0o555);
      proc.root.mkdir('sys', S_IFDIR | 0o755, 0, 0);
      proc.root.mkdir('acpi', S_IFDIR | 0o755, 0, 0);
      proc.root.create('kcore', S_IFREG | 0o400, 0, 0);
      proc.root.create('keys', S_IFREG | 0o444, 0, 0);
      proc.root.symlink('self', '1', 0, 0);
      return proc;
    });
    types.set('sysfs', () => this.memory('sysfs', 0o555));
  }

  build(parts: Parts): void {
    const config = configOf(parts);
    const builder = new TreeBuilder(this.host, this.world.namespace);
    const warn = (sentence: string): void => void this.warnings.push(sentence);
    const mounts = new ContainerMounts(builder, config, { types: new Map(), warn, made: new Set() }, (index) => {
      const served = this.memory('gofer', 0o755);
      if (config.mounts[index]!.source.endsWith('/')) this.served.push(served);
      return served;
    });
    mounts.mountAll(this.memory('devpts', 0o755));
    finishTree(this.store, builder, config, warn);
    builder.release();
  }

  link(target: string, name: string): void {
    made(symlink(this.world.root, target, null, name));
  }
  directory(name: string, mode = 0o755): void {
    made(mkdir(this.world.root, null, name, mode));
  }
  node(name: string, mode: number, rdev = 0): void {
    made(mknod(this.world.root, null, name, mode, rdev));
  }
}

const PROC = mountOf('proc', '/proc');
const DEV = mountOf('tmpfs', '/dev', { flags: MS_NOSUID, data: 'mode=755,size=65536k' });

describe('mounts', () => {
  test('in their order, with their options, places made as needed', () => {
    const c = new Container();
    c.build({
      mounts: [
        PROC,
        DEV,
        mountOf('devpts', '/dev/pts'),
        mountOf('tmpfs', '/run/deep/er', { flags: MS_NODEV | MS_NOEXEC, data: 'mode=700,uid=5,gid=6,nr_inodes=9' }),
      ],
    });
    const { world } = c;
    expect(world.namespace.mounts.map(({ fileSystem }) => fileSystem.type)).toEqual(['rootfs', 'proc', 'tmpfs', 'devpts', 'tmpfs']);
    expect(world.stat('/run/deep/er')).toMatchObject({ mode: S_IFDIR | 0o700, uid: 5, gid: 6 });
    expect(world.namespace.mounts.at(-1)!.flags).toBe(MS_NODEV | MS_NOEXEC);
    expect(world.stat('/run').mode).toBe(S_IFDIR | 0o755);
    expect(world.list('/dev')).toEqual([
      'core',
      'fd',
      'full',
      'null',
      'ptmx',
      'pts',
      'random',
      'stderr',
      'stdin',
      'stdout',
      'tty',
      'urandom',
      'zero',
    ]);
  });

  test('a mount in a mount makes its place there, not in the root', () => {
    const c = new Container();
    c.build({ mounts: [mountOf('bind', '/data', { source: '/srv/' }), mountOf('tmpfs', '/data/tmp')] });
    expect(c.world.list('/')).toContain('data');
    expect(c.served[0]!.root.lookup('tmp')).not.toBe(-ENOENT);
  });

  test('what is on the root is the root', () => {
    const c = new Container();
    c.build({ mounts: [mountOf('tmpfs', '/'), mountOf('tmpfs', '/x')] });
    expect(c.rootFileSystem.root.lookup('x')).toBe(-ENOENT);
  });

  test('unknown options and types are named', () => {
    const c = new Container();
    expect(() => c.build({ mounts: [PROC, mountOf('tmpfs', '/t', { data: 'size=lots' })] })).toThrow(/mounts\[1\].*options/);
    const other = new Container();
    other.build({ mounts: [mountOf('mqueue', '/dev/mqueue')] });
    expect(other.warnings).toEqual([expect.stringContaining('mounts[0].type mqueue')]);
  });

  test('a tmpfs has the mode of what it covers, unless it is told one', () => {
    const c = new Container();
    c.directory('/a', 0o711);
    c.directory('/b', 0o711);
    c.build({ mounts: [mountOf('tmpfs', '/a'), mountOf('tmpfs', '/b', { data: 'mode=770' }), mountOf('tmpfs', '/c')] });
    expect(['/a', '/b', '/c'].map((path) => c.world.stat(path).mode & 0o7777)).toEqual([0o711, 0o770, 0o1777]);
  });

  test('tmpcopyup', () => {
    const c = new Container();
    const { world } = c;
    c.directory('/var');
    c.directory('/var/lib', 0o711);
    world.writeFile('/var/lib/file', 'x'.repeat(200_000), 0o640);
    c.link('lib/file', '/var/link');
    c.node('/var/fifo', S_IFIFO | 0o600);
    c.node('/var/device', S_IFBLK | 0o600, 99);
    c.build({ mounts: [mountOf('tmpfs', '/var', { copyUp: true, data: 'mode=1777' })] });
    expect(world.namespace.mounts).toHaveLength(2);
    expect(world.list('/var')).toEqual(['fifo', 'lib', 'link']);
    expect(world.readFile('/var/link')).toBe('x'.repeat(200_000));
    expect(world.stat('/var/lib').mode & 0o777).toBe(0o711);
    expect(world.stat('/var/lib/file').mode & 0o777).toBe(0o640);
    world.writeFile('/var/new', 'y');
    expect(c.rootFileSystem.root.lookup('var')).not.toBe(-ENOENT);
  });

  test('tmpcopyup stops at the size of the tmpfs', () => {
    const c = new Container();
    c.directory('/var');
    c.world.writeFile('/var/file', 'x'.repeat(200_000));
    expect(() => c.build({ mounts: [mountOf('tmpfs', '/var', { copyUp: true, data: 'size=64k' })] })).toThrow(/mounts\[0\].*ENOSPC/);
  });
});

describe('a hostile root', () => {
  test('links in the way stay below it; behind a dangling one its target is made', () => {
    const c = new Container();
    c.directory('/etc');
    c.directory('/run');
    c.link('../../../../run/resolve/stub', '/etc/resolv.conf');
    c.link('/../../outside', '/escape');
    const at = new TreeBuilder(c.host, c.world.namespace);
    expect(at.make('/etc/resolv.conf', 'file')).not.toBeTypeOf('number');
    expect(c.world.stat('/run/resolve/stub').mode & 0o777).toBe(0o755);
    expect(at.make('/escape/x', 'directory')).not.toBeTypeOf('number');
    expect(c.world.list('/')).toContain('outside');
    expect(at.make('/../../y', 'directory')).not.toBeTypeOf('number');
    expect(c.world.list('/')).toContain('y');
  });

  test('loops, files, FIFOs and devices in the way', () => {
    const c = new Container();
    c.link('b', '/a');
    c.link('a', '/b');
    c.world.writeFile('/file', '');
    c.node('/fifo', S_IFIFO | 0o600);
    c.node('/disk', S_IFBLK | 0o600, makeDevice(8, 0));
    const builder = new TreeBuilder(c.host, c.world.namespace);
    expect(builder.find('/a')).toBe(-ELOOP);
    expect(builder.make('/a/x', 'directory')).toBe(-ELOOP);
    expect(builder.make('/file/x', 'file')).toBe(-ENOTDIR);
    expect(builder.make('/fifo/x', 'directory')).toBe(-ENOTDIR);
    for (const place of ['/file', '/fifo', '/disk', '/a', '/fifo/x'])
      expect(() => c.build({ mounts: [mountOf('tmpfs', place)] })).toThrow(/mounts\[0\] cannot be mounted/);
  });

  test('proc must be a directory and is not left through its links', () => {
    const c = new Container();
    c.directory('/other');
    c.link('other', '/proc');
    expect(() => c.build({ mounts: [PROC] })).toThrow(/mounts\[0\].*must be a directory and no link/);
    const d = new Container();
    d.link('/proc/self/root', '/way');
    expect(() => d.build({ mounts: [PROC, mountOf('tmpfs', '/way/x')] })).toThrow(/mounts\[1\].*ELOOP/);
    const e = new Container();
    e.link('/proc/self/fd', '/dev');
    expect(() => e.build({ mounts: [PROC] })).toThrow(UserError);
  });

  test('a linked /dev leads below the root', () => {
    const c = new Container();
    c.link('../../elsewhere', '/dev');
    c.build({ mounts: [DEV] });
    expect(c.world.list('/elsewhere')).toContain('null');
    expect(c.world.namespace.mounts).toHaveLength(2);
  });
});

describe('devices', () => {
  test('those of the configuration, with mode and owner', () => {
    const c = new Container();
    const device = { path: '/dev/mine', type: 'c', major: 1, minor: 3, fileMode: 0o620, uid: 3, gid: 4 } as const;
    c.build({
      mounts: [DEV],
      devices: [device, { ...device, path: '/dev/fuse', major: 10, minor: 229 }, { ...device, path: '/dev/pipe', type: 'p' }],
    });
    expect(c.world.stat('/dev/mine')).toMatchObject({ mode: S_IFCHR | 0o620, uid: 3, gid: 4, rdev: makeDevice(1, 3) });
    expect(c.world.stat('/dev/pipe').mode).toBe(S_IFIFO | 0o620);
    expect(c.warnings).toEqual([expect.stringContaining('linux.devices[1] /dev/fuse (c 10:229)')]);
    expect(c.world.tryOpen('/dev/fuse', O_RDWR)).toBe(-ENXIO);
    expect(c.world.tryOpen('/dev/mine', O_RDWR)).toBe(0);
    expect(c.world.stat('/dev/zero')).toMatchObject({ mode: S_IFCHR | 0o666, uid: 0, gid: 0 });
    expect(c.world.stat('/dev/ptmx', 0).mode & S_IFLNK).toBe(S_IFLNK);
  });

  test('what the root has in /dev stays, a bind mount there is left alone', () => {
    const c = new Container();
    c.directory('/dev');
    c.world.writeFile('/dev/null', 'mine');
    c.build({});
    expect(c.world.readFile('/dev/null')).toBe('mine');
    const d = new Container();
    d.build({ mounts: [mountOf('bind', '/dev', { source: '/srv/' })] });
    expect(d.world.list('/dev')).toEqual([]);
  });

  test('a console is prepared for a terminal', () => {
    const c = new Container();
    c.build({ mounts: [DEV], terminal: true });
    expect(c.world.list('/dev')).toContain('console');
  });
});

describe('covered places', () => {
  test('masked files are the null device, directories are empty', () => {
    const c = new Container();
    c.directory('/secrets');
    c.world.writeFile('/secrets/key', 'k');
    c.build({ mounts: [PROC], maskedPaths: ['/proc/keys', '/proc/acpi', '/secrets', '/proc/missing', '/proc/keys/x'] });
    expect(c.world.stat('/proc/keys')).toMatchObject({ rdev: makeDevice(1, 3) });
    expect(c.world.readFile('/proc/keys')).toBe('');
    expect(c.world.list('/secrets')).toEqual([]);
    expect(c.world.tryOpen('/proc/acpi/x', O_CREAT | O_WRONLY)).toBe(-EROFS);
  });

  test('read-only places', () => {
    const c = new Container();
    c.build({ mounts: [PROC], readonlyPaths: ['/proc/sys', '/proc/keys', '/proc/missing'] });
    expect(c.world.tryOpen('/proc/sys/x', O_CREAT | O_WRONLY)).toBe(-EROFS);
    // Also what nobody may write.
    const user = c.world.user(5);
    expect(c.world.tryOpen('/proc/keys', O_WRONLY | O_TRUNC, 0, user)).toBe(-EROFS);
    expect(c.world.tryOpen('/proc/keys', O_WRONLY, 0, user)).toBe(-EACCES);
    expect(c.world.tryOpen('/proc/acpi/x', O_CREAT | O_WRONLY)).toBe(0);
  });

  test('a read-only root takes what it must before', () => {
    const c = new Container();
    c.build({ mounts: [PROC], readonly: true, cwd: '/work/../home/me' });
    expect(c.world.tryOpen('/x', O_CREAT | O_WRONLY)).toBe(-EROFS);
    expect(c.world.list('/')).toEqual(['dev', 'home', 'proc', 'work']);
    expect(c.world.namespace.mounts[0]!.flags & MS_RDONLY).toBe(MS_RDONLY);
    expect(c.world.tryOpen('/proc/x', O_CREAT | O_WRONLY)).toBe(0);
  });

  test('a directory to work in is made', () => {
    const c = new Container();
    c.build({ cwd: '/srv/app' });
    expect(c.world.stat('/srv/app')).toMatchObject({ mode: S_IFDIR | 0o755, uid: 0 });
    const d = new Container();
    d.world.writeFile('/srv', '');
    expect(() => d.build({ cwd: '/srv/app' })).toThrow(/process\.cwd/);
  });
});

describe('what the gofer serves', () => {
  const bind = (source: string, flags = 0): MountConfig => mountOf('bind', '/m', { source, flags });

  test('the root and the bind mounts, but not the kernel’s interfaces', () => {
    const config = configOf({
      mounts: [PROC, bind('/etc', MS_RDONLY), bind('/proc/sys'), bind('/usr', 0x4000), bind('/sys')],
      readonly: true,
    });
    expect(containerRoots(config)).toEqual([
      { path: '/', readOnly: false, readOnlyLater: true },
      { path: '/etc', readOnly: true, recursive: false },
      { path: '/usr', readOnly: false, recursive: true },
    ]);
    expect([1, 3].map((index) => rootOf(config, index))).toEqual([1, 2]);
    expect(ownFileSystem(config.mounts[2]!)).toEqual({ type: 'proc', place: '/sys' });
    expect(ownFileSystem(bind('/sys/fs/cgroup/pids'))).toEqual({ type: 'cgroup', place: '/pids' });
    expect(ownFileSystem(bind('/process'))).toBeNull();
    expect(() => containerRoots(configOf({ mounts: [bind('/nowhere')] }))).toThrow(
      /mounts\[0\]\.source \/nowhere.*no such file or directory/,
    );
  });

  test('modes of the root', () => {
    const of = (mode: string): ContainerConfig => configOf({ annotations: { 'dev.tsvisor.rootfs': mode } });
    expect(rootMode(configOf({}))).toBe('shared');
    expect(rootMode(of('overlay'))).toBe('overlay');
    expect(containerRoots(of('overlay'))[0]!.readOnly).toBe(true);
    expect(() => rootMode(of('fast'))).toThrow(/dev\.tsvisor\.rootfs/);
  });

  test('a place in the sandbox’s own proc', () => {
    const c = new Container();
    c.build({ mounts: [mountOf('bind', '/host/sys', { source: '/proc/sys', flags: MS_RDONLY }), bind('/proc/none')] });
    expect(c.world.namespace.mounts[1]!.fileSystem.type).toBe('proc');
    expect(c.world.tryOpen('/host/sys/x', O_CREAT | O_WRONLY)).toBe(-EROFS);
    expect(c.warnings).toEqual([expect.stringContaining('mounts[1].source /proc/none')]);
  });
});
