/** How memory calls reach the host: several as one, or on the way back to the guest. */
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Reg } from '#sentry/abi/x64/registers.ts';
import * as g from '../../test/platform/guest.ts';
import { createHost } from '../host/host.ts';
import type { SeccompThread } from './guest-thread.ts';
import { createSeccompPlatform } from './platform.ts';

const SYS_MADVISE = 28;
const SYS_MARK = 400;
const MAP_PRIVATE = 2;
const MADV_DONTNEED = 4;
const AT = 0x60_0000;
const world = {} as { -readonly [K in keyof g.World]: g.World[K] };

beforeEach(() => {
  const host = createHost();
  world.host = host;
  world.platform = createSeccompPlatform(host);
  world.memory = host.allocate(64 * 1024);
});

afterEach(() => world.platform.destroy());

/** A file of as many pages, each of which holds its number. */
function pages(count: number): number {
  const fd = world.host.memfd('pages');
  expect(world.host.ftruncate(fd, count * g.PAGE)).toBe(0);
  for (let i = 0; i < count; i += 1) {
    world.memory.view.setUint32(0, i, true);
    expect(world.host.pwrite(fd, world.memory, 0, 4, i * g.PAGE)).toBe(4);
  }
  return fd;
}

test('mappings of a file that continue each other are made as one, each with its protection', () => {
  const thread = world.platform.createSpace() as SeccompThread;
  const fd = pages(8);
  const map = (page: number, count: number, protection: number, from: number, file = fd): void =>
    expect(thread.mmap(AT + page * g.PAGE, count * g.PAGE, protection, MAP_PRIVATE, file, from * g.PAGE)).toBe(0);
  thread.beginMemoryCalls(0x50_0000);
  map(0, 1, g.PROT_READ, 0);
  map(1, 2, g.PROT_RX, 1);
  map(3, 1, g.PROT_READ, 3);
  map(4, 1, g.PROT_RW, 3); // another place of the file
  map(5, 1, g.PROT_RW, 4);
  map(7, 1, g.PROT_RW, 6); // a hole before
  expect(thread.endMemoryCalls()).toBe(0);
  const maps = readFileSync(`/proc/${thread.tid}/maps`, 'latin1')
    .split('\n')
    .filter((line) => line.includes('memfd:pages'))
    .map((line) => line.split(' ').slice(0, 3).join(' '));
  expect(maps).toEqual([
    '00600000-00601000 r--p 00000000',
    '00601000-00603000 r-xp 00001000',
    '00603000-00604000 r--p 00003000',
    '00604000-00606000 rw-p 00003000',
    '00607000-00608000 rw-p 00006000',
  ]);
  for (const [page, number] of [
    [0, 0],
    [2, 2],
    [3, 3],
    [4, 3],
    [5, 4],
    [7, 6],
  ] as const) {
    expect(g.peek32(world, thread, AT + page * g.PAGE)).toBe(number);
  }
  world.host.close(fd);
  thread.release();
});

test('a list that fills up goes on with the next one', () => {
  const thread = world.platform.createSpace() as SeccompThread;
  const fd = pages(80);
  thread.beginMemoryCalls(0x50_0000);
  for (let i = 0; i < 80; i += 1) {
    const protection = i % 2 === 0 ? g.PROT_READ : g.PROT_RW;
    expect(thread.mmap(AT + i * g.PAGE, g.PAGE, protection, MAP_PRIVATE, fd, i * g.PAGE)).toBe(0);
  }
  expect(thread.endMemoryCalls()).toBe(0);
  for (let i = 0; i < 80; i += 1) {
    expect(g.peek32(world, thread, AT + i * g.PAGE)).toBe(i);
    expect(thread.space.write(AT + i * g.PAGE, world.memory, 0, 4)).toBe(i % 2 === 0 ? 0 : 4);
  }
  world.host.close(fd);
  thread.release();
});

test('advice takes effect before its thread goes on, beside other threads too', () => {
  const thread = g.load(
    world,
    g.program((a) => {
      a.label('loop');
      g.call(a, SYS_MADVISE);
      a.bytes(0x8b, 0x3c, 0x25, 0, 0, 0x60, 0); // mov edi, [0x600000]
      g.call(a, SYS_MARK);
      a.jmp('loop');
    }),
  );
  expect(thread.mmap(AT, g.PAGE, g.PROT_RW, g.PRIVATE_ANON, -1, 0)).toBe(0);
  g.expectNextCall(world, thread, SYS_MADVISE);
  const other = thread.spawn();
  if (typeof other === 'number') throw new Error(`spawn: ${other}`);
  for (let round = 0; round < 3; round += 1) {
    g.poke32(world, thread, AT, 7);
    expect(thread.madvise(AT, g.PAGE, MADV_DONTNEED)).toBe(0);
    g.expectNextCall(world, thread, SYS_MARK);
    expect(thread.registers()[Reg.rdi]).toBe(0);
    g.expectNextCall(world, thread, SYS_MADVISE);
  }
  // One that never goes on owes nothing.
  expect(thread.madvise(AT, g.PAGE, MADV_DONTNEED)).toBe(0);
  thread.release();
  g.expectNextCall(world, other, SYS_MARK);
  other.release();
});
