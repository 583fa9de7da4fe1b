/**
 * Guests whose call sites are patched at once and whose calls are posted from then on, honest and hostile ones. What the kernel sees of them
 * must be what it would see unpatched; what a hostile one does hits itself.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import * as g from '../../../test/platform/guest.ts';
import { StopKind } from '../../contract/platform.ts';
import type { GuestThread } from '../../contract/platform.ts';
import { createHost } from '../../host/host.ts';
import type { Assembler } from '../../stub/assembler.ts';
import { TRAMPOLINE_OFFSET } from '../../stub/guest-code.ts';
import { CONTEXT_BASE, STUB_BASE } from '../../stub/layout.ts';
import { SlotAssembler } from '../../stub/slot-assembler.ts';
import { assembleTrampoline } from '../../stub/trampoline.ts';
import { CARRIED_BYTES, REGION_BASE } from '../../stub/trampoline-layout.ts';
import type { SeccompThread } from '../guest-thread.ts';
import { createSeccompPlatform } from '../platform.ts';
import { State } from '../stub-thread.ts';
import { HOT_LIMITS } from './hot-mode.ts';
import type { TransferTable } from './patched-calls.ts';
import { REGION_END } from './region.ts';

const SYS_READ = 0;
const SYS_STAT = 4;
const SYS_PREAD = 17;
const SYS_GETPID = 39;
const SYS_MARK = 400;
const MAP_PRIVATE = 2;
const TEXT = 0x60_0000;
const QUIET_NS = 1e9;
const R8 = 18;
const ARGUMENTS = ['rdi', 'rsi', 'rdx', 'r10', 'r8', 'r9'] as const;
const ALWAYS_HOT = {
  ...HOT_LIMITS,
  window: 2,
  warmNs: Infinity,
  enterNs: Infinity,
  enterPatched: 0.5,
  leaveOthers: Infinity,
  pays: Infinity,
  napsMax: Infinity,
  penaltyFirst: 0,
  takesAnyCpu: true,
};

/** stat(path, struct), pread(_, buffer, length). */
const transfers: TransferTable = Array.from({ length: SYS_PREAD + 1 }, (_, nr) => {
  if (nr === SYS_STAT)
    return { in: [{ argument: 0, kind: 0, bytes: 1, extent: -1 }], out: [{ argument: 1, kind: 1, bytes: 144, extent: -1 }] };
  return nr === SYS_PREAD ? { in: [], out: [{ argument: 1, kind: 2, bytes: 1, extent: 2 }] } : undefined;
});

const world = {} as { -readonly [K in keyof g.World]: g.World[K] };

beforeEach(() => {
  const host = createHost();
  world.host = host;
  const patching = { transfers: () => transfers, limits: ALWAYS_HOT, worthPatching: 1 };
  world.platform = createSeccompPlatform(host, { interruptPatienceNs: 500e6, patching });
  world.memory = host.allocate(64 * 1024);
});

afterEach(() => {
  world.platform.destroy();
});

/** A guest whose code is the text of a file, as a program's is. */
function load(write: (a: SlotAssembler) => void): SeccompThread {
  const a = new SlotAssembler();
  // Some text before and behind, so that a site can be looked at from all sides.
  a.align(256);
  for (let i = 0; i < 256; i += 1) a.bytes(0x90);
  write(a);
  for (let i = 0; i < 256; i += 1) a.bytes(0x90);
  const bytes = a.finish();
  const thread = g.load(world, bytes.subarray(0, 0)) as SeccompThread;
  const fd = world.host.memfd('text');
  world.memory.bytes.fill(0, 0, g.PAGE);
  world.memory.bytes.set(bytes, 0);
  expect(world.host.pwrite(fd, world.memory, 0, g.PAGE, 0)).toBe(g.PAGE);
  expect(thread.mmap(TEXT, g.PAGE, g.PROT_RX, MAP_PRIVATE, fd, 0)).toBe(0);
  world.host.close(fd);
  g.setRegister(thread, g.REG.rip, TEXT);
  return thread;
}

