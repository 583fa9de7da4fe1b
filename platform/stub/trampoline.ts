/**
 * The trampoline: what a patched call site jumps to (by way of its thunk) instead of entering the host kernel.
 *
 * In: the registers of a system call, with rax the number and r11 the address behind the site's `syscall`. Out: as after the real one, that is
 * rax the result, rcx the return address, r11 the flags, everything else unchanged. No stack, no vector registers, and apart from rcx and
 * r11 nothing is changed before it has been saved in the thread's slot, which gs points to.
 *
 *     answer   → calls without arguments whose result the sentry has said will stay: from the slot, else `entry`
 *     entry    → is the sentry looking? No: `retreat` to the site's own syscall instruction, whose two bytes the patch left in place.
 *     hot      → number, arguments, return address to the slot; bytes the call reads to COPY_IN; touch what its reply may fill
 *     post     → state = posted; wait: spin, then take the call back and retreat, or sleep over it when the sentry has it already
 *     answered → commands, bytes to the guest's buffer, result
 *
 * Every stretch is known to the platform by its offsets (`Trampoline`): a fault or an interruption in it is undone or completed there
 * (platform/seccomp/patching/rescue.ts), so that a guest never sees an instruction pointer in here.
 * Specification: the x86-64 system call convention; futex(2).
 */
import { COMMANDS, COMMAND_BYTES, COPY_IN, COPY_OUT } from './context-layout.ts';
import { SlotAssembler } from './slot-assembler.ts';
import * as slot from './trampoline-layout.ts';
import { CallState, TransferWord } from './trampoline-layout.ts';

const SYS_FUTEX = 202;
/** Results from here on are errors. */
const FIRST_ERROR = -4095;
const ARGUMENT_REGISTERS = ['rdi', 'rsi', 'rdx', 'r10', 'r8', 'r9'] as const;
const FLAG_OVERFLOW_BIT = 11;
/** Bits that are always set in the flags of a user program: 1 and the interrupt flag. */
const FLAGS_ALWAYS = 0x202;
/** After a comparison that found equality. */
const USUAL_FLAGS = 0x246;

export interface Trampoline {
  readonly bytes: Uint8Array;
  /** For calls whose answer may lie in the slot; goes on at `entry` if it does not. */
  readonly answer: number;
  /** The two instructions from which on the call counts as answered, and from which on rcx instead of r11 tells where it came from. */
  readonly answering: number;
  readonly answeringInRcx: number;
  readonly entry: number;
  /** From here on number, arguments and return address are in the slot, and registers may differ from them. */
  readonly saved: number;
  /** The call may have been posted from here on… */
  readonly posted: number;
  /** …and answered from here on. */
  readonly answered: number;
  /** Ordered commands are under way between these two. */
  readonly commands: number;
  readonly commandsEnd: number;
  /** Behind the traps that tell of a failed command and of the end of interrupted ones: where the instruction pointer is then. */
  readonly failed: number;
  readonly interrupted: number;
  /** The way back to the site's own instruction. */
  readonly retreat: number;
  readonly end: number;
}

/** Back to the site's own instruction unless the word has this value. Changes no flags. */
function assembleGate(a: SlotAssembler, word: number, value: number): void {
  a.loadSlot32('rcx', word);
  a.bytes(0x8d, 0x89); // lea ecx, [rcx - value]
  a.u32(-value);
  a.skipIfRcxZero(6);
  a.bytes(0x49, 0x8d, 0x4b, 0xfe); // lea rcx, [r11 - 2]
  a.bytes(0xff, 0xe1); // jmp rcx
}

/** Linux: r11 would hold the flags of this very moment. Reading them takes a register that holds something here. */
function assembleAnswer(a: SlotAssembler): void {
  a.label('answer');
  assembleGate(a, slot.ANSWERS_VALID, slot.ANSWERS_MAGIC);
  a.bytes(0x65, 0x8b, 0x0c, 0xc5); // mov ecx, gs:[ANSWERS + rax × 8]
  a.u32(slot.ANSWERS);
  a.skipIfRcxZero(14);
  a.label('answering');
  a.bytes(0x8d, 0x41, 0xff); // lea eax, [rcx - 1]
  a.mov('rcx', 'r11');
  a.label('answeringInRcx');
  a.movImm32('r11', USUAL_FLAGS);
  a.bytes(0xff, 0xe1); // jmp rcx
}

