/** Tree and Fetch: what the gofer tells of directories and files that nobody has asked for one by one. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EBADF, EINVAL } from '#sentry/abi/errno.ts';
import { FETCHED_DESCRIPTORS_MAX, MESSAGE_MAX, WINDOW_SIZE } from '#gofer/protocol/limits.ts';
import { Attach, Fetch, FETCH_CONTENT, FETCH_DESCRIPTOR, FETCH_FAILED, fetchedExtent, Tree } from '#gofer/protocol/messages.ts';
import type { HostMemory } from '#platform/contract/host.ts';
import { close } from '#platform/host/files.ts';
import { mapSharedMemory } from '#platform/host/memory.ts';
import { TestGofer } from './testing.ts';

let root: string;
let gofer: TestGofer;
let window: HostMemory;
const ROOT = 1;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'gofer-ahead-'));
  mkdirSync(join(root, 'a/b/c'), { recursive: true });
  mkdirSync(join(root, 'z'));
  writeFileSync(join(root, 'a/one'), 'first');
  writeFileSync(join(root, 'a/empty'), '');
  writeFileSync(join(root, 'a/b/c/deep'), 'below');
  symlinkSync('/etc', join(root, 'a/link'));
  symlinkSync('/etc/passwd', join(root, 'a/passwd'));
  execFileSync('mkfifo', [join(root, 'a/fifo')]);
  gofer = new TestGofer([{ path: root, readOnly: true }]);
  const [fd] = gofer.helloWithDescriptors();
  window = mapSharedMemory(fd!, 0, WINDOW_SIZE) as HostMemory;
  close(fd!);
  gofer.ask(Attach, { mount: 0, fid: ROOT });
});

afterEach(() => {
  gofer.close();
  rmSync(root, { recursive: true, force: true });
});

/** Paths of the sections of a tree, with the names in each. */
function tree(directories: string[], room = MESSAGE_MAX, names: string[] = []): Record<string, string[]> {
  const { body } = gofer.ask(Tree, { groups: [{ fid: ROOT, names, directories }], room });
  const paths = [''];
  const found: Record<string, string[]> = {};
  for (const { parent, name, entries } of body.sections) {
    const path = `${paths[parent]!}/${name}`;
    paths.push(path);
    found[path] = entries.names.toSorted();
  }
  return found;
}

describe('a tree', () => {
  test('comes depth first, and follows no link', () => {
    expect(tree(['a', 'z', 'link'])).toEqual({
      '/a': ['b', 'empty', 'fifo', 'link', 'one', 'passwd'],
      '/a/b': ['c'],
      '/a/b/c': ['deep'],
      '/z': [],
    });
    expect(tree(['c'], MESSAGE_MAX, ['a', 'b'])).toEqual({ '/c': ['deep'] });
    expect(tree(['none', 'one', 'link'], MESSAGE_MAX, ['a'])).toEqual({});
  });

  test('tells where links point, if that is short', () => {
    symlinkSync('y'.repeat(255), join(root, 'z/at-most'));
    symlinkSync('y'.repeat(256), join(root, 'z/too-long'));
    const { body } = gofer.ask(Tree, { groups: [{ fid: ROOT, names: [], directories: ['a', 'z'] }], room: MESSAGE_MAX });
    const told = new Map(body.sections.flatMap(({ entries }) => [...entries.targets]));
    expect([...told.keys()].toSorted()).toEqual(['at-most', 'link', 'passwd']);
    expect([told.get('link'), told.get('at-most')]).toEqual(['/etc', 'y'.repeat(255)]);
  });

  test('ends where the room does, with a whole directory', () => {
    expect(Object.keys(tree(['a', 'z'], 1))).toEqual(['/a']);
    expect(tree(['a'], 0)).toEqual({});
    for (let d = 0; d < 40; d++) {
      mkdirSync(join(root, `many/d${d}`), { recursive: true });
      for (let i = 0; i < 30; i++) writeFileSync(join(root, `many/d${d}/file-${i}`), '');
    }
    const found = tree(
      Array.from({ length: 40 }, (_, i) => `d${i}`),
      MESSAGE_MAX,
      ['many'],
    );
    expect(Object.keys(found).length).toBeGreaterThan(8);
    expect(Object.values(found).every((names) => names.length === 30)).toBe(true);
  });

  test('comes from several places, and leaves out those that are not there', () => {
    const groups = [
      { fid: ROOT, names: ['a', 'b'], directories: ['c'] },
      { fid: ROOT, names: ['none'], directories: ['a'] },
      { fid: ROOT, names: ['a', 'one'], directories: ['a'] },
      { fid: ROOT, names: [], directories: ['a', 'z'] },
    ];
    const { body } = gofer.ask(Tree, { groups, room: MESSAGE_MAX });
    // A parent below the number of groups is a group, one above it a section.
    const places = groups.map((_, i) => `${i}`);
    for (const { parent, name } of body.sections) places.push(`${places[parent]}/${name}`);
    expect(places.slice(groups.length).filter((path) => !path.includes('empty'))).toEqual(['0/c', '3/a', '3/a/b', '3/a/b/c', '3/z']);
    expect(body.sections.filter(({ parent }) => parent === 3).map(({ name }) => name)).toEqual(['a', 'z']);
    expect(gofer.ask(Tree, { groups: [], room: MESSAGE_MAX }).body.sections).toEqual([]);
  });

  test('is refused for a number that stands for nothing', () => {
    expect(gofer.ask(Tree, { groups: [{ fid: 9, names: [], directories: ['a'] }], room: 1000 }).errno).toBe(EBADF);
    const groups = [0, 9].map((fid) => ({ fid: fid === 0 ? ROOT : fid, names: [], directories: ['a'] }));
    expect(gofer.ask(Tree, { groups, room: 1000 }).errno).toBe(EBADF);
  });

  test('does not enter another file system', () => {
    const host = new TestGofer([{ path: '/', readOnly: true }]);
    host.hello();
    host.ask(Attach, { mount: 0, fid: 1 });
    expect(host.ask(Tree, { groups: [{ fid: 1, names: [], directories: ['proc', 'sys'] }], room: 1000 }).body.sections).toEqual([]);
    host.close();
  });
});

