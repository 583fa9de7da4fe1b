/** Signals as guests see them: sending, masks, frames, restarting calls, stops. */
import { describe, expect, test } from 'vitest';
import type { FakeThread } from '#platform/fake/fake-platform.ts';
import { EAGAIN, EINTR, EINVAL, EPERM, ESRCH } from '#sentry/abi/errno.ts';
import * as s from '#sentry/abi/signal.ts';
import { EFLAGS_DF, getReg, Reg, setReg } from '#sentry/abi/x64/registers.ts';
import { FP_XSTATE_MAGIC1, FP_XSTATE_MAGIC2, Frame, Xsave } from '#sentry/abi/x64/signal-frame.ts';
import { initialCredentials, NO_CAPABILITIES } from '#sentry/vfs/credentials.ts';
import type { Task } from '#sentry/kernel/task.ts';
import { CODE, DATA, KernelWorld, STACK } from '../../test/unit/kernel-world.ts';

const HANDLER = 0x41_0000;
const RESTORER = 0x42_0000;
const SET = 8;

function install(world: KernelWorld, task: Task, signo: number, flags = 0, mask: readonly [number, number] = [0, 0]): void {
  world.poke(task, DATA, [HANDLER + signo, 0, (flags | s.SA_RESTORER) >>> 0, 0, RESTORER, 0, ...mask]);
  expect(world.call(task, 'rt_sigaction', signo, DATA, 0, SET)).toBe(0);
}

function block(world: KernelWorld, task: Task, ...signals: readonly number[]): void {
  const set = s.SignalSet.of(...signals);
  world.poke(task, DATA, [set.low, set.high]);
  expect(world.call(task, 'rt_sigprocmask', s.SIG_SETMASK, DATA, 0, SET)).toBe(0);
}

function register(task: Task, reg: number): number {
  return getReg(task.thread.registers(), reg);
}

/** Makes the thread enter rt_sigreturn as its restorer would. */
function sigreturn(world: KernelWorld, task: Task): ReturnType<KernelWorld['call']> {
  setReg(task.thread.registers(), Reg.rsp, register(task, Reg.rsp) + 8);
  return world.call(task, 'rt_sigreturn');
}

