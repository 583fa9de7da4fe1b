/** The host contract against the real host. */
import { afterEach, describe, expect, test } from 'vitest';
import type { HostFd, HostStat } from '../contract/host.ts';
import { createHost } from './host.ts';
import { socketPair } from './messages.ts';

const host = createHost();
const memory = host.allocate(16384);
const opened: HostFd[] = [];

function memfd(contents = ''): HostFd {
  const fd = host.memfd('test');
  opened.push(fd);
  host.pwrite(fd, memory, 0, memory.writeLatin1(contents, 0), 0);
  return fd;
}

function pair(): readonly [HostFd, HostFd] {
  const made = socketPair();
  if (typeof made === 'number') throw new Error(`socketpair: ${made}`);
  opened.push(...made);
  return made;
}

function emptyStat(): HostStat {
  const times = { atimeSec: 0, atimeNsec: 0, mtimeSec: 0, mtimeNsec: 0, ctimeSec: 0, ctimeNsec: 0 };
  return { dev: 0, ino: 0, mode: 0, nlink: 0, uid: 0, gid: 0, rdev: 0, size: 0, blksize: 0, blocks: 0, ...times };
}

afterEach(() => {
  for (const fd of opened.splice(0)) host.close(fd);
});

describe('files', () => {
  test('positions, sizes, holes', () => {
    const fd = memfd('hello');
    expect(host.pread(fd, memory, 100, 50, 1)).toBe(4);
    expect(memory.latin1(100, 104)).toBe('ello');
    expect(host.ftruncate(fd, 20000)).toBe(0);
    expect(host.lseek(fd, 0, 2)).toBe(20000);
    expect(host.lseek(fd, 5000, 3)).toBe(-6); // SEEK_DATA in a hole that reaches to the end
    expect(host.lseek(fd, 0, 4)).toBe(4096);
    expect(host.fallocate(fd, 3, 0, 4096)).toBe(0);
    expect(host.pread(fd, memory, 100, 4, 0)).toBe(4);
    expect(memory.latin1(100, 104)).toBe('\0\0\0\0');
    expect(host.fsync(fd, true)).toBe(0);
    const stat = emptyStat();
    expect(host.fstat(fd, stat)).toBe(0);
    expect([stat.size, stat.mode & 0o170000, stat.nlink]).toEqual([20000, 0o100000, 0]);
    expect(Math.abs(stat.mtimeSec - Date.now() / 1000)).toBeLessThan(60);
  });

  test('copies between files', () => {
    const from = memfd('abcdefgh');
    const to = memfd('________');
    expect(host.copyFileRange(from, 2, to, 4, 3)).toBe(3);
    expect(host.pread(to, memory, 0, 8, 0)).toBe(8);
    expect(memory.latin1(0, 8)).toBe('____cde_');
  });

  test('errors are negative numbers', () => {
    const closed = host.memfd('closed');
    host.close(closed);
    expect(host.pread(closed, memory, 0, 1, 0)).toBe(-9);
    expect(host.ftruncate(closed, 1)).toBe(-9);
    expect(host.poll(closed, 1)).toBe(32); // POLLNVAL
  });

  test('append writes behind whatever is there, and leaves the position behind that', () => {
    const fd = memfd('first');
    memory.writeLatin1('second', 0);
    expect(host.append(fd, memory, 0, 6)).toBe(6);
    expect(host.lseek(fd, 0, 1)).toBe(11);
    expect(host.append(fd, memory, 3, 0)).toBe(0);
    expect(host.pread(fd, memory, 100, 50, 0)).toBe(11);
    expect(memory.latin1(100, 111)).toBe('firstsecond');
    expect(host.append(fd, memory, 16380, 5)).toBe(-14);
  });

  test('no range outside of the memory is accepted', () => {
    const fd = memfd('x');
    expect(host.pread(fd, memory, 16380, 5, 0)).toBe(-14);
    expect(host.pread(fd, memory, -1, 5, 0)).toBe(-14);
    expect(host.write(fd, memory, 0, 20000)).toBe(-14);
    expect(host.read(fd, memory, NaN, 1)).toBe(-14);
    expect(host.ioctl(fd, 0x5401, memory, 16384)).toBe(-14);
    expect(() => host.random(memory, 16000, 500)).toThrow('outside');
  });

  test('a shared mapping shows the file', () => {
    const fd = memfd('0123456789');
    const mapped = host.mapShared(fd, 0, 4096);
    if (typeof mapped === 'number') throw new Error(`mmap: ${mapped}`);
    expect(mapped.latin1(0, 4)).toBe('0123');
    mapped.writeLatin1('AB', 1);
    expect(host.pread(fd, memory, 0, 4, 0)).toBe(4);
    expect(memory.latin1(0, 4)).toBe('0AB3');
  });
});

