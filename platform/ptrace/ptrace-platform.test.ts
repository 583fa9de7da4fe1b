/** The platform suite on ptrace, and what only ptrace has: stub processes one can look at from outside. */
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import * as g from '../../test/platform/guest.ts';
import { platformSuite } from '../../test/platform/platform-suite.ts';
import { StopKind } from '../contract/platform.ts';
import { createHost } from '../host/host.ts';
import { STUB_BASE } from '../stub/layout.ts';
import { assembleStub } from '../stub/stub-code.ts';
import type { PtraceThread } from './guest-thread.ts';
import { createPtracePlatform } from './ptrace-platform.ts';
import { installSignalForwarding } from './signal-forwarding.ts';

platformSuite('ptrace', () => {
  const host = createHost();
  return { host, platform: createPtracePlatform(host) };
});

describe('stub processes', () => {
  const world = {} as { -readonly [K in keyof g.World]: g.World[K] };

  beforeEach(() => {
    world.host = createHost();
    world.platform = createPtracePlatform(world.host as ReturnType<typeof createHost>);
    world.memory = world.host.allocate(64 * 1024);
  });

  afterEach(() => world.platform.destroy());

  function tidOf(thread: unknown): number {
    return (thread as PtraceThread).tid;
  }

  test('hold nothing but the stub page and the vDSO', () => {
    const thread = world.platform.createSpace();
    if (typeof thread === 'number') throw new Error('no space');
    const maps = readFileSync(`/proc/${tidOf(thread)}/maps`, 'latin1')
      .trim()
      .split('\n');
    const names = maps.map((line) => line.split(/ +/)[5] ?? '').filter((name) => name !== '[vsyscall]');
    expect(names.filter((name) => name === '')).toHaveLength(1);
    expect(names.filter((name) => name !== '' && !name.startsWith('[v'))).toEqual([]);
    expect(maps.find((line) => line.startsWith(STUB_BASE.toString(16)))).toContain('r-xp');
    thread.release();
  });

  test('have no rights', () => {
    const thread = world.platform.createSpace();
    if (typeof thread === 'number') throw new Error('no space');
    const status = readFileSync(`/proc/${tidOf(thread)}/status`, 'latin1');
    expect(status).toMatch(/Seccomp:\t2\n/);
    expect(status).toMatch(/NoNewPrivs:\t1\n/);
    expect(status).toMatch(/CapPrm:\t0+\n/);
    expect(status).toMatch(/CapEff:\t0+\n/);
    thread.release();
  });

  test("a guest that jumps into the stub's code gains nothing", () => {
    const stub = assembleStub();
    const thread = g.load(
      world,
      g.program((a) => {
        a.movImm64('rbx', STUB_BASE + stub.inject);
        a.movImm32('rax', 110);
        a.bytes(0xff, 0xe3); // jmp rbx
      }),
    );
    g.expectNextCall(world, thread, 110);
    thread.setResult(1);
    g.expectNextFault(world, thread);
    expect([thread.fault.signo, thread.fault.code]).toEqual([5, 0x80]);
    // The other routines: a clone and a poll that are only calls of the guest, a write that faults.
    for (const [routine, nr] of [
      [stub.spawn, 56],
      [stub.bell, 7],
    ] as const) {
      g.setRegister(thread, g.REG.rip, STUB_BASE + routine);
      g.expectNextCall(world, thread, nr);
    }
    g.setRegister(thread, g.REG.rip, STUB_BASE + stub.exchange);
    g.setRegister(thread, g.REG.rdi, STUB_BASE);
    g.expectNextFault(world, thread);
    expect(thread.fault.signo).toBe(11);
    thread.release();
  });

  test('a guest in 32-bit mode is still ours', () => {
    const thread = g.load(
      world,
      g.program((a) => {
        a.bytes(0x6a, 0x23); // push 0x23: the 32-bit code segment
        a.bytes(0x68, 0x10, 0, 0x40, 0); // push CODE + 16
        a.bytes(0x48, 0xcb); // retfq
        a.align(16);
        a.bytes(0xbc, 0, 0x08, 0x50, 0); // mov esp, DATA + 0x800
        a.bytes(0xbb, 0x2b, 0, 0, 0, 0x8e, 0xdb); // mov ebx, 0x2b; mov ds, ebx
        a.bytes(0xb8, 20, 0, 0, 0, 0xcd, 0x80); // mov eax, getpid; int 0x80
        a.bytes(0x89, 0x04, 0x25, 0, 0, 0x50, 0); // mov [DATA], eax
        a.bytes(0x0f, 0x05); // syscall
        a.bytes(0x0f, 0x0b); // ud2
      }),
    );
    g.expectNextCall(world, thread, 0xffff_ffff);
    expect(thread.registers()[g.REG.cs]).toBe(0x23);
    expect(thread.mprotect(g.DATA, g.PAGE, g.PROT_RW)).toBe(0);
    thread.setResult(-38);
    g.expectNextCall(world, thread, 0xffff_ffff);
    expect(g.peek32(world, thread, g.DATA)).toBe(0xffff_ffda);
    const child = thread.fork();
    expect(typeof child).toBe('object');
    (child as PtraceThread).release();
    thread.release();
  });

  test('a process killed from outside is reported as gone', () => {
    const spin = g.program((a) => {
      a.label('spin');
      a.jmp('spin');
    });
    const thread = g.load(world, spin);
    thread.resume();
    process.kill(tidOf(thread), 'SIGKILL');
    expect(g.nextStop(world)).toBe(thread);
    expect(thread.stop).toBe(StopKind.Gone);
    expect(thread.munmap(g.DATA, g.PAGE)).toBe(-3);
    thread.release();

    const stopped = g.load(world, spin);
    process.kill(tidOf(stopped), 'SIGKILL');
    stopped.resume();
    expect(g.nextStop(world)).toBe(stopped);
    expect(stopped.stop).toBe(StopKind.Gone);
    stopped.release();
  });

  test('signals from outside do nothing', () => {
    const thread = g.load(
      world,
      g.program((a) => {
        a.label('loop');
        g.call(a, 110);
        a.jmp('loop');
      }),
    );
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGSEGV', 'SIGTRAP', 'SIGSTOP', 'SIGCONT', 'SIGUSR1'] as const) {
      process.kill(tidOf(thread), signal);
      g.expectNextCall(world, thread, 110);
      expect(thread.mprotect(g.DATA, g.PAGE, g.PROT_RW)).toBe(0);
    }
    thread.release();
  });

  test('a signal to the sandbox ends a wait, also while a guest computes', () => {
    const restore = installSignalForwarding(world.host as ReturnType<typeof createHost>, [10, 28]);
    const pairs = new Int32Array(16);
    const thread = g.load(
      world,
      g.program((a) => {
        a.label('spin');
        a.jmp('spin');
      }),
    );
    expect(world.host.takeSignal()).toBe(0);
    for (const running of [false, true]) {
      if (running) thread.resume();
      process.kill(process.pid, 'SIGUSR1');
      process.kill(process.pid, 'SIGWINCH');
      expect(world.platform.wait()).toBeNull();
      world.host.takeEvents(pairs);
      expect([world.host.takeSignal(), world.host.takeSignal()].sort((a, b) => a - b)).toEqual([10, 28]);
      expect(world.host.takeSignal()).toBe(0);
    }
    thread.space.kill();
    restore();
  });
});
