/**
 * Signal delivery: what happens between the end of a system call, fault or interruption and the return to guest code.
 *
 *     if (needsDelivery(task, result)) deliverSignals(task, result);
 *     if (the task has exited or is stopped) …leave it; else …resume
 *
 * Pending signals are taken one after the other. Each that has a handler gets a frame on the stack (the last one built runs first); default
 * actions stop or end the process. The result of an interrupted call is decided by the first handler: -EINTR, or the call again.
 *
 * Specification: signal(7) "Interruption of system calls"; Linux kernel/signal.c get_signal, arch/x86/kernel/signal.c.
 */
import { EINTR, ERESTART_RESTARTBLOCK, ERESTARTNOHAND, ERESTARTNOINTR, ERESTARTSYS } from '#sentry/abi/errno.ts';
import type { SignalInfo } from '#sentry/abi/siginfo.ts';
import {
  DefaultAction,
  defaultAction,
  SA_NODEFER,
  SA_RESETHAND,
  SA_RESTART,
  SIG_DFL,
  SIG_IGN,
  SIGKILL,
  SIGSTOP,
} from '#sentry/abi/signal.ts';
import { getReg, Reg, setReg, SYSCALL_LENGTH } from '#sentry/abi/x64/registers.ts';
import { exitGroup } from '../exit.ts';
import type { Task } from '../task.ts';
import { forceSegv } from './fault.ts';
import { pushFrame } from './frame.ts';
import { STOPPED } from './send.ts';
import { beginGroupStop, enterStop } from './stop.ts';

const NR_RESTART_SYSCALL = 219;

/** Whether the task must not simply go back to guest code. `result` is that of the call it was in, if any. */
export function needsDelivery(task: Task, result: number | null): boolean {
  return task.signals.work !== 0 || isRestart(result);
}

/**
 * Delivers what is pending. `result` is what the call just ended with, null when the task was not in one (fault, interruption, execve,
 * rt_sigreturn). Afterwards the task has its registers set and may go on, or it is stopped, or it has exited.
 */
export function deliverSignals(task: Task, result: number | null): void {
  const { signals, group } = task;
  if (task.hasExited || task.state === STOPPED) return;
  let open = takeHeldResult(task, result);
  if (signals.hasSavedMask && open !== -EINTR && open !== -ERESTARTNOHAND) signals.restoreMask();
  for (;;) {
    if (group.exiting) return;
    if (signals.stopPending && group.signals.fatal === 0) {
      holdResult(task, open);
      enterStop(task);
      return;
    }
    const info = signals.takeUnblocked(signals.blocked);
    if (info === null) {
      if (group.signals.fatal !== 0) {
        exitGroup(group, group.signals.fatal);
        return;
      }
      if (open !== null) finishCall(task, open);
      open = null;
      if (!signals.hasSavedMask) return;
      signals.restoreMask();
      continue;
    }
    task.kernel.options.onSignal?.(task, info, open);
    const { signo } = info;
    const handler = group.handlers.handler[signo]!;
    if (handler === SIG_IGN) continue;
    if (handler === SIG_DFL) {
      if (!applyDefault(task, info)) return;
      continue;
    }
    if (open !== null) finishInterrupted(task, open, group.handlers.flags[signo]!);
    open = null;
    runHandler(task, info);
  }
}

/** The default action. Returns false when the task is no more. */
function applyDefault(task: Task, info: SignalInfo): boolean {
  const { signo } = info;
  const { group } = task;
  const action = defaultAction(signo);
  if (action === DefaultAction.Ignore || action === DefaultAction.Continue) return true;
  if (group.signals.unkillable && signo !== SIGKILL && signo !== SIGSTOP) return true;
  if (action === DefaultAction.Stop) {
    // Nobody could continue an orphaned process group; SIGSTOP does not care.
    if (signo === SIGSTOP || !group.processGroup.isOrphaned) beginGroupStop(task, signo);
    return true;
  }
  // Linux sets 0x80 in the status when a core file was written. None is written here, so it stays clear, as under RLIMIT_CORE 0.
  exitGroup(group, signo);
  return false;
}

/** Builds the frame and adjusts mask and disposition for the handler's run. */
function runHandler(task: Task, info: SignalInfo): void {
  const { signals, group } = task;
  const { handlers } = group;
  const { signo } = info;
  const flags = handlers.flags[signo]!;
  const pushed = pushFrame(task, info);
  if ((flags & SA_RESETHAND) !== 0) handlers.setDefault(signo);
  if (pushed < 0) {
    signals.restoreMask();
    forceSegv(task, signo);
    return;
  }
  // The mask to go back to lies in the frame now.
  signals.hasSavedMask = false;
  let low = signals.blocked.low | handlers.maskLow[signo]!;
  let high = signals.blocked.high | handlers.maskHigh[signo]!;
  if ((flags & SA_NODEFER) === 0) {
    if (signo <= 32) low |= 1 << (signo - 1);
    else high |= 1 << (signo - 33);
  }
  signals.setBlocked(low, high);
}

function isRestart(result: number | null): boolean {
  return result !== null && result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK;
}

/** The call's result when no handler ran. */
function finishCall(task: Task, result: number): void {
  if (!isRestart(result)) task.thread.setResult(result);
  else if (result === -ERESTART_RESTARTBLOCK) repeatCall(task, NR_RESTART_SYSCALL);
  else repeatCall(task, task.thread.call[0]!);
}

/** The call's result as the first handler with `flags` sees it. */
function finishInterrupted(task: Task, result: number, flags: number): void {
  if (result === -ERESTARTNOINTR || (result === -ERESTARTSYS && (flags & SA_RESTART) !== 0)) repeatCall(task, task.thread.call[0]!);
  else task.thread.setResult(isRestart(result) ? -EINTR : result);
}

/** Back to the `syscall` instruction, with `nr` in rax. */
function repeatCall(task: Task, nr: number): void {
  const regs = task.thread.registers();
  setReg(regs, Reg.rax, nr);
  setReg(regs, Reg.rip, getReg(regs, Reg.rip) - SYSCALL_LENGTH);
  task.thread.registersChanged();
}

/** Keeps the result of a call for the next `deliverSignals`. */
export function holdResult(task: Task, result: number | null): void {
  if (result === null) return;
  task.signals.heldResult = result;
  task.signals.hasHeldResult = true;
}

function takeHeldResult(task: Task, result: number | null): number | null {
  const { signals } = task;
  if (!signals.hasHeldResult) return result;
  signals.hasHeldResult = false;
  return signals.heldResult;
}
