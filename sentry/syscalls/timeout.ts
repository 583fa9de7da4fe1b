/**
 * Timeouts and temporary signal masks of calls that wait for events: poll, select, epoll_wait and their p-variants.
 *
 * A handler runs again after each wake-up; the timeout is read on its first run and lives on in `task.wait`.
 */
import { EFAULT, EINVAL } from '#sentry/abi/errno.ts';
import { getI64, getU64, putI64 } from '#sentry/abi/layout.ts';
import { STICKY_TIMEOUTS } from '#sentry/abi/prctl.ts';
import type { Task } from '../kernel/task.ts';

const NS = 1_000_000_000;
const SIGSET_SIZE = 8;
/** Longer timeouts are for ever (KTIME_MAX). */
const LONGEST_NS = 9.2e18;

/** The struct timespec at `address` in nanoseconds; Infinity for a null pointer; -errno. Uses the start of the scratch memory. */
export function readTimespec(task: Task, address: number): number {
  if (address === 0) return Infinity;
  if (task.memory.copyIn(address, task.scratch, 0, 16) < 0) return -EFAULT;
  return toNs(getI64(task.scratch.view, 0), getI64(task.scratch.view, 8));
}

/** The same of a struct timeval, whose microseconds may exceed a second. */
export function readTimeval(task: Task, address: number): number {
  if (address === 0) return Infinity;
  if (task.memory.copyIn(address, task.scratch, 0, 16) < 0) return -EFAULT;
  const micros = getI64(task.scratch.view, 8);
  return toNs(getI64(task.scratch.view, 0) + Math.trunc(micros / 1e6), (micros % 1e6) * 1000);
}

function toNs(seconds: number, nanoseconds: number): number {
  if (seconds < 0 || nanoseconds < 0 || nanoseconds >= NS) return -EINVAL;
  const total = seconds * NS + nanoseconds;
  return total > LONGEST_NS ? Infinity : total;
}

/** Stores what is left of the timeout, as poll_select_finish does; a failure to store is not an error. */
export function storeRemaining(task: Task, address: number, unit: 'timespec' | 'timeval'): void {
  const { wait } = task;
  const { timeoutNs } = wait;
  if (address === 0 || timeoutNs === 0 || timeoutNs === Infinity || (task.personality & STICKY_TIMEOUTS) !== 0) return;
  // A call that did not wait has taken no time that could be told. A timeval is stored all the same: the guest's may not be normalised.
  if (wait.first && unit === 'timespec') return;
  const left = wait.first ? timeoutNs : Math.max(0, wait.deadlineNs - task.kernel.host.monotonicNs());
  const seconds = Math.floor(left / NS);
  const rest = Math.floor(left - seconds * NS);
  putI64(task.scratch.view, 0, seconds);
  putI64(task.scratch.view, 8, unit === 'timespec' ? rest : Math.floor(rest / 1000));
  task.memory.copyOut(address, task.scratch, 0, 16);
}

/** Puts the signal set at `address` in force for this call, if there is one: 0 or -errno. `endTemporaryMask` or signal delivery ends it. */
export function useTemporaryMask(task: Task, address: number, size: number): number {
  if (address === 0) return 0;
  if (size !== SIGSET_SIZE) return -EINVAL;
  if (task.memory.copyIn(address, task.scratch, 0, SIGSET_SIZE) < 0) return -EFAULT;
  task.signals.useTemporaryMask(task.scratch.view.getUint32(0, true), task.scratch.view.getUint32(4, true));
  return 0;
}

/** The call has a result: signals that only the temporary mask let through have to wait again. */
export function endTemporaryMask(task: Task, result: number): number {
  task.signals.restoreMask();
  return result;
}

/** The pair {set, size} that the sixth argument of pselect6 points to. */
export function useMaskArgument(task: Task, address: number): number {
  if (address === 0) return 0;
  if (task.memory.copyIn(address, task.scratch, 0, 16) < 0) return -EFAULT;
  const set = getU64(task.scratch.view, 0);
  return useTemporaryMask(task, set, getU64(task.scratch.view, 8));
}
