/**
 * Guests that attack the platform: their slot, the stub's code, the host's signals. At most their own process dies; the sentry goes on
 * serving another guest, and never waits long.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Reg } from '#sentry/abi/x64/registers.ts';
import * as g from '../../test/platform/guest.ts';
import { StopKind } from '../contract/platform.ts';
import type { GuestThread } from '../contract/platform.ts';
import { createHost } from '../host/host.ts';
import type { Assembler } from '../stub/assembler.ts';
import { SLOT_SIZE, STACK } from '../stub/context-layout.ts';
import { assembleGuestCode, DOORBELL, KIND_DONE, KIND_STARTED } from '../stub/guest-code.ts';
import { CONTEXT_BASE, GUEST_END, STUB_BASE, TASK_END } from '../stub/layout.ts';
import type { SeccompThread } from './guest-thread.ts';
import { createSeccompPlatform } from './platform.ts';
import type { SeccompOptions } from './platform.ts';

const SYS_MARK = 400;
const SYS_MUNMAP = 11;
const SIGSYS = 31;
const stub = assembleGuestCode(true);
/** The `syscall` that rings, two bytes long. */
const DOORBELL_CALL = STUB_BASE + stub.doorbell - 2;
const world = {} as { -readonly [K in keyof g.World]: g.World[K] };
let bystander: GuestThread;

beforeEach(() => start({ interruptPatienceNs: 500e6 }));

function start(options: SeccompOptions): void {
  const host = createHost();
  world.host = host;
  world.platform = createSeccompPlatform(host, options);
  world.memory = host.allocate(64 * 1024);
  bystander = g.load(
    world,
    g.program((a) => {
      a.label('loop');
      g.call(a, SYS_MARK);
      g.call(a, SYS_MUNMAP);
      a.jmp('loop');
    }),
  );
}

afterEach(() => {
  // Whatever happened, others are served as before.
  for (const nr of [SYS_MARK, SYS_MUNMAP, SYS_MARK]) {
    g.expectNextCall(world, bystander, nr);
    bystander.setResult(0);
  }
  if (bystander.mprotect(g.DATA, g.PAGE, g.PROT_RW) !== 0) throw new Error('a memory call of another guest failed');
  world.platform.destroy();
});

/** Serves `thread` up to `count` stops or its end, like a kernel that looks at everything; returns the kinds of stops. */
function serve(thread: GuestThread, count: number): StopKind[] {
  const kinds: StopKind[] = [];
  for (let i = 0; i < count; i += 1) {
    thread.resume();
    const stopped = g.nextStop(world);
    expect(stopped).toBe(thread);
    kinds.push(thread.stop);
    if (thread.stop === StopKind.Gone) break;
    thread.registers();
    thread.setResult(0);
  }
  return kinds;
}

/** Lets it run to its next stop. It may as well go to sleep there: then it must be possible to interrupt it. */
function awaitOrInterrupt(thread: GuestThread): void {
  const { host, platform } = world;
  thread.resume();
  host.setAlarm(host.monotonicNs() + 100e6);
  const stopped = platform.wait();
  host.takeEvents(new Int32Array(64));
  host.setAlarm(Infinity);
  if (stopped !== null) return;
  thread.interrupt();
  expect(g.nextStop(world)).toBe(thread);
}

/** Calls made by the stub's own code for the guest: each is number and arguments. Afterwards the results lie at DATA + 56, + 120 and so on. */
function useStub(a: Assembler): void {
  a.movImm64('r12', g.DATA);
  a.movImm64('rax', STUB_BASE + stub.commands);
  a.lea('r14', 'back');
  a.jmpRegister('rax');
  a.label('back');
}

function writeList(thread: GuestThread, calls: readonly (readonly number[])[]): void {
  const { memory } = world;
  memory.bytes.fill(0, 0, g.PAGE);
  const put = (at: number, value: number): void => {
    memory.view.setUint32(at, value >>> 0, true);
    memory.view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000) >>> 0, true);
  };
  for (const [index, [nr, ...args]] of calls.entries()) {
    put(index * 64, nr! + 0x1_0000_0000); // may fail
    for (const [i, value] of args.entries()) put(index * 64 + 8 + i * 8, value);
  }
  put(calls.length * 64, 0xffff_ffff);
  expect(thread.space.write(g.DATA, memory, 0, g.PAGE)).toBe(g.PAGE);
}

