/**
 * What every platform must do, run against the bare contract: one suite, many implementations.
 *
 *     platformSuite('ptrace', () => { const host = createHost(); return { host, platform: createPtracePlatform(host) }; });
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Host } from '#platform/contract/host.ts';
import { StopKind } from '#platform/contract/platform.ts';
import type { GuestThread, Platform } from '#platform/contract/platform.ts';
import * as g from './guest.ts';
import type { World } from './guest.ts';

const SYS_WRITE = 1;
const SYS_GETPPID = 110;
const SYS_MARK = 400;
/** Larger than any limit allows. */
const NO_DESCRIPTOR = 0x7fff_fff0;

export function platformSuite(name: string, create: () => { host: Host; platform: Platform }): void {
  describe(`platform ${name}`, () => {
    const world = {} as { -readonly [K in keyof World]: World[K] };

    // A platform for each test: what a failed one leaves running must not stop in the middle of the next.
    beforeEach(() => {
      const { host, platform } = create();
      world.host = host;
      world.platform = platform;
      world.memory = host.allocate(64 * 1024);
    });

    afterEach(() => world.platform.destroy());

    describe('system calls', () => {
      systemCalls(world);
    });
    describe('registers', () => {
      registers(world);
    });
    describe('faults', () => {
      faults(world);
    });
    describe('memory', () => {
      memory(world);
    });
    describe('processes and threads', () => {
      processes(world);
    });
    describe('interruption and the end', () => {
      endings(world);
    });
    describe('host events', () => {
      hostEvents(world);
    });
  });
}

function systemCalls(world: World): void {
  test('number and six arguments arrive, the result goes back', () => {
    const thread = g.load(
      world,
      g.program((a) => {
        a.movImm64('rdi', 0x1234_5678_9abc);
        a.movImm32('rsi', 2);
        a.movImm32('rdx', 3);
        a.movImm32('r10', 4);
        a.movImm32('r8', 5);
        a.bytes(0x49, 0xc7, 0xc1, 0xff, 0xff, 0xff, 0xff); // mov r9, -1
        g.call(a, 321);
        a.mov('rdi', 'rax');
        g.call(a, SYS_MARK);
      }),
    );
    g.expectNextCall(world, thread, 321);
    expect([...thread.call]).toEqual([321, 0, 0x5678_9abc, 0x1234, 2, 0, 3, 0, 4, 0, 5, 0, 0xffff_ffff, 0xffff_ffff]);
    thread.setResult(-38);
    g.expectNextCall(world, thread, SYS_MARK);
    expect([thread.call[2], thread.call[3]]).toEqual([0xffff_ffda, 0xffff_ffff]);
    thread.setResult(0x7fff_1234_5678);
    thread.space.kill();
  });

  test('a loop of calls, each with its own result', () => {
    const thread = g.load(
      world,
      g.program((a) => {
        a.label('loop');
        g.call(a, SYS_GETPPID);
        a.mov('rdi', 'rax');
        a.jmp('loop');
      }),
    );
    for (let i = 0; i < 200; i += 1) {
      g.expectNextCall(world, thread, SYS_GETPPID);
      expect(i === 0 || thread.call[2] === i - 1).toBe(true);
      thread.setResult(i);
    }
    thread.space.kill();
  });

  test('the data of a write is read from guest memory', () => {
    const thread = g.load(
      world,
      g.program((a) => {
        a.movImm32('rdi', 1);
        a.lea('rsi', 'text');
        a.movImm32('rdx', 5);
        g.call(a, SYS_WRITE);
        a.label('text');
        for (const c of 'hello') a.bytes(c.charCodeAt(0));
      }),
    );
    g.expectNextCall(world, thread, SYS_WRITE);
    expect(thread.space.read(thread.call[4]!, world.memory, 100, thread.call[6]!)).toBe(5);
    expect(world.memory.latin1(100, 105)).toBe('hello');
    thread.space.kill();
  });

  test('rcx and r11 are clobbered as by a kernel, the rest survives', () => {
    const thread = g.load(
      world,
      g.program((a) => {
        a.movImm32('rbx', 77);
        a.movImm32('r12', 78);
        g.call(a, SYS_GETPPID);
        g.call(a, SYS_MARK);
      }),
    );
    g.expectNextCall(world, thread, SYS_GETPPID);
    thread.setResult(1);
    // An injected call in between must leave no trace.
    expect(thread.mmap(g.DATA + 0x10000, g.PAGE, g.PROT_RW, g.PRIVATE_ANON, -1, 0)).toBe(0);
    g.expectNextCall(world, thread, SYS_MARK);
    expect([g.getRegister(thread, g.REG.rbx), g.getRegister(thread, g.REG.r12)]).toEqual([77, 78]);
    thread.space.kill();
  });

  test('32-bit entries are no way around: int 0x80 is an unknown call', () => {
    const thread = g.load(
      world,
      g.program((a) => {
        a.movImm32('rax', 20);
        a.bytes(0xcd, 0x80); // int 0x80
        g.call(a, SYS_MARK);
      }),
    );
    g.expectNextCall(world, thread, 0xffff_ffff);
    thread.setResult(-38);
    g.expectNextCall(world, thread, SYS_MARK);
    thread.space.kill();
  });

  test('an x32 number arrives as it is', () => {
    const thread = g.load(
      world,
      g.program((a) => g.call(a, 0x4000_0027)),
    );
    g.expectNextCall(world, thread, 0x4000_0027);
    thread.space.kill();
  });
}

