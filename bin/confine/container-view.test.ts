/** What somebody on the host finds who enters the mount namespace of a container's process. Needs root, and nsenter(1). */
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ContainerView, ViewedMount } from './container-view.ts';

const here = dirname(import.meta.filename);
let top: string;
let root: string;
let child: ChildProcess | null = null;
let report: string[] = [];

beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), 'container-view-'));
  root = join(top, 'root');
  for (const path of ['root/etc', 'root/bin', 'volume']) mkdirSync(join(top, path), { recursive: true });
  writeFileSync(join(root, 'etc/name'), 'inside');
  writeFileSync(join(top, 'volume/file'), 'shared');
});

afterEach(() => {
  child?.kill('SIGKILL');
  child = null;
  rmSync(top, { recursive: true, force: true });
});

const SCRIPT = `
const { enterEmptyRoot } = await import(${JSON.stringify(join(here, 'empty-root.ts'))});
const { enterContainerView, openNamespaces } = await import(${JSON.stringify(join(here, 'container-view.ts'))});
const { ConfinementReport } = await import(${JSON.stringify(join(here, 'report.ts'))});
const report = new ConfinementReport();
const namespaces = openNamespaces();
enterEmptyRoot(report);
enterContainerView(JSON.parse(process.argv[1]), namespaces, report);
enterEmptyRoot(report);
console.log(JSON.stringify(report.lines()));
setTimeout(() => {}, 30_000);
`;

/** A process that is in such a namespace. */
async function show(mounts: readonly ViewedMount[], readOnly = false, owner = { uid: 0, gid: 0 }): Promise<void> {
  const view: ContainerView = { root: { path: root, readOnly }, mounts, owner };
  const started = spawn(process.execPath, ['--input-type=module', '-e', SCRIPT, JSON.stringify(view)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  child = started;
  report = await new Promise<string[]>((done) => started.stdout.once('data', (data) => done(JSON.parse(String(data)) as string[])));
}

/** A program of the host's, run in there without the host's files: a static one. */
function inside(...args: string[]): string {
  return execFileSync('nsenter', ['-t', String(child!.pid), '-m', '/bin/busybox', ...args]).toString();
}

function bind(place: string, source: string, readOnly = false): ViewedMount {
  return { place, shows: { path: source, readOnly, recursive: true, isDirectory: lstatSync(source).isDirectory() } };
}

describe.skipIf(process.geteuid!() !== 0 || !existsSync('/bin/busybox'))('the mount namespace of a container', () => {
  beforeEach(() => {
    writeFileSync(join(root, 'bin/busybox'), readFileSync('/bin/busybox'), { mode: 0o755 });
  });

  test('shows its root and its bind mounts, and nothing else of the host', async () => {
    await show([bind('/data', join(top, 'volume')), bind('/etc/one', join(top, 'volume/file')), bind('/fixed', join(top, 'volume'), true)]);
    expect(report.filter((line) => line.startsWith('not applied'))).toEqual([]);
    expect(inside('ls', '/').split('\n')).toEqual(['bin', 'data', 'etc', 'fixed', '']);
    expect(inside('cat', '/data/file', '/etc/one', '/etc/name')).toBe('sharedsharedinside');
    inside('sh', '-c', 'echo new > /data/new; echo new > /made');
    expect(readFileSync(join(top, 'volume/new'), 'utf8')).toBe('new\n');
    expect(existsSync(join(root, 'made'))).toBe(true);
    expect(existsSync('/made')).toBe(false);
    expect(() => inside('sh', '-c', 'echo new > /fixed/x')).toThrow();
    expect(readdirSync(`/proc/${child!.pid}/root/`)).toEqual([]);
  });

  test('covers what lies in the memory of the sandbox', async () => {
    writeFileSync(join(root, 'etc/hidden'), '');
    await show([
      { place: '/etc', shows: null },
      { place: '/proc', shows: null },
      { place: '/proc/sys', shows: null },
      bind('/data', join(top, 'volume')),
    ]);
    expect(inside('ls', '/etc', '/proc')).toBe('/etc:\n\n/proc:\n');
    expect(() => inside('touch', '/etc/x')).toThrow();
    expect(report).toContainEqual(expect.stringContaining('1 of 4 mounts'));
  });

  test('is read-only where the root is, and places belong to the container’s root', async () => {
    await show([bind('/a/b', join(top, 'volume'))], true, { uid: 1234, gid: 1235 });
    expect(() => inside('touch', '/x')).toThrow();
    inside('touch', '/a/b/x');
    expect(lstatSync(join(root, 'a/b'))).toMatchObject({ uid: 1234, gid: 1235 });
  });

  test('a hostile root leads nowhere', async () => {
    symlinkSync('/../../../../..', join(root, 'up'));
    symlinkSync(top, join(root, 'away'));
    symlinkSync('loop', join(root, 'loop'));
    symlinkSync('/nowhere', join(root, 'dangling'));
    symlinkSync('/proc/1/root', join(root, 'magic'));
    const volume = join(top, 'volume');
    await show([
      bind('/up/x', volume),
      bind('/away/y', volume),
      bind('/loop/z', volume),
      bind('/dangling', volume),
      bind('/magic/w', volume),
    ]);
    expect(readdirSync(root).sort()).toEqual(['away', 'bin', 'dangling', 'etc', 'loop', 'magic', 'up', 'x']);
    expect(readdirSync(top).sort()).toEqual(['root', 'volume']);
    expect(inside('ls', '/x')).toBe('file\n');
    expect(report).toContainEqual(expect.stringContaining('4 of 5 mounts'));
  });

  test('is empty where the root cannot be had', async () => {
    root = join(top, 'missing');
    await show([]);
    expect(report).toContainEqual(expect.stringContaining('not applied: whose root is that of the container'));
    expect(() => execFileSync('nsenter', ['-t', String(child!.pid), '-m', '/bin/busybox', 'ls', '/'], { stdio: 'ignore' })).toThrow();
  });
});