function results(thread: GuestThread, count: number): number[] {
  expect(thread.space.read(g.DATA, world.memory, 0, g.PAGE)).toBe(g.PAGE);
  return Array.from({ length: count }, (_, i) => world.memory.view.getInt32(i * 64 + 56, true));
}

const stubUser = g.program((a) => {
  useStub(a);
  a.label('loop');
  g.call(a, SYS_MARK);
  g.call(a, SYS_MUNMAP);
  a.jmp('loop');
});

describe('the rights of the stub', () => {
  test('are no way to the host', () => {
    const thread = g.load(world, stubUser);
    const space = CONTEXT_BASE + SLOT_SIZE;
    const calls = [
      ...[0, 1, 2, 3, 5, 8, 16, 17, 39, 41, 42, 59, 61, 62, 101, 165, 200, 234, 257, 272, 310, 311, 317, 321, 322, 424, 425, 437].map(
        (nr) => [nr, 0, 0, 0, 0, 0, 0],
      ),
      // Descriptors of the sentry: its listener, its memory, its files.
      ...Array.from({ length: 12 }, (_, fd) => [9, 0x1000_0000, 4096, 3, 0x11, fd, 0]),
      [9, space, SLOT_SIZE, 3, 0x8011, 5, 0],
      [25, g.DATA, 4096, 8192, 1, 0, 0],
      [56, 0x8600, 0, 0, 0, 0, 0],
      [56, 0x11, 0, 0, 0, 0, 0],
      [57, 0, 0, 0, 0, 0, 0],
      [60, 0, 0, 0, 0, 0, 0],
      [157, 38, 0, 0, 0, 0, 0],
      [157, 4, 0, 0, 0, 0, 0],
    ];
    writeList(thread, calls);
    g.expectNextCall(world, thread, SYS_MARK);
    expect(results(thread, calls.length)).toEqual(calls.map(() => -1));
    thread.release();
  });

  test("reach only what is the guest's own anyway", () => {
    const thread = g.load(world, stubUser);
    writeList(thread, [
      [9, 0x1000_0000, 8192, 3, 0x32, -1, 0],
      [10, 0x1000_0000, 4096, 1, 0, 0, 0],
      [11, 0x1000_1000, 4096, 0, 0, 0, 0],
      [10, STUB_BASE, 4096, 7, 0, 0, 0],
      [11, CONTEXT_BASE, SLOT_SIZE, 0, 0, 0, 0],
      [24, 0, 0, 0, 0, 0, 0],
    ]);
    g.expectNextCall(world, thread, SYS_MARK);
    expect(results(thread, 6)).toEqual([0x1000_0000, 0, 0, -1, -1, 0]);
    g.expectNextCall(world, thread, SYS_MUNMAP);
    thread.release();
  });

  test('give no memory where it is limited', () => {
    world.platform.destroy();
    start({ memoryLimited: true });
    const thread = g.load(world, stubUser);
    expect(thread.mmap(0x1000_0000, 0x1_0000, 0, 0x4022, -1, 0)).toBe(0);
    writeList(thread, [
      [9, 0x1800_0000, 8192, 3, 0x32, -1, 0],
      [10, 0x1000_0000, 4096, 3, 0, 0, 0],
      [28, 0x1000_0000, 4096, 23, 0, 0, 0],
      [11, 0x1000_0000, 4096, 0, 0, 0, 0],
    ]);
    g.expectNextCall(world, thread, SYS_MARK);
    expect(results(thread, 4)).toEqual([-1, -1, -1, 0]);
    thread.release();
  });

  test('end a process that ends itself', () => {
    const thread = g.load(world, stubUser);
    writeList(thread, [[231, 0, 0, 0, 0, 0, 0]]);
    expect(serve(thread, 5)).toEqual([StopKind.Gone]);
    thread.release();
  });

  test('rings with another stack: the reply tells where the frame is', () => {
    const thread = g.load(
      world,
      g.program((a) => {
        g.call(a, SYS_MUNMAP);
        g.call(a, SYS_MARK);
        a.movImm64('rsp', g.DATA + 0x400);
        a.movImm64('rbx', g.DATA);
        a.movImm32('rdi', SIGSYS);
        a.movImm64('rsi', (bystander as SeccompThread).frameAddress);
        a.movImm32('rax', DOORBELL);
        a.movImm64('rcx', DOORBELL_CALL);
        a.jmpRegister('rcx');
      }),
    );
    for (const nr of [SYS_MUNMAP, SYS_MARK, SYS_MUNMAP, SYS_MARK]) g.expectNextCall(world, thread, nr);
    thread.space.kill();
  });

  for (const [what, kind, frame] of [
    ['done', KIND_DONE, 0],
    ['started', KIND_STARTED, 0],
    ['signals', 31, 0],
    ['faults', 11, 0],
    ['interruptions', 30, 0],
    ['nonsense', 0x7fff_ffff, 0],
    ['another frame', 31, 8],
    ['a frame of the guest', 31, -0x1_0000],
  ] as const) {
    test(`forged rings: ${what}`, () => {
      const thread = g.load(world, stubUser);
      const { frameAddress } = thread as SeccompThread;
      writeList(thread, [[DOORBELL, kind, frameAddress + frame, 7, 0, 0, 0]]);
      expect(serve(thread, 6).length).toBeGreaterThan(0);
      thread.release();
    });

    test(`forged rings, by the doorbell's own instruction: ${what}`, () => {
      const thread = g.load(world, jumper);
      g.expectNextCall(world, thread, SYS_MARK);
      g.setRegister(thread, g.REG.rdi, kind);
      g.setRegister(thread, Reg.rsi, (thread as SeccompThread).frameAddress + frame);
      g.setRegister(thread, g.REG.rax, DOORBELL);
      g.setRegister(thread, g.REG.rbx, DOORBELL_CALL);
      awaitOrInterrupt(thread);
      thread.space.kill();
    });
  }
});

