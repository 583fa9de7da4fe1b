/**
 * A process that is not allowed to make a call, as in a container whose seccomp profile forbids it: prints what the platform says about it.
 *
 *     forbidden-process.ts PLATFORM NUMBER
 */
import { writeSync } from 'node:fs';
import { PlatformUnavailable } from '../../platform/host/errors.ts';
import { createHost } from '../../platform/host/host.ts';
import { allocateMemory } from '../../platform/host/memory.ts';
import { prctl, systemCall } from '../../platform/host/setup-calls.ts';
import { createNamedPlatform } from './create-platform.ts';

const [name, number] = process.argv.slice(2);
const SYS_SECCOMP = 317;
const PR_SET_NO_NEW_PRIVS = 38;

const memory = allocateMemory(4096);
// struct sock_fprog, then: load nr; is it the one; return EPERM; return ALLOW.
const program = [0x20, 0, 0x0100_0015, Number(number), 0x06, 0x0005_0001, 0x06, 0x7fff_0000];
memory.view.setUint16(0, program.length / 2, true);
memory.view.setBigUint64(8, BigInt(memory.address + 16), true);
for (const [index, word] of program.entries()) memory.view.setUint32(16 + index * 4, word, true);
prctl(PR_SET_NO_NEW_PRIVS, 1);
if (systemCall(SYS_SECCOMP, 1, 0, memory.address) !== 0) throw new Error('no filter');

try {
  createNamedPlatform(name, createHost());
} catch (error) {
  if (!(error instanceof PlatformUnavailable)) throw error;
  writeSync(1, `${error.message}\n`);
}