describe('frames', () => {
  test('a handler is entered as the ABI says and rt_sigreturn undoes it', () => {
    const world = new KernelWorld();
    const task = world.process();
    install(world, task, s.SIGUSR1, s.SA_SIGINFO, [1 << (s.SIGHUP - 1), 0]);
    const regs = task.thread.registers();
    setReg(regs, Reg.rbx, 0x1234);
    regs[Reg.eflags] = EFLAGS_DF | 0x202;
    const before = [...regs];
    expect(world.call(task, 'kill', task.tid, s.SIGUSR1)).toBe(0);
    const frame = register(task, Reg.rsp);
    expect(frame % 16).toBe(8);
    expect(frame + Frame.size).toBeLessThanOrEqual(STACK - 128);
    expect([Reg.rip, Reg.rdi, Reg.rsi, Reg.rdx].map((reg) => register(task, reg))).toEqual([
      HANDLER + s.SIGUSR1,
      s.SIGUSR1,
      frame + Frame.siginfo,
      frame + Frame.ucontext,
    ]);
    expect(task.thread.registers()[Reg.eflags]! & EFLAGS_DF).toBe(0);
    expect(task.signals.blocked.has(s.SIGUSR1) && task.signals.blocked.has(s.SIGHUP)).toBe(true);
    const view = world.peek(task, frame, Frame.size);
    expect(view.getUint32(Frame.restorer, true)).toBe(RESTORER);
    expect([view.getInt32(Frame.siginfo, true), view.getInt32(Frame.siginfo + 8, true), view.getInt32(Frame.siginfo + 16, true)]).toEqual([
      s.SIGUSR1,
      s.SI_USER,
      task.tid,
    ]);
    const state = view.getUint32(Frame.fpstate, true);
    expect(state % 64).toBe(0);
    const xsave = world.peek(task, state, task.thread.extendedStateSize + 4);
    expect(xsave.getUint32(Xsave.softwareBytes, true)).toBe(FP_XSTATE_MAGIC1);
    expect(xsave.getUint32(task.thread.extendedStateSize, true)).toBe(FP_XSTATE_MAGIC2);
    sigreturn(world, task);
    before[Reg.rax] = 0;
    before[Reg.rax + 1] = 0;
    before[Reg.origRax] = 0xffff_ffff;
    before[Reg.origRax + 1] = 0xffff_ffff;
    expect([...task.thread.registers()]).toEqual(before);
    expect(task.signals.blocked.isEmpty).toBe(true);
  });

  test('hostile frames kill, and nothing else happens', () => {
    const world = new KernelWorld();
    world.process();
    const task = world.process();
    install(world, task, s.SIGUSR1);
    world.call(task, 'kill', task.tid, s.SIGUSR1);
    world.poke(task, register(task, Reg.rsp) + Frame.cs, [0x23]);
    expect(sigreturn(world, task)).toBe('exited');
    expect(task.group.exitStatus).toBe(s.SIGSEGV);
    const other = world.process();
    setReg(other.thread.registers(), Reg.rsp, 0x10);
    expect(world.call(other, 'rt_sigreturn')).toBe('exited');
  });

  test('eflags of a frame are sanitised, a non-canonical rip is fatal', () => {
    const world = new KernelWorld();
    world.process();
    const task = world.process();
    install(world, task, s.SIGUSR1);
    world.call(task, 'kill', task.tid, s.SIGUSR1);
    world.poke(task, register(task, Reg.rsp) + Frame.registers + 8 * 17, [0xffff_ffff, 0xffff_ffff]);
    expect(sigreturn(world, task)).toBe(0);
    expect(task.thread.registers()[Reg.eflags]! & ~0x5_0dd5).toBe(0);
    world.call(task, 'kill', task.tid, s.SIGUSR1);
    world.poke(task, register(task, Reg.rsp) + Frame.registers + 8 * 16 + 4, [0x8000]);
    expect(sigreturn(world, task)).toBe('exited');
  });

  test('alternate stack: used, reported, not escaped by overflow', () => {
    const world = new KernelWorld();
    world.process();
    const task = world.process();
    const stack = DATA + 0x8000;
    world.poke(task, DATA, [stack, 0, 0, 0, 0x4000, 0]);
    expect(world.call(task, 'sigaltstack', DATA, 0)).toBe(0);
    install(world, task, s.SIGUSR1, s.SA_ONSTACK | s.SA_NODEFER);
    world.call(task, 'kill', task.tid, s.SIGUSR1);
    const frame = register(task, Reg.rsp);
    expect(frame > stack && frame < stack + 0x4000).toBe(true);
    expect(world.call(task, 'sigaltstack', DATA, 0)).toBe(-EPERM);
    expect(world.call(task, 'sigaltstack', 0, DATA)).toBe(0);
    expect(world.peek(task, DATA + 8, 4).getInt32(0, true)).toBe(s.SS_ONSTACK);
    setReg(task.thread.registers(), Reg.rsp, stack + 0x200);
    expect(world.call(task, 'kill', task.tid, s.SIGUSR1)).toBe('exited');
  });

  test('without room on the stack the process dies of SIGSEGV', () => {
    const world = new KernelWorld();
    world.process();
    const task = world.process();
    install(world, task, s.SIGUSR1);
    install(world, task, s.SIGSEGV);
    setReg(task.thread.registers(), Reg.rsp, 0x100);
    expect(world.call(task, 'kill', task.tid, s.SIGUSR1)).toBe('exited');
    expect(task.group.exitStatus & 0x7f).toBe(s.SIGSEGV);
  });
});

