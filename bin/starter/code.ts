/**
 * The starter: a program of about a kilobyte that `bin/tsvisor` runs for verbs that make a sandbox. It starts the gofer's Node and the sentry's side by
 * side: a Node process takes 30 ms until its first line runs, and a shell can make no socket pair. Written to dist/ by bin/build.ts.
 *
 *     starter MODE NODE GOFER_PROGRAM ARG…
 *
 *     here        becomes NODE ARG…, with TSVISOR_STARTED=here
 *     detached    so does a child, in a session of its own; the starter reads one byte from a pipe, and ends with 0 if that is 0
 *     attended    so does a child; the starter passes signals on to it, ends when it ends, with its exit status, and removes what it was told to
 *
 * When a child has failed, or there is more to tidy up than names to remove, the starter runs NODE ARG… once more, with TSVISOR_STARTED=failed, died or ended.
 *
 * The gofer is what `spawnWithDescriptors` makes: a session of its own, no environment, no blocked signal, no descriptors but /dev/null as 0 to 2 and its end
 * of a socket as 3; the other end is descriptor 100 of the sentry. Where there can be no gofer, `here` runs ARG… without one.
 *
 * Specification: clone(2), execve(2), fcntl(2), pipe(2), rt_sigtimedwait(2), wait4(2); the stack at the start: System V ABI for x86-64, section 3.4.1.
 */
import { Assembler } from '#platform/stub/assembler.ts';
import { attend, runVerbAgain, waitForOutcome } from './attendant.ts';
import {
  AF_UNIX,
  call,
  duplicate,
  exit,
  EXIT_FAILURE,
  loadByte,
  O_CLOEXEC,
  O_RDWR,
  PR_SET_PDEATHSIG,
  setSignalMask,
  SIGCHLD,
  SIGKILL,
  SOCK_SEQPACKET_CLOEXEC,
  SYS_CLOSE,
  SYS_CLOSE_RANGE,
  SYS_DUP2,
  SYS_EXECVE,
  SYS_FORK,
  SYS_GETPID,
  SYS_GETPPID,
  SYS_OPEN,
  SYS_PIPE2,
  SYS_PRCTL,
  SYS_RT_SIGACTION,
  SYS_SETSID,
  SYS_SOCKETPAIR,
  SYS_VFORK,
  SYS_WRITE,
} from './calls.ts';
import {
  ALL_SIGNALS,
  ARGUMENTS_END,
  CHILD,
  FIRST_ARGUMENT,
  GOFER_ARGUMENTS,
  GOFER_ENVIRONMENT,
  GOFER_PROGRAM,
  MODE,
  NODE,
  OLD_SIGNALS,
  OUTCOME,
  PAIR,
  SCRATCH,
  STATUS,
  VARIABLE,
  WORD,
} from './frame.ts';
import { Aftermath, GOFER_DESCRIPTOR, OUTCOME_DESCRIPTOR, STARTED_VARIABLE, StartMode } from './hand-over.ts';

/** The gofer's end, as bin/gofer-main.ts expects it. */
const GOFER_SOCKET = 3;
const MESSAGE = 'tsvisor: cannot run Node.js\n';

const variableOf = (value: string): string => `${STARTED_VARIABLE}=${value}`;

/** The instructions and their strings. Runs at any address, and writes to its stack only. */
export function assembleStarter(): Uint8Array {
  const a = new Assembler();
  a.mov('rbx', 'rsp');
  a.addImm32('rsp', -SCRATCH);
  a.loadAt('rcx', 'rbx', 0);
  a.leaAt(ARGUMENTS_END, 'rbx', WORD);
  for (let i = 0; i < WORD; i += 1) a.add(ARGUMENTS_END, 'rcx');
  chooseMode(a);
  attend(a);
  waitForOutcome(a);
  startGofer(a);
  becomeSentry(a);
  runVerbAgain(a);
  becomeNode(a);
  for (const [label, text] of strings()) {
    a.label(label);
    a.bytes(...Buffer.from(`${text}\0`));
  }
  return a.finish();
}

