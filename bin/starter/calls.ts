/** System calls of the starter: numbers, constants, and the few instructions that several of its parts need. */
import type { Assembler, Register } from '#platform/stub/assembler.ts';
import { WORD } from './frame.ts';

export const SYS_READ = 0;
export const SYS_WRITE = 1;
export const SYS_OPEN = 2;
export const SYS_CLOSE = 3;
export const SYS_RT_SIGACTION = 13;
export const SYS_RT_SIGPROCMASK = 14;
export const SYS_DUP2 = 33;
export const SYS_NANOSLEEP = 35;
export const SYS_GETPID = 39;
export const SYS_SOCKETPAIR = 53;
export const SYS_FORK = 57;
export const SYS_VFORK = 58;
export const SYS_EXECVE = 59;
export const SYS_EXIT = 60;
export const SYS_WAIT4 = 61;
export const SYS_KILL = 62;
export const SYS_FCNTL = 72;
export const SYS_RMDIR = 84;
export const SYS_UNLINK = 87;
export const SYS_GETPPID = 110;
export const SYS_SETSID = 112;
export const SYS_RT_SIGTIMEDWAIT = 128;
export const SYS_PRCTL = 157;
export const SYS_PIPE2 = 293;
export const SYS_CLOSE_RANGE = 436;

export const AF_UNIX = 1;
export const SOCK_SEQPACKET_CLOEXEC = 0x8_0005;
export const F_DUPFD = 0;
export const O_RDWR = 2;
export const O_CLOEXEC = 0x8_0000;
export const SIG_SETMASK = 2;
export const SIGKILL = 9;
export const SIGCHLD = 17;
export const SIGCONT = 18;
export const SIGSTOP = 19;
export const SI_KERNEL = 0x80;
export const PR_SET_PDEATHSIG = 1;
export const WNOHANG_WUNTRACED = 3;
export const EBUSY = 16;
export const EXIT_FAILURE = 125;
export const LOW_BYTE = 0xff;

/** A system call whose arguments in registers have been set. */
export function call(a: Assembler, nr: number): void {
  a.movImm32('rax', nr);
  a.syscall();
}

export function exit(a: Assembler, status: number): void {
  a.movImm32('rdi', status);
  call(a, SYS_EXIT);
}

/** The byte at `base` + `displacement`. Seven more are read: callers know that they are there. */
export function loadByte(a: Assembler, to: Register, base: Register, displacement: number): void {
  a.loadAt(to, base, displacement);
  a.andImm32(to, LOW_BYTE);
}

export function setSignalMask(a: Assembler, mask: number, old: number | null): void {
  a.movImm32('rdi', SIG_SETMASK);
  a.leaAt('rsi', 'rsp', mask);
  if (old === null) a.xor('rdx', 'rdx');
  else a.leaAt('rdx', 'rsp', old);
  a.movImm32('r10', WORD);
  call(a, SYS_RT_SIGPROCMASK);
}

/** fcntl(rdi, F_DUPFD, atLeast) */
export function duplicate(a: Assembler, atLeast: number): void {
  a.movImm32('rsi', F_DUPFD);
  a.movImm32('rdx', atLeast);
  call(a, SYS_FCNTL);
}
