/** Inherited files: what the guest sees of them, that nothing is lost, and that an idle one is not watched. */
import { describe, expect, it } from 'vitest';
import { EACCES, EAGAIN } from '#sentry/abi/errno.ts';
import { O_RDONLY, O_RDWR, O_WRONLY, POLLIN, POLLOUT, READABLE, S_IFIFO, S_IFMT, SEEK_END, WRITABLE } from '#sentry/abi/fs.ts';
import { emptyAttributes } from '#sentry/abi/stat.ts';
import { FakeHost } from '#platform/fake/fake-host.ts';
import type { HostFd } from '#platform/contract/host.ts';
import { WaitEntry } from '../../lib/wait-queue.ts';
import { KernelIo } from '../../mm/io.ts';
import type { FileDescription } from '../../vfs/file-description.ts';
import type { Caller } from '../../vfs/inode.ts';
import type { HostEvents } from './host-events.ts';
import { HostFiles } from './host-files.ts';

const caller = { credentials: {}, task: null } as unknown as Caller;

const OWNER = { uid: 7, gid: 8 };

/** Watches that the test fires by hand. */
class ManualEvents implements HostEvents {
  readonly watched = new Map<HostFd, { events: number; callback: (events: number) => void }>();
  watch(fd: HostFd, events: number, callback: (events: number) => void): number {
    this.watched.set(fd, { events, callback });
    return 0;
  }
  unwatch(fd: HostFd): void {
    this.watched.delete(fd);
  }
  fire(fd: HostFd, events: number): void {
    this.watched.get(fd)!.callback(events);
  }
}

function setUp(): { host: FakeHost; events: ManualEvents; files: HostFiles } {
  const host = new FakeHost();
  for (const _ of [0, 1, 2]) host.addFile(''); // descriptors below 3 are the sentry's own
  const events = new ManualEvents();
  return { host, events, files: new HostFiles(host, events) };
}

function opened(file: FileDescription | number): FileDescription {
  if (typeof file === 'number') throw new Error(`${file}`);
  return file;
}

function read(host: FakeHost, file: FileDescription, length: number, position = -1): string | number {
  const memory = host.allocate(length);
  const n = file.read(new KernelIo(memory, 0, length), position, caller);
  return n < 0 ? n : memory.latin1(0, n);
}

function write(host: FakeHost, file: FileDescription, text: string, position = -1): number {
  const memory = host.allocate(Math.max(text.length, 1));
  memory.writeLatin1(text, 0);
  return file.write(new KernelIo(memory, 0, text.length), position, caller);
}