describe('messages', () => {
  test('arrive whole, with descriptors', () => {
    const [left, right] = pair();
    const fd = memfd('donated');
    expect(host.send(left, memory, 0, memory.writeLatin1('take this', 0), [fd, fd])).toBe(9);
    const descriptors = new Int32Array(8);
    expect(host.receive(right, memory, 200, 100, descriptors, 1000)).toBe(9);
    expect(memory.latin1(200, 209)).toBe('take this');
    expect(host.receivedDescriptors).toBe(2);
    expect(host.pread(descriptors[1]!, memory, 0, 7, 0)).toBe(7);
    expect(memory.latin1(0, 7)).toBe('donated');
    opened.push(descriptors[0]!, descriptors[1]!);
  });

  test('descriptors nobody wants are not kept', () => {
    const [left, right] = pair();
    const [reader, writer] = pair();
    expect(host.send(left, memory, 0, 1, [writer])).toBe(1);
    host.close(writer);
    opened.splice(opened.indexOf(writer), 1);
    expect(host.receive(right, memory, 0, 1, null, 1000)).toBe(1);
    expect(host.receivedDescriptors).toBe(0);
    // The last reference is gone: the other end sees the end of file.
    expect(host.receive(reader, memory, 0, 1, null, 1000)).toBe(0);
  });

  test('time out, end', () => {
    const [left, right] = pair();
    expect(host.receive(right, memory, 0, 1, null, 5)).toBe(-11);
    host.close(left);
    opened.splice(opened.indexOf(left), 1);
    expect(host.receive(right, memory, 0, 1, null, 1000)).toBe(0);
    expect(host.send(right, memory, 0, 1)).toBe(-32);
  });
});

describe('events', () => {
  const pairs = new Int32Array(64);

  test('watch, modify, unwatch', () => {
    const [left, right] = pair();
    expect(host.watch(right, 1, 20)).toBe(0);
    expect(host.takeEvents(pairs)).toBe(0);
    expect(host.send(left, memory, 0, 1)).toBe(1);
    expect([host.takeEvents(pairs), pairs[0], pairs[1]]).toEqual([1, 20, 1]);
    expect(host.watch(right, 5, 21)).toBe(0);
    expect([host.takeEvents(pairs), pairs[0], pairs[1]]).toEqual([1, 21, 5]);
    expect(host.unwatch(right)).toBe(0);
    expect(host.takeEvents(pairs)).toBe(0);
    expect(host.unwatch(right)).toBe(-2);
  });

  test('a regular file is always ready and cannot be watched', () => {
    const file = process.getuid === undefined ? -1 : 0;
    expect(file).toBe(0);
    expect(host.watch(memfd('x'), 1, 30)).toBe(-1);
    expect(() => host.watch(0, 1, 3)).toThrow('reserved');
  });

  test('a report of a descriptor that is no longer watched is dropped', () => {
    const [left, right] = pair();
    host.watch(right, 1, 40);
    host.send(left, memory, 0, 1);
    expect(host.events.collect()).toBe(true);
    host.unwatch(right);
    expect(host.takeEvents(pairs)).toBe(0);
  });

  test('more reports than fit come later', () => {
    const ends = Array.from({ length: 5 }, () => pair());
    for (const [index, [left, right]] of ends.entries()) {
      host.watch(right, 1, 50 + index);
      host.send(left, memory, 0, 1);
    }
    const small = new Int32Array(6);
    const tokens = new Set<number>();
    for (let round = 0; round < 4; round += 1) {
      const count = host.takeEvents(small);
      for (let i = 0; i < count; i += 1) tokens.add(small[i * 2]!);
    }
    expect(tokens.size).toBe(5);
    for (const [, right] of ends) host.unwatch(right);
  });
});

test('time and chance', () => {
  const now = { sec: 0, nsec: 0 };
  host.realtime(now);
  expect(Math.abs(now.sec + now.nsec / 1e9 - Date.now() / 1000)).toBeLessThan(1);
  const first = host.monotonicNs();
  expect(host.monotonicNs()).toBeGreaterThanOrEqual(first);
  memory.bytes.fill(0, 0, 64);
  host.random(memory, 0, 32);
  expect(new Set(memory.bytes.subarray(0, 32)).size).toBeGreaterThan(8);
  expect(memory.bytes[32]).toBe(0);
});
