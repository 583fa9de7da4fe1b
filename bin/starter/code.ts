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
import type { Register } from '#platform/stub/assembler.ts';
import { Aftermath, GOFER_DESCRIPTOR, OUTCOME_DESCRIPTOR, STARTED_VARIABLE, StartMode } from './hand-over.ts';
import { MORE_TO_DO, OUTCOME_MAX, REMOVE_FILE } from './outcome.ts';

const SYS_READ = 0;
const SYS_WRITE = 1;
const SYS_OPEN = 2;
const SYS_CLOSE = 3;
const SYS_RT_SIGACTION = 13;
const SYS_RT_SIGPROCMASK = 14;
const SYS_DUP2 = 33;
const SYS_NANOSLEEP = 35;
const SYS_GETPID = 39;
const SYS_SOCKETPAIR = 53;
const SYS_FORK = 57;
const SYS_VFORK = 58;
const SYS_EXECVE = 59;
const SYS_EXIT = 60;
const SYS_WAIT4 = 61;
const SYS_KILL = 62;
const SYS_FCNTL = 72;
const SYS_RMDIR = 84;
const SYS_UNLINK = 87;
const SYS_GETPPID = 110;
const SYS_SETSID = 112;
const SYS_RT_SIGTIMEDWAIT = 128;
const SYS_PRCTL = 157;
const SYS_PIPE2 = 293;
const SYS_CLOSE_RANGE = 436;

const AF_UNIX = 1;
const SOCK_SEQPACKET_CLOEXEC = 0x8_0005;
const F_DUPFD = 0;
const O_RDWR = 2;
const O_CLOEXEC = 0x8_0000;
const SIG_SETMASK = 2;
const SIGKILL = 9;
const SIGCHLD = 17;
const SIGCONT = 18;
const SIGSTOP = 19;
const SI_KERNEL = 0x80;
const PR_SET_PDEATHSIG = 1;
const WNOHANG_WUNTRACED = 3;
const EBUSY = 16;
const EXIT_FAILURE = 125;
const LOW_BYTE = 0xff;
/** The gofer's end, as bin/gofer-main.ts expects it. */
const GOFER_SOCKET = 3;
/** How often the removal of a directory is tried, a millisecond apart: processes that were killed are still leaving their cgroup. */
const BUSY_TRIES = 1000;

const WORD = 8;
// From the first word of the stack, which rbx keeps: argc, argv, null, environment.
const MODE = 2 * WORD;
const NODE = 3 * WORD;
const GOFER_PROGRAM = 4 * WORD;
const FIRST_ARGUMENT = 5 * WORD;

// Below it, zero at first because nobody has used it.
const SCRATCH = 8192;
/** Two descriptors: the socket pair, then the pipe. */
const PAIR = 0;
/** The gofer's arguments, ended by the null that also is its environment. */
const GOFER_ARGUMENTS = 16;
const GOFER_ENVIRONMENT = GOFER_ARGUMENTS + 3 * WORD;
const ALL_SIGNALS = 64;
const OLD_SIGNALS = 72;
const WAIT_STATUS = 80;
const MILLISECOND = 96;
const SIGNAL_INFO = 128;
const OUTCOME = 512;

const MESSAGE = 'tsvisor: cannot run Node.js\n';

/** What must survive a system call lies in these: rcx and r11 do not. */
const CHILD: Register = 'rbp';
const OUTCOME_END: Register = 'r12';
const STATUS: Register = 'r13';
/** Behind the last argument, where the null stands. */
const ARGUMENTS_END: Register = 'r14';
/** The variable that the next Node gets. */
const VARIABLE: Register = 'r15';

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

/** A system call whose arguments in registers have been set. */
function call(a: Assembler, nr: number): void {
  a.movImm32('rax', nr);
  a.syscall();
}

function exit(a: Assembler, status: number): void {
  a.movImm32('rdi', status);
  call(a, SYS_EXIT);
}

/** The byte at `base` + `displacement`. Seven more are read: callers know that they are there. */
function loadByte(a: Assembler, to: Register, base: Register, displacement: number): void {
  a.loadAt(to, base, displacement);
  a.andImm32(to, LOW_BYTE);
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

function setSignalMask(a: Assembler, mask: number, old: number | null): void {
  a.movImm32('rdi', SIG_SETMASK);
  a.leaAt('rsi', 'rsp', mask);
  if (old === null) a.xor('rdx', 'rdx');
  else a.leaAt('rdx', 'rsp', old);
  a.movImm32('r10', WORD);
  call(a, SYS_RT_SIGPROCMASK);
}

/** Of an attended sentry: passes signals on until it has ended, and goes to `ended` with its exit status. */
function attend(a: Assembler): void {
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
function waitForOutcome(a: Assembler): void {
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

/** fcntl(rdi, F_DUPFD, atLeast) */
function duplicate(a: Assembler, atLeast: number): void {
  a.movImm32('rsi', F_DUPFD);
  a.movImm32('rdx', atLeast);
  call(a, SYS_FCNTL);
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

/** Runs the verb for what is left to do: in a child, for this process ends with STATUS. */
function runVerbAgain(a: Assembler): void {
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
