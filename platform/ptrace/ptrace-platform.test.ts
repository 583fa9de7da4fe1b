/** The suites of all platforms on ptrace, and what only ptrace has. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import * as g from '../../test/platform/guest.ts';
import { platformSuite } from '../../test/platform/platform-suite.ts';
import { stubProcessSuite } from '../../test/platform/stub-process-suite.ts';
import { createHost } from '../host/host.ts';
import { STUB_BASE } from '../stub/layout.ts';
import { assembleStub } from '../stub/stub-code.ts';
import { createPtracePlatform } from './ptrace-platform.ts';
import { installSignalForwarding } from './signal-forwarding.ts';

function create(): { host: ReturnType<typeof createHost>; platform: ReturnType<typeof createPtracePlatform> } {
  const host = createHost();
  return { host, platform: createPtracePlatform(host) };
}

platformSuite('ptrace', create);
stubProcessSuite(create, []);

describe('ptrace', () => {
  const world = {} as { -readonly [K in keyof g.World]: g.World[K] };

  beforeEach(() => {
    Object.assign(world, create());
    world.memory = world.host.allocate(64 * 1024);
  });

  afterEach(() => world.platform.destroy());

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