function assembleEntry(a: SlotAssembler, table: number): void {
  a.label('entry');
  assembleGate(a, slot.HOT, slot.HOT_MAGIC);
  for (const [i, register] of ARGUMENT_REGISTERS.entries()) a.store64(slot.ARGUMENTS + 8 * i, register);
  a.store64(slot.RETURN_ADDRESS, 'r11');
  a.store32(slot.NUMBER, 'rax');
  a.label('saved');
  a.saveFlags();
  a.store32(slot.FLAGS, 'rax');
  a.loadSlot32('rax', slot.NUMBER);
  a.storeImm32(slot.CARRIED_BYTES, 0);
  a.storeImm32(slot.WRITABLE_BYTES, 0);
  a.cmp32('rax', slot.TRANSFER_ENTRIES);
  a.jae('post');
  a.bytes(0x4c, 0x8b, 0x1c, 0xc5); // mov r11, [table + rax × 8]
  a.u32(table);
  a.test('r11', 'r11');
  a.je('post');
}

/** The string instructions below run upwards. A program that makes calls with the direction flag set is served the slow way. */
function assembleDirectionCheck(a: SlotAssembler): void {
  a.load64('rsi', slot.SELF);
  a.mov('rdx', 'rsi');
  a.bytes(0xac); // lodsb
  a.cmp('rdx', 'rsi');
  a.ja('retreat');
}

/** rsi: the address, rdi: the length that the transfer word in ecx stands for; `none` when there is nothing or too much. */
function assembleExtent(a: SlotAssembler, name: string, none: string): void {
  a.mov32('rdi', 'rcx');
  a.shr32('rdi', 8);
  a.mov32('rdx', 'rcx');
  a.and32('rdx', 3 << 3);
  a.cmp32('rdx', TransferWord.Fixed << 3);
  a.je(`${name}Sized`);
  a.mov32('rdx', 'rcx');
  a.shr32('rdx', 5);
  a.and32('rdx', 7);
  a.loadIndexed64('rdx', 'rdx', slot.ARGUMENTS);
  a.cmpImm64('rdx', slot.CARRIED_MAX);
  a.ja(none);
  a.bytes(0x48, 0x0f, 0xaf, 0xfa); // imul rdi, rdx
  a.label(`${name}Sized`);
  a.test('rdi', 'rdi');
  a.je(none);
  a.cmpImm64('rdi', slot.CARRIED_MAX);
  a.ja(none);
}

/** rsi: the address that the transfer word in ecx stands for; to `none` when it is NULL, as optional arguments are. */
function loadAddress(a: SlotAssembler, none: string): void {
  a.mov32('rdx', 'rcx');
  a.and32('rdx', 7);
  a.loadIndexed64('rsi', 'rdx', slot.ARGUMENTS);
  a.test('rsi', 'rsi');
  a.je(none);
}

function assembleCopyIn(a: SlotAssembler): void {
  a.mov32('rcx', 'r11');
  a.test('rcx', 'rcx');
  a.je('carried');
  loadAddress(a, 'carried');
  a.mov32('rdx', 'rcx');
  a.and32('rdx', 3 << 3);
  a.cmp32('rdx', TransferWord.Path << 3);
  a.je('path');
  assembleExtent(a, 'in', 'carried');
  a.storeImm32(slot.CARRIED_STRING, 0);
  a.mov('rcx', 'rdi');
  a.mov('rdx', 'rdi');
  a.store64(slot.CARRIED_ADDRESS, 'rsi');
  a.load64('rdi', slot.SELF);
  a.addImm64('rdi', COPY_IN);
  a.copyBytes();
  a.store32(slot.CARRIED_BYTES, 'rdx');
  a.jmp('carried');

  a.label('path');
  a.load64('rdi', slot.SELF);
  a.xor('rcx', 'rcx');
  a.label('pathByte');
  a.bytes(0x0f, 0xb6, 0x14, 0x0e); // movzx edx, byte [rsi + rcx]
  a.bytes(0x88, 0x94, 0x0f); // mov [rdi + rcx + COPY_IN], dl
  a.u32(COPY_IN);
  a.bytes(0xff, 0xc1); // inc ecx
  a.bytes(0x84, 0xd2); // test dl, dl
  a.je('pathEnd');
  a.cmp32('rcx', slot.CARRIED_MAX);
  a.jne('pathByte');
  a.jmp('carried');
  a.label('pathEnd');
  a.storeImm32(slot.CARRIED_STRING, 1);
  a.store64(slot.CARRIED_ADDRESS, 'rsi');
  a.store32(slot.CARRIED_BYTES, 'rcx');
  a.label('carried');
}