function registers(world: World): void {
  test('general registers and segment bases round trip', () => {
    const thread = g.load(
      world,
      g.program((a) => {
        g.call(a, SYS_MARK);
        a.bytes(0x64, 0x48, 0x8b, 0x3c, 0x25, 0, 0, 0, 0); // mov rdi, fs:[0]
        a.mov('rsi', 'rbx');
        g.call(a, SYS_MARK + 1);
      }),
    );
    g.expectNextCall(world, thread, SYS_MARK);
    g.poke32(world, thread, g.DATA + 64, 0xfeed);
    g.setRegister(thread, g.REG.fsBase, g.DATA + 64);
    g.setRegister(thread, g.REG.rbx, 0x1_0000_0001);
    thread.setResult(5);
    expect(g.getRegister(thread, g.REG.rax)).toBe(5);
    g.expectNextCall(world, thread, SYS_MARK + 1);
    expect([thread.call[2], thread.call[4], thread.call[5]]).toEqual([0xfeed, 1, 1]);
    expect(g.getRegister(thread, g.REG.fsBase)).toBe(g.DATA + 64);
    thread.space.kill();
  });

  test('registers no host accepts do not break the thread', () => {
    const thread = g.load(
      world,
      g.program((a) => {
        g.call(a, SYS_MARK);
        g.call(a, SYS_MARK + 1);
      }),
    );
    g.expectNextCall(world, thread, SYS_MARK);
    g.setRegister(thread, g.REG.cs, 8);
    thread.registers()[g.REG.gsBase + 1] = 0xffff_8000;
    g.expectNextCall(world, thread, SYS_MARK + 1);
    thread.space.kill();
  });

  test('extended state round trip', () => {
    const thread = g.load(
      world,
      g.program((a) => {
        a.movImm64('rax', 0x1122_3344_5566);
        a.bytes(0x66, 0x48, 0x0f, 0x6e, 0xf8); // movq xmm7, rax
        g.call(a, SYS_MARK);
        a.bytes(0x66, 0x48, 0x0f, 0x7e, 0xff); // movq rdi, xmm7
        g.call(a, SYS_MARK + 1);
      }),
    );
    g.expectNextCall(world, thread, SYS_MARK);
    const size = thread.extendedStateSize;
    expect(size).toBeGreaterThanOrEqual(576);
    expect(thread.readExtendedState(world.memory, 4096)).toBe(size);
    const xmm7 = 4096 + 160 + 7 * 16;
    expect(world.memory.view.getUint32(xmm7, true)).toBe(0x3344_5566);
    world.memory.view.setUint32(xmm7, 0x0bad_cafe, true);
    expect(thread.writeExtendedState(world.memory, 4096, size)).toBe(0);
    g.expectNextCall(world, thread, SYS_MARK + 1);
    expect([thread.call[2], thread.call[3]]).toEqual([0x0bad_cafe, 0x1122]);
    expect(thread.writeExtendedState(world.memory, 4096, 100)).toBe(-22);
    thread.space.kill();
  });
}

