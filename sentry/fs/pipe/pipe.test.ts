import { describe, expect, test } from 'vitest';
import { FakeHost } from '#platform/fake/fake-host.ts';
import { EAGAIN, EBUSY, ENXIO, EPERM, EPIPE } from '#sentry/abi/errno.ts';
import { O_DIRECT, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY, POLLERR, POLLHUP, READABLE, S_IFIFO, WRITABLE } from '#sentry/abi/fs.ts';
import { Bench, Listener } from '../anonymous/testing.ts';
import { createPipe, openFifo } from './pipe-file.ts';

const PAGE = 4096;
const bench = (): Bench => new Bench(new FakeHost());

describe('pipe', () => {
  test('carries bytes in order and ends when the writer has gone', () => {
    const b = bench();
    const [reader, writer] = createPipe(b.files, b.caller, 0);
    expect(b.read(reader, 10)).toBe(-EAGAIN);
    expect(b.write(writer, 'abc')).toBe(3);
    expect(b.write(writer, 'def')).toBe(3);
    expect(reader.pipe.bytes).toBe(6);
    expect(b.read(reader, 4)).toBe('abcd');
    writer.release();
    expect(reader.poll()).toBe(READABLE | POLLHUP);
    expect(b.read(reader, 10)).toBe('ef');
    expect(b.read(reader, 10)).toBe('');
    expect(reader.poll()).toBe(POLLHUP);
  });

  test('without a reader', () => {
    const b = bench();
    const [reader, writer] = createPipe(b.files, b.caller, 0);
    const seen = new Listener(writer.queue, POLLERR);
    reader.release();
    expect(seen.count).toBe(1);
    expect(b.write(writer, '')).toBe(0);
    expect(b.write(writer, 'x')).toBe(-EPIPE);
    expect(writer.poll()).toBe(WRITABLE | POLLERR);
  });

  test('fills page by page as on Linux, small writes whole or not at all', () => {
    const b = bench();
    const [reader, writer] = createPipe(b.files, b.caller, 0);
    expect(b.write(writer, 'x'.repeat(65536 - 2048))).toBe(65536 - 2048);
    expect(b.write(writer, 'y'.repeat(PAGE))).toBe(-EAGAIN);
    expect(b.write(writer, 'y'.repeat(2048))).toBe(2048);
    expect(writer.poll()).toBe(0);
    expect(b.read(reader, 100)).toBe('x'.repeat(100));
    expect(writer.poll()).toBe(0); // the first page is not empty yet
    expect(b.read(reader, PAGE - 100)).toBe('x'.repeat(PAGE - 100));
    expect(writer.poll()).toBe(WRITABLE);
    expect(b.write(writer, 'z'.repeat(PAGE + 1))).toBe(PAGE);
  });

  test('gives its pages back', () => {
    const b = bench();
    const [reader, writer] = createPipe(b.files, b.caller, 0);
    b.write(writer, 'x'.repeat(10_000));
    expect(b.files.pages.inUse).toBe(3);
    b.read(reader, 5000);
    expect(b.files.pages.inUse).toBe(2);
    writer.release();
    reader.release();
    expect(b.files.pages.inUse).toBe(0);
  });

  test('changes its size', () => {
    const b = bench();
    const [reader, writer] = createPipe(b.files, b.caller, 0);
    const { pipe } = reader;
    b.write(writer, 'a'.repeat(PAGE) + 'b'.repeat(PAGE) + 'c');
    b.read(reader, PAGE);
    expect(pipe.resize(1, false)).toBe(-EBUSY);
    expect(pipe.resize(5000, false)).toBe(8192);
    expect(pipe.resize(2 << 20, false)).toBe(-EPERM);
    expect(pipe.resize(1 << 20, false)).toBe(1 << 20);
    expect(b.read(reader, 10_000)).toBe('b'.repeat(PAGE) + 'c');
  });

  test('keeps packets apart with O_DIRECT', () => {
    const b = bench();
    const [reader, writer] = createPipe(b.files, b.caller, O_DIRECT);
    b.write(writer, 'first');
    b.write(writer, 'second');
    expect(b.read(reader, 3)).toBe('fir');
    expect(b.read(reader, 100)).toBe('second');
  });

  test('duplicates and moves to another pipe', () => {
    const b = bench();
    const [reader, writer] = createPipe(b.files, b.caller, 0);
    const [reader2] = createPipe(b.files, b.caller, 0);
    b.write(writer, 'hello');
    expect(reader.pipe.transfer(reader2.pipe, 3, 'copy')).toBe(3);
    expect(reader.pipe.transfer(reader2.pipe, 100, 'move')).toBe(5);
    expect(b.read(reader2, 100)).toBe('helhello');
    expect(b.read(reader, 1)).toBe(-EAGAIN);
  });
});

describe('fifo', () => {
  test('waits for a partner', () => {
    const b = bench();
    const dentry = b.files.sockfs.dentry('fifo', S_IFIFO | 0o600, b.caller);
    const inode = dentry.inode!;
    expect(openFifo(b.files, inode, dentry.acquire(), O_WRONLY | O_NONBLOCK)).toBe(-ENXIO);
    const reader = openFifo(b.files, inode, dentry.acquire(), O_RDONLY);
    if (typeof reader === 'number') throw new Error('no reader');
    expect(reader.openWait()).toBe(reader.queue);
    const seen = new Listener(reader.queue, READABLE);
    const writer = openFifo(b.files, inode, dentry.acquire(), O_WRONLY);
    if (typeof writer === 'number') throw new Error('no writer');
    expect(seen.count).toBeGreaterThan(0);
    expect(writer.openWait()).toBeNull();
    writer.release();
    expect(reader.openWait()).toBeNull(); // it came, and that is enough
    expect(reader.poll()).toBe(POLLHUP);
    reader.release();
    expect(inode.attachments?.size).toBe(0);
  });

  test('a reader that does not wait sees no hang-up before the first writer', () => {
    const b = bench();
    const dentry = b.files.sockfs.dentry('fifo', S_IFIFO | 0o600, b.caller);
    const reader = openFifo(b.files, dentry.inode!, dentry.acquire(), O_RDONLY | O_NONBLOCK);
    if (typeof reader === 'number') throw new Error('no reader');
    expect(reader.poll()).toBe(0);
    const both = openFifo(b.files, dentry.inode!, dentry.acquire(), O_RDWR);
    if (typeof both === 'number') throw new Error('not opened');
    both.release();
    expect(reader.poll()).toBe(POLLHUP);
  });
});
