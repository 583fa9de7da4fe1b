/** Credentials, capabilities, limits, prctl and small system calls. */
import { expect, test } from 'vitest';
import { EINVAL, EPERM } from '#sentry/abi/errno.ts';
import * as p from '#sentry/abi/prctl.ts';
import { ALL_CAPABILITIES, CAP_CHOWN, CAP_SETUID, capable } from '#sentry/vfs/credentials.ts';
import { DATA, KernelWorld } from '../../test/unit/kernel-world.ts';

const KEEP = 0xffff_ffff;

test('root drops its privileges for good', () => {
  const world = new KernelWorld();
  const task = world.process();
  expect(world.call(task, 'setresuid', 1000, 1000, 1000)).toBe(0);
  expect(task.credentials).toMatchObject({
    uid: 1000,
    euid: 1000,
    suid: 1000,
    fsuid: 1000,
    effective: { low: 0, high: 0 },
    permitted: { low: 0 },
  });
  expect(task.mm.dumpable).toBe(0);
  expect(world.call(task, 'setuid', 0)).toBe(-EPERM);
});

test('seteuid and back: the effective set follows the effective id', () => {
  const world = new KernelWorld();
  const task = world.process();
  expect(world.call(task, 'setresuid', KEEP, 1000, KEEP)).toBe(0);
  expect([capable(task.credentials, CAP_SETUID), task.credentials.permitted]).toEqual([false, ALL_CAPABILITIES]);
  expect(world.call(task, 'setresuid', KEEP, 0, KEEP)).toBe(0);
  expect(capable(task.credentials, CAP_SETUID)).toBe(true);
  expect(world.call(task, 'setfsuid', 1000)).toBe(0);
  expect([capable(task.credentials, CAP_CHOWN), capable(task.credentials, CAP_SETUID)]).toEqual([false, true]);
});

test('PR_SET_KEEPCAPS keeps the permitted set', () => {
  const world = new KernelWorld();
  const task = world.process();
  expect(world.call(task, 'prctl', p.PR_SET_KEEPCAPS, 1)).toBe(0);
  expect(world.call(task, 'setuid', 1000)).toBe(0);
  expect(task.credentials).toMatchObject({ permitted: ALL_CAPABILITIES, effective: { low: 0, high: 0 } });
});

test('capget and capset', () => {
  const world = new KernelWorld();
  const task = world.process();
  world.poke(task, DATA, [1, 0]);
  expect(world.call(task, 'capget', DATA, 0)).toBe(0);
  expect(world.peek(task, DATA, 4).getUint32(0, true)).toBe(p.CAPABILITY_VERSION_3);
  expect(world.call(task, 'capget', DATA, DATA + 64)).toBe(0);
  expect(world.peek(task, DATA + 64, 24).getUint32(0, true)).toBe(0xffff_ffff);
  world.poke(task, DATA + 64, [1, 1, 0, 0, 0, 0]);
  expect(world.call(task, 'capset', DATA, DATA + 64)).toBe(0);
  world.poke(task, DATA + 64, [1, 3, 0, 0, 0, 0]);
  expect(world.call(task, 'capset', DATA, DATA + 64)).toBe(-EPERM);
});

test('limits: lowering is free, raising the hard limit is not', () => {
  const world = new KernelWorld();
  world.process();
  const task = world.process(null, 1000);
  world.poke(task, DATA, [10, 0, 20, 0]);
  expect(world.call(task, 'setrlimit', 7, DATA)).toBe(0);
  expect(task.files.limit).toBe(10);
  world.poke(task, DATA, [10, 0, 21, 0]);
  expect(world.call(task, 'setrlimit', 7, DATA)).toBe(-EPERM);
  world.poke(task, DATA, [30, 0, 20, 0]);
  expect(world.call(task, 'setrlimit', 7, DATA)).toBe(-EINVAL);
  expect(world.call(task, 'prlimit64', 0, 3, 0, DATA)).toBe(0);
  expect([0, 4, 8, 12].map((at) => world.peek(task, DATA, 16).getUint32(at, true))).toEqual([8 << 20, 0, 0xffff_ffff, 0xffff_ffff]);
});

test('names, affinity, uname', () => {
  const world = new KernelWorld();
  const task = world.process();
  world.poke(task, DATA, [0x6c_6c_65_68, 0x6f]);
  expect(world.call(task, 'prctl', p.PR_SET_NAME, DATA)).toBe(0);
  expect(task.name).toBe('hello');
  expect(world.call(task, 'sethostname', DATA, 3)).toBe(0);
  expect(task.uts.nodename).toBe('hel');
  expect(world.call(task, 'uname', DATA)).toBe(0);
  expect(world.call(task, 'sched_getaffinity', 0, 8, DATA)).toBe(8);
  expect(world.peek(task, DATA, 8).getUint32(0, true)).toBe(3);
  world.poke(task, DATA, [4, 0]);
  expect(world.call(task, 'sched_setaffinity', 0, 8, DATA)).toBe(-EINVAL);
  expect(world.call(task, 'getpriority', 0, 0)).toBe(20);
  expect(world.call(task, 'setpriority', 0, 0, 5)).toBe(0);
  expect(world.call(task, 'getpriority', 0, 0)).toBe(15);
});
