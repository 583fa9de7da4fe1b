/**
 * prctl(2), arch_prctl(2), personality(2). Options that would need what this kernel does not have answer EINVAL, as a Linux built without
 * them does.
 */
import { EFAULT, EINVAL, ENODEV, ENOSYS, EPERM } from '#sentry/abi/errno.ts';
import * as p from '#sentry/abi/prctl.ts';
import { isValidSignal } from '#sentry/abi/signal.ts';
import { Reg } from '#sentry/abi/x64/registers.ts';
import { has, isSubset, only, union, without } from '../kernel/capabilities.ts';
import type { Task } from '../kernel/task.ts';
import { CAP_LAST_CAP, CAP_SETPCAP, CAP_SYS_RESOURCE, capable, NO_CAPABILITIES } from '../vfs/credentials.ts';
import { setSeccompMode } from './seccomp.ts';
import { addr, family, hex64, oneOf, partial, refused, syscall, u32 } from './row.ts';

/** comm without its terminator. */
const NAME_LENGTH = 15;

function prctl(task: Task, option: number, a: number, b: number, c: number, d: number): number {
  switch (option) {
    case p.PR_SET_NAME:
      return setName(task, a);
    case p.PR_GET_NAME:
      return getName(task, a);
    case p.PR_SET_PDEATHSIG:
      if (a !== 0 && !isValidSignal(a)) return -EINVAL;
      task.parentDeathSignal = a;
      return 0;
    case p.PR_GET_PDEATHSIG:
      return task.memory.storeU32(a, task.parentDeathSignal);
    case p.PR_GET_DUMPABLE:
      return task.mm.dumpable;
    case p.PR_SET_DUMPABLE:
      if (a !== 0 && a !== 1) return -EINVAL;
      task.mm.dumpable = a;
      return 0;
    case p.PR_SET_CHILD_SUBREAPER:
      task.group.isSubreaper = a !== 0;
      return 0;
    case p.PR_GET_CHILD_SUBREAPER:
      return task.memory.storeU32(a, task.group.isSubreaper ? 1 : 0);
    case p.PR_GET_TID_ADDRESS:
      return task.memory.storeU64(a, task.clearChildTid);
    case p.PR_GET_SECCOMP:
      return task.seccomp?.mode ?? 0;
    case p.PR_SET_SECCOMP:
      return setSeccompMode(task, a, b);
    case p.PR_GET_TIMING:
      return 0;
    case p.PR_SET_TIMING:
      return a === 0 ? 0 : -EINVAL;
    case p.PR_GET_TSC:
      return task.memory.storeU32(a, p.PR_TSC_ENABLE);
    case p.PR_SET_TSC:
      return a === p.PR_TSC_ENABLE ? 0 : -EINVAL;
    case p.PR_SET_TIMERSLACK:
      task.scheduling = { ...task.scheduling, timerSlackNs: a === 0 ? task.scheduling.defaultTimerSlackNs : a };
      return 0;
    case p.PR_GET_TIMERSLACK:
      return task.scheduling.timerSlackNs;
    case p.PR_GET_THP_DISABLE:
      return a !== 0 || b !== 0 || c !== 0 || d !== 0 ? -EINVAL : 0;
    case p.PR_SET_MM:
      return capable(task.credentials, CAP_SYS_RESOURCE) ? -EINVAL : -EPERM;
    default:
      return credentialsOption(task, option, a, b, c, d);
  }
}

/** The options that read or change credentials. */
function credentialsOption(task: Task, option: number, a: number, b: number, c: number, d: number): number {
  const old = task.credentials;
  switch (option) {
    case p.PR_GET_KEEPCAPS:
      return (old.securebits & p.SECBIT_KEEP_CAPS) === 0 ? 0 : 1;
    case p.PR_SET_KEEPCAPS: {
      if (a !== 0 && a !== 1) return -EINVAL;
      if ((old.securebits & p.SECBIT_KEEP_CAPS_LOCKED) !== 0) return -EPERM;
      const others = old.securebits & ~p.SECBIT_KEEP_CAPS;
      task.credentials = { ...old, securebits: a === 0 ? others : others | p.SECBIT_KEEP_CAPS };
      return 0;
    }
    case p.PR_GET_SECUREBITS:
      return old.securebits;
    case p.PR_SET_SECUREBITS:
      return setSecurebits(task, a);
    case p.PR_CAPBSET_READ:
      return a > CAP_LAST_CAP ? -EINVAL : has(old.bounding, a) ? 1 : 0;
    case p.PR_CAPBSET_DROP:
      if (!capable(old, CAP_SETPCAP)) return -EPERM;
      if (a > CAP_LAST_CAP) return -EINVAL;
      task.credentials = { ...old, bounding: without(old.bounding, only(a)) };
      return 0;
    case p.PR_CAP_AMBIENT:
      return c !== 0 || d !== 0 ? -EINVAL : ambient(task, a, b);
    case p.PR_SET_NO_NEW_PRIVS:
      if (a !== 1 || b !== 0 || c !== 0 || d !== 0) return -EINVAL;
      task.credentials = { ...old, noNewPrivs: true };
      return 0;
    case p.PR_GET_NO_NEW_PRIVS:
      return a !== 0 || b !== 0 || c !== 0 || d !== 0 ? -EINVAL : old.noNewPrivs ? 1 : 0;
    default:
      return -EINVAL;
  }
}