function faults(world: World): void {
  const SIGILL = 4;
  const SIGTRAP = 5;
  const SIGBUS = 7;
  const SIGFPE = 8;
  const SIGSEGV = 11;

  function faultOf(code: Uint8Array): GuestThread {
    const thread = g.load(world, code);
    g.expectNextFault(world, thread);
    return thread;
  }

  test('read of unmapped memory', () => {
    const thread = faultOf(Uint8Array.of(0x8b, 0x04, 0x25, 0x34, 0x12, 0, 0x10)); // mov eax, [0x10001234]
    expect(thread.fault).toEqual({ signo: SIGSEGV, code: 1, addressLow: 0x1000_1234, addressHigh: 0, trapNumber: 14, errorCode: 4 });
    expect(g.getRegister(thread, g.REG.rip)).toBe(g.CODE);
    thread.space.kill();
  });

  test('write to read-only memory, repaired and repeated', () => {
    const thread = g.load(
      world,
      g.program((a) => {
        a.bytes(0xc7, 0x04, 0x25, 0, 0, 0x50, 0, 42, 0, 0, 0); // mov dword [DATA], 42
        g.call(a, SYS_MARK);
      }),
    );
    g.poke32(world, thread, g.DATA, 0); // the page is present: bit 0 of the error code
    expect(thread.mprotect(g.DATA, g.PAGE, g.PROT_READ)).toBe(0);
    g.expectNextFault(world, thread);
    expect(thread.fault).toEqual({ signo: SIGSEGV, code: 2, addressLow: g.DATA, addressHigh: 0, trapNumber: 14, errorCode: 7 });
    expect(thread.mprotect(g.DATA, g.PAGE, g.PROT_RW)).toBe(0);
    g.expectNextCall(world, thread, SYS_MARK);
    expect(g.peek32(world, thread, g.DATA)).toBe(42);
    thread.space.kill();
  });

  test('jump to unmapped memory', () => {
    const thread = faultOf(
      g.program((a) => {
        a.movImm32('rax', 0x2000_0000);
        a.bytes(0xff, 0xe0); // jmp rax
      }),
    );
    expect([thread.fault.signo, thread.fault.code, thread.fault.addressLow, thread.fault.errorCode]).toEqual([SIGSEGV, 1, 0x2000_0000, 20]);
    thread.space.kill();
  });

  test('non-canonical address', () => {
    const thread = faultOf(Uint8Array.of(0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x8b, 0x00)); // mov rax, 1<<63; mov eax, [rax]
    expect([thread.fault.signo, thread.fault.code, thread.fault.trapNumber]).toEqual([SIGSEGV, 0x80, 13]);
    thread.space.kill();
  });

  test('division by zero', () => {
    const thread = faultOf(Uint8Array.of(0x31, 0xc9, 0xf7, 0xf1)); // xor ecx, ecx; div ecx
    expect([thread.fault.signo, thread.fault.code, thread.fault.addressLow, thread.fault.trapNumber]).toEqual([SIGFPE, 1, g.CODE + 2, 0]);
    thread.space.kill();
  });

  test('invalid opcode', () => {
    const thread = faultOf(Uint8Array.of(0x0f, 0x0b)); // ud2
    expect([thread.fault.signo, thread.fault.code, thread.fault.addressLow, thread.fault.trapNumber]).toEqual([SIGILL, 2, g.CODE, 6]);
    thread.space.kill();
  });

  test('breakpoint, then on', () => {
    const thread = g.load(
      world,
      g.program((a) => {
        a.int3();
        g.call(a, SYS_MARK);
      }),
    );
    g.expectNextFault(world, thread);
    expect([thread.fault.signo, thread.fault.code, thread.fault.trapNumber]).toEqual([SIGTRAP, 0x80, 3]);
    expect(g.getRegister(thread, g.REG.rip)).toBe(g.CODE + 1);
    g.expectNextCall(world, thread, SYS_MARK);
    thread.space.kill();
  });

  test('single step by the guest itself', () => {
    const thread = g.load(
      world,
      g.program((a) => {
        a.bytes(0x9c); // pushfq
        a.bytes(0x48, 0x81, 0x0c, 0x24, 0, 1, 0, 0); // or qword [rsp], 0x100
        a.bytes(0x9d); // popfq
        a.bytes(0x90); // nop
      }),
    );
    g.expectNextFault(world, thread);
    expect([thread.fault.signo, thread.fault.code, thread.fault.trapNumber]).toEqual([SIGTRAP, 2, 1]);
    thread.space.kill();
  });

  test('access behind the end of a file', () => {
    const fd = world.host.memfd('short');
    const thread = g.load(world, Uint8Array.of(0x8b, 0x04, 0x25, 0, 0, 0, 0x10)); // mov eax, [0x10000000]
    expect(thread.mmap(0x1000_0000, g.PAGE, g.PROT_RW, g.MAP_SHARED, fd, 0)).toBe(0);
    g.expectNextFault(world, thread);
    expect([thread.fault.signo, thread.fault.code, thread.fault.addressLow]).toEqual([SIGBUS, 2, 0x1000_0000]);
    thread.space.kill();
    world.host.close(fd);
  });
}

