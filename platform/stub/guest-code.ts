/**
 * The stub of the seccomp platform: the machine code in guest processes that takes a thread out of guest code and back.
 *
 * - `launch`: called once in the sentry as a C function `long launch(long cloneFlags, long slot)`. The child works through the
 *   command list in the slot at the sentry's address, then goes on in the stub page it has mapped meanwhile (`settle`) with the list's
 *   second part at the slot's own place, and raises a trap, so that the host writes the first signal frame.
 * - `handler`: the signal handler, for trapped calls, faults and interruptions. The host has stored all registers in a frame on the
 *   thread's alternate stack, which ends the thread's slot; the slot is found from rsp. It stores the segment bases, rings
 *   the doorbell with (kind, frame, result) and does what the reply says:
 *       0  return to the guest by rt_sigreturn
 *       1  work through the command list, then ring again with KIND_DONE
 *       2  the same, but return to the guest if nothing failed
 *       5  sleep: wait in the slot for the next reply
 *       3  fork    4  spawn: ring again; the child rings with KIND_STARTED, unless a forked one is told to go (`GO`)
 *   The reply also tells where the frame lies, above its lowest byte: rsp and rbx come from there and not from whoever rang, who may have been
 *   a guest with registers of its own choice.
 * - `exchange`: an atomic compare-and-exchange on guest memory, then a trap.
 *
 * The doorbell is a system call that no Linux has; the filter hands it to the sentry. None of this is trusted by the sentry, nor
 * secret: a guest that jumps here can do what the filter allows to these pages, see platform/bpf/guest-filter.ts. Nothing is pushed:
 * rsp is the frame's address throughout, and a forked child, which has no slot until it maps one, works in registers alone.
 */
import { Assembler } from './assembler.ts';
import type { Register } from './assembler.ts';
import { UNTRACED_FORK_FLAGS, UNTRACED_SPAWN_FLAGS } from './clone-flags.ts';
import * as slot from './context-layout.ts';
import { MADV_DONTFORK, MAP_SLOT, PROT_READ_WRITE, SYS_CLONE, SYS_MADVISE, SYS_MMAP, SYS_PRCTL } from './host-syscalls.ts';
import { CONTEXT_BASE, PAGE_SIZE, STUB_BASE, STUB_SIZE } from './layout.ts';
import { assembleTrampoline } from './trampoline.ts';
import type { Trampoline } from './trampoline.ts';

/** Where the trampoline of patched call sites lies in the stub. */
export const TRAMPOLINE_OFFSET = PAGE_SIZE;
/** The doorbell's system call number. */
export const DOORBELL = 0x5000;
/** Kinds of ringing above the numbers of signals. */
export const KIND_DONE = 0x100;
export const KIND_STARTED = 0x101;

export const Reply = { Return: 0, Commands: 1, CommandsThenReturn: 2, Fork: 3, Spawn: 4, Sleep: 5 } as const;

const SYS_RT_SIGRETURN = 15;
const SYS_GETPPID = 110;
const SYS_ARCH_PRCTL = 158;
const SYS_FUTEX = 202;
const SYS_EXIT_GROUP = 231;
const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;
const ARCH_SET_GS = 0x1001;
const ARCH_SET_FS = 0x1002;
const ARCH_GET_FS = 0x1003;
const ARCH_GET_GS = 0x1004;

export interface GuestCode {
  readonly bytes: Uint8Array;
  /** Offsets within the stub. */
  readonly launch: number;
  readonly handler: number;
  readonly commands: number;
  /** Behind the one `syscall` that rings. */
  readonly doorbell: number;
  readonly exchange: number;
  readonly processName: number;
  /** Its offsets count from TRAMPOLINE_OFFSET. */
  readonly trampoline: Trampoline;
  readonly noCapabilities: number;
}

function call(a: Assembler, nr: number): void {
  a.movImm32('rax', nr);
  a.syscall();
}

function assembleLaunch(a: Assembler): void {
  a.label('launch');
  a.mov('r9', 'rsi'); // clone ignores r9 and preserves it
  a.xor('rsi', 'rsi');
  a.xor('rdx', 'rdx');
  a.xor('r10', 'r10');
  a.xor('r8', 'r8');
  call(a, SYS_CLONE);
  a.test('rax', 'rax');
  a.je('launched');
  a.ret();

  a.label('launched');
  a.mov('rbx', 'r9');
  a.loadAt('rbp', 'rbx', slot.FORK_PARENT);
  dieWithParent(a);
  a.leaAt('r12', 'rbx', slot.COMMANDS);
  a.lea('r14', 'prepared');
  a.jmp('commands');
  a.label('prepared');
  a.js('dead');
  // From the sentry's address of the slot to its own, behind the list's end.
  a.sub('r12', 'rbx');
  a.movImm64('rbx', CONTEXT_BASE);
  a.add('r12', 'rbx');
  a.addImm32('r12', slot.COMMAND_BYTES);
  a.movImm64('rax', STUB_BASE);
  a.addOffset('rax', 'settle');
  a.jmpRegister('rax');

  a.label('settle');
  a.lea('r14', 'settled');
  a.jmp('commands');
  a.label('settled');
  a.js('dead');
  a.int3();
  a.jmp('dead');
}

