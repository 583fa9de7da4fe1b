/**
 * The machine code of the stub: the little that runs in guest processes besides the guest.
 *
 * - `spawn`: called once in the sentry as a C function `long spawn(long cloneFlags, long parentPid)`. In the parent it returns the
 *   child's pid. The child never returns: it makes sure that it dies with its parent and then sleeps until the parent seizes it.
 * - `inject`: `syscall; int3`. The tracer loads registers, points rip here, and gets a SIGTRAP stop with the result in rax.
 * - `batch`: system calls from a list in memory, one after the other until one fails, then int3. rbx points to the list, rbp behind it; an
 *   entry is seven words: number and six arguments.
 * - `exchange`: an atomic compare-and-exchange on guest memory, then int3.
 * - `bell`: the loop of the bell process (see platform/ptrace/bell.ts): poll, trap, again. rsp points to a struct pollfd.
 *
 * None of it uses a stack, and only `batch` reads memory that a guest might write (its caller sees to it that no guest thread can), so that all guest threads can share it and no guest can alter what it does. A guest
 * that jumps here gains nothing: its system calls are intercepted as anywhere else, and an int3 is an ordinary SIGTRAP.
 * Specification: clone(2), prctl(2), poll(2) and the x86-64 system call convention.
 */
import { Assembler } from './assembler.ts';

const SYS_POLL = 7;
const SYS_PAUSE = 34;
const SYS_CLONE = 56;
const SYS_GETPPID = 110;
const SYS_PRCTL = 157;
const SYS_EXIT_GROUP = 231;
const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;

export interface StubCode {
  readonly bytes: Uint8Array;
  /** Offsets of the routines above within the page. */
  readonly spawn: number;
  readonly inject: number;
  readonly batch: number;
  readonly exchange: number;
  readonly bell: number;
  /** Offset of the zero-terminated process name shown by the host's ps. */
  readonly processName: number;
  /** Offset of a capset(2) header followed by an empty capability set. */
  readonly noCapabilities: number;
}

function assembleSpawn(a: Assembler): void {
  a.label('spawn');
  a.mov('r9', 'rsi'); // parentPid; clone ignores r9 and preserves it
  a.xor('rsi', 'rsi');
  a.xor('rdx', 'rdx');
  a.xor('r10', 'r10');
  a.xor('r8', 'r8');
  a.movImm32('rax', SYS_CLONE);
  a.syscall();
  a.test('rax', 'rax');
  a.je('child');
  a.ret();

  a.label('child');
  a.movImm32('rdi', PR_SET_PDEATHSIG);
  a.movImm32('rsi', SIGKILL);
  a.movImm32('rax', SYS_PRCTL);
  a.syscall();
  // The parent may have died before the line above; then nobody would ever seize us.
  a.movImm32('rax', SYS_GETPPID);
  a.syscall();
  a.cmp('rax', 'r9');
  a.jne('orphan');
  a.label('sleep');
  a.movImm32('rax', SYS_PAUSE);
  a.syscall();
  a.jmp('sleep');

  a.label('orphan');
  a.movImm32('rdi', 1);
  a.movImm32('rax', SYS_EXIT_GROUP);
  a.syscall();
}

/** Bytes of one entry of a batch. */
export const BATCH_ENTRY_BYTES = 56;

function assembleBatch(a: Assembler): void {
  a.label('batch');
  for (const [index, register] of (['rax', 'rdi', 'rsi', 'rdx', 'r10', 'r8', 'r9'] as const).entries())
    a.load64FromRbx(register, index * 8);
  a.syscall();
  a.test('rax', 'rax');
  a.js('batchEnd');
  a.addToRbx(BATCH_ENTRY_BYTES);
  a.cmp('rbx', 'rbp');
  a.jne('batch');
  a.label('batchEnd');
  a.int3();
}

function assembleBell(a: Assembler): void {
  a.label('bell');
  a.mov('rdi', 'rsp');
  a.movImm32('rsi', 1); // one pollfd
  a.movImm32('rdx', 0xffff_ffff); // int timeout = -1: for ever
  a.movImm32('rax', SYS_POLL);
  a.syscall();
  a.int3();
  a.jmp('bell');
}

export function assembleStub(): StubCode {
  const a = new Assembler();
  assembleSpawn(a);
  a.align(64);
  a.label('inject');
  a.syscall();
  a.int3();
  a.align(64);
  assembleBatch(a);
  a.align(64);
  a.label('exchange');
  a.lockCompareExchange32();
  a.int3();
  a.align(64);
  assembleBell(a);
  a.align(64);
  a.label('processName');
  for (const c of 'tsvisor-guest\0') a.bytes(c.charCodeAt(0));
  a.align(64);
  a.label('noCapabilities');
  a.u32(0x2008_0522); // _LINUX_CAPABILITY_VERSION_3
  for (let i = 0; i < 7; i += 1) a.u32(0); // pid 0: the caller; two sets of three empty words
  return {
    bytes: a.finish(),
    spawn: a.offsetOf('spawn'),
    inject: a.offsetOf('inject'),
    batch: a.offsetOf('batch'),
    exchange: a.offsetOf('exchange'),
    bell: a.offsetOf('bell'),
    processName: a.offsetOf('processName'),
    noCapabilities: a.offsetOf('noCapabilities'),
  };
}
