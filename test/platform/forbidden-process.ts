/**
 * A process that is not allowed to trace, as in a container whose seccomp profile forbids ptrace: prints what the platform says about it.
 */
import { writeSync } from 'node:fs';
import { PlatformUnavailable } from '../../platform/host/errors.ts';
import { createHost } from '../../platform/host/host.ts';
import { allocateMemory } from '../../platform/host/memory.ts';
import { prctl, systemCall } from '../../platform/host/setup-calls.ts';
import { createPtracePlatform } from '../../platform/ptrace/ptrace-platform.ts';

const SYS_PTRACE = 101;
const SYS_SECCOMP = 317;
const PR_SET_NO_NEW_PRIVS = 38;

const memory = allocateMemory(4096);
// struct sock_fprog, then: load nr; is it ptrace; return EPERM; return ALLOW.
const program = [0x20, 0, 0x0100_0015, SYS_PTRACE, 0x06, 0x0005_0001, 0x06, 0x7fff_0000];
memory.view.setUint16(0, program.length / 2, true);
memory.view.setBigUint64(8, BigInt(memory.address + 16), true);
for (const [index, word] of program.entries()) memory.view.setUint32(16 + index * 4, word, true);
prctl(PR_SET_NO_NEW_PRIVS, 1);
if (systemCall(SYS_SECCOMP, 1, 0, memory.address) !== 0) throw new Error('no filter');

try {
  createPtracePlatform(createHost());
} catch (error) {
  if (!(error instanceof PlatformUnavailable)) throw error;
  writeSync(1, `${error.message}\n`);
}
