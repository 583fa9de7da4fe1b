/**
 * The signal handler of the sentry process: writes the signal's number, one byte, to a pipe, and nothing else.
 *
 * It is machine code because a handler in JavaScript would run only when the event loop does, which is never while the kernel loop
 * blocks in wait4. It may run on any thread at any point: it uses the stack, caller-saved registers and one system call, and leaves
 * errno alone. When the pipe is full the byte is dropped; the reader then has 64 KiB of signals to look at already.
 */
import { Assembler } from './assembler.ts';

const SYS_WRITE = 1;

/** `void handler(int signo)` that writes to `fd`. */
export function assembleSignalHandler(fd: number): Uint8Array {
  const a = new Assembler();
  a.push('rdi'); // signo: its lowest byte is at [rsp]
  a.mov('rsi', 'rsp');
  a.movImm32('rdi', fd);
  a.movImm32('rdx', 1);
  a.movImm32('rax', SYS_WRITE);
  a.syscall();
  a.pop('rdi');
  a.ret();
  return a.finish();
}