/** Makes sure that the memory the reply may fill can be written, by writing what is there: at most two pages. */
function assembleTouch(a: SlotAssembler): void {
  a.upperHalf('r11');
  a.je('arranged');
  a.mov32('rcx', 'r11');
  loadAddress(a, 'arranged');
  assembleExtent(a, 'out', 'arranged');
  a.bytes(0xf0, 0x80, 0x0e, 0x00); // lock or byte [rsi], 0
  a.bytes(0x48, 0x8d, 0x54, 0x3e, 0xff); // lea rdx, [rsi + rdi - 1]
  a.bytes(0xf0, 0x80, 0x0a, 0x00); // lock or byte [rdx], 0
  a.store64(slot.WRITABLE_ADDRESS, 'rsi');
  a.store32(slot.WRITABLE_BYTES, 'rdi');
  a.label('arranged');
  restore(a, 3);
}

function restore(a: SlotAssembler, count: number): void {
  for (const [i, register] of ARGUMENT_REGISTERS.slice(0, count).entries()) a.load64(register, slot.ARGUMENTS + 8 * i);
}

function assemblePost(a: SlotAssembler): void {
  a.label('post');
  a.movImm32('rax', CallState.Posted);
  a.exchange32(slot.STATE, 'rax');
  a.label('posted');
  // The exchange is a barrier: either the sentry sees the call after having cleared HOT, or this sees HOT cleared.
  a.compareSlotImm32(slot.HOT, slot.HOT_MAGIC);
  a.jne('takeBack');
  a.loadSlot32('rcx', slot.POSTED_SPINS);
  a.label('spin');
  a.loadSlot32('rax', slot.STATE);
  a.test('rax', 'rax');
  a.je('answered');
  a.cmp32('rax', CallState.Posted);
  a.jne('taken');
  a.pause();
  a.dec32('rcx');
  a.jne('spin');
  a.label('takeBack');
  a.movImm32('rax', CallState.Posted);
  a.movImm32('rcx', CallState.Withdrawn);
  a.compareExchange32(slot.STATE, 'rcx');
  a.je('retreat');

  a.label('taken');
  a.loadSlot32('rcx', slot.TAKEN_SPINS);
  a.label('takenSpin');
  a.loadSlot32('rax', slot.STATE);
  a.test('rax', 'rax');
  a.je('answered');
  a.cmp32('rax', CallState.Sleep);
  a.je('park');
  a.pause();
  a.dec32('rcx');
  a.jne('takenSpin');
  a.label('park');
  a.movImm32('rcx', CallState.Parked);
  a.compareExchange32(slot.STATE, 'rcx');
  a.jne('taken');
  a.load64('rdi', slot.SELF); // the state word is the first
  a.xor('rsi', 'rsi'); // FUTEX_WAIT
  a.movImm32('rdx', CallState.Parked);
  a.xor('r10', 'r10');
  a.label('sleep');
  a.movImm32('rax', SYS_FUTEX);
  a.syscall();
  a.compareSlotImm32(slot.STATE, CallState.Parked);
  a.je('sleep');
  restore(a, 4);
}