/** `mov eax, nr; syscall` in a loop, counting in rbx, with every argument another number. */
function loop(a: Assembler, nr: number): void {
  a.xor('rbx', 'rbx');
  a.label('loop');
  a.mov('rdi', 'rbx');
  for (const [i, register] of ARGUMENTS.slice(1).entries()) a.movImm64(register, 0x1111_0000_0000 + i);
  g.call(a, nr);
  a.addImm32('rbx', 1);
  a.jmp('loop');
}

const NOP10 = [0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0] as const;

/** A read, with `before` just in front of its instruction, and padding behind. */
function readAfter(a: Assembler, before: readonly number[], behind: readonly number[] = []): void {
  a.movImm32('rax', SYS_READ);
  a.bytes(...before, 0x0f, 0x05, ...behind, 0xeb, 0x0c, ...Array<number>(12).fill(0xcc));
}

/** Resumes, and returns the next stop of any thread. */
function next(thread: GuestThread): SeccompThread {
  thread.resume();
  return g.nextStop(world) as SeccompThread;
}

/** Serves calls until they come posted. */
function heat(thread: SeccompThread, result = 0): void {
  for (let i = 0; i < 200; i += 1) {
    expect(next(thread)).toBe(thread);
    expect(thread.stop).toBe(StopKind.Syscall);
    thread.setResult(result);
    if (thread.state === State.Posted) return;
  }
  throw new Error('no posted call');
}

function argument(thread: GuestThread, index: number): number {
  return thread.call[2 + 2 * index]! + thread.call[3 + 2 * index]! * 0x1_0000_0000;
}