describe('fetching', () => {
  const request = (files: string[], more: { at?: number; room?: number; limit?: number } = {}) => ({
    groups: [{ fid: ROOT, names: ['a'], files }],
    at: 0,
    room: 65_536,
    limit: 65_536,
    ...more,
  });

  test('stores small files in the window, one behind the other', () => {
    const { body } = gofer.ask(Fetch, {
      ...request(['one', 'empty']),
      groups: [
        { fid: ROOT, names: ['a'], files: ['one', 'empty'] },
        { fid: ROOT, names: ['a', 'b', 'c'], files: ['deep'] },
      ],
      at: 4096,
    });
    expect(body.files.map(({ kind, length, attributes }) => [kind, length, attributes.size])).toEqual([
      [FETCH_CONTENT, 5, 5],
      [FETCH_CONTENT, 0, 0],
      [FETCH_CONTENT, 5, 5],
    ]);
    expect(window.latin1(4096, 4101)).toBe('first');
    const third = 4096 + fetchedExtent(5) + fetchedExtent(0);
    expect(window.latin1(third, third + 5)).toBe('below');
  });

  test('touches nothing but regular files', () => {
    const { body } = gofer.ask(Fetch, request(['fifo', 'passwd', 'link', 'b', 'none', 'one']));
    expect(body.files.map(({ kind }) => kind)).toEqual([...Array.from({ length: 5 }, () => FETCH_FAILED), FETCH_CONTENT]);
  });

  test('donates descriptors of larger files, as many as fit a message', () => {
    const names = Array.from({ length: FETCHED_DESCRIPTORS_MAX + 2 }, (_, i) => `large-${i}`);
    for (const name of names) writeFileSync(join(root, 'a', name), 'x'.repeat(100));
    const before = readdirSync('/proc/self/fd').length;
    const { body, fds } = gofer.ask(Fetch, request(names, { limit: 99 }));
    expect(body.files.map(({ kind }) => kind)).toEqual(Array.from({ length: FETCHED_DESCRIPTORS_MAX }, () => FETCH_DESCRIPTOR));
    expect(fds.length).toBe(FETCHED_DESCRIPTORS_MAX);
    for (const fd of fds) close(fd);
    expect(readdirSync('/proc/self/fd').length).toBe(before);
  });

  test('keeps within the room it is given', () => {
    window.bytes.fill(0x2e, 0, 8192);
    expect(gofer.ask(Fetch, request(['one', 'empty'], { room: fetchedExtent(5) })).body.files.length).toBe(1);
    expect(gofer.ask(Fetch, request(['one'], { room: fetchedExtent(5) - 1 })).body.files.length).toBe(0);
    expect(window.latin1(64, 128)).toBe('.'.repeat(64));
    for (const [at, room] of [
      [WINDOW_SIZE, 1],
      [0, WINDOW_SIZE + 1],
      [0xffff_ffff, 0xffff_ffff],
    ] as const)
      expect(gofer.ask(Fetch, request(['one'], { at, room })).errno).toBe(EINVAL);
    expect(gofer.ask(Fetch, request(['one'], { at: WINDOW_SIZE - 64, room: 64, limit: 0xffff_ffff })).body.files.length).toBe(1);
    expect(gofer.ask(Fetch, { ...request([]), groups: [{ fid: 7, names: [], files: ['a'] }] }).errno).toBe(EBADF);
  });
});
