/**
 * Installing a seccomp filter in every thread of the process (SECCOMP_FILTER_FLAG_TSYNC). Needs no_new_privs.
 */
import { assembleFilter } from '#platform/bpf/assembler.ts';
import type { Filter } from '#platform/bpf/assembler.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import { systemCall } from '#platform/host/setup-calls.ts';
import type { ConfinementReport } from './report.ts';

const SYS_SECCOMP = 317;
const SET_MODE_FILTER = 1;
const FLAG_TSYNC = 1;

export function installFilter(filter: Filter, report: ConfinementReport): void {
  const program = assembleFilter(filter);
  const memory = allocateMemory(16 + program.length);
  // struct sock_fprog: length in instructions, address.
  memory.view.setUint16(0, program.length / 8, true);
  memory.view.setUint32(8, (memory.address + 16) % 0x1_0000_0000, true);
  memory.view.setUint32(12, Math.floor((memory.address + 16) / 0x1_0000_0000), true);
  memory.bytes.set(program, 16);
  const result = systemCall(SYS_SECCOMP, SET_MODE_FILTER, FLAG_TSYNC, memory.address);
  // With TSYNC a positive result is the id of a thread that could not take the filter.
  report.step(`seccomp filter '${filter.name}' with ${filter.rules.length} rules (all threads)`, result > 0 ? -1 : result);
}
