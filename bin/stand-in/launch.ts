/** Starting a stand-in, or becoming one: what the host sees of a process inside (code.ts). */
import { dirname, join } from 'node:path';
import type { HostFd } from '#platform/contract/host.ts';
import { allocateMemory } from '#platform/host/memory.ts';
import { systemCall } from '#platform/host/setup-calls.ts';
import { spawnWithDescriptors } from '#platform/host/spawn.ts';
import { errnoName } from '#sentry/abi/errno.ts';
import { UserError } from '../errors.ts';
import { EXIT_OCI_FAILURE } from '../oci/errors.ts';
import { STAND_IN_CONNECTION } from './code.ts';

const SYS_DUP2 = 33;
const SYS_EXECVE = 59;
const SYS_FCNTL = 72;
const F_DUPFD_CLOEXEC = 1030;
/** Out of the way of the numbers that are given. */
const ABOVE_GIVEN = 16;
const NAME = 'stand-in';

/** Assembled by the build: beside the program that runs now, or in dist/ for the source. */
function standInProgram(): string {
  const self = process.argv[1]!;
  return self.endsWith('.ts') ? join(dirname(self), '..', 'dist', NAME) : join(dirname(self), NAME);
}

/** A new process. `terminal` becomes its controlling one. Returns its id. */
export function startStandIn(connection: HostFd, terminal: HostFd | null): number {
  const passed = (terminal === null ? [connection] : [connection, terminal]).map((fd) =>
    systemCall(SYS_FCNTL, fd, F_DUPFD_CLOEXEC, ABOVE_GIVEN),
  );
  const pid = spawnWithDescriptors(standInProgram(), [NAME, terminal === null ? 'plain' : 'terminal'], passed);
  if (pid < 0) throw missing(pid);
  return pid;
}

/** This process, from now on: it keeps its id, its parent, its terminal, and the memory of a page instead of Node's. */
export function becomeStandIn(connection: HostFd): never {
  const strings = allocateMemory(8192);
  const vector = allocateMemory(64);
  const program = `${Buffer.from(standInProgram()).toString('latin1')}\0`;
  const place = (text: string, at: number): bigint => {
    strings.writeLatin1(text, at);
    return BigInt(strings.address + at);
  };
  vector.view.setBigUint64(0, place(program, 0), true);
  vector.view.setBigUint64(8, place('plain\0', program.length), true);
  systemCall(SYS_DUP2, connection, STAND_IN_CONNECTION);
  // SAFETY: program, arguments and an empty environment lie in memory of ours, each list ended by a null.
  throw missing(systemCall(SYS_EXECVE, strings.address, vector.address, vector.address + 16));
}

function missing(error: number): UserError {
  return new UserError(
    `dist/${NAME} cannot be run (${errnoName(-error)}): run "npm run build" in the tsvisor directory.`,
    EXIT_OCI_FAILURE,
  );
}