function memory(world: World): void {
  test('copies stop exactly at the first inaccessible page', () => {
    const thread = g.load(world, Uint8Array.of(0x90));
    const end = g.DATA + g.PAGE;
    world.memory.bytes.fill(7, 0, 8192);
    expect(thread.space.write(end - 100, world.memory, 0, 300)).toBe(100);
    expect(thread.space.read(end - 50, world.memory, 4096, 5000)).toBe(50);
    expect(thread.space.read(end, world.memory, 0, 1)).toBe(0);
    expect(thread.space.write(0, world.memory, 0, 1)).toBe(0);
    expect(thread.space.read(g.DATA, world.memory, 0, 0)).toBe(0);
    // Many pages, the hole in the middle.
    expect(thread.mmap(0x1000_0000, 12 * g.PAGE, g.PROT_RW, g.PRIVATE_ANON, -1, 0)).toBe(0);
    expect(thread.mprotect(0x1000_0000 + 7 * g.PAGE, g.PAGE, g.PROT_NONE)).toBe(0);
    expect(thread.space.write(0x1000_0010, world.memory, 0, 12 * g.PAGE - 32)).toBe(7 * g.PAGE - 16);
    thread.space.kill();
  });

  test('page protection is honoured', () => {
    const thread = g.load(world, Uint8Array.of(0x90));
    expect(thread.space.write(g.CODE, world.memory, 0, 4)).toBe(0);
    expect(thread.mprotect(g.DATA, g.PAGE, g.PROT_NONE)).toBe(0);
    expect(thread.space.read(g.DATA, world.memory, 0, 4)).toBe(0);
    expect(thread.mprotect(g.DATA, g.PAGE, g.PROT_READ)).toBe(0);
    expect(thread.space.read(g.DATA, world.memory, 0, 4)).toBe(4);
    expect(thread.space.write(g.DATA, world.memory, 0, 4)).toBe(0);
    thread.space.kill();
  });

  test('a donated descriptor is mapped shared and stays coherent', () => {
    const { host } = world;
    const fd = host.memfd('shared');
    expect(host.ftruncate(fd, 2 * g.PAGE)).toBe(0);
    const thread = g.load(world, Uint8Array.of(0x90));
    expect(thread.mmap(0x1000_0000, g.PAGE, g.PROT_RW, g.MAP_SHARED, fd, g.PAGE)).toBe(0);
    g.poke32(world, thread, 0x1000_0000, 4711);
    expect(host.pread(fd, world.memory, 0, 4, g.PAGE)).toBe(4);
    expect(world.memory.view.getUint32(0, true)).toBe(4711);
    world.memory.view.setUint32(0, 4712, true);
    expect(host.pwrite(fd, world.memory, 0, 4, g.PAGE)).toBe(4);
    expect(g.peek32(world, thread, 0x1000_0000)).toBe(4712);
    thread.space.kill();
    host.close(fd);
  });

  test('mremap, munmap, madvise, msync', () => {
    const thread = g.load(world, Uint8Array.of(0x90));
    g.poke32(world, thread, g.DATA, 99);
    expect(thread.mremap(g.DATA, g.PAGE, 2 * g.PAGE, 3, 0x1000_0000)).toBe(0);
    expect(g.peek32(world, thread, 0x1000_0000)).toBe(99);
    expect(thread.space.read(g.DATA, world.memory, 0, 4)).toBe(0);
    expect(thread.msync(0x1000_0000, g.PAGE, 4)).toBe(0);
    expect(thread.madvise(0x1000_0000, g.PAGE, 4)).toBe(0);
    expect(g.peek32(world, thread, 0x1000_0000)).toBe(0);
    expect(thread.munmap(0x1000_0000, 2 * g.PAGE)).toBe(0);
    expect(thread.space.read(0x1000_0000, world.memory, 0, 4)).toBe(0);
    expect(thread.mmap(0x1000_0000, g.PAGE, g.PROT_RW, g.MAP_SHARED, NO_DESCRIPTOR, 0)).toBe(-9);
    thread.space.kill();
  });

  test("the platform's own pages are out of reach of memory calls", () => {
    const thread = g.load(world, Uint8Array.of(0x90));
    const end = world.platform.limits.highestAddress;
    expect(thread.mmap(end - g.PAGE, 2 * g.PAGE, g.PROT_RW, g.PRIVATE_ANON, -1, 0)).toBe(-22);
    expect(thread.munmap(end, g.PAGE)).toBe(-22);
    expect(thread.mprotect(end + 0x1_0000, g.PAGE, 7)).toBe(-22);
    expect(thread.mmap(end - g.PAGE, g.PAGE, g.PROT_RW, g.PRIVATE_ANON, -1, 0)).toBe(0);
    expect(thread.mmap(world.platform.limits.lowestAddress, g.PAGE, g.PROT_RW, g.PRIVATE_ANON, -1, 0)).toBe(0);
    thread.space.kill();
  });

  test('the vDSO is where the space says', () => {
    const thread = g.load(world, Uint8Array.of(0x90));
    const { vdso } = thread.space;
    const start = vdso?.code.start ?? 0;
    expect(thread.space.read(start, world.memory, 0, 4)).toBe(vdso === null ? 0 : 4);
    expect(vdso === null || world.memory.latin1(1, 4) === 'ELF').toBe(true);
    expect(vdso === null || start >= vdso.vvar.end).toBe(true);
    thread.space.kill();
  });

  test('atomic compare and exchange', () => {
    const thread = g.load(world, Uint8Array.of(0x90));
    g.poke32(world, thread, g.DATA, 0xffff_fff0);
    expect(thread.space.compareExchange(thread, g.DATA, 1, 2)).toBe(0xffff_fff0);
    expect(thread.space.compareExchange(thread, g.DATA, 0xffff_fff0, 2)).toBe(0xffff_fff0);
    expect(g.peek32(world, thread, g.DATA)).toBe(2);
    expect(thread.space.compareExchange(thread, g.CODE, 0, 0)).toBe(-1);
    expect(thread.space.compareExchange(thread, 0x7000_0000, 0, 0)).toBe(-1);
    expect(thread.space.compareExchange(thread, world.platform.limits.highestAddress, 0, 0)).toBe(-1);
    expect(g.getRegister(thread, g.REG.rip)).toBe(g.CODE);
    thread.space.kill();
  });
}