describe('queues', () => {
  test('standard signals coalesce, real-time ones queue in order, the lowest is delivered first', () => {
    const world = new KernelWorld();
    const task = world.process();
    install(world, task, s.SIGUSR1);
    block(world, task, s.SIGUSR1, 34, 35);
    for (const value of [1, 2]) {
      world.poke(task, DATA + 64, [0, 0, s.SI_QUEUE, 0, 7, 8, value, 0]);
      expect(world.call(task, 'rt_sigqueueinfo', task.tid, 35, DATA + 64)).toBe(0);
      expect(world.call(task, 'rt_sigqueueinfo', task.tid, 34, DATA + 64)).toBe(0);
      expect(world.call(task, 'kill', task.tid, s.SIGUSR1)).toBe(0);
    }
    const wanted = s.SignalSet.of(s.SIGUSR1, 34, 35);
    const taken: number[][] = [];
    for (;;) {
      world.poke(task, DATA, [wanted.low, wanted.high]);
      world.poke(task, DATA + 32, [0, 0, 0, 0]);
      const signo = world.call(task, 'rt_sigtimedwait', DATA, DATA + 64, DATA + 32, SET);
      if (signo === -EAGAIN) break;
      taken.push([signo as number, world.peek(task, DATA + 64 + 24, 4).getInt32(0, true)]);
    }
    expect(taken).toEqual([
      [s.SIGUSR1, 0],
      [34, 1],
      [34, 2],
      [35, 1],
      [35, 2],
    ]);
    expect(task.group.signals.queued.count).toBe(0);
  });

  test('RLIMIT_SIGPENDING bounds real-time signals', () => {
    const world = new KernelWorld();
    const task = world.process();
    block(world, task, 40);
    world.poke(task, DATA, [3, 0, 3, 0]);
    expect(world.call(task, 'setrlimit', 11, DATA)).toBe(0);
    world.poke(task, DATA + 64, [0, 0, s.SI_QUEUE, 0, 0, 0, 0, 0]);
    const results = [1, 2, 3, 4].map(() => world.call(task, 'rt_sigqueueinfo', task.tid, 40, DATA + 64));
    expect(results).toEqual([0, 0, 0, -EAGAIN]);
  });

  test('ignored signals vanish, blocked ones wait even if ignored', () => {
    const world = new KernelWorld();
    const task = world.process();
    world.call(task, 'kill', task.tid, s.SIGWINCH);
    expect(task.group.signals.pending.set.isEmpty).toBe(true);
    block(world, task, s.SIGWINCH);
    world.call(task, 'kill', task.tid, s.SIGWINCH);
    expect(task.group.signals.pending.has(s.SIGWINCH)).toBe(true);
    world.poke(task, DATA, [s.SIG_IGN, 0, 0, 0, 0, 0, 0, 0]);
    expect(world.call(task, 'rt_sigaction', s.SIGWINCH, DATA, 0, SET)).toBe(0);
    expect(task.group.signals.pending.set.isEmpty).toBe(true);
  });

  test('a signal for the process goes to a thread that does not block it', () => {
    const world = new KernelWorld();
    const task = world.process();
    const second = world.thread(task);
    install(world, task, s.SIGUSR1);
    block(world, task, s.SIGUSR1);
    expect(world.call(task, 'kill', task.tid, s.SIGUSR1)).toBe(0);
    expect(register(second, Reg.rip)).toBe(HANDLER + s.SIGUSR1);
    expect(register(task, Reg.rip)).toBe(CODE);
  });
});

describe('interrupted calls', () => {
  test.each([
    ['pause', [], s.SA_RESTART, -EINTR],
    ['pause', [], 0, -EINTR],
  ] as const)('%s %j with flags %i', (name, args, flags, result) => {
    const world = new KernelWorld();
    const sender = world.process();
    const task = world.process();
    install(world, task, s.SIGUSR1, flags);
    expect(world.call(task, name, ...args)).toBe('blocked');
    world.call(sender, 'kill', task.tid, s.SIGUSR1);
    const saved = world.peek(task, register(task, Reg.rsp) + Frame.registers + 8 * 13, 8);
    expect(saved.getInt32(0, true)).toBe(result);
  });

  test('futex: SA_RESTART repeats the call, without it EINTR', () => {
    const world = new KernelWorld();
    const sender = world.process();
    const task = world.process();
    install(world, task, s.SIGUSR1, s.SA_RESTART);
    install(world, task, s.SIGUSR2);
    world.poke(task, DATA + 256, [5]);
    expect(world.call(task, 'futex', DATA + 256, 128, 5, 0)).toBe('blocked');
    world.call(sender, 'kill', task.tid, s.SIGUSR1);
    const frame = world.peek(task, register(task, Reg.rsp), Frame.size);
    expect([frame.getInt32(Frame.registers + 8 * 13, true), frame.getUint32(Frame.registers + 8 * 16, true)]).toEqual([202, CODE - 2]);
    setReg(task.thread.registers(), Reg.rsp, STACK);
    expect(world.call(task, 'futex', DATA + 256, 128, 5, 0)).toBe('blocked');
    world.call(sender, 'kill', task.tid, s.SIGUSR2);
    expect(world.peek(task, register(task, Reg.rsp) + Frame.registers + 8 * 13, 4).getInt32(0, true)).toBe(-EINTR);
  });

  test('nanosleep goes on through restart_syscall after a stop', () => {
    const world = new KernelWorld();
    const sender = world.process();
    const task = world.process(sender);
    // The child's own group, so that its stop is not that of an orphaned one.
    world.poke(task, DATA, [1, 0, 0, 0]);
    expect(world.call(task, 'nanosleep', DATA, 0)).toBe('blocked');
    world.advance(0.4e9);
    world.call(sender, 'kill', task.tid, s.SIGSTOP);
    expect(world.outcome(task)).toBe('stopped');
    expect(task.group.pendingStopReport).toBe(s.SIGSTOP);
    world.call(sender, 'kill', task.tid, s.SIGCONT);
    expect([register(task, Reg.rax), register(task, Reg.rip)]).toEqual([219, CODE - 2]);
    expect(world.call(task, 'restart_syscall')).toBe('blocked');
    world.advance(0.5e9);
    expect(world.outcome(task)).toBe('blocked');
    world.advance(0.2e9);
    expect(world.outcome(task)).toBe(0);
  });

  test('sigsuspend: the handler runs with the temporary mask gone afterwards', () => {
    const world = new KernelWorld();
    const sender = world.process();
    const task = world.process();
    install(world, task, s.SIGUSR1);
    block(world, task, s.SIGUSR1);
    world.poke(task, DATA, [0, 0]);
    expect(world.call(task, 'rt_sigsuspend', DATA, SET)).toBe('blocked');
    world.call(sender, 'kill', task.tid, s.SIGUSR1);
    expect(register(task, Reg.rip)).toBe(HANDLER + s.SIGUSR1);
    sigreturn(world, task);
    expect([task.thread.registers()[Reg.rax]! | 0, register(task, Reg.rip)]).toEqual([-EINTR, CODE]);
    expect(task.signals.blocked.has(s.SIGUSR1)).toBe(true);
    expect(task.signals.hasSavedMask).toBe(false);
  });

  test('an ignored signal does not end sigsuspend or pause', () => {
    const world = new KernelWorld();
    const sender = world.process();
    const task = world.process();
    world.call(task, 'pause');
    world.call(sender, 'kill', task.tid, s.SIGCHLD);
    expect(world.outcome(task)).toBe('blocked');
  });
});