const jumper = g.program((a) => {
  g.call(a, SYS_MARK);
  a.jmpRegister('rbx');
});

describe('jumps into the stub', () => {
  const start = g.program((a) => {
    g.call(a, SYS_MARK);
    a.jmpRegister('rax');
  });

  // Every byte, as code is found at odd places too.
  const end = stub.exchange + 64;
  for (const [what, value] of [
    ['zeros', 0],
    ['ones', -1],
    ['guest memory', g.DATA + 0x800],
    ['the slot', CONTEXT_BASE + STACK],
  ] as const) {
    test(`to any address, registers full of ${what}`, { timeout: 120_000 }, () => {
      for (let at = 0; at < end; at += 3) {
        const thread = g.load(world, start);
        g.expectNextCall(world, thread, SYS_MARK);
        for (const register of [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 22, 24, 26, 28, g.REG.rsp]) g.setRegister(thread, register, value);
        g.setRegister(thread, g.REG.rax, STUB_BASE + at);
        awaitOrInterrupt(thread);
        thread.space.kill();
      }
    });
  }
});

describe('the slot', () => {
  test('scribbled over before calls of every kind', () => {
    for (const fill of [0, 0x41, 0xff]) {
      for (const [from, length] of [
        [0, SLOT_SIZE],
        [0x3000, 0x1000],
        [STACK, SLOT_SIZE - STACK],
      ] as const) {
        const thread = g.load(
          world,
          g.program((a) => {
            a.movImm64('rdi', CONTEXT_BASE + from);
            a.movImm32('rcx', length);
            a.movImm32('rax', fill);
            a.bytes(0xf3, 0xaa); // rep stosb
            g.call(a, SYS_MARK);
            g.call(a, SYS_MUNMAP);
            g.call(a, SYS_MARK + 1);
          }),
        );
        g.expectNextCall(world, thread, SYS_MARK);
        expect(thread.mprotect(g.DATA, g.PAGE, g.PROT_RW)).toBe(0);
        const child = thread.fork();
        if (typeof child !== 'number') {
          serve(child, 4);
          child.space.kill();
        }
        serve(thread, 4);
        thread.space.kill();
      }
    }
  });

  test('scribbled over by another thread at any moment', { timeout: 60_000 }, () => {
    const first = g.load(
      world,
      g.program((a) => {
        a.label('loop');
        g.call(a, SYS_MUNMAP);
        g.call(a, SYS_MARK);
        a.jmp('loop');
      }),
    );
    expect(first.mmap(g.CODE + g.PAGE, g.PAGE, g.PROT_RW, g.PRIVATE_ANON, -1, 0)).toBe(0);
    const scribbler = g.program((a) => {
      a.label('loop');
      a.movImm64('rdi', CONTEXT_BASE + 0x200);
      a.movImm32('rcx', SLOT_SIZE - 0x200);
      a.bytes(0x0f, 0x31); // rdtsc
      a.bytes(0xf3, 0xaa); // rep stosb
      a.jmp('loop');
    });
    world.memory.bytes.set(scribbler, 0);
    expect(first.space.write(g.CODE + g.PAGE, world.memory, 0, scribbler.length)).toBe(scribbler.length);
    expect(first.mprotect(g.CODE + g.PAGE, g.PAGE, g.PROT_RX)).toBe(0);
    const second = first.spawn();
    if (typeof second === 'number') throw new Error(`spawn: ${second}`);
    g.setRegister(second, g.REG.rip, g.CODE + g.PAGE);
    second.resume();
    let gone = false;
    first.resume();
    for (let i = 0; i < 300 && !gone; i += 1) {
      const stopped = g.nextStop(world);
      gone = stopped.stop === StopKind.Gone;
      if (gone || stopped !== first) continue;
      first.mprotect(g.DATA, g.PAGE, i % 2 === 0 ? g.PROT_RW : g.PROT_READ);
      if (i % 10 === 0) first.registers();
      first.setResult(0);
      first.resume();
    }
    first.space.kill();
  });

  test('replaced or removed, with or without the stub', () => {
    const below = GUEST_END - g.PAGE;
    for (const call of [
      [9, below, g.PAGE + SLOT_SIZE, 3, 0x32, -1, 0],
      [11, below, g.PAGE + SLOT_SIZE, 0, 0, 0, 0],
      [10, below, g.PAGE + SLOT_SIZE, 1, 0, 0, 0],
      [9, below, TASK_END - below, 7, 0x4032, -1, 0],
      [11, below, TASK_END - below, 0, 0, 0, 0],
    ]) {
      const thread = g.load(world, stubUser);
      expect(thread.mmap(below, g.PAGE, g.PROT_RW, g.PRIVATE_ANON, -1, 0)).toBe(0);
      writeList(thread, [call]);
      serve(thread, 6);
      thread.fork();
      thread.space.kill();
    }
  });

  test('as the stack of the guest', () => {
    const thread = g.load(
      world,
      g.program((a) => {
        for (const offset of [SLOT_SIZE, SLOT_SIZE - 0x100, STACK, STACK + 0x100, 0x100]) {
          a.movImm64('rsp', CONTEXT_BASE + offset);
          a.push('rax');
          g.call(a, SYS_MARK);
          g.call(a, SYS_MUNMAP);
        }
        a.bytes(0x0f, 0x0b); // ud2
      }),
    );
    for (let i = 0; i < 5; i += 1) {
      g.expectNextCall(world, thread, SYS_MARK);
      g.expectNextCall(world, thread, SYS_MUNMAP);
    }
    g.expectNextFault(world, thread);
    thread.release();
  });
});

