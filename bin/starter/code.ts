/**
 * The starter: a program of some 400 bytes that `bin/tsvisor` runs for verbs that always need a gofer. It makes the socket pair, starts the
 * gofer's Node and becomes the sentry's, so that the two start side by side: a Node process takes 30 ms until its first line runs, and
 * a shell can make no socket pair. Written to dist/ by bin/build.ts; where it is missing the sentry starts its gofer itself, later.
 *
 *     starter NODE GOFER_PROGRAM ARG…     becomes     NODE ARG…     with TSVISOR_GOFER=100 in its environment
 *
 * The socket is then descriptor 100 of the sentry. The gofer is what `spawnWithDescriptor` makes: a session of its own, no environment, no blocked
 * signal, no descriptors but /dev/null as 0 to 2 and its end of the socket as 3. If anything fails before, ARG… is run without it.
 *
 * Specification: execve(2), fcntl(2), socketpair(2), vfork(2); the stack at the start: System V ABI for x86-64, section 3.4.1.
 */
import { Assembler } from '#platform/stub/assembler.ts';
import { GOFER_DESCRIPTOR, GOFER_VARIABLE } from './hand-over.ts';

const SYS_CLOSE = 3;
const SYS_OPEN = 2;
const SYS_WRITE = 1;
const SYS_RT_SIGPROCMASK = 14;
const SYS_DUP2 = 33;
const SYS_SOCKETPAIR = 53;
const SYS_VFORK = 58;
const SYS_EXECVE = 59;
const SYS_EXIT = 60;
const SYS_FCNTL = 72;
const SYS_SETSID = 112;
const SYS_CLOSE_RANGE = 436;

const AF_UNIX = 1;
const SOCK_SEQPACKET_CLOEXEC = 0x8_0005;
const F_DUPFD = 0;
const O_RDWR = 2;
const SIG_SETMASK = 2;
const EXIT_FAILURE = 125;
/** The gofer's end, as bin/gofer-main.ts expects it. */
const GOFER_SOCKET = 3;

const WORD = 8;
// From the first word of the stack, which rbx keeps: argc, argv, null, environment.
const NODE = 2 * WORD;
const GOFER_PROGRAM = 3 * WORD;
const FIRST_ARGUMENT = 4 * WORD;
// Below it: the two ends of the socket pair, then the gofer's arguments, ended by the null that also is its environment.
const SCRATCH = 64;
const PAIR = 0;
const GOFER_ARGUMENTS = 16;
const GOFER_ENVIRONMENT = GOFER_ARGUMENTS + 3 * WORD;

const MESSAGE = 'tsvisor: cannot run Node.js\n';

/** The instructions and their strings. Runs at any address, and writes to its stack only. */
export function assembleStarter(): Uint8Array {
  const a = new Assembler();
  a.mov('rbx', 'rsp');
  a.addImm32('rsp', -SCRATCH);
  // r14: behind the last argument, where the null stands.
  a.loadAt('rcx', 'rbx', 0);
  a.leaAt('r14', 'rbx', WORD);
  for (let i = 0; i < WORD; i += 1) a.add('r14', 'rcx');
  startGofer(a);
  becomeSentry(a);
  for (const [label, text] of STRINGS) {
    a.label(label);
    a.bytes(...Buffer.from(`${text}\0`));
  }
  return a.finish();
}

const STRINGS = [
  ['null device', '/dev/null'],
  ['gofer option', '--disable-sigusr1'],
  ['variable', `${GOFER_VARIABLE}=${GOFER_DESCRIPTOR}`],
  ['message', MESSAGE],
] as const;

/** A system call whose arguments in registers have been set. */
function call(a: Assembler, nr: number): void {
  a.movImm32('rax', nr);
  a.syscall();
}

/** Goes on at `without gofer` if there can be none. */
function startGofer(a: Assembler): void {
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
  a.jmp('with gofer');
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
  a.storeImmAt('rsp', GOFER_ENVIRONMENT, 0);
  a.movImm32('rdi', SIG_SETMASK);
  a.leaAt('rsi', 'rsp', GOFER_ENVIRONMENT); // no signal
  a.xor('rdx', 'rdx');
  a.movImm32('r10', WORD);
  call(a, SYS_RT_SIGPROCMASK);
  // First out of the way, for it may be one of 0 to 2 where the caller had closed them.
  a.loadAt('rdi', 'rsp', PAIR + 4);
  a.movLow('rdi', 'rdi');
  duplicate(a, GOFER_DESCRIPTOR + 1);
  a.mov('r13', 'rax');
  a.lea('rdi', 'null device');
  a.movImm32('rsi', O_RDWR);
  call(a, SYS_OPEN);
  a.mov('r12', 'rax');
  for (const standard of [0, 1, 2]) place(a, 'r12', standard);
  place(a, 'r13', GOFER_SOCKET);
  // Our own end too, for a host without close_range: the gofer would never see us go.
  a.movImm32('rdi', GOFER_DESCRIPTOR);
  call(a, SYS_CLOSE);
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
  a.movImm32('rdi', EXIT_FAILURE);
  call(a, SYS_EXIT);
}

function place(a: Assembler, descriptor: 'r12' | 'r13', number: number): void {
  a.mov('rdi', descriptor);
  a.movImm32('rsi', number);
  call(a, SYS_DUP2);
}

/**
 * execve, with the lists where they lie on the stack. Without a gofer the program's name is put before the arguments. With one they all
 * move down by a word, and the null behind them with them: its place is that of one more variable.
 */
function becomeSentry(a: Assembler): void {
  a.label('with gofer');
  a.leaAt('rcx', 'rbx', FIRST_ARGUMENT);
  a.label('move');
  a.cmp('rcx', 'r14');
  a.je('moved');
  a.loadAt('rax', 'rcx', 0);
  a.storeAt('rcx', -WORD, 'rax');
  a.addImm32('rcx', WORD);
  a.jmp('move');
  a.label('moved');
  a.storeImmAt('r14', -WORD, 0);
  a.lea('rax', 'variable');
  a.storeAt('r14', 0, 'rax');
  a.leaAt('rsi', 'rbx', NODE);
  a.mov('rdx', 'r14');
  a.jmp('run');

  a.label('no process');
  a.movImm32('rax', GOFER_DESCRIPTOR);
  a.label('number taken');
  a.mov('rdi', 'rax'); // or an error, of which close(2) makes nothing
  call(a, SYS_CLOSE);
  a.label('without gofer');
  a.loadAt('rax', 'rbx', NODE);
  a.storeAt('rbx', GOFER_PROGRAM, 'rax');
  a.leaAt('rsi', 'rbx', GOFER_PROGRAM);
  a.leaAt('rdx', 'r14', WORD);

  a.label('run');
  a.loadAt('rdi', 'rbx', NODE);
  call(a, SYS_EXECVE);
  a.movImm32('rdi', 2);
  a.lea('rsi', 'message');
  a.movImm32('rdx', MESSAGE.length);
  call(a, SYS_WRITE);
  a.movImm32('rdi', EXIT_FAILURE);
  call(a, SYS_EXIT);
}
