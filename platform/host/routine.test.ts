/** A clone that is spared most of the sentry's memory gets what it needs, wherever that lies. */
import { expect, test } from 'vitest';
import { allocateMemory } from './memory.ts';
import * as process from './process.ts';
import { callCloningCode, mapCode } from './routine.ts';

const PAGE_SIZE = 4096;

/** fork(); the child exits with the byte that the second argument points to. Leaves the stack alone. */
const CLONE_AND_EXIT = Uint8Array.from(
  [
    [0x49, 0x89, 0xf0], // mov r8, rsi
    [0xbf, 17, 0, 0, 0], // mov edi, SIGCHLD
    [0x31, 0xf6, 0x31, 0xd2, 0x4d, 0x31, 0xd2], // xor esi, esi; xor edx, edx; xor r10, r10
    [0xb8, 56, 0, 0, 0, 0x0f, 0x05], // clone
    [0x85, 0xc0, 0x75, 10], // test eax, eax; jne to the return
    [0x41, 0x8b, 0x38], // mov edi, [r8]
    [0xb8, 60, 0, 0, 0, 0x0f, 0x05], // exit
    [0xc3],
  ].flat(),
);

/** The wait status of a child told to exit with the byte 7, which lies in the second of four pages. */
function exitOf(needed: boolean): number {
  const code = mapCode(CLONE_AND_EXIT, 1);
  const memory = allocateMemory(4 * PAGE_SIZE);
  memory.bytes[PAGE_SIZE] = 7;
  const address = memory.address + PAGE_SIZE;
  const spared = [{ start: memory.address, end: memory.address + 4 * PAGE_SIZE, name: '', permissions: 'rw-p' }];
  const pid = callCloningCode(code, 0, address, { spared, needed: needed ? [{ address, length: 1 }] : [] });
  expect(process.wait(pid, process.WALL)).toBe(pid);
  return process.waitStatus();
}

test('the copy has what it needs, even in the midst of what it is spared', () => {
  expect(exitOf(true)).toBe(7 << 8);
});

test('the copy has nothing of what it is spared otherwise', () => {
  expect(exitOf(false) & 0x7f).toBe(11); // SIGSEGV
});