describe.skipIf(createHost().cpuCount < 2)('posted calls', () => {
  test('bring number and arguments, one after the other, and take results back', () => {
    const thread = load((a) => loop(a, SYS_MARK));
    heat(thread);
    let posted = 0;
    let count = argument(thread, 0);
    for (let i = 0; i < 2000; i += 1) {
      expect(next(thread)).toBe(thread);
      if (thread.state === State.Posted) posted += 1;
      count += 1;
      expect([thread.stop, thread.call[0], argument(thread, 0)]).toEqual([StopKind.Syscall, SYS_MARK, count]);
      expect(argument(thread, 5)).toBe(0x1111_0000_0004);
      thread.setResult(-i);
    }
    expect(posted).toBeGreaterThan(1000);
  });

  test('leave all registers alone but rax, rcx and r11, and the flags', () => {
    const registers = ['rdx', 'rbx', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r12', 'r13', 'r14', 'r15'] as const;
    const thread = load((a) => {
      for (const [i, register] of registers.entries()) a.movImm64(register, 0x7000_0000_0000 + 0x1_0001 * i);
      a.movImm64('rcx', 0xffff_ffff);
      a.addImm32('rcx', 1); // some flags
      a.cmpImm32('rcx', 5);
      a.label('loop');
      g.call(a, SYS_MARK);
      a.jmp('loop');
    });
    heat(thread);
    const before = [...thread.registers()];
    for (let i = 0; i < 20; i += 1) {
      thread.setResult(1000 + i);
      do {
        expect(next(thread)).toBe(thread);
      } while (thread.state !== State.Posted);
      const after = [...thread.registers()];
      // r11 holds the flags, rax the number after a call that has no result yet.
      for (const at of [g.REG.rax, g.REG.rax + 1, 12, 13]) before[at] = after[at]!;
      expect(after).toEqual(before);
      expect(g.getRegister(thread, g.REG.rip)).toBeGreaterThan(TEXT);
      expect(g.getRegister(thread, g.REG.rip)).toBeLessThan(TEXT + g.PAGE);
    }
  });

  const shapes: ReadonlyArray<readonly [string, (a: Assembler) => void, (rbx: number) => number[]]> = [
    ['mov eax, number', (a) => g.call(a, SYS_READ), () => [7, 7, 7]],
    ['xor eax, eax with a long no-operation nearby', (a) => a.bytes(0x31, 0xc0, 0x0f, 0x05, 0xeb, 0x0a, ...NOP10), () => [7, 7, 7]],
    ['mov r9, [rsp + 8]', (a) => readAfter(a, [0x4c, 0x8b, 0x4c, 0x24, 0x08]), () => [7, 7, 0]],
    ['mov r10, rcx with int3 nearby', (a) => readAfter(a, [0x49, 0x89, 0xca]), (rbx) => [7, rbx, 7]],
    ['as Go does', (a) => readAfter(a, [0x48, 0x89, 0xdf], [0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff]), (rbx) => [rbx, 7, 7]],
  ];
  for (const [what, write, expected] of shapes) {
    test(`come from sites of the shape: ${what}`, () => {
      // rdi, r10 and r9 are 7 unless the instruction in question sets one.
      const thread = load((a) => {
        a.movImm64('rsp', g.DATA + 0x800);
        a.label('loop');
        a.addImm32('rbx', 1);
        a.movImm32('rdi', 7);
        a.movImm32('r10', 7);
        a.movImm32('r9', 7);
        a.mov('rcx', 'rbx');
        write(a);
        a.jmp('loop');
      });
      heat(thread);
      for (let i = 0; i < 10; i += 1) {
        expect(next(thread)).toBe(thread);
        expect([thread.stop, thread.call[0]]).toEqual([StopKind.Syscall, SYS_READ]);
        const rbx = g.getRegister(thread, g.REG.rbx);
        expect([argument(thread, 0), argument(thread, 3), argument(thread, 5)]).toEqual(expected(rbx));
        thread.setResult(0);
      }
    });
  }

  test('come posted with NULL where others bring or take bytes', () => {
    const thread = load((a) => {
      a.xor('rdi', 'rdi');
      a.xor('rsi', 'rsi');
      a.label('loop');
      g.call(a, SYS_STAT);
      a.jmp('loop');
    });
    heat(thread, -14);
    let posted = 0;
    for (let i = 0; i < 50; i += 1) {
      expect(next(thread)).toBe(thread);
      expect([thread.stop, thread.call[0], argument(thread, 0), argument(thread, 1)]).toEqual([StopKind.Syscall, SYS_STAT, 0, 0]);
      expect(thread.space.write(0, world.memory, 0, 8)).toBe(0);
      thread.setResult(-14);
      if (thread.state === State.Posted) posted += 1;
    }
    expect(posted).toBeGreaterThan(40);
  });

  test('carry strings in and structs out', () => {
    const thread = load((a) => {
      a.label('loop');
      a.movImm64('rdi', g.DATA + 0x100);
      a.movImm64('rsi', g.DATA + 0xf80); // 144 bytes from here: a page boundary lies among them
      g.call(a, SYS_STAT);
      a.jmp('loop');
    });
    expect(thread.mmap(g.DATA + g.PAGE, g.PAGE, g.PROT_RW, g.PRIVATE_ANON, -1, 0)).toBe(0);
    world.memory.writeLatin1('/etc/passwd\0', 0);
    thread.space.write(g.DATA + 0x100, world.memory, 0, 12);
    heat(thread);
    for (let i = 0; i < 50; i += 1) {
      world.memory.bytes.fill(0, 0, 256);
      expect(thread.space.readString(g.DATA + 0x100, world.memory, 0, 256)).toBeGreaterThanOrEqual(12);
      expect(world.memory.latin1(0, 12)).toBe('/etc/passwd\0');
      world.memory.bytes.fill(i, 0, 144);
      expect(thread.space.write(g.DATA + 0xf80, world.memory, 0, 144)).toBe(144);
      expect(next(thread)).toBe(thread);
      expect(thread.call[0]).toBe(SYS_STAT);
      expect(thread.space.read(g.DATA + 0xf80, world.memory, 0, 144)).toBe(144);
      expect([...world.memory.bytes.subarray(0, 144)]).toEqual(Array(144).fill(i));
    }
  });

  test('fall back to the ordinary way where the bytes cannot be reached', () => {
    const thread = load((a) => {
      a.label('good');
      a.movImm64('rdi', g.DATA);
      a.movImm64('rsi', g.DATA);
      a.jmp('call');
      a.label('bad');
      a.movImm64('rdi', 0xdead_0000);
      a.movImm64('rsi', TEXT); // cannot be written
      a.label('call');
      g.call(a, SYS_STAT);
      a.test('rax', 'rax');
      a.je('good');
      a.jmp('bad');
    });
    heat(thread);
    for (let i = 0; i < 20; i += 1) {
      thread.setResult(i % 2);
      expect(next(thread)).toBe(thread);
      expect([thread.stop, thread.call[0]]).toEqual([StopKind.Syscall, SYS_STAT]);
      const isBad = i % 2 === 1;
      expect(argument(thread, 0)).toBe(isBad ? 0xdead_0000 : g.DATA);
      if (!isBad) continue;
      expect(thread.state).toBe(State.Parked);
      expect(thread.space.read(0xdead_0000, world.memory, 0, 8)).toBe(0);
      expect(thread.space.write(TEXT, world.memory, 0, 8)).toBe(0);
    }
  });

  test('can be interrupted at any moment, and nobody sees an instruction of ours', { timeout: 60_000 }, () => {
    const thread = load((a) => {
      a.xor('rbx', 'rbx');
      a.label('loop');
      a.movImm64('rsi', g.DATA);
      a.movImm32('rdx', 300);
      a.mov('r8', 'rbx');
      g.call(a, SYS_PREAD);
      a.addImm32('rbx', 1);
      a.jmp('loop');
    });
    heat(thread);
    let calls = argument(thread, 4);
    let interrupted = 0;
    const order: number[] = [];
    for (let i = 0; i < 3000; i += 1) {
      world.memory.bytes.fill(i, 0, 300);
      thread.space.write(g.DATA, world.memory, 0, 300);
      thread.setResult(300);
      thread.resume();
      for (let spin = (i * 37) % 9000; spin > 0; spin -= 1) world.memory.bytes[1000] = spin;
      thread.interrupt();
      const stopped = g.nextStop(world);
      expect(stopped).toBe(thread);
      if (thread.stop === StopKind.Syscall) {
        calls += 1;
        order.push(argument(thread, 4) - calls);
        continue;
      }
      interrupted += 1;
      expect(thread.stop).toBe(StopKind.Interrupted);
      const rip = g.getRegister(thread, g.REG.rip);
      expect(rip >= TEXT && rip < TEXT + g.PAGE).toBe(true);
      // The result of the call before is there, and so are its bytes.
      const rbx = g.getRegister(thread, g.REG.rbx);
      expect(rbx === calls || rbx === calls + 1).toBe(true);
      expect(thread.space.read(g.DATA + 299, world.memory, 0, 1)).toBe(1);
      expect(world.memory.bytes[0]).toBe(i & 0xff);
      expect(next(thread)).toBe(thread);
      expect(thread.stop).toBe(StopKind.Syscall);
      calls += 1;
      expect(argument(thread, 4)).toBe(calls);
    }
    expect(order.filter((distance) => distance !== 0)).toEqual([]);
    expect(interrupted).toBeGreaterThan(100);
  });

  test('look the same to somebody who goes through them step by step', () => {
    const thread = load((a) => {
      a.label('loop');
      g.call(a, SYS_MARK);
      a.movImm32('rbx', 1);
      a.jmp('loop');
    });
    /** Addresses of one round of single steps, and the numbers of calls met. */
    const round = (): number[] => {
      const seen: number[] = [];
      for (let i = 0; i < 12; i += 1) {
        g.setRegister(thread, g.REG.eflags, 0x302);
        expect(next(thread)).toBe(thread);
        const rip = g.getRegister(thread, g.REG.rip);
        if (thread.stop === StopKind.Fault) seen.push(thread.fault.addressLow === rip ? rip - TEXT : -1);
        else seen.push(-1000 - thread.call[0]!);
      }
      g.setRegister(thread, g.REG.eflags, 0x202);
      return seen;
    };
    expect(next(thread)).toBe(thread);
    const fresh = new Set(round());
    for (let i = 0; i < 20; i += 1) expect(next(thread)).toBe(thread);
    heat(thread);
    expect(new Set(round())).toEqual(fresh);
  });

  test('need not be made when the answer is kept, until it is forgotten', () => {
    world.platform.destroy();
    const patching = { transfers: () => transfers, limits: ALWAYS_HOT, worthPatching: 1, keepsAnswers: true };
    world.platform = createSeccompPlatform(createHost(), { patching });
    const thread = load((a) => {
      a.label('loop');
      g.call(a, SYS_GETPID);
      a.mov('rdi', 'rax');
      g.call(a, SYS_MARK);
      a.jmp('loop');
    });
    /** Serves calls up to the next mark; how often getpid was among them, and what it told. */
    const untilMark = (answer: number, keep: boolean): [number, number] => {
      for (let served = 0; ; served += 1) {
        expect(next(thread)).toBe(thread);
        expect(thread.stop).toBe(StopKind.Syscall);
        thread.setResult(answer);
        if (thread.call[0] === SYS_MARK) return [served, argument(thread, 0)];
        if (keep) thread.keepAnswer(answer);
      }
    };
    for (let i = 0; i < 20; i += 1) expect(untilMark(7, false)).toEqual([1, 7]);
    expect(untilMark(0xffff_fffe, true)).toEqual([1, 0xffff_fffe]);
    for (let i = 0; i < 20; i += 1) expect(untilMark(8, true)).toEqual([0, 0xffff_fffe]);
    thread.forgetAnswers();
    expect(untilMark(0xffff_ffff, true)).toEqual([1, 0xffff_ffff]);
    expect(untilMark(9, true)).toEqual([1, 9]); // too large a number to be kept
    const child = thread.fork() as SeccompThread;
    child.setResult(0);
    child.resume();
    expect(g.nextStop(world)).toBe(child);
    expect(child.call[0]).toBe(SYS_GETPID);
    child.space.kill();
    for (let i = 0; i < 300; i += 1) {
      thread.resume();
      for (let spin = (i * 37) % 3000; spin > 0; spin -= 1) world.memory.bytes[1000] = spin;
      thread.interrupt();
      expect(g.nextStop(world)).toBe(thread);
      const rip = g.getRegister(thread, g.REG.rip);
      expect(rip >= TEXT && rip < TEXT + g.PAGE).toBe(true);
      thread.setResult(9);
    }
  });

  test('make memory calls on their way back', () => {
    const thread = load((a) => {
      a.label('loop');
      g.call(a, SYS_MARK);
      a.movImm64('rcx', 0x1000_0000);
      a.bytes(0xc6, 0x01, 0x07); // mov byte [rcx], 7
      g.call(a, SYS_READ);
      a.jmp('loop');
    });
    let left = 0;
    for (let i = 0; i < 60; i += 1) {
      expect(next(thread)).toBe(thread);
      expect([thread.stop, thread.call[0]]).toEqual([StopKind.Syscall, SYS_MARK]);
      thread.setResult(0);
      expect(thread.mmap(0x1000_0000, g.PAGE, g.PROT_RW, g.PRIVATE_ANON, -1, 0)).toBe(0);
      expect(next(thread)).toBe(thread);
      expect([thread.stop, thread.call[0]]).toEqual([StopKind.Syscall, SYS_READ]);
      thread.setResult(0);
      expect(thread.munmap(0x1000_0000, g.PAGE)).toBe(0);
      left += i % 7 === 3 ? thread.space.read(0x1000_0000, world.memory, 0, 1) : 0;
    }
    expect(left).toBe(0);
  });

  test('are what a fork inherits', () => {
    const thread = load((a) => loop(a, SYS_MARK));
    heat(thread);
    const child = thread.fork() as SeccompThread;
    expect(typeof child).toBe('object');
    child.setResult(0);
    const counts = new Map([
      [thread, argument(thread, 0)],
      [child, argument(thread, 0)],
    ]);
    child.resume();
    thread.resume();
    for (let i = 0; i < 400; i += 1) {
      const stopped = g.nextStop(world) as SeccompThread;
      counts.set(stopped, counts.get(stopped)! + 1);
      expect([stopped.stop, stopped.call[0], argument(stopped, 0)]).toEqual([StopKind.Syscall, SYS_MARK, counts.get(stopped)]);
      stopped.setResult(0);
      stopped.resume();
    }
  });

  test('come from all threads of a space, and sleep while they wait', { timeout: 60_000 }, () => {
    const first = load((a) => loop(a, SYS_MARK));
    expect(next(first)).toBe(first);
    const threads = [first];
    for (let i = 0; i < 5; i += 1) threads.push(first.spawn() as SeccompThread);
    for (const thread of threads) {
      thread.setResult(0);
      thread.resume();
    }
    const counts = new Map(threads.map((thread) => [thread, 0]));
    const waiting: SeccompThread[] = [];
    for (let i = 0; i < 3000; i += 1) {
      const stopped = g.nextStop(world) as SeccompThread;
      expect([stopped.stop, stopped.call[0]]).toEqual([StopKind.Syscall, SYS_MARK]);
      expect(argument(stopped, 0)).toBe(counts.get(stopped)! + 1);
      counts.set(stopped, argument(stopped, 0));
      waiting.push(stopped);
      stopped.setResult(0);
      stopped.leaveWaiting();
      // One runs, the others wait for their answers.
      if (waiting.length === threads.length) waiting.shift()!.resume();
      else if (waiting.length > 4 && i % 3 === 0) waiting.shift()!.resume();
    }
  });
});

describe.skipIf(createHost().cpuCount < 2)('text', () => {
  test('can be patched where memory calls have to be ordered', () => {
    world.platform.destroy();
    const patching = { transfers: () => transfers, limits: ALWAYS_HOT, worthPatching: 1 };
    world.platform = createSeccompPlatform(createHost(), { patching, memoryLimited: true });
    const thread = load((a) => loop(a, SYS_MARK));
    heat(thread);
    expect(thread.mprotect(TEXT, g.PAGE, 7)).toBe(0);
    expect(next(thread)).toBe(thread);
    expect(thread.state).not.toBe(State.Posted);
  });

  test('is as it was before when the guest makes it writable', () => {
    const thread = load((a) => loop(a, SYS_MARK));
    const original = new Uint8Array(g.PAGE);
    thread.space.read(TEXT, world.memory, 0, g.PAGE);
    original.set(world.memory.bytes.subarray(0, g.PAGE));
    heat(thread);
    thread.space.read(TEXT, world.memory, 0, g.PAGE);
    expect(Buffer.compare(original, world.memory.bytes.subarray(0, g.PAGE))).not.toBe(0);
    expect(thread.mprotect(TEXT, g.PAGE, 7)).toBe(0);
    thread.space.read(TEXT, world.memory, 0, g.PAGE);
    expect(Buffer.compare(original, world.memory.bytes.subarray(0, g.PAGE))).toBe(0);
    for (let i = 0; i < 20; i += 1) {
      expect(next(thread)).toBe(thread);
      expect(thread.stop).toBe(StopKind.Syscall);
      expect(thread.state).not.toBe(State.Posted);
      thread.setResult(0);
    }
  });

  test('is left alone where the guest needs the place of the region', () => {
    const thread = load((a) => loop(a, SYS_MARK));
    expect(thread.mmap(REGION_BASE + g.PAGE, g.PAGE, g.PROT_RW, g.PRIVATE_ANON, -1, 0)).toBe(0);
    for (let i = 0; i < 40; i += 1) {
      expect(next(thread)).toBe(thread);
      expect(thread.stop).toBe(StopKind.Syscall);
      expect(thread.state).not.toBe(State.Posted);
      thread.setResult(0);
    }
    const late = load((a) => loop(a, SYS_MARK));
    heat(late);
    expect(late.mmap(REGION_BASE, 4 * g.PAGE, g.PROT_RW, g.PRIVATE_ANON, -1, 0)).toBe(0);
    for (let i = 0; i < 40; i += 1) {
      expect(next(late)).toBe(late);
      expect(late.stop).toBe(StopKind.Syscall);
      expect(late.state).not.toBe(State.Posted);
      late.setResult(0);
    }
  });

  test('may be entered in the middle of a patched site', () => {
    const thread = load((a) => {
      a.label('loop');
      g.call(a, SYS_MARK);
      a.movImm32('rax', SYS_READ);
      a.lea('rcx', 'loop');
      a.addImm32('rcx', 5);
      a.cmpImm32('rdi', 1);
      a.je('middle');
      a.movImm32('rdi', 1);
      a.jmp('loop');
      a.label('middle');
      a.movImm32('rdi', 0);
      a.jmpRegister('rcx');
    });
    const seen: number[] = [];
    for (let i = 0; i < 60; i += 1) {
      expect(next(thread)).toBe(thread);
      expect(thread.stop).toBe(StopKind.Syscall);
      seen.push(thread.call[0]!);
      thread.setResult(0);
    }
    // First and second time round from the start, then once from the middle with another number.
    expect(seen.filter((nr) => nr === SYS_READ).length).toBeGreaterThanOrEqual(19);
  });
});

describe.skipIf(createHost().cpuCount < 2)('hostile guests', () => {
  /** Serves whatever stops, like a kernel that looks at everything, up to `count` stops. */
  /** Serves `count` stops, or until no guest makes any: one that scribbles over its slot may wait for ever. */
  function serve(threads: ReadonlySet<SeccompThread>, count: number): void {
    const alive = new Set(threads);
    for (const thread of alive) thread.resume();
    for (let i = 0; i < count && alive.size > 0; i += 1) {
      world.host.setAlarm(world.host.monotonicNs() + QUIET_NS);
      const stopped = world.platform.wait() as SeccompThread | null;
      world.host.setAlarm(Infinity);
      if (stopped === null) return;
      if (stopped.stop === StopKind.Gone) {
        alive.delete(stopped);
        continue;
      }
      if (i % 3 === 0) stopped.registers();
      stopped.space.read(g.DATA, world.memory, 0, 64);
      stopped.space.write(g.DATA, world.memory, 0, 64);
      stopped.setResult(i % 2 === 0 ? -14 : 0);
      stopped.resume();
    }
  }

  /** Whether a guest that comes now is served as if nothing had been. */
  function servesAnother(): boolean {
    const thread = load((a) => loop(a, SYS_MARK));
    for (let i = 1; i < 50; i += 1) {
      thread.resume();
      let stopped = g.nextStop(world);
      while (stopped !== thread) stopped = g.nextStop(world);
      if (thread.stop !== StopKind.Syscall || argument(thread, 0) !== i - 1) return false;
      thread.setResult(0);
    }
    thread.space.kill();
    return true;
  }

  const words = [0, 1, 2, 3, 4, 5, 0x7fff_ffff, 0xffff_ffff];
  for (const value of words) {
    test(`every word of the slot overwritten with ${value} between calls`, { timeout: 60_000 }, () => {
      const thread = load((a) => {
        a.label('again');
        a.movImm64('r12', CONTEXT_BASE);
        a.label('loop');
        a.movImm64('rsi', g.DATA);
        a.movImm32('rdx', 64);
        g.call(a, SYS_PREAD);
        a.storeImmAt('r12', 0, value);
        a.addImm32('r12', 4);
        a.movImm64('rcx', CONTEXT_BASE + 0x200);
        a.cmp('r12', 'rcx');
        a.jne('loop');
        a.jmp('again');
      });
      heat(thread);
      serve(new Set([thread]), 400);
      thread.space.kill();
      expect(servesAnother()).toBe(true);
    });
  }

  test('another thread scribbles over the slot all the time', { timeout: 60_000 }, () => {
    for (const value of [1, 2, 3, 0x5453_b07d]) {
      const thread = load((a) => {
        a.cmpImm32('r15', 1);
        a.je('scribble');
        a.label('loop');
        a.movImm64('rsi', g.DATA);
        a.movImm32('rdx', 64);
        g.call(a, SYS_PREAD);
        a.jmp('loop');
        a.label('scribble');
        a.movImm64('r12', CONTEXT_BASE);
        a.label('word');
        a.storeImmAt('r12', 0, value);
        a.addImm32('r12', 4);
        a.movImm64('rcx', CONTEXT_BASE + 0x200);
        a.cmp('r12', 'rcx');
        a.jne('word');
        a.jmp('scribble');
      });
      heat(thread);
      const second = thread.spawn() as SeccompThread;
      g.setRegister(second, 0, 1); // r15
      g.setRegister(second, g.REG.rip, TEXT + 256);
      serve(new Set([thread, second]), 300);
      thread.space.kill();
      expect(servesAnother()).toBe(true);
    }
  });

  const trampoline = assembleTrampoline();
  for (const [what, value] of [
    ['zeros', 0],
    ['ones', -1],
    ['guest memory', g.DATA + 0x800],
    ['the slot', CONTEXT_BASE + 0x1000],
  ] as const) {
    test(`jumps to any address of the trampoline and the region, registers full of ${what}`, { timeout: 120_000 }, () => {
      const targets = Array.from({ length: Math.ceil(trampoline.end / 3) }, (_, i) => STUB_BASE + TRAMPOLINE_OFFSET + 3 * i);
      for (let at = REGION_BASE + 0x1000; at < REGION_END; at += 0x533) targets.push(at);
      for (let i = 0; i < 34; i += 3) targets.push(REGION_BASE + 0x3000 + i);
      for (const target of targets) {
        const thread = load((a) => {
          for (let i = 0; i < 3; i += 1) {
            a.label(`loop${i}`);
            g.call(a, SYS_MARK);
            a.cmpImm32('rax', 1);
            a.jne(`loop${i}`);
          }
          a.jmpRegister('r15');
        });
        expect(next(thread)).toBe(thread);
        for (const register of [2, 4, 6, 8, 10, 12, 14, 16, R8, 22, 24, 26, 28, g.REG.rsp]) g.setRegister(thread, register, value);
        g.setRegister(thread, 0, target);
        for (let i = 0; i < 12; i += 1) {
          thread.setResult(i >= 9 ? 1 : 0);
          thread.resume();
          if (i === 11) break;
          const stopped = g.nextStop(world);
          expect(stopped).toBe(thread);
          if (thread.stop !== StopKind.Syscall) break;
        }
        // Somewhere in there; it may wait for ever.
        world.host.setAlarm(world.host.monotonicNs() + 2_000_000);
        for (let i = 0; i < 4; i += 1) {
          const stopped = world.platform.wait();
          if (stopped === null || stopped.stop === StopKind.Gone) break;
          stopped.setResult(0);
          stopped.resume();
        }
        world.host.takeEvents(new Int32Array(64));
        if (thread.running) thread.interrupt();
        thread.space.kill();
      }
      world.host.setAlarm(Infinity);
      expect(servesAnother()).toBe(true);
    });
  }

  test('carried bytes that are said to be more than there is room for', () => {
    const thread = load((a) => loop(a, SYS_MARK));
    heat(thread);
    thread.context.words[CARRIED_BYTES / 4] = 0xffff_ffff;
    expect(thread.posted.carried(0, world.memory, 0, 5000)).toBe(false);
  });
});