describe('an inherited pipe', () => {
  it('is read without blocking and shows nothing of the host', () => {
    const { host, files } = setUp();
    const pipe = host.addPipe();
    const file = opened(files.open(pipe.read, O_RDONLY, OWNER, null));
    expect(read(host, file, 10)).toBe(-EAGAIN);
    const memory = host.allocate(10);
    memory.writeLatin1('hello', 0);
    host.write(pipe.write, memory, 0, 5);
    expect(file.poll() & READABLE).not.toBe(0);
    expect(read(host, file, 3)).toBe('hel');
    expect(read(host, file, 10)).toBe('lo');
    const stat = emptyAttributes();
    file.getattr(stat);
    expect([stat.mode & S_IFMT, stat.uid, stat.gid, stat.rdev]).toEqual([S_IFIFO, 7, 8, 0]);
    expect(file.dentry.name).toBe(`pipe:[${stat.ino}]`);
  });

  it('keeps what the reader did not take', () => {
    const { host, files } = setUp();
    const pipe = host.addPipe();
    const file = opened(files.open(pipe.read, O_RDONLY, OWNER, null));
    const memory = host.allocate(10);
    memory.writeLatin1('hello', 0);
    host.write(pipe.write, memory, 0, 5);
    const picky = new KernelIo(memory, 0, 5);
    picky.put = () => 2;
    expect(file.read(picky, -1, caller)).toBe(2);
    expect(file.poll() & READABLE).not.toBe(0);
    expect(read(host, file, 10)).toBe('llo');
  });

  it('is watched only while somebody waits for what is not there', () => {
    const { host, events, files } = setUp();
    const pipe = host.addPipe();
    const file = opened(files.open(pipe.read, O_RDONLY, OWNER, null));
    let woken = 0;
    const entry = new WaitEntry({
      wake: () => {
        woken++;
      },
    });
    expect(events.watched.size).toBe(0);
    file.queue.add(entry, READABLE);
    expect(events.watched.get(pipe.read)?.events).toBe(POLLIN);
    events.fire(pipe.read, POLLIN);
    // Told once; level-triggered as the host is, it must not tell again before somebody looked.
    expect([woken, events.watched.size]).toEqual([1, 0]);
    expect(read(host, file, 10)).toBe(-EAGAIN);
    expect(events.watched.size).toBe(1);
    file.queue.remove(entry);
    expect(events.watched.size).toBe(0);
  });

  it('is watched for what an epoll instance came to wait for after it joined the queue', () => {
    const { host, events, files } = setUp();
    const pipe = host.addPipe();
    const file = opened(files.open(pipe.read, O_RDONLY, OWNER, null));
    const entry = new WaitEntry({ wake: () => undefined });
    file.queue.add(entry, 0x4000);
    entry.mask = POLLIN;
    expect(file.poll() & READABLE).toBe(0);
    expect(events.watched.get(pipe.read)?.events).toBe(POLLIN);
    entry.mask = 0x4000;
    file.queue.remove(entry);
    expect(events.watched.size).toBe(0);
    file.queue.add(entry, POLLIN);
    expect(events.watched.get(pipe.read)?.events).toBe(POLLIN);
  });

  it('gives an opened-anew file no more access than was inherited', () => {
    const { host, files } = setUp();
    const pipe = host.addPipe();
    const file = opened(files.open(pipe.read, O_RDONLY, OWNER, null));
    expect(file.inode.open(file.dentry, O_WRONLY, caller)).toBe(-EACCES);
    const again = opened(file.inode.open(file.dentry, O_RDONLY, caller));
    file.release();
    expect(host.openDescriptors()).toContain(pipe.read);
    again.release();
    expect(host.openDescriptors()).not.toContain(pipe.read);
  });

  it('keeps what a descriptor that does not block refused, and writes it later', () => {
    const { host, events, files } = setUp();
    const pipe = host.addPipe();
    const file = opened(files.open(pipe.write, O_WRONLY, OWNER, null));
    const hostWrite = host.write.bind(host);
    let room = 3;
    host.write = (fd, memory, offset, length) => {
      const n = Math.min(room, length);
      room -= n;
      return n === 0 ? -EAGAIN : hostWrite(fd, memory, offset, n);
    };
    expect(write(host, file, 'hello')).toBe(5);
    expect(file.poll() & WRITABLE).toBe(0);
    expect(write(host, file, 'more')).toBe(-EAGAIN);
    room = 100;
    events.fire(pipe.write, POLLOUT);
    expect(write(host, file, ' world')).toBe(6);
    expect(read(host, opened(files.open(pipe.read, O_RDONLY, OWNER, null)), 50)).toBe('hello world');
  });
});

describe('an inherited regular file', () => {
  it('is read and written at any place, and goes on where the host stands', () => {
    const { host, files } = setUp();
    const fd = host.addFile('abcdef');
    host.lseek(fd, 2, 0);
    const file = opened(files.open(fd, O_RDWR, OWNER, null));
    expect(file.position).toBe(2);
    expect(read(host, file, 2, 2)).toBe('cd');
    expect(host.lseek(fd, 0, 1)).toBe(4);
    expect(write(host, file, 'XY', 0)).toBe(2);
    expect(host.lseek(fd, 0, 1)).toBe(4);
    expect(file.seek(0, SEEK_END)).toBe(6);
    expect(read(host, file, 10, 0)).toBe('XYcdef');
  });

  it('is one file for two descriptors that write to it', () => {
    const { host, files } = setUp();
    const fd = host.addFile('');
    const file = opened(files.open(fd, O_WRONLY, OWNER, null));
    expect(files.open(fd, O_WRONLY, OWNER, null)).toBe(file);
  });
});
