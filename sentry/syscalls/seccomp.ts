/**
 * seccomp(2), and prctl(2)'s older names for it: a thread gives up system calls. The work is in kernel/seccomp.
 */
import { EACCES, EFAULT, EINVAL, EOPNOTSUPP } from '#sentry/abi/errno.ts';
import * as bpf from '#sentry/abi/bpf.ts';
import * as s from '#sentry/abi/seccomp.ts';
import { installFilter, installStrictMode } from '../kernel/seccomp/install.ts';
import { copyProgram } from '../bpf/guest-program.ts';
import type { Task } from '../kernel/task.ts';
import { CAP_SYS_ADMIN, capable } from '../vfs/credentials.ts';
import { addr, family, flags, oneOf, partial, syscall } from './row.ts';

const FLAGS_KNOWN = Object.values(s.SECCOMP_FILTER_FLAGS).reduce((all, flag) => all | flag, 0);
/** The pointer in `struct sock_fprog`, which begins with the length in 16 bits. */
const PROGRAM_AT = 8;

const ACTIONS: ReadonlySet<number> = new Set([
  s.SECCOMP_RET_KILL_PROCESS,
  s.SECCOMP_RET_KILL_THREAD,
  s.SECCOMP_RET_TRAP,
  s.SECCOMP_RET_ERRNO,
  s.SECCOMP_RET_USER_NOTIF,
  s.SECCOMP_RET_TRACE,
  s.SECCOMP_RET_LOG,
  s.SECCOMP_RET_ALLOW,
]);

function seccomp(task: Task, operation: number, flagBits: number, argument: number): number {
  switch (operation) {
    case s.SECCOMP_SET_MODE_STRICT:
      return flagBits !== 0 || argument !== 0 ? -EINVAL : installStrictMode(task);
    case s.SECCOMP_SET_MODE_FILTER:
      return setFilter(task, flagBits, argument);
    case s.SECCOMP_GET_ACTION_AVAIL:
      return flagBits !== 0 ? -EINVAL : isActionAvailable(task, argument);
    case s.SECCOMP_GET_NOTIF_SIZES:
      return flagBits !== 0 ? -EINVAL : storeNotificationSizes(task, argument);
    default:
      return -EINVAL;
  }
}

/** Three sizes of 16 bits. */
function storeNotificationSizes(task: Task, address: number): number {
  const { view } = task.scratch;
  const sizes = [s.SeccompNotif.size, s.SeccompNotifResp.size, s.SECCOMP_DATA_SIZE];
  for (const [i, size] of sizes.entries()) view.setUint16(2 * i, size, true);
  return task.memory.copyOut(address, task.scratch, 0, 2 * sizes.length);
}

function isActionAvailable(task: Task, address: number): number {
  if (task.memory.copyIn(address, task.scratch, 0, 4) < 0) return -EFAULT;
  return ACTIONS.has(task.scratch.view.getInt32(0, true)) ? 0 : -EOPNOTSUPP;
}

function areFlagsSane(bits: number): boolean {
  if ((bits & ~FLAGS_KNOWN) !== 0) return false;
  const listens = (bits & s.SECCOMP_FILTER_FLAG_NEW_LISTENER) !== 0;
  // Both have something to return, unless a thread's number is not wanted.
  const bothReturn = listens && (bits & s.SECCOMP_FILTER_FLAG_TSYNC) !== 0;
  if (bothReturn && (bits & s.SECCOMP_FILTER_FLAG_TSYNC_ESRCH) === 0) return false;
  return listens || (bits & s.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) === 0;
}

function setFilter(task: Task, flagBits: number, address: number): number {
  if (!areFlagsSane(flagBits)) return -EINVAL;
  const { memory, scratch, credentials } = task;
  if (memory.copyIn(address, scratch, 0, bpf.SOCK_FPROG_SIZE) < 0) return -EFAULT;
  const length = scratch.view.getUint16(0, true);
  const program = scratch.view.getUint32(PROGRAM_AT, true) + scratch.view.getUint32(PROGRAM_AT + 4, true) * 0x1_0000_0000;
  if (length === 0 || length > bpf.BPF_MAXINSNS) return -EINVAL;
  if (!credentials.noNewPrivs && !capable(credentials, CAP_SYS_ADMIN)) return -EACCES;
  if (program === 0) return -EINVAL;
  const words = copyProgram(memory, scratch, program, length);
  return typeof words === 'number' ? words : installFilter(task, words, flagBits);
}

/** prctl(PR_SET_SECCOMP): `mode` SECCOMP_MODE_*. */
export function setSeccompMode(task: Task, mode: number, argument: number): number {
  switch (mode) {
    case s.SECCOMP_MODE_STRICT:
      return installStrictMode(task);
    case s.SECCOMP_MODE_FILTER:
      return setFilter(task, 0, argument);
    default:
      return -EINVAL;
  }
}

export const seccompRows = family(
  syscall({
    name: 'seccomp',
    nr: { x64: 317, arm64: 277 },
    args: { operation: oneOf(s.SECCOMP_OPERATIONS), flags: flags(s.SECCOMP_FILTER_FLAGS), args: addr },
    support: partial('in strict mode the time stamp counter stays readable'),
    run: seccomp,
  }),
);
