/**
 * The starter's process after a child has become the sentry: it waits for the outcome of a detached one, or attends one to its end; then it removes what it
 * was told to, or has the verb do the rest.
 */
import type { Assembler } from '#platform/stub/assembler.ts';
import {
  call,
  EBUSY,
  exit,
  loadByte,
  LOW_BYTE,
  setSignalMask,
  SI_KERNEL,
  SIGCHLD,
  SIGCONT,
  SIGSTOP,
  SYS_EXIT,
  SYS_FORK,
  SYS_GETPID,
  SYS_KILL,
  SYS_NANOSLEEP,
  SYS_READ,
  SYS_RMDIR,
  SYS_RT_SIGTIMEDWAIT,
  SYS_UNLINK,
  SYS_WAIT4,
  WNOHANG_WUNTRACED,
} from './calls.ts';
import {
  ALL_SIGNALS,
  CHILD,
  MILLISECOND,
  OLD_SIGNALS,
  OUTCOME,
  OUTCOME_END,
  PAIR,
  SIGNAL_INFO,
  STATUS,
  VARIABLE,
  WAIT_STATUS,
  WORD,
} from './frame.ts';
import { Aftermath } from './hand-over.ts';
import { MORE_TO_DO, OUTCOME_MAX, REMOVE_FILE } from './outcome.ts';

/** How often the removal of a directory is tried, a millisecond apart: processes that were killed are still leaving their cgroup. */
const BUSY_TRIES = 1000;

/** Of an attended sentry: passes signals on until it has ended, and goes to `ended` with its exit status. */
export function attend(a: Assembler): void {
  a.label('attend');
  a.leaAt('rdi', 'rsp', ALL_SIGNALS);
  a.leaAt('rsi', 'rsp', SIGNAL_INFO);
  a.xor('rdx', 'rdx');
  a.movImm32('r10', WORD);
  call(a, SYS_RT_SIGTIMEDWAIT);
  a.test('rax', 'rax');
  a.js('attend');
  a.cmpImm32('rax', SIGCHLD);
  a.je('child changed');
  a.cmpImm32('rax', SIGCONT);
  a.je('attend');
  // A terminal tells the whole process group, the sentry too.
  a.loadAt('rcx', 'rsp', SIGNAL_INFO + WORD);
  a.movLow('rcx', 'rcx');
  a.cmpImm32('rcx', SI_KERNEL);
  a.je('attend');
  a.mov('rsi', 'rax');
  a.mov('rdi', CHILD);
  call(a, SYS_KILL);
  a.jmp('attend');

  a.label('child changed');
  a.mov('rdi', CHILD);
  waitFor(a, WNOHANG_WUNTRACED);
  a.test('rax', 'rax');
  a.je('attend');
  a.loadAt('rax', 'rsp', WAIT_STATUS);
  a.andImm32('rax', LOW_BYTE);
  a.cmpImm32('rax', 0x7f);
  a.jne('child ended');
  // Stopped from the terminal: the shell waits for this process.
  call(a, SYS_GETPID);
  a.mov('rdi', 'rax');
  a.movImm32('rsi', SIGSTOP);
  call(a, SYS_KILL);
  a.jmp('attend');

  a.label('child ended');
  a.andImm32('rax', 0x7f);
  a.leaAt(STATUS, 'rax', 128);
  a.test('rax', 'rax');
  a.jne('tidy up');
  loadByte(a, STATUS, 'rsp', WAIT_STATUS + 1);

  a.label('tidy up');
  readOutcome(a);
  a.lea(VARIABLE, Aftermath.Failed);
  a.cmpImm32('rax', 1);
  a.jne('told something');
  a.compareAt('rsp', OUTCOME, 0);
  a.jne('run verb');
  a.label('told something');
  a.lea(VARIABLE, Aftermath.Died);
  a.test('rax', 'rax');
  a.je('run verb');
  a.lea(VARIABLE, Aftermath.Ended);
  removeNames(a);
  a.label('leave');
  a.mov('rdi', STATUS);
  call(a, SYS_EXIT);
}

/** wait4(rdi, WAIT_STATUS, options, NULL) */
function waitFor(a: Assembler, options: number): void {
  a.leaAt('rsi', 'rsp', WAIT_STATUS);
  a.movImm32('rdx', options);
  a.xor('r10', 'r10');
  call(a, SYS_WAIT4);
}

function readOutcome(a: Assembler): void {
  a.loadAt('rdi', 'rsp', PAIR);
  a.movLow('rdi', 'rdi');
  a.leaAt('rsi', 'rsp', OUTCOME);
  a.movImm32('rdx', OUTCOME_MAX);
  call(a, SYS_READ);
}

/** The list of outcome.ts. Goes to `run verb` when something is left over. */
function removeNames(a: Assembler): void {
  const at = OUTCOME_END;
  a.storeImmAt('rsp', MILLISECOND, 0);
  a.storeImmAt('rsp', MILLISECOND + WORD, 1_000_000);
  a.leaAt(at, 'rsp', OUTCOME + 1);

  a.label('next name');
  a.movImm32(CHILD, BUSY_TRIES);
  a.label('remove');
  loadByte(a, 'rcx', at, 0);
  a.test('rcx', 'rcx');
  a.je('leave');
  a.cmpImm32('rcx', MORE_TO_DO.charCodeAt(0));
  a.je('run verb');
  a.leaAt('rdi', at, 1);
  a.movImm32('rax', SYS_UNLINK);
  a.cmpImm32('rcx', REMOVE_FILE.charCodeAt(0));
  a.je('remove it');
  a.movImm32('rax', SYS_RMDIR);
  a.label('remove it');
  a.syscall();
  a.test('rax', 'rax');
  a.je('skip name');
  a.cmpImm32('rax', -EBUSY);
  a.jne('run verb');
  a.addImm32(CHILD, -1);
  a.js('run verb');
  a.leaAt('rdi', 'rsp', MILLISECOND);
  a.xor('rsi', 'rsi');
  call(a, SYS_NANOSLEEP);
  a.jmp('remove');

  a.label('skip name');
  loadByte(a, 'rcx', at, 0);
  a.addImm32(at, 1);
  a.test('rcx', 'rcx');
  a.jne('skip name');
  a.jmp('next name');
}

/** Of a detached sentry. */
export function waitForOutcome(a: Assembler): void {
  a.label('wait for outcome');
  // Whoever waits may be interrupted.
  setSignalMask(a, OLD_SIGNALS, null);
  readOutcome(a);
  a.movImm32(STATUS, 1);
  a.lea(VARIABLE, Aftermath.Died);
  a.test('rax', 'rax');
  a.je('run verb');
  a.js('run verb');
  a.lea(VARIABLE, Aftermath.Failed);
  loadByte(a, 'rax', 'rsp', OUTCOME);
  a.test('rax', 'rax');
  a.jne('run verb');
  exit(a, 0);
}

/** Runs the verb for what is left to do: in a child, for this process ends with STATUS. */
export function runVerbAgain(a: Assembler): void {
  a.label('run verb');
  call(a, SYS_FORK);
  a.test('rax', 'rax');
  a.je('verb');
  a.js('leave');
  a.mov('rdi', 'rax');
  waitFor(a, 0);
  a.jmp('leave');
  a.label('verb');
  setSignalMask(a, OLD_SIGNALS, null);
}