describe('signals of the host', () => {
  /** Goes on at CODE with all signals blocked: a frame of its own for the host's rt_sigreturn. */
  const blockAll = g.program((a) => {
    // The frame of the last stop, which lies in the slot, with another mask; then as if in the handler.
    a.movImm64('rsp', 0);
    g.call(a, SYS_MUNMAP);
    a.label('loop');
    g.call(a, SYS_MARK);
    a.jmp('loop');
  });

  /** A thread whose mask blocks everything from its next return on. */
  function blocking(): GuestThread {
    const thread = g.load(world, blockAll);
    g.expectNextCall(world, thread, SYS_MUNMAP);
    // The guest could do this at any time: its slot is its own.
    const { context, board } = thread as SeccompThread;
    context.bytes.fill(0xff, board.layout.frame + 304, board.layout.frame + 312);
    return thread;
  }

  test('blocked: asking for registers ends the process in time', () => {
    const thread = blocking();
    g.expectNextCall(world, thread, SYS_MARK);
    const start = world.host.monotonicNs();
    thread.registers();
    expect(world.host.monotonicNs() - start).toBeLessThan(8e9);
    expect(thread.munmap(g.DATA, g.PAGE)).toBe(-3);
    expect(serve(thread, 1)).toEqual([StopKind.Gone]);
    thread.release();
  });

  test('blocked: an interruption ends the process in time', () => {
    const thread = blocking();
    g.poke32(world, thread, g.DATA, 0);
    const code = g.program((a) => {
      a.label('spin');
      a.jmp('spin');
    });
    expect(thread.mprotect(g.CODE, g.PAGE, g.PROT_RW)).toBe(0);
    world.memory.bytes.set(code, 0);
    expect(thread.space.write(g.CODE, world.memory, 0, code.length)).toBe(code.length);
    expect(thread.mprotect(g.CODE, g.PAGE, g.PROT_RX)).toBe(0);
    g.setRegister(thread, g.REG.rip, g.CODE);
    thread.resume();
    thread.interrupt();
    expect(g.nextStop(world)).toBe(thread);
    expect(thread.stop).toBe(StopKind.Gone);
    thread.release();
  });

  test('sent from outside do nothing', () => {
    const thread = g.load(
      world,
      g.program((a) => {
        a.label('loop');
        g.call(a, SYS_MARK);
        g.call(a, SYS_MUNMAP);
        a.jmp('loop');
      }),
    );
    const { tid } = thread as SeccompThread;
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGSEGV', 'SIGTRAP', 'SIGSYS', 'SIGUSR1', 'SIGSTOP'] as const) {
      for (const nr of [SYS_MARK, SYS_MUNMAP]) {
        process.kill(tid, signal);
        if (signal === 'SIGSTOP') process.kill(tid, 'SIGCONT');
        g.expectNextCall(world, thread, nr);
        expect(thread.mprotect(g.DATA, g.PAGE, g.PROT_RW)).toBe(0);
      }
    }
    thread.release();
  });

  test('killed at any moment', { timeout: 60_000 }, () => {
    const loop = g.program((a) => {
      a.label('loop');
      g.call(a, SYS_MARK);
      g.call(a, SYS_MUNMAP);
      a.jmp('loop');
    });
    for (let round = 0; round < 60; round += 1) {
      const thread = g.load(world, loop);
      thread.resume();
      const killAt = round % 12;
      for (let step = 0; step < 14; step += 1) {
        if (step === killAt) process.kill((thread as SeccompThread).tid, 'SIGKILL');
        const stopped = g.nextStop(world);
        expect(stopped).toBe(thread);
        if (thread.stop === StopKind.Gone) break;
        const made: (GuestThread | number)[] = [];
        if (round % 3 === 0) thread.mprotect(g.DATA, g.PAGE, g.PROT_RW);
        if (round % 3 === 1) made.push(thread.fork());
        if (round % 3 === 2) made.push(thread.spawn());
        for (const other of made) if (typeof other !== 'number') other.release();
        thread.registers();
        thread.resume();
      }
      expect(thread.stop).toBe(StopKind.Gone);
      thread.release();
    }
  });
});