function strings(): (readonly [string, string])[] {
  const variables = [...Object.values(StartMode), ...Object.values(Aftermath)].map((value) => [value, variableOf(value)] as const);
  return [['null device', '/dev/null'], ['gofer option', '--disable-sigusr1'], ['message', MESSAGE], ...variables];
}

/** Forks unless the mode is `here`. The child goes on at `sentry`; this process at `attend` or `wait for outcome`. */
function chooseMode(a: Assembler): void {
  a.lea(VARIABLE, StartMode.Here);
  a.loadAt('rax', 'rbx', MODE);
  loadByte(a, 'rax', 'rax', 0);
  a.cmpImm32('rax', StartMode.Here.charCodeAt(0));
  a.je('sentry');
  a.lea(VARIABLE, StartMode.Detached);
  a.cmpImm32('rax', StartMode.Detached.charCodeAt(0));
  a.je('fork');
  a.lea(VARIABLE, StartMode.Attended);

  a.label('fork');
  a.leaAt('rdi', 'rsp', PAIR);
  a.movImm32('rsi', O_CLOEXEC);
  call(a, SYS_PIPE2);
  // Whoever ignores SIGCHLD is told of no child's end: back to the default.
  a.movImm32('rdi', SIGCHLD);
  a.leaAt('rsi', 'rsp', OUTCOME);
  a.xor('rdx', 'rdx');
  a.movImm32('r10', WORD);
  call(a, SYS_RT_SIGACTION);
  // No signal may reach this process before it passes them on.
  a.storeImmAt('rsp', ALL_SIGNALS, -1);
  setSignalMask(a, ALL_SIGNALS, OLD_SIGNALS);
  call(a, SYS_GETPID);
  a.mov(STATUS, 'rax');
  call(a, SYS_FORK);
  a.mov(CHILD, 'rax');
  a.test('rax', 'rax');
  a.je('child');
  a.loadAt('rdi', 'rsp', PAIR + 4);
  a.movLow('rdi', 'rdi');
  call(a, SYS_CLOSE);
  a.lea('rax', StartMode.Detached);
  a.cmp('rax', VARIABLE);
  a.je('wait for outcome');
  a.jmp('attend');

  a.label('child');
  // Until it is up, nobody but this process knows of it: it does not go on alone.
  a.movImm32('rdi', PR_SET_PDEATHSIG);
  a.movImm32('rsi', SIGKILL);
  call(a, SYS_PRCTL);
  call(a, SYS_GETPPID);
  a.cmp('rax', STATUS);
  a.jne('cannot');
  setSignalMask(a, OLD_SIGNALS, null);
  a.loadAt('rdi', 'rsp', PAIR + 4);
  a.movLow('rdi', 'rdi');
  duplicate(a, OUTCOME_DESCRIPTOR);
  a.cmpImm32('rax', OUTCOME_DESCRIPTOR);
  a.jne('cannot');
  a.lea('rax', StartMode.Detached);
  a.cmp('rax', VARIABLE);
  a.jne('sentry');
  call(a, SYS_SETSID);
  a.jmp('sentry');
}

/** Goes on at `without gofer` if there can be none. */
function startGofer(a: Assembler): void {
  a.label('sentry');
  a.movImm32('rdi', AF_UNIX);
  a.movImm32('rsi', SOCK_SEQPACKET_CLOEXEC);
  a.xor('rdx', 'rdx');
  a.leaAt('r10', 'rsp', PAIR);
  call(a, SYS_SOCKETPAIR);
  a.test('rax', 'rax');
  a.js('without gofer');
  // Our end under a number that is known, and that the caller has hardly used; without close-on-exec.
  a.loadAt('rdi', 'rsp', PAIR);
  a.movLow('rdi', 'rdi');
  duplicate(a, GOFER_DESCRIPTOR);
  a.cmpImm32('rax', GOFER_DESCRIPTOR);
  a.jne('number taken');
  call(a, SYS_VFORK);
  a.test('rax', 'rax');
  a.je('gofer');
  a.js('no process');
  a.jmp('with variable');
  a.label('gofer');
  becomeGofer(a);
}

