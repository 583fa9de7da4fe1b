/**
 * Stub processes as one sees them from outside, whichever platform made them: what they hold, what they may, and that nobody's meddling with them
 * confuses the sentry.
 */
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Host } from '#platform/contract/host.ts';
import { StopKind } from '#platform/contract/platform.ts';
import type { GuestThread, Platform } from '#platform/contract/platform.ts';
import { STUB_BASE } from '#platform/stub/layout.ts';
import * as g from './guest.ts';

/** A guest thread that is a thread of the host. */
interface HostThread extends GuestThread {
  readonly tid: number;
}

const SIGILL = 4;

/** `mappings`: what a process holds beside the stub and the vDSO. */
export function stubProcessSuite(create: () => { host: Host; platform: Platform }, mappings: readonly string[]): void {
  describe('stub processes', () => {
    const world = {} as { -readonly [K in keyof g.World]: g.World[K] };

    beforeEach(() => {
      Object.assign(world, create());
      world.memory = world.host.allocate(64 * 1024);
    });

    afterEach(() => world.platform.destroy());

    fromOutside(world, mappings);
    meddling(world);
  });
}

function createSpace(world: g.World): HostThread {
  const thread = world.platform.createSpace();
  if (typeof thread === 'number') throw new Error(`createSpace: ${thread}`);
  thread.madvise(0x10_0000, g.PAGE, 0); // brings a forked process to where it has mapped all it needs
  return thread as HostThread;
}

function fromOutside(world: g.World, mappings: readonly string[]): void {
  test('hold nothing of the sentry', () => {
    const thread = createSpace(world);
    const maps = readFileSync(`/proc/${thread.tid}/maps`, 'latin1').trim().split('\n');
    const names = maps.map((line) => line.split(/ +/)[5] ?? '').filter((name) => name !== '[vsyscall]');
    expect(names.filter((name) => name === '')).toHaveLength(1);
    expect(names.filter((name) => name !== '' && !name.startsWith('[v'))).toEqual(mappings);
    expect(maps.find((line) => line.startsWith(STUB_BASE.toString(16)))).toContain('r-xp');
    thread.release();
  });

  test('have no rights', () => {
    const thread = createSpace(world);
    const status = readFileSync(`/proc/${thread.tid}/status`, 'latin1');
    expect(status).toMatch(/Seccomp:\t2\n/);
    expect(status).toMatch(/NoNewPrivs:\t1\n/);
    expect(status).toMatch(/CapPrm:\t0+\n/);
    expect(status).toMatch(/CapEff:\t0+\n/);
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
        a.bytes(0x0f, 0x05); // syscall, which not every processor knows in this mode
        a.bytes(0x0f, 0x0b); // ud2
      }),
    );
    g.expectNextCall(world, thread, 0xffff_ffff);
    // What the guest's own filters go by: the number, and the first argument in ebx.
    expect([thread.foreignNumber?.(), thread.call[2], thread.call[3]]).toEqual([20, 0x2b, 0]);
    expect(thread.registers()[g.REG.cs]).toBe(0x23);
    expect(thread.mprotect(g.DATA, g.PAGE, g.PROT_RW)).toBe(0);
    thread.setResult(-38);
    thread.resume();
    expect(g.nextStop(world)).toBe(thread);
    const isUnknownHere = thread.stop === StopKind.Fault && thread.fault.signo === SIGILL;
    expect(isUnknownHere || (thread.stop === StopKind.Syscall && thread.call[0] === 0xffff_ffff)).toBe(true);
    expect(g.peek32(world, thread, g.DATA)).toBe(0xffff_ffda);
    const child = thread.fork();
    expect(typeof child).toBe('object');
    (child as GuestThread).release();
    thread.release();
  });
}

function meddling(world: g.World): void {
  test('a process killed from outside is reported as gone', () => {
    const spin = g.program((a) => {
      a.label('spin');
      a.jmp('spin');
    });
    const thread = g.load(world, spin) as HostThread;
    thread.resume();
    process.kill(thread.tid, 'SIGKILL');
    expect(g.nextStop(world)).toBe(thread);
    expect(thread.stop).toBe(StopKind.Gone);
    expect(thread.munmap(g.DATA, g.PAGE)).toBe(-3);
    thread.release();

    const stopped = g.load(world, spin) as HostThread;
    process.kill(stopped.tid, 'SIGKILL');
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
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGSEGV', 'SIGTRAP', 'SIGUSR1'] as const) {
      process.kill((thread as HostThread).tid, signal);
      g.expectNextCall(world, thread, 110);
      expect(thread.mprotect(g.DATA, g.PAGE, g.PROT_RW)).toBe(0);
    }
    thread.release();
  });
}
