/**
 * The stand-in: a program of half a kilobyte that is, for the host, a process which runs in a sandbox. It has the process id that clients wait for and send signals to,
 * passes those on over its connection to the sentry, and ends with the status it is told. Written to dist/ by bin/build.ts.
 *
 *     stand-in plain|terminal         descriptor 3: the connection (SOCK_SEQPACKET); 4 with `terminal`: becomes the controlling terminal
 *
 *     to the sentry      signal number u32         for each signal
 *     from the sentry    exit status u32           once; the end of the connection before it is 137, as if killed
 *
 * Specification: poll(2), signalfd(2), tty_ioctl(4); Linux net/unix/af_unix.c unix_release_sock.
 */
import { ECONNRESET } from '#sentry/abi/errno.ts';
import { Assembler } from '#platform/stub/assembler.ts';

const SYS_READ = 0;
const SYS_WRITE = 1;
const SYS_CLOSE = 3;
const SYS_POLL = 7;
const SYS_RT_SIGPROCMASK = 14;
const SYS_IOCTL = 16;
const SYS_EXIT = 60;
const SYS_SIGNALFD4 = 289;

const TIOCSCTTY = 0x540e;
const SIG_SETMASK = 2;
const SIGCHLD = 17;
const SFD_CLOEXEC = 0x8_0000;
const POLLIN = 1;
const WORD = 8;
/** struct signalfd_siginfo; its first word is the signal. */
const SIGNAL_INFO_SIZE = 128;
const MESSAGE_SIZE = 4;
/** The low half of a word, of which a connection's report is one. */
const REVENTS_SHIFTED = 0xffff;

export const STAND_IN_CONNECTION = 3;
export const STAND_IN_TERMINAL = 4;
/** As of a process that SIGKILL has ended. */
export const LOST_STATUS = 137;

const SCRATCH = 512;
const ALL_SIGNALS = 0;
/** Two struct pollfd: the connection, the signals. */
const POLLED = 16;
const BUFFER = 64;

const ARGUMENT = 2 * WORD;

export function assembleStandIn(): Uint8Array {
  const a = new Assembler();
  const call = (nr: number): void => {
    a.movImm32('rax', nr);
    a.syscall();
  };
  a.mov('rbx', 'rsp');
  a.addImm32('rsp', -SCRATCH);
  a.storeImmAt('rsp', ALL_SIGNALS, -1);
  a.movImm32('rdi', SIG_SETMASK);
  a.leaAt('rsi', 'rsp', ALL_SIGNALS);
  a.xor('rdx', 'rdx');
  a.movImm32('r10', WORD);
  call(SYS_RT_SIGPROCMASK);

  a.loadAt('rax', 'rbx', ARGUMENT);
  a.loadAt('rax', 'rax', 0);
  a.andImm32('rax', 0xff);
  a.cmpImm32('rax', 't'.charCodeAt(0));
  a.jne('no terminal');
  a.movImm32('rdi', STAND_IN_TERMINAL);
  a.movImm32('rsi', TIOCSCTTY);
  a.xor('rdx', 'rdx');
  call(SYS_IOCTL);
  a.movImm32('rdi', STAND_IN_TERMINAL);
  call(SYS_CLOSE);
  a.label('no terminal');

  a.movImm32('rdi', -1 >>> 0);
  a.leaAt('rsi', 'rsp', ALL_SIGNALS);
  a.movImm32('rdx', WORD);
  a.movImm32('r10', SFD_CLOEXEC);
  call(SYS_SIGNALFD4);
  a.mov('r12', 'rax');

  a.label('wait');
  // fd in the low half, POLLIN above it, and no report yet.
  a.movImm32('rax', POLLIN);
  for (let i = 0; i < 32; i += 1) a.add('rax', 'rax');
  a.leaAt('rcx', 'rax', STAND_IN_CONNECTION);
  a.storeAt('rsp', POLLED, 'rcx');
  a.add('rax', 'r12');
  a.storeAt('rsp', POLLED + WORD, 'rax');
  a.leaAt('rdi', 'rsp', POLLED);
  a.movImm32('rsi', 2);
  a.movImm32('rdx', -1 >>> 0);
  call(SYS_POLL);
  a.loadAt('rax', 'rsp', POLLED + 6);
  a.andImm32('rax', REVENTS_SHIFTED);
  a.test('rax', 'rax');
  a.jne('told');
  a.loadAt('rax', 'rsp', POLLED + WORD + 6);
  a.andImm32('rax', REVENTS_SHIFTED);
  a.test('rax', 'rax');
  a.je('wait');

  a.mov('rdi', 'r12');
  a.leaAt('rsi', 'rsp', BUFFER);
  a.movImm32('rdx', SIGNAL_INFO_SIZE);
  call(SYS_READ);
  a.loadAt('rax', 'rsp', BUFFER);
  a.movLow('rax', 'rax');
  a.cmpImm32('rax', SIGCHLD);
  a.je('wait');
  a.movImm32('rdi', STAND_IN_CONNECTION);
  a.leaAt('rsi', 'rsp', BUFFER);
  a.movImm32('rdx', MESSAGE_SIZE);
  call(SYS_WRITE);
  a.jmp('wait');

  a.label('told');
  a.movImm32('rdi', STAND_IN_CONNECTION);
  a.leaAt('rsi', 'rsp', BUFFER);
  a.movImm32('rdx', MESSAGE_SIZE);
  call(SYS_READ);
  // The sentry closed its end without having read a signal: told once, before the status that came first.
  a.cmpImm32('rax', -ECONNRESET);
  a.je('told');
  a.movImm32('rdi', LOST_STATUS);
  a.cmpImm32('rax', MESSAGE_SIZE);
  a.jne('leave');
  a.loadAt('rdi', 'rsp', BUFFER);
  a.andImm32('rdi', 0xff);
  a.label('leave');
  call(SYS_EXIT);
  return a.finish();
}