describe('default actions', () => {
  test('termination, and who may send', () => {
    const world = new KernelWorld();
    world.process();
    const victim = world.process();
    const stranger = world.process(null, 1000);
    stranger.credentials = initialCredentials(1000, 1000, [], NO_CAPABILITIES);
    expect(world.call(stranger, 'kill', victim.tid, s.SIGTERM)).toBe(-EPERM);
    expect(world.call(stranger, 'kill', 999, s.SIGTERM)).toBe(-ESRCH);
    expect(world.call(stranger, 'kill', victim.tid, 65)).toBe(-EINVAL);
    expect(world.call(victim, 'kill', victim.tid, s.SIGTERM)).toBe('exited');
    expect(victim.group.exitStatus).toBe(s.SIGTERM);
  });

  test('init is protected, except from its own faults', () => {
    const world = new KernelWorld();
    const init = world.process();
    init.group.signals.unkillable = true;
    expect(world.call(init, 'kill', init.tid, s.SIGTERM)).toBe(0);
    expect(world.call(init, 'kill', init.tid, s.SIGKILL)).toBe(0);
    (init.thread as FakeThread).raiseFault({ signo: s.SIGSEGV, code: s.SEGV_MAPERR, address: 0x10 });
    world.step();
    expect(world.outcome(init)).toBe('exited');
  });

  test('group stop stops all threads, SIGCONT continues them, SIGKILL ends stopped ones', () => {
    const world = new KernelWorld();
    const parent = world.process();
    const task = world.process(parent);
    const second = world.thread(task);
    expect(world.call(second, 'pause')).toBe('blocked');
    world.call(parent, 'kill', task.tid, s.SIGSTOP);
    expect([world.outcome(task), world.outcome(second)]).toEqual(['stopped', 'stopped']);
    expect([task.group.signals.isStopped, task.group.pendingStopReport]).toEqual([true, s.SIGSTOP]);
    world.call(parent, 'kill', task.tid, s.SIGCONT);
    expect(world.outcome(task)).not.toBe('stopped');
    expect([task.group.signals.isStopped, task.group.pendingStopReport]).toEqual([false, 0xffff]);
    world.call(parent, 'kill', task.tid, s.SIGSTOP);
    world.call(parent, 'kill', task.tid, s.SIGKILL);
    expect([world.outcome(task), world.outcome(second), task.group.exitStatus]).toEqual(['exited', 'exited', s.SIGKILL]);
  });
});