function processes(world: World): void {
  const counting = g.program((a) => {
    g.call(a, SYS_MARK);
    a.mov('rdi', 'rax');
    a.bytes(0x89, 0x04, 0x25, 0, 0, 0x50, 0); // mov [DATA], eax
    g.call(a, SYS_MARK + 1);
  });

  test('fork: registers copied, memory copied on write', () => {
    const parent = g.load(world, counting);
    g.expectNextCall(world, parent, SYS_MARK);
    const child = parent.fork();
    if (typeof child === 'number') throw new Error(`fork: ${child}`);
    expect(child.space).not.toBe(parent.space);
    expect(child.stop).toBe(StopKind.Idle);
    child.setResult(0);
    g.expectNextCall(world, child, SYS_MARK + 1);
    expect(child.call[2]).toBe(0);
    parent.setResult(55);
    g.expectNextCall(world, parent, SYS_MARK + 1);
    expect(parent.call[2]).toBe(55);
    expect(g.peek32(world, child, g.DATA)).toBe(0);
    expect(g.peek32(world, parent, g.DATA)).toBe(55);
    parent.release();
    // A fork outlives its parent.
    expect(g.peek32(world, child, g.DATA)).toBe(0);
    child.release();
  });

  test('spawn: one memory, own registers', () => {
    const first = g.load(world, counting);
    g.expectNextCall(world, first, SYS_MARK);
    const second = first.spawn();
    if (typeof second === 'number') throw new Error(`spawn: ${second}`);
    expect(second.space).toBe(first.space);
    second.setResult(7);
    g.expectNextCall(world, second, SYS_MARK + 1);
    expect(g.peek32(world, first, g.DATA)).toBe(7);
    first.setResult(8);
    g.expectNextCall(world, first, SYS_MARK + 1);
    expect(g.peek32(world, second, g.DATA)).toBe(8);
    // The space survives its first thread.
    first.release();
    expect(g.peek32(world, second, g.DATA)).toBe(8);
    const third = second.spawn();
    if (typeof third === 'number') throw new Error(`spawn: ${third}`);
    second.release();
    expect(third.mprotect(g.DATA, g.PAGE, g.PROT_READ)).toBe(0);
    expect(g.peek32(world, third, g.DATA)).toBe(8);
    third.release();
  });

  test('extended state is inherited', () => {
    const parent = g.load(
      world,
      g.program((a) => {
        a.movImm32('rax', 123);
        a.bytes(0x66, 0x48, 0x0f, 0x6e, 0xd8); // movq xmm3, rax
        g.call(a, SYS_MARK);
        a.bytes(0x66, 0x48, 0x0f, 0x7e, 0xdf); // movq rdi, xmm3
        g.call(a, SYS_MARK + 1);
      }),
    );
    g.expectNextCall(world, parent, SYS_MARK);
    for (const copy of [parent.fork(), parent.spawn()]) {
      if (typeof copy === 'number') throw new Error(`clone: ${copy}`);
      g.expectNextCall(world, copy, SYS_MARK + 1);
      expect(copy.call[2]).toBe(123);
      copy.release();
    }
    parent.release();
  });

  test('nothing of an earlier guest is in a new space', () => {
    const writer = g.program((a) => {
      a.movImm32('rax', 123);
      a.movImm32('rbx', 123);
      a.bytes(0x66, 0x48, 0x0f, 0x6e, 0xd8); // movq xmm3, rax
      a.bytes(0x0f, 0xae, 0x14, 0x25, 0, 0, 0x50, 0); // ldmxcsr [DATA]
      g.call(a, SYS_MARK);
    });
    for (let round = 0; round < 6; round += 1) {
      const thread = world.platform.createSpace();
      if (typeof thread === 'number') throw new Error(`createSpace: ${thread}`);
      expect(g.getRegister(thread, g.REG.rbx)).toBe(0);
      expect(thread.space.read(g.DATA, world.memory, 0, 4)).toBe(0);
      expect(thread.readExtendedState(world.memory, 0)).toBeGreaterThan(500);
      expect([world.memory.view.getUint16(0, true), world.memory.view.getUint32(24, true)]).toEqual([0x37f, 0x1f80]);
      expect(world.memory.bytes.subarray(32, 416).every((byte) => byte === 0)).toBe(true);
      g.start(world, thread, writer);
      g.poke32(world, thread, g.DATA, 0x1f00);
      g.expectNextCall(world, thread, SYS_MARK);
      const other = thread.spawn();
      if (typeof other === 'number') throw new Error(`spawn: ${other}`);
      const { space } = thread;
      space.kill();
      expect(space.read(g.CODE, world.memory, 0, 4)).toBe(0);
      g.idle(world);
    }
  });

  test('memory calls that are made together', () => {
    const thread = g.load(world, counting);
    const base = 0x60_0000;
    thread.beginMemoryCalls(g.DATA);
    for (let i = 0; i < 100; i += 1) expect(thread.mmap(base + i * g.PAGE, g.PAGE, g.PROT_RW, g.PRIVATE_ANON, -1, 0)).toBe(0);
    expect(thread.munmap(base + g.PAGE, g.PAGE)).toBe(0);
    expect(thread.endMemoryCalls()).toBe(0);
    expect(thread.space.read(base, world.memory, 0, 2 * g.PAGE)).toBe(g.PAGE);
    expect(thread.space.read(base + 99 * g.PAGE, world.memory, 0, g.PAGE)).toBe(g.PAGE);
    expect(thread.space.read(g.DATA, world.memory, 0, g.PAGE)).toBe(g.PAGE);
    expect(world.memory.bytes.subarray(0, g.PAGE).every((byte) => byte === 0)).toBe(true);
    // The first error ends it; then calls are made at once again.
    thread.beginMemoryCalls(g.DATA);
    thread.munmap(base, g.PAGE);
    thread.mprotect(base, g.PAGE, g.PROT_READ);
    thread.munmap(base + 99 * g.PAGE, g.PAGE);
    expect(thread.endMemoryCalls()).toBe(-12);
    expect(thread.space.read(base + 99 * g.PAGE, world.memory, 0, g.PAGE)).toBe(g.PAGE);
    expect(thread.mprotect(base, g.PAGE, g.PROT_READ)).toBe(-12);
    g.expectNextCall(world, thread, SYS_MARK);
    thread.release();
  });

  test('many threads come and go', () => {
    const first = g.load(world, counting);
    g.expectNextCall(world, first, SYS_MARK);
    for (let round = 0; round < 4; round += 1) {
      const threads: GuestThread[] = [];
      for (let i = 0; i < 8; i += 1) {
        const thread = first.spawn();
        if (typeof thread === 'number') throw new Error(`spawn: ${thread}`);
        thread.setResult(i);
        thread.resume();
        threads.push(thread);
      }
      for (let i = 0; i < 8; i += 1) {
        const thread = g.nextStop(world);
        expect(thread.call[2]).toBe(threads.indexOf(thread));
        thread.release();
      }
    }
    first.space.kill();
  });

  test('several callers are all served', () => {
    const loop = g.program((a) => {
      a.label('loop');
      g.call(a, SYS_GETPPID);
      a.jmp('loop');
    });
    const threads = [g.load(world, loop), g.load(world, loop), g.load(world, loop)];
    const served = new Map<GuestThread, number>(threads.map((thread) => [thread, 0]));
    for (const thread of threads) thread.resume();
    // How often each comes in a given time is the host scheduler's business; that each comes again and again is ours.
    const deadlineNs = world.host.monotonicNs() + 10e9;
    while (Math.min(...served.values()) < 60 && world.host.monotonicNs() < deadlineNs) {
      const thread = g.nextStop(world);
      served.set(thread, served.get(thread)! + 1);
      thread.setResult(0);
      thread.resume();
    }
    expect(Math.min(...served.values())).toBeGreaterThanOrEqual(60);
    for (const thread of threads) thread.space.kill();
  });

  test('many processes come and go', () => {
    const parent = g.load(world, counting);
    g.expectNextCall(world, parent, SYS_MARK);
    for (let round = 0; round < 5; round += 1) {
      const children: GuestThread[] = [];
      for (let i = 0; i < 20; i += 1) {
        const child = parent.fork();
        if (typeof child === 'number') throw new Error(`fork: ${child}`);
        child.setResult(i);
        child.resume();
        children.push(child);
      }
      for (let i = 0; i < 20; i += 1) {
        const child = g.nextStop(world);
        expect(child.call[2]).toBe(children.indexOf(child));
        child.release();
      }
    }
    parent.release();
  });
}

