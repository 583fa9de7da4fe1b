/**
 * Tiny guest programs for the platform suite, and the few steps that bring one to life: a page of code, a page of data, rip and rsp.
 *
 * The kernel does not take part: the tests play its role with the bare contract.
 */
import { expect } from 'vitest';
import type { Host, HostMemory } from '#platform/contract/host.ts';
import { StopKind } from '#platform/contract/platform.ts';
import type { GuestThread, Platform } from '#platform/contract/platform.ts';
import { Assembler } from '#platform/stub/assembler.ts';

export const CODE = 0x40_0000;
export const DATA = 0x50_0000;
export const PAGE = 4096;
export const PROT_NONE = 0;
export const PROT_READ = 1;
export const PROT_RW = 3;
export const PROT_RX = 5;
export const PRIVATE_ANON = 0x22;
export const MAP_SHARED = 1;

/** Word indices of user_regs_struct. */
export const REG = {
  r12: 6,
  rbx: 10,
  r10: 14,
  rax: 20,
  rdi: 28,
  origRax: 30,
  rip: 32,
  cs: 34,
  eflags: 36,
  rsp: 38,
  fsBase: 42,
  gsBase: 44,
} as const;

export interface World {
  readonly host: Host;
  readonly platform: Platform;
  readonly memory: HostMemory;
}

export function program(write: (a: Assembler) => void): Uint8Array {
  const a = new Assembler();
  write(a);
  return a.finish();
}

/** One system call with a small number, results in rax. */
export function call(a: Assembler, nr: number): void {
  a.movImm32('rax', nr);
  a.syscall();
}

export function setRegister(thread: GuestThread, index: number, value: number): void {
  const registers = thread.registers();
  registers[index] = value >>> 0;
  registers[index + 1] = Math.floor(value / 0x1_0000_0000);
  thread.registersChanged();
}

export function getRegister(thread: GuestThread, index: number): number {
  const registers = thread.registers();
  return registers[index]! + registers[index + 1]! * 0x1_0000_0000;
}

/** A new space with `code` at CODE and a page of data at DATA, ready to be resumed. */
export function load(world: World, code: Uint8Array): GuestThread {
  const thread = world.platform.createSpace();
  if (typeof thread === 'number') throw new Error(`createSpace: ${thread}`);
  start(world, thread, code);
  return thread;
}

/** The same in a space that exists already. */
export function start(world: World, thread: GuestThread, code: Uint8Array): void {
  expect(thread.mmap(CODE, PAGE, PROT_RW, PRIVATE_ANON, -1, 0)).toBe(0);
  expect(thread.mmap(DATA, PAGE, PROT_RW, PRIVATE_ANON, -1, 0)).toBe(0);
  world.memory.bytes.set(code, 0);
  expect(thread.space.write(CODE, world.memory, 0, code.length)).toBe(code.length);
  expect(thread.mprotect(CODE, PAGE, PROT_RX)).toBe(0);
  setRegister(thread, REG.rip, CODE);
  setRegister(thread, REG.rsp, DATA + PAGE);
}

/** How long a guest may take to its next stop on a busy machine. */
const STOP_LIMIT_NS = 15e9;

/** Waits a little while no guest runs, so that the platform gets to its own affairs. */
export function idle(world: World): void {
  world.host.setAlarm(world.host.monotonicNs() + 1_000_000);
  expect(world.platform.wait()).toBeNull();
  world.host.takeEvents(new Int32Array(64));
  world.host.setAlarm(Infinity);
}

/** Waits for the next stop of any guest, passing over host events. Throws when there is none for a long time: a wait cannot be timed out from outside. */
export function nextStop(world: World): GuestThread {
  const { host, platform } = world;
  const deadlineNs = host.monotonicNs() + STOP_LIMIT_NS;
  host.setAlarm(deadlineNs);
  try {
    do {
      const thread = platform.wait();
      if (thread !== null) return thread;
      host.takeEvents(new Int32Array(64));
    } while (host.monotonicNs() < deadlineNs);
  } finally {
    host.setAlarm(Infinity);
  }
  throw new Error('no guest thread stopped');
}

/** Resumes `thread` and expects its next stop to be the system call `nr`. */
export function expectNextCall(world: World, thread: GuestThread, nr: number): void {
  thread.resume();
  expectCall(nextStop(world), thread, nr);
}

export function expectCall(stopped: GuestThread, thread: GuestThread, nr: number): void {
  expect(stopped).toBe(thread);
  expect([stopped.stop, stopped.stop === StopKind.Fault ? stopped.fault : null]).toEqual([StopKind.Syscall, null]);
  expect(stopped.call[0]).toBe(nr);
}

/** Resumes `thread` and expects it to fault. */
export function expectNextFault(world: World, thread: GuestThread): void {
  thread.resume();
  const stopped = nextStop(world);
  expect(stopped).toBe(thread);
  expect(stopped.stop).toBe(StopKind.Fault);
}

export function peek32(world: World, thread: GuestThread, address: number): number {
  expect(thread.space.read(address, world.memory, 0, 4)).toBe(4);
  return world.memory.view.getUint32(0, true);
}

export function poke32(world: World, thread: GuestThread, address: number, value: number): void {
  world.memory.view.setUint32(0, value, true);
  expect(thread.space.write(address, world.memory, 0, 4)).toBe(4);
}
