/** Large files with mapped pieces, on the real host: what is read is what was written, whatever was mapped, cut or thrown away in between. */
import { afterEach, describe, expect, it } from 'vitest';
import { createHost } from '#platform/host/host.ts';
import { TMPFS_WINDOW_BYTES, TMPFS_WINDOWS_MAX } from '../../limits.ts';
import { KernelIo } from '../../mm/io.ts';
import { Contents } from './contents.ts';
import { FileStore } from './file-store.ts';

const host = createHost({});
const store = new FileStore(host);
const buffer = host.allocate(64 * 1024);
const budget = { available: Infinity, charge: () => {} };
const open: Contents[] = [];

function file(size: number): Contents {
  const contents = new Contents(store, budget);
  open.push(contents);
  for (let at = 0; at < size; at += buffer.bytes.length) write(contents, at, 0, Math.min(buffer.bytes.length, size - at));
  return contents;
}

function write(contents: Contents, position: number, value: number, length: number): void {
  buffer.bytes.fill(value, 0, length);
  expect(contents.write(new KernelIo(buffer, 0, length), position)).toBe(length);
}

function read(contents: Contents, position: number, length: number): string {
  buffer.bytes.fill(0xee);
  const n = contents.read(new KernelIo(buffer, 0, length), position);
  return [...buffer.bytes.subarray(0, n)].join();
}

/** Enough accesses in a row to have the piece mapped. */
function use(contents: Contents, position: number): void {
  for (let i = 0; i < 10; i++) read(contents, position, 1);
}

afterEach(() => {
  for (const contents of open.splice(0)) contents.free();
});

describe('a window', () => {
  it('shows what was written before and is written through', () => {
    const contents = file(3 * TMPFS_WINDOW_BYTES);
    write(contents, TMPFS_WINDOW_BYTES + 5, 7, 3);
    use(contents, TMPFS_WINDOW_BYTES);
    expect(contents.window?.offset).toBe(TMPFS_WINDOW_BYTES);
    expect(read(contents, TMPFS_WINDOW_BYTES + 4, 5)).toBe('0,7,7,7,0');
    write(contents, TMPFS_WINDOW_BYTES + 6, 9, 1);
    const there = host.allocate(16);
    expect(host.pread(contents.hostFd, there, 0, 5, TMPFS_WINDOW_BYTES + 4)).toBe(5);
    expect([...there.bytes.subarray(0, 5)]).toEqual([0, 7, 9, 7, 0]);
    // Across its end.
    write(contents, 2 * TMPFS_WINDOW_BYTES - 2, 4, 4);
    expect(read(contents, 2 * TMPFS_WINDOW_BYTES - 3, 6)).toBe('0,4,4,4,4,0');
  });

  it('is not touched beyond the end of the file, which moves', () => {
    const contents = file(TMPFS_WINDOW_BYTES);
    use(contents, 0);
    expect(contents.window).not.toBeNull();
    expect(contents.truncate(10)).toBe(0);
    expect(read(contents, 8, 100)).toBe('0,0');
    expect(read(contents, 5000, 100)).toBe('');
    write(contents, 10, 3, 2);
    expect(read(contents, 8, 100)).toBe('0,0,3,3');
    expect(contents.truncate(20_000)).toBe(0);
    expect(read(contents, 11, 3)).toBe('3,0,0');
    write(contents, 15_000, 6, 1);
    expect(read(contents, 14_999, 3)).toBe('0,6,0');
  });

  it('is taken from others when there are no more', () => {
    const files = Array.from({ length: TMPFS_WINDOWS_MAX + 5 }, (_, i) => {
      const contents = file(100_000);
      write(contents, 100, i, 1);
      return contents;
    });
    for (const contents of files) use(contents, 0);
    expect(files.filter(({ window }) => window !== null)).toHaveLength(TMPFS_WINDOWS_MAX);
    files.forEach((contents, i) => expect(read(contents, 100, 1)).toBe(`${i}`));
    for (const contents of files) use(contents, 0);
    files.forEach((contents, i) => {
      write(contents, 101, i, 1);
      expect(read(contents, 100, 2)).toBe(`${i},${i}`);
    });
  });

  it('holds nothing of a file that is gone', () => {
    const contents = file(100_000);
    use(contents, 0);
    const { window } = contents;
    write(contents, 0, 5, 10);
    expect(window!.memory.bytes[3]).toBe(5);
    contents.free();
    expect(window!.memory.bytes[3]).toBe(0);
    expect(window!.owner).toBeNull();
  });

  it('is not made over holes', () => {
    const contents = file(100_000);
    write(contents, 200_000, 1, 1);
    use(contents, 150_000);
    expect(contents.window).toBeNull();
    expect(read(contents, 199_999, 2)).toBe('0,1');
  });
});
