/** Trees of two containers in one kernel, each with a gofer of its own, in this process: what they share and what they do not. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { TestGofer } from '#gofer/server/testing.ts';
import { FakeHost } from '#platform/fake/fake-host.ts';
import { FakePlatform } from '#platform/fake/fake-platform.ts';
import { EROFS } from '#sentry/abi/errno.ts';
import { MS_RDONLY, O_CREAT, O_DIRECTORY, O_RDONLY, O_RDWR, O_WRONLY } from '#sentry/abi/fs.ts';
import { emptyAttributes } from '#sentry/abi/stat.ts';
import { GoferConnection } from '#sentry/fs/gofer/connection.ts';
import { Kernel } from '#sentry/kernel/kernel.ts';
import { stat } from '#sentry/vfs/attributes.ts';
import { ALL_CAPABILITIES, initialCredentials } from '#sentry/vfs/credentials.ts';
import { FsContext } from '#sentry/vfs/fs-context.ts';
import { open } from '#sentry/vfs/open.ts';
import type { VfsCaller } from '#sentry/vfs/walk.ts';
import { realHost, steppingHost } from '../../test/unit/gofer-fixture.ts';
import type { ContainerConfig, MountConfig } from '../oci/config/types.ts';
import { containerRoots } from './container-roots.ts';
import { buildContainerTree } from './container-tree.ts';
import type { ContainerTree } from './container-tree.ts';
import { SandboxFiles } from './sandbox-files.ts';

const gofers: TestGofer[] = [];
let directory: string;
let files: SandboxFiles;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'pod-tree-'));
  for (const name of ['one', 'two', 'volume']) mkdirSync(join(directory, name));
  const kernel = new Kernel({
    host: realHost,
    platform: new FakePlatform(new FakeHost()),
    dispatch: () => 0,
    hardwareCapabilities: [0, 0],
    minimumSignalStack: 2048,
    memoryLimit: Infinity,
    machine: { cpuCount: 1, cpuDescription: '', memoryBytes: 2 ** 30 },
    onHostSignal: () => {},
  });
  files = new SandboxFiles(kernel);
});

afterEach(() => {
  for (const gofer of gofers.splice(0)) gofer.close();
  rmSync(directory, { recursive: true, force: true });
});

function mountOf(over: Partial<MountConfig>): MountConfig {
  return {
    type: 'tmpfs',
    destination: '/dev',
    source: 'tmpfs',
    flags: 0,
    clearedFlags: 0,
    recursiveFlags: 0,
    recursiveClearedFlags: 0,
    propagation: [],
    data: 'mode=755',
    copyUp: false,
    ...over,
  };
}

function configOf(name: string, readonly: boolean): ContainerConfig {
  const mounts = [
    mountOf({}),
    mountOf({ type: 'devpts', destination: '/dev/pts', data: 'newinstance,ptmxmode=0666,mode=0620,gid=5' }),
    mountOf({ type: 'proc', destination: '/proc', data: '' }),
    mountOf({ type: 'bind', destination: '/data', source: join(directory, 'volume'), data: '' }),
    mountOf({ type: 'bind', destination: '/fixed', source: join(directory, 'volume'), flags: MS_RDONLY, data: '' }),
  ];
  return {
    root: { path: join(directory, name), readonly },
    process: { cwd: '/work', terminal: false },
    mounts,
    annotations: {},
    linux: { devices: [], maskedPaths: ['/proc/keys'], readonlyPaths: ['/proc/sys'] },
  } as unknown as ContainerConfig;
}

function build(name: string, readonly: boolean): ContainerTree & { readonly caller: VfsCaller } {
  const config = configOf(name, readonly);
  const gofer = new TestGofer(containerRoots(config));
  gofers.push(gofer);
  const connection = new GoferConnection(steppingHost(gofer), gofer.socket, (reason) => {
    throw new Error(reason);
  });
  if (!connection.awaitHello()) throw new Error('no hello');
  const container = files.kernel.addContainer(name, { hostname: name });
  const tree = buildContainerTree(files, container, connection, config, { types: new Map(), warn: () => {}, made: new Set() });
  const { rootPath } = tree.namespace;
  const fs = new FsContext(tree.namespace, rootPath, rootPath, 0o022);
  return { ...tree, caller: { credentials: initialCredentials(0, 0, [], ALL_CAPABILITIES), fs, task: null } };
}

function tryOpen(caller: VfsCaller, path: string, flags: number): number {
  const file = open(caller, null, path, flags, 0o644, 0);
  if (typeof file === 'number') return file;
  file.release();
  return 0;
}

function deviceOf(caller: VfsCaller, path: string): number {
  const into = emptyAttributes();
  expect(stat(caller, null, path, 1, into)).toBe(0);
  return into.dev;
}

test('each has its root, its mounts and its terminals; a volume is seen by both', () => {
  const one = build('one', false);
  const two = build('two', false);
  expect(tryOpen(one.caller, '/mine', O_CREAT | O_WRONLY)).toBe(0);
  expect(tryOpen(two.caller, '/mine', O_RDONLY)).toBeLessThan(0);
  expect(tryOpen(one.caller, '/data/both', O_CREAT | O_WRONLY)).toBe(0);
  expect(tryOpen(two.caller, '/data/both', O_RDWR)).toBe(0);
  expect(tryOpen(two.caller, '/fixed/both', O_RDONLY)).toBe(0);
  expect(tryOpen(two.caller, '/fixed/both', O_RDWR)).toBe(-EROFS);
  expect(tryOpen(one.caller, '/dev/null', O_RDWR)).toBe(0);
  expect(one.pts).not.toBe(two.pts);
  const devices = [one, two].flatMap(({ caller }) => ['/', '/dev', '/proc', '/data'].map((path) => deviceOf(caller, path)));
  expect(new Set(devices).size).toBe(8);
  writeFileSync(join(directory, 'one/from-outside'), 'x');
  expect(tryOpen(one.caller, '/from-outside', O_RDONLY)).toBe(0);
});

test('a directory of one can be used by the other', () => {
  const one = build('one', false);
  const two = build('two', false);
  const handed = open(one.caller, null, '/work', O_RDONLY | O_DIRECTORY, 0, 0);
  if (typeof handed === 'number') throw new Error(`open: ${handed}`);
  for (let i = 0; i < 100; i++) {
    const made = open(two.caller, { mount: handed.mount!, dentry: handed.dentry }, `f${i}`, O_CREAT | O_WRONLY, 0o600, 0);
    if (typeof made === 'number') throw new Error(`create: ${made}`);
    made.release();
  }
  handed.release();
  expect(tryOpen(one.caller, '/work/f99', O_RDONLY)).toBe(0);
  expect(readFileSync(join(directory, 'one/work/f42'), 'utf8')).toBe('');
});

test('mountinfo tells where a bind mount comes from', () => {
  const { namespace } = build('one', false);
  const found = namespace.mounts.map(({ fileSystem }) => fileSystem.partOf);
  expect(found.filter((name) => name !== '')).toEqual([join(directory, 'volume'), join(directory, 'volume')]);
});

test('a read-only root is prepared, and then read-only', () => {
  const { caller } = build('one', true);
  expect(tryOpen(caller, '/x', O_CREAT | O_WRONLY)).toBe(-EROFS);
  expect(tryOpen(caller, '/work', O_RDONLY)).toBe(0);
  expect(tryOpen(caller, '/data/x', O_CREAT | O_WRONLY)).toBe(0);
  expect(tryOpen(caller, '/dev/x', O_CREAT | O_WRONLY)).toBe(0);
  expect(gofers[0]!.server.roots[0]).toMatchObject({ readOnly: true });
});
