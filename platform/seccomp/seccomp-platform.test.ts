/** The suites of all platforms on seccomp, and what only seccomp has. */
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import * as g from '../../test/platform/guest.ts';
import { platformSuite } from '../../test/platform/platform-suite.ts';
import { stubProcessSuite } from '../../test/platform/stub-process-suite.ts';
import { createHost } from '../host/host.ts';
import type { SeccompThread } from './guest-thread.ts';
import { createSeccompPlatform } from './platform.ts';

function createWorld(): { host: ReturnType<typeof createHost>; platform: ReturnType<typeof createSeccompPlatform> } {
  const host = createHost();
  return { host, platform: createSeccompPlatform(host) };
}

platformSuite('seccomp', createWorld);
stubProcessSuite(createWorld, ['/memfd:contexts']);

platformSuite('seccomp with limited memory', () => {
  const host = createHost();
  return { host, platform: createSeccompPlatform(host, { memoryLimited: true }) };
});

describe('seccomp', () => {
  const world = {} as { -readonly [K in keyof g.World]: g.World[K] };

  beforeEach(() => {
    Object.assign(world, createWorld());
    world.memory = world.host.allocate(64 * 1024);
  });

  afterEach(() => world.platform.destroy());

  function create(): SeccompThread {
    const thread = world.platform.createSpace();
    if (typeof thread === 'number') throw new Error(`createSpace: ${thread}`);
    thread.madvise(0x10_0000, 4096, 0); // brings a forked process to where it has mapped its slot
    return thread as SeccompThread;
  }

  test('a fork has its own slot and not its parent’s', () => {
    const parent = create();
    const child = parent.fork() as SeccompThread;
    child.madvise(0x10_0000, 4096, 0);
    const slots = [parent, child].map(({ tid }) => readFileSync(`/proc/${tid}/maps`, 'latin1').match(/\S+(?= \S+ \d+ +\/memfd:contexts)/g));
    expect(slots.map((offsets) => offsets?.length)).toEqual([1, 1]);
    expect(slots[0]).not.toEqual(slots[1]);
    child.release();
    parent.release();
  });

  const hasVsyscall = readFileSync('/proc/self/maps', 'latin1').includes('[vsyscall]');

  test.skipIf(!hasVsyscall)('the vsyscall page is no way around', () => {
    const thread = g.load(
      world,
      g.program((a) => {
        a.movImm32('rdi', 0);
        a.bytes(0x48, 0xc7, 0xc0, 0, 0x04, 0x60, 0xff); // mov rax, 0xffffffffff600400: time
        a.bytes(0xff, 0xd0); // call rax
        a.mov('rdi', 'rax');
        g.call(a, 400);
      }),
    );
    g.expectNextCall(world, thread, 201);
    thread.registers();
    thread.setResult(12345);
    g.expectNextCall(world, thread, 400);
    expect(thread.call[2]).toBe(12345);
    thread.release();
  });

  test('memory calls put off are seen by everybody who looks', () => {
    const SYS_MUNMAP = 11;
    const thread = g.load(
      world,
      g.program((a) => {
        a.label('loop');
        g.call(a, SYS_MUNMAP);
        a.bytes(0x8b, 0x3c, 0x25, 0, 0, 0x60, 0); // mov edi, [0x600000]
        g.call(a, 400);
        a.jmp('loop');
      }),
    );
    const at = 0x60_0000;
    g.expectNextCall(world, thread, SYS_MUNMAP);
    expect(thread.mmap(at, g.PAGE, g.PROT_RW, g.PRIVATE_ANON, -1, 0)).toBe(0);
    g.poke32(world, thread, at, 7);
    expect(thread.mprotect(at, g.PAGE, g.PROT_READ)).toBe(0);
    expect(thread.space.write(at, world.memory, 0, 4)).toBe(0);
    expect(thread.mprotect(at, g.PAGE, g.PROT_RW)).toBe(0);
    const child = thread.fork() as SeccompThread;
    expect(child.space.write(at, world.memory, 0, 4)).toBe(4);
    g.poke32(world, child, at, 8);
    expect(thread.munmap(at, g.PAGE)).toBe(0);
    expect(thread.mmap(at, g.PAGE, g.PROT_RW, g.PRIVATE_ANON, -1, 0)).toBe(0);
    g.expectNextCall(world, thread, 400);
    expect(thread.call[2]).toBe(0);
    g.expectNextCall(world, child, 400);
    expect(child.call[2]).toBe(8);
    child.release();
    thread.release();
  });

  test('where many wait, a call that is left waiting does so in its slot, and goes on as if nothing had been', () => {
    const SYS_MUNMAP = 11;
    const thread = g.load(
      world,
      g.program((a) => {
        a.movImm32('rbx', 77);
        a.label('loop');
        g.call(a, 400);
        a.mov('rdi', 'rax');
        g.call(a, SYS_MUNMAP);
        a.jmp('loop');
      }),
    ) as SeccompThread;
    for (let i = 0; i < 110; i += 1) expect(typeof thread.spawn()).toBe('object');
    const leave = (nr: number, result: number): void => {
      g.expectNextCall(world, thread, nr);
      thread.leaveWaiting();
      thread.setResult(result);
    };
    leave(400, 1);
    leave(SYS_MUNMAP, 0);
    leave(400, 2);
    g.expectNextCall(world, thread, SYS_MUNMAP);
    expect(thread.call[2]).toBe(2);
    thread.leaveWaiting();
    expect(g.getRegister(thread, g.REG.rbx)).toBe(77);
    expect(thread.mprotect(g.DATA, g.PAGE, g.PROT_RW)).toBe(0);
    leave(400, 3);
    g.poke32(world, thread, g.DATA, 5);
    expect(thread.space.compareExchange(thread, g.DATA, 5, 6)).toBe(5);
    const child = thread.fork() as SeccompThread;
    child.setResult(9);
    g.expectNextCall(world, child, SYS_MUNMAP);
    expect(child.call[2]).toBe(9);
    child.release();
    thread.setResult(4);
    g.expectNextCall(world, thread, SYS_MUNMAP);
    expect(thread.call[2]).toBe(4);
    thread.interrupt();
    thread.space.kill();
  });
});