/** Works through the list at r12 and goes to r14 with rax 0, or the error of the call at r12, and the sign flag set accordingly. */
function assembleCommands(a: Assembler): void {
  a.label('commands');
  a.loadAt('rax', 'r12', 0);
  a.movLow('rax', 'rax');
  a.movImm32('rcx', slot.COMMANDS_END);
  a.cmp('rax', 'rcx');
  a.je('commandsEnd');
  for (const [index, register] of (['rdi', 'rsi', 'rdx', 'r10', 'r8', 'r9'] as const).entries()) a.loadAt(register, 'r12', 8 + index * 8);
  a.syscall();
  a.storeAt('r12', 56, 'rax');
  a.test('rax', 'rax');
  a.js('commandFailed');
  a.label('nextCommand');
  a.addImm32('r12', slot.COMMAND_BYTES);
  a.jmp('commands');
  a.label('commandFailed');
  a.loadAt('rcx', 'r12', 0);
  a.movImm64('rdx', 0x1_0000_0000);
  a.cmp('rcx', 'rdx');
  a.jae('nextCommand');
  a.test('rax', 'rax');
  a.jmpRegister('r14');
  a.label('commandsEnd');
  a.xor('rax', 'rax');
  a.test('rax', 'rax');
  a.jmpRegister('r14');
}

function assembleHandler(a: Assembler, hasSegmentInstructions: boolean): void {
  a.label('handler');
  a.mov('rbx', 'rsp');
  a.andImm32('rbx', -slot.SLOT_SIZE);
  a.mov('r15', 'rdi');
  storeBase(a, hasSegmentInstructions, 'rdfs', ARCH_GET_FS, slot.FS_BASE);
  storeBase(a, hasSegmentInstructions, 'rdgs', ARCH_GET_GS, slot.GS_BASE);
  a.mov('rdi', 'r15');
  a.xor('rdx', 'rdx');

  // rdi: kind, rdx: result
  a.label('ring');
  a.mov('rsi', 'rsp');
  call(a, DOORBELL);
  a.label('replied');
  a.mov('rsp', 'rax');
  a.bytes(0x48, 0xc1, 0xec, 8); // shr rsp, 8
  a.bytes(0x0f, 0xb6, 0xc0); // movzx eax, al
  a.mov('rbx', 'rsp');
  a.andImm32('rbx', -slot.SLOT_SIZE);
  a.label('told');
  a.cmpImm32('rax', Reply.Fork);
  a.je('fork');
  a.ja('spawn'); // errors too: they are large unsigned numbers
  a.test('rax', 'rax');
  a.je('return');
  a.mov('r15', 'rax');
  a.leaAt('r12', 'rbx', slot.COMMANDS);
  a.lea('r14', 'commandsDone');
  a.jmp('commands');
  a.label('commandsDone');
  a.js('ringDone');
  a.cmpImm32('r15', Reply.CommandsThenReturn);
  a.je('return');
  a.label('ringDone');
  a.mov('rdx', 'rax');
  a.movImm32('rdi', KIND_DONE);
  a.jmp('ring');

  a.label('return');
  a.compareAt('rbx', slot.LOAD_BASES, 0);
  a.je('leave');
  a.storeImmAt('rbx', slot.LOAD_BASES, 0);
  loadBase(a, hasSegmentInstructions, 'wrfs', ARCH_SET_FS, slot.FS_BASE);
  loadBase(a, hasSegmentInstructions, 'wrgs', ARCH_SET_GS, slot.GS_BASE);
  a.label('leave');
  a.addImm32('rsp', 8); // as if the handler had returned
  call(a, SYS_RT_SIGRETURN);
  a.jmp('dead');
}

function storeBase(a: Assembler, direct: boolean, operation: 'rdfs' | 'rdgs', code: number, offset: number): void {
  if (direct) {
    a.segmentBase(operation, 'rax');
    a.storeAt('rbx', offset, 'rax');
    return;
  }
  a.movImm32('rdi', code);
  a.leaAt('rsi', 'rbx', offset);
  call(a, SYS_ARCH_PRCTL);
}

function loadBase(a: Assembler, direct: boolean, operation: 'wrfs' | 'wrgs', code: number, offset: number): void {
  if (direct) {
    a.loadAt('rax', 'rbx', offset);
    a.segmentBase(operation, 'rax');
    return;
  }
  a.movImm32('rdi', code);
  a.loadAt('rsi', 'rbx', offset);
  call(a, SYS_ARCH_PRCTL);
}

function assembleClone(a: Assembler, flags: number, child: string): void {
  a.movImm32('rdi', flags);
  for (const register of ['rsi', 'rdx', 'r10', 'r8', 'r9'] as const) a.xor(register, register);
  call(a, SYS_CLONE);
  a.test('rax', 'rax');
  a.je(child);
  a.mov('rdx', 'rax');
  a.movImm32('rdi', KIND_DONE);
  a.jmp('ring');
}