function assembleAnswered(a: SlotAssembler): void {
  a.label('answered');
  a.compareSlotImm32(slot.ORDERED_BYTES, 0);
  a.jne('commands');
  a.label('ordered');
  a.loadSlot32('rcx', slot.OUT_BYTES);
  a.test('rcx', 'rcx');
  a.je('finish');
  a.load64('rdi', slot.OUT_ADDRESS);
  a.load64('rsi', slot.SELF);
  a.addImm64('rsi', COPY_OUT);
  a.copyBytes();
  restore(a, 2);
  a.label('finish');
  a.loadSlot32('rax', slot.FLAGS);
  a.bytes(0x0f, 0xb7, 0xc0); // movzx eax, ax
  a.mov32('r11', 'rax');
  a.shr32('r11', 8);
  a.mov32('rcx', 'rax');
  a.and32('rcx', 1);
  a.shl32('rcx', FLAG_OVERFLOW_BIT);
  a.bytes(0x4d, 0x8d, 0x9c, 0x0b); // lea r11, [r11 + rcx + FLAGS_ALWAYS]
  a.u32(FLAGS_ALWAYS);
  a.restoreFlags();
  a.load64('rax', slot.RESULT);
  a.load64('rcx', slot.RETURN_ADDRESS);
  a.bytes(0xff, 0xe1); // jmp rcx
}

function assembleCommands(a: SlotAssembler): void {
  a.label('commands');
  a.xor('rcx', 'rcx');
  a.label('command');
  a.store64(slot.CURSOR, 'rcx');
  a.loadFrom64('rax', 'rcx', COMMANDS);
  for (const [i, register] of ARGUMENT_REGISTERS.entries()) a.loadFrom64(register, 'rcx', COMMANDS + 8 + 8 * i);
  a.syscall();
  a.cmpImm64('rax', FIRST_ERROR);
  a.jae('commandFailed');
  a.load64('rcx', slot.CURSOR);
  a.addImm64('rcx', COMMAND_BYTES);
  a.compareSlot32('rcx', slot.ORDERED_BYTES);
  a.jb('command');
  a.storeImm32(slot.ORDERED_BYTES, 0);
  restore(a, 6);
  a.compareSlotImm32(slot.TRAP_AFTER_COMMANDS, 0);
  a.je('ordered');
  a.label('commandsEnd');
  a.int3();
  a.label('interrupted');
  a.jmp('ordered');
  a.label('commandFailed');
  a.int3();
  a.label('failed');
  a.jmp('commandFailed');
}

function assembleRetreat(a: SlotAssembler): void {
  a.label('retreat');
  restore(a, 3);
  a.loadSlot32('rax', slot.FLAGS);
  a.restoreFlags();
  a.loadSlot32('rax', slot.NUMBER);
  a.load64('rcx', slot.RETURN_ADDRESS);
  a.bytes(0x48, 0x8d, 0x49, 0xfe); // lea rcx, [rcx - 2]: unlike sub it leaves the flags alone
  a.bytes(0xff, 0xe1);
}

/** `table`: address of the table of transfers, below 2^31. */
export function assembleTrampoline(table: number = slot.TRANSFER_TABLE): Trampoline {
  const a = new SlotAssembler();
  assembleAnswer(a);
  assembleEntry(a, table);
  assembleDirectionCheck(a);
  assembleCopyIn(a);
  assembleTouch(a);
  assemblePost(a);
  assembleAnswered(a);
  assembleCommands(a);
  assembleRetreat(a);
  a.label('end');
  return {
    bytes: a.finish(),
    answer: a.offsetOf('answer'),
    answering: a.offsetOf('answering'),
    answeringInRcx: a.offsetOf('answeringInRcx'),
    entry: a.offsetOf('entry'),
    saved: a.offsetOf('saved'),
    posted: a.offsetOf('posted'),
    answered: a.offsetOf('answered'),
    commands: a.offsetOf('commands'),
    commandsEnd: a.offsetOf('commandsEnd'),
    failed: a.offsetOf('failed'),
    interrupted: a.offsetOf('interrupted'),
    retreat: a.offsetOf('retreat'),
    end: a.offsetOf('end'),
  };
}
