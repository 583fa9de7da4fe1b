/** The fake platform and host behave as the contract says where unit tests rely on it. */
import { expect, test } from 'vitest';
import { StopKind } from '../contract/platform.ts';
import { FakeHost } from './fake-host.ts';
import { FakePlatform } from './fake-platform.ts';

function world(): { host: FakeHost; platform: FakePlatform } {
  const host = new FakeHost();
  return { host, platform: new FakePlatform(host) };
}

test('a played guest receives the results of its calls', () => {
  const { platform } = world();
  const results: number[] = [];
  const thread = platform.createSpace();
  thread.play(function* () {
    results.push(yield [39]);
    results.push(yield [110, 1, 2]);
    yield { signo: 11, code: 1, address: 0x1234 };
  });
  thread.resume();
  expect(platform.wait()).toBe(thread);
  expect([thread.stop, thread.call[0]]).toEqual([StopKind.Syscall, 39]);
  thread.setResult(7);
  thread.resume();
  expect(platform.wait()).toBe(thread);
  expect([...thread.call.subarray(0, 6)]).toEqual([110, 0, 1, 0, 2, 0]);
  thread.setResult(-2);
  thread.resume();
  expect(platform.wait()?.stop).toBe(StopKind.Fault);
  expect(thread.fault.addressLow).toBe(0x1234);
  expect(results).toEqual([7, -2]);
});

test('memory: partial copies, protection, shared files, fork', () => {
  const { host, platform } = world();
  const thread = platform.createSpace();
  const memory = host.allocate(8192);
  memory.writeLatin1('hello', 0);
  expect(thread.mmap(0x1_0000, 4096, 3, 0x22, -1, 0)).toBe(0);
  expect(thread.space.write(0x1_0ffd, memory, 0, 5)).toBe(3);
  expect(thread.space.read(0x1_0ffd, memory, 100, 5)).toBe(3);
  expect(memory.latin1(100, 103)).toBe('hel');
  const fd = host.addFile('0123456789');
  expect(thread.mmap(0x2_0000, 8192, 3, 1, fd, 0)).toBe(0);
  expect(thread.space.write(0x2_0000, memory, 0, 5)).toBe(5);
  expect(host.pread(fd, memory, 200, 100, 0)).toBe(10);
  expect(memory.latin1(200, 210)).toBe('hello56789');
  expect(thread.space.read(0x2_1000, memory, 0, 1)).toBe(0);
  const child = thread.fork();
  expect(thread.space.compareExchange(thread, 0x1_0000, 0, 9)).toBe(0);
  expect(child.space.compareExchange(child, 0x1_0000, 5, 5)).toBe(0);
  expect(thread.mprotect(0x1_0000, 4096, 1)).toBe(0);
  expect(thread.space.write(0x1_0000, memory, 0, 1)).toBe(0);
});

test('events, alarm and signals end a wait', () => {
  const { host, platform } = world();
  const pairs = new Int32Array(8);
  const { read, write } = host.addPipe();
  const memory = host.allocate(4096);
  expect(host.watch(read, 1, 42)).toBe(0);
  host.setAlarm(host.nowNs + 5e9);
  const start = host.nowNs;
  expect(platform.wait()).toBeNull();
  expect(host.nowNs - start).toBe(5e9);
  host.setAlarm(Infinity);
  expect(host.write(write, memory, 0, 3)).toBe(3);
  expect(platform.wait()).toBeNull();
  expect(host.takeEvents(pairs)).toBe(1);
  expect([pairs[0], pairs[1]]).toEqual([42, 1]);
  expect(host.read(read, memory, 0, 10)).toBe(3);
  host.raise(2);
  expect(platform.wait()).toBeNull();
  expect(host.takeEvents(pairs)).toBe(1);
  expect(host.takeSignal()).toBe(2);
  expect(() => platform.wait()).toThrow('no guest will stop');
});

test('descriptors travel with messages', () => {
  const { host } = world();
  const { fd, peer } = host.addSocket();
  const memory = host.allocate(4096);
  peer.onMessage = (message, socket) => socket.send({ bytes: message.bytes, descriptions: [host.description(fd)!] });
  expect(host.send(fd, memory, 0, 10)).toBe(10);
  const descriptors = new Int32Array(8);
  expect(host.receive(fd, memory, 0, 100, descriptors, 0)).toBe(10);
  expect(host.receivedDescriptors).toBe(1);
  expect(host.poll(descriptors[0]!, 4)).toBe(4);
  expect(host.receive(fd, memory, 0, 100, descriptors, 0)).toBe(-11);
});