function assembleFork(a: Assembler): void {
  a.label('fork');
  a.loadAt('r12', 'rbx', slot.FORK_OFFSET);
  a.loadAt('r13', 'rbx', slot.FORK_DESCRIPTOR);
  a.loadAt('rbp', 'rbx', slot.FORK_PARENT);
  assembleClone(a, UNTRACED_FORK_FLAGS, 'forked');

  // The slot of the parent is not inherited: rsp and rbx point to where the own one goes.
  a.label('forked');
  // Before anything that waits for the sentry: with the shared descriptor table the listener outlives it, and so would the wait.
  dieWithParent(a);
  mapOwnSlot(a, 'r13', 'r12');
  a.cmp('rax', 'rbx');
  a.jne('dead');
  a.mov('rdi', 'rbx');
  a.movImm32('rsi', slot.SLOT_SIZE);
  a.movImm32('rdx', MADV_DONTFORK);
  call(a, SYS_MADVISE);
  a.compareAt('rbx', slot.GO, 0);
  a.je('started');
  a.storeImmAt('rbx', slot.GO, 0);
  a.jmp('return');
  a.label('started');
  a.xor('rdx', 'rdx');
  a.movImm32('rdi', KIND_STARTED);
  a.jmp('ring');
}

/** rbp: the process that has to be the parent. */
function dieWithParent(a: Assembler): void {
  a.movImm32('rdi', PR_SET_PDEATHSIG);
  a.movImm32('rsi', SIGKILL);
  call(a, SYS_PRCTL);
  // It may have died before the line above; then nobody would answer.
  call(a, SYS_GETPPID);
  a.cmp('rax', 'rbp');
  a.jne('dead');
}

function mapOwnSlot(a: Assembler, descriptor: Register, offset: Register): void {
  a.mov('rdi', 'rbx');
  a.movImm32('rsi', slot.SLOT_SIZE);
  a.movImm32('rdx', PROT_READ_WRITE);
  a.movImm32('r10', MAP_SLOT);
  a.mov('r8', descriptor);
  a.mov('r9', offset);
  call(a, SYS_MMAP);
}

function assembleSpawn(a: Assembler): void {
  a.label('spawn');
  a.cmpImm32('rax', Reply.Sleep);
  a.je('sleep');
  a.cmpImm32('rax', Reply.Spawn);
  a.jne('dead');
  a.loadAt('r12', 'rbx', slot.SPAWN_SLOT);
  a.loadAt('r13', 'rbx', slot.SPAWN_FRAME);
  assembleClone(a, UNTRACED_SPAWN_FLAGS, 'spawned');
  a.label('spawned');
  a.mov('rbx', 'r12');
  a.mov('rsp', 'r13');
  a.jmp('started');
}

/** Waits for the next reply in the slot. */
function assembleSleep(a: Assembler): void {
  a.label('sleep');
  a.leaAt('rdi', 'rbx', slot.WAKE);
  for (const register of ['rsi', 'rdx', 'r10', 'r8', 'r9'] as const) a.xor(register, register);
  call(a, SYS_FUTEX); // FUTEX_WAIT for anything but 0
  a.loadAt('rax', 'rbx', slot.WAKE);
  a.test('rax', 'rax');
  a.je('sleep');
  a.storeImmAt('rbx', slot.WAKE, 0);
  a.addImm32('rax', -1);
  a.jmp('told');
}

/** `hasSegmentInstructions`: the host lets user code use rdfsbase and its like. */
export function assembleGuestCode(hasSegmentInstructions: boolean): GuestCode {
  const a = new Assembler();
  assembleLaunch(a);
  a.align(64);
  assembleHandler(a, hasSegmentInstructions);
  assembleCommands(a);
  assembleFork(a);
  assembleSpawn(a);
  assembleSleep(a);
  a.label('dead');
  a.movImm32('rdi', 1);
  call(a, SYS_EXIT_GROUP);
  a.bytes(0x0f, 0x0b); // ud2
  a.align(64);
  a.label('exchange');
  a.lockCompareExchange32();
  a.int3();
  a.align(64);
  a.label('processName');
  for (const c of 'tsvisor-guest\0') a.bytes(c.charCodeAt(0));
  a.align(64);
  a.label('noCapabilities');
  a.u32(0x2008_0522); // _LINUX_CAPABILITY_VERSION_3
  for (let i = 0; i < 7; i += 1) a.u32(0); // pid 0: the caller; two sets of three empty words
  if (a.offset > TRAMPOLINE_OFFSET) throw new Error('the stub does not fit its first page');
  a.align(TRAMPOLINE_OFFSET);
  const trampoline = assembleTrampoline();
  a.bytes(...trampoline.bytes);
  a.align(STUB_SIZE);
  const bytes = a.finish();
  if (bytes.length !== STUB_SIZE) throw new Error('the stub does not fit its pages');
  return {
    bytes,
    launch: a.offsetOf('launch'),
    handler: a.offsetOf('handler'),
    commands: a.offsetOf('commands'),
    doorbell: a.offsetOf('replied'),
    exchange: a.offsetOf('exchange'),
    processName: a.offsetOf('processName'),
    trampoline,
    noCapabilities: a.offsetOf('noCapabilities'),
  };
}
