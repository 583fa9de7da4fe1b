/**
 * CPU exceptions of guest code become signals that cannot be blocked or ignored (Linux force_sig_fault).
 */
import { SignalInfo } from '#sentry/abi/siginfo.ts';
import { SI_KERNEL, SIGSEGV } from '#sentry/abi/signal.ts';
import type { Fault } from '#platform/contract/platform.ts';
import type { Task } from '../task.ts';
import { forceSignal } from './send.ts';

/** Raises the signal of `fault`; the task takes it on its way back to guest code. */
export function forceFault(task: Task, fault: Fault): void {
  const { signals } = task;
  signals.trapNumber = fault.trapNumber;
  signals.errorCode = fault.errorCode;
  signals.faultLow = fault.addressLow;
  signals.faultHigh = fault.addressHigh;
  forceSignal(task, SignalInfo.fault(fault.signo, fault.code, fault.addressLow, fault.addressHigh));
}

/** A signal frame could not be written or is malformed: SIGSEGV, and death when SIGSEGV's own frame was at fault. */
export function forceSegv(task: Task, during: number): void {
  if (during === SIGSEGV) task.group.handlers.setDefault(SIGSEGV);
  forceSignal(task, new SignalInfo(SIGSEGV, SI_KERNEL));
}