function endings(world: World): void {
  const spin = g.program((a) => {
    a.label('spin');
    a.jmp('spin');
  });

  test('a spinning thread is interrupted, its registers intact', () => {
    const thread = g.load(world, spin);
    g.setRegister(thread, g.REG.rbx, 31337);
    thread.interrupt(); // stopped: nothing happens
    thread.resume();
    thread.interrupt();
    expect(g.nextStop(world)).toBe(thread);
    expect(thread.stop).toBe(StopKind.Interrupted);
    expect([g.getRegister(thread, g.REG.rip), g.getRegister(thread, g.REG.rbx)]).toEqual([g.CODE, 31337]);
    thread.resume();
    thread.interrupt();
    expect(g.nextStop(world).stop).toBe(StopKind.Interrupted);
    thread.space.kill();
  });

  test('an interrupt that came too late does not disturb', () => {
    const thread = g.load(
      world,
      g.program((a) => {
        a.label('loop');
        g.call(a, SYS_GETPPID);
        a.jmp('loop');
      }),
    );
    for (let i = 0; i < 50; i += 1) {
      thread.resume();
      thread.interrupt();
      const stopped = g.nextStop(world);
      expect([StopKind.Syscall, StopKind.Interrupted]).toContain(stopped.stop);
      expect(thread.mprotect(g.DATA, g.PAGE, g.PROT_RW)).toBe(0);
      expect(stopped.stop === StopKind.Interrupted || stopped.call[0] === SYS_GETPPID).toBe(true);
    }
    thread.space.kill();
  });

  test('a space is killed while its threads run', () => {
    const first = g.load(world, spin);
    const second = first.spawn();
    if (typeof second === 'number') throw new Error(`spawn: ${second}`);
    first.resume();
    second.resume();
    first.space.kill();
    const other = g.load(
      world,
      g.program((a) => g.call(a, SYS_MARK)),
    );
    g.expectNextCall(world, other, SYS_MARK);
    other.release();
  });
}

