/**
 * Changing the alternate signal stack: sigaltstack(2), and rt_sigreturn, which puts back the one a frame remembers.
 */
import { EINVAL, ENOMEM, EPERM } from '#sentry/abi/errno.ts';
import { MINSIGSTKSZ, SS_AUTODISARM, SS_DISABLE, SS_ONSTACK } from '#sentry/abi/signal.ts';
import type { Task } from '../task.ts';

/** `flags` as in stack_t. 0 or -errno; nothing changes on failure. */
export function setAltStack(task: Task, address: number, flags: number, size: number, stackPointer: number): number {
  const { signals } = task;
  if (signals.stackSize !== 0 && signals.isOnAltStack(stackPointer)) return -EPERM;
  const mode = flags & ~SS_AUTODISARM;
  if (mode !== SS_DISABLE && mode !== SS_ONSTACK && mode !== 0) return -EINVAL;
  if (mode === SS_DISABLE) {
    signals.resetAltStack();
    signals.stackFlags = flags;
    return 0;
  }
  if (size < MINSIGSTKSZ) return -ENOMEM;
  signals.stackAddress = address;
  signals.stackSize = size;
  signals.stackFlags = flags;
  return 0;
}