/** In the child, which shares our memory until it runs another program: it changes nothing but our scratch. */
function becomeGofer(a: Assembler): void {
  call(a, SYS_SETSID);
  a.storeImmAt('rsp', GOFER_ENVIRONMENT, 0); // no signal
  setSignalMask(a, GOFER_ENVIRONMENT, null);
  // First out of the way, for it may be one of 0 to 2 where the caller had closed them.
  a.loadAt('rdi', 'rsp', PAIR + 4);
  a.movLow('rdi', 'rdi');
  duplicate(a, OUTCOME_DESCRIPTOR + 1);
  a.mov('r13', 'rax');
  a.lea('rdi', 'null device');
  a.movImm32('rsi', O_RDWR);
  call(a, SYS_OPEN);
  a.mov('r12', 'rax');
  for (const standard of [0, 1, 2]) place(a, 'r12', standard);
  place(a, 'r13', GOFER_SOCKET);
  // Our own ends too, for a host without close_range: nobody would ever see us go.
  for (const ours of [GOFER_DESCRIPTOR, OUTCOME_DESCRIPTOR]) {
    a.movImm32('rdi', ours);
    call(a, SYS_CLOSE);
  }
  a.movImm32('rdi', GOFER_SOCKET + 1);
  a.movImm32('rsi', 0xffff_ffff);
  a.xor('rdx', 'rdx');
  call(a, SYS_CLOSE_RANGE);
  a.loadAt('rdi', 'rbx', NODE);
  a.storeAt('rsp', GOFER_ARGUMENTS, 'rdi');
  a.lea('rax', 'gofer option');
  a.storeAt('rsp', GOFER_ARGUMENTS + WORD, 'rax');
  a.loadAt('rax', 'rbx', GOFER_PROGRAM);
  a.storeAt('rsp', GOFER_ARGUMENTS + 2 * WORD, 'rax');
  a.leaAt('rsi', 'rsp', GOFER_ARGUMENTS);
  a.leaAt('rdx', 'rsp', GOFER_ENVIRONMENT);
  call(a, SYS_EXECVE);
  exit(a, EXIT_FAILURE);
}

function place(a: Assembler, descriptor: 'r12' | 'r13', number: number): void {
  a.mov('rdi', descriptor);
  a.movImm32('rsi', number);
  call(a, SYS_DUP2);
}

/** Without a gofer: `here` runs the arguments alone. */
function becomeSentry(a: Assembler): void {
  a.label('no process');
  a.movImm32('rax', GOFER_DESCRIPTOR);
  a.label('number taken');
  a.mov('rdi', 'rax'); // or an error, of which close(2) makes nothing
  call(a, SYS_CLOSE);
  a.label('without gofer');
  a.lea('rax', StartMode.Here);
  a.cmp('rax', VARIABLE);
  a.jne('cannot');
  a.loadAt('rax', 'rbx', NODE);
  a.storeAt('rbx', GOFER_PROGRAM, 'rax');
  a.leaAt('rsi', 'rbx', GOFER_PROGRAM);
  a.leaAt('rdx', ARGUMENTS_END, WORD);
  a.jmp('execute');
}

/**
 * execve, with the lists where they lie on the stack: the arguments move down by a word, over the gofer's program, and the null behind them with
 * them: its place is that of one more variable.
 */
function becomeNode(a: Assembler): void {
  a.label('with variable');
  a.leaAt('rcx', 'rbx', FIRST_ARGUMENT);
  a.label('move');
  a.cmp('rcx', ARGUMENTS_END);
  a.je('moved');
  a.loadAt('rax', 'rcx', 0);
  a.storeAt('rcx', -WORD, 'rax');
  a.addImm32('rcx', WORD);
  a.jmp('move');
  a.label('moved');
  a.storeImmAt(ARGUMENTS_END, -WORD, 0);
  a.storeAt(ARGUMENTS_END, 0, VARIABLE);
  a.leaAt('rsi', 'rbx', NODE);
  a.mov('rdx', ARGUMENTS_END);

  a.label('execute');
  a.loadAt('rdi', 'rbx', NODE);
  call(a, SYS_EXECVE);
  a.label('cannot');
  a.movImm32('rdi', 2);
  a.lea('rsi', 'message');
  a.movImm32('rdx', MESSAGE.length);
  call(a, SYS_WRITE);
  exit(a, EXIT_FAILURE);
}