function hostEvents(world: World): void {
  const EPOLLIN = 1;
  const spin = g.program((a) => {
    a.label('spin');
    a.jmp('spin');
  });
  const pairs = new Int32Array(64);

  function timed(run: () => void): number {
    const start = world.host.monotonicNs();
    run();
    return (world.host.monotonicNs() - start) / 1e6;
  }

  function expectAlarm(): void {
    world.host.setAlarm(world.host.monotonicNs() + 30e6);
    const ms = timed(() => expect(world.platform.wait()).toBeNull());
    world.host.setAlarm(Infinity);
    world.host.takeEvents(pairs);
    expect(ms).toBeGreaterThan(29);
    expect(ms).toBeLessThan(300);
  }

  test('the alarm ends a wait without guests', () => expectAlarm());

  test('the alarm ends a wait while a guest computes', () => {
    const thread = g.load(world, spin);
    thread.resume();
    expectAlarm();
    expectAlarm();
    thread.space.kill();
  });

  test('an alarm put off does not ring early', () => {
    const thread = g.load(world, spin);
    thread.resume();
    world.host.setAlarm(world.host.monotonicNs() + 50e6);
    thread.interrupt();
    expect(world.platform.wait()).toBe(thread);
    thread.resume();
    world.host.setAlarm(world.host.monotonicNs() + 150e6);
    const ms = timed(() => expect(world.platform.wait()).toBeNull());
    expect(ms).toBeGreaterThan(140);
    world.host.setAlarm(Infinity);
    world.host.takeEvents(pairs);
    thread.space.kill();
  });

  test('a readable descriptor ends a wait and is reported with its token', () => {
    const { host } = world;
    const fd = host.eventCounter();
    expect(host.watch(fd, EPOLLIN, 99)).toBe(0);
    const thread = g.load(world, spin);
    for (const running of [false, true]) {
      if (running) thread.resume();
      world.memory.view.setUint32(0, 1, true);
      world.memory.view.setUint32(4, 0, true);
      expect(host.write(fd, world.memory, 0, 8)).toBe(8);
      expect(world.platform.wait()).toBeNull();
      expect(host.takeEvents(pairs)).toBe(1);
      expect([pairs[0], pairs[1]]).toEqual([99, EPOLLIN]);
      // Level-triggered: reported again until it is consumed.
      expect(world.platform.wait()).toBeNull();
      expect(host.takeEvents(pairs)).toBe(1);
      expect(host.read(fd, world.memory, 0, 8)).toBe(8);
      expect(host.takeEvents(pairs)).toBe(0);
    }
    thread.space.kill();
    expect(host.unwatch(fd)).toBe(0);
    host.close(fd);
  });
}
