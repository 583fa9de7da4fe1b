/**
 * What a task's filter makes of the call it is stopped at: the call goes on, or has a result already, or brings a signal, or is the task's last.
 *
 *     if (filter !== null && !filter.allows(nr)) … = enforce(task, filter)
 *
 * A filter is asked once for each call: not again when a call that waited is looked at again, but again when a signal handler has run and
 * the call is made anew. Specification: seccomp(2) "Seccomp return values"; Linux kernel/seccomp.c __seccomp_filter.
 */
import { ENOSYS } from '#sentry/abi/errno.ts';
import * as s from '#sentry/abi/seccomp.ts';
import { SignalInfo } from '#sentry/abi/siginfo.ts';
import { SIGKILL, SIGSYS } from '#sentry/abi/signal.ts';
import { Reg } from '#sentry/abi/x64/registers.ts';
import { killTask } from '../exit.ts';
import { forceSignal } from '../signals/send.ts';
import type { Task } from '../task.ts';
import { REGISTERS_SET } from '../wait.ts';
import { SeccompFilter } from './filter.ts';
import { DATA_WORDS } from './interpreter.ts';
import { Notification, waitForAnswer } from './listener.ts';

/** The call goes on. No call has this result. */
export const GO_ON = REGISTERS_SET - 1;

/** Errors above this are this one (MAX_ERRNO). */
const ERRNO_MAX = 4095;
/** What platforms say of calls that did not come by the native entry. */
const NO_SUCH_CALL = 0xffff_ffff;
const ARGUMENTS = 4;
const POINTER = 2;

/** `struct seccomp_data` of the call. */
const data = new Int32Array(DATA_WORDS);

/** GO_ON, or what becomes of the call without being made: 0, -errno, REGISTERS_SET, BLOCKED. */
export function enforce(task: Task, filter: SeccompFilter): number {
  if (!task.wait.first) return continueCall(task);
  describe(task);
  if (filter.readsInstructionPointer && !filter.isDecided(data)) locate(task);
  const verdict = filter.judge(data);
  const action = verdict & s.SECCOMP_RET_ACTION;
  if (action === s.SECCOMP_RET_ALLOW) return GO_ON;
  if (action <= s.SECCOMP_RET_KILL_THREAD || action === s.SECCOMP_RET_LOG || filter.isLogged) log(task, filter, verdict);
  switch (action) {
    case s.SECCOMP_RET_LOG:
      return GO_ON;
    case s.SECCOMP_RET_ERRNO:
      return 0 - Math.min(verdict & s.SECCOMP_RET_DATA, ERRNO_MAX);
    case s.SECCOMP_RET_TRAP:
      return trap(task, verdict & s.SECCOMP_RET_DATA);
    // Nobody traces: the call does not exist.
    case s.SECCOMP_RET_TRACE:
      return -ENOSYS;
    case s.SECCOMP_RET_USER_NOTIF:
      return askListener(task, filter);
    case s.SECCOMP_RET_KILL_THREAD:
      killTask(task, filter.mode === s.SECCOMP_MODE_STRICT ? SIGKILL : SIGSYS, 'thread');
      return 0;
    // SECCOMP_RET_KILL_PROCESS, and whatever is no action.
    default:
      killTask(task, SIGSYS, 'process');
      return 0;
  }
}

/** A call that waits is looked at again: it waits for an answer to a notification, or was let through long ago. */
function continueCall(task: Task): number {
  const { state } = task.wait;
  return state instanceof Notification ? waitForAnswer(task, state, GO_ON) : GO_ON;
}

function askListener(task: Task, filter: SeccompFilter): number {
  locate(task);
  return SeccompFilter.listenerFor(filter, data)?.ask(task, data, GO_ON) ?? -ENOSYS;
}

/** Fills in all but the instruction pointer. */
function describe({ thread }: Task): void {
  const { call } = thread;
  const foreign = call[0] === NO_SUCH_CALL ? (thread.foreignNumber?.() ?? -1) : -1;
  data[0] = foreign < 0 ? call[0]! : foreign;
  data[1] = foreign < 0 ? s.AUDIT_ARCH_X86_64 : s.AUDIT_ARCH_I386;
  for (let i = ARGUMENTS; i < DATA_WORDS; i++) data[i] = call[i - ARGUMENTS + 2]!;
}

/** The instruction pointer: behind the instruction that makes the call. */
function locate({ thread }: Task): void {
  const registers = thread.registers();
  data[POINTER] = registers[Reg.rip]!;
  data[POINTER + 1] = registers[Reg.rip + 1]!;
}

/** SIGSYS, with the registers as they were before the call. */
function trap(task: Task, reason: number): number {
  locate(task);
  task.thread.setResult(data[0]!);
  forceSignal(task, SignalInfo.systemCall(reason, data[POINTER]!, data[POINTER + 1]!, data[0]!, data[1]!));
  return REGISTERS_SET;
}

function log(task: Task, filter: SeccompFilter, verdict: number): void {
  const number = data[0]! >>> 0;
  if (!filter.isWorthLogging(number)) return;
  const architecture = data[1] === (s.AUDIT_ARCH_X86_64 | 0) ? '' : ' of i386';
  const text = `system call ${number}${architecture}, verdict ${(verdict >>> 0).toString(16).padStart(8, '0')}`;
  task.kernel.host.log(`seccomp filter of ${task.name} (${task.tid}): ${text}`);
}