function setName(task: Task, address: number): number {
  // Longer names are cut: as much as fits is read, up to the terminator.
  let name = '';
  for (let i = 0; i < NAME_LENGTH; i++) {
    if (task.memory.copyIn(address + i, task.scratch, 0, 1) < 0) return -EFAULT;
    const byte = task.scratch.bytes[0]!;
    if (byte === 0) break;
    name += String.fromCharCode(byte);
  }
  task.name = name;
  return 0;
}

function getName(task: Task, address: number): number {
  task.scratch.bytes.fill(0, 0, NAME_LENGTH + 1);
  task.scratch.writeLatin1(task.name, 0);
  return task.memory.copyOut(address, task.scratch, 0, NAME_LENGTH + 1);
}

function setSecurebits(task: Task, wanted: number): number {
  const old = task.credentials;
  if (wanted > p.SECBITS_ALL) return -EPERM;
  const locks = old.securebits & p.SECBITS_LOCKS;
  const lockedBits = locks >> 1;
  // No lock may be lifted, no locked bit changed.
  if ((locks & ~wanted) !== 0 || ((old.securebits ^ wanted) & lockedBits) !== 0 || !capable(old, CAP_SETPCAP)) return -EPERM;
  task.credentials = { ...old, securebits: wanted };
  return 0;
}

function ambient(task: Task, operation: number, capability: number): number {
  const old = task.credentials;
  if (operation === p.PR_CAP_AMBIENT_CLEAR_ALL) {
    if (capability !== 0) return -EINVAL;
    task.credentials = { ...old, ambient: NO_CAPABILITIES };
    return 0;
  }
  if (capability > CAP_LAST_CAP) return -EINVAL;
  switch (operation) {
    case p.PR_CAP_AMBIENT_IS_SET:
      return has(old.ambient, capability) ? 1 : 0;
    case p.PR_CAP_AMBIENT_RAISE: {
      const held = isSubset(only(capability), old.permitted) && isSubset(only(capability), old.inheritable);
      if (!held || (old.securebits & p.SECBIT_NO_CAP_AMBIENT_RAISE) !== 0) return -EPERM;
      task.credentials = { ...old, ambient: union(old.ambient, only(capability)) };
      return 0;
    }
    case p.PR_CAP_AMBIENT_LOWER:
      task.credentials = { ...old, ambient: without(old.ambient, only(capability)) };
      return 0;
    default:
      return -EINVAL;
  }
}

/** arch_prctl(2): the thread's segment bases. */
function archPrctl(task: Task, code: number, address: number): number {
  switch (code) {
    case p.ARCH_SET_FS:
      return setBase(task, Reg.fsBase, address);
    case p.ARCH_SET_GS:
      return setBase(task, Reg.gsBase, address);
    case p.ARCH_GET_FS:
      return getBase(task, Reg.fsBase, address);
    case p.ARCH_GET_GS:
      return getBase(task, Reg.gsBase, address);
    case p.ARCH_GET_CPUID:
      // CPUID is not trapped.
      return 1;
    case ARCH_SET_CPUID:
      return -ENODEV;
    default:
      return -EINVAL;
  }
}
const ARCH_SET_CPUID = 0x1012;

function setBase(task: Task, reg: number, address: number): number {
  if (address >= task.mm.limits.highestAddress) return -EPERM;
  const regs = task.thread.registers();
  regs[reg] = address % 0x1_0000_0000;
  regs[reg + 1] = Math.floor(address / 0x1_0000_0000);
  task.thread.registersChanged();
  return 0;
}

function getBase(task: Task, reg: number, address: number): number {
  const regs = task.thread.registers();
  return task.memory.storeU64(address, regs[reg + 1]! * 0x1_0000_0000 + regs[reg]!);
}

/** personality(2): kept as it comes; those who ask `task.personality` give the bits their meaning. */
function personality(task: Task, persona: number): number {
  const old = task.personality;
  if (persona !== p.PERSONALITY_QUERY) task.personality = persona;
  return old;
}

export const prctlRows = family(
  syscall({
    name: 'prctl',
    nr: { x64: 157, arm64: 167 },
    args: { option: oneOf(p.PRCTL_OPTIONS), arg2: hex64, arg3: hex64, arg4: hex64, arg5: hex64 },
    support: partial('no PR_SET_MM, PR_SET_VMA, speculation control, syscall dispatch, core scheduling'),
    run: prctl,
  }),
  syscall({
    name: 'arch_prctl',
    nr: { x64: 158 },
    args: { code: oneOf(p.ARCH_PRCTL_CODES), address: addr },
    support: partial('segment bases only'),
    run: archPrctl,
  }),
  syscall({
    name: 'personality',
    nr: { x64: 135, arm64: 92 },
    args: { persona: u32 },
    support: partial(
      'MMAP_PAGE_ZERO and ADDR_COMPAT_LAYOUT have no effect; without randomisation the vDSO still lies where the host puts it',
    ),
    run: personality,
  }),
  syscall({
    name: 'modify_ldt',
    nr: { x64: 154 },
    args: { func: u32, ptr: addr, bytes: hex64 },
    support: refused(ENOSYS, 'no 16-bit or 32-bit segments'),
    run: () => -ENOSYS,
  }),
);
